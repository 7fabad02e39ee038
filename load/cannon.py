"""The native order cannon as Python sees it: shots with their times go in as an array, what became of each comes out as one.

The cannon holds no lock of Python's: its threads are C, one that sends and one that receives, or one that does both. It judges
every answer as it comes (native/cannon_in.c) and never waits for one before the next shot, unless `window` says so.
"""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from matchmark.load.fix_load import REPORT, SOH, LoadSession
from matchmark.load.shots import MARK, SHOT, Array
from matchmark.native import _native

_ffi: Any = _native.ffi
_lib: Any = _native.lib

WRONGS = {
    0: ("stranger", "reports about orders that were never sent, or on the wrong session"),
    1: ("twice", "orders that were accepted, rejected or cancelled a second time"),
    2: ("overfill", "fills beyond the quantity of their order"),
    3: ("sum", "reports whose CumQty or LeavesQty do not follow from the fills before"),
    4: ("price", "fills at a worse price than the order's limit"),
    5: ("after end", "fills of orders that were over"),
    6: ("order", "acknowledgements in another order than a session's orders of that symbol were sent"),
    7: ("number", "messages whose MsgSeqNum was left out or used again"),
    8: ("garbled", "messages that are no FIX, or whose CheckSum is wrong"),
}
"""What can be wrong with an answer (mm_cannon_wrong): a word, and what was counted."""
ON, REFUSED, SILENT, CLOSED, LOGGED_OUT, GARBAGE = range(6)
CONNECT_S, GOODBYE_S = 10.0, 1.0
CORES_OF_TWO = 4
"""With so many processors sender, receiver and target have one each, and the system one; with fewer, one thread does both."""
for _name, _dtype in (("mm_cannon_shot", SHOT), ("mm_cannon_mark", MARK)):
    if _ffi.sizeof(_name) != _dtype.itemsize:
        raise ImportError(f"{_name} has {_ffi.sizeof(_name)} bytes in C, {_dtype.itemsize} here: build again")


@dataclass(frozen=True)
class CannonSettings:
    """`run` makes ClOrdIDs unique. `window`: 0 for an open loop; else the closed loop's orders without an answer a session."""

    run: int
    symbols: tuple[str, ...]
    tick_e8: int = 1_000_000
    price_decimals: int = 2
    lot_size: int = 1
    heartbeat_s: int = 30
    window: int = 0
    threads: int = 0
    """1: one thread sends and receives; 2: one each; 0: by the number of processors."""
    spin_us: int = 60
    """The sender is awake so long before a shot: what a sleep on Linux may take too long by."""
    reports_per_order: float = 3.0

    @property
    def threads_used(self) -> int:
        return self.threads or (2 if len(os.sched_getaffinity(0)) >= CORES_OF_TWO else 1)


@dataclass(frozen=True)
class CannonCounts:
    """`told`: orders with an answer; `held`: orders that were due while the target took no more bytes of their session;
    `wrong`: by the keys of WRONGS; `first_wrong`: 1 + the index of the report that showed it first, 0: none does."""

    sent: int
    told: int
    reports: int
    rejected: int
    refused_messages: int
    held: int
    asked_again: int
    last_told_ns: int
    up: int
    down: int
    full: int
    done: int
    wrong: tuple[int, ...]
    first_wrong: tuple[int, ...]

    @property
    def wrongs(self) -> int:
        return sum(self.wrong)


@dataclass(frozen=True)
class SessionEnd:
    """Why a session is down: `end` of ON, REFUSED ... GARBAGE; `words` is the target's own text, of a Logout or a reject."""

    sender: str
    end: int
    error: int
    words: str

    def __str__(self) -> str:
        code = errno.errorcode.get(self.error, "")
        said = f'; it said "{self.words}"' if self.words else ""
        text = {
            ON: "is on",
            REFUSED: f"could not connect ({os.strerror(self.error) if self.error else 'no address'})",
            SILENT: "logged on and got no answer",
            CLOSED: f"was {'reset' if code == 'ECONNRESET' else 'disconnected'} by the target",
            LOGGED_OUT: "was logged out by the target",
            GARBAGE: "was sent what is no FIX",
        }[self.end]
        return f"session {self.sender} {text}{said}"


class Cannon:
    """One run. `shots`: SHOT in the order of their times, those of a session in the order of their numbers; `numbers`: next
    MsgSeqNum out and in of each session, where it goes on.

    connect, start, (look), cease, finish; or as a context manager around them, which closes it however it ends.
    """

    def __init__(
        self,
        settings: CannonSettings,
        sessions: Sequence[LoadSession],
        shots: Array,
        numbers: Sequence[tuple[int, int]] | None = None,
    ) -> None:
        s = self.settings = settings
        self.sessions, self.shots = tuple(sessions), np.ascontiguousarray(shots, dtype=SHOT)
        self.start_ns = 0
        self.to_real_ns = time.time_ns() - time.monotonic_ns()
        """From CLOCK_MONOTONIC, in which everything here is, to CLOCK_REALTIME."""
        self.ended: list[SessionEnd] = []
        """Sessions that were down before the end, as `finish` found them."""
        self.numbers: list[tuple[int, int]] = []
        """Next MsgSeqNum out and in of each session, after `finish`."""
        self.marks = np.zeros(len(shots), dtype=MARK)
        self._reports = np.zeros(int(len(shots) * s.reports_per_order) + 1024, dtype=REPORT)
        config = _ffi.new("mm_cannon_config *", [
            len(shots), len(self._reports), s.tick_e8, s.price_decimals, s.lot_size, len(sessions), len(s.symbols), s.heartbeat_s,
            s.run, s.window, s.spin_us, 0])  # fmt: skip
        made = _lib.mm_cannon_make(
            config,
            _ffi.cast("mm_cannon_shot *", _ffi.from_buffer(self.shots)) if len(shots) else _ffi.NULL,
            _ffi.cast("mm_cannon_mark *", _ffi.from_buffer(self.marks)) if len(shots) else _ffi.NULL,
            _ffi.cast("mm_load_report *", _ffi.from_buffer(self._reports)),
        )
        if made == _ffi.NULL:
            raise ValueError(
                "at most 256 sessions, 4,096 symbols and 2^32 shots, each of one of them; else there is no memory"
            )
        self._cannon = _ffi.gc(made, _lib.mm_cannon_free)
        for n, one in enumerate(sessions):
            self._session(n, one, numbers[n] if numbers else (1, 1))
        for n, name in enumerate(s.symbols):
            if not _lib.mm_cannon_symbol(self._cannon, n, name.encode()):
                raise ValueError(f"symbol {name!r} is too long")
        self._threads: list[threading.Thread] = []

    def _session(self, n: int, one: LoadSession, numbers: tuple[int, int]) -> None:
        texts = (one.begin_string, one.sender, one.target, _joined(one.logon_fields), _joined(one.order_fields))
        if not _lib.mm_cannon_session(
            self._cannon, n, *(text.encode() for text in texts), int(one.reset_first), *numbers
        ):
            raise ValueError(f"session {one.sender!r}: a text is too long, or not one that FIX allows")

    # --- life ---

    def __enter__(self) -> Cannon:
        return self

    def __exit__(self, *_: object) -> None:
        self.finish()

    def connect(self, host: str, port: int, timeout_s: float | None = None) -> int:
        """How many sessions are on; `ends` says why others are not."""
        return int(_lib.mm_cannon_connect(self._cannon, host.encode(), port, int((timeout_s or CONNECT_S) * 1000)))

    def start(self, delay_s: float = 0.05) -> None:
        """The schedule begins after `delay_s`: threads take a moment to be there."""
        self.start_ns = time.monotonic_ns() + int(delay_s * 1e9)
        if self.settings.threads_used == 1:
            self._threads = [self._thread("cannon", _lib.mm_cannon_both, self.start_ns)]
        else:
            self._threads = [
                self._thread("cannon-in", _lib.mm_cannon_listen),
                self._thread("cannon-out", _lib.mm_cannon_fire, self.start_ns),
            ]
        for thread in self._threads:
            thread.start()

    def _thread(self, name: str, run: Any, *more: int) -> threading.Thread:
        return threading.Thread(target=run, args=(self._cannon, *more), name=name, daemon=True)

    def cease(self) -> None:
        """No more orders; answers are still listened to."""
        _lib.mm_cannon_cease(self._cannon)

    def finish(self, goodbye_s: float = GOODBYE_S) -> None:
        """Ends threads and connections; harmless when it has ended."""
        if self.numbers:
            return
        _lib.mm_cannon_stop(self._cannon)
        for thread in self._threads:
            thread.join()
        self.ended = self.ends()
        _lib.mm_cannon_close(self._cannon, int(goodbye_s * 1000))
        states = [self._state(n) for n in range(len(self.sessions))]
        self.numbers = [(int(state.next_out), int(state.next_in)) for state in states]

    # --- looking ---

    def look(self) -> CannonCounts:
        c = _ffi.new("mm_cannon_counts *")
        _lib.mm_cannon_look(self._cannon, c)
        names = [name for name in CannonCounts.__dataclass_fields__ if name not in ("wrong", "first_wrong")]
        values = {name: int(getattr(c, name)) for name in names}
        return CannonCounts(**values, wrong=tuple(map(int, c.wrong)), first_wrong=tuple(map(int, c.first_wrong)))

    def _state(self, n: int) -> Any:
        state = _ffi.new("mm_cannon_session_state *")
        _lib.mm_cannon_session_look(self._cannon, n, state)
        return state

    def ends(self) -> list[SessionEnd]:
        """The sessions that are down now, and why."""
        return [end for n in range(len(self.sessions)) if (end := self.session(n)).end != ON]

    def session(self, n: int) -> SessionEnd:
        state = self._state(n)
        words = _ffi.string(state.words).decode("ascii", "replace")
        return SessionEnd(self.sessions[n].sender, int(state.end), int(state.error), words)

    @property
    def reports(self) -> Array:
        """REPORT, in the order in which they came; `order` and `orig` are indexes of shots."""
        return self._reports[: self.look().reports]

    def name(self, index: int) -> str:
        """The ClOrdID of a shot."""
        return f"K{self.settings.run:06d}{int(self.shots['session'][index]):03d}{int(self.marks['number'][index]):010d}"


class Echo:
    """The floor: a FIX acceptor on 127.0.0.1 that answers every order at once. A context manager. With `stall_ms` it stands still
    for so long in each `stall_every_ms`, for controls."""

    def __init__(self, stall_ms: int = 0, stall_every_ms: int = 0) -> None:
        made = _lib.mm_echo_make(stall_ms, stall_every_ms)
        if made == _ffi.NULL:
            raise OSError("the echo cannot listen on 127.0.0.1")
        self._echo = _ffi.gc(made, _lib.mm_echo_free)
        self.port = int(_lib.mm_echo_port(self._echo))
        self._thread = threading.Thread(target=_lib.mm_echo_run, args=(self._echo,), name="echo", daemon=True)

    def __enter__(self) -> Echo:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        _lib.mm_echo_stop(self._echo)
        self._thread.join()


def _joined(fields: dict[int, str]) -> str:
    return "".join(f"{tag}={value}{SOH}" for tag, value in fields.items())
