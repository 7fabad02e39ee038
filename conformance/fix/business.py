"""Orders as FIX fields: from integer ticks and lots to what stands in a message, and back."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from matchmark.conformance.fix.wire import Field, FixFault, Rule, utc
from matchmark.conformance.messages import Side, Tif

SIDES = {Side.BUY: "1", Side.SELL: "2"}
TIFS = {Tif.DAY: "0", Tif.IOC: "3"}


@dataclass(frozen=True)
class Instrument:
    """A symbol and how its prices and quantities are written."""

    symbol: str
    tick_size: Decimal = Decimal("0.01")
    lot_size: int = 1
    price_decimals: int | None = None
    """Digits after the point; None: as many as the price needs."""

    def price(self, ticks: int) -> str:
        value = ticks * self.tick_size
        if self.price_decimals is None:
            return f"{value.normalize():f}"
        return f"{value:.{self.price_decimals}f}"

    def ticks(self, price: str) -> int:
        """Exact: FixFault for a text that is no price or no whole number of ticks."""
        ticks = _decimal(price, "price") / self.tick_size
        if ticks != ticks.to_integral_value():
            raise FixFault(Rule.FIELD, f"price {price!r} is no whole number of ticks of {self.tick_size}")
        return int(ticks)

    def quantity(self, lots: int) -> str:
        return str(lots * self.lot_size)

    def lots(self, quantity: str) -> int:
        lots = _decimal(quantity, "quantity") / self.lot_size
        if lots != lots.to_integral_value():
            raise FixFault(Rule.FIELD, f"quantity {quantity!r} is no whole number of lots of {self.lot_size}")
        return int(lots)


def _decimal(text: str, what: str) -> Decimal:
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise FixFault(Rule.FIELD, f"{what} {text!r} is no number") from None
    if not value.is_finite() or "e" in text.lower() or "_" in text or text != text.strip():
        raise FixFault(Rule.FIELD, f"{what} {text!r} is not how FIX writes a number")
    return value


def new_order(
    instrument: Instrument,
    cl: str,
    side: str,
    lots: int,
    ticks: int | None = None,
    *,
    tif: str = Tif.DAY,
    account: str | None = None,
) -> list[Field]:
    """NewOrderSingle (D): a limit order when it has ticks, else a market order."""
    fields = [(11, cl), *_account(account), (55, instrument.symbol), (54, SIDES[Side(side)]), (60, utc())]
    fields += [(38, instrument.quantity(lots))]
    fields += [(40, "1")] if ticks is None else [(40, "2"), (44, instrument.price(ticks))]
    return [*fields, (59, TIFS[Tif(tif)])]


def cancel(
    instrument: Instrument, cl: str, orig: str, side: str, lots: int | None = None, *, account: str | None = None
) -> list[Field]:
    """OrderCancelRequest (F); `lots` is the order's quantity, which the standard wants repeated."""
    fields = [(41, orig), (11, cl), *_account(account), (55, instrument.symbol), (54, SIDES[Side(side)]), (60, utc())]
    return fields if lots is None else [*fields, (38, instrument.quantity(lots))]


def replace(
    instrument: Instrument,
    cl: str,
    orig: str,
    side: str,
    lots: int,
    ticks: int,
    *,
    tif: str = Tif.DAY,
    account: str | None = None,
) -> list[Field]:
    """OrderCancelReplaceRequest (G) to a new total quantity and price."""
    fields = [(41, orig), (11, cl), *_account(account), (55, instrument.symbol), (54, SIDES[Side(side)]), (60, utc())]
    fields += [(38, instrument.quantity(lots)), (40, "2"), (44, instrument.price(ticks))]
    return [*fields, (59, TIFS[Tif(tif)])]


def mass_cancel(
    cl: str, instrument: Instrument | None = None, *, account: str | None = None, side: str | None = None
) -> list[Field]:
    """OrderMassCancelRequest (q): of one symbol, or of all."""
    fields: list[Field] = [(11, cl), (530, "7" if instrument is None else "1"), *_account(account)]
    fields += [] if instrument is None else [(55, instrument.symbol)]
    fields += [] if side is None else [(54, SIDES[Side(side)])]
    return [*fields, (60, utc())]


def status(instrument: Instrument, order: str, side: str, *, account: str | None = None) -> list[Field]:
    """OrderStatusRequest (H) of the order with that ClOrdID."""
    return [(11, order), *_account(account), (55, instrument.symbol), (54, SIDES[Side(side)])]


def _account(account: str | None) -> list[Field]:
    return [] if account is None else [(1, account)]
