"""Values of the register as people read them."""

from __future__ import annotations

_UNITS = ((1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "µs"))


def ns_text(ns: int) -> str:
    """A time in its largest unit, exactly: 5500 is `5.5 µs`, 0 is `0 ns`."""
    for unit_ns, unit in _UNITS:
        if ns >= unit_ns:
            whole, rest = divmod(ns, unit_ns)
            decimals = f"{rest:0{len(str(unit_ns)) - 1}}".rstrip("0")
            return f"{whole}.{decimals} {unit}" if decimals else f"{whole} {unit}"
    return f"{ns} ns"
