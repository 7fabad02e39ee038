"""`matchmark verify-log DIR`: is this audit log whole, and is what it says how an exchange must behave?"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

NAME = "verify-log"
HELP = "check an audit log: CRC, sequence, hash chain, replay, price-time priority, conservation"

_BYTES = 272


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("directory", type=Path, metavar="DIR", help="directory of the audit-*.log files")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def run(args: argparse.Namespace) -> int:
    """0 clean, 1 damaged or wrong, 2 the directory cannot be read, 3 nothing to check."""
    from matchmark.reference.verify import Result, verify

    try:
        with _Bar(args.quiet) as bar:
            result: Result = verify(args.directory, bar)
    except OSError as error:
        print(
            f"matchmark verify-log: {args.directory}: {error.strerror}; give the directory of an audit log",
            file=sys.stderr,
        )
        return 2
    for note in result.notes:
        print(f"note: {note}")
    for finding in result.findings:
        print(f"DAMAGED {finding}")
    for name, (wall, busy) in result.seconds.items():
        if name == "load":
            print(f"{name:10} {wall:33.3f} s")
            continue
        rates = (result.records / seconds / 1e6 if seconds else 0.0 for seconds in (wall, busy))
        print("{:10} {:>12,} records in {:8.3f} s  {:8.2f} M/s, {:.2f} M/s of processor time".format(
            name, result.records, wall, *rates))  # fmt: skip
    if result.wall_s:
        print(f"{'all, beside each other':22} {result.records:>12,} records in {result.wall_s:8.3f} s  "
              f"{result.records / result.wall_s / 1e6:8.2f} M/s")  # fmt: skip
    if result.findings:
        print(f"{args.directory}: damaged; {result.records:,} records before the fault were checked")
        return 1
    if not result.records:
        print(f"{args.directory}: no audit records: nothing was checked", file=sys.stderr)
        return 3
    print(
        f"{args.directory}: clean. {result.records:,} records ({result.records * _BYTES:,} bytes) in {result.files} files, "
        f"{result.commands:,} commands, {result.trades:,} trades of {result.lots:,} lots, bought and sold alike"
    )
    return 0


class _Bar:
    """A bar on a terminal, nothing elsewhere."""

    def __init__(self, quiet: bool) -> None:
        from rich.console import Console
        from rich.progress import Progress

        self._progress = Progress(
            console=Console(stderr=True), transient=True, disable=quiet or not sys.stderr.isatty()
        )
        self._task = self._progress.add_task("verify-log", total=None)

    def __enter__(self) -> _Bar:
        self._progress.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._progress.stop()

    def __call__(self, done: int, total: int) -> None:
        self._progress.update(self._task, completed=done, total=max(done, total))
