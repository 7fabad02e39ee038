"""Orders over a port without a kernel, client to client: the exchange on memif, its client on lwIP and memif too.

    python native/bench/wire_run.py [ORDERS]

Floors of the same run: a bare lwIP echo of as many bytes over memif, and the exchange over the kernel's loopback. The stages
of the gateway's way are those that it stamped itself. No root is needed. Skipped where there is no DPDK or one processor only.
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

import exchange_run
from exchange_run import HERE, NATIVE, on_processor
from figure import Figure

from matchmark.conformance.fix.wire import encode, utc
from matchmark.native import dpdk
from matchmark.reference.stages import way_rows
from matchmark.reference.tokens import Keys

EXCHANGE, CLIENT = "10.79.0.1", "10.79.0.2"
TO_ECHO_MAX = 4
PINGS = 50_000
MEMIF = "net_memif0,id=0,socket-abstract=no,role={role},socket={socket},bsize=2048"


def eal(folder: Path, role: str) -> list[str]:
    memif = MEMIF.format(role=role, socket=folder / "memif.sock")
    return ["-l", "0", "--no-pci", "--no-huge", "--no-shconf", "--no-telemetry", "-m", "128", f"--vdev={memif}"]


def build(folder: Path) -> Path:
    def words(*of: str) -> list[str]:
        done = subprocess.run(("pkg-config", *of, "libdpdk", "lwip"), capture_output=True, text=True, check=True)
        return shlex.split(done.stdout)

    flags = shlex.split(os.environ.get("MATCHMARK_CFLAGS", "-O3 -march=native"))
    sources = [HERE / "wire_bench.c", NATIVE / "lwip_netif.c", NATIVE / "dpdk_port.c"]
    command = ["cc", "-std=gnu11", *words("--cflags"), *flags, f"-I{NATIVE / 'include'}", f"-I{NATIVE}", *sources]
    subprocess.run([*command, "-o", folder / "wire_bench", *words("--libs")], check=True)
    return folder / "wire_bench"


def client(folder: Path, program: Path, what: str, messages: int, logon: str) -> dict[str, Any]:
    words = [*on_processor(0), program, what, CLIENT, EXCHANGE, str(messages), logon, "--", *eal(folder, "client")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=200, check=False)
    if done.returncode:
        raise SystemExit(f"bench: {done.stderr.strip()}")
    result: dict[str, Any] = json.loads(done.stdout)
    return result


@contextmanager
def echo(folder: Path, program: Path) -> Iterator[None]:
    folder.mkdir()
    words = [*on_processor(-1), program, "echo", EXCHANGE, "--", *eal(folder, "server")]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        try:
            yield
        finally:
            process.send_signal(signal.SIGKILL)


def logon(folder: Path) -> str:
    token = Keys(folder / "data" / "keys").issue("ACC1", 3600)
    head = [(34, "1"), (49, "S1"), (56, "MATCHMARK"), (52, utc())]
    path = folder / "logon"
    path.write_bytes(encode("FIX.4.4", "A", head, [(98, "0"), (108, "3600"), (554, token)]))
    return str(path)


def over_memif(folder: Path, program: Path, what: str, orders: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    words = ["--transport", "dpdk", "--eal", shlex.join(eal(folder, "server")), "--dpdk-address", f"{EXCHANGE}/24"]
    with exchange_run.exchange(folder, "spin", words=[*words, "--fix-port", "9878"]):
        result = client(folder, program, what, orders, logon(folder))
    return result, way_rows(folder / "data" / "log")


def measure(orders: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(dir=NATIVE.parent / "build") as name:
        root = Path(name)
        program = build(root)
        out: dict[str, Any] = {}
        with echo(root / "echo", program):
            out["echo"] = client(root / "echo", program, "ping", PINGS, "-")
        with echo(root / "echoes", program):
            out["echoes"] = client(root / "echoes", program, "load", orders, "-")
        out["ping"], out["stages"] = over_memif(root / "ping", program, "ping", PINGS)
        out["load"], out["loaded"] = over_memif(root / "load", program, "load", orders)
        kernel_client = exchange_run.build(root)
        out["kernel"] = exchange_run.wire_to_wire(root / "kernel", kernel_client)
        out["kernel_stages"] = way_rows(root / "kernel" / "data" / "log")
        return out


def show(rows: Sequence[dict[str, Any]], what: str) -> None:
    for row in rows:
        p50, p99 = row["p50_ns"] / 1e3, row["p99_ns"] / 1e3
        print(f"{what:14} {row['stage']:70} p50 {p50:6.2f} us, p99 {p99:6.2f} ({row['count']:,})")


def figures(orders: int = 200_000) -> list[Figure]:
    """Prints what was measured; the rows of the summary."""
    if why := dpdk.missing() or ("one processor" if len(os.sched_getaffinity(0)) < 2 else ""):
        print(f"skipped: {why}")
        return []
    m = measure(orders)
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
    for name in ("echo", "ping", "echoes", "load"):
        r = m[name]
        print(f"{name:14} {r['per_s']:,.0f}/s, p50 {r['p50_us']:.2f} us, p99 {r['p99_us']:.2f}, dropped {r['dropped']}")
    show(m["stages"], "memif, ping")
    show(m["loaded"], "memif, load")
    show(m["kernel_stages"], "kernel, ping")
    total = next(row for row in m["stages"] if row["stage"].startswith("D12.8"))
    kernel = next((row for row in m["kernel_stages"] if row["stage"].startswith("D12.A6")), None)
    beside = f"kernel's stack {kernel['p50_ns'] / 1e3:.2f} us, {kernel['p99_ns'] / 1e3:.2f}" if kernel else ""
    echo50 = f"bare lwIP echo over memif {m['echo']['p50_us']:.2f} us; loopback {m['kernel']['order_p50_us']:.1f} us"
    echoed = f"bare lwIP echo of as many bytes {m['echoes']['per_s']:,.0f}/s, one connection"
    ratio = m["ping"]["p50_us"] / m["echo"]["p50_us"]
    return [
        Figure("frame to order queue, p50", total["p50_ns"] / 1e3, "us", 1, at_most=True, floor=beside),
        Figure("frame to order queue, p99", total["p99_ns"] / 1e3, "us", 5.5, at_most=True, floor=beside),
        Figure("memif, client to client, p50 to echo", ratio, "x", TO_ECHO_MAX, at_most=True, floor=echo50),
        Figure("orders over memif, one session", m["load"]["per_s"], "/s", 2_000_000, floor=echoed),
        Figure("frames over memif, both ways", m["load"]["frames"] / m["load"]["messages"] * m["load"]["per_s"], "/s"),
    ]


if __name__ == "__main__":
    figures(*map(int, sys.argv[1:2]))
