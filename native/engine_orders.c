/* New, replace and cancel: docs/engine-rules.md, rules 1 to 6. */
#include "engine_internal.h"

/* Rules 1 and 6 set events aside for what must follow a trade: the remainder's end and the top of book. */
#define EVENTS_AFTER_TRADE 2

static enum mm_match_step before_trade(void *context, uint32_t order, const mm_order *resting)
{
    mm_run *r = context;
    const mm_incoming *in = &r->engine->incoming;
    if (__builtin_expect(mm_room(r) <= EVENTS_AFTER_TRADE, 0)) {
        r->engine->phase = MM_PHASE_MATCH;
        return MM_STEP_STOP;
    }
    if (__builtin_expect(!in->smp, 1) || resting->account != in->account)
        return MM_STEP_TRADE;
    if (in->smp == MM_SMP_CANCEL_NEWEST)
        return MM_STEP_STOP;
    mm_report_cancelled(r, order, MM_REASON_SMP);
    mm_retire(r, order, in->symbol, MM_CANCELLED);
    return MM_STEP_REMOVE;
}

static void on_trade(void *context, uint32_t order, const mm_order *resting, int64_t key, uint32_t lots)
{
    mm_run *r = context;
    const mm_incoming *in = &r->engine->incoming;
    r->engine->trades++;
    *r->out++ = (mm_event){
        .kind = MM_EV_TRADE,
        .side = in->side,
        .state = resting->leaves ? MM_PARTIALLY_FILLED : MM_FILLED,
        .symbol = in->symbol,
        .cl_ord_id = in->cl_ord_id,
        .other_cl_ord_id = resting->key,
        .order_id = in->order_id,
        .price_ticks = mm_price_of_key(in->side ^ 1, key),
        .quantity_lots = lots,
        .cum_lots = resting->cum,
        .account = in->account,
        .other_account = resting->account,
        .other_order_id = r->order_ids[order],
    };
    if (!resting->leaves)
        mm_retire(r, order, in->symbol, MM_FILLED);
}

void mm_rest(mm_run *r, const mm_incoming *in)
{
    int64_t key = mm_key_of_price(in->side, in->price_ticks);
    uint32_t n = mm_book_add(&r->book, 2 * in->symbol + in->side, key, in->cl_ord_id, in->account, in->leaves, in->cum);
    r->order_ids[n] = in->order_id;
    mm_id_insert(&r->ids, mm_id_hash(&r->ids, in->cl_ord_id), n);
}

/* The incoming order ends without resting. */
static void end_incoming(mm_run *r, const mm_incoming *in, enum mm_state state)
{
    if (!r->engine->config.remembered_ids) {
        r->engine->ids_in_use--;
        return;
    }
    mm_finished f = {in->cl_ord_id, in->order_id, in->account, in->symbol, in->cum, state};
    mm_id_insert(&r->ids, mm_id_hash(&r->ids, in->cl_ord_id), mm_remember(r, f));
}

void mm_cancel_remainder(mm_run *r, const mm_incoming *in, enum mm_reason reason)
{
    *r->out++ = (mm_event){
        .kind = MM_EV_CANCELLED,
        .reason = (uint8_t)reason,
        .side = in->side,
        .state = MM_CANCELLED,
        .symbol = in->symbol,
        .cl_ord_id = in->cl_ord_id,
        .order_id = in->order_id,
        .price_ticks = in->price_ticks,
        .quantity_lots = in->leaves,
        .cum_lots = in->cum,
        .account = in->account,
    };
    end_incoming(r, in, MM_CANCELLED);
}

bool mm_do_match(mm_run *r)
{
    mm_engine *e = r->engine;
    mm_incoming *in = &e->incoming;
    uint32_t against = 2 * in->symbol + (in->side ^ 1);
    int64_t limit = in->type == MM_MARKET ? MM_ANY_PRICE : mm_key_of_price(in->side ^ 1, in->price_ticks);
    e->phase = MM_PHASE_NONE;
    uint32_t left = in->leaves;
    if (r->book.sides[against].best_key <= limit)
        left = mm_book_match(&r->book, against, limit, left, before_trade, on_trade, r);
    in->cum += in->leaves - left;
    in->leaves = left;
    if (e->phase != MM_PHASE_NONE)
        return false;
    if (!left)
        end_incoming(r, in, MM_FILLED);
    else if (r->book.sides[against].best_key <= limit) /* stopped by self-match prevention */
        mm_cancel_remainder(r, in, MM_REASON_SMP);
    else if (in->type == MM_MARKET)
        mm_cancel_remainder(r, in, MM_REASON_NO_LIQUIDITY);
    else if (in->tif == MM_IOC)
        mm_cancel_remainder(r, in, MM_REASON_IOC);
    else if (__builtin_expect(e->deferred_incoming, 0) &&
             mm_may_not_rest(r, in)) /* a new order was looked at when it came */
        mm_cancel_remainder(r, in, MM_REASON_CAPACITY);
    else
        mm_rest(r, in);
    return true;
}

static bool ids_full(const mm_engine *e)
{
    return e->config.remembered_ids && e->ids_in_use == e->config.remembered_ids;
}

static bool no_level_for(const mm_run *r, uint32_t symbol, uint32_t side, int64_t price)
{
    return mm_book_levels_full(&r->book) &&
           !mm_book_find_level(&r->book, 2 * symbol + side, mm_key_of_price(side, price));
}

static bool in_range(int64_t value, int64_t max)
{
    return value >= 1 && value <= max;
}

/* Orders are deferred where trading is slowed down, and nowhere else. */
static bool waits(const mm_run *r, const mm_command *c)
{
    return c->defer && mm_is_in_state(r, c->symbol, MM_WARNED);
}

bool mm_may_not_rest(const mm_run *r, const mm_incoming *in)
{
    return mm_book_orders_full(&r->book) || no_level_for(r, in->symbol, in->side, in->price_ticks);
}

static enum mm_reason check_new(const mm_run *r, const mm_command *c)
{
    if (c->symbol >= r->engine->config.n_symbols)
        return MM_REASON_UNKNOWN_SYMBOL;
    if (mm_is_in_state(r, c->symbol, MM_HALTED))
        return MM_REASON_TRADING_HALTED;
    if (c->side > MM_SELL || c->type > MM_MARKET || c->tif > MM_IOC || c->smp > MM_SMP_CANCEL_OLDEST || c->defer > 1)
        return MM_REASON_MALFORMED;
    if (!in_range(c->quantity_lots, MM_MAX_QUANTITY))
        return MM_REASON_BAD_QUANTITY;
    if (c->type == MM_LIMIT && !in_range(c->price_ticks, MM_MAX_PRICE))
        return MM_REASON_BAD_PRICE;
    if (mm_find_id(r, c->cl_ord_id) != MM_NO_SLOT)
        return MM_REASON_DUPLICATE_CL_ORD_ID;
    if (ids_full(r->engine))
        return MM_REASON_CAPACITY;
    if (waits(r, c))
        return r->engine->n_deferred == r->engine->max_deferred ? MM_REASON_CAPACITY : MM_REASON_NONE;
    bool may_rest = c->type == MM_LIMIT && c->tif == MM_DAY;
    if (may_rest && (mm_book_orders_full(&r->book) || no_level_for(r, c->symbol, c->side, c->price_ticks)))
        return MM_REASON_CAPACITY;
    return MM_REASON_NONE;
}

bool mm_do_new(mm_run *r, const mm_command *c)
{
    mm_engine *e = r->engine;
    enum mm_reason reason = check_new(r, c);
    if (reason) {
        mm_refuse(r, c, MM_EV_REJECTED, reason);
        return true;
    }
    e->ids_in_use++;
    e->deferred_incoming = 0;
    e->incoming = (mm_incoming){
        .cl_ord_id = c->cl_ord_id,
        .order_id = ++e->accepted,
        .price_ticks = c->type == MM_MARKET ? MM_ABSENT : c->price_ticks,
        .account = c->account,
        .symbol = c->symbol,
        .leaves = (uint32_t)c->quantity_lots,
        .side = c->side,
        .type = c->type,
        .tif = c->tif,
        .smp = c->smp,
    };
    *r->out++ = (mm_event){
        .kind = MM_EV_ACCEPTED,
        .side = c->side,
        .state = MM_STATE_NEW,
        .symbol = c->symbol,
        .cl_ord_id = c->cl_ord_id,
        .order_id = e->accepted,
        .price_ticks = e->incoming.price_ticks,
        .quantity_lots = (uint32_t)c->quantity_lots,
        .account = c->account,
    };
    if (!waits(r, c))
        return mm_do_match(r);
    r->out[-1].reason = MM_REASON_DEFERRED;
    mm_defer(r);
    return true;
}

/* The resting or deferred order that a request means, or why there is none: its index in the map. A stranger's order, or one on
 * another symbol, is unknown. */
static enum mm_reason find_own(const mm_run *r, const mm_command *c, uint32_t *order)
{
    uint32_t slot = mm_find_id(r, c->orig_cl_ord_id);
    if (slot == MM_NO_SLOT)
        return MM_REASON_UNKNOWN_ORDER;
    uint32_t index = mm_index_in(r, slot);
    const mm_incoming *waiting = mm_deferred_at(r, index);
    if (waiting) {
        *order = index;
        return waiting->account == c->account && waiting->symbol == c->symbol ? MM_REASON_NONE
                                                                              : MM_REASON_UNKNOWN_ORDER;
    }
    if (index & MM_FINISHED_BIT) {
        const mm_finished *f = &r->finished[index & ~MM_FINISHED_BIT];
        return f->account == c->account && f->symbol == c->symbol ? MM_REASON_TOO_LATE : MM_REASON_UNKNOWN_ORDER;
    }
    const mm_order *o = &r->book.orders[index];
    if (o->account != c->account || mm_level_of(r, o)->side >> 1 != c->symbol)
        return MM_REASON_UNKNOWN_ORDER;
    *order = index;
    return MM_REASON_NONE;
}

/* Refuses a cancel or replace. The owner of the order is told which it is and where it stands. */
static void refuse_request(mm_run *r, const mm_command *c, enum mm_reason reason)
{
    mm_event *answer = r->out;
    mm_refuse(r, c, MM_EV_CANCEL_REJECTED, reason);
    mm_order_view v = mm_engine_order(r->engine, c->orig_cl_ord_id);
    if (v.state == MM_UNKNOWN || v.account != c->account || v.symbol != c->symbol)
        return;
    answer->order_id = v.order_id;
    answer->state = v.state;
    answer->cum_lots = v.cum_lots;
}

void mm_do_cancel(mm_run *r, const mm_command *c)
{
    uint32_t order = 0;
    enum mm_reason reason = MM_REASON_UNKNOWN_SYMBOL;
    if (c->symbol < r->engine->config.n_symbols)
        reason = find_own(r, c, &order);
    if (reason) {
        refuse_request(r, c, reason);
        return;
    }
    if (mm_deferred_at(r, order)) {
        mm_cancel_deferred(r, order - MM_DEFERRED_BASE, MM_REASON_REQUESTED);
        return;
    }
    mm_report_cancelled(r, order, MM_REASON_REQUESTED);
    mm_retire(r, order, c->symbol, MM_CANCELLED);
    mm_book_remove(&r->book, order);
}

static enum mm_reason check_replace(const mm_run *r, const mm_command *c, uint32_t *order)
{
    bool new_price = c->price_ticks != MM_ABSENT, new_quantity = c->quantity_lots != MM_ABSENT;
    if (c->symbol >= r->engine->config.n_symbols)
        return MM_REASON_UNKNOWN_SYMBOL;
    if (mm_is_in_state(r, c->symbol, MM_HALTED))
        return MM_REASON_TRADING_HALTED;
    if ((!new_price && !new_quantity) || c->smp > MM_SMP_CANCEL_OLDEST)
        return MM_REASON_MALFORMED;
    enum mm_reason reason = find_own(r, c, order);
    if (reason)
        return reason;
    if (mm_deferred_at(r, *order))
        return MM_REASON_DEFERRED;
    const mm_order *o = &r->book.orders[*order];
    const mm_level *l = mm_level_of(r, o);
    if (new_quantity && (!in_range(c->quantity_lots, MM_MAX_QUANTITY) || c->quantity_lots <= (int64_t)o->cum))
        return MM_REASON_BAD_QUANTITY;
    if (new_price && !in_range(c->price_ticks, MM_MAX_PRICE))
        return MM_REASON_BAD_PRICE;
    if (mm_find_id(r, c->cl_ord_id) != MM_NO_SLOT)
        return MM_REASON_DUPLICATE_CL_ORD_ID;
    if (ids_full(r->engine))
        return MM_REASON_CAPACITY;
    /* Leaving its level gives the order its place in the pool back, and the level's if it was alone there. */
    if (new_price && l->orders > 1 && no_level_for(r, c->symbol, l->side & 1, c->price_ticks))
        return MM_REASON_CAPACITY;
    return MM_REASON_NONE;
}

/* The order takes the command's ClOrdID, the old one is finished; the order's id and cum stay. */
static void rename_order(mm_run *r, uint32_t order, const mm_command *c)
{
    mm_order *o = &r->book.orders[order];
    mm_retire(r, order, c->symbol, MM_CANCELLED);
    r->engine->ids_in_use++;
    o->key = c->cl_ord_id;
}

bool mm_do_replace(mm_run *r, const mm_command *c)
{
    mm_engine *e = r->engine;
    uint32_t order = 0;
    enum mm_reason reason = check_replace(r, c, &order);
    if (reason) {
        refuse_request(r, c, reason);
        return true;
    }
    rename_order(r, order, c);
    const mm_order *o = &r->book.orders[order];
    const mm_level *l = mm_level_of(r, o);
    int64_t old_price = mm_price_of_key(l->side, l->key),
            price = c->price_ticks == MM_ABSENT ? old_price : c->price_ticks;
    uint32_t leaves = c->quantity_lots == MM_ABSENT ? o->leaves : (uint32_t)c->quantity_lots - o->cum;
    bool keeps_place = price == old_price && leaves <= o->leaves;
    e->deferred_incoming = 0;
    e->incoming = (mm_incoming){
        .cl_ord_id = c->cl_ord_id,
        .order_id = r->order_ids[order],
        .price_ticks = price,
        .account = o->account,
        .symbol = c->symbol,
        .leaves = leaves,
        .cum = o->cum,
        .side = l->side & 1,
        .type = MM_LIMIT,
        .tif = MM_DAY,
        .smp = c->smp,
    };
    *r->out++ = (mm_event){
        .kind = MM_EV_REPLACED,
        .side = l->side & 1,
        .state = o->cum ? MM_PARTIALLY_FILLED : MM_STATE_NEW,
        .symbol = c->symbol,
        .cl_ord_id = c->cl_ord_id,
        .other_cl_ord_id = c->orig_cl_ord_id,
        .order_id = r->order_ids[order],
        .price_ticks = price,
        .quantity_lots = leaves,
        .cum_lots = o->cum,
        .account = o->account,
    };
    if (keeps_place) {
        mm_book_reduce(&r->book, order, leaves);
        mm_id_insert(&r->ids, mm_id_hash(&r->ids, c->cl_ord_id), order);
        return true;
    }
    mm_book_remove(&r->book, order);
    return mm_do_match(r);
}
