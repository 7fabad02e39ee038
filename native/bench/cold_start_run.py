"""Cold starts of the whole exchange: from a log alone, and from a snapshot and the log behind it.

    python native/bench/cold_start_run.py [--records 1000000] [--with-snapshot 4000000]

The log is made first, of orders in 16 symbols that trade with each other, by the engine and the writer of a pipeline; then
`matchmark serve` is started on it, and the time to its readiness line is taken, beside that of a start on an empty log in
turns with it: what remains is the log's. Its files are in the page cache.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from figure import Figure

from matchmark.native import pipeline as pl
from matchmark.native.pipeline_records import ExchangeState, Wait
from matchmark.reference import snapshots
from matchmark.reference.config import ServeConfig, load
from matchmark.reference.data_dir import remove_shared_memory
from matchmark.reference.gateway import instruments_hash

PROGRAM = [sys.executable, "-m", "matchmark.conformance.cli"]
RECORDS, WITH_SNAPSHOT = 1_000_000, 4_000_000
ROUNDS = 3
CHUNK = 4096
LOTS, SPREAD_TICKS = 9, 40


def settings(folder: Path, records: int) -> ServeConfig:
    """The built-in exchange, with memory for so many ClOrdIDs, and without snapshots of its own accord."""
    ids = 1 << max(22, int(records // 2).bit_length())
    path = folder / "serve.toml"
    path.write_text(f"[engine]\nremembered_ids = {ids}\nsnapshot_records = 0\n", encoding="utf-8")
    return load({"config": str(path), "data_dir": str(folder / "data")})


def make_log(config: ServeConfig, shm: Path, records: int) -> int:
    """As many records and a few more; how many."""
    log = config.data_dir / "log"
    log.mkdir(parents=True)
    rings = config.rings
    pl.create(shm, pl.recover(log), gateways=2, audit_slots=rings.audit_slots, report_slots=1 << 16)
    pipeline = pl.Pipeline(shm)
    writer = pl.AuditWriter(
        pipeline, log, config.engine, instruments_hash=instruments_hash(config.symbols), file_records=rings.file_records
    )
    engine, over = pl.EngineLoop(pipeline, log, config.engine), threading.Event()
    pipeline.state = ExchangeState.RUNNING

    def run(role: pl.EngineLoop | pl.AuditWriter) -> None:
        while not over.is_set() and role.run(5_000_000, Wait.SLEEP) == 0:
            pass

    threads = [threading.Thread(target=run, args=(role,)) for role in (engine, writer)]
    for thread in threads:
        thread.start()
    gateway, rng, made = pl.Gateway(pipeline, 0), np.random.default_rng(1), 0
    while pipeline.status().sequence < records:
        orders = pl.new_orders(CHUNK)
        command = orders["command"]
        command["op"], command["account"] = 1, rng.integers(0, len(config.accounts), CHUNK)
        command["side"], command["symbol"] = rng.integers(0, 2, CHUNK), rng.integers(0, len(config.symbols), CHUNK)
        command["price_ticks"] = 10_000 + rng.integers(-SPREAD_TICKS, SPREAD_TICKS + 1, CHUNK)
        command["quantity_lots"] = rng.integers(1, LOTS, CHUNK)
        command["cl_ord_id"] = np.arange(made + 1, made + 1 + CHUNK)
        made, put = made + CHUNK, 0
        while put < CHUNK:
            put += gateway.put_all(orders[put:])
            gateway.take()
    while pipeline.durable_sequence < pipeline.status().sequence or pipeline.status().orders_waiting:
        time.sleep(0.01)
        gateway.take()
    over.set()
    for thread in threads:
        thread.join()
    sequence = pipeline.status().sequence
    gateway.leave()
    writer.close()
    engine.close()
    pipeline.close()
    remove_shared_memory(shm)
    return sequence


def start_s(config: ServeConfig, expected: int) -> float:
    """From the start of the process to its readiness line."""
    words = [
        *PROGRAM,
        "serve",
        "--config",
        str(config.data_dir.parent / "serve.toml"),
        "--data-dir",
        str(config.data_dir),
    ]
    began = time.perf_counter()
    with subprocess.Popen([*words, "--fix-port", "0", "--admin-port", "0", "--wait", "sleep"], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL) as process:  # fmt: skip
        assert process.stdout
        ready = json.loads(process.stdout.readline())
        took = time.perf_counter() - began
        process.kill()  # and with it its roles: what it left in memory is not used
    remove_shared_memory(Path(ready["shm_dir"]))
    (config.data_dir / "run.json").unlink()
    if ready["recovered"]["records"] != expected:
        raise SystemExit(f"bench: the start found {ready['recovered']['records']} records of {expected}")
    return took


def crc_s(log: Path) -> float:
    """Reading the log and checking each record's CRC and place, in this process."""
    began = time.perf_counter()
    pl.recover(log, cut=False)
    return time.perf_counter() - began


def measure(records: int, with_snapshot: bool) -> Figure:
    with tempfile.TemporaryDirectory(prefix="matchmark-cold-") as folder, tempfile.TemporaryDirectory() as bare:
        config, empty = settings(Path(folder), records), settings(Path(bare), records)
        made = make_log(config, Path("/dev/shm") / Path(folder).name, records)
        said = f"{made:,} records"
        if with_snapshot:
            order = snapshots.Order(
                config,
                config.engine,
                config.data_dir / "log",
                config.data_dir,
                config.data_dir,
                Path(folder) / "memory",
            )
            began = time.perf_counter()
            path = snapshots.make(order)
            said += f", snapshot of {path.stat().st_size / 1e6:,.0f} MB at {int(path.stem[6:]):,} made in "
            said += f"{time.perf_counter() - began:.1f} s"
        start_s(empty, 0)  # its first start makes the log's files
        rows = [(start_s(config, made), start_s(empty, 0)) for _ in range(ROUNDS)]
        whole, floor = statistics.median(a for a, _ in rows), statistics.median(b for _, b in rows)
        said += f"; ready after {whole:.2f} s, with an empty log after {floor:.2f} s"
        if not with_snapshot:
            said += f"; reading it once {crc_s(config.data_dir / 'log'):.2f} s"
    name = "cold start from a snapshot" if with_snapshot else "cold start, log alone"
    return Figure(name, whole - floor, "s", 2.0 if with_snapshot else 0.5, at_most=True, floor=said)


def figures(records: int = RECORDS, with_snapshot: int = WITH_SNAPSHOT) -> list[Figure]:
    found = []
    for n, snapshot in ((records, False), (with_snapshot, True)):
        if n:
            found.append(measure(n, snapshot))
            print(f"  {found[-1].name}: {found[-1].value:.2f} s ({found[-1].floor})", flush=True)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n", maxsplit=1)[0])
    parser.add_argument("--records", type=int, default=RECORDS, help="of a log without a snapshot; 0: not measured")
    parser.add_argument("--with-snapshot", type=int, default=WITH_SNAPSHOT, help="of a log with one; 0: not measured")
    options = parser.parse_args()
    figures(options.records, options.with_snapshot)
    return 0


if __name__ == "__main__":
    sys.exit(main())
