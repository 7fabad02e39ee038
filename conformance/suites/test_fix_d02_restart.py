"""Diagram 2 over FIX: execution ids are new ones also after the exchange was stopped, or killed, and started again."""

from __future__ import annotations

import pytest

from matchmark.conformance.checks.audit_ledger import Breach
from matchmark.conformance.lab import Lab
from matchmark.conformance.lab_fixtures import violate
from matchmark.conformance.suites._durability import Desk

FILLS = 5


def fills(lab: Lab, run: int) -> dict[str, str]:
    """What this run executes: by execution id, one of the two orders."""
    before = len(lab.clients)
    maker, taker = Desk(lab, lab.accounts[0], f"rests{run}."), Desk(lab, lab.accounts[1], f"takes{run}.")
    for _ in range(FILLS):
        rests = maker.order("sell", 2, 0)
        taker.order("buy", 2, None)
        maker.client.expect(lambda m, cl=rests: m.type == "8" and m.get(11) == cl and m.get(150) == "F")  # type: ignore[misc]
    entries = lab.ledger_since(before).attempted
    return {
        report.exec_id: cl
        for cl, entry in entries.items()
        for report in entry.reports
        if cl.startswith((maker.prefix, taker.prefix)) and report.exec_type not in ("", "I") and not report.refusal
    }


@pytest.mark.clause("D02.X20")
@pytest.mark.needs("fix", "market", "restart")
def test_execution_ids_of_a_run_are_used_in_no_later_one(lab: Lab) -> None:
    """After a stop, and after everything was killed."""
    known: dict[str, tuple[int, str]] = {}
    for run, end in enumerate((lab.stop, lambda: lab.kill("all"), lab.stop)):
        lab.start()
        for exec_id, cl in fills(lab, run).items():
            if exec_id in known and known[exec_id][0] != run:
                text = f"ExecID {exec_id} of {cl} was used before the restart, of {known[exec_id][1]}"
                about = frozenset((cl, known[exec_id][1]))
                violate(lab, Breach("D02.X20", text, ("a new ExecID",), (f"17={exec_id}",), about))
            known[exec_id] = run, cl
        end()
