"""Lines of the ledger as PostgreSQL reads them fastest: COPY in binary format, whole columns at a time."""

from __future__ import annotations

from typing import Any

import numpy as np

from matchmark.reference.ledger.postings import Lines, Numbers

_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER = b"\xff\xff"
_SMALL, _WIDE = 5, 10
"""Digits to the base 10,000 of 64 bits, and of 128."""
COLUMNS = "sequence, side, kind, account, asset, order_id, cash, cash_reserved, shares, shares_reserved"
_INTEGERS = (("sequence", 8), ("side", 2), ("kind", 2), ("account", 4), ("asset", 4), ("order_id", 8))


def binary_rows(lines: Lines) -> bytes:
    """What `COPY ledger_line (COLUMNS) FROM STDIN (FORMAT binary)` reads. OverflowError: an amount of more than 40 decimal digits."""
    amounts = lines[len(_INTEGERS) :]
    digits = _WIDE if any(column.dtype == object for column in amounts) else _SMALL
    numeric = [("head", ">i2", (4,)), ("digits", ">i2", (digits,))]
    fields: list[Any] = [("fields", ">i2")]
    for name, size in _INTEGERS:
        fields += [(f"{name}_bytes", ">i4"), (name, f">i{size}")]
    for name in Lines._fields[len(_INTEGERS) :]:
        fields += [(f"{name}_bytes", ">i4"), (name, numeric)]
    rows = np.zeros(len(lines.sequence), dtype=np.dtype(fields))
    rows["fields"] = len(Lines._fields)
    for (name, size), column in zip(_INTEGERS, lines, strict=False):
        rows[f"{name}_bytes"], rows[name] = size, column
    for name, column in zip(Lines._fields[len(_INTEGERS) :], amounts, strict=True):
        rows[f"{name}_bytes"] = 8 + 2 * digits
        _put_numeric(rows[name], column, digits)
    return _HEADER + rows.tobytes() + _TRAILER


def _put_numeric(out: Numbers, column: Numbers, digits: int) -> None:
    """Head: how many digits, the power of the first, sign, decimals. Zeros in front are dropped by PostgreSQL."""
    out["head"][:, 0], out["head"][:, 1] = digits, digits - 1
    out["head"][:, 2] = np.where(column < 0, 0x4000, 0)
    rest = abs(column)
    for n in range(digits - 1, -1, -1):
        out["digits"][:, n] = rest % 10_000
        rest = rest // 10_000
    if len(rest) and rest.max():
        raise OverflowError("an amount has more digits than the ledger keeps")
