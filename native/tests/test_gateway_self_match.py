"""Self-match prevention asked for over FIX: tag 8000, N cancels the newest, O the oldest; what it reserved is given back."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .exchange import Client, Exchange
from .fix_wire import utc


@pytest.fixture
def alice(tmp_path: Path) -> Iterator[Client]:
    x = Exchange(tmp_path)
    c = x.client("ALICE")
    c.expect("A")
    yield c
    x.close()


def order(c: Client, cl: str, side: int, qty: int, *more: Any) -> None:
    c.send("D", (11, cl), (55, "SYM"), (54, side), (60, utc(time.time_ns())), (38, qty), (40, 2), (44, "100.00"), *more)


def test_without_the_tag_own_orders_trade_with_each_other(alice: Client) -> None:
    order(alice, "b", 1, 10)
    order(alice, "s", 2, 10)
    assert [alice.expect("8")[150] for _ in range(4)] == ["0", "0", "F", "F"]


def test_n_cancels_the_newest(alice: Client) -> None:
    order(alice, "b", 1, 10)
    alice.expect("8", t150="0", t11="b")
    order(alice, "s", 2, 10, (8000, "N"))
    alice.expect("8", t150="0", t11="s")
    alice.expect("8", t150="4", t39="4", t11="s", t151="0", t14="0", t58="self-match prevention")
    alice.send("H", (11, "b"), (55, "SYM"), (54, 1))
    alice.expect("8", t150="I", t39="0", t151="10")


def test_o_cancels_the_oldest_and_the_newest_rests(alice: Client) -> None:
    order(alice, "b", 1, 10)
    alice.expect("8", t150="0", t11="b")
    order(alice, "s", 2, 10, (8000, "O"))
    alice.expect("8", t150="0", t11="s")
    alice.expect("8", t150="4", t39="4", t11="b", t151="0", t58="self-match prevention")
    alice.send("H", (11, "s"), (55, "SYM"), (54, 2))
    alice.expect("8", t150="I", t39="0", t151="10")


def test_a_replace_asks_for_it_too(alice: Client) -> None:
    order(alice, "b", 1, 10)
    alice.expect("8", t150="0", t11="b")
    alice.send(
        "D", (11, "s"), (55, "SYM"), (54, 2), (60, utc(time.time_ns())), (38, 10), (40, 2), (44, "101.00"), (59, 0)
    )
    alice.expect("8", t150="0", t11="s")
    alice.send(
        "G", (41, "s"), (11, "s2"), (55, "SYM"), (54, 2), (60, utc(time.time_ns())), (38, 10), (40, 2), (44, "100.00"),
        (8000, "N"),
    )  # fmt: skip
    alice.expect("8", t150="5", t11="s2")
    alice.expect("8", t150="4", t11="s2", t58="self-match prevention")


@pytest.mark.parametrize("asked", ["n", "X", "NO", "1"])
def test_another_value_is_refused_and_nothing_stays_reserved(alice: Client, asked: str) -> None:
    order(alice, "b", 2, 10_000, (8000, asked))
    refused = alice.expect("8", t150="8", t11="b", t103="11")
    assert "8000" in refused[58]
    order(alice, "c", 2, 10_000)
    alice.expect("8", t150="0", t11="c")


def test_what_prevention_cancels_is_given_back(alice: Client) -> None:
    for n in range(3):  # 10,000 lots are all that it has
        order(alice, f"b{n}", 1, 100)
        alice.expect("8", t150="0")
        order(alice, f"s{n}", 2, 10_000, (8000, "N"))
        alice.expect("8", t150="0")
        alice.expect("8", t150="4", t11=f"s{n}")
        alice.cancel(f"c{n}", f"b{n}")
        alice.expect("8", t150="4", t11=f"c{n}")
