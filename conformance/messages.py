"""The order-entry vocabulary of the kit: commands sent to an engine and the events it answers with.

These are the messages of the subprocess protocol (docs/adapters.md), one class an `op` and one an `ev`. Their meaning is
in docs/engine-rules.md. Prices are integer ticks, quantities integer lots; `cl` is a ClOrdID.

Two events are equal when everything an outsider may rely on is equal. Engine-assigned ids and the wording of reasons
differ from engine to engine and are left out of the comparison.

Nothing here talks to an engine; `from_wire` is the only code that trusts no one.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any, ClassVar


class Side(StrEnum):
    BUY = "buy"
    SELL = "sell"

    @property
    def opposite(self) -> Side:
        return Side.SELL if self is Side.BUY else Side.BUY


class OrdType(StrEnum):
    LIMIT = "limit"
    MARKET = "market"


class Tif(StrEnum):
    DAY = "day"
    IOC = "ioc"


class Smp(StrEnum):
    """Self-match prevention asked for by the incoming order."""

    CANCEL_NEWEST = "cancel_newest"
    CANCEL_OLDEST = "cancel_oldest"


class State(StrEnum):
    NEW = "new"
    PARTIALLY_FILLED = "partially_filled"
    FILLED = "filled"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"


class WireError(ValueError):
    """A message from the target that does not follow the adapter protocol; says which field and why."""


# --- commands ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class New:
    op: ClassVar[str] = "new"
    cl: str
    acct: str
    sym: str
    side: str
    type: str
    qty: int
    px: int | None = None
    tif: str = Tif.DAY
    smp: str | None = None
    defer: bool | None = None
    """True: where the symbol is warned, it is accepted now and decided at its release (trading_messages.py)."""


@dataclass(frozen=True, slots=True)
class Cancel:
    op: ClassVar[str] = "cancel"
    cl: str
    orig: str
    acct: str
    sym: str


@dataclass(frozen=True, slots=True)
class Replace:
    op: ClassVar[str] = "replace"
    cl: str
    orig: str
    acct: str
    sym: str
    new_px: int | None = None
    new_qty: int | None = None
    smp: str | None = None


@dataclass(frozen=True, slots=True)
class MassCancel:
    op: ClassVar[str] = "mass_cancel"
    cl: str
    acct: str
    sym: str | None = None


@dataclass(frozen=True, slots=True)
class Status:
    op: ClassVar[str] = "status"
    cl: str
    orig: str
    acct: str
    sym: str


@dataclass(frozen=True, slots=True)
class Reset:
    op: ClassVar[str] = "reset"


Command = New | Cancel | Replace | MassCancel | Status | Reset


# --- events -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Accepted:
    ev: ClassVar[str] = "accepted"
    cl: str
    id: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Rejected:
    ev: ClassVar[str] = "rejected"
    cl: str
    reason: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Replaced:
    ev: ClassVar[str] = "replaced"
    cl: str
    orig: str
    px: int
    leaves: int
    cum: int


@dataclass(frozen=True, slots=True)
class Trade:
    ev: ClassVar[str] = "trade"
    sym: str
    px: int
    qty: int
    resting: str
    incoming: str


@dataclass(frozen=True, slots=True)
class Cancelled:
    ev: ClassVar[str] = "cancelled"
    cl: str
    leaves: int
    cum: int
    reason: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class CancelRejected:
    ev: ClassVar[str] = "cancel_rejected"
    cl: str
    reason: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class MassCancelled:
    ev: ClassVar[str] = "mass_cancelled"
    cl: str
    count: int


@dataclass(frozen=True, slots=True)
class StatusReport:
    ev: ClassVar[str] = "status"
    cl: str
    orig: str
    state: str
    leaves: int
    cum: int


Level = tuple[int, int]
"""(price in ticks, aggregate quantity in lots)"""


@dataclass(frozen=True, slots=True)
class Top:
    ev: ClassVar[str] = "top"
    sym: str
    bid: Level | None
    ask: Level | None


Event = Accepted | Rejected | Replaced | Trade | Cancelled | CancelRejected | MassCancelled | StatusReport | Top

EVENTS: dict[str, type[Event]] = {
    cls.ev: cls
    for cls in (Accepted, Rejected, Replaced, Trade, Cancelled, CancelRejected, MassCancelled, StatusReport, Top)
}
COMMANDS: dict[str, type[Command]] = {cls.op: cls for cls in (New, Cancel, Replace, MassCancel, Status, Reset)}

_NAMES: dict[type, tuple[str, ...]] = {
    cls: tuple(f.name for f in fields(cls)) for cls in (*COMMANDS.values(), *EVENTS.values())
}
_STRINGS = {"cl", "id", "reason", "orig", "sym", "resting", "incoming", "state", "acct", "side", "type", "tif", "smp"}
_OPTIONAL = {"id", "reason"}
_STATES = set(State)


def to_wire(message: Command | Event) -> dict[str, Any]:
    """The message as a JSON object of the subprocess protocol; absent fields are left out."""
    key = "op" if hasattr(message, "op") else "ev"
    wire: dict[str, Any] = {key: getattr(message, key)}
    for name in _NAMES[type(message)]:
        value = getattr(message, name)
        if value is None and key == "op":
            continue
        wire[name] = list(value) if isinstance(value, tuple) else value
    return wire


def command_from_wire(wire: dict[str, Any]) -> Command:
    """The command of a recorded history or of a transcript file; WireError when it is not one."""
    op = wire.get("op")
    cls = COMMANDS.get(op) if isinstance(op, str) else None
    if cls is None:
        raise WireError(f"unknown op {op!r}; one of {', '.join(COMMANDS)}")
    try:
        return cls(**{k: v for k, v in wire.items() if k != "op"})
    except TypeError as error:
        raise WireError(f"op {op}: {error}") from None


def event_from_wire(wire: Any) -> Event:
    """The event that a target sent; WireError names the field that is wrong and what it should have been."""
    if not isinstance(wire, dict):
        raise WireError(f"expected a JSON object, got {type(wire).__name__}")
    ev = wire.get("ev")
    cls = EVENTS.get(ev) if isinstance(ev, str) else None
    if cls is None:
        raise WireError(f"unknown event {ev!r}; expected one of {', '.join(EVENTS)}, done")
    values: dict[str, Any] = {}
    for f in fields(cls):
        if f.name not in wire:
            if f.name in _OPTIONAL:
                continue
            raise WireError(f"event {ev!r} lacks field {f.name!r}")
        values[f.name] = _field(ev, f.name, wire[f.name])
    return cls(**values)


def _field(ev: str | None, name: str, value: Any) -> Any:
    if name in _STRINGS:
        if name == "id" and isinstance(value, int):
            return str(value)
        if not isinstance(value, str):
            raise WireError(f"event {ev!r}: {name} must be a string, got {value!r}")
        if name == "state" and value not in _STATES:
            raise WireError(f"event {ev!r}: state must be one of {', '.join(State)}, got {value!r}")
        return value
    if name in ("bid", "ask"):
        if value is None:
            return None
        if not (isinstance(value, list) and len(value) == 2 and all(type(v) is int for v in value)):
            raise WireError(
                f"event {ev!r}: {name} must be [price, quantity] in whole ticks and lots or null, got {value!r}"
            )
        return (value[0], value[1])
    if type(value) is not int:
        raise WireError(f"event {ev!r}: {name} must be a whole number, got {value!r}")
    return value
