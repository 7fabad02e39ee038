"""An exchange whose orders need what issues tokens: it is asked again for each of them."""

from __future__ import annotations

from matchmark.conformance.selftest.wire_declare import BrokenWire, wire_mutant
from matchmark.conformance.selftest.wire_message import Message
from matchmark.conformance.selftest.wire_proxy import Link


@wire_mutant(
    "token-verified-with-each-order",
    breaks=("D01.2",),
    story="The gateway verified the session's token again with each order, and took none while it could not.",
)
class VerifiedWithEachOrder(BrokenWire):
    def to_exchange(self, link: Link, m: Message) -> list[Message]:
        verified = m.kind != "D" or (self.data / "keys").is_dir()
        return [m] if verified else []
