"""An account whose cash and position are known to the last unit, and the probe that finds out whether the exchange agrees.

Money is counted in ticks times lots. Every test trades a fresh symbol, in which the account has its opening position; its cash
goes on from test to test, because an account is dear to log on.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from matchmark.conformance.fix.client import FixClient
from matchmark.conformance.fix.message import FixMessage
from matchmark.conformance.messages import Side
from matchmark.conformance.suites._trading import Floor, Party
from matchmark.conformance.venue import Limits, NotOffered, Venue


@dataclass
class Account:
    """What is known of an account between tests."""

    name: str
    client: FixClient
    cash: int


_kept: WeakKeyDictionary[Venue, Account] = WeakKeyDictionary()


@dataclass
class Open:
    side: str
    lots: int
    px: int


@dataclass
class Purse:
    """The account in one test. `cash` and `lots` are what is not reserved; `orders` hold the rest."""

    floor: Floor
    party: Party
    account: Account
    cash: int
    lots: int
    mid: int
    reach: int
    """Prices up to so many ticks from the middle are inside the collar, wherever in the inner fifth of it the last trade was."""
    most: int
    orders: dict[str, Open] = field(default_factory=dict)

    # --- what must happen ---

    def can(self, side: str, lots: int, px: int) -> bool:
        return lots * px <= self.cash if side == Side.BUY else lots <= self.lots

    def take(self, m: FixMessage) -> None:
        """Moves the balances as the report says that the order moved."""
        kind, cl = m.get(150), m.get(41) if m.get(150) in ("4", "5") and m.get(41) else m.get(11)
        order = self.orders.get(cl or "")
        on = self.floor.on
        if m.type != "8" or order is None:
            return
        if kind == "F":
            lots, px = on.lots(m.need(32)), on.ticks(m.need(31))
            order.lots -= lots
            if order.side == Side.BUY:
                self.cash += lots * (order.px - px)
                self.lots += lots
            else:
                self.cash += lots * px
        elif kind == "4":
            self._hold(order, -1)
        elif kind == "5":
            del self.orders[cl or ""]
            self._hold(order, -1)
            order.lots, order.px = on.lots(m.need(151)), on.ticks(m.need(44))
            self._hold(order, 1)
            self.orders[m.need(11)] = order
        if order.lots == 0 or kind == "4":
            self.orders = {name: o for name, o in self.orders.items() if o is not order}

    def _hold(self, order: Open, sign: int) -> None:
        if order.side == Side.BUY:
            self.cash -= sign * order.lots * order.px
        else:
            self.lots -= sign * order.lots

    def hear(self) -> list[FixMessage]:
        told = self.party.all()
        for m in told:
            self.take(m)
        return told

    # --- asking ---

    def send(self, clause: str, side: str, lots: int, px: int, tif: str = "day") -> str | None:
        """A limit order, which is accepted exactly if the account can pay for it. Its ClOrdID if it was."""
        may = self.can(side, lots, px)
        cl = self.party.new(side, lots, px, tif=tif)
        if may:
            self.orders[cl] = Open(side, lots, px)
            self._hold(self.orders[cl], 1)
        told = self.hear()
        self.expect(clause, cl, may, told, f"{side} {lots} at {px}")
        return cl if may else None

    def expect(self, clause: str, cl: str, may: bool, told: list[FixMessage], what: str) -> None:
        answer = next((m for m in told if m.get(11) == cl), None)
        if answer is None or (answer.get(150) == "0") != may or (answer.get(150) == "8") == may:
            has = f"{self.cash} of cash (ticks x lots) and {self.lots} lots are free"
            wanted = f"35=8|11={cl}|150={'0' if may else '8'}"
            self.floor.violate(clause, f"{self.account.name}, {what}, when {has}", [wanted], [str(m) for m in told])

    def cancel_all(self, names: Iterable[str] | None = None) -> None:
        for cl in list(self.orders if names is None else names):
            self.party.cancel(cl)
        self.hear()

    # --- the probe ---

    def prove(self, clause: str) -> None:
        """The free cash is what is thought, to the unit, and so are the free lots. What it takes to find out is given back."""
        low, high, passive = self.mid - self.reach, self.mid + self.reach, self.mid - self.reach // 10
        cash, lots, before = self.cash, self.lots, set(self.orders)
        if self.cash > 40 * low:
            for px, size in self._spending(self.cash - low, low, passive):
                self.send(clause, Side.BUY, size, px)
            self.send(clause, Side.BUY, 1, low + 1)
        self.send(clause, Side.BUY, 1, low)
        self.send(clause, Side.BUY, 1, low)
        if lots:
            for size in [self.most] * (lots // self.most) + [lots % self.most] * (lots % self.most > 0):
                self.send(clause, Side.SELL, size, high)
            self.send(clause, Side.SELL, 1, high)
        self.cancel_all(set(self.orders) - before)
        if (self.cash, self.lots) != (cash, lots):
            self.floor.violate(
                clause, "what probing orders reserved comes back", [f"{cash}, {lots}"], [f"{self.cash}, {self.lots}"]
            )

    def _spending(self, amount: int, base: int, high: int) -> list[tuple[int, int]]:
        """Orders, as (price, lots), that cost exactly so much."""
        whole, rest = divmod(amount, base)
        singles = -(-rest // (high - base))
        orders = []
        for n in range(singles):
            extra = rest * (n + 1) // singles - rest * n // singles
            orders.append((base + extra, 1))
        whole -= singles
        while whole:
            orders.append((base, min(whole, self.most)))
            whole -= orders[-1][1]
        return orders


def purse(venue: Venue, floor: Floor, limits: Limits) -> Purse:
    """The account of this run, or a fresh one after a test that failed."""
    if limits.cash is None or limits.position is None or limits.reference_price is None:
        raise NotOffered("the profile states no balances")
    mid = int(limits.reference_price / floor.on.tick_size)
    account = _kept.pop(venue, None)
    if account is None or not account.client.logged_on:
        name = limits.fresh_account()
        client = venue.session(name)
        cash = limits.cash / floor.on.tick_size / floor.on.lot_size
        account = Account(name, client, int(cash))
    party = floor.join(account.name, account.client)
    reach = mid * (limits.collar_bps or 1000) // 10_000 // 2
    most = limits.max_lots or 10_000
    return Purse(floor, party, account, account.cash, limits.position, mid, reach, most)


def keep(venue: Venue, used: Purse) -> None:
    """The test has passed, and its orders are cancelled: what it knows is true for the next one."""
    used.account.cash = used.cash
    _kept[venue] = used.account


def limits_of(venue: Venue) -> Limits:
    if venue.limits is None:
        raise NotOffered("the profile has no [order_entry.limits]")
    return venue.limits
