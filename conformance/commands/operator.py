"""`matchmark operator status|halt|resume|calm`: an operator's command to a running reference exchange (docs/breaker.md)."""

from __future__ import annotations

import argparse
import json
import os
import sys
import urllib.error
import urllib.request
from typing import Any

NAME = "operator"
HELP = "give the reference exchange an operator's command"
TOKEN_VARIABLE = "MATCHMARK_OPERATOR_TOKEN"
COMMANDS = {
    "status": "what the circuit breaker sees: state, average, last price; of a halted symbol also what led to the halt",
    "halt": "stop trading in a symbol",
    "resume": "let a halted symbol trade again",
    "calm": "end a warning before the rule does",
    "switchover": "a standby (--admin is its address) takes over from the primary, without a failure",
}
TIMEOUT_S = 15.0
EXIT_UNREACHABLE = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "exit codes: 0 done, 1 refused, 2 usage, 3 the exchange cannot be reached"
    parser.add_argument("what", choices=COMMANDS, help="; ".join(f"{name}: {text}" for name, text in COMMANDS.items()))
    parser.add_argument(
        "--symbol", default="", metavar="S", help="the symbol; status without one: all that are not open"
    )
    parser.add_argument("--reason", default="", metavar="TEXT", help="goes into the audit log and to every session")
    parser.add_argument(
        "--admin",
        default="http://127.0.0.1:9879",
        metavar="URL",
        help="the exchange's admin address (default %(default)s)",
    )
    parser.add_argument(
        "--token",
        default=None,
        help=f"of `matchmark token --role operator`; default ${TOKEN_VARIABLE}, which no `ps` shows",
    )


def run(args: argparse.Namespace) -> int:
    if args.what not in ("status", "switchover") and not args.symbol:
        print(f"matchmark operator: {args.what} needs --symbol", file=sys.stderr)
        return 2
    token = args.token if args.token is not None else os.environ.get(TOKEN_VARIABLE, "")
    body = {"symbol": args.symbol, "reason": args.reason}
    try:
        code, said = post(f"{args.admin.rstrip('/')}/operator/{args.what}", token, body)
    except (OSError, ValueError) as error:
        print(f"matchmark operator: {args.admin} cannot be reached: {error}", file=sys.stderr)
        return EXIT_UNREACHABLE
    if code == 200:
        print(json.dumps(said, indent=1))
        return 0
    print(f"matchmark operator: {said.get('error', said)}", file=sys.stderr)
    return EXIT_UNREACHABLE if code == 503 else 1


def post(url: str, token: str, body: dict[str, str]) -> tuple[int, dict[str, Any]]:
    """Status and JSON of the answer. OSError: no exchange there; ValueError: something else is."""
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    request = urllib.request.Request(url, json.dumps(body).encode(), headers, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
            code, text = answer.status, answer.read()
    except urllib.error.HTTPError as error:
        code, text = error.code, error.read()
    said = json.loads(text)
    if not isinstance(said, dict):
        raise ValueError("not an exchange's answer")
    return code, said
