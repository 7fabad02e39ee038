"""The checks of a game day over evidence made by hand: a clean one, and each thing that can be wrong with it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from matchmark.chaos import checks
from matchmark.chaos.controls import PLANTED, Planted
from matchmark.chaos.evidence import Evidence, Injected
from matchmark.chaos.recovery import recoveries, spread
from matchmark.conformance.checks import audit_format as f
from matchmark.conformance.checks.audit_format import Happened, Op
from matchmark.load.fix_load import ACCEPTED, ORDER, PLAN, REJECTED, REPORT, TRADED

RUN, CAPACITY, N = 7, 100, 40
T0 = 1_000_000_000_000
MS = 1_000_000


def name(session: int, number: int) -> bytes:
    return b"K%06d%03d%010d" % (RUN, session, number)


def evidence(faults: list[Injected] | None = None) -> Evidence:
    """Two sessions, an order a millisecond each; an order of the first trades whole with that of the second of its number."""
    orders, plans, reports, records = [], [], [], []
    sequence = 0
    for session in (0, 1):
        one = np.zeros(N, dtype=ORDER)
        one["sent_ns"] = T0 + np.arange(N) * MS
        one["told_ns"] = one["acknowledged_ns"] = one["sent_ns"] + MS // 2
        one["connection"] = one["last_connection"] = 1
        one["state"], one["filled_lots"], one["reports"], one["sendings"] = ACCEPTED | TRADED, 3, 2, 1
        plan = np.zeros(N, dtype=PLAN)
        plan["price_ticks"], plan["lots"], plan["sells"] = 100, 3, session
        orders.append(one)
        plans.append(plan)
    for n in range(N):
        for session in (0, 1):
            command = np.zeros(1, dtype=f.COMMAND)
            sequence += 1
            command["sequence"], command["kind"], command["op"], command["text"] = (
                sequence,
                f.Kind.COMMAND,
                Op.NEW,
                name(session, n),
            )
            command["price_ticks"], command["quantity_lots"], command["side"] = 100, 3, session
            command["time_ns"] = T0 + n * MS + MS // 4
            records.append(command.view(np.uint8))
            what = (Happened.ACCEPTED,) if session == 0 else (Happened.ACCEPTED, Happened.TRADE)
            for happened in what:
                event = np.zeros(1, dtype=f.EVENT)
                sequence += 1
                event["sequence"], event["kind"], event["event"] = sequence, f.Kind.EVENT, happened
                event["text"], event["other_text"] = name(session, n), name(0, n)
                if happened is Happened.TRADE:
                    event["price_ticks"], event["quantity_lots"], event["cum_lots"], event["body_cum_lots"] = (
                        100,
                        3,
                        3,
                        3,
                    )
                records.append(event.view(np.uint8))
            for kind in "0F":
                report = np.zeros(1, dtype=REPORT)
                report["order"], report["session"], report["kind"] = session * CAPACITY + n, session, ord(kind)
                report["exec_id"], report["number"] = 1000 * n + 10 * session + ord(kind), 2 * n + (kind == "F") + 1
                report["at_ns"] = T0 + n * MS + MS // 2
                if kind == "F":
                    report["last_lots"], report["cum_lots"], report["price_ticks"] = 3, 3, 100
                reports.append(report)
    log = np.concatenate(records).reshape(-1, f.RECORD_BYTES).view(f.RECORD)[:, 0]
    return Evidence(RUN, CAPACITY, 2, orders, plans, np.concatenate(reports), log, faults or [])


def kinds(e: Evidence) -> set[str]:
    return {finding.kind for finding in checks.findings(e)}


def keep_records(e: Evidence, keep: np.ndarray) -> None:  # type: ignore[type-arg]
    rows = np.ascontiguousarray(e.records).view(np.uint8).reshape(-1, f.RECORD_BYTES)[keep]
    e.records = np.ascontiguousarray(rows).view(f.RECORD)[:, 0]


def test_sound_evidence_has_no_findings() -> None:
    e = evidence()
    assert checks.findings(e) == []
    assert int(checks.losses(e).acknowledged.sum()) == 2 * N


@pytest.mark.parametrize("control", PLANTED, ids=lambda c: c.name)
def test_what_is_planted_is_found(control: Planted) -> None:
    wrong = control.plant(evidence())
    assert wrong is not None
    assert kinds(wrong) & set(control.kinds)


def test_names_are_read_only_when_they_are_this_runs() -> None:
    e = evidence()
    texts = np.array([name(1, 3), b"K0000080010000000003", name(0, 3) + b"~", b"", b"other"], dtype="S40")
    assert e.indexes(texts).tolist() == [CAPACITY + 3, -1, -1, -1, -1]
    assert e.row_of(np.array([CAPACITY + 3, CAPACITY + N, -1])).tolist() == [N + 3, -1, -1]


def test_a_tail_that_was_told_of_is_lost_and_names_the_orders() -> None:
    e = evidence()
    keep_records(e, np.arange(len(e.records) - 5))
    found = [finding for finding in checks.findings(e) if finding.kind == "lost"]
    assert found and name(1, N - 1).decode() in found[0].names


def test_mode_async_may_lose_its_window_and_no_more() -> None:
    end = T0 + N * MS
    cut = Injected("cut", "all", end, end + MS, end + 2 * MS, window_ns=10 * MS)
    e = evidence([cut])
    keep_records(e, np.arange(len(e.records) - 5 * 8))  # the last eight of each session: 8 ms
    assert checks.findings(e) == []
    assert int(checks.losses(e).excused.sum()) == 16
    e = evidence([cut])
    keep_records(e, np.arange(len(e.records) - 5 * 20))
    assert "lost" in kinds(e)


def test_a_hole_is_found_and_a_tail_of_a_connection_is_none() -> None:
    e = evidence()
    for orders in e.orders:
        orders["state"], orders["told_ns"] = 0, 0  # nobody was told anything
    e.reports = e.reports[:0]
    keep_records(e, np.arange(5 * (N - 3)))
    assert kinds(e) == {"untold"}  # the fills of the log have no report
    e = evidence()
    e.orders[0]["state"][5] = e.orders[0]["told_ns"][5] = 0
    e.reports = e.reports[e.reports["order"] != 5]
    mine = e.records["text"] == name(0, 5)
    other = e.records["other_text"] == name(0, 5)
    keep_records(e, ~mine & ~other)
    assert "hole" in kinds(e)


@pytest.mark.parametrize(
    ("wrong", "kind"),
    [
        (lambda e: e.orders[0].__setitem__("connection", 1) or e.records["text"].__setitem__(0, b"K9"), "invented"),
        (lambda e: e.plans[1]["price_ticks"].__setitem__(4, 101), "altered"),
        (lambda e: e.plans[1]["lots"].__setitem__(4, 2), "doubled"),
        (lambda e: e.structure.append("audit-1.log, offset 0: damaged"), "structure"),
        (lambda e: setattr(e, "settled", False), "untold"),
        (lambda e: setattr(e, "reports", e.reports[:-1]), "untold"),
    ],
)
def test_other_wrongs(wrong: Callable[[Evidence], object], kind: str) -> None:
    e = evidence()
    wrong(e)
    assert kind in kinds(e)


def test_commands_out_of_a_sessions_order_are_found() -> None:
    e = evidence()
    order = np.arange(len(e.records))
    order[[10, 15]] = order[[15, 10]]
    keep_records(e, order)
    assert "order" in kinds(e)


def test_recovery_is_from_the_last_answer_before_to_the_first_of_an_order_sent_after() -> None:
    at = T0 + 10 * MS
    e = evidence([Injected("kill", "engine", at, at, at)])
    for orders in e.orders:
        orders["acknowledged_ns"][10:] += 100 * MS
    (found,) = recoveries(e)
    assert found.gap_ns == T0 + 111 * MS + MS // 2 - (T0 + 9 * MS + MS // 2)
    assert spread([found.gap_ns or 0]) is not None and spread([]) is None


def test_of_a_partition_the_longest_silence_while_it_held_is_told() -> None:
    """Trading goes on at the one or the other: when it stood still lies somewhere within."""
    e = evidence([Injected("partition", "a", T0 + 5 * MS, T0 + 5 * MS, T0 + 400 * MS)])
    for orders in e.orders:
        orders["acknowledged_ns"][10:] += 100 * MS
    (found,) = recoveries(e)
    assert found.gap_ns == 101 * MS


def test_a_refusal_is_no_recovery() -> None:
    at = T0 + 10 * MS
    e = evidence([Injected("disk", "full", at, at, at)])
    for orders in e.orders:
        orders["state"][10:] = REJECTED
    (found,) = recoveries(e)
    assert found.gap_ns is None
