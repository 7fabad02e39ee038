"""FIX messages as bytes: the kit's own encoder, and a reader that finds fault with what a sound counterparty never sends.

The reader judges from the raw bytes and keeps what it objects to as FixFaults. It shares no code with any exchange; simplefix
gives a second opinion on every frame that it calls garbled, so that nobody is accused on the word of one parser.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

import simplefix

from matchmark.conformance.fix.message import (
    SOH,
    Field,
    FixError,
    FixFault,
    FixMessage,
    Line,
    Rule,
    is_number,
    show_raw,
)

__all__ = ["SOH", "Field", "FixError", "FixFault", "FixMessage", "Line", "Reader", "Rule", "encode", "show_raw", "utc"]

BODY_LENGTH_MAX = 1 << 24
"""More is no message: waiting for it would wait for ever."""

_HOPS = frozenset((628, 629, 630))  # the repeating group of the header
HEADER_TAGS = _HOPS | {
    8, 9, 35, 34, 43, 49, 50, 52, 56, 57, 90, 91, 97, 115, 116, 122, 128, 129, 142, 143, 144, 145, 212, 213, 347, 369, 627
}  # fmt: skip
_TRAILER_TAGS = frozenset((93, 89, 10))
_DATA_OF_LENGTH = {
    90: 91, 93: 89, 95: 96, 212: 213, 348: 349, 350: 351, 352: 353, 354: 355, 356: 357, 358: 359, 360: 361, 362: 363,
    364: 365, 445: 446, 618: 619, 621: 622,
}  # fmt: skip
"""A data field may hold SOH; the length field right before it says where it ends."""
_LENGTH_FIELD = re.compile(b"\x01(?:" + "|".join(str(tag) for tag in _DATA_OF_LENGTH).encode() + b")=")
_TRAILER = re.compile(rb"\x0110=\d{3}\x01")
_START = re.compile(rb"(?<!\d)8=FIX")
_TIME = re.compile(r"(\d{8}-\d\d:\d\d:)(\d\d)(\.\d{3}(?:\d{3}){0,3})?")
_TAG_CHARS = re.compile(r"[1-9]\d{0,9}", re.ASCII)


# --- out ---


def assemble(
    begin_string: str,
    msg_type: str,
    header: Iterable[Field],
    fields: Iterable[Field],
    *,
    body_length: str | None = None,
    check_sum: str | None = None,
) -> FixMessage:
    """A message with BodyLength and CheckSum computed, unless told what (wrong) value to write instead."""
    middle = (*header, *fields)
    body = f"35={msg_type}\x01" + "".join([f"{tag}={value}\x01" for tag, value in middle])
    coded = body.encode("latin-1")
    length = str(len(coded)) if body_length is None else body_length
    front = f"8={begin_string}\x019={length}\x01".encode("latin-1") + coded
    total = f"{sum(front) & 255:03d}" if check_sum is None else check_sum
    pairs = ((8, begin_string), (9, length), (35, msg_type), *middle, (10, total))
    return FixMessage(pairs, front + f"10={total}\x01".encode("latin-1"), time.perf_counter_ns())


def encode(begin_string: str, msg_type: str, header: Iterable[Field], fields: Iterable[Field]) -> bytes:
    return assemble(begin_string, msg_type, header, fields).raw


_second: tuple[int, str] = (-1, "")


def utc(at_ns: int | None = None) -> str:
    """A UTCTimestamp with milliseconds: now, or of ns since 1970."""
    global _second
    ns = time.time_ns() if at_ns is None else at_ns
    second = ns // 1_000_000_000
    if _second[0] != second:
        _second = second, time.strftime("%Y%m%d-%H:%M:%S", time.gmtime(second))
    return f"{_second[1]}.{ns // 1_000_000 % 1000:03d}"


def parse_utc(text: str) -> int | None:
    """ns since 1970 of a UTCTimestamp with seconds or any of milli- to picoseconds; None when it is none."""
    found = _TIME.fullmatch(text)
    if found is None:
        return None
    minute, second, fraction = found[1], int(found[2]), found[3] or ".0"
    try:
        start = datetime.strptime(minute + "00+0000", "%Y%m%d-%H:%M:%S%z")
    except ValueError:
        return None
    if second > 60:  # 60 is a leap second
        return None
    whole = (start + timedelta(seconds=second)).timestamp()
    return int(whole) * 1_000_000_000 + int(fraction[1:].ljust(9, "0")[:9])


# --- in ---


def split(raw: bytes) -> Iterator[tuple[str, str]]:
    """(tag, value) of each field as they stand; a field without `=` has an empty tag. A data field ends where its length says."""
    if _LENGTH_FIELD.search(raw) is None:
        for part in raw[:-1].decode("latin-1").split("\x01"):
            tag, equals, value = part.partition("=")
            yield (tag, value) if tag and equals else ("", part)
    else:
        yield from _split_with_data(raw)


def tag_of(text: str) -> int | None:
    """The tag that a field begins with; None when it is none."""
    return int(text) if _TAG_CHARS.fullmatch(text) else None


def _split_with_data(raw: bytes) -> Iterator[tuple[str, str]]:
    at, length_tag, length = 0, 0, 0
    while at < len(raw):
        equals = raw.find(b"=", at)
        end = raw.find(SOH, at)
        end = len(raw) if end < 0 else end
        if not at < equals < end:
            yield "", raw[at:end].decode("latin-1")
            at, length_tag = end + 1, 0
            continue
        text = raw[at:equals].decode("latin-1")
        past = equals + 1 + length
        if length_tag and text == str(_DATA_OF_LENGTH[length_tag]) and raw[past : past + 1] == SOH:
            end = past
        value = raw[equals + 1 : end].decode("latin-1")
        yield text, value
        tag = tag_of(text) or 0
        length_tag = tag if tag in _DATA_OF_LENGTH and is_number(value) else 0
        length = int(value) if length_tag else 0
        at = end + 1


class Reader:
    """Bytes of one connection in, messages out. What is wrong with them is in `faults`, in the order of arrival.

    A garbled message is not returned. One that can be understood, but breaks a rule, is returned and has its fault.
    """

    def __init__(self, begin_string: str) -> None:
        self.faults: list[FixFault] = []
        self._begin = f"8={begin_string}\x019=".encode("latin-1")
        self._buffer = b""

    @property
    def pending(self) -> bytes:
        """What has come of a message that is not complete."""
        return self._buffer

    def feed(self, data: bytes, at_ns: int | None = None) -> list[FixMessage]:
        at_ns = time.perf_counter_ns() if at_ns is None else at_ns
        buffer = self._buffer + data if self._buffer else data
        messages: list[FixMessage] = []
        at = 0
        while at < len(buffer):
            end = self._frame(buffer, at)
            if end == 0:
                break
            if end > 0:
                message = self._understand(buffer[at:end], at_ns)
                if message is not None:
                    messages.append(message)
            at = abs(end)
        self._buffer = buffer[at:]
        return messages

    def end(self) -> None:
        """The connection is closed: half a message is a fault."""
        if self._buffer:
            self._blame(Rule.GARBLED, "the connection ended within a message", self._buffer)
            self._buffer = b""

    def _blame(self, rule: Rule, text: str, raw: bytes) -> None:
        self.faults.append(FixFault(rule, text, raw))

    def _frame(self, buffer: bytes, at: int) -> int:
        """Where the message at `at` ends; 0 when it is not complete; negative: garbled up to there."""
        length_at = at + len(self._begin)
        head = buffer[at:length_at]
        if head != self._begin:
            if self._begin.startswith(head):
                return 0
            return self._skip(buffer, at, "no BeginString and BodyLength where a message must start")
        length_end = buffer.find(SOH, length_at, length_at + 10)
        if length_end < 0:
            if len(buffer) < length_at + 10 and (length_at == len(buffer) or buffer[length_at:].isdigit()):
                return 0
            return self._skip(buffer, at, "BodyLength is no number")
        digits = buffer[length_at:length_end]
        if not digits.isdigit() or int(digits) > BODY_LENGTH_MAX:
            return self._skip(buffer, at, "BodyLength is no number that can be")
        body_end = length_end + 1 + int(digits)
        if len(buffer) < body_end + 7:
            early = _TRAILER.search(buffer, length_end)
            if early is None or early.end() >= body_end + 7:
                return 0
            return self._skip(buffer, at, f"BodyLength is {int(digits)} and the trailer comes before")
        if buffer[body_end - 1 : body_end] != SOH or not _TRAILER.match(buffer, body_end - 1):
            return self._skip(buffer, at, f"BodyLength is {int(digits)} and no CheckSum field stands there")
        end = body_end + 7
        total = sum(buffer[at:body_end]) & 255
        if int(buffer[body_end + 3 : body_end + 6]) != total:
            raw = buffer[at:end]
            self._blame(Rule.GARBLED, f"CheckSum must be {total:03d}; simplefix: {second_opinion(raw)}", raw)
            return -end
        return end

    def _skip(self, buffer: bytes, at: int, why: str) -> int:
        """To the end of this trailer or the start of the next message, whichever is there."""
        trailer = _TRAILER.search(buffer, at)
        start = _START.search(buffer, at + 1)
        ends = [m for m in (trailer.end() if trailer else 0, start.start() if start else 0) if m > at]
        end = min(ends, default=len(buffer))
        raw = buffer[at:end]
        self._blame(Rule.GARBLED, f"{why}; simplefix: {second_opinion(raw)}", raw)
        return -end

    def _understand(self, raw: bytes, at_ns: int) -> FixMessage | None:
        pairs: list[Field] = []
        for text, value in split(raw):
            tag = _known_tags.get(text)
            if tag is None:
                tag = tag_of(text)
                if tag is None:
                    self._blame(Rule.FIELD, f"{text or value!r} is no tag", raw)
                    continue
                _known_tags[text] = tag
            if not value:
                self._blame(Rule.FIELD, f"field {tag} has no value", raw)
            pairs.append((tag, value))
        if len(pairs) < 4 or pairs[2][0] != 35 or not pairs[2][1]:
            self._blame(Rule.GARBLED, "the third field is not MsgType", raw)
            return None
        message = FixMessage(tuple(pairs), raw, at_ns)
        return message if self._header(message) else None

    def _header(self, message: FixMessage) -> bool:
        """Judges the header; False when there is no number to go by."""
        seen: set[int] = set()
        body = False
        for tag, _ in message.pairs:
            if tag in HEADER_TAGS:
                if body:
                    self._blame(Rule.HEADER, f"header field {tag} stands after a field of the body", message.raw)
                if tag in seen and tag not in _HOPS:
                    self._blame(Rule.HEADER, f"header field {tag} comes twice", message.raw)
                seen.add(tag)
            elif tag not in _TRAILER_TAGS:
                body = True
        for tag in (49, 56, 34, 52):
            if tag not in seen:
                self._blame(Rule.HEADER, f"field {tag} is missing", message.raw)
        self._times(message)
        text = message.get(34, "") or ""
        if not is_number(text) or int(text) == 0:
            if 34 in seen:
                self._blame(Rule.HEADER, f"MsgSeqNum is {text!r}", message.raw)
            return False
        return True

    def _times(self, message: FixMessage) -> None:
        sent = message.get(52)
        if sent is not None and not _is_time(sent):
            self._blame(Rule.TIME, f"SendingTime is {sent!r}", message.raw)
        flag = message.get(43)
        if flag not in (None, "Y", "N"):
            self._blame(Rule.POSS_DUP, f"PossDupFlag is {flag!r}", message.raw)
        if flag != "Y":
            return
        original = message.get(122)
        if original is None:
            if message.type != "4":  # a gap fill is not itself sent again, and may leave it out
                self._blame(Rule.POSS_DUP, "PossDupFlag=Y without OrigSendingTime", message.raw)
            return
        first, again = parse_utc(original), parse_utc(sent or "")
        if first is None:
            self._blame(Rule.TIME, f"OrigSendingTime is {original!r}", message.raw)
        elif again is not None and first > again:
            self._blame(Rule.POSS_DUP, "OrigSendingTime is after SendingTime", message.raw)


_known_tags: dict[str, int] = {}
_good_minutes: set[str] = set()


def _is_time(text: str) -> bool:
    if text[:15] in _good_minutes and _TIME.fullmatch(text) and text[15:17] <= "59":
        return True
    if parse_utc(text) is None:
        return False
    if len(_good_minutes) > 1000:
        _good_minutes.clear()
    _good_minutes.add(text[:15])
    return True


def second_opinion(raw: bytes) -> str:
    """What simplefix makes of the bytes: the BodyLength and CheckSum that it would write, or why it cannot read them."""
    parser = simplefix.FixParser(allow_empty_values=True)
    try:
        parser.append_buffer(raw)
        message = parser.get_message()
        if message is None:
            return "no message"
        wanted = simplefix.FixParser(allow_empty_values=True)
        wanted.append_buffer(message.encode())
        again = wanted.get_message()
    except (simplefix.errors.ParsingError, ValueError) as error:
        return f"{type(error).__name__}"
    return "no message" if again is None else f"9={again.get(9).decode()} 10={again.get(10).decode()}"
