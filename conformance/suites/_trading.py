"""What the suites over FIX have in common: trading parties, waiting until all is said, and judging what they were told.

A test trades in a fresh symbol on the accounts' kept sessions. At its end every session is asked a question that changes nothing,
and when that is answered all that was to be said has been said; then the checks of reports look at the whole of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, NoReturn

from matchmark.conformance.checks.differential import ModelOfTarget
from matchmark.conformance.checks.finding import Finding
from matchmark.conformance.checks.reports import check_streams
from matchmark.conformance.checks.reports_read import decimal, words
from matchmark.conformance.checks.reports_seen import Market
from matchmark.conformance.checks.reports_serial import serial_history
from matchmark.conformance.fix import business
from matchmark.conformance.fix.business import SIDES, Instrument
from matchmark.conformance.fix.client import ConnectionEnded, FixClient, NoAnswer
from matchmark.conformance.fix.message import Field, FixError, FixMessage, Line
from matchmark.conformance.fix.wire import assemble, utc
from matchmark.conformance.history import History
from matchmark.conformance.messages import Side, Tif
from matchmark.conformance.targets.base import Instruments, TargetDied, TargetError
from matchmark.conformance.venue import Venue
from matchmark.conformance.verdict import fix_violation, violation_type, wire_log

BUSINESS = frozenset("89jr3")
"""What a party is told; everything else belongs to the session."""
NUMBERS = frozenset((6, 14, 31, 32, 38, 44, 151, 533))
OPTIONAL = frozenset((1, 38, 40, 44, 59))
"""FIX lets an ExecutionReport leave these out; they are compared when they are there."""

Report = dict[int, str | None]
"""Fields that a report must have, and with None those that it must not have."""


@dataclass(eq=False)
class Party:
    """One session that trades. What it is told and nobody has fetched yet is in `inbox`."""

    floor: Floor
    account: str
    client: FixClient
    inbox: list[FixMessage] = field(default_factory=list)
    began: int = 0
    """Where its stream stood when it joined."""

    # --- asking ---

    def send(self, kind: str, fields: Sequence[Field]) -> FixMessage:
        try:
            return self.client.send(kind, fields)
        except ConnectionEnded as error:
            raise self.floor.ended(self, error) from None

    def new(
        self,
        side: str,
        lots: int,
        ticks: int | None = None,
        *,
        tif: str = Tif.DAY,
        cl: str | None = None,
        on: Instrument | None = None,
    ) -> str:
        """A NewOrderSingle: limit with `ticks`, else market. Its ClOrdID."""
        cl = cl or self.floor.venue.new_cl()
        on = on or self.floor.on
        self.floor.sides[cl] = side
        self.floor.orders[cl] = self.account, on
        self.send("D", self.floor.with_account(self.account, business.new_order(on, cl, side, lots, ticks, tif=tif)))
        return cl

    def buy(self, lots: int, ticks: int | None = None, **more: Any) -> str:
        return self.new(Side.BUY, lots, ticks, **more)

    def sell(self, lots: int, ticks: int | None = None, **more: Any) -> str:
        return self.new(Side.SELL, lots, ticks, **more)

    def cancel(self, orig: str, *, cl: str | None = None, on: Instrument | None = None) -> str:
        cl = cl or self.floor.venue.new_cl()
        side = self.floor.sides.get(orig, Side.BUY)
        self.send("F", self.floor.with_account(self.account, business.cancel(on or self.floor.on, cl, orig, side)))
        return cl

    def replacing(self, orig: str, lots: int, ticks: int, on: Instrument | None = None) -> tuple[str, list[Field]]:
        """ClOrdID and fields of a replace, to be sent."""
        cl, on = self.floor.venue.new_cl(), on or self.floor.on
        side = self.floor.sides[cl] = self.floor.sides.get(orig, Side.BUY)
        self.floor.orders[cl] = self.account, on
        return cl, self.floor.with_account(self.account, business.replace(on, cl, orig, side, lots, ticks))

    def replace(self, orig: str, lots: int, ticks: int, *, on: Instrument | None = None) -> str:
        cl, fields = self.replacing(orig, lots, ticks, on)
        self.send("G", fields)
        return cl

    def status(self, order: str) -> str:
        self.send("H", business.status(self.floor.on, order, self.floor.sides.get(order, Side.BUY)))
        return order

    def send_cut(self, messages: Sequence[tuple[str, Sequence[Field]]], size: int | None) -> list[str]:
        """Sends messages as one run of bytes, cut into pieces of that size. Their ClOrdIDs."""
        client, made = self.client, list[FixMessage]()
        for kind, fields in messages:
            header = [
                (34, str(client.next_out)),
                (49, client.sender_comp_id),
                (56, client.endpoint.target_comp_id),
                (52, utc()),
            ]
            client.next_out += 1
            made.append(assemble(client.endpoint.begin_string, kind, header, fields))
        data = b"".join(m.raw for m in made)
        size = size or len(data)
        before = len(client.stream)
        for at in range(0, len(data), size):
            client.send_raw(data[at : at + size])
        heard = [line for line in client.stream[before:] if not line.sent]
        client.stream[before:] = [*(Line(True, m) for m in made), *heard]
        return [m.need(11) for m in made]

    # --- hearing ---

    def gather(self, timeout_s: float = 0.0) -> None:
        """Takes what has come."""
        for m in self.client.poll(timeout_s):
            if m.type in BUSINESS and m.get(11) not in self.floor.fences:
                self.inbox.append(m)
            elif m.type in BUSINESS:
                self.floor.passed.add(m.need(11))
        if not self.client.connected:
            raise self.floor.ended(self, "the connection was cut")

    def told(self, count: int) -> list[FixMessage]:
        """The next `count` messages that it is told; fewer when they do not come. What it is told beyond them stays."""
        waits = self.floor.patience_s / 0.05
        while len(self.inbox) < count and waits > 0:
            before = len(self.inbox)
            self.gather(0.05)
            waits -= len(self.inbox) == before
        taken, self.inbox = self.inbox[:count], self.inbox[count:]
        return taken

    def all(self) -> list[FixMessage]:
        """Everything that it has been told, when all that any party sent so far is decided and told."""
        self.floor.settle()
        taken, self.inbox = self.inbox, []
        return taken

    def fence(self) -> str:
        """A question that changes nothing; its answer comes behind all that was caused before it."""
        cl = self.floor.venue.new_cl()
        self.floor.fences.add(cl)
        if "order_status" in self.floor.has:
            self.send("H", business.status(self.floor.on, cl, Side.BUY))
        else:
            self.send("F", business.cancel(self.floor.on, cl, self.floor.venue.new_cl(), Side.BUY))
        return cl

    def pass_fence(self, cl: str) -> None:
        waits = self.floor.patience_s / 0.05
        while cl not in self.floor.passed:
            before = len(self.inbox)
            self.gather(0.05)
            waits -= len(self.inbox) == before
            if waits <= 0:
                raise NoAnswer(f"session {self.client.sender_comp_id}: a status request was not answered")


class Floor:
    """The parties of one test and the instrument that they trade."""

    def __init__(self, venue: Venue, on: Instrument | None = None) -> None:
        self.venue = venue
        self.on = on or venue.fresh_symbol()
        self.has = venue.profile.info.capabilities
        self.patience_s = venue.profile.answer_timeout_s
        self.parties: list[Party] = []
        self.sides: dict[str, str] = {}
        self.orders: dict[str, tuple[str, Instrument]] = {}
        self.fences: set[str] = set()
        self.passed: set[str] = set()
        self.instruments: dict[str, Instrument] = {self.on.symbol: self.on}
        tick = str(venue.instruments.get("tick_size", "0.01"))
        decimals = venue.table.get("price_decimals", max(-int(Decimal(tick).as_tuple().exponent), 0))
        self.average_decimals: int = venue.table.get("avg_px_decimals", decimals + 4)

    def party(self, n: int = 1, session: int = 0) -> Party:
        """The n-th account on its kept session."""
        account = self.venue.accounts[n - 1]
        return self.join(account, self.venue.session(account, session))

    def join(self, account: str, client: FixClient) -> Party:
        party = Party(self, account, client, began=len(client.stream))
        self.parties.append(party)
        return party

    def with_account(self, account: str, fields: Sequence[Field]) -> list[Field]:
        """With the fields that the profile wants in every order."""
        given = {tag for tag, _ in fields}
        more = self.venue.order_fields.items()
        return [*fields, *((tag, value.replace("{account}", account)) for tag, value in more if tag not in given)]

    def also_trades(self, on: Instrument) -> Instrument:
        self.instruments[on.symbol] = on
        return on

    def mass_cancel(self, party: Party, on: Instrument | None = None) -> str:
        """Of one symbol, or of all."""
        cl = self.venue.new_cl()
        party.send("q", self.with_account(party.account, business.mass_cancel(cl, on)))
        return cl

    # --- judging ---

    def leave(self) -> None:
        """Nothing of this test stays in the books."""
        self.settle()
        for party in {p.account: p for p in self.parties if p.client.logged_on}.values():
            if "mass_cancel" in self.has:
                self.mass_cancel(party)
                continue
            for order, (owner, on) in list(self.orders.items()):
                if owner == party.account and "cancel" in self.has:
                    party.cancel(order, on=on)
        self.settle()

    def settle(self) -> None:
        """Until everything that was sent is decided, and everything that this caused is told to everyone."""
        here = [party for party in self.parties if party.client.logged_on]
        for _ in range(2):  # the second one comes behind what the others' last requests caused
            for party, cl in [(party, party.fence()) for party in here]:
                party.pass_fence(cl)

    @property
    def market(self) -> Market:
        accounts = {p.client.sender_comp_id: p.account for p in self.parties}
        return Market(self.instruments, accounts, self.average_decimals)

    def streams(self) -> dict[str, list[Line]]:
        return {p.client.sender_comp_id: p.client.stream[p.began :] for p in self.parties}

    def judge(self, complete: bool = True) -> None:
        """Raises what the checks of reports find in all that was said."""
        market = self.market
        found = check_streams(
            self.streams(),
            market.instruments,
            accounts=market.accounts,
            average_decimals=market.average_decimals,
            complete=complete,
        )
        if found:
            self.blame(found)

    def explain(self) -> None:
        """Raises unless one order of all requests, decided one by one as the rules say, explains what every session was told."""
        info = replace(self.venue.profile.info, instruments=Instruments(tuple(self.instruments)))
        _, wrong = serial_history(self.streams(), self.market, ModelOfTarget(info))
        if wrong is not None:
            self.blame([wrong])

    def blame(self, found: Sequence[Finding]) -> NoReturn:
        """The first finding is raised; the first ones of other clauses come with it."""
        history = History(wire=wire_log(self.streams()))
        firsts = {f.clause: f for f in reversed(found)}
        raised = violation_type(found[0].clause)(found[0], history)
        raised.also = [violation_type(c)(f, history) for c, f in sorted(firsts.items()) if c != found[0].clause]
        raise raised

    def violate(self, clause: str, message: str, expected: Sequence[str], actual: Sequence[str]) -> NoReturn:
        fix_violation(clause, message, expected, actual, self.streams())

    def expect(
        self,
        clause: str,
        party: Party,
        expected: Sequence[Report],
        message: str,
        told: Sequence[FixMessage] | None = None,
    ) -> list[FixMessage]:
        """The next that the party is told are these reports, field by field."""
        told = party.told(len(expected)) if told is None else list(told)
        if len(told) != len(expected) or not all(map(fits, told, expected)):
            self.violate(
                clause,
                f"{party.account} {message}",
                [shown(r) for r in expected],
                [_like(m, expected, i) for i, m in enumerate(told)],
            )
        return list(told)

    def expect_silence(self, clause: str, party: Party, message: str) -> None:
        """It is told nothing more."""
        told = party.all()
        if told:
            self.violate(clause, f"{party.account} {message}", ["nothing"], [words(m) for m in told])

    def ended(self, party: Party, how: object) -> TargetDied:
        engine = self.venue.engine
        if engine is not None and engine.died:
            return TargetDied(f"it ended{engine.last_words()}")
        return TargetDied(f"session {party.client.sender_comp_id}: {how}")


@contextmanager
def trading(venue: Venue, on: Instrument | None = None) -> Iterator[Floor]:
    """A test's floor. At the end what is left in the books is cancelled, all is settled, and the whole of it judged."""
    floor = Floor(venue, on)
    try:
        yield floor
    except BaseException:
        with suppress(FixError, TargetError):
            floor.leave()
        raise
    floor.leave()
    floor.judge()


# --- expected reports ---


def fits(m: FixMessage, wanted: Report) -> bool:
    return all(_agrees(m.get(tag), value, tag) for tag, value in wanted.items())


def _agrees(told: str | None, value: str | None, tag: int) -> bool:
    if told is None or value is None:
        return told is None and (value is None or tag in OPTIONAL)
    if tag in NUMBERS:
        return decimal(told) is not None and decimal(told) == decimal(value)
    return told == value


def shown(report: Report) -> str:
    return "|".join(f"{tag}={'(absent)' if value is None else value}" for tag, value in report.items())


def _like(m: FixMessage, expected: Sequence[Report], n: int) -> str:
    """The message by the fields that are asked of it, or whole when it is one too many."""
    return words(m, *expected[n]) if n < len(expected) else words(m)


class Teller:
    """Makes the reports that one order must get, in shares and prices of its instrument."""

    def __init__(
        self,
        floor: Floor,
        cl: str,
        side: str,
        lots: int,
        ticks: int | None,
        tif: str = Tif.DAY,
        on: Instrument | None = None,
    ) -> None:
        self.on = on or floor.on
        self.cl, self.lots, self.cum, self.value = cl, lots, 0, 0
        self.decimals = floor.average_decimals
        self.fixed: Report = {55: self.on.symbol, 54: SIDES[Side(side)]}
        self.form: Report = {40: "1" if ticks is None else "2", 59: {"day": "0", "ioc": "3"}[tif]}
        self.form |= {} if ticks is None else {44: self.on.price(ticks)}

    def _report(self, exec_type: str, status: str, leaves: int, **more: str | None) -> Report:
        q = self.on.quantity
        average = Decimal(self.value) * self.on.tick_size / self.cum if self.cum else Decimal(0)
        report: Report = {35: "8", 150: exec_type, 39: status, 11: self.cl, **self.fixed, 38: q(self.lots), **self.form}
        report |= {151: q(leaves), 14: q(self.cum)}
        if average == round(average, self.decimals):
            report[6] = f"{average:f}"  # any other one is for the checks, which know how it may be rounded
        return report | {int(name[1:]): value for name, value in more.items()}

    def accepted(self) -> Report:
        return self._report("0", "0", self.lots)

    def fill(self, lots: int, ticks: int) -> Report:
        self.cum += lots
        self.value += lots * ticks
        leaves = self.lots - self.cum
        return self._report("F", "1" if leaves else "2", leaves, t32=self.on.quantity(lots), t31=self.on.price(ticks))

    def ended(self, asked: str | None = None) -> Report:
        """Cancelled: because of the request `asked`, or unsolicited."""
        if asked is None:
            return self._report("4", "4", 0)
        return self._report("4", "4", 0, t11=asked, t41=self.cl)

    def replaced(self, cl: str, lots: int, ticks: int) -> Report:
        orig, self.cl, self.lots = self.cl, cl, lots
        self.form[44] = self.on.price(ticks)
        return self._report("5", "1" if self.cum else "0", lots - self.cum, t41=orig)
