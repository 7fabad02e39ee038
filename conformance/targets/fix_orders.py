"""One example over FIX: which real symbols, accounts and ClOrdIDs stand for the suite's, and what its orders were told to be.

Commands in, fields of FIX messages out. Nothing is sent from here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from matchmark.conformance.fix.business import Instrument
from matchmark.conformance.fix.message import Field
from matchmark.conformance.fix.wire import utc
from matchmark.conformance.messages import Cancel, MassCancel, New, Replace, Status

SIDES = {"buy": "1", "sell": "2"}
TYPES = {"market": "1", "limit": "2"}
TIFS = {"day": "0", "ioc": "3"}


@dataclass(slots=True, eq=False)
class Order:
    """What the kit knows of an order: what it asked for, and what the reports have said since."""

    cl: str
    wire: str
    """Its ClOrdID on the wire."""
    account: str
    sym: str
    side: str
    type: str
    tif: str
    px: int | None
    qty: int
    rank: int
    """Orders queue at a price by rank; it tells apart who met whom where the reports do not."""
    cum: int = 0
    order_id: str = ""
    live: bool = False


class Book:
    """The names and orders of one example."""

    def __init__(
        self,
        symbols: Callable[[], Instrument],
        accounts: Mapping[str, str],
        new_cl: Callable[[], str],
        listed: frozenset[str],
        order_fields: Mapping[int, str],
        smp: tuple[int, Mapping[str, str]] | None,
    ) -> None:
        self._fresh_symbol, self._new_cl, self._listed = symbols, new_cl, listed
        self._accounts, self._order_fields, self._smp = accounts, order_fields, smp
        self.orders: dict[str, Order] = {}
        """By ClOrdID on the wire."""
        self._instruments: dict[str, Instrument] = {}
        self._wire: dict[str, str] = {}
        self._suite: dict[str, str] = {}
        self._rank = 0

    # --- names ---

    def instrument(self, sym: str) -> Instrument:
        """The suite's symbols each stand for a fresh one; what is on no list goes out as it is."""
        found = self._instruments.get(sym)
        if found is None:
            found = self._fresh_symbol() if sym in self._listed else Instrument(sym)
            self._instruments[sym] = found
        return found

    def symbols(self) -> list[str]:
        """The listed ones that the example has used."""
        return [sym for sym in self._instruments if sym in self._listed]

    def wire(self, cl: str) -> str:
        """The ClOrdID on the wire of the suite's."""
        found = self._wire.get(cl)
        if found is None:
            found = self._wire[cl] = self._new_cl()
            self._suite[found] = cl
        return found

    def suite(self, wire: str) -> str:
        """The suite's ClOrdID; one that is not of this example stays as it came."""
        return self._suite.get(wire, wire)

    def account(self, suite: str) -> str:
        return self._accounts[suite]

    def next_rank(self) -> int:
        self._rank += 1
        return self._rank

    def live(self) -> Iterator[Order]:
        return (order for order in self.orders.values() if order.live)

    # --- commands to fields ---

    def new(self, c: New) -> tuple[str, list[Field]]:
        """The account to send from, and the NewOrderSingle.

        Over FIX a ClOrdID is its account's. An order under one that is taken goes out in the name of who has it, for only
        there it is taken.
        """
        wire = self.wire(c.cl)
        known = self.orders.get(wire)
        if known is not None and known.order_id:
            account = known.account
        else:
            account = self.account(c.acct)
            order = Order(c.cl, wire, account, c.sym, c.side, c.type, c.tif, c.px, c.qty, self.next_rank())
            if c.type == "market":
                order.px = None
            self.orders[wire] = order
        instrument = self.instrument(c.sym)
        fields: list[Field] = [(11, wire), *self._extra(account), (55, instrument.symbol)]
        fields += [(54, SIDES.get(c.side, c.side)), (60, utc()), (38, instrument.quantity(c.qty))]
        fields.append((40, TYPES.get(c.type, c.type)))
        if c.px is not None:
            fields.append((44, instrument.price(c.px)))
        fields.append((59, TIFS.get(c.tif, c.tif)))
        return account, fields + self._prevention(c.smp)

    def cancel(self, c: Cancel) -> list[Field]:
        instrument = self.instrument(c.sym)
        fields: list[Field] = [(41, self.wire(c.orig)), (11, self.wire(c.cl)), (55, instrument.symbol)]
        return [*fields, (54, self._side(c.orig)), (60, utc())]

    def replace(self, c: Replace) -> list[Field]:
        """What the command leaves as it is a FIX client repeats: quantity, price, side."""
        instrument = self.instrument(c.sym)
        orig = self.orders.get(self.wire(c.orig))
        qty = c.new_qty if c.new_qty is not None else orig.qty if orig else 1
        px = c.new_px if c.new_px is not None else (orig.px if orig and orig.px is not None else 1)
        account = self.account(c.acct)
        fields: list[Field] = [(41, self.wire(c.orig)), (11, self.wire(c.cl)), *self._extra(account)]
        fields += [(55, instrument.symbol), (54, self._side(c.orig)), (60, utc()), (38, instrument.quantity(qty))]
        fields += [(40, "2"), (44, instrument.price(px)), (59, "0")]
        return fields + self._prevention(c.smp)

    def mass_cancel(self, c: MassCancel) -> list[Field]:
        scope: list[Field] = [(530, "7")] if c.sym is None else [(530, "1"), (55, self.instrument(c.sym).symbol)]
        return [(11, self.wire(c.cl)), *scope, (60, utc())]

    def status(self, c: Status) -> list[Field]:
        return [(11, self.wire(c.orig)), (55, self.instrument(c.sym).symbol), (54, self._side(c.orig))]

    def _side(self, cl: str) -> str:
        order = self.orders.get(self.wire(cl))
        return SIDES.get(order.side, "1") if order else "1"

    def _prevention(self, smp: str | None) -> list[Field]:
        if smp is None or self._smp is None:
            return []
        tag, values = self._smp
        return [(tag, values.get(smp, smp))]

    def _extra(self, account: str) -> list[Field]:
        return [(tag, value.replace("{account}", account)) for tag, value in self._order_fields.items()]
