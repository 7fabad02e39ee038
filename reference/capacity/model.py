"""The model: from rates and costs to load, delay, processes, brokers and bandwidth.

Two layouts. `tree` is diagram 9: services read partitions, keep books, conflate and encode, and pass each frame to every server;
servers pass it to their clients. `built` is this exchange's: each server is its own service and reads the whole log. A process
has one core.

The line in front of a process is M/G/1 (Pollaczek and Khinchine) at most: as if all its work came at random. Windows end at
regular times, and at best their frames wait for nobody but what comes at random and for work that is longer than usual.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from matchmark.reference.capacity.inputs import Inputs

Layout = Literal["tree", "built"]
LAYOUTS: tuple[Layout, ...] = ("tree", "built")
SERVERS_MOST = 1 << 30


@dataclass(frozen=True)
class Job:
    """One kind of work of a process: how often a second, and the first two moments of its seconds."""

    per_s: float
    mean_s: float
    square_s2: float
    regular: bool = False
    """It comes at times that repeat, and not at random."""


@dataclass(frozen=True)
class Stage:
    """`load` of one core. `wait_s`: mean, of any job, before its work begins, at most; infinite at a load of 1 and above."""

    name: str
    load: float
    wait_s: float
    least_wait_s: float


@dataclass(frozen=True)
class Size:
    """How many processes. `servers` 0: it cannot be done in that layout, however many there are.

    More `services` than partitions cannot be, either: then the tree needs one level more.
    """

    servers: int
    services: int
    brokers: int


class Model:
    """Of `clients` clients with `wanted` symbols each, evenly spread."""

    def __init__(self, inputs: Inputs, clients: int, wanted: int, layout: Layout) -> None:
        self.of, self.clients, self.wanted, self.layout = inputs, clients, wanted, layout

    # --- rates ---

    def conflation(self) -> float:
        """Changes of a book for each frame of it: in a window that is full x, one for each that finds it quiet."""
        x = self.of.updates_per_s / self.of.symbols * self.of.window_s
        return x + math.exp(-x)

    def book_frames(self) -> float:
        """A second, of one symbol: at the end of a window or, when it was quiet, at once."""
        return self.of.updates_per_s / self.of.symbols / self.conflation()

    def trade_frames(self) -> float:
        """A second, of one symbol, besides: trades within a window."""
        open_part = self.book_frames() * self.of.window_s
        return self.of.updates_per_s / self.of.symbols * self.of.trade_share * open_part

    def frames(self) -> float:
        """A second, of one symbol."""
        return self.book_frames() + self.trade_frames()

    def quiet_frames(self) -> float:
        """A second, of one symbol: frames of its book that an update brings about, and not a window's end."""
        return self.book_frames() * math.exp(-self.of.updates_per_s / self.of.symbols * self.of.window_s)

    def sends(self) -> float:
        """A second, to clients, of all."""
        return self.clients * self.wanted * self.frames()

    def frame_wire_bytes(self) -> float:
        """Of a frame, mean."""
        books, trades = self.book_frames(), self.trade_frames()
        payload = (books * self.of.frame_bytes + trades * self.of.trade_bytes) / (books + trades)
        return payload + self.of.packet_bytes

    # --- waiting ---

    def wait_s(self, jobs: list[Job], least: bool = False) -> float:
        """`least`: regular work is spread so well that only its differences count."""
        load = self.load(jobs)
        squares = sum(j.per_s * (j.square_s2 - (j.mean_s**2 if least and j.regular else 0)) for j in jobs)
        return squares / (2 * (1 - load)) if load < 1 else math.inf

    def load(self, jobs: list[Job]) -> float:
        return sum(j.per_s * j.mean_s for j in jobs)

    def stage(self, name: str, jobs: list[Job]) -> Stage:
        return Stage(name, self.load(jobs), self.wait_s(jobs), self.wait_s(jobs, least=True))

    # --- processes ---

    def broker_jobs(self, brokers: int, readers: int = 1) -> list[Job]:
        """Of one broker. An event at its leader, at each follower, and for each who reads it: as much work each time."""
        once_s = self.of.kafka_event_s / self.of.replication
        return [Job(self.of.updates_per_s * (self.of.replication + readers) / brokers, once_s, once_s**2)]

    def subscribers(self, servers: int) -> tuple[float, float]:
        """Of one symbol at one server: mean and variance."""
        share = self.wanted / self.of.symbols
        here = self.clients / servers
        return here * share, here * share * (1 - share)

    def _updating(self, updates: float, symbols: float, sends_s: float, spread_s2: float) -> list[Job]:
        """Of who keeps books: updates with and without a frame, and frames of windows that are over."""
        of = self.of

        def job(per_s: float, work_s: float, regular: bool = False) -> Job:
            return Job(per_s, work_s + sends_s, (work_s + sends_s) ** 2 + spread_s2, regular)

        quiet, trades = symbols * self.quiet_frames(), symbols * self.trade_frames()
        return [
            Job(updates - quiet - trades, of.book_s, of.book_s**2),
            job(quiet, of.book_s + of.encode_s),
            job(trades, of.book_s + of.trade_encode_s),
            job(symbols * self.book_frames() - quiet, of.encode_s, regular=True),
        ]

    def service_jobs(self, services: int, servers: int) -> list[Job]:
        of = self.of
        return self._updating(of.updates_per_s / services, of.symbols / services, servers * of.send_s, 0.0)

    def server_jobs(self, servers: int) -> list[Job]:
        of = self.of
        mean, variance = self.subscribers(servers)
        spread_s2 = variance * of.send_s**2
        if self.layout == "built":
            return self._updating(of.updates_per_s, of.symbols, mean * of.send_s, spread_s2)
        work_s = of.receive_s + mean * of.send_s
        square_s2 = work_s**2 + spread_s2
        regular = of.symbols * (self.book_frames() - self.quiet_frames())
        return [
            Job(of.symbols * self.frames() - regular, work_s, square_s2),
            Job(regular, work_s, square_s2, regular=True),
        ]

    # --- how many ---

    def size(self) -> Size:
        of = self.of
        most = of.load_at_most
        servers = max(1, math.ceil(self.clients / of.clients_per_server))
        if self.load(self.server_jobs(SERVERS_MOST)) > most:
            return Size(0, 0, 0)
        low, high = servers - 1, servers
        while self.load(self.server_jobs(high)) > most:
            low, high = high, high * 2
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self.load(self.server_jobs(middle)) > most else (low, middle)
        servers = high
        services = 0
        if self.layout == "tree":
            services = max(1, math.ceil(self.load(self.service_jobs(1, servers)) / most))
        return Size(servers, services, self.brokers(1))

    def brokers(self, readers: int) -> int:
        """Machines, when all events are read so many times."""
        of = self.of
        cores = self.load(self.broker_jobs(1, readers)) / of.load_at_most
        out = self.kafka_bits(readers) / (of.load_at_most * of.link_bits_per_s)
        return max(of.replication, math.ceil(cores / of.cores_per_machine), math.ceil(out))

    # --- bandwidth, bits a second ---

    def event_bits(self) -> float:
        """Of all events, once."""
        return 8 * self.of.updates_per_s * (self.of.record_bytes + self.of.message_bytes / self.of.events_per_message)

    def kafka_bits(self, readers: int) -> float:
        """Out of the brokers: to followers and to readers."""
        return self.event_bits() * (self.of.replication - 1 + readers)

    def client_bits(self) -> float:
        return 8 * self.sends() * self.frame_wire_bytes()

    def between_bits(self, servers: int) -> float:
        """From services to servers."""
        if self.layout == "built":
            return 0.0
        return 8 * servers * self.of.symbols * self.frames() * self.frame_wire_bytes()

    # --- delay ---

    def broker_cores(self) -> int:
        """As many as the brokers' work takes, and one for each copy."""
        work = self.load(self.broker_jobs(1))
        return max(self.of.replication, math.ceil(work / self.of.load_at_most))

    def stages(self, size: Size) -> list[Stage]:
        """One process of each kind. A broker's: of those that have one core each."""
        server = self.stage("server", self.server_jobs(size.servers))
        if self.layout == "built":
            return [server]
        broker = self.stage("broker", self.broker_jobs(self.broker_cores()))
        return [broker, self.stage("service", self.service_jobs(size.services, size.servers)), server]

    def trade_delay_s(self, size: Size) -> float:
        """From the engine (`built`: from the moment when the log is durable) to a client, mean, at most."""
        of = self.of
        waits = {stage.name: stage.wait_s for stage in self.stages(size)}
        mean, variance = self.subscribers(size.servers)
        # Who is one of many of a symbol is behind the more: the mean over clients, not over symbols.
        loop_s = (mean + variance / mean + 1) / 2 * of.send_s
        open_part = self.book_frames() * of.window_s
        made_s = of.book_s + open_part * of.trade_encode_s + (1 - open_part) * of.encode_s
        if self.layout == "built":
            return of.hop_s + waits["server"] + made_s + loop_s + of.hop_s
        copies = 2 if of.replication > 1 else 1  # the leader's, then the followers' beside each other
        kafka_s = of.linger_s / 2 + copies * (waits["broker"] + of.kafka_event_s / of.replication + of.hop_s)
        service_s = waits["service"] + made_s + (size.servers + 1) / 2 * of.send_s
        return kafka_s + of.hop_s + service_s + of.hop_s + waits["server"] + of.receive_s + loop_s + of.hop_s

    def window_delay_s(self) -> float:
        """That a change of a book waits for its window besides, mean over changes."""
        return self.book_frames() * self.of.window_s * self.of.window_s / 2
