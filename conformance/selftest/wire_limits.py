"""Wire mutants of limits and balances: what is not checked, not reserved, not released or released twice."""

from __future__ import annotations

import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Any

from matchmark.conformance.selftest.wire_balance import LOTS_MAX, Balances, Promise, Purse, Traded, number, use_config
from matchmark.conformance.selftest.wire_declare import BrokenWire, Start, wire_mutant
from matchmark.conformance.selftest.wire_message import Message
from matchmark.conformance.selftest.wire_proxy import Link


class Unlimited(BrokenWire):
    """For checks that are off: the exchange is started with a configuration that `loosen` has changed."""

    def prepare(self, start: Start) -> None:
        if path := start.flag("--config"):
            tables = tomllib.loads(Path(path).read_text(encoding="utf-8"))
            self.loosen(tables)
            use_config(start, tables)

    def loosen(self, tables: dict[str, Any]) -> None:
        raise NotImplementedError


@wire_mutant(
    "size-not-checked",
    breaks=("D01.3",),
    story="The largest order size was configured and the check of it left out of the release.",
)
class SizeNotChecked(Unlimited):
    def loosen(self, tables: dict[str, Any]) -> None:
        for row in tables["symbols"]:
            row["max_lots"] = LOTS_MAX


@wire_mutant(
    "collar-not-checked",
    breaks=("D01.3",),
    story="The price collar was in the rule book and not in the gateway.",
)
class CollarNotChecked(Unlimited):
    def loosen(self, tables: dict[str, Any]) -> None:
        for row in tables["symbols"]:
            row["collar_bps"] = 0


@wire_mutant(
    "cash-not-checked",
    breaks=("D01.3",),
    story="Every account had credit without end: cash was looked at after the day's close only.",
)
class CashNotChecked(Unlimited):
    def loosen(self, tables: dict[str, Any]) -> None:
        for row in tables["accounts"]:
            row["cash"] = "1000000000000000000000000000"


@wire_mutant(
    "short-sales-let-through",
    breaks=("D01.3",),
    story="A sell was checked against the position in any symbol and not in its own.",
)
class ShortSales(Unlimited):
    def loosen(self, tables: dict[str, Any]) -> None:
        for row in tables["accounts"]:
            row.pop("positions", None)
            row["position_each"] = 1 << 44


@wire_mutant(
    "price-rounded-to-tick",
    breaks=("D04.X13", "D01.1"),
    story="A price between two ticks was rounded to one in place of being refused.",
)
class PriceRounded(BrokenWire):
    def to_exchange(self, link: Link, m: Message) -> list[Message]:
        price = number(m, 44)
        if m.kind in "DG" and price > 0 and price % Decimal("0.01"):
            m.set(44, max(price.quantize(Decimal("0.01")), Decimal("0.01")))
        return [m]


@wire_mutant(
    "market-order-size-not-checked",
    breaks=("D02.2",),
    story="Order size was checked together with the price, and so not for orders that have none.",
)
class MarketSizeNotChecked(Balances):
    def prepare(self, start: Start) -> None:
        super().prepare(start)
        tables = tomllib.loads(Path(start.flag("--config") or "").read_text(encoding="utf-8"))
        for row in tables["symbols"]:
            row["max_lots"] = LOTS_MAX
        use_config(start, tables)

    def to_exchange(self, link: Link, m: Message) -> list[Message]:
        traded = self.traded.get(m.get(55))
        if traded and m.kind == "D" and m.get(40) != "1" and number(m, 38) > traded.max_lots and link.session:
            link.insert(self.refusal(link, m, "quantity exceeds the largest order size", 3))
            return []
        return super().to_exchange(link, m)


# --- balances ---


@wire_mutant(
    "reserve-kept-after-cancel",
    breaks=("D04.N1", "D01.X39"),
    story="A cancelled order gave nothing back: its reserve was freed at the end of the day.",
)
class KeptAfterCancel(Balances):
    def cancelled(self, purse: Purse, order: Promise) -> None:
        order.lots = 0


@wire_mutant(
    "reserve-released-twice",
    breaks=("D04.N1", "D01.X39"),
    story="A cancel released the reserve when it was asked for and again when it was confirmed.",
)
class ReleasedTwice(Balances):
    def cancelled(self, purse: Purse, order: Promise) -> None:
        what, amount = "" if order.buys else order.symbol, order.cost
        super().cancelled(purse, order)
        purse.promise(what, -amount)


@wire_mutant(
    "reserve-of-whole-order-released",
    breaks=("D01.X39", "D04.N1"),
    story="A cancel after a fill released what the whole order had reserved, and not what was left of it.",
)
class WholeReleased(Balances):
    def cancelled(self, purse: Purse, order: Promise) -> None:
        order_cum = order.cum
        what, each = "" if order.buys else order.symbol, order.price if order.buys else Decimal(1)
        super().cancelled(purse, order)
        purse.promise(what, -each * order_cum)


@wire_mutant(
    "nothing-reserved",
    breaks=("D01.X39",),
    story="An order was held against the account's balance alone, and not against what other open orders need.",
)
class NothingReserved(Balances):
    def reserve(self, purse: Purse, cl: str, order: Promise) -> bool:
        what = "" if order.buys else order.symbol
        promised, purse.promised = purse.promised, {}
        enough = super().reserve(purse, cl, order)
        purse.promised = promised
        if enough:
            purse.promise(what, order.cost)
        return enough


@wire_mutant(
    "sells-not-reserved",
    breaks=("D01.X39",),
    story="Sells reserved nothing until they traded, so that a position could be offered twice.",
)
class SellsNotReserved(Balances):
    def reserve(self, purse: Purse, cl: str, order: Promise) -> bool:
        enough = super().reserve(purse, cl, order)
        if enough and not order.buys:
            order.price = Decimal(0)
            purse.promise(order.symbol, Decimal(-order.lots))
        return enough

    def release(self, purse: Purse, order: Promise, lots: int) -> None:
        if order.buys:
            super().release(purse, order, lots)
        else:
            order.lots -= lots


@wire_mutant(
    "better-price-not-given-back",
    breaks=("D01.X39",),
    story="A buy that traded below its limit kept the difference reserved.",
)
class BetterPriceKept(Balances):
    def fill(self, purse: Purse, order: Promise, lots: int, price: Decimal) -> None:
        super().fill(purse, order, lots, price)
        if order.buys and price < order.price:
            purse.promise("", (order.price - price) * lots)


@wire_mutant(
    "proceeds-not-paid",
    breaks=("D01.X39",),
    story="The seller's cash was credited in the nightly run, and could not be used the same day.",
)
class ProceedsNotPaid(Balances):
    def fill(self, purse: Purse, order: Promise, lots: int, price: Decimal) -> None:
        super().fill(purse, order, lots, price)
        if not order.buys:
            purse.gain("", -lots * price)


@wire_mutant(
    "replace-not-reserved",
    breaks=("D01.X39",),
    story="A replace to a higher price or quantity kept the reserve of the order as it had been.",
)
class ReplaceNotReserved(Balances):
    def replaced(self, purse: Purse, order: Promise, price: Decimal, total: int) -> bool:
        order.lots = min(order.lots, total - order.cum)
        return True


@wire_mutant(
    "market-buy-reserves-nothing",
    breaks=("D02.2", "D01.X39"),
    story="A market buy has no price, and so it was taken to cost nothing until it traded.",
)
class MarketBuyFree(Balances):
    def worst(self, traded: Traded) -> Decimal:
        return Decimal(0)
