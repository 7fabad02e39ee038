"""From marks and reports of a run to a History: commands with what each caused, for the checks that the suites use.

Only for sessions that traded a symbol alone: there the session's own order is the exchange's order, both sides' reports of every
trade come on one stream, and what came between the acceptance of one order and of the next was caused by the first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from matchmark.conformance.history import Exchange, History
from matchmark.conformance.messages import (
    Accepted,
    Cancel,
    Cancelled,
    CancelRejected,
    Command,
    Event,
    New,
    OrdType,
    Rejected,
    Replace,
    Replaced,
    Side,
    Tif,
    Trade,
)
from matchmark.load.shots import CANCEL, IMMEDIATE, MARKET, NEW, REFUSED_MESSAGE, SELLS, Array

NONE = 0xFFFFFFFF
Half = tuple[int, int, int]
"""One side's report of a fill: index of its shot, lots, price in ticks."""


@dataclass(frozen=True)
class Unpaired:
    """Executions that are not told to both sides alike; `index` is the shot of the incoming order."""

    index: int
    text: str


@dataclass(frozen=True)
class Told:
    """A session's part of a run: `shots`, `marks` as the cannon had them, `rows` the indexes of its shots by number, `reports`
    those of its stream, in order."""

    session: int
    symbol: str
    shots: Array
    marks: Array
    rows: Array
    reports: Array


def sessions_told(shots: Array, marks: Array, reports: Array, symbols: Sequence[str]) -> Iterator[Told]:
    for session in np.unique(shots["session"]).tolist():
        rows = np.flatnonzero(shots["session"] == session)
        own = reports[reports["session"] == session]
        yield Told(session, symbols[int(shots["symbol"][rows[0]])], shots, marks, rows, own)


def history_of(t: Told, most: int) -> tuple[History, list[Unpaired]]:
    """At most `most` commands, from the first on, up to the first that has no answer in the vocabulary."""
    commands = _commands(t, most)
    events: list[list[Event]] = [[] for _ in commands]
    fills: list[tuple[list[Half], list[Half]]] = [([], []) for _ in commands]
    wrong: list[Unpaired] = []
    number_of = {int(row): n for n, row in enumerate(t.rows[: len(commands)].tolist())}
    current = -1
    fields = ("order", "orig", "kind", "order_id", "cum_lots", "leaves_lots", "last_lots", "price_ticks")
    columns = [t.reports[name].tolist() for name in fields]
    for order, orig, code, order_id, cum, leaves, last, px in zip(*columns, strict=True):
        kind, n = chr(code), number_of.get(order)
        if kind in "05" and order != NONE and n is None:
            break  # the first command beyond those that are judged
        if kind == "F":
            if current >= 0:
                part = (order, last, px)
                fills[current][0 if n == current else 1].append(part)
                _fill(t, events[current], fills[current], current, number_of)
            continue
        if n is None:
            continue
        if kind in "05":
            current = n
        event = _event(t, kind, n, number_of.get(orig), order_id, cum, leaves, px)
        if event is not None:
            events[n].append(event)
    history = History()
    for n, command in enumerate(commands):
        incoming, resting = fills[n]
        if [f[1:] for f in incoming] != [f[1:] for f in resting]:
            text = f"the incoming order was told of {_shown(incoming)}, those that rested of {_shown(resting)}"
            wrong.append(Unpaired(int(t.rows[n]), text))
            break
        if not events[n]:
            break
        mark = t.marks[t.rows[n]]
        history.add(Exchange(command, tuple(events[n]), int(mark["sent_ns"]), int(mark["told_ns"])))
    return history, wrong


def _shown(fills: Sequence[Half]) -> str:
    return ", ".join(f"{lots} at {px}" for _, lots, px in fills[:5]) or "nothing"


def _fill(t: Told, events: list[Event], fills: tuple[list[Half], list[Half]], n: int, numbers: dict[int, int]) -> None:
    """A trade as soon as both its sides have been told."""
    incoming, resting = fills
    k = min(len(incoming), len(resting))
    if k != max(len(incoming), len(resting)):
        return
    (_, lots, px), (order, _, _) = incoming[-1], resting[-1]
    name = _cl(numbers[order]) if order in numbers else "?"
    events.append(Trade(t.symbol, px, lots, name, _cl(n)))


def _event(t: Told, kind: str, n: int, orig: int | None, order_id: int, cum: int, leaves: int, px: int) -> Event | None:
    """`px`: Price of the report, 0 where it says none."""
    shot = t.shots[t.rows[n]]
    if kind == "0":
        return Accepted(_cl(n), str(order_id))
    if kind == "8":
        return Rejected(_cl(n), "rejected")
    if kind == "r":
        return CancelRejected(_cl(n), "refused")
    if kind == "5":
        return Replaced(_cl(n), _cl(int(shot["orig"])), px or int(shot["price_ticks"]), leaves, cum)
    if kind in "4C3":
        about = n if orig is None else orig
        total = int(t.shots["lots"][t.rows[about]])
        return Cancelled(_cl(about), total - cum, cum, "cancelled")
    return None


def _cl(number: int) -> str:
    return f"c{number}"


def _commands(t: Told, most: int) -> list[Command]:
    """Those that were sent and answered, up to the first that was not."""
    shots, marks = t.shots[t.rows], t.marks[t.rows]
    unfit = (marks["told_ns"] == 0) | (marks["state"] & REFUSED_MESSAGE != 0)
    stop = int(np.argmax(unfit)) if unfit.any() else len(unfit)
    acct = "A1"
    out: list[Command] = []
    names = ("op", "flags", "price_ticks", "lots", "orig")
    columns = [shots[name][: min(stop, most)].tolist() for name in names]
    for n, (op, flags, px, lots, orig) in enumerate(zip(*columns, strict=True)):
        side = Side.SELL if flags & SELLS else Side.BUY
        if op == NEW:
            market = bool(flags & MARKET)
            kind = OrdType.MARKET if market else OrdType.LIMIT
            tif = Tif.IOC if flags & IMMEDIATE else Tif.DAY
            out.append(New(_cl(n), acct, t.symbol, side, kind, lots, None if market else px, tif))
        elif op == CANCEL:
            out.append(Cancel(_cl(n), _cl(orig), acct, t.symbol))
        else:
            out.append(Replace(_cl(n), _cl(orig), acct, t.symbol, px, lots))
    return out
