"""Other addresses in a frame that was captured. Checksums are changed by the difference alone, so that wrong ones stay wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from matchmark.conformance.packets.headers import ARP, ETHERNET_BYTES, IPV4, ip_bytes, mac_bytes

_TCP, _UDP = 6, 17
_TCP_SUM, _UDP_SUM = 16, 6


@dataclass(frozen=True)
class Rewrite:
    """What becomes what, wherever it stands: hardware addresses, IP addresses, TCP and UDP ports; both directions."""

    macs: Mapping[str, str] = field(default_factory=dict)
    ips: Mapping[str, str] = field(default_factory=dict)
    ports: Mapping[int, int] = field(default_factory=dict)

    def __call__(self, frame: bytes) -> bytes:
        """A frame that is too short for what is to be changed stays as it is."""
        out = bytearray(frame)
        macs = {mac_bytes(old): mac_bytes(new) for old, new in self.macs.items()}
        ips = {ip_bytes(old): ip_bytes(new) for old, new in self.ips.items()}
        for at in (0, 6):
            out[at : at + 6] = macs.get(bytes(out[at : at + 6]), out[at : at + 6])
        kind = int.from_bytes(out[12:14], "big")
        if kind == ARP and len(out) >= ETHERNET_BYTES + 28:
            for at in (22, 32):
                out[at : at + 6] = macs.get(bytes(out[at : at + 6]), out[at : at + 6])
                out[at + 6 : at + 10] = ips.get(bytes(out[at + 6 : at + 10]), out[at + 6 : at + 10])
        elif kind == IPV4 and len(out) >= ETHERNET_BYTES + 20:
            self._ip(out, ips)
        return bytes(out)

    def _ip(self, out: bytearray, ips: Mapping[bytes, bytes]) -> None:
        sum_at = checksum_at(out)
        for at in (26, 30):
            new = ips.get(bytes(out[at : at + 4]))
            if new is not None:
                change(out, at, new, 24, *([sum_at] if sum_at else []))
        head = ETHERNET_BYTES + (out[14] & 15) * 4
        if not sum_at:
            return
        for at in (head, head + 2):
            port = int.from_bytes(out[at : at + 2], "big")
            if port in self.ports:
                change(out, at, self.ports[port].to_bytes(2, "big"), sum_at)


def checksum_at(frame: bytes | bytearray) -> int:
    """Where the TCP or UDP checksum of an IPv4 frame is; 0: it has none."""
    head = ETHERNET_BYTES + (frame[14] & 15) * 4
    later_fragment = int.from_bytes(frame[20:22], "big") & 0x1FFF
    at = head + {_TCP: _TCP_SUM, _UDP: _UDP_SUM}.get(frame[23], 1 << 16)
    return 0 if later_fragment or at + 2 > len(frame) or frame[14] & 15 < 5 else at


def change(out: bytearray, at: int, new: bytes, *sums: int) -> None:
    """Other bytes, an even number at an even place, and the checksums at `sums` moved by as much."""
    old = bytes(out[at : at + len(new)])
    out[at : at + len(new)] = new
    by = sum(_words(new)) - sum(_words(old))
    for where in sums:
        before = int.from_bytes(out[where : where + 2], "big")
        after = (0xFFFF - before + by) % 0xFFFF
        out[where : where + 2] = (0xFFFF - after if after or before != 0xFFFF else 0xFFFF).to_bytes(2, "big")


def _words(raw: bytes) -> list[int]:
    return [int.from_bytes(raw[at : at + 2], "big") for at in range(0, len(raw), 2)]
