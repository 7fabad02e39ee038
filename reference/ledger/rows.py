"""Lines of the ledger as PostgreSQL reads them fastest: COPY in binary format, whole columns at a time.

Two lines of one sequence, a buyer's and a seller's, are one row; a line alone is a row whose other half is null.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from matchmark.reference.ledger.postings import Lines, Numbers

_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER = b"\xff\xff"
_SMALL, _WIDE = 5, 10
"""Digits to the base 10,000 of 64 bits, and of 128."""
_COMMON = (("sequence", 8), ("kind", 2), ("asset", 4))
_BUYER = (("buyer", 4), ("buy_order", 8), ("buyer_cash", 0), ("buyer_cash_reserved", 0), ("buyer_shares", 0))
_SELLER = (("seller", 4), ("sell_order", 8), ("seller_cash", 0), ("seller_shares", 0), ("seller_shares_reserved", 0))
"""Columns and their bytes; 0 for an amount."""
_ALL = (*_COMMON, *_BUYER, *_SELLER)
COLUMNS = ", ".join(name for name, _ in _ALL)
_FROM = {
    "buyer_cash": "cash", "buyer_cash_reserved": "cash_reserved", "buyer_shares": "shares",
    "seller_cash": "cash", "seller_shares": "shares", "seller_shares_reserved": "shares_reserved",
    "buyer": "account", "seller": "account", "buy_order": "order_id", "sell_order": "order_id",
}  # fmt: skip


def binary_rows(lines: Lines) -> bytes:
    """What `COPY ledger_entry (COLUMNS) FROM STDIN (FORMAT binary)` reads. OverflowError: an amount of more than 40 digits."""
    wide = any(column.dtype == object for column in lines)
    digits = _WIDE if wide else _SMALL
    n = len(lines.sequence)
    first = np.zeros(n, dtype=bool)
    first[:-1] = lines.sequence[1:] == lines.sequence[:-1]
    second = np.zeros(n, dtype=bool)
    second[1:] = first[:-1]
    alone = ~(first | second)
    buys, sells = alone & (lines.side == 0), alone & (lines.side == 1)
    parts = ((lines.part(buys), None), (None, lines.part(sells)), (lines.part(first), lines.part(second)))
    return _HEADER + b"".join(_rows(buyer, seller, digits) for buyer, seller in parts) + _TRAILER


def _rows(buyer: Lines | None, seller: Lines | None, digits: int) -> bytes:
    common = buyer or seller
    assert common
    if not len(common.sequence):
        return b""
    numeric = [("head", ">i2", (4,)), ("digits", ">i2", (digits,))]
    fields: list[Any] = [("fields", ">i2")]
    values: list[tuple[str, int, Numbers]] = []
    for name, size in _ALL:
        of = seller if (name, size) in _SELLER else buyer if (name, size) in _BUYER else common
        fields.append((f"{name}_bytes", ">i4"))
        if of is not None:
            fields.append((name, numeric if not size else f">i{size}"))
            values.append((name, size, getattr(of, _FROM.get(name, name))))
    rows = np.zeros(len(common.sequence), dtype=np.dtype(fields))
    rows["fields"] = len(_ALL)
    for name, _ in _ALL:
        rows[f"{name}_bytes"] = -1  # null
    for name, size, column in values:
        rows[f"{name}_bytes"] = size or 8 + 2 * digits
        if size:
            rows[name] = column
        else:
            _put_numeric(rows[name], column, digits)
    return rows.tobytes()


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
