"""Many sessions at once, and a stream that TCP cuts anywhere: each session's orders are decided once each and in the order in
which it sent them, and what it is told is numbered without a hole."""

from __future__ import annotations

import random
from collections.abc import Iterable

import pytest

from matchmark.conformance.fix.business import Instrument, cancel
from matchmark.conformance.fix.client import FixClient
from matchmark.conformance.fix.message import Field, FixMessage
from matchmark.conformance.fix.wire import assemble, utc
from matchmark.conformance.suites._sessions import REST_TICKS, WAIT_S, SessionVenue, Stage, order, shown

pytestmark = pytest.mark.needs("fix")
SESSIONS = 6
PAIRS = 60
TRADES = 25
"""Orders of each session that trade with the others'."""
BURST = 3000
SEED = 20_260_102


def numbered(p: FixClient, kind: str, fields: list[Field]) -> bytes:
    """A message under the session's next number, not sent yet."""
    head = [(34, str(p.next_out)), (49, p.sender_comp_id), (56, p.endpoint.target_comp_id), (52, utc())]
    p.next_out += 1
    return assemble(p.endpoint.begin_string, kind, head, fields).raw


def pairs_of(venue: SessionVenue, p: FixClient, instrument: Instrument) -> tuple[list[str], list[bytes]]:
    """Orders, each followed at once by its own cancel: the ClOrdIDs of both in order, and the messages."""
    cls, raw = list[str](), list[bytes]()
    for _ in range(PAIRS):
        new, away = venue.new_cl(), venue.new_cl()
        raw.append(numbered(p, "D", order(venue, instrument, new, "buy", 1, REST_TICKS)))
        raw.append(numbered(p, "F", cancel(instrument, away, new, "buy", 1)))
        cls += [new, away]
    return cls, raw


def reports(p: FixClient, count: int) -> list[FixMessage]:
    got: list[FixMessage] = []
    while len(got) < count:
        got.append(p.expect(lambda m: m.type in "89j3", WAIT_S))
    return got


def demand_in_order(s: Stage, cls: Iterable[str], got: list[FixMessage]) -> None:
    told = [(m.type, m.get(11)) for m in got]
    wanted = [("8", cl) for cl in cls]
    if told != wanted:
        at = next((n for n, pair in enumerate(zip(told, wanted, strict=False)) if pair[0] != pair[1]), 0)
        s.fail(s.why, [f"35={kind} 11={cl}" for kind, cl in wanted[at : at + 2]], shown(got[at : at + 2]))


@pytest.mark.clause("D01.X33", "D01.X24", "D01.4")
@pytest.mark.parametrize("cut", ["one-write", "any-bytes"])
def test_orders_of_sessions_at_once_are_decided_once_each_in_the_order_of_their_session(
    venue: SessionVenue, cut: str
) -> None:
    """A cancel that overtook its order would be rejected, and be told so: every answer is a report, in the order sent."""
    with Stage(venue, "D01.X33", "orders and cancels of several sessions at once") as s:
        chance = random.Random(SEED)
        instrument = venue.fresh_symbol()
        peers = [s.peer(account=venue.accounts[n % len(venue.accounts)]) for n in range(SESSIONS)]
        work = [(p, *pairs_of(venue, p, instrument)) for p in peers]
        rest = [b"".join(raw) for _, _, raw in work]
        while any(rest):
            for n, p in enumerate(peers):
                size = len(rest[n]) if cut == "one-write" else chance.randrange(1, 2000)
                if rest[n]:
                    p.send_raw(rest[n][:size])
                    rest[n] = rest[n][size:]
        for p, cls, _ in work:
            got = reports(p, len(cls))
            demand_in_order(s, cls, got)
            demand_numbered(s, p)
            s.goes_on(p)


def demand_numbered(s: Stage, p: FixClient) -> None:
    """From the raw stream, whatever the client's own book-keeping says."""
    numbers = [line.message.seq for line in p.stream if not line.sent]
    if numbers != list(range(numbers[0], numbers[0] + len(numbers))):
        s.clause = "D01.X24"
        s.fail(
            "numbers of a session's messages rise by one", [f"{len(numbers)} from {numbers[0]}"], [str(numbers)[:400]]
        )


@pytest.mark.clause("D01.X24")
def test_numbers_rise_by_one_through_the_fills_of_sessions_that_trade_with_each_other(venue: SessionVenue) -> None:
    with Stage(venue, "D01.X24", "sessions that trade with each other") as s:
        instrument = venue.fresh_symbol()
        peers = [s.peer(account=venue.accounts[n % len(venue.accounts)]) for n in range(SESSIONS)]
        for k in range(TRADES):
            for n, p in enumerate(peers):
                side = "buy" if (n + k) % 2 else "sell"
                p.send_raw(numbered(p, "D", order(venue, instrument, venue.new_cl(), side, 1, REST_TICKS)))
        for p in [*peers, *peers]:  # the second time behind what the others' last orders caused
            s.goes_on(p)
        for p in peers:
            demand_numbered(s, p)


@pytest.mark.clause("D01.4")
def test_a_burst_is_answered_order_by_order(venue: SessionVenue) -> None:
    """Handed over in one go; each order is accepted or refused with a reason, once, and none is dropped."""
    with Stage(venue, "D01.4", "a burst of orders") as s:
        p = s.peer()
        instrument = venue.fresh_symbol()
        cls = [venue.new_cl() for _ in range(BURST)]
        p.send_raw(b"".join(numbered(p, "D", order(venue, instrument, cl, "buy", 1, REST_TICKS)) for cl in cls))
        got = reports(p, BURST)
        told = [m.get(11) for m in got if m.type == "8" and (m.get(150) == "0" or m.get(58) or m.get(103))]
        if sorted(map(str, told)) != sorted(cls):
            missing = sorted(set(cls) - set(told))[:3]
            s.fail(s.why, [f"{BURST} orders answered once each"], [f"{len(told)} answers, missing {missing}"])
        s.goes_on(p)
