"""Diagram 11, a planned switchover: an operator asks for it, nothing is lost or repeated; a standby that is behind is refused."""

from __future__ import annotations

import time

import pytest

from matchmark.conformance.checks import audit_ledger as ledgers
from matchmark.conformance.checks.audit_ledger import Breach
from matchmark.conformance.hooks import HookFailed, run_hook, waited
from matchmark.conformance.lab_fixtures import judge, violate
from matchmark.conformance.lab_load import Load
from matchmark.conformance.pair_lab import PairLab
from matchmark.conformance.plugin import CERTIFICATION
from matchmark.conformance.suites._availability import judged_log, same_log
from matchmark.conformance.suites._durability import Desk
from matchmark.conformance.verdict import Verdict

pytestmark = pytest.mark.needs("standby", "audit_log", "switchover", "operator", "fix")

SWITCHOVERS = 2
BETWEEN = 60
"""Orders of the load."""
LAG_S = 4.0
"""So long a standby that decides nothing falls behind a primary that trades."""
STEPS_DOWN_S = 5.0
"""Until its status page says so; that it acknowledges nothing any more is judged by the logs, and at once."""
ENDS_S = 20.0


def switchover(pair: PairLab, to: str) -> str | None:
    """What an operator's request to this standby is refused with; None when it was carried out."""
    instance = pair.members[to].instance
    places = {
        **instance.places, "command": "switchover", "symbol": "", "reason": "maintenance",
        "admin": str(instance.ready.get("admin", "")), "pid": str(instance.ready.get("pid", 0)),
        "token": instance.token("operator", 600, "operator"),
    }  # fmt: skip
    try:
        run_hook("operator", instance.hooks, places)
    except HookFailed as refused:
        return str(refused)
    return None


@pytest.mark.clause("D11.X3")
def test_a_switchover_under_load_loses_nothing_and_repeats_nothing(
    pair: PairLab, request: pytest.FixtureRequest
) -> None:
    done = 0
    with Load(pair, pair.accounts[:3], "over-", burst=20) as load:
        for _ in range(2 * SWITCHOVERS):
            former, heir = pair.primary, pair.standby
            load.wait_sent(BETWEEN)
            pair.nearly_caught_up(heir)
            refused = switchover(pair, heir)
            by_itself = bool(refused) and pair.role(heir) == "primary"  # heartbeats came late on a busy machine
            if refused and not by_itself:
                violate(pair, Breach("D11.X3", f"a standby that keeps up is refused a switchover: {refused}"))
            if not pair.took_over(heir):
                violate(pair, Breach("D11.X3", f"the switchover was said to be done, and {heir} is not primary"))
            if not by_itself and not waited(lambda who=former: pair.role(who) != "primary", STEPS_DOWN_S, 0.02):  # type: ignore[misc]
                violate(pair, Breach("D11.X3", f"after the switchover {former} is primary as well"))
            load.wait_sent(BETWEEN)
            _comes_back(pair, former)
            done += not by_itself
            if done == SWITCHOVERS:
                break
        load.stop()
        answered = load.settle()
    pair.quiet()
    pair.end()
    fault = f"{done} switchovers were asked for"
    _, logged, breaches = judged_log(pair, fault)
    judge(pair, ledgers.nothing_lost(pair.ledger, logged, "D11.X3", fault))
    judge(pair, ledgers.nothing_twice(pair.ledger, logged, "D11.X3"))
    judge(pair, breaches)
    if not answered:
        silent = sorted(pair.ledger.unknown)[:5]
        violate(pair, Breach("D11.X3", "a switchover left orders unanswered", tuple(silent), (), frozenset(silent)))
    same_log(pair, "D11.X3")
    if not done:
        reason = "heartbeats came so late on this machine that the standby took over before it could be asked"
        request.config.stash[CERTIFICATION].note(request.node, Verdict.INCONCLUSIVE, reason)
        pytest.skip(reason)


def _comes_back(pair: PairLab, former: str) -> None:
    """Who was primary ends by itself or is ended, and follows."""
    if not waited(lambda: not pair.runs(former), ENDS_S, 0.05):
        pair.kill(former)
    pair.start_member(former, standby=True)


@pytest.mark.clause("D11.X3")
def test_a_standby_that_is_behind_is_refused_and_the_primary_goes_on(pair: PairLab) -> None:
    """Its engine stands still while the primary trades: it has the records at best, and not what follows from them."""
    with Load(pair, pair.accounts[:3], "behind-", burst=100) as load:
        load.wait_sent(BETWEEN)
        with pair.paused("b", "engine"):
            time.sleep(LAG_S)
            began = time.monotonic()
            carried_out = switchover(pair, "b") is None
            took_s = time.monotonic() - began
            if carried_out:
                text = f"a switchover to a standby that stood still for {LAG_S:g} s of trading was not refused"
                violate(pair, Breach("D11.X3", text, ("the request is refused",)))
            if pair.role("a") != "primary":
                text = f"a switchover was refused after {took_s:.1f} s, and the primary is none any more"
                violate(pair, Breach("D11.X3", text))
            desk = Desk(pair, pair.accounts[4], "still.")
            desk.order("buy", 1, -3)
        load.stop()
        load.settle()
    pair.quiet()
    pair.end()
    judge(pair, judged_log(pair, "a switchover was refused")[2])
