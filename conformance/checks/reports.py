"""Pure functions over the FIX streams of sessions: what is wrong with the reports that an exchange sent.

`check_streams` takes whole streams, both ways, of any number of sessions, and holds them against each other: the reports of one
order against its request and the reports before, those of one execution against each other, those of one account against what
other accounts sent. It relies on nothing that FIX leaves open: the order and the presence of optional fields, the form of ids and
the wording of texts. What is known of streams is in reports_seen.py, the rules are in the other reports_*.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from matchmark.conformance.checks import (  # noqa: F401  (importing a module of rules registers them)
    reports_answers,
    reports_end,
    reports_fields,
    reports_parties,
)
from matchmark.conformance.checks.finding import Finding
from matchmark.conformance.checks.reports_seen import STREAM_RULES, Market, Streams, Traded
from matchmark.conformance.fix.message import Line

__all__ = ["STREAM_RULES", "Market", "Streams", "check_streams", "findings_of_streams"]


def findings_of_streams(
    streams: Mapping[str, Sequence[Line]], market: Market, complete: bool = True
) -> Iterator[tuple[str, Finding]]:
    """Each finding with the name of the rule that made it, in the order in which the reports came."""
    yield from Streams(market).check(streams, complete)


def check_streams(
    streams: Mapping[str, Sequence[Line]],
    instruments: Mapping[str, Traded] | None = None,
    *,
    accounts: Mapping[str, str] | None = None,
    average_decimals: int = 2,
    complete: bool = True,
) -> list[Finding]:
    """All that is wrong with whole streams. `complete`: every session has read all that was sent to it."""
    market = Market(instruments or {}, accounts or {}, average_decimals)
    return [found for _, found in findings_of_streams(streams, market, complete)]
