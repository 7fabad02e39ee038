"""Wire mutants of the session layer's own business: framing, numbers, heartbeats, gaps, the end of a session."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from matchmark.conformance.selftest.wire_declare import BrokenWire, every, is_fill, wire_mutant
from matchmark.conformance.selftest.wire_message import Message
from matchmark.conformance.selftest.wire_proxy import Link

STAMP = "%Y%m%d-%H:%M:%S.%f"


def moved(stamp: str, hours: float) -> str:
    """A UTCTimestamp with milliseconds, so much later."""
    at = datetime.strptime(stamp, STAMP).replace(tzinfo=UTC) + timedelta(hours=hours)
    return at.strftime(STAMP)[:-3]


class SomeReports(BrokenWire):
    """For bugs of how a message is sent, of every third fill report: `spoil` says how."""

    def __init__(self) -> None:
        super().__init__()
        self.turn = every(3)

    def to_client(self, link: Link, m: Message) -> list[Message]:
        if is_fill(m) and next(self.turn):
            self.spoil(m)
        return [m]

    def spoil(self, m: Message) -> None:
        raise NotImplementedError


@wire_mutant(
    "checksum-wrong",
    breaks=("D01.X24",),
    story="A CheckSum below 100 was printed without its leading zero's worth: it was off by one.",
)
class ChecksumWrong(SomeReports):
    def spoil(self, m: Message) -> None:
        m.tamper = lambda it: it.encode()[:-4] + b"%03d\x01" % ((int(it.encode()[-4:-1]) + 1) % 256)


@wire_mutant(
    "body-length-wrong",
    breaks=("D01.X24",),
    story="BodyLength was counted before a field was added to the message, and the checksum after it.",
)
class BodyLengthWrong(SomeReports):
    def spoil(self, m: Message) -> None:
        m.tamper = body_length_short


def body_length_short(m: Message) -> bytes:
    begin, length, rest = m.encode()[:-7].split(b"\x01", 2)
    head = begin + b"\x019=%d\x01" % (int(length[2:]) - 5) + rest
    return head + b"10=%03d\x01" % (sum(head) % 256)


@wire_mutant(
    "number-used-twice",
    breaks=("D01.X24",),
    story="Two threads took the session's next number at the same time, and two messages had the same.",
)
class NumberTwice(SomeReports):
    def spoil(self, m: Message) -> None:
        m.tamper = lambda it: it.copy().set(34, it.seq - 1).encode()


@wire_mutant(
    "number-left-out",
    breaks=("D01.X24",),
    story="A report that was made and then suppressed had already taken its number, and no gap fill says so.",
)
class NumberLeftOut(SomeReports):
    def to_client(self, link: Link, m: Message) -> list[Message]:
        if is_fill(m) and next(self.turn):
            ghost = m.copy()
            ghost.lost = True
            return [ghost, m]
        return [m]

    def resent(self, link: Link, m: Message) -> list[Message]:
        return [m]


@wire_mutant(
    "sending-time-without-its-day",
    breaks=("D01.X24",),
    story="SendingTime was printed as a time of day, without the date that belongs to it.",
)
class SendingTimeOff(SomeReports):
    def spoil(self, m: Message) -> None:
        m.set(52, m.get(52).partition("-")[2])


# --- heartbeats ---


@wire_mutant(
    "test-request-unanswered",
    breaks=("D01.X29",),
    story="A TestRequest was taken for a sign of life and not answered.",
)
class TestRequestUnanswered(BrokenWire):
    def to_client(self, link: Link, m: Message) -> list[Message]:
        return [] if m.kind == "0" and m.get(112) else [m]


@wire_mutant(
    "test-request-answered-with-own-id",
    breaks=("D01.X29",),
    story="The Heartbeat that answers a TestRequest carried an id of the exchange's own.",
)
class TestRequestOwnId(BrokenWire):
    def to_client(self, link: Link, m: Message) -> list[Message]:
        return [m.set(112, "HB") if m.kind == "0" and m.get(112) else m]


@wire_mutant(
    "heartbeat-never-sent",
    breaks=("D01.X29",),
    story="The timer of idle sessions was never armed: heartbeats went out only when asked for.",
)
class HeartbeatNever(BrokenWire):
    def to_client(self, link: Link, m: Message) -> list[Message]:
        return [] if m.kind == "0" and not m.get(112) else [m]


@wire_mutant(
    "silent-peer-kept",
    breaks=("D01.X29",),
    story="A peer that had stopped answering was asked again and again, and never disconnected.",
)
class SilentPeerKept(BrokenWire):
    def to_client(self, link: Link, m: Message) -> list[Message]:
        if m.kind == "1":
            link.ask(Message.make("0", m, (112, m.get(112))).set(49, m.get(56)).set(56, m.get(49)))
        return [m]


# --- what comes in ---


@wire_mutant(
    "gap-not-asked-for",
    breaks=("D01.X25",),
    story="A gap in the client's numbers was logged, and no resend was asked for.",
)
class GapNotAsked(BrokenWire):
    def to_client(self, link: Link, m: Message) -> list[Message]:
        return [] if m.kind == "2" else [m]


@wire_mutant(
    "gap-asked-for-from-one",
    breaks=("D01.X25",),
    story="A resend was asked for from the message behind the one that was missing.",
)
class GapAskedWrong(BrokenWire):
    def to_client(self, link: Link, m: Message) -> list[Message]:
        return [m.set(7, int(m.get(7)) + 1) if m.kind == "2" else m]


@wire_mutant(
    "low-number-executed",
    breaks=("D01.X26",),
    story="An order under a number that was used before was executed, as if the counter did not matter.",
)
class LowNumberExecuted(BrokenWire):
    def to_exchange(self, link: Link, m: Message) -> list[Message]:
        if link.session and m.kind == "D" and not m.again and m.seq <= link.session.last_asked:
            link.ask(m)
            return []
        return [m]


@wire_mutant(
    "low-number-overlooked",
    breaks=("D01.X26",),
    story="A message under a number that was used before was dropped, and the session went on.",
)
class LowNumberOverlooked(BrokenWire):
    def to_exchange(self, link: Link, m: Message) -> list[Message]:
        low = link.session and m.kind != "A" and not m.again and m.seq <= link.session.last_asked
        return [] if low else [m]


@wire_mutant(
    "garbled-order-executed",
    breaks=("D01.X27",),
    story="The checksum of incoming messages was not looked at.",
)
class GarbledExecuted(BrokenWire):
    def arrived(self, link: Link, parts: list[Message | bytes]) -> None:
        for n, part in enumerate(parts):
            if isinstance(part, bytes) and part.startswith(b"8=FIX") and b"\x0135=D\x01" in part:
                parts[n] = Message.parse(part).set(10, "000")


@wire_mutant(
    "garbled-message-uses-its-number",
    breaks=("D01.X27",),
    story="A message that failed its checksum was dropped after the expected number had been raised.",
)
class GarbledUsesNumber(BrokenWire):
    def arrived(self, link: Link, parts: list[Message | bytes]) -> None:
        for n, part in enumerate(parts):
            if link.session and isinstance(part, bytes) and part.startswith(b"8=FIX") and b"\x0110=" in part:
                parts[n] = Message.parse(part).set(35, "0").remove(*range(58, 10000), 1, 11, 38, 40, 41, 44, 54, 55)


@wire_mutant(
    "garbled-message-ends-session",
    breaks=("D01.X27",),
    story="One message with a wrong checksum and the connection was closed.",
)
class GarbledEnds(BrokenWire):
    def arrived(self, link: Link, parts: list[Message | bytes]) -> None:
        if link.session and any(isinstance(part, bytes) for part in parts):
            link.cut()


@wire_mutant(
    "reject-without-tag",
    breaks=("D01.X28",),
    story="A Reject said that a field was wrong and not which.",
)
class RejectWithoutTag(BrokenWire):
    def to_client(self, link: Link, m: Message) -> list[Message]:
        return [m.remove(371) if m.kind == "3" else m]


@wire_mutant(
    "reject-ends-session",
    breaks=("D01.X28",),
    story="A message with a wrong field was rejected, and the session closed with it.",
)
class RejectEnds(BrokenWire):
    def to_client(self, link: Link, m: Message) -> list[Message]:
        return [m, Message.make("5", m, (58, "protocol error"))] if m.kind == "3" else [m]


@wire_mutant(
    "unknown-type-ignored",
    breaks=("D01.X36",),
    story="Business messages of a type that is not offered were dropped without an answer.",
)
class UnknownTypeIgnored(BrokenWire):
    def to_client(self, link: Link, m: Message) -> list[Message]:
        return [] if m.kind == "j" and m.get(380) == "3" else [m]


@wire_mutant(
    "sequence-reset-backwards-obeyed",
    breaks=("D01.X37",),
    story="A SequenceReset to a lower number was obeyed without a word.",
)
class ResetBackwards(BrokenWire):
    def to_exchange(self, link: Link, m: Message) -> list[Message]:
        new = int(m.get(36) or 0) if m.kind == "4" and m.get(123) != "Y" else 0
        if link.session and 0 < new <= link.session.last_asked:
            link.session.incoming.shift(new - 1, link.session.last_asked + 1 - new)
            return []
        return [m]


@wire_mutant(
    "logout-unanswered",
    breaks=("D01.X38",),
    story="A Logout was obeyed by closing the connection, without a Logout in answer.",
)
class LogoutUnanswered(BrokenWire):
    def to_client(self, link: Link, m: Message) -> list[Message]:
        return [] if m.kind == "5" and not m.get(58) else [m]


@wire_mutant(
    "logout-cancels-orders",
    breaks=("D01.X38",),
    story="A Logout cancelled the session's open orders though nobody had asked for that.",
)
class LogoutCancels(BrokenWire):
    def to_exchange(self, link: Link, m: Message) -> list[Message]:
        if m.kind != "5":
            return [m]
        return [Message.make("q", m, (11, f"bye{m.seq}"), (530, "7"), (60, m.get(52))), m]


@wire_mutant(
    "cancel-on-disconnect-forgotten",
    breaks=("D01.X40",),
    story="The wish for cancel-on-disconnect was accepted at logon and kept nowhere.",
)
class CancelOnDisconnectForgotten(BrokenWire):
    def to_exchange(self, link: Link, m: Message) -> list[Message]:
        return [m.remove(8013) if m.kind == "A" else m]
