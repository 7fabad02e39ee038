"""`matchmark serve`: the reference exchange in the foreground. docs/serve.md has every setting."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from pathlib import Path

NAME = "serve"
HELP = "run the reference exchange: FIX order entry, matching, audit log"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "exit codes: 0 stopped cleanly, 1 damaged or failed log, 2 configuration, 3 blocked (port, disk, in use)"
    )
    parser.add_argument(
        "--config", metavar="FILE", help="TOML file; flags and MATCHMARK_SERVE_* variables go before it"
    )
    parser.add_argument("--data-dir", metavar="DIR", help="audit log, keys, sessions (default ./data)")
    parser.add_argument("--symbols", metavar="FILE", help="TOML file of [[symbols]]")
    parser.add_argument("--accounts", metavar="FILE", help="TOML file of [[accounts]]")
    parser.add_argument("--fix-host", metavar="H", help="address for FIX (default 127.0.0.1)")
    parser.add_argument("--fix-port", metavar="N", help="port for FIX, 0 for any free one (default 9878)")
    parser.add_argument(
        "--transport",
        metavar="KIND",
        help="what carries FIX: the kernel's tcp, or dpdk, a poll-mode port (default tcp)",
    )
    parser.add_argument("--eal", metavar="WORDS", help="arguments of DPDK's EAL, which say what the port is")
    parser.add_argument("--dpdk-address", metavar="A/N", help="address and network of the port, as 10.77.0.1/24")
    parser.add_argument("--admin-host", metavar="H", help="address of GET /status (default 127.0.0.1)")
    parser.add_argument("--admin-port", metavar="N", help="port of GET /status, 0 for any free one (default 9879)")
    parser.add_argument(
        "--durability",
        metavar="MODE",
        help="acknowledge before the disk: async; after it: fsync; when the standby has it: replicated (default async)",
    )
    parser.add_argument(
        "--shm-dir", metavar="DIR", help="shared memory (default below /dev/shm, named after the data directory)"
    )
    parser.add_argument(
        "--placement", metavar="WHERE", help="engine: a process of its own (apart), or the gateway's thread (together)"
    )
    parser.add_argument("--over-rate", metavar="WHAT", help="orders above the rate of a warned symbol: reject or defer")
    parser.add_argument("--clock", metavar="FILE", help="for tests: the breaker's clock is ahead as the file says")
    parser.add_argument(
        "--cluster", metavar="DIR", help="directory on shared storage of the cluster that this is a member of"
    )
    parser.add_argument("--member", metavar="NAME", help="this member's name in the cluster")
    parser.add_argument(
        "--standby", action="store_const", const=True, help="follow the cluster's primary, whoever was primary last"
    )
    parser.add_argument("--heartbeat-s", metavar="S", help="between two signs of life of a primary (default 1)")
    parser.add_argument("--timeout-s", metavar="S", help="how late one may be, and how long a lease holds (default 1)")
    parser.add_argument("--replication-host", metavar="H", help="address for standbys (default 127.0.0.1)")
    parser.add_argument("--replication-port", metavar="N", help="port for standbys, 0 for any free one (default 0)")
    parser.add_argument("--direct-feed", metavar="GROUP:PORT", help="send the direct feed to this multicast group")
    parser.add_argument(
        "--ledger", metavar="WHERE", help="keep balances in PostgreSQL: embedded, or a DSN postgresql://..."
    )
    parser.add_argument(
        "--kafka", metavar="BOOTSTRAP", help="host:port of Kafka brokers that events are published to (default: none)"
    )
    parser.add_argument(
        "--kafka-topic",
        metavar="TOPIC",
        help="where to publish: a topic of this exchange's own (default matchmark.events)",
    )
    parser.add_argument(
        "--kafka-partitions", metavar="N", help="partitions of a topic that is not there yet (default 100)"
    )
    parser.add_argument(
        "--ws-port", metavar="N", help="market data over WebSocket on this port, 0 for any free one (default: none)"
    )
    parser.add_argument("--wait", metavar="HOW", help="auto, spin, yield or sleep (default auto: by core count)")


def run(args: argparse.Namespace) -> int:
    # numpy would start a thread for each core, and a process with threads must not fork.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from matchmark.reference.config import load
    from matchmark.reference.config_text import ConfigError
    from matchmark.reference.serve import serve

    logging.basicConfig(stream=sys.stderr, format="matchmark serve: %(message)s")
    try:
        config = load({key: Path(value) if key == "config" and value else value for key, value in vars(args).items()})
    except ConfigError as error:
        print(f"matchmark serve: {error}", file=sys.stderr)
        return 2
    return serve(config)
