"""The tables of a profile whose engine is reached over FIX: [order_entry] with its limits, [audit_log], [hooks].

What may live here: which keys there are and what is wrong with their values. Nothing is opened or started.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal, InvalidOperation
from typing import Any

from matchmark.conformance.targets import profile_breaker, profile_wire
from matchmark.conformance.targets.profile_key import Fail, Key, Tables

ACCOUNTS_MIN = 5
"""The suites trade with A1 to A4 and a probe that belongs to none of them; where accounts are told apart."""

SUITES_SPEAK, LOADS_SPEAK = "FIX.4.4", ("FIX.4.4", "FIX.4.2")
"""The suites and game days know the reports of one version; a load fires new orders alone at the other, too."""

ORDER_ENTRY: dict[str, Key] = {
    "host": Key(str, "where the engine listens; left out when [hooks] start says it"),
    "port": Key(int, "its port; left out when [hooks] start says it"),
    "begin_string": Key(str, 'FIX version, "FIX.4.4"; for `matchmark load` alone also "FIX.4.2"'),
    "target_comp_id": Key(str, "the engine's CompID; left out when [hooks] start says it"),
    "sender_comp_id": Key(
        str, 'CompID of our sessions, with {account} and, if an account may have several, {n} (default "{account}-{n}")'
    ),
    "accounts": Key(list, f"accounts that may trade, at least {ACCOUNTS_MIN}", required=True),
    "reset_on_logon": Key(bool, "log on with ResetSeqNumFlag (default false: numbers go on)"),
    "heartbeat_s": Key(int, "HeartBtInt of our logons (default 30)"),
    "logon_fields": Key(dict, 'further fields of a Logon, by tag; {token} is the account\'s token: {554 = "{token}"}'),
    "order_fields": Key(dict, 'further fields of every order, by tag: {1 = "{account}"}'),
    "cancel_on_disconnect": Key(dict, 'fields of a Logon that asks for it, by tag: {8013 = "Y"}'),
    "tokens": Key(dict, 'tokens by account where no hook makes them: {ACC1 = "${TOKEN_ACC1}"}'),
    "price_decimals": Key(int, "decimals of prices on the wire (default: those of tick_size)"),
    "avg_px_decimals": Key(int, "decimals of AvgPx (default price_decimals + 4)"),
    "smp_tag": Key(int, "tag that asks for self-match prevention"),
    "smp_newest": Key(str, 'its value that cancels the incoming order (default "1")'),
    "smp_oldest": Key(str, 'its value that cancels the resting order (default "2")'),
    "limits": Key(dict, "what the gateway refuses: table [order_entry.limits]"),
}
SMP_VALUES = {"cancel_newest": ("smp_newest", "1"), "cancel_oldest": ("smp_oldest", "2")}
"""Of each way to prevent self-matches: the key of its value, and the default."""
LIMITS: dict[str, Key] = {
    "symbols": Key(str, 'pattern of the symbols that the limits hold for, with {n}, such as "LIM{n}"', required=True),
    "symbol_count": Key(int, "how many there are; each test takes fresh ones", required=True),
    "accounts": Key(str, 'pattern of the accounts that open with `cash` and `position`, such as "POOR{n}"'),
    "account_count": Key(int, "how many there are; each test takes fresh ones"),
    "max_lots": Key(int, "largest order, in lots"),
    "collar_bps": Key(int, "price collar either side of the reference, in basis points"),
    "reference_price": Key(str, "price that the collar is round before the first trade, a decimal"),
    "cash": Key(str, "opening cash of each of `accounts`, a decimal"),
    "position": Key(int, "opening position of each of `accounts` in each of `symbols`, in lots"),
}
AUDIT_LOG: dict[str, Key] = {
    "dir": Key(str, "folder of the log; left out when [hooks] start says it"),
    "format": Key(str, '"matchmark" (docs/audit-log.md)'),
    "durability": Key(str, '"async": acknowledged before the record is on disk; "fsync": after', required=True),
    "battery_backed": Key(bool, "true if memory outlives a power cut (default false)"),
}
DURABILITIES = ("async", "fsync", "replicated")
CLUSTER: dict[str, Key] = {
    "members": Key(int, "how many members it has at once: 2, a primary and a standby"),
    "epoch_files": Key(list, "names, with wildcards, of the files in the shared folder that say who is primary"),
}
HOOKS: dict[str, Key] = {
    "start": Key(list, "starts the engine in the foreground, on the data folder {folder}"),
    "lab_start": Key(
        list,
        "starts an instance to be killed and cut off from power, if it is another than `start`: small rings and files",
    ),
    "ledger_start": Key(list, "starts an instance with a ledger, if it is another than `start`"),
    "chaos_start": Key(
        list, "starts an instance for a game day, if it is another than `start`: quick to start, made for load"
    ),
    "load_start": Key(
        list,
        "starts an instance for `matchmark load`, if it is another than `start`: large rings, no limits of balances",
    ),
    "cluster_start": Key(
        list, "starts the member {member} of the cluster in {shared}; the first one founds it and is primary"
    ),
    "standby_start": Key(list, "starts the member {member} as a standby, which follows the primary and takes over"),
    "stop": Key(list, "stops it; default SIGTERM to what `start` started"),
    "kill": Key(list, "kills the role {role} (all, engine, writer, gateway) with process id {pid}; default kill -9"),
    "power_cut": Key(list, "takes the power away from {folder}, unsynced writes included"),
    "token": Key(list, "prints a token of {account} that lives for {ttl} s, for role {role}"),
    "token_outage": Key(list, "takes whatever issues or verifies tokens out of reach of the engine on {folder}"),
    **profile_breaker.HOOKS,
    **profile_wire.HOOKS,
    "ready_timeout_s": Key((int, float), "seconds until `start` must be ready (default 60)"),
    "env": Key(dict, "environment variables for the hooks"),
}
COMMANDS = (
    "start",
    "lab_start",
    "ledger_start",
    "chaos_start",
    "cluster_start",
    "standby_start",
    "stop",
    "kill",
    "power_cut",
    "token",
    "token_outage",
    "operator",
    "clock",
    *profile_wire.HOOKS,
)
STARTING = {"folder", "port", "disk", "memory", "kafka", "instance"}
PLACES = {
    "start": STARTING,
    "lab_start": STARTING,
    "ledger_start": STARTING,
    "chaos_start": STARTING,
    "cluster_start": STARTING | {"member", "shared", "heartbeat_s"},
    "standby_start": STARTING | {"member", "shared", "heartbeat_s"},
    "stop": {"folder", "pid"},
    "kill": {"folder", "pid", "role"},
    "power_cut": {"folder", "pid", "disk", "memory"},
    "token": {"folder", "account", "ttl", "role"},
    "token_outage": {"folder", "pid"},
    **profile_breaker.PLACES,
    "wire_start": STARTING | profile_wire.CABLE,
    "wire_dpdk_start": STARTING | profile_wire.CABLE,
    "wire_other_start": STARTING | profile_wire.CABLE,
    "wire_check": set(),
}
ANYWHERE = {"python", "profile"}
"""Placeholders of every hook: the interpreter that runs the kit, and the folder of the profile."""


def check_order_entry(tables: Tables, capabilities: Iterable[str], fail: Fail) -> None:
    """Fails on the first value of these tables that cannot be used."""
    has = set(capabilities)
    if "order_entry" in tables:
        _order_entry(tables, has, fail)
    if "cluster" in tables:
        _cluster(tables, has, fail)
    elif "standby" in has:
        fail("target", "capabilities", "standby needs a table [cluster]")
    if "audit_log" in tables:
        _audit_log(tables["audit_log"], has, fail)
    if "hooks" in tables:
        _hooks(tables["hooks"], fail)
    if tables["target"]["adapter"] == "fix":
        for capability in ("top",):
            if capability in has:
                fail("target", "capabilities", f"{capability} is not told over FIX order entry: leave it out")
        if "fix" not in has:
            fail("target", "capabilities", 'lacks "fix", which adapter = "fix" is')
        if "isolation" in tables.get("instruments", {}) and tables["instruments"]["isolation"] == "reset":
            fail("instruments", "isolation", 'over FIX it is "symbol" or "mass_cancel": there is no reset')


def _order_entry(tables: Tables, has: set[str], fail: Fail) -> None:
    table = tables["order_entry"]
    hooked = "start" in tables.get("hooks", {})
    for key in ("host", "port", "target_comp_id"):
        if key not in table and not hooked:
            fail("order_entry", None, f"lacks {key}: {ORDER_ENTRY[key].help}")
    if "port" in table and not 1 <= table["port"] <= 65535:
        fail("order_entry", "port", f"must be from 1 to 65535, not {table['port']}")
    if table.get("begin_string", SUITES_SPEAK) not in LOADS_SPEAK:
        fail("order_entry", "begin_string", f'this kit speaks "FIX.4.4", not {table["begin_string"]!r}')
    accounts = table["accounts"]
    if not all(isinstance(a, str) and a for a in accounts) or len(set(accounts)) != len(accounts):
        fail("order_entry", "accounts", "must be different, non-empty strings")
    least = ACCOUNTS_MIN if "accounts" in has else 1
    if len(accounts) < least:
        fail("order_entry", "accounts", f"has {len(accounts)}; the suites need {least}")
    sender = table.get("sender_comp_id", "{account}-{n}")
    if len(accounts) > 1 and "{account}" not in sender:
        fail(
            "order_entry", "sender_comp_id", f"must contain {{account}}, for there are {len(accounts)}: not {sender!r}"
        )
    for key in ("logon_fields", "order_fields", "cancel_on_disconnect"):
        _fields(key, table.get(key, {}), fail)
    if not 0 <= table.get("heartbeat_s", 30) <= 3600:
        fail("order_entry", "heartbeat_s", f"must be from 0 to 3600, not {table['heartbeat_s']}")
    for key in ("price_decimals", "avg_px_decimals"):
        if not 0 <= table.get(key, 0) <= 18:
            fail("order_entry", key, f"must be from 0 to 18, not {table[key]}")
    needs_token = any("{token}" in str(v) for v in table.get("logon_fields", {}).values())
    if needs_token and "token" not in tables.get("hooks", {}) and not set(accounts) <= set(table.get("tokens", {})):
        fail(
            "order_entry", "logon_fields", "asks for {token}: give [hooks] token, or `tokens` with one for each account"
        )
    if "cancel_on_disconnect" in has and "cancel_on_disconnect" not in table:
        fail("order_entry", None, "lacks cancel_on_disconnect, but the target declares it: the fields that ask for it")
    if ("smp_cancel_newest" in has or "smp_cancel_oldest" in has) and "smp_tag" not in table:
        fail("order_entry", None, f"lacks smp_tag, but the target declares it: {ORDER_ENTRY['smp_tag'].help}")
    newest, oldest = (table.get(key, default) for key, default in SMP_VALUES.values())
    if not newest or newest == oldest:
        fail(
            "order_entry", "smp_newest" if "smp_newest" in table else "smp_oldest", "must be another than the other one"
        )
    tick = tables.get("instruments", {}).get("tick_size", "0.01")
    if (price := _decimal(tick)) is None or price <= 0:
        fail("instruments", "tick_size", f'must be a positive decimal in quotes, such as "0.01", not {tick!r}')
    if tables.get("instruments", {}).get("lot_size", 1) < 1:
        fail("instruments", "lot_size", "must be at least 1")
    if "limits" in table:
        _limits(table["limits"], has, fail)
    elif "risk_checks" in has or "balances" in has:
        fail("order_entry", None, "lacks [order_entry.limits], but the target declares risk_checks or balances")


def _limits(table: dict[str, Any], has: set[str], fail: Fail) -> None:
    for key, value in table.items():
        if key not in LIMITS:
            fail("order_entry", key, f"unknown key of limits; known: {', '.join(LIMITS)}")
        elif not isinstance(value, LIMITS[key].kind) or isinstance(value, bool):
            fail("order_entry", key, f"is of the wrong type: {LIMITS[key].help}")
    needed = ["symbols", "symbol_count"]
    needed += ["max_lots", "collar_bps", "reference_price"] * ("risk_checks" in has)
    needed += ["accounts", "account_count", "cash", "position"] * ("balances" in has)
    for key in needed:
        if key not in table:
            fail("order_entry", "limits", f"[order_entry.limits] lacks {key}: {LIMITS[key].help}")
    for key in ("symbols", "accounts"):
        if key in table and table[key].count("{n}") != 1:
            fail("order_entry", key, f'must contain {{n}} once, as in "LIM{{n}}", not {table[key]!r}')
    for key in ("reference_price", "cash"):
        if key in table and ((amount := _decimal(table[key])) is None or amount < 0):
            fail("order_entry", key, f"must be a decimal in quotes that is not negative, not {table[key]!r}")
    for key in ("symbol_count", "account_count", "max_lots", "collar_bps", "position"):
        if key in table and table[key] < 1:
            fail("order_entry", key, f"must be at least 1, not {table[key]}")


def _audit_log(table: dict[str, Any] | Any, has: set[str], fail: Fail) -> None:
    mode = table["durability"]
    if mode not in DURABILITIES:
        fail("audit_log", "durability", f"must be one of {', '.join(DURABILITIES)}, not {mode!r}")
    if table.get("format", "matchmark") != "matchmark":
        fail("audit_log", "format", f'the kit reads "matchmark" (docs/audit-log.md), not {table["format"]!r}')
    if table.get("battery_backed", False) != ("battery_backed" in has):
        fail("audit_log", "battery_backed", "and the capability battery_backed are declared together, or neither is")
    if "audit_log" in has and f"{mode}_durability" not in has:
        fail("target", "capabilities", f'lack "{mode}_durability", which [audit_log] durability says')
    for other in DURABILITIES:
        if other != mode and f"{other}_durability" in has:
            fail("audit_log", "durability", f'is "{mode}", but the target declares {other}_durability: one mode a run')


def _hooks(table: dict[str, Any] | Any, fail: Fail) -> None:
    for hook in COMMANDS:
        if hook not in table:
            continue
        words = table[hook]
        if not words or not all(isinstance(word, str) for word in words):
            fail("hooks", hook, "must be a command as a list of words")
        unknown = {place for word in words for place in re.findall(r"\{(\w+)\}", word)} - PLACES[hook] - ANYWHERE
        if unknown:
            known = ", ".join(sorted(PLACES[hook] | ANYWHERE))
            fail("hooks", hook, f"unknown placeholder {{{min(unknown)}}}; known: {known}")
    timeout = table.get("ready_timeout_s", 60)
    if not 0.1 <= timeout <= 3600:
        fail("hooks", "ready_timeout_s", f"must be from 0.1 to 3600 seconds, not {timeout:g}")


def _fields(key: str, fields: dict[str, Any], fail: Fail) -> None:
    for tag, value in fields.items():
        if not tag.isdigit() or not isinstance(value, str):
            fail("order_entry", key, f'must map tags to text, as in {{554 = "secret"}}, not {tag} = {value!r}')


def _decimal(text: str) -> Decimal | None:
    try:
        value = Decimal(text)
    except InvalidOperation:
        return None
    return value if value.is_finite() else None


def _cluster(tables: Tables, has: set[str], fail: Fail) -> None:
    cluster, hooks = tables["cluster"], tables.get("hooks", {})
    if cluster.get("members", 2) != 2:
        fail("cluster", "members", f"must be 2, a primary and a standby, not {cluster['members']}")
    if not all(isinstance(name, str) for name in cluster.get("epoch_files", ())):
        fail("cluster", "epoch_files", "must be names of files, with wildcards")
    if "standby" in has:
        for hook in ("cluster_start", "standby_start"):
            if hook not in hooks:
                fail("hooks", None, f"capability standby needs {hook}: {HOOKS[hook].help}")
