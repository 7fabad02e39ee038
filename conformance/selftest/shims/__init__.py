"""Shared libraries that are loaded in front of the C library, to break how the audit writer uses the disk (C sources beside)."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sysconfig
from importlib.resources import files
from pathlib import Path


def compiler() -> list[str] | None:
    """The command of a C compiler of this machine; None when there is none."""
    for command in (shlex.split(sysconfig.get_config_var("CC") or ""), ["cc"], ["gcc"], ["clang"]):
        if command and shutil.which(command[0]):
            return command
    return None


def compiled(folder: Path) -> Path:
    """The audit shim, built in `folder`. RuntimeError says why it could not be."""
    command = compiler()
    if command is None:
        raise RuntimeError("there is no C compiler on this machine")
    source, library = Path(str(files(__name__) / "audit_shim.c")), folder / "audit_shim.so"
    made = subprocess.run(
        [*command, "-std=gnu11", "-O1", "-Wall", "-Wextra", "-shared", "-fPIC", "-o", library, source, "-ldl"],
        capture_output=True,
        text=True,
    )
    if made.returncode != 0:
        raise RuntimeError(f"the audit shim does not compile: {made.stderr.strip()[-500:]}")
    return library
