"""What the suites of the session layer have in common: the sessions of one check, and the ways to judge what they hear.

Nothing waits by the clock: a TestRequest behind the message in question is the barrier up to which what the session itself
answers is collected, and a session that must end is read until it does. Reports come when the engine has decided, which may
be behind the barrier: they are waited for by name.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import NoReturn, Protocol, Self, TypedDict, Unpack

from matchmark.conformance.checks.fix_faults import judge_faults
from matchmark.conformance.fix.business import Instrument, cancel, new_order
from matchmark.conformance.fix.client import ConnectionEnded, Endpoint, FixClient, LogonRefused, NoAnswer
from matchmark.conformance.fix.message import Field, FixError, FixMessage, Line, show_raw
from matchmark.conformance.messages import Tif
from matchmark.conformance.verdict import fix_violation

WAIT_S = 10.0
"""For an answer that must come, or an end; only a broken exchange makes anyone wait so long."""
PRICE_TICKS = 10_050
REST_TICKS = PRICE_TICKS - 10
EXECUTED = frozenset(("1", "2", "F"))
"""ExecType (150) of a trade, by the names of FIX 4.4 and older."""


class Engine(Protocol):
    folder: Path

    def output(self) -> str: ...


class SessionVenue(Protocol):
    """What these suites need of a venue."""

    accounts: list[str]
    order_fields: dict[int, str]
    cancel_on_disconnect: dict[int, str]
    """Fields of a Logon that ask for it."""

    @property
    def engine(self) -> Engine | None:
        """The engine, if it was started here."""

    @property
    def endpoint(self) -> Endpoint: ...
    def session(self, account: str, n: int = 0) -> FixClient: ...
    def client(self, account: str, sender: str, token: str | None = None) -> FixClient: ...
    def new_sender(self, account: str) -> str: ...
    def token(self, account: str, ttl_s: int = 600, role: str = "trader", **claims: str) -> str: ...
    def token_of(self, account: str) -> str: ...
    def fresh_symbol(self) -> Instrument: ...
    def new_cl(self) -> str: ...
    def streams(self) -> dict[str, list[Line]]: ...


class Logon(TypedDict, total=False):
    """What log_on_and may alter."""

    seq: int
    fields: Mapping[int, str | None]
    reset: bool
    sender: str | None
    target: str | None
    begin: str
    sending_time: str | None
    heartbeat_s: int


class Stage:
    """One check of one clause. What ends it early is judged: an answer that does not come breaks the clause.

    Sessions of `peer` have auto off: they say only what the check says, and hear everything as it comes.
    """

    def __init__(self, venue: SessionVenue, clause: str, why: str) -> None:
        self.venue, self.clause, self.why = venue, clause, why
        self.account = venue.accounts[1 % len(venue.accounts)]
        self._clients: list[FixClient] = []
        self._marks = itertools.count(1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, FixError):
            self.fail(self.why, ["an answer"], [str(error)])
        if error is None:
            judge_faults((fault for client in self._clients for fault in client.faults), self.venue.streams())

    def fail(self, message: str, expected: Sequence[str], actual: Sequence[str]) -> NoReturn:
        fix_violation(self.clause, message, expected, actual or ["nothing"], self.venue.streams())

    # --- sessions ---

    def stranger(
        self, *, account: str | None = None, sender: str | None = None, token: str | None = None, auto: bool = False
    ) -> FixClient:
        """Of a SenderCompID that nobody used, connected and not logged on."""
        account = account or self.account
        client = self.venue.client(account, sender or self.venue.new_sender(account), token)
        client.auto = auto
        self._clients.append(client)
        return client.connect()

    def peer(
        self,
        *,
        account: str | None = None,
        sender: str | None = None,
        token: str | None = None,
        heartbeat_s: int | None = None,
        fields: Mapping[int, str | None] | None = None,
        auto: bool = False,
    ) -> FixClient:
        """The same, logged on."""
        client = self.stranger(account=account, sender=sender, token=token, auto=auto)
        client.logon(heartbeat_s=heartbeat_s, fields=fields, timeout_s=WAIT_S)
        return client

    def reconnect(self, client: FixClient) -> FixMessage:
        """Another connection of a session, logged on, its numbers going on; gives the Logon that was the answer.

        The exchange may need a moment to see that the old connection is gone, and refuses until then.
        """
        until = time.monotonic() + WAIT_S
        while True:
            number = client.next_out
            client.connect()
            try:
                return client.logon(timeout_s=WAIT_S)
            except LogonRefused:
                if time.monotonic() > until:
                    raise
            client.next_out = number
            time.sleep(0.02)

    def log_on_and(self, client: FixClient, order: Sequence[Field], **logon: Unpack[Logon]) -> list[FixMessage]:
        """Sends a Logon that must be refused with an order right behind it; gives what is said until the end."""
        try:
            number = client.next_out
            client.send_logon(**logon)
            client.send("D", order)
            client.next_out = number
        except ConnectionEnded:
            pass  # it was quicker
        ended = client.wait_closed(WAIT_S)
        heard = client.poll()
        if not ended:
            self.fail(self.why, ["the connection is ended"], [*shown(heard), "it stays open"])
        return self.only(heard, "5", "no Logon: a Logout or nothing, and the end of the connection")

    # --- hearing ---

    def answers(self, client: FixClient) -> list[FixMessage]:
        """What the exchange says up to a barrier, Heartbeats left out; up to the end when it ends the session, which we
        then let it do in order."""
        mark = f"mark-{next(self._marks)}"
        got: list[FixMessage] = []
        try:
            client.test_request(mark)
            while True:
                m = client.expect(lambda _: True, WAIT_S)
                if m.type == "0" and m.get(112) == mark:
                    return got
                if m.type == "1":
                    if not client.auto:
                        client.send("0", [(112, m.need(112))])
                elif m.type == "5":
                    got.append(m)
                    client.send("5", ())
                elif m.type != "0":
                    got.append(m)
        except ConnectionEnded:
            return upto_logout(got + [m for m in client.poll() if m.type not in "01"])

    def filled(self, client: FixClient, order: Iterable[Field]) -> FixMessage:
        """The report that says that the order is filled; what came until then has been looked at."""
        cl = dict(order)[11]

        def is_it(m: FixMessage) -> bool:
            return m.type == "8" and m.get(11) == cl and m.get(39) == "2"

        last = next((m for m in self.told(client, "8") if is_it(m)), None) or client.expect(is_it, WAIT_S)
        client.poll()
        return last

    def told(self, client: FixClient, kinds: str) -> list[FixMessage]:
        """All messages of these types that it was told, also those that were looked at."""
        return [line.message for line in client.stream if not line.sent and line.message.type in kinds]

    def goes_on(self, client: FixClient, said: Iterable[FixMessage] = ()) -> None:
        """Demands that the session is there and has lost no number."""
        heard = [*said, *(self.answers(client) if client.connected else ())]
        if not client.connected:
            self.fail(self.why, ["the session goes on"], [*shown(heard), "the connection is closed"])
        if any(m.type in "25" for m in heard):
            self.fail(self.why, ["the session goes on, no number missing"], shown(heard))

    def ends(self, client: FixClient, said: Iterable[FixMessage] | None = None) -> list[FixMessage]:
        """Demands that the exchange ends the connection; gives what it said before."""
        try:
            heard = list(said) if said is not None else self.answers(client)
        except NoAnswer:
            heard = client.poll()
        if client.connected and not client.wait_closed(WAIT_S):
            self.fail(self.why, ["the exchange ends the connection"], shown(heard) or ["it stays open"])
        return heard

    def only(self, heard: Sequence[FixMessage], kinds: str, expected: str) -> list[FixMessage]:
        """Demands that nothing but messages of these types came."""
        if any(m.type not in kinds for m in heard):
            self.fail(self.why, [expected], shown(heard))
        return list(heard)

    def rejected(
        self, heard: Sequence[FixMessage], sent: FixMessage, reasons: Sequence[str], tag: str | None = None
    ) -> None:
        """Demands one Reject (3) of that message, with one of these reasons, and nothing decided."""
        expected = f"35=3 45={sent.get(34)} 373={' or '.join(reasons)}" + (f" 371={tag}" if tag else "")
        rejects = [m for m in heard if m.type == "3"]
        sound = len(rejects) == 1 and rejects[0].get(45) == sent.get(34) and rejects[0].get(373) in reasons
        if not sound or any(m.type in "89" for m in heard):
            self.fail(self.why, [expected], shown(heard))
        if tag is not None and rejects[0].get(371) != tag:
            self.fail(self.why, [expected], shown(heard))


def upto_logout(heard: Sequence[FixMessage]) -> list[FixMessage]:
    """Without what the session says behind a Logout of its own: it may ask for what it did not look at any more."""
    last = next((n for n, m in enumerate(heard) if m.type == "5"), len(heard))
    return [m for n, m in enumerate(heard) if n <= last or m.type not in "012345"]


def shown(messages: Iterable[FixMessage]) -> list[str]:
    return [show_raw(m.raw) for m in messages]


def order(
    venue: SessionVenue, instrument: Instrument, cl: str, side: str, lots: int, ticks: int | None, tif: str = Tif.DAY
) -> list[Field]:
    """A NewOrderSingle with what this exchange wants in each."""
    fields = new_order(instrument, cl, side, lots, ticks, tif=tif)
    given = {tag for tag, _ in fields}
    return fields + [(tag, value) for tag, value in venue.order_fields.items() if tag not in given]


class Bait:
    """A resting sell order of another account. Whoever's buy order is decided trades with it, and it tells."""

    def __init__(self, stage: Stage, lots: int = 5) -> None:
        self.stage, self.lots = stage, lots
        venue = stage.venue
        self.witness = venue.session(venue.accounts[0])
        self.instrument = venue.fresh_symbol()
        self.cl = venue.new_cl()
        self.witness.send("D", order(venue, self.instrument, self.cl, "sell", lots, PRICE_TICKS))
        self.report(self.cl, "0")

    def report(self, cl: str, exec_type: str) -> FixMessage:
        return self.witness.expect(lambda m: m.type == "8" and m.get(11) == cl and m.get(150) == exec_type, WAIT_S)

    def order(self, lots: int = 1, cl: str | None = None) -> list[Field]:
        """Fields of a NewOrderSingle that takes the bait if it is decided."""
        venue = self.stage.venue
        return order(venue, self.instrument, cl or venue.new_cl(), "buy", lots, PRICE_TICKS)

    def resting(self, lots: int = 1, cl: str | None = None) -> list[Field]:
        """Fields of one that rests below the bait."""
        venue = self.stage.venue
        return order(venue, self.instrument, cl or venue.new_cl(), "buy", lots, REST_TICKS)

    def sell_into_resting(self, lots: int = 1) -> FixMessage:
        """The witness sells to what rests below the bait; gives the last report of its order."""
        venue, cl = self.stage.venue, self.stage.venue.new_cl()
        self.witness.send("D", order(venue, self.instrument, cl, "sell", lots, REST_TICKS, Tif.IOC))
        return self.witness.expect(lambda m: m.type == "8" and m.get(11) == cl and m.get(151) == "0", WAIT_S)

    def taken(self) -> int:
        """Withdraws what is left of the bait, and tells how many lots were traded."""
        cl = self.stage.venue.new_cl()
        self.witness.send("F", cancel(self.instrument, cl, self.cl, "sell", self.lots))

        def over(m: FixMessage) -> bool:
            return (m.type == "8" and m.get(41) == self.cl) or (m.type == "9" and m.get(11) == cl)

        m = self.witness.expect(over, WAIT_S)
        if m.type == "9":  # too late: all is traded
            return self.lots
        return self.instrument.lots(m.need(14))

    def demand_taken(self, lots: int, why: str) -> None:
        taken = self.taken()
        if taken != lots:
            self.stage.fail(why, [f"{lots} lots traded"], [f"{taken} lots traded"])

    def demand_untouched(self) -> None:
        self.demand_taken(0, f"{self.stage.why}: an order was decided that must not be")


def fields_without(fields: Iterable[Field], *tags: int) -> list[Field]:
    return [field for field in fields if field[0] not in tags]


def fields_with(fields: Iterable[Field], tag: int, value: str) -> list[Field]:
    return [(t, value if t == tag else v) for t, v in fields]


def each(messages: Iterable[FixMessage], wanted: Callable[[FixMessage], bool]) -> list[FixMessage]:
    return [m for m in messages if wanted(m)]
