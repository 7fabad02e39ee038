"""The kit's TCP client without a wire: against a server in memory, under a clock that jumps to whatever is due next."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from matchmark.conformance.packets import nasty
from matchmark.conformance.packets.headers import ACK, FIN, RST, SYN, Segment, packet, parse_segment
from matchmark.conformance.packets.plan import (
    DuplicateAcks,
    KeepAlive,
    Piece,
    Plan,
    Settle,
    Wait,
    Window,
    backwards,
    cut,
    cut_at,
    doubled,
    overlapped,
)
from matchmark.conformance.packets.tcp_machine import Settings, State, TcpMachine

from .packets_peer import Peer

HERE, THERE = (b"\x0a\x4d\0\3", 40000), (b"\x0a\x4d\0\1", 9878)
DATA = bytes(range(256)) * 8
MS = 1_000_000


class Pair:
    """A machine and a server; frames take no time, and the clock goes to what the machine waits for."""

    def __init__(self, settings: Settings | None = None, peer: Peer | None = None, seq: int = 1000) -> None:
        self.now_ns = 1_000_000_000
        self.machine = TcpMachine(HERE, THERE, settings or Settings(), seq)
        self.peer = peer or Peer()
        self.machine.open(self.now_ns)
        self.quiet()

    def exchange(self) -> None:
        while segments := self.machine.segments():
            for s in segments:
                wire = parse_segment(packet(s))
                assert wire == s
                for answer in self.peer.take(wire):
                    self.machine.take(answer, self.now_ns)

    def hears(self) -> None:
        """What the server has to say by itself."""
        answers, self.peer.out = self.peer.out, []
        for answer in answers:
            self.machine.take(answer, self.now_ns)
        self.exchange()

    def quiet(self, for_ms: int = 120_000) -> None:
        """Until nothing is due any more."""
        until = self.now_ns + for_ms * MS
        self.exchange()
        while (at := self.machine.next_ns) and self.now_ns < until:
            self.now_ns = max(self.now_ns, at)
            self.machine.poll(self.now_ns)
            self.exchange()

    def write(self, data: bytes, plan: Plan | None = None, fin: bool = False) -> None:
        self.machine.write(data, plan, fin)
        self.machine.poll(self.now_ns)
        self.quiet()

    @property
    def sizes(self) -> list[int]:
        return [len(s.payload) for s in self.peer.seen if s.payload]


# --- as any TCP ---


def test_a_handshake_is_three_segments_and_the_options_are_agreed() -> None:
    pair = Pair(Settings(mss=1460, window_scale=7, timestamps=True, sack_permitted=True))
    assert [s.flags for s in pair.peer.seen] == [SYN, ACK]
    assert pair.machine.state is State.ESTABLISHED
    assert pair.peer.seen[0].options.hex() == "020405b4" + "0402" + "080a" + "000003e8" + "00000000" + "030307" + "01"


def test_what_is_written_arrives_in_segments_of_full_size() -> None:
    pair = Pair()
    pair.write(DATA)
    assert bytes(pair.peer.taken) == DATA and pair.sizes == [1460, 588] and not pair.peer.faults


def test_timestamps_go_on_every_segment_when_both_sides_offered_them() -> None:
    pair = Pair(Settings(timestamps=True), Peer(options=b"\x08\x0a\0\0\0\7\0\0\0\0\1\1"))
    pair.write(DATA)
    assert pair.sizes == [1448, 600]
    assert all(s.options[:4] == b"\1\1\x08\x0a" and s.options[8:12] == b"\0\0\0\7" for s in pair.peer.seen[1:])


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100, 1459, 1460, 2048])
def test_the_stream_is_cut_where_it_is_told(size: int) -> None:
    pair = Pair()
    pair.write(DATA, cut(len(DATA), [size]))
    assert bytes(pair.peer.taken) == DATA and not pair.peer.faults
    most = min(size, 1460)
    assert max(pair.sizes) == most and (size > 1460 or set(pair.sizes[:-1]) <= {size})


def test_options_and_data_together_are_no_longer_than_the_mss() -> None:
    pair = Pair(Settings(options=b"\1\1"))
    pair.write(DATA, Plan(len(DATA), (Piece(0, len(DATA), options=b"\xfd\6abcd\1"),)))
    assert pair.sizes == [1448, 600] and not pair.peer.faults
    pair.write(DATA)
    assert pair.sizes[2:] == [1456, 592] and not pair.peer.faults


def test_a_piece_may_come_twice_late_overlapping_and_out_of_order() -> None:
    for plan in (
        backwards(cut(100, [10])),
        doubled(cut(100, [10])),
        overlapped(cut(100, [10]), 5),
        Plan(100, (Piece(50, 100), Piece(0, 60), Piece(0, 100))),
    ):
        pair = Pair()
        pair.write(DATA[:100], plan)
        assert bytes(pair.peer.taken) == DATA[:100] and not pair.peer.faults
        sent = [(s.seq - 1001, len(s.payload)) for s in pair.peer.seen if s.payload]
        assert sent == [(p.begin, p.end - p.begin) for p in plan.pieces]


def test_what_a_plan_leaves_out_is_sent_afterwards() -> None:
    pair = Pair()
    pair.write(DATA[:100], Plan(100, (Piece(20, 30), Piece(60, 70))))
    assert bytes(pair.peer.taken) == DATA[:100]
    assert [(s.seq - 1001, len(s.payload)) for s in pair.peer.seen if s.payload] == [
        (20, 10), (60, 10), (0, 20), (30, 30), (70, 30)
    ]  # fmt: skip


def test_forged_bytes_are_sent_in_the_place_of_acknowledged_ones_and_not_kept() -> None:
    pair = Pair()
    pair.write(b"abcdef", Plan(6, (Piece(0, 6), Settle(), Piece(0, 6, data=b"ABCDEF"))))
    assert [s.payload for s in pair.peer.seen if s.payload] == [b"abcdef", b"ABCDEF"]
    assert bytes(pair.peer.taken) == b"abcdef"
    pair.machine.again(1, cut_at(6, ()))
    pair.machine.poll(pair.now_ns)
    pair.quiet()
    assert pair.peer.seen[-1].payload == b"abcdef" and pair.peer.seen[-1].seq == 1001


def test_a_lost_segment_is_sent_again_when_its_time_is_up() -> None:
    lost: list[Segment] = []

    def lose(s: Segment) -> bool:
        if s.payload and not lost:
            lost.append(s)
            return True
        return False

    pair = Pair(peer=Peer(lose=lose))
    began = pair.now_ns
    pair.write(b"once")
    assert bytes(pair.peer.taken) == b"once" and pair.now_ns - began >= 200 * MS


def test_three_duplicate_acknowledgements_bring_the_first_one_again_at_once() -> None:
    lost: list[Segment] = []

    def lose(s: Segment) -> bool:
        if s.payload and not lost:
            lost.append(s)
            return True
        return False

    pair = Pair(Settings(mss=100), Peer(lose=lose))
    began = pair.now_ns
    pair.write(DATA[:1000])
    assert bytes(pair.peer.taken) == DATA[:1000] and pair.now_ns == began
    assert pair.machine.outgoing.retransmitted == 1


def test_a_server_that_is_silent_is_given_up() -> None:
    pair = Pair(Settings(tries=3))
    pair.peer.lose = lambda s: True
    pair.write(b"anybody?")
    assert pair.machine.state is State.CLOSED and pair.machine.error == "what was sent is not acknowledged"
    assert len(pair.sizes) == 4
    silent = Pair(Settings(syn_tries=2), Peer(lose=lambda s: True))
    assert silent.machine.error == "no answer to 3 SYNs" and len(silent.peer.seen) == 3


def test_the_servers_window_is_kept_to_and_a_closed_one_is_probed() -> None:
    pair = Pair(peer=Peer(window=0))
    pair.machine.write(DATA[:300])
    pair.machine.poll(pair.now_ns)
    pair.quiet(1_000)
    assert not pair.peer.taken and set(pair.sizes) == {1}, "probes of one byte"
    pair.peer.window = 100
    pair.peer.ack()
    pair.hears()
    assert bytes(pair.peer.taken) == DATA[:300], "as soon as it opens"
    assert pair.machine.state is State.ESTABLISHED and not pair.peer.faults


def test_a_plan_waits_for_room_and_goes_on() -> None:
    pair = Pair(peer=Peer(window=50))
    pair.write(DATA[:400], cut(400, [20]))
    assert bytes(pair.peer.taken) == DATA[:400] and not pair.peer.faults and set(pair.sizes) == {20}


def test_an_acknowledgement_counts_while_our_window_is_closed() -> None:
    """The server had a report on the way when the window closed; what it acknowledges from then on is numbered behind it."""
    pair = Pair()
    machine = pair.machine
    machine.advertise(0)
    pair.exchange()
    answer = pair.peer.seen[-1]
    pair.peer.take = lambda segment: []  # type: ignore[method-assign]
    machine.write(DATA[:100], None, False)
    machine.poll(pair.now_ns)
    machine.segments()
    pure = Segment(THERE[0], HERE[0], THERE[1], HERE[1], answer.ack + 180, answer.seq + 100, ACK, 1000)
    machine.take(pure, pair.now_ns)
    assert machine.outgoing.done and machine.read() == b""


def test_our_window_closes_and_opens() -> None:
    pair = Pair()
    pair.machine.advertise(0)
    pair.exchange()
    assert pair.peer.seen[-1].window == 0
    pair.peer.client_window = 65535  # it does not care
    pair.peer.say(b"too much")
    pair.hears()
    assert pair.machine.read() == b"" and pair.peer.seen[-1].window == 0
    pair.machine.advertise(1000)
    pair.exchange()
    pair.peer.send(again=True)
    pair.hears()
    assert pair.machine.read() == b"too much"


def test_what_comes_is_put_in_order_and_the_first_bytes_count() -> None:
    pair = Pair()
    isn = pair.peer.isn
    base = pair.peer.last
    head = (base.dst_ip, base.src_ip, base.dst_port, base.src_port)
    ack = pair.machine.seq

    def come(offset: int, data: bytes, flags: int = ACK) -> None:
        pair.machine.take(Segment(*head, (isn + 1 + offset) % 2**32, ack, flags, 500, b"", data), pair.now_ns)

    come(3, b"DEF")
    come(9, b"jkl", FIN | ACK)
    come(0, b"abc")
    come(0, b"zzzzzzzzz")
    assert pair.machine.read() == b"abcDEFzzz" + b"jkl"
    assert pair.machine.state is State.CLOSE_WAIT and pair.machine.ended
    assert pair.machine.segments()[-1].ack == (isn + 1 + 12 + 1) % 2**32


# --- ends ---


def test_both_sides_close_in_either_order() -> None:
    ours = Pair()
    ours.write(b"bye", fin=True)
    assert ours.machine.state.value == "fin-wait-2" and ours.peer.state == "ended"
    assert ours.peer.seen[-1].flags & FIN and ours.peer.seen[-1].payload == b"bye", "the FIN goes with the last byte"
    ours.peer.say(b"still here")
    ours.hears()
    assert ours.machine.read() == b"still here"
    ours.peer.finish()
    ours.hears()
    ours.quiet()
    assert ours.machine.state.value == "closed" and ours.machine.error is None
    assert ours.peer.seen[-1].ack == (ours.peer.isn + 12) % 2**32, "their FIN is acknowledged"

    theirs = Pair()
    theirs.peer.finish()
    theirs.hears()
    assert theirs.machine.state.value == "close-wait" and theirs.machine.ended
    theirs.write(b"a last word")
    theirs.machine.shutdown()
    theirs.machine.poll(theirs.now_ns)
    theirs.quiet()
    assert bytes(theirs.peer.taken) == b"a last word" and theirs.machine.state.value == "closed"


def test_a_reset_counts_only_with_the_number_that_is_next() -> None:
    pair = Pair()
    s = pair.peer.last
    head = (s.dst_ip, s.src_ip, s.dst_port, s.src_port)
    right = (pair.peer.isn + 1) % 2**32
    for offset, answers in ((100, 1), (-5, 0), (200_000, 0)):
        pair.machine.take(Segment(*head, (right + offset) % 2**32, 0, RST, 0), pair.now_ns)
        assert pair.machine.state is State.ESTABLISHED and len(pair.machine.segments()) == answers
    pair.machine.take(Segment(*head, right, 0, RST, 0), pair.now_ns)
    assert pair.machine.was_reset and pair.machine.state is State.CLOSED


def test_a_reset_as_the_answer_to_a_syn_is_a_refusal() -> None:
    machine = TcpMachine(HERE, THERE, Settings(), 5)
    machine.open(0)
    (syn,) = machine.segments()
    machine.take(syn.refusal(), 0)
    assert machine.refused and machine.error == "refused"


def test_our_reset_has_the_number_that_the_server_waits_for() -> None:
    pair = Pair()
    pair.write(b"1234")
    pair.machine.abort()
    pair.exchange()
    assert pair.peer.state == "reset" and pair.peer.seen[-1].seq == 1005 and pair.machine.ended


def test_keep_alives_duplicate_acks_and_odd_options_go_out_as_told() -> None:
    pair = Pair(Settings(options=b"\1\1"))
    plan = Plan(4, (KeepAlive(), DuplicateAcks(2), Window(7), Piece(0, 4, push=False, options=b"\xfd\4ab"), Wait(5)))
    before = len(pair.peer.seen)
    pair.write(b"data", plan)
    said = [(s.seq - 1001, s.flags, s.window, s.options, s.payload) for s in pair.peer.seen[before:]]
    nops = b"\1\1\1\1"
    assert said == [
        (-1, ACK, 65535, nops, b""),
        (0, ACK, 65535, nops, b""),
        (0, ACK, 65535, nops, b""),
        (0, ACK, 7, nops, b""),
        (0, ACK, 7, b"\xfd\4ab", b"data"),
    ]


def test_what_makes_no_sense_is_said_so() -> None:
    pair = Pair()
    with pytest.raises(ValueError, match="a plan of 3 bytes for 4"):
        pair.machine.write(b"1234", cut(3, [1]))
    with pytest.raises(ValueError, match="FIN behind byte 2 of 4"):
        Plan(4, (Piece(0, 2, fin=True),))
    with pytest.raises(ValueError, match="bytes 1 to 11: kept are 1 to 1"):
        pair.machine.again(1, cut(10, [1]))
    pair.machine.shutdown()
    with pytest.raises(ValueError, match="the stream was ended"):
        pair.machine.write(b"more")


# --- whatever the plan, the server and the cable ---


@st.composite
def _chatter(draw: st.DrawFn) -> tuple[bytes, Plan]:
    length = draw(st.integers(0, 3000))
    data = (DATA * 2)[:length]
    plan = draw(nasty.plans(length))
    return data, nasty.with_fin(plan) if draw(st.booleans()) else plan


@hypothesis_settings(max_examples=100, deadline=None)
@given(
    _chatter(),
    nasty.settings(),
    st.sampled_from((65535, 4000, 536, 100)),
    st.booleans(),
    st.sampled_from((None, 0.05, 0.3)),
    st.sampled_from((1460, 536, None)),
    st.integers(0, 1000),
)
def test_whatever_the_plan_every_byte_arrives_once_and_in_order(
    chatter: tuple[bytes, Plan],
    settings: Settings,
    window: int,
    keeps: bool,
    loss: float | None,
    mss: int | None,
    seed: int,
) -> None:
    data, plan = chatter
    assert plan.complete
    chance = random.Random(seed)
    peer = Peer(window=window, keeps=keeps, mss=mss)
    pair = Pair(settings, peer)
    if loss:
        peer.lose = lambda s: chance.random() < loss
    pair.machine.write(data, plan)
    pair.machine.poll(pair.now_ns)
    pair.quiet(600_000)
    assert pair.machine.error in (None, "what was sent is not acknowledged")
    if pair.machine.error is None:
        assert bytes(peer.taken) == data
        assert peer.state == ("ended" if any(p.fin for p in plan.pieces) else "open")
    else:
        assert loss == 0.3, "without losses it always arrives"
        assert data.startswith(bytes(peer.taken))
    assert peer.faults == []


@hypothesis_settings(max_examples=60, deadline=None)
@given(st.data())
def test_plans_of_the_kit_bring_every_byte_and_say_what_they_do(data: st.DataObject) -> None:
    length = data.draw(st.integers(0, 500))
    plan = data.draw(nasty.plans(length, borders=(100, 200, 300)))
    assert plan.complete and str(plan).startswith(f"{length} bytes")
    for one in (backwards(plan), doubled(plan), overlapped(plan, 9), nasty.with_fin(plan)):
        assert one.complete


def test_every_border_is_cut_once() -> None:
    assert [plan.pieces[0].end for plan in nasty.every_border(5)] == [1, 2, 3, 4]
    assert not Plan(5, (Piece(0, 2), Piece(3, 5))).complete
    assert not Plan(5, (Piece(0, 5, data=b"other"),)).complete
