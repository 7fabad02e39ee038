"""The lab: nothing is left of it however it ends, and its power cut catches an exchange that acknowledges without flushing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from matchmark.chaos.faults.disk import Disk
from matchmark.chaos.faults.mounting import cannot_mount, is_mounted
from matchmark.conformance.checks import audit_ledger as ledgers
from matchmark.conformance.checks.audit_calls import unflushed
from matchmark.conformance.checks.audit_steps import steps
from matchmark.conformance.hooks import MARK, Instance, waited
from matchmark.conformance.lab import Lab
from matchmark.conformance.lab_guard import marked
from matchmark.conformance.suites._durability import Desk
from matchmark.conformance.targets import profile as profiles
from matchmark.conformance.targets.profile import Profile

needs_fuse = pytest.mark.skipif(cannot_mount() is not None, reason=f"cannot mount here: {cannot_mount()}")

NO_FLUSH = "int fdatasync(int fd) { (void)fd; return 0; }\n"


def profile(name: str = "exchange") -> Profile:
    return profiles.load(Path(profiles.__file__).parent / f"{name}.toml")


@needs_fuse
def test_a_power_cut_catches_an_exchange_that_acknowledges_without_flushing(tmp_path: Path) -> None:
    (tmp_path / "shim.c").write_text(NO_FLUSH)
    shim = tmp_path / "shim.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", shim, tmp_path / "shim.c"], check=True)
    with Disk() as disk, Lab(profile("exchange-fsync"), tmp_path / "lab", disk) as lab:
        lab.start()  # the positive control: the same exchange, and it flushes
        desk = Desk(lab, lab.accounts[0])
        kept = {desk.order("buy", 1, -3) for _ in range(20)}
        lab.power_cut()
        assert lab.instance.processes() == []
        assert kept <= {step.cl for step in steps(lab.read_log().records)}
        before = len(lab.clients)
        lab.restart(env={"LD_PRELOAD": str(shim)})
        desk = Desk(lab, lab.accounts[1])
        for _ in range(20):
            desk.order("buy", 1, -3)
        under = disk.place(lab.log_dir)
        lab.power_cut()
        ledger, logged = lab.ledger_since(before), steps(lab.read_log().records)
        assert len(ledgers.lost(ledger, logged)) == 20
        assert list(ledgers.nothing_lost(ledger, logged, "D10.X8", "the power was cut"))
        assert unflushed([call for call in disk.journal() if call.path.startswith(under)])
        memory, mount = lab.memory, disk.folder
    assert not memory.exists() and not is_mounted(mount)


HOLDER = """
import sys, time
from pathlib import Path
from matchmark.conformance.lab import Lab
from matchmark.conformance.targets import profile
lab = Lab(profile.load(Path(profile.__file__).parent / "exchange.toml"), Path(sys.argv[1]))
lab.start()
print(lab.instance.mark, lab.memory, flush=True)
time.sleep(600)
"""


def test_a_kit_that_is_killed_leaves_no_process_and_no_memory(tmp_path: Path) -> None:
    kit = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert kit.stdout
    with kit.stdout as out:
        mark, memory = out.readline().split()
    assert len(marked(f"{MARK}={mark}".encode())) >= 4
    os.kill(kit.pid, signal.SIGKILL)
    kit.wait()
    assert waited(lambda: not marked(f"{MARK}={mark}".encode()) and not Path(memory).exists(), 30.0)


def test_a_target_that_does_not_start_says_why(tmp_path: Path) -> None:
    with Lab(profile(), tmp_path / "lab") as lab, pytest.raises(Exception, match=r"unrecognized arguments: --nonsense"):
        lab.start("--nonsense")
    assert lab.instance.processes() == [] and not lab.memory.exists()


def test_a_signal_just_after_the_start_leaves_nothing_that_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = []

    class Interrupted(subprocess.Popen):  # type: ignore[type-arg]
        def __init__(self, *words: Any, **more: Any) -> None:
            super().__init__(*words, **more)
            started.append(self)
            raise KeyboardInterrupt

    hooks = {"start": [sys.executable, "-c", "import time; time.sleep(60)"]}
    instance = Instance(hooks, {}, tmp_path)
    monkeypatch.setattr(subprocess, "Popen", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        instance.start()
    assert instance.processes() == []
    assert started[0].wait(10) == -signal.SIGKILL
