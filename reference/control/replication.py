"""Who may follow whom, from which record: the handshake between a standby and its primary. Records themselves are C's business.

Messages are a u32 length (little-endian) and JSON; hashes are 16 hex digits. The standby says hello; the primary says go,
refuses, or asks for hashes of earlier records until it knows where the two logs part.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

VERSION = 1
MESSAGE_BYTES_MAX = 65_536
_LENGTH = struct.Struct("<I")

Reason = Literal["version", "cluster", "member", "outdated", "config", "behind", "ahead", "diverged"]


class ProtocolError(ValueError):
    """The other side sent what is no message of this protocol; the connection is of no more use."""


@dataclass(frozen=True, slots=True)
class Hello:
    """Of a standby. `engine`: what commands are replayed with, in hex. `epoch`: the highest it knows of. `hash_before`:
    running hash of the record before `next_sequence`, 0 before the first."""

    version: int
    cluster: str
    member: str
    instruments_hash: int
    engine: str
    epoch: int
    next_sequence: int
    hash_before: int


@dataclass(frozen=True, slots=True)
class Go:
    """Records follow from `sequence` on, under `epoch`. A standby with fewer than `needed` may lack what was acknowledged."""

    epoch: int
    sequence: int
    needed: int = 0


@dataclass(frozen=True, slots=True)
class Ask:
    """What is the standby's running hash at this record?"""

    sequence: int


@dataclass(frozen=True, slots=True)
class Hash:
    """The standby's answer to Ask."""

    sequence: int
    hash: int


@dataclass(frozen=True, slots=True)
class Refused:
    """`at`: diverged, the first record that differs; behind, the first that the log has; ahead, the first that it lacks."""

    reason: Reason
    text: str
    at: int = 0

    @property
    def unfit(self) -> bool:
        """This standby must not be promoted either: its book is not the primary's."""
        return self.reason in ("diverged", "config")


Answer = Go | Ask | Refused
Message = Hello | Go | Ask | Hash | Refused
_KINDS: Mapping[str, type[Message]] = {kind.__name__.lower(): kind for kind in (Hello, Go, Ask, Hash, Refused)}
_HASHES = ("instruments_hash", "hash_before", "hash")


def encode(message: Message) -> bytes:
    row = {key: f"{value:016x}" if key in _HASHES else value for key, value in asdict(message).items()}
    body = json.dumps({"message": type(message).__name__.lower(), **row}).encode()
    return _LENGTH.pack(len(body)) + body


class Decoder:
    """Bytes in, messages out. What follows the last message (records, after Go) stays in `rest`."""

    def __init__(self) -> None:
        self.rest = b""

    def feed(self, data: bytes) -> None:
        self.rest += data

    def next(self) -> Message | None:
        """None: more bytes are needed. ProtocolError: it is none, or too long."""
        if len(self.rest) < _LENGTH.size:
            return None
        (length,) = _LENGTH.unpack_from(self.rest)
        if length > MESSAGE_BYTES_MAX:
            raise ProtocolError(f"a message of {length} bytes; {MESSAGE_BYTES_MAX} are allowed")
        body = self.rest[_LENGTH.size : _LENGTH.size + length]
        if len(body) < length:
            return None
        self.rest = self.rest[_LENGTH.size + length :]
        return _parse(body)


def _parse(body: bytes) -> Message:
    try:
        row: dict[str, Any] = json.loads(body)
        kind = _KINDS[row.pop("message")]
        types = {name: annotation for name, annotation in kind.__annotations__.items() if name in row}
        for name, wanted in types.items():
            if name in _HASHES:
                row[name] = int(row[name], 16)
            elif not isinstance(row[name], int if wanted == "int" else str) or isinstance(row[name], bool):
                raise ProtocolError(f"{name} is a {wanted}")
        return kind(**row)
    except ProtocolError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ProtocolError(f"no message of this protocol: {error}") from None


@dataclass(frozen=True, slots=True)
class Primary:
    """What the handshake must know of the primary. Its log has records `first_sequence` to `last_sequence`; `needed` is
    `Sender.needed`."""

    cluster: str
    member: str
    instruments_hash: int
    engine: str
    epoch: int
    first_sequence: int
    last_sequence: int
    needed: int = 0


class Handshake:
    """The primary's side, of one connection. `hash_at(s)`: running hash of the primary's record s, from the one before the
    first that its log has (0 at 0) to the last."""

    def __init__(self, mine: Primary, hash_at: Callable[[int], int]) -> None:
        self._mine, self._hash_at = mine, hash_at
        self._agree = self._differ = 0
        self._member = ""

    def hello(self, said: Hello) -> Answer:
        mine = self._mine
        self._member = said.member
        if refused := self._stranger(said):
            return refused
        if said.next_sequence < mine.first_sequence:
            return Refused(
                "behind",
                f"standby {said.member} needs record {said.next_sequence}, the log begins with {mine.first_sequence}: "
                "start it with a snapshot",
                mine.first_sequence,
            )
        last = min(said.next_sequence - 1, mine.last_sequence)
        if last < said.next_sequence - 1:
            return Refused(
                "ahead",
                f"standby {said.member} has records up to {said.next_sequence - 1}, the primary up to {last}: what the "
                "primary lost may have been acknowledged; promote the standby, or start it with an empty data directory",
                last + 1,
            )
        if self._hash_at(last) == said.hash_before:
            return Go(mine.epoch, said.next_sequence, mine.needed)
        self._agree, self._differ = max(mine.first_sequence - 2, 0), last  # before the log: taken for the same
        return self._narrow()

    def hash(self, said: Hash) -> Answer:
        """The standby's answer to our Ask. ProtocolError when that was not the question."""
        if said.sequence != self._middle():
            raise ProtocolError(f"hash of record {said.sequence}, asked for was {self._middle()}")
        if self._hash_at(said.sequence) == said.hash:
            self._agree = said.sequence
        else:
            self._differ = said.sequence
        return self._narrow()

    def _stranger(self, said: Hello) -> Refused | None:
        mine = self._mine
        if said.version != VERSION:
            return Refused("version", f"standby {said.member} speaks version {said.version}, the primary {VERSION}")
        if said.cluster != mine.cluster:
            return Refused("cluster", f"standby {said.member} belongs to another cluster")
        if said.member == mine.member:
            return Refused("member", f"the standby calls itself {said.member}, which is the primary's name")
        if said.epoch > mine.epoch:
            return Refused(
                "outdated", f"standby {said.member} knows epoch {said.epoch}, this primary is of {mine.epoch}"
            )
        for what, theirs, ours in (
            ("another instrument list", said.instruments_hash, mine.instruments_hash),
            ("other engine settings", said.engine, mine.engine),
        ):
            if theirs != ours:
                return Refused("config", f"standby {said.member} has {what} than the primary")
        return None

    def _middle(self) -> int:
        return (self._agree + self._differ) // 2

    def _narrow(self) -> Answer:
        """The records up to `_agree` are the same, `_differ` is not: asks for the one in the middle until they are neighbours."""
        if self._differ - self._agree > 1:
            return Ask(self._middle())
        at = self._differ
        where = "at or before" if at < self._mine.first_sequence else "from"
        return Refused("diverged", f"standby {self._member} differs from the primary {where} record {at}", at)
