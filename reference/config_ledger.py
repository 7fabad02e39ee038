"""The [ledger] table of `matchmark serve`: where balances are kept. Without it there is no ledger."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from matchmark.reference.config_text import ConfigError, Source

EMBEDDED = "embedded"
_KEYS = ("dsn",)


@dataclass(frozen=True)
class LedgerSettings:
    """`dsn`: of PostgreSQL, or `embedded` for a server of the exchange's own in its data directory."""

    dsn: str = EMBEDDED


def ledger_settings(source: Source, flag: str | None) -> LedgerSettings | None:
    """None: no ledger. `flag`: what --ledger says, which goes before the file. ConfigError names what is wrong."""
    if flag is None and "ledger" not in source.tables:
        return None
    table = source.table("ledger")
    source.only(("ledger",), table, _KEYS)
    where = source.where("ledger", None, "dsn")
    dsn = source.text("ledger", None, "dsn") if "dsn" in table else EMBEDDED
    if flag is not None:
        dsn, where = flag, "--ledger"
    if dsn != EMBEDDED and urlsplit(dsn).scheme not in ("postgresql", "postgres"):
        raise ConfigError(f"{where}: the ledger is {dsn!r}; write {EMBEDDED}, or postgresql://user@host:port/database")
    return LedgerSettings(dsn)
