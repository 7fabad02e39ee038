"""How fast the model is: `python -m matchmark.reference.bench [commands]` prints commands a second for a mixed flow.

The flow is a fixed pseudo-random mix (about 55% resting limits, 20% crossing limits, IOC and market orders, 25% cancels
and replaces) over 8 symbols, 4 accounts and 60 price levels, prepared before the clock starts. The floor beside it is
the same commands through a function that only builds one event each: what Python itself costs.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable

from matchmark.conformance.messages import Accepted, Cancel, Command, Event, New, Replace, Reset
from matchmark.reference.model import ModelEngine

SYMBOLS = tuple(f"S{n}" for n in range(8))


def mixed_flow(count: int, seed: int = 1) -> list[Command]:
    rng = random.Random(seed)
    flow: list[Command] = []
    orders: list[tuple[str, str, str]] = []
    for n in range(count):
        cl, draw = f"c{n}", rng.random()
        if draw < 0.75 or not orders:
            sym, acct = rng.choice(SYMBOLS), f"A{rng.randrange(4)}"
            side = rng.choice(("buy", "sell"))
            away = rng.randrange(1, 30) if draw < 0.55 else -rng.randrange(0, 6)
            px = 10_000 - away if side == "buy" else 10_000 + away
            kind, tif = ("market", "day") if draw > 0.72 else ("limit", "ioc" if draw > 0.69 else "day")
            flow.append(New(cl, acct, sym, side, kind, rng.randrange(1, 500), px, tif))
            orders.append((cl, acct, sym))
        else:
            at = rng.randrange(max(0, len(orders) - 400), len(orders))
            orig, acct, sym = orders[at]
            if draw < 0.95:
                flow.append(Cancel(cl, orig, acct, sym))
            else:
                flow.append(Replace(cl, orig, acct, sym, new_qty=rng.randrange(1, 500)))
                orders[at] = (cl, acct, sym)
    return flow


def seconds_of(submit: Callable[[Command], list[Event]], flow: list[Command]) -> float:
    started = time.perf_counter()
    for command in flow:
        submit(command)
    return time.perf_counter() - started


def one_event(command: Command) -> list[Event]:
    return [] if isinstance(command, Reset) else [Accepted(command.cl, "1")]


def main(argv: list[str]) -> int:
    count = int(argv[0]) if argv else 200_000
    flow = mixed_flow(count)
    floor = seconds_of(one_event, flow)
    for emit_top in (False, True):
        took = seconds_of(ModelEngine(SYMBOLS, emit_top=emit_top).submit, flow)
        with_top = "with" if emit_top else "without"
        print(f"model, {with_top} top: {count / took:,.0f} commands/s ({took / floor:.1f} x the floor)")
    print(f"floor (one event a command): {count / floor:,.0f} commands/s")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
