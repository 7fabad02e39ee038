"""`matchmark init`: a target profile with every key explained, ready to be filled in."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from matchmark.conformance.clauses.vocabulary import CAPABILITIES, CORE_CAPABILITIES, MATCHING_CAPABILITIES
from matchmark.conformance.targets.profile import KEYS, SPEC_VERSION, Key

NAME = "init"
HELP = "write a commented target profile to start from"

EXAMPLES: dict[str, dict[str, str]] = {
    "target": {
        "name": '"my-engine"',
        "version": '"0.0.0"',
        "spec": f'"{SPEC_VERSION}"',
        "expendable": "false",
        "notes": '["Built with -O2, default settings."]',
    },
    "subprocess": {
        "command": '["${PYTHON}", "adapter.py"]',
        "requires": '["my-engine==0.0.0"]',
        "prepare": '[["make", "-C", "adapter", "OUT=${BUILD}"]]',
        "env": '{ LOG_LEVEL = "warn" }',
    },
    "so": {"library": '"libengine.so"', "abi": '"matchmark"'},
    "instruments": {
        "symbols": '["AAPL", "MSFT"]',
        "pattern": '"S{n}"',
        "count": "16",
        "price_max_ticks": "1_000_000",
        "quantity_max_lots": "1_000_000",
        "tick_size": '"0.01"',
        "lot_size": "1",
        "isolation": '"reset"',
    },
    "timing": {"answer_timeout_s": "5", "grade": '"none"'},
}
WRITTEN = {
    "target": {"name", "version", "adapter", "spec", "capabilities"},
    "subprocess": {"command"},
    "so": {"library", "abi"},
}
"""Keys that are written out; the others are there as comments with their default or an example."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "file", nargs="?", default="target.toml", help="where to write it (default target.toml); - for stdout"
    )
    parser.add_argument(
        "--adapter", choices=("subprocess", "so", "python"), default="subprocess", help="how the engine is reached"
    )
    parser.add_argument("--force", action="store_true", help="overwrite the file if it is there")


def run(args: argparse.Namespace) -> int:
    text = profile_text(args.adapter)
    if args.file == "-":
        print(text, end="")
        return 0
    path = Path(args.file)
    try:
        with path.open("w" if args.force else "x", encoding="utf-8") as out:
            out.write(text)
    except FileExistsError:
        print(f"matchmark init: {path} is there already; --force overwrites it", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"matchmark init: {path}: {error.strerror}", file=sys.stderr)
        return 2
    print(f"wrote {path}; fill it in, then: matchmark certify --target {path}")
    return 0


def profile_text(adapter: str) -> str:
    """The whole file; it loads without an error as it is written."""
    lines = [
        "# Target profile of matchmark: what the engine is and how the kit reaches it (docs/target-profile.md).",
        "# A commented-out key shows its default or an example. ${NAME} in a string comes from the environment.",
    ]
    for table in ("target", adapter, "instruments", "timing"):
        if table == "python":
            lines += ["", "# [options]   # passed to the class as keyword arguments, after the TargetInfo"]
            continue
        lines += ["", f"[{table}]"]
        for key, spec in KEYS[table].items():
            lines += _key_lines(table, key, spec, adapter)
    return "\n".join(lines) + "\n"


def _key_lines(table: str, key: str, spec: Key, adapter: str) -> list[str]:
    lines = [f"# {spec.help}"]
    if key == "adapter":
        value = '"my_package.my_module:MyTarget"' if adapter == "python" else f'"{adapter}"'
        return [*lines, f"adapter = {value}"]
    if key == "capabilities":
        return [*lines, *_capability_lines()]
    mark = "" if key in WRITTEN.get(table, ()) else "# "
    return [*lines, f"{mark}{key} = {EXAMPLES[table][key]}"]


def _capability_lines() -> list[str]:
    lines = ["capabilities = ["]
    width = max(len(name) for name in MATCHING_CAPABILITIES) + 4
    for name in MATCHING_CAPABILITIES:
        mark = "" if name in CORE_CAPABILITIES else "# "
        quoted = f'"{name}",'
        lines.append(f"    {mark}{quoted:{width}} # {CAPABILITIES[name]}")
    return [*lines, "]"]
