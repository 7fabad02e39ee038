"""What is known of sessions' FIX streams while they are read, the moments in them, and the rules that look at those.

Nothing here judges.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Protocol

from matchmark.conformance.checks.finding import Finding
from matchmark.conformance.checks.reports_order import Order
from matchmark.conformance.checks.reports_read import (
    KNOWN,
    REQUESTS,
    Numbered,
    Report,
    Request,
    Said,
    merged,
    report_of,
    request_of,
    words,
)
from matchmark.conformance.fix.message import FixMessage, Line

Rule = Callable[[Any], Iterable[Finding]]

STREAM_RULES: dict[str, tuple[str, ...]] = {}
"""Name of each rule, `module.function`, to the clauses that it can report."""
_BY_MOMENT: dict[type, list[tuple[str, Rule]]] = {}


def stream_rule(*clauses: str, on: type) -> Callable[[Rule], Rule]:
    """Declares a rule that is shown each moment of that kind. `clauses` is every clause id that it can ever report."""

    def declare(function: Rule) -> Rule:
        name = f"{function.__module__.rpartition('.')[2]}.{function.__name__}"
        STREAM_RULES[name] = clauses
        _BY_MOMENT.setdefault(on, []).append((name, function))
        return function

    return declare


class Traded(Protocol):
    """An instrument."""

    @property
    def symbol(self) -> str: ...
    @property
    def tick_size(self) -> Decimal: ...
    @property
    def lot_size(self) -> int: ...


@dataclass(frozen=True)
class Market:
    """What the checks must know about the exchange. `accounts`: session to account; a session that is not there is its own."""

    instruments: Mapping[str, Traded] = field(default_factory=dict)
    accounts: Mapping[str, str] = field(default_factory=dict)
    average_decimals: int = 2
    """AvgPx is exact to so many decimals (profile)."""


# --- moments that rules look at ---


@dataclass(slots=True)
class ReportSeen:
    """An ExecutionReport, just before it is taken into account. `order` is the one that it is about, None when there is none;
    `request` is the one that it answers, if any."""

    seen: Streams
    report: Report
    order: Order | None
    request: Request | None

    @property
    def counts(self) -> bool:
        """Whether its quantities follow from the reports before. What is told of an order under a name that is over need not."""
        r, order = self.report, self.order
        old = r.exec_type == "I" and order is not None and r.cl != order.cl
        return not r.faults and r.exec_type in KNOWN and not old

    def breaks(self, clause: str, message: str, *expected: str) -> Finding:
        return finding(self.report.said, clause, message, expected)


@dataclass(slots=True)
class RefusalSeen:
    """An OrderCancelReject. `order` is the account's own order that the request named."""

    seen: Streams
    said: Said
    account: str
    request: Request | None
    order: Order | None

    def breaks(self, clause: str, message: str, *expected: str) -> Finding:
        return finding(self.said, clause, message, expected)


@dataclass(slots=True)
class MassCancelSeen:
    """An OrderMassCancelReport. `request` waits for it; None when none does."""

    seen: Streams
    said: Said
    account: str
    request: Request | None

    def breaks(self, clause: str, message: str, *expected: str) -> Finding:
        return finding(self.said, clause, message, expected)


@dataclass(slots=True)
class StreamsEnd:
    """Everything has been said, and every report has come."""

    seen: Streams


def finding(said: Said, clause: str, message: str, expected: Sequence[str] = ()) -> Finding:
    return Finding(clause, said.index, message, tuple(expected), (words(said.message),), said.session)


# --- the whole of what was said ---


@dataclass(slots=True)
class AccountSeen:
    orders: dict[str, Order] = field(default_factory=dict)
    """By each ClOrdID that they were accepted under."""
    requests: dict[str, list[Request]] = field(default_factory=dict)
    asked: dict[str, list[Request]] = field(default_factory=dict)
    """Cancels and replaces by OrigClOrdID."""
    mass: list[Request] = field(default_factory=list)


_ANSWERS = {"D": "08I", "F": "4", "G": "5", "H": "I", "q": ""}
"""ExecTypes that answer a request; a pending one does not."""


class Streams:
    """All that sessions said and were told so far. Kept from test to test it knows the orders of earlier ones."""

    def __init__(self, market: Market) -> None:
        self.market = market
        self.accounts: dict[str, AccountSeen] = {}
        self.orders: list[Order] = []
        """The open ones, and those that ended since everything was last complete."""
        self.fills: list[tuple[Order, Report]] = []
        """Since everything was last complete."""
        self.waiting: list[Request] = []
        """Those that may be unanswered."""
        self.by_id: dict[str, Order] = {}
        self.executions: dict[str, list[Report]] = {}
        self.decided: dict[str, int] = {}
        """Of each session the number of the latest request that the engine answered."""
        self._logons: dict[str, int] = {}
        self._sessions: dict[str, set[str]] = {}
        self._readers: dict[str, Numbered] = {}
        self._by_seq: dict[tuple[str, int], Request] = {}
        self._counts: dict[str, int] = {}

    def account_of(self, session: str) -> str:
        return self.market.accounts.get(session, session)

    def sessions_of(self, account: str) -> set[str]:
        return self._sessions.get(account, set())

    def account(self, name: str) -> AccountSeen:
        return self.accounts.setdefault(name, AccountSeen())

    def check(self, streams: Mapping[str, Sequence[Line]], complete: bool = True) -> Iterator[tuple[str, Finding]]:
        """Reads on; yields what is wrong, with the name of the rule. `complete`: nothing is on its way any more."""
        for session in streams:
            self._readers.setdefault(session, Numbered(session))
        for said in self._in_turn(merged(self._readers, streams, complete)):
            yield from self._take(said)
        if complete:
            yield from _shown(StreamsEnd(self))
            self.orders = [order for order in self.orders if order.is_open]
            self.fills.clear()
            self.waiting.clear()

    def pending(self, account: str, cl: str, kinds: str) -> Request | None:
        """The oldest request of that name and kind that nothing has answered."""
        for request in self.account(account).requests.get(cl, ()):
            if request.kind in kinds and request.answered is None:
                return request
        return None

    def asked(self, order: Order) -> list[Request]:
        """Cancels and replaces of the order that nothing has answered."""
        asked = self.account(order.account).asked
        return [r for name in order.names for r in asked.get(name, ()) if r.answered is None]

    def left(self, order: Order) -> bool:
        """Its session was away since it was sent: whether it asked for its orders to be cancelled then, is not known here."""
        return self._logons.get(order.session, 0) > order.request.said.at_ns

    def _in_turn(self, lines: Iterable[Said]) -> Iterator[Said]:
        """Reports about one order may come to several sessions of its account; which of them was first, only they can tell."""
        held: dict[str, deque[Said]] = {}
        for said in lines:
            self._sessions.setdefault(self.account_of(said.session), set()).add(said.session)
            if said.session in held or self._too_early(said):
                held.setdefault(said.session, deque()).append(said)
                continue
            yield said
            for session, waiting in list(held.items()):
                while waiting and not self._too_early(waiting[0]):
                    yield waiting.popleft()
                if not waiting:
                    del held[session]
        yield from sorted((said for waiting in held.values() for said in waiting), key=lambda said: said.at_ns)

    def _too_early(self, said: Said) -> bool:
        account = self.account_of(said.session)
        if said.sent or said.message.type != "8" or len(self._sessions.get(account, ())) < 2:
            return False
        r = report_of(said, account)
        _, order = self._meant(r)
        before = order.cum if order is not None and order.acknowledged else None
        if r.is_trade:
            return before is None or r.cum - r.last_qty > before
        return before is not None and r.cum > before

    # --- one line ---

    def _take(self, said: Said) -> Iterator[tuple[str, Finding]]:
        m = said.message
        if said.sent:
            if m.type in REQUESTS:
                self._sent(said)
            elif m.type == "A":
                self._logons[said.session] = said.at_ns
        elif m.type == "8":
            yield from self._reported(report_of(said, self.account_of(said.session)))
        elif m.type == "9":
            yield from self._refused(said)
        elif m.type == "r":
            account = self.account_of(said.session)
            request = self.pending(account, m.get(11, "") or "", "q")
            yield from _shown(MassCancelSeen(self, said, account, request))
            self._answer(request, "9" if m.get(531) == "0" else "r")  # MassCancelResponse 0: refused
        elif m.type in ("3", "j"):
            self._answer(self._named_by(said.session, m), m.type)

    def _sent(self, said: Said) -> None:
        account, m = self.account_of(said.session), said.message
        if m.poss_dup and (said.session, m.seq) in self._by_seq:
            return
        n = self._counts[said.session] = self._counts.get(said.session, 0) + 1
        request = request_of(said, account, n)
        self._by_seq[said.session, m.seq] = request
        self.account(account).requests.setdefault(request.cl, []).append(request)
        self.waiting.append(request)
        if request.kind in "FG":
            self.account(account).asked.setdefault(request.orig, []).append(request)
        if request.kind in "FG" and (order := self.account(account).orders.get(request.orig)):
            order.leave(said.at_ns)
        elif request.kind == "q":
            self.account(account).mass.append(request)
            for order in self.orders:
                if order.account == account:
                    order.leave(said.at_ns)

    def _named_by(self, session: str, message: FixMessage) -> Request | None:
        seq = message.get(45, "") or ""
        if seq.isdigit() and (found := self._by_seq.get((session, int(seq)))):
            return found
        return self.pending(self.account_of(session), message.get(379, "") or "", "".join(REQUESTS))

    def _answer(self, request: Request | None, how: str) -> None:
        if request is not None and request.answered is None:
            request.answered = how

    def _refused(self, said: Said) -> Iterator[tuple[str, Finding]]:
        account, m = self.account_of(said.session), said.message
        cl = m.get(11, "") or ""
        request = self.pending(account, cl, "FG")
        named = request or next((r for r in self.account(account).requests.get(cl, ()) if r.kind in "FG"), None)
        order = self.account(account).orders.get(named.orig) if named else None
        if order is not None and named is not None and named.symbol != order.symbol:
            order = None
        yield from _shown(RefusalSeen(self, said, account, named if request is None else request, order))
        self._answer(request, "9")
        if request is None or order is None or not order.is_open:
            return
        if order.may_rest and order.price is not None and order.stays and order.stays[-1].to_ns <= said.at_ns:
            order.stays.append(type(order.stays[-1])(order.price, said.at_ns))
            self._note_asked(order)

    def _reported(self, r: Report) -> Iterator[tuple[str, Finding]]:
        if self._is_copy(r):
            return
        request, order = self._meant(r)
        if order is None and request is not None and request.kind == "D" and r.exec_type not in ("8", "I"):
            order = self._begin(request)
        found = list(_shown(ReportSeen(self, r, order, request)))
        yield from found
        if request is not None and r.exec_type in _ANSWERS[request.kind]:
            self._answer(request, r.exec_type)
        self.executions.setdefault(r.exec_id, []).append(r)
        if order is None or r.exec_type in ("8", "I") or r.faults:
            return
        if r.exec_type in ("0", "4", "5") and request is not None:
            self.decided[r.said.session] = max(self.decided.get(r.said.session, 0), request.n)
        replaced = r.exec_type == "5" and request is not None and request.kind == "G"
        order.take(r, request if replaced else None)
        self._note_asked(order)
        if r.is_trade:
            self.fills.append((order, r))
        order.broken |= bool(found)
        self.by_id.setdefault(r.order_id, order)
        self.account(order.account).orders[order.cl] = order

    def _note_asked(self, order: Order) -> None:
        """What may end it is on its way already: then it is not certain that it rests now."""
        if self.asked(order) or any(q.answered is None for q in self.account(order.account).mass):
            order.leave(0)

    def _is_copy(self, r: Report) -> bool:
        """The same report on another session of the same account."""
        return any(
            e.account == r.account
            and e.said.session != r.said.session
            and (e.cl, e.exec_type, e.cum, e.leaves) == (r.cl, r.exec_type, r.cum, r.leaves)
            for e in self.executions.get(r.exec_id, ())
        )

    def _meant(self, r: Report) -> tuple[Request | None, Order | None]:
        """The request that a report answers, and the account's order that it is about."""
        orders = self.account(r.account).orders
        if r.exec_type == "I":
            again = self.pending(r.account, r.cl, "D")
            request = self.pending(r.account, r.cl, "H") or (again if again and again.again else None)
            order = orders.get(r.cl)
            return request, order if order and (request is None or request.symbol == order.symbol) else None
        if r.exec_type == "8":
            return self.pending(r.account, r.cl, "D"), None
        if r.exec_type in ("0", "A") and (request := self.pending(r.account, r.cl, "D")):
            order = orders.get(r.cl)
            return request, order if order and order.request is request else None
        own = orders.get(r.cl)
        if own is not None and self.by_id.get(r.order_id) is not own:
            own = None
        if request := self.pending(r.account, r.cl, "FG"):
            asked = orders.get(request.orig)
            return (request, asked) if own is None else (request if asked is own else None, own)
        if r.exec_type in ("4", "6", "5", "E") and (old := self.account(r.account).requests.get(r.cl)):
            mass = next((x for x in old if x.kind == "q"), None)
            answered = next((x for x in old if x.kind in "FG"), None)
            if own is not None and (answered is None or orders.get(answered.orig) is not own):
                return None, own  # a request that was refused had the name of an order
            name = (r.orig or "") if mass else answered.orig if answered else r.cl
            return (answered if r.cl not in orders else None), orders.get(name)
        found = orders.get(r.cl)
        if found is None and (request := self.pending(r.account, r.cl, "D")):
            return request, None  # anything before the acknowledgement
        return None, found

    def _begin(self, request: Request) -> Order:
        zero = Decimal(0)
        order = Order(request.account, request.said.session, request, [request.cl], request.qty or zero, request.price)
        self.orders.append(order)
        return order


def _shown(moment: object) -> Iterator[tuple[str, Finding]]:
    for name, check in _BY_MOMENT.get(type(moment), ()):
        for found in check(moment):
            yield name, found
