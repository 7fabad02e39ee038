"""The order ring under threads, watched by ThreadSanitizer where clang is there. Processes and kill -9: test_audit_kill.py."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from matchmark.native.pipeline import pick_wait
from matchmark.native.pipeline_records import Wait

HERE = Path(__file__).resolve().parent
NATIVE = HERE.parent


@pytest.mark.parametrize(("compiler", "flags"), [("cc", []), ("clang", ["-fsanitize=thread"])])
def test_orders_of_many_producers_arrive_whole_and_once(tmp_path: Path, compiler: str, flags: list[str]) -> None:
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not installed")
    program = tmp_path / "ring_stress"
    build = [compiler, "-std=c11", "-O2", "-g", *flags, f"-I{NATIVE}", f"-I{NATIVE / 'include'}"]
    subprocess.run([*build, HERE / "ring_stress.c", "-o", program, "-lpthread"], check=True)
    run = subprocess.run([program, "30000"], capture_output=True, text=True, timeout=120, check=False)
    assert (run.returncode, run.stderr) == (0, "")


def test_the_wait_strategy_is_picked_by_the_processors_and_said() -> None:
    one, text = pick_wait(1 << 16)
    assert one == Wait.SLEEP
    assert "picked by processor count" in text
    asked, text = pick_wait(3, Wait.SPIN)
    assert asked == Wait.SPIN
    assert "asked for" in text
