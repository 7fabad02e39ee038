"""Wire mutants of the direct feed: each gets one thing wrong between a sound feed and its receivers."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from typing import Any

from matchmark.conformance.packets.receiver import ANSWER, request
from matchmark.conformance.selftest.direct_proxy import DirectTap
from matchmark.conformance.selftest.wire_declare import BrokenWire, wire_mutant

HEADER = 48
BYTES = {**dict.fromkeys(b"ADRU", 48), ord("E"): 64, ord("X"): 40, ord("S"): 24, ord("C"): 24}
SIDE, SEQUENCE, PRICE, TRADE_PRICE, TRADE_LOTS = 2, 8, 32, 40, 48
"""Where in a message they are; docs/direct-feed.md."""


def direct_mutant(name: str, *, breaks: tuple[str, ...], story: str) -> Callable[[type[DirectTap]], type[DirectTap]]:
    def declare(tap: type[DirectTap]) -> type[DirectTap]:
        made = type(tap.__name__, (BrokenWire,), {"direct_tap": tap})
        wire_mutant(f"feed-direct-{name}", breaks=breaks, story=story)(made)
        return tap

    return declare


def parts(data: bytes) -> list[bytes]:
    """The messages of a packet."""
    out, at = [], HEADER
    while at < len(data):
        out.append(data[at : at + BYTES[data[at]]])
        at += BYTES[data[at]]
    return out


def packet(head: bytes, messages: list[bytes]) -> bytes:
    return head[:6] + len(messages).to_bytes(2, "little") + head[8:HEADER] + b"".join(messages)


def added(message: bytes, at: int, kind: str, by: int) -> bytes:
    changed = bytearray(message)
    struct.pack_into(kind, changed, at, struct.unpack_from(kind, changed, at)[0] + by)
    return bytes(changed)


class Editing(DirectTap):
    """The same wrong in what is told and in what is told again: `edited` gives what stands in place of a message. It goes by the
    message alone, so that both are the same."""

    def edited(self, message: bytes) -> list[bytes]:
        raise NotImplementedError

    def told(self, data: bytes) -> list[bytes]:
        return [packet(data, [new for old in parts(data) for new in self.edited(old)])]

    answered = told


def nth(message: bytes, n: int) -> bool:
    return int.from_bytes(message[SEQUENCE : SEQUENCE + 8], "little") % n == 0


# --- what is told ---


@direct_mutant(
    "event-left-out", breaks=("D09.10", "D09.X6"), story="One event in seven was left out, with its number in range."
)
class LeftOut(Editing):
    def edited(self, message: bytes) -> list[bytes]:
        return [] if nth(message, 7) else [message]


@direct_mutant(
    "cancels-left-out", breaks=("D09.10", "D09.X6"), story="Cancels were thought to be between broker and exchange."
)
class CancelsLeftOut(Editing):
    def edited(self, message: bytes) -> list[bytes]:
        return [] if message[:1] == b"X" else [message]


@direct_mutant(
    "price-one-tick-off", breaks=("D09.X6", "D09.10"), story="Prices of trades were rounded, and came out a tick high."
)
class OneTick(Editing):
    def edited(self, message: bytes) -> list[bytes]:
        return [added(message, TRADE_PRICE, "<q", 1) if message[:1] == b"E" else message]


@direct_mutant(
    "side-swapped", breaks=("D09.X6", "D09.10"), story="A trade had the resting order's side for the incoming one's."
)
class Swapped(Editing):
    def edited(self, message: bytes) -> list[bytes]:
        if message[:1] != b"E":
            return [message]
        return [message[:SIDE] + bytes([1 - message[SIDE]]) + message[SIDE + 1 :]]


@direct_mutant("quantity-ordered", breaks=("D09.10", "D09.X6"), story="A trade had what was left for what was traded.")
class Ordered(Editing):
    def edited(self, message: bytes) -> list[bytes]:
        if message[:1] != b"E":
            return [message]
        return [message[:TRADE_LOTS] + message[TRADE_LOTS + 4 : TRADE_LOTS + 8] + message[TRADE_LOTS + 4 :]]


@direct_mutant("halt-left-out", breaks=("D09.X6",), story="Changes of trading state went to subscribers alone.")
class HaltLeftOut(Editing):
    def edited(self, message: bytes) -> list[bytes]:
        return [] if message[:1] == b"S" else [message]


# --- numbers ---


@direct_mutant("number-repeated", breaks=("D09.10",), story="Two messages of one packet had one number.")
class Repeated(DirectTap):
    def told(self, data: bytes) -> list[bytes]:
        messages = parts(data)
        if messages:
            messages.append(messages[-1])
        return [packet(data, messages)]


@direct_mutant("began-at-the-packet", breaks=("D09.10",), story="Each packet's `began` was the record before it.")
class BeganWrong(DirectTap):
    def told(self, data: bytes) -> list[bytes]:
        return [data[:8] + data[16:24] + data[16:]]

    answered = told


@direct_mutant(
    "began-at-nothing", breaks=("D09.10",), story="After a start the epoch was said to have begun at the first record."
)
class BeganAtNothing(DirectTap):
    def told(self, data: bytes) -> list[bytes]:
        return [data[:8] + bytes(8) + data[16:]]

    answered = told


@direct_mutant(
    "gap-hidden", breaks=("D09.10",), story="A packet that was lost in the sender had its range added to the next one."
)
class GapHidden(DirectTap):
    def __init__(self) -> None:
        self.count, self.after = 0, b""

    def told(self, data: bytes) -> list[bytes]:
        if not parts(data):
            return [data]
        self.count += 1
        if self.count % 4 == 0:
            self.after = data[16:24]
            return []
        after, self.after = self.after or data[16:24], b""
        return [data[:16] + after + data[24:]]


@direct_mutant("silent-when-idle", breaks=("D09.10",), story="An idle feed said nothing, to save packets.")
class Silent(DirectTap):
    def told(self, data: bytes) -> list[bytes]:
        return [data] if parts(data) else []


# --- what is asked for again ---


@direct_mutant(
    "lost-for-good", breaks=("D09.10",), story="One packet in four was lost, and requests were not answered."
)
class LostForGood(DirectTap):
    def __init__(self) -> None:
        self.count = 0

    def told(self, data: bytes) -> list[bytes]:
        self.count += 1
        return [] if self.count % 4 == 0 else [data]

    def asked(self, data: bytes) -> list[bytes]:
        return []


@direct_mutant(
    "wrong-range-again", breaks=("D09.10",), story="A request was answered from one record behind where it began."
)
class WrongRange(DirectTap):
    def asked(self, data: bytes) -> list[bytes]:
        after, through = struct.unpack_from("<QQ", data, 8)
        return [request(after + 1, through)] if after + 1 < through else []


@direct_mutant(
    "only-the-last-again", breaks=("D09.10",), story="Only what is in the ring was told again, and the log not read."
)
class OnlyTheLast(DirectTap):
    """As if the ring had 64 records."""

    def __init__(self) -> None:
        self.told_to = 0

    def told(self, data: bytes) -> list[bytes]:
        self.told_to = max(self.told_to, int.from_bytes(data[24:32], "little"))
        return [data]

    def asked(self, data: bytes) -> list[bytes]:
        return [data] if int.from_bytes(data[8:16], "little") > self.told_to - 64 else []


@direct_mutant(
    "again-with-nothing-in-it", breaks=("D09.10",), story="Answers had the range that was asked for and no messages."
)
class NothingInIt(DirectTap):
    def answered(self, data: bytes) -> list[bytes]:
        assert data[5] & ANSWER
        return [packet(data, [])]


# --- on what it depends ---


@direct_mutant(
    "behind-the-service", breaks=("D09.10",), story="The feed came out of the market data service, and ended with it."
)
class BehindTheService(DirectTap):
    pid = 0

    def ready(self, line: dict[str, Any]) -> None:
        self.pid = int(line["pids"]["market_data"])

    def _passed(self, data: bytes) -> list[bytes]:
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return []
        return [data]

    told = asked = answered = _passed
