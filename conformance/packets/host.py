"""A host with one IP address and any number of TCP connections, frames in and frames out: no sockets, no clock, no kernel.

It asks and answers ARP and gives each connection what is for it. A segment for a connection that it does not know is
answered with a reset, as any host would.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from matchmark.conformance.packets.headers import (
    ARP,
    BROADCAST,
    IPV4,
    RST,
    Arp,
    Ends,
    Flow,
    Segment,
    arp,
    ethernet,
    ip_bytes,
    ip_text,
    mac_bytes,
    mac_text,
    packet,
    parse_arp,
    parse_ethernet,
    parse_segment,
)
from matchmark.conformance.packets.tcp_machine import Settings, State, TcpMachine

ASK_EVERY_NS, ASK_TIMES = 200_000_000, 10
_PORTS = range(20_000, 60_000)


@dataclass
class HostNumbers:
    """Frames: `not_ours` for another address; `malformed` for ours and wrong; `strays` for no connection that is known."""

    taken: int = 0
    not_ours: int = 0
    malformed: int = 0
    strays: int = 0


class Host:
    """`chance`: where initial sequence numbers and ports come from. `silent`: nothing is said to strays."""

    def __init__(self, mac: str, ip: str, chance: random.Random | None = None, silent: bool = False) -> None:
        self.mac, self.ip = mac_bytes(mac), ip_bytes(ip)
        self.numbers = HostNumbers()
        self.silent = silent
        self.neighbours: dict[bytes, bytes] = {}
        """Hardware addresses by IP address."""
        self.machines: dict[tuple[bytes, int, int], TcpMachine] = {}
        """By the other side's address and port, and our port."""
        self._chance = chance or random.Random()
        self._frames: list[bytes] = []
        self._waiting: dict[bytes, list[Segment]] = {}  # for a hardware address
        self._asked: dict[bytes, tuple[int, int]] = {}  # how often, and when again
        self._ident = self._chance.randrange(1 << 16)

    # --- what whoever drives it calls ---

    def take(self, frame: bytes, now_ns: int) -> None:
        try:
            to, _, kind, data = parse_ethernet(frame)
            if to not in (self.mac, BROADCAST) or not (kind == ARP or (kind == IPV4 and data[16:20] == self.ip)):
                self.numbers.not_ours += 1
                return
            said = parse_arp(data) if kind == ARP else parse_segment(data)
        except ValueError:
            self.numbers.malformed += 1
            return
        self.numbers.taken += 1
        if isinstance(said, Arp):
            self._take_arp(said)
        else:
            self._take_segment(said, now_ns)

    def poll(self, now_ns: int) -> None:
        for ip in list(self._asked):
            self._ask_again(ip, now_ns)
        for machine in list(self.machines.values()):
            at = machine.next_ns
            if at and now_ns >= at:
                machine.poll(now_ns)
            self._collect(machine, now_ns)

    def frames(self) -> list[bytes]:
        """What is to be sent now, in order; the caller's from now on."""
        given, self._frames = self._frames, []
        return given

    @property
    def next_ns(self) -> int:
        """When `poll` is due; 0: not before something arrives."""
        times = [machine.next_ns for machine in self.machines.values()]
        return min((at for at in (*times, *(at for _, at in self._asked.values())) if at), default=0)

    def open(self, ip: str, port: int, settings: Settings, now_ns: int, src_port: int | None = None) -> TcpMachine:
        """Sends a SYN as soon as the hardware address is known. ValueError: there is such a connection."""
        there = (ip_bytes(ip), port)
        here = src_port or self._free_port(*there)
        if (*there, here) in self.machines:
            raise ValueError(f"port {here} has a connection to {ip}:{port}")
        machine = TcpMachine((self.ip, here), there, settings, self._chance.randrange(1 << 32))
        self.machines[*there, here] = machine
        machine.open(now_ns)
        self._collect(machine, now_ns)
        return machine

    def forget(self, machine: TcpMachine) -> None:
        """What still arrives for it is a stray's."""
        self.machines.pop((*machine.there, machine.here[1]), None)

    def ask(self, ip: bytes, now_ns: int) -> None:
        """By ARP; the answer will be among the neighbours."""
        if ip not in self._asked:
            self._asked[ip] = (0, now_ns)
            self._ask_again(ip, now_ns)

    def flow(self, machine: TcpMachine) -> Flow:
        """KeyError: the other side's hardware address is not known."""
        macs = mac_text(self.mac), mac_text(self.neighbours[machine.there[0]])
        ends = Ends(*macs, ip_text(self.ip), ip_text(machine.there[0]), machine.here[1], machine.there[1])
        return Flow(ends, machine.seq, machine.ack, machine.outgoing.window)

    def frame(self, segment: Segment) -> bytes:
        """KeyError: the hardware address is not known."""
        self._ident += 1
        return ethernet(self.neighbours[segment.dst_ip], self.mac, IPV4, packet(segment, self._ident))

    # --- the inside ---

    def _free_port(self, ip: bytes, port: int) -> int:
        while True:
            here = self._chance.choice(_PORTS)
            if (ip, port, here) not in self.machines:
                return here

    def _take_arp(self, message: Arp) -> None:
        if message.dst_ip != self.ip:
            return
        if message.operation == 1:
            self._frames.append(ethernet(message.src_mac, self.mac, ARP, arp(Arp(2, self.mac, self.ip, *message[1:3]))))
        elif message.src_ip in self._asked:
            del self._asked[message.src_ip]
            self.neighbours[message.src_ip] = message.src_mac
            for segment in self._waiting.pop(message.src_ip, []):
                self._put(segment)

    def _ask_again(self, ip: bytes, now_ns: int) -> None:
        times, at = self._asked[ip]
        if now_ns < at:
            return
        if times == ASK_TIMES:
            del self._asked[ip]
            self._waiting.pop(ip, None)
            for machine in self.machines.values():
                if machine.there[0] == ip and machine.state is State.SYN_SENT:
                    machine.fail(f"{ip_text(ip)} does not answer ARP")
            return
        self._asked[ip] = (times + 1, now_ns + ASK_EVERY_NS)
        self._frames.append(ethernet(BROADCAST, self.mac, ARP, arp(Arp(1, self.mac, self.ip, bytes(6), ip))))

    def _take_segment(self, s: Segment, now_ns: int) -> None:
        machine = self.machines.get((s.src_ip, s.src_port, s.dst_port))
        if machine is not None:
            machine.take(s, now_ns)
            self._collect(machine, now_ns)
            return
        self.numbers.strays += 1
        if not self.silent and not s.flags & RST and s.src_ip in self.neighbours:
            self._put(s.refusal())

    def _collect(self, machine: TcpMachine, now_ns: int) -> None:
        for segment in machine.segments():
            if segment.dst_ip in self.neighbours:
                self._put(segment)
            else:
                self._waiting.setdefault(segment.dst_ip, []).append(segment)
                self.ask(segment.dst_ip, now_ns)

    def _put(self, segment: Segment) -> None:
        self._frames.append(self.frame(segment))
