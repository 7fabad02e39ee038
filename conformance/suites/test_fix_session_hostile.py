"""Hostile and broken clients: each loses its own connection at most, and the innocent beside it trade on, completely, in order
and as promptly as before."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import closing, suppress

import pytest

from matchmark.conformance.fix.client import FixClient
from matchmark.conformance.fix.message import Field, FixError
from matchmark.conformance.fix.numbers import Sent
from matchmark.conformance.fix.wire import assemble, utc
from matchmark.conformance.suites._hostile import ATTACKS, Attack, Innocents
from matchmark.conformance.suites._sessions import WAIT_S, Bait, SessionVenue, Stage

pytestmark = pytest.mark.needs("fix")
ORDERS = 800
RESENDS = 40
STUCK_S = 1.0


@pytest.mark.clause("D01.X34")
@pytest.mark.parametrize("attack", [pytest.param(make, id=name) for name, make in ATTACKS.items()])
def test_the_innocent_trade_on_beside(venue: SessionVenue, attack: Attack) -> None:
    with Stage(venue, "D01.X34", f"trading beside {attack.__name__.replace('_', ' ')}") as s:
        innocents = Innocents(s)
        for _ in attack(s):
            innocents.trade_on()
        innocents.demand_prompt()
        s.peer()  # whoever is honest still gets in


@pytest.mark.clause("D01.X34", "D01.X33")
def test_an_order_that_drips_in_is_decided_once_and_holds_up_nobody(venue: SessionVenue) -> None:
    with Stage(venue, "D01.X34", "trading beside a client that sends a byte at a time") as s:
        bait, innocents, p = Bait(s), Innocents(s), s.peer()
        fields = bait.order()
        head = [(34, str(p.next_out)), (49, p.sender_comp_id), (56, p.endpoint.target_comp_id), (52, utc())]
        raw = assemble(p.endpoint.begin_string, "D", head, fields).raw
        p.next_out += 1
        for at in range(len(raw)):
            p.send_raw(raw[at : at + 1])
            if at % 4 == 0:
                innocents.trade_on()
        s.filled(p, fields)
        innocents.demand_prompt()
        bait.demand_taken(1, "an order that came a byte at a time was not decided once")


class Deaf:
    """A logged-on session on a bare socket with the smallest buffer, which sends and never reads."""

    def __init__(self, stage: Stage, client: FixClient) -> None:
        self.client = client
        end = stage.venue.endpoint
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.connect((end.host, end.port))
        self.socket.settimeout(STUCK_S)
        self.gone = False

    def say(self, kind: str, fields: list[Field]) -> None:
        """Sent whole, or the connection is given up: either way the number is used up, as a client would."""
        c, now = self.client, utc()
        head = [(34, str(c.next_out)), (49, c.sender_comp_id), (56, c.endpoint.target_comp_id), (52, now)]
        if kind == "D":
            c.numbers.sent[c.next_out] = Sent(kind, (), tuple(fields), now)
        c.next_out += 1
        if not self.gone:
            try:
                self.socket.sendall(assemble(c.endpoint.begin_string, kind, head, fields).raw)
            except OSError:
                self.gone = True


def never_reading(s: Stage, deaf: Deaf, bait: Bait, cls: list[str]) -> Iterator[None]:
    """Orders, and then requests for all their reports again and again: more than any buffer holds."""
    logon: dict[int, str] = {98: "0", 108: "30"}
    for tag, value in deaf.client.endpoint.logon_fields.items():
        logon[tag] = value.replace("${TOKEN}", deaf.client.token or "")
    deaf.say("A", list(logon.items()))
    for n in range(ORDERS):
        cls.append(s.venue.new_cl())
        deaf.say("D", bait.resting(1, cl=cls[-1]))
        if n % 40 == 0:
            yield
    for _ in range(RESENDS):
        deaf.say("2", [(7, "1"), (16, "0")])
        yield


@pytest.mark.clause("D01.X34", "D01.X31")
@pytest.mark.needs("fix_resend")
def test_a_client_that_never_reads_holds_up_nobody_and_gets_all_when_it_does(venue: SessionVenue) -> None:
    with Stage(venue, "D01.X34", "trading beside a client that never reads") as s:
        bait, innocents = Bait(s), Innocents(s)
        client = s.stranger(auto=True)
        client.close()
        deaf, cls = Deaf(s, client), list[str]()
        with closing(deaf.socket):
            for _ in never_reading(s, deaf, bait, cls):
                innocents.trade_on()
        innocents.demand_prompt()

        s.clause, s.why = "D01.X31", "reports of a client that never read, when it reads at last"
        s.reconnect(client)
        accepted: dict[str, int] = {}
        until = time.monotonic() + 3 * WAIT_S
        with suppress(FixError):
            while set(accepted) != set(cls) and time.monotonic() < until:
                m = client.expect("8", WAIT_S)
                if m.get(150) == "0":
                    accepted[m.need(11)] = accepted.get(m.need(11), 0) + 1
        missing = [cl for cl in cls if accepted.get(cl, 0) != 1]
        if missing:
            s.fail(
                s.why, [f"one acceptance of each of {ORDERS} orders"], [f"{len(missing)} not once, first {missing[0]}"]
            )
        bait.taken()
