"""Messages whose order of tags is known are parsed a shorter way: it must not make a difference to what is said of them."""

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
)


@pytest.mark.parametrize(("compiler", "flags"), [("cc", ["-O3"]), ("clang", ["-O1", "-fsanitize=address,undefined"])])
def test_remembered_shapes_make_no_difference(tmp_path: Path, compiler: str, flags: list[str]) -> None:
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not installed")
    program = tmp_path / "fix_shapes"
    build = [compiler, "-std=c11", "-g", *flags, f"-I{NATIVE}", f"-I{NATIVE / 'include'}", HERE / "fix_shapes.c"]
    subprocess.run([*build, *(NATIVE / source for source in SOURCES), "-o", program], check=True)
    run = subprocess.run([program, "300000"], capture_output=True, text=True, timeout=300, check=False)
    assert (run.returncode, run.stderr) == (0, "")
    assert int(run.stdout) > 100_000, "most messages must be sound, or nothing is remembered"
