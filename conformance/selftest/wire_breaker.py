"""Wire mutants of the circuit breaker: bugs of its process (broken_breaker.py) and of what sessions are told and asked."""

from __future__ import annotations

from matchmark.conformance.selftest.wire_declare import BrokenWire, Start, wire_mutant
from matchmark.conformance.selftest.wire_message import Message
from matchmark.conformance.selftest.wire_proxy import Link

FSYNC = "exchange-fsync"
HALT, RESUME, WARNING = "2", "3", "23"


class Inside(BrokenWire):
    """The exchange is started with a bug of broken_breaker.py in it."""

    bug = ""

    def prepare(self, start: Start) -> None:
        at = start.words.index("matchmark.conformance.cli")
        start.words[at : at + 1] = ["matchmark.conformance.selftest.broken_breaker", self.bug]


def inside(name: str, bug: str, *, breaks: tuple[str, ...], story: str, profile: str = "exchange") -> None:
    wire_mutant(name, breaks=breaks, story=story, profile=profile)(type(f"Bug_{bug}", (Inside,), {"bug": bug}))


for name, bug, breaks, story in (
    ("average-of-one-minute", "short_window", ("D05.X3", "D05.3"), "The average was of the last minute."),
    ("average-of-four-minutes", "long_window", ("D05.X3", "D05.3"), "Trades left the average after four minutes."),
    ("trades-weigh-the-same", "trades_weigh_the_same", ("D05.X3",), "Each trade was counted once, whatever its size."),
    ("warns-a-little-early", "early_thresholds", ("D05.1", "D05.X2"), "Thresholds were set a tenth of a percent too low."),
    ("halts-at-exactly-ten-percent", "halt_at_ten", ("D05.X2",), "A drop of exactly the second threshold halted."),
    ("no-warning-at-exactly-five-percent", "no_warning_at_five", ("D05.X2",), "A drop of exactly the first did not warn."),
    ("drop-in-whole-percent", "rounded", ("D05.X2", "D05.1"), "The drop was rounded to whole percent and then compared."),
    ("warned-of-rises", "either_way", ("D05.X4", "D05.X3"), "The distance from the average was taken without its sign."),
    ("quotes-count-as-trades", "orders_count", ("D05.2",), "The monitor took the price of every order for a trade."),
    ("looks-only-after-a-trade", "looks_when_there_is_a_trade", ("D05.3",), "A symbol was looked at when somebody traded."),
    ("blind-after-a-warning", "blind_after_a_warning", ("D05.5",), "Once it had warned, the monitor looked no more."),
    ("warns-before-it-halts", "warns_before_it_halts", ("D05.6",), "A crash was warned of first, and halted a check later."),
    ("breaker-by-the-wall-clock", "wall_clock", ("D05.X11",), "Trades were aged by the wall clock, which was set ahead."),
    ("neighbour-halted-too", "neighbour_too", ("D05.X5",), "A halt was given for one symbol more than was meant."),
    ("halt-cancels-what-rests", "cancels_what_rests", ("D05.9",), "A halt emptied the book."),
    ("resumes-after-five-minutes", "resumes_after_five_minutes", ("D05.11", "D05.N1"), "A halt ended by a timer."),
    ("resumes-the-next-day", "resumes_the_next_day", ("D05.N1",), "Halts of yesterday were cleared at midnight."),
    ("halt-forgotten-by-restart", "forgets_halts", ("D05.X7",), "A restart opened what had been halted."),
    ("warning-forgotten-by-restart", "forgets_warnings", ("D05.X7",), "A restart forgot which symbols were warned."),
    ("resumes-by-a-warning", "resumes_by_a_warning", ("D05.X1",), "Each resume was logged as three changes."),
    ("halt-without-figures", "no_figures", ("D05.X10",), "The log said that there was a halt, and not why."),
    ("resume-without-a-name", "no_names", ("D05.X10",), "All operators were logged as the console."),
    ("no-limit-at-level-1", "no_rate", ("D05.4",), "A warning was told to everybody and slowed nobody down."),
    ("trader-may-resume", "traders_may", ("D05.X8",), "Any valid token was taken for an operator's."),
    ("operator-token-never-expires", "tokens_never_expire", ("D05.X8",), "The expiry of operators' tokens was not looked at."),
    ("operator-token-forged", "signatures_not_looked_at", ("D05.X8",), "Operators' tokens were decoded and not verified."),
    ("attempts-not-recorded", "attempts_not_recorded", ("D05.X8",), "Refused commands were answered and left no trace."),
    ("resume-always-done", "resume_always_done", ("D05.X9",), "Every resume was answered with done."),
    ("nothing-to-review", "nothing_to_review", ("D05.11",), "An operator saw that there was a halt, and not what led to it."),
):  # fmt: skip
    inside(name, bug, breaks=breaks, story=story)


class Told(BrokenWire):
    """What is wrong with SecurityStatus messages; `halted` are the symbols that are halted now."""

    def __init__(self) -> None:
        super().__init__()
        self.halted: set[str] = set()

    def to_client(self, link: Link, m: Message) -> list[Message]:
        if m.kind != "f":
            return self.other(link, m)
        symbol = m.get(55)
        (self.halted.add if m.get(326) == HALT else self.halted.discard)(symbol)
        return self.told(link, m)

    def told(self, link: Link, m: Message) -> list[Message]:
        return [m]

    def other(self, link: Link, m: Message) -> list[Message]:
        return [m]


def number(link: Link) -> int:
    """Of the session's account, ACC1 and so on."""
    return int(link.session.name.partition("-")[0][-1]) if link.session else 0


@wire_mutant(
    "warning-told-to-half-of-the-sessions",
    breaks=("D05.N2",),
    story="Warnings went to the sessions of one of two gateways.",
)
class WarningToHalf(Told):
    def told(self, link: Link, m: Message) -> list[Message]:
        return [] if m.get(326) == WARNING and number(link) % 2 == 0 else [m]


@wire_mutant(
    "halt-told-to-half-of-the-sessions",
    breaks=("D05.10",),
    story="A halt was told to the sessions that had an order in the symbol.",
)
class HaltToHalf(Told):
    def told(self, link: Link, m: Message) -> list[Message]:
        return [] if m.get(326) == HALT and number(link) > 3 else [m]


@wire_mutant(
    "halt-told-twice", breaks=("D05.10", "D05.N3"), story="A halt was broadcast by the breaker and by the gateway."
)
class HaltTwice(Told):
    def told(self, link: Link, m: Message) -> list[Message]:
        return [m, m.copy()] if m.get(326) == HALT else [m]


@wire_mutant(
    "status-without-a-reason",
    breaks=("D05.N2", "D05.10"),
    story="Sessions were told that there was something and not what.",
)
class NoReason(Told):
    def told(self, link: Link, m: Message) -> list[Message]:
        return [m.remove(58)]


@wire_mutant(
    "resumption-not-told",
    breaks=("D05.N3",),
    story="Traders found out by trying that a symbol traded again.",
)
class ResumptionNotTold(Told):
    def told(self, link: Link, m: Message) -> list[Message]:
        return [] if m.get(326) == RESUME and number(link) % 2 == 0 else [m]


@wire_mutant(
    "newcomers-not-told",
    breaks=("D05.N3",),
    story="Who logged on during a halt was told of it when an order was refused.",
)
class NewcomersNotTold(Told):
    def told(self, link: Link, m: Message) -> list[Message]:
        return [] if m.get(326) == HALT and m.seq == 2 else [m]


@wire_mutant("cancels-wait-for-the-resume", breaks=("D05.X6",), story="Cancels were kept until trading went on.")
class CancelsWait(Told):
    def to_exchange(self, link: Link, m: Message) -> list[Message]:
        return [] if m.kind in "Fq" and m.get(55) in self.halted else [m]


@wire_mutant(
    "halted-refusal-without-the-reason",
    breaks=("D05.7",),
    story="Orders in a halted symbol were refused as orders that could not be processed.",
)
class PlainRefusal(Told):
    def other(self, link: Link, m: Message) -> list[Message]:
        return [m.set(58, "the order could not be processed")] if m.get(58) == "Trading Halted" else [m]


@wire_mutant(
    "refused-orders-come-back-at-the-resume",
    breaks=("D05.12",),
    story="What was refused during a halt was kept after all, and executed when trading went on.",
)
class ComeBack(Told):
    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[str, tuple[Link, Message]] = {}

    def to_exchange(self, link: Link, m: Message) -> list[Message]:
        if m.kind == "D" and m.get(55) in self.halted:
            self.kept[m.get(55)] = link, m.copy()
        return [m]

    def told(self, link: Link, m: Message) -> list[Message]:
        if m.get(326) == RESUME and m.get(55) in self.kept:
            owner, order = self.kept.pop(m.get(55))
            owner.ask(order)
        return [m]


@wire_mutant(
    "orders-above-the-rate-dropped",
    breaks=("D05.4",),
    story="Orders above the rate of level 1 were dropped without a word.",
    profile=FSYNC,
)
class DroppedAboveTheRate(BrokenWire):
    def to_client(self, link: Link, m: Message) -> list[Message]:
        return [] if m.kind == "8" and (m.get(58) or "").startswith("rate limit") else [m]


@wire_mutant(
    "deferred-orders-lost",
    breaks=("D05.X13", "D05.4"),
    story="Every third order that had been deferred was forgotten.",
)
class DeferredLost(BrokenWire):
    def __init__(self) -> None:
        super().__init__()
        self.deferred: list[str] = []

    def to_client(self, link: Link, m: Message) -> list[Message]:
        if m.kind == "8" and (m.get(58) or "").startswith("deferred"):
            self.deferred.append(m.get(11))
        lost = m.kind == "8" and m.get(150) == "F" and m.get(11) in self.deferred[::3]
        return [] if lost else [m]


@wire_mutant(
    "deferred-orders-overtake",
    breaks=("D05.X13",),
    story="Deferred orders were taken from the wrong end of the queue.",
)
class DeferredOvertake(BrokenWire):
    """Two fills of deferred orders change places."""

    def __init__(self) -> None:
        super().__init__()
        self.deferred: set[str] = set()
        self.held: Message | None = None

    def to_client(self, link: Link, m: Message) -> list[Message]:
        if m.kind == "8" and (m.get(58) or "").startswith("deferred"):
            self.deferred.add(m.get(11))
        if m.kind != "8" or m.get(150) != "F" or m.get(11) not in self.deferred:
            return [m]
        if self.held is None:
            self.held = m
            return []
        held, self.held = self.held, None
        return [m, held]


@wire_mutant(
    "crossing-order-left-at-a-halt",
    breaks=("D05.8",),
    story="A halt left deferred orders where they were, also those that would trade.",
)
class CrossingLeft(BrokenWire):
    def to_client(self, link: Link, m: Message) -> list[Message]:
        left = m.kind == "8" and m.get(150) == "4" and m.get(58) == "Trading Halted"
        return [] if left else [m]
