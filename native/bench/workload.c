#include "workload.h"

#include <stdbool.h>
#include <stdlib.h>

enum { PRICES = 1 << 16, MID = 10000, DEEP_TICKS = 2500, DEEP_ORDERS = 500000 };

typedef struct queued {
    uint32_t next, prev, lots, price, live_at; /* live_at: its place among the live ids */
} queued;

typedef struct maker {
    workload *w;
    uint64_t random[2];
    queued *orders; /* by id */
    uint32_t head[PRICES], tail[PRICES];
    uint8_t side_at[PRICES]; /* of the orders resting at a price */
    uint32_t best[2], levels[2];
    uint32_t *live;
    uint32_t n_live, next_id;
    uint64_t n_ops;
} maker;

static uint64_t splitmix(uint64_t *x)
{
    uint64_t z = *x += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

/* xoroshiro128+ */
static uint64_t draw(maker *m)
{
    uint64_t a = m->random[0], b = m->random[1], out = a + b;
    b ^= a;
    m->random[0] = (a << 24 | a >> 40) ^ b ^ b << 16;
    m->random[1] = b << 37 | b >> 27;
    return out;
}

static uint32_t below(maker *m, uint32_t n)
{
    return (uint32_t)((draw(m) >> 32) * n >> 32);
}

/* The next price with orders, from `price` on, away from the market on `side`; the side has one. */
static uint32_t next_price(const maker *m, uint32_t side, uint32_t price)
{
    while (!m->head[price])
        price += side ? 1 : UINT32_MAX;
    return price;
}

static void take_out(maker *m, uint32_t id)
{
    queued *o = &m->orders[id];
    uint32_t price = o->price, side = m->side_at[price];
    *(o->prev ? &m->orders[o->prev].next : &m->head[price]) = o->next;
    *(o->next ? &m->orders[o->next].prev : &m->tail[price]) = o->prev;
    if (!m->head[price] && --m->levels[side] && m->best[side] == price)
        m->best[side] = next_price(m, side, price);
    uint32_t last = m->live[--m->n_live];
    m->live[o->live_at] = last;
    m->orders[last].live_at = o->live_at;
}

static void put_in(maker *m, uint32_t id, uint32_t side, uint32_t price, uint32_t lots)
{
    if (!m->head[price]) {
        m->side_at[price] = (uint8_t)side;
        if (!m->levels[side]++ || (side ? price < m->best[1] : price > m->best[0]))
            m->best[side] = price;
    }
    m->orders[id] = (queued){.prev = m->tail[price], .lots = lots, .price = price, .live_at = m->n_live};
    *(m->tail[price] ? &m->orders[m->tail[price]].next : &m->head[price]) = id;
    m->tail[price] = id;
    m->live[m->n_live++] = id;
}

static void apply(maker *m, const op *o)
{
    if (o->type == OP_CANCEL) {
        take_out(m, (uint32_t)o->id);
        return;
    }
    uint32_t against = o->side ^ 1, left = o->lots;
    while (left && m->levels[against]) {
        uint32_t price = m->best[against], id = m->head[price];
        if (o->type != OP_MARKET && (o->side ? price < o->price : price > o->price))
            break;
        uint32_t lots = left < m->orders[id].lots ? left : m->orders[id].lots;
        tape_trade(&m->w->expected, id, o->id, price, lots);
        tape_trade(&m->w->expected_clients, client_id(id), client_id(o->id), price, lots);
        left -= lots;
        m->orders[id].lots -= lots;
        if (!m->orders[id].lots)
            take_out(m, id);
    }
    if (left && o->type == OP_ADD)
        put_in(m, (uint32_t)o->id, o->side, o->price, left);
}

static void push(maker *m, enum op_type type, uint32_t side, uint32_t price, uint32_t lots, uint32_t id)
{
    op *o = &m->w->ops[m->n_ops++];
    *o = (op){.id = id, .price = price, .lots = lots, .type = (uint8_t)type, .side = (uint8_t)side};
    apply(m, o);
}

static void warm_deep(maker *m)
{
    uint32_t *at = malloc(DEEP_ORDERS * sizeof *at);
    if (!at)
        abort();
    for (uint32_t i = 0; i < DEEP_ORDERS; i++)
        at[i] = i % (2 * DEEP_TICKS);
    for (uint32_t i = DEEP_ORDERS - 1; i > 0; i--) {
        uint32_t j = below(m, i + 1), other = at[j];
        at[j] = at[i];
        at[i] = other;
    }
    for (uint32_t i = 0; i < DEEP_ORDERS; i++) {
        uint32_t side = at[i] >= DEEP_TICKS, price = side ? MID + 1 + at[i] - DEEP_TICKS : MID - 1 - at[i];
        push(m, OP_ADD, side, price, 1 + below(m, 500), m->next_id++);
    }
    free(at);
}

static void warm_base(maker *m)
{
    for (uint32_t i = 0; i < 200; i++) {
        uint32_t price = i & 1 ? MID + 1 + i % 20 : MID - 1 - i % 20;
        push(m, OP_ADD, i & 1, price, 1 + below(m, 500), m->next_id++);
    }
}

static void passive(maker *m, bool deep, uint32_t mid, uint32_t bid, uint32_t ask)
{
    uint32_t side = draw(m) >> 63, distance = below(m, 20);
    if (deep && below(m, 2))
        distance = below(m, DEEP_TICKS);
    uint32_t buy = mid - 1 - distance < ask - 1 ? mid - 1 - distance : ask - 1;
    uint32_t sell = mid + 1 + distance > bid + 1 ? mid + 1 + distance : bid + 1;
    push(m, OP_ADD, side, side ? sell : buy, 1 + below(m, 500), m->next_id++);
}

/* The price of the k-th best level that an order of `side` would meet. */
static uint32_t kth_against(maker *m, uint32_t side, uint32_t k)
{
    uint32_t against = side ^ 1, price = m->best[against];
    while (--k)
        price = next_price(m, against, price + (against ? 1 : UINT32_MAX));
    return price;
}

static void aggressive(maker *m, uint32_t kind, uint32_t mid, uint32_t bid, uint32_t ask)
{
    uint32_t buys_in_100 = mid >= ask ? 85 : mid <= bid ? 15 : 50;
    uint32_t side = below(m, 100) < buys_in_100 ? 0 : 1, lots = 1 + below(m, 500);
    if (kind >= 98)
        push(m, OP_MARKET, side, 0, lots, m->next_id++);
    else
        push(m, kind < 95 ? OP_ADD : OP_IOC, side, kth_against(m, side, 1 + below(m, 3)), lots, m->next_id++);
}

static void one_timed(maker *m, bool deep, uint32_t *mid)
{
    if (below(m, 64) == 0)
        *mid += draw(m) >> 63 ? 1 : UINT32_MAX;
    uint32_t kind = below(m, 100);
    uint32_t ask = m->levels[1] ? m->best[1] : *mid + 1, bid = m->levels[0] ? m->best[0] : *mid - 1;
    if (kind >= 60 && kind < 85 && m->n_live > 50)
        push(m, OP_CANCEL, 0, 0, 0, m->live[below(m, m->n_live)]);
    else if (kind < 85 || m->levels[1] < 5 || m->levels[0] < 5)
        passive(m, deep, *mid, bid, ask);
    else
        aggressive(m, kind, *mid, bid, ask);
}

workload *workload_make(int deep, uint64_t n_timed, uint64_t seed)
{
    uint64_t n_warm = deep ? DEEP_ORDERS : 200, ids = n_warm + n_timed + 1;
    workload *w = calloc(1, sizeof *w);
    maker *m = calloc(1, sizeof *m);
    if (w && m) {
        w->ops = calloc(n_warm + n_timed, sizeof(op));
        w->client_ops = calloc(n_warm + n_timed, sizeof(op));
        m->orders = calloc(ids, sizeof(queued));
        m->live = calloc(ids, sizeof(uint32_t));
    }
    if (!w || !m || !w->ops || !w->client_ops || !m->orders || !m->live)
        abort(); /* a benchmark without memory has nothing to say */
    m->w = w;
    m->random[0] = splitmix(&seed);
    m->random[1] = splitmix(&seed);
    m->next_id = 1;
    if (deep)
        warm_deep(m);
    else
        warm_base(m);
    w->expected = w->expected_clients = (tape){0};
    uint32_t mid = MID;
    for (uint64_t i = 0; i < n_timed; i++)
        one_timed(m, deep, &mid);
    for (uint64_t i = 0; i < n_warm + n_timed; i++) {
        w->client_ops[i] = w->ops[i];
        w->client_ops[i].id = client_id(w->ops[i].id);
    }
    w->n_warm = n_warm;
    w->n_timed = n_timed;
    w->max_id = m->next_id;
    w->resting = m->n_live;
    free(m->orders);
    free(m->live);
    free(m);
    return w;
}

void workload_free(workload *w)
{
    free(w->ops);
    free(w->client_ops);
    free(w);
}
