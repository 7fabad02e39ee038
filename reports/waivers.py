"""Deviations that a target's maker has declared, each with a day on which the excuse ends."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from matchmark.conformance.verdict import Verdict
from matchmark.reports.records import Waiver
from matchmark.reports.verdicts import WAIVABLE


def waived_clauses(waivers: Iterable[Waiver]) -> frozenset[str]:
    """The clauses whose waiver is in force."""
    return frozenset(waiver.clause for waiver in waivers if waiver.state == "in force")


def settle_waivers(waivers: Iterable[Waiver], verdicts: Mapping[str, Verdict], today: str) -> list[Waiver]:
    """The waivers with their states at the end of a run on `today` (ISO 8601 date, which compares as text).

    Expired: excuses nothing any more. Stale: the clause passes, so the waiver should go. Unused: nothing to excuse.
    """
    settled = []
    for waiver in waivers:
        verdict = verdicts.get(waiver.clause)
        if waiver.expires < today:
            state = "expired"
        elif verdict in WAIVABLE:
            state = "in force"
        else:
            state = "stale" if verdict is Verdict.PASS else "unused"
        settled.append(Waiver(waiver.clause, waiver.reason, waiver.expires, state))
    return settled
