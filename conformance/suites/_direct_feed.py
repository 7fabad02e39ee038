"""Receivers of the direct feed beside a lab's traders, and a flow of orders that they are told of."""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable, Sequence
from typing import NoReturn

from matchmark.conformance.checks.audit_ledger import Breach
from matchmark.conformance.checks.audit_steps import steps
from matchmark.conformance.checks.audit_structure import AuditLog
from matchmark.conformance.checks.direct_feed import (
    check_each_book,
    check_headers,
    check_numbers,
    check_told,
    plain,
    show,
)
from matchmark.conformance.checks.finding import Finding
from matchmark.conformance.lab import Lab
from matchmark.conformance.lab_fixtures import violate
from matchmark.conformance.lab_load import Flow
from matchmark.conformance.packets.from_log import told_by
from matchmark.conformance.packets.receiver import Message, Receiver
from matchmark.conformance.suites._durability import Desk
from matchmark.conformance.targets.base import TargetUnavailable
from matchmark.conformance.targets.profile_direct_feed import DirectFeedProfile, direct_feed_of
from matchmark.conformance.timing import now_ns

HEARD_S = 15.0
"""What has not come by then is not coming: a heartbeat and a few requests need two seconds on a busy machine."""
LINGER_S = 0.2
"""What should not come gets so long to come all the same."""
CLAUSE = "D09.10"
MARK_LOTS = 777


class Ear:
    """One receiver, all that it was handed out and all packets that came to it."""

    def __init__(
        self,
        stand: Stand,
        have: int | None = 0,
        epoch: int = 0,
        lose: Callable[[bytes], bool] = lambda data: False,
    ) -> None:
        self.messages: list[Message] = []
        self.packets: list[bytes] = []
        self.came_ns: list[int] = []
        """When each packet was read."""

        def passed_by(data: bytes) -> bool:
            self.came_ns.append(now_ns())
            self.packets.append(data)
            return lose(data)

        self.receiver: Receiver = stand.rules.receiver(stand.url, have, passed_by, epoch)

    def hear(self, enough: Callable[[], bool], timeout_s: float = HEARD_S) -> bool:
        """Whether it was enough in time; and what came a little later."""
        until = time.monotonic() + timeout_s
        while not enough() and time.monotonic() < until:
            self.messages += self.receiver.poll(0.02)
        came, until = enough(), time.monotonic() + LINGER_S
        while time.monotonic() < until:
            self.messages += self.receiver.poll(0.02)
        return came

    def hear_to(self, sequence: int) -> bool:
        return self.hear(lambda: (self.receiver.have or 0) >= sequence)

    @property
    def traded(self) -> list[tuple[int, int]]:
        """(price, lots)."""
        return [(m.price, m.quantity) for m in self.messages if m.type == "E"]


class Stand:
    """A started lab with traders and receivers. A context manager."""

    def __init__(self, lab: Lab, clause: str = CLAUSE) -> None:
        self.lab, self.clause = lab, clause
        self.rules: DirectFeedProfile = _rules(lab)
        if not lab.ready:
            lab.start()
        self.made: list[tuple[int, int]] = []
        """(price, lots) of each trade that `trade` made."""
        self._ears: list[Ear] = []
        self._runs = 0

    def __enter__(self) -> Stand:
        return self

    def __exit__(self, *_: object) -> None:
        for ear in self._ears:
            ear.receiver.close()

    @property
    def url(self) -> str:
        url = self.rules.url or self.lab.ready.get("direct_feed")
        if not url:
            raise TargetUnavailable(
                "neither [direct_feed] url nor the readiness line (direct_feed) says where the direct feed is"
            )
        return str(url)

    def ear(self, have: int | None = 0, epoch: int = 0, lose: Callable[[bytes], bool] = lambda data: False) -> Ear:
        self._ears.append(Ear(self, have, epoch, lose))
        return self._ears[-1]

    # --- trading ---

    def desks(self) -> None:
        self.maker, self.taker = (
            Desk(self.lab, self.lab.accounts[0], "df-m."),
            Desk(self.lab, self.lab.accounts[1], "df-t."),
        )

    def trade(self, count: int) -> None:
        """`count` trades of 1, 2, 3 ... lots at prices that change, each answered."""
        for lots in range(1, count + 1):
            away = lots % 3 - 1
            self.maker.order("buy", lots, away)
            self.taker.order("sell", lots, away)
            self.made.append((self.maker.middle + away, lots))

    def watched(self, ear: Ear, count: int) -> None:
        """`count` market orders that each meet one resting order; who listens does so without a pause meanwhile."""
        for lots in range(1, count + 1):
            self.maker.order("buy", lots, 0)
            self.taker.order("sell", lots, None, wait=False)
            self.made.append((self.maker.middle, lots))
            until = time.monotonic() + HEARD_S
            while len(ear.traded) < len(self.made) and time.monotonic() < until:
                ear.messages += ear.receiver.poll(0)

    def flow(self, orders: int, seed: str) -> None:
        """Random orders, cancels and replaces of three accounts in three symbols, as fast as they are answered."""
        self._runs += 1
        chance, accounts = random.Random(seed), self.lab.accounts[:3]
        flows = {a: Flow(self.lab, a, f"df{self._runs}-{a}-", f"{seed} {a}") for a in accounts}
        clients = {a: self.lab.client(a) for a in accounts}
        for n in range(orders):
            account = chance.choice(accounts)
            client = clients[account]
            goal = client.next_in + 1
            client.send(*flows[account].next())
            if n % 8 == 7:
                until = time.monotonic() + 1
                while client.next_in < goal and time.monotonic() < until:
                    client.poll(0.01)
        self.fence()

    def fence(self) -> None:
        """All that was sent is in the log: an order that is sent behind it is."""
        self._runs += 1
        last = Desk(self.lab, self.lab.accounts[3], f"df-f{self._runs}.")
        cl = last.order("buy", 1, -50)
        for _, client in self.lab.clients:
            if client.connected:
                client.poll(0.05)
        cl = last.order("buy", 1, -51)
        if not self.lab.wait_logged({cl}):
            self.fail("an order that was answered is in the log", [cl], ["it is not"])

    def hear_all(self, ear: Ear) -> None:
        """A trade of its own is made and waited for: what was before it has been told."""
        self.desks()
        self.maker.order("buy", MARK_LOTS, 0)
        self.taker.order("sell", MARK_LOTS, 0)
        if not ear.hear(lambda: any(lots == MARK_LOTS for _, lots in ear.traded)):
            self.fail("the direct feed has the last trade", [f"{MARK_LOTS} lots"], [str(ear.receiver.numbers)])

    # --- judging ---

    def last(self) -> int:
        """The last record in the log that the public is told of."""
        return told_by(self.lab.read_log().records)[-1].sequence

    def _all_heard(self, ears: Sequence[Ear]) -> AuditLog:
        """The log, when it has come to rest and the receivers have had their time to hear of it."""
        log = self.lab.read_log()
        while True:
            last = told_by(log.records)[-1].sequence
            for ear in ears:
                ear.hear_to(last)
            before, log = log, self.lab.read_log()
            if log.last_sequence == before.last_sequence:
                return log

    def judge(self, *ears: Ear, beyond: int = 0) -> None:
        """Each has heard everything of the log that is behind `beyond`, and nothing else; of who has it from the beginning the
        books are made, too."""
        log = self._all_heard(ears)
        due = [m for m in told_by(log.records) if m.sequence > beyond]
        for n, ear in enumerate(ears):
            who = (
                f"of receiver {n + 1} of {len(ears)}: every event of the log"
                if len(ears) > 1
                else "every event of the log"
            )
            self.blame(check_numbers(ear.receiver.numbers) or check_told(due, ear.messages, who))
            self.blame(check_headers(ear.packets, log.records))
            if not beyond:
                self.blame(check_each_book(ear.messages, steps(log.records)))

    def judge_trades(self, ear: Ear, when: str) -> None:
        """Without looking at the log, which may stand still."""
        ear.hear(lambda: len(ear.traded) >= len(self.made))
        if ear.traded != self.made:
            made = [f"{lots} at {ticks}" for ticks, lots in self.made[-6:]]
            said = [show(plain(m)) for m in ear.messages if m.type == "E"][-6:]
            text = f"{when} every trade is on the direct feed ({len(self.made)} were made, {len(ear.traded)} heard)"
            self.fail(text, made, said or ["nothing"])
        self.blame(check_numbers(ear.receiver.numbers))

    def blame(self, found: list[Finding]) -> None:
        for f in found:
            self.fail(f.message, f.expected, f.actual)

    def fail(self, text: str, expected: object = (), actual: object = ()) -> NoReturn:
        violate(self.lab, Breach(self.clause, text, tuple(expected), tuple(actual)))  # type: ignore[arg-type]


def _rules(lab: Lab) -> DirectFeedProfile:
    """[direct_feed], whose receiver may be a module beside the profile."""
    table = lab.profile.tables.get("direct_feed", {})
    if str(lab.profile.folder) not in sys.path:
        sys.path.insert(0, str(lab.profile.folder))
    try:
        return direct_feed_of(table)
    except (ImportError, AttributeError) as error:
        raise TargetUnavailable(f"[direct_feed] receiver {table.get('receiver')}: {error}") from None
