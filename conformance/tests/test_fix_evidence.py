"""A violation over FIX: its wire log is its transcript, in the text, in the rows of the evidence, and on the page."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from matchmark.conformance.history import Exchange, History, WireLine, history_of, read_jsonl
from matchmark.conformance.messages import Accepted, New
from matchmark.conformance.verdict import ClauseViolation, fix_violation, violations_in
from matchmark.reports import wirelog


@dataclass(frozen=True)
class Said:
    raw: bytes
    at_ns: int


@dataclass(frozen=True)
class Line:
    sent: bool
    message: Said


STREAMS = {
    "A1-0": [
        Line(True, Said(b"8=FIX.4.4\x0135=D\x0111=c1\x0110=001\x01", 5)),
        Line(False, Said(b"35=8\x0158=\xff\x01", 9)),
    ],
    "A2-0": [Line(False, Said(b"35=8\x0111=c2\x01", 7))],
}


def violated() -> ClauseViolation:
    with pytest.raises(ClauseViolation) as caught:
        fix_violation("D01.X24", "a number was left out", ["34=3"], ["34=4"], STREAMS)
    return caught.value


def test_the_log_of_all_sessions_is_in_order_of_time_and_can_be_read():
    text = str(violated()).splitlines()
    assert text[-3:] == [
        "   A1-0 -> 8=FIX.4.4|35=D|11=c1|10=001|",
        "   A2-0 <- 35=8|11=c2|",
        r"   A1-0 <- 35=8|58=\xff|",
    ]
    assert [v.finding.clause for v in violations_in(violated())] == ["D01.X24"]


def test_evidence_rows_can_be_read_back():
    history = violated().history
    assert history_of(history.rows()).wire == history.wire
    line = WireLine("A1-0", True, "35=D|", 3)
    both = History(
        [Exchange(New("c1", "A1", "S0", "buy", "limit", 1, 2), (Accepted("c1"),), 1, 2, wire=(line,))], [line]
    )
    assert read_jsonl(both.json_lines(test="t")) == both


def test_the_certificate_shows_each_message_with_session_name_and_tags():
    rows = wirelog.rows(violated().history.rows(), None)
    assert [row.marked for row in rows] == [False, False, True]
    assert rows[0].sent is not None
    assert rows[0].sent.verb == "A1-0 → NewOrderSingle"
    assert ("11", "c1") in rows[0].sent.fields
    assert rows[0].answers == ()
    assert (rows[1].sent, rows[1].answers[0].verb) == (None, "A2-0 ← ExecutionReport")
    assert rows[2].at == "4 ns"
