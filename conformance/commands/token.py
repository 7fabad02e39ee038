"""`matchmark token --account A`: a JWT for the password field (554) of a FIX Logon, on stdout and nowhere else."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from matchmark.reference.tokens import ROLES, Keys, TokenError

NAME = "token"
HELP = "print a token that logs an account on to the reference exchange"
DATA_DIR_VARIABLE = "MATCHMARK_DATA_DIR"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--account", required=True, metavar="A", help="account that the token is for")
    parser.add_argument("--ttl", type=int, default=3600, metavar="S", help="seconds until it expires (default 3600)")
    parser.add_argument("--role", choices=ROLES, default="trader", help="what it allows (default trader)")
    parser.add_argument("--algorithm", choices=("HS256", "EdDSA"), default="HS256", help="signature (default HS256)")
    parser.add_argument(
        "--data-dir",
        type=Path,
        default=Path(os.environ.get(DATA_DIR_VARIABLE, "data")),
        help=f"data directory of the exchange, whose keys sign (default ${DATA_DIR_VARIABLE} or ./data)",
    )


def run(args: argparse.Namespace) -> int:
    """Exit code 2 when an argument is out of range or the keys cannot be read."""
    try:
        token = Keys(args.data_dir / "keys").issue(args.account, args.ttl, args.role, args.algorithm)
    except TokenError as error:
        print(f"matchmark token: {error}", file=sys.stderr)
        return 2
    print(token)
    return 0
