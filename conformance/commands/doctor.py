"""`matchmark doctor`: what this machine has and lacks for each part, and how to get it."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matchmark.reference.doctor import Finding

NAME = "doctor"
HELP = "what this machine has and lacks for each part, and how to get it"

_MARKS = {"ok": "ok   ", "lacks": "LACKS"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "exit codes: 0 everything that is required is there, 2 usage, 3 something required is missing"
    parser.add_argument(
        "--data-dir", type=Path, default=Path("."), metavar="DIR", help="disk to be measured (default .)"
    )
    parser.add_argument("--json", action="store_true", help="findings as JSON")


def _frames() -> Finding:
    """Whether the kit can make a cable and put frames on it; DPDK, which the reference's port needs, has a finding of its own."""
    from matchmark.conformance.packets import network, raw_port
    from matchmark.reference.doctor import Finding

    why = network.impossible() or raw_port.why_not()
    advice = (
        "run the kit as root (in a container: --cap-add NET_ADMIN --cap-add NET_RAW --cap-add SYS_ADMIN)" if why else ""
    )
    found = why or "network namespaces can be made, and frames sent"
    return Finding("raw frames", "certify --level wire", "lacks" if why else "ok", found, advice, required=False)


def run(args: argparse.Namespace) -> int:
    """3 when something that `serve` or `certify` cannot do without is missing."""
    from matchmark.reference.doctor import examine

    if not args.data_dir.is_dir():
        print(
            f"matchmark doctor: {args.data_dir} is no directory; give one on the disk to be measured", file=sys.stderr
        )
        return 2
    findings = [*examine(args.data_dir), _frames()]
    if args.json:
        print(json.dumps([asdict(finding) for finding in findings], indent=1))
    else:
        for f in findings:
            print(f"{_MARKS[f.verdict]}  {f.name:16} for {f.need:24} {f.found}")
            if f.advice:
                print(f"{'':23} {'':28} {f.advice}")
    missing = [f.name for f in findings if f.required and f.verdict == "lacks"]
    if missing:
        print(f"matchmark doctor: required and missing: {', '.join(missing)}", file=sys.stderr)
    return 3 if missing else 0
