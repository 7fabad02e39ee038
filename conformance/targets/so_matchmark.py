"""Our own library interface as the subprocess protocol: names to numbers and back.

The interface is native/include/matchmark/target_abi.h. A number that does not fit its struct is passed as the nearest
that does; what to refuse is the engine's decision. What the engine says is passed on as it is: a number that stands for
nothing becomes "#number", for the kit to find wrong.
"""

from __future__ import annotations

from typing import Any

from cffi import FFI

from matchmark.conformance.targets.so_host import Unavailable, Wire, declarations, load

ABI_VERSION = 1
ABSENT = -(2**63)
ALL_SYMBOLS = 2**32 - 1
UNKNOWN_SYMBOL = ALL_SYMBOLS - 1
MALFORMED = 255

OPS = {"new": 1, "cancel": 2, "replace": 3, "mass_cancel": 4, "status": 5}
SIDES = {"buy": 0, "sell": 1}
TYPES = {"limit": 0, "market": 1}
TIFS = {"day": 0, "ioc": 1}
SMPS = {None: 0, "cancel_newest": 1, "cancel_oldest": 2}
STATES = ("unknown", "new", "partially_filled", "filled", "cancelled")
MEMBERS = ("name", "version", "capabilities", "create", "destroy", "reset", "submit")


class MatchmarkBridge:
    def __init__(self, library: str, symbols: list[str], capabilities: list[str]) -> None:
        self._ffi = FFI()
        self._ffi.cdef(declarations("target_abi.h"))
        self._library = load(self._ffi, library)  # kept: cffi unloads it otherwise
        self._target = self._checked(capabilities)
        self._symbols = {name: index for index, name in enumerate(symbols)}
        self._symbol_names = symbols
        error = self._ffi.new("const char **")
        self._engine = self._target.create(len(symbols), error)
        if self._engine == self._ffi.NULL:
            raise Unavailable(f"create made no engine for {len(symbols)} symbols; it says: {self._text(error[0])}")
        self._command: Any = self._ffi.new("mmt_command *")
        self._sink = self._ffi.callback("void(void *, const mmt_event *)", self._hear)
        self._events: list[Wire] = []
        self._forget()

    def reset(self) -> None:
        self._target.reset(self._engine)
        self._forget()

    def close(self) -> None:
        self._target.destroy(self._engine)

    def submit(self, command: Wire) -> list[Wire]:
        self._events = []
        c = self._command
        c.op = OPS[command["op"]]
        c.side = SIDES.get(command.get("side", "buy"), MALFORMED)
        c.type = TYPES.get(command.get("type", "limit"), MALFORMED)
        c.tif = TIFS.get(command.get("tif", "day"), MALFORMED)
        c.smp = SMPS.get(command.get("smp"), MALFORMED)
        c.account = self._accounts.setdefault(command["acct"], len(self._accounts))
        c.symbol = self._symbols.get(command["sym"], UNKNOWN_SYMBOL) if "sym" in command else ALL_SYMBOLS
        c.cl_ord_id = self._number(command["cl"])
        c.orig_cl_ord_id = self._number(command["orig"]) if "orig" in command else 0
        c.price_ticks = _fitting(command.get("px", command.get("new_px")))
        c.quantity_lots = _fitting(command.get("qty", command.get("new_qty")))
        self._target.submit(self._engine, c, self._sink, self._ffi.NULL)
        return self._events

    def _checked(self, declared: list[str]) -> Any:
        try:
            entry = self._library.matchmark_target
        except AttributeError:
            raise Unavailable(
                "it does not export matchmark_target; implement target_abi.h (docs/so-abi.md), or, if it was built for "
                'the public harness, set [so] abi = "harness"'
            ) from None
        target = entry()
        if target == self._ffi.NULL:
            raise Unavailable("matchmark_target returned NULL; it must return the library's mmt_target")
        if target.abi_version != ABI_VERSION or target.struct_bytes != self._ffi.sizeof("mmt_target"):
            raise Unavailable(
                f"it is built for version {target.abi_version} of the interface, this kit speaks version {ABI_VERSION} "
                f"({target.struct_bytes} and {self._ffi.sizeof('mmt_target')} bytes); compile it with this kit's "
                "target_abi.h"
            )
        for member in MEMBERS:
            if getattr(target, member) == self._ffi.NULL:
                raise Unavailable(f"its mmt_target has no {member} (NULL); every member must be set")
        claimed = set(self._text(target.capabilities).split())
        if missing := sorted(set(declared) - claimed):
            raise Unavailable(
                f"[target] capabilities declares {', '.join(missing)}, which the library does not claim (it claims "
                f"{', '.join(sorted(claimed))}); make the two agree"
            )
        if extra := sorted(claimed - set(declared)):
            raise Unavailable(
                f"the library claims {', '.join(extra)}, which [target] capabilities does not declare; add it"
            )
        return target

    def _hear(self, context: Any, event: Any) -> None:
        try:
            self._events.append(self._told(event))
        except Exception as error:  # must not be lost: cffi would print it and go on without the event
            self._events.append({"ev": f"unreadable event of kind {event.kind}: {error}"})

    def _told(self, e: Any) -> Wire:
        cl, other = self._name(e.cl_ord_id), self._name(e.other_cl_ord_id)
        leaves: Wire = {"leaves": e.quantity_lots, "cum": e.cum_lots}
        match e.kind:
            case 1:
                return {"ev": "accepted", "cl": cl, "id": str(e.order_id)}
            case 2:
                return {"ev": "rejected", "cl": cl, "reason": self._text(e.reason)}
            case 3:
                return {"ev": "replaced", "cl": cl, "orig": other, "px": e.price_ticks, **leaves}
            case 4:
                trade = {"ev": "trade", "sym": self._symbol(e.symbol), "px": e.price_ticks, "qty": e.quantity_lots}
                return {**trade, "resting": other, "incoming": cl}
            case 5:
                return {"ev": "cancelled", "cl": cl, **leaves, "reason": self._text(e.reason)}
            case 6:
                return {"ev": "cancel_rejected", "cl": cl, "reason": self._text(e.reason)}
            case 7:
                return {"ev": "mass_cancelled", "cl": cl, "count": e.quantity_lots}
            case 8:
                state = STATES[e.state] if e.state < len(STATES) else f"#{e.state}"
                return {"ev": "status", "cl": cl, "orig": other, "state": state, **leaves}
            case 9:
                bid, ask = _level(e.price_ticks, e.quantity_lots), _level(e.ask_price_ticks, e.ask_quantity_lots)
                return {"ev": "top", "sym": self._symbol(e.symbol), "bid": bid, "ask": ask}
            case kind:
                return {"ev": f"kind {kind}"}

    def _forget(self) -> None:
        self._accounts: dict[str, int] = {}
        self._numbers: dict[str, int] = {}
        self._names: list[str] = [""]

    def _number(self, cl: str) -> int:
        number = self._numbers.setdefault(cl, len(self._names))
        if number == len(self._names):
            self._names.append(cl)
        return number

    def _name(self, number: int) -> str:
        return self._names[number] if 0 < number < len(self._names) else f"#{number}"

    def _symbol(self, index: int) -> str:
        return self._symbol_names[index] if index < len(self._symbol_names) else f"#{index}"

    def _text(self, text: Any) -> str:
        if text == self._ffi.NULL:
            return ""
        return self._ffi.string(text, 1000).decode("utf-8", "replace")  # type: ignore[union-attr]


def _fitting(value: int | None) -> int:
    """For an int64 field: the value, or the nearest that fits and is not the mark of an absent one."""
    return ABSENT if value is None else max(ABSENT + 1, min(value, 2**63 - 1))


def _level(price_ticks: int, quantity_lots: int) -> list[int] | None:
    return None if price_ticks == ABSENT else [price_ticks, quantity_lots]
