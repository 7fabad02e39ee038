"""A member of a broken pair, in the foreground, as `[hooks] cluster_start` and `standby_start` of a profile want it.

    python -m matchmark.conformance.selftest.pair_serve MUTANT -- COMMAND

COMMAND is how a sound member is started: `PYTHON -m MODULE serve` with its flags. It runs in this process, after the mutant has
altered one thing of the cluster plane; a wire mutant that is not of a pair alters nothing.
"""

from __future__ import annotations

import sys

from matchmark.conformance import cli
from matchmark.conformance.selftest.pair_declare import BrokenPair
from matchmark.conformance.selftest.wire_declare import Start
from matchmark.conformance.selftest.wire_mutants import SOUND_WIRES, WIRES


def main(arguments: list[str]) -> int:
    known = SOUND_WIRES | {name: mutant.wire for name, mutant in WIRES.items()}
    if len(arguments) < 5 or arguments[1] != "--" or arguments[0] not in known or "serve" not in arguments:
        print(f"usage: python -m {__spec__.name} MUTANT -- PYTHON -m MODULE serve FLAGS", file=sys.stderr)
        return 2
    start = Start(arguments[arguments.index("serve") :])
    wire = known[arguments[0]]()
    if isinstance(wire, BrokenPair):
        wire.member(start)
    return cli.main(start.words)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
