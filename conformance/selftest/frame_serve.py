"""An exchange on a poll-mode port with something broken below FIX, in the foreground, as `[hooks] wire_dpdk_start` wants it.

    python -m matchmark.conformance.selftest.frame_serve MUTANT -- COMMAND

COMMAND is how the sound one is started. Nothing stands between its clients and its port: what is broken is the library that
it loads, how it is started, or what it says of itself. Ends with the exchange, and the exchange with it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

from matchmark.conformance.hooks import ends_with
from matchmark.conformance.selftest.wire_declare import Start
from matchmark.conformance.selftest.wire_mutants import SOUND_WIRES, WIRES
from matchmark.conformance.selftest.wire_port import BrokenPort


def main(arguments: list[str]) -> int:
    known = {name: wire for name, wire in SOUND_WIRES.items() if issubclass(wire, BrokenPort)}
    known |= {name: mutant.wire for name, mutant in WIRES.items() if issubclass(mutant.wire, BrokenPort)}
    if len(arguments) < 3 or arguments[1] != "--" or arguments[0] not in known:
        print(f"usage: python -m {__spec__.name} MUTANT -- COMMAND; MUTANT: {', '.join(known)}", file=sys.stderr)
        return 2
    return _serve(known[arguments[0]](), Start(arguments[2:]))


def _serve(port: BrokenPort, start: Start) -> int:
    port.prepare(start)
    exchange = subprocess.Popen(
        start.words, stdout=subprocess.PIPE, env={**os.environ, **start.env}, preexec_fn=ends_with(os.getpid())
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: exchange.send_signal(number))
    assert exchange.stdout
    if line := exchange.stdout.readline():
        ready = json.loads(line)
        port.ready(ready)
        print(json.dumps(ready), flush=True)
    code = exchange.wait()
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
