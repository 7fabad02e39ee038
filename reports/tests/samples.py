"""Results to draw and to sign: the real register with invented verdicts of an invented target.

Used by the tests, and by hand to look at a page: `python samples.py pass|fail|inconclusive|hostile OUT.html`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from matchmark.conformance.history import Exchange, exchange_to_wire
from matchmark.conformance.messages import Accepted, Cancel, Cancelled, New, Side, Tif, Trade
from matchmark.conformance.verdict import Verdict
from matchmark.reports.describe import describe_from_register
from matchmark.reports.html import render
from matchmark.reports.records import (
    ClauseResult,
    Evidence,
    FileDigest,
    LatencyRow,
    LoadSummary,
    Results,
    Signer,
    TargetSummary,
    Waiver,
)
from matchmark.reports.verdicts import LevelStatus, judge_level

LEVELS = ("matching", "order-entry", "market-data", "durability", "safety", "availability", "wire")
CAPABILITIES = ["limit", "market", "ioc", "cancel", "accounts", "validation", "duplicate_check", "multi_symbol", "top"]
SUITE = "conformance/suites/test_d04_cancel.py"


def results(kind: str = "pass") -> Results:
    """`pass`: all of level matching passes. `fail`, `inconclusive`: some do not. `hostile`: every text attacks."""
    from matchmark.conformance.clauses import load

    clauses = [_clause(c, n) for n, c in enumerate(load())]
    by_id = {c.id: c for c in clauses}
    if kind in ("fail", "hostile"):
        _fail(by_id)
    if kind == "inconclusive":
        _leave_open(by_id)
    bare = Results(
        matchmark="0.1.0",
        spec="1.0",
        target=TargetSummary("Liquibook", "2.0.1", CAPABILITIES),
        seed=1,
        started="2026-11-23T14:05:09+00:00",
        ended="2026-11-23T14:06:02+00:00",
        environment={
            "python": "3.11.7",
            "kernel": "Linux 6.1.0-26-amd64",
            "cpu": "Intel Xeon Platinum 8375C, 2 cores",
            "packages": {"hypothesis": "6.168.0", "pytest": "9.0.1"},
        },
        levels={},
        clauses=clauses,
        latency=_latency() if kind != "inconclusive" else [],
        invocation="matchmark certify --target docs/examples/liquibook/target.toml --level matching --seed 1",
        notes=["Driven as a subprocess, one command at a time"],
        duration_s=53.2,
        waivers=[Waiver("D04.X2", "answers strangers with a reason of its own until release 2.1", "2027-06-30")]
        if kind == "fail"
        else [],
        signer=Signer("3f1c-90aa-71be-d204", "q83vEjRWeJq83vEjRWeJq83vEjRWeJq83vEjRWeJq80=", "made here"),
        load=_load(kind) if kind != "inconclusive" else None,
        files=[FileDigest("history.jsonl", "ab" * 32, 18_734_221), FileDigest("junit.xml", "cd" * 32, 41_007)],
    )
    described = describe_from_register(bare)
    waived = {w.clause for w in described.waivers}
    judged = judge_level("matching", [(c, c) for c in described.clauses], [], waived=waived)
    for level in LEVELS:
        described.levels[level] = judged[0] if level == "matching" else LevelStatus.NOT_ASSESSED
        described.level_reasons[level] = judged[1] if level == "matching" else "Not asked for."
    if kind == "hostile":
        _poison(described)
    return described


def _clause(clause: Any, n: int) -> ClauseResult:
    if "matching" not in clause.levels or clause.untested:
        return ClauseResult(clause.id, clause.strength, Verdict.UNTESTED, clause.untested or "level not asked for")
    if missing := [need for need in clause.needs if need not in CAPABILITIES]:
        reason = f"the target does not declare {', '.join(missing)}"
        return ClauseResult(clause.id, clause.strength, Verdict.NOT_APPLICABLE, reason)
    suite = {"D01": "d01_limit_order", "D02": "d02_market_order", "D03": "d03_partial_fill", "D04": "d04_cancel"}
    file = f"conformance/suites/test_{suite.get(clause.diagram, 'd07_price_walk')}.py"
    tests = [f"{file}::test_{clause.id.lower().replace('.', '_')}", f"{file}::test_random_flow"]
    mutants = ["priority_inverted_in_level", "level_skipped", "ioc_remainder_rests"][: n % 4]
    return ClauseResult(clause.id, clause.strength, Verdict.PASS, tests=tests, examples=1000 + 37 * n, mutants=mutants)


def _fail(by_id: dict[str, ClauseResult]) -> None:
    cancel = by_id["D04.E1"]
    cancel.verdict = Verdict.FAIL
    cancel.reason = "2 of 1,148 examples"
    cancel.evidence = [_evidence("D04.E1"), _evidence("D04.E1")]
    walk = by_id["D07.X1"]
    walk.verdict, walk.reason = Verdict.FAIL, ""
    walk.evidence = [
        Evidence(
            "D07.X1",
            "conformance/suites/test_d07_price_walk.py::test_random_flow",
            "The incoming order traded at 10047 while 200 lots were left at 10048, the better price.",
            [
                "trade sym=S0 px=10048 qty=200 resting=c3 incoming=c9",
                "trade sym=S0 px=10047 qty=100 resting=c4 incoming=c9",
            ],
            ["trade sym=S0 px=10047 qty=300 resting=c4 incoming=c9"],
            _long_transcript(),
            "matchmark certify --target docs/examples/liquibook/target.toml --clause D07.X1 --seed 1",
            seed=1,
            index=82,
        )
    ]
    waived = by_id["D04.X2"]
    waived.verdict, waived.reason = Verdict.FAIL, "waived"
    waived.evidence = [
        Evidence("D04.X2", f"{SUITE}::test_strangers", "A stranger's cancel was answered in other words.")
    ]


def _leave_open(by_id: dict[str, ClauseResult]) -> None:
    hung = by_id["D04.X4"]
    hung.verdict, hung.reason = Verdict.INCONCLUSIVE, "no complete answer within 5 s"
    exchange = Exchange(New("c8", "A1", "S0", Side.SELL, "limit", 5, 10049), (), 9_000, 0, "no answer within 5 s")
    hung.evidence = [
        Evidence(
            "D04.X4",
            f"{SUITE}::test_level_emptied_and_refilled",
            "The target stopped answering after a level was emptied and refilled 40 times.",
            transcript=[*_transcript(), exchange_to_wire(exchange)],
            reproduce="matchmark certify --target docs/examples/liquibook/target.toml --clause D04.X4 --seed 1",
            note="The same commands were answered at the second attempt, so this is neither a pass nor a failure.",
        )
    ]
    blocked = by_id["D08.5"]
    blocked.verdict, blocked.reason = Verdict.BLOCKED, "the positive control failed: a plain limit order did not rest"


def _evidence(clause: str) -> Evidence:
    return Evidence(
        clause,
        f"{SUITE}::test_cancel_of_a_part_filled_order[sell]",
        "The cancel of a part-filled order gave back the original 500 lots and not the 200 that were left.",
        ["cancelled cl=c1 leaves=200 cum=300"],
        ["cancelled cl=c1 leaves=500 cum=0", "top sym=S0 bid=null ask=null"],
        _transcript(),
        f"matchmark certify --target docs/examples/liquibook/target.toml --clause {clause} --seed 1",
        seed=1,
        index=2,
    )


def _transcript() -> list[dict[str, Any]]:
    exchanges = [
        Exchange(New("c1", "A1", "S0", Side.SELL, "limit", 500, 10048), (Accepted("c1", "1"),), 1_000, 15_200),
        Exchange(
            New("c2", "A2", "S0", Side.BUY, "limit", 300, 10048, Tif.IOC),
            (Accepted("c2", "2"), Trade("S0", 10048, 300, "c1", "c2")),
            21_000,
            33_000,
        ),
        Exchange(Cancel("c3", "c1", "A1", "S0"), (Cancelled("c1", 500, 0, "requested"),), 1_240_000, 1_251_000),
        Exchange(New("c4", "A2", "S0", Side.BUY, "limit", 10, 10048), (Accepted("c4", "3"),), 1_300_000, 1_309_000),
    ]
    return [exchange_to_wire(x) for x in exchanges]


def _long_transcript() -> list[dict[str, Any]]:
    exchanges = [
        Exchange(New(f"c{n}", "A1", "S0", Side.BUY, "limit", 100, 10050 - n), (Accepted(f"c{n}", str(n)),), n * 9_000)
        for n in range(110)
    ]
    return [exchange_to_wire(x) for x in exchanges]


def _latency() -> list[LatencyRow]:
    return [
        LatencyRow("gateway to queue", 120_000, 4_100, 9_300, 21_000, 160_000, 15_000),
        LatencyRow("dequeue to match", 120_000, 180, 420, 1_900, 41_000, 30_000),
        LatencyRow("acknowledgement", 120_000, 21_000, 74_000, 310_000, 2_100_000, 60_000),
        LatencyRow("round trip, adapter included", 120_000, 38_000, 96_000, 450_000, 3_000_000),
    ]


def _load(kind: str) -> LoadSummary:
    rows = [
        LatencyRow(
            "response, from the intended time to the first answer", 90_113, 290_000, 4_550_000, 9_100_000, 12_000_000
        ),
        LatencyRow("floor, an echo that answers at once", 30_021, 129_000, 1_200_000, 2_400_000, 3_100_000),
    ]
    wrong = ["price: 1 execution at a price worse than the limit (K1-7)"] if kind == "fail" else []
    return LoadSummary(
        "The mix specification, poisson, 10,000/s, 10 s, 4 sessions", 10_007, 10_005, 90_113, rows, wrong,
        judged="60,000 commands held against the model, 150,000 log records",
        warnings=["others used 12 % of the processors' time"],
    )  # fmt: skip


HOSTILE = "</script><script>alert(1)</script>\" onmouseover='x' {{7*7}} \x00\u202e\ud800 <img src=//evil/x>"


def _poison(results: Results) -> None:
    """Put the attack wherever text comes from outside."""
    results.target.name = results.target.version = HOSTILE
    results.target.capabilities = [HOSTILE]
    results.invocation, results.spec, results.matchmark = HOSTILE, HOSTILE, HOSTILE
    results.environment = {HOSTILE: HOSTILE, "nested": {HOSTILE: [HOSTILE]}}
    results.notes = [HOSTILE]
    results.latency[0].stage = HOSTILE
    assert results.load is not None
    results.load.plan = results.load.trouble = results.load.judged = results.load.latency[0].stage = HOSTILE
    results.load.warnings = [HOSTILE]
    results.files = [FileDigest("javascript:alert(1)", HOSTILE, 1)]
    results.waivers = [Waiver(HOSTILE, HOSTILE, HOSTILE)]
    results.level_reasons = dict.fromkeys(results.levels, HOSTILE)
    results.levels[HOSTILE] = LevelStatus.NOT_ASSESSED
    for clause in results.clauses:
        clause.text = clause.reason = HOSTILE
        clause.tests = [HOSTILE]
        clause.mutants = [HOSTILE]
        for e in clause.evidence:
            e.message = e.reproduce = e.test = e.note = HOSTILE
            e.expected, e.actual = [HOSTILE, "same"], ["same", HOSTILE]
            e.transcript = [{"command": {HOSTILE: HOSTILE}, "events": [HOSTILE, {"ev": HOSTILE}], "failure": HOSTILE}]
            e.index = 0


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(render(results(sys.argv[1])), encoding="utf-8")
