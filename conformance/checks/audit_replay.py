"""Replays the commands of an audit log through the model book: its events, and what orders have left, must be those of the log.

The model shares no code with any exchange, so this also says that the exchange decided rightly, and not only that it can
repeat itself. Whose ClOrdID an order has is a number in the log; the model takes the numbers for names.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from matchmark.conformance import messages as m
from matchmark.conformance.checks.audit_format import Happened, Op
from matchmark.conformance.checks.audit_steps import Event, Step
from matchmark.conformance.trading_messages import (
    Act,
    Control,
    MarketEvent,
    Release,
    SetTrading,
    Trading,
    TradingChanged,
    TradingRefused,
)
from matchmark.reference.model import ModelEngine

SIDES = {0: m.Side.BUY, 1: m.Side.SELL}
TYPES = {0: m.OrdType.LIMIT, 1: m.OrdType.MARKET}
TIFS = {0: m.Tif.DAY, 1: m.Tif.IOC}
SMPS = {0: None, 1: m.Smp.CANCEL_NEWEST, 2: m.Smp.CANCEL_OLDEST}
STATES = {0: m.State.UNKNOWN, 1: m.State.NEW, 2: m.State.PARTIALLY_FILLED, 3: m.State.FILLED, 4: m.State.CANCELLED}
ACTS = {Op.WARN: Act.WARN, Op.CALM: Act.CALM, Op.HALT: Act.HALT, Op.RESUME: Act.RESUME}
REFUSALS = (Happened.REJECTED, Happened.CANCEL_REJECTED, Happened.STATE_REFUSED)
ALL_SYMBOLS = 0xFFFFFFFF
UNKNOWN_SYMBOL, NO_ROOM = 1, 6
"""Reasons of a refusal. No room is the exchange's own affair, which the commands do not tell."""

Said = tuple[object, ...]


@dataclass(frozen=True)
class Difference:
    """The first place where log and replay part."""

    sequence: int
    text: str
    expected: tuple[str, ...] = ()
    logged: tuple[str, ...] = ()


@dataclass
class _Order:
    leaves: int
    cum: int = 0
    money: int = 0


def replay(steps: Iterable[Step]) -> Difference | None:
    """The first difference; None when the replay makes the whole log. A last command that is cut short may lack its end."""
    taken = list(steps)
    model = model_for(taken)
    orders: dict[int, _Order] = {}
    for step in taken:
        command = command_of(step)
        if command is None:
            return Difference(
                step.sequence, f"the command cannot be read: side {step.side}, type {step.type}, tif {step.tif}"
            )
        if refused_for(step, NO_ROOM):
            continue
        if step.op is Op.ATTEMPT:  # of somebody who may not: it is recorded, and nothing comes of it
            if [e.what for e in step.events] != [Happened.STATE_REFUSED]:
                return Difference(step.sequence, "an operator command that was not allowed had an effect")
            continue
        made: Sequence[m.Event | MarketEvent] = (
            model.control(command) if isinstance(command, SetTrading | Release) else model.submit(command)
        )
        if difference := _compare(step, made) or _amounts(step, orders):
            return difference
    return None


def model_for(steps: Sequence[Step]) -> ModelEngine:
    """One that has had none of them."""
    symbols = sorted({s.symbol for s in steps if s.symbol != ALL_SYMBOLS and not refused_for(s, UNKNOWN_SYMBOL)})
    return ModelEngine([str(n) for n in symbols], emit_top=any(s.tops for s in steps))


def refused_for(step: Step, reason: int) -> bool:
    return any(e.what in REFUSALS and e.reason == reason for e in step.events)


def command_of(s: Step) -> m.Command | Control | None:
    """What the model is given; symbols, accounts and ClOrdIDs are the log's numbers. None for numbers that stand for nothing."""
    cl, orig, account, symbol = str(s.cl_number), str(s.orig_number), str(s.account), str(s.symbol)
    if s.op is Op.NEW:
        if s.side not in SIDES or s.type not in TYPES or s.tif not in TIFS or s.smp not in SMPS:
            return None
        price = s.price if TYPES[s.type] is m.OrdType.LIMIT else None
        return m.New(
            cl, account, symbol, SIDES[s.side], TYPES[s.type], s.quantity or 0, price, TIFS[s.tif], SMPS[s.smp],
            True if s.defer else None,
        )  # fmt: skip
    if s.op is Op.CANCEL:
        return m.Cancel(cl, orig, account, symbol)
    if s.op is Op.REPLACE:
        return m.Replace(cl, orig, account, symbol, s.price, s.quantity, SMPS.get(s.smp))
    if s.op is Op.MASS_CANCEL:
        return m.MassCancel(cl, account, None if s.symbol == ALL_SYMBOLS else symbol)
    if s.op is Op.STATUS:
        return m.Status(cl, orig, account, symbol)
    if s.op is Op.RELEASE:
        return Release(cl, orig, account, symbol)
    if s.op in ACTS:
        return SetTrading(cl, symbol, ACTS[s.op])
    return m.Reset()


def _compare(step: Step, made: Sequence[m.Event | MarketEvent]) -> Difference | None:
    tops = sorted(_of_model(e) for e in made if isinstance(e, m.Top))
    due = [_of_model(e) for e in made if not isinstance(e, m.Top)]
    logged = [_of_log(e) for e in step.events]
    if step.op is Op.MASS_CANCEL:  # in which order its orders end is the exchange's choice
        due, logged = sorted(due, key=repr), sorted(logged, key=repr)
    if not step.whole:
        due = due[: len(logged)]
    logged_tops = sorted(("top", str(t.symbol), t.bid, t.ask) for t in step.tops)
    if due == logged and (tops == logged_tops or not step.whole):
        return None
    words = (
        [" ".join(map(str, said)) for said in (*due, *tops)],
        [" ".join(map(str, said)) for said in (*logged, *logged_tops)],
    )
    text = f"replaying {step.op.name.lower()} {step.cl} causes other events than the logged"
    return Difference(step.sequence, text, tuple(words[0]), tuple(words[1]))


def _of_model(e: m.Event | MarketEvent) -> Said:
    if isinstance(e, m.Trade):
        return ("trade", e.sym, e.px, e.qty, e.resting, e.incoming)
    if isinstance(e, m.Cancelled):
        return ("cancelled", e.cl, e.leaves, e.cum)
    if isinstance(e, m.Replaced):
        return ("replaced", e.cl, e.orig, e.px, e.leaves, e.cum)
    if isinstance(e, m.MassCancelled):
        return ("mass_cancelled", e.cl, e.count)
    if isinstance(e, m.StatusReport):
        return ("status", e.cl, e.orig, str(e.state), e.leaves, e.cum)
    if isinstance(e, m.Top):
        return ("top", e.sym, e.bid, e.ask)
    if isinstance(e, TradingChanged):
        return ("state", e.sym, str(e.state))
    if isinstance(e, TradingRefused):
        return ("state_refused", e.cl)
    return (e.ev, e.cl)


def _of_log(e: Event) -> Said:
    cl, other = str(e.cl_number), str(e.other_number)
    if e.what is Happened.TRADE:
        return ("trade", str(e.symbol), e.price, e.quantity, other, cl)
    if e.what is Happened.CANCELLED:
        return ("cancelled", cl, e.quantity, e.cum)
    if e.what is Happened.REPLACED:
        return ("replaced", cl, other, e.price, e.quantity, e.cum)
    if e.what is Happened.STATE:
        return ("state", str(e.symbol), str(list(Trading)[e.state]))
    if e.what is Happened.MASS_CANCELLED:
        return ("mass_cancelled", cl, e.quantity)
    if e.what is Happened.STATUS:
        return ("status", cl, other, str(STATES.get(e.state, e.state)), e.quantity, e.cum)
    return (e.what.name.lower(), cl)


def _amounts(step: Step, orders: dict[int, _Order]) -> Difference | None:
    """Leaves, cum and money after each event, by own book-keeping."""
    for e in step.events:
        if e.what is Happened.ACCEPTED:
            orders[e.cl_number] = _Order(step.quantity or 0)
        elif e.what is Happened.REPLACED:
            order = orders[e.cl_number] = orders.pop(e.other_number)
            order.leaves = e.quantity
        elif e.what is Happened.TRADE:
            incoming, resting = orders[e.cl_number], orders[e.other_number]
            for order in (incoming, resting):
                order.leaves, order.cum = order.leaves - e.quantity, order.cum + e.quantity
                order.money += e.price * e.quantity
            due = (incoming.leaves, incoming.cum, incoming.money, resting.leaves, resting.cum, resting.money)
            said = (e.leaves, e.cum, e.money, e.resting_leaves, e.resting_cum, e.resting_money)
            if due != said:
                names = "leaves, cum and money of the incoming and of the resting order"
                return Difference(e.sequence, f"{names} do not follow from the trades", (str(due),), (str(said),))
        elif e.what is Happened.CANCELLED and e.cl_number in orders:
            orders[e.cl_number].leaves = 0
    return None
