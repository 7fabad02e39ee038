"""`matchmark services`: real services on this machine, installed and run for the exchange. docs/kafka.md."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

NAME = "services"
HELP = "install, start and stop real services on this machine: Apache Kafka"

SERVICES = ("kafka",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "exit codes: 0 done (status: it runs), 1 status: it does not run, 2 usage, 3 it cannot be had or started"
    )
    parser.add_argument("action", choices=("up", "down", "status"))
    parser.add_argument("service", choices=SERVICES)
    parser.add_argument("--brokers", type=int, default=0, metavar="N", help="how many, 1 to 9 (default 3)")
    parser.add_argument(
        "--dir", type=Path, metavar="D", help="data and settings (default services/kafka in the cache directory)"
    )


def run(args: argparse.Namespace) -> int:
    """One line of JSON on stdout; progress on stderr."""
    from matchmark.reference.services.kafka_brokers import Brokers
    from matchmark.reference.services.kafka_jars import ServiceError, cache_directory

    if not 0 <= args.brokers <= 9:
        print("matchmark services: --brokers is 1 to 9", file=sys.stderr)
        return 2
    brokers = Brokers(args.dir or cache_directory() / "services" / "kafka", _say)
    try:
        if args.action == "up":
            brokers.up(args.brokers or len(brokers.brokers) or 3)
        elif args.action == "down":
            _say(f"{brokers.down()} brokers stopped")
    except (ServiceError, OSError) as error:
        _say(str(error))
        return 3
    status = brokers.status()
    print(json.dumps(status), flush=True)
    return 1 if args.action == "status" and not status["running"] else 0


def _say(text: str) -> None:
    print(f"matchmark services: {text}", file=sys.stderr, flush=True)
