"""The direct feed's sender from Python; its loop runs in C with the GIL released.

Semantics and the bytes of packets: native/include/matchmark/direct_feed.h and docs/direct-feed.md.
"""

from __future__ import annotations

from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, NamedTuple

from matchmark.native import _native
from matchmark.native.pipeline import Pipeline, PipelineError, Records
from matchmark.native.pipeline_records import Wait

_ffi: Any = _native.ffi
_lib: Any = _native.lib

FROM_NOW = 2**64 - 1
_SLICE_NS = 20_000_000


class Counters(NamedTuple):
    """mm_direct_counters."""

    sequence: int
    packets: int
    messages: int
    requests: int
    resent: int
    ignored: int
    from_log: int
    send_errors: int


class DirectFeed:
    """Sends to `group`, `port` from the socket `descriptor`, which stays the caller's and must be open until `close`.

    `told`: the first packet tells what is behind this record. PipelineError: there is no memory, or the path is too long.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        log_directory: Path | str,
        descriptor: int,
        group: str,
        port: int,
        *,
        told: int = FROM_NOW,
        heartbeat_ns: int = 1_000_000_000,
        answers_per_s: int = 50_000,
    ) -> None:
        fault, self._pipeline = _ffi.new("mm_fault *"), pipeline
        settings = _ffi.new("mm_direct_settings *", (int(IPv4Address(group)), port, told, heartbeat_ns, answers_per_s))
        path = str(log_directory).encode()
        self._native = _lib.mm_direct_feed_make(pipeline.native, path, descriptor, settings, fault)
        if self._native == _ffi.NULL:
            raise PipelineError(_ffi.string(fault.text).decode("utf-8", "replace"), int(fault.code))

    def poll(self) -> int:
        """Tells what there is to tell, as far as one call sends it: how many packets."""
        return int(_lib.mm_direct_feed_poll(self._native))

    def run(self, slice_ns: int = _SLICE_NS, wait: Wait = Wait.YIELD) -> None:
        _lib.mm_direct_feed_run(self._native, slice_ns, int(wait))

    def counters(self) -> Counters:
        c = _ffi.new("mm_direct_counters *")
        _lib.mm_direct_feed_counters(self._native, c)
        return Counters(*(int(getattr(c, name)) for name in Counters._fields))

    def close(self) -> None:
        _lib.mm_direct_feed_close(self._native)
        self._native = _ffi.NULL


def message_of(record: Records) -> bytes:
    """What one AUDIT_RECORD tells the public: its message, or nothing."""
    to = _ffi.new("uint8_t[]", int(_lib.MM_DIRECT_MESSAGE_MAX))
    n = _lib.mm_direct_message(_ffi.from_buffer("mm_audit_record *", record), to)
    return bytes(_ffi.buffer(to, n))
