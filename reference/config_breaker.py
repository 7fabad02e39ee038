"""The [breaker] table of `matchmark serve`: which symbols the circuit breaker watches, and when it acts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from matchmark.reference.breaker import SECOND_NS, Rules
from matchmark.reference.config_text import ConfigError, Source
from matchmark.reference.gateway import Symbol

OVER_RATE = ("reject", "defer")
_KEYS = ("symbols", "window_s", "interval_s", "warn_percent", "halt_percent", "rate_per_s", "over_rate")


@dataclass(frozen=True)
class BreakerSettings:
    """`symbols`: numbers of those that are watched. `rate_per_s`: orders of a session in warned symbols, 0 for any number."""

    symbols: tuple[int, ...] = ()
    rules: Rules = field(default_factory=Rules)
    rate_per_s: int = 100
    over_rate: str = "reject"


def breaker_settings(
    source: Source, by_pattern: Mapping[str, Sequence[str]], symbols: Sequence[Symbol], over_rate: str | None
) -> BreakerSettings:
    """ConfigError names the line of what is wrong. `over_rate`: as a flag or variable has it, which goes before the file."""
    table = source.table("breaker")
    source.only(("breaker",), table, _KEYS)
    default = Rules()
    window = source.number("breaker", None, "window_s") if "window_s" in table else default.window_ns / SECOND_NS
    interval = (
        source.number("breaker", None, "interval_s") if "interval_s" in table else default.interval_ns / SECOND_NS
    )
    warn, halt = _bps(source, "warn_percent", default.warn_bps), _bps(source, "halt_percent", default.halt_bps)
    if not 0 < warn <= halt < 10_000:
        raise ConfigError(
            f"{source.where('breaker', None, 'warn_percent')}: thresholds are 0 < warn_percent <= halt_percent < 100, "
            f"not {warn / 100:g} and {halt / 100:g}"
        )
    if not 0.001 <= interval <= window <= 86_400:
        raise ConfigError(
            f"{source.where('breaker', None, 'window_s')}: 0.001 <= interval_s <= window_s <= 86400, not {interval:g} and "
            f"{window:g}"
        )
    over = over_rate or (source.text("breaker", None, "over_rate") if "over_rate" in table else "reject")
    if over not in OVER_RATE:
        where = source.where("breaker", None, "over_rate")
        raise ConfigError(f"{where}: over_rate is {over!r}; write one of {', '.join(OVER_RATE)}")
    rate = source.integer("breaker", None, "rate_per_s", 0, 1_000_000) if "rate_per_s" in table else 100
    rules = Rules(round(window * SECOND_NS), round(interval * SECOND_NS), warn, halt)
    return BreakerSettings(_watched(source, by_pattern, symbols), rules, rate, over)


def _bps(source: Source, key: str, default: int) -> int:
    """Hundredths of a percent, which must be whole."""
    if key not in source.table("breaker"):
        return default
    value = source.number("breaker", None, key) * 100
    if value != round(value):
        raise ConfigError(f"{source.where('breaker', None, key)}: {key} has at most two decimals")
    return round(value)


def _watched(source: Source, by_pattern: Mapping[str, Sequence[str]], symbols: Sequence[Symbol]) -> tuple[int, ...]:
    named = source.table("breaker").get("symbols", [])
    where = source.where("breaker", None, "symbols")
    if not isinstance(named, list) or not all(isinstance(name, str) for name in named):
        raise ConfigError(f'{where}: symbols is a list of names or patterns of [[symbols]], or ["*"] for all')
    if "*" in named:
        return tuple(range(len(symbols)))
    numbers = {symbol.name: number for number, symbol in enumerate(symbols)}
    out: dict[int, None] = {}
    for name in named:
        if name not in by_pattern:
            raise ConfigError(f"{where}: {name!r} is neither a symbol nor a pattern of [[symbols]]")
        out.update((numbers[symbol], None) for symbol in by_pattern[name])
    return tuple(out)
