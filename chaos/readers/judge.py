"""What readers say, held against the truth of the log: pure, each finding in words.

A reader is judged as it goes, in the order of what it heard, and the whole once more at the end by the same classes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from matchmark.chaos.readers.listener import Joined, Manner
from matchmark.chaos.readers.truth import Amount, Key, SymbolTruth, Traded, Truth
from matchmark.conformance.checks.market_data import show_depth
from matchmark.conformance.market_data.decoder import QUOTES
from matchmark.conformance.market_data.updates import Depth, Gap, Quote, RebuiltBook, Update, quote_of

EQUITY = "*equity*"
SHOWN_MAX = 3


class SymbolJudge:
    """One listener's view of one symbol."""

    def __init__(self, manner: Manner) -> None:
        self._quotes = manner.channel == QUOTES
        self._book = RebuiltBook()
        self._joined: Joined | None = None
        self.last: int | None = None
        """Sequence of the last update."""
        self.shown: Depth | Quote | None = None

    def join(self, joined: Joined) -> None:
        self._joined = joined

    def take(self, u: Update, truth: SymbolTruth) -> str | None:
        """What is wrong with it."""
        joined = self._joined
        wrong, since = self._place(u)
        if wrong or since is None:
            return wrong
        self.last = u.sequence
        if joined is not None and u.symbol not in joined.after and u.trades:
            # Between its asking and its snapshot there may have been trades; it may be told of those, and of no older ones.
            first = u.trades[0].sequence
            since, made_ns = first - 1, truth.made(first)
            if made_ns is not None and made_ns < joined.at_ns:
                wrong = f"a newcomer was told of trade #{first}, which was made before it came"
        wrong = wrong or _trades(truth.traded(since, u.sequence), u)
        try:
            self._book.take(u)
        except Gap as gap:
            return f"a gap: {gap}"
        if u.book or u.snapshot:
            right = truth.depth(u.sequence)
            self.shown = (u.quote or Quote(None, None)) if self._quotes else self._book.depth
            if self.shown != self.view(right) and not wrong:
                wrong = f"book after record {u.sequence} is {show_depth(self.shown)}, the log's {show_depth(self.view(right))}"
        return wrong

    def _place(self, u: Update) -> tuple[str | None, int | None]:
        """What is wrong with where it stands, and behind which record its trades begin; neither: it was heard before."""
        joined, self._joined = self._joined, None
        if joined is not None:
            if not u.snapshot:
                return f"a subscription began with {u.after}..{u.sequence} and no snapshot", None
            after = joined.after.get(u.symbol)
            if after is None:
                return None, u.sequence
            wrong = (
                f"it came back behind record {after} and was sent back to {u.sequence}" if u.sequence < after else None
            )
            return wrong, after
        if self.last is None:
            return f"{u.after}..{u.sequence} came before any snapshot", None
        if u.snapshot:
            return None, self.last
        if u.after == self.last:
            return None, u.after
        if u.sequence <= self.last:
            return None, None
        return f"a gap: {u.after}..{u.sequence} came after {self.last}", None

    def view(self, depth: Depth) -> Depth | Quote:
        """What this channel shows of a book."""
        return quote_of(depth) if self._quotes else depth

    def has(self, goal: int, truth: SymbolTruth) -> bool:
        """Whether it was told all that the log says up to record `goal`; the truth is there already."""
        if self.last is None or self.shown is None:
            return False
        if self.last >= goal:
            return True
        return not truth.traded(self.last, goal) and self.shown == self.view(truth.depth(goal))


def _trades(right: list[Traded], u: Update) -> str | None:
    said = [(t.sequence, t.price_ticks, t.quantity_lots, t.sold) for t in u.trades]
    if said == right:
        return None
    if missing := [t for t in right if t not in said]:
        return f"update {u.after}..{u.sequence} lacks {_shown(missing)}"
    if len(set(said)) < len(said):
        return f"update {u.after}..{u.sequence} has a trade twice: {_shown(t for t in said if said.count(t) > 1)}"
    if invented := [t for t in said if t not in right]:
        return f"update {u.after}..{u.sequence} has {_shown(invented)}, which the log has not there"
    return f"update {u.after}..{u.sequence} has its trades in another order"


def _shown(trades: Iterable[Traded]) -> str:
    trades = list(trades)
    words = [f"trade #{sequence} {lots}@{ticks}" for sequence, ticks, lots, _ in trades[:SHOWN_MAX]]
    return ", ".join(words) + (f" and {len(trades) - SHOWN_MAX} more" if len(trades) > SHOWN_MAX else "")


class ListenerJudge:
    """All symbols of one listener."""

    def __init__(self, manner: Manner, symbols: Iterable[str]) -> None:
        self.manner = manner
        self.symbols = {symbol: SymbolJudge(manner) for symbol in symbols}
        self.updates = 0

    def take(self, heard: Joined | Update, truth: Truth) -> str | None:
        """`truth` must be as far as the update."""
        if isinstance(heard, Joined):
            for judge in self.symbols.values():
                judge.join(heard)
            return None
        self.updates += 1
        if heard.symbol not in self.symbols:
            return f"{self.manner.name}: an update of {heard.symbol}, which it is not subscribed to"
        wrong = self.symbols[heard.symbol].take(heard, truth.symbols[heard.symbol])
        return f"{self.manner.name}, {heard.symbol}: {wrong}" if wrong else None

    def behind(self, goal: int, truth: Truth) -> list[str]:
        """Symbols of which it has not all up to record `goal`."""
        return [name for name, judge in self.symbols.items() if not judge.has(goal, truth.symbols[name])]

    def oldest(self) -> int:
        """A record before which it will not be asked again."""
        return min((judge.last or 0 for judge in self.symbols.values()), default=0)


def whole(manner: Manner, symbols: Iterable[str], heard: Iterable[Joined | Update], truth: Truth) -> Iterator[str]:
    """Everything that a listener heard, from the beginning."""
    judge = ListenerJudge(manner, symbols)
    for one in heard:
        if wrong := judge.take(one, truth):
            yield wrong


def balances(told: Mapping[Key, Amount], right: Mapping[Key, Amount], sequence: int) -> Iterator[str]:
    """The ledger's balances after record `sequence` and the log's; and of each asset they sum to zero, equity's included."""
    for key in sorted(right.keys() | {key for key in told if key[0] != EQUITY}):
        if told.get(key) != right.get(key):
            account, asset = key
            yield (
                f"ledger: {account} has {_amount(told.get(key))} of {asset} after record {sequence}, by the log "
                f"{_amount(right.get(key))}"
            )
    for asset in sorted({asset for _, asset in told}):
        if total := sum(sum(amount) for key, amount in told.items() if key[1] == asset):
            yield f"ledger: all of {asset} sums to {total}, not to zero"


def _amount(amount: Amount | None) -> str:
    return "nothing" if amount is None else f"{amount[0]} free and {amount[1]} reserved"
