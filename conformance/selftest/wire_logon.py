"""Wire mutants of who is let in, and of what one client can do to the others.

A token that should be refused is let in by putting one that the exchange takes in its place: it is made with the keys of the
exchange's own folder.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import Any

import jwt

from matchmark.conformance.selftest.wire_declare import BrokenWire, every, wire_mutant
from matchmark.conformance.selftest.wire_message import Message
from matchmark.conformance.selftest.wire_proxy import Link
from matchmark.reference.tokens import Keys, TokenError

TOKEN = 554
DAY_S = 86_400


def claims_of(token: str) -> Mapping[str, Any]:
    """What the token says, whoever signed it; empty when it cannot be read."""
    try:
        return dict(jwt.decode(token, options={"verify_signature": False}))
    except jwt.InvalidTokenError:
        return {}


class LetsIn(BrokenWire):
    """For bugs of verification: a refused token that `overlooks` says yes to is taken for what it claims."""

    def to_exchange(self, link: Link, m: Message) -> list[Message]:
        if m.kind == "A":
            keys, token = Keys(self.data / "keys"), m.get(TOKEN)
            try:
                keys.verify(token)
            except TokenError:
                claims = claims_of(token)
                if account := self.account_of(claims, m) if self.overlooks(token, claims, keys) else "":
                    m.set(TOKEN, keys.issue(account, DAY_S))
        return [m]

    def account_of(self, claims: Mapping[str, Any], m: Message) -> str:
        return str(claims.get("sub", ""))

    def overlooks(self, token: str, claims: Mapping[str, Any], keys: Keys) -> bool:
        raise NotImplementedError


def sound_but(token: str, keys: Keys, **unchecked: bool) -> bool:
    """Whether a secret-key token would pass with some of PyJWT's checks turned off."""
    known: dict[str, Any] = {"algorithms": ["HS256"], "audience": "matchmark", "issuer": "matchmark"}
    try:
        jwt.decode(token, keys._secret, **known, options=unchecked)  # type: ignore[arg-type]
    except jwt.InvalidTokenError:
        return False
    return True


@wire_mutant(
    "expired-token-accepted",
    breaks=("D01.X21",),
    story="The expiry of a token was not looked at when a session logged on.",
)
class ExpiredAccepted(LetsIn):
    def overlooks(self, token: str, claims: Mapping[str, Any], keys: Keys) -> bool:
        return sound_but(token, keys, verify_exp=False)


@wire_mutant(
    "token-of-another-audience-accepted",
    breaks=("D01.X21",),
    story="A token for another service was handed to that service's verifier, and what it said was not waited for.",
)
class AudienceAccepted(LetsIn):
    def overlooks(self, token: str, claims: Mapping[str, Any], keys: Keys) -> bool:
        return bool(claims.get("aud", "matchmark") != "matchmark")


@wire_mutant(
    "token-of-another-key-accepted",
    breaks=("D01.X21",),
    story="The signature of a token was decoded and not verified.",
)
class OtherKeyAccepted(LetsIn):
    def overlooks(self, token: str, claims: Mapping[str, Any], keys: Keys) -> bool:
        return bool(claims) and jwt.get_unverified_header(token).get("alg") == "HS256" and claims["exp"] > time.time()


@wire_mutant(
    "unsigned-token-accepted",
    breaks=("D01.X21",),
    story="A token whose header says that it needs no signature was believed.",
)
class UnsignedAccepted(LetsIn):
    def overlooks(self, token: str, claims: Mapping[str, Any], keys: Keys) -> bool:
        return bool(claims) and jwt.get_unverified_header(token).get("alg") == "none"


@wire_mutant(
    "missing-token-accepted",
    breaks=("D01.X21", "D01.2"),
    story="A Logon without a token was let in under the account that its SenderCompID names.",
)
class MissingAccepted(LetsIn):
    def account_of(self, claims: Mapping[str, Any], m: Message) -> str:
        return m.get(49).partition("-")[0]

    def overlooks(self, token: str, claims: Mapping[str, Any], keys: Keys) -> bool:
        return not token


@wire_mutant(
    "token-of-another-account-accepted",
    breaks=("D01.X21",),
    story="A token was good for the session of any account, whoever it was made for.",
)
class AnyAccountAccepted(BrokenWire):
    def __init__(self) -> None:
        super().__init__()
        self.owner: dict[str, str] = {}

    def to_exchange(self, link: Link, m: Message) -> list[Message]:
        if m.kind == "A" and (account := str(claims_of(m.get(TOKEN)).get("sub", ""))):
            owner = self.owner.setdefault(m.get(49), account)
            if owner != account:
                m.set(TOKEN, Keys(self.data / "keys").issue(owner, DAY_S))
        return [m]


class LivesOn(BrokenWire):
    """The exchange is given a token that lives for a day in place of each that it would take."""

    def to_exchange(self, link: Link, m: Message) -> list[Message]:
        if m.kind == "A":
            keys = Keys(self.data / "keys")
            try:
                m.set(TOKEN, keys.issue(keys.verify(m.get(TOKEN)).account, DAY_S))
            except TokenError:
                return [m]
        return [m]


@wire_mutant(
    "session-outlives-its-token",
    breaks=("D01.X22",),
    story="A token was verified at logon and its expiry never looked at again.",
)
class OutlivesToken(LivesOn):
    pass


@wire_mutant(
    "session-ended-by-expiry-without-reason",
    breaks=("D01.X22",),
    story="When a token expired the connection was closed without a word.",
)
class ExpirySilent(BrokenWire):
    def to_client(self, link: Link, m: Message) -> list[Message]:
        return [] if m.kind == "5" and "expired" in m.get(58) else [m]


# --- logons ---


@wire_mutant(
    "second-logon-answered",
    breaks=("D01.X23",),
    story="A second logon of a session that was on was answered with a Logon.",
)
class SecondLogonAnswered(BrokenWire):
    def to_exchange(self, link: Link, m: Message) -> list[Message]:
        session = link.session
        if session and m.kind == "A" and session.link not in (None, link) and session.logon:
            link.session = None  # it stands outside: the running session's numbers are not touched
            link.say(session.logon.copy().set(34, session.last_passed + 1))
            return []
        return [m]


@wire_mutant(
    "second-logon-ends-the-first",
    breaks=("D01.X23",),
    story="A second logon took the session over, and the connection that had it was closed.",
)
class SecondLogonTakesOver(BrokenWire):
    def to_exchange(self, link: Link, m: Message) -> list[Message]:
        if link.session and m.kind == "A" and link.session.link not in (None, link):
            link.session.link.cut()
        return [m]


@wire_mutant(
    "order-before-logon-taken",
    breaks=("D01.X20",),
    story="A connection that began with an order was taken for the session that its SenderCompID names.",
)
class OrderBeforeLogon(BrokenWire):
    def arrived(self, link: Link, parts: list[Message | bytes]) -> None:
        first = parts[0] if parts else b""
        if link.session is None and isinstance(first, Message) and first.kind != "A":
            token = Keys(self.data / "keys").issue(first.get(49).partition("-")[0], DAY_S)
            logon = Message.make("A", first, (98, "0"), (108, "30"), (TOKEN, token)).numbered(first.seq)
            parts[0:1] = [logon, first.numbered(first.seq + 1)]


@wire_mutant(
    "any-target-accepted",
    breaks=("D01.X20",),
    story="TargetCompID was not looked at: a Logon meant for another exchange was let in.",
)
class AnyTarget(BrokenWire):
    def to_exchange(self, link: Link, m: Message) -> list[Message]:
        return [m.set(56, "MATCHMARK") if m.get(56) != "MATCHMARK" else m]


@wire_mutant(
    "token-in-error-text",
    breaks=("D01.X41",),
    story="A Logon that was not understood was printed whole to the exchange's log, its token included.",
)
class TokenPrinted(BrokenWire):
    def to_exchange(self, link: Link, m: Message) -> list[Message]:
        if m.kind == "A":
            print(f"gateway: logon of {m.get(49)}: {m}", file=sys.stderr, flush=True)
        return [m]


@wire_mutant(
    "orders-of-any-account-taken",
    breaks=("D01.X21",),
    story="The Account of an order was not compared with the session's, and the order was taken as its own.",
)
class AnyOrderAccount(BrokenWire):
    def to_exchange(self, link: Link, m: Message) -> list[Message]:
        return [m.remove(1) if m.kind in "DFGHq" else m]


# --- one client and the others ---


@wire_mutant(
    "garbage-cuts-everybody",
    breaks=("D01.X34",),
    story="A parser that met garbage threw, and the thread that served all connections died with it.",
)
class GarbageCutsAll(BrokenWire):
    def arrived(self, link: Link, parts: list[Message | bytes]) -> None:
        if any(isinstance(part, bytes) and part and not part.startswith(b"8=FIX") for part in parts):
            for other in link.proxy.links():
                other.cut()


@wire_mutant(
    "slow-reader-stalls-the-others",
    breaks=("D01.X34",),
    story="Reports were written with blocking sends: a client that did not read held up all that shared the thread.",
)
class SlowReaderStalls(BrokenWire):
    """Every send waits for as long as the send time-out of the gateway that had this bug."""

    def to_client(self, link: Link, m: Message) -> list[Message]:
        if m.kind == "A":
            link.send_buffer(STALLED_BYTES)
        if any(other.backlog > STALLED_BYTES for other in link.proxy.links()):
            time.sleep(STALL_S)
        return [m]


STALLED_BYTES = 1 << 14
STALL_S = 0.25


AFTER_CONTROL = 60
"""Orders that come from another session than the one before: fewer are in the positive control."""


@wire_mutant(
    "orders-lost-when-many-sessions-send",
    breaks=("D01.4",),
    story="The gateway's queue overwrote an order when it was full: with several senders some were lost.",
)
class OrdersLost(BrokenWire):
    def __init__(self) -> None:
        super().__init__()
        self.last: Link | None = None
        self.turn = every(5, AFTER_CONTROL)

    def to_exchange(self, link: Link, m: Message) -> list[Message]:
        if m.kind != "D":
            return [m]
        between = self.last not in (None, link)
        self.last = link
        return [] if between and next(self.turn) else [m]
