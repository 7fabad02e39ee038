"""Opening balances: what the configuration gives each account, entered once, against the account `equity`.

Cash and the positions that the configuration names are entered at the start. `position_each` stands for a position in every
symbol, which may be millions: such a position is entered together with the first event that touches it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from decimal import localcontext

import numpy as np

from matchmark.reference.gateway import Account, Symbol
from matchmark.reference.ledger.postings import OPENING, Lines, Units

EQUITY = -1
EQUITY_NAME = "*equity*"
CASH = 0
Pair = tuple[int, int]
"""Account and asset: 0 for cash, else the symbol's number + 1."""


class Opening:
    """`digits`: decimals of the minor unit. Pairs that are entered already are told by `entered`."""

    def __init__(self, accounts: Sequence[Account], symbols: Sequence[Symbol]) -> None:
        self.accounts, self.symbols = tuple(accounts), tuple(symbols)
        self.digits = symbols[0].digits if symbols else 2
        self.units = Units.of([s.units(s.tick) for s in symbols], [s.lot_size for s in symbols], len(accounts))
        self._numbers = {symbol.name: n for n, symbol in enumerate(symbols)}
        self._entered: set[int] = set()

    def of(self, account: int, asset: int) -> int:
        """Minor units of cash, or shares."""
        given = self.accounts[account]
        if asset == CASH:
            with localcontext(prec=60):
                return int(given.cash.scaleb(self.digits))
        symbol = self.symbols[asset - 1]
        return given.positions.get(symbol.name, given.position_each) * symbol.lot_size

    def at_start(self) -> Iterator[Pair]:
        for n, account in enumerate(self.accounts):
            yield n, CASH
            for name in account.positions:
                if name in self._numbers:
                    yield n, self._numbers[name] + 1

    def touched(self, lines: Lines) -> Iterator[Pair]:
        """Pairs of theirs that are not entered yet."""
        for key in np.unique(lines.account * self._width + lines.asset).tolist():
            if key not in self._entered:
                yield divmod(key, self._width)

    def entered(self, pairs: Iterable[Pair]) -> None:
        self._entered.update(account * self._width + asset for account, asset in pairs)

    def lines(self, pairs: Iterable[Pair]) -> Lines:
        """The entries of the pairs that are not entered. Their sequences are negative, one for each pair."""
        new = [p for p in pairs if p[0] * self._width + p[1] not in self._entered and self.of(*p)]
        keys = [-1 - (account * self._width + asset) for account, asset in new]
        amounts = np.array([self.of(*p) for p in new] or [0], dtype=object)[: len(new)]
        assets = np.array([asset for _, asset in new], dtype=np.int64)
        ids = np.array([account for account, _ in new], dtype=np.int64)
        cash, shares = np.where(assets == CASH, amounts, 0), np.where(assets == CASH, 0, amounts)
        none = np.zeros(2 * len(new), dtype=np.int64)
        sides = none.copy()
        sides[len(new) :] = 1
        pairwise = np.arange(2 * len(new)).reshape(2, -1).T.ravel()
        lines = Lines(
            np.array(keys * 2, dtype=np.int64), sides, none + OPENING, np.concatenate((ids, ids * 0 + EQUITY)),
            np.concatenate((assets, assets)), none, np.concatenate((cash, -cash)), none,
            np.concatenate((shares, -shares)), none,
        )  # fmt: skip
        return lines.part(pairwise)

    @property
    def _width(self) -> int:
        return len(self.symbols) + 1
