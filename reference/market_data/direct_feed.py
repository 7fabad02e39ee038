"""The direct feed's process: what the engine publishes goes to a multicast group, whatever else of the exchange runs.

The work is native/direct_feed.c's. docs/direct-feed.md has the packets and what is shown in which durability mode.
"""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from matchmark.native.direct_feed import FROM_NOW, DirectFeed
from matchmark.native.pipeline import Pipeline
from matchmark.native.pipeline_records import Role
from matchmark.reference.config_direct_feed import DirectFeedSettings
from matchmark.reference.data_dir import EXIT_BLOCKED, StartError

if TYPE_CHECKING:
    from matchmark.reference.roles import Plan

NAME = "direct_feed"
EXIT_DONE = 0
LAST_POLLS = 64
"""Enough for what is in the ring when it is told to stop; what comes later is told after the next start."""


def bind(settings: DirectFeedSettings) -> socket.socket:
    """The socket that packets come from and requests go to. It outlives the role. StartError: the address is not to be had."""
    feed = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        feed.bind((settings.interface, settings.retransmit_port))
        feed.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(settings.interface))
        feed.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, settings.ttl)
        feed.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, int(settings.loop))
        feed.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 22)
    except OSError as error:
        feed.close()
        raise StartError(
            f"direct feed: {settings.interface} port {settings.retransmit_port}: {error.strerror}; give interface an address of "
            "this machine and retransmit_port a free port",
            EXIT_BLOCKED,
        ) from None
    return feed


def group_port(settings: DirectFeedSettings, feed: socket.socket) -> int:
    return settings.port or int(feed.getsockname()[1])


def url(settings: DirectFeedSettings | None, feed: socket.socket | None) -> str | None:
    """What a receiver needs: the group, the interface to join it on, and where requests go while this exchange is primary."""
    if settings is None or feed is None:
        return None
    host, port = feed.getsockname()
    group = f"{settings.group}:{group_port(settings, feed)}"
    return f"udp://{group}?interface={settings.interface}&retransmit={host}:{port}"


def run_direct_feed(plan: Plan, ready: Callable[[], None]) -> int:
    """Goes on where the process before it stopped; a standby's waits until it is primary."""
    told = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: told.set())
    settings, to = plan.config.direct_feed, plan.direct_feed_socket
    assert settings and to
    pipeline = Pipeline(plan.shm)
    feed = DirectFeed(
        pipeline,
        plan.log,
        to.fileno(),
        settings.group,
        group_port(settings, to),
        told=plan.board.side(NAME)["sequence"] or FROM_NOW,
        heartbeat_ns=round(settings.heartbeat_s * 1e9),
        answers_per_s=settings.answers_per_s,
    )
    ready()
    while not told.is_set():
        feed.run(wait=plan.wait)
        plan.board.set_side(NAME, **feed.counters()._asdict())
    if pipeline.role == Role.PRIMARY:
        for _ in range(LAST_POLLS):
            feed.poll()
    plan.board.set_side(NAME, **feed.counters()._asdict())
    feed.close()
    pipeline.close()
    return EXIT_DONE
