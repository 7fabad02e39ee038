"""Over a real cable: the kit's TCP client against the kernel's TCP in a namespace of its own. Needs root.

The kernel is a counterparty that nobody here wrote: what it reads from a plan's segments is what any TCP must read.
"""

from __future__ import annotations

import os
import random
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from matchmark.conformance.fix import FixClient
from matchmark.conformance.packets import fix_layer, nasty, network
from matchmark.conformance.packets.batch import Batch
from matchmark.conformance.packets.headers import ACK, RST, mac_bytes
from matchmark.conformance.packets.illegal import FAMILIES, Ends, Target, generate, mixed
from matchmark.conformance.packets.network import EXCHANGES, RAW, Network, inside
from matchmark.conformance.packets.plan import Piece, Plan, Settle, cut
from matchmark.conformance.packets.raw_carrier import over
from matchmark.conformance.packets.raw_port import RawPort, why_not
from matchmark.conformance.packets.replay import main as replay_main
from matchmark.conformance.packets.replay import replay
from matchmark.conformance.packets.rewrite import Rewrite
from matchmark.conformance.packets.tcp_client import NoAnswer, Refused, Reset, Station
from matchmark.conformance.packets.tcp_machine import Settings, State

from .fix_exchange import Exchange

_WHY_NOT = why_not() or network.impossible()
pytestmark = pytest.mark.skipif(_WHY_NOT is not None, reason=_WHY_NOT or "")

HOST = EXCHANGES[0]


class Server:
    """The kernel's TCP at the target's end. `echoes`: says back what it reads; else the test takes connections and reads."""

    def __init__(self, net: Network, echoes: bool = True) -> None:
        with inside(net.exchange):
            self.listener = socket.create_server((HOST, 0), backlog=64)
        self.port: int = self.listener.getsockname()[1]
        self._thread = threading.Thread(target=self._run, daemon=True) if echoes else None
        if self._thread:
            self._thread.start()

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._echo, args=(connection,), daemon=True).start()

    @staticmethod
    def _echo(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            while data := connection.recv(65536):
                connection.sendall(data)

    def accept(self) -> socket.socket:
        self.listener.settimeout(5)
        connection, _ = self.listener.accept()
        connection.settimeout(5)
        return connection

    def close(self) -> None:
        with suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        if self._thread:
            self._thread.join()


@pytest.fixture(scope="module")
def net() -> Iterator[Network]:
    with Network(kind="t", kernel=(0,), cables=1) as made:
        yield made


@pytest.fixture
def port(net: Network) -> Iterator[RawPort]:
    with net.raw_port() as port:
        yield port


@pytest.fixture
def station(port: RawPort) -> Iterator[Station]:
    with Station(port, RAW[0]) as station:
        yield station


@pytest.fixture
def server(net: Network) -> Iterator[Server]:
    made = Server(net)
    yield made
    made.close()


@pytest.fixture
def reader(net: Network) -> Iterator[Server]:
    made = Server(net, echoes=False)
    yield made
    made.close()


def all_of(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count and (more := connection.recv(65536)):
        data += more
    return data


# --- what it carries ---


def test_every_cut_of_a_message_reaches_the_kernel_and_comes_back(station: Station, server: Server) -> None:
    client = station.connect(HOST, server.port)
    message = b"8=FIX.4.4\x019=5\x0135=0\x0110=163\x01"
    for plan in (*nasty.every_border(len(message)), cut(len(message), [1]), cut(len(message), [len(message)])):
        client.send(message, plan=plan)
        assert client.receive_until(lambda got: len(got) >= len(message), 5) == message
    client.close()
    assert client.error is None


def test_a_megabyte_goes_there_and_back(station: Station, server: Server) -> None:
    client = station.connect(HOST, server.port, Settings(window_scale=4, window=1 << 19))
    data = random.Random(5).randbytes(1 << 20)
    client.send(data[: 1 << 19], wait=False)
    client.send(data[1 << 19 :], cuts=[1000, 3, 1460], wait=False)
    assert client.receive_until(lambda got: len(got) >= len(data), 20) == data
    client.close()


@hypothesis_settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_the_kernel_reads_the_same_from_every_legal_plan(station: Station, server: Server, data: st.DataObject) -> None:
    length = data.draw(st.integers(1, 1500))
    stream = random.Random(length).randbytes(length)
    plan = data.draw(nasty.plans(length, pauses_ms=3))
    client = station.connect(HOST, server.port, data.draw(nasty.settings()))
    client.send(stream, plan=plan)
    client.window(65535)
    assert client.receive_until(lambda got: len(got) >= length, 10) == stream
    client.close()


def test_of_bytes_that_are_sent_twice_the_first_count(station: Station, reader: Server) -> None:
    client = station.connect(HOST, reader.port)
    with reader.accept() as connection:
        client.send(b"BUY 10", plan=Plan(6, (Piece(0, 6), Settle(), Piece(0, 6, data=b"BUY 99"))))
        client.send(b".")
        assert all_of(connection, 7) == b"BUY 10."
    client.close()


def test_a_closed_window_stops_the_kernel_and_an_open_one_lets_it_go_on(station: Station, reader: Server) -> None:
    client = station.connect(HOST, reader.port)
    data = random.Random(1).randbytes(300_000)
    with reader.accept() as connection:
        client.window(0)
        sender = threading.Thread(target=connection.sendall, args=(data,), daemon=True)
        sender.start()
        assert client.receive(0.3) == b""
        client.window(65535)
        assert client.receive_until(lambda got: len(got) >= len(data), 20) == data
        sender.join()
    client.close()


def test_a_kernel_that_does_not_read_is_waited_for(station: Station, reader: Server) -> None:
    reader.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
    client = station.connect(HOST, reader.port)
    with reader.accept() as connection:
        data = bytes(1_000_000)
        with pytest.raises(NoAnswer, match="room"):
            client.send(data, timeout_s=0.5)
        got = all_of(connection, 10_000)
        taker = threading.Thread(target=all_of, args=(connection, len(data) - len(got)), daemon=True)
        taker.start()
        client.send(b"", timeout_s=20)
        taker.join(5)
        assert not taker.is_alive()
    client.close()


# --- ends ---


def test_half_closes_work_both_ways(station: Station, reader: Server) -> None:
    client = station.connect(HOST, reader.port)
    with reader.accept() as connection:
        client.send(b"the last of ours", fin=True)
        assert all_of(connection, 100) == b"the last of ours"
        connection.sendall(b"and still theirs")
        assert client.receive(2) == b"and still theirs" and not client.ended
    client.close()
    other = station.connect(HOST, reader.port)
    with reader.accept() as connection:
        connection.shutdown(socket.SHUT_WR)
        assert other.receive(2) == b"" and other.ended and other.state is State.CLOSE_WAIT
        other.send(b"ours go on")
        assert all_of(connection, 10) == b"ours go on"
        other.close()
        assert connection.recv(10) == b""


def test_resets_both_ways(station: Station, reader: Server) -> None:
    client = station.connect(HOST, reader.port)
    with reader.accept() as connection:
        client.send(b"x")
        assert connection.recv(1) == b"x"
        client.reset()
        with pytest.raises(ConnectionResetError):
            connection.recv(1)
    other = station.connect(HOST, reader.port)
    connection = reader.accept()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
    assert other.receive(2) == b"" and other.was_reset
    with pytest.raises(Reset):
        other.send(b"more")


def test_a_port_where_nobody_listens_and_an_address_that_nobody_has(station: Station) -> None:
    with pytest.raises(Refused):
        station.connect(HOST, 9)
    with pytest.raises(NoAnswer, match="SYN"):
        station.connect("10.77.0.99", 9, timeout_s=0.5)
    with pytest.raises(NoAnswer, match="ARP"):
        station.resolve("10.77.0.98", 0.3)


def test_a_keep_alive_is_answered_and_a_guessed_reset_is_not_believed(station: Station, server: Server) -> None:
    client = station.connect(HOST, server.port)
    client.send(b"here")
    assert client.receive(2) == b"here"
    before = station.host.numbers.taken
    client.keep_alive()
    station.wait(lambda: station.host.numbers.taken > before, 2, "an answer")
    client.inject(client.forge(RST, seq_offset=1000))
    client.inject(client.forge(RST | ACK, seq_offset=-5))
    client.send(b"still here")
    assert client.receive(2) == b"still here"
    client.close()


def test_no_kernel_takes_part_at_the_kits_end(net: Network, station: Station, server: Server) -> None:
    """Else it would reset the connections that it does not know: what arrives at the far end is the kit's alone."""
    with RawPort(net.port(), net.exchange) as witness:
        client = station.connect(HOST, server.port)
        client.send(b"abc")
        assert client.receive(2) == b"abc"
        client.close()
        time.sleep(0.1)
        sources = {frame[6:12] for frame, _ in witness.receive(0, 1000)}
    assert sources == {mac_bytes(station.mac)}


def test_frames_lost_doubled_and_swapped_cost_time_and_nothing_else() -> None:
    chance = random.Random(3)
    with Network(chance, kind="l", kernel=(0,)) as bad, bad.raw_port() as port, Station(port, RAW[0]) as station:
        server = Server(bad)
        try:
            client = station.connect(HOST, server.port, Settings(rto_s=0.05, mss=500), timeout_s=10)
            data = random.Random(9).randbytes(60_000)
            client.send(data, wait=False)
            assert client.receive_until(lambda got: len(got) >= len(data), 20) == data
            assert bad.relay and bad.relay.lost and bad.relay.doubled and bad.relay.swapped
            client.close(10)
        finally:
            server.close()


# --- FIX ---


def test_a_fix_session_over_raw_frames_byte_by_byte(net: Network, station: Station) -> None:
    def polite(x: Exchange, m: dict[int, str]) -> None:
        if m[35] in "A5":
            x.say(m[35], *[(98, 0), (108, m.get(108, 30))] * (m[35] == "A"))

    with inside(net.exchange):
        exchange = Exchange(polite, HOST)
    try:
        client = FixClient(exchange.endpoint, "ME", "secret", dial=over(station, cuts=[1]))
        client.logon()
        client.logout()
        assert [m[35] for m in exchange.got] == ["A", "5"] and not client.faults
    finally:
        exchange.close()
    seen = fix_layer.messages(record.frame for record in station.port.ring.records())  # type: ignore[attr-defined]
    assert sorted("".join(m.msg_type for m in way) for way in seen.values()) == ["A5", "A5"]


# --- illegal traffic ---


def test_batches_are_sent_but_what_the_interface_never_takes(net: Network, port: RawPort) -> None:
    with RawPort(net.port(), net.exchange) as far:
        head = bytes.fromhex(far.mac.replace(":", "")) + bytes(6) + b"\x88\xb5"
        batch = Batch.of([b"short", head + b"a" * 20, head + b"b" * 3000, head + b"c" * 1500])
        assert port.send_batch(batch) == 2
        got = [frame for frame, _ in far.receive(1)]
        got += [frame for frame, _ in far.receive(0.1)]
        assert got == [batch[1], batch[3]]


def test_illegal_frames_change_nothing_for_a_connection_of_the_kernels(
    net: Network, port: RawPort, station: Station, server: Server
) -> None:
    """Every family, aimed at a living connection whose next bytes they claim to be; and how fast they go."""
    client = station.connect(HOST, server.port)
    client.send(b"before")
    assert client.receive(2) == b"before"
    flow = client.flow
    target = Target(flow.ends, flow, b"illegal!" * 20)
    began, sent = time.monotonic(), 0
    for _, batch in mixed(target, 11, 100_000):
        sent += port.send_batch(batch)
    spent_s = time.monotonic() - began
    print(f"{sent} illegal frames in {spent_s:.2f} s: {spent_s / sent * 1e6:.0f} s a million")
    for name in (name for name, family in FAMILIES.items() if family.flood and name != "syn_flood"):
        for batch in generate(name, target, 11, 2000):
            port.send_batch(batch)
    until = time.monotonic() + 10
    client.send(b"after", timeout_s=10)
    got = b""
    while len(got) < 5 and time.monotonic() < until:
        got += client.receive(1)
    assert got == b"after" and sent > 90_000 and spent_s < 30
    client.close()


# --- captures ---


def test_a_capture_is_replayed_to_a_server_with_other_numbers(
    net: Network, port: RawPort, station: Station, reader: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    client = station.connect(HOST, reader.port, src_port=31000)
    with reader.accept() as connection:
        connection.sendall(b"hello")
        assert client.receive(2) == b"hello"
        client.send(b"the case", cuts=[3])
        assert all_of(connection, 8) == b"the case"
    client.close()
    path = port.ring.save(tmp_path / "case.pcapng", "the case")

    def again(words: list[str]) -> bytes:
        said: list[bytes] = []

        def serve() -> None:
            with reader.accept() as connection:
                connection.sendall(b"hello")
                said.append(all_of(connection, 8))

        thread = threading.Thread(target=serve)
        thread.start()
        if words:
            assert replay_main(words) == 0
        else:
            # From another port: the server remembers the one that it has closed, and its numbers.
            assert replay(path, port, rewrite=Rewrite(ports={31000: 31001})).sent > 4
        thread.join(5)
        return said[0]

    assert again([]) == b"the case"
    elsewhere = ["--src-ip", "10.77.0.9", "--save", str(tmp_path / "again.pcapng")]
    assert again([str(path), "--interface", net.end(), "--namespace", net.clients, *elsewhere]) == b"the case"
    assert "frames sent" in capsys.readouterr().out
    assert b"the case" in dict.fromkeys(fix_layer.streams(r.frame for r in port.ring.records()).values())


# --- the environment ---


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_network_goes_with_whoever_made_it(how: int) -> None:
    make = (
        "import time; from matchmark.conformance.packets.network import Network; n = Network(kind='k', cables=1);"
        "print(n.exchange, n.clients, flush=True); time.sleep(60)"
    )
    maker = subprocess.Popen((sys.executable, "-c", make), stdout=subprocess.PIPE, text=True)
    assert maker.stdout
    names = maker.stdout.readline().split()
    assert len(names) == 2 and all(Path(f"/run/netns/{name}").exists() for name in names)
    os.kill(maker.pid, how)
    maker.wait()
    maker.stdout.close()
    until = time.monotonic() + 10
    while any(Path(f"/run/netns/{name}").exists() for name in names) and time.monotonic() < until:
        time.sleep(0.05)
    assert not [name for name in names if Path(f"/run/netns/{name}").exists()]


def test_an_interface_that_is_not_there_is_said_so() -> None:
    with pytest.raises(OSError, match="No such device"):
        RawPort("nowhere0")
    assert Ends("a", "b", "c", "d", 1, 2).back() == Ends("b", "a", "d", "c", 2, 1)
