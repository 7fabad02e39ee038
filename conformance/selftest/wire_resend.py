"""Wire mutants of what is sent again, by either side, and of numbers across a reconnect."""

from __future__ import annotations

from matchmark.conformance.selftest.wire_declare import BrokenWire, Reports, is_fill, wire_mutant
from matchmark.conformance.selftest.wire_message import Message, utc
from matchmark.conformance.selftest.wire_proxy import Link
from matchmark.conformance.selftest.wire_session import moved


class Resends(BrokenWire):
    """For bugs of the resend path: `again` gives what goes out in place of a resent report."""

    def again(self, link: Link, m: Message) -> list[Message]:
        raise NotImplementedError

    def resent(self, link: Link, m: Message) -> list[Message]:
        return self.again(link, m) if m.business else [m]


@wire_mutant(
    "resend-without-poss-dup",
    breaks=("D01.X30",),
    story="Messages were sent again as they had been sent, without PossDupFlag.",
)
class WithoutPossDup(Resends):
    def again(self, link: Link, m: Message) -> list[Message]:
        return [m.remove(43)]


@wire_mutant(
    "resend-with-time-of-resend",
    breaks=("D01.X30",),
    story="OrigSendingTime of a resent message was the time of the resend.",
)
class OrigTimeNow(Resends):
    def again(self, link: Link, m: Message) -> list[Message]:
        return [m.set(122, m.get(52))]


@wire_mutant(
    "resend-with-time-an-hour-off",
    breaks=("D01.X30",),
    story="OrigSendingTime was read back from the log in another time zone.",
)
class OrigTimeOff(Resends):
    def again(self, link: Link, m: Message) -> list[Message]:
        return [m.set(122, moved(m.get(122), -1))]


@wire_mutant(
    "resend-with-state-of-now",
    breaks=("D01.X30",),
    story="Reports were made again from the order as it stood by then, and not as it had been.",
)
class StateOfNow(Resends):
    def again(self, link: Link, m: Message) -> list[Message]:
        if m.kind == "8" and link.session:
            same = [x for x in link.session.sent.values() if x.get(37) == m.get(37) and x.kind == "8"]
            for tag in (39, 14, 151) if same else ():
                m.set(tag, same[-1].get(tag))
        return [m]


@wire_mutant(
    "resend-fills-over-reports",
    breaks=("D01.X30",),
    story="Fills older than the send buffer were covered by a gap fill when they were asked for again.",
)
class FilledOver(Resends):
    def again(self, link: Link, m: Message) -> list[Message]:
        if not is_fill(m):
            return [m]
        fill = Message.make("4", m, (123, "Y"), (36, str(m.seq + 1)))
        return [fill.set(43, "Y").set(122, m.get(122)).numbered(m.seq)]


@wire_mutant(
    "resend-leaves-the-last-out",
    breaks=("D01.X30",),
    story="A resend stopped one message short of the end that was asked for.",
)
class LastLeftOut(Resends):
    def again(self, link: Link, m: Message) -> list[Message]:
        last = link.session is None or m.seq == max(link.session.sent, default=0)
        return [] if last else [m]


@wire_mutant(
    "resend-repeats-heartbeats",
    breaks=("D01.X30",),
    story="Session messages were sent again one by one, and not covered by a gap fill.",
)
class RepeatsHeartbeats(BrokenWire):
    def resent(self, link: Link, m: Message) -> list[Message]:
        if m.kind != "4":
            return [m]
        beats = (Message.make("0", m, (122, m.get(122) or utc())) for _ in range(int(m.get(36)) - m.seq))
        return [beat.set(43, "Y").numbered(m.seq + n) for n, beat in enumerate(beats)]


# --- across connections ---


@wire_mutant(
    "numbers-begin-again-at-reconnect",
    breaks=("D01.X31",),
    story="The outgoing number was kept with the connection, and began at one with the next.",
)
class NumbersBeginAgain(BrokenWire):
    def to_client(self, link: Link, m: Message) -> list[Message]:
        session = link.session
        if session and m.kind == "A" and m.seq > 1:
            session.outgoing.reset()
            session.outgoing.shift(m.seq - 1, 1 - m.seq)
            session.sent.clear()
        return [m]


@wire_mutant(
    "incoming-number-lost-at-reconnect",
    breaks=("D01.X31",),
    story="After a lost connection the exchange expected the client to begin at one, and called its number a gap.",
)
class IncomingLost(BrokenWire):
    def to_client(self, link: Link, m: Message) -> list[Message]:
        if m.kind == "A" and link.session and link.session.last_asked > 1:
            return [m, Message.make("2", m, (7, "1"), (16, "0"))]
        return [m]


@wire_mutant(
    "reports-of-the-absent-not-kept",
    breaks=("D01.X31",),
    story="Reports of a session that was away were not kept: their numbers were covered by a gap fill later.",
)
class AbsentNotKept(Resends):
    def __init__(self) -> None:
        super().__init__()
        self.told: set[tuple[str, int]] = set()

    def to_client(self, link: Link, m: Message) -> list[Message]:
        if link.session:
            self.told.add((link.session.name, m.seq))
        return [m]

    def again(self, link: Link, m: Message) -> list[Message]:
        if link.session and (link.session.name, m.seq) not in self.told:
            fill = Message.make("4", m, (123, "Y"), (36, str(m.seq + 1)))
            return [fill.set(43, "Y").set(122, m.get(52)).numbered(m.seq)]
        return [m]


# --- what the client sends again ---


class Again(Reports):
    """Executes an order a second time, under a ClOrdID that the exchange has not seen, and reports it under its own."""

    suffix = "~"

    def edited(self, link: Link, m: Message) -> list[Message]:
        return [m.set(11, m.get(11).rstrip(self.suffix))] if m.get(11).endswith(self.suffix) else [m]

    def as_new(self, m: Message) -> Message:
        return m.copy().remove(43, 97, 122).set(11, m.get(11)[:39] + self.suffix)


@wire_mutant(
    "poss-dup-order-executed-again",
    breaks=("D01.X26", "D01.X35"),
    story="An order that was sent again as a possible duplicate was executed again.",
)
class PossDupExecuted(Again):
    def to_exchange(self, link: Link, m: Message) -> list[Message]:
        if m.kind == "D" and m.again and link.session and m.seq <= link.session.last_asked:
            link.ask(self.as_new(m))
            return []
        return [m]


@wire_mutant(
    "poss-resend-order-executed-again",
    breaks=("D01.X35",),
    story="PossResend was not looked at: an order sent again under a new number was a new order.",
)
class PossResendExecuted(Again):
    def to_exchange(self, link: Link, m: Message) -> list[Message]:
        return [self.as_new(m) if m.kind == "D" and m.get(97) == "Y" else m]


@wire_mutant(
    "poss-resend-unanswered",
    breaks=("D01.X35",),
    story="An order sent again was recognised, dropped and not answered.",
)
class PossResendUnanswered(BrokenWire):
    def to_exchange(self, link: Link, m: Message) -> list[Message]:
        return [] if m.kind == "D" and m.get(97) == "Y" else [m]
