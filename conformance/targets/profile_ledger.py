"""The profile's [ledger] table: how the kit reads the target's ledger, a database that PostgreSQL's protocol reaches."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from matchmark.conformance.targets.profile_key import Fail, Key, Tables

BALANCES = "SELECT account, asset, balance, reserved FROM ledger_balances"
LEDGER: dict[str, Key] = {
    "dsn": Key(str, "where it is, postgresql://...; default: what the readiness line says under `ledger`"),
    "balances": Key(
        str,
        "query of four columns: account, asset (a symbol, or what `cash` says), what is free, what is reserved; of one moment "
        f"(default {BALANCES!r})",
    ),
    "cash": Key(str, 'the asset that is cash (default "cash")'),
    "cash_unit": Key(str, 'what 1 of a cash balance is worth, as a decimal (default "0.01"); positions are in shares'),
    "lag_s": Key((int, float), "so long after the exchange's answer the ledger may show it (default 1)"),
    "overdraw": Key(
        str,
        "statement that takes {amount} of cash, more than there is, from {account}, the way that the ledger is written",
    ),
    "role": Key(str, 'the role that writes it, as the readiness line names it among `pids` (default "ledger")'),
}


@dataclass(frozen=True)
class LedgerProfile:
    """The table with its defaults. `dsn`: None for that of the readiness line."""

    dsn: str | None
    balances: str
    cash: str
    cash_unit: Decimal
    lag_s: float
    overdraw: str | None
    role: str


def ledger_of(table: Mapping[str, Any]) -> LedgerProfile:
    """Of a table that was checked."""
    return LedgerProfile(
        table.get("dsn"), table.get("balances", BALANCES), table.get("cash", "cash"), Decimal(table.get("cash_unit", "0.01")),
        float(table.get("lag_s", 1)), table.get("overdraw"), table.get("role", "ledger"),
    )  # fmt: skip


def check_ledger(tables: Tables, capabilities: Iterable[str], fail: Fail) -> None:
    if "ledger" not in tables:
        if "ledger" in set(capabilities):
            fail("target", "capabilities", "ledger needs a table [ledger] that says how to read it")
        return
    table = tables["ledger"]
    if "dsn" not in table and "start" not in tables.get("hooks", {}):
        fail("ledger", None, f"lacks dsn: {LEDGER['dsn'].help}")
    try:
        sound = Decimal(table.get("cash_unit", "0.01")) > 0
    except InvalidOperation:
        sound = False
    if not sound:
        fail("ledger", "cash_unit", f'must be a positive decimal such as "0.01", not {table["cash_unit"]!r}')
    if not 0 <= float(table.get("lag_s", 1)) <= 60:
        fail("ledger", "lag_s", f"must be from 0 to 60 seconds, not {table['lag_s']}")
    for place in ("{account}", "{amount}"):
        if "overdraw" in table and place not in table["overdraw"]:
            fail("ledger", "overdraw", f"must contain {place}")
