"""Any flow over several FIX sessions at once: what all of them are told is judged report by report, and as a whole.

Requests are sent without waiting for answers, so that many are on their way together; whichever the exchange takes first, the
streams must make sense.
"""

from __future__ import annotations

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from matchmark.conformance.flow_rules import Choices
from matchmark.conformance.plugin import Examples
from matchmark.conformance.suites._trading import Floor, Party, trading
from matchmark.conformance.venue import Venue

pytestmark = pytest.mark.needs("fix", "limit", "market", "ioc", "cancel", "accounts")

EXAMPLES_MAX = 30
"""Each is 30 requests on four sessions."""
PARTIES = 4
CHOICES = Choices(
    party=range(PARTIES),
    what=("limit", "limit", "limit", "ioc", "market", "cancel", "limit", "replace", "status", "stranger"),
    side=("buy", "sell"),
    away=(0, 1, -1, 2, -2, 3),
    lots=(10, 1, 3, 7, 25, 100),
    back=range(4),
    pause=(False, False, False, True),
)


CHOICES_LIST = st.lists(CHOICES.one(), min_size=10, max_size=30)


def act(floor: Floor, party: Party, mine: list[str], others: list[str], c: dict[str, object]) -> None:
    """One request of a party; those about orders name one of its latest ones, or a stranger's."""
    what, side, lots = str(c["what"]), str(c["side"]), int(str(c["lots"]))
    px = 10_050 + int(str(c["away"]))
    known = mine[-4:][int(str(c["back"])) % max(len(mine[-4:]), 1)] if mine else None
    if what in ("limit", "ioc", "market"):
        cl = party.new(side, lots, None if what == "market" else px, tif="ioc" if what == "ioc" else "day")
        mine.append(cl)
    elif what == "stranger" and others:
        party.cancel(others[-1])
    elif known is None:
        party.cancel(floor.venue.new_cl())
    elif what == "replace" and "replace" in floor.has:
        mine.append(party.replace(known, lots, px))
    elif what == "status" and "order_status" in floor.has:
        party.status(known)
    else:
        party.cancel(known)


@pytest.mark.clause(
    "D01.1", "D01.X32", "D01.X33", "D02.X20", "D02.X21", "D03.N1", "D03.N3", "D04.1", "D04.X20", "D04.X21", "D07.N1",
    "D07.X20", "D08.X20", "D03.X10", "D02.X5", "D04.X5",
)  # fmt: skip
@pytest.mark.parametrize("way", ["in flight", "one by one"])
def test_whatever_is_sent_all_sessions_are_told_the_truth(
    venue: Venue, examples: Examples, property_settings: hypothesis.settings, way: str
) -> None:
    """Every report agrees with its request and the ones before, both sides of every trade agree, and some order of the requests
    explains it all."""

    @hypothesis.settings(property_settings, max_examples=min(property_settings.max_examples, EXAMPLES_MAX))
    @given(cards=CHOICES_LIST)
    def run(cards: list[int]) -> None:
        with trading(venue) as floor:
            parties = [floor.party(n + 1) for n in range(PARTIES)]
            sent: list[list[str]] = [[] for _ in parties]
            for card in cards:
                c = CHOICES.take(card)
                k = int(str(c["party"]))
                act(floor, parties[k], sent[k], sent[(k + 1) % PARTIES], c)
                if way == "one by one" or c["pause"]:
                    floor.settle()
            floor.settle()
            floor.judge()
            floor.explain()
        examples.add()

    run()
