"""Builds matchmark.native._native with cffi in API mode: `cffi_modules = ["native/build_ffi.py:ffibuilder"]`.

The cdef is the text between the cdef marks of the public headers, so Python and C cannot disagree about a struct.
MATCHMARK_CFLAGS is appended to the compiler's flags (default -O3).
"""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

from cffi import FFI

# setuptools wants source paths relative to the project's root, and runs this file from there.
HERE = Path(os.path.relpath(Path(__file__).parent))
HEADERS = (
    "types.h",
    "stages.h",
    "engine.h",
    "audit.h",
    "pipeline.h",
    "replica.h",
    "fix.h",
    "fix_session.h",
    "risk.h",
    "gateway.h",
    "replay.h",
    "load.h",
    "cannon.h",
    "snapshot.h",
    "direct_feed.h",
    "fanout.h",
)
ENGINE = (
    "engine.c",
    "engine_orders.c",
    "engine_requests.c",
    "engine_trading.c",
    "engine_query.c",
    "book.c",
    "book_check.c",
    "far_tree.c",
)
AUDIT = ("crc32c.c", "audit_file.c", "audit_recover.c", "audit_writer.c")
LOOP = (
    "engine_loop.c",
    "engine_loop_known.c",
    "engine_loop_publish.c",
    "engine_loop_record.c",
    "engine_loop_replay.c",
    "engine_loop_report.c",
)
FIX = (
    "fix_tables_44.c",
    "fix_dictionary.c",
    "fix_codec.c",
    "fix_shape.c",
    "fix_values.c",
    "fix_check.c",
    "fix_write.c",
    "fix_report.c",
)
REPLICA = ("replica_log.c", "replica_send.c", "replica_take.c")
SESSION = ("fix_store.c", "fix_session.c", "fix_session_out.c")
GATEWAY = (
    "risk.c",
    "gateway.c",
    "gateway_connections.c",
    "gateway_disconnect.c",
    "gateway_keep.c",
    "gateway_orders.c",
    "gateway_reports.c",
    "gateway_takeover.c",
    "gateway_tcp.c",
    "gateway_trading.c",
)
SNAPSHOT = ("snapshot.c",)
DIRECT_FEED = ("direct_feed.c", "direct_feed_message.c", "direct_feed_packet.c")
FANOUT = ("fanout.c",)
LOAD = ("load.c", "load_in.c", "load_out.c")
CANNON = ("cannon.c", "cannon_in.c", "cannon_out.c", "cannon_echo.c")
SOURCES = (
    *ENGINE,
    "log_replay.c",
    "shm.c",
    "stages.c",
    "pipeline.c",
    *AUDIT,
    *LOOP,
    *REPLICA,
    *FIX,
    *SESSION,
    *GATEWAY,
    *LOAD,
    *CANNON,
    *SNAPSHOT,
    *DIRECT_FEED,
    *FANOUT,
)


def cdef_of(header: str) -> str:
    """The declarations between the cdef marks of one public header."""
    text = (HERE / "include" / "matchmark" / header).read_text(encoding="utf-8")
    parts = re.findall(r"/\* cdef begin \*/(.*?)/\* cdef end \*/", text, re.DOTALL)
    if not parts:
        raise SystemExit(f"{header}: no text between '/* cdef begin */' and '/* cdef end */'")
    return "".join(parts)


ffibuilder = FFI()
ffibuilder.cdef("".join(cdef_of(header) for header in HEADERS))
ffibuilder.set_source(
    "matchmark.native._native",
    "".join(
        f'#include "matchmark/{header}"\n'
        for header in (
            "gateway.h",
            "replay.h",
            "replica.h",
            "load.h",
            "cannon.h",
            "snapshot.h",
            "direct_feed.h",
            "fanout.h",
        )
    ),
    sources=[str(HERE / source) for source in SOURCES],
    include_dirs=[str(HERE / "include"), str(HERE)],
    depends=[str(path) for path in sorted(HERE.glob("*.h")) + sorted((HERE / "include" / "matchmark").glob("*.h"))],
    extra_compile_args=["-std=c11", "-Wall", "-Wextra", *shlex.split(os.environ.get("MATCHMARK_CFLAGS", "-O3"))],
)

if __name__ == "__main__":
    ffibuilder.compile(verbose=True)
