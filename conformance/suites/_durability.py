"""What the durability suites have in common: orders that wait for their answer, faults as breaches, the usual checks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from matchmark.conformance.checks import audit_ledger as ledgers
from matchmark.conformance.checks.audit_ledger import Breach
from matchmark.conformance.checks.audit_steps import Step, steps
from matchmark.conformance.checks.audit_structure import AuditLog, FaultKind
from matchmark.conformance.fix import business
from matchmark.conformance.fix.business import Instrument
from matchmark.conformance.fix.client import FixClient
from matchmark.conformance.fix.message import FixMessage
from matchmark.conformance.lab_clients import LabClients
from matchmark.conformance.lab_load import middle_ticks
from matchmark.conformance.ledger import Ledger

CLEAN_RUN = {
    FaultKind.FORMAT: "D10.1",
    FaultKind.FRAMING: "D10.1",
    FaultKind.CHAIN: "D10.1",
    FaultKind.SEQUENCE: "D10.2",
    FaultKind.ROTATION: "D10.X11",
}
AFTER_A_CRASH = {**dict.fromkeys(FaultKind, "D10.X2"), FaultKind.ROTATION: "D10.X11"}
"""Which clause a fault of the log's structure breaks."""


class Desk:
    """A lab's trader with a wait: each call sends one request and gives what it is told first."""

    def __init__(self, lab: LabClients, account: str, prefix: str = "") -> None:
        self.lab, self.account = lab, account
        self.client: FixClient = lab.client(account)
        self.prefix, self._n = prefix or f"{account}.", 0
        self.middle = middle_ticks(lab)

    def connect_again(self) -> None:
        """The session goes on, wherever it is taken."""
        self.client = self.lab.client(self.account)

    def cl(self) -> str:
        self._n += 1
        return f"{self.prefix}{self._n}"

    def order(
        self,
        side: str,
        lots: int,
        away: int | None,
        n: int = 0,
        *,
        tif: str = "day",
        cl: str | None = None,
        wait: bool = True,
    ) -> str:
        """A new order, `away` ticks from the middle price (None: a market order), on the n-th symbol. Its ClOrdID."""
        cl = cl or self.cl()
        ticks = None if away is None else self.middle + away
        fields = business.new_order(self.lab.instrument(n), cl, side, lots, ticks, tif=tif, account=self.account)
        self.client.send("D", fields)
        if wait:
            self.answer(cl)
        return cl

    def cancel(self, orig: str, side: str, n: int = 0, wait: bool = True) -> str:
        cl = self.cl()
        self.client.send("F", business.cancel(self.lab.instrument(n), cl, orig, side, account=self.account))
        if wait:
            self.client.expect(lambda m: cl in (m.get(11), m.get(41)) or (m.get(41) == orig and m.get(11) == cl))
        return cl

    def answer(self, cl: str, timeout_s: float = 10.0) -> FixMessage:
        """The first report that names the request."""
        return self.client.expect(lambda m: m.type in "893j" and m.get(11) == cl, timeout_s)


def instruments(lab: LabClients) -> Mapping[str, Instrument]:
    return {lab.instrument(n).symbol: lab.instrument(n) for n in range(12)}


def structure(log: AuditLog, clauses: Mapping[FaultKind, str]) -> Iterator[Breach]:
    """The log's first fault, as a breach of the clause that it breaks."""
    for fault in log.faults[:1]:  # the others may come of it
        yield Breach(
            clauses[fault.kind], f"the log is damaged: {fault}", ("a whole record that goes on from the one before",)
        )


def read_steps(
    lab: LabClients, clauses: Mapping[FaultKind, str] = AFTER_A_CRASH
) -> tuple[AuditLog, list[Step], list[Breach]]:
    """The lab's log as it is now."""
    log = lab.read_log()
    return log, steps(log.records), list(structure(log, clauses))


def survived(
    lab: LabClients, ledger: Ledger, logged: list[Step], clause: str, fault: str, executed: str
) -> Iterator[Breach]:
    """What holds after any crash that the mode covers: acknowledged within recovered within attempted, no hole, none twice."""
    yield from ledgers.nothing_lost(ledger, logged, clause, fault)
    yield from ledgers.nothing_lost(ledger, logged, "D06.X4", fault)
    yield from ledgers.nothing_invented(ledger, logged, "D06.X4")
    yield from ledgers.no_hole(ledger, logged, "D10.X2")
    yield from ledgers.nothing_twice(ledger, logged, executed)
    yield from ledgers.told_as_logged(ledger, logged, instruments(lab), executed, complete=False)
