"""Sessions' FIX streams as the checks of reports read them: requests and reports as values, in the order of their numbers.

Prices and quantities are Decimals here, as they stood on the wire: whether they are whole ticks and lots is for a check to say.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from matchmark.conformance.fix.message import FixMessage, Line

BUY, SELL = "1", "2"
MARKET, LIMIT = "1", "2"
IOC = "3"
OPEN = frozenset("016AE")
"""OrdStatus of an order that can still trade; the last three: something about it is pending."""
REQUESTS = frozenset("DFGHq")
KNOWN = frozenset("04568AEFI")
"""ExecTypes whose quantities follow from the reports before."""
UNKNOWN = "NONE"

_NUMBER = re.compile(r"-?\d{1,40}(\.\d{0,40})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Said:
    """A line of a stream with its place. `at_ns` never falls within a stream."""

    session: str
    index: int
    at_ns: int
    sent: bool
    message: FixMessage


class Numbered:
    """One session's lines. Received ones come out in the order of their MsgSeqNum, each number once: what was missed and
    is resent takes the place that it had. Lives as long as the session, across calls."""

    def __init__(self, session: str) -> None:
        self.session = session
        self._expected: int | None = None
        self._held: dict[int, Said] = {}
        self._at_ns = 0

    def read(self, lines: Iterable[Line]) -> Iterator[Said]:
        for index, (sent, message) in enumerate(lines):
            self._at_ns = max(self._at_ns, message.at_ns)
            said = Said(self.session, index, self._at_ns, sent, message)
            if sent:
                yield said
            else:
                yield from self._received(said)

    def rest(self) -> Iterator[Said]:
        """What came behind a gap that nothing filled."""
        for _, said in sorted(self._held.items()):
            yield said
        if self._held:
            self._expected = max(self._held) + 1
        self._held.clear()

    def _received(self, said: Said) -> Iterator[Said]:
        message, seq = said.message, said.message.seq
        if message.type == "A" and message.get(141) == "Y":
            yield from self.rest()
            self._expected = None
        if message.type == "4" and message.get(123) != "Y":
            yield from self.rest()
            self._expected = _count(message.get(36))
            return
        expected = seq if self._expected is None else self._expected
        if seq > expected:
            self._held.setdefault(seq, said)
            return
        if seq < expected:
            return  # it was read before
        yield from self._next(said)
        while self._expected in self._held:
            held = self._held.pop(self._expected)
            yield from self._next(Said(held.session, held.index, self._at_ns, False, held.message))

    def _next(self, said: Said) -> Iterator[Said]:
        message, after = said.message, said.message.seq + 1
        if message.type == "4":
            after = max(after, _count(message.get(36)) or 0)
            for seq in [n for n in self._held if n < after]:
                del self._held[seq]
        else:
            yield said
        self._expected = after


def _count(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdigit() else None


def merged(readers: Mapping[str, Numbered], streams: Mapping[str, Sequence[Line]], end: bool) -> Iterator[Said]:
    """All sessions' lines by time; a session's own order is kept."""

    def of(session: str) -> Iterator[Said]:
        yield from readers[session].read(streams[session])
        if end:
            yield from readers[session].rest()

    return heapq.merge(*(of(session) for session in streams), key=lambda said: said.at_ns)


# --- what the messages say ---


def decimal(text: str | None) -> Decimal | None:
    """A FIX number; None when it is absent or none."""
    return Decimal(text) if text is not None and _NUMBER.fullmatch(text) else None


@dataclass(slots=True, eq=False)
class Request:
    """A business message that a client sent. `answered` is how, once it is."""

    said: Said
    account: str
    n: int
    """Counts the requests of its session."""
    kind: str
    cl: str
    orig: str
    symbol: str
    side: str
    type: str
    tif: str
    qty: Decimal | None
    price: Decimal | None
    again: bool
    """Marked as a possible duplicate or resend: it need not be answered."""
    answered: str | None = None

    @property
    def name(self) -> str:
        return f"{NAMES[self.kind]} {self.cl}"


NAMES = {
    "D": "NewOrderSingle",
    "F": "OrderCancelRequest",
    "G": "OrderCancelReplaceRequest",
    "H": "OrderStatusRequest",
    "q": "OrderMassCancelRequest",
}


def request_of(said: Said, account: str, n: int) -> Request:
    m = said.message
    cl = m.get(11, "") or ""
    return Request(
        said,
        account,
        n,
        m.type,
        cl,
        m.get(41) or (cl if m.type == "H" else ""),
        m.get(55, "") or "",
        m.get(54, "") or "",
        m.get(40) or LIMIT,
        m.get(59) or "0",
        decimal(m.get(38)),
        decimal(m.get(44)),
        m.poss_dup or m.get(97) == "Y",
    )


@dataclass(slots=True, eq=False)
class Report:
    """An ExecutionReport that a client received. `faults` are fields that are missing or no numbers; they read as 0."""

    said: Said
    account: str
    exec_type: str
    status: str
    cl: str
    orig: str | None
    order_id: str
    exec_id: str
    symbol: str | None
    side: str | None
    qty: Decimal | None
    leaves: Decimal
    cum: Decimal
    average: Decimal
    last_qty: Decimal
    last_px: Decimal
    faults: list[str] = field(default_factory=list)

    @property
    def is_trade(self) -> bool:
        return self.exec_type == "F"


_LABELS = {
    6: "AvgPx", 14: "CumQty", 17: "ExecID", 31: "LastPx", 32: "LastQty", 37: "OrderID", 38: "OrderQty", 39: "OrdStatus",
    150: "ExecType", 151: "LeavesQty",
}  # fmt: skip


def report_of(said: Said, account: str) -> Report:
    m, faults = said.message, list[str]()
    zero = Decimal(0)

    def text(tag: int) -> str:
        value = m.get(tag)
        if not value:
            faults.append(f"{_LABELS[tag]}({tag}) is missing")
        return value or ""

    def number(tag: int, needed: bool) -> Decimal | None:
        value = m.get(tag)
        found = decimal(value)
        if found is None and value is not None:
            faults.append(f"{_LABELS[tag]}({tag}) is {value!r}, which is no number")
        elif found is None and needed:
            faults.append(f"{_LABELS[tag]}({tag}) is missing")
        return found

    exec_type = text(150)
    trade = exec_type == "F"
    return Report(
        said,
        account,
        exec_type,
        text(39),
        m.get(11, "") or "",
        m.get(41),
        text(37),
        text(17),
        m.get(55),
        m.get(54),
        number(38, False),
        number(151, True) or zero,
        number(14, True) or zero,
        number(6, True) or zero,
        number(32, trade) or zero,
        number(31, trade) or zero,
        faults,
    )


def words(message: FixMessage, *tags: int) -> str:
    """Fields of a message as `tag=value`, those that it has, all without `tags`."""
    chosen = tags or tuple(tag for tag, _ in message.pairs if tag not in (8, 9, 10, 34, 49, 52, 56))
    return "|".join(f"{tag}={value}" for tag, value in message.pairs if tag in chosen)
