/* Questions to an engine between two submits; none changes anything. */
#include "engine_internal.h"

int mm_engine_unfinished(const mm_engine *engine)
{
    return engine->phase != MM_PHASE_NONE;
}

static uint64_t mix(uint64_t x)
{
    x ^= x >> 30;
    x *= UINT64_C(0xBF58476D1CE4E5B9);
    x ^= x >> 27;
    x *= UINT64_C(0x94D049BB133111EB);
    return x ^ x >> 31;
}

static uint64_t fold(uint64_t h, uint64_t v)
{
    return mix(h ^ v) + UINT64_C(0x9E3779B97F4A7C15);
}

static uint64_t order_hash(const mm_run *r, const mm_level *l, uint32_t order)
{
    const mm_order *o = &r->book.orders[order];
    uint64_t h = fold(0, l->side >> 1);
    h = fold(h, l->side & 1);
    h = fold(h, (uint64_t)mm_price_of_key(l->side, l->key));
    h = fold(h, o->leaves);
    h = fold(h, o->cum);
    h = fold(h, o->account);
    h = fold(h, r->order_ids[order]);
    return fold(h, o->prev ? r->order_ids[o->prev] : 0);
}

uint64_t mm_engine_state_hash(const mm_engine *engine)
{
    mm_run r = mm_run_open(engine);
    uint64_t sum = 0;
    for (uint32_t n = 1; n < r.book.head->fresh_level; n++) {
        const mm_level *l = &r.book.levels[n];
        for (uint32_t o = l->orders ? l->head : 0; o; o = r.book.orders[o].next)
            sum += order_hash(&r, l, o);
    }
    return mix(sum + mm_states_hash(&r) + mix(engine->accepted));
}

static mm_quote quote(const mm_run *r, uint32_t level)
{
    if (!level)
        return (mm_quote){MM_ABSENT, 0, 0};
    const mm_level *l = &r->book.levels[level];
    return (mm_quote){mm_price_of_key(l->side, l->key), l->lots, l->orders};
}

mm_quote mm_engine_best(const mm_engine *engine, uint32_t symbol, uint32_t side)
{
    mm_run r = mm_run_open(engine);
    if (symbol >= engine->config.n_symbols || side > MM_SELL)
        return quote(&r, 0);
    return quote(&r, r.book.sides[2 * symbol + side].best);
}

mm_quote mm_engine_depth(const mm_engine *engine, uint32_t symbol, uint32_t side, int64_t price_ticks)
{
    mm_run r = mm_run_open(engine);
    if (symbol >= engine->config.n_symbols || side > MM_SELL || price_ticks < 1 || price_ticks > MM_MAX_PRICE)
        return quote(&r, 0);
    return quote(&r, mm_book_find_level(&r.book, 2 * symbol + side, mm_key_of_price(side, price_ticks)));
}

mm_order_view mm_engine_order(const mm_engine *engine, uint64_t cl_ord_id)
{
    mm_run r = mm_run_open(engine);
    mm_order_view v = {.price_ticks = MM_ABSENT, .state = MM_UNKNOWN};
    uint32_t slot = mm_find_id(&r, cl_ord_id);
    if (slot == MM_NO_SLOT)
        return v;
    uint32_t index = mm_index_in(&r, slot);
    const mm_incoming *waiting = mm_deferred_at(&r, index);
    if (waiting)
        return (mm_order_view){
            .order_id = waiting->order_id,
            .price_ticks = waiting->price_ticks,
            .symbol = waiting->symbol,
            .account = waiting->account,
            .leaves_lots = waiting->leaves,
            .side = waiting->side,
            .state = MM_STATE_NEW,
        };
    if (index & MM_FINISHED_BIT) {
        const mm_finished *f = &r.finished[index & ~MM_FINISHED_BIT];
        v.order_id = f->order_id;
        v.symbol = f->symbol;
        v.account = f->account;
        v.cum_lots = f->cum;
        v.state = (uint8_t)f->state;
        return v;
    }
    const mm_order *o = &r.book.orders[index];
    const mm_level *l = mm_level_of(&r, o);
    return (mm_order_view){
        .order_id = r.order_ids[index],
        .price_ticks = mm_price_of_key(l->side, l->key),
        .symbol = l->side >> 1,
        .account = o->account,
        .leaves_lots = o->leaves,
        .cum_lots = o->cum,
        .side = l->side & 1,
        .state = o->cum ? MM_PARTIALLY_FILLED : MM_STATE_NEW,
    };
}

mm_counters mm_engine_counters(const mm_engine *engine)
{
    mm_run r = mm_run_open(engine);
    mm_counters c = {
        .accepted = engine->accepted,
        .trades = engine->trades,
        .resting_orders = r.book.head->orders_used,
        .levels_in_use = r.book.head->levels_used,
        .ids_in_use = engine->ids_in_use,
        .window_slides = r.book.head->slides,
    };
    for (uint32_t side = 0; side < r.book.head->n_sides; side++)
        c.far_levels += r.book.sides[side].far_levels;
    return c;
}

static const char *check_ids(const mm_run *r)
{
    const mm_engine *e = r->engine;
    uint64_t held = 0;
    for (uint64_t i = 0; i < e->n_slots; i++) {
        uint64_t slot = r->ids.slots[i];
        if (!slot)
            continue;
        held++;
        uint64_t id = mm_id_at(r, (uint32_t)slot);
        if (mm_id_hash(&r->ids, id) != slot >> 32 || mm_find_id(r, id) != i)
            return "ids: a ClOrdID is not found where it is";
    }
    uint64_t incoming = e->phase == MM_PHASE_MATCH; /* counted, not in the map yet */
    uint64_t known = r->book.head->orders_used + e->finished_used + e->n_deferred + incoming;
    if (held + incoming != e->ids_in_use || known != e->ids_in_use)
        return "ids: counts of live and finished ClOrdIDs are wrong";
    if (e->config.remembered_ids && e->ids_in_use > e->config.remembered_ids)
        return "ids: more than the capacity";
    return NULL;
}

static const char *check_orders(const mm_run *r)
{
    for (uint32_t n = 1; n < r->book.head->fresh_level; n++) {
        const mm_level *l = &r->book.levels[n];
        for (uint32_t i = l->orders ? l->head : 0; i; i = r->book.orders[i].next) {
            const mm_order *o = &r->book.orders[i];
            uint32_t slot = mm_find_id(r, o->key);
            if (slot == MM_NO_SLOT || mm_index_in(r, slot) != i)
                return "orders: a resting order is not found by its ClOrdID";
            if ((uint64_t)o->leaves + o->cum > MM_MAX_QUANTITY)
                return "orders: leaves and cum exceed the largest quantity";
            if (!r->order_ids[i] || r->order_ids[i] > r->engine->accepted)
                return "orders: order id was never given out";
        }
    }
    return NULL;
}

static const char *check_tops(const mm_run *r)
{
    if (!r->engine->config.emit_top || r->engine->phase != MM_PHASE_NONE)
        return NULL;
    for (uint32_t i = 0; i < r->engine->config.n_symbols; i++) {
        mm_quote bid = mm_engine_best(r->engine, i, MM_BUY), ask = mm_engine_best(r->engine, i, MM_SELL);
        const mm_published_top *t = &r->tops[i];
        if (t->bid_ticks != bid.price_ticks || t->bid_lots != bid.quantity_lots || t->ask_ticks != ask.price_ticks ||
            t->ask_lots != ask.quantity_lots)
            return "top: the published top is not the book's";
    }
    return NULL;
}

const char *mm_engine_check(const mm_engine *engine)
{
    mm_run r = mm_run_open(engine);
    const char *fault = mm_book_check(&r.book);
    if (!fault)
        fault = check_ids(&r);
    if (!fault)
        fault = check_orders(&r);
    if (!fault)
        fault = mm_check_states(&r);
    return fault ? fault : check_tops(&r);
}
