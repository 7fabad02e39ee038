"""The checks of reports on made-up streams: sound ones pass, whatever is said in them; who tells what, and in which order."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from matchmark.conformance.checks.reports import Streams, check_streams
from matchmark.conformance.checks.reports_seen import Market
from matchmark.conformance.clauses.vocabulary import MATCHING_CAPABILITIES
from matchmark.conformance.fix.message import Line
from matchmark.conformance.messages import Command, Reset
from matchmark.conformance.random_flow import FlowMaker

from .fix_streams import DECIMALS, INSTRUMENTS, Sound, find, rewritten


def findings(streams: dict[str, list[Line]], **more: object) -> list[str]:
    found = check_streams(streams, INSTRUMENTS, average_decimals=DECIMALS, **more)  # type: ignore[arg-type]
    return [f"{f.clause} {f.session} {f.index}: {f.message}" for f in found]


LACKS = {"top", "smp_cancel_newest", "smp_cancel_oldest"}
CAPABILITIES = frozenset(MATCHING_CAPABILITIES) - LACKS


def flow_of(seed: int, count: int) -> list[Command]:
    return [c for c in FlowMaker(random.Random(seed), CAPABILITIES).flow(count) if not isinstance(c, Reset)]


def wire_ready(command: Command) -> bool:
    """What the made-up sessions can say: FIX wants price and quantity in a replace."""
    return not (hasattr(command, "new_px") and (command.new_px is None or command.new_qty is None))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32), shared=st.booleans())
@example(seed=831, shared=False)  # a refused replace has the name of an open order
def test_a_sound_exchange_passes_whatever_is_said(seed: int, shared: bool) -> None:
    x = Sound(shared_exec_ids=shared)
    for command in flow_of(seed, 80):
        if wire_ready(command):
            x.send(command.acct, command)  # type: ignore[union-attr]
    assert findings(x.streams) == []


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32), cut=st.integers(1, 60))
def test_streams_may_be_read_bit_by_bit(seed: int, cut: int) -> None:
    """Kept between tests, what was seen makes sense of later reports about earlier orders."""
    x = Sound()
    seen = Streams(Market(INSTRUMENTS, {}, DECIMALS))
    read: dict[str, int] = {}
    for n, command in enumerate(flow_of(seed, 80)):
        if wire_ready(command):
            x.send(command.acct, command)  # type: ignore[union-attr]
        if n % cut == 0:
            news = {name: lines[read.get(name, 0) :] for name, lines in x.streams.items()}
            read = {name: len(lines) for name, lines in x.streams.items()}
            assert [f for _, f in seen.check(news)] == []


def swapped(stream: list[Line], a: int, b: int) -> list[Line]:
    """Two received messages change places and keep the numbers of the places."""
    out = list(stream)
    seq_a, seq_b = out[a].message.need(34), out[b].message.need(34)
    at_a, at_b = out[a].message.at_ns, out[b].message.at_ns
    moved = [rewritten(out[b], {34: seq_a}), rewritten(out[a], {34: seq_b})]
    for place, line, at in ((a, moved[0], at_a), (b, moved[1], at_b)):
        m = line.message
        out[place] = Line(False, type(m)(m.pairs, m.raw, at))
    return out


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), data=st.data())
def test_a_report_that_is_lost_or_doubled_is_found(seed: int, data: st.DataObject) -> None:
    """Any report of a business message, with the numbers behind it closed up."""
    x = Sound()
    for command in flow_of(seed, 60):
        if wire_ready(command):
            x.send(command.acct, command)  # type: ignore[union-attr]
    session = data.draw(st.sampled_from(sorted(x.streams)))
    heard = [i for i, line in enumerate(x.streams[session]) if not line.sent]
    at = data.draw(st.sampled_from(heard))
    double = data.draw(st.booleans())
    kept = (
        x.streams[session][: at + double] + x.streams[session][at:]
        if double
        else x.streams[session][:at] + x.streams[session][at + 1 :]
    )
    seq = 0
    renumbered = []
    for line in kept:
        seq += not line.sent
        renumbered.append(line if line.sent else rewritten(line, {34: str(seq)}))
    lost = x.streams[session][at].message
    assert findings({**x.streams, session: renumbered}) != [], f"{'doubled' if double else 'lost'}: {lost}"


NUMBERS = {38: "OrderQty", 14: "CumQty", 151: "LeavesQty", 32: "LastQty", 31: "LastPx", 6: "AvgPx"}


@settings(max_examples=80, deadline=None)
@given(seed=st.integers(0, 2**32), data=st.data())
def test_a_number_that_is_wrong_is_found(seed: int, data: st.DataObject) -> None:
    """In any ExecutionReport, whichever it is and by however little."""
    x = Sound()
    for command in flow_of(seed, 60):
        if wire_ready(command):
            x.send(command.acct, command)  # type: ignore[union-attr]
    places = [
        (name, i, tag)
        for name, stream in sorted(x.streams.items())
        for i, line in enumerate(stream)
        if not line.sent and line.message.type == "8"
        for tag, _ in line.message.pairs
        if tag in NUMBERS and not (tag == 38 and line.message.get(150) == "8")
    ]
    if not places:
        return
    name, at, tag = data.draw(st.sampled_from(places))
    line = x.streams[name][at]
    step = data.draw(st.sampled_from([1, -1, 100]))
    value = line.message.need(tag)
    wrong = f"{float(value) + step * (0.01 if tag in (6, 31) else 1):.6f}" if tag in (6, 31) else str(int(value) + step)
    bent = list(x.streams[name])
    bent[at] = rewritten(line, {tag: wrong})
    assert findings({**x.streams, name: bent}) != [], f"{NUMBERS[tag]} {value} -> {wrong} in {line.message}"


def test_what_was_missed_and_is_resent_takes_its_place() -> None:
    x = Sound()
    x.new("A", "a1", "buy", 10, 100)
    x.new("B", "b1", "sell", 4, 100)
    x.new("B", "b2", "sell", 6, 100)
    stream = x.streams["A"]
    first, second = find(stream, 0, t150="F"), find(stream, 1, t150="F")
    late = rewritten(stream[first], {43: "Y"})
    again = rewritten(stream[second], {43: "Y"})
    without = [line for i, line in enumerate(stream) if i != first]
    assert findings({**x.streams, "A": without}) != []
    assert findings({**x.streams, "A": [*without, late, again]}) == []


def test_the_sessions_of_one_account_may_share_its_reports() -> None:
    """A fill may come to the session that did not send the order, and a copy of each report may come to both."""
    x = Sound()
    x.new("A", "a1", "buy", 10, 100)
    x.new("B", "b1", "sell", 4, 100)
    x.new("B", "b2", "sell", 6, 100)
    stream = x.streams["A"]
    accounts = {"A": "A", "A2": "A"}
    copy = [rewritten(line, {34: str(n)}) for n, line in enumerate((x for x in stream if not x.sent), 1)]
    assert findings({**x.streams, "A2": copy}, accounts=accounts) == []
    first = find(stream, 0, t150="F")
    rest = [line for i, line in enumerate(stream) if i != first]
    assert (
        findings(
            {
                **x.streams,
                "A": [rewritten(r, {34: str(n)}) if not r.sent else r for n, r in enumerate(rest, 1)],
                "A2": [rewritten(stream[first], {34: "1"})],
            },
            accounts=accounts,
        )
        == []
    )


@pytest.mark.parametrize("pending", ["A", "6", "E"])
def test_pending_reports_are_let_pass(pending: str) -> None:
    x = Sound()
    x.new("A", "a1", "buy", 10, 100)
    if pending == "A":
        stream = x.streams["A"]
        ack = find(stream, 0, t150="0")
        early = rewritten(stream[ack], {150: "A", 39: "A", 17: "P1"})
        late = rewritten(stream[ack], {34: "2"})
        x.streams["A"] = [*stream[:ack], early, late]
    else:
        ask = x.cancel if pending == "6" else lambda a, cl, orig: x.replace(a, cl, orig, 20, 100)
        ask("A", "r1", "a1")
        stream = x.streams["A"]
        answer = stream[-1]
        said = rewritten(answer, {150: pending, 39: pending, 17: "P1", 151: "10", 38: "10"})
        x.streams["A"] = [*stream[:-1], said, rewritten(answer, {34: "3"})]
    assert findings(x.streams) == []


def test_an_order_whose_cancel_is_on_its_way_may_be_gone_though_its_replace_was_refused() -> None:
    """B's order came after the cancel, and B hears of it before A hears how both of its requests were answered."""
    x = Sound()
    x.new("A", "a1", "sell", 10, 100)
    x.replace("A", "r1", "a1", 0, 100)
    x.cancel("A", "c1", "a1")
    x.new("B", "b1", "buy", 10, 100)
    ack, asked, refused, ask_cancel, cancelled = x.streams["A"][1:]
    assert [m.message.type for m in (ack, asked, refused, ask_cancel, cancelled)] == ["8", "G", "9", "F", "8"]
    times = iter(range(1_000_000, 2_000_000, 1000))

    def late(line: Line) -> Line:
        return line._replace(message=replace(line.message, at_ns=next(times)))

    streams = {"A": [*x.streams["A"][:2], late(asked), late(ask_cancel)], "B": [late(line) for line in x.streams["B"]]}
    streams["A"] += [late(refused), late(cancelled)]
    assert findings(streams) == []
    stands = [line for line in streams["A"] if line.message.type not in "F" and line.message.get(150) != "4"]
    assert any("D03.N1" in found for found in findings({**streams, "A": stands}))


def test_an_incomplete_stream_is_only_judged_for_what_it_says() -> None:
    x = Sound()
    x.new("A", "a1", "buy", 10, 100)
    stream = x.streams["A"][:1]
    assert findings({"A": stream}) != []
    assert findings({"A": stream}, complete=False) == []
