"""The native engine as a target: names become numbers on the way in, numbers become names on the way out.

What to refuse is the engine's decision, not the adapter's: a word that is not in the tables goes to the engine as a number
that is not in its tables, and an integer that does not fit the C struct as the nearest that does.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, cast

from matchmark.conformance.clauses.vocabulary import MATCHING_CAPABILITIES
from matchmark.conformance.messages import (
    Accepted,
    Cancel,
    Cancelled,
    CancelRejected,
    Command,
    Event,
    MassCancel,
    MassCancelled,
    New,
    Rejected,
    Replace,
    Replaced,
    Reset,
    Status,
    StatusReport,
    Top,
    Trade,
)
from matchmark.conformance.targets.base import Instruments, Target, TargetInfo
from matchmark.conformance.trading_messages import (
    Control,
    MarketEvent,
    Release,
    Released,
    Trading,
    TradingChanged,
    TradingRefused,
)
from matchmark.native import records
from matchmark.native.records import ABSENT, ALL_SYMBOLS, EventKind, Op, OrdType, Reason, Side, Smp, State, Tif

if TYPE_CHECKING:
    from matchmark.native import core

RESTING_ORDERS_MAX = 1 << 21
"""Room for the largest book that a suite builds, with a million levels and more."""
CL_ORD_IDS_MAX = 1 << 22

MALFORMED = 255
"""In no table of the engine."""
UNKNOWN_SYMBOL = ALL_SYMBOLS - 1

SIDES = {"buy": Side.BUY, "sell": Side.SELL}
TYPES = {"limit": OrdType.LIMIT, "market": OrdType.MARKET}
TIFS = {"day": Tif.DAY, "ioc": Tif.IOC}
SMPS = {None: Smp.NONE, "cancel_newest": Smp.CANCEL_NEWEST, "cancel_oldest": Smp.CANCEL_OLDEST}
REASONS = {int(reason): reason.name.lower() for reason in Reason}
STATES = {int(state): state.name.lower() for state in State}


class NativeTarget(Target):
    def __init__(self, name: str = "native", instruments: Instruments | None = None) -> None:
        instruments = instruments or Instruments(
            price_max_ticks=records.MAX_PRICE_TICKS, quantity_max_lots=records.MAX_QUANTITY_LOTS
        )
        self.info = TargetInfo(name, version("matchmark"), frozenset(MATCHING_CAPABILITIES), instruments)
        self._symbols = {sym: index for index, sym in enumerate(instruments.symbols)}
        self._engine: core.Engine | None = None

    def start(self) -> None:
        from matchmark.native.core import Engine

        self.close()
        self._engine = Engine(len(self._symbols), RESTING_ORDERS_MAX, remembered_ids=CL_ORD_IDS_MAX, emit_top=True)
        self._forget()

    def reset(self) -> None:
        if self._engine is None:
            self.start()
        assert self._engine is not None
        self._engine.reset()
        self._forget()

    def close(self) -> None:
        if self._engine is not None:
            self._engine.close()
            self._engine = None

    def state_hash(self) -> int:
        """The state hash of docs/engine-rules.md."""
        assert self._engine is not None
        return self._engine.state_hash()

    def submit(self, command: Command) -> list[Event]:
        if isinstance(command, Reset):
            self.reset()
            return []
        assert self._engine is not None
        account = self._accounts.setdefault(command.acct, len(self._accounts))
        cl = self._number(command.cl)
        sym = ALL_SYMBOLS if command.sym is None else self._symbols.get(command.sym, UNKNOWN_SYMBOL)
        execute = self._engine.execute
        if isinstance(command, New):
            events = execute(
                Op.NEW,
                cl,
                account=account,
                symbol=sym,
                side=SIDES.get(command.side, MALFORMED),
                type=TYPES.get(command.type, MALFORMED),
                tif=TIFS.get(command.tif, MALFORMED),
                smp=SMPS.get(command.smp, MALFORMED),
                price_ticks=command.px,
                quantity_lots=command.qty,
                defer=int(bool(command.defer)),
            )
        elif isinstance(command, Cancel):
            events = execute(Op.CANCEL, cl, self._number(command.orig), account, sym)
        elif isinstance(command, Replace):
            events = execute(
                Op.REPLACE,
                cl,
                self._number(command.orig),
                account,
                sym,
                smp=SMPS.get(command.smp, MALFORMED),
                price_ticks=command.new_px,
                quantity_lots=command.new_qty,
            )
        elif isinstance(command, MassCancel):
            events = execute(Op.MASS_CANCEL, cl, account=account, symbol=sym)
        else:
            assert isinstance(command, Status)
            events = execute(Op.STATUS, cl, self._number(command.orig), account, sym)
        return [self._named(event) for event in events]

    def control(self, command: Control) -> list[Event | MarketEvent]:
        """What is said to the engine by no trader."""
        assert self._engine is not None
        cl, sym = self._number(command.cl), self._symbols.get(command.sym, UNKNOWN_SYMBOL)
        if isinstance(command, Release):
            account = self._accounts.setdefault(command.acct, len(self._accounts))
            events = self._engine.execute(Op.RELEASE, cl, self._number(command.orig), account, sym)
        else:
            events = self._engine.execute(Op[command.act.upper()], cl, symbol=sym)
        return [self._named(event) for event in events]

    def _forget(self) -> None:
        self._accounts: dict[str, int] = {}
        self._numbers: dict[str, int] = {}
        self._names: list[str] = [""]

    def _number(self, cl: str) -> int:
        number = self._numbers.get(cl)
        if number is None:
            number = self._numbers[cl] = len(self._names)
            self._names.append(cl)
        return number

    def _named(self, e: core.Event | core.Top) -> Any:
        kind = e.kind
        if kind == EventKind.TOP:
            sym = self.info.instruments.symbols[e.symbol]
            return Top(sym, _level(e.bid_ticks, e.bid_lots), _level(e.ask_ticks, e.ask_lots))  # type: ignore[union-attr]
        return _EVENTS[EventKind(kind)](self, cast("core.Event", e))

    def name(self, number: int) -> str:
        return self._names[number]

    def symbol(self, index: int) -> str:
        return self.info.instruments.symbols[index]


def _level(price_ticks: int, quantity_lots: int) -> tuple[int, int] | None:
    return None if price_ticks == ABSENT else (price_ticks, quantity_lots)


def _trade(t: NativeTarget, e: core.Event) -> Event:
    return Trade(t.symbol(e.symbol), e.price_ticks, e.quantity_lots, t.name(e.other_cl_ord_id), t.name(e.cl_ord_id))


def _status(t: NativeTarget, e: core.Event) -> Event:
    return StatusReport(t.name(e.cl_ord_id), t.name(e.other_cl_ord_id), STATES[e.state], e.quantity_lots, e.cum_lots)


def _replaced(t: NativeTarget, e: core.Event) -> Event:
    return Replaced(t.name(e.cl_ord_id), t.name(e.other_cl_ord_id), e.price_ticks, e.quantity_lots, e.cum_lots)


_EVENTS: dict[EventKind, Callable[[NativeTarget, core.Event], Event | MarketEvent]] = {
    EventKind.STATE: lambda t, e: TradingChanged(t.symbol(e.symbol), list(Trading)[e.state]),
    EventKind.STATE_REFUSED: lambda t, e: TradingRefused(t.name(e.cl_ord_id), REASONS[e.reason]),
    EventKind.RELEASED: lambda t, e: Released(t.name(e.cl_ord_id)),
    EventKind.ACCEPTED: lambda t, e: Accepted(t.name(e.cl_ord_id), str(e.order_id)),
    EventKind.REJECTED: lambda t, e: Rejected(t.name(e.cl_ord_id), REASONS[e.reason]),
    EventKind.REPLACED: _replaced,
    EventKind.TRADE: _trade,
    EventKind.CANCELLED: lambda t, e: Cancelled(t.name(e.cl_ord_id), e.quantity_lots, e.cum_lots, REASONS[e.reason]),
    EventKind.CANCEL_REJECTED: lambda t, e: CancelRejected(t.name(e.cl_ord_id), REASONS[e.reason]),
    EventKind.MASS_CANCELLED: lambda t, e: MassCancelled(t.name(e.cl_ord_id), e.quantity_lots),
    EventKind.STATUS: _status,
}
