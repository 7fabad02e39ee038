"""Whether one order of the requests explains everything that all sessions were told: the check for sessions that race.

An exchange decides one request after another. Which of two that were on their way at once came first is its own affair, but there
must be some order, in which each session's requests stand as they were sent and none stands before one that was answered before
it was sent, and by which the model book says to each session exactly what it was told, in that order. The search is short: a
request can only be next if the report that its session hears next is its answer, and the other sides' reports must be next on
theirs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from matchmark.conformance.checks.finding import Finding
from matchmark.conformance.checks.reports_read import IOC, MARKET, Numbered, Said, decimal, words
from matchmark.conformance.checks.reports_seen import Market
from matchmark.conformance.fix.message import FixMessage, Line
from matchmark.conformance.history import Exchange, History
from matchmark.conformance.messages import (
    Accepted,
    Cancel,
    Cancelled,
    CancelRejected,
    Event,
    MassCancel,
    MassCancelled,
    New,
    OrdType,
    Rejected,
    Replace,
    Replaced,
    Side,
    State,
    Status,
    StatusReport,
    Tif,
    Trade,
)
from matchmark.reference.model import ModelEngine

STEPS_MAX = 20_000
"""Requests tried before the search is given up: sound streams need little more than one for each."""
_SIDES = {"1": Side.BUY, "2": Side.SELL}
_STATES = {"0": State.NEW, "1": State.PARTIALLY_FILLED, "2": State.FILLED, "4": State.CANCELLED, "8": State.UNKNOWN}

Asked = New | Cancel | Replace | MassCancel | Status
Told = tuple[str | int, ...]
"""What a report says, as far as the model says it too: ("fill", ClOrdID, ticks, lots) and the like."""


class Undecided(Exception):
    """The search was given up: nothing is known."""


@dataclass(slots=True)
class _Ask:
    command: Asked
    said: Said
    answered_ns: int = 1 << 63


@dataclass(slots=True)
class _Talk:
    """One session: what it asked of the engine and what the engine told it. What a check before the engine refused is left
    out, with the refusal."""

    asks: list[_Ask] = field(default_factory=list)
    told: list[tuple[Told, Said]] = field(default_factory=list)
    hints: list[int] = field(default_factory=list)
    """Of each report, where to look for it first."""


@dataclass(slots=True)
class _State:
    """Where the search stands: a model, how far each session has got, and whose requests were decided one after another."""

    model: ModelEngine
    asked: dict[str, int]
    heard: dict[str, int]
    owners: dict[str, str] = field(default_factory=dict)
    path: list[str] = field(default_factory=list)
    history: list[Exchange] = field(default_factory=list)

    def key(self) -> tuple[object, ...]:
        books = tuple(
            (order.cl, order.leaves) for sym in self.model.symbols for order, _ in self.model.books[sym].resting()
        )
        return tuple(self.asked.items()), tuple(self.heard.items()), books


def serial_history(
    streams: Mapping[str, Sequence[Line]], market: Market, model: ModelEngine
) -> tuple[History, Finding | None]:
    """The requests of all sessions in an order that explains their reports, as the model answers them; or the longest such
    beginning, and what could not be explained behind it. Streams are whole: from the first order on, everything read.
    Undecided when the search takes too long."""
    talks = _talks(streams, market)
    ways: list[list[str]] = [[]]
    tried, best = 0, _State(model, dict.fromkeys(talks, 0), dict.fromkeys(talks, 0))
    seen: set[tuple[object, ...]] = set()
    while ways:
        state = _follow(ways.pop(), model, talks)
        while state is not None:
            if len(state.history) >= len(best.history):
                best = state
            if all(state.asked[s] == len(t.asks) for s, t in talks.items()):
                if all(state.heard[s] == len(t.told) for s, t in talks.items()):
                    return History(state.history), None
                break
            candidates = list(_next(state, talks))
            tried += len(candidates)
            if tried > STEPS_MAX:
                raise Undecided(f"no order of the requests was found in {STEPS_MAX} steps")
            question = next((s for s in candidates if _is_question(state, s, talks)), None)
            if question is not None:
                candidates = [question]
            elif len(candidates) > 1:
                key = state.key()
                if key in seen:
                    break
                seen.add(key)
                ways += [[*state.path, other] for other in reversed(candidates[1:])]
            if not candidates or not _decide(state, candidates[0], talks):
                break
    return History(best.history), _unexplained(best, talks, market)


def _follow(way: list[str], model: ModelEngine, talks: dict[str, _Talk]) -> _State | None:
    """The state after the next requests of these sessions, one by one; None when the last one cannot be there."""
    model.reset()
    state = _State(model, dict.fromkeys(talks, 0), dict.fromkeys(talks, 0))
    return state if all(_decide(state, session, talks) for session in way) else None


def _next(state: _State, talks: dict[str, _Talk]) -> Iterator[str]:
    """The sessions whose next request may be the next one decided; the one that heard of it first comes first."""
    due = [talk.asks[state.asked[s]].answered_ns for s, talk in talks.items() if state.asked[s] < len(talk.asks)]
    by = min(due, default=0)
    found = []
    for session, talk in talks.items():
        if state.asked[session] == len(talk.asks):
            continue
        ask = talk.asks[state.asked[session]]
        if ask.said.at_ns > by or state.heard[session] == len(talk.told):
            continue
        told, said = talk.told[state.heard[session]]
        if _answers(told, ask.command, said) and _is_possible(state.model, ask.command, told):
            found.append((talk.hints[state.heard[session]], said.at_ns, session))
    return (session for _, _, session in sorted(found))


def _is_question(state: _State, session: str, talks: dict[str, _Talk]) -> bool:
    """Whether it changes nothing, and is answered as it would be now: then it may as well be decided now."""
    command = talks[session].asks[state.asked[session]].command
    told, _ = talks[session].told[state.heard[session]]
    if isinstance(command, Cancel | Replace):
        return told[0] == "refused" and _is_refused(state.model, command)
    if not isinstance(command, Status):
        return False
    return [told] == [t for event in state.model.submit(command) for _, t in _expected(event, session, state)]


def _is_refused(model: ModelEngine, command: Cancel | Replace) -> bool:
    """Whether it would be, now."""
    order = model.owned(command.orig, command.acct, command.sym)
    if isinstance(command, Replace):
        return order is None or model.refusal_of_replace(command, order) is not None
    return order is None or not order.leaves or not model.known_symbol(command.sym)


def _answers(told: Told, command: Asked, said: Said) -> bool:
    """Whether a report can be the first that the sender hears of its command."""
    if isinstance(command, MassCancel):
        return told[0] in ("end", "mass")
    if isinstance(command, New):
        return told[:2] == ("new", command.cl)
    return told[0] != "fill" and said.message.get(11) == command.cl


def _is_possible(model: ModelEngine, command: Asked, told: Told) -> bool:
    """What can be seen without deciding it: cancels and replaces are refused or not."""
    return not isinstance(command, Cancel | Replace) or _is_refused(model, command) == (told[0] == "refused")


def _decide(state: _State, session: str, talks: dict[str, _Talk]) -> bool:
    """Lets the model decide the session's next request; False when that is not what the sessions were told."""
    ask = talks[session].asks[state.asked[session]]
    command = ask.command
    if isinstance(command, New | Replace):
        state.owners[command.cl] = session
    expected: dict[str, list[Told]] = {}
    events = state.model.submit(command)
    for event in events:
        for who, told in _expected(event, session, state):
            expected.setdefault(who, []).append(told)
    for who, tellings in expected.items():
        at = state.heard[who]
        heard = [told for told, _ in talks[who].told[at : at + len(tellings)]]
        if heard != tellings and not _free(command, heard, tellings):
            return False
    for who, tellings in expected.items():
        state.heard[who] += len(tellings)
    state.asked[session] += 1
    state.path.append(session)
    state.history.append(Exchange(command, tuple(events), ask.said.at_ns, ask.answered_ns))
    return True


def _free(command: Asked, heard: list[Told], expected: list[Told]) -> bool:
    """Mass cancels end orders in any order; of the two sides of a trade within one session either may come first."""
    if sorted(heard, key=str) != sorted(expected, key=str):
        return False
    if isinstance(command, MassCancel):
        return True
    own = [[told for told in side if told[0] == "fill" and told[1] != command.cl] for side in (heard, expected)]
    incoming = [[told for told in side if told[0] != "fill" or told[1] == command.cl] for side in (heard, expected)]
    return own[0] == own[1] and incoming[0] == incoming[1]


def _expected(event: Event, sender: str, state: _State) -> Iterator[tuple[str, Told]]:
    """Who is told what of an event."""
    owner = state.owners
    match event:
        case Accepted(cl):
            yield sender, ("new", cl)
        case Rejected(cl):
            yield sender, ("rejected", cl)
        case Trade(_, px, qty, resting, incoming):
            for cl in (resting, incoming):
                yield owner[cl], ("fill", cl, px, qty)
        case Cancelled(cl, leaves, cum):
            yield owner[cl], ("end", cl, cum)
        case Replaced(cl, orig, px, leaves, cum):
            yield sender, ("replaced", cl, orig, leaves, cum)
        case CancelRejected(cl):
            yield sender, ("refused", cl)
        case MassCancelled(cl, _):
            yield sender, ("mass", cl)
        case StatusReport(_, orig, status, leaves, cum):
            yield sender, ("status", orig, status, leaves, cum)


def _unexplained(state: _State, talks: dict[str, _Talk], market: Market) -> Finding:
    """What each session asked and heard next, where no request could be the next one."""
    asked, heard, first = [], [], None
    for session, talk in talks.items():
        if state.asked[session] < len(talk.asks):
            ask = talk.asks[state.asked[session]]
            asked.append(f"{session} asked: {words(ask.said.message, 35, 11, 41, 55, 54, 38, 40, 44, 59)}")
            first = first if first and first.at_ns <= ask.said.at_ns else ask.said
        if state.heard[session] < len(talk.told):
            said = talk.told[state.heard[session]][1]
            heard.append(f"{session} heard: {words(said.message, 35, 11, 41, 150, 39, 32, 31, 151, 14)}")
            first = first or said
    assert first is not None, "something is left"
    message = (
        f"no order of the requests explains the reports; {len(state.history)} are explained, and then none can be next"
    )
    return Finding("D04.X21", first.index, message, tuple(asked), tuple(heard), first.session)


# --- reading ---


def _talks(streams: Mapping[str, Sequence[Line]], market: Market) -> dict[str, _Talk]:
    talks: dict[str, _Talk] = {}
    for session, stream in streams.items():
        reader = Numbered(session)
        lines = [*reader.read(stream), *reader.rest()]
        refused = set(_refused(lines))
        talk = talks[session] = _Talk()
        answers: dict[tuple[bool, str], list[Said]] = {}
        for said in lines:
            if not said.sent and (told := _told(said, market)) is not None:
                talk.told.append((told, said))
                answers.setdefault((told[0] == "status", said.message.get(11, "") or ""), []).append(said)
        talk.hints = _hints([said for _, said in talk.told])
        for said in lines:
            if said.sent and said.message.seq not in refused:
                command = _command(said.message, market.accounts.get(session, session), market)
                if command is not None:
                    mine = answers.get((isinstance(command, Status), said.message.need(11)), [])
                    answer = next((x for x in mine if x.at_ns >= said.at_ns), None)
                    talk.asks.append(_Ask(command, said, answer.at_ns if answer else 1 << 63))
    return talks


def _hints(told: Sequence[Said]) -> list[int]:
    """ExecIDs, where they are numbers: many exchanges count them up. It is a hint for the search and no more."""
    hints, last = list[int](), 0
    for said in told:
        text = said.message.get(17, "") or ""
        last = int(text) if text.isascii() and text.isdigit() and len(text) < 20 and int(text) else last
        hints.append(last)
    return hints


def _refused(lines: Iterable[Said]) -> Iterator[int]:
    """Numbers of requests that a check before the engine refused."""
    by_cl: dict[str, list[int]] = {}
    for said in lines:
        m = said.message
        if said.sent and m.type == "D":
            by_cl.setdefault(m.need(11), []).append(m.seq)
        elif not said.sent and m.type in ("3", "j") and m.get(45):
            yield int(m.need(45))
        elif not said.sent and m.type == "8" and m.get(150) == "8":
            yield from by_cl.get(m.get(11, "") or "", [])[-1:]


def _lots(m: FixMessage, tag: int, market: Market, sym: str) -> int:
    value, instrument = decimal(m.get(tag)), market.instruments.get(sym)
    return int((value or 0) / (instrument.lot_size if instrument else 1))


def _ticks(m: FixMessage, tag: int, market: Market, sym: str) -> int | None:
    value, instrument = decimal(m.get(tag)), market.instruments.get(sym)
    return None if value is None or instrument is None else int(value / instrument.tick_size)


def _command(m: FixMessage, account: str, market: Market) -> Asked | None:
    cl, sym, orig = m.get(11, "") or "", m.get(55, "") or "", m.get(41, "") or ""
    match m.type:
        case "D":
            kind = OrdType.MARKET if m.get(40) == MARKET else OrdType.LIMIT
            px = None if kind is OrdType.MARKET else _ticks(m, 44, market, sym)
            tif = Tif.IOC if m.get(59) == IOC else Tif.DAY
            return New(cl, account, sym, _SIDES[m.need(54)], kind, _lots(m, 38, market, sym), px, tif)
        case "F":
            return Cancel(cl, orig, account, sym)
        case "G":
            return Replace(cl, orig, account, sym, _ticks(m, 44, market, sym), _lots(m, 38, market, sym))
        case "H":
            return Status(cl, cl, account, sym)
        case "q":
            return MassCancel(cl, account, sym if m.get(530) == "1" else None)
    return None


def _told(said: Said, market: Market) -> Told | None:
    m = said.message
    cl, sym = m.get(11, "") or "", m.get(55, "") or ""
    if m.type == "9":
        return "refused", cl
    if m.type == "r":
        return "mass", cl
    if m.type != "8":
        return None

    def lots(tag: int) -> int:
        return _lots(m, tag, market, sym)

    match m.get(150):
        case "0":
            return "new", cl
        case "F":
            return "fill", cl, _ticks(m, 31, market, sym) or 0, lots(32)
        case "4":
            return "end", m.get(41) or cl, lots(14)
        case "5":
            return "replaced", cl, m.get(41, "") or "", lots(151), lots(14)
        case "I":
            return "status", cl, _STATES.get(m.get(39, "") or "", State.UNKNOWN), lots(151), lots(14)
    return None
