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


def trading_hash(symbol: int, trading: int) -> int:
    """Of a symbol that is not open: 1 warned, 2 halted."""
    return fold(fold(1, symbol), trading)


def deferred_hash(words: Iterable[int]) -> int:
    """`words`: symbol index, side, price (0 for market), leaves, account number, order id, id ahead in the symbol's queue,
    type (0 limit, 1 market), tif (0 day, 1 ioc), smp (0 none, 1 cancel newest, 2 cancel oldest)."""
    h = 2
    for word in words:
        h = fold(h, word)
    return h


def state_hash(accepted: int, order_hashes: Iterable[int]) -> int:
    """Of an engine that has accepted that many orders since its reset; the hashes are those of the functions above."""
    return mix((sum(order_hashes) + mix(accepted)) & _MASK)
