"""A sound exchange with something broken about it, in the foreground, as `[hooks] start` of a profile wants it.

    python -m matchmark.conformance.selftest.wire_serve MUTANT -- COMMAND

COMMAND is how the sound exchange is started: `matchmark serve` with its flags. Its readiness line is printed with the port of
the proxy in place of its own. The sound wires of wire_mutants.py have names too. Ends with the exchange, and the exchange
with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import os
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from matchmark.conformance.selftest.direct_proxy import DirectProxy
from matchmark.conformance.selftest.feed_proxy import FeedProxy
from matchmark.conformance.selftest.wire_declare import BrokenWire, Start
from matchmark.conformance.selftest.wire_mutants import SOUND_WIRES, WIRES
from matchmark.conformance.selftest.wire_proxy import Proxy

_PR_SET_PDEATHSIG = 1
_LINE_MAX = 1 << 20


def main(arguments: list[str]) -> int:
    known = SOUND_WIRES | {name: mutant.wire for name, mutant in WIRES.items()}
    if len(arguments) < 3 or arguments[1] != "--" or arguments[0] not in known:
        print(f"usage: python -m {__spec__.name} MUTANT -- COMMAND; MUTANT: {', '.join(known)}", file=sys.stderr)
        return 2
    wire = known[arguments[0]]()
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # two descriptors a connection
    return asyncio.run(_serve(wire, Start(arguments[2:])))


async def _serve(wire: BrokenWire, start: Start) -> int:
    port = int(start.flag("--fix-port") or 0)
    start.set_flag("--fix-port", "0")
    wire.prepare(start)
    exchange = await asyncio.create_subprocess_exec(
        *start.words,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, **start.env},
        limit=_LINE_MAX,
        preexec_fn=_ends_with(os.getpid()),
    )
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _pass_on, exchange, number)
    assert exchange.stdout
    line = await exchange.stdout.readline()
    if line:
        ready: dict[str, Any] = json.loads(line)
        wire.data = Path(ready["data_dir"])
        proxy = Proxy(wire, (ready["fix"]["host"], ready["fix"]["port"]))
        ready["fix"]["port"] = await proxy.listen(ready["fix"]["host"], port)
        feed = None
        if wire.tap is not None and "websocket" in ready:
            feed = FeedProxy(wire.tap(), ready["websocket"])
            ready["websocket"] = await feed.listen()
        direct = None
        if wire.direct_tap is not None and ready.get("direct_feed"):
            tap = wire.direct_tap()
            tap.ready(ready)
            direct = DirectProxy(tap, ready["direct_feed"])
            ready["direct_feed"] = direct.listen()
        wire.ready(ready)
        print(json.dumps(ready), flush=True)
        code = await exchange.wait()
        await proxy.close()
        if feed is not None:
            await feed.close()
        if direct is not None:
            direct.close()
        wire.ended()
    else:
        code = await exchange.wait()
    return code if code >= 0 else 128 - code


def _pass_on(exchange: asyncio.subprocess.Process, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        exchange.send_signal(number)


def _ends_with(parent: int) -> Callable[[], None]:
    """Runs in the child: it is killed when this process ends, so that a kill of the one is a kill of both."""
    prctl = ctypes.CDLL(None, use_errno=True).prctl

    def arrange() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)

    return arrange


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
