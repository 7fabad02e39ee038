"""Diagram 12, frames that must change nothing: each kind of illegal frame, aimed at a living connection with what would be
its next order in it. Nothing of it is decided, no session notices, and the counters say that it was refused."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial

import pytest

from matchmark.conformance.fix.client import FixClient
from matchmark.conformance.packets.batch import Batch
from matchmark.conformance.packets.illegal import FAMILIES, Family, generate, mixed
from matchmark.conformance.packets.plan import Plan, cut
from matchmark.conformance.packets.target import Target
from matchmark.conformance.packets.tcp_client import TcpError
from matchmark.conformance.suites._wire import Ticket, WireStage
from matchmark.conformance.wire_venue import Counters, WireVenue, unlike

pytestmark = pytest.mark.needs("fix", "raw_frames")

FRAMES = 200
MIXED_PER_EXAMPLE = 1000
"""A certificate's thousand examples a property are a million frames."""
RATE_PPS = 40_000
SEED = 20_260_112
ROUND = 16
"""Batches between two looks at the sessions."""
ALWAYS_MOVE = frozenset(("rx_frames", "rx_bytes", "tx_frames", "tx_bytes", "bytes_in_place", "bytes_copied"))
BREAKS_NOTHING = [pytest.param(family, id=name) for name, family in FAMILIES.items() if not family.flood]


class Attacked:
    """A session that frames are aimed at, its next order in each, and a witness beside it."""

    def __init__(self, s: WireStage) -> None:
        self.s, self.wire = s, s.venue
        self.client, self.witness = s.peer(), s.peer(account=s.venue.accounts[0])
        self.sent: dict[FixClient, list[Ticket]] = {self.client: [], self.witness: []}
        self.never: list[str] = []
        self.trade()

    def target(self) -> Target:
        """Aimed at the session as it is now. The order in it has the session's next number."""
        number = self.client.next_out
        ticket = self.s.tickets(1)[0]
        payload = self.s.write(self.client, [ticket])
        self.client.next_out = number
        self.never.append(ticket.cl)
        flow = self.wire.raw(self.client).flow
        assert self.wire.port
        return Target(flow.ends, flow, payload, self.wire.port.mtu)

    def trade(self, note: str = "") -> None:
        """Both sessions have an order accepted, and lost no number."""
        for client, sent in self.sent.items():
            tickets = self.s.tickets(2)
            try:
                self.s.send(client, tickets)
            except TcpError as error:
                self.s.fail(f"{self.s.why}: a connection ended ({note})", ["it goes on"], [str(error)])
            self.s.acknowledged(client, tickets, note)
            sent += tickets

    def put(self, batches: Iterable[Batch]) -> int:
        """How many frames the cable took."""
        assert self.wire.port
        sent = 0
        for batch in batches:
            sent += self.wire.port.send_batch(batch, RATE_PPS)
            self.wire.station.pump()
        return sent

    def demand_unharmed(self) -> None:
        for client in self.sent:
            self.s.quiet(client)
        self.s.once_in_order(*self.sent.values(), never=self.never)


@pytest.mark.clause("D12.X3")
@pytest.mark.parametrize("family", BREAKS_NOTHING)
def test_an_illegal_frame_is_no_order_and_nobody_notices(wire: WireVenue, family: Family) -> None:
    with WireStage(wire, "D12.X3", f"frames: {family.text}") as s:
        attacked = Attacked(s)
        before = wire.at_rest()
        sent = attacked.put(generate(family.name, attacked.target(), SEED, FRAMES, batch=64))
        after = wire.at_rest()
        attacked.trade(family.name)
        attacked.demand_unharmed()
        _demand_counted(s, family, before, after, sent)


def _demand_counted(s: WireStage, family: Family, before: Counters, after: Counters, sent: int) -> None:
    """Every frame is counted, and nothing is counted that such frames must not move. Without counters nothing is demanded."""
    moved = unlike(before, after, before)
    moved.pop("buffers_in_use", None)
    if wrong := sorted(set(moved) - ALWAYS_MOVE - family.moves):
        s.fail(
            f"{s.why}: they moved other counters than those of frames",
            [", ".join(sorted(family.moves)) or "none but received and sent"],
            [f"{name} +{moved[name]}" for name in wrong],
        )
    if "rx_frames" in before and moved.get("rx_frames", 0) < sent:
        s.fail(f"{s.why}: not all were counted", [f"rx_frames +{sent}"], [f"rx_frames +{moved.get('rx_frames', 0)}"])


@pytest.mark.clause("D12.X3")
def test_a_great_many_illegal_frames_of_all_kinds_change_nothing(
    wire: WireVenue, request: pytest.FixtureRequest
) -> None:
    """All kinds in turn, while both sessions trade now and then."""
    count = MIXED_PER_EXAMPLE * request.config.getoption("--examples")
    with WireStage(wire, "D12.X3", "illegal frames of all kinds") as s:
        attacked = Attacked(s)
        done = 0
        while done < count:
            target = attacked.target()
            part = min(count - done, ROUND * 1024)
            attacked.put(batch for _, batch in mixed(target, SEED + done, part))
            done += part
            attacked.trade(f"after {done} illegal frames")
        attacked.demand_unharmed()


# --- buffers ---


def _cut(length: int, size: int) -> Plan:
    return cut(length, [size])


@pytest.mark.clause("D12.2")
@pytest.mark.needs("dpdk")
@pytest.mark.parametrize("what", ["orders", "illegal", "aborted", "out-of-order"])
def test_every_buffer_is_given_back(poll_mode: WireVenue, what: str) -> None:
    """As many are in use at rest as before: after orders in segments of all sizes, after illegal frames, after connections
    that ended with something unread, and after segments whose predecessors never came."""
    wire = poll_mode
    with WireStage(wire, "D12.2", f"frame buffers after {what}") as s:
        attacked = Attacked(s)
        before = wire.at_rest()
        if "buffers_in_use" not in before:
            pytest.skip("the status page has no counter of buffers")
        for _ in _traffic(s, attacked, what):
            attacked.trade()
        left = wire.settles_to("buffers_in_use", before["buffers_in_use"])
        if left > before["buffers_in_use"]:
            s.fail(
                f"frame buffers are not given back ({what})",
                [f"{before['buffers_in_use']} in use, as at the start"],
                [f"{left} in use {wire.wire.rest_s:g} s after the last frame"],
            )
        attacked.demand_unharmed()


def _traffic(s: WireStage, attacked: Attacked, what: str) -> Iterator[None]:
    wire = s.venue
    for n in range(20):
        if what == "orders":
            for size in (1460, 400, 90, 11):
                attacked.sent[attacked.client] += s.exchange(attacked.client, 10, partial(_cut, size=size))
        elif what == "illegal":
            attacked.put(batch for _, batch in mixed(attacked.target(), SEED + n, 2048))
        else:
            for k in range(10):
                client = wire.stranger()
                half = b"8=FIX.4.4\x019=900\x0135=D\x01" + b"58=" + b"x" * 700
                if what == "aborted":
                    client.send(half, cuts=[100], wait=False)
                else:
                    for at in range(5):
                        client.inject(client.forge(flags=0x18, seq_offset=1000 * (at + 1), payload=half))
                client.reset() if (n + k) % 2 else client.close()
        yield
