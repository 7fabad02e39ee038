"""Wire mutants of what a report says: one field of it is wrong, on some reports, and nothing else is."""

from __future__ import annotations

from decimal import Decimal

from matchmark.conformance.selftest.wire_declare import BrokenWire, Reports, every, is_ack, is_fill, wire_mutant
from matchmark.conformance.selftest.wire_message import Message
from matchmark.conformance.selftest.wire_proxy import Link

TICK = Decimal("0.01")


def lots(m: Message, tag: int) -> int:
    return int(m.get(tag) or 0)


def later_fill(m: Message) -> bool:
    """A fill of an order that had one before."""
    return is_fill(m) and lots(m, 14) > lots(m, 32)


def resting_side(m: Message) -> bool:
    """ExecIDs of the resting side of a trade are odd (docs/fix.md)."""
    return is_fill(m) and int(m.get(17)) % 2 == 1


class Altered(Reports):
    """For bugs of a field: `alter` changes the report where it is."""

    def edited(self, link: Link, m: Message) -> list[Message]:
        self.alter(m)
        return [m]

    def alter(self, m: Message) -> None:
        raise NotImplementedError


# --- the two sides of an execution ---


@wire_mutant(
    "fill-prices-disagree",
    breaks=("D02.X20",),
    story="The taker's report of its second and later fills gave its own limit as the price of the trade.",
)
class PricesDisagree(Altered):
    def alter(self, m: Message) -> None:
        if later_fill(m) and not resting_side(m):
            m.set(31, Decimal(m.get(31)) + TICK)


@wire_mutant(
    "fill-quantities-disagree",
    breaks=("D02.X20", "D02.X21"),
    story="A maker whose order traded in part was told the taker's quantity in place of the trade's.",
)
class QuantitiesDisagree(Altered):
    def alter(self, m: Message) -> None:
        if resting_side(m) and lots(m, 151):
            m.set(32, lots(m, 32) + 1).set(14, lots(m, 14) + 1).set(151, lots(m, 151) - 1)


@wire_mutant(
    "exec-id-used-again",
    breaks=("D02.X20",),
    story="Execution ids came from a counter of each order's own, and the second order used them again.",
)
class ExecIdAgain(Altered):
    def alter(self, m: Message) -> None:
        if later_fill(m):
            m.set(17, f"{lots(m, 14)}")


# --- the numbers of one order ---


@wire_mutant(
    "cum-is-last",
    breaks=("D02.X21",),
    story="CumQty of a second fill was that fill's quantity: the sum was kept in the wrong place.",
)
class CumIsLast(Altered):
    def alter(self, m: Message) -> None:
        if later_fill(m):
            m.set(14, m.get(32))


@wire_mutant(
    "leaves-from-before",
    breaks=("D02.X21",),
    story="LeavesQty of a partial fill was what had been left before it.",
)
class LeavesFromBefore(Altered):
    def alter(self, m: Message) -> None:
        if is_fill(m) and lots(m, 151):
            m.set(151, lots(m, 151) + lots(m, 32))


@wire_mutant(
    "filled-said-to-be-partial",
    breaks=("D02.X21",),
    story="An order that its second fill completed was reported as partially filled.",
)
class FilledIsPartial(Altered):
    def alter(self, m: Message) -> None:
        if later_fill(m) and m.get(39) == "2":
            m.set(39, 1)


@wire_mutant(
    "average-not-weighted",
    breaks=("D07.X20", "D07.8"),
    story="AvgPx was the mean of the prices, whatever was traded at each.",
)
class AverageNotWeighted(Altered):
    def __init__(self) -> None:
        super().__init__()
        self.prices: dict[str, list[Decimal]] = {}

    def alter(self, m: Message) -> None:
        if is_fill(m):
            prices = self.prices.setdefault(m.get(37), [])
            prices.append(Decimal(m.get(31)))
            if len(set(prices)) > 1:
                m.set(6, (sum(prices, Decimal()) / len(prices)).quantize(TICK / 10000))


@wire_mutant(
    "average-cut-to-ticks",
    breaks=("D07.X20",),
    story="AvgPx was printed with the decimals of a price, so that the rest of the quotient was lost.",
)
class AverageCut(Altered):
    def alter(self, m: Message) -> None:
        if later_fill(m):
            m.set(6, Decimal(m.get(6)).quantize(TICK, "ROUND_DOWN"))


@wire_mutant(
    "order-id-changes",
    breaks=("D03.N3", "D01.8"),
    story="An order that had come to rest was reported under the id of its place in the book.",
)
class OrderIdChanges(Altered):
    def alter(self, m: Message) -> None:
        if later_fill(m) and resting_side(m):
            m.set(37, f"{m.get(37)}-2")


@wire_mutant(
    "cum-forgotten-by-resting",
    breaks=("D03.N3", "D02.X21"),
    story="A remainder that came to rest was a new order to the reports, and its cum began at zero.",
)
class CumForgotten(Altered):
    def __init__(self) -> None:
        super().__init__()
        self.taken: dict[str, int] = {}

    def alter(self, m: Message) -> None:
        if is_fill(m) and not resting_side(m):
            self.taken[m.get(37)] = lots(m, 14)
        elif resting_side(m):
            m.set(14, lots(m, 14) - self.taken.get(m.get(37), 0))


# --- what the order was ---


@wire_mutant(
    "side-of-the-other",
    breaks=("D01.1",),
    story="The maker's report of a fill that left a rest named the taker's side.",
)
class SideOfOther(Altered):
    def alter(self, m: Message) -> None:
        if resting_side(m) and lots(m, 151):
            m.set(54, {"1": "2", "2": "1"}[m.get(54)])


@wire_mutant(
    "limit-is-the-trade-price",
    breaks=("D01.1",),
    story="Price in a fill report was overwritten with what the order had traded at.",
)
class LimitIsTradePrice(Altered):
    def alter(self, m: Message) -> None:
        if is_fill(m) and m.get(44) and m.get(44) != m.get(31):
            m.set(44, m.get(31))


@wire_mutant(
    "order-quantity-is-leaves",
    breaks=("D01.1", "D02.X21"),
    story="OrderQty in reports of a second fill was what the order had left before it.",
)
class QuantityIsLeaves(Altered):
    def alter(self, m: Message) -> None:
        if later_fill(m):
            m.set(38, lots(m, 151) + lots(m, 32))


@wire_mutant(
    "client-order-id-cut",
    breaks=("D01.1",),
    story="ClOrdIDs were cut to nineteen characters by a fixed field of the book.",
)
class ClientIdCut(Altered):
    def alter(self, m: Message) -> None:
        if len(m.get(11)) > 19:
            m.set(11, m.get(11)[:19])


@wire_mutant(
    "order-ids-shared",
    breaks=("D01.8",),
    story="Order ids were the symbol's own, so that the first orders of two symbols shared one.",
)
class OrderIdsShared(BrokenWire):
    def __init__(self) -> None:
        super().__init__()
        self.ids: dict[str, str] = {}
        self.count: dict[str, int] = {}

    def to_client(self, link: Link, m: Message) -> list[Message]:
        if is_ack(m) and m.get(37) not in self.ids:
            self.count[m.get(55)] = self.count.get(m.get(55), 0) + 1
            self.ids[m.get(37)] = str(self.count[m.get(55)])
        if m.kind in "89" and m.get(37) in self.ids:
            m.set(37, self.ids[m.get(37)])
        return [m]


# --- what others may not know ---


@wire_mutant(
    "counterparty-named",
    breaks=("D01.X32",),
    story="A fill report named the session on the other side, for a clearing system that nobody has.",
)
class CounterpartyNamed(Reports):
    def __init__(self) -> None:
        super().__init__()
        self.owner: dict[str, str] = {}

    def edited(self, link: Link, m: Message) -> list[Message]:
        trade = str(int(m.get(17)) // 2)
        if is_fill(m) and link.session:
            other = self.owner.setdefault(trade, link.session.name)
            if other != link.session.name:
                m.set(375, other)
        return [m]


# --- refusals and cancels ---


@wire_mutant(
    "refusals-without-reason",
    breaks=("D01.X3",),
    story="Refused orders came back with nothing that says why: no OrdRejReason, no text.",
)
class NoReason(Altered):
    def alter(self, m: Message) -> None:
        if m.get(150) == "8":
            m.remove(58, 103)


@wire_mutant(
    "one-reason-for-all-limits",
    breaks=("D01.3",),
    story="Size, collar and balance were checked by one function, which said 'risk limit' for each.",
)
class OneReason(Altered):
    def alter(self, m: Message) -> None:
        if m.get(150) == "8" and (m.get(103) in ("3", "99") or m.get(58).startswith("insufficient")):
            m.set(103, 3).set(58, "risk limit")


class CancelRejects(BrokenWire):
    def to_client(self, link: Link, m: Message) -> list[Message]:
        if m.kind == "9":
            self.alter(m)
        return [m]

    def alter(self, m: Message) -> None:
        raise NotImplementedError


@wire_mutant(
    "cancel-reject-without-original-id",
    breaks=("D04.X20",),
    story="A refused cancel came back without the id of the order that it was about.",
)
class RejectWithoutId(CancelRejects):
    def alter(self, m: Message) -> None:
        m.remove(41)


@wire_mutant(
    "cancel-reject-with-fixed-status",
    breaks=("D04.X20",),
    story="OrdStatus of every OrderCancelReject was 'rejected', as if the order itself had been.",
)
class RejectFixedStatus(CancelRejects):
    def alter(self, m: Message) -> None:
        m.set(39, 8)


@wire_mutant(
    "replace-reject-says-cancel",
    breaks=("D04.X20",),
    story="A refused replace was answered as a refused cancel.",
)
class RejectSaysCancel(CancelRejects):
    def alter(self, m: Message) -> None:
        m.set(434, 1)


@wire_mutant(
    "cancel-confirmed-without-original-id",
    breaks=("D04.1",),
    story="The confirmation of a cancel carried the request's id alone.",
)
class ConfirmWithoutId(Altered):
    def __init__(self) -> None:
        super().__init__()
        self.turn = every(3)

    def alter(self, m: Message) -> None:
        if m.get(150) == "4" and m.get(41) and next(self.turn):
            m.remove(41)


@wire_mutant(
    "ioc-remainder-still-open",
    breaks=("D08.X20", "D02.X21"),
    story="The report that ended an IOC order's remainder still gave it as LeavesQty.",
)
class RemainderOpen(Altered):
    def alter(self, m: Message) -> None:
        if m.get(150) == "4" and not m.get(41) and lots(m, 14):
            m.set(151, lots(m, 38) - lots(m, 14))


@wire_mutant(
    "mass-cancel-counts-requests",
    breaks=("D04.X14",),
    story="The report of a mass cancel said that one order was affected, whatever it had cancelled.",
)
class MassCancelCount(BrokenWire):
    def to_client(self, link: Link, m: Message) -> list[Message]:
        return [m.set(533, 1)] if m.kind == "r" and lots(m, 533) > 1 else [m]


@wire_mutant(
    "status-says-cum-of-acceptance",
    breaks=("D03.X10",),
    story="An order status was answered from the acceptance on file: leaves whole, nothing traded.",
)
class StatusFromAcceptance(Altered):
    def alter(self, m: Message) -> None:
        if m.get(150) == "I" and m.get(39) == "1":
            m.set(39, 0).set(14, 0).set(151, m.get(38)).set(6, 0)
