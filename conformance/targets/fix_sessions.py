"""The sessions of a FixTarget: who has one, what came on it, fences, and what a lost connection means.

Every session is read while one of them is waited for, so that none fills up. Nothing here reads a report.
"""

from __future__ import annotations

import select
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from matchmark.conformance.fix.client import FixClient, NoAnswer
from matchmark.conformance.fix.message import Field, FixError, FixMessage, Line, Rule, show_raw
from matchmark.conformance.fix.wire import utc
from matchmark.conformance.history import WireLine
from matchmark.conformance.targets.base import StreamFault, TargetDied, TargetError, TargetHung
from matchmark.conformance.targets.fix_reports import WRONG_PARTY, Half
from matchmark.conformance.venue import Venue, forget
from matchmark.conformance.verdict import wire_log

SESSION_CLAUSE = "D01.X24"
"""The numbers of what the engine sends, and the framing, without which a message is lost and its number with it."""
SLICE_S = 0.05
FENCES_MAX = 10_000


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


class Sessions:
    """The sessions of a running venue, one an account, opened when they are first needed."""

    def __init__(self, venue: Venue, timeout_s: float, has_status: bool) -> None:
        self._venue, self._timeout_s, self._has_status = venue, timeout_s, has_status
        self.fence_symbol = ""
        self._fences: set[str] = set()
        self.forget_all()

    def forget_all(self) -> None:
        self.talks: dict[str, Talk] = {}
        self._by_fd: dict[int, Talk] = {}
        self._poller = select.poll()

    def clear(self) -> None:
        """Throws away what came and was not looked at."""
        for talk in self.talks.values():
            talk.inbox.clear()
            talk.halves.clear()
            forget(talk.client)

    def take_wire(self) -> tuple[WireLine, ...]:
        """Without the fences: they change nothing, and would be half of the log."""
        streams: dict[str, list[Line]] = {}
        for talk in self.talks.values():
            if talk.client.stream:
                lines = [line for line in talk.client.stream if line.message.first.get(11) not in self._fences]
                streams[talk.client.sender_comp_id] = lines
                forget(talk.client)
        if len(self._fences) > FENCES_MAX:
            self._fences.clear()
        return tuple(wire_log(streams))

    def talk(self, account: str) -> Talk:
        talk = self.talks.get(account)
        if talk is None:
            talk = self.talks[account] = Talk(account, self._venue.session(account))
            self._by_fd[talk.client.fileno()] = talk
            self._poller.register(talk.client.fileno(), select.POLLIN)
        return talk

    def drop_lost(self) -> None:
        """Sessions that ended, or that a suite over FIX has put another connection in the place of."""
        lost = [
            t for t in self.talks.values() if not t.client.logged_on or self._venue.session(t.account) is not t.client
        ]
        if lost:
            self.forget_all()

    def fence(self, talk: Talk) -> Fence:
        fence = Fence(self._venue.new_cl(), str(talk.client.next_out))
        self._fences.add(fence.cl)
        if self._has_status:
            self.send(talk, "H", [(11, fence.cl), (55, self.fence_symbol), (54, "1")])
        else:
            ghost = self._venue.new_cl()
            self.send(talk, "F", [(41, ghost), (11, fence.cl), (55, self.fence_symbol), (54, "1"), (60, utc())])
        return fence

    def send(self, talk: Talk, msg_type: str, fields: list[Field]) -> None:
        self._out(talk, lambda: talk.client.send(msg_type, fields))

    def uncork(self, talk: Talk) -> None:
        self._out(talk, talk.client.uncork)

    def _out(self, talk: Talk, send: Callable[[], object]) -> None:
        try:
            send()
        except NoAnswer as error:
            raise TargetHung(f"session {talk.client.sender_comp_id}: {error}") from None
        except FixError as error:
            raise self._ended(talk, str(error)) from None

    def arrived(self, talk: Talk, until: float) -> list[FixMessage]:
        """The next messages of the session. TargetHung when the time is up, TargetDied when the connection is."""
        while not talk.inbox:
            left = until - time.monotonic()
            if left <= 0:
                raise TargetHung(
                    f"no answer on session {talk.client.sender_comp_id} within {self._timeout_s:g} s "
                    "(answer_timeout_s in the profile's [timing])"
                )
            self.pump(left)
            if not talk.inbox and not talk.client.connected:
                raise self._ended(talk, "the connection was cut")
        messages, talk.inbox = talk.inbox, []
        return messages

    def pump(self, wait_s: float) -> None:
        """Reads every session that has something, so that none of them fills up while another is waited for."""
        ready = self._poller.poll(min(max(wait_s, 0.0), SLICE_S) * 1000)
        talks = [self._by_fd[fd] for fd, _ in ready] if ready else list(self.talks.values())
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
        engine = self._venue.engine
        if engine is not None and engine.died:
            return TargetDied(f"it ended{engine.last_words()}")
        return TargetDied(f"session {talk.client.sender_comp_id}: {how}")
