"""A venue for tests of the session suites: an endpoint that listens already, and a maker of tokens."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from typing import Any

from matchmark.conformance.fix import Endpoint, FixClient, FixError, Instrument, Line, Numbers

TokenMaker = Callable[[dict[str, Any]], str]


class LocalVenue:
    """As conformance.venue.Venue towards a suite. `make_token` signs claims as the exchange's owner would."""

    def __init__(self, endpoint: Endpoint, accounts: list[str], symbols: list[str], make_token: TokenMaker) -> None:
        self.endpoint, self.accounts = endpoint, accounts
        self.order_fields: dict[int, str] = {}
        self.cancel_on_disconnect = {8013: "Y"}
        self.engine = None
        self._tokens: dict[str, str] = {}
        self._make_token = make_token
        self._symbols = itertools.cycle(symbols)
        self._own, self._cls = itertools.count(100), itertools.count(1)
        self._numbers: dict[str, Numbers] = {}
        self._shared: dict[tuple[str, int], FixClient] = {}
        self._clients: list[FixClient] = []

    def session(self, account: str, n: int = 0) -> FixClient:
        client = self._shared.get((account, n))
        if client is None or not client.logged_on:
            client = self._shared[account, n] = self.client(account, f"{account}-{n}")
            client.logon()
        return client

    def client(self, account: str, sender: str, token: str | None = None) -> FixClient:
        numbers = self._numbers.setdefault(sender, Numbers())
        given = self.token(account) if token is None else token
        client = FixClient(self.endpoint, sender, given, persisted=numbers)
        self._clients.append(client)
        return client

    def new_session(self, account: str) -> FixClient:
        client = self.client(account, self.new_sender(account))
        client.logon()
        return client

    def new_sender(self, account: str) -> str:
        return f"{account}-{next(self._own)}"

    def token(self, account: str, ttl_s: int = 600, role: str = "trader", **claims: Any) -> str:
        return self._make_token({"account": account, "ttl_s": ttl_s, "role": role, **claims})

    def token_of(self, account: str) -> str:
        return self._tokens.setdefault(account, self.token(account))

    def fresh_symbol(self) -> Instrument:
        return Instrument(next(self._symbols), Decimal("0.01"))

    def new_cl(self) -> str:
        return f"t{next(self._cls)}"

    def streams(self) -> dict[str, list[Line]]:
        return {f"{c.sender_comp_id}#{n}": list(c.stream) for n, c in enumerate(self._clients) if c.stream}

    def end_of_test(self) -> None:
        """Closes the sessions of the test; the shared ones stay."""
        shared = list(self._shared.values())
        for client in self._clients:
            if client in shared:
                client.clear()
            else:
                client.close()
        self._clients = shared

    def close(self) -> None:
        for client in [*self._clients, *self._shared.values()]:
            with suppress(FixError):
                client.close()
