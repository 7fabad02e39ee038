"""The clients of a laboratory: sessions that go on with their numbers, wherever they are taken, and what was said on them."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from matchmark.conformance.checks.audit_structure import AuditLog
from matchmark.conformance.fix.business import Instrument
from matchmark.conformance.fix.client import ConnectionEnded, Endpoint, FixClient, NoAnswer
from matchmark.conformance.fix.numbers import Numbers
from matchmark.conformance.ledger import Conversation, Ledger
from matchmark.conformance.targets.profile import Profile

BACK_IN_S = 20.0
"""A client that was cut off tries so long to log on again."""
DRAIN_S = 5.0


class LabClients(ABC):
    """What is asked of a lab by those who only trade there and read its log."""

    logon_s = 10.0
    """So long a logon waits for its answer."""

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self.entry: Mapping[str, Any] = profile.tables.get("order_entry", {})
        self.clients: list[tuple[str, FixClient]] = []
        """Account and client of every connection there was, in order."""
        self.talking = threading.RLock()
        """Held by whoever uses a client of a load: it has a thread of its own."""
        self._numbers: dict[str, Numbers] = {}
        self._tokens: dict[str, str | None] = {}
        self._outdated: set[str] = set()
        """Sessions whose numbers a power cut has put in doubt."""

    # --- what there is of it ---

    @abstractmethod
    def endpoint(self) -> Endpoint:
        """Where the next logon is tried."""

    @abstractmethod
    def new_token(self, account: str) -> str | None:
        """None where logons carry none."""

    @abstractmethod
    def read_log(self) -> AuditLog: ...

    # --- clients ---

    @property
    def accounts(self) -> list[str]:
        return [str(account) for account in self.entry["accounts"]]

    def instrument(self, n: int = 0) -> Instrument:
        symbols = self.profile.symbols or self.profile.info.instruments.symbols
        table = self.profile.tables.get("instruments", {})
        tick, lot = Decimal(str(table.get("tick_size", "0.01"))), int(table.get("lot_size", 1))
        return Instrument(symbols[n % len(symbols)], tick, lot, self.entry.get("price_decimals"))

    def token(self, account: str) -> str | None:
        if account not in self._tokens:
            self._tokens[account] = self.new_token(account)
        return self._tokens[account]

    def sender(self, account: str, n: int = 0) -> str:
        return (
            str(self.entry.get("sender_comp_id", "{account}-{n}")).replace("{account}", account).replace("{n}", str(n))
        )

    def client(self, account: str, n: int = 0, timeout_s: float = BACK_IN_S) -> FixClient:
        """A session, logged on; of a session that was on before, going on with its numbers.

        After a power cut they begin anew (ResetSeqNumFlag): what the exchange had kept of them may be older than ours, and FIX
        leaves it to the parties to agree.
        """
        sender = self.sender(account, n)
        reset = True if sender in self._outdated else None
        numbers = self._numbers.setdefault(sender, Numbers())
        for _, old in self.clients:
            if old.sender_comp_id == sender:
                old.close()
        until = time.monotonic() + timeout_s
        while True:
            client = FixClient(self.endpoint(), sender, self.token(account), persisted=numbers)
            self.clients.append((account, client))
            try:
                client.logon(reset=reset, timeout_s=self.logon_s)
                self._outdated.discard(sender)
                return client
            except (ConnectionEnded, NoAnswer, OSError):
                client.close()
                if time.monotonic() > until:
                    raise
                time.sleep(0.02)

    def forget_numbers(self) -> None:
        """After the target has gone back in time: sessions begin anew with numbers both sides agree on."""
        self._outdated |= set(self._numbers)

    def close_clients(self) -> None:
        for _, client in self.clients:
            client.close()

    def drain(self) -> None:
        """Reads what the dead exchange had still sent."""
        until = time.monotonic() + DRAIN_S
        with self.talking:
            for _, client in self.clients:
                while client.connected and time.monotonic() < until:
                    client.poll(0.05)

    def forget_tokens(self) -> None:
        """After the target has lost its keys."""
        self._tokens.clear()

    @property
    def ledger(self) -> Ledger:
        """What the clients know by now."""
        return self.ledger_since(0)

    def ledger_since(self, connection: int) -> Ledger:
        """Only of the connections from this one on (len(clients) at some moment)."""
        return Ledger(
            Conversation(c.sender_comp_id, account, list(c.stream)) for account, c in self.clients[connection:]
        )

    def streams(self) -> dict[str, list[Any]]:
        """Every connection's lines, by SenderCompID (and #2 ... for a further connection of the same)."""
        out: dict[str, list[Any]] = {}
        for _, client in self.clients:
            name, n = client.sender_comp_id, 2
            while name in out:
                name, n = f"{client.sender_comp_id}#{n}", n + 1
            out[name] = list(client.stream)
        return out
