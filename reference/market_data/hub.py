"""From records to sockets: who wants which stream, one frame to all of them, and what becomes of those that do not keep up.

A client that takes no more bytes leaves all its groups at once, so it costs nothing and holds up nobody. When it has read what it
was sent it joins again as one that comes back does: the whole book as it is, and every trade since its last Update.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from matchmark.native import _native
from matchmark.reference.audit_log import Records
from matchmark.reference.market_data.book import Status, Trade
from matchmark.reference.market_data.conflate import Conflator, Key, Update
from matchmark.reference.market_data.encode import ENCODINGS, Encoder, text

_ffi: Any = _native.ffi
_fanout: Any = _native.lib.mm_fanout


class Client(Protocol):
    """What the hub knows of a connection. `write` never waits."""

    fd: int
    slow: bool
    subscriptions: dict[int, Subscription]

    def write(self, data: bytes) -> None: ...
    def drop(self, reason: str) -> None: ...


@dataclass(eq=False, slots=True)
class Subscription:
    """`last`: sequence of the last Update that the client has been given, or that it says it has."""

    client: Client
    id: object
    key: Key
    encoding: int
    last: int
    came_back: bool
    """It asked for what is behind `last`; else that is just when it came."""
    early: bool = False
    """A newcomer that came while the books were still made from the past, which is not for it."""
    was_slow: bool = False
    joined: bool = False
    over: bool = False
    recalled: tuple[int, list[Trade], list[Status]] | None = None
    """From the log: up to which record, and what."""
    recalling: bool = False


class Group:
    """Clients that get the same bytes."""

    def __init__(self) -> None:
        self.subscriptions: list[Subscription] = []
        self.fds = np.zeros(16, dtype=np.int32)
        self._at: dict[Subscription, int] = {}

    def __len__(self) -> int:
        return len(self.subscriptions)

    def add(self, subscription: Subscription) -> None:
        n = len(self.subscriptions)
        if n == len(self.fds):
            self.fds = np.concatenate([self.fds, np.zeros(n, dtype=np.int32)])
        self.fds[n] = subscription.client.fd
        self._at[subscription] = n
        self.subscriptions.append(subscription)

    def remove(self, subscription: Subscription) -> None:
        at = self._at.pop(subscription)
        moved = self.subscriptions.pop()
        if moved is not subscription:
            self.subscriptions[at] = moved
            self.fds[at] = moved.client.fd
            self._at[moved] = at


@dataclass(slots=True)
class _Stream:
    groups: tuple[Group, ...] = field(default_factory=lambda: tuple(Group() for _ in ENCODINGS))
    joining: list[Subscription] = field(default_factory=list)
    last: int = 0
    """Sequence of the last Update that was sent."""
    wanted: int = 0


class Hub:
    """`recall(subscription)` has what is not at hand any more read from the log and gives it to `recalled`."""

    def __init__(
        self, conflator: Conflator, encoder: Encoder, recall: Callable[[Subscription], None], most_clients: int
    ) -> None:
        self.conflator, self._encoder, self._recall = conflator, encoder, recall
        self.clients: set[Client] = set()
        """Those that are logged in."""
        self.live = False
        """The books are those of now; before that nobody is shown one."""
        self.stale: dict[str, Any] | None = None
        self.messages = self.updates = self.dropped = 0
        self._streams: dict[Key, _Stream] = {}
        self._waiting: set[Key] = set()
        self._which = np.zeros(max(16, most_clients), dtype=np.uint32)
        self._taken = np.zeros(max(16, most_clients), dtype=np.int64)
        self._scratch = (_ffi.from_buffer("uint32_t[]", self._which), _ffi.from_buffer("int64_t[]", self._taken))

    # --- what came ---

    def take(self, records: Records, now_ns: int) -> None:
        for update in self.conflator.take(records, now_ns):
            self._broadcast(update)

    def due(self, now_ns: int) -> None:
        for update in self.conflator.due(now_ns):
            self._broadcast(update)

    def _broadcast(self, update: Update) -> None:
        stream = self._streams.get((update.symbol, update.channel))
        if stream is None:
            return  # who wanted it was dropped a moment ago
        stream.last = update.sequence
        for encoding, group in enumerate(stream.groups):
            if not len(group):
                continue
            frame = self._encoder.frame(update, encoding)
            self.messages += len(group)
            self.updates += len(group) * update.book
            sockets = _ffi.from_buffer("int32_t[]", group.fds)
            n = _fanout(sockets, len(group), _ffi.from_buffer("uint8_t[]", frame), len(frame), *self._scratch)
            if n:
                self._fell_short(group, frame, n)

    def _fell_short(self, group: Group, frame: bytes, n: int) -> None:
        rows = zip(self._which[:n].tolist(), self._taken[:n].tolist(), strict=True)
        for subscription, taken in [(group.subscriptions[at], taken) for at, taken in rows]:
            if taken < 0:
                subscription.client.drop("the connection is broken")
            else:
                subscription.client.write(frame[taken:])  # what it does not take now makes it slow

    # --- subscriptions ---

    def subscribe(self, client: Client, subscription: Subscription) -> None:
        """It gets a snapshot as soon as there is one."""
        symbol = subscription.key[0]
        if symbol in client.subscriptions:
            self.unsubscribe(client, symbol)
        client.subscriptions[symbol] = subscription
        stream = self._streams.get(subscription.key)
        if stream is None:
            self.conflator.want(*subscription.key)
            stream = self._streams[subscription.key] = _Stream(last=self.conflator.last(*subscription.key))
        stream.wanted += 1
        if not subscription.came_back:
            subscription.last, subscription.early = stream.last, not self.live
        if not client.slow:
            self._join(subscription)

    def unsubscribe(self, client: Client, symbol: int) -> None:
        subscription = client.subscriptions.pop(symbol)
        subscription.over = True
        stream = self._streams[subscription.key]
        if subscription.joined:
            stream.groups[subscription.encoding].remove(subscription)
        stream.wanted -= 1
        if not stream.wanted:
            del self._streams[subscription.key]
            self._waiting.discard(subscription.key)
            self.conflator.unwant(*subscription.key)

    def leave(self, client: Client) -> None:
        """Its socket is about to be closed: nothing is sent to that number any more."""
        self.clients.discard(client)
        for symbol in list(client.subscriptions):
            self.unsubscribe(client, symbol)

    # --- those who do not keep up ---

    def slow(self, client: Client) -> None:
        for subscription in client.subscriptions.values():
            if subscription.joined:
                stream = self._streams[subscription.key]
                stream.groups[subscription.encoding].remove(subscription)
                subscription.joined, subscription.was_slow = False, True
                subscription.last, subscription.came_back = stream.last, True

    def reads_again(self, client: Client) -> None:
        for subscription in list(client.subscriptions.values()):
            stream = self._streams[subscription.key]
            if not subscription.joined and subscription not in stream.joining:
                if subscription.was_slow and stream.last == subscription.last:
                    self._go_on(subscription, stream)  # it has missed nothing
                else:
                    self._join(subscription)

    # --- joining ---

    def _join(self, subscription: Subscription) -> None:
        self._streams[subscription.key].joining.append(subscription)
        self._waiting.add(subscription.key)

    def settle(self) -> None:
        """Snapshots for those who wait for one, where the book is what was sent last."""
        if not self.live:
            return
        for key in list(self._waiting):
            stream = self._streams.get(key)
            if stream is None:
                self._waiting.discard(key)
                continue
            if not self.conflator.settled(*key):
                continue
            joining, stream.joining = stream.joining, []
            made: dict[tuple[int, int], bytes] = {}
            for subscription in joining:
                if subscription.over or subscription.client.slow:
                    continue
                if not self._snapshot(subscription, stream, made):
                    stream.joining.append(subscription)
            if not stream.joining:
                self._waiting.discard(key)

    def _snapshot(self, subscription: Subscription, stream: _Stream, made: dict[tuple[int, int], bytes]) -> bool:
        """Whether it needs to wait no longer."""
        if subscription.early:
            subscription.last, subscription.early = stream.last, False
        if subscription.recalling or subscription.last > self.conflator.sequence:
            return False
        cached = (subscription.last, subscription.encoding)
        if subscription.recalled or cached not in made:
            past = self._past(subscription)
            if past is None:
                return subscription.over
            trades, statuses = ([x for x in what if x.sequence <= stream.last] for what in past)
            update = self.conflator.snapshot(*subscription.key, trades, statuses)
            made[cached] = self._encoder.frame(update, subscription.encoding)
        subscription.recalled = None
        self._go_on(subscription, stream)
        self.messages += 1
        subscription.client.write(made[cached])
        return True

    def _past(self, subscription: Subscription) -> tuple[list[Any], list[Any]] | None:
        """None: not yet, or never."""
        upto, trades, statuses = subscription.recalled or (subscription.last, [], [])
        newer = self.conflator.past(subscription.key[0], upto)
        if newer is not None:
            return trades + newer[0], statuses + newer[1]
        if subscription.was_slow:
            subscription.client.drop("too slow: more trades were made than are kept for you")
        else:
            subscription.recalling = True
            self._recall(subscription)
        return None

    def recalled(self, subscription: Subscription, upto: int, found: tuple[list[Trade], list[Status]] | str) -> None:
        """What the log had up to record `upto`, or why the client does not get it."""
        subscription.recalling = False
        if subscription.over:
            return
        if isinstance(found, str):
            self.refuse(subscription, found)
            return
        _, trades, statuses = subscription.recalled or (0, [], [])
        subscription.recalled = (upto, trades + found[0], statuses + found[1])

    def refuse(self, subscription: Subscription, reason: str) -> None:
        symbol = subscription.key[0]
        self.unsubscribe(subscription.client, symbol)
        said = {"op": "refused", "id": subscription.id, "reason": reason, "symbols": [self._encoder.name(symbol)]}
        subscription.client.write(text(said))

    def _go_on(self, subscription: Subscription, stream: _Stream) -> None:
        stream.groups[subscription.encoding].add(subscription)
        subscription.joined, subscription.was_slow = True, False

    # --- to all ---

    def say(self, words: dict[str, Any], to: Iterable[Client] | None = None) -> None:
        frame = text(words)
        for client in list(self.clients if to is None else to):
            client.write(frame)

    def set_stale(self, words: dict[str, Any] | None) -> None:
        """What clients are told of the age of their data; None: it is of now."""
        if words is None and self.stale is not None:
            self.say({"op": "live"})
        elif words is not None and self.stale is None:
            self.say(words)
        self.stale = words
