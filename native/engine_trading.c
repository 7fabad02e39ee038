/* Trading states by symbol and deferred orders: docs/engine-rules.md, rules 10 to 13. */
#include "engine_internal.h"

#include <string.h>

static void refuse_trading(mm_run *r, const mm_command *c, enum mm_reason reason)
{
    bool known = c->symbol < r->engine->config.n_symbols;
    *r->out++ = (mm_event){
        .kind = MM_EV_STATE_REFUSED,
        .reason = (uint8_t)reason,
        .state = known ? (uint8_t)r->states[c->symbol].trading : 0,
        .symbol = c->symbol,
        .cl_ord_id = c->cl_ord_id,
        .other_cl_ord_id = c->orig_cl_ord_id,
        .account = c->account,
    };
}

/* --- the queue of a symbol --- */

void mm_defer(mm_run *r)
{
    mm_engine *e = r->engine;
    uint32_t n = e->free_deferred ? e->free_deferred : ++e->fresh_deferred;
    if (n == e->free_deferred)
        e->free_deferred = r->deferred[n].next;
    mm_symbol_state *s = &r->states[e->incoming.symbol];
    r->deferred[n] = (mm_deferred){.order = e->incoming, .prev = s->tail};
    if (s->tail)
        r->deferred[s->tail].next = n;
    else
        s->head = n;
    s->tail = n;
    e->n_deferred++;
    mm_id_insert(&r->ids, mm_id_hash(&r->ids, e->incoming.cl_ord_id), MM_DEFERRED_BASE + n);
}

/* Out of its queue. What becomes of its ClOrdID is the caller's. */
static void unlink_deferred(mm_run *r, uint32_t n)
{
    mm_engine *e = r->engine;
    mm_deferred *d = &r->deferred[n];
    mm_symbol_state *s = &r->states[d->order.symbol];
    if (d->prev)
        r->deferred[d->prev].next = d->next;
    else
        s->head = d->next;
    if (d->next)
        r->deferred[d->next].prev = d->prev;
    else
        s->tail = d->prev;
    d->next = e->free_deferred;
    e->free_deferred = n;
    e->n_deferred--;
}

/* The order is the incoming one again, with its ClOrdID counted and in no map, as a new one's is. */
static void take_up(mm_run *r, uint32_t n)
{
    mm_engine *e = r->engine;
    e->incoming = r->deferred[n].order;
    e->deferred_incoming = 1;
    mm_id_erase(&r->ids, mm_find_id(r, e->incoming.cl_ord_id));
    unlink_deferred(r, n);
}

void mm_cancel_deferred(mm_run *r, uint32_t n, enum mm_reason reason)
{
    take_up(r, n);
    mm_cancel_remainder(r, &r->engine->incoming, reason);
}

bool mm_mass_cancel_deferred(mm_run *r, mm_mass *m)
{
    uint32_t next, n = r->engine->n_deferred ? r->states[m->side >> 1].head : 0;
    for (; n; n = next) {
        next = r->deferred[n].next;
        if (r->deferred[n].order.account != m->account)
            continue;
        if (!mm_room(r))
            return false;
        mm_cancel_deferred(r, n, MM_REASON_MASS_CANCEL);
        m->count++;
    }
    return true;
}

static void report_released(mm_run *r, const mm_incoming *in)
{
    *r->out++ = (mm_event){
        .kind = MM_EV_RELEASED,
        .side = in->side,
        .state = MM_STATE_NEW,
        .symbol = in->symbol,
        .cl_ord_id = in->cl_ord_id,
        .order_id = in->order_id,
        .price_ticks = in->price_ticks,
        .quantity_lots = in->leaves,
        .account = in->account,
    };
}

/* --- what a halt and the end of a warning make of those that wait --- */

static bool would_trade(const mm_run *r, const mm_incoming *in)
{
    uint32_t against = 2 * in->symbol + (in->side ^ 1);
    int64_t limit = in->type == MM_MARKET ? MM_ANY_PRICE : mm_key_of_price(in->side ^ 1, in->price_ticks);
    return in->type == MM_MARKET || r->book.sides[against].best_key <= limit;
}

/* Nothing trades from the halt on: what would is cancelled, what would rest does. */
static void settle_at_halt(mm_run *r, uint32_t n)
{
    take_up(r, n);
    const mm_incoming *in = &r->engine->incoming;
    if (would_trade(r, in) || in->tif == MM_IOC) {
        mm_cancel_remainder(r, in, MM_REASON_TRADING_HALTED);
    } else if (mm_may_not_rest(r, in)) {
        mm_cancel_remainder(r, in, MM_REASON_CAPACITY);
    } else {
        report_released(r, in);
        mm_rest(r, in);
    }
}

static bool decide(mm_run *r, uint32_t n)
{
    take_up(r, n);
    report_released(r, &r->engine->incoming);
    return mm_do_match(r);
}

bool mm_go_on_settle(mm_run *r)
{
    mm_engine *e = r->engine;
    const mm_symbol_state *s = &r->states[e->settling - 1];
    while (s->head) {
        e->phase = MM_PHASE_SETTLE;
        if (mm_room(r) < MM_MIN_EVENTS)
            return false;
        if (s->trading == MM_HALTED)
            settle_at_halt(r, s->head);
        else if (!decide(r, s->head))
            return false;
    }
    e->phase = MM_PHASE_NONE;
    e->settling = 0;
    return true;
}

/* --- commands --- */

static bool change(mm_run *r, const mm_command *c, enum mm_trading to)
{
    mm_engine *e = r->engine;
    mm_symbol_state *s = &r->states[c->symbol];
    *r->out++ = (mm_event){
        .kind = MM_EV_STATE,
        .side = (uint8_t)s->trading,
        .state = (uint8_t)to,
        .symbol = c->symbol,
        .cl_ord_id = c->cl_ord_id,
        .other_cl_ord_id = c->orig_cl_ord_id,
        .price_ticks = c->price_ticks,
        .account = c->account,
        .other_order_id = (uint64_t)c->quantity_lots,
    };
    e->n_unusual = e->n_unusual - (s->trading != MM_OPEN) + (to != MM_OPEN);
    s->trading = to;
    e->settling = c->symbol + 1;
    return mm_go_on_settle(r);
}

/* Decides the one deferred order that the command names. */
static bool release(mm_run *r, const mm_command *c)
{
    mm_order_view v = mm_engine_order(r->engine, c->orig_cl_ord_id);
    if (v.state == MM_UNKNOWN || v.account != c->account || v.symbol != c->symbol) {
        refuse_trading(r, c, MM_REASON_UNKNOWN_ORDER);
        return true;
    }
    uint32_t index = mm_index_in(r, mm_find_id(r, c->orig_cl_ord_id));
    if (mm_deferred_at(r, index))
        return decide(r, index - MM_DEFERRED_BASE);
    refuse_trading(r, c, MM_REASON_TOO_LATE);
    return true;
}

static enum mm_reason check_trading(const mm_run *r, const mm_command *c)
{
    if (c->symbol >= r->engine->config.n_symbols)
        return MM_REASON_UNKNOWN_SYMBOL;
    uint32_t trading = r->states[c->symbol].trading;
    switch (c->op) {
    case MM_WARN:
        return trading == MM_OPEN ? MM_REASON_NONE : MM_REASON_ALREADY;
    case MM_CALM:
        return trading == MM_WARNED ? MM_REASON_NONE : MM_REASON_NOT_WARNED;
    case MM_HALT:
        return trading == MM_HALTED ? MM_REASON_ALREADY : MM_REASON_NONE;
    case MM_RESUME:
        return trading == MM_HALTED ? MM_REASON_NONE : MM_REASON_NOT_HALTED;
    default:
        return MM_REASON_NONE;
    }
}

bool mm_do_trading(mm_run *r, const mm_command *c)
{
    enum mm_reason reason = c->op == MM_ATTEMPT ? MM_REASON_NOT_ALLOWED : check_trading(r, c);
    if (reason) {
        refuse_trading(r, c, reason);
        return true;
    }
    switch (c->op) {
    case MM_WARN:
        return change(r, c, MM_WARNED);
    case MM_HALT:
        return change(r, c, MM_HALTED);
    case MM_RELEASE:
        return release(r, c);
    default:
        return change(r, c, MM_OPEN);
    }
}

void mm_forget_states(mm_run *r)
{
    mm_engine *e = r->engine;
    if (e->n_unusual)
        memset(r->states, 0, e->config.n_symbols * sizeof *r->states);
    e->n_unusual = e->n_deferred = e->fresh_deferred = e->free_deferred = e->settling = 0;
}

/* --- questions --- */

static uint64_t mix(uint64_t x)
{
    x ^= x >> 30;
    x *= UINT64_C(0xBF58476D1CE4E5B9);
    x ^= x >> 27;
    x *= UINT64_C(0x94D049BB133111EB);
    return x ^ x >> 31;
}

static uint64_t fold_all(uint64_t h, const uint64_t *words, size_t n)
{
    for (size_t i = 0; i < n; i++)
        h = mix(h ^ words[i]) + UINT64_C(0x9E3779B97F4A7C15);
    return h;
}

uint64_t mm_states_hash(const mm_run *r)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; r->engine->n_unusual && i < r->engine->config.n_symbols; i++) {
        const mm_symbol_state *s = &r->states[i];
        if (s->trading != MM_OPEN)
            sum += fold_all(1, (uint64_t[]){i, s->trading}, 2);
        for (uint32_t n = s->head; n; n = r->deferred[n].next) {
            const mm_incoming *o = &r->deferred[n].order;
            uint32_t ahead = r->deferred[n].prev;
            uint64_t words[] = {i,          o->side,     o->type == MM_MARKET ? 0 : (uint64_t)o->price_ticks, o->leaves,
                                o->account, o->order_id, ahead ? r->deferred[ahead].order.order_id : 0,       o->type,
                                o->tif,     o->smp};
            sum += fold_all(2, words, sizeof words / sizeof *words);
        }
    }
    return sum;
}

const char *mm_check_states(const mm_run *r)
{
    const mm_engine *e = r->engine;
    uint32_t unusual = 0, waiting = 0;
    for (uint32_t i = 0; i < e->config.n_symbols; i++) {
        const mm_symbol_state *s = &r->states[i];
        unusual += s->trading != MM_OPEN;
        if (s->head && s->trading != MM_WARNED && e->settling != i + 1)
            return "trading: orders wait where nothing makes them";
        uint32_t before = 0;
        for (uint32_t n = s->head; n; before = n, n = r->deferred[n].next, waiting++) {
            uint32_t slot = mm_find_id(r, r->deferred[n].order.cl_ord_id);
            if (slot == MM_NO_SLOT || mm_index_in(r, slot) != MM_DEFERRED_BASE + n)
                return "trading: a deferred order is not found by its ClOrdID";
            if (r->deferred[n].prev != before)
                return "trading: a queue of deferred orders is broken";
        }
        if (s->tail != before)
            return "trading: a queue of deferred orders has another end";
    }
    if (unusual != e->n_unusual || waiting != e->n_deferred)
        return "trading: counts of states or deferred orders are wrong";
    return NULL;
}
