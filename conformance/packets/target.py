"""At whom illegal traffic is aimed, and with what."""

from __future__ import annotations

from dataclasses import dataclass

from matchmark.conformance.packets.headers import Ends, Flow

FILLER = b"8=FIX.4.4\x019=5\x0135=0\x0110=163\x01"


@dataclass(frozen=True)
class Target:
    """`ends`: from the kit to the target. `payload`: what would hurt if it were taken: an order that would be accepted. `mtu`:
    a frame that has more than that and 14 bytes is a giant.

    `flow`: a living connection of the kit's with it. Where there is one, the bad frames are what the target waits for next on
    that connection, but for what is bad about them: who overlooks that takes the payload for the connection's.
    """

    ends: Ends
    flow: Flow | None = None
    payload: bytes = FILLER
    mtu: int = 1500
