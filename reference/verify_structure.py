"""What every record of an audit log must satisfy by itself and after the one before it: CRC, sequence number, epoch, hash
chain, batch index, and that events follow the command that caused them.

The CRC is checked by the native code (the processor has an instruction for it), the rest here, by code that the writer does not
share, compiled by numba.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np
import numpy.typing as npt

from matchmark.native import _native

F = TypeVar("F", bound=Callable[..., Any])

_njit: Any = numba.njit  # its types do not know _nrt


def compiled(function: F) -> F:
    """numba's njit, with the compiled code kept for the next run and the types of the function kept for mypy.

    For code that allocates nothing: without `_nrt`, numba counts references to every array around every access to a record, by
    locked instructions, which took two thirds of the book's time.
    """
    made: Any = _njit(cache=True, nogil=True, _nrt=False)(function)
    return cast(F, made)


def inlined(function: F) -> F:
    """A compiled part of a loop, inside its caller."""
    made: Any = _njit(cache=True, nogil=True, forceinline=True, _nrt=False)(function)
    return cast(F, made)


Records = npt.NDArray[np.void]
Words = npt.NDArray[np.uint64]

# Fields at their offsets in the 272-byte record, without nesting, which numba reads best.
LINK = np.dtype(
    {
        "names": ["sequence", "running_hash", "kind", "flags", "event_kind", "epoch", "batch_index", "zero"],
        "formats": ["<u8", "<u8", "<u1", "<u1", "<u1", "<u4", "<u2", "<u2"],
        "offsets": [0, 8, 188, 191, 16, 204, 264, 266],
        "itemsize": 272,
    }
)

OK, SEQUENCE, EPOCH, CHAIN, KIND, BATCH, RESERVED, NO_COMMAND, NOT_ENDED, ANOTHER_OP = range(10)

WRONG = {
    SEQUENCE: "sequence number is not the next",
    EPOCH: "epoch is lower than that of the record before, or 0",
    CHAIN: "running hash does not follow from the record before: it or this record was changed, or records were exchanged",
    KIND: "is neither a command nor an event",
    BATCH: "batch index is out of range or does not go on from the record before",
    RESERVED: "reserved bytes are not zero",
    NO_COMMAND: "is an event, but the command before it had ended",
    NOT_ENDED: "is a command, but the last event of the command before it is missing",
    ANOTHER_OP: "is an event of another kind of command than the one it follows",
}


@inlined
def record_hash(before: np.uint64, words: Words, at: int) -> np.uint64:
    """The running hash of record `at` of `words`, shape (n, 34), after `before`: docs/audit-log.md, "Hash chain"."""
    step = np.uint64(0x9FB21C651E98DF25)
    a, b, c, d = words[at, 0], np.uint64(1), np.uint64(2), np.uint64(3)
    half = np.uint64(32)
    for i in range(2, 30, 4):
        a = (a ^ words[at, i]) * step
        a ^= a >> half
        b = (b ^ words[at, i + 1]) * step
        b ^= b >> half
        c = (c ^ words[at, i + 2]) * step
        c ^= c >> half
        d = (d ^ words[at, i + 3]) * step
        d ^= d >> half
    return _finish(before ^ _finish(a + np.uint64(3) * b + np.uint64(5) * c + np.uint64(7) * d))


@inlined
def _finish(x: np.uint64) -> np.uint64:
    x ^= x >> np.uint64(30)
    x *= np.uint64(0xBF58476D1CE4E5B9)
    x ^= x >> np.uint64(27)
    x *= np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


# Of the record before: sequence, running hash, epoch, batch index, 1 when its command had ended, its op; commands so far.
STATE_WORDS = 7
RECORD_WORDS = 34


def fresh_state() -> Words:
    """Before the first record of a log."""
    return np.array([0, 0, 0, 0, 1, 0, 0], dtype=np.uint64)


@compiled
def check_links(links: Any, words: Words, state: Words) -> tuple[int, int]:
    """(index, what is wrong) of the first record that cannot follow; (n, OK) when all can. `state` moves on with them."""
    # In locals: through the array, each record would wait for the stores of the one before.
    sequence, running, epoch, batch, ended, command, commands = (
        state[0], state[1], state[2], state[3], state[4], state[5], state[6],
    )  # fmt: skip
    wrong, at = OK, len(links)
    for i in range(len(links)):
        r = links[i]
        op = r.flags >> 4
        if r.sequence != sequence + np.uint64(1):
            wrong = SEQUENCE
        elif r.kind != 1 and r.kind != 2:
            wrong = KIND
        elif r.epoch < epoch or r.epoch == 0:
            wrong = EPOCH
        elif record_hash(running, words, i) != r.running_hash:
            wrong = CHAIN
        elif r.zero != 0:
            wrong = RESERVED
        elif r.batch_index >= 1000 or (r.batch_index != 0 and r.batch_index != batch + np.uint64(1)):
            wrong = BATCH
        elif r.kind == 1 and ended == 0:
            wrong = NOT_ENDED
        elif r.kind == 2 and ended == 1:
            wrong = NO_COMMAND
        elif r.kind == 2 and op != command:
            wrong = ANOTHER_OP
        if wrong != OK:
            at = i
            break
        sequence = r.sequence
        running = r.running_hash
        epoch = np.uint64(r.epoch)
        batch = np.uint64(r.batch_index)
        ended = np.uint64(r.flags & 1)
        command = np.uint64(op)
        commands += np.uint64(r.kind == 1)
    state[0], state[1], state[2], state[3] = sequence, running, epoch, batch
    state[4], state[5], state[6] = ended, command, commands
    return at, wrong


def first_bad_crc(records: Records) -> int:
    """Index of the first record whose CRC does not fit its bytes; their number when all do."""
    if not len(records):
        return 0
    pointer = _native.ffi.from_buffer("mm_audit_record[]", records)
    return int(_native.lib.mm_audit_crc_good(pointer, len(records)))


def check_structure(records: Records, state: Words) -> tuple[int, str]:
    """(index, what is wrong) of the first bad record of AUDIT_RECORD, shape (n,); (n, "") when none is."""
    good = first_bad_crc(records)
    sound = records[:good]
    index, code = check_links(sound.view(LINK), sound.view(np.uint64).reshape(good, RECORD_WORDS), state)
    if code != OK:
        return int(index), WRONG[code]
    return (good, "") if good == len(records) else (good, "CRC does not fit its bytes")
