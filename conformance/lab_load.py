"""Orders for a lab: a flow of them from a seed, and a load that sends it on several sessions whatever happens to the exchange.

The flow trades with itself and leaves orders resting at every price of a narrow band; it is drawn from the seed alone. How much
of it is sent, and what of it was answered, is in the lab's ledger.
"""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from decimal import Decimal

from matchmark.conformance.fix import business
from matchmark.conformance.fix.client import FixClient
from matchmark.conformance.fix.message import Field, FixError
from matchmark.conformance.lab_clients import LabClients
from matchmark.conformance.messages import Side, Tif
from matchmark.conformance.targets.base import TargetUnavailable

BAND_TICKS = 4
LOTS_MAX = 9
REMEMBERED = 50
SETTLE_S = 30.0
Order = tuple[str, list[Field]]
"""MsgType and fields."""


class Flow:
    """Orders of one session, without end. ClOrdIDs are `prefix` and a number."""

    def __init__(self, lab: LabClients, account: str, prefix: str, seed: str, symbols: int = 3) -> None:
        self.chance = random.Random(seed)
        self.instruments = [lab.instrument(n) for n in range(symbols)]
        self.account, self.prefix = account, prefix
        self.middle = middle_ticks(lab)
        self.capabilities = lab.profile.info.capabilities
        self._numbers = itertools.count(1)
        self._live: list[tuple[str, int, Side, int]] = []

    def __iter__(self) -> Iterator[Order]:
        while True:
            yield self.next()

    def next(self) -> Order:
        roll = self.chance.random()
        if roll < 0.12 and self._live:
            return self._cancel()
        if roll < 0.17 and self._live and "replace" in self.capabilities:
            return self._replace()
        return self._new(roll)

    def _new(self, roll: float) -> Order:
        cl = f"{self.prefix}{next(self._numbers)}"
        n = self.chance.randrange(len(self.instruments))
        side = self.chance.choice((Side.BUY, Side.SELL))
        lots = self.chance.randint(1, LOTS_MAX)
        if roll > 0.95:
            return "D", business.new_order(self.instruments[n], cl, side, lots, account=self.account)
        ticks = self.middle + self.chance.randint(-BAND_TICKS, BAND_TICKS)
        tif = Tif.IOC if roll > 0.88 else Tif.DAY
        if tif is Tif.DAY:
            self._live = [*self._live[-REMEMBERED:], (cl, n, side, lots)]
        return "D", business.new_order(self.instruments[n], cl, side, lots, ticks, tif=tif, account=self.account)

    def _cancel(self) -> Order:
        """Of an order that may be filled by now: then it is refused, which is logged too."""
        orig, n, side, lots = self._live.pop(self.chance.randrange(len(self._live)))
        cl = f"{self.prefix}c{next(self._numbers)}"
        return "F", business.cancel(self.instruments[n], cl, orig, side, lots, account=self.account)

    def _replace(self) -> Order:
        orig, n, side, lots = self._live.pop(self.chance.randrange(len(self._live)))
        cl = f"{self.prefix}r{next(self._numbers)}"
        ticks = self.middle + self.chance.randint(-BAND_TICKS, BAND_TICKS)
        return "G", business.replace(self.instruments[n], cl, orig, side, lots + 1, ticks, account=self.account)


def middle_ticks(lab: LabClients) -> int:
    """A price that every limit of the profile lets through."""
    reference = lab.entry.get("limits", {}).get("reference_price", "100.00")
    return int(Decimal(str(reference)) / lab.instrument().tick_size)


class Load:
    """Sends `flow`s on a thread of its own until it is stopped, connecting again when it is cut off. A context manager.

    In bursts, each given `patience_s` to be answered before the next: so a slow exchange has no mountain to work off afterwards.
    `settle` then waits until everything that was sent is answered or has been asked for again. With `comes_back` False a session
    that is cut off is not logged on again, so that nobody sends again what got lost.
    """

    def __init__(
        self,
        lab: LabClients,
        accounts: list[str],
        seed: str,
        burst: int = 5,
        patience_s: float = 0.05,
        comes_back: bool = True,
    ) -> None:
        self.lab, self.accounts, self.burst, self.patience_s = lab, accounts, burst, patience_s
        self.comes_back = comes_back
        self.flows = {account: Flow(lab, account, f"{seed}-{account}-", f"{seed} {account}") for account in accounts}
        self.clients: dict[str, FixClient] = {}
        self.error: BaseException | None = None
        self._stop = threading.Event()
        self._paused = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lab-load", daemon=True)

    def __enter__(self) -> Load:
        for account in self.accounts:
            self.clients[account] = self.lab.client(account)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                for account in self.accounts:
                    self._turn(account)
        except BaseException as error:  # told to whoever waits for the load
            self.error = error

    def _turn(self, account: str) -> None:
        client = self.clients[account]
        if not client.connected and not self.comes_back:
            time.sleep(0.01)
            return
        with self.lab.talking, suppress(FixError):
            goal, until = client.next_in + self.burst, time.monotonic() + self.patience_s
            for _ in range(self.burst):
                client.send(*self.flows[account].next())
            while client.next_in < goal and client.connected and time.monotonic() < until:
                client.poll(0.01)
        if not client.connected and self.comes_back and not self._stop.is_set():
            self._connect_again(account)

    def _connect_again(self, account: str) -> None:
        """As often as it takes, for as long as the load is on: the exchange may be about to be started again."""
        while not self._stop.is_set():
            # A session that is being logged on is one of the lab's clients already: nobody else may read from it now.
            with self.lab.talking, suppress(FixError, OSError, TargetUnavailable, KeyError):
                self.clients[account] = self.lab.client(account, timeout_s=0.0)
                return
            time.sleep(0.02)

    def wait_sent(self, orders: int, timeout_s: float = SETTLE_S) -> None:
        """Until so many more messages of the load have been sent."""
        goal, until = self.sent + orders, time.monotonic() + timeout_s
        while self.sent < goal and self._thread.is_alive() and time.monotonic() < until:
            time.sleep(0.002)
        self.raise_error()

    @property
    def sent(self) -> int:
        return sum(client.next_out for client in self.clients.values())

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(SETTLE_S)
        self.raise_error()

    def raise_error(self) -> None:
        if self.error is not None:
            raise self.error

    def settle(self, timeout_s: float = SETTLE_S) -> bool:
        """After `stop`: every session on again and everything answered. False when the time was up before."""
        until = time.monotonic() + timeout_s
        for account in self.accounts:
            if not self.clients[account].connected:
                self.clients[account] = self.lab.client(account)
        while True:
            while self._hear():
                pass
            if not self.lab.ledger.unknown:
                return True
            if time.monotonic() > until:
                return False

    def _hear(self) -> bool:
        """Whether anything came on any session within a moment."""
        heard = False
        for account, client in self.clients.items():
            heard = bool(client.poll(0.05)) or heard
            if not client.connected:
                self.clients[account] = self.lab.client(account)
        return heard
