"""`matchmark ledger check`: is the ledger what the audit log says? `matchmark ledger show ACCOUNT`: what an account has."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import localcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matchmark.reference.config import ServeConfig
    from matchmark.reference.ledger.check import Amount

NAME = "ledger"
HELP = "the reference exchange's ledger: compare it with the audit log, show an account"
EQUAL, DIFFERS, USAGE, UNREACHABLE = 0, 1, 2, 3
_MOST = 50
"""Differences that are listed one by one."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "exit codes: 0 equal, 1 it differs, 2 usage, 3 the ledger or the log cannot be reached"
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    check = actions.add_parser("check", help="compare every account with the audit log, to the last minor unit")
    show = actions.add_parser("show", help="what an account has, free and reserved")
    show.add_argument("account", metavar="ACCOUNT")
    for each in (check, show):
        each.add_argument("--config", metavar="FILE", help="the configuration of the exchange, as for serve")
        each.add_argument("--data-dir", metavar="DIR", help="the exchange's data directory (default ./data)")
        each.add_argument("--symbols", metavar="FILE", help="TOML file of [[symbols]]")
        each.add_argument("--accounts", metavar="FILE", help="TOML file of [[accounts]]")
        each.add_argument("--dsn", metavar="DSN", help="of the ledger (default: as configured, else embedded)")
    check.add_argument("--log", metavar="DIR", help="of the audit log (default DATA_DIR/log)")
    check.add_argument("--wait", metavar="S", type=float, default=5.0, help="for a ledger that is behind (default 5)")


def run(args: argparse.Namespace) -> int:
    import psycopg

    from matchmark.reference.audit_log import AuditLogError
    from matchmark.reference.config import load
    from matchmark.reference.config_text import ConfigError
    from matchmark.reference.ledger.server import ServerError

    flags = {key: getattr(args, key) for key in ("config", "data_dir", "symbols", "accounts")}
    try:
        config = load({**flags, "config": Path(flags["config"]) if flags["config"] else None, "ledger": args.dsn})
    except ConfigError as error:
        return _fail(USAGE, str(error))
    try:
        with _connected(config) as (connection, runs):
            if args.action == "show":
                return _show(connection, args.account, config.symbols[0].digits if config.symbols else 2)
            log = Path(args.log) if args.log else config.data_dir / "log"
            return _check(connection, config, log, args.wait if runs else 0.0, runs)
    except psycopg.errors.UndefinedTable:
        return _fail(UNREACHABLE, "there is no ledger in that database; give the DSN of the exchange's ledger")
    except (psycopg.Error, ServerError) as error:
        return _fail(UNREACHABLE, f"the ledger cannot be reached: {str(error).strip().splitlines()[0]}")
    except AuditLogError as error:
        return _fail(UNREACHABLE, str(error))
    except OSError as error:
        return _fail(UNREACHABLE, f"{error.filename}: {error.strerror}; give the directory of the audit log")


def _fail(code: int, why: str) -> int:
    print(f"matchmark ledger: {why}", file=sys.stderr)
    return code


@contextmanager
def _connected(config: ServeConfig) -> Iterator[tuple[Any, bool]]:
    """A connection, and whether its server ran already; the embedded one of an exchange that is stopped is started for us."""
    import psycopg

    from matchmark.reference.config_ledger import EMBEDDED, LedgerSettings
    from matchmark.reference.ledger.server import Server, ServerError, dsn_of

    settings = config.ledger or LedgerSettings()
    dsn, server = dsn_of(settings, config.data_dir), None
    try:
        connection = psycopg.connect(dsn, autocommit=True, connect_timeout=10)
    except psycopg.OperationalError:
        folder = config.data_dir / "ledger"
        if settings.dsn != EMBEDDED:
            raise
        if not (folder / "pg" / "PG_VERSION").exists():
            raise ServerError(
                f"{folder} holds no ledger: give --data-dir of an exchange that has one, or --dsn"
            ) from None
        server = Server(folder)
        server.start()
        connection = psycopg.connect(dsn, autocommit=True, connect_timeout=10)
    try:
        with connection:
            yield connection, server is None
    finally:
        if server:
            server.stop()


def _check(connection: Any, config: ServeConfig, log: Path, patience_s: float, runs: bool) -> int:
    from matchmark.reference.ledger.check import Replay, differences, last_event, log_end, read_ledger

    end = log_end(log)
    wanted = last_event(log, end)  # events alone are entered
    told = read_ledger(connection, wanted, patience_s)
    if told.sequence > end:  # trading goes on, and the ledger may have been read a moment later than the log
        end = log_end(log)
    if told.sequence > end:
        return _fail(
            DIFFERS, f"the ledger has entered record {told.sequence}, and the log ends with {end}: it is another log"
        )
    replay = Replay(config.accounts, config.symbols)
    replay.take(log, told.sequence)
    found = list(differences(told, replay))
    for d in found[:_MOST]:
        print(f"DIFFERS {d.account} {d.asset}: the ledger has {_words(d.ledger)}, {d.what} {_words(d.log)}")
    if len(found) > _MOST:
        print(f"DIFFERS and {len(found) - _MOST} more")
    if found:
        print(f"{log}: the ledger is not what records 1 to {told.sequence} make it: {len(found)} differences")
        return DIFFERS
    if told.sequence < wanted and runs:
        print(f"DIFFERS the ledger has entered records up to {told.sequence}, the log holds events up to {wanted}")
        return DIFFERS
    if told.sequence < wanted:
        print(f"note: records up to {wanted} are entered when the exchange is started again")
    print(
        f"{log}: equal. {len(told.balances):,} balances after record {told.sequence}, to the last minor unit and share"
    )
    return EQUAL


def _words(amount: Amount | None) -> str:
    return "nothing" if amount is None else f"{amount.free} free and {amount.reserved} reserved"


def _show(connection: Any, account: str, digits: int) -> int:
    from rich.console import Console
    from rich.table import Table

    rows = connection.execute(
        "SELECT asset, balance, reserved FROM ledger_balances WHERE account = %s ORDER BY asset <> 'cash', asset",
        (account,),
    ).fetchall()
    if not rows:
        return _fail(USAGE, f"the ledger has no account {account!r}")
    table = Table("asset", "free", "reserved", "all", title=account)
    with localcontext(prec=60):
        for asset, free, held in rows:
            scale = digits if asset == "cash" else 0
            table.add_row(asset, *(f"{n.scaleb(-scale):,.{scale}f}" for n in (free, held, free + held)))
    Console(width=None if os.isatty(1) else 100).print(table)
    return EQUAL
