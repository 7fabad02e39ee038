"""The [direct_feed] table of `matchmark serve`: where the feed is sent, and where what was missed is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address

from matchmark.reference.config_text import ConfigError, Source

_KEYS = (
    "group",
    "port",
    "interface",
    "ttl",
    "loop",
    "retransmit_port",
    "heartbeat_s",
    "answers_per_s",
)


@dataclass(frozen=True)
class DirectFeedSettings:
    """`port` 0: the number of the retransmission port; `retransmit_port` 0: any free one. `interface`: the address from which
    packets go and to which requests come. `loop`: receivers on this machine get them, too. `answers_per_s`: packets, all
    answers together."""

    group: str = "239.255.41.1"
    port: int = 26400
    interface: str = "127.0.0.1"
    ttl: int = 1
    loop: bool = True
    retransmit_port: int = 0
    heartbeat_s: float = 1.0
    answers_per_s: int = 50_000


def direct_feed_settings(source: Source, group_port: str | None, where: str) -> DirectFeedSettings | None:
    """None: not configured. `group_port`: GROUP:PORT as a flag or variable has it, which goes before the file. ConfigError names
    the line, or `where`, of what is wrong."""
    if "direct_feed" not in source.tables and group_port is None:
        return None
    table, default = source.table("direct_feed"), DirectFeedSettings()
    source.only(("direct_feed",), table, _KEYS)

    def place(key: str) -> str:
        return source.where("direct_feed", None, key)

    def integer(key: str, least: int, most: int) -> int:
        return source.integer("direct_feed", None, key, least, most) if key in table else int(getattr(default, key))

    def text(key: str) -> str:
        return source.text("direct_feed", None, key) if key in table else str(getattr(default, key))

    group, port = text("group"), integer("port", 0, 65535)
    if group_port is not None:
        group, port = _group_port(group_port, where)
    if not _address(group, where if group_port is not None else place("group")).is_multicast:
        raise ConfigError(
            f"{where if group_port is not None else place('group')}: {group} is no multicast group; write one of "
            "224.0.0.0 to 239.255.255.255, as 239.255.41.1"
        )
    interface = str(_address(text("interface"), place("interface")))
    heartbeat = source.number("direct_feed", None, "heartbeat_s") if "heartbeat_s" in table else default.heartbeat_s
    if not 0.01 <= heartbeat <= 60:
        raise ConfigError(f"{place('heartbeat_s')}: heartbeat_s is {heartbeat:g}; write 0.01 to 60 seconds")
    return DirectFeedSettings(
        group,
        port,
        interface,
        integer("ttl", 0, 255),
        source.boolean("direct_feed", "loop", default.loop),
        integer("retransmit_port", 0, 65535),
        heartbeat,
        integer("answers_per_s", 1, 10_000_000),
    )


def _group_port(value: str, where: str) -> tuple[str, int]:
    group, _, port = value.rpartition(":")
    if not group or not port.isdigit() or int(port) > 65535:
        raise ConfigError(f"{where}: {value!r}; write GROUP:PORT, as 239.255.41.1:26400 (port 0: any free one)")
    return group, int(port)


def _address(value: str, where: str) -> IPv4Address:
    try:
        return IPv4Address(value)
    except AddressValueError:
        raise ConfigError(f"{where}: {value!r} is no IPv4 address; write four numbers, as 127.0.0.1") from None
