"""Builds matchmark.native._dpdk: the gateway's carrier over DPDK and lwIP, a library of its own (include/matchmark/dpdk.h).

Only where pkg-config knows both and MATCHMARK_DPDK is not 0; the core is built and works without it.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path

from cffi import FFI

HERE = Path(os.path.relpath(Path(__file__).parent))
PACKAGES = ("libdpdk", "lwip")
SOURCES = ("gateway_dpdk.c", "lwip_netif.c", "dpdk_port.c")


def pkg_config(*words: str) -> list[str] | None:
    """None: there is no pkg-config, or it does not know one of them."""
    try:
        done = subprocess.run(("pkg-config", *words, *PACKAGES), capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return shlex.split(done.stdout)


def is_wanted() -> bool:
    return os.environ.get("MATCHMARK_DPDK", "1") != "0" and pkg_config("--exists") is not None


def _cdef() -> str:
    text = (HERE / "include" / "matchmark" / "dpdk.h").read_text(encoding="utf-8")
    return "".join(re.findall(r"/\* cdef begin \*/(.*?)/\* cdef end \*/", text, re.DOTALL))


ffibuilder = FFI()
ffibuilder.cdef(_cdef())
ffibuilder.set_source(
    "matchmark.native._dpdk",
    '#include "matchmark/dpdk.h"\n',
    sources=[str(HERE / source) for source in SOURCES],
    include_dirs=[str(HERE / "include"), str(HERE)],
    depends=[str(HERE / name) for name in ("gateway_carrier.h", "dpdk_port.h", "lwip_netif.h")],
    # pkg-config names an old processor: what we say comes last.
    extra_compile_args=[
        *(pkg_config("--cflags") or ()),
        "-std=gnu11",
        "-Wall",
        "-Wextra",
        *shlex.split(os.environ.get("MATCHMARK_CFLAGS", "-O3")),
    ],
    extra_link_args=pkg_config("--libs") or [],
    optional=True,
)

if __name__ == "__main__":
    ffibuilder.compile(verbose=True)
