"""The kit's FIX client: one session of one trader, with every message kept as evidence.

It keeps the rules of the session layer on its own side (heartbeats, resends, gap fills) unless `auto` is off, and judges the
counterparty's: what breaks them is in `faults`. Reading never raises for a fault of the counterparty; a call that waits for
something raises NoAnswer or ConnectionEnded when it cannot come.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypedDict, Unpack

from matchmark.conformance.fix.carrier import Carrier, Connection, CutOff, Unread
from matchmark.conformance.fix.message import Field, FixError, FixFault, FixMessage, Line, number
from matchmark.conformance.fix.numbers import GAP_FILLED, Numbers, Sent
from matchmark.conformance.fix.sequence import Incoming
from matchmark.conformance.fix.wire import Reader, assemble, split, tag_of, utc

ANSWER_TIMEOUT_S = 10.0
ORDER_TYPES = frozenset("DG")
"""Messages that get the profile's order_fields."""


@dataclass(frozen=True)
class Endpoint:
    host: str
    port: int
    begin_string: str = "FIX.4.4"
    target_comp_id: str = "MATCHMARK"
    heartbeat_s: int = 30
    logon_fields: Mapping[int, str] = field(default_factory=dict)
    """${TOKEN} in a value stands for the client's token; without one the field is left out."""
    order_fields: Mapping[int, str] = field(default_factory=dict)
    reset_on_logon: bool = False


class NoAnswer(FixError):
    """What was waited for did not come in time."""


class ConnectionEnded(FixError):
    """The counterparty closed the connection, or there is none."""


class LogonRefused(ConnectionEnded):
    """`answer` is the Logout that said why; None when the connection was cut without a word."""

    def __init__(self, text: str, answer: FixMessage | None) -> None:
        super().__init__(text)
        self.answer = answer


class Overrides(TypedDict, total=False):
    """What a message's header says instead of what is right; None leaves a field out."""

    seq: int
    """A number of one's own uses none up."""
    sender: str | None
    target: str | None
    begin: str
    sending_time: str | None
    poss_dup: bool
    orig_sending_time: str | None
    poss_resend: bool
    header: Iterable[Field]
    body_length: str
    check_sum: str


Wanted = str | Callable[[FixMessage], bool]
"""A MsgType, or a question to each message."""


class FixClient:
    """`poll` and `expect` give what arrived in sequence, each number once; `stream` has everything, both ways.

    With auto=False nothing is sent that was not asked for, and everything that arrives is given as it comes. `persisted`
    are the numbers of an earlier client of the session, to go on with after a reconnect. `dial` connects to a host and port: over
    the kernel's TCP unless told otherwise.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        sender_comp_id: str,
        token: str | None = None,
        *,
        persisted: Numbers | None = None,
        auto: bool = True,
        dial: Callable[[str, int], Connection] = Carrier,
    ) -> None:
        self.endpoint = endpoint
        self.sender_comp_id = sender_comp_id
        self.token = token
        self.numbers = Numbers() if persisted is None else persisted
        self.auto = auto
        self.stream: list[Line] = []
        self.faults: list[FixFault] = []
        self.duplicates: list[FixMessage] = []
        """What came again, marked as possible duplicate."""
        self.heartbeat_s = endpoint.heartbeat_s
        """Of this connection, as its Logon asked."""
        self._inbox: deque[FixMessage] = deque()
        self._dial = dial
        self._carrier: Connection | None = None
        self._corked: list[bytes] | None = None
        self._fresh()

    def _fresh(self) -> None:
        """What belongs to one connection."""
        self.logged_on = False
        self._sent_ns = 0
        self._reader = Reader(self.endpoint.begin_string)
        self._incoming = Incoming(self.numbers, self.endpoint.target_comp_id, self.sender_comp_id, ordered=self.auto)
        self._reader.faults = self._incoming.faults = self.faults
        self._incoming.duplicates = self.duplicates

    # --- the connection ---

    @property
    def next_in(self) -> int:
        return self.numbers.next_in

    @next_in.setter
    def next_in(self, value: int) -> None:
        self.numbers.next_in = value

    @property
    def next_out(self) -> int:
        return self.numbers.next_out

    @next_out.setter
    def next_out(self, value: int) -> None:
        self.numbers.next_out = value

    @property
    def connected(self) -> bool:
        return self._carrier is not None

    def fileno(self) -> int:
        return -1 if self._carrier is None else self._carrier.fileno()

    def connect(self) -> FixClient:
        self.close()
        self._fresh()
        self._carrier = self._dial(self.endpoint.host, self.endpoint.port)
        return self

    def close(self) -> None:
        """Closes the connection without a Logout."""
        self._close(reset=False)

    def drop(self) -> None:
        """Cuts the connection with a TCP reset."""
        self._close(reset=True)

    def _close(self, reset: bool) -> None:
        if self._carrier is not None:
            self._carrier.close(reset)
        self._carrier = None
        self.logged_on = False

    def send_logon(
        self,
        *,
        fields: Mapping[int, str | None] | None = None,
        heartbeat_s: int | None = None,
        reset: bool | None = None,
        **over: Unpack[Overrides],
    ) -> FixMessage:
        """Sends a Logon and waits for nothing. `fields` are added or replace; None leaves a field out."""
        reset = self.endpoint.reset_on_logon if reset is None else reset
        if reset:
            self.numbers.reset()
        self.heartbeat_s = self.endpoint.heartbeat_s if heartbeat_s is None else heartbeat_s
        said: dict[int, str | None] = {98: "0", 108: str(self.heartbeat_s)}
        if reset:
            said[141] = "Y"
        for tag, value in self.endpoint.logon_fields.items():
            if "${TOKEN}" not in value:
                said[tag] = value
            elif self.token is not None:
                said[tag] = value.replace("${TOKEN}", self.token)
        said.update(fields or {})
        self._incoming.reset_asked = said.get(141) == "Y"
        return self.send("A", [(tag, value) for tag, value in said.items() if value is not None], **over)

    def logon(
        self,
        *,
        fields: Mapping[int, str | None] | None = None,
        heartbeat_s: int | None = None,
        reset: bool | None = None,
        timeout_s: float = ANSWER_TIMEOUT_S,
        **over: Unpack[Overrides],
    ) -> FixMessage:
        """Connects if need be, logs on, and gives the Logon that was the answer."""
        if self._carrier is None:
            self.connect()
        try:
            self.send_logon(fields=fields, heartbeat_s=heartbeat_s, reset=reset, **over)
            answer = self.expect(lambda m: m.type in "A5", timeout_s)
        except ConnectionEnded:
            raise LogonRefused("the connection was cut at logon", None) from None
        if answer.type == "5":
            raise LogonRefused(f"the logon was refused: {answer.get(58, '')}", answer)
        return answer

    def logout(self, timeout_s: float = ANSWER_TIMEOUT_S) -> FixMessage:
        """Says Logout, waits for the answer, closes."""
        try:
            self.send("5", ())
            return self.expect("5", timeout_s)
        finally:
            self.close()

    def wait_closed(self, timeout_s: float = ANSWER_TIMEOUT_S) -> bool:
        """Whether the counterparty closes the connection; what still arrives is kept for `poll`."""
        self._arrive(timeout_s, lambda: False)
        return self._carrier is None

    # --- out ---

    def send(self, msg_type: str, fields: Iterable[Field], **over: Unpack[Overrides]) -> FixMessage:
        """Sends a message under the next number, or under `seq`."""
        body = tuple(fields)
        if msg_type in ORDER_TYPES and self.endpoint.order_fields:
            given = {tag for tag, _ in body}
            body += tuple((tag, value) for tag, value in self.endpoint.order_fields.items() if tag not in given)
        seq = over.get("seq", self.next_out)
        now = over["sending_time"] if "sending_time" in over else utc()
        says: list[tuple[int, str | None]] = [(34, str(seq))]
        says.append((49, over.get("sender", self.sender_comp_id)))
        says.append((56, over.get("target", self.endpoint.target_comp_id)))
        says.append((52, now))
        if over.get("poss_dup"):
            says += [(43, "Y"), (122, over.get("orig_sending_time", now))]
        more = tuple(over.get("header", ()))
        if over.get("poss_resend"):
            more += ((97, "Y"),)
        header = [(tag, value) for tag, value in says if value is not None]
        begin = over.get("begin", self.endpoint.begin_string)
        message = assemble(
            begin,
            msg_type,
            (*header, *more),
            body,
            body_length=over.get("body_length"),
            check_sum=over.get("check_sum"),
        )
        if "seq" not in over:
            self.numbers.next_out += 1
            if msg_type not in GAP_FILLED:
                self.numbers.sent[seq] = Sent(msg_type, more, body, now or utc())
        self._put(message)
        return message

    def send_raw(self, data: bytes) -> None:
        """Sends any bytes; numbers are the caller's affair."""
        pairs = tuple((tag, value) for text, value in split(data) if (tag := tag_of(text)) is not None)
        self._put(FixMessage(pairs, data, time.perf_counter_ns()))

    def test_request(self, test_id: str) -> FixMessage:
        return self.send("1", ((112, test_id),))

    def send_again(self, begin: int, end: int = 0) -> None:
        """The answer to a ResendRequest: business messages again, a gap fill for each run of others."""
        last = self.next_out - 1 if end == 0 else min(end, self.next_out - 1)
        seq = max(1, begin)
        while seq <= last:
            kept = self.numbers.sent.get(seq)
            if kept is not None:
                kind, header, fields, when = kept
                self.send(kind, fields, seq=seq, poss_dup=True, orig_sending_time=when, header=header)
                seq += 1
                continue
            upto = seq
            while upto <= last and upto not in self.numbers.sent:
                upto += 1
            self.send("4", ((123, "Y"), (36, str(upto))), seq=seq, poss_dup=True)
            seq = upto

    def _put(self, message: FixMessage) -> None:
        if self._carrier is None:
            raise ConnectionEnded("there is no connection")
        if message.type == "1":
            self._incoming.tests.update(message.all(112))
        self.stream.append(Line(True, message))
        self._sent_ns = message.at_ns
        if self._corked is None:
            self._write(message.raw)
        else:
            self._corked.append(message.raw)

    def cork(self) -> None:
        """Keeps what is sent until `uncork`, so that it goes out together."""
        self._corked = []

    def uncork(self) -> None:
        held, self._corked = self._corked, None
        if held:
            self._write(b"".join(held))

    def _write(self, data: bytes) -> None:
        if self._carrier is None:
            raise ConnectionEnded("there is no connection")
        try:
            self._carrier.write(data)
        except CutOff as error:
            raise ConnectionEnded(f"the connection was cut: {error}") from None
        except Unread as error:
            raise NoAnswer(str(error)) from None

    # --- in ---

    def poll(self, timeout_s: float = 0.0) -> list[FixMessage]:
        """What has come and was not given yet; waits for the first such message up to `timeout_s`."""
        self._arrive(timeout_s, lambda: bool(self._inbox))
        given = list(self._inbox)
        self._inbox.clear()
        return given

    def expect(self, wanted: Wanted, timeout_s: float = ANSWER_TIMEOUT_S) -> FixMessage:
        """The first message that is `wanted`; those before it stay for the next call."""
        asked = 0
        found: list[FixMessage] = []

        def look() -> bool:
            nonlocal asked
            while asked < len(self._inbox):
                message = self._inbox[asked]
                if message.type == wanted if isinstance(wanted, str) else wanted(message):
                    del self._inbox[asked]
                    found.append(message)
                    return True
                asked += 1
            return False

        self._arrive(timeout_s, look)
        if found:
            return found[0]
        what = f"35={wanted}" if isinstance(wanted, str) else "what was waited for"
        if self._carrier is None:
            raise ConnectionEnded(f"the connection ended before {what} came")
        raise NoAnswer(f"{what} did not come within {timeout_s:g} s")

    def keep_alive(self) -> None:
        """Reads what is there and sends the heartbeat that is due."""
        self._arrive(0.0, lambda: False)

    def clear(self) -> None:
        """Forgets the stream, the faults and what was not fetched; numbers and connection stay."""
        for kept in (self.stream, self.faults, self.duplicates, self._inbox):
            kept.clear()

    def _arrive(self, timeout_s: float, done: Callable[[], bool]) -> None:
        """Reads until it is done, the time is up or the connection ends."""
        until = time.monotonic() + timeout_s
        left = timeout_s
        while not done() and self._carrier is not None:
            self._read(max(0.0, left))
            if left <= 0:
                return
            left = until - time.monotonic()

    def _read(self, wait_s: float) -> None:
        """One read, after at most the time given or until our heartbeat is due."""
        assert self._carrier
        if self.auto and self.logged_on and self.heartbeat_s:
            due_s = self.heartbeat_s - (time.perf_counter_ns() - self._sent_ns) / 1e9
            if due_s <= 0:
                self._answer("0", ())
            wait_s = min(wait_s, max(due_s, 0.0))
        carrier = self._carrier
        for data, at_ns in carrier.read(wait_s):
            for message in self._reader.feed(data, at_ns):
                self._take(message)
        if carrier.ended and not carrier.unread:
            self._reader.end()
            self.close()

    def _take(self, m: FixMessage) -> None:
        self.stream.append(Line(False, m))
        news = self._incoming.take(m)
        self._inbox += news
        self.logged_on = self.logged_on or m.type == "A"
        if not self.auto:
            return
        if m.type == "2":  # answered also from behind a gap: else both sides would wait
            with suppress(FixError):
                self.send_again(number(m, 7), number(m, 16))
        for message in news:
            if message.type == "1":
                self._answer("0", [(112, value) for value in message.all(112)])
        missing = self._incoming.missing_from()
        if missing is not None and m.type != "5":
            self._answer("2", ((7, str(missing)), (16, "0")))

    def _answer(self, msg_type: str, fields: Iterable[Field]) -> None:
        with suppress(FixError):  # the connection is gone: whoever reads next will see it
            self.send(msg_type, fields)
