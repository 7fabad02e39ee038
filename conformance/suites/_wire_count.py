"""Frames, counted by the kit while they pass, and held against the target's own counters."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from matchmark.conformance.packets.batch import Batch
from matchmark.conformance.packets.headers import mac_bytes
from matchmark.conformance.suites._wire import WireStage, unavailable
from matchmark.conformance.wire_venue import Counters, WireVenue

FRAME_COUNTERS = ("rx_frames", "tx_frames", "rx_bytes", "tx_bytes", "rx_bad", "rx_ignored", "rx_dropped")
RATE_PPS = 20_000
"""As fast as any target takes frames that come in bursts: what a port's own queue has no room for is lost before anybody
counts."""


class Count:
    """Frames put on the wire past the station, and all that passed since it was made."""

    def __init__(self, wire: WireVenue) -> None:
        assert wire.port
        self.wire, self.port = wire, wire.port
        self.sent = 0

    def send(self, frame: bytes) -> None:
        self.port.send(frame)
        self.sent += 1

    def many(self, frames: Iterable[bytes]) -> None:
        self.sent += self.port.send_batch(Batch.of(frames), RATE_PPS)


def demand_counts(
    s: WireStage, wire: WireVenue, note: str, act: Callable[[Count], object], more: Mapping[str, int] | None = None
) -> None:
    """What `act` puts on the wire, and what comes of it, is what the counters grow by; `more`: those that say what became of
    it.

    TargetUnavailable when there are no counters, or frames were lost on the kit's side.
    """
    before = wire.at_rest()
    if not {"rx_frames", "tx_frames"} <= before.keys():
        unavailable("the status page has no counters of frames ([wire] counters)")
    wire.ring.clear()
    assert wire.port
    lost, sent, received = wire.port.drops(), wire.port.sent, wire.port.received
    act(Count(wire))
    after = wire.at_rest()
    if wire.ring.forgotten or wire.port.drops() != lost:
        unavailable(f"the kit lost frames itself while it counted ({note})")
    records = wire.ring.records()
    ours = {mac_bytes(wire.station.mac)}
    seen: Counters = {
        "rx_frames": wire.port.sent - sent,
        "tx_frames": wire.port.received - received,
        "rx_bytes": sum(len(r.frame) for r in records if r.sent),
        "tx_bytes": sum(len(r.frame) for r in records if not r.sent),
        "rx_bad": 0,
        "rx_ignored": 0,
        "rx_dropped": 0,
        **(more or {}),
    }
    moved = {name: after[name] - before[name] for name in FRAME_COUNTERS if name in before and name in after}
    wanted = {name: seen[name] for name in moved}
    if moved != wanted:
        strangers = sum(not r.sent and r.frame[:6] not in ours for r in records)
        if strangers:
            unavailable(f"{strangers} frames on the cable were somebody else's ({note})")
        wrong = [name for name in moved if moved[name] != wanted[name]]
        s.fail(
            f"counters do not say what was on the wire ({note})",
            [f"{name} +{wanted[name]}" for name in wrong],
            [f"{name} +{moved[name]}" for name in wrong],
        )
