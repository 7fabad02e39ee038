"""What is fired and what came of it, as numpy arrays: the structs of native/include/matchmark/cannon.h."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

SHOT = np.dtype(
    [
        ("at_ns", "<u8"), ("price_ticks", "<i8"), ("lots", "<u4"), ("symbol", "<u4"), ("orig", "<u4"), ("session", "<u2"),
        ("op", "u1"), ("flags", "u1"),
    ]
)  # fmt: skip
MARK = np.dtype(
    [
        ("sent_ns", "<u8"), ("told_ns", "<u8"), ("order_id", "<u8"), ("number", "<u4"), ("cum_lots", "<u4"), ("state", "<u4"),
        ("reports", "<u2"), ("held", "<u2"),
    ]
)  # fmt: skip
SELLS, MARKET, IMMEDIATE = 1, 2, 4
"""Bits of a shot's `flags`."""
NEW, CANCEL, REPLACE = (ord(letter) for letter in "DFG")
"""`op` of a shot: MsgType."""
ACCEPTED, TRADED, CANCELLED, REJECTED, CANCEL_REFUSED, STATUS, OVER, REFUSED_MESSAGE = 1, 2, 4, 8, 16, 32, 64, 128
"""Bits of a mark's `state`."""
