"""A pause is over every thread at once, also where processors are wanted."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from matchmark.chaos.faults.pause import Pause, stands_still

WORKERS = """
import hashlib, threading, time
block = bytes(1 << 16)
def work():
    while True:
        hashlib.sha256(block)
for _ in range(3):
    threading.Thread(target=work, daemon=True).start()
print("ready", flush=True)
while True:
    time.sleep(0.01)
"""
ROUNDS = 40


@pytest.fixture
def crowd() -> Iterator[list[int]]:
    """More processes with busy threads than there are processors."""
    made = [
        subprocess.Popen([sys.executable, "-c", WORKERS], stdout=subprocess.PIPE)
        for _ in range(2 * (os.cpu_count() or 1))
    ]
    for one in made:
        assert one.stdout
        one.stdout.readline()
    yield [one.pid for one in made]
    for one in made:
        one.kill()
        one.wait()
        assert one.stdout
        one.stdout.close()


def test_when_it_is_injected_no_thread_works_any_more(crowd: list[int]) -> None:
    victim, *_ = crowd
    for _ in range(ROUNDS):
        pause = Pause(lambda: [victim])
        pause.inject()
        try:
            assert stands_still(victim)
        finally:
            pause.heal()
    assert not stands_still(victim)


def test_who_has_ended_stands_still() -> None:
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    Pause(lambda: [done.pid]).inject()
