"""The gateway's carrier over DPDK and lwIP from Python: whether it is there, and how it is opened.

Nothing of DPDK is loaded before somebody asks. Bytes and counters: native/include/matchmark/dpdk.h and docs/dpdk.md.

`python -m matchmark.native.dpdk` prints its version; or why there is none, and ends with 3.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from ipaddress import IPv4Address, IPv4Interface
from typing import Any

from matchmark.native.pipeline import PipelineError

COUNTERS = (
    "rx_frames",
    "rx_bytes",
    "tx_frames",
    "tx_bytes",
    "rx_dropped",
    "tx_dropped",
    "rx_bad",
    "rx_ignored",
    "bytes_in_place",
    "bytes_copied",
    "buffers",
    "buffers_in_use",
    "connections",
    "refused",
)
BUFFERS = 8191
"""A power of two less one is what DPDK's pools hold best; 19 MB."""
_WHY_BYTES = 512
_LCORE_WORDS = ("-l", "-c", "-s", "-S", "--lcores")
_NEITHER = ("-h", "--help", "-v", "--version")
"""They would end the process."""


def _library() -> Any:
    return import_module("matchmark.native._dpdk")


def missing() -> str | None:
    """Why there is no DPDK here, and what to do; None: there is."""
    try:
        _library()
    except ModuleNotFoundError:
        return (
            "matchmark was built without DPDK: install libdpdk-dev, dpdk-dev and liblwip-dev "
            "(apt-get install libdpdk-dev dpdk-dev liblwip-dev) and build it again"
        )
    except ImportError as error:
        return f"DPDK's libraries cannot be loaded ({error}): apt-get install dpdk liblwip0"
    return None


def version() -> str:
    """Of DPDK and lwIP; only where nothing is missing."""
    _dpdk = _library()
    return bytes(_dpdk.ffi.string(_dpdk.lib.mm_dpdk_version())).decode()


def eal_words(words: Sequence[str]) -> list[str]:
    """A program's name, what EAL needs to be told and was not, and `words`. PipelineError: one of them cannot be."""
    for word in words:
        if word in _NEITHER:
            raise PipelineError(f"EAL argument {word}: it shows something and ends; leave it out")
    out = ["matchmark"]
    if not any(word.startswith(_LCORE_WORDS) for word in words):
        # One logical core on all processors that we may use: else EAL starts a thread on each of them.
        out.append("--lcores=0@(" + ",".join(map(str, sorted(os.sched_getaffinity(0)))) + ")")
    if not any(word.endswith("telemetry") for word in words):
        out.append("--no-telemetry")
    return [*out, *words]


class Port:
    """An open port with TCP over it. A gateway that is made with `native` takes it, and closes it; else `close`.

    One a process, once. PipelineError: there is no DPDK, EAL refuses its arguments, or they do not give exactly one port.
    """

    def __init__(
        self,
        words: Sequence[str],
        address: IPv4Interface,
        tcp_port: int,
        router: IPv4Address | None = None,
        connections: int = 2300,
        buffers: int = BUFFERS,
    ) -> None:
        if why := missing():
            raise PipelineError(why)
        _dpdk = _library()
        self._ffi, self._lib = _dpdk.ffi, _dpdk.lib
        kept = [self._ffi.new("char[]", os.fsencode(word)) for word in eal_words(words)]
        array = self._ffi.new("const char *[]", [*kept, self._ffi.NULL])
        config = self._ffi.new("mm_dpdk_config *")
        config.eal_words, config.n_eal_words = array, len(kept)
        config.address = address.ip.packed
        config.netmask = address.netmask.packed
        config.router = (router or IPv4Address(0)).packed
        config.tcp_port, config.connections, config.buffers = tcp_port, connections, buffers
        said = self._ffi.new("char[]", _WHY_BYTES)
        self._carrier: Any = self._lib.mm_dpdk_open(config, said)
        if self._carrier == self._ffi.NULL:
            raise PipelineError(self._ffi.string(said).decode("utf-8", "replace"))

    @property
    def native(self) -> int:
        """The address of its mm_carrier: the core's cffi is another one."""
        return int(self._ffi.cast("uintptr_t", self._carrier))

    def counters(self) -> dict[str, int]:
        """mm_dpdk_counters, from any thread, until it is closed."""
        c = self._ffi.new("mm_dpdk_counters *")
        self._lib.mm_dpdk_counters_of(self._carrier, c)
        return {name: int(getattr(c, name)) for name in COUNTERS}

    def close(self) -> None:
        self._lib.mm_dpdk_close(self._carrier)


if __name__ == "__main__":
    print(missing() or version(), file=sys.stderr if missing() else sys.stdout)
    sys.exit(3 if missing() else 0)
