"""An engine behind FIX as a target: one session an account, several at once, and what they all are told is compared.

A command goes out on its sender's session with a fence right behind it, a request that changes nothing; when the fence is
answered, all that the sender is told of the command has come. Then the other sides' reports of its executions are waited
for. Each example trades fresh symbols, so no example sees another's book.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

from matchmark.conformance.checks.finding import show
from matchmark.conformance.fix.business import Instrument
from matchmark.conformance.fix.message import Field, FixMessage, show_raw
from matchmark.conformance.fix.wire import utc
from matchmark.conformance.history import WireLine
from matchmark.conformance.messages import (
    Accepted,
    Cancel,
    Cancelled,
    CancelRejected,
    Command,
    Event,
    MassCancel,
    New,
    Rejected,
    Replace,
    Reset,
    Status,
    Trade,
)
from matchmark.conformance.targets.base import (
    StreamFault,
    Target,
    TargetDied,
    TargetGarbled,
    TargetUnavailable,
)
from matchmark.conformance.targets.fix_orders import Book, Order
from matchmark.conformance.targets.fix_reports import (
    PHANTOM,
    TO_BOTH,
    Half,
    Reports,
    Said,
    gap_fault,
    misfit,
    pair,
    reason_of,
)
from matchmark.conformance.targets.fix_sessions import Fence, Sessions, Talk
from matchmark.conformance.targets.profile import Profile
from matchmark.conformance.venue import Venue

IMPATIENCE_S = 0.1
"""When a report has been waited for in vain for the profile's whole time-out, each later one that is missing gets so long."""
SESSION_TYPES = frozenset("0124A")
NOTES = (
    "Driven over FIX: a fence followed each command, and the reports of both sides of each execution were compared.",
    "An order under a ClOrdID that is taken was sent in the name of the account that has it.",
)


class FixTarget(Target):
    def __init__(self, profile: Profile) -> None:
        self.info = replace(profile.info, notes=(*profile.info.notes, *NOTES))
        self.profile = profile
        self.grade: str = profile.tables.get("timing", {}).get("grade", "none")
        self.venue = Venue(profile)
        self._timeout_s = self._patience_s = profile.answer_timeout_s
        self._listed = frozenset(profile.info.instruments.symbols)
        self._names = AccountNames(self.venue.accounts, "accounts" in profile.info.capabilities)
        self._running = False
        self._by_cancel = profile.tables.get("instruments", {}).get("isolation") == "mass_cancel"
        self._symbols = itertools.cycle(profile.symbols)
        self._sessions = Sessions(self.venue, self._timeout_s, "order_status" in profile.info.capabilities)

    # --- life ---

    def start(self) -> None:
        self.close()
        self.venue.start()
        self._running = True
        self._sessions.fence_symbol = self._symbol().symbol
        self._begin()

    def close(self) -> None:
        self._running = False
        self._sessions.forget_all()
        self.venue.close()

    def reset(self) -> None:
        """The next example: what the last one left in the books is cancelled, what it left unread is thrown away."""
        if not self._running:
            self.start()
            return
        self._sessions.drop_lost()
        left = [
            (talk, [o for o in self._book.live() if o.account == talk.account])
            for talk in self._sessions.talks.values()
        ]
        for talk, orders in left:
            if orders:
                self._cancel_all(talk, orders)
        if not self._settled or any(orders for _, orders in left):
            with suppress(StreamFault):  # the last example's: it was told of it when it settled
                for _ in self._strays():
                    pass
        self._sessions.clear()
        self._begin()

    def _begin(self) -> None:
        venue = self.venue
        if self._by_cancel:
            self._symbols = itertools.cycle(self.profile.symbols)
        self._book = Book(self._symbol, self._names, venue.new_cl, self._listed, venue.order_fields, venue.smp)
        self._reports = Reports(self._book)
        self._settled = True

    def _symbol(self) -> Instrument:
        """A symbol with an empty book: a fresh one; when there are few, or all were used, one whose orders are cancelled."""
        if not self._by_cancel:
            try:
                return self.venue.fresh_symbol()
            except TargetUnavailable:
                self._by_cancel = True
        return self.venue.instrument(next(self._symbols))

    def _cancel_all(self, talk: Talk, orders: list[Order]) -> None:
        if "mass_cancel" in self.info.capabilities:
            self._sessions.send(talk, "q", [(11, self.venue.new_cl()), (530, "7"), (60, utc())])
            return
        for order in orders:
            self._sessions.send(
                talk, "F", self._book.cancel(Cancel(self.venue.new_cl(), order.cl, order.account, order.sym))
            )

    def settle(self) -> None:
        if self._settled or not self._running:
            return
        for talk, m in self._strays():
            self._stray(talk, m)

    def take_wire(self) -> tuple[WireLine, ...]:
        return self._sessions.take_wire()

    # --- a command and its answer ---

    def submit(self, command: Command) -> list[Event]:
        if isinstance(command, Reset):
            self.reset()
            return []
        if not self._running:
            raise TargetUnavailable("the engine behind FIX is not started")
        self._settled = False
        account, msg_type, fields = self._message(command)
        talk = self._sessions.talk(account)
        seq = str(talk.client.next_out)
        talk.client.cork()
        self._sessions.send(talk, msg_type, fields)
        fence = self._sessions.fence(talk)
        self._sessions.uncork(talk)
        return self._events(talk, command, self._answer(talk, command, seq, fence))

    def _message(self, command: New | Cancel | Replace | MassCancel | Status) -> tuple[str, str, list[Field]]:
        if isinstance(command, New):
            account, fields = self._book.new(command)
            return account, "D", fields
        account = self._book.account(command.acct)
        if isinstance(command, Cancel):
            return account, "F", self._book.cancel(command)
        if isinstance(command, Replace):
            return account, "G", self._book.replace(command)
        if isinstance(command, MassCancel):
            return account, "q", self._book.mass_cancel(command)
        return account, "H", self._book.status(command)

    def _answer(self, talk: Talk, command: Command, seq: str, fence: Fence) -> list[Said]:
        """All that the sender is told of its command. An answer that is still out behind the fence gets some time."""
        said: list[Said] = []
        until = time.monotonic() + self._timeout_s
        while not fence.passed:
            for m in self._sessions.arrived(talk, until):
                until = max(until, time.monotonic() + self._timeout_s)
                if fence.is_answer(m):
                    fence.passed = True
                elif (one := self._read(talk, m, command, seq)) is not None:
                    said.append(one)
        if all(isinstance(one, Half) for one in said):
            said += self._late_answer(talk, command, seq)
        return said

    def _late_answer(self, talk: Talk, command: Command, seq: str) -> list[Said]:
        until = time.monotonic() + self._patience_s
        said: list[Said] = []
        while all(isinstance(one, Half) for one in said) and time.monotonic() < until:
            self._hear_others(talk)  # where the answer may have gone to
            self._sessions.pump(until - time.monotonic())
            messages, talk.inbox = talk.inbox, []
            said += [one for m in messages if (one := self._read(talk, m, command, seq)) is not None]
        if not said:
            self._patience_s = min(self._patience_s, IMPATIENCE_S)
        return said

    def _read(self, talk: Talk, m: FixMessage, command: Command | None, seq: str = "") -> Said | None:
        """What a message says; None for those of the session. `command` was sent under `seq`."""
        kind = m.type
        if kind in ("8", "9", "r"):
            return self._reports.read(talk.account, m, command.cl if isinstance(command, Status) else None)
        if kind in SESSION_TYPES:
            return None
        if kind in ("3", "j"):
            if command is None or isinstance(command, Reset) or m.get(45) != seq:
                text = f"a refusal of message {m.get(45)}, which nobody waits for an answer to"
                raise StreamFault(PHANTOM, text, ["nothing"], [show_raw(m.raw)])
            reason = reason_of(m.first, 380 if kind == "j" else 373)
            return Rejected(command.cl, reason) if isinstance(command, New) else CancelRejected(command.cl, reason)
        if kind == "5":
            raise TargetDied(f"it ended session {talk.client.sender_comp_id}: {m.get(58, 'Logout without a reason')}")
        raise TargetGarbled(f"a message of a type that this kit did not ask for: {show_raw(m.raw)}")

    def _events(self, talk: Talk, command: Command, said: list[Said]) -> list[Event]:
        """The answer as events: each execution of the incoming order is put together from what both sides were told."""
        incoming = command.cl if isinstance(command, New | Replace) else None
        trades = [one for one in said if isinstance(one, Half) and one.order.cl == incoming]
        talk.halves += [one for one in said if isinstance(one, Half) and one.order.cl != incoming]
        self._hear_others(talk)
        self._await_halves(talk, sum(t.qty for t in trades))
        queues = {other.account: other.halves for other in self._sessions.talks.values() if other.halves}
        if not trades and not queues:
            return [one for one in said if not isinstance(one, Half)]
        if (fault := gap_fault(trades, queues)) is not None:
            raise fault
        partners = pair(trades, queues)
        if partners is None:
            raise misfit(trades, queues)
        for other in self._sessions.talks.values():
            other.halves = []
        with_whom = iter(partners)
        events: list[Event] = []
        for one in said:
            if not isinstance(one, Half):
                events.append(one)
            elif one.order.cl == incoming:
                events.append(Trade(one.order.sym, one.px, one.qty, next(with_whom).cl, one.order.cl))
        return events

    def _await_halves(self, talk: Talk, lots: int) -> None:
        """Until the resting sides were told of as many lots as the incoming one."""
        until = time.monotonic() + self._patience_s
        while sum(half.qty for other in self._sessions.talks.values() for half in other.halves) < lots:
            if time.monotonic() >= until:
                self._patience_s = min(self._patience_s, IMPATIENCE_S)
                return
            self._sessions.pump(until - time.monotonic())
            self._hear_others(talk)

    # --- the other sessions ---

    def _hear_others(self, talk: Talk) -> None:
        """What came to the others: their side of executions, and nothing else."""
        for other in self._sessions.talks.values():
            if other is talk or not other.inbox:
                continue
            messages, other.inbox = other.inbox, []
            for m in messages:
                self._stray(other, m, expected=True)

    def _stray(self, talk: Talk, m: FixMessage, expected: bool = False) -> None:
        """A message for which no command was waiting. StreamFault of what is wrong with it."""
        one = self._read(talk, m, None)
        if one is None:
            return
        if isinstance(one, Half):
            if expected:
                talk.halves.append(one)
                return
            text = f"an execution of {one.order.cl} was reported to its side alone"
            raise StreamFault(TO_BOTH, text, ["reports to both sides"], [show_raw(m.raw)])
        clause = PHANTOM
        if isinstance(one, Accepted):
            clause = "D01.8"
        elif isinstance(one, Cancelled):
            clause = "D04.8" if m.get(41) else "D08.5"
        raise StreamFault(clause, f"a report that no command asked for: {show(one)}", ["nothing"], [show_raw(m.raw)])

    def _strays(self) -> Iterator[tuple[Talk, FixMessage]]:
        """Everything that was said on any session before the fences, which go out on all of them."""
        self._settled = True
        fences = [(talk, self._sessions.fence(talk)) for talk in self._sessions.talks.values()]
        until = time.monotonic() + self._timeout_s
        for talk, fence in fences:
            while not fence.passed:
                for m in self._sessions.arrived(talk, until):
                    if fence.is_answer(m):
                        fence.passed = True
                    else:
                        yield talk, m


class AccountNames(dict[str, str]):
    """The suites' accounts to the profile's: A1, A2 ... to the first ones, PROBE to the last, others as they come."""

    def __init__(self, accounts: list[str], told_apart: bool) -> None:
        super().__init__({f"A{n}": account for n, account in enumerate(accounts[:-1], 1)})
        self["PROBE"] = accounts[-1]
        self._accounts, self._told_apart = accounts, told_apart

    def __getitem__(self, suite: str) -> str:
        return super().__getitem__(suite) if self._told_apart else self._accounts[0]

    def __missing__(self, suite: str) -> str:
        free = [account for account in self._accounts if account not in self.values()]
        if not free:
            raise TargetUnavailable(f"[order_entry] accounts has too few for the suites, which also use {suite}")
        self[suite] = free[0]
        return free[0]
