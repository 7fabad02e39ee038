"""Price-time priority and conservation, from the records alone: a second book, built from what the log says happened.

It shares nothing with the engine. Every order's leaves, cum and money are recomputed; each side of each symbol is a heap of
price levels, each a queue of the places that orders took there, and whoever trades must be first in the queue at the top.
State is indexed by order id, which the engine gives out in sequence; numba compiles the loop, which allocates nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from matchmark.native.records import ABSENT
from matchmark.reference.verify_structure import compiled, inlined

Ints = npt.NDArray[np.int64]

STEP = np.dtype(
    {
        "names": [
            "kind", "flags", "type", "tif", "leaves", "cum", "other_leaves", "money_low", "money_high", "other_low", "other_high",
            "c_op", "c_side", "c_type", "c_tif", "c_defer", "c_account", "c_symbol", "c_price", "c_quantity",
            "e_kind", "e_reason", "e_side", "e_state", "e_symbol", "e_id", "e_price", "e_quantity", "e_cum", "e_account",
            "e_other_account", "e_other_id",
        ],
        "formats": [
            "<u1", "<u1", "<u1", "<u1", "<u4", "<u4", "<u4", "<u8", "<u8", "<u8", "<u8",
            "<u1", "<u1", "<u1", "<u1", "<u1", "<u4", "<u4", "<i8", "<i8",
            "<u1", "<u1", "<u1", "<u1", "<u4", "<i8", "<i8", "<u4", "<u4", "<u4", "<u4", "<i8",
        ],
        "offsets": [
            188, 191, 189, 190, 192, 196, 200, 208, 216, 224, 232,
            16, 17, 18, 19, 21, 24, 28, 48, 56,
            16, 17, 18, 19, 20, 40, 48, 56, 60, 64, 68, 72,
        ],
        "itemsize": 272,
    }
)  # fmt: skip

ORDER_STATE = np.dtype(
    [
        ("limit", "<i8"),
        ("money_low", "<u8"),
        ("money_high", "<u8"),
        ("place", "<i8"),  # its place in the queue, 0 while it has none
        ("leaves", "<i8"),
        ("cum", "<i8"),
        ("account", "<u4"),
        ("symbol", "<u4"),
        ("side", "<u1"),
        ("live", "<u1"),
        ("rests", "<u1"),  # may rest: a day limit order
        ("waits", "<u1"),  # deferred
        ("pad2", "<u4"),
    ],
    align=True,
)
PLACE = np.dtype([("order", "<i8"), ("next", "<i8")])  # next: the place behind it at its price, 0 for none
LEVEL = np.dtype(
    [
        ("key", "<i8"),  # of its price, the better the smaller
        ("side", "<i8"),
        ("head", "<i8"),  # first place of the queue, 0 while the level is in no heap
        ("tail", "<i8"),
        ("left", "<i8"),
        ("right", "<i8"),
    ]
)

(
    OK, WORSE_PRICE, LATER_TIME, NOT_RESTING, WRONG_ID, NOT_ITS_PRICE, LIMIT_BROKEN, WRONG_QUANTITY, WRONG_LEAVES, WRONG_CUM,
    WRONG_MONEY, WRONG_OWNER, WRONG_PARTIES, CROSSED, MAY_NOT_REST, NOT_OPEN, UNFILLED, NOT_REQUESTED, WRONG_STATE, WRONG_TERMS,
    HALTED, WRONG_WAITING, NOT_WAITING, WOULD_REST, WRONG_TRADING, LEFT_WAITING,
) = range(26)  # fmt: skip

WRONG = {
    WORSE_PRICE: "price priority: order {0} trades although order {1} rests at a better price",
    LATER_TIME: "time priority: order {0} trades although order {1} was at its price before it",
    NOT_RESTING: "order {0} is not resting: it was never accepted, or has ended",
    WRONG_ID: "order id {0}, but the last accepted one was {1}",
    NOT_ITS_PRICE: "trade with order {0} not at that order's limit, which is {1}",
    LIMIT_BROKEN: "order {0} trades beyond its limit of {1}",
    WRONG_QUANTITY: "trade of order {0} is not of the smaller of the two leaves, which is {1}",
    WRONG_LEAVES: "leaves of order {0}: recomputed {1}",
    WRONG_CUM: "cum of order {0}: recomputed {1}",
    WRONG_MONEY: "cash: the money of order {0} is not the sum of price x quantity of its fills",
    WRONG_OWNER: "positions: order {0} belongs to account {1}, the record names another",
    WRONG_PARTIES: "order {0} is on another symbol or on the wrong side of the trade",
    CROSSED: "crossed book: order {0} rests although it could trade with order {1}",
    MAY_NOT_REST: "order {0} has {1} lots open after its command, but is not a day limit order",
    NOT_OPEN: "order {0} is not the one that this command brought in",
    UNFILLED: "order {0} is cancelled as unfilled although order {1} could trade with it",
    NOT_REQUESTED: "order {0} is cancelled by request of a command that did not ask for it",
    WRONG_STATE: "order {0} has another state than its leaves say",
    WRONG_TERMS: "order {0} is not accepted on the terms of its command",
    HALTED: "order {0} is accepted, replaced or trades although trading in symbol {1} is halted",
    WRONG_WAITING: "order {0} is deferred where it should be decided, or decided where it should be deferred",
    NOT_WAITING: "order {0} is released or cancelled by a halt, but was not deferred",
    WOULD_REST: "order {0} is cancelled by a halt, but would not trade",
    WRONG_TRADING: "symbol {0} was in trading state {1}: no such change is possible",
    LEFT_WAITING: "{1} deferred orders of symbol {0} wait on although the symbol is warned no more",
}

# Scalars that live from chunk to chunk.
(
    LAST_ID, PLACES, LEVELS, CURRENT, KEPT, OP, SIDE, TYPE, TIF, ACCOUNT, SYMBOL, PRICE, QUANTITY, TRADES, LOTS, DEFER, SCALARS,
) = range(17)  # fmt: skip

ROOM_LEAST, ROOM_MOST = 1 << 15, 1 << 24


class Book:
    """State between chunks: scalars, orders by id, places, levels, the map that finds them, and each side's heap of them."""

    def __init__(self, symbols: int, records: int = 0) -> None:
        """`records`: how many there may be. Room for so many costs nothing before it is used; growing costs a copy."""
        room = 1 << min(max(records, ROOM_LEAST), ROOM_MOST).bit_length()
        self.scalars: Ints = np.zeros(SCALARS, dtype=np.int64)
        self.orders = np.zeros(room, dtype=ORDER_STATE)
        self.places = np.zeros(room, dtype=PLACE)
        self.levels = np.zeros(1 << 15, dtype=LEVEL)
        self.slots: Ints = np.zeros(1 << 16, dtype=np.int64)
        self.tops: Ints = np.zeros(2 * symbols, dtype=np.int64)
        self.trading: Ints = np.zeros(2 * symbols, dtype=np.int64)
        """By symbol: its trading state, and how many deferred orders wait."""

    def check(self, records: npt.NDArray[np.void]) -> tuple[int, str]:
        """(index, what is wrong) of the first bad record of AUDIT_RECORD, shape (n,); (n, "") when none is."""
        self._grow(len(records))
        detail: Ints = np.zeros(2, dtype=np.int64)
        book = (self.orders, self.places, self.levels, self.slots, self.tops, self.trading)
        index, code = walk(records.view(STEP), self.scalars, *book, detail)
        return int(index), WRONG[code].format(*detail.tolist()) if code != OK else ""

    def _grow(self, more: int) -> None:
        for name, used in (("orders", LAST_ID), ("places", PLACES), ("levels", LEVELS)):
            array = getattr(self, name)
            needed = int(self.scalars[used]) + more + 2
            if needed > len(array):
                grown = np.zeros(max(2 * len(array), needed), dtype=array.dtype)
                grown[: len(array)] = array
                setattr(self, name, grown)
        if len(self.slots) < 2 * len(self.levels):  # a power of two
            self.slots = np.zeros(1 << (2 * len(self.levels) - 1).bit_length(), dtype=np.int64)
            find_all(self.levels, int(self.scalars[LEVELS]), self.slots)

    @property
    def trades(self) -> int:
        return int(self.scalars[TRADES])

    @property
    def lots(self) -> int:
        """Lots traded, which as many accounts bought as sold."""
        return int(self.scalars[LOTS])


# --- levels: found by side and price in an open-addressing map; skew heaps of them, root 0 for none ---


@inlined
def slot_of(levels: Any, slots: Any, side: int, key: int) -> Any:
    """Where the level is, or the empty slot where it would go."""
    mixed = (np.uint64(key) ^ (np.uint64(side) << np.uint64(40))) * np.uint64(0x9E3779B97F4A7C15)
    mask = len(slots) - 1
    at = np.int64(mixed >> np.uint64(20)) & mask
    while slots[at] != 0 and (levels[slots[at]].key != key or levels[slots[at]].side != side):
        at = (at + 1) & mask
    return at


@compiled
def find_all(levels: Any, n: int, slots: Any) -> None:
    for i in range(1, n + 1):
        slots[slot_of(levels, slots, levels[i].side, levels[i].key)] = i


@inlined
def merge(levels: Any, a: int, b: int) -> int:
    if a == 0 or b == 0:
        return a + b
    if levels[b].key < levels[a].key:
        a, b = b, a
    root = a
    while True:
        right = levels[a].right
        levels[a].right = levels[a].left
        if right == 0:
            levels[a].left = b
            return root
        if levels[b].key < levels[right].key:
            right, b = b, right
        levels[a].left = right
        a = right


@inlined
def queue_up(s: Any, places: Any, levels: Any, slots: Any, tops: Any, side: int, key: int, order: int) -> Any:
    """A new place behind all others at its price."""
    s[PLACES] += 1
    place = s[PLACES]
    places[place].order, places[place].next = order, 0
    at = slot_of(levels, slots, side, key)
    if slots[at] == 0:
        s[LEVELS] += 1
        slots[at] = s[LEVELS]
        levels[slots[at]].key, levels[slots[at]].side, levels[slots[at]].head = key, side, 0
    level = levels[slots[at]]
    if level.head == 0:
        level.head, level.left, level.right = place, 0, 0
        tops[side] = merge(levels, tops[side], slots[at])
    else:
        places[level.tail].next = place
    level.tail = place
    return place


@inlined
def best(tops: Any, places: Any, levels: Any, orders: Any, side: int) -> Any:
    """The order that is next on a side, 0 for none; places that orders have left, and empty levels, are dropped on the way."""
    root = tops[side]
    while root != 0:
        level = levels[root]
        while level.head != 0:
            order = places[level.head].order
            if orders[order].live == 1 and orders[order].place == level.head:
                tops[side] = root
                return order
            level.head = places[level.head].next
        root = merge(levels, level.left, level.right)
    tops[side] = 0
    return 0


@inlined
def crosses(orders: Any, incoming: int, resting: int) -> bool:
    limit = orders[incoming].limit
    if limit == ABSENT:
        return True
    if orders[incoming].side == 0:
        return bool(orders[resting].limit <= limit)
    return bool(orders[resting].limit >= limit)


@inlined
def add_money(order: Any, price: int, lots: int) -> None:
    """price < 2^53, lots < 2^31: two partial products, added into 128 bits."""
    half, mask = np.uint64(32), np.uint64(0xFFFFFFFF)
    low = (np.uint64(price) & mask) * np.uint64(lots)
    high = (np.uint64(price) >> half) * np.uint64(lots)
    shifted = (high & mask) << half
    product = low + shifted
    carry = (high >> half) + (np.uint64(1) if product < low else np.uint64(0))
    total = order.money_low + product
    order.money_high += carry + (np.uint64(1) if total < product else np.uint64(0))
    order.money_low = total


# --- one event each: 0 when it is right, else what is wrong; detail[0] and detail[1] say about which order ---


@inlined
def halted(symbol: int, trading: Any, detail: Any) -> bool:
    detail[1] = symbol
    return bool(trading[2 * symbol] == 2)


@inlined
def accepted(r: Any, s: Any, orders: Any, trading: Any, detail: Any) -> int:
    detail[0], detail[1] = r.e_id, s[LAST_ID]
    if r.e_id != s[LAST_ID] + 1:
        return WRONG_ID
    price = ABSENT if s[TYPE] == 1 else s[PRICE]
    if (
        s[OP] != 1
        or r.e_side != s[SIDE]
        or r.e_symbol != s[SYMBOL]
        or r.e_quantity != s[QUANTITY]
        or r.e_price != price
    ):
        return WRONG_TERMS
    if r.e_account != s[ACCOUNT]:
        detail[1] = s[ACCOUNT]
        return WRONG_OWNER
    if halted(s[SYMBOL], trading, detail):
        return HALTED
    waits = s[DEFER] == 1 and trading[2 * s[SYMBOL]] == 1
    if (r.e_reason == 15) != waits:
        return WRONG_WAITING
    s[LAST_ID] = r.e_id
    o = orders[r.e_id]
    o.limit, o.leaves, o.cum, o.place = price, r.e_quantity, 0, 0
    o.money_low = o.money_high = 0
    o.account, o.symbol, o.side, o.live = s[ACCOUNT], s[SYMBOL], s[SIDE], 1
    o.rests = 1 if s[TYPE] == 0 and s[TIF] == 0 else 0
    o.waits = 1 if waits else 0
    trading[2 * s[SYMBOL] + 1] += o.waits
    s[CURRENT], s[KEPT] = 0 if waits else r.e_id, 0
    return OK


@inlined
def replaced(r: Any, s: Any, orders: Any, trading: Any, detail: Any) -> int:
    detail[0] = r.e_id
    if r.e_id < 1 or r.e_id > s[LAST_ID] or orders[r.e_id].live == 0 or orders[r.e_id].waits == 1:
        return NOT_RESTING
    if halted(orders[r.e_id].symbol, trading, detail):
        return HALTED
    o = orders[r.e_id]
    if s[OP] != 3 or o.account != s[ACCOUNT] or o.symbol != s[SYMBOL] or r.e_symbol != s[SYMBOL]:
        return WRONG_TERMS
    detail[1] = o.cum
    if r.e_cum != o.cum:
        return WRONG_CUM
    price = o.limit if s[PRICE] == ABSENT else s[PRICE]
    leaves = o.leaves if s[QUANTITY] == ABSENT else s[QUANTITY] - o.cum
    detail[1] = leaves
    if r.e_quantity != leaves or leaves < 1:
        return WRONG_LEAVES
    if r.e_price != price:
        return WRONG_TERMS
    s[KEPT] = 1 if price == o.limit and leaves <= o.leaves else 0
    if s[KEPT] == 0:
        o.place = 0
    o.limit, o.leaves, o.rests = price, leaves, 1
    s[CURRENT] = r.e_id
    return OK


@inlined
def trade(r: Any, s: Any, orders: Any, places: Any, levels: Any, tops: Any, trading: Any, detail: Any) -> int:
    detail[0] = r.e_id
    if r.e_id != s[CURRENT] or s[CURRENT] == 0 or orders[s[CURRENT]].live == 0:
        return NOT_OPEN
    if halted(orders[s[CURRENT]].symbol, trading, detail):
        return HALTED
    detail[0] = r.e_other_id
    if (
        r.e_other_id < 1
        or r.e_other_id > s[LAST_ID]
        or orders[r.e_other_id].live == 0
        or orders[r.e_other_id].place == 0
    ):
        return NOT_RESTING
    mine, other = orders[r.e_id], orders[r.e_other_id]
    if mine.symbol != other.symbol or mine.side == other.side or r.e_symbol != mine.symbol or r.e_side != mine.side:
        return WRONG_PARTIES
    detail[1] = other.limit
    if r.e_price != other.limit:
        return NOT_ITS_PRICE
    if not crosses(orders, r.e_id, r.e_other_id):
        detail[0], detail[1] = r.e_id, mine.limit
        return LIMIT_BROKEN
    top = best(tops, places, levels, orders, 2 * other.symbol + other.side)
    detail[1] = top
    if top != r.e_other_id:
        return WORSE_PRICE if orders[top].limit != other.limit else LATER_TIME
    lots = min(mine.leaves, other.leaves)
    detail[1] = lots
    if r.e_quantity != lots:
        return WRONG_QUANTITY
    for order in (mine, other):
        order.leaves -= lots
        order.cum += lots
        add_money(order, r.e_price, lots)
    s[TRADES] += 1
    s[LOTS] += lots
    return after_trade(r, mine, other, detail)


@inlined
def after_trade(r: Any, mine: Any, other: Any, detail: Any) -> int:
    """The resting order's numbers in a trade's record; the incoming one's are compared with every event's."""
    detail[0], detail[1] = r.e_other_id, other.leaves
    if r.other_leaves != other.leaves:
        return WRONG_LEAVES
    detail[1] = other.cum
    if r.e_cum != other.cum:
        return WRONG_CUM
    if r.other_low != other.money_low or r.other_high != other.money_high:
        return WRONG_MONEY
    detail[1] = other.account
    if r.e_other_account != other.account:
        return WRONG_OWNER
    if r.e_state != (2 if other.leaves else 3):
        return WRONG_STATE
    if other.leaves == 0:
        other.live = 0
    if mine.leaves == 0:
        mine.live = 0
    return OK


@inlined
def cancelled(r: Any, s: Any, orders: Any, places: Any, levels: Any, tops: Any, trading: Any, detail: Any) -> int:
    detail[0] = r.e_id
    if r.e_id < 1 or r.e_id > s[LAST_ID] or orders[r.e_id].live == 0:
        return NOT_RESTING
    o = orders[r.e_id]
    detail[1] = o.leaves
    if r.e_quantity != o.leaves:
        return WRONG_LEAVES
    detail[1] = o.cum
    if r.e_cum != o.cum:
        return WRONG_CUM
    if r.e_reason == 9 and (s[OP] != 2 or o.account != s[ACCOUNT] or o.symbol != s[SYMBOL]):
        return NOT_REQUESTED
    if r.e_reason == 13 and (
        s[OP] != 4 or o.account != s[ACCOUNT] or (s[SYMBOL] != 0xFFFFFFFF and o.symbol != s[SYMBOL])
    ):
        return NOT_REQUESTED
    if r.e_reason == 14:
        if s[OP] != 9 or o.waits == 0:
            return NOT_WAITING
        top = best(tops, places, levels, orders, 2 * o.symbol + 1 - o.side)
        if o.rests == 1 and (top == 0 or not crosses(orders, r.e_id, top)):
            return WOULD_REST
    if r.e_reason == 10 or r.e_reason == 11:
        if r.e_id != s[CURRENT]:
            return NOT_OPEN
        top = best(tops, places, levels, orders, 2 * o.symbol + 1 - o.side)
        detail[1] = top
        if top != 0 and crosses(orders, r.e_id, top):
            return UNFILLED
    stop_waiting(o, trading)
    o.leaves = 0
    o.live = 0
    return OK


@inlined
def stop_waiting(o: Any, trading: Any) -> None:
    trading[2 * o.symbol + 1] -= o.waits
    o.waits = 0


@inlined
def released(r: Any, s: Any, orders: Any, trading: Any, detail: Any) -> int:
    detail[0] = r.e_id
    if r.e_id < 1 or r.e_id > s[LAST_ID] or orders[r.e_id].live == 0 or orders[r.e_id].waits == 0:
        return NOT_WAITING
    stop_waiting(orders[r.e_id], trading)
    s[CURRENT], s[KEPT] = r.e_id, 0
    return OK


@inlined
def changed(r: Any, s: Any, trading: Any, detail: Any) -> int:
    """Warn and calm, halt and resume: each from where it may begin."""
    was = trading[2 * r.e_symbol]
    detail[0], detail[1] = r.e_symbol, was
    due = -1
    if s[OP] == 7 and was == 0:
        due = 1
    elif (s[OP] == 8 and was == 1) or (s[OP] == 10 and was == 2):
        due = 0
    elif s[OP] == 9 and was != 2:
        due = 2
    if r.e_symbol != s[SYMBOL] or r.e_side != was or r.e_state != due:
        return WRONG_TRADING
    trading[2 * r.e_symbol] = r.e_state
    return OK


@inlined
def compare(r: Any, orders: Any, detail: Any) -> int:
    """What the record says of the order that its event is about."""
    o = orders[r.e_id]
    detail[0], detail[1] = r.e_id, o.leaves
    if r.leaves != o.leaves:
        return WRONG_LEAVES
    detail[1] = o.cum
    if r.cum != o.cum:
        return WRONG_CUM
    if r.money_low != o.money_low or r.money_high != o.money_high:
        return WRONG_MONEY
    detail[1] = o.account
    return OK if r.e_account == o.account else WRONG_OWNER


@inlined
def settle(s: Any, orders: Any, places: Any, levels: Any, slots: Any, tops: Any, detail: Any) -> int:
    """The command is over: what it brought in either ended, or takes its place in the queue without crossing."""
    current = s[CURRENT]
    s[CURRENT] = 0
    if current == 0 or orders[current].live == 0 or s[KEPT] == 1:
        return OK
    o = orders[current]
    detail[0], detail[1] = current, o.leaves
    if o.rests == 0:
        return MAY_NOT_REST
    top = best(tops, places, levels, orders, 2 * o.symbol + 1 - o.side)
    detail[1] = top
    if top != 0 and crosses(orders, current, top):
        return CROSSED
    key = -o.limit if o.side == 0 else o.limit
    o.place = queue_up(s, places, levels, slots, tops, 2 * o.symbol + o.side, key, current)
    return OK


@inlined
def begin(r: Any, s: Any, orders: Any, slots: Any, tops: Any, trading: Any) -> None:
    s[OP], s[SIDE], s[TYPE], s[TIF] = r.c_op, r.c_side, r.c_type, r.c_tif
    s[ACCOUNT], s[SYMBOL], s[PRICE], s[QUANTITY] = r.c_account, r.c_symbol, r.c_price, r.c_quantity
    s[CURRENT], s[KEPT], s[DEFER] = 0, 0, r.c_defer
    if r.c_op == 6:
        trading[:] = 0
        for i in range(1, s[LAST_ID] + 1):
            orders[i].live = 0
        tops[:] = 0
        slots[:] = 0
        s[LAST_ID] = s[PLACES] = s[LEVELS] = 0


@compiled
def walk(
    steps: Any, s: Any, orders: Any, places: Any, levels: Any, slots: Any, tops: Any, trading: Any, detail: Any
) -> tuple[int, int]:
    for i in range(len(steps)):
        r = steps[i]
        if r.kind == 1:
            begin(r, s, orders, slots, tops, trading)
        else:
            code = OK
            if r.e_kind == 1:
                code = accepted(r, s, orders, trading, detail)
            elif r.e_kind == 3:
                code = replaced(r, s, orders, trading, detail)
            elif r.e_kind == 4:
                code = trade(r, s, orders, places, levels, tops, trading, detail)
            elif r.e_kind == 5:
                code = cancelled(r, s, orders, places, levels, tops, trading, detail)
            elif r.e_kind == 10:
                code = changed(r, s, trading, detail)
            elif r.e_kind == 12:
                code = settle(s, orders, places, levels, slots, tops, detail)
                if code == OK:
                    code = released(r, s, orders, trading, detail)
            if code == OK and (r.e_kind == 1 or (r.e_kind >= 3 and r.e_kind <= 5) or r.e_kind == 12):
                code = compare(r, orders, detail)
            if code != OK:
                return i, code
        if r.flags & 1:
            code = settle(s, orders, places, levels, slots, tops, detail)
            if code == OK and (s[OP] == 8 or s[OP] == 9) and s[SYMBOL] < len(tops) // 2:
                detail[0], detail[1] = s[SYMBOL], trading[2 * s[SYMBOL] + 1]
                if trading[2 * s[SYMBOL]] != 1 and detail[1] != 0:
                    code = LEFT_WAITING
            if code != OK:
                return i, code
    return len(steps), OK
