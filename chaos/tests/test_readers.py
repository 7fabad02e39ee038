"""What judges the readers of an exchange: each thing that can be wrong is found, and what is right is not."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from matchmark.chaos.readers.controls import (
    Plant,
    lost_levels,
    lost_outright,
    lost_trades,
    trade_again_later,
    trade_twice,
)
from matchmark.chaos.readers.judge import ListenerJudge, SymbolJudge, balances, whole
from matchmark.chaos.readers.kills import ROLES
from matchmark.chaos.readers.listener import Joined, Manner
from matchmark.chaos.readers.log_tail import LogTail
from matchmark.chaos.readers.topic import Message, TopicJudge, differ, together
from matchmark.chaos.readers.truth import Balances, Truth
from matchmark.chaos.recovery import Silence, stood_still
from matchmark.chaos.scenarios import BY_NAME
from matchmark.chaos.schedule import episodes
from matchmark.conformance.checks import audit_format as f
from matchmark.conformance.checks.audit_format import Bytes, Happened, Kind
from matchmark.conformance.market_data.updates import Level, Quote, Trade, Update

DEPTH, QUOTES = Manner("depth", "depth", "protobuf"), Manner("quotes", "quotes", "protobuf")
BUY, SELL = 0, 1


class Log:
    """Records of commands as they come: an order rests, or trades with one that does, or is cancelled."""

    def __init__(self) -> None:
        self.rows: list[Bytes] = []

    def add(self, kind: Kind, last: bool, **values: Any) -> int:
        record = np.zeros(1, dtype=f.EVENT if kind is Kind.EVENT else f.COMMAND)
        sequence = len(self.rows) + 1
        for name, value in {
            "sequence": sequence,
            "kind": kind,
            "flags": int(last),
            "stage_b_ns": sequence,
            **values,
        }.items():
            record[name] = value
        self.rows.append(record.view(np.uint8).reshape(f.RECORD_BYTES).copy())
        return sequence

    def order(
        self, number: int, side: int, price: int, lots: int, account: int = 0, symbol: int = 0, last: bool = True
    ) -> int:
        self.add(Kind.COMMAND, False, op=1, symbol=symbol)
        values = {"order_id": number, "side": side, "price_ticks": price, "quantity_lots": lots, "account": account}
        return self.add(Kind.EVENT, last, event=Happened.ACCEPTED, symbol=symbol, **values)

    def trade(self, number: int, resting: int, side: int, price: int, lots: int, left: tuple[int, int] = (0, 0)) -> int:
        """The second event of the command of `order`, of the same number."""
        return self.add(
            Kind.EVENT, True, event=Happened.TRADE, order_id=number, other_order_id=resting, side=side, price_ticks=price,
            quantity_lots=lots, leaves_lots=left[0], other_leaves_lots=left[1], account=1, other_account=0,
        )  # fmt: skip

    def cancel(self, number: int, lots: int) -> int:
        self.add(Kind.COMMAND, False, op=2)
        return self.add(Kind.EVENT, True, event=Happened.CANCELLED, order_id=number, quantity_lots=lots)

    @property
    def records(self) -> Any:
        rows = f.seal(np.stack(self.rows), 0)
        return rows.reshape(-1).view(f.RECORD)


def market() -> Log:
    """10 lots are bid for at 100; 4 are sold to them; 5 more are bid for at 99; the rest at 100 is cancelled."""
    log = Log()
    log.order(1, BUY, 100, 10)
    log.order(2, SELL, 100, 4, account=1, last=False)
    log.trade(2, 1, SELL, 100, 4, (0, 6))
    log.order(3, BUY, 99, 5)
    log.cancel(1, 6)
    return log


def heard() -> list[Joined | Update]:
    bid = lambda px, lots: Level(False, px, lots)  # noqa: E731
    return [
        Joined(),
        Update("A", 0, 2, book=True, snapshot=True, levels=(bid(100, 10),)),
        Update("A", 2, 5, (Trade(5, 100, 4, True),), book=True, levels=(bid(100, 6),)),
        Update("A", 5, 7, book=True, levels=(bid(99, 5),)),
        Update("A", 7, 9, book=True, levels=(bid(100, 0),)),
    ]


def truth() -> Truth:
    found = Truth(["A"])
    found.take(market().records)
    return found


def test_the_book_and_the_trades_of_the_log_are_replayed() -> None:
    found = truth().symbols["A"]
    assert found.trades == [(5, 100, 4, True)]
    assert [found.depth(n) for n in (2, 5, 7, 9)] == [
        (((100, 10),), ()), (((100, 6),), ()), (((100, 6), (99, 5)), ()), (((99, 5),), ()),
    ]  # fmt: skip
    assert found.depth(4) == found.depth(5), "within a command there is no book of its own"


def test_what_a_listener_heard_rightly_is_right() -> None:
    assert not list(whole(DEPTH, ["A"], heard(), truth()))


@pytest.mark.parametrize("plant", [lost_trades, lost_levels, lost_outright, trade_twice, trade_again_later])
def test_what_is_planted_into_it_is_found(plant: Plant) -> None:
    wrong = heard()
    assert plant(wrong)
    assert list(whole(DEPTH, ["A"], wrong, truth()))


def test_who_comes_back_with_what_it_knows_misses_nothing_and_is_found_to_when_it_does() -> None:
    back = Update("A", 0, 9, (Trade(5, 100, 4, True),), book=True, snapshot=True, levels=(Level(False, 99, 5),))
    start = heard()[:2]
    assert not list(whole(DEPTH, ["A"], [*start, Joined({"A": 2}), back], truth()))
    silent = Update("A", 0, 9, (), book=True, snapshot=True, levels=back.levels)
    assert "lacks trade #5" in next(whole(DEPTH, ["A"], [*start, Joined({"A": 2}), silent], truth()))
    assert not list(whole(DEPTH, ["A"], [*start, Joined(), silent], truth())), (
        "a newcomer is told of no trade before it"
    )


def test_a_newcomer_is_told_of_trades_behind_its_coming_and_of_none_before() -> None:
    first = Update("A", 0, 5, (Trade(5, 100, 4, True),), book=True, snapshot=True, levels=(Level(False, 100, 6),))
    assert not list(whole(DEPTH, ["A"], [Joined(at_ns=3), first], truth()))
    assert "before it came" in next(whole(DEPTH, ["A"], [Joined(at_ns=6), first], truth()))


def test_quotes_are_the_best_of_the_book() -> None:
    judge, of = SymbolJudge(QUOTES), truth().symbols["A"]
    judge.join(Joined())
    assert judge.take(Update("A", 0, 7, book=True, snapshot=True, quote=Quote((100, 6), None)), of) is None
    assert judge.has(7, of) and not judge.has(9, of)
    said = judge.take(Update("A", 7, 9, book=True, quote=Quote((100, 6), None)), of)
    assert said and "book after record 9" in said


def test_who_is_behind_is_told_until_it_has_the_last_change() -> None:
    judge, found = ListenerJudge(DEPTH, ["A"]), truth()
    for n, one in enumerate(heard()):
        assert judge.take(one, found) is None
        assert judge.behind(9, found) == ([] if n == 4 else ["A"])


def test_balances_of_the_log_and_what_differs_from_them() -> None:
    accounts = Balances(["ACC1", "ACC2"], ["A"], 10_000, 50)
    accounts.take(market().records)
    accounts.advance(4)
    assert accounts.amounts()["ACC2", "A"] == (46, 4)
    accounts.advance(9)
    right = accounts.amounts()
    assert right == {
        ("ACC1", "cash"): (10_000 - 400 - 495, 495), ("ACC2", "cash"): (10_400, 0),
        ("ACC1", "A"): (54, 0), ("ACC2", "A"): (46, 0),
    }  # fmt: skip
    told = {**right, ("*equity*", "cash"): (-20_000, 0), ("*equity*", "A"): (-100, 0)}
    assert not list(balances(told, right, 9))
    moved = {**told, ("ACC1", "cash"): (9_104, 495 + 1)}
    assert len(list(balances(moved, right, 9))) == 1
    more = {**told, ("ACC1", "cash"): (9_106, 495)}
    assert any("sums to 1" in text for text in balances(more, right, 9))


def message(rows: Bytes, previous: int, offset: int) -> Message:
    first, last = (int(rows[n].view(f.EVENT)[0]["sequence"]) for n in (0, -1))
    prefix = struct.pack("<4sHHIIQQQQ", b"MMEV", 1, f.RECORD_BYTES, len(rows), 0, first, last, previous, 0)
    return Message(0, offset, b"A", prefix + rows.tobytes())


def events() -> Bytes:
    records = market().records
    rows: Bytes = records.view(np.uint8).reshape(-1, f.RECORD_BYTES)
    return rows[records["kind"] == Kind.EVENT]


def read(messages: list[Message]) -> tuple[list[str], TopicJudge]:
    judge = TopicJudge(["A"])
    return [text for m in messages for text in judge.take(m)], judge


def test_a_topic_without_a_gap_is_the_log_and_what_came_twice_is_counted() -> None:
    rows = events()
    wrong, judge = read([message(rows[:2], 0, 0), message(rows[:3], 0, 1), message(rows[3:], 5, 2)])
    assert not wrong and judge.duplicates == 2
    assert not list(differ(rows, together(judge.taken), together(judge.again)))


def _without(rows: Bytes) -> Bytes:
    return np.delete(rows, 2, axis=0)


def _altered(rows: Bytes) -> Bytes:
    other = rows.copy()
    other[1, 48] ^= 1
    return other


def _twice(rows: Bytes) -> Bytes:
    return rows.repeat([1, 1, 2, *[1] * (len(rows) - 3)], axis=0)


@pytest.mark.parametrize(("wrong", "said"), [(_without, "are missing"), (_altered, "otherwise"), (_twice, "twice")])
def test_a_topic_that_is_not_the_log_is_found(wrong: Callable[[Bytes], Bytes], said: str) -> None:
    rows = events()
    assert said in next(differ(rows, wrong(rows), together([])))


def test_a_gap_of_the_topic_is_found_and_a_foreign_message_too() -> None:
    rows = events()
    assert "a gap" in read([message(rows[:2], 0, 0), message(rows[3:], 5, 1)])[0][0]
    assert "no message of events" in read([Message(0, 0, b"A", b"hello")])[0][0]


def test_the_log_is_read_on_command_by_command(tmp_path: Path) -> None:
    rows = market().records.view(np.uint8).reshape(-1, f.RECORD_BYTES)
    path = tmp_path / "audit-00000000000000000001.log"
    tail, empty = LogTail(tmp_path), bytes(f.RECORD_BYTES * 4)
    path.write_bytes(bytes(f.HEADER_BYTES) + rows[:4].tobytes() + empty)
    assert tail.read()["sequence"].tolist() == [1, 2], "the second command has not ended"
    torn = rows[4].copy()
    torn[200] ^= 1
    path.write_bytes(bytes(f.HEADER_BYTES) + rows[:4].tobytes() + torn.tobytes() + empty)
    assert not len(tail.read()), "a record that is being written is not taken"
    path.write_bytes(bytes(f.HEADER_BYTES) + rows[:6].tobytes())
    (tmp_path / "audit-00000000000000000007.log").write_bytes(bytes(f.HEADER_BYTES) + rows[6:].tobytes() + empty)
    assert tail.read()["sequence"].tolist() == [3, 4, 5, 6, 7, 8, 9] and tail.position == 9


def test_every_reader_is_killed_as_often_as_any_other_in_an_order_of_the_seed() -> None:
    kinds = BY_NAME["readers"].kinds
    days = [episodes("readers", ["exchange"], ["plain"], kinds, 4 * len(ROLES), 500, seed, 25) for seed in (1, 1, 2)]
    roles = [[step.role for plan in day for step in plan.steps] for day in days]
    assert days[0] == days[1] and roles[0] != roles[2]
    assert all(roles[0].count(role) == 4 for role in ROLES)
    assert len(days[0]) == 2


def test_trading_that_stood_still_is_found() -> None:
    waits = (1.0, 2.0)
    assert not stood_still(Silence(400, 100, waits, waits)) and stood_still(Silence(2_500, 100, waits, waits))
