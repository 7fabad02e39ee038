"""Made-up FIX streams: what a sound exchange says to sessions, by the model book, to be bent by tests one field at a time."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal

from matchmark.conformance.fix.business import SIDES, Instrument
from matchmark.conformance.fix.message import Field, FixMessage, Line
from matchmark.conformance.fix.wire import assemble
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
    State,
    Status,
    StatusReport,
    Trade,
)
from matchmark.reference.model import ModelEngine

SYMBOLS = ("S0", "S1")
INSTRUMENTS = {name: Instrument(name, Decimal("0.01"), 1, 2) for name in SYMBOLS}
DECIMALS = 6
_STATUS = {State.NEW: "0", State.PARTIALLY_FILLED: "1", State.FILLED: "2", State.CANCELLED: "4", State.UNKNOWN: "8"}


def message(msg_type: str, sender: str, target: str, seq: int, fields: list[Field], at_ns: int) -> FixMessage:
    header: list[Field] = [(49, sender), (56, target), (34, str(seq)), (52, "20260102-03:04:05.678")]
    made = assemble("FIX.4.4", msg_type, header, fields)
    return FixMessage(made.pairs, made.raw, at_ns)


@dataclass
class _Order:
    session: str
    new: New
    id: str
    cl: str
    qty: int
    px: int | None
    cum: int = 0
    value: int = 0
    status: str = "0"


@dataclass
class Sound:
    """A sound exchange with as many sessions as talk to it, one account each. `streams` is what they said and heard."""

    streams: dict[str, list[Line]] = field(default_factory=dict)
    shared_exec_ids: bool = False
    """Both sides of a trade have the same ExecID."""

    def __post_init__(self) -> None:
        self.model = ModelEngine(SYMBOLS, emit_top=False)
        self.orders: dict[str, _Order] = {}
        self._seq: dict[tuple[str, bool], int] = {}
        self._ids = itertools.count(1)
        self._clock = itertools.count(1_000, 1_000)
        self.names: dict[str, tuple[str, str]] = {}

    # --- saying ---

    def _line(self, session: str, sent: bool, msg_type: str, fields: list[Field]) -> None:
        seq = self._seq[session, sent] = self._seq.get((session, sent), 0) + 1
        parties = (session, "EX") if sent else ("EX", session)
        made = message(msg_type, *parties, seq, fields, next(self._clock))
        self.streams.setdefault(session, []).append(Line(sent, made))

    def send(self, session: str, command: Command, **more: str) -> None:
        """Sends it, and has it answered to all whom it concerns."""
        kind, fields = self._asked(command)
        self._line(session, True, kind, fields)
        for event in self.model.submit(command):
            self._tell(session, command, event)

    # --- answering ---

    def _tell(self, session: str, command: Command, event: object) -> None:
        match event:
            case Accepted(cl, ident):
                assert isinstance(command, New)
                self.orders[cl] = _Order(session, command, f"ID{ident}", cl, command.qty, command.px)
                self._report(self.orders[cl], "0", "0", command.qty)
            case Rejected(cl, reason):
                assert isinstance(command, New)
                nobody = _Order(session, command, "NONE", cl, command.qty, command.px)
                self._report(nobody, "8", "8", 0, extra=[(103, "99"), (58, reason)])
            case Trade():
                self._trade(event)
            case Cancelled(cl, _, cum):
                order = self.orders[cl]
                order.status = "4"
                asked = isinstance(command, Cancel)
                self._report(
                    order, "4", "4", 0, cl=command.cl if isinstance(command, Cancel) else cl, orig=cl if asked else None
                )
            case Replaced(cl, orig, px, leaves, cum):
                order = self.orders[cl] = self.orders[orig]
                order.cl, order.qty, order.px = cl, leaves + cum, px
                order.status = "1" if cum else "0"
                self._report(order, "5", order.status, leaves, orig=orig)
            case CancelRejected(cl, reason) if isinstance(command, MassCancel):
                self._line(session, False, "r", [(37, "1"), (11, cl), (530, "1"), (531, "0"), (58, reason)])
            case CancelRejected(cl, reason):
                assert isinstance(command, Cancel | Replace)
                self._cannot(session, command, reason)
            case MassCancelled(cl, count):
                self._line(
                    session,
                    False,
                    "r",
                    [
                        (37, f"M{next(self._ids)}"),
                        (11, cl),
                        *_scope(command),
                        (531, _scope(command)[0][1]),
                        (533, str(count)),
                    ],
                )
            case StatusReport(_, orig, state, leaves, cum):
                assert isinstance(command, Status)
                self._status(session, command, _STATUS[State(state)], leaves, cum)

    def _trade(self, t: Trade) -> None:
        shared = str(next(self._ids))
        for cl in (t.resting, t.incoming):
            order = self.orders[cl]
            order.cum += t.qty
            order.value += t.px * t.qty
            order.status = "2" if order.cum == order.qty else "1"
            ident = f"T{shared}" if self.shared_exec_ids else None
            px = INSTRUMENTS[t.sym].price(t.px)
            self._report(
                order, "F", order.status, order.qty - order.cum, ident=ident, extra=[(32, str(t.qty)), (31, px)]
            )

    def _cannot(self, session: str, command: Cancel | Replace, reason: str) -> None:
        order = self.orders.get(command.orig)
        mine = order is not None and order.session == session and order.new.sym == command.sym
        fields: list[Field] = [(37, order.id if order and mine else "NONE"), (11, command.cl), (41, command.orig)]
        fields += [(39, order.status if order and mine else "8"), (434, "1" if isinstance(command, Cancel) else "2")]
        self._line(session, False, "9", [*fields, (102, "1"), (58, reason)])

    def _status(self, session: str, command: Status, status: str, leaves: int, cum: int) -> None:
        order = self.orders.get(command.orig)
        if status == "8" or order is None:
            fields: list[Field] = [
                (37, "NONE"),
                (11, command.orig),
                (17, "0"),
                (150, "I"),
                (39, "8"),
                (55, command.sym),
            ]
            self._line(session, False, "8", [*fields, (54, "1"), (151, "0"), (14, "0"), (6, "0")])
            return
        self._report(order, "I", status, leaves, cl=command.orig, ident="0", cum=cum)

    def _report(
        self,
        order: _Order,
        exec_type: str,
        status: str,
        leaves: int,
        *,
        cl: str | None = None,
        orig: str | None = None,
        ident: str | None = None,
        cum: int | None = None,
        extra: list[Field] | None = None,
    ) -> None:
        price = (
            []
            if order.px is None
            else [(44, INSTRUMENTS[order.new.sym].price(order.px))]
            if order.new.sym in INSTRUMENTS
            else []
        )
        average = Decimal(order.value) / order.cum / 100 if order.cum else Decimal(0)
        fields: list[Field] = [
            (37, order.id),
            (11, cl or order.cl),
            *([(41, orig)] if orig else []),
            (17, ident or f"E{next(self._ids)}"),
            (150, exec_type),
            (39, status),
            (1, order.session),
            (55, order.new.sym),
            (54, SIDES[order.new.side]),  # type: ignore[index]
            (38, str(order.qty)),
            (40, "2" if order.new.type == "limit" else "1"),
            (59, "3" if order.new.tif == "ioc" else "0"),
            *price,
            *(extra or []),
            (151, str(leaves)),
            (14, str(order.cum if cum is None else cum)),
            (6, f"{average:.{DECIMALS}f}"),
        ]
        self._line(order.session, False, "8", fields)

    def _asked(self, command: Command) -> tuple[str, list[Field]]:
        price = INSTRUMENTS["S0"].price
        named = self.orders.get(getattr(command, "orig", ""))
        side = "2" if named is not None and named.new.side == "sell" else "1"
        match command:
            case New():
                fields: list[Field] = [
                    (11, command.cl),
                    (55, command.sym),
                    (54, SIDES[command.side]),
                    (38, str(command.qty)),
                ]  # type: ignore[index]
                fields += [(40, "1")] if command.px is None else [(40, "2"), (44, price(command.px))]
                return "D", [*fields, (59, "3" if command.tif == "ioc" else "0")]
            case Cancel():
                return "F", [(11, command.cl), (41, command.orig), (55, command.sym), (54, side)]
            case Replace():
                assert command.new_qty is not None and command.new_px is not None
                change: list[Field] = [(38, str(command.new_qty)), (44, price(command.new_px))]
                return "G", [(11, command.cl), (41, command.orig), (55, command.sym), (54, side), *change]
            case Status():
                return "H", [(11, command.orig), (55, command.sym), (54, side)]
            case MassCancel():
                return "q", [(11, command.cl), *_scope(command)]
        raise AssertionError(command)

    # --- asking, in short ---

    def new(
        self, session: str, cl: str, side: str, qty: int, px: int | None = None, tif: str = "day", sym: str = "S0"
    ) -> None:
        kind = "market" if px is None else "limit"
        self.send(session, New(cl, session, sym, side, kind, qty, px, tif))

    def cancel(self, session: str, cl: str, orig: str, sym: str = "S0") -> None:
        self.send(session, Cancel(cl, orig, session, sym))

    def replace(self, session: str, cl: str, orig: str, qty: int, px: int, sym: str = "S0") -> None:
        self.send(session, Replace(cl, orig, session, sym, px, qty))

    def status(self, session: str, orig: str, sym: str = "S0") -> None:
        self.send(session, Status(orig, orig, session, sym))

    def mass_cancel(self, session: str, cl: str) -> None:
        self.send(session, MassCancel(cl, session))


def _scope(command: Command) -> list[Field]:
    sym = command.sym if isinstance(command, MassCancel) else None
    return [(530, "7")] if sym is None else [(530, "1"), (55, sym)]


# --- bending ---

Bend = Callable[[list[Line]], list[Line]]


def rewritten(line: Line, changes: dict[int, str | None]) -> Line:
    """The line with fields set, added (before the CheckSum), or with None left out."""
    m = line.message
    pairs = [(tag, changes.get(tag, value)) for tag, value in m.pairs]
    pairs[-1:-1] = [(tag, value) for tag, value in changes.items() if all(tag != t for t, _ in m.pairs)]
    kept = tuple((tag, value) for tag, value in pairs if value is not None)
    raw = "".join(f"{tag}={value}\x01" for tag, value in kept).encode()
    return Line(line.sent, FixMessage(kept, raw, m.at_ns))


def find(stream: list[Line], n: int = 0, **wanted: str) -> int:
    """Position of the n-th received line with these fields (t150="F")."""
    tags = {int(name[1:]): value for name, value in wanted.items()}
    hits = [i for i, x in enumerate(stream) if not x.sent and all(x.message.get(t) == v for t, v in tags.items())]
    return hits[n]
