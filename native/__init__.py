"""The native core: the matching engine in C, driven from Python in numpy batches or one command at a time.

Semantics: docs/engine-rules.md. Record layouts: native/include/matchmark/types.h.
"""

from matchmark.native.core import Counters, Engine, EngineClosed, Event, OrderView, Quote, Top
from matchmark.native.records import (
    ABSENT,
    ALL_SYMBOLS,
    COMMAND,
    EVENT,
    MAX_PRICE_TICKS,
    MAX_QUANTITY_LOTS,
    TOP,
    EventKind,
    Op,
    OrdType,
    Reason,
    Side,
    Smp,
    State,
    Tif,
)

__all__ = [
    "ABSENT",
    "ALL_SYMBOLS",
    "COMMAND",
    "EVENT",
    "MAX_PRICE_TICKS",
    "MAX_QUANTITY_LOTS",
    "TOP",
    "Counters",
    "Engine",
    "EngineClosed",
    "Event",
    "EventKind",
    "Op",
    "OrdType",
    "OrderView",
    "Quote",
    "Reason",
    "Side",
    "Smp",
    "State",
    "Tif",
    "Top",
]
