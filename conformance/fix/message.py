"""A FIX message as the kit keeps it, and what can be wrong with one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

Field = tuple[int, str]
SOH = b"\x01"


class FixError(Exception):
    """Anything that goes wrong between the kit's client and its counterparty."""


class Rule(StrEnum):
    """What a FixFault is about."""

    GARBLED = "garbled"
    """No message: BodyLength, CheckSum, the first three fields, or bytes between messages."""
    FIELD = "field"
    """tag=value is malformed, or a value is empty."""
    HEADER = "header"
    """A field of the standard header is missing, repeated, ill-typed or not in the header."""
    COMP_ID = "comp_id"
    TIME = "time"
    GAP = "gap"
    """A number was left out."""
    LOW = "low"
    """A number came again without PossDupFlag."""
    POSS_DUP = "poss_dup"
    RESENT = "resent"
    """A resent message says something else than the first one."""
    RESET = "reset"
    """A SequenceReset that does not go forward."""
    HEARTBEAT = "heartbeat"
    """A Heartbeat with an id that no TestRequest of ours had."""


class FixFault(FixError):
    """What the counterparty did wrong, and the bytes that show it."""

    def __init__(self, rule: Rule, text: str, raw: bytes = b"") -> None:
        super().__init__(rule, text, raw)
        self.rule, self.text, self.raw = rule, text, raw

    def __str__(self) -> str:
        return f"{self.rule}: {self.text} in {show_raw(self.raw)}" if self.raw else f"{self.rule}: {self.text}"


@dataclass(frozen=True, slots=True)
class FixMessage:
    pairs: tuple[Field, ...]
    raw: bytes
    at_ns: int
    """perf_counter_ns when it was read, or given to the kernel."""
    first: Mapping[int, str] = field(init=False, repr=False, compare=False)
    """By tag the value where it stands first: suites look at every message many times."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "first", dict(reversed(self.pairs)))

    def get(self, tag: int, default: str | None = None) -> str | None:
        return self.first.get(tag, default)

    def need(self, tag: int) -> str:
        value = self.get(tag)
        if value is None:
            raise FixFault(Rule.FIELD, f"field {tag} is missing", self.raw)
        return value

    def all(self, tag: int) -> list[str]:
        return [value for t, value in self.pairs if t == tag]

    @property
    def type(self) -> str:
        return self.first.get(35, "")

    @property
    def seq(self) -> int:
        text = self.need(34)
        if not is_number(text):
            raise FixFault(Rule.HEADER, f"MsgSeqNum is {text!r}", self.raw)
        return int(text)

    @property
    def poss_dup(self) -> bool:
        return self.get(43) == "Y"

    def __str__(self) -> str:
        return show_raw(self.raw)


class Line(NamedTuple):
    """One line of a session's stream."""

    sent: bool
    message: FixMessage


def show_raw(raw: bytes) -> str:
    """Bytes on one line, SOH as `|`; long ones cut in the middle."""
    text = raw.replace(SOH, b"|").decode("ascii", "backslashreplace")
    return text if len(text) <= 2000 else f"{text[:1200]} ... {len(raw)} bytes ... {text[-400:]}"


def number(m: FixMessage, tag: int) -> int:
    """A field's number; 0 when it is not there or none."""
    text = m.get(tag, "") or ""
    return int(text) if is_number(text) else 0


def is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def same_content(first: Sequence[Field], again: Sequence[Field]) -> bool:
    """Whether two messages say the same but for what a resend must change: length, times, the flags and the CheckSum."""
    return [p for p in first if p[0] not in _CHANGED] == [p for p in again if p[0] not in _CHANGED]


_CHANGED = frozenset((9, 10, 43, 52, 97, 122, 369))
