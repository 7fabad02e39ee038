"""An engine behind FIX as a target: one session an account, several at once, and what they all are told is compared.

A command goes out on its sender's session with a fence right behind it, a request that changes nothing; when the fence is
answered, all that the sender is told of the command has come. Then the other sides' reports of its executions are waited
for. Each example trades fresh symbols, so no example sees another's book.
"""

from __future__ import annotations

import select
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from matchmark.conformance.checks.finding import show
from matchmark.conformance.fix.client import FixClient, NoAnswer
from matchmark.conformance.fix.message import Field, FixError, FixMessage, Rule, show_raw
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
    TargetError,
    TargetGarbled,
    TargetHung,
    TargetUnavailable,
)
from matchmark.conformance.targets.fix_orders import Book, Order
from matchmark.conformance.targets.fix_reports import (
    PHANTOM,
    TO_BOTH,
    WRONG_PARTY,
    Half,
    Reports,
    Said,
    misfit,
    pair,
    reason_of,
)
from matchmark.conformance.targets.profile import Profile
from matchmark.conformance.venue import Venue, forget
from matchmark.conformance.verdict import wire_log

SESSION_CLAUSE = "D01.X24"
"""The numbers of what the engine sends, and the framing, without which a message is lost and its number with it."""
IMPATIENCE_S = 0.1
"""When a report has been waited for in vain for the profile's whole time-out, each later one that is missing gets so long."""
SLICE_S = 0.05
SESSION_TYPES = frozenset("0124A")
NOTES = (
    "Driven over FIX: a fence followed each command, and the reports of both sides of each execution were compared.",
    "An order under a ClOrdID that is taken was sent in the name of the account that has it.",
)


@dataclass(slots=True, eq=False)
class Fence:
    """A request that changes nothing: its answer comes behind everything that was caused before it."""

    cl: str
    seq: str
    passed: bool = False

    def is_answer(self, m: FixMessage) -> bool:
        return m.get(11) == self.cl or (m.type in ("3", "j") and m.get(45) == self.seq)


@dataclass(slots=True, eq=False)
class Talk:
    """One account's session: what came on it and was not looked at yet, and its side of executions not paired yet."""

    account: str
    client: FixClient
    inbox: list[FixMessage] = field(default_factory=list)
    halves: list[Half] = field(default_factory=list)


class FixTarget(Target):
    def __init__(self, profile: Profile) -> None:
        self.info = replace(profile.info, notes=(*profile.info.notes, *NOTES))
        self.profile = profile
        self.venue = Venue(profile)
        self._timeout_s = self._patience_s = profile.answer_timeout_s
        self._listed = frozenset(profile.info.instruments.symbols)
        self._names = AccountNames(self.venue.accounts, "accounts" in profile.info.capabilities)
        self._running = False
        self._forget_sessions()

    def _forget_sessions(self) -> None:
        self._talks: dict[str, Talk] = {}
        self._by_fd: dict[int, Talk] = {}
        self._poller = select.poll()

    # --- life ---

    def start(self) -> None:
        self.close()
        self.venue.start()
        self._running = True
        self._fence_symbol = self.venue.fresh_symbol().symbol
        self._begin()

    def close(self) -> None:
        self._running = False
        self._forget_sessions()
        self.venue.close()

    def reset(self) -> None:
        """The next example: what the last one left in the books is cancelled, what it left unread is thrown away."""
        if not self._running:
            self.start()
            return
        self._drop_lost()
        left = [(talk, [o for o in self._book.live() if o.account == talk.account]) for talk in self._talks.values()]
        for talk, orders in left:
            if orders:
                self._cancel_all(talk, orders)
        if not self._settled or any(orders for _, orders in left):
            for _ in self._strays():
                pass
        for talk in self._talks.values():
            talk.inbox.clear()
            talk.halves.clear()
            forget(talk.client)
        self._begin()

    def _begin(self) -> None:
        venue = self.venue
        self._book = Book(
            venue.fresh_symbol, self._names, venue.new_cl, self._listed, venue.order_fields, venue.smp_tag
        )
        self._reports = Reports(self._book)
        self._settled = True

    def _cancel_all(self, talk: Talk, orders: list[Order]) -> None:
        if "mass_cancel" in self.info.capabilities:
            self._send(talk, "q", [(11, self.venue.new_cl()), (530, "7"), (60, utc())])
            return
        for order in orders:
            self._send(talk, "F", self._book.cancel(Cancel(self.venue.new_cl(), order.cl, order.account, order.sym)))

    def settle(self) -> None:
        if self._settled or not self._running:
            return
        for talk, m in self._strays():
            self._stray(talk, m)

    def take_wire(self) -> tuple[WireLine, ...]:
        lines = wire_log({t.client.sender_comp_id: t.client.stream for t in self._talks.values() if t.client.stream})
        for talk in self._talks.values():
            forget(talk.client)
        return tuple(lines)

    # --- a command and its answer ---

    def submit(self, command: Command) -> list[Event]:
        if isinstance(command, Reset):
            self.reset()
            return []
        if not self._running:
            raise TargetUnavailable("the engine behind FIX is not started")
        self._settled = False
        account, msg_type, fields = self._message(command)
        talk = self._talk(account)
        seq = str(talk.client.next_out)
        self._send(talk, msg_type, fields)
        return self._events(talk, command, self._answer(talk, command, seq, self._fence(talk)))

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
            for m in self._arrived(talk, until):
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
            self._pump(until - time.monotonic())
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
            reason = reason_of(dict(m.pairs), 380 if kind == "j" else 373)
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
        queues = {other.account: other.halves for other in self._talks.values() if other.halves}
        if not trades and not queues:
            return [one for one in said if not isinstance(one, Half)]
        partners = pair(trades, queues)
        if partners is None:
            raise misfit(trades, queues)
        for other in self._talks.values():
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
        while sum(half.qty for other in self._talks.values() for half in other.halves) < lots:
            if time.monotonic() >= until:
                self._patience_s = min(self._patience_s, IMPATIENCE_S)
                return
            self._pump(until - time.monotonic())
            self._hear_others(talk)

    # --- the other sessions ---

    def _hear_others(self, talk: Talk) -> None:
        """What came to the others: their side of executions, and nothing else."""
        for other in self._talks.values():
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
        fences = [(talk, self._fence(talk)) for talk in self._talks.values()]
        until = time.monotonic() + self._timeout_s
        for talk, fence in fences:
            while not fence.passed:
                for m in self._arrived(talk, until):
                    if fence.is_answer(m):
                        fence.passed = True
                    else:
                        yield talk, m

    # --- sessions ---

    def _talk(self, account: str) -> Talk:
        talk = self._talks.get(account)
        if talk is None:
            talk = self._talks[account] = Talk(account, self.venue.session(account))
            self._by_fd[talk.client.fileno()] = talk
            self._poller.register(talk.client.fileno(), select.POLLIN)
        return talk

    def _drop_lost(self) -> None:
        """Sessions that ended, or that a suite over FIX has put another connection in the place of."""
        lost = [
            t for t in self._talks.values() if not t.client.logged_on or self.venue.session(t.account) is not t.client
        ]
        if lost:
            self._forget_sessions()

    def _fence(self, talk: Talk) -> Fence:
        fence = Fence(self.venue.new_cl(), str(talk.client.next_out))
        if "order_status" in self.info.capabilities:
            self._send(talk, "H", [(11, fence.cl), (55, self._fence_symbol), (54, "1")])
        else:
            ghost = self.venue.new_cl()
            self._send(talk, "F", [(41, ghost), (11, fence.cl), (55, self._fence_symbol), (54, "1"), (60, utc())])
        return fence

    def _send(self, talk: Talk, msg_type: str, fields: list[Field]) -> None:
        try:
            talk.client.send(msg_type, fields)
        except NoAnswer as error:
            raise TargetHung(f"session {talk.client.sender_comp_id}: {error}") from None
        except FixError as error:
            raise self._ended(talk, str(error)) from None

    def _arrived(self, talk: Talk, until: float) -> list[FixMessage]:
        """The next messages of the session. TargetHung when the time is up, TargetDied when the connection is."""
        while not talk.inbox:
            left = until - time.monotonic()
            if left <= 0:
                raise TargetHung(
                    f"no answer on session {talk.client.sender_comp_id} within {self._timeout_s:g} s "
                    "(answer_timeout_s in the profile's [timing])"
                )
            self._pump(left)
            if not talk.inbox and not talk.client.connected:
                raise self._ended(talk, "the connection was cut")
        messages, talk.inbox = talk.inbox, []
        return messages

    def _pump(self, wait_s: float) -> None:
        """Reads every session that has something, so that none of them fills up while another is waited for."""
        ready = self._poller.poll(min(max(wait_s, 0.0), SLICE_S) * 1000)
        talks = [self._by_fd[fd] for fd, _ in ready] if ready else list(self._talks.values())
        for talk in talks:
            if talk.client.connected:
                talk.inbox += talk.client.poll(0.0)
            if talk.client.faults:
                raise self._session_fault(talk)
            if not talk.client.connected and self._by_fd:
                self._unwatch(talk)

    def _unwatch(self, talk: Talk) -> None:
        for fd, watched in list(self._by_fd.items()):
            if watched is talk:
                self._poller.unregister(fd)
                del self._by_fd[fd]

    def _session_fault(self, talk: Talk) -> StreamFault:
        fault = talk.client.faults[0]
        talk.client.faults.clear()
        clause = WRONG_PARTY if fault.rule is Rule.COMP_ID else SESSION_CLAUSE
        return StreamFault(clause, f"session {talk.client.sender_comp_id}: {fault.text}", [], [show_raw(fault.raw)])

    def _ended(self, talk: Talk, how: str) -> TargetError:
        engine = self.venue.engine
        if engine is not None and engine.died:
            return TargetDied(f"it ended{engine.last_words()}")
        return TargetDied(f"session {talk.client.sender_comp_id}: {how}")


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
