"""The [market_data] table of `matchmark serve`: WebSocket servers for subscribers, off unless the table or --ws-port is there."""

from __future__ import annotations

from dataclasses import dataclass, fields

from matchmark.reference.config_text import ConfigError, Source


@dataclass(frozen=True)
class MarketDataSettings:
    """`processes`: each has its own clients, up to `max_clients`. A client whose socket takes no more (`socket_bytes`) gets its
    symbols' last state when it reads again; it is dropped after `slow_s` seconds of that, or when `slow_bytes` wait for it.
    """

    host: str = "127.0.0.1"
    ws_port: int = 9880
    processes: int = 1
    conflation_ms: float = 10.0
    max_clients: int = 10_000
    socket_bytes: int = 65_536
    slow_bytes: int = 4_194_304
    slow_s: float = 5.0
    stale_s: float = 1.0
    keep_trades: int = 2_000
    """Of a symbol, at hand: what a slow client may have missed, and who comes back gets at once."""
    recover_records: int = 5_000_000
    """How far back in the log a client may ask with `after`."""
    recover_trades: int = 100_000
    """How many trades and states of a symbol it gets at once."""
    echo: bool = False
    """For tests: /echo gives back what it gets."""


_LIMITS = {
    "processes": (1, 64),
    "max_clients": (1, 1_000_000),
    "socket_bytes": (4_096, 1 << 28),
    "slow_bytes": (4_096, 1 << 30),
    "keep_trades": (1, 10_000_000),
    "recover_records": (0, 2**62),
    "recover_trades": (0, 10_000_000),
    "ws_port": (0, 65_535),
}
_KEYS = tuple(field.name for field in fields(MarketDataSettings))


def market_data_settings(source: Source, port: int | None) -> MarketDataSettings | None:
    """None: there is to be no market data. `port`: of a flag or variable, which goes before the file.

    ConfigError names the line."""
    if "market_data" not in source.tables and port is None:
        return None
    table = source.table("market_data")
    source.only(("market_data",), table, _KEYS)
    given: dict[str, object] = {}
    for key in table:
        if key in _LIMITS:
            given[key] = source.integer("market_data", None, key, *_LIMITS[key])
        elif key == "host":
            given[key] = source.text("market_data", None, key)
        elif key == "echo":
            given[key] = source.boolean("market_data", key, False)
        else:
            given[key] = source.number("market_data", None, key)
    if port is not None:
        given["ws_port"] = port
    settings = MarketDataSettings(**given)  # type: ignore[arg-type]
    for key in ("slow_s", "stale_s"):
        if not 0.1 <= getattr(settings, key) <= 3_600:
            raise ConfigError(f"{source.where('market_data', None, key)}: {key} is 0.1 to 3600 seconds")
    if not 0 <= settings.conflation_ms <= 10_000:
        raise ConfigError(
            f"{source.where('market_data', None, 'conflation_ms')}: conflation_ms is 0 to 10000 milliseconds"
        )
    return settings
