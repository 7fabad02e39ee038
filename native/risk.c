/* Reservations and balances. One thread. Open orders lie in a pool, whose last freed place is used first, so that those of a short
 * life stay in the cache; a map of eight bytes a slot finds them by ClOrdID hash. The map begins small and doubles, so that a look
 * into it costs what the open orders are, not what they may become; that of half a million open orders takes 3 ms, once. Positions:
 * an open-addressing table. */
#define _GNU_SOURCE
#include "matchmark/risk.h"

#include "id_map.h"
#include "reserve.h"
#include "snapshot.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

__extension__ typedef __int128 money;

#define FIRST_SLOTS UINT64_C(4096)

enum { ENTRY_ORDER = 1, ENTRY_REPLACE = 2 };

/* What an open order, or a replace on its way, holds. */
typedef struct entry {
    uint64_t id;        /* 0: free place */
    int64_t total_lots; /* OrderQty: total - lots is what was filled */
    int64_t reserve_ticks,
        lots; /* a buy holds reserve_ticks x lots of money, a sell lots; of a replace: what it added */
    uint32_t account, symbol;
    uint8_t side, kind, accepted, going; /* going: mm_risk_going was told */
    uint32_t session;
    union {
        money extra;       /* of a replace: money added (buy) */
        uint64_t order_id; /* of an order: 0 until it is accepted */
        uint32_t next;     /* of a free place: the next one */
    };
} entry;

typedef struct position {
    uint64_t key; /* 1 + account << 32 | symbol */
    int64_t lots;
} position;

struct mm_risk {
    uint32_t n_symbols, n_accounts, open, max_open;
    uint32_t free, used; /* the place freed last; places ever used are 1 .. used */
    uint64_t max_slots, position_mask, n_positions;
    mm_risk_symbol *symbols;
    money *cash;
    entry *orders;   /* 1 .. max_open */
    uint64_t *slots; /* maps of every size: that of n slots begins at n */
    mm_id_map ids;
    position *positions;
};

static uint64_t power_above(uint64_t n)
{
    uint64_t p = 16;
    while (p < n)
        p *= 2;
    return p;
}

/* The empty map of n slots. Its seed is 0: the ids are hashes already, with a key of the gateway's. */
static void use_slots(mm_risk *r, uint64_t n)
{
    r->ids = mm_id_map_open(r->slots + n, n, 0);
}

static bool sound(const mm_risk_symbol *s)
{
    return s->price_digits <= 9 && s->tick_units > 0 && s->lot_size > 0 && s->max_lots > 0 &&
           s->max_lots <= MM_MAX_QUANTITY && s->reference_ticks >= 0 && s->reference_ticks <= MM_MAX_PRICE &&
           s->collar_bps <= 1000000;
}

mm_risk *mm_risk_make(const mm_risk_symbol *symbols, uint32_t n_symbols, uint32_t n_accounts, uint32_t orders,
                      uint32_t positions)
{
    for (uint32_t i = 0; i < n_symbols; i++)
        if (!sound(&symbols[i]))
            return NULL;
    mm_risk *r = calloc(1, sizeof *r);
    if (!r)
        return NULL;
    *r = (mm_risk){.n_symbols = n_symbols, .n_accounts = n_accounts, .max_open = orders};
    r->max_slots = mm_id_map_slots(orders + UINT64_C(1));
    r->position_mask = power_above((uint64_t)positions * 2) - 1;
    r->symbols = calloc(n_symbols + 1u, sizeof *r->symbols);
    r->cash = calloc(n_accounts + 1u, sizeof *r->cash);
    r->orders = mm_reserve((orders + UINT64_C(1)) * sizeof *r->orders);
    r->slots = mm_reserve(2 * r->max_slots * sizeof *r->slots);
    if (r->slots)
        use_slots(r, r->max_slots < FIRST_SLOTS ? r->max_slots : FIRST_SLOTS);
    r->positions = calloc(r->position_mask + 1, sizeof *r->positions);
    if (!r->symbols || !r->cash || !r->orders || !r->slots || !r->positions) {
        mm_risk_free(r);
        return NULL;
    }
    memcpy(r->symbols, symbols, n_symbols * sizeof *symbols);
    return r;
}

void mm_risk_free(mm_risk *r)
{
    if (!r)
        return;
    free(r->symbols);
    free(r->cash);
    mm_unreserve(r->orders, (r->max_open + UINT64_C(1)) * sizeof *r->orders);
    mm_unreserve(r->slots, 2 * r->max_slots * sizeof *r->slots);
    free(r->positions);
    free(r);
}

/* --- snapshots --- */

mm_risk_numbers mm_risk_numbers_of(const mm_risk *r)
{
    return (mm_risk_numbers){r->open, r->used, r->free, 0, r->n_positions, r->ids.mask + UINT64_C(1)};
}

int mm_risk_use_numbers(mm_risk *r, const mm_risk_numbers *n)
{
    if (n->open > r->max_open || n->used > r->max_open || n->free > r->max_open || n->n_slots > r->max_slots ||
        n->n_slots < 16 || (n->n_slots & (n->n_slots - 1)) || n->n_positions > r->position_mask)
        return -1;
    r->open = n->open;
    r->used = n->used;
    r->free = n->free;
    r->n_positions = n->n_positions;
    use_slots(r, n->n_slots);
    return 0;
}

uint32_t mm_risk_parts(mm_risk *r, mm_part *out)
{
    uint32_t n = 0;
    out[n++] = (mm_part){MM_PART_RISK_SYMBOLS, 0, r->symbols, (r->n_symbols + UINT64_C(1)) * sizeof *r->symbols};
    out[n++] = (mm_part){MM_PART_RISK_CASH, 0, r->cash, (r->n_accounts + UINT64_C(1)) * sizeof *r->cash};
    out[n++] = (mm_part){MM_PART_RISK_ORDERS, 1, r->orders, (r->max_open + UINT64_C(1)) * sizeof *r->orders};
    out[n++] = (mm_part){MM_PART_RISK_SLOTS, 0, r->ids.slots, (r->ids.mask + UINT64_C(1)) * sizeof *r->ids.slots};
    out[n++] = (mm_part){MM_PART_RISK_POSITIONS, 0, r->positions, (r->position_mask + 1) * sizeof *r->positions};
    return n;
}

/* --- tables --- */

static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 32) * UINT64_C(0x9E3779B97F4A7C15);
    return x ^ x >> 29;
}

static uint64_t id_at(const void *owner, uint32_t index)
{
    return ((const mm_risk *)owner)->orders[index].id;
}

static uint32_t slot_of(const mm_risk *r, uint64_t id)
{
    return mm_id_find(&r->ids, mm_id_hash(&r->ids, id), id, id_at, r);
}

static entry *find(const mm_risk *r, uint64_t id)
{
    uint32_t slot = slot_of(r, id);
    return slot == MM_NO_SLOT ? NULL : &r->orders[(uint32_t)r->ids.slots[slot]];
}

/* The entries come out in the order of their homes, and so go in: both maps are gone through once. */
static void grow(mm_risk *r)
{
    const uint64_t n = r->ids.mask + UINT64_C(1), *from = r->ids.slots;
    use_slots(r, 2 * n);
    for (uint64_t i = 0; i < n; i++)
        if (from[i])
            mm_id_insert(&r->ids, (uint32_t)(from[i] >> 32), (uint32_t)from[i]);
}

static entry *add(mm_risk *r, uint64_t id)
{
    if (r->open >= r->max_open || !id)
        return NULL;
    if (r->open > r->ids.mask / 2 && r->ids.mask + 1 < r->max_slots)
        grow(r);
    uint32_t place = r->free ? r->free : ++r->used;
    if (r->free)
        r->free = r->orders[place].next;
    r->open++;
    r->orders[place] = (entry){.id = id};
    mm_id_insert(&r->ids, mm_id_hash(&r->ids, id), place);
    return &r->orders[place];
}

static void sell_ends(mm_risk *r, uint32_t symbol);

static void forget(mm_risk *r, entry *e)
{
    if (e->side == MM_SELL)
        sell_ends(r, e->symbol);
    mm_id_erase(&r->ids, slot_of(r, e->id));
    *e = (entry){.next = r->free};
    r->free = (uint32_t)(e - r->orders);
    r->open--;
}

/* NULL only when the table is full and the pair is new. */
static position *place(mm_risk *r, uint32_t account, uint32_t symbol, bool make)
{
    uint64_t key = ((uint64_t)account << 32 | symbol) + 1;
    for (uint64_t at = mix(key) & r->position_mask;; at = (at + 1) & r->position_mask) {
        position *p = &r->positions[at];
        if (p->key == key)
            return p;
        if (p->key)
            continue;
        if (!make || r->n_positions * 2 > r->position_mask)
            return NULL;
        r->n_positions++;
        p->key = key;
        return p;
    }
}

/* --- amounts --- */

static money value(const mm_risk *r, uint32_t symbol, int64_t ticks, int64_t lots)
{
    const mm_risk_symbol *s = &r->symbols[symbol];
    return (money)ticks * s->tick_units * lots * s->lot_size;
}

static void move_lots(mm_risk *r, uint32_t account, uint32_t symbol, int64_t lots)
{
    position *p = place(r, account, symbol, true);
    if (p)
        p->lots += lots;
}

void mm_risk_deposit(mm_risk *r, uint32_t account, mm_money amount)
{
    if (account < r->n_accounts)
        r->cash[account] += (money)((unsigned __int128)amount.low | (unsigned __int128)(uint64_t)amount.high << 64);
}

int mm_risk_deposit_lots(mm_risk *r, uint32_t account, uint32_t symbol, int64_t lots)
{
    position *p = account < r->n_accounts && symbol < r->n_symbols ? place(r, account, symbol, true) : NULL;
    if (p)
        p->lots += lots;
    return p != NULL;
}

/* --- checks --- */

static bool in_collar(const mm_risk_symbol *s, int64_t ticks)
{
    if (!s->collar_bps || !s->reference_ticks)
        return true;
    money off = (money)ticks - s->reference_ticks;
    return (off < 0 ? -off : off) * 10000 <= (money)s->reference_ticks * s->collar_bps;
}

/* The price that a market order to buy costs at worst. What it meets was checked here before it, so nothing that it meets asks more
 * than the highest of the open sells; the top of the collar (the last price without one), because that is what accounts are told. */
static int64_t worst_ticks(const mm_risk_symbol *s)
{
    money top = (money)s->reference_ticks * (10000 + s->collar_bps) / 10000;
    int64_t collar = top > MM_MAX_PRICE ? MM_MAX_PRICE : (int64_t)top;
    return collar > s->highest_sell_ticks ? collar : s->highest_sell_ticks;
}

/* An upper bound, for a sell that ends is not looked for: it falls to nothing when the last of them ends. */
static void sell_opens(mm_risk *r, uint32_t symbol, int64_t ticks)
{
    mm_risk_symbol *s = &r->symbols[symbol];
    s->open_sells++;
    if (ticks > s->highest_sell_ticks)
        s->highest_sell_ticks = ticks;
}

static void sell_ends(mm_risk *r, uint32_t symbol)
{
    mm_risk_symbol *s = &r->symbols[symbol];
    if (!--s->open_sells)
        s->highest_sell_ticks = 0;
}

static int check_shape(const mm_risk *r, const mm_command *c, int64_t price_units, int64_t shares, bool priced)
{
    if (c->symbol >= r->n_symbols)
        return MM_RISK_SYMBOL;
    if (c->account >= r->n_accounts)
        return MM_RISK_ACCOUNT;
    const mm_risk_symbol *s = &r->symbols[c->symbol];
    if (shares <= 0 || shares % s->lot_size)
        return MM_RISK_LOT;
    if (shares / s->lot_size > s->max_lots)
        return MM_RISK_SIZE;
    if (!priced)
        return MM_RISK_OK;
    if (price_units <= 0 || price_units % s->tick_units || price_units / s->tick_units > MM_MAX_PRICE)
        return MM_RISK_TICK;
    return in_collar(s, price_units / s->tick_units) ? MM_RISK_OK : MM_RISK_COLLAR;
}

int mm_risk_new(mm_risk *r, mm_command *c, int64_t price_units, int64_t shares)
{
    bool limit = c->type == MM_LIMIT;
    int verdict = check_shape(r, c, price_units, shares, limit);
    if (verdict != MM_RISK_OK)
        return verdict;
    if (find(r, c->cl_ord_id))
        return MM_RISK_DUPLICATE;
    const mm_risk_symbol *s = &r->symbols[c->symbol];
    c->quantity_lots = shares / s->lot_size;
    c->price_ticks = limit ? price_units / s->tick_units : MM_ABSENT;
    int64_t ticks = limit ? c->price_ticks : worst_ticks(s);
    position *held = place(r, c->account, c->symbol, false);
    if (c->side == MM_SELL && (held ? held->lots : 0) < c->quantity_lots)
        return MM_RISK_POSITION;
    if (c->side == MM_BUY && r->cash[c->account] < value(r, c->symbol, ticks, c->quantity_lots))
        return MM_RISK_CASH;
    if (c->side == MM_BUY && !place(r, c->account, c->symbol, true))
        return MM_RISK_FULL; /* what it buys must have a place */
    entry *e = add(r, c->cl_ord_id);
    if (!e)
        return MM_RISK_FULL;
    *e = (entry){.id = c->cl_ord_id,
                 .reserve_ticks = ticks,
                 .lots = c->quantity_lots,
                 .total_lots = c->quantity_lots,
                 .account = c->account,
                 .symbol = c->symbol,
                 .side = c->side,
                 .kind = ENTRY_ORDER};
    if (c->side == MM_BUY) {
        r->cash[c->account] -= value(r, c->symbol, ticks, e->lots);
    } else {
        held->lots -= e->lots;
        sell_opens(r, c->symbol, limit ? ticks : 0);
    }
    return MM_RISK_OK;
}

int mm_risk_replace(mm_risk *r, mm_command *c, int64_t price_units, int64_t shares)
{
    int verdict = check_shape(r, c, price_units, shares, true);
    if (verdict != MM_RISK_OK)
        return verdict;
    if (find(r, c->cl_ord_id))
        return MM_RISK_DUPLICATE;
    const mm_risk_symbol *s = &r->symbols[c->symbol];
    c->quantity_lots = shares / s->lot_size;
    c->price_ticks = price_units / s->tick_units;
    const entry *old = find(r, c->orig_cl_ord_id);
    if (!old || old->account != c->account || old->symbol != c->symbol || old->kind != ENTRY_ORDER)
        return MM_RISK_OK; /* the engine refuses it */
    uint8_t side = old->side;
    int64_t leaves = c->quantity_lots - (old->total_lots - old->lots), more_lots = leaves - old->lots;
    money more = value(r, c->symbol, c->price_ticks, leaves) - value(r, c->symbol, old->reserve_ticks, old->lots);
    /* Fills on their way may take lots of the old, dearer reserve with them: at most all of them, and the added lots are left. */
    money added = more_lots > 0 ? value(r, c->symbol, c->price_ticks, more_lots) : 0;
    if (added > more)
        more = added;
    position *held = place(r, c->account, c->symbol, false);
    if (side == MM_BUY && more > 0 && r->cash[c->account] < more)
        return MM_RISK_CASH;
    if (side == MM_SELL && more_lots > 0 && (held ? held->lots : 0) < more_lots)
        return MM_RISK_POSITION;
    entry *e = add(r, c->cl_ord_id);
    if (!e)
        return MM_RISK_FULL;
    *e = (entry){.id = c->cl_ord_id, .account = c->account, .symbol = c->symbol, .side = side, .kind = ENTRY_REPLACE};
    if (side == MM_BUY && more > 0) {
        e->extra = more;
        r->cash[c->account] -= more;
    } else if (side == MM_SELL && more_lots > 0) {
        e->lots = more_lots;
        held->lots -= more_lots;
    }
    if (side == MM_SELL)
        sell_opens(r, c->symbol, c->price_ticks);
    return MM_RISK_OK;
}

/* --- what the engine says --- */

static void release(mm_risk *r, entry *e)
{
    if (e->kind == ENTRY_REPLACE)
        r->cash[e->account] += e->extra;
    else if (e->side == MM_BUY)
        r->cash[e->account] += value(r, e->symbol, e->reserve_ticks, e->lots);
    if (e->side == MM_SELL)
        move_lots(r, e->account, e->symbol, e->lots);
    forget(r, e);
}

void mm_risk_undo(mm_risk *r, uint64_t id)
{
    entry *e = find(r, id);
    if (e)
        release(r, e);
}

/* An order that is not known here (it entered before a restart): it holds what its limit and quantity say, a market order to buy
 * (it waits in a warned symbol) what one would now. */
static void adopt(mm_risk *r, const mm_report *p)
{
    entry *e = add(r, p->cl_ord_id);
    if (!e)
        return;
    bool market = p->limit_ticks == MM_ABSENT;
    int64_t ticks = !market ? p->limit_ticks : p->side == MM_BUY ? worst_ticks(&r->symbols[p->symbol]) : 0;
    *e = (entry){.id = p->cl_ord_id,
                 .reserve_ticks = ticks,
                 .lots = p->leaves_lots,
                 .total_lots = (int64_t)p->leaves_lots + p->cum_lots,
                 .account = p->account,
                 .symbol = p->symbol,
                 .side = p->side,
                 .kind = ENTRY_ORDER,
                 .session = p->session,
                 .accepted = 1,
                 .order_id = p->order_id};
    if (p->side == MM_BUY) {
        r->cash[p->account] -= value(r, p->symbol, ticks, e->lots);
    } else {
        move_lots(r, p->account, p->symbol, -e->lots);
        sell_opens(r, p->symbol, ticks);
    }
}

static void apply_accepted(mm_risk *r, const mm_report *p)
{
    entry *e = find(r, p->cl_ord_id);
    if (!e) {
        adopt(r, p);
        return;
    }
    e->accepted = 1;
    e->order_id = p->order_id;
}

/* Gives back all that the old order and the request hold, and takes what the new one holds. */
static void apply_replaced(mm_risk *r, const mm_report *p)
{
    mm_risk_undo(r, p->orig_cl_ord_id);
    mm_risk_undo(r, p->cl_ord_id);
    adopt(r, p);
}

static void apply_trade(mm_risk *r, const mm_report *p)
{
    int64_t lots = p->last_lots;
    money paid = value(r, p->symbol, p->last_ticks, lots);
    entry *e = find(r, p->cl_ord_id);
    int64_t of_reserve = e && e->lots < lots ? e->lots : e ? lots : 0;
    if (p->side == MM_BUY) {
        r->cash[p->account] += (e ? value(r, p->symbol, e->reserve_ticks, of_reserve) : 0) - paid;
        move_lots(r, p->account, p->symbol, lots);
    } else {
        r->cash[p->account] += paid;
        move_lots(r, p->account, p->symbol, of_reserve - lots);
    }
    if (!p->resting || !r->symbols[p->symbol].reference_ticks)
        r->symbols[p->symbol].reference_ticks = p->last_ticks;
    if (!e)
        return;
    e->lots -= of_reserve;
    if (!e->lots)
        forget(r, e);
}

void mm_risk_expect(const mm_risk *r, uint64_t id)
{
    mm_id_prefetch(&r->ids, mm_id_hash(&r->ids, id));
}

void mm_risk_apply(mm_risk *r, const mm_report *p)
{
    bool named = p->kind == MM_EV_CANCELLED && p->op == MM_CANCEL; /* its ClOrdID is the request's */
    uint64_t id = named ? p->orig_cl_ord_id : p->cl_ord_id;
    entry *e = find(r, id);
    if (p->account >= r->n_accounts || (p->symbol >= r->n_symbols && p->kind != MM_EV_REJECTED))
        return; /* mass_cancelled of all symbols, and what names nothing of ours */
    switch (p->kind) {
    case MM_EV_ACCEPTED:
        apply_accepted(r, p);
        break;
    case MM_EV_REPLACED:
        apply_replaced(r, p);
        break;
    case MM_EV_TRADE:
        apply_trade(r, p);
        break;
    case MM_EV_CANCELLED:
        if (e)
            release(r, e);
        break;
    case MM_EV_REJECTED: /* of a duplicate: the order of that name lives on */
        if (e && !e->accepted)
            release(r, e);
        break;
    case MM_EV_CANCEL_REJECTED:
        if (e && e->kind == ENTRY_REPLACE)
            release(r, e);
        break;
    default:
        break;
    }
}

mm_risk_open_order mm_risk_find_open(const mm_risk *r, uint64_t id, uint32_t account, uint32_t symbol)
{
    const entry *e = find(r, id);
    if (!e || e->kind != ENTRY_ORDER || e->account != account || e->symbol != symbol)
        return (mm_risk_open_order){0};
    return (mm_risk_open_order){.order_id = e->order_id, .cum_lots = e->total_lots - e->lots, .known = 1};
}

int mm_risk_knows(const mm_risk *r, uint64_t id)
{
    return find(r, id) != NULL;
}

void mm_risk_owned_by(mm_risk *r, uint64_t id, uint32_t session)
{
    entry *e = find(r, id);
    if (e)
        e->session = session;
}

void mm_risk_going(mm_risk *r, uint64_t id)
{
    entry *e = find(r, id);
    if (e)
        e->going = 1;
}

int mm_risk_next_of(const mm_risk *r, uint32_t session, uint64_t *at, uint32_t steps, mm_risk_order *out)
{
    for (; *at < r->used && steps; steps--) {
        const entry *e = &r->orders[++*at];
        if (!e->id || e->session != session || e->going)
            continue;
        *out = (mm_risk_order){.cl_ord_id = e->id, .symbol = e->symbol, .side = e->side};
        return 1;
    }
    return *at < r->used ? 0 : -1;
}

uint32_t mm_risk_open(const mm_risk *r)
{
    return r->open;
}

mm_money mm_risk_cash(const mm_risk *r, uint32_t account)
{
    money cash = account < r->n_accounts ? r->cash[account] : 0;
    return (mm_money){(uint64_t)cash, (int64_t)(cash >> 64)};
}

int64_t mm_risk_position(const mm_risk *r, uint32_t account, uint32_t symbol)
{
    const position *p = place((mm_risk *)(uintptr_t)r, account, symbol, false);
    return p ? p->lots : 0;
}

const mm_risk_symbol *mm_risk_symbol_at(const mm_risk *r, uint32_t symbol)
{
    return symbol < r->n_symbols ? &r->symbols[symbol] : NULL;
}

/* OrdRejReason(103) of FIX 4.4, and the sentence for Text(58). */
static const struct {
    int reason;
    const char *text;
} refusals[] = {
    [MM_RISK_OK] = {0, ""},
    [MM_RISK_TICK] = {11, "price is not a positive multiple of the tick size"},
    [MM_RISK_LOT] = {13, "quantity is not a positive multiple of the lot size"},
    [MM_RISK_SIZE] = {3, "quantity exceeds the largest order size"},
    [MM_RISK_COLLAR] = {99, "price is outside the price collar"},
    [MM_RISK_CASH] = {0, "insufficient cash"},
    [MM_RISK_POSITION] = {0, "insufficient position"},
    [MM_RISK_DUPLICATE] = {6, "duplicate ClOrdID"},
    [MM_RISK_FULL] = {0, "the exchange has no room for more open orders"},
    [MM_RISK_ACCOUNT] = {15, "unknown account"},
    [MM_RISK_SYMBOL] = {1, "unknown symbol"},
};

int mm_risk_reject_reason(int verdict)
{
    return refusals[verdict].reason;
}

const char *mm_risk_text(int verdict)
{
    return refusals[verdict].text;
}
