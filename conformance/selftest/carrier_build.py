"""The poll-mode carrier of the reference exchange, built with its sources edited: each mutant below FIX is one edit, and the
product has no switch for it. Built once and kept in the user's cache, under a hash of what it was made from.

Needs the sources (a checkout has them, a wheel does not), a C compiler, and what the carrier itself needs (docs/dpdk.md).
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matchmark.conformance.packets import network
from matchmark.conformance.selftest.shims import compiler
from matchmark.conformance.targets.prepare import cache_dir, once

SOURCES = Path(__file__).resolve().parents[2] / "native"
FILES = ("gateway_dpdk.c", "lwip_netif.c", "dpdk_port.c")
_BUILD = """import sys, runpy
sys.path.insert(0, ".")
made = runpy.run_path("native/build_dpdk.py")["ffibuilder"].compile(tmpdir=".", verbose=False)
print(made)
"""


@dataclass(frozen=True)
class Edit:
    """`old` stands once in the file of that name, and `new` takes its place."""

    file: str
    old: str
    new: str


def lacking() -> str:
    """Why no mutant of the carrier can be built and run on this machine; empty: it can."""
    from matchmark.native import dpdk

    if not all((SOURCES / name).is_file() for name in FILES):
        return "the carrier's C sources are not here: it takes a checkout"
    if compiler() is None:
        return "there is no C compiler on this machine"
    return dpdk.missing() or network.impossible() or ""


def edited(edits: Sequence[Edit]) -> dict[str, str]:
    """The sources by name. ValueError: an edit does not fit them any more."""
    texts = {name: (SOURCES / name).read_text(encoding="utf-8") for name in FILES}
    for edit in edits:
        found = texts[edit.file].count(edit.old)
        if found != 1:
            raise ValueError(f"{edit.file} has {found} times what an edit replaces: {edit.old.strip()[:80]!r}")
        texts[edit.file] = texts[edit.file].replace(edit.old, edit.new)
    return texts


def built(edits: Sequence[Edit]) -> Path:
    """The library. RuntimeError says why it could not be built."""
    texts = edited(edits)
    whole = [sys.version, *(path.read_text(encoding="utf-8") for path in _headers()), *texts.values()]
    folder = cache_dir() / "carriers" / hashlib.sha256(json.dumps(whole).encode()).hexdigest()[:24]
    once(folder, lambda place: _build(place, texts))
    return next(folder.rglob("_dpdk*.so"))


def _headers() -> list[Path]:
    return [*sorted(SOURCES.glob("*.h")), *sorted((SOURCES / "include").rglob("*.h")), SOURCES / "build_dpdk.py"]


def _build(place: Path, texts: dict[str, str]) -> None:
    for path in _headers():
        to = place / "native" / path.relative_to(SOURCES)
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, to)
    for name, text in texts.items():
        (place / "native" / name).write_text(text, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", _BUILD],
        cwd=place,
        env={**os.environ, "MATCHMARK_CFLAGS": "-O1"},
        capture_output=True,
        text=True,
    )
    if done.returncode != 0 or not list(place.rglob("_dpdk*.so")):
        raise RuntimeError(f"the edited carrier does not build: {(done.stderr or done.stdout).strip()[-800:]}")
