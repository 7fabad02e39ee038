"""What the suites of diagram 12 have in common: orders that are put on the wire as a plan says, their answers, and their
places in the log.

Orders rest: each is answered by one acceptance, and nothing else happens. A session here says only what the check says (auto
is off).
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import NoReturn

from matchmark.conformance.checks.audit_format import Op
from matchmark.conformance.checks.audit_steps import Step
from matchmark.conformance.fix.business import Instrument
from matchmark.conformance.fix.client import FixClient, NoAnswer
from matchmark.conformance.fix.message import Field, FixMessage, show_raw
from matchmark.conformance.fix.wire import encode, utc
from matchmark.conformance.packets.plan import Plan
from matchmark.conformance.packets.tcp_client import TcpClient, TcpError
from matchmark.conformance.suites._sessions import PRICE_TICKS, Stage, order
from matchmark.conformance.targets.base import TargetUnavailable
from matchmark.conformance.wire_venue import WireVenue

ANSWERED_S = 20.0
"""For an answer that must come. A user-space TCP may find a lost segment by its clock, the second time after some seconds."""
LEVELS = 40
"""Prices that resting orders are spread over."""


@dataclass(frozen=True)
class Ticket:
    """A resting buy order, by what its acceptance must say again."""

    cl: str
    symbol: str
    lots: int
    price: str
    fields: tuple[Field, ...]

    @property
    def echo(self) -> tuple[str | None, ...]:
        return ("8", "0", self.cl, self.symbol, "1", str(self.lots), self.price)


def echo_of(m: FixMessage) -> tuple[str | None, ...]:
    price = m.get(44)
    return (m.type, m.get(150), m.get(11), m.get(55), m.get(54), m.get(38), price)


class WireStage(Stage):
    """A Stage whose sessions are on the wire. What goes wrong with a connection is held against the clause."""

    venue: WireVenue

    def __init__(self, venue: WireVenue, clause: str, why: str) -> None:
        super().__init__(venue, clause, why)
        self.on: Instrument = venue.fresh_symbol()
        self.since = 0
        self._numbers = itertools.count(1)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, TcpError):
            self.venue.spoiled = True
            self.fail(self.why, ["TCP as it is"], [str(error)])
        super().__exit__(kind, error, trace)

    def fail(self, message: str, expected: Sequence[str], actual: Sequence[str]) -> NoReturn:
        self.venue.spoiled = True  # the next test must not be judged by what this one left
        super().fail(message, expected, actual)

    # --- saying ---

    def tickets(self, count: int, on: Instrument | None = None) -> list[Ticket]:
        """So many different orders."""
        made = []
        for n in itertools.islice(self._numbers, count):
            cl, instrument = self.venue.new_cl(), on or self.on
            lots, ticks = 1 + n % 7, PRICE_TICKS - 1 - n % LEVELS
            fields = order(self.venue, instrument, cl, "buy", lots, ticks)
            made.append(
                Ticket(cl, instrument.symbol, lots * instrument.lot_size, instrument.price(ticks), tuple(fields))
            )
        return made

    def write(self, client: FixClient, tickets: Sequence[Ticket]) -> bytes:
        """The orders as the session's next messages."""
        return b"".join(message(client, "D", t.fields) for t in tickets)

    def send(
        self, client: FixClient, tickets: Sequence[Ticket], plan: Plan | Callable[[int], Plan] | None = None
    ) -> bytes:
        """Puts them on the wire together, delivered by the plan."""
        data = self.write(client, tickets)
        self.deliver(client, data, plan)
        return data

    def deliver(self, client: FixClient, data: bytes, plan: Plan | Callable[[int], Plan] | None = None) -> None:
        made = plan(len(data)) if callable(plan) else plan
        with planned(self.venue, made):
            client.send_raw(data)

    # --- hearing ---

    def acknowledged(
        self, client: FixClient, tickets: Sequence[Ticket], note: str = "", within_s: float = ANSWERED_S
    ) -> None:
        """Demands one acceptance of each, in their order, each saying what was sent, and nothing else."""
        heard: list[FixMessage] = []
        until = time.monotonic() + within_s
        while len(heard) < len(tickets):
            try:
                m = client.expect(lambda m: m.type not in "01", max(0.0, until - time.monotonic()))
            except NoAnswer:
                break
            heard.append(m)
            if m.type != "8":
                break
        self.same([t.echo for t in tickets], heard, note)

    def same(self, expected: Sequence[tuple[str | None, ...]], heard: Sequence[FixMessage], note: str = "") -> None:
        if list(expected) == [_with_price(echo_of(m), e) for m, e in zip(heard, expected, strict=False)] and len(
            expected
        ) == len(heard):
            return
        at = next(
            (n for n, (e, m) in enumerate(zip(expected, heard, strict=False)) if e != _with_price(echo_of(m), e)),
            min(len(expected), len(heard)),
        )
        shown = [show_raw(m.raw) for m in heard[at : at + 3]] or ["nothing in time"]
        wanted = [" ".join(str(word) for word in e) for e in expected[at : at + 3]] or ["nothing more"]
        self.fail(f"{self.why}{f' ({note})' if note else ''}: answer {at + 1} of {len(expected)}", wanted, shown)

    def quiet(self, client: FixClient) -> None:
        """Demands that nothing but the answer to a question comes, and that the session has lost no number."""
        self.only(self.answers(client), "", "nothing more")

    def exchange(self, client: FixClient, count: int, plan: Plan | Callable[[int], Plan] | None = None) -> list[Ticket]:
        """Orders, delivered by the plan and answered."""
        tickets = self.tickets(count)
        self.send(client, tickets, plan)
        self.acknowledged(client, tickets, str(plan)[:200] if isinstance(plan, Plan) else "")
        return tickets

    # --- the log ---

    def logged(self, of: Sequence[str] = ()) -> list[Step]:
        """New orders that the log has since the stage began, under these ClOrdIDs or all. A last order is the fence."""
        fence = self.exchange(self.peer(), 1)[0].cl
        found = [s for s in self.venue.logged(fence, self.since) if s.op is Op.NEW and s.cl != fence]
        wanted = set(of)
        return [s for s in found if not of or s.cl in wanted]

    def once_in_order(self, *sessions: Sequence[Ticket], never: Sequence[str] = ()) -> None:
        """Demands that the log has each session's orders once and in their order, and none of `never`."""
        sent = [[t.cl for t in tickets] for tickets in sessions]
        found = [s.cl for s in self.logged([*itertools.chain(*sent), *never])]
        for cls in sent:
            mine = set(cls)
            logged = [cl for cl in found if cl in mine]
            if logged != cls:
                at = next(
                    (n for n, (a, b) in enumerate(zip(cls, logged, strict=False)) if a != b), min(len(cls), len(logged))
                )
                self.fail(
                    f"{self.why}: the log has other orders than were sent, from order {at + 1} of {len(cls)} on",
                    cls[at : at + 5] or ["nothing more"],
                    logged[at : at + 5] or ["nothing more"],
                )
        if bad := [cl for cl in found if cl in set(never)]:
            self.fail(f"{self.why}: an order is in the log that must not be", ["none of them"], bad[:5])


def _with_price(echo: tuple[str | None, ...], like: tuple[str | None, ...]) -> tuple[str | None, ...]:
    """A report may leave quantity and price out, and write a price otherwise."""
    out = list(echo)
    for n in (5, 6):
        if out[n] is None or (like[n] is not None and _number(out[n]) == _number(like[n])):
            out[n] = like[n]
    return tuple(out)


def _number(text: str | None) -> float | None:
    try:
        return float(text or "")
    except ValueError:
        return None


def message(client: FixClient, kind: str, fields: Sequence[Field]) -> bytes:
    """The session's next message; its number is used up."""
    head = [
        (34, str(client.next_out)), (49, client.sender_comp_id), (56, client.endpoint.target_comp_id), (52, utc()),
    ]  # fmt: skip
    client.next_out += 1
    return encode(client.endpoint.begin_string, kind, head, fields)


def logon(client: FixClient, token: str | None = None) -> bytes:
    """Its next Logon, for a connection that the client does not know of."""
    said: list[Field] = [(98, "0"), (108, "30")]
    for tag, value in client.endpoint.logon_fields.items():
        said.append((tag, value.replace("${TOKEN}", token or client.token or "")))
    return message(client, "A", said)


@contextmanager
def planned(venue: WireVenue, plan: Plan | None) -> Iterator[None]:
    """What sessions over frames write meanwhile is delivered by the plan."""
    before, venue.plans = venue.plans, (lambda data: plan if plan and plan.length == len(data) else None)
    try:
        yield
    finally:
        venue.plans = before


def first_message(stream: bytes) -> bytes:
    """The first whole FIX message of a stream; nothing when there is none."""
    end = stream.find(b"\x0110=")
    return stream[: end + 8] if end >= 0 and len(stream) >= end + 8 else b""


def kind_of(raw: bytes) -> str:
    """MsgType; empty when there is none."""
    at = raw.find(b"\x0135=")
    return raw[at + 4 : raw.find(b"\x01", at + 4)].decode("latin-1") if at >= 0 else ""


def hears(client: TcpClient, timeout_s: float) -> bytes:
    """What is said on a bare connection until a whole message is there, it ends or the time is up."""
    return client.receive_until(lambda data: bool(first_message(data)), timeout_s)


def unavailable(why: str) -> NoReturn:
    """The check cannot be made, and nobody is to blame."""
    raise TargetUnavailable(why)
