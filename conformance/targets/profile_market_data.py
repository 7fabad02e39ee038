"""The profile's [market_data] table: where subscribers connect, how the feed is read, and what it promises."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from matchmark.conformance.market_data.decoder import Decoder, MatchmarkDecoder
from matchmark.conformance.targets.profile_key import Fail, Key, Tables

CLIENTS_DEFAULT = 200
DEFAULT_DECODER = "matchmark.conformance.market_data.decoder:MatchmarkDecoder"

MARKET_DATA: dict[str, Key] = {
    "url": Key(str, 'where subscribers connect, "ws://HOST:PORT/"; left out when [hooks] start says it ("websocket")'),
    "decoder": Key(str, f'"package.module:Class" that asks and reads the feed (default "{DEFAULT_DECODER}")'),
    "options": Key(dict, "keyword arguments of the decoder"),
    "token": Key(str, 'what subscribers log on with, "${TOKEN}"; left out where [hooks] token makes tokens'),
    "role": Key(str, 'role of the tokens that the hook makes (default "trader")'),
    "anonymous": Key(bool, "true if subscribers need no token (default false)"),
    "clients": Key(int, f"subscribers that one server is judged with (default {CLIENTS_DEFAULT})"),
    "window_ms": Key((int, float), "window of conflation (default 10)"),
    "slow_s": Key((int, float), "a subscriber that reads nothing is dropped within so many seconds (default 10)"),
    "behind": Key(
        str, "role without which market data falls behind, while trading goes on; left out where there is none"
    ),
    "roles": Key(
        list, 'roles of the readiness line that stand between engine and subscribers (default ["market_data"])'
    ),
}


@dataclass(frozen=True)
class MarketDataProfile:
    """The table with its defaults."""

    url: str | None
    decoder: Callable[[], Decoder]
    token: str | None
    role: str
    anonymous: bool
    clients: int
    window_ns: int
    slow_s: float
    behind: str | None
    roles: tuple[str, ...]


def market_data_of(table: Mapping[str, Any]) -> MarketDataProfile:
    """Of a table that was checked. ImportError, AttributeError: the decoder is not there."""
    cls: type[Any] = MatchmarkDecoder
    if named := table.get("decoder"):
        module, _, name = str(named).partition(":")
        cls = getattr(importlib.import_module(module), name)
    options = dict(table.get("options", {}))
    return MarketDataProfile(
        table.get("url"), lambda: cls(**options), table.get("token"), table.get("role", "trader"),
        table.get("anonymous", False), table.get("clients", CLIENTS_DEFAULT),
        int(float(table.get("window_ms", 10)) * 1_000_000), float(table.get("slow_s", 10)),
        table.get("behind"), tuple(table.get("roles", ("market_data",))),
    )  # fmt: skip


def check_market_data(tables: Tables, capabilities: Iterable[str], fail: Fail) -> None:
    has = set(capabilities)
    if "market_data" not in tables:
        if "market_data" in has:
            fail(
                "target", "capabilities", "market_data needs a table [market_data] that says where subscribers connect"
            )
        return
    table, hooks = tables["market_data"], tables.get("hooks", {})
    if not re.match(r"wss?://\S+$", table.get("url", "ws://-")):
        fail("market_data", "url", f"must begin with ws:// or wss://, not {table['url']!r}")
    if "url" not in table and "start" not in hooks:
        fail("market_data", None, "lacks url, and there is no [hooks] start that could say it")
    if not re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", table.get("decoder", DEFAULT_DECODER)):
        fail("market_data", "decoder", f'must be "package.module:Class", not {table["decoder"]!r}')
    if not 1 <= table.get("clients", CLIENTS_DEFAULT) <= 100_000:
        fail("market_data", "clients", f"must be from 1 to 100000, not {table['clients']}")
    if not 0 < table.get("window_ms", 10) <= 10_000:
        fail("market_data", "window_ms", f"must be above 0 and at most 10000, not {table['window_ms']}")
    if not 0.1 <= table.get("slow_s", 10) <= 3600:
        fail("market_data", "slow_s", f"must be from 0.1 to 3600 seconds, not {table['slow_s']}")
    if "token" not in table and "token" not in hooks and not table.get("anonymous", False):
        fail("market_data", None, "lacks token, and no [hooks] token makes one; anonymous = true if none is needed")
