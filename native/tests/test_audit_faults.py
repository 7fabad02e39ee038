"""The disk says no: the first error stops the exchange, is never tried again, and what was promised is kept after a repair."""

from __future__ import annotations

import errno
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from matchmark.native.pipeline import (
    AuditWriter,
    EngineConfig,
    EngineLoop,
    ExchangeState,
    Gateway,
    Pipeline,
    PipelineError,
    Put,
    Records,
    create,
    new_orders,
    recover,
)
from matchmark.native.pipeline_records import AUDIT_HEADER_BYTES, Durability
from matchmark.reference.verify import verify

CONFIG = EngineConfig(symbols=1, max_orders=1 << 16, remembered_ids=1 << 18)

# Fails one libc function from its nth call on (FAIL=name:n:errno) and counts all calls into the file COUNT.
SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

static int fails(const char *name, int *calls)
{
    char wanted[64] = "";
    int from = 0, error = 0;
    const char *fail = getenv("FAIL"), *count = getenv("COUNT");
    ++*calls;
    if (!fail || !count || sscanf(fail, "%63[^:]:%d:%d", wanted, &from, &error) != 3 || strcmp(wanted, name))
        return 0;
    FILE *f = fopen(count, "w");
    fprintf(f, "%d", *calls);
    fclose(f);
    return *calls >= from ? error : 0;
}

int fdatasync(int fd)
{
    static int calls;
    int error = fails("fdatasync", &calls);
    if (error) { errno = error; return -1; }
    return ((int (*)(int))dlsym(RTLD_NEXT, "fdatasync"))(fd);
}

ssize_t pwritev(int fd, const struct iovec *parts, int n, off_t at)
{
    static int calls;
    int error = fails("pwritev", &calls);
    struct iovec first = {parts[0].iov_base, parts[0].iov_len > 500 ? 500 : parts[0].iov_len};
    typedef ssize_t pwritev_of_libc(int, const struct iovec *, int, off_t);
    pwritev_of_libc *real = (pwritev_of_libc *)dlsym(RTLD_NEXT, "pwritev");
    if (error == ENOSPC) return real(fd, &first, 1, at); /* what a full disk does: a part */
    if (error) { errno = error; return -1; }
    return real(fd, parts, n, at);
}

int posix_fallocate(int fd, off_t at, off_t n)
{
    static int calls;
    int error = fails("posix_fallocate", &calls);
    return error ? error : ((int (*)(int, off_t, off_t))dlsym(RTLD_NEXT, "posix_fallocate"))(fd, at, n);
}
"""

WRITER = """
import sys
from matchmark.native.pipeline import *
from matchmark.native.pipeline_records import Wait
pipeline = Pipeline(sys.argv[1])
config = EngineConfig(symbols=1, max_orders=1 << 16, remembered_ids=1 << 18)
writer = AuditWriter(pipeline, sys.argv[2], config, file_records=int(sys.argv[3]))
print("ready", flush=True)
while (end := writer.run(20_000_000, Wait.SLEEP)) == 0:
    pass
sys.exit(0 if end == 1 else 4)
"""


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("cc") is None:
        pytest.skip("no C compiler to build the failing libc functions with")
    base = tmp_path_factory.mktemp("shim")
    (base / "shim.c").write_text(SHIM)
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", base / "shim.so", base / "shim.c", "-ldl"], check=True)
    return base / "shim.so"


@pytest.fixture
def shared() -> Iterator[Path]:
    base = Path(tempfile.mkdtemp(prefix="matchmark-test-", dir="/dev/shm"))
    yield base
    shutil.rmtree(base)


def buy(count: int, first: int) -> Records:
    orders = new_orders(count)
    orders["command"]["op"] = 1
    orders["command"]["price_ticks"], orders["command"]["quantity_lots"] = 100, 1
    orders["command"]["cl_ord_id"] = range(first, first + count)
    return orders


def run_until_failure(
    shim: Path, shared: Path, log: Path, fail: str, audit_slots: int = 512, file_records: int = 1000, hold_at: int = 0
) -> tuple[Pipeline, EngineLoop, Gateway, int, int, subprocess.Popen[str]]:
    """Feeds a writer that the shim will fail; orders taken, last sequence that a report said was safe, and the writer.

    `hold_at`: from this record on the writer is held until the audit ring is full."""
    create(shared, durability=Durability.FSYNC, audit_slots=audit_slots, report_slots=1 << 14)
    p = Pipeline(shared)
    environment = {**os.environ, "LD_PRELOAD": str(shim), "FAIL": fail, "COUNT": str(shared / "count")}
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, shared, log, str(file_records)],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert writer.stdout is not None
    with writer.stdout as out:
        assert out.readline() == "ready\n"
    engine, gateway = EngineLoop(p, log, CONFIG), Gateway(p, 0)
    p.state = ExchangeState.RUNNING
    taken, safe = 0, 0
    while p.state == ExchangeState.RUNNING:
        assert taken < 200_000, "the shim never struck"
        taken += gateway.put_all(buy(10, taken + 1))
        if hold_at and p.status().sequence > hold_at:
            hold_at = 0
            hold_until_full(p, writer, audit_slots)
        engine.poll()
        reports = gateway.take()
        safe = int(reports["key"][-1]) // 2 if len(reports) else safe
    return p, engine, gateway, taken, safe, writer


def hold_until_full(p: Pipeline, writer: subprocess.Popen[str], audit_slots: int) -> None:
    """It goes on when the engine, which the caller's thread runs next, has filled the ring behind it."""
    writer.send_signal(signal.SIGSTOP)

    def let_go() -> None:
        while p.status().sequence - p.durable_sequence < audit_slots:
            time.sleep(0.001)
        writer.send_signal(signal.SIGCONT)

    threading.Thread(target=let_go, daemon=True).start()


@pytest.mark.parametrize(
    ("fail", "number", "words"),
    [
        (f"fdatasync:20:{errno.EIO}", errno.EIO, "fdatasync failed|cannot begin the next file"),
        (f"pwritev:20:{errno.EIO}", errno.EIO, "write failed"),
        (f"pwritev:20:{errno.ENOSPC}", errno.ENOSPC, "write failed"),
    ],
)
def test_the_first_disk_error_stops_the_exchange_and_is_never_tried_again(
    shim: Path, shared: Path, tmp_path: Path, fail: str, number: int, words: str
) -> None:
    log = tmp_path / "log"
    p, engine, gateway, _, safe, writer = run_until_failure(shim, shared, log, fail)
    assert writer.wait(10) == 4
    assert int((shared / "count").read_text()) == 20, "the call that failed was made again"
    status = p.status()
    assert (status.state, status.failure_errno) == (ExchangeState.FAILED, number)
    assert re.search(words, status.failure)  # the 20th may be a batch's or that of a file made ahead
    assert gateway.put(buy(1, 1 << 40))[0] == Put.STOPPED
    assert safe <= status.durable_sequence
    late = gateway.take()
    assert not (late["key"] // 2 > status.durable_sequence).any(), "a report went out that is not on disk"
    with pytest.raises(PipelineError, match="repair the cause"):
        AuditWriter(p, log, CONFIG)
    engine.close()
    # A write that was done in part has left nothing that would look like damage to who has the log alone.
    assert recover(log, cut=False).sequence >= status.durable_sequence

    p.clear_failure()  # the operator has repaired the disk
    again = AuditWriter(p, log, CONFIG, file_records=1000, linger_ns=0)
    while again.poll() > 0:  # in this thread nobody else makes room in the ring
        pass
    engine = EngineLoop(p, log, CONFIG)
    p.state = ExchangeState.RUNNING
    assert gateway.put(buy(1, 1 << 40))[0] == Put.OK
    while p.status().orders_waiting or p.durable_sequence < p.status().sequence:
        engine.poll()
        gateway.take()
        assert again.poll() >= 0, p.status()
    result = verify(log)
    assert (result.findings, result.notes) == ([], [])
    assert result.records == p.status().sequence > safe
    engine.close()
    again.close()
    p.close()


@pytest.mark.parametrize("ring", ["nearly empty", "full"])
def test_no_room_for_the_next_file_refuses_orders_while_what_was_taken_still_fits(
    shim: Path, shared: Path, tmp_path: Path, ring: str
) -> None:
    log = tmp_path / "log"
    full = {"audit_slots": 1024, "file_records": 1024, "hold_at": 1500} if ring == "full" else {}
    p, engine, gateway, _, _, writer = run_until_failure(shim, shared, log, f"posix_fallocate:4:{errno.ENOSPC}", **full)
    assert "no room for the next file" in p.status().failure
    assert gateway.put(buy(1, 1 << 40))[0] == Put.STOPPED
    engine.close()
    assert writer.wait(10) == 0
    status = p.status()
    assert status.durable_sequence == status.sequence
    result = verify(log)
    assert (result.findings, result.records) == ([], status.sequence)
    p.close()


def test_a_directory_that_cannot_be_written_is_refused_before_an_order_is_taken(shared: Path) -> None:
    create(shared)
    log = Path(tempfile.mkdtemp(prefix="matchmark-test-log-"))
    log.chmod(0o500)
    shared.chmod(0o755)
    for path in shared.iterdir():
        path.chmod(0o666)
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            if os.geteuid() == 0:
                os.seteuid(65534)
            AuditWriter(Pipeline(shared), log, CONFIG)
            os.write(write, b"opened")
        except PipelineError as error:
            os.write(write, f"{error.errno} {error}".encode())
        os._exit(0)
    os.waitpid(pid, 0)
    said = os.read(read, 4096).decode()
    os.close(read)
    os.close(write)
    log.chmod(0o700)
    shutil.rmtree(log)
    assert said.startswith(str(errno.EACCES))
    assert "audit log" in said
    with Pipeline(shared) as p:
        assert p.state == ExchangeState.STARTING


def test_shared_memory_that_is_not_ours_is_refused(shared: Path, tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="is the exchange running"):
        Pipeline(tmp_path)
    create(shared)
    whole = (shared / "orders").read_bytes()
    for damage, words in (
        (whole[:100], "too short"),
        (whole[:-256], "another size"),
        (b"x" * 64 + whole[64:], "not a matchmark"),
    ):
        (shared / "orders").write_bytes(damage)
        with pytest.raises(PipelineError, match=words):
            Pipeline(shared)
    (shared / "orders").write_bytes(whole[:8] + b"\x63" + whole[9:])
    with pytest.raises(PipelineError, match="another version"):
        Pipeline(shared)
    other = Path(tempfile.mkdtemp(dir=shared))
    create(other)
    (shared / "orders").write_bytes((other / "orders").read_bytes())
    with pytest.raises(PipelineError, match="different exchanges"):
        Pipeline(shared)


@pytest.mark.parametrize(
    "wrong", [{"order_slots": 100}, {"gateways": 0}, {"gateways": 65}, {"epoch": 0}, {"audit_slots": 32}]
)
def test_a_configuration_that_makes_no_sense_is_refused(shared: Path, wrong: dict[str, int]) -> None:
    with pytest.raises(PipelineError, match="pipeline configuration"):
        create(shared, **wrong)  # type: ignore[arg-type]


def test_one_engine_one_writer_one_gateway_of_a_number(shared: Path, tmp_path: Path) -> None:
    create(shared)
    with Pipeline(shared) as p:
        writer, engine, _ = AuditWriter(p, tmp_path, CONFIG), EngineLoop(p, tmp_path, CONFIG), Gateway(p, 0)
        with pytest.raises(PipelineError, match="another writer"):
            AuditWriter(p, tmp_path, CONFIG)
        with pytest.raises(PipelineError, match="another engine"):
            EngineLoop(p, tmp_path, CONFIG)
        with pytest.raises(PipelineError, match="already running"):
            Gateway(p, 0)
        with pytest.raises(PipelineError, match="gateways 0 to 0"):
            Gateway(p, 1)
        engine.close()
        writer.close()
        other = EngineConfig(symbols=2, max_orders=1 << 16, remembered_ids=1 << 18)
        with pytest.raises(PipelineError, match="another engine configuration"):
            AuditWriter(p, tmp_path, other)
        with pytest.raises(PipelineError, match="another engine configuration"):
            EngineLoop(p, tmp_path, other)


def test_a_file_smaller_than_the_audit_ring_is_refused(shared: Path, tmp_path: Path) -> None:
    create(shared, audit_slots=2048)
    with Pipeline(shared) as p, pytest.raises(PipelineError, match="at least audit_slots, 2048"):
        AuditWriter(p, tmp_path, CONFIG, file_records=2000)


def test_a_cold_start_goes_on_where_the_log_ends(shared: Path, tmp_path: Path) -> None:
    hashes = []
    for epoch in (1, 2, 3):
        extent = recover(tmp_path)
        create(shared, extent, epoch=epoch, audit_slots=512)
        with Pipeline(shared) as p:
            writer = AuditWriter(p, tmp_path, CONFIG, file_records=1000, linger_ns=0)
            engine, gateway = EngineLoop(p, tmp_path, CONFIG), Gateway(p, 0)
            hashes.append(engine.state_hash())
            p.state = ExchangeState.RUNNING
            assert gateway.put_all(buy(700, 1 + 700 * epoch)) == 700
            while p.status().orders_waiting or p.durable_sequence < p.status().sequence:
                engine.poll()
                writer.poll()
            assert len(gateway.take()) == 700
            engine.close()
            writer.close()
    assert len(set(hashes)) == 3
    result = verify(tmp_path)
    assert (result.findings, result.commands, result.records) == ([], 2100, 4200)
    assert len(list(tmp_path.glob("audit-*.log"))) == 5
    assert (tmp_path / "spare").stat().st_size > AUDIT_HEADER_BYTES


def test_a_gateway_that_never_reads_holds_nobody_up_and_can_come_back(shared: Path, tmp_path: Path) -> None:
    create(shared, gateways=2, report_slots=64)
    with Pipeline(shared) as p:
        writer, engine = AuditWriter(p, tmp_path, CONFIG, linger_ns=0), EngineLoop(p, tmp_path, CONFIG)
        lazy, busy = Gateway(p, 0), Gateway(p, 1)
        p.state = ExchangeState.RUNNING

        def trade(gateway: Gateway, first: int, n: int) -> None:
            assert gateway.put_all(buy(n, first)) == n
            while p.status().orders_waiting:
                engine.poll()
                busy.take()

        trade(lazy, 1, 100)
        assert lazy.lost_from > 0
        trade(busy, 1000, 200)
        first = lazy.take()
        assert len(first) == 64
        assert lazy.lost_from > first["key"][-1]
        lost_from = lazy.lost_from
        assert lazy.resume() == 0
        for _ in range(128):
            engine.poll()
        resumed = lazy.resume()
        assert resumed > lost_from
        trade(lazy, 5000, 3)
        later = lazy.take()
        assert len(later) == 3
        assert later["key"][0] >= resumed
        engine.close()
        writer.close()


def test_a_part_of_a_record_behind_the_durable_mark_is_the_writers_affair(shared: Path, tmp_path: Path) -> None:
    """Memory says how far the log was committed: what lies behind is written again, whatever it is."""
    log = tmp_path / "log"
    create(shared)
    with Pipeline(shared) as p:
        writer = AuditWriter(p, log, CONFIG, file_records=1 << 17, linger_ns=0)
        engine, gateway = EngineLoop(p, log, CONFIG), Gateway(p, 0)
        p.state = ExchangeState.RUNNING
        assert gateway.put_all(buy(101, 1)) == 101
        while p.status().orders_waiting or p.durable_sequence < p.status().sequence:
            engine.poll()
            writer.poll()
        committed = p.durable_sequence
        engine.close()
        writer.close()
    with max(log.glob("audit-*.log")).open("r+b") as out:
        out.seek(AUDIT_HEADER_BYTES + committed * 272)
        out.write(b"\x01" * 100)
    for last, said in ((-1, "damage"), (committed + 1, "damage")):
        with pytest.raises(PipelineError, match=said):
            recover(log, cut=False, last=last)
    assert recover(log, cut=False, last=committed).sequence == committed
    assert recover(log, cut=False, last=committed - 1).sequence == committed - 1
    assert recover(log, cut=False, last=0).config is not None
    with pytest.raises(PipelineError, match="shared memory says that"):
        recover(tmp_path / "none", cut=False, last=5)
