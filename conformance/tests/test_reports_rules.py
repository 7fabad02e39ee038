"""Each rule of the report checks against made-up streams that are wrong in one place: it reports its clause there.

A case bends one received line: which one (session, n-th with these fields), and what becomes of it. The last test asserts that
every clause of every rule has a case.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from matchmark.conformance.checks.reports import STREAM_RULES, Market, findings_of_streams
from matchmark.conformance.fix.message import Line

from .fix_streams import DECIMALS, INSTRUMENTS, Sound, find, rewritten

Streams = dict[str, list[Line]]
Bend = Callable[[Streams], None]


def change(session: str, place: dict[str, str], n: int = 0, /, **tags: str | None) -> Bend:
    """Sets fields of one message; a session named nobody's so far hears it as well."""

    def bend(streams: Streams) -> None:
        at = find(streams[session], n, **place)
        streams[session][at] = rewritten(streams[session][at], {int(t[1:]): v for t, v in tags.items()})

    return bend


def lose(session: str, n: int = 0, **place: str) -> Bend:
    def bend(streams: Streams) -> None:
        del streams[session][find(streams[session], n, **place)]
        renumber(streams[session])

    return bend


def again(
    session: str, n: int = 0, *, change: dict[int, str | None] | None = None, to: str | None = None, **place: str
) -> Bend:
    """The message comes a second time, right behind the first or at the end of another session."""

    def bend(streams: Streams) -> None:
        at = find(streams[session], n, **place)
        line = rewritten(streams[session][at], change or {})
        other = streams[to or session]
        other.insert(len(other) if to else at + 1, line)
        renumber(other)

    return bend


def swap(session: str, a: dict[str, str], b: dict[str, str]) -> Bend:
    def bend(streams: Streams) -> None:
        s = streams[session]
        i, j = find(s, **a), find(s, **b)
        s[i], s[j] = s[j], s[i]
        renumber(s)

    return bend


def renumber(stream: list[Line]) -> None:
    """Received lines count up from 1 in their order, and never go back in time."""
    seq, now = 0, 0
    for i, line in enumerate(stream):
        now = max(now, line.message.at_ns)
        if line.sent:
            continue
        seq += 1
        m = rewritten(line, {34: str(seq)}).message
        stream[i] = Line(False, type(m)(m.pairs, m.raw, now))


def fills(x: Sound) -> None:
    """a1 rests and is filled in three parts by b1 to b3, of which b3 wants more than there is."""
    x.new("A", "a1", "buy", 10, 10_050)
    x.new("B", "b1", "sell", 2, 10_049)
    x.new("B", "b2", "sell", 3, 10_050)
    x.new("B", "b3", "sell", 9, 10_050, tif="ioc")


def market(x: Sound) -> None:
    x.new("A", "a1", "buy", 10, 10_050)
    x.new("A", "a2", "buy", 10, 10_049)
    x.new("B", "b1", "sell", 25)


def cancels(x: Sound) -> None:
    x.new("A", "a1", "buy", 10, 10_050)
    x.new("B", "b1", "sell", 4, 10_050)
    x.cancel("A", "a2", "a1")
    x.cancel("A", "a3", "a1")
    x.cancel("B", "b2", "a1")
    x.replace("A", "a4", "a1", 20, 10_000)


def replaces(x: Sound) -> None:
    x.new("A", "a1", "buy", 10, 10_050)
    x.replace("A", "a2", "a1", 20, 10_050)
    x.new("B", "b1", "sell", 4, 10_050)
    x.status("A", "a2")


def part(x: Sound) -> None:
    x.new("A", "a1", "buy", 10, 10_050)
    x.new("B", "b1", "sell", 4, 10_050)


def crossed(x: Sound) -> None:
    """Nobody but the bends make anything wrong of it."""
    x.new("A", "a1", "buy", 10, 10_050)
    x.new("B", "b1", "sell", 4, 10_051)
    x.new("B", "b2", "sell", 4, 10_051, tif="ioc")
    x.new("A", "a2", "sell", 1)


def resting(x: Sound) -> None:
    x.new("A", "a1", "buy", 10, 10_050)
    x.new("A", "a2", "buy", 10, 10_049)
    x.cancel("A", "a3", "a2")
    x.mass_cancel("A", "a9")


def elsewhere(x: Sound) -> None:
    x.new("A", "a1", "buy", 10, 10_050)
    x.new("B", "b1", "sell", 5, sym="S1")


def burst(x: Sound) -> None:
    """Both orders are sent before the first answer comes."""
    x.new("A", "a1", "buy", 10, 10_050)
    x.new("A", "a2", "buy", 10, 10_049)
    x.streams["A"].sort(key=lambda line: not line.sent)
    renumber(x.streams["A"])


def part_ioc(x: Sound) -> None:
    x.new("A", "a1", "buy", 10, 10_050)
    x.new("B", "b1", "sell", 4, 10_050, tif="ioc")


def part_market(x: Sound) -> None:
    x.new("A", "a1", "buy", 10, 10_050)
    x.new("B", "b1", "sell", 4)


def both(*bends: Bend) -> Bend:
    def bend(streams: Streams) -> None:
        for one in bends:
            one(streams)

    return bend


def sent(session: str, n: int, /, **tags: str) -> Bend:
    """What was really sent was something else: the n-th line of the session."""

    def bend(streams: Streams) -> None:
        streams[session][n] = rewritten(streams[session][n], {int(t[1:]): v for t, v in tags.items()})

    return bend


ACK, FILL, END, REPLACED, STATUS = ({"t150": t} for t in ("0", "F", "4", "5", "I"))
REFUSAL = {"t35": "9"}
NOW_CANCELLED: dict[int, str | None] = {150: "4", 39: "4", 151: "0", 32: None, 31: None, 17: "new"}

# rule -> clause -> what is said, and what is wrong with it
CASES: dict[str, dict[str, list[tuple[Callable[[Sound], None], Bend]]]] = {
    "reports_fields.a_report_has_the_fields_that_it_needs": {
        "D02.X21": [(fills, change("A", FILL, 1, **{f"t{tag}": None})) for tag in (6, 14, 17, 31, 32, 37, 39, 151)]
        + [(fills, change("A", FILL, t32="two"))],
    },
    "reports_fields.quantities_of_one_report_agree": {
        "D02.X21": [
            (fills, change("A", FILL, 1, t151="4")),
            (fills, change("A", ACK, t151="9")),
            (fills, change("A", FILL, 2, t38="11")),
            (cancels, change("A", END, t151="6")),
            (cancels, change("A", ACK, t14="-1")),
        ],
        "D03.X10": [(replaces, change("A", STATUS, t151="15"))],
        "D08.X20": [(fills, change("B", END, t151="4"))],
    },
    "reports_fields.the_cumulative_quantity_follows_from_the_reports_before": {
        "D02.X21": [(cancels, change("A", END, t14="5")), (fills, change("A", ACK, t14="1", t151="9"))],
        "D02.X4": [
            (fills, change("A", FILL, 1, t14="6", t151="4")),
            (fills, lose("A", 1, t150="F")),
            (fills, again("A", 0, t150="F", change={17: "again"})),
            (fills, change("A", FILL, 1, t32="4")),
        ],
        "D03.X10": [(replaces, change("A", STATUS, t14="5", t151="15"))],
        "D08.X20": [(fills, change("B", END, t14="4"))],
    },
    "reports_fields.the_status_is_the_one_that_the_quantities_give": {
        "D02.X21": [
            (fills, change("A", FILL, 0, t39="0")),
            (fills, change("A", FILL, 2, t39="1", t151="0")),
            (fills, change("A", ACK, t39="1")),
            (cancels, change("A", END, t39="1", t151="6")),
            (replaces, change("A", REPLACED, t39="5")),
        ],
        "D03.X10": [(replaces, change("A", STATUS, t39="0"))],
        "D08.X20": [(fills, change("B", END, t39="C"))],
    },
    "reports_fields.last_quantity_and_price_are_those_of_a_fill": {
        "D02.X21": [
            (fills, change("A", FILL, 0, t32="0")),
            (fills, change("A", FILL, 0, t31="0")),
            (fills, change("A", FILL, 0, t31="100.495")),
            (fills, change("A", ACK, t32="2")),
        ],
    },
    "reports_fields.the_average_price_is_that_of_the_fills": {
        "D07.X20": [
            (market, change("B", FILL, 0, t6="100.490000")),
            (market, change("B", FILL, 1, t6="100.496666")),
            (market, change("B", END, t6="0")),
            (fills, change("A", ACK, t6="100.50")),
        ],
    },
    "reports_fields.no_fill_is_worse_than_the_limit": {"D01.X1": [(fills, change("A", FILL, 0, t31="100.51"))]},
    "reports_fields.a_report_says_what_was_sent": {
        "D01.1": [
            (fills, change("A", ACK, t54="2")),
            (fills, change("A", FILL, 1, t55="S1")),
            (fills, change("A", ACK, t44="100.49")),
            (fills, change("B", {"t150": "0", "t59": "3"}, t59="0")),
            (fills, change("A", ACK, t55=None)),
        ],
    },
    "reports_parties.an_execution_id_names_one_execution": {
        "D02.X20": [
            (fills, change("A", FILL, 1, t17="E2")),
            (fills, change("B", FILL, 0, t17="E1")),
            (fills, change("B", FILL, 1, t17="E2")),
            (cancels, change("A", END, t17="E1")),
        ],
    },
    "reports_parties.an_order_id_names_one_order_for_its_whole_life": {
        "D01.8": [(fills, change("B", ACK, 1, t37="ID2")), (fills, change("A", ACK, t37="NONE"))],
        "D03.N3": [(fills, change("A", FILL, 2, t37="ID9")), (replaces, change("A", STATUS, t37="ID9"))],
    },
    "reports_parties.a_report_uses_the_name_that_is_in_force": {
        "D03.N3": [
            (replaces, change("A", FILL, t11="a1")),
            (replaces, change("A", REPLACED, t41="a0")),
            (replaces, change("A", REPLACED, t41=None)),
            (part, again("A", 0, t150="F", change={150: "5", 17: "new", 32: None, 31: None})),
        ],
    },
    "reports_parties.a_report_is_about_an_order_of_its_account": {
        "D01.X32": [
            (fills, again("A", 1, t150="F", to="B")),
            (fills, change("A", FILL, t1="B")),
            (cancels, again("A", 0, t150="4", to="B", change={1: None})),
            (part, again("A", 0, t150="F", to="B", change={1: None, 11: "nobody's"})),
        ],
        "D01.X8": [(fills, again("A", 0, t150="F", change={11: "a7", 37: "ID7", 17: "new"}))],
    },
    "reports_parties.a_report_names_no_stranger": {
        "D01.X32": [
            (fills, change("A", FILL, t375="Bart")),
            (fills, change("A", FILL, t375="B")),
            (fills, change("A", FILL, t58="sold by Bart")),
        ],
    },
    "reports_parties.a_refusal_names_no_stranger": {"D01.X32": [(cancels, change("B", REFUSAL, t58="that is Anna's order"))]},
    "reports_answers.an_order_is_acknowledged_once_and_first": {
        "D01.8": [
            (fills, again("A", 0, t150="0", change={17: "new"})),
            (fills, lose("A", 0, t150="0")),
            (fills, swap("B", {"t150": "0"}, {"t150": "F"})),
        ],
    },
    "reports_answers.an_order_that_is_over_has_no_more_reports": {
        "D02.6": [(fills, again("A", 2, t150="F", change={17: "new"}))],
        "D02.X1": [(market, again("B", 0, t150="4", change={150: "F", 32: "1", 31: "100.49", 17: "new"}))],
        "D04.6": [(cancels, again("A", 0, t150="4", change={150: "F", 11: "a1", 17: "new", 32: "1", 31: "100.50"}))],
        "D04.8": [(cancels, again("A", 0, t150="4", change={17: "new"}))],
        "D04.X21": [(fills, again("A", 2, t150="F", change=NOW_CANCELLED))],
        "D08.7": [(fills, again("B", 0, t150="4", change={150: "F", 32: "1", 31: "100.50", 17: "new"}))],
        "D08.X2": [(part_ioc, again("B", 0, t150="F", change=NOW_CANCELLED))],
        "D07.6": [(part_market, again("B", 0, t150="F", change=NOW_CANCELLED))],
    },
    "reports_answers.the_end_of_an_order_has_the_right_ids": {
        "D04.1": [
            (cancels, change("A", END, t41="a0")),
            (cancels, change("A", END, t41=None)),
            (cancels, change("A", END, t11="a1", t41=None)),
        ],
        "D08.X20": [(fills, change("B", END, t41="b1"))],
    },
    "reports_answers.nobody_but_its_owner_ends_a_resting_order": {
        "D01.6": [(crossed, again("A", 0, t150="0", change={150: "4", 39: "4", 151: "0", 17: "new"}))],
        "D03.6": [(part, again("A", 0, t150="F", change={150: "4", 39: "4", 151: "0", 17: "new", 32: None, 31: None}))],
    },
    "reports_answers.what_a_session_asked_is_decided_in_its_order": {
        "D01.X33": [(burst, swap("A", {"t150": "0", "t11": "a1"}, {"t150": "0", "t11": "a2"}))],
    },
    "reports_answers.a_request_is_answered_once": {"D01.X8": [(cancels, again("A", 0, t150="4", change={17: "new"}))]},
    "reports_answers.a_status_request_is_answered_once": {"D03.X10": [(replaces, again("A", 0, t150="I"))]},
    "reports_answers.a_mass_cancel_is_answered_once": {"D01.X8": [(resting, again("A", 0, t35="r"))]},
    "reports_answers.a_refusal_answers_a_cancel_or_replace_under_both_ids": {
        "D04.1": [(cancels, change("A", REFUSAL, t41="a0")), (cancels, change("B", REFUSAL, t41=None))],
        "D01.X8": [(cancels, again("A", 0, t35="9")), (cancels, change("B", REFUSAL, t11="b9"))],
    },
    "reports_answers.a_refusal_says_to_what_and_why": {
        "D04.X20": [
            (cancels, change("A", REFUSAL, 0, t434="2")),
            (cancels, change("A", REFUSAL, 1, t434="1")),
            (cancels, change("A", REFUSAL, 0, t102=None)),
        ],
    },
    "reports_answers.a_refusal_tells_the_owner_the_truth_and_a_stranger_nothing": {
        "D04.X20": [
            (cancels, change("A", REFUSAL, 0, t39="2")),
            (cancels, change("A", REFUSAL, 0, t39="8", t37="NONE")),
            (cancels, change("A", REFUSAL, 1, t37="ID2")),
            (cancels, change("B", REFUSAL, t39="4")),
            (cancels, change("B", REFUSAL, t37="ID1")),
        ],
    },
    "reports_end.every_request_is_answered": {
        "D01.X8": [(cancels, lose("A", 0, t35="9")), (cancels, lose("A", 0, t150="4")), (resting, lose("A", 0, t35="r"))],
    },
    "reports_end.what_may_not_rest_is_finished": {
        "D07.N1": [(market, lose("B", 0, t150="4"))],
        "D08.5": [(fills, lose("B", 0, t150="4"))],
    },
    "reports_end.the_average_lies_between_the_best_and_the_worst_fill": {"D07.N1": [(market, change("B", FILL, 1, t6="100.48"))]},
    "reports_end.fills_and_what_was_cancelled_make_up_the_order": {
        "D04.X21": [(fills, lose("A", 1, t150="F")), (part, change("A", FILL, t14="3", t151="7"))],
    },
    "reports_end.a_mass_cancel_leaves_nothing_open": {"D04.X14": [(resting, lose("A", 0, t150="4"))]},
    "reports_end.every_fill_has_another_side": {
        "D02.X20": [
            (part, change("A", FILL, t31="100.49", t6="100.49")),
            (part, change("B", FILL, t31="100.51", t6="100.51")),
            (part, change("A", FILL, t32="3", t14="3", t151="7")),
            (fills, lose("A", 2, t150="F")),
        ],
    },
    "reports_end.a_walk_goes_on_while_something_is_within_the_limit": {
        "D03.N1": [
            (crossed, both(sent("B", 0, t44="100.50"), change("B", ACK, 0, t44="100.50"))),
            (crossed, both(sent("B", 2, t44="100.50"), change("B", ACK, 1, t44="100.50"), change("B", END, t44="100.50"))),
        ],
        "D02.X2": [(elsewhere, both(*(sent("B", n, t55="S0") for n in range(3))))],
    },
}  # fmt: skip


MARKET = Market(INSTRUMENTS, {"A": "Anna", "B": "Bart"}, DECIMALS)


def found_in(said: Callable[[Sound], None], bend: Bend | None) -> list[tuple[str, str]]:
    x = Sound()
    x.streams = {"A": [], "B": []}
    said(x)
    streams = {
        name: [rewritten(line, {1: MARKET.accounts[name]}) if line.message.get(1) else line for line in lines]
        for name, lines in x.streams.items()
    }
    if bend is not None:
        bend(streams)
    return [(rule, f.clause) for rule, f in findings_of_streams(streams, MARKET)]


@pytest.mark.parametrize("said", [fills, market, cancels, replaces, part, crossed, resting, burst, elsewhere])
def test_unbent_streams_are_sound(said: Callable[[Sound], None]) -> None:
    assert found_in(said, None) == []


@pytest.mark.parametrize(
    ("rule", "clause", "n"),
    [
        (rule, clause, n)
        for rule, clauses in CASES.items()
        for clause, cases in clauses.items()
        for n in range(len(cases))
    ],
)
def test_a_rule_finds_what_is_wrong(rule: str, clause: str, n: int) -> None:
    said, bend = CASES[rule][clause][n]
    assert (rule, clause) in found_in(said, bend)


def test_every_clause_of_every_rule_has_a_case() -> None:
    assert {rule: sorted(c) for rule, c in STREAM_RULES.items()} == {rule: sorted(c) for rule, c in CASES.items()}
    empty = [(rule, clause) for rule, clauses in CASES.items() for clause, cases in clauses.items() if not cases]
    assert empty == []
