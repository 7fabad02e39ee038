"""The running target as a suite over FIX sees it: sessions of its accounts, tokens, fresh symbols and ClOrdIDs, evidence.

Used as the pytest fixture `venue`. It judges nothing. Sessions got by `session` are kept from test to test with their
numbers; what a test says and hears on any session of the venue is its evidence.
"""

from __future__ import annotations

import base64
import itertools
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from matchmark.conformance.fix.business import Instrument
from matchmark.conformance.fix.carrier import Carrier, Connection
from matchmark.conformance.fix.client import Endpoint, FixClient
from matchmark.conformance.fix.message import FixError, Line
from matchmark.conformance.fix.numbers import Numbers
from matchmark.conformance.hooks import StartedEngine, run_hook
from matchmark.conformance.market_data.subscriber import Feed, FeedLine
from matchmark.conformance.targets.base import TargetUnavailable
from matchmark.conformance.targets.profile import Profile
from matchmark.conformance.targets.profile_fix import SMP_VALUES
from matchmark.conformance.targets.profile_market_data import MarketDataProfile, market_data_of

TOKEN_TTL_S = 24 * 3600
"""Of the sessions that are kept: longer than any run."""
OWN_SESSIONS_FROM = 100
"""The {n} of sessions that a test has for itself; those below are shared."""
FEEDS_SHOWN = 4
"""Of a crowd of subscribers so many are evidence: the others are sent the same."""
TOKEN = "${TOKEN}"
"""What the client replaces by its token in a logon field."""


class NotOffered(Exception):
    """The target cannot be asked for this; the text is the reason that NOT_APPLICABLE gives."""


@dataclass
class Limits:
    """What the gateway refuses, as the profile declares it; with symbols and accounts that nothing has used yet."""

    max_lots: int | None
    collar_bps: int | None
    reference_price: Decimal | None
    cash: Decimal | None
    """Opening cash of each of its accounts."""
    position: int | None
    """Opening position of each of its accounts in each of its symbols, in lots."""
    _symbols: Iterator[str] = field(repr=False)
    _accounts: Iterator[str] = field(repr=False)
    _of: Callable[[str], Instrument] = field(repr=False)

    def fresh_symbol(self) -> Instrument:
        """A symbol under the limits in which nobody has traded."""
        return self._of(_next(self._symbols, "symbols of [order_entry.limits]"))

    def fresh_account(self) -> str:
        """An account that has exactly `cash` and `position`."""
        return _next(self._accounts, "accounts of [order_entry.limits]")


class Venue:
    """A FIX engine: started by the profile's hooks, or running where the profile says."""

    dial: Callable[[str, int], Connection] = staticmethod(Carrier)
    """How its clients connect."""

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self.table = profile.tables["order_entry"]
        self.hooks = profile.tables.get("hooks", {})
        self.accounts: list[str] = list(self.table["accounts"])
        self.instruments = profile.tables.get("instruments", {})
        self.order_fields = {int(tag): str(value) for tag, value in self.table.get("order_fields", {}).items()}
        self.cancel_on_disconnect = {int(t): str(v) for t, v in self.table.get("cancel_on_disconnect", {}).items()}
        self.smp = _smp(self.table)
        self.durability: str | None = profile.tables.get("audit_log", {}).get("durability")
        self.engine: StartedEngine | None = None
        self._price_decimals: int | None = self.table.get("price_decimals")
        self.limits = _limits(self.table.get("limits"), self.instrument)
        self._run = _base36(time.time_ns() // 1_000_000)[-6:]
        self._cl_numbers = itertools.count(1)
        self._own = itertools.count(OWN_SESSIONS_FROM)
        self._symbols = self._pool()
        self._numbers: dict[str, Numbers] = {}
        self._shared: dict[str, FixClient] = {}
        self._tokens: dict[tuple[str, str], str] = {}
        self._own_clients: list[FixClient] = []
        self._told: dict[str, FixClient] = {}
        self._endpoint: Endpoint | None = None
        self._feeds: list[Feed] = []

    # --- life ---

    def start(self) -> None:
        """Starts the engine, if hooks can, and knows then where it listens. TargetUnavailable when that fails."""
        self.close()
        ready: dict[str, Any] = {}
        if "start" in self.hooks:
            host, port = self.table.get("host"), self.table.get("port")
            self.engine = StartedEngine(self.hooks, self.profile.folder, (host, port) if host and port else None)
            try:
                ready = self.engine.start().get("fix", {})
            except BaseException:
                self.close()
                raise
        said = {**ready, **{key: self.table[key] for key in ("host", "port", "target_comp_id") if key in self.table}}
        missing = [key for key in ("host", "port", "target_comp_id") if not said.get(key)]
        if missing:
            raise TargetUnavailable(f"neither [order_entry] nor the readiness line of [hooks] start says {missing[0]}")
        self._endpoint = Endpoint(
            said["host"],
            int(said["port"]),
            self.table.get("begin_string", "FIX.4.4"),
            said["target_comp_id"],
            self.table.get("heartbeat_s", 30),
            {int(tag): value.replace("{token}", TOKEN) for tag, value in self.table.get("logon_fields", {}).items()},
            {},
            False,
        )

    @property
    def log_dir(self) -> Path | None:
        """The folder of the audit log, where the profile or the readiness line says it."""
        named = self.profile.tables.get("audit_log", {}).get("dir")
        if named is None and self.engine is not None:
            named = self.engine.ready.get("audit_dir")
        return None if named is None else Path(str(named))

    def close(self) -> None:
        """Logs off, stops the engine if it was started here, and forgets its sessions; harmless when closed already."""
        self._close_feeds()
        for client in [*self._own_clients, *self._shared.values()]:
            client.close()
        engine, self.engine = self.engine, None
        if engine is not None:
            engine.close()
            self._numbers.clear()
            self._tokens.clear()
            self._symbols = self._pool()
            self.limits = _limits(self.table.get("limits"), self.instrument)
        self._own_clients, self._shared, self._told, self._endpoint = [], {}, {}, None

    @property
    def started(self) -> bool:
        """Whether it is started."""
        return self._endpoint is not None

    @property
    def endpoint(self) -> Endpoint:
        if self._endpoint is None:
            raise TargetUnavailable("the venue is not started")
        return self._endpoint

    def begin_test(self) -> None:
        """From here on what is said is the next test's evidence. Sessions that ended meanwhile are forgotten."""
        self._close_feeds()
        for client in self._own_clients:
            with suppress(FixError):
                client.close()
        self._own_clients.clear()
        self._told.clear()
        for sender, client in list(self._shared.items()):
            client.keep_alive()
            if not client.logged_on:
                del self._shared[sender]
                continue
            client.clear()
            forget(client)
            self._told[sender] = client

    def streams(self) -> dict[str, list[Line]]:
        """Everything that was said in this test, by SenderCompID (and #2 ... for a further connection of the same)."""
        return {name: list(client.stream) for name, client in self._told.items() if client.stream}

    # --- market data ---

    @property
    def market_data(self) -> MarketDataProfile:
        """NotOffered when the profile has no [market_data]."""
        table = self.profile.tables.get("market_data")
        if table is None:
            raise NotOffered("the profile has no [market_data]")
        return decoder_beside(self.profile, table)

    def feed(self) -> Feed:
        """A feed for this test alone, closed at its end. TargetUnavailable when nobody says where it is."""
        rules = self.market_data
        ready = self.engine.ready if self.engine is not None else {}
        url = rules.url or ready.get("websocket")
        if not url:
            raise TargetUnavailable(
                "neither [market_data] url nor the readiness line (websocket) says where the feed is"
            )
        token = None if rules.anonymous else rules.token or self.token_of(self.accounts[0], rules.role)
        self._feeds.append(Feed(url, rules.decoder, token))
        return self._feeds[-1]

    def feed_streams(self) -> dict[str, list[FeedLine]]:
        """What was said with subscribers in this test."""
        return {s.name: list(s.stream) for feed in self._feeds for s in feed.subscribers[:FEEDS_SHOWN] if s.stream}

    def _close_feeds(self) -> None:
        for feed in self._feeds:
            feed.close()
        self._feeds.clear()

    # --- sessions ---

    def session(self, account: str, n: int = 0) -> FixClient:
        """The account's n-th session, logged on; the same one in every test, its numbers going on."""
        sender = self.sender(account, n)
        client = self._shared.get(sender)
        if client is None or not client.logged_on:
            client = self._shared[sender] = self.client(account, sender=sender)
            self.log_on(client)
        return client

    def new_session(self, account: str) -> FixClient:
        """A session that nobody else has, logged on, and closed at the end of the test."""
        client = self.client(account, sender=self.new_sender(account))
        self.log_on(client)
        return client

    def new_sender(self, account: str) -> str:
        """A SenderCompID that no session has had. NotOffered when an account has only one."""
        if "{n}" not in self.table.get("sender_comp_id", "{account}-{n}"):
            raise NotOffered("an account has one session only: sender_comp_id has no {n}")
        return self.sender(account, next(self._own))

    def client(self, account: str, sender: str, token: str | None = None) -> FixClient:
        """A client under that SenderCompID, not connected; its numbers are those that the name had before."""
        given = token or (self.token_of(account) if self._asks_token() else None)
        numbers = self._numbers.setdefault(sender, Numbers())
        client = FixClient(self.endpoint, sender, given, persisted=numbers, dial=self.dial)
        self._own_clients.append(client)
        name = sender
        for again in itertools.count(2):
            if name not in self._told:
                break
            name = f"{sender}#{again}"
        self._told[name] = client
        return client

    def log_on(self, client: FixClient) -> None:
        """TargetUnavailable, with what the engine said, when it refuses. Numbers are reset once a run if the profile says so."""
        reset = bool(self.table.get("reset_on_logon")) and client.next_out == 1
        try:
            client.logon(reset=reset)
        except (FixError, OSError) as error:
            client.close()
            raise TargetUnavailable(f"session {client.sender_comp_id} cannot log on: {error}") from None
        if client in self._own_clients and client in self._shared.values():
            self._own_clients.remove(client)

    def sender(self, account: str, n: int = 0) -> str:
        pattern: str = self.table.get("sender_comp_id", "{account}-{n}")
        return pattern.replace("{account}", account).replace("{n}", str(n))

    # --- tokens ---

    def _asks_token(self) -> bool:
        return any(TOKEN in value for value in self.endpoint.logon_fields.values())

    def token_of(self, account: str, role: str = "trader") -> str:
        """The token of the account's kept sessions."""
        given = self.table.get("tokens", {}).get(account)
        if given is not None:
            return str(given)
        if (account, role) not in self._tokens:
            self._tokens[account, role] = self.token(account, TOKEN_TTL_S, role)
        return self._tokens[account, role]

    def token(self, account: str, ttl_s: int = 600, role: str = "trader", **claims: Any) -> str:
        """A fresh token. With `claims` an altered one: they stand in place of what was signed, under the old signature."""
        if "token" not in self.hooks:
            raise NotOffered("no [hooks] token makes tokens")
        if self.engine is not None:
            token = self.engine.token(account, ttl_s, role)
        else:
            places = {"profile": str(self.profile.folder), "account": account, "ttl": str(ttl_s), "role": role}
            token = run_hook("token", self.hooks, places)
        return altered(token, claims) if claims else token

    # --- symbols and names ---

    def fresh_symbol(self) -> Instrument:
        """An instrument in which nothing rests and nothing was said."""
        return self.instrument(_next(self._symbols, "[instruments] pattern and count"))

    def instrument(self, symbol: str) -> Instrument:
        """The symbol with the profile's tick, lot and way of writing prices."""
        tick, lot = Decimal(self.instruments.get("tick_size", "0.01")), self.instruments.get("lot_size", 1)
        return Instrument(symbol, tick, lot, self._price_decimals)

    def _pool(self) -> Iterator[str]:
        return iter(self.profile.symbols)

    def new_cl(self) -> str:
        """A ClOrdID that nobody has used."""
        return f"{self._run}{_base36(next(self._cl_numbers))}"


def decoder_beside(profile: Profile, table: Mapping[str, Any]) -> MarketDataProfile:
    """[market_data], whose decoder may be a module beside the profile. TargetUnavailable when there is none such."""
    if str(profile.folder) not in sys.path:
        sys.path.insert(0, str(profile.folder))
    try:
        return market_data_of(table)
    except (ImportError, AttributeError) as error:
        raise TargetUnavailable(f"[market_data] decoder {table.get('decoder')}: {error}") from None


def forget(client: FixClient) -> None:
    """Frees what a session keeps of the past: its stream, and copies for resends that are not going to be asked for."""
    client.stream.clear()
    client.faults.clear()
    client.duplicates.clear()
    client.numbers.sent.clear()
    client.numbers.received.clear()


def altered(token: str, claims: Mapping[str, Any]) -> str:
    """The token with other claims and its old signature."""
    head, body, signature = token.split(".")
    said = {**json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))), **claims}
    new = base64.urlsafe_b64encode(json.dumps(said, separators=(",", ":")).encode()).rstrip(b"=").decode()
    return f"{head}.{new}.{signature}"


def _smp(table: Mapping[str, Any]) -> tuple[int, dict[str, str]] | None:
    """The tag that asks for self-match prevention, and its value for each way."""
    if "smp_tag" not in table:
        return None
    return table["smp_tag"], {way: table.get(key, default) for way, (key, default) in SMP_VALUES.items()}


def _limits(table: Mapping[str, Any] | None, instrument: Callable[[str], Instrument]) -> Limits | None:
    if table is None:
        return None
    return Limits(
        table.get("max_lots"),
        table.get("collar_bps"),
        _decimal(table.get("reference_price")),
        _decimal(table.get("cash")),
        table.get("position"),
        _names(table["symbols"], table["symbol_count"]),
        _names(table.get("accounts", ""), table.get("account_count", 0)),
        instrument,
    )


def _names(pattern: str, count: int) -> Iterator[str]:
    return (pattern.replace("{n}", str(n)) for n in range(1, count + 1))


def _decimal(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def _next(names: Iterator[str], what: str) -> str:
    name = next(names, None)
    if name is None:
        raise TargetUnavailable(f"all {what} are used up; declare more")
    return name


def _base36(number: int) -> str:
    digits = ""
    while number:
        number, digit = divmod(number, 36)
        digits = "0123456789abcdefghijklmnopqrstuvwxyz"[digit] + digits
    return digits or "0"
