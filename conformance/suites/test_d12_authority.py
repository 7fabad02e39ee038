"""Diagram 12, connections that end: what they were allowed goes with them. A new connection on the same addresses and ports
must log on, hears nothing of the old one's, and finds none of its bytes."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from matchmark.conformance.fix.client import FixClient
from matchmark.conformance.packets.headers import SYN
from matchmark.conformance.packets.tcp_client import NoAnswer, TcpClient, TcpError
from matchmark.conformance.suites._sessions import Bait
from matchmark.conformance.suites._tokens import FORGERIES
from matchmark.conformance.suites._wire import ANSWERED_S, WireStage, kind_of, logon, message
from matchmark.conformance.wire_venue import WireVenue

pytestmark = pytest.mark.needs("fix", "raw_frames", "jwt")

SILENCE_S = 1.0
"""What should not come gets so long to come all the same."""
ENDED_S = 15.0
"""Until a stranger who says what he may not is cut."""


def closed(s: WireStage, client: FixClient) -> None:
    s.venue.raw(client).close(ANSWERED_S)


def reset(s: WireStage, client: FixClient) -> None:
    s.venue.raw(client).reset()


def forgotten(s: WireStage, client: FixClient) -> None:
    """The client's machine lost its power: the target hears nothing of the end."""
    connection = s.venue.raw(client)
    connection.machine.fail("its power was lost")
    s.venue.station.forget(connection)


ENDS = [closed, reset, forgotten]
End = Callable[[WireStage, FixClient], None]


def _again(s: WireStage, src_port: int) -> TcpClient:
    """A new connection from the same address and port. Where the target holds on to the old one for a while, it is tried
    again."""
    until = time.monotonic() + ANSWERED_S
    while True:
        try:
            return s.venue.stranger(src_port)
        except TcpError as error:
            if time.monotonic() > until:
                s.fail(f"{s.why}: no new connection from the same port", ["it is taken"], [str(error)])
            s.venue.station.pump(0.2)


def _demand_stranger(s: WireStage, wire: TcpClient, what: str) -> None:
    """Nothing is said to it that a session is told, and it is ended, or waits for its Logon."""
    heard = wire.receive_until(lambda data: False, SILENCE_S)
    kinds = {kind_of(part + b"\x0110=") for part in heard.split(b"\x0110=")[:-1] if b"\x0135=" in part}
    if kinds - {"5"}:
        s.fail(f"{s.why}: {what}", ["a Logout or nothing"], [heard[:300].decode("latin-1").replace("\x01", "|")])


@pytest.mark.clause("D12.X6")
@pytest.mark.parametrize("end", ENDS)
def test_an_order_on_a_new_connection_of_the_old_ones_ports_is_not_taken(wire: WireVenue, end: End) -> None:
    """The order has the session's next number, and would trade."""
    with WireStage(wire, "D12.X6", f"a new connection in the place of one that was {end.__name__}") as s:
        bait = Bait(s)
        for _ in range(3):
            client = s.peer()
            s.exchange(client, 2)
            port = wire.raw(client).flow.ends.src_port
            end(s, client)
            successor = _again(s, port)
            number = client.next_out
            successor.send(message(client, "D", bait.order()), wait=False)
            _demand_stranger(s, successor, "it was told something")
            successor.reset()
            client.next_out = number
        bait.demand_untouched()


@pytest.mark.clause("D12.X6")
@pytest.mark.parametrize("end", ENDS)
def test_half_a_message_does_not_outlive_its_connection(wire: WireVenue, end: End) -> None:
    """The first half of an order on a session, its second half on the next connection of the same ports: no order."""
    with WireStage(wire, "D12.X6", f"half an order on a connection that was {end.__name__}") as s:
        bait = Bait(s)
        for n in range(5):
            client = s.peer()
            data = message(client, "D", bait.order())
            at = 20 + n * 25
            wire.raw(client).send(data[:at], timeout_s=ANSWERED_S)
            port = wire.raw(client).flow.ends.src_port
            end(s, client)
            successor = _again(s, port)
            successor.send(data[at:], wait=False)
            _demand_stranger(s, successor, "it was told something")
            successor.reset()
        bait.demand_untouched()


@pytest.mark.clause("D12.X6")
@pytest.mark.parametrize("end", [reset, forgotten])
def test_what_the_old_connection_was_owed_is_not_told_to_the_new_one(wire: WireVenue, end: End) -> None:
    """Reports that wait for a closed window, and then the connection ends: the next one on the same ports hears none of
    them."""
    with WireStage(wire, "D12.X6", f"reports owed on a connection that was {end.__name__}") as s:
        client = s.peer()
        raw = wire.raw(client)
        raw.window(0)
        s.send(client, s.tickets(100))
        port = raw.flow.ends.src_port
        end(s, client)
        successor = _again(s, port)
        _demand_stranger(s, successor, "it was told what another connection was owed")
        successor.reset()


@pytest.mark.clause("D12.X6")
def test_every_connection_shows_its_token_anew(wire: WireVenue) -> None:
    """One port, one connection after the other: with a good token, with forged ones, with a good one again. Each is judged
    by its own."""
    with WireStage(wire, "D12.X6", "one Logon after the other from one port") as s:
        port = 33_333
        good = wire.token_of(s.account)
        tokens: list[tuple[str, str, bool]] = [("good", good, True)]
        for name, forge in list(FORGERIES.items())[:8]:
            tokens += [(name, forge(good), False), ("good", good, True)]
        for name, token, admitted in tokens:
            client = s.stranger()
            client.close()
            bare = _again(s, port)
            bare.send(logon(client, token), wait=False)
            heard = bare.receive_until(lambda data: b"\x0110=" in data, ENDED_S)
            if (kind_of(heard) == "A") is not admitted:
                s.fail(
                    f"{s.why}: a token ({name}) is judged by another connection's",
                    ["a Logon" if admitted else "no Logon"],
                    [heard[:300].decode("latin-1").replace("\x01", "|") or "nothing"],
                )
            bare.reset()


@pytest.mark.clause("D12.X6")
def test_a_syn_in_a_living_connection_ends_nothing_and_begins_nothing(wire: WireVenue) -> None:
    """From the session's own port, with other numbers, as somebody would send it who wants the place."""
    with WireStage(wire, "D12.X6", "a SYN on a living connection's ports") as s:
        client = s.peer()
        raw = wire.raw(client)
        for offset in (-100_000, -1, 5, 1_000, 100_000_000):
            raw.inject(raw.forge(flags=SYN, seq_offset=offset))
            wire.station.pump(0.05)
        s.exchange(client, 2)
        s.quiet(client)
        with pytest.raises(NoAnswer):
            wire.station.wait(lambda: raw.ended, 0.2, "the end")
