"""Commands for an engine and the model at once, and the event records that an audit log would hold of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from matchmark.conformance.messages import Cancel, Command, MassCancel, New, OrdType, Replace, Side, Smp, Tif
from matchmark.conformance.targets.base import Instruments
from matchmark.conformance.targets.native import NativeTarget
from matchmark.conformance.trading_messages import Act, Control, Release, SetTrading
from matchmark.native import core
from matchmark.native.pipeline_records import AUDIT_RECORD, EVENT_RECORD, RECORD_LAST
from matchmark.native.records import EventKind
from matchmark.reference.audit_log import Records
from matchmark.reference.model import ModelEngine

SYMBOLS = ("S0", "S1", "S2")
ORDERS = 24
"""ClOrdIDs that commands choose among: few, so that they often mean an order that is there."""
_IN_BOTH = ("kind", "reason", "side", "state", "symbol", "cl_ord_id", "other_cl_ord_id", "order_id", "price_ticks",
            "quantity_lots", "cum_lots", "account", "other_account", "other_order_id")  # fmt: skip
_TOP_KIND, _TOP_SYMBOL = 0, 4


class _Tap:
    """The engine, and what it said."""

    def __init__(self, engine: core.Engine) -> None:
        self._engine, self.said = engine, list[Any]()

    def execute(self, *args: Any, **fields: Any) -> Any:
        self.said = self._engine.execute(*args, **fields)
        return self.said

    def close(self) -> None:
        self._engine.close()


class Exchange:
    """`do` gives the records of one command; `model` is what the books must be like."""

    def __init__(self, symbols: tuple[str, ...] = SYMBOLS) -> None:
        self.symbols = symbols
        self.model = ModelEngine(symbols)
        self._native = NativeTarget(instruments=Instruments(symbols=symbols))
        self._native.start()
        assert self._native._engine is not None
        self._tap: Any = _Tap(self._native._engine)
        self._native._engine = self._tap
        self.sequence = 0

    def do(self, command: Command | Control) -> Records:
        if isinstance(command, SetTrading | Release):
            self.model.control(command)
            self._native.control(command)
        else:
            self.model.submit(command)
            self._native.submit(command)
        self.sequence += 1  # the command's own record
        return self._records(self._tap.said)

    def _records(self, events: list[Any]) -> Records:
        out = np.zeros(len(events), dtype=AUDIT_RECORD)
        rows = out.view(EVENT_RECORD)
        for n, event in enumerate(events):
            self.sequence += 1
            row = rows[n]
            row["sequence"], row["kind"], row["stage_b_ns"] = self.sequence, 2, 1000 * self.sequence
            names = ("kind", "symbol") if event.kind == EventKind.TOP else _IN_BOTH
            for name in names:
                row["body"][name] = getattr(event, name)
        if len(out):
            rows[-1]["flags"] = RECORD_LAST
        return out

    def levels(self, symbol: int) -> tuple[dict[int, int], dict[int, int]]:
        """Of the model: ticks to lots, bids and asks."""
        book = self.model.books[self.symbols[symbol]]
        bids, asks = ({px: level.qty for px, level in book.levels[side].items()} for side in (Side.BUY, Side.SELL))
        return bids, asks

    def quote(self, symbol: int) -> tuple[int, int, int, int]:
        bid, ask = self.model.top(self.symbols[symbol])
        return *(bid or (0, 0)), *(ask or (0, 0))

    def close(self) -> None:
        self._native.close()


def news(symbols: tuple[str, ...] = SYMBOLS) -> st.SearchStrategy[New]:
    return st.builds(
        New,
        cl=st.integers(0, 10**9).map(str),
        acct=st.sampled_from(("A", "B")),
        sym=st.sampled_from(symbols),
        side=st.sampled_from(list(Side)),
        type=st.sampled_from((OrdType.LIMIT, OrdType.LIMIT, OrdType.LIMIT, OrdType.MARKET)),
        qty=st.integers(1, 9),
        px=st.integers(98, 103),
        tif=st.sampled_from((Tif.DAY, Tif.DAY, Tif.DAY, Tif.IOC)),
        smp=st.sampled_from((None, None, *Smp)),
        defer=st.sampled_from((None, True)),
    )


@st.composite
def flows(draw: st.DrawFn, most: int = 40) -> list[Command | Control]:
    """Commands in an order in which many mean orders that came before."""
    out: list[Command | Control] = []
    known = [("ghost", "A", SYMBOLS[0])]
    for n in range(draw(st.integers(1, most))):
        kind = draw(st.sampled_from("nnnnnnncrrmtl"))
        orig, acct, sym = known[-1 - draw(st.integers(0, min(ORDERS, len(known) - 1)))]
        cl = f"c{n}"
        if kind == "n":
            new = draw(news())
            new = New(cl, new.acct, new.sym, new.side, new.type, new.qty, new.px, new.tif, new.smp, new.defer)
            known.append((cl, new.acct, new.sym))
            out.append(new)
        elif kind == "c":
            out.append(Cancel(cl, orig, acct, sym))
        elif kind == "r":
            px, qty = draw(st.none() | st.integers(98, 103)), draw(st.none() | st.integers(1, 12))
            out.append(Replace(cl, orig, acct, sym, px, qty))
            known.append((cl, acct, sym))
        elif kind == "m":
            out.append(MassCancel(cl, acct, draw(st.sampled_from((None, *SYMBOLS)))))
        elif kind == "t":
            out.append(SetTrading(cl, draw(st.sampled_from(SYMBOLS)), draw(st.sampled_from(list(Act)))))
        else:
            out.append(Release(cl, orig, acct, sym))
    return out
