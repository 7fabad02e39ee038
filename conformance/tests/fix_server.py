"""A small FIX engine in threads of the test, on the model's book, that can be told to go wrong in one way. For FixTarget."""

from __future__ import annotations

import itertools
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal

from matchmark.conformance.fix.business import Instrument
from matchmark.conformance.fix.message import Field, FixMessage
from matchmark.conformance.fix.wire import Reader, encode, utc
from matchmark.conformance.messages import (
    Accepted,
    Cancel,
    Cancelled,
    CancelRejected,
    Command,
    MassCancel,
    MassCancelled,
    New,
    Rejected,
    Replace,
    Replaced,
    Status,
    StatusReport,
    Trade,
)
from matchmark.reference.model import ModelEngine

CAPABILITIES = (
    "limit", "market", "ioc", "cancel", "replace", "mass_cancel", "order_status", "multi_symbol", "accounts", "validation",
    "duplicate_check", "symbol_list", "fix",
)  # fmt: skip
SYMBOLS = tuple(f"X{n}" for n in range(400))
STATES = {"new": "0", "partially_filled": "1", "filled": "2", "cancelled": "4", "unknown": "8"}


@dataclass
class Report:
    """One message on its way: to whom, of what type, with what."""

    account: str
    kind: str
    fields: list[Field]
    changes: dict[int, str] = field(default_factory=dict)

    def get(self, tag: int) -> str:
        return {**dict(self.fields), **self.changes}.get(tag, "")

    @property
    def is_fill(self) -> bool:
        return self.get(150) == "F"


Twist = Callable[[list[Report]], list[Report]]
"""What becomes of the reports that one command causes."""


@dataclass
class Order:
    account: str
    side: str
    sym: str
    qty: int
    cum: int
    id: str


class Server:
    """Listens from the start; `close` ends every thread."""

    def __init__(
        self, twist: Twist = lambda reports: reports, logon: Callable[[str], bool] = lambda sender: True
    ) -> None:
        self.twist, self.admits = twist, logon
        self.model = ModelEngine(SYMBOLS, emit_top=False)
        self.orders: dict[str, Order] = {}
        self.executions = itertools.count(1)
        self.sessions: dict[str, Session] = {}
        self.lock = threading.Lock()
        self.raw: Callable[[str, bytes], bytes] = lambda account, data: data
        """The last word on the bytes of a report."""
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        self.threads: list[threading.Thread] = []
        self.sockets: list[socket.socket] = []
        self._run(self._accept)

    def _run(self, target: Callable[[], None]) -> None:
        thread = threading.Thread(target=target, daemon=True)
        self.threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                self.sockets.append(connection)
                session = Session(self, connection)
                self._run(session.serve)

    def close(self) -> None:
        for one in (self.listener, *self.sockets):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        for thread in self.threads:
            thread.join(10)

    def decide(self, account: str, m: FixMessage) -> None:
        with self.lock:
            command = self._command(account, m)
            reports = [r for event in self.model.submit(command) for r in self._reports(account, command, m, event)]
            for report in self.twist(reports):
                session = self.sessions.get(report.account)
                if session is not None:
                    session.send(report)

    def _command(self, account: str, m: FixMessage) -> Command:
        cl, orig, sym = m.need(11), m.get(41, ""), m.get(55)
        if m.type == "D":
            side, kind = {"1": "buy", "2": "sell"}[m.need(54)], {"1": "market", "2": "limit"}[m.need(40)]
            px = None if m.get(44) is None else _ticks(m.need(44))
            tif = {"0": "day", "3": "ioc"}[m.get(59, "0") or "0"]
            self._last = Order(account, m.need(54), sym or "", int(m.need(38)), 0, "")
            return New(cl, account, sym or "", side, kind, int(m.need(38)), px, tif)
        if m.type == "F":
            return Cancel(cl, orig or "", account, sym or "")
        if m.type == "G":
            return Replace(cl, orig or "", account, sym or "", _ticks(m.need(44)), int(m.need(38)))
        if m.type == "q":
            return MassCancel(cl, account, None if m.get(530) == "7" else sym)
        return Status(cl, cl, account, sym or "")

    def _reports(self, account: str, c: Command, m: FixMessage, e: object) -> list[Report]:
        if isinstance(e, Accepted):
            self.orders[e.cl] = order = Order(
                self._last.account, self._last.side, self._last.sym, self._last.qty, 0, e.id
            )
            return [self._execution(order, e.cl, "0", "0")]
        if isinstance(e, Trade):
            out = []
            for cl in (e.incoming, e.resting):
                order = self.orders[cl]
                order.cum += e.qty
                status = "2" if order.cum == order.qty else "1"
                last: list[Field] = [(31, _price(e.px)), (32, str(e.qty))]
                out.append(self._execution(order, cl, "F", status, last))
            return out
        if isinstance(e, Cancelled):
            order = self.orders[e.cl]
            asked = isinstance(c, Cancel)
            report = self._execution(order, c.cl if asked else e.cl, "4", "4", [(41, e.cl)] if asked else [])
            return [Report(report.account, "8", report.fields, {151: "0"})]
        if isinstance(e, Replaced):
            old = self.orders[e.orig]
            self.orders[e.cl] = new = Order(old.account, old.side, old.sym, e.leaves + e.cum, e.cum, old.id)
            return [self._execution(new, e.cl, "5", "1" if e.cum else "0", [(41, e.orig), (44, _price(e.px))])]
        if isinstance(e, Rejected):
            refused = Order(account, m.get(54, "1") or "1", m.get(55, "") or "", 0, 0, "NONE")
            return [self._execution(refused, e.cl, "8", "8", [(58, e.reason)])]
        if isinstance(e, CancelRejected):
            return [Report(account, "9", [(37, "NONE"), (11, e.cl), (39, "8"), (434, "1"), (58, e.reason)])]
        if isinstance(e, MassCancelled):
            return [Report(account, "r", [(37, "NONE"), (11, e.cl), (530, "7"), (531, "7"), (533, str(e.count))])]
        assert isinstance(e, StatusReport)
        fields: list[Field] = [(37, "NONE"), (11, e.orig), (17, str(next(self.executions))), (150, "I")]
        return [Report(account, "8", [*fields, (39, STATES[e.state]), (151, str(e.leaves)), (14, str(e.cum))])]

    def _execution(self, o: Order, cl: str, kind: str, status: str, more: list[Field] | None = None) -> Report:
        fields: list[Field] = [(37, o.id), (11, cl), (17, str(next(self.executions))), (150, kind), (39, status)]
        fields += [(55, o.sym), (54, o.side), (38, str(o.qty)), (151, str(o.qty - o.cum)), (14, str(o.cum))]
        return Report(o.account, "8", [*fields, (6, "0"), *(more or []), (60, utc())])


class Session:
    """One connection: logon, numbers, and what comes behind."""

    def __init__(self, server: Server, connection: socket.socket) -> None:
        self.server, self.connection = server, connection
        self.sender = self.account = ""
        self.out = itertools.count(1)

    def serve(self) -> None:
        reader = Reader("FIX.4.4")
        with suppress(OSError):
            while data := self.connection.recv(65536):
                for m in reader.feed(data):
                    if not self._take(m):
                        self.connection.shutdown(socket.SHUT_RDWR)
                        return

    def _take(self, m: FixMessage) -> bool:
        if m.type == "A":
            self.sender = m.need(49)
            self.account = self.sender.partition("-")[0]
            if not self.server.admits(self.sender):
                self.send(Report(self.account, "5", [(58, "no such trader")]))
                return False
            self.server.sessions[self.account] = self
            self.send(Report(self.account, "A", [(98, "0"), (108, m.need(108))]))
        elif m.type in "DFGHq":
            self.server.decide(self.account, m)
        return True

    def send(self, report: Report) -> None:
        header: list[Field] = [(34, str(next(self.out))), (49, "VENUE"), (56, self.sender), (52, utc())]
        fields = [(tag, report.changes.get(tag, value)) for tag, value in report.fields]
        data = encode("FIX.4.4", report.kind, header, fields)
        with suppress(OSError):
            self.connection.sendall(self.server.raw(self.account, data))


def _ticks(price: str) -> int:
    return Instrument("", Decimal("0.01")).ticks(price)


def _price(ticks: int) -> str:
    return Instrument("", Decimal("0.01"), 1, 2).price(ticks)
