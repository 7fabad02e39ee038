"""Legal and nasty: hypothesis strategies of plans that deliver every byte, and of what a connection offers at its handshake.

Whoever gets a stream by one of these plans must read the same as from one segment. Plans shrink towards one segment in order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

from hypothesis import strategies as st

from matchmark.conformance.packets.plan import (
    Action,
    DuplicateAcks,
    KeepAlive,
    Piece,
    Plan,
    Settle,
    Wait,
    Window,
    cut,
    cut_at,
)
from matchmark.conformance.packets.tcp_machine import Settings

PIECES_MOST = 400
"""Of a random plan: more, and one example takes seconds."""
_FULL = 1460
_NOPS = (b"", b"\1", b"\1\1\1\1", b"\1" * 8, b"\1\1\0\0", b"\xfe\4\0\0", b"\1\xfd\6\x12\x34\0\0\1")
"""Options that a receiver passes over: NOPs, the end early, and kinds for experiments."""


def every_border(length: int) -> Iterator[Plan]:
    """Two segments, cut at each byte."""
    return (cut_at(length, (border,)) for border in range(1, length))


@st.composite
def _cuts(draw: st.DrawFn, length: int, borders: Sequence[int]) -> list[tuple[int, int]]:
    """Ranges in order that make the whole."""
    way = draw(st.sampled_from(("one", "some", "near", "same", "bytes")))
    if length < 2 or way == "one":
        at: set[int] = set()
    elif way == "bytes" and length <= PIECES_MOST:
        at = set(range(1, length))
    elif way == "same":
        size = draw(st.integers(max(1, length // PIECES_MOST), length))
        at = set(range(size, length, size))
    elif way == "near" and borders:
        near = st.builds(lambda b, by: b + by, st.sampled_from(sorted(borders)), st.integers(-3, 3))
        at = draw(st.sets(near, max_size=40))
    else:
        at = draw(st.sets(st.integers(1, length - 1), max_size=40))
    inner = sorted(border for border in at if 0 < border < length)
    return list(pairwise((0, *inner, length))) if length else []


@st.composite
def _pieces(draw: st.DrawFn, length: int, ranges: list[tuple[int, int]]) -> list[Piece]:
    """In order, with overlaps, without some PSHs, with odd options."""
    overlap = draw(st.sampled_from((0, 0, 1, 7, 100)))
    pushes = draw(st.sampled_from(("all", "last", "none", "some")))
    odd = draw(st.sampled_from(_NOPS))
    pieces = []
    for n, (begin, end) in enumerate(ranges):
        push = {"all": True, "none": False, "last": end == length, "some": n % 3 == 0}[pushes]
        back = draw(st.integers(0, overlap)) if overlap else 0
        on = draw(st.integers(0, overlap)) if overlap else 0
        pieces.append(Piece(max(0, begin - back), min(length, end + on), push, options=odd if n % 2 else b""))
    return pieces


@st.composite
def _order(draw: st.DrawFn, pieces: list[Piece]) -> list[Piece]:
    """Shuffled, backwards, a little out of order, and some of them again."""
    way = draw(st.sampled_from(("kept", "kept", "swapped", "backwards", "shuffled")))
    if way == "backwards":
        pieces = pieces[::-1]
    elif way == "shuffled" and len(pieces) <= 60:
        pieces = draw(st.permutations(pieces))
    elif way == "swapped":
        pieces = list(pieces)
        for n in range(draw(st.integers(0, 1)), len(pieces) - 1, draw(st.integers(2, 5))):
            pieces[n], pieces[n + 1] = pieces[n + 1], pieces[n]
    again = draw(st.lists(st.integers(0, len(pieces) - 1), max_size=6)) if pieces else []
    for n in again:
        pieces = [*pieces, pieces[n]] if n % 2 else [*pieces[: n + 1], pieces[n], *pieces[n + 1 :]]
    return list(pieces)


def _between(windows: bool, pauses_ms: int) -> st.SearchStrategy[Action]:
    choices: list[st.SearchStrategy[Action]] = [
        st.builds(DuplicateAcks, st.integers(1, 4)),
        st.just(KeepAlive()),
        st.just(Settle()),
    ]
    if pauses_ms:
        choices.append(st.builds(Wait, st.integers(1, pauses_ms)))
    if windows:
        choices.append(st.builds(Window, st.sampled_from((0, 1, 536, 65535))))
    return st.one_of(choices)


@st.composite
def plans(
    draw: st.DrawFn, length: int, *, borders: Sequence[int] = (), windows: bool = True, pauses_ms: int = 20
) -> Plan:
    """Plans for so many bytes, each of which brings all of them.

    `borders`: where messages begin; cuts are drawn near them. `windows`: ours may close on the way, and is open at the end.
    `pauses_ms`: of each wait, at most.
    """
    pieces = draw(_order(draw(_pieces(length, draw(_cuts(length, borders))))))
    actions: list[Action] = list(pieces)
    between = draw(st.lists(st.tuples(st.integers(0, len(actions)), _between(windows, pauses_ms)), max_size=5))
    for at, action in sorted(between, key=lambda one: one[0], reverse=True):
        actions.insert(at, action)
    if any(isinstance(action, Window) for action in actions):
        actions.append(Window(65535))
    return Plan(length, tuple(actions))


def settings() -> st.SearchStrategy[Settings]:
    """What the SYN offers: sizes, scaling, timestamps, SACK, odd options, numbers that are about to wrap round."""
    return st.builds(
        Settings,
        mss=st.sampled_from((_FULL, 536, 1459, 100, 1)),
        window=st.sampled_from((65535, 8192, 1460, 512)),
        window_scale=st.sampled_from((None, 0, 1, 7, 14)),
        timestamps=st.booleans(),
        sack_permitted=st.booleans(),
        options=st.sampled_from((b"", b"\1\1\1\1", b"\1" * 12)),
        initial_seq=st.sampled_from((None, 0, 1, 2**31 - 10, 2**32 - 1, 2**32 - 200)),
    )


def with_fin(plan: Plan) -> Plan:
    """The same, and its last byte's last segment ends the stream."""
    pieces = [n for n, a in enumerate(plan.actions) if isinstance(a, Piece) and a.end == plan.length]
    if not pieces:
        return plan
    actions = list(plan.actions)
    last = actions[pieces[-1]]
    assert isinstance(last, Piece)
    actions[pieces[-1]] = replace(last, fin=True)
    return Plan(plan.length, tuple(actions))


__all__ = ["cut", "cut_at", "every_border", "plans", "settings", "with_fin"]
