"""Every wire mutant of the kit."""

from __future__ import annotations

from matchmark.conformance.selftest import (  # noqa: F401 (read for what they declare)
    wire_audit,
    wire_fields,
    wire_limits,
    wire_logon,
    wire_reports,
    wire_resend,
    wire_session,
)
from matchmark.conformance.selftest.wire_declare import DECLARED_WIRES, WireMutant

WIRES: dict[str, WireMutant] = dict(sorted(DECLARED_WIRES.items()))
