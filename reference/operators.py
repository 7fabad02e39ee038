"""Operator commands: who may give them, and how they get from the admin page to the breaker, which verifies and carries out.

The admin page passes on what it was sent, in one line of JSON over a socket of the machine; it decides nothing. What is refused
for want of credentials is put into the audit log as well.
"""

from __future__ import annotations

import json
import socket
from dataclasses import dataclass
from typing import Any

from matchmark.reference.tokens import Entitlement, Keys, TokenError

COMMANDS = ("status", "halt", "resume", "calm")
LINE_MAX = 1 << 20
ANSWER_S = 10.0

OK, MALFORMED, NOT_ALLOWED, UNKNOWN, CONFLICT, NOT_NOW = 200, 400, 403, 404, 409, 503
"""HTTP status of an answer: NOT_ALLOWED credentials, UNKNOWN command or symbol, CONFLICT the symbol is not in such a state."""


@dataclass(frozen=True)
class Request:
    """What an operator asks for. `reason` goes into the log and to every session, 40 characters of it."""

    command: str = ""
    symbol: str = ""
    reason: str = ""
    token: str = ""

    def line(self) -> bytes:
        return json.dumps(vars(self)).encode() + b"\n"

    @classmethod
    def of(cls, line: bytes) -> Request:
        """ValueError when it is none."""
        said = json.loads(line)
        names = vars(cls())
        if not isinstance(said, dict) or not all(isinstance(said.get(name, ""), str) for name in names):
            raise ValueError("a request is an object with command, symbol, reason and token as text")
        return cls(**{name: said.get(name, "") for name in names})


@dataclass(frozen=True)
class Answer:
    """`code` as in HTTP; `body` is what the caller is shown."""

    code: int
    body: dict[str, Any]

    def line(self) -> bytes:
        return json.dumps({"code": self.code, "body": self.body}).encode() + b"\n"


class Refused(Exception):
    """The caller may not; `who` is whom the token names, if it is ours, and nothing of an unverified one."""

    def __init__(self, why: str, who: str = "unknown") -> None:
        super().__init__(why)
        self.who = who


def operator_of(keys: Keys, token: str) -> Entitlement:
    """The operator whose token it is. Refused: none, forged, expired, or a trader's."""
    if not token:
        raise Refused("no token")
    try:
        allowed = keys.verify(token)
    except TokenError as error:
        raise Refused("expired token" if "Expired" in str(error) else "invalid token") from None
    except UnicodeError:
        raise Refused("invalid token") from None
    if allowed.role != "operator":
        raise Refused("not an operator's token", allowed.account)
    return allowed


def ask(address: Any, request: Request) -> Answer:
    """From the admin page: what the breaker answers. Never raises: a breaker that does not answer is NOT_NOW."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
            link.settimeout(ANSWER_S)
            link.connect(address)
            link.sendall(request.line())
            said = json.loads(read_line(link))
            return Answer(int(said["code"]), said["body"])
    except (OSError, ValueError, KeyError):
        return Answer(NOT_NOW, {"error": "the breaker does not answer; try again"})


def read_line(link: socket.socket) -> bytes:
    """One line, without its end; ValueError when there is none, or too much of it."""
    got = b""
    while not got.endswith(b"\n"):
        more = link.recv(65536)
        if not more or len(got) > LINE_MAX:
            raise ValueError("no line")
        got += more
    return got


def listen_for_operators() -> socket.socket:
    """A socket that listens under a name that the system gives it; it needs no file, so nothing is left behind."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind("")
    listener.listen(16)
    listener.setblocking(False)
    return listener
