"""Ten million frames against an exchange on a poll-mode port: nothing is traded, every buffer comes back, memory is flat."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from matchmark.conformance.packets.headers import Ends
from matchmark.conformance.packets.illegal import FAMILIES, Target, generate
from matchmark.conformance.packets.tcp_client import Station

from .dpdk_network import EXCHANGES, Network, impossible
from .test_dpdk import PORT, PortServe, trade

FRAMES, STEP, RATE_PPS = 10_000_000, 250_000, 300_000
GROWTH_MAX_BYTES = 8 << 20
KINDS = sorted(name for name, family in FAMILIES.items() if not (family.needs_flow or family.flood or family.held))

_WHY_NOT = impossible()


@pytest.fixture
def exchange(tmp_path: Path) -> Iterator[PortServe]:
    with Network() as network:
        x = PortServe(tmp_path, network)
        x.start()
        yield x
        x.close()


def _memory(x: PortServe) -> int:
    """Bytes resident of the gateway, which the frames go to."""
    pid = x.ready["pids"]["gateway"]
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.soak
@pytest.mark.skipif(_WHY_NOT is not None, reason=_WHY_NOT or "")
def test_no_buffer_is_lost_over_ten_million_frames(exchange: PortServe) -> None:
    x = exchange
    buyer, seller = x.client("ACC1"), x.client("ACC2")
    trade(x, buyer, seller, "before")
    with x.network.raw_port() as port, Station(port, "10.77.0.9") as station:
        ends = Ends(station.mac, station.resolve(EXCHANGES[0]), station.ip, EXCHANGES[0], 4000, PORT)
        before, memory, sent = x.rests(), list[int](), 0
        for n in range(FRAMES // STEP):
            kind = KINDS[n % len(KINDS)]
            for batch in generate(kind, Target(ends), n, STEP):
                sent += port.send_batch(batch, RATE_PPS)
                station.pump()
            trade(x, buyer, seller, f"t{n}")
            memory.append(_memory(x))
    after = x.rests(before["buffers_in_use"])
    taken = after["rx_frames"] - before["rx_frames"] + after["rx_dropped"] - before["rx_dropped"]
    print(f"{sent:,} frames sent, {taken:,} taken, {after['rx_bad']:,} bad, {after['rx_dropped']:,} dropped")
    assert sent > FRAMES * 0.95 and taken > sent * 0.5, "the others found no room in the driver's ring"
    assert max(memory) - memory[len(memory) // 4] < GROWTH_MAX_BYTES
