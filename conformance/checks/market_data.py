"""What subscribers heard, held against what the model does with the commands that the kit sent.

Pure functions. A `Tape` is one symbol's truth: after each command that changed anything, the trades so far and the book. Which
command an update ends behind is not known to a subscriber; it must be one that explains it, and none before the last update's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from matchmark.conformance.checks.differential import ModelOfTarget
from matchmark.conformance.checks.finding import Finding
from matchmark.conformance.history import History
from matchmark.conformance.market_data.updates import (
    Depth,
    Gap,
    Heard,
    Quote,
    RebuiltBook,
    Subscribed,
    Trade,
    Trading,
    Unsubscribed,
    Update,
    depth_of,
    quote_of,
)
from matchmark.conformance.messages import Reset, Side
from matchmark.conformance.messages import Trade as Executed
from matchmark.conformance.targets.base import TargetInfo

TRADE_BYTES_MAX = 16
LATE_NS = 1_000_000_000
"""A machine that stood still may have read something so long after."""
SMALL = 1 << 21
"""Prices and quantities below it: what ruling R10 can be kept with."""

Traded = tuple[int, int, bool]
"""Price in ticks, lots, and whether the incoming order was a sell."""


@dataclass(slots=True)
class Tape:
    """`books[n]` is the book when the first `counts[n]` of `trades` had been made; the first one is empty."""

    symbol: str
    trades: list[Traded] = field(default_factory=list)
    counts: list[int] = field(default_factory=lambda: [0])
    books: list[Depth] = field(default_factory=lambda: [((), ())])

    @property
    def last(self) -> Depth:
        return self.books[-1]

    def add(self, trades: Sequence[Traded], book: Depth) -> None:
        if trades or book != self.last:
            self.trades += trades
            self.counts.append(len(self.trades))
            self.books.append(book)


def tapes(history: History, info: TargetInfo) -> dict[str, Tape]:
    """By symbol, of the history's commands in their order, as the model decides them."""
    model = ModelOfTarget(info)
    found: dict[str, Tape] = {}
    for command in history.commands:
        if isinstance(command, Reset):
            continue
        events = model.submit(command)
        for symbol in [command.sym] if command.sym is not None else list(model.books):
            trades = [
                (e.px, e.qty, model.orders[e.incoming].side == Side.SELL)
                for e in events
                if isinstance(e, Executed) and e.sym == symbol
            ]
            levels = model.books[symbol].levels
            bids = {px: level.qty for px, level in levels[Side.BUY].items()}
            asks = {px: level.qty for px, level in levels[Side.SELL].items()}
            found.setdefault(symbol, Tape(symbol)).add(trades, depth_of(bids, asks))
    return found


def fresh(updates: Iterable[Update]) -> list[Update]:
    """Without those that a client can tell to be duplicates by their sequence; a snapshot is none."""
    last, out = -1, list[Update]()
    for u in updates:
        if not u.snapshot and u.after != last and u.sequence <= last:
            continue
        out.append(u)
        last = max(last, u.sequence)
    return out


def trades_of(updates: Iterable[Update]) -> list[Trade]:
    return [t for u in updates for t in u.trades]


def once(trades: Iterable[Trade]) -> list[Trade]:
    """Each sequence number where it came first."""
    return list({t.sequence: t for t in reversed(list(trades))}.values())[::-1]


# --- the trades ---


def check_trades(expected: Sequence[Traded], heard: Sequence[Trade]) -> list[Finding]:
    """Every trade, once, in order, as it was made; and their numbers grow."""
    said = [(t.price_ticks, t.quantity_lots, t.sold) for t in heard]
    found = []
    if said != list(expected):
        at = next(
            (n for n, (a, b) in enumerate(zip(expected, said, strict=False)) if a != b), min(len(expected), len(said))
        )
        clauses, what = _wrong(list(expected), said, at)
        around = slice(max(0, at - 1), at + 4)
        text = f"{what}, at trade {at + 1} of {len(expected)} ({len(said)} were heard)"
        found += [
            Finding(c, -1, text, tuple(map(_trade, expected[around])), tuple(map(_trade, said[around])))
            for c in clauses
        ]
    for before, after in pairwise(heard):
        if after.sequence <= before.sequence:
            text = "the sequence numbers of a symbol's trades grow"
            found.append(
                Finding(
                    "D09.1", -1, text, (f"above {before.sequence}",), (f"{after.sequence} after {before.sequence}",)
                )
            )
            break
    return found


def _trade(t: Traded) -> str:
    return f"{t[1]} at {t[0]}, {'sold' if t[2] else 'bought'}"


def _wrong(expected: list[Traded], said: list[Traded], at: int) -> tuple[tuple[str, ...], str]:
    if len(said) < len(expected):
        if at < len(said) and _merged(expected[at:], said[at]):
            return ("D09.X1", "D09.1"), "several trades were published as one"
        return ("D09.1", "D09.X1"), "a trade was not published"
    if len(said) > len(expected):
        twice = at > 0 and at < len(said) and said[at] == said[at - 1]
        return ("D09.1",), "a trade was published twice" if twice else "a trade was published that was not made"
    if sorted(said) == sorted(expected):
        return ("D09.1",), "trades were published in another order than they were made in"
    return ("D09.1", "D09.7"), "a trade was published with other values than it was made with"


def _merged(expected: list[Traded], said: Traded) -> bool:
    lots = 0
    for n, (_, qty, _) in enumerate(expected):
        lots += qty
        if lots >= said[1]:
            return n > 0 and lots == said[1]
    return False


def check_sizes(updates: Iterable[Update]) -> list[Finding]:
    """Of Protocol Buffers: a trade of small prices and quantities takes at most 16 bytes."""
    for t in trades_of(updates):
        if t.size > TRADE_BYTES_MAX and t.price_ticks < SMALL and t.quantity_lots < SMALL and t.sequence < 1 << 35:
            text = f"a trade within a subscription takes at most {TRADE_BYTES_MAX} bytes"
            return [Finding("D09.7", -1, text, (f"{TRADE_BYTES_MAX} bytes",), (f"{t.size} bytes: {t}",))]
    return []


# --- the sequence ---


def check_chain(updates: Sequence[Update]) -> list[Finding]:
    """One symbol's updates, from the subscription on: a snapshot first, then each names the one before it; what is in an update
    is numbered within it."""
    last: int | None = None
    for u in updates:
        wrong = None
        if last is None and not u.snapshot and u.after:
            wrong = "the first update of a subscription is a snapshot", "snapshot"
        elif last is not None and not u.snapshot and u.after != last:
            wrong = "an update names the one before it, so that a gap shows", f"after {last}"
        elif last is not None and u.sequence < last:
            wrong = "the sequence of a symbol's updates does not go back", f"{last} or more"
        else:
            numbers = [*(t.sequence for t in u.trades), *(s.sequence for s in u.statuses)]
            if any(not u.after < n <= u.sequence for n in numbers):
                wrong = "trades and statuses are numbered within their update", f"above {u.after}, at most {u.sequence}"
        if wrong:
            return [Finding("D09.X3", -1, wrong[0], (wrong[1],), (str(u),))]
        last = u.sequence
    return []


# --- the book ---


def check_books(tape: Tape, updates: Iterable[Update], clause: str = "D09.X2") -> list[Finding]:
    """Of one symbol and one subscription, whose updates are in sequence and whose trades have come to the end: at every sequence
    where the feed shows the book (or the quote) it is the model's at some moment with just these trades made, and moments do not
    go back."""
    news = fresh(updates)
    rebuilt = RebuiltBook()
    # Of a latecomer: what was traded before it came is what it has not heard.
    made = len(tape.trades) - len(trades_of(news))
    at = 0
    for n, u in enumerate(news):
        made += len(u.trades)
        if n == 0 and not u.snapshot and u.quote is not None:
            rebuilt.sequence = u.after
        try:
            rebuilt.take(u)
        except Gap:
            return []  # check_chain says so
        if not u.book and not u.snapshot:
            continue
        shown: Depth | Quote = rebuilt.depth if u.quote is None else u.quote
        moments = [m for m in range(at, len(tape.books)) if tape.counts[m] == made]
        match = next((m for m in moments if shown in (tape.books[m], quote_of(tape.books[m]))), None)
        if match is None:
            could = [show_depth(tape.books[m]) for m in moments[:3]] or [
                f"no moment with {made} trades behind the last one"
            ]
            text = f"the book at sequence {u.sequence}, with {made} trades made, is one that the model had"
            return [Finding(clause, -1, text, tuple(could), (show_depth(shown), str(u)))]
        at = match
    return []


def check_last(tape: Tape, updates: Iterable[Update], clause: str) -> list[Finding]:
    """When all is at rest and nothing more comes: the last that was heard is the book as it is."""
    shown = last_shown(updates)
    if shown in (tape.last, quote_of(tape.last)):
        return []
    text = "the last state of a burst comes without waiting for another event"
    return [Finding(clause, -1, text, (show_depth(tape.last),), (show_depth(shown) if shown else "(nothing)",))]


def last_shown(updates: Iterable[Update]) -> Depth | Quote | None:
    """The book, or the quote, as of the last time that the feed showed it; None before the first and after a gap."""
    rebuilt, shown, first = RebuiltBook(), None, True
    for u in fresh(updates):
        if first and not u.snapshot:
            rebuilt.sequence = u.after
        first = False
        try:
            rebuilt.take(u)
        except Gap:
            return None
        if u.book or u.snapshot:
            shown = rebuilt.depth if u.quote is None else u.quote
    return shown


def books_at(updates: Iterable[Update]) -> dict[int, Depth]:
    """By sequence, where a subscriber to depth is shown the book."""
    rebuilt, out = RebuiltBook(), dict[int, Depth]()
    for u in fresh(updates):
        try:
            rebuilt.take(u)
        except Gap:
            break
        if u.book or u.snapshot:
            out[u.sequence] = rebuilt.depth
    return out


def check_joined(early: Iterable[Update], late: Iterable[Update]) -> list[Finding]:
    """A snapshot and the increments behind it give what all increments gave, wherever both are shown the book."""
    known, joined = books_at(early), books_at(late)
    for sequence in sorted(known.keys() & joined.keys()):
        if known[sequence] != joined[sequence]:
            text = f"snapshot and increments give the book of all increments, at sequence {sequence}"
            return [Finding("D09.X4", -1, text, (show_depth(known[sequence]),), (show_depth(joined[sequence]),))]
    return []


def show_depth(shown: Depth | Quote) -> str:
    if isinstance(shown, Quote):
        shown = ((shown.bid,) if shown.bid else (), (shown.ask,) if shown.ask else ())
    bids, asks = (" ".join(f"{lots}@{px}" for px, lots in side) or "-" for side in shown)
    return f"bids {bids} / asks {asks}"


# --- when, and to whom ---


def check_windows(
    updates: Iterable[Update], window_ns: int, slack_ns: int, stood_ns: Callable[[int, int], int] = lambda begin, end: 0
) -> list[Finding]:
    """Of one symbol: at most one book or quote in a window. `slack_ns`: how unevenly messages may be read that were sent
    evenly; `stood_ns(begin, end)`: for how long of that time the machine stood still, after which everything is read at once.
    Snapshots are answers and not counted."""
    times = [u.at_ns for u in updates if u.book and not u.snapshot]
    for first in range(len(times)):
        for last in range(first + 1, len(times)):
            most = (times[last] - times[first] + slack_ns) // window_ns + 1
            if last - first + 1 > most:
                most += stood_ns(times[first] - LATE_NS, times[last]) // window_ns
            if last - first + 1 > most:
                span = (times[last] - times[first]) / 1e6
                text = f"at most one update of a symbol's book in {window_ns / 1e6:g} ms"
                return [Finding("D09.6", -1, text, (f"at most {most} in {span:.1f} ms",), (f"{last - first + 1}",))]
    return []


def check_filter(heard: Iterable[Heard]) -> list[Finding]:
    """One connection's, in its order: updates come of symbols that it is subscribed to then, and of no others."""
    subscribed: set[str] = set()
    for h in heard:
        if isinstance(h, Subscribed):
            subscribed |= set(h.symbols)
        elif isinstance(h, Unsubscribed):
            subscribed -= set(h.symbols)
        elif isinstance(h, Update) and h.symbol not in subscribed:
            text = "updates come of the symbols that the client is subscribed to, and of no others"
            return [Finding("D09.5", -1, text, (f"of {', '.join(sorted(subscribed)) or 'none'}",), (str(h),))]
    return []


def check_same_bytes(clients: Sequence[Sequence[Update]]) -> list[Finding]:
    """What has the same place in the sequence has the same bytes, whoever receives it."""
    first: dict[tuple[str, int, int], bytes] = {}
    for n, updates in enumerate(clients):
        for u in updates:
            if not u.snapshot and first.setdefault((u.symbol, u.after, u.sequence), u.raw) != u.raw:
                text = f"client {n + 1} is sent the same bytes as the others"
                was = first[u.symbol, u.after, u.sequence]
                return [Finding("D09.8", -1, text, (was.hex(" "),), (u.raw.hex(" "),))]
    return []


Item = Traded | Trading


def check_statuses(expected: Sequence[Item], updates: Sequence[Update]) -> list[Finding]:
    """Trades and changes of state of one symbol, in one order."""
    said = list(items(updates))
    if said == list(expected):
        return []
    at = next(
        (n for n, (a, b) in enumerate(zip(expected, said, strict=False)) if a != b), min(len(expected), len(said))
    )
    text = f"warnings, halts and resumes come in their place between the trades; item {at + 1}"
    return [Finding("D09.X10", -1, text, tuple(map(_item, expected)), tuple(map(_item, said)))]


def items(updates: Iterable[Update]) -> Iterator[Item]:
    for u in updates:
        said: list[tuple[int, Item]] = [(t.sequence, (t.price_ticks, t.quantity_lots, t.sold)) for t in u.trades]
        said += [(s.sequence, s.trading) for s in u.statuses]
        yield from (item for _, item in sorted(said, key=lambda numbered: numbered[0]))


def _item(item: Item) -> str:
    return item.value if isinstance(item, Trading) else _trade(item)
