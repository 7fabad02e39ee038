"""Each rule against a hand-made wrong history: it reports its clause, at the exchange that is wrong.

A case is a list of commands. The model answers them, except where a case gives the wrong answer itself, as
(command, events). The last test asserts that every clause of every rule has a case.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from matchmark.conformance.checks import RULES, findings_by_rule
from matchmark.conformance.checks.differential import ModelOfTarget
from matchmark.conformance.clauses.vocabulary import MATCHING_CAPABILITIES
from matchmark.conformance.history import Exchange, History
from matchmark.conformance.messages import (
    Accepted,
    Cancel,
    Cancelled,
    CancelRejected,
    Command,
    Event,
    MassCancel,
    MassCancelled,
    New,
    Rejected,
    Replace,
    Replaced,
    State,
    Status,
    StatusReport,
    Top,
    Trade,
)
from matchmark.conformance.targets.base import Instruments, TargetInfo

INFO = TargetInfo("under test", "1", frozenset(MATCHING_CAPABILITIES) - {"top"}, Instruments(("S0", "S1")))
WITH_TOP = TargetInfo("under test", "1", frozenset(MATCHING_CAPABILITIES), Instruments(("S0", "S1")))

Step = Command | tuple[Command, list[Event]]


def buy(cl: str, qty: int, px: int | None = None, acct: str = "A", **more: str) -> New:
    return New(cl, acct, more.pop("sym", "S0"), "buy", "market" if px is None else "limit", qty, px, **more)


def sell(cl: str, qty: int, px: int | None = None, acct: str = "B", **more: str) -> New:
    return New(cl, acct, more.pop("sym", "S0"), "sell", "market" if px is None else "limit", qty, px, **more)


def cancel(orig: str, acct: str = "A", sym: str = "S0", cl: str = "x") -> Cancel:
    return Cancel(cl, orig, acct, sym)


def replace(cl: str, orig: str, px: int | None = None, qty: int | None = None, acct: str = "A") -> Replace:
    return Replace(cl, orig, acct, "S0", px, qty)


def status(orig: str, acct: str = "A") -> Status:
    return Status("q", orig, acct, "S0")


def ok(cl: str) -> Accepted:
    return Accepted(cl, f"id of {cl}")


def trade(resting: str, incoming: str, qty: int, px: int = 100, sym: str = "S0") -> Trade:
    return Trade(sym, px, qty, resting, incoming)


def no(cl: str, reason: str = "because") -> Rejected:
    return Rejected(cl, reason)


def cant(reason: str = "because", cl: str = "x") -> CancelRejected:
    return CancelRejected(cl, reason)


def told(state: State, leaves: int, cum: int, orig: str = "b1") -> StatusReport:
    return StatusReport("q", orig, state, leaves, cum)


NEWEST, OLDEST = {"smp": "cancel_newest"}, {"smp": "cancel_oldest"}
B1, B2, B3 = buy("b1", 10, 100), buy("b2", 10, 100), buy("b3", 10, 99)
PART = [B1, sell("t1", 4, 100)]
"""b1 has 6 left and 4 executed."""

# rule -> clause -> the history that breaks it; its last wrong answer is what the rule must find.
CASES: dict[str, dict[str, list[Step]]] = {
    "priority.nobody_trades_beyond_their_limit": {
        "D01.X1": [B3, (sell("s1", 5, 100), [ok("s1"), trade("b3", "s1", 5, 99)])],
        "D08.2": [B3, (sell("s1", 5, 100, tif="ioc"), [ok("s1"), trade("b3", "s1", 5, 99)])],
    },
    "priority.the_resting_order_sets_the_price": {
        "D02.N1": [B1, (sell("s1", 5, 98), [ok("s1"), trade("b1", "s1", 5, 98)])],
    },
    "priority.the_best_price_comes_first": {
        "D02.4": [B1, B3, (sell("s1", 5), [ok("s1"), trade("b3", "s1", 5, 99)])],
        "D07.X1": [
            B1,
            B3,
            buy("b4", 10, 98),
            (sell("s1", 15), [ok("s1"), trade("b1", "s1", 10), trade("b4", "s1", 5, 98)]),
        ],
    },
    "priority.at_one_price_the_earlier_order_comes_first": {
        "D01.X2": [B1, B2, (sell("s1", 5, 100), [ok("s1"), trade("b2", "s1", 5)])],
        "D03.X1": [*PART, B2, (sell("s1", 5, 100), [ok("s1"), trade("b2", "s1", 5)])],
        "D03.X3": [
            sell("s1", 4, 100),
            B1,
            B2,
            (sell("s2", 5, 100), [ok("s2"), trade("b2", "s2", 5)]),
        ],
        "D04.X10": [B1, B2, replace("c1", "b1", qty=5), (sell("s1", 5, 100), [ok("s1"), trade("b2", "s1", 5)])],
        "D04.X11": [B1, B2, replace("c1", "b1", qty=50), (sell("s1", 5, 100), [ok("s1"), trade("c1", "s1", 5)])],
    },
    "priority.matching_stops_when_the_order_is_filled": {
        "D07.X2": [B1, B2, (sell("s1", 10), [ok("s1"), trade("b1", "s1", 10), trade("b2", "s1", 10)])],
    },
    "priority.matching_goes_on_while_prices_cross": {
        "D03.1": [B1, (sell("s1", 5, 100), [ok("s1")])],
        "D04.X12": [B1, sell("s1", 5, 101), (replace("s2", "s1", 100, acct="B"), [Replaced("s2", "s1", 100, 5, 0)])],
        "D08.3": [B1, B3, (sell("s1", 15, 99, tif="ioc"), [ok("s1"), trade("b1", "s1", 10), Cancelled("s1", 5, 10)])],
        "D02.4": [B1, (sell("s1", 5), [ok("s1"), Cancelled("s1", 5, 0)])],
        "D07.X1": [B1, B3, (sell("s1", 15), [ok("s1"), trade("b1", "s1", 10), Cancelled("s1", 5, 10)])],
    },
    "conservation.no_order_fills_for_more_than_it_has": {
        "D02.X3": [B1, (sell("s1", 20, 100), [ok("s1"), trade("b1", "s1", 15)])],
    },
    "conservation.a_match_takes_the_smaller_of_the_two": {
        "D02.5": [B1, (sell("s1", 20, 100), [ok("s1"), trade("b1", "s1", 5)])],
    },
    "conservation.one_fill_has_one_report": {
        "D02.X4": [B1, (sell("s1", 5), [ok("s1"), trade("b1", "s1", 5), trade("b1", "s1", 5)])],
    },
    "conservation.a_trade_names_the_resting_and_the_incoming_order": {
        "D01.X8": [B1, (sell("s1", 5), [ok("s1"), trade("nobody", "s1", 5)])],
        "D02.8": [B1, (sell("s1", 5), [ok("s1"), trade("s1", "b1", 5)])],
        "D01.5": [B1, sell("a1", 5, 105), (sell("s1", 5, 106), [ok("s1"), trade("b1", "a1", 5)])],
        "D01.X6": [buy("b1", 10, 100, sym="S1"), (sell("s1", 5, 100), [ok("s1"), trade("b1", "s1", 5)])],
        "D01.X3": [buy("b0", 0, 100), (sell("s1", 5, 100), [ok("s1"), trade("b0", "s1", 5)])],
        "D01.X5": [buy("b0", 5, 100, sym="NO"), (sell("s1", 5, 100), [ok("s1"), trade("b0", "s1", 5)])],
    },
    "conservation.an_order_that_is_over_never_trades": {
        "D02.6": [B1, sell("t1", 10), (sell("s1", 5), [ok("s1"), trade("b1", "s1", 5)])],
        "D04.6": [B1, cancel("b1"), (sell("s1", 5), [ok("s1"), trade("b1", "s1", 5)])],
        "D08.7": [buy("b1", 10, 100, tif="ioc"), (sell("s1", 5, 100), [ok("s1"), trade("b1", "s1", 5)])],
        "D02.X1": [buy("b1", 10), (sell("s1", 5, 100), [ok("s1"), trade("b1", "s1", 5)])],
        "D02.X10": [
            sell("a1", 5, 100, "A"),
            buy("b1", 10, 100, **NEWEST),
            cancel("a1"),
            (sell("s1", 5, 100), [ok("s1"), trade("b1", "s1", 5)]),
        ],
        "D02.X11": [
            B1,
            sell("s1", 5, 100, "A", **OLDEST),
            cancel("s1"),
            (sell("s2", 5, 100), [ok("s2"), trade("b1", "s2", 5)]),
        ],
        "D04.X11": [B1, replace("b2", "b1", qty=5), (sell("s1", 5), [ok("s1"), trade("b1", "s1", 5)])],
        "D04.X14": [
            B1,
            (MassCancel("m", "A"), [MassCancelled("m", 0)]),
            (sell("s1", 5), [ok("s1"), trade("b1", "s1", 5)]),
        ],
    },
    "self_match.an_account_that_asks_never_trades_with_itself": {
        "D02.X10": [B1, (sell("s1", 5, 100, "A", **NEWEST), [ok("s1"), trade("b1", "s1", 5)])],
        "D02.X11": [B1, (sell("s1", 5, 100, "A", **OLDEST), [ok("s1"), trade("b1", "s1", 5)])],
    },
    "self_match.only_own_orders_in_the_way_are_cancelled": {
        "D02.X11": [
            B1,
            (sell("s1", 5, 100, "B", **OLDEST), [ok("s1"), Cancelled("b1", 10, 0)]),
        ],
    },
    "self_match.cancel_newest_leaves_resting_orders_alone": {
        "D02.X10": [B1, (sell("s1", 5, 100, "A", **NEWEST), [ok("s1"), Cancelled("b1", 10, 0)])],
    },
    "self_match.an_own_order_in_the_way_is_dealt_with": {
        "D02.X10": [B1, (sell("s1", 5, 100, "A", **NEWEST), [ok("s1")])],
        "D02.X11": [B1, (sell("s1", 5, 100, "A", **OLDEST), [ok("s1"), Cancelled("s1", 5, 0)])],
    },
    "remainder.a_limit_order_keeps_its_remainder_in_the_book": {
        "D01.6": [(B1, [ok("b1"), Cancelled("b1", 10, 0)])],
        "D03.6": [B1, (sell("s1", 15, 100), [ok("s1"), trade("b1", "s1", 10), Cancelled("s1", 5, 10)])],
    },
    "remainder.an_unfilled_remainder_is_reported_as_cancelled": {
        "D02.X2": [B1, (sell("s1", 15), [ok("s1"), trade("b1", "s1", 10)])],
        "D08.5": [B1, (sell("s1", 15, 100, tif="ioc"), [ok("s1"), trade("b1", "s1", 10)])],
        "D08.X1": [(sell("s1", 15, 100, tif="ioc"), [ok("s1")])],
    },
    "remainder.the_report_of_a_remainder_has_its_quantities": {
        "D02.X2": [B1, (sell("s1", 15), [ok("s1"), trade("b1", "s1", 10), Cancelled("s1", 15, 0)])],
        "D02.X10": [B1, (sell("s1", 5, 100, "A", **NEWEST), [ok("s1"), Cancelled("s1", 4, 0)])],
        "D08.6": [B1, (sell("s1", 15, 100, tif="ioc"), [ok("s1"), trade("b1", "s1", 10), Cancelled("s1", 5, 5)])],
        "D08.X1": [(sell("s1", 15, 100, tif="ioc"), [ok("s1"), Cancelled("s1", 0, 0)])],
    },
    "remainder.a_filled_order_is_not_cancelled_as_well": {
        "D07.6": [B1, (sell("s1", 10), [ok("s1"), trade("b1", "s1", 10), Cancelled("s1", 0, 10)])],
        "D08.X2": [B1, (sell("s1", 10, 100, tif="ioc"), [ok("s1"), trade("b1", "s1", 10), Cancelled("s1", 0, 10)])],
        "D01.X8": [B1, (sell("s1", 10, 100), [ok("s1"), trade("b1", "s1", 10), Cancelled("s1", 0, 10)])],
    },
    "remainder.nobody_else_is_cancelled": {
        "D01.X8": [(B1, [ok("b1"), Cancelled("nobody", 1, 0)])],
        "D04.5": [B1, B2, (cancel("b1"), [Cancelled("b1", 10, 0), Cancelled("b2", 10, 0)])],
    },
    "sequencing.every_command_is_answered_once": {
        "D01.X8": [(B1, [])],
        "D01.8": [(B1, [ok("b1"), Accepted("b1", "another")])],
        "D04.8": [B1, (cancel("b1"), [])],
    },
    "sequencing.the_acknowledgement_comes_first": {
        "D01.8": [B1, (sell("s1", 5), [trade("b1", "s1", 5), ok("s1")])],
        "D04.X12": [
            B1,
            sell("s1", 5, 101),
            (replace("s2", "s1", 100, acct="B"), [Cancelled("s1", 5, 0), Replaced("s2", "s1", 100, 5, 0)]),
        ],
    },
    "sequencing.order_ids_are_unique": {
        "D01.8": [(B1, [Accepted("b1", "7")]), (B2, [Accepted("b2", "7")])],
    },
    "sequencing.nothing_else_is_reported": {
        "D01.5": [(B1, []), (B2, [ok("b1"), ok("b2")])],
        "D01.X8": [(B1, [ok("b1"), ok("nobody")])],
    },
    "sequencing.only_orders_cause_trades": {
        "D01.5": [
            B1,
            sell("s1", 5, 101),
            (cancel("ghost"), [cant(), trade("b1", "nobody", 5)]),
        ],
    },
    "sequencing.an_order_is_accepted_or_rejected_as_it_should_be": {
        "D01.6": [(B1, [no("b1")])],
        "D01.X3": [(buy("b1", 0, 100), [ok("b1")])],
        "D01.X4": [B1, (buy("b1", 10, 100), [ok("b1")])],
        "D01.X5": [(buy("b1", 10, 100, sym="NO"), [ok("b1")])],
        "D02.3": [B1, (sell("s1", 10), [no("s1")])],
        "D03.1": [B1, (sell("s1", 10, 100), [no("s1")])],
        "D08.1": [(sell("s1", 10, 100, tif="ioc"), [no("s1")])],
    },
    "cancel.a_cancel_succeeds_or_fails_as_it_should": {
        "D01.X5": [B1, (cancel("b1", sym="NO"), [Cancelled("b1", 10, 0)])],
        "D01.X6": [B1, (cancel("b1", sym="S1"), [Cancelled("b1", 10, 0)])],
        "D04.2": [B1, (cancel("b1", "B"), [Cancelled("b1", 10, 0)])],
        "D04.4": [B1, (cancel("b1"), [cant()])],
        "D04.X1": [B1, cancel("b1"), (cancel("b1"), [Cancelled("b1", 0, 0)])],
    },
    "cancel.a_cancel_reports_leaves_and_cum": {
        "D04.8": [B1, (cancel("b1"), [Cancelled("b1", 9, 0)])],
        "D04.E1": [*PART, (cancel("b1"), [Cancelled("b1", 10, 0)])],
        "D03.X2": [*PART, (cancel("b1"), [Cancelled("b1", 7, 4)])],
    },
    "cancel.strangers_learn_nothing": {
        "D04.X2": [B1, cancel("ghost", "B"), (cancel("b1", "B", cl="y"), [cant("not yours", "y")])],
    },
    "cancel.a_mass_cancel_ends_own_orders_only": {
        "D04.X14": [B1, (MassCancel("m", "B"), [Cancelled("b1", 10, 0), MassCancelled("m", 1)])],
    },
    "cancel.a_mass_cancel_ends_all_own_orders": {
        "D01.X5": [(MassCancel("m", "A", "NO"), [MassCancelled("m", 0)])],
        "D04.X14": [B1, (MassCancel("m", "A"), [MassCancelled("m", 0)])],
    },
    "cancel.status_tells_state_leaves_and_cum": {
        "D03.X2": [*PART, (status("b1"), [told(State.PARTIALLY_FILLED, 7, 3)])],
        "D03.X10": [*PART, (status("b1"), [told(State.NEW, 6, 4)])],
    },
    "replace.a_replace_succeeds_or_fails_as_it_should": {
        "D01.X4": [B1, B2, (replace("b2", "b1", qty=5), [Replaced("b2", "b1", 100, 5, 0)])],
        "D01.X5": [B1, (Replace("c1", "b1", "A", "NO", None, 5), [Replaced("c1", "b1", 100, 5, 0)])],
        "D01.X6": [B1, (Replace("c1", "b1", "A", "S1", None, 5), [Replaced("c1", "b1", 100, 5, 0)])],
        "D04.X10": [B1, (replace("c1", "b1", qty=5), [cant(cl="c1")])],
        "D04.X11": [B1, (replace("c1", "b1", qty=15), [cant(cl="c1")])],
        "D04.X13": [B1, (replace("c1", "ghost", qty=5), [Replaced("c1", "ghost", 100, 5, 0)])],
        "D04.X15": [*PART, (replace("c1", "b1", qty=4), [Replaced("c1", "b1", 100, 0, 4)])],
    },
    "replace.a_replace_reports_price_leaves_and_cum": {
        "D04.X10": [B1, (replace("c1", "b1", qty=5), [Replaced("c1", "b1", 100, 10, 0)])],
        "D04.X11": [B1, (replace("c1", "b1", 99), [Replaced("c1", "b1", 100, 10, 0)])],
        "D04.X12": [*PART, (replace("c1", "b1", 99), [Replaced("c1", "b1", 99, 10, 4)])],
    },
    "book_state.the_book_is_never_crossed": {
        "D01.X7": [B1, (sell("s1", 5, 100), [ok("s1")])],
    },
    "book_state.the_top_is_published_when_it_changed": {
        "D01.9": [(B1, [ok("b1")])],
        "D01.X6": [(B1, [ok("b1"), Top("S1", (100, 10), None)])],
        "D02.9": [B1, (sell("s1", 5), [ok("s1"), trade("b1", "s1", 5), Top("S0", (100, 10), None)])],
        "D03.9": [B1, (sell("s1", 5, 100), [ok("s1"), trade("b1", "s1", 5)])],
        "D04.9": [B1, (cancel("b1"), [Cancelled("b1", 10, 0)])],
        "D07.9": [
            B1,
            B3,
            (
                sell("s1", 20),
                [ok("s1"), trade("b1", "s1", 10), Top("S0", (99, 10), None), trade("b3", "s1", 10, 99)],
            ),
        ],
        "D08.8": [
            B3,
            (sell("s1", 5, 100, tif="ioc"), [ok("s1"), Cancelled("s1", 5, 0), Top("S0", (99, 10), (100, 5))]),
        ],
    },
}


def history_of(steps: Sequence[Step], info: TargetInfo) -> History:
    model, history = ModelOfTarget(info), History()
    for step in steps:
        command, wrong = step if isinstance(step, tuple) else (step, None)
        right = model.submit(command)
        history.add(Exchange(command, tuple(right if wrong is None else wrong)))
    return history


def info_of(rule: str) -> TargetInfo:
    return WITH_TOP if "top_is_published" in rule else INFO


@pytest.mark.parametrize(("rule", "clause"), [(rule, clause) for rule, cases in CASES.items() for clause in cases])
def test_the_rule_finds_what_is_wrong(rule: str, clause: str) -> None:
    steps, info = CASES[rule][clause], info_of(rule)
    found = list(findings_by_rule(history_of(steps, info), info))
    mine = [finding for name, finding in found if name == rule]
    assert clause in [f.clause for f in mine], [f"{name} {f.clause}: {f.message}" for name, f in found]
    wrong = [n for n, step in enumerate(steps) if isinstance(step, tuple)]
    assert mine[0].index == wrong[-1]
    assert mine[0].message.strip()
    assert mine[0].expected or mine[0].actual


def test_every_clause_of_every_rule_has_a_case() -> None:
    assert {rule: sorted(clauses) for rule, clauses in RULES.items()} == {
        rule: sorted(cases) for rule, cases in CASES.items()
    }
