"""The subprocess adapter protocol for engines that are driven from Python: one JSON object a line on stdin and stdout.

An adapter is a class with one method for each `op` that its engine can do. The method gets the decoded command and
returns the events that the engine's answer means, in order; `serve` reads, dispatches, writes and closes every answer
with `{"ev": "done"}`. The messages and their order are in docs/engine-rules.md.

Standard library only: the interpreter that runs this belongs to the engine's own environment, where the kit is absent.
"""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Iterable
from typing import Any, Protocol

Op = dict[str, Any]
Event = dict[str, Any]

EXIT_ENGINE_FAILED = 70
"""EX_SOFTWARE of sysexits.h: the engine raised instead of answering."""
EXIT_USAGE = 64
"""EX_USAGE: a command that this adapter was not written for; the profile declares too much."""


class Adapter(Protocol):
    """What every adapter has. `replace`, `mass_cancel` and `status` are there when the profile declares them."""

    def reset(self) -> None:
        """Empty books, no order known."""

    def new(self, op: Op) -> Iterable[Event]: ...

    def cancel(self, op: Op) -> Iterable[Event]: ...


def accepted(cl: str, engine_id: object) -> Event:
    return {"ev": "accepted", "cl": cl, "id": str(engine_id)}


def rejected(cl: str, reason: object) -> Event:
    return {"ev": "rejected", "cl": cl, "reason": str(reason)}


def trade(sym: str, px: int, qty: int, *, resting: str, incoming: str) -> Event:
    return {"ev": "trade", "sym": sym, "px": px, "qty": qty, "resting": resting, "incoming": incoming}


def cancelled(cl: str, leaves: int, cum: int, reason: str) -> Event:
    return {"ev": "cancelled", "cl": cl, "leaves": leaves, "cum": cum, "reason": reason}


def cancel_rejected(cl: str, reason: object) -> Event:
    return {"ev": "cancel_rejected", "cl": cl, "reason": str(reason)}


def replaced(cl: str, orig: str, px: int, leaves: int, cum: int) -> Event:
    return {"ev": "replaced", "cl": cl, "orig": orig, "px": px, "leaves": leaves, "cum": cum}


def whole(value: Any) -> int:
    """The engine's number as an integer; a price or quantity with a fraction is the engine's fault and ends the run."""
    if not math.isfinite(value) or int(value) != value:
        raise ValueError(f"the engine reported {value} where only whole ticks and lots went in")
    return int(value)


Level = tuple[int, int] | None


class TopOfBook:
    """Says `top` when the best price or quantity that the engine reports is not what it reported before."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[Level, Level]] = {}

    def event(self, sym: str, bid: Level, ask: Level) -> list[Event]:
        """One event or none; a level is (price in ticks, quantity in lots), or None for an empty side."""
        if self._last.get(sym, (None, None)) == (bid, ask):
            return []
        self._last[sym] = (bid, ask)
        return [{"ev": "top", "sym": sym, "bid": bid, "ask": ask}]


def serve(adapter: Adapter) -> None:
    """Answer commands until stdin ends. Only the protocol may reach stdout, so whatever the engine prints goes to stderr."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    adapter.reset()
    for line in sys.stdin:
        op = json.loads(line)
        for event in _answer(adapter, op):
            out.write(json.dumps(event, separators=(",", ":")) + "\n")
        out.write('{"ev":"done"}\n')
        out.flush()


def _answer(adapter: Adapter, op: Op) -> list[Event]:
    method = getattr(adapter, op["op"], None)
    if method is None:
        _die(EXIT_USAGE, f"this adapter has no {op['op']!r}: take the capability out of the profile")
    try:
        if op["op"] == "reset":
            adapter.reset()
            return []
        return list(method(op))
    except BaseException as error:  # a panic of an engine in Rust is no Exception
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise
        where = error.__traceback__
        while where is not None and where.tb_next is not None:
            where = where.tb_next
        place = (
            f" at {os.path.basename(where.tb_frame.f_code.co_filename)}:{where.tb_lineno}" if where is not None else ""
        )
        _die(EXIT_ENGINE_FAILED, f"{type(error).__name__}: {error}{place}, while answering {json.dumps(op)}")


def _die(code: int, text: str) -> None:
    print(f"adapter: {text}", file=sys.stderr, flush=True)
    os._exit(code)  # an engine's background threads must not keep a dead adapter alive
