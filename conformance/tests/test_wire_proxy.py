"""The proxy of the wire mutants: what it does not mean to change it does not change, and what it changes leaves no trace."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from matchmark.conformance.selftest.wire_message import Message, Numbering, Splitter
from matchmark.conformance.selftest.wire_reports import AFTER_CONTROL
from reference.tests.serving import SMALL, Serve, Trader


def frame(body: str) -> bytes:
    text = body.replace("|", "\x01").encode("latin-1")
    head = b"8=FIX.4.4\x019=%d\x01" % len(text)
    return head + text + b"10=%03d\x01" % (sum(head + text) % 256)


ORDER = frame("35=D|49=A|56=M|34=7|52=20260101-00:00:00.000|11=c1|38=100|")
BROKEN = ORDER[:-4] + b"000\x01"
TOO_LONG = ORDER.replace(b"9=5", b"9=6", 1)

# --- messages ---


def test_a_message_nobody_touched_keeps_its_bytes_and_a_changed_one_is_framed_anew() -> None:
    message = Message.parse(ORDER)
    assert message.encode() == ORDER and message.kind == "D" and message.seq == 7
    message.set(38, 1000)
    assert message.encode() == frame("35=D|49=A|56=M|34=7|52=20260101-00:00:00.000|11=c1|38=1000|")
    assert message.set(38, 100).encode() == ORDER


def test_fields_that_are_new_stand_in_header_or_body() -> None:
    message = Message.parse(ORDER).set(43, "Y").set(58, "late").remove(11)
    assert message.encode() == frame("35=D|49=A|56=M|34=7|52=20260101-00:00:00.000|43=Y|38=100|58=late|")


@pytest.mark.parametrize("step", [1, 2, 7, 1000])
def test_a_stream_is_taken_apart_wherever_tcp_cuts_it(step: int) -> None:
    stream = ORDER + BROKEN + b"GET / HTTP/1.1\r\n" + ORDER + TOO_LONG + ORDER * 3
    splitter, parts = Splitter(), []
    for at in range(0, len(stream), step):
        parts += splitter.feed(stream[at : at + step])
    parts.append(splitter.rest())
    assert b"".join(p.encode() if isinstance(p, Message) else p for p in parts) == stream
    assert sum(isinstance(p, Message) for p in parts) >= 4


def test_a_wrong_checksum_or_length_makes_bytes_and_not_a_message() -> None:
    assert Splitter().feed(BROKEN + ORDER)[0] == BROKEN
    assert [type(p) for p in Splitter().feed(TOO_LONG + ORDER + ORDER)][:2] == [bytes, Message]


def test_a_message_without_end_is_not_kept_for_ever() -> None:
    splitter = Splitter()
    huge = b"8=FIX.4.4\x019=9999999\x0135=D\x0158=" + b"x" * (1 << 20)
    assert splitter.feed(huge) == [huge]


def test_numbers_follow_what_is_left_out_and_put_in() -> None:
    numbers = Numbering()
    assert not numbers.changed and numbers.passed(5) == 5
    numbers.shift(5, -1)  # 5 was left out
    numbers.shift(8, 2)  # two more behind 8
    assert [numbers.passed(n) for n in (4, 6, 8, 9, 10)] == [4, 5, 7, 10, 11]
    assert [numbers.source(n) for n in (4, 5, 7, 10, 11)] == [4, 6, 8, 9, 10]


def test_random_shifts_keep_numbers_in_order() -> None:
    rng = random.Random(3)
    numbers, at = Numbering(), 0
    for _ in range(50):
        at += rng.randint(1, 5)
        numbers.shift(at, rng.choice([-1, 1, 2]))
    passed = [numbers.passed(n) for n in range(1, at + 10)]
    assert passed == sorted(passed)


# --- in front of an exchange ---


@pytest.fixture
def behind(tmp_path: Path) -> Iterator[Callable[[str], Serve]]:
    """Starts an exchange behind the proxy of a mutant."""
    started: list[Serve] = []

    def start(mutant: str) -> Serve:
        prefix = [sys.executable, "-m", "matchmark.conformance.selftest.wire_serve", mutant, "--"]
        started.append(Serve(tmp_path / mutant, SMALL, prefix))
        started[-1].start()
        return started[-1]

    yield start
    for serve in started:
        serve.close()


def trade(maker: Trader, taker: Trader, n: int = 3) -> None:
    """`n` resting orders and one that takes them all."""
    for k in range(n):
        maker.new(f"m{k}", 1, 10, "100.00")
    assert maker.read_until(lambda: sum(r[150] == "0" for r in maker.reports if 150 in r) >= n)
    taker.new("t", 2, 10 * n, "100.00")


def past_control(serve: Serve) -> tuple[Trader, Trader]:
    """As many fills as the mutants spare, between others: what is tried behind it is hit."""
    maker, taker = serve.client("ACC7"), serve.client("ACC8")
    trade(maker, taker, AFTER_CONTROL // 2)
    settle(maker, taker)
    return maker, taker


def settle(*traders: Trader) -> None:
    """Asks each for the state of an order that never was, and reads until the answer: what came before it is all there is."""
    for trader in traders:
        probe = f"probe{len(trader.sent)}"
        trader.send("H", (11, probe), (55, "SYM1"), (54, 1))
        assert trader.read_until(lambda t=trader, p=probe: any(r.get(11) == p for r in t.reports))  # type: ignore[misc]


def kinds(trader: Trader) -> str:
    return "".join(r[150] for r in trader.reports if 150 in r and "probe" not in r[11])


def replayed(trader: Trader, first: int) -> list[dict[int, str]]:
    """What the exchange sends again from number `first` on."""
    again: list[dict[int, str]] = []
    take, trader._take = trader._take, again.append  # type: ignore[method-assign]
    trader._put("2", ((7, first), (16, 0)))
    last = trader.expected - 1
    assert trader.read_until(lambda: bool(again) and (int(again[-1][34]) >= last or again[-1].get(36) == str(last + 1)))
    trader._take = take  # type: ignore[method-assign]
    return again


def test_a_proxy_that_is_sound_changes_nothing(behind: Callable[[str], Serve]) -> None:
    serve = behind("wire-sound")
    maker, taker = serve.client("ACC1"), serve.client("ACC2")
    trade(maker, taker)
    settle(maker, taker)
    assert (kinds(maker), kinds(taker)) == ("000FFF", "0FFF")
    told = [(r[34], r[17]) for r in maker.reports]
    assert [(m[34], m[17]) for m in replayed(maker, 1) if m[35] == "8"] == told
    maker.close()
    maker.connect(serve.ready["fix"]["port"])
    settle(maker)
    assert serve.stop() == 0


def test_a_report_never_sent_leaves_no_gap_and_is_not_resent(behind: Callable[[str], Serve]) -> None:
    serve = behind("wire-fill-never-sent")
    past_control(serve)
    maker, taker = serve.client("ACC1"), serve.client("ACC2")
    trade(maker, taker)
    settle(maker, taker)
    assert sorted((len(kinds(maker)), len(kinds(taker)))) in ([4, 4], [3, 5], [2, 6])
    for trader in (maker, taker):
        told = [(int(r[34]), r[17]) for r in trader.reports]
        assert [n for n, _ in told] == list(range(2, 2 + len(told)))
        assert [(int(m[34]), m[17]) for m in replayed(trader, 1) if m[35] == "8"] == told


def test_a_report_lost_on_the_way_leaves_a_gap_that_can_be_filled(behind: Callable[[str], Serve]) -> None:
    serve = behind("wire-fill-lost-on-the-way")
    past_control(serve)
    maker, taker = serve.client("ACC1"), serve.client("ACC2")
    trade(maker, taker)
    settle(maker, taker)
    assert (kinds(maker), kinds(taker)) == ("000FFF", "0FFF")
    assert maker._asked or taker._asked


def test_a_report_sent_twice_moves_the_numbers_behind_it(behind: Callable[[str], Serve]) -> None:
    serve = behind("wire-fill-reported-twice")
    past_control(serve)
    maker, taker = serve.client("ACC1"), serve.client("ACC2")
    trade(maker, taker)
    settle(maker, taker)
    assert len(kinds(maker) + kinds(taker)) == 12
    for trader in (maker, taker):
        told = [(int(r[34]), r[17]) for r in trader.reports]
        assert [n for n, _ in told] == list(range(2, 2 + len(told)))
        assert len(replayed(trader, 2)) == len(told)


def test_a_held_report_comes_behind_the_next_and_no_number_is_used_twice(behind: Callable[[str], Serve]) -> None:
    serve = behind("wire-ack-behind-its-fills")
    maker, taker = serve.client("ACC1"), serve.client("ACC2")
    trade(maker, taker)
    settle(maker, taker)
    assert (kinds(maker), kinds(taker)) == ("000FFF", "FFF0")
    assert [int(r[34]) for r in taker.reports] == list(range(2, 2 + len(taker.reports)))


def test_a_report_reaches_a_session_that_it_is_not_for(behind: Callable[[str], Serve]) -> None:
    serve = behind("wire-fill-sent-to-another-session")
    others = past_control(serve)
    before = sum(len(kinds(trader)) for trader in others)
    maker, taker, third = serve.client("ACC1"), serve.client("ACC2"), serve.client("ACC3")
    trade(maker, taker)
    settle(maker, taker, third, *others)
    astray = sum(len(kinds(trader)) for trader in (third, *others)) - before
    assert len(kinds(maker) + kinds(taker)) + astray == 10
    assert (kinds(maker), kinds(taker)) != ("000FFF", "0FFF")
    for trader in (maker, taker, third, *others):
        assert [int(r[34]) for r in trader.reports] == list(range(2, 2 + len(trader.reports)))


def test_a_wrapped_exchange_ends_with_its_wrapper(behind: Callable[[str], Serve]) -> None:
    serve = behind("wire-sound")
    pids = serve.ready["pids"].values()
    serve.kill()
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_what_cannot_start_says_so_and_ends(tmp_path: Path) -> None:
    prefix = [sys.executable, "-m", "matchmark.conformance.selftest.wire_serve"]
    assert Serve(tmp_path / "a", SMALL, [*prefix, "nonsense", "--"]).refused()[0] == 2
    code, said = Serve(tmp_path / "b", SMALL, [*prefix, "wire-sound", "--"]).refused("--durability", "maybe")
    assert code == 2 and "maybe" in said
