"""What receivers of the direct feed were told, held against the audit log and the model, and against the subscription feed.

Pure functions. Messages are those that a receiver handed out, in its order; `steps` and `records` are the log's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from matchmark.conformance.checks.audit_format import Happened, Op, Records
from matchmark.conformance.checks.audit_replay import NO_ROOM, command_of, model_for, refused_for
from matchmark.conformance.checks.audit_steps import Step
from matchmark.conformance.checks.finding import Finding
from matchmark.conformance.checks.market_data import (
    Tape,
    Traded,
    check_books,
    check_last,
    check_statuses,
    check_trades,
    trades_of,
)
from matchmark.conformance.market_data.updates import Trading, Update, depth_of
from matchmark.conformance.messages import Side
from matchmark.conformance.packets.feed_book import FeedBook, FeedBroken
from matchmark.conformance.packets.receiver import ANSWER, Datagram, Message, Numbers, decode
from matchmark.conformance.trading_messages import Release, SetTrading
from matchmark.reference.model import ModelEngine

CLAUSE, SAME = "D09.10", "D09.X6"
SIDES = ((0, Side.BUY), (1, Side.SELL))
STATES = tuple(Trading)
MARKET_ORDER = 1
BEGINS = "ADRU"
"""Types that only the first public message of a command has."""
Queue = list[tuple[int, list[tuple[int, int]]]]


def plain(m: Message) -> Message:
    """Without what only packets say."""
    return m._replace(whole=False)


def show(m: Message) -> str:
    words = [f"#{m.sequence} {m.type} symbol {m.symbol}", f"flags {m.flags}"]
    if m.type == "E":
        words.append(f"{m.order_id} meets {m.resting_order_id}, leaves {m.leaves} and {m.resting_leaves}")
    elif m.type not in "SC":
        words.append(f"order {m.order_id}")
    if m.type in "ADRUEX":
        words.append(f"{'sell' if m.side else 'buy'} {m.quantity} at {m.price}")
    return ", ".join([*words, f"state {m.state}"] if m.type in "SE" else words)


def check_told(due: Sequence[Message], heard: Sequence[Message], what: str = "every event of the log") -> list[Finding]:
    """Every event once and in order, as the log has it."""
    said = [plain(m) for m in heard]
    if said == list(due):
        return []
    at = next((n for n, (a, b) in enumerate(zip(due, said, strict=False)) if a != b), min(len(due), len(said)))
    around = slice(max(0, at - 1), at + 3)
    text = f"{what} is on the direct feed, once and in order; event {at + 1} of {len(due)} ({len(said)} were heard)"
    return [Finding(CLAUSE, -1, text, tuple(map(show, due[around])), tuple(map(show, said[around])))]


def check_numbers(numbers: Numbers) -> list[Finding]:
    """Nothing that cannot be read, nothing that cannot be had again, nothing taken back that was in the log for good."""
    for wrong, text in (
        (numbers.malformed, "every packet is one by the feed's tables, of at most 1,400 bytes, numbered in order"),
        (numbers.unavailable, "what the log has can be had again"),
        (numbers.taken_back, "nothing is taken back that is still in the log"),
    ):
        if wrong:
            return [Finding(CLAUSE, -1, text, ("none",), (str(wrong), str(numbers)))]
    return []


def check_headers(packets: Iterable[bytes], records: Records) -> list[Finding]:
    """Each packet says where its epoch began."""
    first: dict[int, int] = {}
    for epoch, sequence in zip(records["epoch"].tolist(), records["sequence"].tolist(), strict=True):
        first.setdefault(epoch, sequence)
    for packet in readable(packets):
        due = first.get(packet.epoch, packet.began + 1) - 1
        if packet.messages and packet.epoch not in first:
            text = "a packet's epoch is one that its records have"
            return [Finding(CLAUSE, -1, text, (str(sorted(first)),), (str(packet.epoch),))]
        if packet.began != due:
            text = f"a packet of epoch {packet.epoch} says which record was the last one before"
            return [Finding(CLAUSE, -1, text, (str(due),), (str(packet.began),))]
    return []


def readable(packets: Iterable[bytes]) -> Iterator[Datagram]:
    for data in packets:
        try:
            yield decode(data)
        except ValueError:
            continue


def is_news(data: bytes) -> bool:
    """A packet of the group with messages in it."""
    return bool(int.from_bytes(data[6:8], "little")) and not data[5] & ANSWER


def ages_ns(packets: Iterable[bytes], came_ns: Iterable[int]) -> list[int]:
    """How old each trade was when its packet was read; answers are left out."""
    return [
        came - m.matched_ns
        for data, came in zip(packets, came_ns, strict=True)
        if is_news(data)
        for packet in readable([data])
        for m in packet.messages
        if m.type == "E"
    ]


def market_orders_ns(packets: Iterable[bytes], steps: Iterable[Step]) -> list[int]:
    """From the receipt of each market order that traded until the packet with its last trade was sent."""
    sent = {m.sequence: packet.sent_ns for packet in readable(filter(is_news, packets)) for m in packet.messages}
    last = [(step.received_ns, step.of(Happened.TRADE)[-1].sequence) for step in steps if _is_market_trade(step)]
    return [sent[sequence] - received for received, sequence in last if sequence in sent]


def _is_market_trade(step: Step) -> bool:
    return step.op is Op.NEW and step.type == MARKET_ORDER and bool(step.of(Happened.TRADE))


# --- books ---


def check_each_book(heard: Sequence[Message], steps: Sequence[Step]) -> list[Finding]:
    """After each command the books made of the feed are the model's, every order in its place in the queue."""
    model, feed, ids = model_for(steps), FeedBook(), dict[str, int]()
    at = 0
    for n, step in enumerate(steps):
        _submit(model, step)
        for e in step.events:
            if e.what in (Happened.ACCEPTED, Happened.REPLACED):
                ids[str(e.cl_number)] = e.order_id
        end = steps[n + 1].sequence if n + 1 < len(steps) else 1 << 63
        before = at
        try:
            while at < len(heard) and heard[at].sequence < end:
                feed.apply(heard[at])
                at += 1
        except FeedBroken as error:
            return [Finding(CLAUSE, -1, f"a book can be made of what the feed tells: {error}", (), (show(heard[at]),))]
        for symbol in {m.symbol for m in heard[before:at]} | (
            {step.symbol} if str(step.symbol) in model.books else set()
        ):
            for number, side in SIDES:
                due, has = _queue(model, symbol, side, ids), feed.queue(symbol, number)
                if due != has:
                    text = f"after record {step.sequence} ({step.op.name.lower()}) the {side}s of symbol {symbol} are the model's"
                    return [Finding(CLAUSE, -1, text, (str(due),), (str(has),))]
    return []


def _submit(model: ModelEngine, step: Step) -> None:
    command = command_of(step)
    if command is None or step.op is Op.ATTEMPT or refused_for(step, NO_ROOM):
        return
    if isinstance(command, SetTrading | Release):
        model.control(command)
    else:
        model.submit(command)


def _queue(model: ModelEngine, symbol: int, side: Side, ids: dict[str, int]) -> Queue:
    if str(symbol) not in model.books:
        return []
    levels = model.books[str(symbol)].levels[side]
    prices = reversed(levels) if side is Side.BUY else iter(levels)
    return [(px, [(ids.get(o.cl, 0), o.leaves) for o in levels[px].orders.values()]) for px in prices]


# --- the other feed ---


def tape_of(heard: Iterable[Message], symbol: int, name: str) -> Tape:
    """One symbol as the direct feed tells it: its trades and, after each command, its book. FeedBroken as of FeedBook."""
    book, tape, trades = FeedBook(), Tape(name), list[Traded]()

    def moment() -> None:
        bids, asks = (dict(book.levels(symbol, number)) for number, _ in SIDES)
        tape.add(trades, depth_of(bids, asks))
        trades.clear()

    for m in heard:
        if m.type in BEGINS:
            moment()
        book.apply(m)
        if m.type == "E" and m.symbol == symbol:
            trades.append((m.price, m.quantity, m.side == 1))
        if m.whole:
            moment()
    moment()
    return tape


def check_same(heard: Sequence[Message], symbol: int, name: str, updates: Sequence[Update]) -> list[Finding]:
    """What a subscriber was told of a symbol from its beginning on is what the direct feed says."""
    try:
        tape = tape_of(heard, symbol, name)
    except FeedBroken as error:
        return [Finding(SAME, -1, f"a book can be made of what the direct feed tells: {error}")]
    items = [
        (m.price, m.quantity, m.side == 1) if m.type == "E" else STATES[m.state]
        for m in heard
        if m.symbol == symbol and m.type in "ES"
    ]
    checks: tuple[Callable[[], list[Finding]], ...] = (
        lambda: check_trades(tape.trades, trades_of(updates)),
        lambda: check_statuses(items, updates),
        lambda: check_books(tape, updates),
        lambda: check_last(tape, updates, SAME),
    )
    for check in checks:
        if found := check():
            text = f"the subscription feed tells what the direct feed tells: {found[0].message}"
            return [replace(found[0], clause=SAME, message=text)]
    return []
