"""A Java runtime and Apache Kafka's jars: what is missing is installed, what is taken is checked against a pinned list.

Jars come through Maven, as it is set up on the machine (mirrors and proxies are its own settings), into a cache directory.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from importlib.resources import files
from pathlib import Path
from xml.sax.saxutils import escape

VERSION = "4.1.1"
JAVA_LEAST = 17
"""Of Kafka 4's brokers."""
PATIENCE_S = 900
_PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:2.8:copy-dependencies"

Say = Callable[[str], None]


class ServiceError(RuntimeError):
    """A service cannot be had or does not do what it is asked for: one sentence, whose fault it is and what to do."""


def cache_directory() -> Path:
    """Where matchmark keeps what it downloads."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "matchmark"


def pinned() -> Mapping[str, str]:
    """`group:artifact:version` of each jar, and its SHA-256."""
    text = (files("matchmark.reference.services") / f"kafka-{VERSION}.txt").read_text(encoding="ascii")
    return dict(line.split() for line in text.splitlines() if line and not line.startswith("#"))


def java(say: Say) -> str:
    """The path of a Java that runs Kafka; installed where it is missing and we are root. ServiceError: there is none."""
    for path in _javas():
        if _java_version(path) >= JAVA_LEAST:
            return path
    _install("default-jre-headless", say)
    for path in _javas():
        if _java_version(path) >= JAVA_LEAST:
            return path
    raise ServiceError(f"Kafka {VERSION} needs Java {JAVA_LEAST} or later: install one, or name it in JAVA_HOME")


def jars(say: Say, root: Path | None = None) -> Path:
    """The directory that holds all of the pinned jars, complete and checked, below `root`, or the cache directory."""
    to = (root or cache_directory()) / f"kafka-{VERSION}"
    wanted = pinned()
    if not (missing := [name for name, digest in wanted.items() if not _is(to / _file(name), digest)]):
        return to
    to.mkdir(parents=True, exist_ok=True)
    maven = shutil.which("mvn")
    if not maven:
        _install("maven", say)
        maven = shutil.which("mvn")
    if not maven:
        raise ServiceError(f"Maven, which brings Kafka's jars, is missing: install it, or put the jars into {to}")
    say(f"Apache Kafka {VERSION}: {len(missing)} of {len(wanted)} jars are brought by Maven to {to}")
    with tempfile.TemporaryDirectory(prefix="matchmark-maven-") as directory:
        _bring(maven, missing, Path(directory))
        for name in missing:
            jar = Path(directory) / "jars" / _file(name)
            if not _is(jar, wanted[name]):
                raise ServiceError(
                    f"{name} as Maven brought it is not the pinned one (SHA-256): the repository or Maven's cache of it "
                    "is damaged or not to be trusted; remove it there and try again"
                )
            part = to / f"{jar.name}.part"
            shutil.copyfile(jar, part)
            part.rename(to / jar.name)
    say(f"Apache Kafka {VERSION}: all {len(wanted)} jars are there, each with its pinned SHA-256")
    return to


def _file(name: str) -> str:
    _, artifact, version = name.split(":")
    return f"{artifact}-{version}.jar"


def _is(path: Path, digest: str) -> bool:
    return path.exists() and hashlib.sha256(path.read_bytes()).hexdigest() == digest


def _bring(maven: str, names: list[str], directory: Path) -> None:
    """Nothing that a jar would draw in by itself: the list is whole."""
    each = "".join(_dependency(*name.split(":")) for name in names)
    (directory / "pom.xml").write_text(
        "<project><modelVersion>4.0.0</modelVersion><groupId>matchmark</groupId><artifactId>kafka</artifactId>"
        f"<version>1</version><packaging>pom</packaging><dependencies>{each}</dependencies></project>"
    )
    words = [maven, "-B", "-q", "-C", "-f", str(directory / "pom.xml"), _PLUGIN]
    try:
        done = subprocess.run(
            [*words, f"-DoutputDirectory={directory / 'jars'}"], capture_output=True, text=True, timeout=PATIENCE_S
        )
    except subprocess.TimeoutExpired:
        raise ServiceError(
            f"Maven did not bring Kafka's jars in {PATIENCE_S} s: is its repository reachable?"
        ) from None
    if done.returncode:
        lines = [line for line in done.stdout.splitlines() if "ERROR" in line] or [done.stderr.strip()[-300:]]
        raise ServiceError(f"Maven cannot bring Kafka's jars (exit code {done.returncode}): {lines[0][:400]}")


def _dependency(group: str, artifact: str, version: str) -> str:
    inner = f"<groupId>{escape(group)}</groupId><artifactId>{escape(artifact)}</artifactId><version>{escape(version)}</version>"
    nothing_else = "<exclusions><exclusion><groupId>*</groupId><artifactId>*</artifactId></exclusion></exclusions>"
    return f"<dependency>{inner}{nothing_else}</dependency>"


def _javas() -> list[str]:
    home = os.environ.get("JAVA_HOME")
    named = [f"{home}/bin/java"] if home else []
    return [path for path in (*named, shutil.which("java")) if path and os.access(path, os.X_OK)]


def _java_version(path: str) -> int:
    said = subprocess.run([path, "-version"], capture_output=True, text=True, timeout=60).stderr
    found = re.search(r'version "(\d+)', said)
    return int(found[1]) if found else 0


def _install(package: str, say: Say) -> None:
    """As root, by the system's package manager. ServiceError: by whom and how it must be done else."""
    if os.geteuid() or not shutil.which("apt-get"):
        raise ServiceError(f"{package} is missing; install it (as root: apt-get install {package}) and try again")
    say(f"installing {package}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for words in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", package]):
        done = subprocess.run(["apt-get", *words], capture_output=True, text=True, env=environment)
        if done.returncode:
            raise ServiceError(f"apt-get {' '.join(words)} failed: {done.stderr.strip()[-300:]}")
