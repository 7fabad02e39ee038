"""Cancel-on-disconnect; and what must not be found in anything that the exchange says or writes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from matchmark.conformance.suites._sessions import REST_TICKS, WAIT_S, Bait, SessionVenue, Stage, order, shown
from matchmark.conformance.suites._tokens import FORGERIES

pytestmark = pytest.mark.needs("fix")
FILE_BYTES_MAX = 1 << 28
"""Of one stretch of a file that is looked through."""


@pytest.mark.clause("D01.X40")
@pytest.mark.needs("cancel_on_disconnect", "fix_resend")
@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_lost_connection_cancels_the_orders_of_exactly_its_session(venue: SessionVenue, how: str) -> None:
    """Of the same account another session's order stays, and what is filled is not cancelled."""
    with Stage(venue, "D01.X40", "a lost connection of a session that asked for cancel-on-disconnect") as s:
        bait = Bait(s)
        other = s.peer()
        other.send("D", bait.resting(3))
        other.expect("8", WAIT_S)
        p = s.peer(auto=True, fields=venue.cancel_on_disconnect)
        filled = bait.order(1)
        p.send("D", filled)
        s.filled(p, filled)
        cls = [venue.new_cl() for _ in range(3)]
        instruments = [bait.instrument, bait.instrument, venue.fresh_symbol()]
        for cl, instrument in zip(cls, instruments, strict=True):
            p.send("D", order(venue, instrument, cl, "buy", 1, REST_TICKS + 1))
        for _ in cls:
            p.expect("8", WAIT_S)
        (p.close if how == "close" else p.drop)()
        s.why = "reports of what a lost connection cancelled"
        s.reconnect(p)
        told = [p.expect(lambda m: m.type == "8" and m.get(150) == "4", WAIT_S) for _ in cls]
        names = sorted(str(m.get(41) or m.get(11)) for m in told)
        if names != sorted(cls) and sorted(str(m.get(11)) for m in told) != sorted(cls):
            s.fail(s.why, [f"35=8 150=4 of each of {', '.join(cls)}"], shown(told))
        s.answers(p)
        if any(m.get(150) == "4" for m in s.told(other, "8")):
            s.fail("an order of another session was cancelled", ["it stays"], shown(s.told(other, "8")))
        last = bait.sell_into_resting(3)
        if bait.instrument.lots(last.need(14)) != 3:
            s.fail("an order of another session was cancelled", ["a fill of 3 lots"], shown([last]))
        bait.demand_taken(1, "what was filled before the connection was lost changed")


@pytest.mark.clause("D01.X41")
@pytest.mark.needs("jwt")
def test_no_token_is_found_in_what_the_exchange_says_or_writes(venue: SessionVenue) -> None:
    """After good and refused logons: in its messages, and, where it was started here, in its output and its files."""
    with Stage(venue, "D01.X41", "tokens of good and refused logons") as s:
        bait, good = Bait(s), venue.token_of(s.account)
        tokens = [good, FORGERIES["another-secret"](good), FORGERIES["signature-flipped"](good)]
        s.goes_on(s.peer(token=good))
        for forged in tokens[1:]:
            p = s.stranger(token=forged)
            s.log_on_and(p, bait.order())
            s.log_on_and(p.connect(), bait.order(), fields={108: "-5"})
        needles = [part for token in tokens for part in (token, token.rsplit(".", 1)[1])]
        for name, text in said_and_written(venue):
            found = [needle for needle in needles if text.find(needle.encode()) >= 0]
            if found:
                s.fail("a token stands where others can read it", ["no token"], [f"{found[0][:6]}... in {name}"])


def said_and_written(venue: SessionVenue) -> Iterator[tuple[str, bytes]]:
    for session, stream in venue.streams().items():
        yield f"messages to {session}", b"\n".join(line.message.raw for line in stream if not line.sent)
    if venue.engine is None:
        return
    yield "its output", venue.engine.output().encode()
    for path in sorted(venue.engine.folder.rglob("*")):
        if path.is_file():
            yield path.name, written(path)


def written(path: Path) -> bytes:
    """A file's content without its holes: preallocated files are mostly hole."""
    parts = []
    with path.open("rb", buffering=0) as file:
        at, end = 0, os.fstat(file.fileno()).st_size
        while at < end:
            try:
                start = os.lseek(file.fileno(), at, os.SEEK_DATA)
            except OSError:  # nothing but hole
                break
            at = os.lseek(file.fileno(), start, os.SEEK_HOLE)
            parts.append(os.pread(file.fileno(), min(at - start, FILE_BYTES_MAX), start))
    return b"".join(parts)
