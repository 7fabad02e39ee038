"""Starts QuickFIX's ordermatch on a folder and a port, and builds it before the first start: start.py FOLDER PORT.

Source and library are Debian's packages quickfix and libquickfix-dev; nothing of the source is changed. The program is kept in
$MATCHMARK_CACHE (~/.cache/matchmark).
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

HERE = Path(os.environ.get("MATCHMARK_CACHE", Path.home() / ".cache" / "matchmark")) / "quickfix-ordermatch"
SOURCES = ("Application.cpp", "Market.cpp", "ordermatch.cpp")
CLIENTS = 8
HEADER = Path("/usr/include/quickfix/Application.h")
APT = Path("/etc/apt")


def run(*words: str | Path, cwd: Path | None = None) -> None:
    done = subprocess.run([str(word) for word in words], cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, words))}: {(done.stderr or done.stdout).strip()[-2000:]}")


def source_list(folder: Path) -> Path:
    """Where this machine has its Debian packages from, asked for their sources; the machine's own lists stay as they are."""
    for name, binary, sources in (
        ("sources.list.d/debian.sources", "Types: deb", "Types: deb-src"),
        ("sources.list", "deb ", "deb-src "),
    ):
        with suppress(OSError):
            lines = (APT / name).read_text(encoding="utf-8").splitlines()
            path = folder / Path(name).name
            path.write_text("".join(f"{line.replace(binary, sources, 1)}\n" for line in lines), encoding="utf-8")
            return path
    sys.exit("no list of Debian's packages in /etc/apt")


def build() -> tuple[Path, Path]:
    """The program and the data dictionary of FIX 4.2."""
    program, dictionary = HERE / "ordermatch", HERE / "FIX42.xml"
    if program.is_file() and dictionary.is_file():
        return program, dictionary
    if not HEADER.is_file():
        if os.geteuid() != 0 or not shutil.which("apt-get"):
            sys.exit("QuickFIX's library is missing: apt-get install libquickfix-dev")
        run("apt-get", "install", "-y", "-qq", "libquickfix-dev")
    source = HERE / "source"
    shutil.rmtree(source, ignore_errors=True)
    (source / "state" / "lists" / "partial").mkdir(parents=True)
    (source / "cache" / "archives" / "partial").mkdir(parents=True)
    own = [f"-oDir::Etc::sourcelist={source_list(source)}", "-oDir::Etc::sourceparts=/dev/null",
           f"-oDir::State={source / 'state'}", f"-oDir::Cache={source / 'cache'}",
           "-oDir::State::status=/var/lib/dpkg/status"]  # fmt: skip
    run("apt-get", *own, "update", "-qq")
    run("apt-get", *own, "source", "--download-only", "-qq", "quickfix", cwd=source)
    run("tar", "xzf", next(source.glob("quickfix_*.orig.tar.gz")), cwd=source)
    (tree,) = source.glob("quickfix-*.orig")
    # The build of the whole would write it; ordermatch needs nothing of it.
    (source / "config.h").write_text("", encoding="ascii")
    code = [tree / "examples" / "ordermatch" / name for name in SOURCES]
    run("g++", "-std=c++11", "-O2", "-w", "-I", source, "-o", source / "ordermatch", *code, "-lquickfix", "-lpthread")
    shutil.copy(tree / "spec" / "FIX42.xml", dictionary)
    os.replace(source / "ordermatch", program)
    shutil.rmtree(source)
    return program, dictionary


def settings(folder: Path, port: int, dictionary: Path) -> str:
    """As the example's own ordermatch.cfg, with more clients."""
    lines = [
        "[DEFAULT]", "ConnectionType=acceptor", f"SocketAcceptPort={port}", "SocketReuseAddress=Y", "SocketNodelay=Y",
        f"FileStorePath={folder / 'store'}", "StartTime=00:00:00", "EndTime=00:00:00", f"DataDictionary={dictionary}",
    ]  # fmt: skip
    for n in range(1, CLIENTS + 1):
        lines += ["[SESSION]", "BeginString=FIX.4.2", "SenderCompID=ORDERMATCH", f"TargetCompID=CLIENT{n}"]
    return "\n".join(lines) + "\n"


def main() -> int:
    folder, port = Path(sys.argv[1]), int(sys.argv[2])
    program, dictionary = build()
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "ordermatch.cfg"
    config.write_text(settings(folder, port, dictionary), encoding="utf-8")
    # It reads commands from its standard input for ever: a pipe that stays open and says nothing. Its log is every message.
    process = subprocess.Popen([program, config], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    while process.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            break
        time.sleep(0.05)
    fix = {"host": "127.0.0.1", "port": port, "target_comp_id": "ORDERMATCH"}
    print(json.dumps({"ready": True, "fix": fix}), flush=True)
    code = process.wait()
    return 0 if code == -signal.SIGTERM else code


if __name__ == "__main__":
    sys.exit(main())
