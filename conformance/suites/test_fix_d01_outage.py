"""Diagram 1 over FIX: whatever issues or verifies tokens goes out of reach, and who is logged on trades on."""

from __future__ import annotations

import time

import pytest

from matchmark.conformance.checks.audit_ledger import Breach
from matchmark.conformance.fix.message import FixError
from matchmark.conformance.hooks import run_hook
from matchmark.conformance.lab import Lab
from matchmark.conformance.lab_fixtures import violate
from matchmark.conformance.plugin import CERTIFICATION
from matchmark.conformance.suites._durability import Desk

WATCHED_S = 3.0
"""Longer than what a cache of verdicts may be expected to cover for by accident."""


@pytest.mark.clause("D01.2")
@pytest.mark.needs("fix", "jwt")
def test_orders_are_decided_while_tokens_cannot_be_verified(lab: Lab, request: pytest.FixtureRequest) -> None:
    if "token_outage" not in lab.instance.hooks:
        request.config.stash[CERTIFICATION].not_applicable(
            request.node, "the profile has no [hooks] token_outage: the kit cannot take the issuer away"
        )
    lab.start()
    owner, other = Desk(lab, lab.accounts[0], "before."), Desk(lab, lab.accounts[1], "meets.")
    rests = owner.order("sell", 2, 0)
    pid = lab.instance.process.pid if lab.instance.process else 0
    run_hook("token_outage", lab.instance.hooks, {**lab.instance.places, "pid": str(pid)})
    until, n = time.monotonic() + WATCHED_S, 0
    try:
        while time.monotonic() < until:
            for desk in (owner, other):
                cl = desk.order("buy", 1, -3, wait=False)
                answer = desk.answer(cl)
                if answer.get(150) != "0":
                    raise FixError(f"it said {answer}")
                desk.cancel(cl, "buy")
            n += 1
            time.sleep(0.05)
        taken = other.order("buy", 2, 0, wait=False)
        other.client.expect(lambda m: m.type == "8" and m.get(11) == taken and m.get(150) == "F")
    except FixError as error:
        text = f"without the issuer of tokens an order of a session that was logged on is not decided: {error}"
        violate(lab, Breach("D01.2", text, ("35=8 150=0",), (), frozenset((rests,))))
