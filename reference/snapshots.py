"""Snapshots of a data directory: which one a start may use, and the making of them. docs/snapshots.md.

`snapshots/state-<sequence, 20 digits>.mms` in the data directory. They are made from closed files of the log by a process of its
own, which has a pipeline and an engine of its own; whoever trades waits for nothing of it. One that is missing or damaged costs a
start that reads more of the log, and nothing else.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import pickle
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from matchmark.native.pipeline import EngineConfig, EngineLoop, Pipeline, PipelineError, Snapshot, create, recover
from matchmark.reference.config import ServeConfig
from matchmark.reference.durable_files import make_directory
from matchmark.reference.gateway import Gateway, bind, instruments_hash

KEPT = 2
"""Snapshots that stay: the newest may turn out to be damaged."""
LOOK_EVERY_S = 1.0
MAKING_S = 900.0
_PR_SET_PDEATHSIG = 1


def folder(data: Path) -> Path:
    return data / "snapshots"


def settings_hash(config: ServeConfig) -> int:
    """Of what a gateway's state is made from besides the log: another one makes a snapshot useless."""
    sizes = (config.gateway.open_orders, config.gateway.positions, config.gateway.max_sessions)
    said = repr((config.symbols, config.accounts, sizes))
    return int.from_bytes(hashlib.sha256(said.encode()).digest()[:8], "little")


def _newest_first(data: Path) -> Iterator[Path]:
    return iter(sorted(folder(data).glob("state-*.mms"), reverse=True))


def newest(
    config: ServeConfig, data: Path, log: Path, say: Callable[[str], None], check: bool = True
) -> Snapshot | None:
    """The newest one that is whole, of this log and of this configuration. Of any other it is said why it is not used."""
    for path in _newest_first(data):
        try:
            snapshot = Snapshot(path, check)
        except PipelineError as error:
            say(f"{error}; it is not used")
            continue
        if snapshot.settings_hash != settings_hash(config):
            say(f"snapshot {path} was made with other accounts, symbols or sizes; it is not used")
            snapshot.close()
            continue
        try:
            snapshot.require_log(log)
        except PipelineError as error:
            say(f"snapshot {path} is not used: {error}")
            snapshot.close()
            continue
        return snapshot
    return None


# --- making them ---


@dataclass(frozen=True)
class Order:
    """What the maker is told: it has the directories, and nothing of the processes that trade."""

    config: ServeConfig
    engine: EngineConfig
    log: Path
    data: Path
    keys: Path
    memory: Path
    """A folder for its own shared memory, made and removed by it."""


def closed_files(log: Path) -> list[Path]:
    """The files of the log that have a successor: nobody writes them any more."""
    return sorted(log.glob("audit-*.log"))[:-1]


def end_of_closed(log: Path) -> int:
    """The last record in a closed file, 0 for none."""
    files = sorted(log.glob("audit-*.log"))
    return int(files[-1].stem.removeprefix("audit-")) - 1 if len(files) > 1 else 0


def newest_sequence(data: Path) -> int:
    """By name alone; 0 for none."""
    return next((int(path.stem.removeprefix("state-")) for path in _newest_first(data)), 0)


def make(order: Order, say: Callable[[str], None] = lambda text: None) -> Path:
    """One of all closed files. PipelineError when the log or the disk do not allow it."""
    making = folder(order.data) / "making"
    for left in (making, order.memory):
        shutil.rmtree(left, ignore_errors=True)
    make_directory(making / "log")
    try:
        for path in closed_files(order.log):
            os.symlink(path.resolve(), making / "log" / path.name)
        return _make(order, making, say)
    finally:
        shutil.rmtree(making, ignore_errors=True)
        shutil.rmtree(order.memory, ignore_errors=True)


def _make(order: Order, making: Path, say: Callable[[str], None]) -> Path:
    config, log = order.config, making / "log"
    begin = newest(config, order.data, log, say)
    extent = recover(log, cut=False, snapshot=begin)
    rings = config.rings
    create(
        order.memory, extent, gateways=2, order_slots=64, audit_slots=rings.audit_slots,
        report_slots=rings.report_slots, epoch=extent.epoch,
    )  # fmt: skip
    with Pipeline(order.memory) as pipeline:
        # The gateway first: the engine finishes a command that the closed files cut short, which no file of theirs has.
        gateway = Gateway(
            order.memory, log, making, config.symbols, config.accounts, config.gateway,
            listener=bind("127.0.0.1", 0), keys_dir=order.keys, follow=True, snapshot=begin,
        )  # fmt: skip
        engine = EngineLoop(pipeline, log, order.engine, begin)
        try:
            path = folder(order.data) / f"state-{pipeline.status().sequence:020d}.mms"
            gateway.save_snapshot(path, engine, instruments_hash(config.symbols), settings_hash(config))
        finally:
            gateway.close()
            engine.close()
            if begin:
                begin.close()
    for old in list(_newest_first(order.data))[KEPT:]:
        old.unlink()
    return path


class Keeper:
    """Has a snapshot made when `every` more records are in closed files than in the newest one. Runs in a thread, the maker in a
    process of the lowest priority, which ends with this one."""

    def __init__(self, order: Order, every: int, say: Callable[[str], None]) -> None:
        self._order, self._every, self._say = order, every, say
        self._tried = 0

    def run(self) -> None:
        while self._every:
            time.sleep(LOOK_EVERY_S)
            self.look()

    def look(self) -> None:
        end = end_of_closed(self._order.log)
        if end - max(newest_sequence(self._order.data), self._tried) < self._every:
            return
        self._tried = end  # one that fails is tried again when there is more to be had
        began = time.monotonic()
        command = [sys.executable, "-m", "matchmark.reference.snapshots"]
        try:
            done = subprocess.run(
                command, input=pickle.dumps(self._order), capture_output=True, timeout=MAKING_S,
                preexec_fn=_ends_with(os.getpid()),
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired) as error:
            self._say(f"no snapshot was made: {error}")
            return
        took = time.monotonic() - began
        if done.returncode:
            self._say(f"no snapshot was made: {done.stderr.decode(errors='replace').strip()[-500:]}")
        else:
            self._say(f"snapshot {done.stdout.decode().strip()} made in {took:.1f} s")

    def start(self) -> None:
        threading.Thread(target=self.run, name="snapshots", daemon=True).start()


def _ends_with(parent: int) -> Callable[[], None]:
    prctl = ctypes.CDLL(None, use_errno=True).prctl

    def arrange() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)
        os.nice(19)

    return arrange


def main() -> int:
    order = pickle.load(sys.stdin.buffer)  # from our own parent
    try:
        path = make(order, lambda text: print(text, file=sys.stderr))
    except (PipelineError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
