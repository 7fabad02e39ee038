"""What the availability suites have in common: what must hold after a failover, whatever led to it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from matchmark.conformance.checks import audit_ledger as ledgers
from matchmark.conformance.checks.audit_format import Happened
from matchmark.conformance.checks.audit_ledger import Breach
from matchmark.conformance.checks.audit_replay import replay
from matchmark.conformance.checks.audit_steps import Step
from matchmark.conformance.checks.audit_structure import AuditLog, FaultKind
from matchmark.conformance.fix.client import FixClient
from matchmark.conformance.fix.message import FixError
from matchmark.conformance.hooks import waited
from matchmark.conformance.lab_fixtures import violate
from matchmark.conformance.ledger import Ledger
from matchmark.conformance.pair_lab import PairLab
from matchmark.conformance.suites._durability import Desk, instruments, read_steps

AFTER_A_FAILOVER = dict.fromkeys(FaultKind, "D06.7")
ANSWERS_S = 15.0
SHOWN = 5


def settled(pair: PairLab, desks: Iterable[Desk], timeout_s: float = ANSWERS_S) -> bool:
    """Reads until every request of these desks was answered, connecting again where a session was cut off."""
    until = time.monotonic() + timeout_s
    desks = list(desks)
    while time.monotonic() < until:
        for desk in desks:
            if not desk.client.connected:
                desk.connect_again()
            desk.client.poll(0.05)
        mine = {desk.client.sender_comp_id for desk in desks}
        if not any(entry.request.sender in mine for entry in pair.ledger.unknown.values()):
            return True
    return False


def taken_over(pair: PairLab, name: str, clause: str = "D06.4", after: str = "the primary was killed") -> None:
    """The standby becomes primary by itself, or that clause is broken."""
    if not pair.took_over(name):
        words = pair.members[name].instance.last_words()
        violate(pair, Breach(clause, f"{after}, and the standby {name} did not become primary{words}"))


def judged_log(pair: PairLab, fault: str) -> tuple[AuditLog, list[Step], list[Breach]]:
    """The log of the last primary, and everything that is wrong with it against what clients know."""
    log, logged, faults = read_steps(pair, AFTER_A_FAILOVER)
    return log, logged, [*faults, *crossed(pair, pair.ledger, logged, fault)]


def crossed(pair: PairLab, ledger: Ledger, logged: list[Step], fault: str) -> Iterator[Breach]:
    """Nothing lost, nothing invented, nothing twice, told as logged, ids given once: one breach a clause."""
    lost_clauses = ("D06.2", "D06.P3", "D11.P2")
    for clause in lost_clauses:
        yield from ledgers.nothing_lost(ledger, logged, clause, fault)
    yield from ledgers.nothing_invented(ledger, logged, "D06.7")
    yield from ledgers.no_hole(ledger, logged, "D06.7")
    yield from ledgers.nothing_twice(ledger, logged, "D06.X2")
    yield from ids_used_again(ledger, logged)
    yield from ledgers.told_as_logged(ledger, logged, instruments(pair), "D06.9", complete=False)
    if (difference := replay(logged)) is not None:
        text = f"the log does not follow from its commands: {difference.text}"
        yield Breach("D06.7", text, difference.expected, difference.logged)


def ids_used_again(ledger: Ledger, logged: Sequence[Step]) -> Iterator[Breach]:
    """An order id is one order's, an execution id one execution's, before and after a failover."""
    orders: dict[int, str] = {}
    for step in logged:
        for event in step.of(Happened.ACCEPTED):
            if orders.setdefault(event.order_id, event.cl) != event.cl:
                text = f"order id {event.order_id} was given to {orders[event.order_id]} and to {event.cl}"
                yield Breach("D06.X6", text, about=frozenset((event.cl, orders[event.order_id])))
    seen: dict[str, tuple[str, str]] = {}
    for reports in ledger.reports.values():
        for r in reports:
            if r.refusal or not r.exec_id or r.exec_type not in ("0", "4", "5", "F"):
                continue
            said = r.exec_type, f"{r.last_quantity} at {r.last_price}" if r.exec_type == "F" else r.order_id
            if seen.setdefault(r.exec_id, said) != said:
                text = f"ExecID {r.exec_id} stands for two executions"
                yield Breach("D06.X6", text, (" ".join(seen[r.exec_id]),), (" ".join(said),), frozenset((r.cl,)))


def same_log(pair: PairLab, clause: str, *names: str, whole: bool = True) -> None:
    """The members' logs have the same records in the same order; with `whole` equally many of them."""
    logs = {name: pair.read_log(name) for name in names or tuple(pair.members)}
    for name, log in logs.items():
        if log.faults:
            violate(pair, Breach(clause, f"the log of member {name} is damaged: {log.faults[0]}"))
    first, second = list(logs.values())[:2]
    n = min(len(first.records), len(second.records))
    apart = np.flatnonzero(first.records["running_hash"][:n] != second.records["running_hash"][:n])
    if len(apart):
        violate(pair, Breach(clause, f"the members' logs differ from record {int(apart[0]) + 1} on"))
    if whole and len(first.records) != len(second.records):
        sizes = {name: str(len(log.records)) for name, log in logs.items()}
        text = "at rest one member's log has records that the other's lacks"
        violate(pair, Breach(clause, text, tuple(sizes), tuple(sizes.values())))


def met_by(logged: Sequence[Step], cl: str) -> list[tuple[str, int]]:
    """Whom an incoming order traded with, in order: (ClOrdID, lots)."""
    step = next((s for s in logged if s.cl == cl), None)
    return [(e.other, e.quantity) for e in step.events if e.other and e.what is Happened.TRADE] if step else []


def order_as_logged(logged: Sequence[Step], cl: str) -> tuple[int, int] | None:
    """(leaves, cum) of an order at the log's end; None when it was never accepted. It must not have been replaced."""
    state: tuple[int, int] | None = None
    for step in logged:
        for e in step.events:
            if e.what is Happened.ACCEPTED and e.cl == cl:
                state = step.quantity or 0, 0
            elif e.what is Happened.TRADE and e.cl == cl:
                state = e.leaves, e.cum
            elif e.what is Happened.TRADE and e.other == cl:
                state = e.resting_leaves, e.resting_cum
            elif e.what is Happened.CANCELLED and e.cl == cl and state is not None:
                state = 0, state[1]
    return state


def answers(client: FixClient, since: int) -> list[str]:
    """What came in as ExecutionReport or refusal behind the first `since` lines of a session."""
    lines = client.stream[since:]
    return [str(line.message) for line in lines if not line.sent and line.message.type in "89"]


def heard(client: FixClient, seconds: float) -> None:
    """Reads whatever comes for so long, also when that is the end of the connection."""
    until = time.monotonic() + seconds
    while client.connected and time.monotonic() < until:
        try:
            client.poll(0.05)
        except FixError:
            return


def alerted(pair: PairLab, name: str, since_ns: int, words: Sequence[str] = (), timeout_s: float = 10.0) -> bool:
    """Whether the member's status page shows an alert of after `since_ns` (wall clock) that has one of these words."""

    def there() -> bool:
        rows = [row for row in pair.alerts(name) if int(row.get("time_ns", 0)) >= since_ns]
        return any(not words or any(word in f"{row.get('code')} {row.get('text')}" for word in words) for row in rows)

    return waited(there, timeout_s, 0.05)
