"""Whether a command must be accepted or refused, by docs/engine-rules.md and what the history has shown so far."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from matchmark.conformance.messages import (
    Cancel,
    Command,
    MassCancel,
    New,
    OrdType,
    Replace,
    Reset,
    Status,
)

if TYPE_CHECKING:
    from matchmark.conformance.checks.observed import Seen
    from matchmark.conformance.checks.replay import Observed


class Kind(Enum):
    ACCEPT = "accept"
    REFUSE = "refuse"
    EITHER = "either"


class Demand(NamedTuple):
    """`clause` is the one that is broken by doing otherwise, `why` goes into the finding."""

    kind: Kind
    clause: str
    why: str


def demand_of(command: Command, seen: Observed, crosses: bool) -> Demand:
    """`crosses`: a `new` that finds something within its limit on the other side."""
    match command:
        case New():
            return _new(command, seen, crosses)
        case Cancel():
            return _cancel(command, seen)
        case Replace():
            return _replace(command, seen)
        case MassCancel():
            return _mass_cancel(command, seen)
        case Status() | Reset():
            return Demand(Kind.ACCEPT, "D03.X10", "a status request is always answered")


def _new(c: New, seen: Observed, crosses: bool) -> Demand:
    if c.sym not in seen.symbols:
        return seen.demand_if("symbol_list", "D01.X5", f"the target does not list the symbol {c.sym}")
    if not 1 <= c.qty <= seen.quantity_max:
        return seen.demand_if("validation", "D01.X3", f"quantity {c.qty} is outside 1..{seen.quantity_max}")
    if c.type == OrdType.LIMIT and (c.px is None or not 1 <= c.px <= seen.price_max):
        limit = "has no price" if c.px is None else f"price {c.px} is outside 1..{seen.price_max}"
        return seen.demand_if("validation", "D01.X3", limit)
    if c.cl in seen.orders:
        return seen.demand_if("duplicate_check", "D01.X4", f"ClOrdID {c.cl} was used before")
    if c.type == OrdType.MARKET and not crosses:
        return Demand(Kind.EITHER, "D02.X2", "nothing is on the other side (ruling R15)")
    if c.cl in seen.refused:
        return Demand(Kind.ACCEPT, "D01.X4", f"the earlier order {c.cl} was rejected, so its ClOrdID is still free")
    if c.type == OrdType.MARKET:
        return Demand(Kind.ACCEPT, "D02.3", "a market order needs no price")
    if c.tif == "ioc":
        return Demand(Kind.ACCEPT, "D08.1", "an IOC order is accepted, whatever it finds")
    if crosses:
        return Demand(Kind.ACCEPT, "D03.1", "it crosses the spread and executes")
    return Demand(Kind.ACCEPT, "D01.6", "it does not cross, so it rests")


def _cancel(c: Cancel, seen: Observed) -> Demand:
    if c.sym not in seen.symbols:
        return seen.demand_if("symbol_list", "D01.X5", f"the target does not list the symbol {c.sym}")
    order = seen.orders.get(c.orig)
    if order is None:
        return Demand(Kind.REFUSE, "D04.X1", f"no order {c.orig} was ever accepted")
    if not seen.owns(c.acct, order):
        return Demand(Kind.REFUSE, "D04.2", f"order {c.orig} does not belong to account {c.acct}")
    if order.sym != c.sym:
        return Demand(Kind.REFUSE, "D01.X6", f"order {c.orig} is an order in {order.sym}, not in {c.sym}")
    if order.over:
        return Demand(Kind.REFUSE, "D04.X1", f"order {c.orig} {order.over}")
    return Demand(Kind.ACCEPT, "D04.4", f"order {c.orig} is live and belongs to {c.acct}")


def _replace(c: Replace, seen: Observed) -> Demand:
    if c.sym not in seen.symbols:
        return seen.demand_if("symbol_list", "D01.X5", f"the target does not list the symbol {c.sym}")
    order = seen.orders.get(c.orig)
    if order is None:
        return Demand(Kind.REFUSE, "D04.X13", f"no order {c.orig} was ever accepted")
    if not seen.owns(c.acct, order):
        return Demand(Kind.REFUSE, "D04.X13", f"order {c.orig} does not belong to account {c.acct}")
    if order.sym != c.sym:
        return Demand(Kind.REFUSE, "D01.X6", f"order {c.orig} is an order in {order.sym}, not in {c.sym}")
    if order.over:
        return Demand(Kind.REFUSE, "D04.X13", f"order {c.orig} {order.over}")
    if c.new_px is None and c.new_qty is None:
        return seen.demand_if("validation", "D04.X13", "it changes neither price nor quantity")
    if c.new_qty is not None and 1 <= c.new_qty <= order.cum:
        why = f"quantity {c.new_qty} is not above the {order.cum} already executed"
        return seen.demand_if("replace_above_cum", "D04.X15", why)
    if c.new_qty is not None and not 1 <= c.new_qty <= seen.quantity_max:
        return seen.demand_if("validation", "D04.X13", f"quantity {c.new_qty} is outside 1..{seen.quantity_max}")
    if c.new_px is not None and not 1 <= c.new_px <= seen.price_max:
        return seen.demand_if("validation", "D04.X13", f"price {c.new_px} is outside 1..{seen.price_max}")
    if c.cl in seen.orders:
        return seen.demand_if("duplicate_check", "D01.X4", f"ClOrdID {c.cl} was used before")
    return Demand(Kind.ACCEPT, _replace_clause(c, order, seen), f"order {c.orig} is live and belongs to {c.acct}")


def _replace_clause(c: Replace, order: Seen, seen: Observed) -> str:
    return "D04.X10" if seen.keeps_place(c, order) else "D04.X11"


def _mass_cancel(c: MassCancel, seen: Observed) -> Demand:
    if c.sym is not None and c.sym not in seen.symbols:
        return seen.demand_if("symbol_list", "D01.X5", f"the target does not list the symbol {c.sym}")
    return Demand(Kind.ACCEPT, "D04.X14", "a mass cancel is carried out")
