"""A machine that loses its power keeps what was flushed, loses the rest with its memory, and leaves nothing behind."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from matchmark.chaos.faults.machine import Machine, cannot_have
from matchmark.chaos.faults.mounting import is_mounted

WRITER = """
import os, sys, time
kept = os.open(sys.argv[1] + "/kept", os.O_CREAT | os.O_WRONLY)
os.write(kept, b"flushed")
os.fsync(kept)
folder = os.open(sys.argv[1], os.O_RDONLY)
os.fsync(folder)
os.write(kept, b" and not")
open(sys.argv[1] + "/lost", "w").write("never flushed")
open(sys.argv[2] + "/ring", "w").write("memory")
open("/dev/shm/own", "w").write("memory")
print("written", flush=True)
while True:
    time.sleep(1)
"""


@pytest.mark.parametrize("file_system", ["ext4", "xfs"])
def test_what_was_flushed_is_there_after_a_cut_and_nothing_else(file_system: str) -> None:
    if reason := cannot_have(file_system):
        pytest.skip(reason)
    with Machine(file_system) as machine:
        words = [*machine.words, "python3", "-c", WRITER, str(machine.folder), str(machine.memory)]
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout and process.stdout.readline() == "written\n"
            assert not Path("/dev/shm/own").exists()
            before = time.monotonic_ns()
            assert before + machine.stopping_ns <= machine.cut() <= time.monotonic_ns()
            assert 0 < machine.stopping_ns < time.monotonic_ns() - before
            assert process.wait(5) == -9
        assert not is_mounted(machine.folder)
        machine.power_on()
        assert (machine.folder / "kept").read_bytes() == b"flushed"
        assert not (machine.folder / "lost").exists()
        assert os.listdir(machine.memory) == []
        folder, group = machine.folder, machine.group.folder
    assert not folder.exists() and not group.exists()
