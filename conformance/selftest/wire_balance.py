"""What accounts have and have promised, kept by the proxy in place of the exchange, so that it can be kept wrongly.

The exchange behind it is given balances without end, and the limits of its configuration hold here: for the accounts whose
cash has an end. What the exchange would refuse for another reason is let pass to it.
"""

from __future__ import annotations

import itertools
import json
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from matchmark.conformance.selftest.wire_declare import BrokenWire, Start, is_fill
from matchmark.conformance.selftest.wire_logon import claims_of
from matchmark.conformance.selftest.wire_message import Message, utc
from matchmark.conformance.selftest.wire_proxy import Link

ENDLESS_CASH = "1000000000000000000000000"
ENDLESS_LOTS = 1 << 40
LIMITED_BELOW = Decimal(10) ** 12
"""An account with less cash than that is one whose limits somebody means to reach."""
LOTS_MAX = 2**31 - 1


@dataclass
class Traded:
    """What is known of a symbol: its limits, and the price that its collar is round."""

    tick: Decimal = Decimal("0.01")
    max_lots: int = LOTS_MAX
    collar_bps: int = 0
    last: Decimal = Decimal(0)

    def top(self) -> Decimal:
        """The highest price that the collar lets an order have."""
        return (self.last * (10_000 + self.collar_bps) / 10_000) // self.tick * self.tick

    def takes(self, price: Decimal, lots: int) -> bool:
        """Whether size, tick and collar are no reason to refuse."""
        low = self.last * (10_000 - self.collar_bps) / 10_000
        inside = not self.collar_bps or low <= price <= self.last * (10_000 + self.collar_bps) / 10_000
        return 0 < lots <= self.max_lots and price > 0 and price % self.tick == 0 and inside


@dataclass
class Promise:
    """What an order may still cost: `price` a lot of cash, or a position, for `lots`."""

    symbol: str
    buys: bool
    price: Decimal
    lots: int
    cum: int = 0
    order_id: str = "NONE"

    @property
    def cost(self) -> Decimal:
        return self.price * self.lots if self.buys else Decimal(self.lots)


@dataclass
class Purse:
    """One account. What is free in cash is under "", else under the symbol."""

    has: dict[str, Decimal]
    promised: dict[str, Decimal] = field(default_factory=dict)
    orders: dict[str, Promise] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)

    def free(self, what: str) -> Decimal:
        return self.has.get(what, Decimal(0)) - self.promised.get(what, Decimal(0))

    def promise(self, what: str, amount: Decimal) -> None:
        self.promised[what] = self.promised.get(what, Decimal(0)) + amount

    def gain(self, what: str, amount: Decimal) -> None:
        self.has[what] = self.has.get(what, Decimal(0)) + amount


class Balances(BrokenWire):
    """The sound one: it reserves, pays and releases as docs/fix.md says. Mutants override the one that they get wrong."""

    def __init__(self) -> None:
        super().__init__()
        self.traded: dict[str, Traded] = {}
        self.purses: dict[str, Purse] = {}
        self.account: dict[str, str] = {}
        self.ids = itertools.count(2**62 + 2**40)

    # --- what a mutant may get wrong ---

    def reserve(self, purse: Purse, cl: str, order: Promise) -> bool:
        """Whether the account can afford it; then it is promised."""
        what = "" if order.buys else order.symbol
        if purse.free(what) < order.cost:
            return False
        purse.promise(what, order.cost)
        purse.orders[cl] = order
        return True

    def release(self, purse: Purse, order: Promise, lots: int) -> None:
        """So many lots of the order are over: filled, cancelled or refused."""
        amount = order.price * lots if order.buys else Decimal(lots)
        purse.promise("" if order.buys else order.symbol, -amount)
        order.lots -= lots

    def cancelled(self, purse: Purse, order: Promise) -> None:
        self.release(purse, order, order.lots)

    def fill(self, purse: Purse, order: Promise, lots: int, price: Decimal) -> None:
        self.release(purse, order, lots)
        order.cum += lots
        sign = 1 if order.buys else -1
        purse.gain("", -sign * lots * price)
        purse.gain(order.symbol, Decimal(sign * lots))

    def worst(self, traded: Traded) -> Decimal:
        """What a market buy reserves for each lot."""
        return traded.top() if traded.collar_bps else traded.last

    def replaced(self, purse: Purse, order: Promise, price: Decimal, total: int) -> bool:
        """Whether the order can be changed; then the difference is promised, or given back."""
        after = Promise(order.symbol, order.buys, price, total - order.cum, order.cum)
        what = "" if order.buys else order.symbol
        if after.cost > order.cost and purse.free(what) < after.cost - order.cost:
            return False
        purse.promise(what, after.cost - order.cost)
        order.price, order.lots = after.price, after.lots
        return True

    # --- requests ---

    def prepare(self, start: Start) -> None:
        path = start.flag("--config")
        tables = tomllib.loads(Path(path).read_text(encoding="utf-8")) if path else {}
        for row in tables.get("symbols", []):
            for name in names_of(row):
                reference = Decimal(str(row.get("reference", 0)))
                self.traded[name] = Traded(
                    Decimal(str(row.get("tick", "0.01"))),
                    row.get("max_lots", LOTS_MAX),
                    row.get("collar_bps", 0),
                    reference,
                )
        patterns = {row["pattern"]: list(names_of(row)) for row in tables.get("symbols", []) if "pattern" in row}
        for row in tables.get("accounts", []):
            cash = Decimal(str(row.get("cash", 0)))
            if cash >= LIMITED_BELOW:
                continue
            each = (
                {name: Decimal(row.get("position_each", 0)) for name in self.traded} if "position_each" in row else {}
            )
            held = {
                name: Decimal(lots)
                for symbol, lots in row.get("positions", {}).items()
                for name in patterns.get(symbol, [symbol])
            }
            for name in names_of(row):
                self.purses[name] = Purse({"": cash, **each, **held})
            row.pop("position_each", None)
            row.update(cash=ENDLESS_CASH, positions=dict.fromkeys({**each, **held}, ENDLESS_LOTS))
        use_config(start, tables)

    def to_exchange(self, link: Link, m: Message) -> list[Message]:
        if m.kind == "A":
            self.account[m.get(49)] = str(claims_of(m.get(554)).get("sub", ""))
        purse = self.purse(link)
        if purse and m.kind == "D" and not m.again and m.get(97) != "Y":
            return [m] if self.affords(purse, link, m) else []
        if purse and m.kind == "G" and not m.again:
            return [m] if self.affords_change(purse, link, m) else []
        return [m]

    def affords(self, purse: Purse, link: Link, m: Message) -> bool:
        traded, lots = self.traded.get(m.get(55)), number(m, 38)
        buys, market = m.get(54) == "1", m.get(40) == "1"
        price = self.worst(traded) if traded and market else number(m, 44)
        if not traded or m.get(11) in purse.orders or m.get(54) not in ("1", "2") or lots % 1:
            return True
        if not traded.takes(traded.last if market and traded.last else price, int(lots)):
            return True
        if self.reserve(purse, m.get(11), Promise(m.get(55), buys, price, int(lots))):
            return True
        link.insert(self.refusal(link, m, f"insufficient {'cash' if buys else 'position'}"))
        return False

    def affords_change(self, purse: Purse, link: Link, m: Message) -> bool:
        order, lots, price = purse.orders.get(m.get(41)), number(m, 38), number(m, 44)
        traded = self.traded.get(m.get(55))
        if not order or not order.lots or not traded or not traded.takes(price, int(lots)) or lots <= order.cum:
            return True
        if not self.replaced(purse, order, price, int(lots)):
            text = f"insufficient {'cash' if order.buys else 'position'}"
            fields = (
                (37, order.order_id),
                (11, m.get(11)),
                (41, m.get(41)),
                (39, "1" if order.cum else "0"),
                (434, "2"),
                (102, "2"),
                (60, utc()),
                (58, text),
            )
            assert link.session and link.session.logon
            link.insert(Message.make("9", link.session.logon, *fields))
            return False
        purse.orders[m.get(11)] = order
        return True

    def refusal(self, link: Link, m: Message, text: str, reason: int = 0) -> Message:
        assert link.session and link.session.logon
        fields = [(37, "NONE"), (11, m.get(11)), (17, str(next(self.ids))), (150, "8"), (39, "8"), (103, str(reason))]
        fields += [(1, self.account.get(link.session.name, "")), (55, m.get(55)), (54, m.get(54))]
        fields += [(151, "0"), (14, "0"), (6, "0"), (60, utc()), (58, text)]
        return Message.make("8", link.session.logon, *fields)

    # --- reports ---

    def to_client(self, link: Link, m: Message) -> list[Message]:
        if is_fill(m) and m.get(55) in self.traded:
            self.traded[m.get(55)].last = number(m, 31)
        purse = self.purse(link)
        if purse and m.kind == "8" and m.get(17) not in purse.seen:
            purse.seen.add(m.get(17))
            self.booked(purse, m)
        return [m]

    def booked(self, purse: Purse, m: Message) -> None:
        order = purse.orders.get(m.get(11)) or purse.orders.get(m.get(41))
        if not order:
            return
        order.order_id = m.get(37)
        if is_fill(m):
            self.fill(purse, order, int(number(m, 32)), number(m, 31))
        elif m.get(150) in ("4", "8"):
            self.cancelled(purse, purse.orders.get(m.get(41), order))

    def purse(self, link: Link) -> Purse | None:
        return self.purses.get(self.account.get(link.session.name, "")) if link.session else None


def number(m: Message, tag: int) -> Decimal:
    """The field's value, 0 when it has none that is a number."""
    try:
        value = Decimal(m.get(tag) or 0)
    except InvalidOperation:
        return Decimal(0)
    return value if value.is_finite() else Decimal(0)


def names_of(row: Mapping[str, Any]) -> Iterator[str]:
    if "name" in row:
        yield str(row["name"])
    else:
        yield from (str(row["pattern"]).replace("{n}", str(n)) for n in range(1, int(row["count"]) + 1))


def use_config(start: Start, tables: Mapping[str, Any]) -> None:
    """Has the exchange started with these tables: symbols and accounts are lists of tables, the rest are tables."""
    lines: list[str] = []
    for name, content in tables.items():
        for row in content if isinstance(content, list) else [content]:
            lines.append(f"[[{name}]]" if isinstance(content, list) else f"[{name}]")
            lines += [f"{key} = {_toml(value)}" for key, value in row.items()]
    start.data.mkdir(parents=True, exist_ok=True)
    path = start.data / "broken.toml"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    start.set_flag("--config", str(path))


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(key)} = {_toml(inner)}" for key, inner in value.items()) + " }"
    return json.dumps(value)
