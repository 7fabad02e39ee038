"""Diagram 12, floods: connection attempts that are never finished, connections that say nothing, drip or never read. What
they take is bounded, and sessions beside them trade on as promptly as before. Only where the target is expendable."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from matchmark.conformance.fix.message import FixError
from matchmark.conformance.packets.illegal import FAMILIES, Ends, Target, generate
from matchmark.conformance.packets.tcp_client import TcpClient, TcpError
from matchmark.conformance.packets.tcp_machine import Settings
from matchmark.conformance.suites._hostile import Innocents
from matchmark.conformance.suites._wire import WireStage, logon
from matchmark.conformance.wire_venue import WireVenue

pytestmark = pytest.mark.needs("fix", "raw_frames")

SEED = 20_260_113
STEP_FRAMES = 500
STEPS = 120
"""Sixty thousand frames a flood."""
RATE_PPS = 50_000
GROWTH_BYTES_MAX = 4 << 20
"""More memory than this is not noise when the second half of a flood is compared with the first: 30,000 connections take six
times that."""
UNREAD_BYTES_MAX = 64 << 20
"""What is kept for sessions that do not read is theirs."""
STRANGERS = 1500
Attack = Callable[[WireStage, WireVenue], Iterator[None]]


def flood_of(name: str) -> Attack:
    def attack(s: WireStage, wire: WireVenue) -> Iterator[None]:
        assert wire.port
        end, station = wire.endpoint, wire.station
        there = station.resolve(end.host)
        ends = Ends(station.mac, there, station.ip, end.host, 40_000, end.port)
        for batch in generate(name, Target(ends), SEED, STEPS * STEP_FRAMES, batch=STEP_FRAMES):
            wire.port.send_batch(batch, RATE_PPS)
            station.pump()
            yield

    return attack


def silent(s: WireStage, wire: WireVenue) -> Iterator[None]:
    """Connections that are open and say nothing; more than the target holds."""
    held: list[TcpClient] = []
    try:
        for n in range(STRANGERS):
            with suppress(TcpError):
                held.append(wire.stranger())
            if n % 20 == 0:
                yield
        for _ in range(10):
            yield
    finally:
        for client in held:
            client.reset()


def dripping(s: WireStage, wire: WireVenue) -> Iterator[None]:
    """Logons that come a byte at a time, and are given up before their end."""
    held = [wire.stranger() for _ in range(30)]
    names = [logon(s.stranger())[:-10] for _ in held]
    for at in range(max(map(len, names))):
        for client, name in zip(held, names, strict=True):
            with suppress(TcpError):
                client.send(name[at : at + 1], wait=False)
        if at % 4 == 0:
            yield
    for client in held:
        client.reset()


def never_reading(s: WireStage, wire: WireVenue) -> Iterator[None]:
    """Sessions that order, ask for all their reports again and again, and have their windows closed."""
    clients = [s.peer() for _ in range(4)]
    for client in clients:
        tickets = s.tickets(50)
        s.send(client, tickets)
        s.acknowledged(client, tickets)
        wire.raw(client).window(0)
    for n in range(60):
        for client in clients:
            with suppress(TcpError, FixError):
                client.send("2", [(7, "1"), (16, "0")])
                wire.station.pump()
        if n % 2:
            yield
    for client in clients:
        client.drop()


def tiny_segments(s: WireStage, wire: WireVenue) -> Iterator[None]:
    """A connection that offers a segment size of one byte, and reads."""
    settings = Settings(mss=1, window=64)
    for _ in range(20):
        with suppress(TcpError):
            client = wire.stranger(settings=settings)
            client.send(b"8=FIX.4.4\x019=5\x0135=0\x0110=000\x01", wait=False)
            client.receive(0.05)
            client.reset()
        yield


ATTACKS: dict[str, Attack] = {
    **{name.replace("_", "-"): flood_of(name) for name, family in FAMILIES.items() if family.flood},
    "silent-connections": silent,
    "dripping-logons": dripping,
    "never-reading": never_reading,
    "segments-of-one-byte": tiny_segments,
}


@pytest.mark.clause("D12.X5")
@pytest.mark.parametrize("attack", [pytest.param(make, id=name) for name, make in ATTACKS.items()])
def test_the_innocent_trade_on_and_memory_is_bounded_beside(wire: WireVenue, attack: Attack) -> None:
    if not wire.profile.tables["target"].get("expendable", False):
        pytest.skip("the profile does not declare the target expendable: it may not be flooded")
    with WireStage(wire, "D12.X5", "trading beside a flood") as s:
        with wire.ordinary():
            innocents = Innocents(s)
        before, memory = wire.at_rest(), list[int]()
        for n, _ in enumerate(attack(s, wire)):
            innocents.trade_on()
            if n % 10 == 0:
                memory.append(wire.memory_bytes())
        innocents.demand_prompt()
        grown = max(memory[len(memory) // 2 :]) - max(memory[: len(memory) // 2 + 1])
        if grown > (UNREAD_BYTES_MAX if attack is never_reading else GROWTH_BYTES_MAX):
            s.fail(
                f"{s.why}: memory grows with the flood",
                [f"no more than {GROWTH_BYTES_MAX >> 20} MB in its second half"],
                [f"{grown / (1 << 20):.1f} MB"],
            )
        s.exchange(s.peer(), 3)  # whoever is honest still gets in
        for name in {"buffers_in_use"} & before.keys():
            left = wire.settles_to(name, before[name])
            if left > before[name]:
                s.fail(f"{s.why}: {name} stay taken", [str(before[name])], [f"{left} after {wire.wire.rest_s:g} s"])
        wire.spoiled = True  # half-open connections and held strangers are still dying there
