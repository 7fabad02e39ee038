"""The whole exchange over TCP: gateway and engine of `matchmark serve` on one processor, the native FIX client of fix_load.c on
another, and the audit writer where there is time for it.

    python native/bench/exchange_run.py [ORDERS A SESSION]

Sustained orders a second: gateway, engine, audit log on disk and reports back; every order is acknowledged and filled as the
client counts, verify-log checks the log afterwards, and the memory of all roles is noted before and after. Wire to wire: one
order in flight, in turn with a spinning TCP echo of as many bytes. Exit code 1: an order was lost, or the log is not clean.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from figure import Figure

from matchmark.reference.data_dir import remove_shared_memory
from matchmark.reference.tokens import Keys
from matchmark.reference.verify import verify

HERE = Path(__file__).resolve().parent
NATIVE = HERE.parent
SESSIONS, WINDOW, WARM_UP, PINGS = 8, 256, 20_000, 20_000
CONFIG = """
[[symbols]]
pattern = "SYM{n}"
count = 16
reference = "100.00"
[[accounts]]
pattern = "ACC{n}"
count = 16
cash = "1000000000000"
position_each = 1000000000
[engine]
populate = true
order_slots = 1024
report_slots = 4096
[gateway]
output_bytes = 4194304
store_capacity = 1048576
max_connections = 64
max_sessions = 256
"""
PROGRAM = [sys.executable, "-m", "matchmark.conformance.cli"]


def build(folder: Path) -> Path:
    """The client, compiled."""
    flags = shlex.split(os.environ.get("MATCHMARK_CFLAGS", "-O3 -march=native"))
    command = [*shlex.split(os.environ.get("CC", "cc")), "-std=c11", *flags, f"-I{NATIVE / 'include'}", f"-I{NATIVE}"]
    subprocess.run([*command, HERE / "fix_load.c", NATIVE / "fix_write.c", "-o", folder / "fix_load"], check=True)
    return folder / "fix_load"


def on_processor(number: int) -> list[str]:
    """Words that keep a command on one of the processors that we may use; none when there is only one."""
    mine = sorted(os.sched_getaffinity(0))
    return ["taskset", "-c", str(mine[number])] if len(mine) > 1 else []


@contextmanager
def exchange(folder: Path, wait: str, more: str = "", words: Sequence[str] = ()) -> Iterator[dict[str, Any]]:
    """A fresh exchange, gateway and engine in one thread; its readiness line. `more`: tables beside CONFIG's. `words`: flags of
    serve's."""
    folder.mkdir()
    (folder / "serve.toml").write_text(CONFIG + more, encoding="utf-8")
    command = [*PROGRAM, "serve", "--config", str(folder / "serve.toml"), "--data-dir", str(folder / "data")]
    command += ["--fix-port", "0", "--admin-port", "0", "--placement", "together", "--wait", wait, *words]
    with subprocess.Popen([*on_processor(-1), *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout and process.stderr
        line = process.stdout.readline()
        if not line:
            raise SystemExit(f"bench: serve did not start: {process.stderr.read().decode()}")
        ready: dict[str, Any] = json.loads(line)
        for role in ("writer", "admin", "supervisor"):
            os.sched_setaffinity(ready["pids"][role], os.sched_getaffinity(0))
        try:
            yield ready
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(120)
            remove_shared_memory(Path(ready["shm_dir"]))


def tokens(folder: Path, sessions: int) -> Path:
    keys, path = Keys(folder / "data" / "keys"), folder / "tokens"
    rows = [f"S{i + 1} SYM{i // 2 + 1} {keys.issue(f'ACC{i + 1}', 3600)}\n" for i in range(sessions)]
    path.write_text("".join(rows), encoding="utf-8")
    return path


def client(program: Path, ready: dict[str, Any], what: str, path: Path, *numbers: int) -> dict[str, Any]:
    fix = ready["fix"]
    words = [*on_processor(0), program, what, fix["host"], str(fix["port"]), path, *map(str, numbers)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode:
        raise SystemExit(f"bench: {done.stderr.strip()}")
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def resident(ready: dict[str, Any]) -> int:
    """Bytes resident of all roles."""
    page, pids = os.sysconf("SC_PAGE_SIZE"), set(ready["pids"].values())
    return sum(int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * page for pid in pids)


def processor_ns(ready: dict[str, Any]) -> int:
    tick, spent = 1_000_000_000 // os.sysconf("SC_CLK_TCK"), 0
    for pid in set(ready["pids"].values()):
        words = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
        spent += (int(words[11]) + int(words[12])) * tick
    return spent


def sustained(folder: Path, program: Path, orders: int) -> dict[str, Any]:
    with exchange(folder, "sleep") as ready:
        path = tokens(folder, SESSIONS)
        client(program, ready, "load", path, WARM_UP, WINDOW)
        memory, spent = resident(ready), processor_ns(ready)
        result = client(program, ready, "load", path, orders, WINDOW)
        result["exchange_cpu_ns_per_order"] = round((processor_ns(ready) - spent) / result["orders"])
        result["resident_mb_before"], result["resident_mb_after"] = memory >> 20, resident(ready) >> 20
    checked = verify(folder / "data" / "log")
    if checked.findings:
        raise SystemExit(f"bench: verify-log: {checked.findings[0]}")
    result["verify_records_per_s"], result["verify_records"] = checked.records / checked.wall_s, checked.records
    return result


def wire_to_wire(folder: Path, program: Path) -> dict[str, Any]:
    with exchange(folder, "spin") as ready:
        spinning = ready["pids"]["gateway"]
        return client(program, ready, "ping", tokens(folder, 2), PINGS, spinning, max(os.sched_getaffinity(spinning)))


def measure(orders: int = 250_000) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(dir=NATIVE.parent / "build") as root:
        program = build(Path(root))
        return {
            "sustained": sustained(Path(root, "load"), program, orders),
            "wire_to_wire": wire_to_wire(Path(root, "ping"), program),
        }


def figures(orders: int = 250_000) -> list[Figure]:
    """Prints what was measured; the rows of the summary."""
    measured = measure(orders)
    s, w = measured["sustained"], measured["wire_to_wire"]
    ours, theirs = s["exchange_cpu_ns_per_order"], s["client_cpu_ns_per_order"]
    cost = f"the exchange {ours:,} ns of processor time an order, the client {theirs:,.0f}"
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
    print(
        f"sustained      {s['orders_per_s']:,.0f} orders/s (wanted 400,000), {s['orders']:,} orders, none lost, log clean; "
        f"{cost}; resident {s['resident_mb_before']} MB before, {s['resident_mb_after']} after"
    )
    print(
        f"verify-log     {s['verify_records_per_s']:,.0f} records/s (wanted 5,000,000), {s['verify_records']:,} records"
    )
    print(
        f"wire to wire   p50 {w['order_p50_us']:.1f} us, p99 {w['order_p99_us']:.1f}, p99.9 {w['order_p999_us']:.1f}; TCP echo "
        f"{w['echo_p50_us']:.1f}, {w['echo_p99_us']:.1f}, {w['echo_p999_us']:.1f}; ratios {w['p50_ratio']:.1f} (wanted 3), "
        f"{w['p99_ratio']:.1f} (wanted 5); budget 60 us at p99"
    )
    echo50, echo99 = f"spinning TCP echo {w['echo_p50_us']:.1f} us", f"spinning TCP echo {w['echo_p99_us']:.1f} us"
    return [
        Figure("wire to wire, p50 to echo", w["p50_ratio"], "x", 3, at_most=True, floor=echo50),
        Figure("wire to wire, p99 to echo", w["p99_ratio"], "x", 5, at_most=True, floor=echo99),
        Figure("wire to wire, p99", w["order_p99_us"], "us", 60, at_most=True, floor=echo99),
        Figure("orders sustained", s["orders_per_s"], "/s", 400_000, floor=cost),
        Figure(
            "resident, after to before",
            s["resident_mb_after"] / s["resident_mb_before"],
            "x",
            floor="memory of all roles",
        ),
        Figure("verify-log", s["verify_records_per_s"] / 1e6, "M rec/s", 5),
    ]


if __name__ == "__main__":
    figures(*map(int, sys.argv[1:2]))
