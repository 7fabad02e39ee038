"""The kit's FIX client against a counterparty by script, over TCP."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator

import pytest

from matchmark.conformance.fix import (
    ConnectionEnded,
    FixClient,
    Instrument,
    LogonRefused,
    NoAnswer,
    Numbers,
    Rule,
    encode,
    utc,
)
from matchmark.conformance.fix.business import new_order

from .fix_exchange import Exchange

NOW = "20261125-19:00:00.123"


def message(seq: int) -> bytes:
    return encode("FIX.4.4", "0", ((34, str(seq)), (49, "EX"), (56, "ME"), (52, NOW)), ())


Start = Callable[[Callable[[Exchange, dict[int, str]], None]], Exchange]


@pytest.fixture
def exchange() -> Iterator[Start]:
    made: list[Exchange] = []
    clients.clear()

    def start(answers: Callable[[Exchange, dict[int, str]], None]) -> Exchange:
        made.append(Exchange(answers))
        return made[-1]

    yield start
    for client in clients:
        client.close()
    for one in made:
        one.close()


clients: list[FixClient] = []


def client_of(exchange: Exchange, **more: object) -> FixClient:
    clients.append(FixClient(exchange.endpoint, "ME", "secret", **more))  # type: ignore[arg-type]
    return clients[-1]


def polite(x: Exchange, m: dict[int, str]) -> None:
    if m[35] == "A":
        x.say("A", (98, 0), (108, m[108]))
    elif m[35] == "1":
        x.say("0", (112, m[112]))
    elif m[35] == "D":
        x.say("8", (11, m[11]), (150, "0"))
    elif m[35] == "5":
        x.say("5")
        x.connection.shutdown(socket.SHUT_RDWR)


def test_a_session_from_logon_to_logout(exchange: Start) -> None:
    x = exchange(polite)
    c = client_of(x)
    assert c.logon().get(108) == "30"
    sent = c.send("D", new_order(Instrument("SYM"), "c1", "buy", 5, 10050))
    report = c.expect("8")
    assert report.need(11) == "c1"
    assert report.at_ns > sent.at_ns
    c.test_request("t")
    assert c.expect("0").get(112) == "t"
    c.logout()
    assert not c.connected
    assert c.faults == []
    assert (c.next_in, c.next_out) == (5, 5)
    assert [(line.sent, line.message.type) for line in c.stream] == [
        (True, "A"), (False, "A"), (True, "D"), (False, "8"), (True, "1"), (False, "0"), (True, "5"), (False, "5"),
    ]  # fmt: skip
    assert x.got[0][554] == "secret"
    assert x.got[1][1] == "A"


def test_numbers_go_on_with_another_client(exchange: Start) -> None:
    x = exchange(polite)
    numbers = Numbers()
    for turn in range(3):
        c = client_of(x, persisted=numbers)
        c.logon()
        c.drop()
        assert (numbers.next_in, numbers.next_out) == (turn + 2, turn + 2)
    assert [m[34] for m in x.got] == ["1", "2", "3"]


def test_a_resend_request_is_answered_with_the_orders_and_gap_fills(exchange: Start) -> None:
    def ask(x: Exchange, m: dict[int, str]) -> None:
        polite(x, m)
        if m[35] == "D" and m[11] == "c2" and 43 not in m:
            x.say("2", (7, 1), (16, 0))

    x = exchange(ask)
    c = client_of(x)
    c.logon()
    for cl in ("c1", "c2"):
        c.send("D", new_order(Instrument("SYM"), cl, "sell", 1))
    c.expect("2")
    c.test_request("end")
    c.expect("0")
    again = [(m[35], m[34], m.get(36), m.get(11)) for m in x.got if m.get(43) == "Y"]
    assert again == [("4", "1", "2", None), ("D", "2", None, "c1"), ("D", "3", None, "c2")]
    resent = next(m for m in x.got if m.get(43) == "Y" and m[35] == "D")
    first = next(m for m in x.got if m[35] == "D")
    assert resent[122] == first[52]


def test_a_gap_is_asked_for_and_filled_in_order(exchange: Start) -> None:
    def leave_out(x: Exchange, m: dict[int, str]) -> None:
        if m[35] == "2":
            x.say("8", (43, "Y"), (122, utc()), (11, "r2"), seq=2)
            x.say("4", (43, "Y"), (122, utc()), (123, "Y"), (36, 4), seq=3)
            x.say("8", (43, "Y"), (122, utc()), (11, "r4"), seq=4)
        elif m[35] == "D":
            x.seq = 4
            x.say("8", (11, "r4"))
        else:
            polite(x, m)

    x = exchange(leave_out)
    c = client_of(x)
    c.logon()
    c.send("D", new_order(Instrument("SYM"), "c1", "buy", 1, 1))
    assert [c.expect("8").get(11) for _ in range(2)] == ["r2", "r4"]
    assert [fault.rule for fault in c.faults] == [Rule.GAP]
    assert [(m[7], m[16]) for m in x.got if m[35] == "2"] == [("2", "0")]
    assert c.next_in == 5


def test_reports_missed_while_away_are_no_fault(exchange: Start) -> None:
    def missed(x: Exchange, m: dict[int, str]) -> None:
        if m[35] == "A":
            x.seq = 3
        if m[35] == "2":
            x.say("8", (43, "Y"), (122, utc()), (11, "r1"), seq=1)
            x.say("4", (43, "Y"), (122, utc()), (123, "Y"), (36, 4), seq=2)
        polite(x, m)

    c = client_of(exchange(missed))
    assert c.logon().seq == 3
    assert c.expect("8").get(11) == "r1"
    c.test_request("t")
    c.expect("0")
    assert [m.type for m in c.poll()] == ["4"]
    assert c.faults == []
    assert c.next_in == 5


@pytest.mark.parametrize(
    ("script", "rule"),
    [
        (lambda x: x.say("8", (11, "again"), seq=1), Rule.LOW),
        (lambda x: x.say("4", (36, 1), seq=9), Rule.RESET),
        (lambda x: x.say("4", (123, "Y"), (36, 1)), Rule.RESET),
        (lambda x: x.say("0", (112, "never asked")), Rule.HEARTBEAT),
        (lambda x: x.say("8", (43, "Y"), (122, utc()), (11, "c1"), (150, "F"), seq=2), Rule.RESENT),
        (lambda x: x.say("0", (49, "EX")), Rule.HEADER),
        (lambda x: x.connection.sendall(message(4).replace(b"56=ME", b"56=YO")), Rule.GARBLED),
        (lambda x: x.connection.sendall(encode("FIX.4.4", "0", ((34, "4"), (49, "E"), (56, "ME"), (52, NOW)), ())),
         Rule.COMP_ID),
    ],
)  # fmt: skip
def test_the_client_says_what_is_wrong(exchange: Start, script: Callable[[Exchange], None], rule: Rule) -> None:
    def wrong(x: Exchange, m: dict[int, str]) -> None:
        polite(x, m)
        if m[35] == "1":
            script(x)

    c = client_of(exchange(wrong))
    c.logon()
    c.send("D", new_order(Instrument("SYM"), "c1", "buy", 1, 1))
    c.expect("8")
    c.test_request("go")
    until = time.monotonic() + 10
    while not c.faults and time.monotonic() < until:
        c.poll(0.05)
    assert [fault.rule for fault in c.faults] == [rule]


def test_a_logon_that_is_refused(exchange: Start) -> None:
    def refuse(x: Exchange, m: dict[int, str]) -> None:
        x.say("5", (58, "no"))
        x.connection.shutdown(socket.SHUT_RDWR)

    c = client_of(exchange(refuse))
    with pytest.raises(LogonRefused, match="no") as caught:
        c.logon()
    assert caught.value.answer is not None
    assert c.wait_closed()

    c = client_of(exchange(lambda x, m: x.connection.shutdown(socket.SHUT_RDWR)))
    with pytest.raises(LogonRefused) as caught:
        c.logon()
    assert caught.value.answer is None
    with pytest.raises(ConnectionEnded):
        c.send("0", ())


def test_what_does_not_come_is_said(exchange: Start) -> None:
    c = client_of(exchange(polite))
    c.logon()
    with pytest.raises(NoAnswer, match="35=8"):
        c.expect("8", 0.01)
    assert c.poll() == []


def test_without_auto_nothing_is_said_unasked(exchange: Start) -> None:
    def ask(x: Exchange, m: dict[int, str]) -> None:
        polite(x, m)
        if m[35] == "A":
            x.say("1", (112, "q"))
            x.say("2", (7, 1), (16, 0))
            x.say("0", seq=9)

    x = exchange(ask)
    c = client_of(x, auto=False)
    c.logon()
    assert [c.expect(lambda m: True).type for _ in range(3)] == ["1", "2", "0"]
    c.test_request("t")
    c.expect("0")
    assert [m[35] for m in x.got] == ["A", "1"]


def test_a_heartbeat_is_sent_when_it_is_due(exchange: Start) -> None:
    x = exchange(polite)
    c = client_of(x)
    c.logon(heartbeat_s=1)
    c.poll(1.2)
    until = time.monotonic() + 10
    while [m[35] for m in x.got] != ["A", "0"] and time.monotonic() < until:
        c.poll(0.05)
    assert [m[35] for m in x.got] == ["A", "0"]


def test_a_lot_goes_both_ways_at_once(exchange: Start) -> None:
    """More than the kernel's buffers hold, and the counterparty reads only when what it said is read."""

    def echo(x: Exchange, m: dict[int, str]) -> None:
        polite(x, m)
        if m[35] == "D":
            x.say("8", (11, "second"), (58, "y" * 4000))

    c = client_of(exchange(echo))
    c.logon()
    for n in range(1500):
        c.send("D", [(11, f"c{n}"), (58, "x" * 4000)])
    for _ in range(3000):
        c.expect("8", 30)
    assert c.faults == []


def test_overrides_say_what_is_asked_for(exchange: Start) -> None:
    c = client_of(exchange(polite))
    c.logon()
    m = c.send("0", (), seq=77, sender=None, target="T", sending_time="never", poss_dup=True, orig_sending_time=None,
               header=[(50, "sub")], poss_resend=True, begin="FIX.4.2", body_length="5", check_sum="000")  # fmt: skip
    assert m.raw == (b"8=FIX.4.2\x019=5\x0135=0\x0134=77\x0156=T\x0152=never\x0143=Y\x0150=sub\x0197=Y\x0110=000\x01")
    assert c.next_out == 2
