"""The process that a shared library under test lives in: `python -m matchmark.conformance.targets.so_host`.

Loads one library, makes one engine, says so in a line of JSON, then answers the subprocess protocol.
What the library itself prints goes to stderr. It trusts its parent (so.py) and nothing that the library says.

    so_host LIBRARY ABI SYMBOLS CAPABILITIES      the last two are JSON lists
    -> {"ready": true} or {"unavailable": "why and what to do"}
"""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import re
import sys
from pathlib import Path
from typing import Any, Protocol

from cffi import FFI

Wire = dict[str, Any]


class Unavailable(Exception):
    """The library cannot be used; the text says why and what its builder should do."""


class Bridge(Protocol):
    """One engine behind one of the two interfaces: commands and events as JSON objects of the subprocess protocol."""

    def submit(self, command: Wire) -> list[Wire]: ...
    def reset(self) -> None: ...
    def close(self) -> None: ...


def declarations(header: str) -> str:
    """What stands between the cdef marks of one of our public headers, for cffi."""
    package = importlib.util.find_spec("matchmark.native")
    if package is None or not package.submodule_search_locations:
        raise Unavailable("matchmark is not installed whole: the package matchmark.native is missing; install it again")
    path = Path(next(iter(package.submodule_search_locations))) / "include" / "matchmark" / header
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise Unavailable(f"matchmark is not installed whole: {path}: {error.strerror}; install it again") from None
    return "".join(re.findall(r"/\* cdef begin \*/(.*?)/\* cdef end \*/", text, re.DOTALL))


def load(ffi: FFI, path: str) -> Any:
    try:
        return ffi.dlopen(path, os.RTLD_NOW | os.RTLD_LOCAL)
    except OSError as error:
        raise Unavailable(
            f"it cannot be loaded: {error}. It must be a shared library for {platform.machine()} Linux, and what it "
            "links to must be installed"
        ) from None


def make_bridge(library: str, abi: str, symbols: list[str], capabilities: list[str]) -> Bridge:
    if abi == "matchmark":
        from matchmark.conformance.targets.so_matchmark import MatchmarkBridge

        return MatchmarkBridge(library, symbols, capabilities)
    from matchmark.conformance.targets.so_harness import HarnessBridge

    return HarnessBridge(library, symbols, capabilities)


def serve(bridge: Bridge, answers: Any) -> None:
    """Until stdin ends. A line that is not a command is a fault of the kit and ends the process with a traceback."""
    for line in sys.stdin.buffer:
        command = json.loads(line)
        events: list[Wire] = []
        if command["op"] == "reset":
            bridge.reset()
        else:
            events = bridge.submit(command)
        for event in events:
            answers.write(json.dumps(event, separators=(",", ":")) + "\n")
        answers.write('{"ev":"done"}\n')
        answers.flush()


def main(arguments: list[str]) -> int:
    library, abi, symbols, capabilities = arguments
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # a library that prints must not break the protocol
    try:
        bridge = make_bridge(library, abi, json.loads(symbols), json.loads(capabilities))
    except Unavailable as error:
        answers.write(json.dumps({"unavailable": str(error)}) + "\n")
        answers.flush()
        return 0
    answers.write('{"ready":true}\n')
    answers.flush()
    serve(bridge, answers)
    bridge.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
