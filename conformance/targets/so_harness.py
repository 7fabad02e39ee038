"""The public matching-engine-benchmark harness's interface as the subprocess protocol.

The interface (native/include/matchmark/harness_abi.h) has one book, dense integer ids, limit and IOC orders, cancel and
modify, and queries of the best prices. It has no accounts, no market orders, no word for "refused", and no memory of
ended ids. So this adapter gives each order an id and stands where a gateway would: it answers by itself what the
interface cannot carry (another symbol, a market order, a price or quantity outside docs/engine-rules.md, a ClOrdID used
before or replaced away), and the capabilities that such answers would prove cannot be declared. Everything else goes to
the engine, requests about ended and unknown orders included.

The interface leaves the order of an ack and its message's trades open: acks are put first, trades stay in the engine's
order, the cancel ack of an IOC remainder comes last. The quantity in a cancel ack is not defined, so leaves are the
order's quantity less the trades that the engine reported.
"""

from __future__ import annotations

import struct
import threading
from dataclasses import dataclass
from typing import Any

from cffi import FFI

from matchmark.conformance.targets.so_host import Unavailable, Wire, declarations, load

CAPABILITIES = {"limit", "ioc", "cancel", "replace", "top"}
REQUIRED = (
    "engine_init",
    "engine_shutdown",
    "engine_on_new_order",
    "engine_on_cancel",
    "engine_on_modify",
    "engine_flush",
    "engine_query_best_bid",
    "engine_query_best_ask",
    "engine_query_depth_at",
)
SIDES = {"buy": 0, "sell": 1}
PRICE_MAX_TICKS = 2**53 - 1
QUANTITY_MAX_LOTS = 2**31 - 1
NO_BID, NO_ASK = -(2**63), 2**63 - 1
OWN_QUEUE_REPORTS = 1 << 14
DRAIN_AT_ONCE = 256
DRAIN_EVERY_S = 0.001
SEED = 1

REPORT = struct.Struct("<BB6xQQqI4xQQ8x")
NEW_ORDER, CANCEL, MODIFY = range(3)
ORDER_ACK, TRADE, CANCEL_ACK, MODIFY_ACK, CANCEL_REJECT, MODIFY_REJECT = range(6)
RANK = {ORDER_ACK: 0, MODIFY_ACK: 0, TRADE: 1, CANCEL_ACK: 2, CANCEL_REJECT: 3, MODIFY_REJECT: 3}


@dataclass(slots=True)
class Order:
    id: int
    cl: str
    side: int
    px: int
    leaves: int
    cum: int = 0


class HarnessBridge:
    def __init__(self, library: str, symbols: list[str], capabilities: list[str]) -> None:
        _check_profile(symbols, capabilities)
        self._symbol = symbols[0]
        self._with_top = "top" in capabilities
        self._ffi = FFI()
        self._ffi.cdef(declarations("harness_abi.h"))
        self._library = load(self._ffi, library)
        for name in REQUIRED:
            if not hasattr(self._library, name):
                raise Unavailable(f"it does not export {name}, which the harness's interface requires (docs/so-abi.md)")
        self._prebuild = getattr(self._library, "engine_prebuild", None)
        self._reports = make_queue(self._ffi, self._library)
        self._start()

    def reset(self) -> None:
        self.close()
        self._start()

    def close(self) -> None:
        self._library.engine_shutdown()
        self._reports.close()

    def submit(self, command: Wire) -> list[Wire]:
        handler = {"new": self._new, "cancel": self._cancel, "replace": self._replace}.get(command["op"])
        if handler is None:
            return [_refused(command, "the harness's interface has no such request")]
        return handler(command)

    def _start(self) -> None:
        self._orders: dict[str, Order] = {}
        self._by_id: dict[int, Order] = {}
        self._sequence = 0
        self._top: tuple[list[int] | None, list[int] | None] = (None, None)
        self._library.engine_init(SEED, *self._reports.open())

    # --- commands ---------------------------------------------------------------------------------------------------

    def _new(self, c: Wire) -> list[Wire]:
        if reason := self._new_refusal(c):
            return [{"ev": "rejected", "cl": c["cl"], "reason": reason}]
        order = Order(len(self._by_id) + 1, c["cl"], SIDES[c["side"]], c["px"], c["qty"])
        self._orders[order.cl] = self._by_id[order.id] = order
        ioc = int(c.get("tif") == "ioc")
        message = self._ffi.new("mh_new_order *", [order.id, self._sequence, order.px, order.leaves, order.side, ioc])
        return self._run(NEW_ORDER, message, c)

    def _new_refusal(self, c: Wire) -> str | None:
        if c["sym"] != self._symbol:
            return "unknown_symbol"
        if c["type"] != "limit" or c["side"] not in SIDES or c.get("tif", "day") not in ("day", "ioc") or "smp" in c:
            return "malformed"
        if not 1 <= c["qty"] <= QUANTITY_MAX_LOTS:
            return "bad_quantity"
        if not 1 <= c.get("px", 0) <= PRICE_MAX_TICKS:
            return "bad_price"
        return "duplicate_cl_ord_id" if c["cl"] in self._orders else None

    def _cancel(self, c: Wire) -> list[Wire]:
        order = self._orders.get(c["orig"])
        if reason := self._refusal(c, order):
            return [_refused(c, reason)]
        message = self._ffi.new("mh_cancel *", [self._id_of(order), self._sequence])
        return self._run(CANCEL, message, c)

    def _replace(self, c: Wire) -> list[Wire]:
        order = self._orders.get(c["orig"])
        if reason := self._refusal(c, order) or self._replace_refusal(c, order):
            return [_refused(c, reason)]
        leaves, side, px = 1, 0, 1
        if order is not None:
            leaves = max(1, c["new_qty"] - order.cum if "new_qty" in c else order.leaves)
            side, px = order.side, order.px
        message = self._ffi.new("mh_modify *", [self._id_of(order), self._sequence, c.get("new_px", px), leaves, side])
        return self._run(MODIFY, message, c)

    def _replace_refusal(self, c: Wire, order: Order | None) -> str | None:
        if "smp" in c or not ("new_px" in c or "new_qty" in c):
            return "malformed"
        cum = order.cum if order is not None and order.leaves else 0
        if "new_qty" in c and not cum < c["new_qty"] <= QUANTITY_MAX_LOTS:
            return "bad_quantity"
        if "new_px" in c and not 1 <= c["new_px"] <= PRICE_MAX_TICKS:
            return "bad_price"
        return "duplicate_cl_ord_id" if c["cl"] in self._orders else None

    def _refusal(self, c: Wire, order: Order | None) -> str | None:
        """Why a request about an order cannot be put to the engine."""
        if c["sym"] != self._symbol:
            return "unknown_symbol"
        return "too_late" if order is not None and order.cl != c["orig"] else None

    def _id_of(self, order: Order | None) -> int:
        """The order's id; of an unknown order one that was never given out, for the engine to refuse."""
        return order.id if order is not None else len(self._by_id) + 1

    # --- reports ----------------------------------------------------------------------------------------------------

    def _run(self, kind: int, message: Any, c: Wire) -> list[Wire]:
        reports = self._reports.collect(lambda: self._deliver(kind, message))
        stray = [r for r in reports if r[2] != self._sequence or r[0] not in RANK]
        if stray:
            kind, _side, sequence, *_rest = stray[0]
            return [{"ev": f"report of type {kind} for message {sequence}, when message {self._sequence} was sent"}]
        self._sequence += 1
        events = [self._event(report, c) for report in sorted(reports, key=lambda r: RANK[r[0]])]
        return events + self._top_change()

    def _deliver(self, kind: int, message: Any) -> None:
        if self._prebuild is not None:
            self._prebuild(kind, message)
        lib = self._library
        (lib.engine_on_new_order, lib.engine_on_cancel, lib.engine_on_modify)[kind](message)
        lib.engine_flush()

    def _event(self, report: tuple[int, ...], c: Wire) -> Wire:
        kind, _side, _sequence, order_id, px, qty, resting_id, incoming_id = report
        if kind == TRADE:
            for traded in (self._by_id.get(resting_id), self._by_id.get(incoming_id)):
                if traded is not None:
                    traded.leaves -= qty
                    traded.cum += qty
            names = {"resting": self._name(resting_id), "incoming": self._name(incoming_id)}
            return {"ev": "trade", "sym": self._symbol, "px": px, "qty": qty, **names}
        order = self._by_id.get(order_id)
        if kind == ORDER_ACK:
            return {"ev": "accepted", "cl": self._name(order_id), "id": str(order_id)}
        if kind == MODIFY_ACK and order is not None:
            return self._replaced(order, px, qty, c)
        if kind == CANCEL_ACK and order is not None:
            leaves, order.leaves = order.leaves, 0
            reason = "ioc" if c["op"] == "new" else "requested"
            return {"ev": "cancelled", "cl": order.cl, "leaves": leaves, "cum": order.cum, "reason": reason}
        if kind in (CANCEL_REJECT, MODIFY_REJECT):
            return _refused(c, "the engine knows no such resting order")
        return {"ev": f"report of type {kind} about id {order_id}, which was never given to the engine"}

    def _replaced(self, order: Order, px: int, leaves: int, c: Wire) -> Wire:
        order.cl, order.px, order.leaves = c["cl"], px, leaves
        self._orders[order.cl] = order
        names = {"cl": order.cl, "orig": c.get("orig", "")}
        return {"ev": "replaced", **names, "px": px, "leaves": leaves, "cum": order.cum}

    def _name(self, order_id: int) -> str:
        order = self._by_id.get(order_id)
        return order.cl if order is not None else f"#{order_id}"

    def _top_change(self) -> list[Wire]:
        if not self._with_top:
            return []
        bid, ask = self._library.engine_query_best_bid(), self._library.engine_query_best_ask()
        depth = self._library.engine_query_depth_at
        top = (None if bid == NO_BID else [bid, depth(bid, 0)], None if ask == NO_ASK else [ask, depth(ask, 1)])
        if top == self._top:
            return []
        self._top = top
        return [{"ev": "top", "sym": self._symbol, "bid": top[0], "ask": top[1]}]


def _refused(c: Wire, reason: str) -> Wire:
    return {"ev": "cancel_rejected", "cl": c["cl"], "reason": reason}


def _check_profile(symbols: list[str], capabilities: list[str]) -> None:
    if len(symbols) != 1:
        raise Unavailable(
            f"[instruments] has {len(symbols)} symbols, and the harness's interface has one book; "
            f"write symbols = [{symbols[0]!r}]"
        )
    if beyond := sorted(set(capabilities) - CAPABILITIES):
        raise Unavailable(
            f"[target] capabilities declares {', '.join(beyond)}, which the harness's interface cannot carry; it "
            f'can carry {", ".join(sorted(CAPABILITIES))}. Implement target_abi.h (abi = "matchmark") for more'
        )


# --- where the reports come from ------------------------------------------------------------------------------------


def make_queue(ffi: FFI, library: Any) -> PushedReports | OwnQueue:
    """The engine's own transport when it brings one, else ours."""
    if hasattr(library, "engine_get_transport"):
        transport = library.engine_get_transport()
        if transport != ffi.NULL:
            return OwnQueue(ffi, transport)
    return PushedReports(ffi)


class PushedReports:
    """A transport of ours: each push is kept at once, from whichever thread it comes."""

    def __init__(self, ffi: FFI) -> None:
        self._ffi = ffi
        self._kept: list[tuple[int, ...]] = []
        self._queue = ffi.new("char[1]")  # only its address matters
        self._functions = (
            ffi.callback("void *(uint32_t)", lambda capacity: self._queue),
            ffi.callback("int(void *, const mh_report *)", self._push),
            ffi.callback("uint32_t(void *, mh_report *, uint32_t)", lambda queue, out, n: 0),
            ffi.callback("void(void *)", lambda queue: None),
            ffi.callback("void(void *)", lambda queue: None),
        )
        self._transport = ffi.new("mh_transport *", self._functions)

    def open(self) -> tuple[Any, Any]:
        self._kept.clear()
        return self._transport, self._queue

    def close(self) -> None:
        self._kept.clear()

    def collect(self, call: Any) -> list[tuple[int, ...]]:
        """What was pushed since the last collect, after `call` has returned."""
        call()
        kept, self._kept[:] = self._kept[:], []
        return kept

    def _push(self, queue: Any, report: Any) -> int:
        self._kept.append(REPORT.unpack(self._ffi.buffer(report, REPORT.size)))
        return 1


class OwnQueue:
    """The engine's own transport. A thread of ours drains it while a call runs: no answer is too long for it."""

    def __init__(self, ffi: FFI, transport: Any) -> None:
        self._ffi, self._transport = ffi, transport
        self._out = ffi.new("mh_report[]", DRAIN_AT_ONCE)
        self._lock = threading.Lock()
        self._kept: list[tuple[int, ...]] = []
        self._busy = threading.Event()
        threading.Thread(target=self._drain_while_busy, daemon=True).start()

    def open(self) -> tuple[Any, Any]:
        self._queue = self._transport.create(OWN_QUEUE_REPORTS)
        if self._queue == self._ffi.NULL:
            raise Unavailable(f"the create of its own transport made no queue for {OWN_QUEUE_REPORTS} reports")
        return self._transport, self._queue

    def close(self) -> None:
        self._transport.destroy(self._queue)

    def collect(self, call: Any) -> list[tuple[int, ...]]:
        self._busy.set()
        try:
            call()
            self._transport.flush(self._queue)
        finally:
            self._busy.clear()
        self._drain()
        with self._lock:
            kept, self._kept[:] = self._kept[:], []
        return kept

    def _drain_while_busy(self) -> None:
        pause = threading.Event()
        while self._busy.wait():
            pause.wait(DRAIN_EVERY_S)
            if self._busy.is_set():
                self._drain()

    def _drain(self) -> None:
        """One thread at a time, the lock hands the consumer's end over."""
        with self._lock:
            while n := self._transport.drain(self._queue, self._out, DRAIN_AT_ONCE):
                self._kept.extend(REPORT.iter_unpack(self._ffi.buffer(self._out, n * REPORT.size)))
