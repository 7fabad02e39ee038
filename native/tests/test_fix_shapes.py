"""The short ways of the FIX codec against the long ones: known orders of tags, and reports as they are written."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
NATIVE = HERE.parent
SOURCES = (
    "fix_tables_44.c",
    "fix_dictionary.c",
    "fix_codec.c",
    "fix_shape.c",
    "fix_values.c",
    "fix_check.c",
    "fix_write.c",
    "fix_report.c",
)


COMPILERS = [("cc", ["-O3"], 100_000), ("clang", ["-O1", "-fsanitize=address,undefined"], 30_000)]
"""And rounds: with sanitizers each takes three times as long."""


def run(folder: Path, program: str, rounds: int, compiler: str, flags: list[str]) -> str:
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not installed")
    build = [compiler, "-std=c11", "-g", *flags, f"-I{NATIVE}", f"-I{NATIVE / 'include'}"]
    objects = folder.parent / f"objects-{compiler}"
    if not objects.exists():  # both programs are made of them
        objects.mkdir()
        subprocess.run([*build, "-c", *(NATIVE / source for source in SOURCES)], check=True, cwd=objects)
    subprocess.run([*build, HERE / f"{program}.c", *sorted(objects.glob("*.o")), "-o", folder / program], check=True)
    done = subprocess.run([folder / program, str(rounds)], capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.parametrize(("compiler", "flags", "rounds"), COMPILERS)
def test_remembered_shapes_make_no_difference(tmp_path: Path, compiler: str, flags: list[str], rounds: int) -> None:
    sound = int(run(tmp_path, "fix_shapes", rounds, compiler, flags))
    assert sound > rounds // 3, "most messages must be sound, or nothing is remembered"


@pytest.mark.parametrize(("compiler", "flags", "rounds"), COMPILERS)
def test_reports_are_written_to_the_last_byte(tmp_path: Path, compiler: str, flags: list[str], rounds: int) -> None:
    run(tmp_path, "fix_reports", rounds * 2 // 3, compiler, flags)
