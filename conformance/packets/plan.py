"""How a stretch of a TCP stream is put on the wire, action by action: what is cut where, sent twice, late or out of order.

    cut(len(data), [1])                     one byte a segment
    Plan(10, (Piece(5, 10), Piece(0, 7)))   the second half first, then the first one, two bytes of it again

Offsets count from the first byte of the data that the plan is for. A plan says what is sent deliberately; what it leaves
out, and what gets lost, the machine sends afterwards as any TCP would.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import cycle, pairwise


@dataclass(frozen=True, slots=True)
class Piece:
    """A segment with bytes `begin` to `end`. `options`: raw ones in place of the settings', filled up with NOPs.

    `data`: other bytes in their place, as long; only sensible where the right ones have been acknowledged. `fin`: only at
    the end.
    """

    begin: int
    end: int
    push: bool = True
    fin: bool = False
    options: bytes = b""
    data: bytes | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.begin <= self.end:
            raise ValueError(f"a piece from {self.begin} to {self.end}")
        if self.data is not None and len(self.data) != self.end - self.begin:
            raise ValueError(f"{len(self.data)} bytes in the place of {self.end - self.begin}")

    def __str__(self) -> str:
        marks = "" if self.push else " no PSH"
        marks += " FIN" * self.fin + f" options {self.options.hex()}" * bool(self.options)
        return f"{self.begin}-{self.end}{marks}{' forged' * (self.data is not None)}"


@dataclass(frozen=True, slots=True)
class Wait:
    ms: int

    def __str__(self) -> str:
        return f"wait {self.ms} ms"


@dataclass(frozen=True, slots=True)
class Settle:
    """Until what was sent in a row is acknowledged, `ms` at most."""

    ms: int = 1000

    def __str__(self) -> str:
        return "settle"


@dataclass(frozen=True, slots=True)
class Window:
    """From now on so many bytes are taken; an acknowledgement says so. 0 closes."""

    size: int

    def __str__(self) -> str:
        return f"window {self.size}"


@dataclass(frozen=True, slots=True)
class KeepAlive:
    """A segment without data, its number one too low: the other side must acknowledge."""

    def __str__(self) -> str:
        return "keep alive"


@dataclass(frozen=True, slots=True)
class DuplicateAcks:
    count: int = 3

    def __str__(self) -> str:
        return f"{self.count} duplicate ACKs"


Action = Piece | Wait | Settle | Window | KeepAlive | DuplicateAcks


@dataclass(frozen=True)
class Plan:
    """For `length` bytes."""

    length: int
    actions: tuple[Action, ...]

    def __post_init__(self) -> None:
        for piece in self.pieces:
            if piece.end > self.length:
                raise ValueError(f"piece {piece} of {self.length} bytes")
            if piece.fin and piece.end != self.length:
                raise ValueError(f"FIN behind byte {piece.end} of {self.length}")

    @property
    def pieces(self) -> tuple[Piece, ...]:
        return tuple(action for action in self.actions if isinstance(action, Piece))

    @property
    def complete(self) -> bool:
        """Every byte is sent as it is, by the plan itself."""
        reached = 0
        for begin, end in sorted((p.begin, p.end) for p in self.pieces if p.data is None):
            if begin > reached:
                return False
            reached = max(reached, end)
        return reached == self.length

    def __str__(self) -> str:
        return f"{self.length} bytes: " + ", ".join(map(str, self.actions))


def cut(length: int, sizes: Sequence[int]) -> Plan:
    """In order, in segments of these sizes, again and again: [1] is a byte each, [length] is all in one."""
    if not sizes or min(sizes) < 1:
        raise ValueError(f"sizes {list(sizes)}: each segment has a byte at least")
    borders, at = list[int](), 0
    for size in cycle(sizes):
        at += size
        if at >= length:
            break
        borders.append(at)
    return cut_at(length, borders)


def cut_at(length: int, borders: Iterable[int]) -> Plan:
    """In order, cut before each of these bytes."""
    inner = sorted({border for border in borders if 0 < border < length})
    return Plan(length, tuple(Piece(begin, end) for begin, end in pairwise((0, *inner, length))) if length else ())


def backwards(plan: Plan) -> Plan:
    """The last action first."""
    return Plan(plan.length, plan.actions[::-1])


def doubled(plan: Plan) -> Plan:
    """Every segment twice."""
    return Plan(plan.length, tuple(a for action in plan.actions for a in (action,) * (1 + isinstance(action, Piece))))


def overlapped(plan: Plan, by: int) -> Plan:
    """Every segment begins `by` bytes earlier, and so brings again what the one before it had."""

    def earlier(action: Action) -> Action:
        if isinstance(action, Piece) and action.data is None:
            return replace(action, begin=max(0, action.begin - by))
        return action

    return Plan(plan.length, tuple(map(earlier, plan.actions)))
