"""The fan-out event by event, from a seed: engine, brokers, services, servers, clients; each process is a queue.

It shares the inputs with the model and none of its formulas: what a window lets through, how long a line gets and who is how far
back comes out of the run. Of many servers some are simulated, with all the load that the others put on brokers and services.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import fmean

from matchmark.reference.capacity.inputs import Inputs
from matchmark.reference.capacity.model import Layout, Size

WARM_UP_S = 0.03


@dataclass(frozen=True)
class Seen:
    """Of one kind of process. `load` of its core, `wait_s` of a job before its work begins, mean."""

    name: str
    load: float
    wait_s: float


@dataclass
class Outcome:
    """`stages` are means over the processes of a kind; the delays in seconds, of what reached clients after the warm-up."""

    stages: list[Seen]
    trade_delays_s: list[float]
    book_frames_per_s: float
    """Of one symbol."""
    frames_per_s: float


@dataclass
class _Process:
    """One core: works first come, first served."""

    free_s: float = 0.0
    busy_s: float = 0.0
    waits_s: list[float] = field(default_factory=list)

    def take(self, now_s: float, work_s: float, counted: bool) -> float:
        """When it is done."""
        began_s = max(now_s, self.free_s)
        self.free_s = began_s + work_s
        if counted:
            self.busy_s += work_s
            self.waits_s.append(began_s - now_s)
        return self.free_s


@dataclass
class _Symbol:
    """What its service knows of it."""

    open_until_s: float = 0.0
    dirty: bool = False


class FanOut:
    """`brokers` of one core each; `servers`: how many of them are simulated.

    `together`: all windows begin with the first updates, as after an opening, and not at any time. Busy symbols stay in step.
    """

    def __init__(
        self,
        inputs: Inputs,
        clients: int,
        wanted: int,
        layout: Layout,
        size: Size,
        brokers: int,
        servers: int,
        seed: int,
        together: bool = False,
    ) -> None:
        self.of, self.layout, self.size = inputs, layout, size
        self._random = random.Random(seed)
        self._now_s, self._events, self._count = 0.0, list[tuple[float, int, Callable[[], None]]](), 0
        self._brokers = [_Process() for _ in range(brokers)]
        self._servers = [_Process() for _ in range(min(servers, size.servers))]
        services = size.services if layout == "tree" else len(self._servers)
        self._services = [_Process() for _ in range(services)] if layout == "tree" else self._servers
        first_s = 0.0 if together else inputs.window_s
        self._symbols = [
            [_Symbol(self._random.random() * first_s) for _ in range(inputs.symbols)]
            for _ in range(1 if layout == "tree" else services)
        ]
        self._subscribers = [self._spread(clients // size.servers, wanted) for _ in self._servers]
        self._book_frames = self._frames = 0
        self._delays_s: list[float] = []

    def run(self, seconds: float) -> Outcome:
        """So much simulated time after the warm-up."""
        self._end_s = WARM_UP_S + seconds
        self._next_update()
        while self._events:
            self._now_s, _, do = heapq.heappop(self._events)
            if self._now_s > self._end_s:
                break
            do()
        kinds = {"broker": self._brokers, "service": self._services, "server": self._servers}
        if self.layout == "built":
            del kinds["broker"], kinds["service"]
        stages = [
            Seen(name, fmean(p.busy_s for p in found) / seconds, fmean(w for p in found for w in p.waits_s))
            for name, found in kinds.items()
        ]
        per_symbol = seconds * self.of.symbols * len(self._symbols)
        return Outcome(stages, self._delays_s, self._book_frames / per_symbol, self._frames / per_symbol)

    def _spread(self, clients: int, wanted: int) -> list[int]:
        """Subscribers of each symbol at one server."""
        found = [0] * self.of.symbols
        for _ in range(clients):
            for symbol in self._random.sample(range(self.of.symbols), wanted):
                found[symbol] += 1
        return found

    # --- time ---

    @property
    def _counted(self) -> bool:
        return self._now_s >= WARM_UP_S

    def _at(self, when_s: float, do: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._events, (when_s, self._count, do))

    # --- engine and brokers ---

    def _next_update(self) -> None:
        self._at(self._now_s + self._random.expovariate(self.of.updates_per_s), self._update)

    def _update(self) -> None:
        made_s, symbol = self._now_s, self._random.randrange(self.of.symbols)
        trade = self._random.random() < self.of.trade_share
        self._next_update()
        if self.layout == "built":
            for n in range(len(self._servers)):
                self._at(made_s + self.of.hop_s, lambda n=n: self._serve(n, symbol, trade, made_s))  # type: ignore[misc]
            return
        # A message waits for others; with enough of them, any part of the time that it may.
        sent_s = made_s + self._random.random() * self.of.linger_s
        self._at(sent_s + self.of.hop_s, lambda: self._lead(symbol, trade, made_s))

    def _broker(self, symbol: int, copy: int) -> float:
        """It writes an event, or gives it to who reads it; when it is done."""
        chosen = self._brokers[(symbol + copy) % len(self._brokers)]
        return chosen.take(self._now_s, self.of.kafka_event_s / self.of.replication, self._counted)

    def _lead(self, symbol: int, trade: bool, made_s: float) -> None:
        led_s = self._broker(symbol, 0)
        left = [self.of.replication - 1]
        if not left[0]:
            self._at(led_s, lambda: self._read(symbol, trade, made_s))

        def follow(copy: int) -> None:
            self._at(self._broker(symbol, copy), followed)

        def followed() -> None:
            left[0] -= 1
            if not left[0]:  # the last one that must have it
                self._read(symbol, trade, made_s)

        for copy in range(1, self.of.replication):
            self._at(led_s + self.of.hop_s, lambda copy=copy: follow(copy))  # type: ignore[misc]

    def _read(self, symbol: int, trade: bool, made_s: float) -> None:
        self._broker(symbol, 0)
        self._at(self._now_s + self.of.hop_s, lambda: self._serve(0, symbol, trade, made_s))

    # --- services ---

    def _serve(self, n: int, symbol: int, trade: bool, made_s: float) -> None:
        """An update is there: `n` is the server that is its own service, or 0."""
        state = self._symbols[n][symbol]
        quiet = self._now_s >= state.open_until_s
        if quiet:
            state.open_until_s = self._now_s + self.of.window_s
        elif not state.dirty:
            state.dirty = True
            self._at(state.open_until_s, lambda: self._window_over(n, symbol))
        if quiet or trade:
            self._frame(n, symbol, self.of.book_s, quiet, made_s if trade else None)
        else:
            self._process_of(n, symbol).take(self._now_s, self.of.book_s, self._counted)

    def _window_over(self, n: int, symbol: int) -> None:
        state = self._symbols[n][symbol]
        state.dirty, state.open_until_s = False, self._now_s + self.of.window_s
        self._frame(n, symbol, 0.0, True, None)

    def _process_of(self, n: int, symbol: int) -> _Process:
        return self._servers[n] if self.layout == "built" else self._services[symbol % len(self._services)]

    def _frame(self, n: int, symbol: int, before_s: float, book: bool, made_s: float | None) -> None:
        self._book_frames += book and self._counted
        self._frames += self._counted
        of, counted = self.of, self._counted
        work_s = before_s + (of.encode_s if book else of.trade_encode_s)
        if self.layout == "built":
            here = self._subscribers[n][symbol]
            done_s = self._servers[n].take(self._now_s, work_s + here * of.send_s, counted)
            self._received(done_s - here * of.send_s, here, made_s)
            return
        done_s = self._process_of(n, symbol).take(self._now_s, work_s + self.size.servers * of.send_s, counted)
        began_s = done_s - self.size.servers * of.send_s
        for m in range(len(self._servers)):
            place = self._random.randint(1, self.size.servers)  # of this server among those that are served in turn
            sent_s = began_s + place * of.send_s
            self._at(sent_s + of.hop_s, lambda m=m: self._pass_on(m, symbol, made_s))  # type: ignore[misc]

    # --- servers ---

    def _pass_on(self, m: int, symbol: int, made_s: float | None) -> None:
        here = self._subscribers[m][symbol]
        done_s = self._servers[m].take(self._now_s, self.of.receive_s + here * self.of.send_s, self._counted)
        self._received(done_s - here * self.of.send_s, here, made_s)

    def _received(self, began_s: float, here: int, made_s: float | None) -> None:
        """A trade, by one client of those at this server for each that there are: whichever its place."""
        if made_s is None or not here or not self._counted:
            return
        for _ in range(max(1, here // 8)):
            place = self._random.randint(1, here)
            self._delays_s.append(began_s + place * self.of.send_s + self.of.hop_s - made_s)


def simulated(
    inputs: Inputs,
    clients: int,
    wanted: int,
    layout: Layout,
    size: Size,
    brokers: int,
    *,
    seconds: float,
    seeds: range,
    servers: int = 2,
    together: bool = False,
) -> Outcome:
    """The mean over seeds: when windows begin differs from one to the next, and stays what it is within a run."""
    runs = [
        FanOut(inputs, clients, wanted, layout, size, brokers, servers, seed, together).run(seconds) for seed in seeds
    ]
    stages = [
        Seen(found[0].name, fmean(s.load for s in found), fmean(s.wait_s for s in found))
        for found in zip(*(run.stages for run in runs), strict=True)
    ]
    return Outcome(
        stages,
        [delay for run in runs for delay in run.trade_delays_s],
        fmean(run.book_frames_per_s for run in runs),
        fmean(run.frames_per_s for run in runs),
    )
