"""Clients that mean harm or are broken, and the innocent ones beside them.

An attack is a generator: it does a step of harm and yields; between the steps the innocent trade. It never waits for anything
without bound, and gives back its connections.
"""

from __future__ import annotations

import random
import socket
import statistics
import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress

from matchmark.conformance.fix.client import FixClient
from matchmark.conformance.fix.message import SOH, Field, FixError
from matchmark.conformance.fix.wire import encode, utc
from matchmark.conformance.messages import Tif
from matchmark.conformance.suites._sessions import PRICE_TICKS, WAIT_S, Stage, order

SEED = 20_260_101
MEGABYTE = 1 << 20
ROUNDS_BEFORE = 30
ENOUGH_ROUNDS = 9
SLOWER_MAX = 10
SLACK_NS = 50_000_000
"""The innocent may wait so many times as long as before, and that much more: the machine is shared with the attacker."""


class Innocents:
    """Two sessions of different accounts that trade with each other: each round is an order that rests and one that takes it."""

    def __init__(self, stage: Stage) -> None:
        venue = stage.venue
        self.stage = stage
        self.maker = venue.session(venue.accounts[0])
        self.taker = venue.session(venue.accounts[2 % len(venue.accounts)], 1)
        self.instrument = venue.fresh_symbol()
        self.before = [self.round() for _ in range(ROUNDS_BEFORE)]
        self.during: list[int] = []

    def round(self) -> int:
        """Trades one lot; the time from the taker's order to its fill, in ns. A report that does not come is judged."""
        venue = self.stage.venue
        rest, take = venue.new_cl(), venue.new_cl()
        self.maker.send("D", order(venue, self.instrument, rest, "sell", 1, PRICE_TICKS))
        self.maker.expect(lambda m: m.type == "8" and m.get(11) == rest and m.get(150) == "0", WAIT_S)
        sent = self.taker.send("D", order(venue, self.instrument, take, "buy", 1, PRICE_TICKS, Tif.IOC))
        filled = self.taker.expect(lambda m: m.type == "8" and m.get(11) == take and m.get(39) == "2", WAIT_S)
        self.maker.expect(lambda m: m.type == "8" and m.get(11) == rest and m.get(39) == "2", WAIT_S)
        return filled.at_ns - sent.at_ns

    def trade_on(self) -> None:
        """A round in the midst of an attack. When most of the first were slow there is no need to see the rest."""
        self.during.append(self.round())
        if len(self.during) == ENOUGH_ROUNDS:
            self.demand_prompt()

    def demand_prompt(self) -> None:
        # The last rounds by themselves too: a buffer that fills up slowly holds nobody up at first.
        usual = statistics.median(self.before)
        now = max(statistics.median(rounds) for rounds in (self.during, self.during[-ENOUGH_ROUNDS:]))
        if now > SLOWER_MAX * usual + SLACK_NS:
            self.stage.fail(
                "the orders of the innocent wait",
                [f"{usual / 1e6:.2f} ms as before, or up to {SLOWER_MAX} times that"],
                [f"{now / 1e6:.2f} ms in the middle"],
            )
        for client in (self.maker, self.taker):
            if not client.logged_on or any(not line.sent and line.message.type in "25" for line in client.stream):
                self.stage.fail(
                    "a session of the innocent was disturbed", ["it goes on"], ["it lost a number or its end"]
                )


Attack = Callable[[Stage], Iterator[None]]


def _strangers(stage: Stage, stack: ExitStack, count: int) -> list[socket.socket]:
    end = stage.venue.endpoint
    return [stack.enter_context(socket.create_connection((end.host, end.port), timeout=WAIT_S)) for _ in range(count)]


def _push(connection: socket.socket, data: bytes) -> bool:
    """Sends what it can at once; False when the connection is gone."""
    connection.setblocking(False)
    with suppress(BlockingIOError):
        try:
            connection.send(data)
        except OSError as error:
            if isinstance(error, BlockingIOError):
                raise
            return False
    return True


def _said(client: FixClient, kind: str, fields: list[Field], seq: int) -> bytes:
    head = [(34, str(seq)), (49, client.sender_comp_id), (56, client.endpoint.target_comp_id), (52, utc())]
    return encode(client.endpoint.begin_string, kind, head, fields)


def garbage_from_strangers(stage: Stage) -> Iterator[None]:
    noise = random.Random(SEED)
    for _ in range(30):
        with ExitStack() as stack:
            (connection,) = _strangers(stage, stack, 1)
            for _ in range(8):
                if not _push(connection, noise.randbytes(8192)):
                    break
            yield


def garbage_in_a_session(stage: Stage) -> Iterator[None]:
    noise = random.Random(SEED + 1)
    p = stage.peer()
    for size in (1, 100, 5000, 60_000):
        if not p.connected:
            return
        p.send_raw(noise.randbytes(size))
        yield
    for _ in range(20):
        whole = bytearray(_said(p, "D", order(stage.venue, stage.venue.fresh_symbol(), "x", "buy", 1, 1), p.next_out))
        whole[noise.randrange(len(whole))] ^= 1 << noise.randrange(8)
        with suppress(FixError):
            p.send_raw(bytes(whole))
        yield


def half_messages(stage: Stage) -> Iterator[None]:
    """Connections that begin a Logon and never end it."""
    with ExitStack() as stack:
        for n, connection in enumerate(_strangers(stage, stack, 50)):
            logon = b"8=FIX.4.4\x019=120\x0135=A\x0149=NOBODY\x0156=NOBODY\x0134=1\x01"
            _push(connection, logon[: 1 + n % len(logon)])
            if n % 2 == 0:
                yield


def a_megabyte_in_a_field(stage: Stage) -> Iterator[None]:
    """From a stranger and in a session: a value, a tag and a BodyLength that do not end."""
    end = stage.venue.endpoint
    long = b"x" * MEGABYTE
    shapes = [
        b"8=" + end.begin_string.encode() + b"\x019=" + b"9" * MEGABYTE,
        b"8=" + end.begin_string.encode() + b"\x019=%d\x0135=D\x0158=" % (MEGABYTE + 10) + long,
        b"8=" + end.begin_string.encode() + b"\x019=20\x0135=D\x01" + b"1" * MEGABYTE + b"=x" + SOH,
        b"8=" + long,
    ]
    for shape in shapes:
        with ExitStack() as stack:
            (connection,) = _strangers(stage, stack, 1)
            yield from _in_pieces(connection, shape)
        p = stage.peer()
        with suppress(FixError):
            p.send_raw(shape[: MEGABYTE // 4])
            yield
            p.send_raw(shape[MEGABYTE // 4 :])
        yield
        p.drop()
    p = stage.peer()
    with suppress(FixError):
        p.send("D", [*order(stage.venue, stage.venue.fresh_symbol(), "x", "buy", 1, 1), (58, "x" * MEGABYTE)])
    yield


def _in_pieces(connection: socket.socket, data: bytes) -> Iterator[None]:
    for at in range(0, len(data), 65_536):
        if not _push(connection, data[at : at + 65_536]):
            return
        if at % 262_144 == 0:
            yield


def a_flood_of_logons(stage: Stage) -> Iterator[None]:
    """Logons that must be refused, each on a connection of its own, many at once."""
    end = stage.venue.endpoint
    target = end.target_comp_id if end.logon_fields else "NOBODY-77"
    head = [(34, "1"), (49, stage.venue.new_sender(stage.account)), (56, target), (52, utc())]
    fields = [(98, "0"), (108, "30"), *((tag, "forged") for tag in end.logon_fields)]
    logon = encode(end.begin_string, "A", head, fields)
    for _ in range(20):
        with ExitStack() as stack:
            for connection in _strangers(stage, stack, 20):
                _push(connection, logon)
            yield


def a_storm_of_connections(stage: Stage) -> Iterator[None]:
    """Opened and reset at once."""
    end = stage.venue.endpoint
    for n in range(300):
        connection = socket.create_connection((end.host, end.port), timeout=WAIT_S)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()
        if n % 10 == 0:
            yield


def connections_that_say_nothing(stage: Stage) -> Iterator[None]:
    """A thousand, held open. How many of them the exchange keeps is its affair."""
    end = stage.venue.endpoint
    with ExitStack() as stack:
        for n in range(1000):
            with suppress(OSError):
                stack.enter_context(socket.create_connection((end.host, end.port), timeout=WAIT_S))
            if n % 20 == 0:
                yield
        for _ in range(20):
            yield


ATTACKS: dict[str, Attack] = {
    "garbage-from-strangers": garbage_from_strangers,
    "garbage-in-a-session": garbage_in_a_session,
    "half-messages": half_messages,
    "a-megabyte-in-a-field": a_megabyte_in_a_field,
    "a-flood-of-logons": a_flood_of_logons,
    "a-storm-of-connections": a_storm_of_connections,
    "connections-that-say-nothing": connections_that_say_nothing,
}
