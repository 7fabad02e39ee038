"""A FIX counterparty for tests: it builds and reads messages by itself, so that a fault of the codec cannot hide in both ends."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

from matchmark.native import _native

ffi: Any = _native.ffi
lib: Any = _native.lib

SECOND = 1_000_000_000
NOW_NS = 1_770_000_000 * SECOND
EVENTS = {
    lib.MM_EVENT_LOGON: "logon",
    lib.MM_EVENT_APPLICATION: "app",
    lib.MM_EVENT_RESEND: "resend",
    lib.MM_EVENT_CUT: "cut",
}


def utc(ns: int) -> str:
    at = datetime.fromtimestamp(ns // SECOND, UTC)
    return f"{at:%Y%m%d-%H:%M:%S}.{ns // 1_000_000 % 1000:03d}"


def frame(body: str, begin: str = "FIX.4.4", length: int | None = None, checksum: int | None = None) -> bytes:
    """`35=..|..|` with | for SOH, closed by length and checksum (or by wrong ones, when given)."""
    content = body.replace("|", "\x01").encode("latin-1")
    head = f"8={begin}\x019={len(content) if length is None else length}\x01".encode()
    total = sum(head + content) % 256 if checksum is None else checksum
    return head + content + f"10={total:03d}\x01".encode()


def fields_of(message: bytes) -> list[tuple[int, str]]:
    """All fields in order; asserts that length and checksum are right."""
    assert message.endswith(b"\x01")
    pairs = [part.split(b"=", 1) for part in message[:-1].split(b"\x01")]
    out = [(int(tag), value.decode("latin-1")) for tag, value in pairs]
    assert [tag for tag, _ in out[:3]] == [8, 9, 35]
    assert out[-1][0] == 10
    body = message.index(b"\x01", message.index(b"\x019=") + 1) + 1
    trailer = message.rindex(b"\x0110=") + 1
    assert int(out[1][1]) == trailer - body, "BodyLength"
    assert int(out[-1][1]) == sum(message[:trailer]) % 256, "CheckSum"
    assert len(out[-1][1]) == 3
    return out


def split(stream: bytes) -> list[dict[int, str]]:
    """The messages of a stream, each tag once."""
    out = []
    while stream:
        end = stream.index(b"\x01", stream.index(b"\x0110=") + 1) + 1
        pairs = fields_of(stream[:end])
        assert len(dict(pairs)) == len(pairs), "a tag twice"
        out.append(dict(pairs))
        stream = stream[end:]
    return out


class Peer:
    """One C session and a counterparty CLIENT that talks to it, on a clock that the test moves."""

    def __init__(self, admit: bool = True, capacity: int = 64, **settings: int) -> None:
        self.admit, self.now, self.seq = admit, NOW_NS, 1
        self.config = ffi.new("mm_session_config *")
        self.config.dictionary = lib.mm_fix_dictionary_of(b"FIX.4.4")
        self.config.comp_id = b"MATCHMARK"
        self.config.clock_skew_ns = 120 * SECOND
        self.config.logon_wait_ns = self.config.logout_wait_ns = 10 * SECOND
        self.config.heartbeat_max_s, self.config.output_bytes = 3600, 65536
        for name, value in settings.items():
            setattr(self.config, name, value)
        self.session = ffi.new("mm_session *")
        self._out = ffi.new("char[]", self.config.output_bytes)
        self.message = ffi.new("mm_fix_message *")
        lib.mm_session_create(self.session, self.config, self._out)
        self.memory = ffi.new("char[]", lib.mm_fix_store_size(capacity, 4096) + 64)
        self.store = ffi.new("mm_fix_store *")
        lib.mm_fix_store_in(self.store, self.memory, b"CLIENT", capacity, 4096)
        self.reports: dict[int, Any] = {}
        self.taken: list[dict[int, str]] = []
        self.take = True
        self.connect()

    @property
    def next_in(self) -> int:
        return int(self.store.numbers.next_in)

    @property
    def next_out(self) -> int:
        return int(self.store.numbers.next_out)

    @property
    def cut(self) -> str | None:
        dead = self.session.state == lib.MM_SESSION_CUT_DUE
        return ffi.string(self.session.cut).decode() if dead else None

    def connect(self) -> None:
        lib.mm_session_connect(self.session, self.now)

    def reconnect(self) -> None:
        lib.mm_session_disconnected(self.session)
        self.connect()

    def body(self, kind: str, fields: str = "", seq: int | None = None, **over: str) -> str:
        if seq is None:
            seq = self.seq
            self.seq += 1
        header = {"49": "CLIENT", "56": "MATCHMARK", "34": str(seq), "52": utc(self.now)} | {
            k[1:]: v for k, v in over.items()
        }
        return f"35={kind}|" + "".join(f"{tag}={value}|" for tag, value in header.items() if value != "-") + fields

    def raw(self, data: bytes) -> list[dict[int, str]]:
        """Sends bytes; returns what came back."""
        at = ffi.new("char **")
        while data:
            room = lib.mm_session_input(self.session, at)
            assert room, "the session does not take its input"
            part, data = data[:room], data[room:]
            ffi.buffer(at[0], len(part))[:] = part
            lib.mm_session_received(self.session, len(part))
            self.run()
        return self.output()

    def lend(self, data: bytes) -> list[dict[int, str]]:
        """Lets it read bytes where they are, if nothing older waits; they are wiped when it gives them back."""
        if not lib.mm_session_may_borrow(self.session):
            return self.raw(data)
        memory = ffi.new("char[]", data + bytes(64))
        lib.mm_session_borrow(self.session, memory, len(data))
        self.run()
        lib.mm_session_give_back(self.session)
        ffi.buffer(memory)[:] = b"8" * len(ffi.buffer(memory))
        return self.output()

    def run(self) -> None:
        while True:
            event = EVENTS.get(lib.mm_session_next(self.session, self.message, self.now))
            if event == "logon":
                if self.admit:
                    lib.mm_session_admit(self.session, self.message, self.store, 0, self.now)
                else:
                    lib.mm_session_refuse(self.session, b"not admitted")
            elif event == "app":
                if not self.take:
                    return
                m = self.message
                self.taken.append(dict(fields_of(bytes(ffi.buffer(m.bytes, m.length)))))
                lib.mm_session_take(self.session)
            elif event == "resend":
                report = self.reports.get(self.session.wanted_key, ffi.NULL)
                lib.mm_session_resend_report(self.session, report, self.now)
            else:
                return

    def output(self) -> list[dict[int, str]]:
        start = ffi.new("const char **")
        n = lib.mm_session_output(self.session, start)
        data = bytes(ffi.buffer(start[0], n))
        lib.mm_session_sent(self.session, n)
        return split(data)

    def send(self, kind: str, fields: str = "", seq: int | None = None, **over: str) -> list[dict[int, str]]:
        return self.raw(frame(self.body(kind, fields, seq, **over)))

    def logon(self, fields: str = "", heartbeat: int = 30, **over: Any) -> list[dict[int, str]]:
        return self.send("A", f"98=0|108={heartbeat}|{fields}", **over)

    def order(
        self, cl: str = "c1", seq: int | None = None, fields: str | None = None, **over: str
    ) -> list[dict[int, str]]:
        given = f"11={cl}|55=SYM|54=1|60={utc(self.now)}|38=100|40=2|44=100.50|" if fields is None else fields
        return self.send("D", given, seq, **over)

    def wait(self, seconds: float) -> list[dict[int, str]]:
        """Moves the clock, a tenth of a second at a time."""
        end = self.now + int(seconds * SECOND)
        while self.now < end:
            self.now = min(end, self.now + SECOND // 10)
            lib.mm_session_tick(self.session, self.now)
        return self.output()

    def report(self, key: int, cl: str = "c1") -> list[dict[int, str]]:
        """The exchange sends an ExecutionReport; it can be rebuilt later."""
        self.reports[key] = r = execution(cl, key)
        lib.mm_session_report(self.session, key, r, self.now)
        return self.output()


_KEEP: list[Any] = []  # texts that reports point to


def execution(cl: str, key: int, **more: Any) -> Any:
    r = ffi.new("mm_fix_report *")
    for name, text in (("cl_ord_id", cl), ("symbol", "SYM"), ("account", "ACC"), ("text", "")):
        held = ffi.new("char[]", text.encode())
        _KEEP.append(held)
        setattr(r, name, held)
        setattr(r, f"{name}_length", len(text))
    r.exec_type, r.ord_status, r.side, r.ord_type, r.time_in_force = b"0", b"0", b"1", b"2", b"0"
    r.price_digits, r.has_price, r.order_lots, r.leaves_lots, r.lot_size = 2, 1, 100, 100, 1
    r.price_units, r.order_id, r.exec_id, r.transact_ns = 10050, 7, key, NOW_NS
    for name, value in more.items():
        setattr(r, name, value)
    return r


def wait_until(condition: Any, seconds: float = 5.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.002)


def said(messages: list[dict[int, str]], *tags: int) -> list[tuple[str | None, ...]]:
    return [tuple(m.get(tag) for tag in (35, *tags)) for m in messages]


def alive(p: Peer) -> bool:
    """A TestRequest in sequence is answered: the session took no harm and no number."""
    return ("0", "ok?") in said(p.send("1", "112=ok?|"), 112)
