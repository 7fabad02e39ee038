"""What the suites of market data have in common: subscribers beside trading parties, waiting until they have heard all, judging.

A test trades over FIX in fresh symbols. What the model does with the requests, in the order that explains every report, is the
truth that subscribers are held against (checks/market_data.py).
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NoReturn

from matchmark.conformance.checks.differential import ModelOfTarget
from matchmark.conformance.checks.finding import Finding
from matchmark.conformance.checks.market_data import (
    Tape,
    check_books,
    check_chain,
    check_last,
    check_trades,
    last_shown,
    tapes,
    trades_of,
)
from matchmark.conformance.checks.reports_serial import serial_history
from matchmark.conformance.fix import business
from matchmark.conformance.fix.business import Instrument
from matchmark.conformance.history import History
from matchmark.conformance.market_data.decoder import DEPTH, PROTOBUF
from matchmark.conformance.market_data.subscriber import Feed, FeedError, Subscriber
from matchmark.conformance.market_data.updates import Subscribed, Update, quote_of
from matchmark.conformance.messages import Side
from matchmark.conformance.suites._trading import Floor, Party, trading
from matchmark.conformance.targets.base import Instruments
from matchmark.conformance.timing import raw_ns
from matchmark.conformance.venue import Venue
from matchmark.conformance.verdict import violation_type, wire_log

PATIENCE_S = 10.0
"""An update that has not come by then is not coming."""
LINGER_S = 0.05
"""When all has come, what should not come gets so long to come all the same: five windows."""
SLACK_NS = 60_000_000
"""A busy machine reads messages in heaps that were sent at intervals."""
MIDDLE = 10_050


class Watch:
    """A floor and the feed that tells of it."""

    def __init__(self, venue: Venue, floor: Floor) -> None:
        self.venue, self.floor = venue, floor
        self.rules = venue.market_data
        self.feed: Feed = venue.feed()

    # --- subscribing ---

    def subscriber(
        self,
        *on: Instrument,
        clause: str,
        channel: str = DEPTH,
        encoding: str = PROTOBUF,
        after: dict[str, int] | None = None,
    ) -> Subscriber:
        """A client that is subscribed to the floor's symbol, or to these, and has its snapshots: the positive control of all
        that it is then asked."""
        try:
            client = self.feed.connect()
        except FeedError as error:
            self.violate(clause, "a subscriber with a good token is connected", ["a connection"], [str(error)])
        self.subscribe(client, *on, clause=clause, channel=channel, encoding=encoding, after=after)
        return client

    def subscribe(
        self,
        client: Subscriber,
        *on: Instrument,
        clause: str,
        channel: str = DEPTH,
        encoding: str = PROTOBUF,
        after: dict[str, int] | None = None,
    ) -> None:
        symbols = [at.symbol for at in on or (self.floor.on,)]
        before = len(client.heard)
        answer = client.subscribe(symbols, channel, encoding, after, PATIENCE_S)
        if not isinstance(answer, Subscribed):
            said = [str(h) for h in client.heard[-5:]] + [client.ended or ""]
            self.violate(clause, "a good subscription is accepted", [f"subscribed to {', '.join(symbols)}"], said)

        def shown() -> bool:
            here = [h for h in client.heard[before:] if isinstance(h, Update) and h.snapshot]
            return {u.symbol for u in here} >= set(symbols)

        if not client.wait(shown, PATIENCE_S):
            self.violate(
                clause, "a subscription is answered with a snapshot", [f"of {', '.join(symbols)}"], ["nothing"]
            )

    # --- the truth ---

    def tapes(self) -> Mapping[str, Tape]:
        """Of all symbols, when everything is settled."""
        self.floor.settle()
        floor = self.floor
        info = replace(self.venue.profile.info, instruments=Instruments(tuple(floor.instruments)))
        history, wrong = serial_history(floor.streams(), floor.market, ModelOfTarget(info))
        if wrong is not None:
            floor.blame([wrong])
        found = tapes(history, info)
        return {symbol: found.get(symbol, Tape(symbol)) for symbol in floor.instruments}

    def tape(self) -> Tape:
        return self.tapes()[self.floor.on.symbol]

    # --- judging ---

    def caught_up(
        self, client: Subscriber, tape: Tape, timeout_s: float = PATIENCE_S, total: int | None = None
    ) -> bool:
        """Waits until the client has heard all trades (`total` of them) and is shown the last book, and a little longer; whether
        it has."""
        wanted = len(tape.trades) if total is None else total

        def there() -> bool:
            heard = client.updates(tape.symbol)
            if len(trades_of(heard)) < wanted:
                return False
            return last_shown(heard) in (tape.last, quote_of(tape.last))

        came = client.wait(there, timeout_s)
        time.sleep(LINGER_S)
        return came

    def judge(self, client: Subscriber, tape: Tape, *clauses: str, total: int | None = None) -> None:
        """Everything that one subscriber heard of a symbol, it being subscribed all the time: trades, chain, books, the last
        book. Of `clauses`, if any, only what breaks one of them is held against the target."""
        self.caught_up(client, tape, total=total)
        updates = client.updates(tape.symbol)
        found = check_trades(tape.trades, trades_of(updates))
        found += check_chain(updates)
        if not found:
            found += check_books(tape, updates)
        if not found:
            found += check_last(tape, updates, "D09.6")
        self.blame([f for f in found if not clauses or f.clause in clauses], client)

    def blame(self, found: Sequence[Finding], *clients: Subscriber) -> None:
        """Nothing when nothing was found."""
        if not found:
            return
        firsts = {f.clause: f for f in reversed(found)}
        history = self.history(*clients)
        raised = violation_type(found[0].clause)(found[0], history)
        raised.also = [violation_type(c)(f, history) for c, f in sorted(firsts.items()) if c != found[0].clause]
        raise raised

    def violate(self, clause: str, message: str, expected: Sequence[str], actual: Sequence[str]) -> NoReturn:
        found = Finding(clause, -1, message, tuple(expected), tuple(actual))
        raise violation_type(clause)(found, self.history(*self.feed.subscribers[:4]))

    def history(self, *clients: Subscriber) -> History:
        said: dict[str, Any] = {**self.floor.streams()}
        said |= {client.name: client.stream for client in clients}
        return History(wire=wire_log(said))


@contextmanager
def watching(venue: Venue, on: Instrument | None = None) -> Iterator[Watch]:
    """A test's floor with a feed beside it."""
    with trading(venue, on) as floor:
        yield Watch(venue, floor)


def ages_ns(clients: Iterable[Subscriber], symbol: str) -> list[int]:
    """How old each update with trades was when a client had read it, where the feed says when it was made."""
    later = raw_ns(0)
    updates = (u for client in clients for u in client.updates(symbol) if u.trades and not u.snapshot and u.made_ns)
    return [u.at_ns + later - u.made_ns for u in updates]


# --- flows ---


def order_fields(party: Party, side: str, lots: int, ticks: int | None, tif: str = "day") -> tuple[str, list[Any]]:
    """A NewOrderSingle for `send_cut`, known to the floor."""
    floor = party.floor
    cl = floor.venue.new_cl()
    floor.sides[cl], floor.orders[cl] = side, (party.account, floor.on)
    fields = business.new_order(floor.on, cl, side, lots, ticks, tif=tif)
    return "D", floor.with_account(party.account, fields)


def rest(party: Party, side: str, count: int, lots: int = 10, away: int = 1, step: int = 1) -> None:
    """`count` orders from the middle outwards, `step` ticks apart, in one run of bytes."""
    out = -1 if side == Side.BUY else 1
    party.send_cut([order_fields(party, side, lots, MIDDLE + out * (away + n * step)) for n in range(count)], None)


def hit(party: Party, side: str, sizes: Sequence[int]) -> None:
    """So many IOC orders in one run of bytes, at any price."""
    ticks = MIDDLE + 500 if side == Side.BUY else MIDDLE - 500
    party.send_cut([order_fields(party, side, lots, ticks, "ioc") for lots in sizes], None)


def stir(party: Party, seconds: float) -> None:
    """Changes of the best bid for so long, some in each window of conflation: one new best each, the one before cancelled."""
    until = time.monotonic() + seconds
    n, last = 0, None
    while time.monotonic() < until:
        cl = party.buy(1 + n % 7, MIDDLE - 20 + n % 10)
        if last is not None:
            party.cancel(last)
        last, n = cl, n + 1
        party.gather()
        time.sleep(0.001)
