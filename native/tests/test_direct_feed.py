"""The direct feed beside an engine: each event once, in order, as the log has it, whatever is lost on the way."""

from __future__ import annotations

import random
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from matchmark.conformance.messages import Cancel, MassCancel, New, Replace
from matchmark.conformance.packets.direct_feed import DirectFeed as Layer
from matchmark.conformance.packets.direct_feed import Request
from matchmark.conformance.packets.feed_book import FeedBook
from matchmark.conformance.packets.from_log import told_by
from matchmark.conformance.packets.receiver import CONTINUES, Message, Receiver, decode, request
from matchmark.native import pipeline as pl
from matchmark.native.direct_feed import FROM_NOW, DirectFeed
from matchmark.native.pipeline_records import Durability, ExchangeState, Role, Wait
from matchmark.native.records import ABSENT, Op
from matchmark.reference.audit_log import open_log
from matchmark.reference.config_direct_feed import DirectFeedSettings
from matchmark.reference.market_data import direct_feed
from matchmark.reference.model import ModelEngine

SYMBOLS = 3
CONFIG = pl.EngineConfig(symbols=SYMBOLS, max_orders=1 << 14, remembered_ids=1 << 18, window_ticks=256)
GROUP = "239.255.41.7"


class Venue:
    """Engine and writer in threads of C, and the feed in one more when it is started."""

    def __init__(
        self, root: Path, memory: Path, durability: Durability = Durability.ASYNC, writing: bool = True, epoch: int = 1
    ) -> None:
        self.log = root / "log"
        extent = pl.recover(self.log)
        pl.create(
            memory, extent, order_slots=256, audit_slots=1024, report_slots=1 << 12, durability=durability,
            epoch=epoch,
        )  # fmt: skip
        self.p = pl.Pipeline(memory)
        self.writer = pl.AuditWriter(self.p, self.log, CONFIG, file_records=3000)
        self.engine = pl.EngineLoop(self.p, self.log, CONFIG)
        self.p.state = ExchangeState.RUNNING
        self.gateway = pl.Gateway(self.p, 0)
        self.settings = DirectFeedSettings(GROUP, 0)
        self.socket = direct_feed.bind(self.settings)
        self.url = direct_feed.url(self.settings, self.socket) or ""
        self.over = threading.Event()
        self.threads: list[threading.Thread] = []
        self.feed: DirectFeed | None = None
        self.run(self.engine)
        if writing:
            self.run(self.writer)

    def run(self, role: Any) -> None:
        def body() -> None:
            while not self.over.is_set():
                role.run(2_000_000, Wait.SLEEP)

        self.threads.append(threading.Thread(target=body, daemon=True))
        self.threads[-1].start()

    def make_feed(
        self, told: int = FROM_NOW, heartbeat_ns: int = 50_000_000, answers_per_s: int = 100_000
    ) -> DirectFeed:
        self.feed = DirectFeed(
            self.p, self.log, self.socket.fileno(), GROUP, direct_feed.group_port(self.settings, self.socket),
            told=told, heartbeat_ns=heartbeat_ns, answers_per_s=answers_per_s,
        )  # fmt: skip
        return self.feed

    def start_feed(self, **settings: Any) -> DirectFeed:
        feed = self.make_feed(**settings)
        self.run(feed)
        return feed

    def put(self, orders: pl.Records) -> None:
        at = 0
        while at < len(orders):
            n = self.gateway.put_all(orders[at:])
            at += n
            self.gateway.take()
            if not n:
                time.sleep(0.0002)

    def settle(self) -> int:
        """Everything is executed and on disk: the last record."""
        until = time.monotonic() + 20
        while True:
            self.gateway.take()
            now = self.p.status()
            if not now.orders_waiting and now.sequence == now.durable_sequence:
                return now.sequence
            assert time.monotonic() < until, now
            time.sleep(0.002)

    def records(self) -> pl.Records:
        records = np.concatenate([file.slots for file in open_log(self.log)])
        return records[records["sequence"] > 0]

    def close(self) -> None:
        self.over.set()
        for thread in self.threads:
            thread.join(10)
        if self.feed:
            self.feed.close()
        self.engine.close()
        self.writer.close()
        self.p.close()
        self.socket.close()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as memory:
        yield tmp_path, Path(memory) / "shm"


@pytest.fixture
def venue(place: tuple[Path, Path]) -> Iterator[Venue]:
    made = Venue(*place)
    yield made
    made.close()


def flow(count: int, seed: int, first: int = 1) -> pl.Records:
    """Orders that trade, rest, are replaced and cancelled, alone and in masses; refusals and questions among them."""
    chance, made = random.Random(seed), pl.new_orders(count)
    live: list[int] = []
    for n, command in enumerate(made["command"]):
        number = first + n
        command["account"], command["symbol"] = chance.randrange(3), chance.randrange(SYMBOLS)
        command["cl_ord_id"] = number
        what = chance.random()
        if what < 0.7 or not live:
            command["op"], command["side"] = Op.NEW, chance.randrange(2)
            command["type"], command["tif"] = chance.random() < 0.1, chance.random() < 0.1
            command["price_ticks"] = ABSENT if command["type"] else 100 + chance.randrange(-5, 6)
            command["quantity_lots"] = chance.choice((0, 1, 2, 5, 10, 20))
            live.append(n)
            continue
        of = chance.choice(live[-40:])
        for field in ("account", "symbol"):
            command[field] = made["command"][of][field]
        command["orig_cl_ord_id"] = first + of
        command["price_ticks"] = command["quantity_lots"] = ABSENT
        if what < 0.8:
            command["op"] = Op.CANCEL
        elif what < 0.96:
            command["op"], command["quantity_lots"] = Op.REPLACE, chance.choice((1, 3, 8, 15, 30))
            command["price_ticks"] = chance.choice((int(made["command"][of]["price_ticks"]), 98, 100, 102))
            live.append(n)
        else:
            command["op"] = chance.choice((Op.MASS_CANCEL, Op.STATUS))
    return made


def keep_in(packets: list[bytes]) -> Callable[[bytes], bool]:
    """Loses nothing, and keeps what came."""

    def keep(data: bytes) -> bool:
        packets.append(data)
        return False

    return keep


def told(messages: list[Message]) -> list[Message]:
    return [message._replace(whole=False) for message in messages]


def model_command(c: Any) -> Any:
    cl, orig, acct, sym = str(c["cl_ord_id"]), str(c["orig_cl_ord_id"]), str(c["account"]), str(c["symbol"])
    price, lots = (None if c[f] == ABSENT else int(c[f]) for f in ("price_ticks", "quantity_lots"))
    if c["op"] == Op.NEW:
        side, kind, tif = ("buy", "sell")[c["side"]], ("limit", "market")[c["type"]], ("day", "ioc")[c["tif"]]
        return New(cl, acct, sym, side, kind, lots or 0, price, tif)
    if c["op"] == Op.REPLACE:
        return Replace(cl, orig, acct, sym, price, lots)
    return Cancel(cl, orig, acct, sym) if c["op"] == Op.CANCEL else MassCancel(cl, acct, sym)


def model_queue(model: ModelEngine, symbol: int, side: str) -> list[Any]:
    levels = model.books[str(symbol)].levels[side]
    prices = reversed(levels) if side == "buy" else levels
    return [(px, [(order.id, order.leaves) for order in levels[px].orders.values()]) for px in prices]


def test_every_event_comes_once_in_order_and_as_the_log_has_it(venue: Venue) -> None:
    with Receiver(venue.url, have=0) as receiver:
        venue.start_feed()
        venue.put(flow(6000, 1))
        last = venue.settle()
        messages = receiver.read_to(last)
        assert told(messages) == told_by(venue.records()) and len(messages) > 4000
        assert {m.type for m in messages} == set("AEUX") and not receiver.numbers.malformed


def test_books_rebuilt_from_the_feed_are_the_models_at_every_command(venue: Venue) -> None:
    orders, model, book = flow(1500, 2), ModelEngine([str(n) for n in range(SYMBOLS)], emit_top=False), FeedBook()
    with Receiver(venue.url, have=0) as receiver:
        venue.start_feed()
        venue.put(orders)
        messages = receiver.read_to(venue.settle())
    events = venue.records()
    by_command = np.cumsum(events["kind"] == 1)
    command_of = dict(zip(events["sequence"].tolist(), (by_command - 1).tolist(), strict=True))
    at, looks = 0, 0
    for n, command in enumerate(orders["command"]):
        if command["op"] != Op.STATUS:
            model.submit(model_command(command))
        whole = True
        while at < len(messages) and command_of[messages[at].sequence] == n:
            book.apply(messages[at])
            whole = messages[at].whole
            at += 1
        looks += whole
        for symbol in range(SYMBOLS):
            for number, side in enumerate(("buy", "sell")):
                assert book.queue(symbol, number) == model_queue(model, symbol, side), f"after command {n}"
    assert at == len(messages) and looks > 1400


@pytest.mark.parametrize("share", [0.02, 0.3])
def test_what_is_lost_on_the_way_is_asked_for(venue: Venue, share: float) -> None:
    chance = random.Random(3)
    with Receiver(venue.url, have=0, lose=lambda _: chance.random() < share) as receiver:
        venue.start_feed()
        messages: list[Message] = []
        for n in range(10):
            venue.put(flow(400, n, 1 + 400 * n))
            messages += receiver.poll(0.01)
        messages += receiver.read_to(venue.settle(), 30)
        assert told(messages) == told_by(venue.records())
        assert receiver.numbers.dropped and receiver.numbers.gaps and receiver.numbers.answers


def test_a_late_joiner_gets_all_from_the_log_and_the_ring(venue: Venue) -> None:
    feed = venue.start_feed()
    venue.put(flow(5000, 4))
    last = venue.settle()
    with Receiver(venue.url, have=0) as late, Receiver(venue.url) as later:
        assert told(late.read_to(last)) == told_by(venue.records())
        assert feed.counters().from_log > 1000 and late.numbers.answers > 10
        venue.put(flow(50, 5, 10_000))  # who has joined without a past has the future alone
        now = venue.settle()
        assert told(later.read_to(now)) == [e for e in told_by(venue.records()) if e.sequence > last]


def test_a_feed_that_was_overtaken_by_the_ring_goes_on_from_the_log(venue: Venue) -> None:
    feed = venue.make_feed(told=0)
    venue.put(flow(3000, 6))  # a ring of 1,024 records, several times over
    last = venue.settle()
    with Receiver(venue.url, have=0) as receiver:
        venue.run(feed)
        assert told(receiver.read_to(last)) == told_by(venue.records())
    assert feed.counters().from_log >= last - 1024 and feed.counters().sequence == last


def test_a_command_that_is_longer_than_a_packet_goes_on_in_the_next(venue: Venue) -> None:
    orders = pl.new_orders(101)
    command = orders["command"]
    command["op"], command["price_ticks"], command["quantity_lots"] = Op.NEW, 100, 1
    command["cl_ord_id"] = np.arange(1, 102)
    command["side"][100], command["quantity_lots"][100] = 1, 100
    packets: list[bytes] = []
    with Receiver(venue.url, have=0, lose=keep_in(packets)) as receiver:
        venue.start_feed()
        venue.put(orders)
        messages = receiver.read_to(venue.settle())
    assert sum(m.type == "E" for m in messages) == 100
    assert max(map(len, packets)) <= 1400 and any(decode(p).flags & CONTINUES for p in packets)
    trades = [m for m in messages if m.type == "E"]
    assert [m.whole for m in trades] == [False] * 99 + [True] and trades[-1].resting_leaves == trades[-1].leaves == 0
    for data in packets:
        if not decode(data).flags & CONTINUES and decode(data).messages:
            assert decode(data).messages[-1].whole


def test_the_layers_for_scapy_read_and_write_the_same_bytes(venue: Venue) -> None:
    packets: list[bytes] = []
    with Receiver(venue.url, have=0, lose=keep_in(packets)) as receiver:
        venue.start_feed()
        venue.put(flow(300, 7))
        receiver.read_to(venue.settle())
    assert len(packets) > 3
    for data in packets:
        layer, plain = Layer(data), decode(data)
        assert bytes(layer) == data and len(layer.body) == len(plain.messages) == layer.messages
        assert (layer.after, layer.through, layer.began, layer.epoch) == (plain.after, plain.through, plain.began, 1)
        for one, other in zip(layer.body, plain.messages, strict=True):
            shared = [name for name in Message._fields if name in one.fields and name != "type"]
            assert len(shared) >= 6 and chr(one.type) == other.type
            assert [int(getattr(one, name)) for name in shared] == [getattr(other, name) for name in shared]
    assert bytes(Request(after=5, through=2**63)) == request(5, 2**63)


def test_nothing_is_told_that_clients_are_not_told_yet(place: tuple[Path, Path]) -> None:
    venue = Venue(*place, durability=Durability.FSYNC, writing=False)
    try:
        with Receiver(venue.url, have=0) as receiver:
            venue.start_feed()
            venue.put(flow(100, 8))
            while venue.p.status().orders_waiting:
                time.sleep(0.001)
            assert receiver.poll(0.2) == [] and receiver.numbers.heartbeats
            while venue.p.status().sequence > venue.p.durable_sequence:
                venue.writer.poll()
            assert told(receiver.read_to(venue.p.durable_sequence)) == told_by(venue.records())
    finally:
        venue.close()


def test_a_standby_is_silent_and_begins_where_it_became_primary(venue: Venue) -> None:
    venue.p.role = Role.STANDBY
    feed = venue.start_feed()
    with Receiver(venue.url, have=0) as receiver:
        venue.put(flow(500, 9))
        last = venue.settle()
        receiver.own.sendto(request(0, last), receiver.ask_at)
        assert receiver.poll(0.2) == [] and receiver.numbers.packets == 0 and feed.counters().ignored == 1
        venue.p.role = Role.PRIMARY
        assert told(receiver.read_to(last)) == told_by(venue.records())
        assert receiver.numbers.gaps == 1 and feed.counters().packets <= 2 + receiver.numbers.heartbeats


def test_what_a_power_cut_took_back_is_told(place: tuple[Path, Path]) -> None:
    venue = Venue(*place, writing=False)
    try:
        receiver = Receiver(venue.url, have=0)
        feed = venue.start_feed()
        venue.put(flow(60, 10))
        until = time.monotonic() + 10
        while venue.p.status().orders_waiting or feed.counters().sequence < venue.p.status().sequence:
            assert time.monotonic() < until
            time.sleep(0.002)
        lost = venue.p.status().sequence
        receiver.read_to(lost)
    finally:
        venue.close()
    venue = Venue(*place, epoch=2)  # its log had nothing: the numbers come again
    try:
        again = Receiver(venue.url, have=receiver.have)
        again.epoch = receiver.epoch
        with receiver, again:
            venue.start_feed()
            venue.put(flow(400, 11))
            messages = again.read_to(venue.settle())
            assert again.numbers.taken_back == [(0, lost)] and told(messages) == told_by(venue.records())
    finally:
        venue.close()


def test_who_has_told_less_than_the_primary_before_it_takes_nothing_back(place: tuple[Path, Path]) -> None:
    """A standby that took over: all records are there, and its feed begins further back than the other one's had come."""
    venue = Venue(*place, durability=Durability.REPLICATED)  # nobody moves its mark
    try:
        venue.put(flow(60, 12))
        had = venue.settle()
        venue.p.set_epoch(2)
        receiver = Receiver(venue.url, have=had)
        receiver.epoch = 1
        with receiver:
            venue.start_feed()
            assert receiver.poll(0.3) == [] and receiver.numbers.heartbeats
            venue.p.set_alone(True)
            venue.put(flow(100, 13))
            messages = receiver.read_to(venue.settle())
            assert not receiver.numbers.taken_back
            behind = venue.records()
            assert told(messages) == told_by(behind[behind["sequence"] > had])
    finally:
        venue.close()


def test_hostile_requests_are_ignored_and_counted(venue: Venue) -> None:
    feed = venue.start_feed(answers_per_s=500)
    venue.put(flow(3000, 12))
    last = venue.settle()
    chance = random.Random(13)
    good = request(0, last)
    with Receiver(venue.url) as receiver, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bad:
        bad.setblocking(False)
        while feed.counters().sequence < last:
            time.sleep(0.001)
        hostile = [
            b"", b"x", good[:-1], good + b"\0", b"MMDF" + good[4:], good[:4] + b"\2" + good[5:], bytes(24), bytes(60000),
            good[:6] + b"\1" + good[7:], request(5, 5), request(9, 3), request(last, last + 10), request(2**64 - 2, 2**64 - 1),
            *(chance.randbytes(24) for _ in range(100)),
        ]  # fmt: skip
        for data in hostile:
            bad.sendto(data, receiver.ask_at)
        until = time.monotonic() + 10
        while feed.counters().ignored < len(hostile):
            assert time.monotonic() < until, feed.counters()
            time.sleep(0.005)
        with pytest.raises(BlockingIOError):
            bad.recv(2048)
        assert feed.counters().resent == feed.counters().requests == 0
        # One that asks for everything a thousand times: as many wait as may, and answers come at their rate.
        began = time.monotonic()
        for _ in range(1000):
            bad.sendto(good, receiver.ask_at)
        while feed.counters().resent <= 50:
            assert time.monotonic() < began + 20, feed.counters()
            time.sleep(0.01)
        counted = feed.counters()
        seconds = time.monotonic() - began
        assert counted.requests <= 64 + counted.resent // 64 + 1 and counted.resent <= 500 * seconds + 10
        venue.put(flow(200, 14, 50_000))  # and the feed goes on beside it
        assert told(receiver.read_to(venue.settle())) == [e for e in told_by(venue.records()) if e.sequence > last]


def test_one_request_is_answered_with_so_many_packets_at_most(venue: Venue) -> None:
    venue.start_feed()
    venue.put(flow(8000, 15))
    last = venue.settle()
    with Receiver(venue.url) as receiver, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.settimeout(0.3)
        receiver.read_to(last)
        one.sendto(request(10, last), receiver.ask_at)
        answers = [decode(one.recv(2048)) for _ in range(64)]
        with pytest.raises(TimeoutError):
            one.recv(2048)
    assert answers[0].after == 10 and all(a.through == b.after for a, b in pairwise(answers))
