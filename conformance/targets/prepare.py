"""What an adapter needs before it can run: a virtual environment for its requirements, a build of its sources.

Both are made once and kept in the user's cache, under a hash of what they were made from, so the second run starts at
once and a changed adapter is built again.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from matchmark.conformance.targets.base import TargetUnavailable
from matchmark.conformance.targets.profile import Profile

BUILD_TIMEOUT_S = 900


def cache_dir() -> Path:
    """$MATCHMARK_CACHE, else the user's cache folder."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "matchmark"
    return Path(os.environ.get("MATCHMARK_CACHE") or default)


def prepared_command(profile: Profile) -> tuple[list[str], dict[str, str]]:
    """The command line and the extra environment of a subprocess target, ready to run."""
    table = profile.tables["subprocess"]
    places = {"PYTHON": sys.executable}
    if table.get("requires"):
        places["PYTHON"] = str(_environment(table["requires"]))
    if table.get("prepare"):
        places["BUILD"] = str(_build(profile, table["prepare"], places))
    command = [_fill(str(word), places) for word in table["command"]]
    env = {name: _fill(str(value), places) for name, value in table.get("env", {}).items()}
    return command, env


def _fill(word: str, places: dict[str, str]) -> str:
    for name, value in places.items():
        word = word.replace("${" + name + "}", value)
    return word


def _environment(requires: list[str]) -> Path:
    """The interpreter of a virtual environment that holds `requires`."""
    folder = cache_dir() / "venvs" / _digest([*sorted(requires), sys.version])

    def make(place: Path) -> None:
        print(f"installing {', '.join(requires)} into an environment of its own", file=sys.stderr)
        venv.create(place, with_pip=True)
        _run(
            [str(place / "bin" / "python"), "-m", "pip", "install", "-q", "--disable-pip-version-check", *requires],
            place,
        )

    once(folder, make)
    return folder / "bin" / "python"


def _build(profile: Profile, commands: list[list[str]], places: dict[str, str]) -> Path:
    found = sorted(profile.folder.rglob("*"))
    sources = [p for p in found if p.is_file() and "__pycache__" not in p.parts and p.suffix != ".md"]
    contents = [f"{p.relative_to(profile.folder)}:{hashlib.sha256(p.read_bytes()).hexdigest()}" for p in sources]
    folder = cache_dir() / "builds" / _digest([json.dumps(commands), *contents])

    def make(place: Path) -> None:
        print(f"building {profile.info.name}", file=sys.stderr)
        for command in commands:
            _run([_fill(str(word), {**places, "BUILD": str(place)}) for word in command], profile.folder)

    once(folder, make)
    return folder


def once(folder: Path, make: Callable[[Path], None]) -> None:
    """Make the folder under its final name (venvs cannot be moved) and mark it whole; an unfinished one is made anew."""
    done = folder / ".complete"
    if done.exists():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _lock(folder):
        if done.exists():
            return
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        try:
            make(folder)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        done.touch()


@contextlib.contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """Two runs at once that need the same folder: the second waits for the first."""
    with open(folder.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _run(command: list[str], cwd: Path) -> None:
    with tempfile.TemporaryFile("w+", errors="replace") as log:
        try:
            code = subprocess.run(
                command, cwd=cwd, stdin=subprocess.DEVNULL, stdout=log, stderr=log, timeout=BUILD_TIMEOUT_S
            ).returncode
        except FileNotFoundError:
            raise TargetUnavailable(f"the profile's preparation needs {command[0]!r}, which is not installed") from None
        except subprocess.TimeoutExpired:
            raise TargetUnavailable(f"{' '.join(command)}: not finished within {BUILD_TIMEOUT_S} s") from None
        if code != 0:
            log.seek(0)
            tail = " | ".join(log.read().strip().splitlines()[-6:])
            raise TargetUnavailable(f"{' '.join(command)}: exit status {code}: {tail}")


def _digest(parts: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:24]
