"""Every wire mutant of the kit."""

from __future__ import annotations

from matchmark.conformance.selftest import wire_reports  # noqa: F401 (read for what it declares)
from matchmark.conformance.selftest.wire_declare import DECLARED_WIRES, WireMutant

WIRES: dict[str, WireMutant] = dict(sorted(DECLARED_WIRES.items()))
