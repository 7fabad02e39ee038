"""A disk that does not take the log: orders are refused with a reason, the session stays, nothing acknowledged is lost."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from matchmark.reference.tokens import Keys
from matchmark.reference.verify import verify

from .serving import Serve, Trader

Make = Callable[..., Serve]

NAMESPACE = ["unshare", "-rm", "sh", "-c", 'mount -t tmpfs -o size=$0 none "$1" && shift && exec "$@"']


def namespaces_work() -> bool:
    """A mount of one's own, which goes when its process goes."""
    if shutil.which("unshare") is None:
        return False
    return (
        subprocess.run(["unshare", "-rm", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True).returncode == 0
    )


needs_namespaces = pytest.mark.skipif(not namespaces_work(), reason="this user may not make a mount namespace")


def on_tmpfs(serving: Make, tmp_path: Path, size: str) -> Serve:
    """A serve whose data directory is on a file system of its own of that size, which only it can see."""
    (tmp_path / "disk").mkdir()
    x = serving(prefix=[*NAMESPACE, size, str(tmp_path / "disk")])
    x.data = tmp_path / "disk" / "data"
    return x


def fill(client: Trader, until_refused: int = 200_000) -> dict[int, str]:
    """Orders that rest and are cancelled again at once, in lots of 100, until one is refused: that refusal.

    Those that were on their way to the engine when it stopped have no answer before the exchange runs again.
    """
    refusals: list[dict[int, str]] = []
    looked = 0

    def answered(n: int) -> bool:
        nonlocal looked
        refusals.extend(report for report in client.reports[looked:] if report[150] == "8")
        looked = len(client.reports)
        return bool(refusals) or looked >= n

    for n in range(0, until_refused, 100):
        wanted = len(client.reports) + 100
        for k in range(n, n + 100):
            client.new(f"f{k}", 1, 1, "60.00", tif=3)
        while not client.read_until(lambda: answered(wanted), 0.5):  # noqa: B023
            assert not client.cut
            client.new(f"f{n}-{len(client.sent)}", 1, 1, "60.00", tif=3)  # all of the lot may have been on their way
        if refusals:
            return refusals[0]
    raise AssertionError("no order was refused")


def test_a_failed_write_stops_the_exchange_and_the_session_stays(serving: Make) -> None:
    x = serving()
    ready = x.start()
    client = x.client()
    client.new("kept", 1, 10, "100.00")
    assert client.next()[150] == "0"
    x.wait_for(lambda s: s["sequence"] == s["durable_sequence"])
    resource.prlimit(ready["pids"]["writer"], resource.RLIMIT_FSIZE, (8192, resource.RLIM_INFINITY))
    refusal = fill(client)
    assert (refusal[39], refusal[103]) == ("8", "2") and "not taking orders" in refusal[58]
    status = x.wait_for(lambda s: s["state"] == "failed")
    assert "audit log" in status["failure"] and "write failed" in status["failure"] and status["pids"]["gateway"] > 0
    client.send("H", (11, "kept"), (55, "SYM1"), (54, 1))
    client.send("1", (112, "still there"))
    assert client.read_until(lambda: client.expected > int(refusal[34]) + 2)
    assert x.stop() == 1
    assert "takes no orders" in x.stderr() and "Traceback" not in x.stderr()
    acknowledged = {report[11] for report in client.reports if report.get(150) == "0"}
    x.start()
    assert "starting it again says that this was repaired" in x.stderr()
    client.connect(x.ready["fix"]["port"])
    client.new("after", 1, 1, "60.00")
    assert client.read_until(lambda: any(report.get(11) == "after" for report in client.reports))
    sent = {dict(fields)[11] for kind, fields in client.sent.values() if kind == "D"}
    assert client.read_until(lambda: not sent - {report.get(11) for report in client.reports})
    assert x.stop() == 0
    result = verify(x.data / "log")
    assert not result.findings
    assert acknowledged


@needs_namespaces
def test_a_full_disk_refuses_orders_before_anything_is_acknowledged(serving: Make, tmp_path: Path) -> None:
    x = on_tmpfs(serving, tmp_path, "14m")  # room for two files of 5.4 MB and a session, not for three
    x.start()
    pid = x.ready["pid"]
    data = Path(f"/proc/{pid}/root{x.data}")
    client = Trader("ACC1-1", Keys(data / "keys").issue("ACC1", 600)).connect(x.ready["fix"]["port"])
    x.clients.append(client)
    refusal = fill(client)
    assert refusal[103] == "2"
    status = x.wait_for(lambda s: s["state"] == "failed" and s["sequence"] == s["durable_sequence"])
    assert "no room for the next file: No space left on device" in status["failure"]
    accepted = sum(report[150] == "0" for report in client.reports)
    result = verify(data / "log")
    assert not result.findings and result.commands == accepted
    assert x.stop() == 1


@needs_namespaces
def test_a_disk_that_is_full_at_the_start_is_one_sentence(serving: Make, tmp_path: Path) -> None:
    code, said = on_tmpfs(serving, tmp_path, "4m").refused()
    assert code == 3 and "No space left on device" in said and "free some space" in said and "Traceback" not in said


@needs_namespaces
def test_a_read_only_disk_is_one_sentence(serving: Make, tmp_path: Path) -> None:
    x = on_tmpfs(serving, tmp_path, "16m,ro")
    code, said = x.refused()
    assert code == 3 and "Read-only file system" in said and "make it writable" in said and "Traceback" not in said


def test_shared_memory_that_cannot_be_made_is_one_sentence(serving: Make, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code, said = serving().refused("--shm-dir", str(tmp_path / "file" / "shm"))
    assert code == 3 and "shared memory" in said and "Traceback" not in said


def test_a_role_that_ends_again_and_again_stops_the_exchange_with_its_words(serving: Make) -> None:
    x = serving()
    x.start()
    (x.data / "sessions.json").write_text("{broken")
    os.kill(x.ready["pids"]["gateway"], 9)
    status = x.wait_for(lambda s: s["state"] == "failed")
    assert "sessions.json is damaged" in status["failure"]
    assert x.stop() == 1
    assert "Traceback" not in x.stderr()
