"""`matchmark load locust`: the target, and locust beside it with this kit's users.

The kit's own process starts the target and writes its sessions down in a folder of the run; locust runs as a process of its own,
for gevent patches whatever imports it. A user takes a session by creating its claim, which the file system lets only one do: so a
session has one user over all processes of the machine. Machines that share a target are given seats apart (`--first-seat`).
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from matchmark.load.arrivals import constant
from matchmark.load.fix_wire import Piece, pieces_of
from matchmark.load.flow import Place, shots_of
from matchmark.load.mix import load_mix
from matchmark.load.swarm_stats import Recorder

FOLDER = "MATCHMARK_SWARM"
"""Environment variable: the folder with swarm.json and the claims."""
POOL = 50_000
"""Orders that are drawn before the start, and used again in turn: drawing them on the way would make the others late."""
SESSIONS = 32

recorder = Recorder()
"""This process's latencies."""


@dataclass(frozen=True)
class Seat:
    """A session that one user may have."""

    number: int
    host: str
    port: int
    begin_string: str
    sender: str
    target: str
    symbol: str
    prefix: str
    reset: bool
    logon_fields: dict[str, str]
    order_fields: dict[str, str]


# --- in the process of locust ---


@cache
def _said() -> dict[str, Any]:
    folder = os.environ.get(FOLDER)
    if not folder:
        raise SystemExit("these users are started by `matchmark load locust`, which knows the target")
    said: dict[str, Any] = json.loads((Path(folder) / "swarm.json").read_text(encoding="utf-8"))
    return said


def here() -> bool:
    """Whether this is a process of `matchmark load locust`."""
    return FOLDER in os.environ


def seed() -> int:
    return int(_said()["seed"])


def market_data() -> dict[str, Any]:
    """`url`, `token`, `symbols`; url is empty where the target has no feed."""
    return dict(_said()["market_data"])


@cache
def pieces() -> list[Piece]:
    """The pool of this process."""
    s = _said()
    mix, _ = load_mix(s["mix"]).without(frozenset(s["capabilities"]))
    shots = shots_of(mix, constant(1000, POOL / 1000), Place(1, 1, True, s["middle_ticks"]), seed())
    return pieces_of(shots, s["tick_e8"] / 1e8, s["price_decimals"], s["lot_size"])


def take_seat() -> Seat | None:
    """A session that nobody has; None when all are taken."""
    folder = Path(os.environ[FOLDER])
    for one in _said()["seats"]:
        with suppress(FileExistsError):
            os.close(os.open(folder / f"seat-{one['number']}", os.O_CREAT | os.O_EXCL | os.O_WRONLY))
            return Seat(**one)
    return None


def leave_seat(seat: Seat) -> None:
    """Its numbers went on: nobody takes it again in this run, unless every logon resets them."""
    if seat.reset:
        with suppress(FileNotFoundError):
            (Path(os.environ[FOLDER]) / f"seat-{seat.number}").unlink()


# --- in the process of the kit ---


def run_locust(words: Sequence[str]) -> int:
    """Locust's exit code: 0 no failures, 1 some; 2 usage, 3 where the target would not start (TargetUnavailable, raised)."""
    parser = argparse.ArgumentParser(
        prog="matchmark load locust",
        allow_abbrev=False,
        description="Locust with this kit's users: ClosedFixUser, OpenFixUser, MarketDataUser.",
        epilog="Everything else is locust's: --headless -u 4 -r 4 -t 10s, --processes 2, --html, --csv, --tags open, --shape ...",
    )
    add = parser.add_argument
    add("--target", default="exchange", help="exchange, exchange-fsync or a profile (FILE.toml) with a FIX port")
    add("--mix", default="specification", metavar="NAME")
    add(
        "--sessions",
        type=int,
        metavar="N",
        help=f"as many users over FIX as there may be (default {SESSIONS}, or what the profile's symbols and accounts allow)",
    )
    add("--seed", type=int, default=1)
    add("--first-seat", type=int, default=0, metavar="N", help="of this machine, where several share a target")
    add("--latency-out", type=Path, metavar="FILE.hlog", help="the exact latencies, as an HdrHistogram log")
    add("--set", action="append", default=[], metavar="TABLE.KEY=VALUE", help="override a key of the profile")
    args, more = parser.parse_known_args(list(words))
    from matchmark.load.venue import Venue, open_profile

    name, profile = open_profile(args.target, args.set)
    load_mix(args.mix)
    with Venue(name, profile) as venue, tempfile.TemporaryDirectory(prefix="matchmark-swarm-") as folder:
        (Path(folder) / "swarm.json").write_text(json.dumps(_document(venue, args)), encoding="utf-8")
        env = {**os.environ, FOLDER: folder}
        if args.latency_out:
            env["MATCHMARK_LATENCY_OUT"] = str(args.latency_out.resolve())
        if "--processes" in more:
            env["MATCHMARK_SWARM_FORKED"] = "1"
        locustfile = Path(__file__).with_name("locustfile.py")
        process = subprocess.Popen([sys.executable, "-m", "locust", "-f", str(locustfile), *more], env=env)
        before = signal.signal(signal.SIGTERM, lambda *_: process.terminate())
        try:
            while True:
                with suppress(KeyboardInterrupt):  # the terminal has told locust too
                    return process.wait()
        finally:
            signal.signal(signal.SIGTERM, before)


def _document(venue: Any, args: argparse.Namespace) -> dict[str, Any]:
    sessions = args.sessions or min(SESSIONS, venue.sessions_max)
    entry = venue.entry(sessions, sessions, 1, True)
    seats = [
        Seat(
            n, entry.host, entry.port, one.begin_string, one.sender, one.target, entry.settings.symbols[n],
            f"L{args.seed % 1_000_000:06d}{n:03d}", one.reset_first, _texts(one.logon_fields), _texts(one.order_fields),
        )
        for n, one in enumerate(entry.sessions)
    ]  # fmt: skip
    return {
        "seed": args.seed,
        "mix": args.mix,
        "capabilities": sorted(venue.info.capabilities),
        "middle_ticks": entry.middle_ticks,
        "tick_e8": entry.settings.tick_e8,
        "price_decimals": entry.settings.price_decimals,
        "lot_size": entry.settings.lot_size,
        "seats": [asdict(seat) for seat in seats[args.first_seat :]],
        "market_data": venue.market_data(list(entry.settings.symbols)),
    }


def _texts(fields: dict[int, str]) -> dict[str, str]:
    return {str(tag): value for tag, value in fields.items()}
