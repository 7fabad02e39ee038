"""What the model says, as Markdown tables; docs/capacity.md has them between marks."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import fmean

from matchmark.reference.capacity.inputs import SOURCES, Inputs, rows
from matchmark.reference.capacity.model import Layout, Model, Stage
from matchmark.reference.capacity.simulation import simulated

CLIENTS = (1_000, 100_000, 1_000_000)
WANTED = (1, 10, 100)
SIMULATED: tuple[tuple[Layout, int, float], ...] = (("tree", 100_000, 100_000), ("built", 10_000, 20_000))
"""Layout, clients of one symbol each, updates a second."""
SEEDS, SECONDS = range(1, 4), 0.1
BUILT_RATES = (1_000, 10_000, 20_000, 50_000, 100_000)


def table(head: Sequence[str], body: Sequence[Sequence[object]]) -> str:
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    return "\n".join([*lines, *(f"| {' | '.join(map(str, row))} |" for row in body)])


def number(value: float) -> str:
    if value == int(value) or value >= 1000:
        return f"{value:,.0f}"
    return f"{value:,.1f}" if value >= 10 else f"{value:.3g}"


def quantity(value: float, unit: str) -> str:
    """Seconds of a core in microseconds where they are few; bits in gigabits."""
    if unit == "s" and 0 < value < 0.001:
        return f"{value * 1e6:.3g} us"
    if unit == "s":
        return f"{value * 1e3:g} ms"
    if unit == "bit/s":
        return f"{value / 1e9:g} Gbit/s"
    return f"{number(value)} {unit}".strip()


def inputs_table(of: Inputs) -> str:
    body = [(f"`{row.name}`", quantity(row.value, row.unit), row.source, row.how) for row in rows(of)]
    used = {row.source for row in rows(of)}
    said = "; ".join(f"*{source}*: {text}" for source, text in SOURCES.items() if source in used)
    return f"{table(('input', 'value', 'source', 'what it is'), body)}\n\n{said}."


def rates_table(of: Inputs) -> str:
    m = Model(of, 1, 1, "tree")
    body: list[tuple[str, str]] = [
        ("updates of a symbol", f"{number(of.updates_per_s / of.symbols)} /s"),
        ("changes of a book for each frame of it", f"{m.conflation():.1f}"),
        ("frames of a symbol: books, trades within a window", f"{m.book_frames():.1f} + {m.trade_frames():.1f} /s"),
        ("a change waits for its window, mean", f"{m.window_delay_s() * 1e3:.2f} ms"),
        ("events into the brokers", f"{m.event_bits() / 1e6:,.0f} Mbit/s"),
    ]
    for wanted in WANTED:
        one = Model(of, 1, wanted, "tree")
        rate = f"{number(one.sends())} frames/s, {one.client_bits() / 1e6:,.2f} Mbit/s"
        body.append((f"a client of {wanted} symbol{'s' * (wanted > 1)}", rate))
    return table(("", "at the specification's rate"), body)


def tree_table(of: Inputs) -> str:
    body = []
    for clients in CLIENTS:
        for wanted in WANTED:
            m = Model(of, clients, wanted, "tree")
            size = m.size()
            out = m.client_bits()
            between = m.between_bits(size.servers)
            enough = size.services <= of.partitions
            services = f"{size.services:,}" if enough else f"{size.services:,} (there are {of.partitions} partitions)"
            cores = size.servers + size.services + m.broker_cores()
            delay = f"{m.trade_delay_s(size) * 1e3:.1f} ms" if enough else "-"
            links = -(-out // (of.load_at_most * of.link_bits_per_s))
            body.append(
                (f"{clients:,}", wanted, f"{m.sends() / 1e6:,.1f} M", f"{size.servers:,}", number(clients / size.servers),
                 services, size.brokers, f"{cores:,}", f"{out / 1e9:,.2f}", f"{links:,.0f}", f"{between / 1e9:,.2f}", delay)
            )  # fmt: skip
    head = ("clients", "symbols each", "sends/s", "servers", "clients a server", "services", "brokers", "cores",
            "Gbit/s to clients", "links", "Gbit/s to servers", "a trade takes")  # fmt: skip
    return table(head, body)


def built_table(of: Inputs) -> str:
    body = []
    for rate in BUILT_RATES:
        at = replace(of, updates_per_s=rate)
        cells: list[object] = [number(rate)]
        idle = Model(at, 0, 1, "built")
        cells.append(f"{idle.load(idle.server_jobs(1)):.2f}")
        for clients in CLIENTS:
            m = Model(at, clients, 1, "built")
            size = m.size()
            cells.append(f"{size.servers:,}" if size.servers else "none is enough")
        cells.append(f"{_most_clients(at):,}")
        body.append(cells)
    head = (
        "updates/s",
        "load of a server without clients",
        *(f"servers for {n:,}" for n in CLIENTS),
        "clients a server",
    )
    return table(head, body)


def _most_clients(of: Inputs) -> int:
    """Of one symbol each, at one server as built."""
    low, high = 0, of.clients_per_server + 1
    while high - low > 1:
        middle = (low + high) // 2
        m = Model(of, middle, 1, "built")
        low, high = (middle, high) if m.load(m.server_jobs(1)) <= of.load_at_most else (low, middle)
    return low


def simulation_table(of: Inputs) -> str:
    body = []
    for layout, clients, rate in SIMULATED:
        at = replace(of, updates_per_s=min(rate, of.updates_per_s))
        m = Model(at, clients, 1, layout)
        size = m.size()
        for together in (False, True):
            found = simulated(
                at, clients, 1, layout, size, m.broker_cores(),
                seconds=SECONDS, seeds=SEEDS, servers=2 if layout == "tree" else 6, together=together,
            )  # fmt: skip
            name = f"{layout}, {clients:,} clients, {number(rate)} updates/s"
            name += ", windows in step" if together else ""
            for model, seen in zip(m.stages(size), found.stages, strict=True):
                body.append(
                    (name, model.name, f"{model.load:.2f}", f"{seen.load:.2f}", _range(model), _us(seen.wait_s))
                )
                name = ""
            delays = sorted(found.trade_delays_s)
            late = f"{_us(fmean(delays))}; one in a hundred {_us(delays[int(0.99 * len(delays))])}"
            body.append(("", "a trade, engine to client", "", "", _us(m.trade_delay_s(size)), late))
    head = ("", "", "load, model", "simulation", "waits, model", "simulation")
    return table(head, body)


def _range(stage: Stage) -> str:
    return f"{_us(stage.least_wait_s).removesuffix(' us')} to {_us(stage.wait_s)}"


def _us(seconds: float) -> str:
    return f"{seconds * 1e6:,.0f} us" if seconds < 0.01 else f"{seconds * 1e3:,.1f} ms"


TABLES: dict[str, Callable[[Inputs], str]] = {
    "inputs": inputs_table,
    "rates": rates_table,
    "tree": tree_table,
    "built": built_table,
    "simulation": simulation_table,
}
MARKS = re.compile(r"<!-- capacity: (\w+) -->\n.*?<!-- end -->", re.S)


def filled(page: str, of: Inputs) -> str:
    """The page with the tables as they are now."""
    return MARKS.sub(lambda mark: f"<!-- capacity: {mark[1]} -->\n{TABLES[mark[1]](of)}\n<!-- end -->", page)
