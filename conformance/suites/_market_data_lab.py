"""Subscribers of a lab, whose exchange is killed under them: they come back with the last that they know and go on from there."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from typing import NoReturn

from matchmark.conformance.checks.audit_ledger import Breach
from matchmark.conformance.checks.finding import Finding
from matchmark.conformance.checks.market_data import Traded, fresh, trades_of
from matchmark.conformance.lab import Lab
from matchmark.conformance.lab_fixtures import violate
from matchmark.conformance.market_data.decoder import DEPTH
from matchmark.conformance.market_data.subscriber import Feed, FeedError, Subscriber
from matchmark.conformance.market_data.updates import Subscribed, Trade, Update
from matchmark.conformance.suites._durability import Desk
from matchmark.conformance.targets.base import TargetUnavailable
from matchmark.conformance.venue import decoder_beside

BACK_S = 40.0
"""Until a part that was killed serves again."""
WAIT_S = 15.0


class LabWatch:
    """Two traders who trade one lot after another in the lab's n-th symbol, and who listens to it. A context manager."""

    def __init__(self, lab: Lab, clause: str, symbol: str | None = None, n: int = 0) -> None:
        self.lab, self.clause, self.n = lab, clause, n
        self.rules = decoder_beside(lab.profile, lab.profile.tables["market_data"])
        if not lab.ready:
            lab.start()
        self.symbol = symbol or lab.instrument(n).symbol
        self.made: list[Traded] = []
        self._feeds: list[Feed] = []

    def __enter__(self) -> LabWatch:
        return self

    def __exit__(self, *_: object) -> None:
        for feed in self._feeds:
            feed.close()

    def desks(self) -> None:
        self.maker, self.taker = (
            Desk(self.lab, self.lab.accounts[0], "md-m."),
            Desk(self.lab, self.lab.accounts[1], "md-t."),
        )

    def trade(self, count: int, away: int = 0) -> None:
        """`count` trades of 1, 2, 3 ... lots, each answered: that trading goes on is a positive control of its own."""
        for lots in range(1, count + 1):
            self.maker.order("buy", lots, away, self.n)
            self.taker.order("sell", lots, away, self.n)
            self.made.append((self.maker.middle + away, lots, True))

    def join(self, after: int | None = None, timeout_s: float = BACK_S, channel: str = DEPTH) -> Subscriber:
        """Connected and subscribed, as soon as that is possible. The clause is broken when it is not in time."""
        until, last = time.monotonic() + timeout_s, "nothing"
        while True:
            if time.monotonic() > until:
                self.fail("a subscriber is served again", ["subscribed, and a snapshot"], [last])
            url = self.rules.url or self.lab.ready.get("websocket")
            if not url:
                raise TargetUnavailable(
                    "neither [market_data] url nor the readiness line (websocket) says where the feed is"
                )
            token = None if self.rules.anonymous else self.rules.token or self.lab.token(self.lab.accounts[0])
            feed = Feed(url, self.rules.decoder, token)
            self._feeds.append(feed)
            with suppress(FeedError):
                client = feed.connect()
                known = {self.symbol: after} if after is not None else None
                answer = client.subscribe([self.symbol], channel, after=known, timeout_s=5)
                if isinstance(answer, Subscribed) and client.wait(lambda c=client: bool(c.updates()), 5):  # type: ignore[misc]
                    return client
                last = str(answer or client.ended)
            time.sleep(0.2)

    def hears(self, client: Subscriber, total: int, timeout_s: float = WAIT_S) -> bool:
        return client.wait(lambda: len(trades_of(client.updates(self.symbol))) >= total, timeout_s)

    def fail(self, text: str, expected: Sequence[str], actual: Sequence[str]) -> NoReturn:
        violate(self.lab, Breach(self.clause, text, tuple(expected), tuple(actual)))

    def blame(self, found: Sequence[Finding]) -> None:
        for f in found:
            self.fail(f.message, f.expected, f.actual)


def known(updates: Sequence[Update]) -> tuple[int, list[Trade]]:
    """The last sequence that a client has, and the trades up to there."""
    news = fresh(updates)
    return max((u.sequence for u in news), default=0), trades_of(news)
