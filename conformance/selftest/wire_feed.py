"""Wire mutants of market data: each gets one thing wrong between a sound feed and its subscribers."""

from __future__ import annotations

import asyncio
import copy
import struct
from collections.abc import Callable
from typing import Any

from matchmark.conformance.selftest.direct_proxy import DirectTap
from matchmark.conformance.selftest.feed_proxy import FeedClient, Tap, Update
from matchmark.conformance.selftest.wire_declare import BrokenWire, wire_mutant

BROKER_NAMED = b"\x7a\x04ACC1"
"""Field 15, a string: what a subscriber's decoder leaves alone."""


class Sound(BrokenWire):
    """Alters neither orders nor market data, which goes through its proxies all the same."""

    tap, direct_tap = Tap, DirectTap


def feed_mutant(name: str, *, breaks: tuple[str, ...], story: str) -> Callable[[type[Tap]], type[Tap]]:
    def declare(tap: type[Tap]) -> type[Tap]:
        wire_mutant(f"feed-{name}", breaks=breaks, story=story)(type(tap.__name__, (BrokenWire,), {"tap": tap}))
        return tap

    return declare


class Counting(Tap):
    """For bugs that hit one in so many."""

    def __init__(self) -> None:
        self.count = 0

    def every(self, n: int) -> bool:
        self.count += 1
        return self.count % n == 0


# --- trades ---


@feed_mutant("trade-dropped", breaks=("D09.1", "D09.X1"), story="One trade in five was lost on its way.")
class TradeDropped(Counting):
    def updates(self, client: FeedClient, update: Update) -> list[Update]:
        kept = [t for t in update.trades if not self.every(5)]
        del update.trades[:]
        update.trades.extend(kept)
        return [update]


@feed_mutant(
    "trades-made-one", breaks=("D09.X1", "D09.1"), story="Trades at one price in one batch were published as their sum."
)
class TradesMadeOne(Tap):
    def updates(self, client: FeedClient, update: Update) -> list[Update]:
        kept: list[Any] = []
        for t in update.trades:
            if kept and (kept[-1].price_ticks, kept[-1].sold) == (t.price_ticks, t.sold):
                kept[-1].quantity_lots += t.quantity_lots
                kept[-1].sequence = t.sequence
            else:
                kept.append(copy.deepcopy(t))
        del update.trades[:]
        update.trades.extend(kept)
        return [update]


@feed_mutant(
    "only-last-trade-of-a-batch",
    breaks=("D09.X1", "D09.1"),
    story="Trades were conflated like quotes: the last one stood.",
)
class LastTrade(Tap):
    def updates(self, client: FeedClient, update: Update) -> list[Update]:
        del update.trades[:-1]
        return [update]


@feed_mutant("update-sent-twice", breaks=("D09.1",), story="A retry sent each third update with trades a second time.")
class Twice(Counting):
    def updates(self, client: FeedClient, update: Update) -> list[Update]:
        return [update, update] if update.trades and not update.snapshot and self.every(3) else [update]


@feed_mutant("trades-swapped", breaks=("D09.1",), story="Trades of one command were sorted by quantity.")
class Swapped(Tap):
    def updates(self, client: FeedClient, update: Update) -> list[Update]:
        values = sorted((t.quantity_lots, t.price_ticks, t.sold) for t in update.trades)
        for t, (lots, ticks, sold) in zip(update.trades, values, strict=True):
            t.quantity_lots, t.price_ticks, t.sold = lots, ticks, sold
        return [update]


@feed_mutant(
    "quantity-in-sixteen-bits", breaks=("D09.7", "D09.1"), story="Quantities were cut to sixteen bits to save a byte."
)
class SixteenBits(Tap):
    def updates(self, client: FeedClient, update: Update) -> list[Update]:
        for t in update.trades:
            t.quantity_lots &= 0xFFFF
        return [update]


@feed_mutant(
    "price-by-float", breaks=("D09.7", "D09.1"), story="Prices went through a float of 32 bits and were cut to ticks."
)
class Float(Tap):
    def updates(self, client: FeedClient, update: Update) -> list[Update]:
        for t in update.trades:
            t.price_ticks = int(struct.unpack("f", struct.pack("f", t.price_ticks * 0.01))[0] * 100)
        return [update]


@feed_mutant(
    "trade-too-large",
    breaks=("D09.7",),
    story="Each trade carried a field that nobody asked for, and came to 20 bytes.",
)
class TooLarge(Tap):
    def updates(self, client: FeedClient, update: Update) -> list[Update]:
        for t in update.trades:
            t.MergeFromString(b"\x7a\x0fmatchmark-trade")
        return [update]


@feed_mutant("party-named", breaks=("D02.N4",), story="The buyer's account was in each trade's message.")
class Named(Tap):
    def encoded(self, client: FeedClient, update: Update) -> bytes:
        return super().encoded(client, update) + BROKER_NAMED * bool(update.trades)


# --- the book ---


@feed_mutant(
    "snapshot-one-behind", breaks=("D09.X4", "D09.X2"), story="Snapshots were taken before the last change was applied."
)
class OneBehind(Tap):
    def __init__(self) -> None:
        self.last: dict[int, list[Any]] = {}

    def updates(self, client: FeedClient, update: Update) -> list[Update]:
        if update.snapshot:
            missing = {(x.ask, x.price_ticks) for x in self.last.get(update.symbol, ())}
            kept = [x for x in update.levels if (x.ask, x.price_ticks) not in missing]
            del update.levels[:]
            update.levels.extend(kept)
        elif update.levels:
            self.last[update.symbol] = list(update.levels)
        return [update]


@feed_mutant(
    "empty-level-on-the-other-side",
    breaks=("D09.X2",),
    story="A level that emptied was taken from the other side's book.",
)
class OtherSide(Tap):
    def updates(self, client: FeedClient, update: Update) -> list[Update]:
        for x in update.levels:
            if not x.quantity_lots:
                x.ask = not x.ask
        return [update]


@feed_mutant(
    "best-left-standing", breaks=("D09.X2",), story="A best price that was traded away stayed the best in quotes."
)
class LeftStanding(Tap):
    def __init__(self) -> None:
        self.last: dict[int, Any] = {}

    def updates(self, client: FeedClient, update: Update) -> list[Update]:
        if update.HasField("quote"):
            was = self.last.get(update.symbol)
            if was is not None and was.bid_lots and not update.quote.bid_lots:
                update.quote.bid_ticks, update.quote.bid_lots = was.bid_ticks, was.bid_lots
            if was is not None and was.ask_lots and not update.quote.ask_lots:
                update.quote.ask_ticks, update.quote.ask_lots = was.ask_ticks, was.ask_lots
            self.last[update.symbol] = copy.deepcopy(update.quote)
        return [update]


@feed_mutant(
    "ioc-remainder-shown",
    breaks=("D08.N2", "D09.X2"),
    story="What an IOC had left was shown in the book until it was cancelled.",
)
class Remainder(Tap):
    def updates(self, client: FeedClient, update: Update) -> list[Update]:
        for t in list(update.trades[-1:]):
            update.book = True
            update.levels.add(ask=t.sold, price_ticks=t.price_ticks, quantity_lots=t.quantity_lots)
        return [update]


@feed_mutant("chain-broken", breaks=("D09.X3",), story="Each fourth update named one too early as the one before it.")
class Chain(Counting):
    def updates(self, client: FeedClient, update: Update) -> list[Update]:
        if not update.snapshot and update.after and self.every(4):
            update.after -= 1
        return [update]


@feed_mutant(
    "nothing-again", breaks=("D09.X3",), story="Who asked for what it had missed was given a snapshot and no trade."
)
class NothingAgain(Tap):
    def asked(self, client: FeedClient, request: dict[str, Any]) -> list[dict[str, Any]]:
        request.pop("after", None)
        return [request]


# --- windows ---


@feed_mutant(
    "last-of-a-window-waits",
    breaks=("D09.6",),
    story="A book that was ready waited for the next event to be sent with.",
)
class Waits(Tap):
    def updates(self, client: FeedClient, update: Update) -> list[Update]:
        held = client.held.pop(update.symbol, None)
        out = [] if held is None else [held]
        if update.book and not update.snapshot and not update.trades:
            client.held[update.symbol] = update
            return out
        return [*out, update]


@feed_mutant("three-in-a-window", breaks=("D09.6",), story="Each book was sent three times in its window.")
class Three(Tap):
    def updates(self, client: FeedClient, update: Update) -> list[Update]:
        if update.snapshot or not update.book:
            return [update]
        again = copy.deepcopy(update)
        again.after = again.sequence
        del again.trades[:]
        del again.statuses[:]
        return [update, again, again]


@feed_mutant(
    "first-of-a-window", breaks=("D09.6", "D09.X2"), story="Of a window the first book was sent in place of the last."
)
class First(Tap):
    def __init__(self) -> None:
        self.levels: dict[tuple[int, int], list[Any]] = {}

    def updates(self, client: FeedClient, update: Update) -> list[Update]:
        if update.snapshot or not update.book:
            return [update]
        key = (client.number, update.symbol)
        now = list(update.levels)
        quote = copy.deepcopy(update.quote)
        before = self.levels.get(key)
        if before is not None:
            if update.HasField("quote"):
                update.quote.CopyFrom(before[0])
            else:
                del update.levels[:]
                update.levels.extend(before)
        self.levels[key] = [quote] if update.HasField("quote") else now
        return [update]


# --- who is told ---


@feed_mutant(
    "neighbour-told", breaks=("D09.5",), story="A client was told of symbols that others on the server had asked for."
)
class Neighbour(Tap):
    def __init__(self) -> None:
        self.known: list[str] = []

    def asked(self, client: FeedClient, request: dict[str, Any]) -> list[dict[str, Any]]:
        if request.get("op") != "subscribe" or not isinstance(request.get("symbols"), list):
            return [request]
        own = list(request["symbols"])
        request["symbols"] = [*own, *(s for s in self.known[-3:] if s not in own)]
        self.known += [s for s in own if s not in self.known]
        return [request]

    def answered(self, client: FeedClient, answer: dict[str, Any]) -> list[dict[str, Any]]:
        if answer.get("op") == "subscribed":
            answer["symbols"] = {s: n for s, n in answer["symbols"].items() if s in client.symbols}
        return [answer]


@feed_mutant(
    "goes-on-after-the-end", breaks=("D09.5",), story="The end of a subscription was confirmed and not carried out."
)
class GoesOn(Tap):
    def asked(self, client: FeedClient, request: dict[str, Any]) -> list[dict[str, Any]]:
        if request.get("op") == "unsubscribe":
            said = {"op": "unsubscribed", "id": request.get("id"), "symbols": request.get("symbols")}
            client.later = asyncio.ensure_future(client.say(said))
            return []
        return [request]


@feed_mutant(
    "forgets-one-client",
    breaks=("D09.9", "D09.1"),
    story="Each 64th client of a server was left out of the broadcast of trades.",
)
class Forgets(Tap):
    def updates(self, client: FeedClient, update: Update) -> list[Update]:
        return [] if client.number % 64 == 63 and update.trades else [update]


@feed_mutant("bytes-of-its-own", breaks=("D09.8",), story="Each client's message was stamped when it was sent to it.")
class OwnBytes(Tap):
    def updates(self, client: FeedClient, update: Update) -> list[Update]:
        update.made_ns += client.number
        return [update]


@feed_mutant(
    "waits-for-the-slowest",
    breaks=("D09.X5",),
    story="Clients were written to in turn, each until it had taken everything.",
)
class Slowest(Tap):
    def __init__(self) -> None:
        self.turn = asyncio.Lock()

    async def send(self, client: FeedClient, message: str | bytes) -> None:
        async with self.turn:
            await super().send(client, message)


@feed_mutant("any-token", breaks=("D09.X9",), story="A subscriber's token was decoded and not verified.")
class AnyToken(Tap):
    def __init__(self) -> None:
        self.good: str | None = None

    def asked(self, client: FeedClient, request: dict[str, Any]) -> list[dict[str, Any]]:
        if request.get("op") == "login":
            self.good = self.good or request["token"]
            request["token"] = self.good
        return [request]


@feed_mutant(
    "unknown-symbol-swallowed", breaks=("D09.X9",), story="A subscription that was refused was never answered."
)
class Swallowed(Tap):
    def answered(self, client: FeedClient, answer: dict[str, Any]) -> list[dict[str, Any]]:
        return [] if answer.get("op") == "refused" else [answer]


@feed_mutant(
    "halt-lost",
    breaks=("D09.X10",),
    story="States were conflated with the book, and only the last one of a symbol was kept.",
)
class HaltLost(Tap):
    def updates(self, client: FeedClient, update: Update) -> list[Update]:
        del update.statuses[:]
        return [update]


@feed_mutant(
    "nothing-after-a-crash",
    breaks=("D09.X7", "D09.X3"),
    story="After a crash of the feed what had been missed was not sent.",
)
class NothingAfterACrash(NothingAgain):
    pass


@feed_mutant("never-stale", breaks=("D09.X8",), story="Nobody was told when the feed was behind.")
class NeverStale(Tap):
    def answered(self, client: FeedClient, answer: dict[str, Any]) -> list[dict[str, Any]]:
        return [] if answer.get("op") == "stale" else [answer]
