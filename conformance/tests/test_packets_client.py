"""The client that blocks, and the kit's FIX client over it, on a port in memory: no privileges, and no wire."""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from matchmark.conformance.fix import ConnectionEnded, Endpoint, FixClient, Reader, encode, utc
from matchmark.conformance.packets import nasty
from matchmark.conformance.packets.headers import ACK, RST, Segment
from matchmark.conformance.packets.plan import Plan, backwards, cut, doubled
from matchmark.conformance.packets.raw_carrier import over
from matchmark.conformance.packets.tcp_client import NoAnswer, Refused, Reset, Station
from matchmark.conformance.packets.tcp_machine import Settings, State

from .packets_peer import PSH, Peer, PeerPort, segment_of

HOST, PORT = "10.77.0.1", 9878


def echo(peer: Peer) -> None:
    """Says back what came, and closes when the client has."""
    new = bytes(peer.taken[len(peer.to_say) :])
    if new:
        peer.say(new)
    if peer.state == "ended" and not peer.fin_sent:
        peer.finish()


def mute(peer: Peer) -> None:
    """Takes and says nothing."""


@contextmanager
def station_at(
    script: Callable[[Peer], None], make: Callable[[], Peer] = Peer, background: bool = False
) -> Iterator[tuple[Station, PeerPort]]:
    port = PeerPort(script, make)
    try:
        with Station(port, "10.77.0.3", background=background) as station:
            yield station, port
    finally:
        port.close()


# --- bytes ---


@pytest.mark.parametrize("background", [False, True])
def test_bytes_go_there_and_back_however_they_are_cut(background: bool) -> None:
    with station_at(echo, background=background) as (station, port):
        client = station.connect(HOST, PORT)
        data = bytes(range(200))
        for plan in (None, cut(200, [1]), backwards(cut(200, [7])), doubled(cut(200, [50]))):
            client.send(data, plan=plan)
            assert client.receive_until(lambda got: len(got) >= 200, 5) == data
        client.send(data, cuts=[1, 99])
        assert client.receive_until(lambda got: len(got) >= 200, 5) == data
        assert client.receive(0.01) == b""
        client.close()
        assert client.state is State.CLOSED and port.peers[0].state == "ended" and not port.peers[0].faults


def test_what_has_come_is_taken_without_waiting() -> None:
    with station_at(echo) as (station, _):
        client = station.connect(HOST, PORT)
        client.send(b"abc", wait=False)
        assert client.receive(0) + client.receive(0) == b"abc"


def test_many_connections_on_one_port_do_not_hear_each_other() -> None:
    with station_at(echo) as (station, port):
        clients = [station.connect(HOST, PORT) for _ in range(20)]
        for n, client in enumerate(clients):
            client.send(b"%d" % n)
        assert [client.receive(1) for client in clients] == [b"%d" % n for n in range(20)]
        assert len({peer.seen[0].src_port for peer in port.peers}) == 20


def test_what_was_sent_last_can_be_sent_again_whole_in_part_and_by_a_plan() -> None:
    with station_at(mute) as (station, port):
        client = station.connect(HOST, PORT)
        client.send(b"first")
        client.send(b"abcdef")
        before = len(port.peers[0].seen)
        client.retransmit()
        client.retransmit(2, 4)
        client.retransmit(plan=cut(6, [3]))
        payloads = [s.payload for s in port.peers[0].seen[before:] if s.payload]
        assert payloads == [b"abcdef", b"cd", b"abc", b"def"] and bytes(port.peers[0].taken) == b"firstabcdef"


def test_forged_frames_have_the_connections_numbers_and_change_nothing() -> None:
    with station_at(mute) as (station, port):
        client = station.connect(HOST, PORT, Settings(initial_seq=99))
        client.send(b"12345")
        forged = segment_of(client.forge(PSH | ACK, seq_offset=10, ack_offset=-1, payload=b"x", window=7))
        assert (forged.seq, forged.ack, forged.window, forged.payload) == (115, port.peers[0].isn, 7, b"x")
        client.inject(client.forge(RST))
        assert port.peers[0].state == "reset" and client.state is State.ESTABLISHED
        assert client.flow.seq == 105 and client.flow.ends.dst_ip == HOST


# --- what goes wrong ---


class Closed(Peer):
    """Nobody listens."""

    def _take(self, s: Segment) -> None:
        self.out.append(s.refusal())


def test_a_refusal_a_silence_and_a_reset_are_told_apart() -> None:
    with station_at(mute, Closed) as (station, _), pytest.raises(Refused):
        station.connect(HOST, PORT)
    silent = Settings(rto_s=0.01, syn_tries=2)
    with (
        station_at(mute, lambda: Peer(lose=lambda s: True)) as (station, _),
        pytest.raises(NoAnswer, match="no answer to 3 SYNs"),
    ):
        station.connect(HOST, PORT, silent)

    def resets(peer: Peer) -> None:
        if peer.taken and peer.state == "open":
            peer.reset()
            peer.state = "gone"

    with station_at(resets) as (station, _):
        client = station.connect(HOST, PORT)
        client.send(b"hello", wait=False)
        assert client.receive(1) == b"" and client.was_reset and client.ended
        with pytest.raises(Reset, match="reset by the other side"):
            client.send(b"more")


def test_who_does_not_read_is_not_waited_for_for_ever() -> None:
    with station_at(mute, lambda: Peer(window=0)) as (station, port):
        client = station.connect(HOST, PORT)
        with pytest.raises(NoAnswer, match=r"room for 9 bytes: not within 0\.3 s"):
            client.send(b"who reads", timeout_s=0.3)
        port.peers[0].window = 1000
        port.peers[0].ack()
        port.speak(port.peers[0])
        client.send(b"!")
        assert bytes(port.peers[0].taken) == b"who reads!"


def test_a_server_that_does_not_close_is_said_so_and_let_go() -> None:
    with station_at(mute) as (station, port):
        client = station.connect(HOST, PORT)
        with pytest.raises(NoAnswer, match="the other side's FIN"):
            client.close(0.1)
        assert port.peers[0].state == "ended" and client.fileno() == -1


def test_a_station_that_closes_resets_what_is_open() -> None:
    with station_at(mute) as (station, port):
        station.connect(HOST, PORT)
    assert port.peers[0].state == "reset"


def test_the_clients_descriptor_is_readable_while_there_is_something() -> None:
    with station_at(echo, background=True) as (station, _):
        client = station.connect(HOST, PORT)
        assert not select.select([client], [], [], 0.05)[0]
        client.send(b"abc")
        assert select.select([client], [], [], 2)[0] and client.receive(0) == b"abc"
        assert not select.select([client], [], [], 0)[0]
        client.shutdown()
        assert select.select([client], [], [], 2)[0] and client.receive(0) == b"" and client.ended


# --- FIX ---


class Acceptor:
    """Answers Logon, TestRequest and Logout by the kit's own encoder."""

    def __init__(self) -> None:
        self.readers: dict[int, tuple[Reader, int]] = {}
        self.got: list[str] = []

    def __call__(self, peer: Peer) -> None:
        reader, seq = self.readers.get(id(peer), (Reader("FIX.4.4"), 1))
        done = getattr(peer, "done", 0)
        for m in reader.feed(bytes(peer.taken[done:])):
            self.got.append(m.type)
            body = [(112, m.need(112))] if m.type == "1" else [(98, "0"), (108, "30")] if m.type == "A" else []
            kind = {"1": "0"}.get(m.type, m.type)
            peer.say(encode("FIX.4.4", kind, ((34, str(seq)), (49, "EX"), (56, "ME"), (52, utc())), body))
            seq += 1
        peer.done = len(peer.taken)  # type: ignore[attr-defined]
        self.readers[id(peer)] = reader, seq
        assert not reader.faults
        if peer.state == "ended" and not peer.fin_sent:
            peer.finish()


ENDPOINT = Endpoint(HOST, PORT, target_comp_id="EX")


@pytest.mark.parametrize("background", [False, True])
def test_the_kits_fix_client_runs_over_raw_frames_cut_at_every_byte(background: bool) -> None:
    acceptor = Acceptor()
    with station_at(acceptor, background=background) as (station, port):
        client = FixClient(ENDPOINT, "ME", dial=over(station, cuts=[1]))
        assert client.logon().get(108) == "30"
        client.cork()
        for n in range(5):
            client.test_request(f"t{n}")
        client.uncork()
        for n in range(5):
            assert client.expect("0").get(112) == f"t{n}"
        client.logout()
        assert not client.connected and not client.faults and acceptor.got == list("A111115")
        assert {len(s.payload) for s in port.peers[0].seen} == {0, 1} and port.peers[0].state == "ended"


def test_each_message_may_have_its_plan() -> None:
    plans: list[Plan] = []

    def plan(data: bytes) -> Plan:
        plans.append(next(nasty.every_border(len(data))))
        return plans[-1]

    with station_at(Acceptor()) as (station, _):
        client = FixClient(ENDPOINT, "ME", dial=over(station, plans=plan))
        client.logon()
        client.drop()
    assert len(plans) == 1


def test_a_fix_client_sees_the_same_errors_as_over_a_socket() -> None:
    def cuts(peer: Peer) -> None:
        if peer.taken and peer.state == "open":
            peer.state = "gone"
            peer.reset()

    with station_at(cuts) as (station, _):
        client = FixClient(ENDPOINT, "ME", dial=over(station))
        with pytest.raises(ConnectionEnded, match="cut at logon"):
            client.logon()

    with station_at(mute, Closed) as (station, _), pytest.raises(ConnectionRefusedError):
        FixClient(ENDPOINT, "ME", dial=over(station)).connect()


def test_a_waiting_client_sleeps() -> None:
    """It must leave the processor to the target."""
    with station_at(mute) as (station, _):
        client = station.connect(HOST, PORT)
        began = time.process_time()
        assert client.receive(0.5) == b""
        assert time.process_time() - began < 0.1
