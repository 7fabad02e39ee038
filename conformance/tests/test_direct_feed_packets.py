"""The kit's reader of the direct feed against packets that are forged with the layers for scapy."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from scapy.packet import Raw

from matchmark.conformance.packets import direct_feed as layers
from matchmark.conformance.packets.feed_book import FeedBook, FeedBroken
from matchmark.conformance.packets.receiver import Message, Receiver, decode

ADD = layers.Added(flags="last", side=0, symbol=1, sequence=2, order_id=7, price=100, quantity=5)
TRADE = layers.Trade(flags="last", side=1, symbol=1, sequence=5, order_id=8, resting_order_id=7, price=100, quantity=5)


def packet(after: int, through: int, *body: layers.Message, epoch: int = 1, began: int = 0, **more: object) -> bytes:
    return bytes(
        layers.DirectFeed(
            messages=len(body), after=after, through=through, epoch=epoch, began=began, body=list(body), **more
        )
    )


def add(sequence: int, order_id: int = 0) -> layers.Message:
    return layers.Added(flags="last", sequence=sequence, order_id=order_id or sequence, price=100, quantity=5)


@pytest.fixture
def ends() -> Iterator[tuple[Receiver, socket.socket]]:
    """A receiver that has nothing, and a socket that plays the exchange."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as exchange:
        exchange.bind(("127.0.0.1", 0))
        exchange.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
        exchange.settimeout(5)
        port = exchange.getsockname()[1]
        url = f"udp://239.255.41.10:{port}?interface=127.0.0.1&retransmit=127.0.0.1:{port}"
        with Receiver(url, have=0) as receiver:
            yield receiver, exchange


def told(ends: tuple[Receiver, socket.socket], *packets: bytes) -> list[int]:
    """Sequences that are handed out when these packets come."""
    receiver, exchange = ends
    out: list[Message] = []
    for data in packets:
        exchange.sendto(data, ("239.255.41.10", exchange.getsockname()[1]))
        out += receiver.poll(0.02)
    return [m.sequence for m in out]


def test_what_is_written_with_the_layers_is_read_without_them() -> None:
    got = decode(packet(1, 6, ADD, TRADE, sent_ns=9))
    first, second = got.messages
    assert (got.after, got.through, got.sent_ns, got.epoch, got.began) == (1, 6, 9, 1, 0)
    assert (first.type, first.order_id, first.price, first.quantity, first.whole) == ("A", 7, 100, 5, True)
    assert (second.type, second.resting_order_id, second.leaves, second.side) == ("E", 7, 0, 1)


@pytest.mark.parametrize(
    "data",
    [
        *(packet(1, 6, ADD, TRADE)[:n] for n in (0, 1, 47, 49, 95, 96, 159)),
        packet(1, 6, ADD, TRADE) + b"\0",
        b"MMDX" + packet(1, 6, ADD)[4:],
        packet(1, 6, ADD, version=2),
        packet(6, 1),
        packet(2, 6, ADD),
        packet(0, 1, ADD),
        packet(0, 6, TRADE, ADD),
        packet(0, 6, layers.Added(type=90, sequence=3)),
        bytes(1401),
    ],
)
def test_what_is_no_packet_is_refused(data: bytes, ends: tuple[Receiver, socket.socket]) -> None:
    with pytest.raises(ValueError):
        decode(data)
    assert told(ends, data, packet(0, 2, ADD)) == [2] and ends[0].numbers.malformed == 1


def test_where_no_message_begins_scapy_shows_bytes() -> None:
    shown = layers.DirectFeed(packet(0, 6, ADD, layers.Added(type=90, sequence=3)))
    assert [type(one) for one in shown.body] == [layers.Added, Raw]


def test_gaps_are_asked_for_and_duplicates_dropped(ends: tuple[Receiver, socket.socket]) -> None:
    assert told(ends, packet(0, 2, add(2)), packet(0, 2, add(2)), packet(1, 4, add(2), add(4))) == [2, 4]
    assert told(ends, packet(6, 8, add(8)), packet(8, 9, add(9))) == []
    asked = layers.Request(ends[1].recv(64))
    assert (asked.magic, asked.after, asked.through) == (b"MMDR", 4, 6)
    answer = packet(4, 6, add(5), flags="answer")
    ends[1].sendto(answer, ends[0].own.getsockname())
    assert [m.sequence for m in ends[0].poll(1)] == [5, 8, 9]
    assert ends[0].numbers.gaps == 1 and ends[0].numbers.duplicates == 1 and ends[0].have == 9


def test_a_lost_heartbeats_range_is_a_gap_too(ends: tuple[Receiver, socket.socket]) -> None:
    assert told(ends, packet(0, 2, add(2)), packet(5, 5)) == [2]
    assert ends[0].missing == (2, 5)


def test_epochs_tell_what_was_taken_back(ends: tuple[Receiver, socket.socket]) -> None:
    receiver = ends[0]
    assert told(ends, packet(0, 9, add(3), add(9))) == [3, 9]
    assert told(ends, packet(7, 8, add(8, 99), epoch=2, began=7)) == [8]
    assert receiver.numbers.taken_back == [(7, 9)] and (receiver.have, receiver.epoch) == (8, 2)
    assert told(ends, packet(8, 10, add(9), epoch=1)) == []  # a primary that is over
    assert told(ends, packet(8, 10, add(9), epoch=2, began=7)) == [9]
    # An epoch was missed: what it began with is not known.
    assert told(ends, packet(10, 12, add(12), epoch=4, began=10)) == []
    assert receiver.numbers.taken_back[1:] == [(10, 10)] and receiver.have == 0


def test_what_cannot_be_had_is_told(ends: tuple[Receiver, socket.socket]) -> None:
    assert told(ends, packet(0, 50, flags="unavailable"), packet(50, 60, add(55))) == [55]
    assert ends[0].numbers.unavailable == [(0, 50)]


def test_a_book_notices_what_is_missing_or_wrong() -> None:
    messages = [
        Message("A", 1, 0, 0, 0, 2, 0, 1, price=100, quantity=5),
        Message("A", 0, 1, 0, 0, 4, 0, 2, price=100, quantity=3),
        Message("E", 1, 1, 2, 0, 5, 0, 2, 1, 100, 3, 0, 0, 2),
        Message("U", 1, 0, 0, 0, 7, 0, 1, price=101, quantity=4, cum=3),
        Message("D", 1, 1, 0, 0, 9, 0, 3, price=105, quantity=1),
        Message("X", 1, 0, 0, 0, 11, 0, 1, quantity=4),
        Message("R", 1, 1, 0, 0, 13, 0, 3, price=105, quantity=1),
    ]
    book = FeedBook()
    book.take(messages[:4])
    assert book.levels(0, 0) == [(101, 4)] and book.levels(0, 1) == []
    book.take(messages[4:5])
    assert book.levels(0, 1) == []
    book.take(messages[5:])
    assert book.levels(0, 0) == [] and book.queue(0, 1) == [(105, [(3, 1)])]
    other = FeedBook()
    other.take(messages[:2] + messages[3:])
    assert other.queue(0, 1) != book.queue(0, 1)
    for missing in (0, 1, 3, 4):
        with pytest.raises(FeedBroken):
            FeedBook().take(m for n, m in enumerate(messages) if n != missing)
    with pytest.raises(FeedBroken):
        FeedBook().take([messages[0], messages[0]])
