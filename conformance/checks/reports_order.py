"""An order as its reports tell it: what the checks of reports compare the next report with. Nothing here judges."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction

from matchmark.conformance.checks.reports_read import BUY, IOC, LIMIT, MARKET, OPEN, Report, Request, Said

FOREVER = 1 << 63


@dataclass(slots=True, eq=False)
class Stay:
    """A time in which the order rested for sure: from a report that says so to the request that may have ended it."""

    price: Decimal
    from_ns: int
    to_ns: int = FOREVER


@dataclass(slots=True, eq=False)
class Order:
    account: str
    session: str
    request: Request
    """The NewOrderSingle."""
    names: list[str]
    """ClOrdIDs by which it has been known; the last one is in force."""
    qty: Decimal
    price: Decimal | None
    order_id: str = ""
    status: str = ""
    """OrdStatus by its reports; empty before the first one."""
    cum: Decimal = Decimal(0)
    value: Fraction = Fraction(0)
    """Sum of price times quantity over its fills."""
    fills: list[Report] = field(default_factory=list)
    stays: list[Stay] = field(default_factory=list)
    last: Said | None = None
    ended_at_ns: int = FOREVER
    broken: bool = False
    """A report about it was wrong: what follows cannot be counted on, and is not judged again for the same reason."""

    @property
    def cl(self) -> str:
        return self.names[-1]

    @property
    def symbol(self) -> str:
        return self.request.symbol

    @property
    def side(self) -> str:
        return self.request.side

    @property
    def is_market(self) -> bool:
        return self.request.type == MARKET

    @property
    def is_ioc(self) -> bool:
        return self.request.tif == IOC and not self.is_market

    @property
    def may_rest(self) -> bool:
        return self.request.type == LIMIT and self.request.tif != IOC

    @property
    def acknowledged(self) -> bool:
        return bool(self.status)

    @property
    def is_open(self) -> bool:
        return self.status in OPEN

    @property
    def leaves(self) -> Decimal:
        return self.qty - self.cum if self.is_open else Decimal(0)

    def within(self, px: Decimal, limit: Decimal | None = None) -> bool:
        """Whether it may trade at that price."""
        limit = self.price if limit is None else limit
        if self.is_market or limit is None:
            return True
        return px <= limit if self.side == BUY else px >= limit

    # --- moved by reports ---

    def take(self, report: Report, replaced_by: Request | None) -> None:
        """Its state is what this report says it is."""
        now = report.said.at_ns
        if report.is_trade:
            self.fills.append(report)
            self.value += Fraction(report.last_px) * Fraction(report.last_qty)
        self.cum = report.cum
        if replaced_by is not None:
            self.names.append(replaced_by.cl)
            self.qty = replaced_by.qty if replaced_by.qty is not None else self.qty
            self.price = replaced_by.price if replaced_by.price is not None else self.price
        self.order_id = self.order_id or report.order_id
        was_open = self.is_open
        self.status = report.status
        self.last = report.said
        if self.may_rest and self.is_open and self.price is not None and (replaced_by is not None or not was_open):
            self.stays.append(Stay(self.price, now))
        if not self.is_open and self.ended_at_ns == FOREVER:
            self.ended_at_ns = now
            self.leave(now)
            if report.is_trade:
                self.stays.clear()  # when the fill was made, before it was told, is not known

    def leave(self, at_ns: int) -> None:
        """From then on it is not certain that it rests where it did."""
        if self.stays and self.stays[-1].to_ns == FOREVER:
            self.stays[-1].to_ns = at_ns
