"""A standby made from the primary's records has the same log but for stamps; what differs is found; the gap is taken once."""

from __future__ import annotations

import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from matchmark.native import pipeline as pl
from matchmark.native.pipeline_records import Durability, ExchangeState, Role, Wait
from matchmark.native.replication import Replica, Result, Sender
from matchmark.reference.audit_log import open_log
from matchmark.reference.verify import verify

CONFIG = pl.EngineConfig(symbols=4, max_orders=1 << 14, remembered_ids=1 << 18, window_ticks=256)
HEARTBEAT_NS = 20_000_000


def waited(condition: Callable[[], Any], timeout_s: float = 20.0) -> bool:
    until = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.001)
    return True


class Member:
    """Pipeline, engine and writer, the latter two in threads that end with it."""

    def __init__(self, root: Path, shm: Path, durability: Durability = Durability.ASYNC, slots: int = 1024) -> None:
        self.log, self.shm = root / "log", shm
        pl.create(
            shm, pl.recover(self.log), order_slots=256, audit_slots=slots, report_slots=1 << 12, durability=durability
        )
        self.p = pl.Pipeline(shm)
        self.roles: list[Any] = [pl.AuditWriter(self.p, self.log, CONFIG, file_records=max(1024, slots))]
        self.roles.append(pl.EngineLoop(self.p, self.log, CONFIG))
        self.over = threading.Event()
        self.threads = [threading.Thread(target=self._run, args=(role,), daemon=True) for role in self.roles]
        for thread in self.threads:
            thread.start()

    def _run(self, role: Any) -> None:
        while not self.over.is_set() and role.run(2_000_000, Wait.SLEEP) == 0:
            pass

    def die(self) -> None:
        """Its threads end wherever they are; memory and log stay."""
        self.over.set()
        for thread in self.threads:
            thread.join(10)
        for role in self.roles:
            role.close()

    def close(self) -> None:
        self.die()
        self.p.close()


def orders(count: int, first: int, seed: int) -> pl.Records:
    """New orders around one price, so that some trade, some rest, some walk."""
    chance = np.random.default_rng(seed)
    made = pl.new_orders(count)
    command = made["command"]
    command["op"] = 1
    command["side"] = chance.integers(1, 3, count) - 1
    command["tif"] = 0
    command["account"] = chance.integers(0, 4, count)
    command["symbol"] = chance.integers(0, 4, count)
    command["price_ticks"] = 100 + chance.integers(-4, 5, count)
    command["quantity_lots"] = chance.integers(1, 9, count)
    command["cl_ord_id"] = np.arange(first, first + count)
    return made


class Pair:
    """A primary that trades, and a standby that follows it."""

    def __init__(self, root: Path, memory: Path, durability: Durability = Durability.ASYNC) -> None:
        self.root, self.memory = root, memory
        (root / "a").mkdir()
        (root / "b").mkdir()
        self.a = Member(root / "a", memory / "a", durability)
        self.a.p.state = ExchangeState.RUNNING
        self.gateway = pl.Gateway(self.a.p, 0)
        self.sent = 0
        self.sender = Sender(self.a.p, self.a.log, HEARTBEAT_NS)
        self.over = threading.Event()
        self.results: list[Any] = []
        self.threads: list[threading.Thread] = []
        self._thread(self._send)
        self.b: Member | None = None
        self.reports: list[int] = []

    def _thread(self, body: Callable[[], None]) -> None:
        self.threads.append(threading.Thread(target=body, daemon=True))
        self.threads[-1].start()

    def _send(self) -> None:
        while not self.over.is_set():
            self.sender.run(2_000_000, Wait.SLEEP)

    def trade(self, count: int) -> None:
        made = orders(count, self.sent + 1, self.sent)
        for at in range(0, count, 50):
            part, done = made[at : at + 50], 0
            while done < len(part):
                done += self.gateway.put_all(part[done:])
                self.reports += [int(k) // 2 for k in self.gateway.take()["key"]]
        self.sent += count

    def follow(self) -> None:
        """A standby on its own log joins where that ends."""
        self.b = Member(self.root / "b", self.memory / "b")
        self.b.p.role = Role.STANDBY
        self.replica = Replica(self.b.p, self.b.log)
        self.connect()

    def connect(self) -> None:
        ours, theirs = socket.socketpair()
        for s in (ours, theirs):
            s.setblocking(False)
        self.line = ours
        following, _ = self.replica.next()
        self.peer = self.sender.add(theirs.detach(), following)
        self.replica.connect(ours.fileno())
        self._thread(self._take)

    def _take(self) -> None:
        try:
            while (result := self.replica.run(2_000_000, Wait.SLEEP)) == Result.OK:
                if self.over.is_set():
                    return
            self.results.append(result)
        except pl.PipelineError as error:
            self.results.append(error)

    def cut(self) -> None:
        """The line between them breaks."""
        self.line.shutdown(socket.SHUT_RDWR)
        assert waited(lambda: self.results)
        assert self.results.pop() == Result.LOST
        self.line.close()

    def in_step(self) -> bool:
        assert waited(lambda: not self.a.p.status().orders_waiting)
        return waited(lambda: self.results or self.replica.status().applied == self.a.p.status().sequence)

    def stop_sending(self) -> None:
        self.over.set()
        for thread in self.threads:
            thread.join(10)

    def close(self) -> None:
        self.stop_sending()
        self.sender.close()
        self.a.close()
        if self.b:
            self.replica.close()
            self.b.close()
            self.line.close()


@pytest.fixture
def make_pair(tmp_path: Path) -> Iterator[Callable[..., Pair]]:
    pairs: list[Pair] = []
    with tempfile.TemporaryDirectory(prefix="matchmark-test-", dir="/dev/shm") as memory:

        def make(durability: Durability = Durability.ASYNC) -> Pair:
            pairs.append(Pair(tmp_path, Path(memory), durability))
            return pairs[-1]

        yield make
        for pair in pairs:
            pair.close()


def chain(log: Path) -> list[tuple[int, int]]:
    found = np.concatenate([np.array(file.slots) for file in open_log(log)])
    found = found[found["sequence"] > 0]
    return list(zip(found["sequence"].tolist(), found["running_hash"].tolist(), strict=True))


def flushed(member: Member) -> bool:
    return waited(lambda: member.p.durable_sequence == member.p.status().sequence)


def test_a_standby_has_the_same_log(make_pair: Callable[..., Pair]) -> None:
    pair = make_pair()
    pair.follow()
    pair.trade(5000)
    assert pair.in_step() and not pair.results
    assert pair.b and flushed(pair.a) and flushed(pair.b)
    assert chain(pair.a.log) == chain(pair.b.log)
    assert verify(pair.b.log).findings == []
    assert pair.a.roles[1].state_hash() == pair.b.roles[1].state_hash()
    waited(lambda: pair.sender.peer(pair.peer).applied == pair.a.p.status().sequence)
    assert pair.sender.peer(pair.peer).applied == pair.a.p.status().sequence


def test_a_standby_that_joins_late_reads_what_is_only_in_the_log(make_pair: Callable[..., Pair]) -> None:
    pair = make_pair()
    pair.trade(4000)
    assert flushed(pair.a)
    pair.follow()
    pair.trade(2000)
    assert pair.in_step() and not pair.results
    assert pair.b and flushed(pair.a) and flushed(pair.b)
    assert chain(pair.a.log) == chain(pair.b.log)


def test_a_line_that_breaks_is_taken_up_again_where_it_broke(make_pair: Callable[..., Pair]) -> None:
    pair = make_pair()
    pair.follow()
    for _ in range(5):
        pair.trade(700)
        pair.cut()
        pair.connect()
    assert pair.in_step() and not pair.results
    assert pair.b and flushed(pair.a) and flushed(pair.b)
    assert chain(pair.a.log) == chain(pair.b.log)


def test_a_standby_that_was_stopped_goes_on_from_its_log(make_pair: Callable[..., Pair]) -> None:
    pair = make_pair()
    pair.follow()
    pair.trade(1500)
    assert pair.in_step() and pair.b and flushed(pair.b)
    pair.cut()
    pair.replica.close()
    pair.b.close()
    pair.trade(1500)
    pair.follow()
    assert pair.in_step() and not pair.results
    assert flushed(pair.a) and flushed(pair.b)
    assert chain(pair.a.log) == chain(pair.b.log)


def test_positions_that_the_primary_passed_over_are_passed_over_by_the_standby(make_pair: Callable[..., Pair]) -> None:
    pair = make_pair()
    pair.follow()
    pair.trade(10)
    assert waited(lambda: not pair.a.p.status().orders_waiting)
    number = pair.a.p.status().order_position
    pair.gateway.leave()  # a gateway that dies between claiming a position and filling it
    with (pair.memory / "a" / "orders").open("r+b") as f:
        at = 4096 + (number % 256) * 256
        f.seek(at)
        f.write(((number << 16) | 1).to_bytes(8, "little"))
        f.seek(64)
        f.write((number + 1).to_bytes(8, "little"))
    pair.gateway = pl.Gateway(pair.a.p, 0)
    pair.trade(300)
    assert pair.a.p.status().orders_abandoned == 1
    assert pair.in_step() and not pair.results
    assert pair.b and flushed(pair.a) and flushed(pair.b)
    assert chain(pair.a.log) == chain(pair.b.log)


def test_in_mode_replicated_a_report_waits_for_the_standby_in_step(make_pair: Callable[..., Pair]) -> None:
    pair = make_pair(Durability.REPLICATED)
    pair.follow()
    pair.trade(20)
    assert pair.in_step()
    assert not pair.reports, "a report went out although no standby counts"
    pair.sender.in_step(pair.peer)
    pair.trade(20)
    assert waited(lambda: pair.a.p.status().replicated_sequence == pair.a.p.status().sequence)
    pair.reports += pair.gateway.take()["key"].tolist()
    assert pair.reports
    pair.cut()
    pair.gateway.take()
    pair.trade(20)
    time.sleep(0.1)
    assert len(pair.gateway.take()) == 0, "a report went out that only the primary knows of"
    assert flushed(pair.a)
    pair.a.p.set_alone(True)  # no standby is in step: what is on disk counts
    assert len(pair.gateway.take()) > 0


# --- the gap ---


@pytest.mark.parametrize("memory", [True, False], ids=["memory reachable", "log alone"])
def test_the_gap_is_taken_whole_and_once(make_pair: Callable[..., Pair], memory: bool) -> None:
    pair = make_pair()
    pair.follow()
    pair.trade(1000)
    assert pair.in_step()
    pair.cut()  # and the primary trades on
    pair.trade(3000)
    assert waited(lambda: not pair.a.p.status().orders_waiting)
    if not memory:
        assert flushed(pair.a)
    pair.a.die()
    last, before = pair.a.p.status().sequence, pair.replica.status().received
    taken = pair.replica.gap(pair.a.p if memory else None, pair.a.log)
    assert taken == last - before > 3000
    assert pair.replica.gap(pair.a.p if memory else None, pair.a.log) == 0
    assert pair.b and pair.b.p.status().sequence == last and flushed(pair.b)
    assert verify(pair.b.log).findings == []
    theirs = dict(chain(pair.a.log))
    ours = dict(chain(pair.b.log))
    assert all(ours[sequence] == h for sequence, h in theirs.items()) and len(ours) == last


def test_a_damaged_gap_is_refused_and_said_where(make_pair: Callable[..., Pair]) -> None:
    pair = make_pair()
    pair.follow()
    pair.trade(100)
    assert pair.in_step()
    pair.cut()
    pair.trade(300)
    assert waited(lambda: not pair.a.p.status().orders_waiting) and flushed(pair.a)
    pair.a.die()
    victim = pair.replica.status().received + 5
    file = [f for f in open_log(pair.a.log) if f.header.first_sequence <= victim][-1]
    with file.path.open("r+b") as f:
        f.seek(4096 + (victim - file.header.first_sequence) * 272 + 100)
        f.write(b"\xff")
    with pytest.raises(pl.PipelineError, match=f"record {victim} is damaged"):
        pair.replica.gap(None, pair.a.log)


def test_another_log_is_refused_where_it_differs(make_pair: Callable[..., Pair], tmp_path: Path) -> None:
    pair = make_pair()
    pair.follow()
    pair.trade(100)
    assert pair.in_step()
    pair.cut()
    pair.a.die()
    with tempfile.TemporaryDirectory(prefix="matchmark-test-", dir="/dev/shm") as memory:
        (tmp_path / "c").mkdir()
        other = Member(tmp_path / "c", Path(memory) / "c")
        other.p.state = ExchangeState.RUNNING
        gateway = pl.Gateway(other.p, 0)
        gateway.put_all(orders(200, 1, 99))
        assert waited(lambda: not other.p.status().orders_waiting) and flushed(other)
        other.die()
        with pytest.raises(pl.PipelineError, match=r"diverged at record .* another record"):
            pair.replica.gap(other.p, other.log)
        other.p.close()
    assert pair.replica.status().diverged


# --- fencing ---


def test_without_a_lease_nothing_is_executed_written_or_told(make_pair: Callable[..., Pair]) -> None:
    pair = make_pair()
    pair.trade(10)
    assert waited(lambda: not pair.a.p.status().orders_waiting) and flushed(pair.a)
    pair.a.p.set_lease(pl.now_ns() - 1)
    before = pair.a.p.status().sequence
    pair.gateway.put_all(orders(10, 1000, 5))
    time.sleep(0.05)
    assert pair.a.p.status().sequence == before
    pair.a.p.set_lease(pl.NO_LEASE)
    assert waited(lambda: pair.a.p.status().sequence > before) and flushed(pair.a)
    pair.a.p.fence(7)
    pair.a.p.set_lease(pl.NO_LEASE)
    assert not pair.a.p.may_act(), "a lease came back after another member was primary"
    assert pair.a.p.state == ExchangeState.FAILED
