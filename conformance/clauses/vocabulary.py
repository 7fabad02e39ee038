"""The words a clause may use: kinds, strengths, certification levels and capabilities.

The register refuses any other word, so a misspelt capability is an error when the register is read and not
a clause that silently never applies. A capability is what a target declares in its profile; a clause whose
`needs` are not all declared is NOT_APPLICABLE. Names never change once published: certificates carry them.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal

Kind = Literal["step", "performance", "note", "edge", "alternative", "property"]
Strength = Literal["MUST", "SHOULD"]

# The letter after the dot of a clause id, in the order in which a diagram lists its clauses.
KINDS: Final[Mapping[str, Kind]] = MappingProxyType(
    {"": "step", "P": "performance", "N": "note", "E": "edge", "A": "alternative", "X": "property"}
)

KIND_TITLES: Final[Mapping[Kind, str]] = MappingProxyType(
    {
        "step": "Steps",
        "performance": "Performance",
        "note": "Notes",
        "edge": "Edge cases",
        "alternative": "Alternatives",
        "property": "Implied properties",
    }
)

STRENGTHS: Final[tuple[Strength, ...]] = ("MUST", "SHOULD")

LEVELS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "matching": "the engine alone: commands in, events out (diagrams 1-4, 7, 8)",
        "order-entry": "the same over FIX, with sessions, credentials and risk checks",
        "market-data": "what subscribers and the ledger are told (diagram 9 and the last steps of 1-4, 7)",
        "durability": "the audit log and what survives a crash or a power cut (diagram 10)",
        "safety": "the circuit breaker: warning, halt, review, resume (diagram 5)",
        "availability": "standby, failover and cold start (diagrams 6, 11)",
        "wire": "the path from a frame in memory to the order queue (diagram 12)",
    }
)

# Without these a target cannot be certified at level `matching`; all others are optional.
CORE_CAPABILITIES: Final[tuple[str, ...]] = ("limit", "market", "ioc", "cancel")

# What an engine alone can have.
MATCHING_CAPABILITIES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "limit": "day limit orders that rest when they do not trade",
        "market": "market orders",
        "ioc": "immediate-or-cancel limit orders",
        "cancel": "cancel of a live order by its ClOrdID",
        "replace": "price and quantity of a live order can be changed",
        "replace_priority": "a replace that only cuts the quantity keeps the place in the queue",
        "replace_above_cum": "a replace to a quantity that is executed already is refused; others end the order there",
        "mass_cancel": "one request cancels every order of an account",
        "order_status": "one request asks for state, cum and leaves of an order",
        "smp_cancel_newest": "self-match prevention that cancels the incoming order",
        "smp_cancel_oldest": "self-match prevention that cancels the resting order",
        "top": "the engine publishes top of book changes with its events",
        "multi_symbol": "several symbols in one engine",
        "accounts": "orders belong to accounts, and the engine knows whose request it handles",
        "validation": "bad prices and quantities are refused by the target, not by its caller",
        "duplicate_check": "a ClOrdID used before is recognised",
        "symbol_list": "the target has a fixed list of symbols and refuses others",
    }
)

CAPABILITIES: Final[Mapping[str, str]] = MappingProxyType(
    {
        **MATCHING_CAPABILITIES,
        # order entry
        "fix": "orders enter through a FIX session over TCP",
        "fix_resend": "FIX sequence numbers persist and missed messages can be had again",
        "jwt": "logon carries a signed token with an expiry",
        "risk_checks": "order size limit and price collar before the queue",
        "balances": "cash and positions are reserved before an order is accepted",
        "cancel_on_disconnect": "a lost session's open orders are cancelled, when asked at logon",
        "stage_times": "the target stamps its internal stages where the kit can read them",
        # durability
        "audit_log": "an audit log that the kit can read",
        "async_durability": "mode async: acknowledged before the record is on disk",
        "fsync_durability": "mode fsync: acknowledged after the record is on disk",
        "replicated_durability": "mode replicated: acknowledged after the standby has the record",
        "battery_backed": "the profile declares memory that outlives a power cut",
        # availability
        "restart": "hooks to kill the target and start it again on the same data",
        "power_cut": "a hook that takes the power away, unsynced writes included",
        "standby": "a standby with automatic failover, and hooks to kill, pause and cut off the primary",
        "switchover": "an operator can hand over from primary to standby on purpose",
        # safety
        "breaker": "a circuit breaker with a clock and thresholds the profile states",
        "rate_deferral": "orders over the level 1 rate are deferred and not refused",
        "operator": "operator commands with an operator's credentials",
        # market data and ledger
        "market_data": "a subscription feed of trades, quotes and status",
        "conflation": "quotes are conflated over a stated window",
        "binary_feed": "the feed is also encoded as Protocol Buffers",
        "direct_feed": "a feed straight from the engine that passes no broker",
        "kafka": "events go through a replicated, partitioned log before the market data services",
        "ledger": "a ledger of cash and positions that the kit can read",
        # wire
        "raw_frames": "the kit can put Ethernet frames on the target's port",
        "dpdk": "a poll-mode port that passes by the kernel",
    }
)
