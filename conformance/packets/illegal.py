"""Illegal traffic by family, a million frames a minute: made by numpy from a template, the same again for the same seed.

    for batch in generate("bad_tcp_checksum", target, seed=7, count=100_000):
        port.send_batch(batch)

Batch k depends on the family's name, the target, the seed and k alone, so that one that did harm can be sent again without
the others.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from matchmark.conformance.packets import illegal_ethernet as ethernet
from matchmark.conformance.packets import illegal_flows as flows
from matchmark.conformance.packets import illegal_ip as ip
from matchmark.conformance.packets import illegal_tcp as tcp
from matchmark.conformance.packets.batch import Batch
from matchmark.conformance.packets.headers import Ends, Flow
from matchmark.conformance.packets.rows import Random, Rows
from matchmark.conformance.packets.target import Target

__all__ = ["FAMILIES", "Batch", "Ends", "Family", "Flow", "Target", "frames", "generate", "mixed"]

BATCH = 8192
_BATCH_BYTES = 16 << 20

Make = Callable[[Target, Random, int], Rows]


@dataclass(frozen=True)
class Family:
    """Frames that are wrong in one way.

    `reason`: what soundness.reasons says of each, among other things; of those that are `sound` by themselves out_of_place
    says it. `flood`: only their number is wrong. `moves`: counters of the target's that may move, besides those of received
    frames and bytes. `answers`: what it may say. `needs_flow`: they are against a living connection. `bytes_max`: of a
    frame.
    """

    name: str
    text: str
    make: Make
    reason: str
    moves: frozenset[str]
    answers: frozenset[str]
    needs_flow: bool = False
    sound: bool = False
    flood: bool = False
    bytes_max: int = 1514

    def row(self) -> str:
        """Of the table in docs/packets.md."""
        aimed = "flood" if self.flood else "connection" if self.needs_flow else ""
        moves, answers = (", ".join(f"`{one}`" for one in sorted(some)) for some in (self.moves, self.answers))
        return f"| `{self.name}` | {' '.join(self.text.split())} | {aimed} | {moves} | {answers} |"


_BAD = ("rx_bad",)
_IGNORED = ("rx_ignored",)
_LATER = ("rx_bad", "rx_dropped")
"""Refused by the port or by the stack behind it, which may have no room for it either."""


def _family(
    make: Make,
    reason: str,
    moves: Sequence[str] = _BAD,
    answers: Sequence[str] = (),
    *,
    needs_flow: bool = False,
    sound: bool = False,
    flood: bool = False,
    bytes_max: int = 1514,
) -> Family:
    text = (make.__doc__ or make.__name__.replace("_", " ")).strip().rstrip(".")
    may, says = frozenset(moves), frozenset(answers)
    return Family(make.__name__, text, make, reason, may, says, needs_flow, sound, flood, bytes_max)


_ALL = (
    # --- Ethernet
    _family(ethernet.runt, "shorter than its headers"),
    _family(ethernet.truncated, "IP total length beyond the frame"),
    _family(
        ethernet.giant,
        "longer than the MTU",
        (*_BAD, "rx_dropped", "rx_ignored"),
        ("reset",),
        bytes_max=ethernet.GIANT_BYTES_MAX,
    ),
    _family(ethernet.vlan, "ethertype", _IGNORED),
    _family(ethernet.vlan_double, "ethertype", _IGNORED),
    _family(ethernet.wrong_mac, "another hardware address", _IGNORED),
    _family(ethernet.broadcast_mac, "a broadcast frame", (*_IGNORED, *_LATER)),
    _family(ethernet.wrong_ethertype, "ethertype", _IGNORED),
    # --- IPv4
    _family(ip.bad_ip_checksum, "IP checksum"),
    _family(ip.ip_version, "IP version"),
    _family(ip.ip_header_short, "IP header length"),
    _family(ip.ip_header_long, "IP header length"),
    _family(ip.ip_total_long, "IP total length beyond the frame"),
    _family(ip.ip_total_short, "IP total length below the headers"),
    _family(ip.fragment_first, "a fragment", _LATER, ("icmp",)),
    _family(ip.fragment_middle, "a fragment", _LATER),
    _family(ip.fragment_tiny, "a fragment", _LATER, ("icmp",)),
    _family(ip.fragment_overlap, "a fragment", _LATER, ("icmp",)),
    _family(ip.broadcast_source, "IP source", _LATER),
    _family(ip.multicast_source, "IP source", _LATER),
    _family(ip.loopback_source, "IP source", _LATER),
    _family(ip.land, "IP source", _LATER),
    _family(ip.wrong_destination, "IP destination", (*_IGNORED, *_LATER)),
    _family(ip.ip_protocol, "IP protocol", _LATER, ("icmp",)),
    _family(ip.ip_options, "IP options", _LATER, ("icmp", "reset")),
    # --- TCP
    _family(tcp.bad_tcp_checksum, "TCP checksum"),
    _family(tcp.data_offset_short, "TCP data offset"),
    _family(tcp.data_offset_long, "TCP data offset"),
    _family(tcp.syn_fin, "TCP flags", _LATER, ("reset", "ack")),
    _family(tcp.syn_rst, "TCP flags", _LATER),
    _family(tcp.null_flags, "TCP flags", _LATER, ("reset", "ack")),
    _family(tcp.xmas, "TCP flags", _LATER, ("reset", "ack")),
    _family(tcp.no_ack, "TCP flags", _LATER, ("reset", "ack")),
    _family(tcp.all_flags, "TCP flags", _LATER, ("reset", "ack")),
    _family(tcp.port_zero, "port 0", _LATER, ("reset",)),
    _family(tcp.tcp_options, "TCP options", _LATER, ("reset",)),
    # --- noise
    _family(ethernet.random_bytes, "ethertype", (*_IGNORED, *_BAD)),
    _family(ethernet.random_ip, "IP "),
    _family(ethernet.random_tcp, "TCP "),
    _family(ethernet.udp, "UDP length", _LATER),
    _family(ethernet.icmp, "ICMP checksum", _LATER),
    _family(ethernet.arp_garbage, "ARP", (*_BAD, *_IGNORED)),
    _family(ethernet.arp_conflict, "ARP", (*_BAD, *_IGNORED), ("arp",)),
    # --- against a connection
    _family(flows.above_window, "outside the window", _LATER, ("ack",), needs_flow=True, sound=True),
    _family(flows.below_window, "outside the window", _LATER, ("ack",), needs_flow=True, sound=True),
    _family(flows.ack_of_unsent, "acknowledges what was not sent", _LATER, ("ack",), needs_flow=True, sound=True),
    _family(flows.blind_reset, "a reset that is not the next", _LATER, ("ack",), needs_flow=True, sound=True),
    _family(flows.blind_reset_outside, "outside the window", _LATER, (), needs_flow=True, sound=True),
    _family(flows.blind_syn, "a SYN within a connection", _LATER, ("ack",), needs_flow=True, sound=True),
    # --- floods
    _family(
        flows.syn_flood, "", (*_LATER, "connections", "refused"), ("arp", "syn-ack", "reset"), sound=True, flood=True
    ),
    _family(flows.reset_flood, "", _LATER, (), sound=True, flood=True),
    _family(flows.fin_flood, "", _LATER, ("arp", "reset"), sound=True, flood=True),
    _family(flows.ack_flood, "", _LATER, ("arp", "reset"), sound=True, flood=True),
    _family(flows.syn_ack_flood, "", _LATER, ("arp", "reset"), sound=True, flood=True),
    _family(flows.data_flood, "", _LATER, ("arp", "reset"), sound=True, flood=True),
)
FAMILIES: dict[str, Family] = {family.name: family for family in _ALL}
"""By name."""


def generate(
    name: str, target: Target, seed: int, count: int, *, batch: int = BATCH, first: int = 0
) -> Iterator[Batch]:
    """`count` frames of a family, from batch number `first` on. KeyError: no such family. ValueError: it needs a flow.

    `batch`: frames in each; fewer where they are long. The numbering depends on it.
    """
    family = FAMILIES[name]
    size = max(1, min(batch, _BATCH_BYTES // family.bytes_max))
    number = first
    while count > 0:
        rng = np.random.default_rng([seed, zlib.crc32(name.encode()), number])
        made = family.make(target, rng, size).batch()
        if count < size:
            made = Batch(made.frames[:count], made.lengths[:count])
        yield made
        count -= size
        number += 1


def frames(name: str, target: Target, seed: int, count: int) -> list[bytes]:
    """The same as bytes, for a few."""
    return [frame for batch in generate(name, target, seed, count) for frame in batch]


def mixed(target: Target, seed: int, count: int, names: Sequence[str] | None = None) -> Iterator[tuple[str, Batch]]:
    """`count` frames of these families, a batch of each in turn; of all but floods where none are named.

    Families that need a flow are left out where the target has none.
    """
    named = names if names is not None else [name for name, family in FAMILIES.items() if not family.flood]
    left = [name for name in named if target.flow is not None or not FAMILIES[name].needs_flow]
    each = -(-count // len(left))
    turns = {name: generate(name, target, seed, each, batch=1024) for name in left}
    sent = 0
    while turns:
        for name in list(turns):
            for batch in islice(turns[name], 1):
                if sent + len(batch) > count:
                    batch = Batch(batch.frames[: count - sent], batch.lengths[: count - sent])
                if not len(batch):
                    return
                sent += len(batch)
                yield name, batch
                break
            else:
                del turns[name]
