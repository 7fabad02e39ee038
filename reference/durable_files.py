"""Small files and directories that are still there after a power cut: a file's name is on disk when its directory was flushed."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def sync_directory(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def make_directory(path: Path) -> None:
    """With its parents; harmless when it is there."""
    if not path.is_dir():
        if not path.parent.exists():
            make_directory(path.parent)
        path.mkdir(exist_ok=True)
        sync_directory(path.parent)


def make_once(path: Path, fresh: bytes) -> bytes:
    """The file's bytes; `fresh` becomes it when there is none. Whole or not at all, also with two makers at once."""
    if not path.exists():
        make_directory(path.parent)
        draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
        try:
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
                out.write(fresh)
                out.flush()
                os.fsync(out.fileno())
            os.link(draft, path)
        except FileExistsError:
            pass  # another process made it first: what it made is the file
        finally:
            draft.unlink(missing_ok=True)
        sync_directory(path.parent)
    return path.read_bytes()
