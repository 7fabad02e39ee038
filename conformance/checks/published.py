"""Is what is on a topic of events what the audit log has: each symbol in one partition, in order, whole, and once?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from matchmark.conformance.checks.finding import Finding
from matchmark.conformance.market_data.topic import Published

Event = tuple[int, int]
"""Sequence and symbol number."""


def check_partitions(messages: Sequence[Published], clause: str = "D09.2") -> Iterator[Finding]:
    """A symbol's events are under one key, and in one partition."""
    partitions: dict[int, set[int]] = defaultdict(set)
    keys: dict[int, set[bytes]] = defaultdict(set)
    for message in messages:
        for _, symbol in message.events:
            partitions[symbol].add(message.partition)
            keys[symbol].add(message.key)
    for symbol, found in partitions.items():
        if len(found) > 1:
            yield _finding(clause, f"events of symbol {symbol} are in several partitions", "one", sorted(found))
    for symbol, names in keys.items():
        if len(names) > 1:
            yield _finding(clause, f"events of symbol {symbol} have several keys", "one", sorted(names))


def check_order(messages: Sequence[Published], logged: Sequence[Event], clause: str = "D09.2") -> Iterator[Finding]:
    """Of each symbol the log's events, in its order. What comes again is told by its sequence, and is not new."""
    wanted: dict[int, list[int]] = defaultdict(list)
    for sequence, symbol in logged:
        wanted[symbol].append(sequence)
    came: dict[int, list[int]] = defaultdict(list)
    for message in messages:
        for sequence, symbol in message.events:
            mine = came[symbol]
            if sequence > (mine[-1] if mine else 0):
                if sequence == message.events[0][0] and message.previous != (mine[-1] if mine else 0):
                    yield _finding(
                        clause, f"what a message says was before record {sequence} is not what was",
                        str(mine[-1] if mine else 0), [message.previous],
                    )  # fmt: skip
                mine.append(sequence)
            elif sequence not in mine:
                yield _finding(
                    clause, f"record {sequence} of symbol {symbol} comes late", f"before {mine[-1]}", ["after"]
                )
    for symbol in sorted(wanted.keys() | came.keys()):
        if came[symbol] != wanted[symbol]:
            missing = sorted(set(wanted[symbol]) - set(came[symbol]))
            extra = sorted(set(came[symbol]) - set(wanted[symbol]))
            yield _finding(
                clause, f"the topic has not the log's events of symbol {symbol}",
                f"{len(wanted[symbol])} events", [f"missing {missing[:10]}", f"not in the log {extra[:10]}"],
            )  # fmt: skip


def _finding(clause: str, text: str, expected: str, actual: Sequence[object]) -> Finding:
    return Finding(clause, 0, text, (expected,), tuple(str(one) for one in actual))
