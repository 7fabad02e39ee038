"""Whether a resend rebuilds what was sent: the same business messages under their numbers, gap fills for the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matchmark.conformance.fix.message import FixMessage, number, same_content, show_raw
from matchmark.conformance.fix.numbers import SESSION_TYPES


def wrong_resend(
    first: Mapping[int, FixMessage], again: Sequence[FixMessage], begin: int, end: int
) -> tuple[str, list[str], list[str]] | None:
    """What is wrong with `again`, the answer to a ResendRequest for `begin` to `end`, as (message, expected, actual).

    `first` are the messages as they came for the first time, all of them up to `end`.
    """
    at = begin
    for m in again:
        if m.seq != at:
            return "a resend leaves a number out, or is out of order", [f"34={at}"], [show_raw(m.raw)]
        original = first.get(at)
        if m.type == "4":
            new = number(m, 36)
            if m.get(123) != "Y" or new <= at:
                return "a resend holds a SequenceReset that fills no gap", ["123=Y, 36 above 34"], [show_raw(m.raw)]
            lost = [show_raw(first[n].raw) for n in range(at, new) if n in first and first[n].type not in SESSION_TYPES]
            if lost:
                return "a gap fill stands in place of business messages", lost, [show_raw(m.raw)]
            at = new
            continue
        if original is None or (m.type in SESSION_TYPES and m.type != "3"):
            return "a resend holds a message that is not to be sent again", ["a gap fill"], [show_raw(m.raw)]
        wrong = _wrong_again(original, m)
        if wrong is not None:
            return wrong, [show_raw(original.raw)], [show_raw(m.raw)]
        at += 1
    if at <= end:
        return "a resend ends early", [f"numbers up to {end}"], [f"numbers up to {at - 1}"]
    return None


def _wrong_again(original: FixMessage, again: FixMessage) -> str | None:
    if not same_content(original.pairs, again.pairs):
        return "a resent message says something else than the first time"
    if not again.poss_dup:
        return "a resent message has no PossDupFlag"
    if again.get(122) != original.get(52):
        return "OrigSendingTime is not the SendingTime of the first time"
    return None
