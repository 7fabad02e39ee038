"""What the clients of an exchange know: each request as it was sent, and every report about it, out of the sessions' FIX streams.

It is kept outside the exchange and believes nothing but what was on the wire. A request without a report is unknown: it may have
been executed or not, and only the audit log can say. A report that came again (PossDupFlag, the same number) is one report.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

REQUESTS = {"D": "new", "F": "cancel", "G": "replace", "H": "status", "q": "mass_cancel"}
ACCEPTED, CANCELLED, REPLACED, REJECTED, STATUS, TRADE = "0", "4", "5", "8", "I", "F"
"""ExecType (150)."""


class Message(Protocol):
    """A FIX message as conformance.fix has it."""

    @property
    def at_ns(self) -> int: ...
    @property
    def pairs(self) -> Sequence[tuple[int, str]]: ...


class Line(Protocol):
    @property
    def sent(self) -> bool: ...
    @property
    def message(self) -> Message: ...


@dataclass(frozen=True)
class Conversation:
    """One connection: its lines in order, of that SenderCompID and account."""

    sender: str
    account: str
    lines: Sequence[Line]


@dataclass(frozen=True, slots=True)
class Request:
    """`number` counts the requests of all connections in the order in which they were given; `at_ns` is when it was sent."""

    number: int
    connection: int
    sender: str
    account: str
    what: str
    cl: str
    orig: str
    symbol: str
    side: str
    type: str
    tif: str
    price: str
    quantity: str
    at_ns: int


@dataclass(frozen=True, slots=True)
class Report:
    """An ExecutionReport or OrderCancelReject as it came in. `number` is its MsgSeqNum."""

    sender: str
    era: int
    """How often the session's numbers had begun anew."""
    number: int
    refusal: bool
    """OrderCancelReject."""
    exec_type: str
    exec_id: str
    order_id: str
    cl: str
    orig: str
    last_quantity: str
    last_price: str
    leaves: str
    cum: str
    text: str
    reason: str
    at_ns: int


@dataclass
class Entry:
    """One ClOrdID."""

    request: Request
    reports: list[Report] = field(default_factory=list)

    def of(self, *exec_types: str) -> list[Report]:
        return [r for r in self.reports if not r.refusal and r.exec_type in exec_types]

    @property
    def fills(self) -> list[Report]:
        return self.of(TRADE)

    @property
    def refused(self) -> bool:
        return any(r.refusal and r.cl == self.request.cl for r in self.reports) or bool(self.of(REJECTED))

    @property
    def acknowledged(self) -> bool:
        """The exchange has said that it took the request (for a cancel: that it did it, or would not)."""
        if self.request.what == "new":
            return bool(self.of(ACCEPTED, TRADE, CANCELLED, REPLACED))
        return any(r.refusal or r.exec_type in (CANCELLED, REPLACED) for r in self.reports)

    @property
    def unknown(self) -> bool:
        return not self.reports

    @property
    def acknowledged_ns(self) -> int:
        """When its first report came in."""
        return min(r.at_ns for r in self.reports)


class Ledger:
    """`entries` by ClOrdID, in the order in which the requests were sent. A ClOrdID sent again is in `again`.

    `reports` are all reports by SenderCompID, in order of their numbers, each once; `twice` are those whose number came again
    with another content. Numbers begin anew where a client asked for it (ResetSeqNumFlag).

    An exchange that has lost its memory may tell an execution again under another number, if it says so (PossResend) and says the
    same: that is the report of before.
    """

    def __init__(self, conversations: Iterable[Conversation] = ()) -> None:
        self.entries: dict[str, Entry] = {}
        self.again: list[Request] = []
        self.reports: dict[str, list[Report]] = defaultdict(list)
        self.twice: list[tuple[Report, Report]] = []
        self.senders: dict[str, str] = {}
        """Account of each SenderCompID."""
        self._by_number: dict[tuple[str, int, int], Report] = {}
        self._by_execution: dict[tuple[str, str], Report] = {}
        self._eras: dict[str, int] = defaultdict(int)
        self._count = 0
        for connection, conversation in enumerate(conversations):
            self._add(connection, conversation)
        for sender in self.reports:
            self.reports[sender].sort(key=lambda r: (r.era, r.number))
        for report in sorted(self._by_number.values(), key=lambda r: (r.sender, r.era, r.number)):
            for cl in {report.cl, report.orig} - {""}:
                if cl in self.entries:
                    self.entries[cl].reports.append(report)

    def _add(self, connection: int, c: Conversation) -> None:
        self.senders[c.sender] = c.account
        for line in c.lines:
            fields = dict(reversed(line.message.pairs))
            kind = fields.get(35, "")
            if line.sent and kind == "A" and fields.get(141) == "Y":
                self._eras[c.sender] += 1
            elif line.sent and kind in REQUESTS:
                self._sent(connection, c, REQUESTS[kind], fields, line.message.at_ns)
            elif not line.sent and kind in ("8", "9"):
                self._came(c, kind, fields, line.message.at_ns)

    def _sent(self, connection: int, c: Conversation, what: str, fields: dict[int, str], at_ns: int) -> None:
        self._count += 1
        cl, orig, symbol, side, kind, tif, price, quantity = (
            fields.get(t, "") for t in (11, 41, 55, 54, 40, 59, 44, 38)
        )
        request = Request(
            self._count,
            connection,
            c.sender,
            c.account,
            what,
            cl,
            orig,
            symbol,
            side,
            kind,
            tif,
            price,
            quantity,
            at_ns,
        )
        if what == "status":
            return  # it asks, under the order's own ClOrdID
        if request.cl in self.entries:
            self.again.append(request)
        else:
            self.entries[request.cl] = Entry(request)

    def _came(self, c: Conversation, kind: str, fields: dict[int, str], at_ns: int) -> None:
        exec_type, exec_id, order_id, cl, orig, quantity, price, leaves, cum, text = (
            fields.get(tag, "") for tag in (150, 17, 37, 11, 41, 32, 31, 151, 14, 58)
        )
        key = c.sender, self._eras[c.sender], int(fields.get(34, "0"))
        report = Report(
            *key, kind == "9", exec_type, exec_id, order_id, cl, orig, quantity, price, leaves, cum, text,
            fields.get(103) or fields.get(102) or "", at_ns,
        )  # fmt: skip
        before, told = self._by_number.get(key), self._by_execution.get((c.sender, exec_id))
        if before is None and fields.get(97) == "Y" and exec_id and told is not None and _said(told) == _said(report):
            return
        if before is None:
            self._by_number[key] = report
            self._by_execution.setdefault((c.sender, exec_id), report)
            self.reports[c.sender].append(report)
        elif _said(before) != _said(report):
            self.twice.append((before, report))

    # --- views ---

    def of(self, what: str) -> list[Entry]:
        return [e for e in self.entries.values() if e.request.what == what]

    @property
    def acknowledged(self) -> dict[str, Entry]:
        """Orders that the exchange has said it took."""
        return {cl: e for cl, e in self.entries.items() if e.request.what == "new" and e.acknowledged}

    @property
    def attempted(self) -> dict[str, Entry]:
        return {cl: e for cl, e in self.entries.items() if e.request.what == "new"}

    @property
    def refused(self) -> dict[str, Entry]:
        return {cl: e for cl, e in self.entries.items() if e.refused}

    @property
    def unknown(self) -> dict[str, Entry]:
        return {cl: e for cl, e in self.entries.items() if e.unknown}

    def fills(self) -> Iterator[tuple[Entry, Report]]:
        for entry in self.attempted.values():
            for report in entry.fills:
                if report.cl == entry.request.cl:
                    yield entry, report


def _said(r: Report) -> tuple[object, ...]:
    return (r.refusal, r.exec_type, r.exec_id, r.order_id, r.cl, r.last_quantity, r.last_price, r.leaves, r.cum)
