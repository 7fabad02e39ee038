"""What `matchmark serve` is told: flags over environment over a TOML file over what is built in.

What may live here: reading and checking. What may not: anything that touches the data directory, shared memory or the network.
A mistake is a ConfigError that names the file, the line where it can be found, and what to write instead.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from decimal import Decimal, InvalidOperation, localcontext
from pathlib import Path
from typing import Any

from matchmark.native.pipeline import EngineConfig
from matchmark.native.pipeline_records import Durability, Wait
from matchmark.reference.config_breaker import OVER_RATE, BreakerSettings, breaker_settings
from matchmark.reference.config_direct_feed import DirectFeedSettings, direct_feed_settings
from matchmark.reference.config_kafka import KafkaSettings, kafka_settings
from matchmark.reference.config_ledger import LedgerSettings, ledger_settings
from matchmark.reference.config_market_data import MarketDataSettings, market_data_settings
from matchmark.reference.config_text import ConfigError, Source
from matchmark.reference.config_transport import TransportSettings, transport_settings
from matchmark.reference.gateway import Account, GatewaySettings, Symbol

ENVIRONMENT = "MATCHMARK_SERVE_"
PATTERN_MAX = 1_000_000
PLACEMENTS = ("apart", "together")
_WAITS = {wait.name.lower(): wait for wait in Wait}
_DURABILITIES = {mode.name.lower(): mode for mode in Durability}
_TABLES = (
    "serve",
    "symbols",
    "accounts",
    "engine",
    "gateway",
    "breaker",
    "direct_feed",
    "ledger",
    "market_data",
    "kafka",
    "transport",
)
_SYMBOL_KEYS = {"name", "pattern", "count", "tick", "digits", "lot_size", "max_lots", "collar_bps", "reference"}
_ACCOUNT_KEYS = {"name", "pattern", "count", "cash", "positions", "position_each"}
_RINGS = ("order_slots", "audit_slots", "report_slots", "file_records", "linger_ns", "snapshot_records")
_ENGINE = ("max_orders", "max_levels", "remembered_ids", "window_ticks", "hash_seed")
_NOT_GATEWAY_KEYS = ("number", "wait", "positions", "rate_per_s", "rate_defers")
_GATEWAY = tuple(f.name for f in fields(GatewaySettings) if f.name not in _NOT_GATEWAY_KEYS)

DEFAULT_SYMBOLS = {"pattern": "SYM{n}", "count": 16, "reference": "100.00", "collar_bps": 5000}
DEFAULT_ACCOUNTS = {"pattern": "ACC{n}", "count": 16, "cash": "1000000000", "position_each": 1_000_000}


@dataclass(frozen=True)
class Rings:
    """Sizes of what joins the roles, in slots, and of the log's files, in records. A log file and its spare are preallocated."""

    order_slots: int = 1 << 14
    audit_slots: int = 1 << 16
    report_slots: int = 1 << 14
    file_records: int = 1 << 18
    linger_ns: int = 1_000_000
    snapshot_records: int = 1_000_000
    """A snapshot is made when so many records, in whole files, are not in one; 0: never."""


@dataclass(frozen=True)
class ServeConfig:
    """One exchange.

    `engine_given` are the engine sizes that somebody asked for; the others may follow an existing log. `populate`: all of the
    engine's memory is there from the start. `cluster`: the directory on shared storage whose `member` this is (cluster.py).
    """

    data_dir: Path = Path("data")
    fix_host: str = "127.0.0.1"
    fix_port: int = 9878
    admin_host: str = "127.0.0.1"
    admin_port: int = 9879
    cluster: Path | None = None
    member: str = ""
    standby: bool = False
    heartbeat_s: float = 1.0
    timeout_s: float = 1.0
    replication_host: str = "127.0.0.1"
    replication_port: int = 0
    durability: Durability = Durability.ASYNC
    shm_dir: Path | None = None
    wait: Wait = Wait.AUTO
    placement: str = "apart"
    symbols: tuple[Symbol, ...] = ()
    accounts: tuple[Account, ...] = ()
    rings: Rings = field(default_factory=Rings)
    engine: EngineConfig = field(default_factory=lambda: EngineConfig(symbols=1))
    engine_given: frozenset[str] = frozenset()
    populate: bool = False
    gateway: GatewaySettings = field(default_factory=GatewaySettings)
    breaker: BreakerSettings = field(default_factory=BreakerSettings)
    ledger: LedgerSettings | None = None
    over_rate: str | None = None
    market_data: MarketDataSettings | None = None
    clock: Path | None = None
    direct_feed: DirectFeedSettings | None = None
    publisher: KafkaSettings | None = None
    transport: TransportSettings | None = None
    """None: the kernel's TCP."""


SETTINGS = (
    "data_dir",
    "fix_host",
    "fix_port",
    "admin_host",
    "admin_port",
    "durability",
    "shm_dir",
    "wait",
    "placement",
    "over_rate",
    "clock",
    "cluster",
    "member",
    "standby",
    "heartbeat_s",
    "timeout_s",
    "replication_host",
    "replication_port",
    "ws_port",
)
"""Keys of [serve], each also a flag and a variable MATCHMARK_SERVE_<KEY>; `symbols` and `accounts` (files) as well."""


def load(flags: Mapping[str, Any], environment: Mapping[str, str] | None = None) -> ServeConfig:
    """The configuration that `flags` (None: not given), `environment` and the file at flags["config"] make together."""
    env = os.environ if environment is None else environment
    path = flags.get("config") or env.get(f"{ENVIRONMENT}CONFIG")
    source = Source.read(Path(path)) if path else Source.empty()
    source.only((), source.tables, _TABLES)
    chosen = _settings(flags, env, source)
    symbols_at = _list_source(chosen.pop("symbols"), "symbols", source)
    accounts_at = _list_source(chosen.pop("accounts"), "accounts", source)
    _check_cluster(chosen)
    market_data = market_data_settings(source, chosen.pop("ws_port", None))
    symbols = _symbols(symbols_at)
    accounts = _accounts(accounts_at, _by_name_and_pattern(symbols_at, symbols))
    engine, given = _engine(source, len(symbols))
    return ServeConfig(
        **chosen,
        symbols=symbols,
        accounts=accounts,
        rings=Rings(**{key: source.integer("engine", None, key, 0) for key in _RINGS if key in source.table("engine")}),
        engine=engine,
        engine_given=given,
        populate=source.boolean("engine", "populate", False),
        gateway=_gateway(source, symbols, accounts),
        ledger=ledger_settings(source, flags.get("ledger")),
        breaker=breaker_settings(source, _by_name_and_pattern(symbols_at, symbols), symbols, chosen.get("over_rate")),
        direct_feed=direct_feed_settings(source, *_side(flags, env, "direct_feed")),
        publisher=kafka_settings(
            source,
            flags.get("kafka") or env.get(f"{ENVIRONMENT}KAFKA"),
            {key: flags[f"kafka_{key}"] for key in ("topic", "partitions") if flags.get(f"kafka_{key}") is not None},
        ),
        market_data=market_data,
        transport=transport_settings(source, flags, env, ENVIRONMENT, chosen.get("fix_port", ServeConfig.fix_port)),
    )


def _side(flags: Mapping[str, Any], env: Mapping[str, str], key: str) -> tuple[str | None, str]:
    """A side role's one word, from a flag or a variable, and which of them."""
    if flags.get(key) is not None:
        return str(flags[key]), f"--{key.replace('_', '-')}"
    name = f"{ENVIRONMENT}{key.upper()}"
    return env.get(name), name


# --- [serve] ---


def _settings(flags: Mapping[str, Any], env: Mapping[str, str], source: Source) -> dict[str, Any]:
    table = source.table("serve")
    source.only(("serve",), table, (*SETTINGS, "symbols", "accounts"))
    chosen: dict[str, Any] = {"symbols": None, "accounts": None}
    for key in (*SETTINGS, "symbols", "accounts"):
        where = source.where("serve", None, key)
        value = table.get(key)
        for name in ("MATCHMARK_DATA_DIR",) * (key == "data_dir") + (f"{ENVIRONMENT}{key.upper()}",):
            if name in env:
                value, where = env[name], name
        if flags.get(key) is not None:
            value, where = flags[key], f"--{key.replace('_', '-')}"
        if value is not None:
            chosen[key] = _setting(key, value, where)
    return chosen


def _setting(key: str, value: Any, where: str) -> Any:
    if key in ("data_dir", "shm_dir", "symbols", "accounts", "cluster", "clock"):
        if not str(value):
            raise ConfigError(f"{where}: {key} is empty; give a path")
        return Path(str(value))
    if key.endswith("_port"):
        return _port(key, value, where)
    if key == "standby":
        return _yes(value, where)
    if key in ("heartbeat_s", "timeout_s"):
        return _seconds(key, value, where)
    if key in ("wait", "durability"):
        known: Mapping[str, Any] = _WAITS if key == "wait" else _DURABILITIES
        if str(value) not in known:
            raise ConfigError(f"{where}: {key} is {value!r}; write one of {', '.join(known)}")
        return known[str(value)]
    if key == "placement" and str(value) not in PLACEMENTS:
        raise ConfigError(f"{where}: {key} is {value!r}; write one of {', '.join(PLACEMENTS)}")
    if key == "over_rate" and str(value) not in OVER_RATE:
        raise ConfigError(f"{where}: over_rate is {value!r}; write one of {', '.join(OVER_RATE)}")
    return str(value)


def _check_cluster(chosen: Mapping[str, Any]) -> None:
    member = chosen.get("member", "")
    if "cluster" not in chosen:
        if chosen.get("standby") or member or chosen.get("durability") == Durability.REPLICATED:
            raise ConfigError(
                "standby, member and durability = replicated are for members of a cluster: give its directory, --cluster"
            )
        return
    if not member or not member.isascii() or not all(c.isalnum() or c in "-_." for c in member) or len(member) > 32:
        raise ConfigError(
            f"member is {member!r}; give each member of a cluster a name of its own: 1 to 32 letters, digits, and - _ ."
        )


def _yes(value: Any, where: str) -> bool:
    if str(value).lower() not in ("true", "false", "1", "0", "yes", "no"):
        raise ConfigError(f"{where}: standby is {value!r}; write true or false")
    return str(value).lower() in ("true", "1", "yes")


def _seconds(key: str, value: Any, where: str) -> float:
    try:
        seconds = float(str(value)) if not isinstance(value, bool) else -1.0
    except ValueError:
        seconds = -1.0
    if not 0.02 <= seconds <= 60:
        raise ConfigError(f"{where}: {key} is {value!r}; write 0.02 to 60 seconds")
    return seconds


def _port(key: str, value: Any, where: str) -> int:
    try:
        port = int(str(value))
    except ValueError:
        port = -1
    if isinstance(value, bool) or not 0 <= port <= 65535:
        raise ConfigError(f"{where}: {key} is {value!r}; write 0 (any free port) to 65535")
    return port


def _list_source(path: Path | None, table: str, main: Source) -> Source:
    """The file that holds [[table]]: one of its own, or the main one."""
    if path is None:
        return main
    source = Source.read(path)
    source.only((), source.tables, (table,))
    if not source.rows(table):
        raise ConfigError(f"{path}: no [[{table}]] in it; write at least one")
    return source


# --- symbols and accounts ---


def _names(source: Source, table: str, index: int, row: Mapping[str, Any]) -> list[str]:
    if ("name" in row) == ("pattern" in row):
        raise ConfigError(
            f"{source.where(table, index)}: give either `name`, or `pattern` with {{n}} in it and `count`"
        )
    if "name" in row:
        return [source.text(table, index, "name")]
    pattern = source.text(table, index, "pattern")
    count = source.integer(table, index, "count", 1, PATTERN_MAX)
    if pattern.count("{n}") != 1:
        raise ConfigError(
            f'{source.where(table, index, "pattern")}: {pattern!r} must hold {{n}} once, as in "SYM{{n}}"'
        )
    return [pattern.replace("{n}", str(n)) for n in range(1, count + 1)]


def _symbols(source: Source) -> tuple[Symbol, ...]:
    rows = source.rows("symbols") or [DEFAULT_SYMBOLS]
    source = source if source.rows("symbols") else Source.of({"symbols": rows})
    out: dict[str, Symbol] = {}
    for index, row in enumerate(rows):
        source.only(("symbols", index), row, tuple(_SYMBOL_KEYS))
        digits = source.integer("symbols", index, "digits", 0, 9) if "digits" in row else 2
        made: dict[str, Any] = {
            "tick": _decimal(source, "symbols", index, "tick", digits) or Decimal(1).scaleb(-digits),
            "digits": digits,
            "reference": _decimal(source, "symbols", index, "reference", digits),
        }
        for key, most in (("lot_size", 2**31 - 1), ("max_lots", 2**31 - 1)):
            if key in row:
                made[key] = source.integer("symbols", index, key, 1, most)
        if "collar_bps" in row:
            made["collar_bps"] = source.integer("symbols", index, "collar_bps", 0, 1_000_000)
        where = source.where("symbols", index, "name" if "name" in row else "pattern")
        for name in _names(source, "symbols", index, row):
            if not (name.isascii() and name.isprintable() and 0 < len(name) <= 24) or " " in name:
                raise ConfigError(f"{where}: symbol {name!r}; a name is 1 to 24 printable ASCII characters, no space")
            if name in out:
                raise ConfigError(f"{where}: symbol {name!r} is there twice; remove one")
            out[name] = Symbol(name, **made)
    if len({symbol.digits for symbol in out.values()}) > 1:
        raise ConfigError(
            f"{source.where('symbols', 0)}: all symbols must have the same `digits`: cash is counted in them"
        )
    return tuple(out.values())


def _by_name_and_pattern(source: Source, symbols: Sequence[Symbol]) -> dict[str, list[str]]:
    out = {symbol.name: [symbol.name] for symbol in symbols}
    for index, row in enumerate(source.rows("symbols")):
        if "pattern" in row:
            out.setdefault(row["pattern"], []).extend(_names(source, "symbols", index, row))
    return out


def _decimal(source: Source, table: str, index: int, key: str, digits: int) -> Decimal | None:
    """A positive price of at most `digits` decimals, None when it is not given."""
    row = source.rows(table)[index]
    if key not in row:
        return None
    where, value = source.where(table, index, key), row[key]
    try:
        price = Decimal(str(value)) if not isinstance(value, bool) else Decimal("NaN")
    except InvalidOperation:
        price = Decimal("NaN")
    if not price.is_finite() or price <= 0 or price != round(price, digits):
        raise ConfigError(f"{where}: {key} is {value!r}; write a positive number of at most {digits} decimals")
    return price


def _accounts(source: Source, symbols: Mapping[str, list[str]]) -> tuple[Account, ...]:
    rows = source.rows("accounts") or [DEFAULT_ACCOUNTS]
    source = source if source.rows("accounts") else Source.of({"accounts": rows})
    out: dict[str, Account] = {}
    for index, row in enumerate(rows):
        source.only(("accounts", index), row, tuple(_ACCOUNT_KEYS))
        cash = _cash(source, index)
        each = source.integer("accounts", index, "position_each", 0, 2**62) if "position_each" in row else 0
        positions = _positions(source, index, symbols)
        where = source.where("accounts", index, "name" if "name" in row else "pattern")
        for name in _names(source, "accounts", index, row):
            if not (name.isascii() and name.isprintable() and 0 < len(name) <= 64):
                raise ConfigError(f"{where}: account {name!r}; a name is 1 to 64 printable ASCII characters")
            if name in out:
                raise ConfigError(f"{where}: account {name!r} is there twice; remove one")
            out[name] = Account(name, cash, positions, each)
    return tuple(out.values())


def _positions(source: Source, index: int, symbols: Mapping[str, list[str]]) -> dict[str, int]:
    """By symbol. A pattern stands for all symbols of its table; a symbol that is named has its own."""
    rows = source.rows("accounts")[index].get("positions", {})
    out: dict[str, int] = {}
    for held, lots in (
        sorted(rows.items(), key=lambda row: "{n}" not in row[0]) if isinstance(rows, dict) else [("", None)]
    ):
        if held not in symbols or not isinstance(lots, int) or isinstance(lots, bool) or not 0 <= lots < 2**62:
            raise ConfigError(
                f"{source.where('accounts', index, 'positions')}: positions is {{symbol = lots}} with "
                f"symbols that are listed, or patterns of theirs, not {held!r}: {lots!r}"
            )
        out.update(dict.fromkeys(symbols[held], lots))
    return out


def _cash(source: Source, index: int) -> Decimal:
    """Cash may be far beyond 64 bits: it is counted in 128."""
    value = source.rows("accounts")[index].get("cash", 0)
    with localcontext(prec=60):
        try:
            cash = Decimal(str(value)) if not isinstance(value, bool) else Decimal("NaN")
            sound = cash.is_finite() and 0 <= cash <= Decimal(10) ** 27 and cash == round(cash, 9)
        except InvalidOperation:
            sound = False
    if not sound:
        where = source.where("accounts", index, "cash")
        raise ConfigError(f"{where}: cash is {value!r}; write 0 to 1e27 currency units")
    return cash


# --- sizes ---


def _window(symbols: int) -> int:
    """Ticks beside the best price that are indexed directly, for each side of each book at 4 bytes: small when books are many."""
    return 4096 if symbols <= 64 else 512 if symbols <= 1024 else 64


def _engine(source: Source, symbols: int) -> tuple[EngineConfig, frozenset[str]]:
    table = source.table("engine")
    source.only(("engine",), table, (*_RINGS, *_ENGINE, "populate"))
    given = {key: source.integer("engine", None, key, 0) for key in _ENGINE if key in table}
    sizes: dict[str, Any] = {"symbols": symbols, "window_ticks": _window(symbols), **given}
    return EngineConfig(**sizes), frozenset(given)


def _gateway(source: Source, symbols: tuple[Symbol, ...], accounts: tuple[Account, ...]) -> GatewaySettings:
    table = source.table("gateway")
    source.only(("gateway",), table, _GATEWAY)
    given: dict[str, Any] = {"store_capacity": 1 << 16, "store_journal_bytes": 1 << 18}
    kinds = {f.name: f.type for f in fields(GatewaySettings)}
    for key in table:
        if kinds[key] == "str":
            given[key] = source.text("gateway", None, key)
        elif kinds[key] == "float":
            given[key] = source.number("gateway", None, key)
        else:
            given[key] = source.integer("gateway", None, key, 0)
    pairs = sum(len(symbols) if account.position_each else len(account.positions) for account in accounts)
    given["positions"] = max(1 << 18, 2 * pairs)
    return GatewaySettings(**given)
