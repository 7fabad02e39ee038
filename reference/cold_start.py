"""From a data directory to a pipeline that goes on where the log ends.

Warm: the shared memory of the last run is still there, so nothing that was acknowledged is lost, however the run ended.
Cold: it is gone (clean stop, reboot, power cut), and the log is read: from the newest snapshot on, or from its first record.
After a cold start that follows no clean stop in async mode, the last orders that were acknowledged may not be in the log: that is
said, never hidden.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matchmark.native.pipeline import AuditWriter, EngineConfig, Extent, Pipeline, PipelineError, create, recover
from matchmark.native.pipeline_records import Durability, ExchangeState, Role
from matchmark.reference import snapshots
from matchmark.reference.config import ServeConfig
from matchmark.reference.data_dir import DataDir, Run, StartError, remove_shared_memory, start_error
from matchmark.reference.gateway import instruments_hash

GATEWAYS = 2
"""FIX sessions, and the breaker."""
ASYNC_LOSS_MS = 10
"""What async durability may lose when memory is lost: the writer's linger and one write, by the specification at most so long."""


@dataclass(frozen=True)
class Start:
    """What was found and made. `engine` is what the log was written with, `records` what the log held."""

    pipeline: Pipeline
    engine: EngineConfig
    shm: Path
    warm: bool
    records: int
    records_cut: int
    may_be_missing: dict[str, Any] | None
    clean: bool
    """The last run was stopped cleanly: also what no log can tell, such as session numbers, is on disk."""

    def recovered(self) -> dict[str, Any]:
        return {
            "records": self.records,
            "records_cut": self.records_cut,
            "warm": self.warm,
            "may_be_missing": self.may_be_missing,
        }


def prepare(
    config: ServeConfig, data: DataDir, log: Callable[[str], None], role: Role = Role.PRIMARY, epoch: int = 0
) -> Start:
    """As a primary under `epoch` (0: the next one, outside of clusters), or as a standby.

    StartError when the directory, the log or the shared memory do not allow it.
    """
    last = data.last_run()
    shm = config.shm_dir or data.shm_dir()
    if last and not last.clean and Path(last.shm_dir) != shm and (Path(last.shm_dir) / "control").exists():
        raise StartError(
            f"the last run was not stopped cleanly and its shared memory is in {last.shm_dir}, not {shm}: "
            f"start with --shm-dir {last.shm_dir}, or nothing acknowledged there is kept"
        )
    pipeline = _attach(shm, last, log)
    try:
        if pipeline and role == Role.STANDBY:
            _into_the_log(config, pipeline, data, log)
            pipeline, last = None, None
        start = (
            _warm(config, pipeline, shm, data, log) if pipeline else _cold(config, data, shm, log, last, role, epoch)
        )
        if config.cluster:
            start.pipeline.role = role
            if role == Role.PRIMARY:
                start.pipeline.set_lease(0)  # until the keeper has one
                start.pipeline.set_epoch(epoch)
        return start
    except PipelineError as error:
        raise start_error(error) from None


def _attach(shm: Path, last: Run | None, log: Callable[[str], None]) -> Pipeline | None:
    """The last run's shared memory, None when it is not there, or is of another life of this directory."""
    if not (shm / "control").exists():
        return None
    try:
        pipeline = Pipeline(shm)
    except PipelineError as error:
        if last is None or last.clean:
            log(f"{error}: nothing in it is needed, it is made anew")
            return None
        raise start_error(error) from None
    if last is not None and not last.clean and pipeline.status().generation == last.generation:
        return pipeline
    pipeline.close()
    log(f"shared memory {shm} is not of the last run on this data directory; it is made anew")
    return None


def _engine(config: ServeConfig, written: EngineConfig | None, written_hash: int, log_dir: Path) -> EngineConfig:
    """The configured engine; sizes that nobody asked for are those that the log was written with."""
    if written is None:
        return config.engine
    if written.symbols != config.engine.symbols or written_hash != instruments_hash(config.symbols):
        raise StartError(
            f"audit log {log_dir} was written with another instrument list ({written.symbols} symbols, configured are "
            f"{config.engine.symbols}): use that list (names, ticks, digits, lots, in order), or a new data directory", 2
        )  # fmt: skip
    for key in config.engine_given:
        ours, theirs = getattr(config.engine, key), getattr(written, key)
        if ours != theirs:
            raise StartError(
                f"audit log {log_dir} was written with {key} = {theirs}, configured is {ours}: use {theirs}, or a new "
                "data directory", 2
            )  # fmt: skip
    return written


def log_extent(config: ServeConfig, data: DataDir, log: Callable[[str], None], cut: bool, durable: int = -1) -> Extent:
    """What the log holds, read from the newest snapshot on. `durable`: the last record that is on the disk, where memory says so.
    PipelineError: committed damage."""
    begin = snapshots.newest(config, data.path, data.log, log, check=False)
    try:
        return recover(data.log, cut, begin, durable)
    finally:
        if begin:
            begin.close()


def last_epoch(config: ServeConfig, data: DataDir, log: Callable[[str], None]) -> int:
    """That of the log's last record, 0 for none, before anything is made. StartError: committed damage."""
    last, shm, durable = data.last_run(), config.shm_dir or data.shm_dir(), -1
    try:
        if last and not last.clean and (shm / "control").exists():
            with contextlib.suppress(PipelineError), Pipeline(shm) as pipeline:
                if pipeline.status().generation == last.generation:
                    durable = pipeline.durable_sequence
        return log_extent(config, data, log, cut=False, durable=durable).epoch
    except PipelineError as error:
        raise start_error(error) from None


def _warm(config: ServeConfig, pipeline: Pipeline, shm: Path, data: DataDir, log: Callable[[str], None]) -> Start:
    now = pipeline.status()
    if now.durability != config.durability:
        raise StartError(
            f"the last run was not stopped cleanly and goes on in mode {now.durability.name.lower()}: start it in that mode, "
            "stop it with SIGTERM, then change the mode", 2
        )  # fmt: skip
    if now.state == ExchangeState.FAILED:
        log(f"the last run had stopped: {now.failure}; starting it again says that this was repaired")
        pipeline.clear_failure()
    pipeline.state = ExchangeState.STARTING
    # Behind the durable mark there may be a batch whose confirmation was missed, or a part of one: the writer writes it again.
    header = log_extent(config, data, log, cut=False, durable=now.durable_sequence)
    engine = _engine(config, header.config, header.instruments_hash, data.log)
    return Start(pipeline, engine, shm, True, now.sequence, 0, None, False)


def _into_the_log(config: ServeConfig, pipeline: Pipeline, data: DataDir, log: Callable[[str], None]) -> None:
    """What the last run made and did not write is written. Orders that it had not executed are dropped: nobody knows of them."""
    pipeline.retire()
    header = log_extent(config, data, log, cut=False, durable=pipeline.durable_sequence)
    engine = _engine(config, header.config, header.instruments_hash, data.log)
    writer = AuditWriter(
        pipeline, data.log, engine, instruments_hash=instruments_hash(config.symbols),
        file_records=config.rings.file_records, linger_ns=0,
    )  # fmt: skip
    try:
        while writer.poll() > 0:
            pass
    finally:
        writer.close()
    now = pipeline.status()
    pipeline.close()
    if now.durable_sequence != now.sequence:
        raise PipelineError(f"what the last run left in memory cannot be written: {now.failure}")


def _cold(
    config: ServeConfig,
    data: DataDir,
    shm: Path,
    log: Callable[[str], None],
    last: Run | None,
    role: Role = Role.PRIMARY,
    epoch: int = 0,
) -> Start:
    extent = log_extent(config, data, log, cut=True)
    engine = _engine(config, extent.config, extent.instruments_hash, data.log)
    rings = config.rings
    remove_shared_memory(shm)
    create(
        shm,
        extent,
        gateways=GATEWAYS,
        order_slots=rings.order_slots,
        audit_slots=rings.audit_slots,
        report_slots=rings.report_slots,
        durability=config.durability,
        epoch=_epoch(extent, last, role, epoch),
    )
    missing = _missing(extent, last) if role == Role.PRIMARY else None
    if missing:  # what was not on disk was in the audit ring of the last run, and no more than that
        missing.setdefault("commands", (last.audit_slots if last else 0) or rings.audit_slots)
    return Start(
        Pipeline(shm), engine, shm, False, extent.sequence, extent.records_cut, missing, last is not None and last.clean
    )


def _epoch(extent: Extent, last: Run | None, role: Role, taken: int) -> int:
    """Of the records to come. A standby's are the primary's, whose epoch comes with them."""
    if role == Role.STANDBY:
        return max(1, extent.epoch)
    return taken or max(extent.epoch, last.epoch if last else 0) + 1


def _missing(extent: Extent, last: Run | None) -> dict[str, Any] | None:
    if last is None:
        if not extent.sequence:
            return None
        why = "how the last run ended is not known, and its shared memory is gone"
    elif last.clean and extent.sequence >= last.sequence:
        return None
    elif last.clean:
        why = f"the last run was stopped cleanly at record {last.sequence}, and the log ends at {extent.sequence}"
        return {"last_ms": None, "commands": last.sequence - extent.sequence, "why": why}
    elif last.durability == Durability.FSYNC.name.lower():
        return None
    else:
        why = f"the last run was in mode {last.durability}, was not stopped cleanly, and its shared memory is gone"
    return {"last_ms": ASYNC_LOSS_MS, "why": why}
