"""The state hash of docs/engine-rules.md, equal for engines that took the same commands. Arithmetic is modulo 2^64."""

from __future__ import annotations

from collections.abc import Iterable

_MASK = 2**64 - 1


def mix(x: int) -> int:
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 & _MASK
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB & _MASK
    return x ^ (x >> 31)


def fold(h: int, v: int) -> int:
    return (mix(h ^ v) + 0x9E3779B97F4A7C15) & _MASK


def order_hash(words: Iterable[int]) -> int:
    """`words`: symbol index, side (0 buy, 1 sell), price in ticks, leaves, cum, account number, order id, id ahead."""
    h = 0
    for word in words:
        h = fold(h, word)
    return h


def state_hash(accepted: int, order_hashes: Iterable[int]) -> int:
    """Of an engine that has accepted that many orders since its reset and holds resting orders of these hashes."""
    return mix((sum(order_hashes) + mix(accepted)) & _MASK)
