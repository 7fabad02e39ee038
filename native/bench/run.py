"""Builds and runs the native core's benchmarks; prints one table and writes every sample as JSON (--out FILE).

Throughput is of processor time of one thread, the kinds interleaved, median of --runs; read the ratios to `peer_tree`,
an ordinary red-black-tree book measured in the same run, rather than the absolute figures. One-by-one kinds take an
operation when the one before is finished; kinds named _ahead, and the engine's, take a batch and prefetch for the
operations to come. Every run must reproduce the flow's trades to the last one; one that does not ends the program with
exit code 1.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import statistics
import subprocess
import time
from collections import defaultdict
from pathlib import Path

try:
    import numpy as np

    from matchmark.native import COMMAND, EVENT, Engine
    from matchmark.native.core import Records
except ImportError as error:
    raise SystemExit(f"bench: matchmark is not installed in this Python ({error}); run it as `make bench`") from None

from figure import Figure

NATIVE = Path(__file__).resolve().parent.parent
BUILD = NATIVE.parent / "build" / "bench"
BOOK = ("book.c", "book_check.c", "far_tree.c")
ENGINE = (*BOOK, "engine.c", "engine_orders.c", "engine_requests.c", "engine_trading.c", "engine_query.c")
SHARED = ("bench/timing.c", "bench/workload.c")
PROGRAMS = {
    "book_bench": (*SHARED, "bench/book_bench.c", "bench/drive.c", "bench/peer_tree_book.c", *BOOK),
    "engine_bench": (*SHARED, "bench/engine_bench.c", *ENGINE),
    "resting_bench": (*SHARED, "bench/resting_bench.c", "bench/drive.c", *ENGINE),
}
FLAGS = ("-std=c11", "-O3", "-march=native", "-Wall", "-Wextra", "-Iinclude", "-I.", "-Ibench")
KINDS = {
    "floor": "read each operation, hash one record",
    "peer_tree": "ordinary red-black-tree book, dense ids, one by one",
    "dense": "our book, engine-assigned ids, one by one",
    "dense_ahead": "the same, prefetching ahead in the batch",
    "hashed": "our book, client's 64-bit ids, one by one",
    "hashed_ahead": "the same, prefetching ahead in the batch",
    "engine": "whole engine: checks, ids remembered, events; batches of 256",
    "engine_top": "the same with top-of-book events",
    "engine_forgetful": "the same without memory of finished ids",
    "engine_one_by_one": "whole engine, one command a call",
    "python_submit_into": "whole engine from Python, numpy batches of 4,096, buffer reused",
    "python_submit": "whole engine from Python, numpy batches of 65,536 in, arrays of events out",
}
# M operations/s on the machines this was planned for; printed for orientation.
TARGETS: dict[str, tuple[int, ...]] = {
    "dense": (30, 18),
    "dense_ahead": (30, 18),
    "hashed": (17, 11),
    "hashed_ahead": (17, 11),
}
TARGETS |= {"python_submit_into": (10,), "python_submit": (10,)}
FLOWS = {"base": (200, 299_641), "deep": (500_000, 297_997)}  # orders of the warm-up, trades after it

Samples = dict[tuple[str, str, str], list[float]]


def build(out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    compiler = shlex.split(os.environ.get("CC", "cc"))
    for name, sources in PROGRAMS.items():
        command = [*compiler, *FLAGS, "-o", str(out / name), *sources]
        if subprocess.run(command, cwd=NATIVE, check=False).returncode:
            raise SystemExit(
                f"bench: {name} does not build; the compiler's message is above (set CC to choose another)"
            )


def run_program(command: list[str], samples: Samples) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"bench: {Path(command[0]).name} failed: {done.stderr.strip() or done.returncode}")
    for line in done.stdout.splitlines():
        what, who, flow, value = line.split()
        samples[what, who, flow].append(float(value))


def submit_batches(engine: Engine, commands: Records, buffer: Records) -> None:
    for start in range(0, len(commands), 65536):
        engine.submit(commands[start : start + 65536])


def submit_into(engine: Engine, commands: Records, buffer: Records) -> None:
    taken = 0
    while taken < len(commands) or engine.unfinished:
        done, _ = engine.submit_into(commands[taken : taken + 4096], buffer)
        taken += done


def run_python(out: Path, runs: int, samples: Samples) -> None:
    for flow, (warm, trades) in FLOWS.items():
        path = out / f"{flow}.commands"
        subprocess.run([out / "engine_bench", "dump", flow, path], check=True)
        commands = np.fromfile(path, dtype=COMMAND)
        path.unlink()
        buffer = np.zeros(1 << 14, dtype=EVENT)
        states = set()
        for kind, submit in (("python_submit", submit_batches), ("python_submit_into", submit_into)) * runs:
            with Engine(1, 1 << 20, 1 << 17, 1 << 21, resident=True) as engine:
                engine.submit(commands[:warm])
                before = engine.counters().trades
                start = time.thread_time()
                submit(engine, commands[warm:], buffer)
                seconds = time.thread_time() - start
                states.add(engine.state_hash())
                if engine.counters().trades - before != trades or len(states) != 1:
                    raise SystemExit(f"bench: {kind} on {flow}: trades or state differ: no figure counts")
            samples["throughput", kind, flow].append((len(commands) - warm) / seconds)


def print_throughput(medians: dict[tuple[str, str, str], float]) -> None:
    print(f"{'M operations/s, median':26}{'base':>8}{'deep':>8}   x peer_tree    planned")
    for kind, text in KINDS.items():
        found = [medians.get(("throughput", kind, flow)) for flow in FLOWS]
        if None in found:
            continue
        peers = [medians["throughput", "peer_tree", flow] for flow in FLOWS]
        ratios = " /".join(f"{value / peer:5.2f}" for value, peer in zip(found, peers, strict=True) if value)
        planned = " / ".join(str(t) for t in TARGETS.get(kind, ()) if t)
        row = "".join(f"{value / 1e6:8.1f}" for value in found if value)
        print(f"  {kind:24}{row}  {ratios:14}{planned:>9}   {text}")


def print_latency(medians: dict[tuple[str, str, str], float]) -> None:
    timer = medians["p50_ns", "timer", "none"]
    print(f"\nns an operation, one by one, timer included (the timer alone: {timer:.0f})")
    for kind in ("dense", "hashed"):
        for flow in FLOWS:
            p50, p99, p999 = (medians[what, kind, flow] for what in ("p50_ns", "p99_ns", "p999_ns"))
            print(f"  {kind + ' ' + flow:24} p50 {p50:6.0f}   p99 {p99:6.0f}   p99.9 {p999:6.0f}")


def print_resting(medians: dict[tuple[str, str, str], float]) -> None:
    counts = [10**power for power in range(1, 8)]
    timer = medians["p50_ns", "timer", "none"]
    print("\np50 ns by resting orders, timer included" + "".join(f"{n:>11,}" for n in counts) + "   most / least")
    for kind in ("dense", "hashed"):
        row = [medians["p50_ns", kind, str(n)] for n in counts]
        net = [value - timer for value in row]
        cells = "".join(f"{value:11.0f}" for value in row)
        print(f"  {kind:38}{cells}   {max(row) / min(row):.1f}; {max(net) / min(net):.1f} without the timer")


def print_memory(medians: dict[tuple[str, str, str], float]) -> None:
    rows = {(who, pool): value for (what, who, pool), value in medians.items() if what == "bytes"}
    most = max(rows.values())
    print(f"\nbytes an order resident, with its id and its share of the id map; at most {most:.1f}")
    for who, text in (("book", "order alone"), ("engine", "order, order id, map")):
        cells = ", ".join(
            f"{value:.0f} in a {pool.replace('_', ' of ')}" for (w, pool), value in rows.items() if w == who
        )
        print(f"  {text:24} {cells}")


def environment() -> dict[str, str]:
    model = platform.processor()
    for line in (
        Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if Path("/proc/cpuinfo").exists() else ()
    ):
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    return {"machine": platform.machine(), "processor": model, "cpus": str(os.cpu_count()), "flags": " ".join(FLAGS)}


def measure(build_in: Path, runs: int) -> Samples:
    samples: Samples = defaultdict(list)
    build(build_in)
    run_program([str(build_in / "book_bench"), "throughput", str(runs)], samples)
    run_program([str(build_in / "engine_bench"), str(runs)], samples)
    run_python(build_in, runs, samples)
    run_program([str(build_in / "book_bench"), "latency", "3"], samples)
    run_program([str(build_in / "resting_bench"), "3"], samples)
    return samples


def show(samples: Samples, runs: int) -> dict[tuple[str, str, str], float]:
    medians = {key: statistics.median(values) for key, values in samples.items()}
    env = environment()
    print(f"{env['processor']}, {env['cpus']} cpus, {runs} runs\n")
    for part in (print_throughput, print_latency, print_resting, print_memory):
        part(medians)
    return medians


def figures() -> list[Figure]:
    """Rows of the summary: what TARGETS asks of, in M operations/s."""
    medians = show(measure(BUILD, 5), 5)
    rows = []
    for kind, wanted in TARGETS.items():
        for flow, target in zip(FLOWS, wanted * 2 if len(wanted) == 1 else wanted, strict=True):
            peer, value = medians["throughput", "peer_tree", flow], medians["throughput", kind, flow]
            beside = f"red-black-tree book {peer / 1e6:.1f}, {value / peer:.2f}x"
            rows.append(Figure(f"{kind} {flow}", value / 1e6, "M ops/s", target, floor=beside))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n", maxsplit=1)[0])
    parser.add_argument("--runs", type=int, default=5, help="runs of each kind, at least 3 (default 5)")
    parser.add_argument("--out", type=Path, help="write every sample to this file as JSON")
    parser.add_argument("--build", type=Path, default=BUILD, help="where to build")
    options = parser.parse_args()
    if options.runs < 3:
        parser.error("--runs: a median of fewer than 3 is not worth printing")
    samples = measure(options.build, options.runs)
    show(samples, options.runs)
    if options.out:
        rows = [{"what": what, "who": who, "on": on, "samples": v} for (what, who, on), v in samples.items()]
        options.out.write_text(json.dumps({"environment": environment(), "samples": rows}, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
