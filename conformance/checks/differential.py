"""Compares the whole answer to every command with the model's.

The model is right by definition (docs/engine-rules.md), except where the rules leave a choice: the `cancelled` events
of a mass cancel come in any order, `top` events at any place in their exchange (ruling R14), and a market order that
finds an empty book may be rejected instead of accepted and cancelled (ruling R15).
"""

from __future__ import annotations

from matchmark.conformance.checks.finding import Finding, show_all
from matchmark.conformance.history import Exchange, History
from matchmark.conformance.messages import (
    Accepted,
    Cancelled,
    Command,
    Event,
    MassCancel,
    New,
    OrdType,
    Rejected,
    Tif,
    Top,
    Trade,
)
from matchmark.conformance.targets.base import TargetInfo
from matchmark.reference.book import Order
from matchmark.reference.model import ModelEngine

CLAUSES = ("D01.X12", "D02.X5", "D03.X5", "D04.X5", "D07.X5", "D08.X5")


class ModelOfTarget(ModelEngine):
    """The model with the optional rules that the target declares."""

    def __init__(self, info: TargetInfo) -> None:
        self.has = info.capabilities
        limits = info.instruments
        super().__init__(
            limits.symbols,
            price_max=limits.price_max_ticks,
            quantity_max=limits.quantity_max_lots,
            emit_top="top" in info.capabilities,
        )

    def keeps_place(self, order: Order, px: int | None, qty: int) -> bool:
        return "replace_priority" in self.has and super().keeps_place(order, px, qty)

    def is_owner(self, order: Order, acct: str) -> bool:
        return "accounts" not in self.has or super().is_owner(order, acct)

    def forget(self, cl: str) -> None:
        """The target rejected it where it might have cancelled it: its ClOrdID is free again."""
        del self.orders[cl]


def differential(history: History, info: TargetInfo) -> list[Finding]:
    """The first exchange whose answer is not the model's: one finding, two when it is of limit orders alone."""
    model = ModelOfTarget(info)
    for index, exchange in enumerate(history):
        if exchange.failure is not None:
            break
        expected = model.submit(exchange.command)
        if tuple(expected) == exchange.events:
            continue
        if canonical(exchange.command, expected) == canonical(exchange.command, exchange.events):
            continue
        if _rejected_for_lack_of_liquidity(exchange, expected):
            assert isinstance(exchange.command, New)
            model.forget(exchange.command.cl)
            continue
        message = "the answer to this command is not the one that the rules give"
        answers = show_all(expected), show_all(exchange.events)
        clauses = clauses_of(history.commands[: index + 1], exchange, expected)
        return [Finding(clause, index, message, *answers) for clause in clauses]
    return []


def canonical(command: Command, events: list[Event] | tuple[Event, ...]) -> tuple[list[Event], list[Event]]:
    """The events as they are compared: all but `top` in order, then `top` in order."""
    tops: list[Event] = [e for e in events if isinstance(e, Top)]
    others: list[Event] = [e for e in events if not isinstance(e, Top)]
    if isinstance(command, MassCancel):
        others.sort(key=lambda e: (not isinstance(e, Cancelled), getattr(e, "cl", "")))
        tops.sort(key=lambda e: getattr(e, "sym", ""))
    return others, tops


def _rejected_for_lack_of_liquidity(exchange: Exchange, expected: list[Event]) -> bool:
    match exchange.command, expected, list(exchange.events):
        case (
            New(cl=cl, type=OrdType.MARKET, smp=_),
            [Accepted(), Cancelled(cum=0, reason="no_liquidity")],
            [Rejected(cl=named, reason=reason)],
        ):
            return named == cl and bool(reason.strip())
    return False


def clauses_of(commands: list[Command], exchange: Exchange, expected: list[Event]) -> list[str]:
    """The clause of the diagram, and D01.X12 when there was nothing but limit orders up to here."""
    clause = clause_of(exchange, expected)
    only_limits = all(isinstance(c, New) and c.type == OrdType.LIMIT and c.tif == Tif.DAY for c in commands)
    return [clause, "D01.X12"] if only_limits and clause != "D01.X12" else [clause]


def clause_of(exchange: Exchange, expected: list[Event]) -> str:
    """The differential clause of the diagram that the command belongs to."""
    command = exchange.command
    if not isinstance(command, New):
        return "D04.X5"
    trades = [e for e in (*expected, *exchange.events) if isinstance(e, Trade)]
    if command.type == OrdType.MARKET:
        return "D07.X5" if len({t.px for t in trades}) > 1 else "D02.X5"
    if command.tif == Tif.IOC:
        return "D08.X5"
    return "D03.X5" if trades else "D01.X12"
