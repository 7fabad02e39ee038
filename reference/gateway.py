"""The gateway role: the C loop in a thread of its own with the GIL released, and beside it the control plane, which decides on
logons. Nothing here is on an order's path.

A session is a SenderCompID. The first account that logs on under a name owns it from then on (sessions.json in the data
directory, written before the logon is answered), so that a session number in the audit log always means the same party.
Tokens and keys are never logged.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, localcontext
from functools import lru_cache
from pathlib import Path
from typing import Any

from matchmark.native import _native, dpdk
from matchmark.native.pipeline import EngineLoop, Pipeline, PipelineError, Snapshot
from matchmark.native.replication import copy_store
from matchmark.reference.durable_files import make_directory, make_once, sync_directory
from matchmark.reference.tokens import Keys, TokenError

_ffi: Any = _native.ffi
_lib: Any = _native.lib
_log = logging.getLogger("matchmark.gateway")

SECOND_NS = 1_000_000_000
_CONTROL_POLL_S = 0.001
_KEEP_POLL_S = 0.02
_SLICE_NS = 20_000_000
_FOLLOW_SLICE_NS = 1_000_000
_SENDER_MAX = 64
BACKLOG = 1024


@lru_cache(maxsize=1024)
def _units(price: Decimal, digits: int) -> int:
    """Remembered: 100,000 symbols of one pattern have the same tick and reference."""
    scaled = price.scaleb(digits)
    if scaled != scaled.to_integral_value():
        raise ValueError(f"{price} has more than {digits} decimals")
    return int(scaled)


@dataclass(frozen=True)
class Symbol:
    """An instrument. `tick` and prices are decimals of at most `digits` places; `reference` is the opening reference price."""

    name: str
    tick: Decimal = Decimal("0.01")
    digits: int = 2
    lot_size: int = 1
    max_lots: int = 1_000_000
    collar_bps: int = 0
    reference: Decimal | None = None

    def units(self, price: Decimal) -> int:
        """A price as a count of 10^-digits; ValueError when it is finer than that."""
        try:
            return _units(price, self.digits)
        except ValueError as error:
            raise ValueError(f"symbol {self.name}: {error}") from None


@dataclass(frozen=True)
class Account:
    """An account's opening balances: cash in whole currency units of its symbols' prices, positions in lots by symbol.

    `position_each` is the position in every symbol that `positions` does not name.
    """

    name: str
    cash: Decimal = Decimal(0)
    positions: Mapping[str, int] = field(default_factory=dict)
    position_each: int = 0


@dataclass(frozen=True)
class GatewaySettings:
    """How one gateway runs. Times in seconds."""

    number: int = 0
    comp_id: str = "MATCHMARK"
    begin_string: str = "FIX.4.4"
    max_connections: int = 2300
    max_sessions: int = 8192
    output_bytes: int = 1 << 18
    store_capacity: int = 1 << 20
    store_journal_bytes: int = 1 << 20
    recent_reports: int = 1 << 14
    open_orders: int = 1 << 20
    positions: int = 1 << 18
    clock_skew_s: float = 120.0
    logon_wait_s: float = 10.0
    logout_wait_s: float = 2.0
    heartbeat_min_s: int = 0
    heartbeat_max_s: int = 3600
    wait: int = 3
    rate_per_s: int = 0
    rate_defers: bool = False
    """Orders a second of a session in a warned symbol, 0 for any number; those above it wait, or are refused."""


class SessionRegistry:
    """SenderCompID -> (session number, account), kept in one file that is replaced whole."""

    def __init__(self, path: Path | None) -> None:
        self._path, self._unsaved = path, False
        self.sessions: dict[str, tuple[int, str]] = {}
        if path is not None and path.exists():
            try:
                rows = json.loads(path.read_text(encoding="utf-8"))
                self.sessions = {name: (int(row["session"]), str(row["account"])) for name, row in rows.items()}
            except (ValueError, KeyError, TypeError, AttributeError):
                raise PipelineError(f"session registry {path} is damaged: restore it from a backup") from None

    def claim(self, sender: str, account: str) -> int:
        """The session number of a name, a new one if nobody had it: `save` before anyone is told.

        TokenError when it is another account's.
        """
        known = self.sessions.get(sender)
        if known is None:
            number = 1 + max((number for number, _ in self.sessions.values()), default=-1)
            self.sessions[sender] = (number, account)
            self._unsaved = True
            return number
        if known[1] != account:
            raise TokenError("the SenderCompID belongs to another account")
        return known[0]

    def copied_to(self, path: Path) -> SessionRegistry:
        """The same sessions in another file, which is written."""
        copy = SessionRegistry(None)
        copy._path, copy.sessions, copy._unsaved = path, dict(self.sessions), True
        copy.save()
        return copy

    def save(self) -> None:
        """Writes what was claimed since the last time, once for all of it."""
        if not self._unsaved or self._path is None:
            return
        rows = {name: {"session": number, "account": account} for name, (number, account) in self.sessions.items()}
        draft = self._path.with_suffix(".new")
        with draft.open("w", encoding="utf-8") as out:
            json.dump(rows, out, indent=1)
            out.flush()
            os.fsync(out.fileno())
        os.replace(draft, self._path)
        sync_directory(self._path.parent)
        self._unsaved = False


class Gateway:
    """A running gateway. PipelineError when it cannot start: the message says what to do.

    `pipeline_dir` holds the shared memory, `log_dir` the audit log, `data_dir` keys, session numbers and stores. It listens on
    host and port, or on a socket that listens already and is the gateway's from then on; with a `carrier` it needs none, and that
    is its own. `clean`: the run before this one was
    stopped cleanly; if not, and its memory is gone, sessions go on with numbers above all that they can have seen.
    `keys_dir`: where the keys are, if not in `data_dir`. `follow`: a standby's, which has no sessions and hears nobody until
    `take_over`; its socket is bound, and does not listen yet. `snapshot`: where it begins to read the log.
    """

    def __init__(
        self,
        pipeline_dir: Path | str,
        log_dir: Path | str,
        data_dir: Path | str,
        symbols: Sequence[Symbol],
        accounts: Sequence[Account],
        settings: GatewaySettings | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        listener: socket.socket | None = None,
        carrier: dpdk.Port | None = None,
        clean: bool = True,
        keys_dir: Path | str | None = None,
        follow: bool = False,
        snapshot: Snapshot | None = None,
    ) -> None:
        self.settings = settings or GatewaySettings()
        self._clean = clean
        self._data = Path(data_dir)
        self._keys_dir = Path(keys_dir or data_dir)
        self.following = follow
        self._succession: tuple[Path, int, Callable[[], None]] | None = None
        make_directory(self._data / "sessions")
        self.keys = Keys(self._keys_dir / "keys")
        self._registry = SessionRegistry(self._data / "sessions.json") if not follow else SessionRegistry(None)
        self._accounts = {account.name: number for number, account in enumerate(accounts)}
        if len(self._accounts) != len(accounts):
            raise PipelineError("two accounts have the same name")
        self.failure: str | None = None
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._pipeline = Pipeline(pipeline_dir)
        self._risk = _make_risk(symbols, accounts, self.settings)
        self._native: Any = _ffi.NULL
        if carrier is None:
            listener = listener or listen(host, port)
        self.address: tuple[str, int] = listener.getsockname()[:2] if listener else (host, port)
        self._make(listener, carrier, log_dir, accounts, snapshot)

    def _make(
        self,
        listener: socket.socket | None,
        carrier: dpdk.Port | None,
        log_dir: Path | str,
        accounts: Sequence[Account],
        snapshot: Snapshot | None,
    ) -> None:
        fault = _ffi.new("mm_fault *")
        self._log_dir = _ffi.new("char[]", os.fsencode(str(log_dir)))
        names = b"".join(account.name.encode() + b"\0" for account in accounts) + b"\0"
        config = self._config(listener.fileno() if listener else -1)
        if carrier:
            config.carrier = _ffi.cast("mm_carrier *", carrier.native)
        native = _lib.mm_gateway_make(self._pipeline.native, config, self._risk, names, len(accounts), fault)
        if native == _ffi.NULL:
            for unused in (listener, carrier):
                if unused:
                    unused.close()
            raise _error(fault)
        if listener:
            listener.detach()
        self._native = native
        try:
            self._add_sessions()
        except PipelineError:
            self.close()
            raise
        begun = snapshot is None or _lib.mm_gateway_begin_from(native, snapshot.native, fault) == 0
        if not begun or _lib.mm_gateway_open(native, fault):
            self.close()
            raise _error(fault)

    def _add_sessions(self) -> None:
        fault = _ffi.new("mm_fault *")
        for sender, (number, account) in self._registry.sessions.items():
            if account not in self._accounts:
                _log.warning("session %s is of account %s, which is not configured: it cannot log on", sender, account)
                continue
            path = os.fsencode(self._store(number))
            known = self._accounts[account]
            if _lib.mm_gateway_add_session(self._native, number, sender.encode(), known, path, fault):
                raise _error(fault)

    def _config(self, descriptor: int) -> Any:
        s, c = self.settings, _ffi.new("mm_gateway_config *")
        for name in (
            "max_connections",
            "max_sessions",
            "store_capacity",
            "store_journal_bytes",
            "wait",
            "recent_reports",
            "rate_per_s",
            "rate_defers",
        ):
            setattr(c, name, getattr(s, name))
        c.gateway, c.listen_fd, c.hash_key, c.log_directory = s.number, descriptor, self._hash_key(), self._log_dir
        c.life, c.clean, c.follow = life(self._pipeline.status().generation), self._clean, self.following
        c.session.dictionary = _lib.mm_fix_dictionary_of(s.begin_string.encode())
        if c.session.dictionary == _ffi.NULL:
            raise PipelineError(f"FIX version {s.begin_string!r} is not one that this gateway speaks")
        c.session.comp_id = s.comp_id.encode()
        for name in ("clock_skew", "logon_wait", "logout_wait"):
            setattr(c.session, f"{name}_ns", int(getattr(s, f"{name}_s") * SECOND_NS))
        c.session.heartbeat_min_s, c.session.heartbeat_max_s = s.heartbeat_min_s, s.heartbeat_max_s
        c.session.output_bytes = s.output_bytes
        return c

    def _hash_key(self) -> list[int]:
        """The key of ClOrdID hashes: made once for a data directory, for orders in the log are named by it."""
        path = self._keys_dir / "keys" / "clordid.key"
        key = make_once(path, secrets.token_bytes(16))
        if len(key) != 16:
            raise PipelineError(f"{path} is damaged: it must be the 16 bytes that it was made with")
        return [int.from_bytes(key[:8], "little"), int.from_bytes(key[8:], "little")]

    def _store(self, session: int) -> str:
        return str(self._data / "sessions" / f"{session:08d}.fix")

    def measure(self, stages: Any) -> None:
        """Before `start`: counts into memory of a mm_stages (stages.h), which must outlive the gateway."""
        self._stages = _ffi.from_buffer("mm_stages *", stages)
        _lib.mm_gateway_measure(self._native, self._stages)

    def drive(self, engine: EngineLoop) -> None:
        """Before `start`: the engine runs in this gateway's data thread, in turn with the network."""
        _lib.mm_gateway_drive(self._native, engine.native)

    def save_snapshot(self, path: Path, engine: EngineLoop, instruments: int, settings_hash: int) -> int:
        """The engine's state and this gateway's, which follows it and does not run: bytes of the file. PipelineError."""
        fault = _ffi.new("mm_fault *")
        words = (os.fsencode(str(path)), engine.native, self._native, instruments, settings_hash, fault)
        size = int(_lib.mm_snapshot_save(*words))
        if size < 0:
            raise _error(fault)
        return size

    def start(self) -> None:
        """Starts the three threads; returns at once."""
        for target in (self._run_data, self._run_control, self._run_keeper):
            thread = threading.Thread(target=target, name=f"gateway-{target.__name__}", daemon=True)
            thread.start()
            self._threads.append(thread)

    def take_over(self, old_data: Path, old_life: int, copied: Callable[[], None]) -> None:
        """All records of the old primary are executed: its sessions go on here, and who connects is heard. Returns at once;
        `following` is false when it is done, `failure` says why it could not be.

        `old_life`: that of the old primary's memory when nothing in it was lost, else 0. `copied` is called when the sessions are
        this gateway's own, and before anyone is heard.
        """
        self._succession = (old_data, old_life, copied)

    def _succeed(self, old_data: Path, old_life: int, copied: Callable[[], None]) -> None:
        fault = _ffi.new("mm_fault *")
        if old_data != self._data:
            for stale in (self._data / "sessions").glob("*.fix"):
                stale.unlink()
        old = SessionRegistry(old_data / "sessions.json")
        for number, _ in old.sessions.values():
            source = old_data / "sessions" / f"{number:08d}.fix"
            if source.exists() and old_data != self._data:  # one that was claimed and never got so far begins anew
                copy_store(source, Path(self._store(number)))
        self._registry = old.copied_to(self._data / "sessions.json")
        copied()
        _lib.mm_gateway_inherit(self._native, old_life)
        self._add_sessions()
        if _lib.mm_gateway_take_over(self._native, fault):
            raise _error(fault)
        self.following = False

    def _run_data(self) -> None:
        while True:
            result = _lib.mm_gateway_run(self._native, _FOLLOW_SLICE_NS if self.following else _SLICE_NS)
            if result == 0 and self._succession and self.following:
                try:
                    self._succeed(*self._succession)
                except (PipelineError, OSError) as error:
                    self.failure = f"the sessions of the old primary cannot be continued: {error}"
                    self._stopping.set()
                    return
            if result == 0:
                continue
            if result < 0:
                self.failure = _ffi.string(_lib.mm_gateway_failure(self._native)).decode()
                _log.error("gateway stopped: %s", self.failure)
            self._stopping.set()
            return

    def _run_control(self) -> None:
        while not self._stopping.is_set():
            if not self._decide_waiting():
                time.sleep(_CONTROL_POLL_S)

    def _run_keeper(self) -> None:
        """Gets session numbers onto the disk."""
        while not self._stopping.wait(_KEEP_POLL_S):
            if error := _lib.mm_gateway_keep(self._native):
                _log.error("session numbers cannot be flushed (%s): sessions stop after a while", os.strerror(error))
                return

    def _decide_waiting(self) -> int:
        """Decides on every logon that waits; new sessions are written down once for all of them. Returns how many."""
        request = _ffi.new("mm_logon_request *")
        verdicts: list[tuple[int, str, tuple[int, int, int] | str]] = []
        while _lib.mm_gateway_next_logon(self._native, request):
            sender = _ffi.string(request.sender).decode("ascii", "replace")
            verdicts.append((request.slot, sender, self._verdict(sender, request)))
        try:
            self._registry.save()
        except OSError as error:
            _log.error("session registry cannot be written: %s", error.strerror)
            verdicts = [(slot, sender, "the session registry cannot be written") for slot, sender, _ in verdicts]
        for slot, sender, verdict in verdicts:
            self._answer(slot, sender, verdict)
        return len(verdicts)

    def _verdict(self, sender: str, request: Any) -> tuple[int, int, int] | str:
        token = bytes(_ffi.buffer(request.token, request.token_length))
        _ffi.buffer(request.token)[:] = bytes(_ffi.sizeof(request.token))
        try:
            return self._admit(sender, token)
        except TokenError as error:
            return str(error)

    def _answer(self, slot: int, sender: str, verdict: tuple[int, int, int] | str) -> None:
        fault = _ffi.new("mm_fault *")
        if isinstance(verdict, str):
            _log.warning("logon of %r refused: %s", sender, verdict)
            why = verdict.encode("ascii", "replace")[:127]
            _lib.mm_gateway_answer_logon(self._native, slot, -1, 0, 0, _ffi.NULL, why, fault)
            return
        session, account, expires_ns = verdict
        path = os.fsencode(self._store(session))
        if _lib.mm_gateway_answer_logon(self._native, slot, session, account, expires_ns, path, _ffi.NULL, fault):
            _log.error("logon of %r refused: %s", sender, _ffi.string(fault.text).decode("utf-8", "replace"))

    def _admit(self, sender: str, token: bytes) -> tuple[int, int, int]:
        """(session number, account number, expiry) of a logon; TokenError when it must not be."""
        if not sender or len(sender) > _SENDER_MAX or not sender.isprintable():
            raise TokenError("the SenderCompID is not 1 to 64 printable characters")
        try:
            allowed = self.keys.verify(token.decode("ascii"))
        except UnicodeDecodeError:
            raise TokenError("the token is not ASCII") from None
        if allowed.account not in self._accounts:
            raise TokenError("the token's account is not configured here")
        return self._registry.claim(sender, allowed.account), self._accounts[allowed.account], allowed.expires_ns

    def counters(self) -> dict[str, int]:
        """What was done so far; names as in native/include/matchmark/gateway.h."""
        c = _lib.mm_gateway_counters_of(self._native)
        return {name: int(getattr(c, name)) for name, _ in _ffi.typeof("mm_gateway_counters").fields}

    def cash_units(self, account: str) -> int:
        """Cash that is not reserved, in units of the price digits. A reading from beside the running loop."""
        amount = _lib.mm_risk_cash(self._risk, self._accounts[account])
        return (int(amount.high) << 64) | int(amount.low)

    def position_lots(self, account: str, symbol: int) -> int:
        """Lots of a symbol (by number) that are not reserved."""
        return int(_lib.mm_risk_position(self._risk, self._accounts[account], symbol))

    def stop(self, timeout_s: float = 15.0) -> None:
        """Logs every session out and ends the threads. Nothing more is accepted."""
        _lib.mm_gateway_stop(self._native)
        for thread in self._threads:
            thread.join(timeout_s)
            if thread.is_alive():
                raise PipelineError("the gateway did not stop in time: a session does not end")
        self._threads.clear()

    def close(self) -> None:
        """Gives everything back. Not while it runs: stop it first."""
        if self._threads:
            self.stop()
        if self._native != _ffi.NULL:
            _lib.mm_gateway_close(self._native)
            _lib.mm_risk_free(self._risk)
            self._native = self._risk = _ffi.NULL
            self._pipeline.close()


def life(generation: int) -> int:
    """A number that is another one when memory was lost: of the shared memory, and of the system since it was started."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_bytes()
    except OSError:
        boot = b""
    return int.from_bytes(hashlib.sha256(boot + generation.to_bytes(8, "little")).digest()[:8], "little") | 1


def bind(host: str, port: int) -> socket.socket:
    """A socket with this address that does not listen yet; PipelineError when it cannot be had."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError as error:
        why = error.strerror or str(error)
        raise PipelineError(
            f"cannot listen on {host}:{port}: {why}; choose another --fix-port", error.errno or 0
        ) from None
    listener.setblocking(False)
    return listener


def listen(host: str, port: int) -> socket.socket:
    """A listening socket that does not block; PipelineError when the address cannot be had."""
    listener = bind(host, port)
    try:
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise PipelineError(
            f"cannot listen on {host}:{port}: {error.strerror}; choose another --fix-port", error.errno or 0
        ) from None
    return listener


def _make_risk(symbols: Sequence[Symbol], accounts: Sequence[Account], settings: GatewaySettings) -> Any:
    rows = _ffi.new("mm_risk_symbol[]", max(1, len(symbols)))
    for row, symbol in zip(rows, symbols, strict=False):
        name = symbol.name.encode("ascii", "replace")
        if not 0 < len(name) <= 24:
            raise PipelineError(f"symbol {symbol.name!r}: a name is 1 to 24 ASCII characters")
        row.name = name
        row.price_digits, row.collar_bps, row.lot_size = symbol.digits, symbol.collar_bps, symbol.lot_size
        row.max_lots, row.tick_units = symbol.max_lots, symbol.units(symbol.tick)
        row.reference_ticks = symbol.units(symbol.reference) // row.tick_units if symbol.reference is not None else 0
    risk = _lib.mm_risk_make(rows, len(symbols), len(accounts), settings.open_orders, settings.positions)
    if risk == _ffi.NULL:
        raise PipelineError(
            "a symbol's tick, lot, limit or collar is out of range, or there is no memory for the risk tables"
        )
    numbers = {symbol.name: number for number, symbol in enumerate(symbols)}
    if len({symbol.digits for symbol in symbols}) > 1:
        raise PipelineError("all symbols must have the same price digits: cash is counted in that unit")
    digits = symbols[0].digits if symbols else 0
    for number, account in enumerate(accounts):
        with localcontext(prec=60):  # more digits than the 28 of the default context may be there
            cash = int(account.cash.scaleb(digits))
        _lib.mm_risk_deposit(risk, number, {"low": cash & (2**64 - 1), "high": cash >> 64})
        for held in account.positions:
            if held not in numbers:
                raise PipelineError(f"account {account.name}: no symbol {held!r}")
        named = {numbers[held]: lots for held, lots in account.positions.items()}
        deposit, each = _lib.mm_risk_deposit_lots, account.position_each
        fits = all(deposit(risk, number, symbol, lots) for symbol, lots in named.items())
        if each:
            fits = fits and all(deposit(risk, number, at, each) for at in range(len(symbols)) if at not in named)
        if not fits:
            raise PipelineError("too many positions: raise `positions`")
    return risk


def _error(fault: Any) -> PipelineError:
    return PipelineError(_ffi.string(fault.text).decode("utf-8", "replace"), int(fault.code))


def instruments_hash(symbols: Sequence[Symbol]) -> int:
    """What the audit log's header says of the instrument list: the first 64 bits of SHA-256 over names, ticks and lots."""
    text = "\n".join(f"{s.name} {s.tick} {s.digits} {s.lot_size}" for s in symbols)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")
