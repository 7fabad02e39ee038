"""Risk checks against a model in plain Python integers: the same verdicts and balances after any orders and reports."""

from __future__ import annotations

import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from matchmark.native import EventKind, Op, _native

ffi: Any = _native.ffi
lib: Any = _native.lib

TICK, LOT, MAX_LOTS, REFERENCE, COLLAR_BPS = 5, 10, 1 << 31, 1000, 2000
HUGE = (1 << 53) - 1


class Model:
    """Cash, positions and open orders as dicts of unbounded integers; one symbol, whose trades move the reference."""

    def __init__(self, cash: list[int], lots: list[int]) -> None:
        self.cash, self.lots, self.reference = cash, lots, REFERENCE
        self.open: dict[int, list[int]] = {}  # id -> [account, side, reserve ticks, lots left]
        self.highest_sell = 0  # since a sell has been open at all times

    def new(self, cl: int, account: int, side: int, limit: bool, units: int, shares: int, collar: int) -> int:
        if shares <= 0 or shares % LOT:
            return int(lib.MM_RISK_LOT)
        if shares // LOT > MAX_LOTS - 1:
            return int(lib.MM_RISK_SIZE)
        if limit:
            if units <= 0 or units % TICK or units // TICK > HUGE:
                return int(lib.MM_RISK_TICK)
            if collar and abs(units // TICK - self.reference) * 10000 > self.reference * collar:
                return int(lib.MM_RISK_COLLAR)
        if cl in self.open:
            return int(lib.MM_RISK_DUPLICATE)
        top = self.reference * (10000 + collar) // 10000
        ticks = units // TICK if limit else 0 if side else max(top, self.highest_sell)
        lots = shares // LOT
        if side and self.lots[account] < lots:
            return int(lib.MM_RISK_POSITION)
        if not side and self.cash[account] < ticks * TICK * lots * LOT:
            return int(lib.MM_RISK_CASH)
        if side:
            self.lots[account] -= lots
            self.highest_sell = max(self.highest_sell, ticks)
        else:
            self.cash[account] -= ticks * TICK * lots * LOT
        self.open[cl] = [account, side, ticks, lots]
        return 0

    def over(self, cl: int) -> None:
        del self.open[cl]
        if not any(side for _, side, _, _ in self.open.values()):
            self.highest_sell = 0

    def fill(self, cl: int, ticks: int, lots: int) -> None:
        order = self.open[cl]
        account, side, reserve, _ = order
        if side:
            self.cash[account] += ticks * TICK * lots * LOT
        else:
            self.cash[account] += (reserve - ticks) * TICK * lots * LOT
            self.lots[account] += lots
        self.reference = ticks
        order[3] -= lots
        if not order[3]:
            self.over(cl)

    def end(self, cl: int) -> None:
        account, side, reserve, lots = self.open[cl]
        self.over(cl)
        if side:
            self.lots[account] += lots
        else:
            self.cash[account] += reserve * TICK * lots * LOT


def money(value: int) -> dict[str, int]:
    return {"low": value & (2**64 - 1), "high": value >> 64}


def make(cash: list[int], lots: list[int], collar: int, orders: int = 64) -> Any:
    symbol = ffi.new("mm_risk_symbol[1]")
    s = symbol[0]
    s.name, s.price_digits, s.collar_bps, s.tick_units, s.lot_size = b"S", 2, collar, TICK, LOT
    s.max_lots, s.reference_ticks = MAX_LOTS - 1, REFERENCE
    risk = ffi.gc(lib.mm_risk_make(symbol, 1, len(cash), orders, 64), lib.mm_risk_free)
    for account, (c, n) in enumerate(zip(cash, lots, strict=True)):
        lib.mm_risk_deposit(risk, account, money(c))
        assert lib.mm_risk_deposit_lots(risk, account, 0, n)
    return risk


def report(kind: EventKind, cl: int, order: list[int], **more: int) -> Any:
    r = ffi.new("mm_report *")
    r.kind, r.op, r.cl_ord_id, r.account, r.side = kind, Op.NEW, cl, order[0], order[1]
    for name, value in more.items():
        setattr(r, name, value)
    return r


def agree(risk: Any, model: Model) -> None:
    for account in range(len(model.cash)):
        cash = lib.mm_risk_cash(risk, account)
        assert (cash.high << 64) | cash.low == model.cash[account]
        assert lib.mm_risk_position(risk, account, 0) == model.lots[account]
    assert lib.mm_risk_open(risk) == len(model.open)


prices = st.one_of(st.integers(-10, 8000), st.sampled_from([HUGE * TICK, (HUGE + 1) * TICK, 5000, 1000 * TICK]))
shares = st.one_of(st.integers(-5, 500), st.sampled_from([(MAX_LOTS - 1) * LOT, MAX_LOTS * LOT, 100, 20, 40]))
orders = st.tuples(
    st.just("new"), st.integers(1, 12), st.integers(0, 2), st.integers(0, 1), st.booleans(), prices, shares
)
others = st.tuples(
    st.sampled_from(["fill", "cancel", "reject", "undo"]), st.integers(0, 63), st.integers(1, 3000), st.integers(1, 50)
)


@settings(max_examples=300, deadline=None)
@given(
    cash=st.lists(st.integers(0, 1 << 90), min_size=3, max_size=3),
    lots=st.lists(st.integers(0, 1 << 33), min_size=3, max_size=3),
    collar=st.sampled_from([0, COLLAR_BPS]),
    steps=st.lists(st.one_of(orders, others), max_size=60),
)
def test_verdicts_and_balances_are_the_model_s(cash: list[int], lots: list[int], collar: int, steps: list[Any]) -> None:
    risk, model = make(cash, lots, collar), Model(list(cash), list(lots))
    accepted: set[int] = set()
    for step in steps:
        if step[0] == "new":
            _, cl, account, side, limit, units, quantity = step
            c = ffi.new("mm_command *")
            c.op, c.account, c.side, c.type, c.cl_ord_id = Op.NEW, account, side, 0 if limit else 1, cl
            expected = model.new(cl, account, side, limit, units, quantity, collar)
            assert lib.mm_risk_new(risk, c, units, quantity) == expected
            accepted.discard(cl) if expected == 0 else None
        elif model.open:
            what, pick, ticks, n = step
            cl = sorted(model.open)[pick % len(model.open)]
            order = model.open[cl]
            apply(risk, model, what, cl, order, ticks, n, accepted)
        agree(risk, model)


def apply(
    risk: Any, model: Model, what: str, cl: int, order: list[int], ticks: int, n: int, accepted: set[int]
) -> None:
    if what in ("fill", "cancel") and cl not in accepted:
        lib.mm_risk_apply(risk, report(EventKind.ACCEPTED, cl, order, leaves_lots=order[3] & 0xFFFFFFFF))
        accepted.add(cl)
    if what == "fill":
        n = min(n, order[3])
        lib.mm_risk_apply(risk, report(EventKind.TRADE, cl, order, last_ticks=ticks, last_lots=n))
        model.fill(cl, ticks, n)
    elif what == "cancel":
        lib.mm_risk_apply(risk, report(EventKind.CANCELLED, cl, order))
        model.end(cl)
    elif what == "reject":
        lib.mm_risk_apply(risk, report(EventKind.REJECTED, cl, order))
        if cl not in accepted:  # else it is a second order of that name that was rejected
            model.end(cl)
    else:
        lib.mm_risk_undo(risk, cl)
        model.end(cl)


def test_many_open_orders_are_found_while_their_map_grows_and_after() -> None:
    """Past several doublings up to the most there may be, then ended in another order; places are used again."""
    most, rng = 20_000, random.Random(1)
    risk = make([1 << 80], [0], 0, most)
    c = ffi.new("mm_command *")
    c.op = Op.NEW
    names = [rng.getrandbits(63) | 1 for _ in range(most + 1)]
    for turn in range(2):
        for n, name in enumerate(names[:most]):
            c.cl_ord_id = name
            assert lib.mm_risk_new(risk, c, 5000, 100) == 0
            if n % 997 == 0:
                assert all(lib.mm_risk_knows(risk, known) for known in names[: n + 1])
                assert lib.mm_risk_new(risk, c, 5000, 100) == lib.MM_RISK_DUPLICATE
        c.cl_ord_id = names[most]
        assert lib.mm_risk_new(risk, c, 5000, 100) == lib.MM_RISK_FULL
        assert not lib.mm_risk_knows(risk, names[most])
        at, order, seen = ffi.new("uint64_t *"), ffi.new("mm_risk_order *"), set()
        while lib.mm_risk_next_of(risk, 0, at, 1000, order) == 1:
            seen.add(order.cl_ord_id)
        assert seen == set(names[:most])
        for left, name in enumerate(rng.sample(names[:most], most), 1):
            lib.mm_risk_apply(risk, report(EventKind.CANCELLED, name, [0, 0]))
            assert lib.mm_risk_open(risk) == most - left and not lib.mm_risk_knows(risk, name), turn
    assert lib.mm_risk_cash(risk, 0).high == 1 << 16, "all that was reserved came back"


def test_a_cancel_by_request_names_the_order_by_its_orig() -> None:
    risk, model = make([10**9], [0], 0), Model([10**9], [0])
    c = ffi.new("mm_command *")
    c.op, c.cl_ord_id = Op.NEW, 7
    assert lib.mm_risk_new(risk, c, 5000, 100) == model.new(7, 0, 0, True, 5000, 100, 0) == 0
    r = report(EventKind.CANCELLED, 99, [0, 0])
    r.op, r.orig_cl_ord_id = Op.CANCEL, 7
    lib.mm_risk_apply(risk, r)
    model.end(7)
    agree(risk, model)


def test_a_replace_reserves_the_difference_and_gives_it_back_when_refused() -> None:
    risk = make([1_000_000], [0], 0)
    c = ffi.new("mm_command *")
    c.op, c.cl_ord_id = Op.NEW, 1
    assert lib.mm_risk_new(risk, c, 5000, 100) == 0  # 500,000 of 1,000,000
    c.op, c.cl_ord_id, c.orig_cl_ord_id = Op.REPLACE, 2, 1
    assert lib.mm_risk_replace(risk, c, 5000, 300) == lib.MM_RISK_CASH
    assert lib.mm_risk_replace(risk, c, 6000, 150) == 0  # 900,000
    assert lib.mm_risk_cash(risk, 0).low == 100_000
    r = report(EventKind.CANCEL_REJECTED, 2, [0, 0])
    lib.mm_risk_apply(risk, r)
    assert lib.mm_risk_cash(risk, 0).low == 500_000
    assert lib.mm_risk_replace(risk, c, 6000, 150) == 0
    r = report(EventKind.REPLACED, 2, [0, 0], orig_cl_ord_id=1, limit_ticks=1200, leaves_lots=15)
    lib.mm_risk_apply(risk, r)
    assert lib.mm_risk_cash(risk, 0).low == 100_000
    lib.mm_risk_apply(risk, report(EventKind.CANCELLED, 2, [0, 0]))
    assert lib.mm_risk_cash(risk, 0).low == 1_000_000
    assert lib.mm_risk_open(risk) == 0


def order_of(cl: int, side: int, market: bool = False, orig: int = 0) -> Any:
    c = ffi.new("mm_command *")
    c.op, c.cl_ord_id, c.orig_cl_ord_id, c.side, c.account = Op.REPLACE if orig else Op.NEW, cl, orig, side, side
    c.type = 1 if market else 0
    return c


def test_a_market_order_to_buy_reserves_what_the_highest_open_sell_asks() -> None:
    """Without a collar, or when the last price has fallen since the sell came, the top of the collar is not the worst price."""
    buyer, seller = 0, 1
    risk = make([1_000_000, 0], [0, 100], 0)
    assert lib.mm_risk_new(risk, order_of(1, seller), 4 * REFERENCE * TICK, 10 * LOT) == 0
    assert lib.mm_risk_new(risk, order_of(2, buyer, market=True), 0, 10 * LOT) == lib.MM_RISK_CASH  # 2,000,000
    assert lib.mm_risk_new(risk, order_of(3, buyer, market=True), 0, 5 * LOT) == 0
    lib.mm_risk_apply(risk, report(EventKind.ACCEPTED, 3, [0, buyer], leaves_lots=5))
    lib.mm_risk_apply(risk, report(EventKind.TRADE, 3, [0, buyer], last_ticks=4 * REFERENCE, last_lots=5))
    assert lib.mm_risk_cash(risk, 0).low == 0 and lib.mm_risk_cash(risk, 0).high == 0


def test_a_replaced_sell_counts_with_its_new_price_from_its_request_on() -> None:
    buyer, seller = 0, 1
    risk = make([1_000_000, 0], [0, 100], 0)
    assert lib.mm_risk_new(risk, order_of(1, seller), REFERENCE * TICK, 10 * LOT) == 0
    assert lib.mm_risk_replace(risk, order_of(2, seller, orig=1), 4 * REFERENCE * TICK, 10 * LOT) == 0
    assert lib.mm_risk_new(risk, order_of(3, buyer, market=True), 0, 10 * LOT) == lib.MM_RISK_CASH
    replaced = report(EventKind.REPLACED, 2, [1, seller], orig_cl_ord_id=1, limit_ticks=4 * REFERENCE, leaves_lots=10)
    lib.mm_risk_apply(risk, replaced)
    assert lib.mm_risk_new(risk, order_of(3, buyer, market=True), 0, 10 * LOT) == lib.MM_RISK_CASH
    lib.mm_risk_apply(risk, report(EventKind.CANCELLED, 2, [1, seller]))
    assert lib.mm_risk_new(risk, order_of(3, buyer, market=True), 0, 10 * LOT) == 0, "no sell is open: the last price"


def test_a_replace_to_more_at_a_lower_price_holds_enough_whatever_was_filled_meanwhile() -> None:
    """Half is filled while the replace is on its way: what is left of the old reserve must do for the lots that are left."""
    risk = make([2_000_000, 0], [0, 100], 0)
    assert lib.mm_risk_new(risk, order_of(1, 0), 1000 * TICK, 10 * LOT) == 0  # 500,000
    assert lib.mm_risk_replace(risk, order_of(2, 0, orig=1), 100 * TICK, 30 * LOT) == 0  # 20 lots more: 100,000
    assert lib.mm_risk_cash(risk, 0).low == 1_400_000
    lib.mm_risk_apply(risk, report(EventKind.ACCEPTED, 1, [0, 0], leaves_lots=10))
    lib.mm_risk_apply(risk, report(EventKind.TRADE, 1, [0, 0], last_ticks=1000, last_lots=10 - 1))
    # The old reserve has 50,000 left; the 21 lots that are left need 105,000.
    lib.mm_risk_apply(risk, report(EventKind.REPLACED, 2, [0, 0], orig_cl_ord_id=1, limit_ticks=100, leaves_lots=21))
    assert lib.mm_risk_cash(risk, 0).low == 2_000_000 - 9 * 1000 * TICK * LOT - 21 * 100 * TICK * LOT
    assert lib.mm_risk_cash(risk, 0).low >= 1_400_000, "nothing was taken that had not been set aside"


def test_the_hash_of_a_clordid_is_siphash_2_4() -> None:
    """Against the published vector's construction: hashlib has none, so a second implementation in Python integers."""
    key = ffi.new("uint64_t[2]", [0x0706050403020100, 0x0F0E0D0C0B0A0908])
    for text in (b"", b"a", b"12345678", b"ORDER-000000000000000000000000000000000001"):
        assert lib.mm_cl_ord_id_hash(key, 3, text, len(text)) == siphash(
            bytes(range(16)), (3).to_bytes(8, "little") + text
        )
    # The reference vector of the paper's appendix: key 00..0f, message 00..0e.
    assert siphash(bytes(range(16)), bytes(range(15))) == 0xA129CA6149BE45E5


def siphash(key: bytes, data: bytes) -> int:
    mask = (1 << 64) - 1
    k0, k1 = int.from_bytes(key[:8], "little"), int.from_bytes(key[8:], "little")
    v = [k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D, k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573]

    def turn(a: int, b: int, left: int) -> None:
        v[a] = (v[a] + v[b]) & mask
        v[b] = ((v[b] << left | v[b] >> (64 - left)) & mask) ^ v[a]

    def half(a: int) -> None:
        v[a] = (v[a] << 32 | v[a] >> 32) & mask

    def rounds(n: int) -> None:
        for _ in range(n):
            turn(0, 1, 13)
            half(0)
            turn(2, 3, 16)
            turn(0, 3, 21)
            turn(2, 1, 17)
            half(2)

    padded = data + bytes(7 - len(data) % 8) + bytes([len(data) & 255])
    for at in range(0, len(padded), 8):
        word = int.from_bytes(padded[at : at + 8], "little")
        v[3] ^= word
        rounds(2)
        v[0] ^= word
    v[2] ^= 0xFF
    rounds(4)
    return v[0] ^ v[1] ^ v[2] ^ v[3]
