"""A small exchange over FIX for the tests: the model behind a socket, and ways to misbehave. One thread a connection.

Right as it is; `spoil` is given each answer and may change, add or drop reports; `habits` are things done to the connection.
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal

from matchmark.conformance.messages import (
    Accepted,
    Cancel,
    Cancelled,
    CancelRejected,
    New,
    Rejected,
    Replace,
    Replaced,
    Trade,
)
from matchmark.load.fix_wire import Reader, Writer
from matchmark.load.fix_wire import field as value_of
from matchmark.reference.model import ModelEngine

Report = dict[int, str]
Spoil = Callable[[list[Report]], list[Report]]
TICK = Decimal("0.01")


@dataclass
class Habits:
    """What it does wrong. `after`: so many orders are answered before. Others off by default."""

    after: int = 0
    logout_words: str = ""
    """A logon is answered with a Logout that says this."""
    ignores_logon: bool = False
    garbage_for_logon: bool = False
    then: str = ""
    """After `after` orders: "close", "reset", "stall", "garbage", "reject", "number" or "checksum"."""
    stall_s: float = 0.0
    """It stands still for so long once, and goes on."""


@dataclass
class Order:
    side: str
    symbol: str
    lots: int
    cum: int = 0


@dataclass
class Scripted:
    """A context manager; `port` is where it listens on 127.0.0.1."""

    symbols: tuple[str, ...] = ("SYM1", "SYM2", "SYM3", "SYM4")
    spoil: Spoil = lambda reports: reports
    habits: Habits = field(default_factory=Habits)
    port: int = 0
    orders: int = 0
    host: str = "127.0.0.1"
    begin_string: str = "FIX.4.4"

    def __enter__(self) -> Scripted:
        self.engine = ModelEngine(self.symbols)
        self.book: dict[str, Order] = {}
        self.ids: dict[str, str] = {}
        self.lock = threading.Lock()
        self.executions = 0
        self.stopping = False
        self.listener = socket.create_server((self.host, 0))
        self.port = self.listener.getsockname()[1]
        self.threads = [threading.Thread(target=self._accept, daemon=True)]
        self.threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping = True
        with suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)  # a thread in accept would hold it open, for one more client
        self.listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                peer, _ = self.listener.accept()
                peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _serve(self, peer: socket.socket) -> None:
        reader, writer = Reader(), None
        with suppress(OSError), peer:
            while data := peer.recv(1 << 16):
                out = b""
                for answer in reader.take(data):
                    raw, kind = answer.raw, answer.kind
                    if writer is None:
                        writer = Writer(
                            self.begin_string,
                            value_of(raw, b"\x0156=").decode(),
                            value_of(raw, b"\x0149=").decode(),
                            "",
                            "",
                        )
                    if kind == b"A":
                        out += self._logon(writer)
                    elif kind == b"5":
                        peer.sendall(out + writer.admin(b"5"))
                        return
                    elif kind in (b"D", b"F", b"G"):
                        out += self._order(peer, writer, kind.decode(), raw)
                        if self.habits.then and self.orders > self.habits.after:
                            peer.sendall(out)
                            if not self._misbehaves(peer, writer):
                                return
                            out = b""
                if out:
                    peer.sendall(out)

    def _logon(self, writer: Writer) -> bytes:
        h = self.habits
        if h.ignores_logon:
            return b""
        if h.garbage_for_logon:
            return b"HTTP/1.1 400 Bad Request\r\n\r\n"
        if h.logout_words:
            return writer.admin(b"5", b"58=" + h.logout_words.encode() + b"\x01")
        return writer.admin(b"A", b"98=0\x01108=30\x01141=Y\x01")

    def _misbehaves(self, peer: socket.socket, writer: Writer) -> bool:
        """False: the connection is over."""
        then = self.habits.then
        if then == "close":
            return False
        if then == "reset":
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return False
        if then == "stall":
            while not self.stopping:
                time.sleep(0.01)
            return False
        if then == "garbage":
            peer.sendall(b"\x00\x01\x02 this is no FIX \xff\xfe" * 20)
            time.sleep(0.2)
            return False
        if then == "number":
            writer.next_out += 5
        if then == "checksum":
            peer.sendall(writer.admin(b"0")[:-4] + b"999\x01")
        self.habits.then = then if then == "reject" else ""
        return True

    # --- orders ---

    def _order(self, peer: socket.socket, writer: Writer, kind: str, raw: bytes) -> bytes:
        def get(tag: int) -> str:
            return value_of(raw, b"\x01%d=" % tag).decode()

        with self.lock:
            self.orders += 1
            if self.habits.stall_s and self.orders == self.habits.after:
                time.sleep(self.habits.stall_s)
            if self.habits.then == "reject" and self.orders > self.habits.after:
                reports = [self._report(get(11), "8", get(55), get(54), 0, 0, {58: "you may not trade"})]
            else:
                reports = self._events(kind, get)
            out = b""
            for report in self.spoil(reports):
                kind_of = report.pop(35, "8").encode()
                out += writer.admin(kind_of, "".join(f"{tag}={text}\x01" for tag, text in report.items()).encode())
            return out

    def _events(self, kind: str, get: Callable[[int], str]) -> list[Report]:
        cl, symbol = get(11), get(55)
        price = int(Decimal(get(44)) / TICK) if get(44) else None
        if kind == "D":
            side = "buy" if get(54) == "1" else "sell"
            self.book[cl] = Order(get(54), symbol, int(get(38)))
            order_type, tif = ("market" if get(40) == "1" else "limit"), ("ioc" if get(59) == "3" else "day")
            command: New | Cancel | Replace = New(cl, "A", symbol, side, order_type, int(get(38)), price, tif)
        elif kind == "F":
            command = Cancel(cl, get(41), "A", symbol)
        else:
            command = Replace(cl, get(41), "A", symbol, price, int(get(38)))
        return [report for event in self.engine.submit(command) for report in self._told(kind, cl, event)]

    def _told(self, kind: str, asked: str, event: object) -> list[Report]:
        match event:
            case Accepted(cl=cl, id=order_id):
                self.ids[cl] = order_id
                order = self.book[cl]
                return [self._report(cl, "0", order.symbol, order.side, order.lots, 0)]
            case Rejected(cl=cl, reason=reason):
                order = self.book[cl]
                return [self._report(cl, "8", order.symbol, order.side, 0, 0, {58: reason})]
            case Trade(px=px, qty=qty, resting=resting, incoming=incoming):
                return [self._fill(resting, px, qty), self._fill(incoming, px, qty)]
            case Cancelled(cl=cl):
                order = self.book[cl]
                more = {41: cl} if kind == "F" else {}
                return [self._report(asked if kind == "F" else cl, "4", order.symbol, order.side, 0, order.cum, more)]
            case Replaced(cl=cl, orig=orig, leaves=leaves, cum=cum, px=px):
                old = self.book[orig]
                self.book[cl] = Order(old.side, old.symbol, leaves + cum, cum)
                self.ids[cl] = self.ids[orig]
                return [self._report(cl, "5", old.symbol, old.side, leaves, cum, {41: orig, 44: f"{px * TICK:.2f}"})]
            case CancelRejected(cl=cl, reason=reason):
                return [{35: "9", 37: "NONE", 11: cl, 41: "?", 39: "8", 434: "1", 102: "1", 58: reason}]
        return []

    def _fill(self, cl: str, px: int, qty: int) -> Report:
        order = self.book[cl]
        order.cum += qty
        more = {32: str(qty), 31: f"{px * TICK:.2f}"}
        kind = "F" if self.begin_string == "FIX.4.4" else "1" if order.cum < order.lots else "2"
        return self._report(cl, kind, order.symbol, order.side, order.lots - order.cum, order.cum, more)

    def _report(
        self, cl: str, kind: str, symbol: str, side: str, leaves: int, cum: int, more: Report | None = None
    ) -> Report:
        self.executions += 1
        return {
            37: self.ids.get(cl, "0"), 17: str(self.executions), 11: cl, 150: kind, 39: "0", 55: symbol, 54: side,
            151: str(leaves), 14: str(cum), **(more or {}),
        }  # fmt: skip


def profile(
    port: int, accounts: int = 8, symbols: tuple[str, ...] = ("SYM1", "SYM2", "SYM3", "SYM4"), host: str = "127.0.0.1"
) -> str:
    """The profile of a Scripted, as TOML."""
    names = ", ".join(f'"ACC{n}"' for n in range(1, accounts + 1))
    return f"""
[target]
name = "scripted"
version = "1"
adapter = "fix"
capabilities = ["limit", "market", "ioc", "cancel", "replace", "replace_priority", "replace_above_cum", "fix", "validation"]
[order_entry]
host = "{host}"
port = {port}
target_comp_id = "SCRIPTED"
accounts = [{names}]
reset_on_logon = true
price_decimals = 2
[instruments]
symbols = [{", ".join(f'"{name}"' for name in symbols)}]
isolation = "symbol"
"""
