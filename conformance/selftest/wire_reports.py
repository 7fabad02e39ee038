"""Wire mutants of who is told what, how often and in which order. The reports themselves are right."""

from __future__ import annotations

from matchmark.conformance.selftest.wire_declare import BrokenWire, Reports, every, is_ack, is_fill, wire_mutant
from matchmark.conformance.selftest.wire_message import Message
from matchmark.conformance.selftest.wire_proxy import Link

AFTER_CONTROL = 24
"""Fill reports: fewer are in the positive control, which a mutant must pass to be judged."""


class FromThird(Reports):
    """For bugs that hit every third fill report of the exchange, but for those of the positive control."""

    def __init__(self) -> None:
        super().__init__()
        self.turn = every(3, AFTER_CONTROL)

    def edited(self, link: Link, m: Message) -> list[Message]:
        return self.hit(link, m) if is_fill(m) and next(self.turn) else [m]

    def hit(self, link: Link, m: Message) -> list[Message]:
        raise NotImplementedError


@wire_mutant(
    "fill-never-sent",
    breaks=("D02.X4", "D02.8"),
    story="Some fills were booked and their report was never made: no gap in the numbers tells of it.",
)
class FillNeverSent(FromThird):
    def hit(self, link: Link, m: Message) -> list[Message]:
        return []


@wire_mutant(
    "fill-lost-on-the-way",
    breaks=("D01.X24", "D02.X4"),
    story="A report took its sequence number and was dropped by a full send buffer.",
)
class FillLost(FromThird):
    def hit(self, link: Link, m: Message) -> list[Message]:
        m.lost = True
        return [m]


@wire_mutant(
    "fill-reported-twice",
    breaks=("D02.X4",),
    story="A report that was sent again after a full buffer went out under a second number.",
)
class FillTwice(FromThird):
    def hit(self, link: Link, m: Message) -> list[Message]:
        return [m, m.copy()]


@wire_mutant(
    "ack-behind-its-fills",
    breaks=("D01.8",),
    story="Acknowledgements were queued at low priority and sent behind the fills of the same order.",
)
class AckBehindFills(Reports):
    def edited(self, link: Link, m: Message) -> list[Message]:
        if is_ack(m):
            earlier = link.released()
            link.hold(m)
            return earlier
        return [m] if is_fill(m) else [*link.released(), m]


@wire_mutant(
    "fills-swapped",
    breaks=("D03.8",),
    story="The fills of a walk went through two report threads and came out in pairs the wrong way round.",
)
class FillsSwapped(Reports):
    """The sums are added up behind the threads, and so are right."""

    def edited(self, link: Link, m: Message) -> list[Message]:
        earlier = link.released()
        if is_fill(m) and not earlier and m.get(151) != "0":
            link.hold(m)
            return []
        if not earlier or not is_fill(m) or earlier[0].get(37) != m.get(37):
            return [*earlier, m]
        first, total = earlier[0], int(m.get(38))
        cum = int(first.get(14)) - int(first.get(32)) + int(m.get(32))
        for tag in (31, 32, 17):
            was = first.get(tag)
            first.set(tag, m.get(tag))
            m.set(tag, was)
        first.set(14, cum).set(151, total - cum)
        return [first, m]


@wire_mutant(
    "accepted-order-not-acknowledged",
    breaks=("D01.8", "D01.X8"),
    story="An order that traded at once got its fills and no acknowledgement.",
)
class AckDropped(Reports):
    def edited(self, link: Link, m: Message) -> list[Message]:
        earlier = link.released()
        if is_ack(m):
            link.hold(m)
            return earlier
        if is_fill(m) and earlier and earlier[0].get(37) == m.get(37):
            return [m]
        return [*earlier, m]


@wire_mutant(
    "maker-not-told",
    breaks=("D02.8", "D02.X4"),
    story="Who had the resting order was told of its first fills only: later ones went to the taker alone.",
)
class MakerNotTold(Reports):
    """ExecIDs of the resting side are odd."""

    def __init__(self) -> None:
        super().__init__()
        self.told = 0

    def edited(self, link: Link, m: Message) -> list[Message]:
        if not is_fill(m) or int(m.get(17)) % 2 == 0:
            return [m]
        self.told += 1
        return [m] if self.told <= 1 else []


@wire_mutant(
    "fill-sent-to-another-session",
    breaks=("D01.X32",),
    story="A fill went to the session whose slot had been reused, and not to its owner's.",
)
class FillToAnother(FromThird):
    def hit(self, link: Link, m: Message) -> list[Message]:
        others = [other for other in link.proxy.links() if other is not link]
        if not others or not others[-1].session:
            return [m]
        others[-1].insert(m.copy().set(56, others[-1].session.name))
        return []


@wire_mutant(
    "fill-copied-to-every-session",
    breaks=("D01.X32",),
    story="Reports meant for the drop copy session were copied to every session.",
)
class FillToAll(FromThird):
    def hit(self, link: Link, m: Message) -> list[Message]:
        for other in link.proxy.links():
            if other is not link and other.session:
                other.insert(m.copy().set(56, other.session.name))
        return [m]


@wire_mutant(
    "cancel-confirmed-twice",
    breaks=("D04.8",),
    story="A cancel was confirmed by the gateway when it was queued and again when it was done.",
)
class CancelTwice(Reports):
    def edited(self, link: Link, m: Message) -> list[Message]:
        return [m, m.copy()] if m.get(150) == "4" and m.get(41) and m.get(14) != "0" else [m]


@wire_mutant(
    "ioc-remainder-not-reported",
    breaks=("D08.5", "D08.X20"),
    story="An IOC order that had traded was closed without a report of its cancelled remainder.",
)
class RemainderSilent(Reports):
    def edited(self, link: Link, m: Message) -> list[Message]:
        return [] if m.get(150) == "4" and not m.get(41) and m.get(14) != "0" else [m]


@wire_mutant(
    "requests-swapped-on-the-way-in",
    breaks=("D01.X33", "D01.5"),
    story="Two worker threads served one session, and requests sent close together were decided the wrong way round.",
)
class RequestsSwapped(BrokenWire):
    def arrived(self, link: Link, parts: list[Message | bytes]) -> None:
        for n in range(0, len(parts) - 1, 2):
            first, second = parts[n], parts[n + 1]
            if isinstance(first, Message) and isinstance(second, Message) and {first.kind, second.kind} <= {"D", "F"}:
                earlier, later = first.seq, second.seq
                parts[n : n + 2] = [second.numbered(earlier), first.numbered(later)]
