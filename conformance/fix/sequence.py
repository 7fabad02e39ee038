"""The numbers of what arrives: which messages are next, which come again, which are missing, and what is wrong with that."""

from __future__ import annotations

from matchmark.conformance.fix.message import FixFault, FixMessage, Rule, number, same_content
from matchmark.conformance.fix.numbers import SESSION_TYPES, Numbers


class Incoming:
    """One connection's view of a session's numbers. `take` gives the messages whose turn has come, each number once.

    A Logon or Logout is given as it arrives, also when reports before it are missing. With `ordered` off everything is
    given as it arrives.
    """

    def __init__(self, numbers: Numbers, sender: str, target: str, *, ordered: bool) -> None:
        self.numbers = numbers
        self.faults: list[FixFault] = []
        self.duplicates: list[FixMessage] = []
        self.tests: set[str] = set()
        """Ids of the TestRequests that were not answered yet."""
        self.reset_asked = False
        """Our Logon had ResetSeqNumFlag."""
        self._from, self._to = sender, target
        self._ordered = ordered
        self._live = 0  # the highest number that came on this connection as news
        self._asked = 0  # what was missing up to here has been asked for
        self._held: dict[int, FixMessage] = {}  # came behind a gap
        self._early: set[int] = set()  # given although messages before them are missing

    def take(self, m: FixMessage) -> list[FixMessage]:
        self._judge_identity(m)
        seq, kind = m.seq, m.type
        dup = m.poss_dup
        if kind == "4" and m.get(123) != "Y":
            return self._reset(m)
        if kind == "A" and m.get(141) == "Y":
            self._both_reset(seq)
        elif not dup:
            self._judge_number(m)
        if not dup and seq > self._live:
            self._live = max(seq, number(m, 36) - 1) if kind == "4" else seq
        if not self._ordered:
            return self._as_it_comes(m)
        if seq < self.numbers.next_in:
            self._again(m)
            return []
        if seq > self.numbers.next_in:
            return self._behind_gap(m)
        return self._in_sequence(m)

    def missing_from(self) -> int | None:
        """The number to ask a resend from, once for each gap."""
        if not self._held or self.numbers.next_in < self._asked:
            return None
        self._asked = max(self._held)
        return self.numbers.next_in

    def _judge_identity(self, m: FixMessage) -> None:
        if m.get(49, self._from) != self._from or m.get(56, self._to) != self._to:
            self._fault(Rule.COMP_ID, f"it says 49={m.get(49)} 56={m.get(56)}", m)

    def _judge_number(self, m: FixMessage) -> None:
        """News carries the number after the last. A gap fill may answer a resend without PossDupFlag."""
        seq = m.seq
        if self._live == 0:
            if seq < self.numbers.next_in:
                self._fault(Rule.LOW, f"number {seq} where {self.numbers.next_in} is the next", m)
        elif seq > self._live + 1:
            self._fault(Rule.GAP, f"number {seq} follows {self._live}", m)
        elif seq <= self._live and m.type != "4":
            self._fault(Rule.LOW, f"number {seq} again, without PossDupFlag", m)

    def _both_reset(self, seq: int) -> None:
        self.numbers.next_in, self._live = seq, 0
        self.numbers.received.clear()
        self._held.clear()
        self._asked = 0
        if not self.reset_asked:  # its own decision; our Logon was the first message then
            self.numbers.next_out = 2
            self.numbers.sent.clear()

    def _reset(self, m: FixMessage) -> list[FixMessage]:
        new = number(m, 36)
        if new < self.numbers.next_in:
            self._fault(Rule.RESET, f"SequenceReset to {new} where {self.numbers.next_in} is the next", m)
        else:
            self.numbers.next_in = new
            self._live = max(self._live, new - 1)
        return [m]

    def _as_it_comes(self, m: FixMessage) -> list[FixMessage]:
        if m.seq < self.numbers.next_in:
            self._again(m)
        else:
            self._advance(m)
        return [m]

    def _again(self, m: FixMessage) -> None:
        if not m.poss_dup:
            return
        self.duplicates.append(m)
        first = self.numbers.received.get(m.seq)
        if m.type not in SESSION_TYPES and first is not None and not same_content(first, m.pairs):
            self._fault(Rule.RESENT, f"message {m.seq} says something else than the first time", m)

    def _behind_gap(self, m: FixMessage) -> list[FixMessage]:
        self._held[m.seq] = m
        if m.type in "A5" and m.seq not in self._early:
            self._early.add(m.seq)
            return [m]
        return []

    def _in_sequence(self, m: FixMessage) -> list[FixMessage]:
        self._compare_with_held(m)
        given = [] if m.seq in self._early else [m]
        self._advance(m)
        while self._held:
            for low in [n for n in self._held if n < self.numbers.next_in]:
                del self._held[low]
            held = self._held.pop(self.numbers.next_in, None)
            if held is None:
                break
            if held.seq not in self._early:
                given.append(held)
            self._advance(held)
        return given

    def _compare_with_held(self, m: FixMessage) -> None:
        """The same number came before, behind the gap that is being filled."""
        first = self._held.get(m.seq)
        if first is not None and m.type not in SESSION_TYPES and not same_content(first.pairs, m.pairs):
            self._fault(Rule.RESENT, f"message {m.seq} says something else than the first time", m)

    def _advance(self, m: FixMessage) -> None:
        self.numbers.next_in = m.seq + 1
        if m.type == "4":
            new = number(m, 36)
            if new <= m.seq:
                self._fault(Rule.RESET, f"a gap fill from {m.seq} to {new}", m)
            self.numbers.next_in = max(new, m.seq + 1)
        elif m.type not in SESSION_TYPES:
            self.numbers.received[m.seq] = m.pairs
        elif m.type == "0" and (test_id := m.get(112)) is not None:
            if test_id not in self.tests:
                self._fault(Rule.HEARTBEAT, f"Heartbeat for TestRequest {test_id!r}, which was not sent", m)
            self.tests.discard(test_id)

    def _fault(self, rule: Rule, text: str, m: FixMessage) -> None:
        self.faults.append(FixFault(rule, text, m.raw))
