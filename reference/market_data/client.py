"""One subscriber's connection: what it may say (docs/market-data.md), and what it is answered.

A mistake is answered with a reason and harms nobody else; the connection goes on.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from picows import WSCloseCode, WSTransport

from matchmark.reference.market_data.conflate import CHANNELS
from matchmark.reference.market_data.encode import ENCODINGS, text
from matchmark.reference.market_data.hub import Hub, Subscription
from matchmark.reference.market_data.messages import MessageListener, close, raw
from matchmark.reference.tokens import Keys, TokenError

MESSAGE_MAX = 1 << 20
SYMBOLS_MAX = 100_000


class Refusal(Exception):
    """Why a request is not carried out, and which symbols it is about."""

    def __init__(self, reason: str, symbols: list[str] | None = None) -> None:
        super().__init__(reason)
        self.symbols = symbols or []


@dataclass(frozen=True)
class Desk:
    """What all connections of a process have in common. `durable`: the last record that there is."""

    hub: Hub
    keys: Keys
    numbers: Mapping[str, int]
    durable: Any
    recover_records: int


class Subscriber(MessageListener):
    """`slow`: its socket takes no more; since when, in `slow_since` (monotonic seconds)."""

    def __init__(self, desk: Desk, token: str) -> None:
        super().__init__(MESSAGE_MAX)
        self._desk, self._token = desk, token
        self._transport: WSTransport | None = None
        self._out: Any = None
        self.fd = -1
        self.subscriptions: dict[int, Subscription] = {}
        self.slow = self.over = False
        self.slow_since = 0.0
        self.since = time.monotonic()
        self.account = ""
        self.expires_ns = 0

    # --- the connection ---

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport, self._out = transport, transport.underlying_transport
        self._out.set_write_buffer_limits(high=0)  # to be told as soon as the socket does not take all
        self.fd = raw(transport).fileno()
        if self._token:
            try:
                self._login(self._token)
            except Refusal as refusal:
                self._say(op="refused", reason=str(refusal))

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self._end()
        self._transport = None

    def pause_writing(self) -> None:
        if not self.slow and not self.over:
            self.slow, self.slow_since = True, time.monotonic()
            self._desk.hub.slow(self)

    def resume_writing(self) -> None:
        if self.slow and not self.over:
            self.slow = False
            self._desk.hub.reads_again(self)

    def write(self, data: bytes) -> None:
        if not self.over:
            self._out.write(data)

    @property
    def unsent_bytes(self) -> int:
        return int(self._out.get_write_buffer_size()) if self._out is not None else 0

    def drop(self, reason: str, code: WSCloseCode = WSCloseCode.POLICY_VIOLATION) -> None:
        """Says why and ends the connection, whether or not the client reads it."""
        if self.over or self._transport is None:
            return
        self._desk.hub.dropped += 1
        transport = self._transport
        self._end()
        with suppress(OSError):
            # The kernel takes what is unsent and the reason, so that a client which reads on finds them.
            socket, option = raw(transport), (1, 7)  # SOL_SOCKET, SO_SNDBUF
            socket.setsockopt(*option, socket.getsockopt(*option) + self.unsent_bytes + 65_536)
        self._out.write(text({"op": "dropped", "reason": reason}))
        close(transport, code, reason)

    def abort(self) -> None:
        """Ends a connection that was dropped a while ago and is still there."""
        if self._transport is not None:
            self._out.abort()

    def _end(self) -> None:
        if not self.over:
            self.over = True
            self._desk.hub.leave(self)

    # --- what it says ---

    def on_message(self, transport: WSTransport, payload: bytes, is_text: bool) -> None:
        if self.over:
            return
        request: Any = None
        try:
            if not is_text:
                raise Refusal("requests are JSON in text messages")
            try:
                request = json.loads(payload)
            except (ValueError, RecursionError):
                raise Refusal("this is not JSON") from None
            if not isinstance(request, dict):
                raise Refusal("a request is a JSON object with op")
            self._carry_out(request)
        except Refusal as refusal:
            given = request.get("id") if isinstance(request, dict) else None
            self._say(op="refused", id=_id(given), reason=str(refusal), symbols=refusal.symbols)

    def _carry_out(self, request: dict[str, Any]) -> None:
        op = request.get("op")
        if op == "ping":
            self._say(op="pong", id=_id(request.get("id")))
        elif op == "login":
            self._login(request.get("token"))
        elif op not in ("subscribe", "unsubscribe"):
            raise Refusal("op is login, subscribe, unsubscribe or ping")
        elif not self.account:
            raise Refusal("log in first, with a token of `matchmark token`")
        elif op == "subscribe":
            self._subscribe(request)
        else:
            self._unsubscribe(request)

    def _login(self, token: object) -> None:
        if not isinstance(token, str):
            raise Refusal("login has a token, a text")
        try:
            entitled = self._desk.keys.verify(token)
        except TokenError as error:
            raise Refusal(str(error)) from None
        if self.account and entitled.account != self.account:
            raise Refusal("this connection is another account's: open one of your own")
        self.account, self.expires_ns = entitled.account, entitled.expires_ns
        self._desk.hub.clients.add(self)
        self._say(op="logged_in", account=self.account)
        if self._desk.hub.stale is not None:
            self._say(**self._desk.hub.stale)

    def _subscribe(self, request: dict[str, Any]) -> None:
        symbols = self._symbols(request)
        channel = _choice(request, "channel", CHANNELS)
        encoding = _choice(request, "encoding", ENCODINGS)
        after = self._after(request, symbols)
        given = _id(request.get("id"))
        self._say(op="subscribed", id=given, symbols=symbols)
        for name, number in symbols.items():
            last = after.get(name)
            subscription = Subscription(self, given, (number, channel), encoding, last or 0, last is not None)
            self._desk.hub.subscribe(self, subscription)
        self._desk.hub.settle()

    def _unsubscribe(self, request: dict[str, Any]) -> None:
        symbols = self._symbols(request)
        missing = [name for name, number in symbols.items() if number not in self.subscriptions]
        if missing:
            raise Refusal("not subscribed", missing)
        for number in symbols.values():
            self._desk.hub.unsubscribe(self, number)
        self._say(op="unsubscribed", id=_id(request.get("id")), symbols=list(symbols))

    def _symbols(self, request: dict[str, Any]) -> dict[str, int]:
        names = request.get("symbols")
        if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
            raise Refusal("symbols is a list of names")
        if len(names) > SYMBOLS_MAX:
            raise Refusal(f"at most {SYMBOLS_MAX} symbols at once")
        unknown = [name[:32] for name in names if name not in self._desk.numbers]
        if unknown:
            raise Refusal("unknown symbol", unknown[:100])
        return {name: self._desk.numbers[name] for name in names}

    def _after(self, request: dict[str, Any], symbols: dict[str, int]) -> dict[str, int]:
        after = request.get("after") or {}
        if not isinstance(after, dict) or not all(
            name in symbols and isinstance(n, int) and not isinstance(n, bool) and n >= 0 for name, n in after.items()
        ):
            raise Refusal("after is {symbol: sequence of the last Update that you have} of symbols that you ask for")
        durable = self._desk.durable()
        if ahead := [name for name, n in after.items() if n > durable]:
            raise Refusal(f"after: the exchange has made {durable} records", ahead)
        if far := [name for name, n in after.items() if durable - n > self._desk.recover_records]:
            raise Refusal(f"too far back: at most {self._desk.recover_records} records; subscribe without `after`", far)
        return after

    def _say(self, **words: Any) -> None:
        self.write(text(words))


def _id(given: object) -> Any:
    """Given back as it came, if it is a number or a short text."""
    return given if isinstance(given, int | float) or (isinstance(given, str) and len(given) <= 64) else None


def _choice(request: dict[str, Any], key: str, known: tuple[str, ...]) -> int:
    """The first one where none is given."""
    value = request.get(key, known[0])
    if value not in known:
        raise Refusal(f"{key} is {' or '.join(known)}")
    return known.index(value)
