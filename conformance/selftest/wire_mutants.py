"""Every wire mutant of the kit, and the wires that must not be failed."""

from __future__ import annotations

from matchmark.conformance.selftest import (  # noqa: F401 (read for what they declare)
    pair_mutants,
    wire_audit,
    wire_breaker,
    wire_direct,
    wire_feed,
    wire_fields,
    wire_ledger,
    wire_limits,
    wire_logon,
    wire_outage,
    wire_port,
    wire_reports,
    wire_resend,
    wire_self_match,
    wire_session,
)
from matchmark.conformance.selftest.wire_balance import Balances
from matchmark.conformance.selftest.wire_declare import DECLARED_WIRES, BrokenWire, WireMutant

WIRES: dict[str, WireMutant] = dict(sorted(DECLARED_WIRES.items()))

SOUND_WIRES: dict[str, type[BrokenWire]] = {
    "wire-sound": wire_feed.Sound,
    "wire-sound-balances": Balances,
    "wire-sound-port": wire_port.SoundPort,
}
"""A proxy that alters nothing, one that keeps the balances in place of the exchange, and rightly, and a carrier built as its
mutants are."""

BALANCE_CLAUSES = frozenset({"D01.3", "D01.X39", "D02.2", "D04.N1"})
"""What the second is asked."""
