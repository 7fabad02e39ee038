"""A subscriber that comes back whenever it is cut off, and what it heard, to be judged by others."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from matchmark.conformance.market_data.decoder import Decoder
from matchmark.conformance.market_data.subscriber import Feed, FeedError, Subscriber
from matchmark.conformance.market_data.updates import Dropped, Refused, Subscribed, Unreadable, Update

POLL_S = 0.01
AGAIN_S = 0.1
ANSWER_S = 10.0


@dataclass(frozen=True, slots=True)
class Joined:
    """A subscription begins here. `after`: what of each symbol the subscriber said that it had heard; empty for a newcomer.
    `at_ns`: it had not asked before, by the engine's clock (CLOCK_MONOTONIC_RAW)."""

    after: dict[str, int] = field(default_factory=dict)
    at_ns: int = 0


@dataclass(frozen=True)
class Manner:
    """How a listener subscribes. `remembers`: it comes back with the last sequence of each symbol, else as a newcomer."""

    name: str
    channel: str
    encoding: str
    remembers: bool = True


class Listener:
    """A thread of its own. `fresh`: what was heard and not taken yet, in its order; whoever takes it pops from the left."""

    def __init__(
        self, manner: Manner, url: str, decoder: Callable[[], Decoder], token: str | None, symbols: Sequence[str]
    ) -> None:
        self.manner, self.symbols = manner, tuple(symbols)
        self.fresh: deque[Joined | Update] = deque()
        self.unreadable: list[str] = []
        self.refused: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()
        self.joins = 0
        self.failure = ""
        """What ended its thread."""
        self._known: dict[str, int] = {}
        self._feed = Feed(url, decoder, token)
        self._told = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"listener {manner.name}", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._told.set()
        self._thread.join(ANSWER_S * 2)
        self._feed.close()

    def _run(self) -> None:
        try:
            self._listen()
        except Exception as error:  # told to whoever judges it
            self.failure = f"{type(error).__name__}: {error}"

    def _listen(self) -> None:
        while not self._told.is_set():
            subscriber = self._joined()
            if subscriber is None:
                self._told.wait(AGAIN_S)
                continue
            while subscriber.ended is None and not self._told.is_set():
                self._take(subscriber)
                time.sleep(POLL_S)
            self._take(subscriber)
            self._leave(subscriber)

    def _joined(self) -> Subscriber | None:
        """Connected and subscribed; None when that cannot be had now."""
        try:
            subscriber = self._feed.connect(self.manner.name)
        except FeedError:
            self._feed.subscribers.clear()
            return None
        after, at_ns = (
            dict(self._known) if self.manner.remembers else {},
            time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW),
        )
        answer = subscriber.subscribe(self.symbols, self.manner.channel, self.manner.encoding, after, ANSWER_S)
        if isinstance(answer, Subscribed):
            self.joins += 1
            self.fresh.append(Joined(after, at_ns))
            return subscriber
        if isinstance(answer, Refused):
            self.refused[answer.reason] += 1
        self._leave(subscriber)
        return None

    def _leave(self, subscriber: Subscriber) -> None:
        with suppress(Exception):  # the server was killed: there is nobody to say goodbye to
            subscriber.close()
        self._feed.subscribers.clear()

    def _take(self, subscriber: Subscriber) -> None:
        count = len(subscriber.heard)
        heard = subscriber.heard[:count]
        del subscriber.heard[:count]
        subscriber.stream.clear()
        for h in heard:
            if isinstance(h, Update):
                self._known[h.symbol] = h.sequence
                self.fresh.append(replace(h, raw=b""))
            elif isinstance(h, Unreadable):
                self.unreadable.append(h.why)
            elif isinstance(h, Dropped):
                self.dropped[h.reason] += 1
            elif isinstance(h, Refused):
                self.refused[h.reason] += 1
