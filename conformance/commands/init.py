"""`matchmark init`: a target profile with every key explained, ready to be filled in."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from matchmark.conformance.clauses.vocabulary import CAPABILITIES, CORE_CAPABILITIES, MATCHING_CAPABILITIES
from matchmark.conformance.targets.profile import KEYS, SPEC_VERSION
from matchmark.conformance.targets.profile_key import Key

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
        "first": "0",
        "price_max_ticks": "1_000_000",
        "quantity_max_lots": "1_000_000",
        "tick_size": '"0.01"',
        "lot_size": "1",
        "isolation": '"reset"',
    },
    "timing": {"answer_timeout_s": "5", "start_timeout_s": "30", "grade": '"none"'},
    "order_entry": {
        "host": '"127.0.0.1"',
        "port": "9878",
        "begin_string": '"FIX.4.4"',
        "target_comp_id": '"MY-ENGINE"',
        "sender_comp_id": '"{account}-{n}"',
        "accounts": '["ACC1", "ACC2", "ACC3", "ACC4", "ACC5"]',
        "reset_on_logon": "false",
        "heartbeat_s": "30",
        "logon_fields": '{ 554 = "{token}" }',
        "order_fields": '{ 1 = "{account}" }',
        "cancel_on_disconnect": '{ 8013 = "Y" }',
        "tokens": '{ ACC1 = "token-1", ACC2 = "token-2", ACC3 = "token-3", ACC4 = "token-4", ACC5 = "token-5" }',
        "price_decimals": "2",
        "avg_px_decimals": "6",
        "smp_tag": "7928",
        "smp_newest": '"1"',
        "smp_oldest": '"2"',
        "limits": '{ symbols = "LIM{n}", symbol_count = 100, max_lots = 1000 }',
    },
    "audit_log": {
        "dir": '"/var/lib/my-engine/log"',
        "format": '"matchmark"',
        "durability": '"async"',
        "battery_backed": "false",
    },
    "breaker": {
        "symbols": '"BRK{n}"',
        "symbol_count": "64",
        "rate_per_s": "5",
        "over_rate": '"reject"',
        "window_s": "120",
        "interval_s": "1",
        "warn_percent": "5",
        "halt_percent": "10",
        "status_warning": '"23"',
        "status_halt": '"2"',
        "status_open": '["3", "17"]',
    },
    "ledger": {
        "dsn": '"postgresql://reader@127.0.0.1/ledger"',
        "balances": '"SELECT account, asset, balance, reserved FROM ledger_balances"',
        "cash": '"cash"',
        "cash_unit": '"0.01"',
        "lag_s": "1",
        "overdraw": "\"INSERT INTO entries (account, amount) VALUES ('{account}', -{amount})\"",
        "role": '"ledger"',
    },
    "market_data": {
        "url": '"ws://127.0.0.1:9880/"',
        "decoder": '"my_package.my_module:MyDecoder"',
        "options": "{ level = 2 }",
        "token": '"${TOKEN}"',
        "role": '"trader"',
        "anonymous": "false",
        "clients": "200",
        "window_ms": "10",
        "slow_s": "10",
        "behind": '"writer"',
        "roles": '["market_data"]',
    },
    "direct_feed": {
        "url": '"udp://239.255.41.1:26400?interface=127.0.0.1&retransmit=127.0.0.1:26401"',
        "receiver": '"my_package.my_module:MyReceiver"',
        "roles": '["market_data", "writer"]',
    },
    "wire": {
        "interface": '"eth1"',
        "address": '"10.0.0.5"',
        "mac": '"02:00:00:00:00:05"',
        "addresses": '["10.0.0.200", "10.0.0.201", "10.0.0.202", "10.0.0.203"]',
        "poll_mode": "true",
        "port": "9878",
        "status": '"http://127.0.0.1:9879/status"',
        "counters": '{ rx_frames = "port.rx_frames", tx_frames = "port.tx_frames" }',
        "rest_s": "5",
    },
    "hooks": {
        "start": '["my-engine", "--data", "{folder}", "--port", "{port}"]',
        "lab_start": '["my-engine", "--small", "--data", "{folder}", "--port", "{port}"]',
        "ledger_start": '["my-engine", "--ledger", "--data", "{folder}", "--port", "{port}"]',
        "chaos_start": '["my-engine", "--data", "{folder}", "--port", "{port}"]',
        "load_start": '["my-engine", "--large", "--data", "{folder}", "--port", "{port}"]',
        "cluster_start": '["my-engine", "--cluster", "{shared}", "--member", "{member}", "--data", "{folder}"]',
        "standby_start": '["my-engine", "--standby", "--cluster", "{shared}", "--member", "{member}", "--data", "{folder}"]',
        "stop": '["my-engine-ctl", "stop", "{pid}"]',
        "kill": '["my-engine-ctl", "kill", "{role}"]',
        "power_cut": '["my-engine-ctl", "power-cut", "{folder}"]',
        "token": '["my-engine-ctl", "token", "{account}", "--ttl", "{ttl}"]',
        "token_outage": '["my-engine-ctl", "stop-tokens"]',
        "operator": '["my-engine-ctl", "{command}", "{symbol}", "--token", "{token}", "--reason", "{reason}"]',
        "clock": '["my-engine-ctl", "clock", "--advance", "{advance}", "--jump", "{jump}"]',
        "wire_start": '["ip", "netns", "exec", "{namespace}", "my-engine", "--listen", "{address}:{port}", "--data", "{folder}"]',
        "wire_dpdk_start": '["ip", "netns", "exec", "{namespace}", "my-engine", "--port", "{interface}", "--data", "{folder}"]',
        "wire_other_start": '["ip", "netns", "exec", "{namespace}", "my-engine", "--tap", "{interface}", "--data", "{folder}"]',
        "wire_check": '["my-engine-ctl", "check-dpdk"]',
        "ready_timeout_s": "60",
        "env": '{ LOG_LEVEL = "warn" }',
    },
}
WRITTEN = {
    "target": {"name", "version", "adapter", "spec", "capabilities"},
    "subprocess": {"command"},
    "so": {"library", "abi"},
    "order_entry": {"host", "port", "target_comp_id", "accounts", "reset_on_logon"},
}
OPTIONAL = ("audit_log", "breaker", "market_data", "direct_feed", "wire")
TABLES = {
    "subprocess": ("target", "subprocess", "instruments", "timing"),
    "so": ("target", "so", "instruments", "timing"),
    "python": ("target", "python", "instruments", "timing"),
    "fix": (
        "target",
        "order_entry",
        "instruments",
        "audit_log",
        "breaker",
        "market_data",
        "direct_feed",
        "wire",
        "timing",
        "hooks",
    ),
}
FIX_INSTRUMENTS = {
    "pattern": '"SYM{n}"',
    "count": "1000",
    "first": "1",
    "price_max_ticks": "100_000_000",
    "quantity_max_lots": "1_000_000",
    "tick_size": '"0.01"',
    "lot_size": "1",
    "isolation": '"symbol"',
}
"""What an engine behind FIX must say of its instruments, and what it may."""
FIX_CAPABILITIES = ("fix", "fix_resend", "jwt", "risk_checks", "balances", "cancel_on_disconnect", "stage_times")
"""Keys that are written out; the others are there as comments with their default or an example."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "file", nargs="?", default="target.toml", help="where to write it (default target.toml); - for stdout"
    )
    parser.add_argument("--adapter", choices=tuple(TABLES), default="subprocess", help="how the engine is reached")
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
    for table in TABLES[adapter]:
        if table == "python":
            lines += ["", "# [options]   # passed to the class as keyword arguments, after the TargetInfo"]
            continue
        lines += ["", f"# [{table}]" if table in OPTIONAL else f"[{table}]"]
        for key, spec in KEYS[table].items():
            lines += _key_lines(table, key, spec, adapter)
    return "\n".join(lines) + "\n"


def _key_lines(table: str, key: str, spec: Key, adapter: str) -> list[str]:
    lines = [f"# {spec.help}"]
    if key == "adapter":
        value = '"my_package.my_module:MyTarget"' if adapter == "python" else f'"{adapter}"'
        return [*lines, f"adapter = {value}"]
    if key == "capabilities":
        return [*lines, *_capability_lines(adapter)]
    mark, value = "" if key in WRITTEN.get(table, ()) else "# ", EXAMPLES[table][key]
    if adapter == "fix" and table == "instruments" and key != "symbols":
        mark, value = (
            "" if key in ("pattern", "count", "first", "tick_size", "isolation") else "# ",
            FIX_INSTRUMENTS[key],
        )
    return [*lines, f"{mark}{key} = {value}"]


def _capability_lines(adapter: str) -> list[str]:
    lines = ["capabilities = ["]
    names = [*MATCHING_CAPABILITIES]
    if adapter == "fix":
        names = [*(name for name in names if name != "top"), *FIX_CAPABILITIES]
    width = max(map(len, names)) + 4
    for name in names:
        mark = "" if name in CORE_CAPABILITIES or name == "fix" else "# "
        quoted = f'"{name}",'
        lines.append(f"    {mark}{quoted:{width}} # {CAPABILITIES[name]}")
    return [*lines, "]"]
