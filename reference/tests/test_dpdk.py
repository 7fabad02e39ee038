"""`matchmark serve --transport dpdk`, and clients of the kernel's TCP at the other end of a cable between two namespaces."""

from __future__ import annotations

import fcntl
import random
import signal
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from matchmark.native import dpdk
from matchmark.native.pipeline import PipelineError
from matchmark.reference.config import load
from matchmark.reference.config_text import ConfigError

from .dpdk_network import CLIENTS, EXCHANGES, Network, impossible, inside
from .serving import SMALL, Serve, Trader
from .test_stages import demand_way

PORT = 9878
WORDS = "--no-pci --no-huge --no-shconf -m 128"

_WHY_NOT = impossible()
needs_a_port = pytest.mark.skipif(_WHY_NOT is not None, reason=_WHY_NOT or "")


class PortServe(Serve):
    """An exchange in one namespace, at the end of cable `number`; its clients are in the other."""

    def __init__(self, root: Path, network: Network, config: str = SMALL, number: int = 0) -> None:
        super().__init__(root, config, ("ip", "netns", "exec", network.exchange))
        self.network, self.number, self.host = network, number, EXCHANGES[number]

    def words(self, *flags: str) -> list[str]:
        eal = f"{WORDS} --vdev=net_af_packet0,iface=vgw{self.number}"
        own = ("--transport", "dpdk", "--eal", eal, "--dpdk-address", f"{self.host}/24", "--fix-port", str(PORT))
        return super().words(*own, *flags)

    def status(self) -> dict[str, Any]:
        with inside(self.network.exchange):
            return super().status()

    def port(self) -> dict[str, int]:
        return dict(self.status()["port"])

    def client(self, account: str = "ACC1", sender: str | None = None) -> Trader:
        trader = Trader(sender or f"{account}-1", self.token(account), self.host)
        self.clients.append(trader)
        return self.again(trader)

    def again(self, trader: Trader, **more: Any) -> Trader:
        with inside(self.network.clients):
            return trader.connect(PORT, **more)

    def stranger(self) -> socket.socket:
        with inside(self.network.clients):
            return socket.create_connection((self.host, PORT), timeout=20)

    def rests(self, buffers: int = 0) -> dict[str, int]:
        """The port's counters when no more than so many buffers are in use."""
        return dict(self.wait_for(lambda status: status["port"]["buffers_in_use"] <= buffers)["port"])


Make = Callable[..., PortServe]


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    made = Network()
    yield made
    made.close()


@pytest.fixture(scope="module")
def exchange(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PortServe]:
    """One for the tests that leave it as it was."""
    x = PortServe(tmp_path_factory.mktemp("dpdk"), network)
    x.start()
    yield x
    x.close()


@pytest.fixture
def porting(network: Network, tmp_path: Path) -> Iterator[Make]:
    made: list[PortServe] = []

    def make(config: str = SMALL) -> PortServe:
        made.append(PortServe(tmp_path / str(len(made)), network, config, number=1))
        return made[-1]

    yield make
    for one in made:
        one.close()


def trade(x: PortServe, buyer: Trader, seller: Trader, name: str) -> None:
    buyer.new(f"{name}b", 1, 10, "100.00")
    assert buyer.next()[150] == "0"
    seller.new(f"{name}s", 2, 10, "100.00")
    assert [seller.next()[150] for _ in range(2)] == ["0", "F"]
    assert buyer.next()[150] == "F"


# --- what it carries ---


@needs_a_port
def test_two_clients_trade_over_the_port_and_nothing_is_copied_before_it_is_parsed(exchange: PortServe) -> None:
    ready = exchange.ready
    assert ready["transport"] == "dpdk" and (ready["fix"]["host"], ready["fix"]["port"]) == (exchange.host, PORT)
    before = exchange.port()
    buyer, seller = exchange.client("ACC1"), exchange.client("ACC2")
    for n in range(20):
        trade(exchange, buyer, seller, f"t{n}")
    after = exchange.wait_for(lambda s: s["port"]["bytes_in_place"] > before["bytes_in_place"] + 4000)["port"]
    assert after["bytes_copied"] - before["bytes_copied"] == 0
    assert after["connections"] - before["connections"] == 2
    assert after["rx_frames"] > before["rx_frames"] and after["tx_frames"] > before["tx_frames"]
    assert (after["rx_bad"], after["rx_dropped"], after["tx_dropped"]) == (0, 0, 0)
    buyer.close()
    seller.close()
    exchange.wait_for(lambda s: s["port"]["connections"] == before["connections"])
    exchange.rests()


@needs_a_port
def test_the_way_from_the_frame_to_the_queue_is_measured(porting: Make) -> None:
    x = porting()
    x.start()
    trader = x.client("ACC3")
    for n in range(20):
        trader.new(f"w{n}", 1, 1, "90.00")
        trader.next()
    demand_way(x.status(), "port", 20)
    trader.close()


@needs_a_port
def test_a_message_may_come_in_segments_cut_at_any_byte(exchange: PortServe) -> None:
    trader = exchange.client("ACC3")
    assert trader.socket
    trader.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    message = trader._message("1", ((112, "cut"),), trader.next_out)
    for cut in range(1, len(message)):
        message = trader._message("1", ((112, f"cut{cut}"),), trader.next_out)
        trader.next_out += 1
        trader.socket.sendall(message[:cut])
        trader.socket.sendall(message[cut:])
    last = trader.next_out
    trader.new("after", 1, 1, "1.00")
    assert trader.next()[39] == "8", "below the collar: it was read, and every number before it too"
    assert trader.next_out == last + 1 and not trader.cut
    exchange.wait_for(lambda s: s["port"]["bytes_copied"] > 0)  # counters are shown now and then
    trader.close()


@needs_a_port
def test_many_messages_in_segments_of_full_size_come_through_whole_and_in_order(exchange: PortServe) -> None:
    trader = exchange.client("ACC4")
    assert trader.socket
    many = b""
    for n in range(1000):
        fields = ((11, f"m{n}"), (55, "SYM2"), (54, 1), (60, "20260101-00:00:00.000"), (38, 1), (40, 2), (44, "90.00"))
        many += trader._message("D", (*fields, (59, 0)), trader.next_out)
        trader.next_out += 1
    trader.socket.sendall(many)
    assert trader.read_until(lambda: len(trader.reports) == 1000)
    assert [report[11] for report in trader.reports] == [f"m{n}" for n in range(1000)]
    trader.close()
    exchange.rests()


@needs_a_port
def test_garbage_on_the_wire_is_counted_and_every_buffer_comes_back(exchange: PortServe) -> None:
    """Frames of noise, cut frames, wrong checksums, and noise in a TCP stream; who trades notices nothing."""
    trader = exchange.client("ACC5")
    before, chance = exchange.rests(), random.Random(1)
    mac = _mac(exchange.network)
    good = mac + bytes(6) + b"\x08\x00" + _ip_header(40) + struct.pack(">HHIIBBHHH", 5, PORT, 1, 0, 0x50, 2, 100, 1, 0)
    with inside(exchange.network.clients):
        raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    raw.bind(("vclients0", 0))
    sent = 0
    for n in range(600):
        frame = mac + chance.randbytes(6) + b"\x08\x00" + chance.randbytes(chance.randrange(60, 1400))
        sent += raw.send(frame if n % 3 else good[: chance.randrange(34, 54)]) > 0
        sent += raw.send(good) > 0  # its TCP checksum is wrong
    raw.close()
    stranger = exchange.stranger()
    with suppress(ConnectionResetError):  # what it sent and nobody read
        stranger.sendall(chance.randbytes(60000))
        assert stranger.recv(1) == b"", "a stranger that sends noise is cut"
    stranger.close()
    trader.new("still", 1, 1, "99.00")
    assert trader.next()[150] == "0"
    after = exchange.wait_for(lambda s: s["port"]["rx_bad"] >= before["rx_bad"] + sent)["port"]
    assert after["rx_dropped"] == 0
    exchange.rests(before["buffers_in_use"])
    trader.close()


def _mac(network: Network) -> bytes:
    """/sys shows the interfaces of whoever mounted it, so the kernel is asked (SIOCGIFHWADDR)."""
    with inside(network.exchange), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        return fcntl.ioctl(control, 0x8927, struct.pack("256s", b"vgw0"))[18:24]


def _ip_header(total: int) -> bytes:
    plain = struct.pack(
        ">BBHHHBBH4s4s", 0x45, 0, total, 1, 0, 64, 6, 0, socket.inet_aton(CLIENTS[0]), socket.inet_aton(EXCHANGES[0])
    )
    total_sum = sum(struct.unpack(">10H", plain))
    total_sum = (total_sum & 0xFFFF) + (total_sum >> 16)
    return plain[:10] + struct.pack(">H", ~(total_sum + (total_sum >> 16)) & 0xFFFF) + plain[12:]


@needs_a_port
def test_strangers_beyond_the_places_take_the_oldest_ones_and_sessions_stay(exchange: PortServe) -> None:
    trader = exchange.client("ACC6")
    before = exchange.status()["counters"]
    strangers = [exchange.stranger() for _ in range(200)]
    exchange.wait_for(lambda s: s["counters"]["evicted"] >= before["evicted"] + 200 - 63)
    trader.new("here", 1, 1, "99.00")
    assert trader.next()[150] == "0"
    for one in strangers:
        one.close()
    trader.close()
    exchange.wait_for(lambda s: s["port"]["connections"] == 0)
    exchange.rests()


@needs_a_port
def test_who_does_not_read_is_cut_and_the_others_trade_on(porting: Make) -> None:
    x = porting(SMALL.replace("[gateway]", "[gateway]\noutput_bytes = 65536"))
    x.start()
    slow = Trader("ACC1-slow", x.token("ACC1"), x.host)
    x.clients.append(slow)
    x.again(slow, receive_bytes=4096)
    quick = x.client("ACC2")
    assert slow.socket
    slow.socket.settimeout(0.2)
    for n in range(4000):
        message = slow._message("1", ((112, "x" * 400),), slow.next_out)
        slow.next_out += 1
        try:
            slow.socket.sendall(message)
        except OSError:
            break
        if n % 1000 == 0:
            quick.new(f"q{n}", 1, 1, "99.00")
            assert quick.next()[150] == "0"
    x.wait_for(lambda s: s["counters"]["cut"] >= 1)
    quick.new("last", 1, 1, "99.00")
    assert quick.next()[150] == "0"
    assert x.stop() == 0


# --- life ---


@needs_a_port
def test_a_stop_logs_everyone_out_and_a_killed_gateway_comes_back(porting: Make) -> None:
    x = porting()
    x.start()
    one, two = x.client("ACC1"), x.client("ACC2")
    trade(x, one, two, "before")
    x.kill_role("gateway")
    for trader in (one, two):
        _until_it_answers(x, trader)
    trade(x, one, two, "after")
    assert x.process
    x.process.send_signal(signal.SIGTERM)
    for trader in (one, two):
        assert not trader.read_until(lambda: False) and trader.cut, "the connection ends"
        assert trader.last_kind == "5", "after a Logout"
    assert x.stop() == 0


def _until_it_answers(x: PortServe, trader: Trader) -> None:
    until = time.monotonic() + 20
    while True:
        try:
            x.again(trader)
            return
        except (OSError, AssertionError):
            assert time.monotonic() < until, x.stderr()
            time.sleep(0.05)


@needs_a_port
@pytest.mark.soak
def test_a_standby_turns_connections_away_until_it_takes_over(network: Network, tmp_path: Path) -> None:
    members = [PortServe(tmp_path / name, network, number=2 + n) for n, name in enumerate("ab")]
    shared = tmp_path / "shared"
    flags = ("--cluster", str(shared), "--durability", "replicated", "--heartbeat-s", "0.25", "--timeout-s", "0.25")
    try:
        for name, member in zip("ab", members, strict=True):
            member.keys_dir = shared
            member.start(*flags, "--member", name, *["--standby"] * (name == "b"))
        primary, standby = members
        seller = primary.client("ACC1")
        seller.new("s1", 2, 10, "100.00")
        assert seller.next()[150] == "0"
        with pytest.raises(ConnectionRefusedError):
            standby.stranger()
        primary.kill()
        seller.host = standby.host
        _until_it_answers(standby, seller)
        buyer = standby.client("ACC2")
        buyer.new("b1", 1, 10, "100.00")
        assert [buyer.next()[150] for _ in range(2)] == ["0", "F"]
        assert seller.next()[150] == "F"
        assert standby.stop() == 0
    finally:
        for member in members:
            member.close()


@needs_a_port
def test_lost_doubled_and_swapped_frames_cost_time_and_nothing_else(tmp_path: Path) -> None:
    lossy = Network(random.Random(7), kind="l")
    x = PortServe(tmp_path, lossy)
    try:
        x.start()
        trader = x.client("ACC1")
        assert trader.socket
        trader.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for n in range(150):
            trader.new(f"o{n}", 1, 1, "99.00")
        assert trader.read_until(lambda: len(trader.reports) == 150, 30), len(trader.reports)
        assert [report[11] for report in trader.reports] == [f"o{n}" for n in range(150)]
        assert lossy.relay and lossy.relay.lost and lossy.relay.swapped and lossy.relay.doubled
        trader.close()
        x.rests()
    finally:
        x.close()
        lossy.close()


# --- what cannot be ---


@needs_a_port
@pytest.mark.parametrize(
    ("eal", "says"),
    [
        ("--no-pci --no-huge --no-shconf -m 64 --vdev=net_af_packet0,iface=nowhere0", "SIOCGIFINDEX"),
        ("--no-such-word", "EAL refused"),
        (f"{WORDS} --vdev=net_null0 --vdev=net_null1", "EAL found 2 ports"),
    ],
)
def test_a_port_that_cannot_be_had_is_one_sentence_and_exit_code_3(porting: Make, eal: str, says: str) -> None:
    x = porting()
    code, said = x.refused(f"--eal={eal}", "--shm-dir", str(x.data / "shm"))  # else it is kept below /dev/shm
    assert code == 3 and says in said, said


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ({"transport": "carrier-pigeon"}, "--transport: transport is 'carrier-pigeon'; write one of tcp, dpdk"),
        ({"transport": "dpdk"}, "give one, as --dpdk-address 10.77.0.1/24"),
        ({"transport": "dpdk", "dpdk_address": "10.77.0.1"}, "--dpdk-address: address is '10.77.0.1'"),
        ({"transport": "dpdk", "dpdk_address": "224.0.0.1/8"}, "write an IPv4 address and its network"),
        ({"transport": "dpdk", "dpdk_address": "10.77.0.1/24", "fix_port": "0"}, "fix_port is 0"),
        ({"transport": "dpdk", "dpdk_address": "10.77.0.1/24", "eal": "'"}, "write words as for a shell"),
        ({"eal": "--no-pci"}, "--eal: eal is for transport dpdk"),
    ],
)
def test_a_slip_in_the_configuration_is_one_sentence(flags: dict[str, str], says: str) -> None:
    with pytest.raises(ConfigError, match=r".") as error:
        load(flags, {})
    assert says in str(error.value)


def test_the_file_the_variables_and_the_flags_say_the_same(tmp_path: Path) -> None:
    file = tmp_path / "serve.toml"
    file.write_text(
        '[transport]\nkind = "dpdk"\neal = "--vdev=net_tap0 -m 64"\naddress = "10.1.2.3/16"\ngateway = "10.1.0.1"\n'
    )
    made = load({"config": file}, {"MATCHMARK_SERVE_DPDK_ADDRESS": "10.1.2.4/16"}).transport
    assert made and made.eal == ("--vdev=net_tap0", "-m", "64") and str(made.gateway) == "10.1.0.1"
    assert str(made.address) == "10.1.2.4/16"
    assert load({}, {}).transport is None


def test_eal_is_told_one_core_and_no_telemetry_unless_somebody_says_otherwise() -> None:
    assert dpdk.eal_words(("-m", "64"))[1].startswith("--lcores=0@(") and "--no-telemetry" in dpdk.eal_words(())
    with pytest.raises(PipelineError, match="leave it out"):
        dpdk.eal_words(("--help",))
    assert dpdk.eal_words(("-l", "3", "--telemetry")) == ["matchmark", "-l", "3", "--telemetry"]


def test_without_dpdk_it_says_which_packages_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(dpdk, "missing", lambda: "matchmark was built without DPDK: install libdpdk-dev")
    from matchmark.reference import serve

    with pytest.raises(Exception, match="install libdpdk-dev") as error:
        serve._sockets(load({"transport": "dpdk", "dpdk_address": "10.77.0.1/24"}, {}))
    assert getattr(error.value, "exit_code", None) == 3
