"""The console script `matchmark`: one table of commands, each in a module of its own that is read when it is used.

Exit codes of every command: 0 certified, or the command did its work; 1 a clause failed; 2 usage; 3 blocked or
inconclusive. A user never sees a traceback for what is their mistake or their engine's.
"""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import Protocol

COMMANDS = {
    "certify": ("matchmark.conformance.commands.certify", "run the suites against a target and write its certificate"),
    "clauses": ("matchmark.conformance.commands.clauses", "list the clauses of the register"),
    "explain": ("matchmark.conformance.commands.explain", "one clause or ruling: text, why, checks, mutants"),
    "selftest": (
        "matchmark.conformance.commands.selftest",
        "run the suites against every mutant: does the kit catch them",
    ),
    "init": ("matchmark.conformance.commands.init", "write a commented target profile to start from"),
    "report": ("matchmark.conformance.commands.report", "verify a certificate and show what it says"),
    "verify-log": (
        "matchmark.conformance.commands.verify_log",
        "check an audit log: CRC, sequence, hash chain, replay, price-time priority, conservation",
    ),
    "serve": (
        "matchmark.conformance.commands.serve",
        "run the reference exchange: FIX order entry, matching, audit log",
    ),
    "token": (
        "matchmark.conformance.commands.token",
        "print a token that logs an account on to the reference exchange",
    ),
    "operator": (
        "matchmark.conformance.commands.operator",
        "give the reference exchange an operator's command: status, halt, resume, calm",
    ),
    "ledger": (
        "matchmark.conformance.commands.ledger",
        "the reference exchange's ledger: compare it with the audit log, show an account",
    ),
    "simulate": (
        "matchmark.conformance.commands.simulate",
        "run the control plane of the reference exchange in a simulated world, from seeds",
    ),
    "chaos": (
        "matchmark.conformance.commands.chaos",
        "game days: kill, pause and cut off an expendable target under load; is anything lost or done twice?",
    ),
    "load": (
        "matchmark.conformance.commands.load",
        "fire orders at a FIX exchange: latency at a stated rate, where the knee is, and whether every answer was right",
    ),
    "doctor": (
        "matchmark.conformance.commands.doctor",
        "what this machine has and lacks for each part, and how to get it",
    ),
    "services": (
        "matchmark.conformance.commands.services",
        "install, start and stop real services on this machine: Apache Kafka",
    ),
    "third-party": (
        "matchmark.conformance.commands.third_party",
        "certify the example engines and write the page about them",
    ),
}
"""Name, module, and the line that `matchmark --help` shows."""


class CommandModule(Protocol):
    def add_arguments(self, parser: argparse.ArgumentParser) -> None: ...

    def run(self, args: argparse.Namespace) -> int: ...


def main(argv: Sequence[str] | None = None) -> int:
    words = list(sys.argv[1:] if argv is None else argv)
    parser = argparse.ArgumentParser(
        prog="matchmark",
        description="Certification kit for stock-exchange matching engines.",
        epilog="exit codes: 0 certified or done, 1 a clause failed, 2 usage, 3 blocked or inconclusive",
    )
    parser.add_argument("--version", action="version", version=f"matchmark {version('matchmark')}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    chosen = next((word for word in words if not word.startswith("-")), None)
    for name, (module_name, help_line) in COMMANDS.items():
        sub = subparsers.add_parser(name, help=help_line, description=help_line[0].upper() + help_line[1:] + ".")
        if name == chosen:
            module: CommandModule = importlib.import_module(module_name)
            module.add_arguments(sub)
            sub.set_defaults(run=module.run)
    args = parser.parse_args(words)
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return int(args.run(args))
    except KeyboardInterrupt:
        print("matchmark: stopped", file=sys.stderr)
        return 3
    except BrokenPipeError:
        # The reader of our output went away (`| head`): not an error of ours, and not worth a word.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    finally:
        signal.signal(signal.SIGTERM, before)


if __name__ == "__main__":
    sys.exit(main())
