"""The profile's [direct_feed] table: where the feed straight from the engine is, how it is read, what it must not depend on."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from matchmark.conformance.packets.receiver import Receiver
from matchmark.conformance.targets.profile_key import Fail, Key, Tables

DEFAULT_RECEIVER = "matchmark.conformance.packets.receiver:Receiver"

DIRECT_FEED: dict[str, Key] = {
    "url": Key(str, 'where the feed is, as the receiver reads it; left out when [hooks] start says it ("direct_feed")'),
    "receiver": Key(str, f'"package.module:Class" that joins the feed and reads it (default "{DEFAULT_RECEIVER}")'),
    "roles": Key(
        list,
        'roles of the readiness line that it must not depend on (default ["market_data"]); each is killed and stopped',
    ),
}


@dataclass(frozen=True)
class DirectFeedProfile:
    """The table with its defaults. `receiver` takes (url, have, lose, epoch), as Receiver does."""

    url: str | None
    receiver: Callable[..., Receiver]
    roles: tuple[str, ...]


def direct_feed_of(table: Mapping[str, Any]) -> DirectFeedProfile:
    """Of a table that was checked. ImportError, AttributeError: the receiver is not there."""
    module, _, name = str(table.get("receiver", DEFAULT_RECEIVER)).partition(":")
    receiver: Callable[..., Receiver] = getattr(importlib.import_module(module), name)
    return DirectFeedProfile(table.get("url"), receiver, tuple(table.get("roles", ("market_data",))))


def check_direct_feed(tables: Tables, capabilities: Iterable[str], fail: Fail) -> None:
    has, table = "direct_feed" in set(capabilities), tables.get("direct_feed")
    if table is None:
        if has and "start" not in tables.get("hooks", {}):
            fail(
                "target",
                "capabilities",
                "direct_feed needs a table [direct_feed] with a url, or a [hooks] start that says it",
            )
        return
    if "url" not in table and "start" not in tables.get("hooks", {}):
        fail("direct_feed", None, "lacks url, and there is no [hooks] start that could say it")
    if not re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", table.get("receiver", DEFAULT_RECEIVER)):
        fail("direct_feed", "receiver", f'must be "package.module:Class", not {table["receiver"]!r}')
    if not all(isinstance(role, str) and role for role in table.get("roles", ())):
        fail("direct_feed", "roles", "must be names of roles")
