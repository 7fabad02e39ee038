#include "naive_engine.h"

#include <stdbool.h>
#include <string.h>

static mm_event *emit(naive_engine *n, enum mm_event_kind kind)
{
    mm_event *e = &n->events[n->n_events++];
    *e = (mm_event){.kind = (uint8_t)kind};
    return e;
}

static mm_event *emit_order(naive_engine *n, enum mm_event_kind kind, const naive_order *o, enum mm_state state)
{
    mm_event *e = emit(n, kind);
    e->side = (uint8_t)o->side;
    e->state = (uint8_t)state;
    e->symbol = o->symbol;
    e->cl_ord_id = o->cl;
    e->order_id = o->id;
    e->price_ticks = o->price;
    e->quantity_lots = o->leaves;
    e->cum_lots = o->cum;
    e->account = o->account;
    return e;
}

static void refuse(naive_engine *n, const mm_command *c, enum mm_event_kind kind, enum mm_reason reason)
{
    mm_event *e = emit(n, kind);
    e->reason = (uint8_t)reason;
    e->symbol = c->symbol;
    e->cl_ord_id = c->cl_ord_id;
    e->account = c->account;
    if (kind == MM_EV_REJECTED) {
        e->side = c->side;
        e->price_ticks = c->price_ticks;
    } else {
        e->other_cl_ord_id = c->orig_cl_ord_id;
    }
}

static bool lives(const naive_order *o)
{
    return o->state == MM_STATE_NEW;
}

static bool rests(const naive_order *o)
{
    return lives(o) && !o->waits;
}

static naive_order *known(naive_engine *n, uint64_t cl)
{
    for (uint32_t i = 0; i < n->n_orders; i++) {
        if (n->orders[i].cl == cl)
            return &n->orders[i];
    }
    return NULL;
}

static void end_order(naive_engine *n, naive_order *o, enum mm_state state)
{
    o->state = state;
    if (!n->config.remembered_ids)
        *o = n->orders[--n->n_orders];
}

static bool ahead_of(const naive_order *a, const naive_order *b)
{
    if (a->price != b->price)
        return a->side == MM_BUY ? a->price > b->price : a->price < b->price;
    return a->arrival < b->arrival;
}

/* The best resting order of a side that comes after `floor` (NULL: of all) and, with an account, is its own. */
static naive_order *first_after(naive_engine *n, uint32_t symbol, uint32_t side, const naive_order *floor,
                                const uint32_t *account)
{
    naive_order *best = NULL;
    for (uint32_t i = 0; i < n->n_orders; i++) {
        naive_order *o = &n->orders[i];
        if (!rests(o) || o->symbol != symbol || o->side != side || (account && o->account != *account))
            continue;
        if ((!floor || ahead_of(floor, o)) && (!best || ahead_of(o, best)))
            best = o;
    }
    return best;
}

static void cancel_order(naive_engine *n, naive_order *o, enum mm_reason reason)
{
    emit_order(n, MM_EV_CANCELLED, o, MM_CANCELLED)->reason = (uint8_t)reason;
    end_order(n, o, MM_CANCELLED);
}

static bool ids_full(const naive_engine *n)
{
    return n->config.remembered_ids && n->n_orders >= n->config.remembered_ids;
}

static bool orders_full(const naive_engine *n)
{
    uint32_t resting = 0;
    for (uint32_t i = 0; i < n->n_orders; i++)
        resting += rests(&n->orders[i]);
    return resting >= n->config.max_orders;
}

/* Orders resting on one level; *levels: how many levels there are in all books. */
static uint32_t level_orders(naive_engine *n, uint32_t symbol, uint32_t side, int64_t price, uint32_t *levels)
{
    uint32_t here = 0;
    *levels = 0;
    for (uint32_t i = 0; i < n->n_orders; i++) {
        const naive_order *o = &n->orders[i];
        bool first = rests(o);
        for (uint32_t j = 0; first && j < i; j++) {
            const naive_order *p = &n->orders[j];
            first = !(rests(p) && p->symbol == o->symbol && p->side == o->side && p->price == o->price);
        }
        *levels += first;
        here += rests(o) && o->symbol == symbol && o->side == side && o->price == price;
    }
    return here;
}

static bool no_level(naive_engine *n, uint32_t symbol, uint32_t side, int64_t price)
{
    uint32_t levels, here = level_orders(n, symbol, side, price, &levels);
    return !here && levels >= n->config.max_levels;
}

static bool bad(int64_t value, int64_t max)
{
    return value < 1 || value > max;
}

/* The incoming order `in` is not among the known ones while it matches. `late`: room for it was not looked for when it came. */
static void match(naive_engine *n, naive_order in, uint8_t smp, enum mm_ord_type type, enum mm_tif tif, bool late)
{
    naive_order *o;
    enum mm_reason end = tif == MM_IOC ? MM_REASON_IOC : MM_REASON_NONE;
    if (type == MM_MARKET)
        end = MM_REASON_NO_LIQUIDITY;
    while (in.leaves && (o = first_after(n, in.symbol, in.side ^ 1, NULL, NULL))) {
        if (type == MM_LIMIT && (in.side == MM_BUY ? o->price > in.price : o->price < in.price))
            break;
        if (smp && o->account == in.account) {
            if (smp == MM_SMP_CANCEL_NEWEST) {
                end = MM_REASON_SMP;
                break;
            }
            cancel_order(n, o, MM_REASON_SMP);
            continue;
        }
        uint32_t lots = in.leaves < o->leaves ? in.leaves : o->leaves;
        in.leaves -= lots;
        in.cum += lots;
        o->leaves -= lots;
        o->cum += lots;
        mm_event *e = emit_order(n, MM_EV_TRADE, &in, o->leaves ? MM_PARTIALLY_FILLED : MM_FILLED);
        e->other_cl_ord_id = o->cl;
        e->price_ticks = o->price;
        e->quantity_lots = lots;
        e->cum_lots = o->cum;
        e->other_account = o->account;
        e->other_order_id = o->id;
        if (!o->leaves)
            end_order(n, o, MM_FILLED);
    }
    if (in.leaves && !end && late && (orders_full(n) || no_level(n, in.symbol, in.side, in.price)))
        end = MM_REASON_CAPACITY;
    in.arrival = ++n->arrivals;
    naive_order *kept = &n->orders[n->n_orders++];
    *kept = in;
    if (!in.leaves)
        end_order(n, kept, MM_FILLED);
    else if (end)
        cancel_order(n, kept, end);
}

static bool deferred(const naive_engine *n, const mm_command *c)
{
    return c->defer && n->trading[c->symbol] == MM_WARNED;
}

static uint32_t waiting(const naive_engine *n)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < n->n_orders; i++)
        count += n->orders[i].waits && lives(&n->orders[i]);
    return count;
}

static enum mm_reason check_new(naive_engine *n, const mm_command *c)
{
    if (c->symbol >= n->config.n_symbols)
        return MM_REASON_UNKNOWN_SYMBOL;
    if (n->trading[c->symbol] == MM_HALTED)
        return MM_REASON_TRADING_HALTED;
    if (c->side > 1 || c->type > 1 || c->tif > 1 || c->smp > 2 || c->defer > 1)
        return MM_REASON_MALFORMED;
    if (bad(c->quantity_lots, MM_MAX_QUANTITY))
        return MM_REASON_BAD_QUANTITY;
    if (c->type == MM_LIMIT && bad(c->price_ticks, MM_MAX_PRICE))
        return MM_REASON_BAD_PRICE;
    if (known(n, c->cl_ord_id))
        return MM_REASON_DUPLICATE_CL_ORD_ID;
    bool may_rest = c->type == MM_LIMIT && c->tif == MM_DAY;
    if (deferred(n, c))
        return ids_full(n) || waiting(n) >= n->config.max_orders ? MM_REASON_CAPACITY : MM_REASON_NONE;
    if (ids_full(n) || (may_rest && (orders_full(n) || no_level(n, c->symbol, c->side, c->price_ticks))))
        return MM_REASON_CAPACITY;
    return MM_REASON_NONE;
}

static void take_new(naive_engine *n, const mm_command *c)
{
    enum mm_reason reason = check_new(n, c);
    if (reason) {
        refuse(n, c, MM_EV_REJECTED, reason);
        return;
    }
    naive_order in = {
        .cl = c->cl_ord_id,
        .id = ++n->accepted,
        .price = c->type == MM_MARKET ? MM_ABSENT : c->price_ticks,
        .account = c->account,
        .symbol = c->symbol,
        .side = c->side,
        .leaves = (uint32_t)c->quantity_lots,
        .type = c->type,
        .tif = c->tif,
        .smp = c->smp,
        .state = MM_STATE_NEW,
    };
    mm_event *e = emit_order(n, MM_EV_ACCEPTED, &in, MM_STATE_NEW);
    if (!deferred(n, c)) {
        match(n, in, c->smp, c->type, c->tif, false);
        return;
    }
    e->reason = MM_REASON_DEFERRED;
    in.waits = true;
    n->orders[n->n_orders++] = in;
}

static enum mm_reason find_own(naive_engine *n, const mm_command *c, naive_order **out)
{
    *out = known(n, c->orig_cl_ord_id);
    if (!*out || (*out)->account != c->account || (*out)->symbol != c->symbol)
        return MM_REASON_UNKNOWN_ORDER;
    return lives(*out) ? MM_REASON_NONE : MM_REASON_TOO_LATE;
}

/* A cancel or replace. The owner of the order is told which it is and where it stands. */
static void refuse_request(naive_engine *n, const mm_command *c, enum mm_reason reason)
{
    naive_order *o;
    refuse(n, c, MM_EV_CANCEL_REJECTED, reason);
    if (find_own(n, c, &o) == MM_REASON_UNKNOWN_ORDER)
        return;
    mm_event *e = &n->events[n->n_events - 1];
    e->order_id = o->id;
    e->state = (uint8_t)(lives(o) && o->cum ? MM_PARTIALLY_FILLED : o->state);
    e->cum_lots = o->cum;
}

static void take_cancel(naive_engine *n, const mm_command *c)
{
    naive_order *o;
    enum mm_reason reason = c->symbol >= n->config.n_symbols ? MM_REASON_UNKNOWN_SYMBOL : find_own(n, c, &o);
    if (reason)
        refuse_request(n, c, reason);
    else
        cancel_order(n, o, MM_REASON_REQUESTED);
}

static enum mm_reason check_replace(naive_engine *n, const mm_command *c, naive_order **o)
{
    bool price = c->price_ticks != MM_ABSENT, lots = c->quantity_lots != MM_ABSENT;
    uint32_t levels;
    if (c->symbol >= n->config.n_symbols)
        return MM_REASON_UNKNOWN_SYMBOL;
    if (n->trading[c->symbol] == MM_HALTED)
        return MM_REASON_TRADING_HALTED;
    if ((!price && !lots) || c->smp > 2)
        return MM_REASON_MALFORMED;
    enum mm_reason reason = find_own(n, c, o);
    if (reason)
        return reason;
    if ((*o)->waits)
        return MM_REASON_DEFERRED;
    if (lots && (bad(c->quantity_lots, MM_MAX_QUANTITY) || c->quantity_lots <= (int64_t)(*o)->cum))
        return MM_REASON_BAD_QUANTITY;
    if (price && bad(c->price_ticks, MM_MAX_PRICE))
        return MM_REASON_BAD_PRICE;
    if (known(n, c->cl_ord_id))
        return MM_REASON_DUPLICATE_CL_ORD_ID;
    bool alone = level_orders(n, (*o)->symbol, (*o)->side, (*o)->price, &levels) == 1;
    if (ids_full(n) || (price && !alone && no_level(n, (*o)->symbol, (*o)->side, c->price_ticks)))
        return MM_REASON_CAPACITY;
    return MM_REASON_NONE;
}

static void take_replace(naive_engine *n, const mm_command *c)
{
    naive_order *o;
    enum mm_reason reason = check_replace(n, c, &o);
    if (reason) {
        refuse_request(n, c, reason);
        return;
    }
    naive_order in = *o;
    in.cl = c->cl_ord_id;
    in.price = c->price_ticks == MM_ABSENT ? o->price : c->price_ticks;
    in.leaves = c->quantity_lots == MM_ABSENT ? o->leaves : (uint32_t)c->quantity_lots - o->cum;
    bool keeps = in.price == o->price && in.leaves <= o->leaves;
    end_order(n, o, MM_CANCELLED);
    emit_order(n, MM_EV_REPLACED, &in, in.cum ? MM_PARTIALLY_FILLED : MM_STATE_NEW)->other_cl_ord_id =
        c->orig_cl_ord_id;
    if (keeps)
        n->orders[n->n_orders++] = in;
    else
        match(n, in, c->smp, MM_LIMIT, MM_DAY, false);
}

/* The oldest deferred order of a symbol, and with an account, of it. */
static naive_order *first_waiting(naive_engine *n, uint32_t symbol, const uint32_t *account)
{
    naive_order *first = NULL;
    for (uint32_t i = 0; i < n->n_orders; i++) {
        naive_order *o = &n->orders[i];
        if (lives(o) && o->waits && o->symbol == symbol && (!account || o->account == *account) &&
            (!first || o->id < first->id))
            first = o;
    }
    return first;
}

static naive_order take_out(naive_engine *n, naive_order *o)
{
    naive_order out = *o;
    out.waits = false;
    *o = n->orders[--n->n_orders];
    return out;
}

static void decide(naive_engine *n, naive_order *waits)
{
    naive_order in = take_out(n, waits);
    emit_order(n, MM_EV_RELEASED, &in, MM_STATE_NEW);
    match(n, in, in.smp, in.type, in.tif, true);
}

static void halt_one(naive_engine *n, naive_order *o)
{
    const naive_order *best = first_after(n, o->symbol, o->side ^ 1, NULL, NULL);
    bool trades = best && (o->side == MM_BUY ? best->price <= o->price : best->price >= o->price);
    if (o->type == MM_MARKET || o->tif == MM_IOC || trades) {
        cancel_order(n, o, MM_REASON_TRADING_HALTED);
    } else if (orders_full(n) || no_level(n, o->symbol, o->side, o->price)) {
        cancel_order(n, o, MM_REASON_CAPACITY);
    } else {
        naive_order in = take_out(n, o);
        emit_order(n, MM_EV_RELEASED, &in, MM_STATE_NEW);
        in.arrival = ++n->arrivals;
        n->orders[n->n_orders++] = in;
    }
}

static enum mm_reason check_trading(naive_engine *n, const mm_command *c, naive_order **o)
{
    if (c->op == MM_ATTEMPT)
        return MM_REASON_NOT_ALLOWED;
    if (c->symbol >= n->config.n_symbols)
        return MM_REASON_UNKNOWN_SYMBOL;
    uint8_t now = n->trading[c->symbol];
    if (c->op == MM_RELEASE) {
        *o = known(n, c->orig_cl_ord_id);
        if (!*o || (*o)->account != c->account || (*o)->symbol != c->symbol)
            return MM_REASON_UNKNOWN_ORDER;
        return lives(*o) && (*o)->waits ? MM_REASON_NONE : MM_REASON_TOO_LATE;
    }
    if (c->op == MM_WARN && now != MM_OPEN)
        return MM_REASON_ALREADY;
    if (c->op == MM_CALM && now != MM_WARNED)
        return MM_REASON_NOT_WARNED;
    if (c->op == MM_HALT && now == MM_HALTED)
        return MM_REASON_ALREADY;
    if (c->op == MM_RESUME && now != MM_HALTED)
        return MM_REASON_NOT_HALTED;
    return MM_REASON_NONE;
}

static void take_trading(naive_engine *n, const mm_command *c)
{
    naive_order *o = NULL;
    enum mm_reason reason = check_trading(n, c, &o);
    if (!reason && c->op == MM_RELEASE) {
        decide(n, o);
        return;
    }
    mm_event *e = emit(n, reason ? MM_EV_STATE_REFUSED : MM_EV_STATE);
    e->reason = (uint8_t)reason;
    e->symbol = c->symbol;
    e->cl_ord_id = c->cl_ord_id;
    e->other_cl_ord_id = c->orig_cl_ord_id;
    e->account = c->account;
    if (reason) {
        e->state = c->symbol < n->config.n_symbols ? n->trading[c->symbol] : 0;
        return;
    }
    e->side = n->trading[c->symbol];
    e->state = c->op == MM_WARN ? MM_WARNED : c->op == MM_HALT ? MM_HALTED : MM_OPEN;
    e->price_ticks = c->price_ticks;
    e->other_order_id = (uint64_t)c->quantity_lots;
    n->trading[c->symbol] = e->state;
    while ((o = first_waiting(n, c->symbol, NULL))) {
        if (n->trading[c->symbol] == MM_HALTED)
            halt_one(n, o);
        else
            decide(n, o);
    }
}

static void take_mass_cancel(naive_engine *n, const mm_command *c)
{
    uint32_t count = 0;
    if (c->symbol != MM_ALL_SYMBOLS && c->symbol >= n->config.n_symbols) {
        refuse(n, c, MM_EV_CANCEL_REJECTED, MM_REASON_UNKNOWN_SYMBOL);
        return;
    }
    for (uint32_t s = 0; s < n->config.n_symbols; s++) {
        for (uint32_t side = 0; side < 2 && (c->symbol == MM_ALL_SYMBOLS || c->symbol == s); side++) {
            naive_order *o;
            for (; (o = first_after(n, s, side, NULL, &c->account)); count++)
                cancel_order(n, o, MM_REASON_MASS_CANCEL);
        }
        if (c->symbol == MM_ALL_SYMBOLS || c->symbol == s) {
            naive_order *o;
            for (; (o = first_waiting(n, s, &c->account)); count++)
                cancel_order(n, o, MM_REASON_MASS_CANCEL);
        }
    }
    mm_event *e = emit(n, MM_EV_MASS_CANCELLED);
    e->symbol = c->symbol;
    e->cl_ord_id = c->cl_ord_id;
    e->quantity_lots = count;
    e->account = c->account;
}

static void take_status(naive_engine *n, const mm_command *c)
{
    naive_order *o;
    mm_event *e = emit(n, MM_EV_STATUS);
    e->symbol = c->symbol;
    e->cl_ord_id = c->cl_ord_id;
    e->other_cl_ord_id = c->orig_cl_ord_id;
    e->account = c->account;
    e->price_ticks = MM_ABSENT;
    if (find_own(n, c, &o) == MM_REASON_UNKNOWN_ORDER)
        return;
    e->order_id = o->id;
    e->cum_lots = o->cum;
    e->state = (uint8_t)o->state;
    if (lives(o)) {
        e->state = o->cum ? MM_PARTIALLY_FILLED : MM_STATE_NEW;
        e->side = (uint8_t)o->side;
        e->price_ticks = o->price;
        e->quantity_lots = o->leaves;
    }
}

static mm_top top_of(naive_engine *n, uint32_t symbol)
{
    mm_top t = {.kind = MM_EV_TOP, .symbol = symbol, .bid_ticks = MM_ABSENT, .ask_ticks = MM_ABSENT};
    for (uint32_t side = 0; side < 2; side++) {
        const naive_order *best = first_after(n, symbol, side, NULL, NULL);
        if (!best)
            continue;
        *(side ? &t.ask_ticks : &t.bid_ticks) = best->price;
        for (uint32_t i = 0; i < n->n_orders; i++) {
            const naive_order *o = &n->orders[i];
            if (rests(o) && o->symbol == symbol && o->side == side && o->price == best->price)
                *(side ? &t.ask_lots : &t.bid_lots) += o->leaves;
        }
    }
    return t;
}

void naive_take(naive_engine *n, const mm_command *c)
{
    mm_top before[NAIVE_SYMBOLS];
    n->n_events = 0;
    for (uint32_t s = 0; s < n->config.n_symbols; s++)
        before[s] = top_of(n, s);
    switch (c->op) {
    case MM_NEW:
        take_new(n, c);
        break;
    case MM_CANCEL:
        take_cancel(n, c);
        break;
    case MM_REPLACE:
        take_replace(n, c);
        break;
    case MM_MASS_CANCEL:
        take_mass_cancel(n, c);
        break;
    case MM_STATUS:
        take_status(n, c);
        break;
    case MM_RESET:
        n->n_orders = 0;
        n->accepted = 0;
        memset(n->trading, 0, sizeof n->trading);
        return;
    case MM_WARN:
    case MM_CALM:
    case MM_HALT:
    case MM_RESUME:
    case MM_RELEASE:
    case MM_ATTEMPT:
        take_trading(n, c);
        break;
    default:
        refuse(n, c, MM_EV_REJECTED, MM_REASON_MALFORMED);
    }
    for (uint32_t s = 0; n->config.emit_top && s < n->config.n_symbols; s++) {
        mm_top now = top_of(n, s);
        if (memcmp(&now, &before[s], sizeof now) != 0)
            memcpy(&n->events[n->n_events++], &now, sizeof now);
    }
}

static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    x = (x ^ x >> 27) * UINT64_C(0x94D049BB133111EB);
    return x ^ x >> 31;
}

static uint64_t fold_all(uint64_t h, const uint64_t *words, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        h = mix(h ^ words[i]) + UINT64_C(0x9E3779B97F4A7C15);
    return h;
}

/* 0 for an order that does not wait. */
static uint64_t waiting_hash(const naive_engine *n, const naive_order *o)
{
    uint64_t ahead = 0;
    if (!lives(o) || !o->waits)
        return 0;
    for (uint32_t j = 0; j < n->n_orders; j++) {
        const naive_order *p = &n->orders[j];
        if (lives(p) && p->waits && p->symbol == o->symbol && p->id < o->id && p->id > ahead)
            ahead = p->id;
    }
    uint64_t fields[] = {
        o->symbol, o->side, o->type == MM_MARKET ? 0 : (uint64_t)o->price, o->leaves, o->account, o->id, ahead, o->type,
        o->tif,    o->smp};
    return fold_all(2, fields, sizeof fields / sizeof *fields);
}

uint64_t naive_state_hash(const naive_engine *n)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < n->n_orders; i++) {
        const naive_order *o = &n->orders[i], *ahead = NULL;
        if (!rests(o))
            continue;
        for (uint32_t j = 0; j < n->n_orders; j++) {
            const naive_order *p = &n->orders[j];
            bool same = rests(p) && p->symbol == o->symbol && p->side == o->side && p->price == o->price;
            if (same && p->arrival < o->arrival && (!ahead || p->arrival > ahead->arrival))
                ahead = p;
        }
        uint64_t h = 0, fields[] = {o->symbol,  o->side, (uint64_t)o->price,   o->leaves, o->cum,
                                    o->account, o->id,   ahead ? ahead->id : 0};
        for (unsigned f = 0; f < sizeof fields / sizeof *fields; f++)
            h = mix(h ^ fields[f]) + UINT64_C(0x9E3779B97F4A7C15);
        sum += h;
    }
    for (uint32_t s = 0; s < n->config.n_symbols; s++) {
        if (n->trading[s])
            sum += fold_all(1, (uint64_t[]){s, n->trading[s]}, 2);
    }
    for (uint32_t i = 0; i < n->n_orders; i++)
        sum += waiting_hash(n, &n->orders[i]);
    return mix(sum + mix(n->accepted));
}
