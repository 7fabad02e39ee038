#include "harness_workload.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define START_TICKS    33504.0
#define DEEPEST_TICKS  800
#define MEDIAN_LIFE_US 431.0

const char *const hw_regime_names[HW_REGIMES] = {"static", "normal", "swing-25", "swing-40", "flash-crash"};
static const double diffusion[HW_REGIMES] = {0, 0.02, 0.25, 0.40, 0.60};

typedef struct draft {
    int64_t price;
    uint32_t lots, depth;
    uint8_t side;
} draft;

typedef struct timed {
    uint64_t at_us; /* when it arrives; sorted by this, then by `made` */
    uint32_t made;
    mh_message message;
} timed;

typedef struct timeline {
    timed *at;
    uint32_t n;
} timeline;

static uint64_t bits(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

static double unit(uint64_t *state) /* in (0, 1) */
{
    return ((double)(bits(state) >> 11) + 0.5) * 0x1p-53;
}

static uint32_t below(uint64_t *state, uint32_t n)
{
    return (uint32_t)((bits(state) >> 32) * n >> 32);
}

static double normal(uint64_t *state)
{
    double r = sqrt(-2 * log(unit(state)));
    return r * cos(2 * acos(-1) * unit(state));
}

static void depth_profile(double *cumulative)
{
    double sum = 0;
    for (int k = 0; k < DEEPEST_TICKS; k++) {
        double from_hump = k - 8.0;
        sum += pow(k + 1, -2.23) + 5 * exp(-from_hump * from_hump / 2);
        cumulative[k] = sum;
    }
}

static uint32_t draw_depth(const double *cumulative, uint64_t *rng)
{
    double x = unit(rng) * cumulative[DEEPEST_TICKS - 1];
    uint32_t low = 0, high = DEEPEST_TICKS - 1;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (cumulative[middle] < x)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void draw_orders(draft *orders, uint32_t n, double total_diffusion, uint64_t *rng)
{
    double cumulative[DEEPEST_TICKS], mid = START_TICKS, step = total_diffusion / sqrt(n);
    depth_profile(cumulative);
    for (uint32_t i = 0; i < n; i++) {
        mid *= exp(step * normal(rng) - step * step / 2);
        uint32_t depth = draw_depth(cumulative, rng);
        uint8_t side = i >= n / 2;
        int64_t price = llround(mid) + (side ? 1 : -1) * ((int64_t)depth + 1);
        orders[i] = (draft){price < 1 ? 1 : price, 1 + below(rng, 100), depth, side};
    }
}

static mh_message *put(timeline *t, uint64_t at_us, uint8_t type)
{
    timed *x = &t->at[t->n];
    *x = (timed){.at_us = at_us, .made = t->n++, .message = {.type = type}};
    return &x->message;
}

static void put_cancel(timeline *t, uint64_t at_us, uint64_t id)
{
    put(t, at_us, MH_CANCEL)->as.cancel.order_id = id;
}

static void put_modify(timeline *t, uint64_t at_us, uint64_t id, const draft *o, int64_t price)
{
    put(t, at_us, MH_MODIFY)->as.modify =
        (mh_modify){.order_id = id, .price_ticks = price, .quantity_lots = o->lots + 1, .side = o->side};
}

/* One order's messages from `now` on; returns when the next order may arrive. */
static uint64_t put_life(timeline *t, uint64_t now, uint64_t id, const draft *o, uint64_t *rng)
{
    bool ioc = unit(rng) < 0.15;
    put(t, now, MH_NEW_ORDER)->as.new_order = (mh_new_order){
        .order_id = id, .price_ticks = o->price, .quantity_lots = o->lots, .side = o->side, .ioc = (uint8_t)ioc};
    if (ioc)
        return now + 1;
    int64_t price = o->price;
    bool modified = unit(rng) < 0.20;
    if (modified) {
        now += 30 + below(rng, 70);
        if (unit(rng) < 0.80)
            price += o->side ? -1 : 1;
        put_modify(t, now, id, o, price);
    }
    if (unit(rng) < 0.95) {
        now += (uint64_t)(-log(unit(rng)) * MEDIAN_LIFE_US / log(2) * sqrt(1.0 + o->depth));
        put_cancel(t, now, id);
        if (unit(rng) < 0.02)
            put_cancel(t, now += 1 + below(rng, 20), id);
        if (modified && unit(rng) < 0.02)
            put_modify(t, now += 1 + below(rng, 20), id, o, price);
    }
    return now + 1;
}

static int by_time(const void *a, const void *b)
{
    const timed *x = a, *y = b;
    if (x->at_us != y->at_us)
        return x->at_us < y->at_us ? -1 : 1;
    return x->made < y->made ? -1 : 1;
}

static void number(mh_message *m, uint64_t sequence)
{
    if (m->type == MH_NEW_ORDER)
        m->as.new_order.sequence = sequence;
    else if (m->type == MH_CANCEL)
        m->as.cancel.sequence = sequence;
    else
        m->as.modify.sequence = sequence;
}

hw_workload hw_generate(int regime, uint32_t orders, uint64_t seed)
{
    hw_workload w = {0};
    uint64_t rng = seed, now = 0;
    draft *drafts = malloc(orders * sizeof *drafts);
    uint32_t *arrival = malloc(orders * sizeof *arrival);
    timeline t = {malloc(orders * UINT64_C(5) * sizeof(timed)), 0}; /* an order has at most 5 messages */
    if (drafts && arrival && t.at) {
        draw_orders(drafts, orders, diffusion[regime], &rng);
        for (uint32_t i = 0; i < orders; i++) {
            uint32_t j = below(&rng, i + 1);
            arrival[i] = arrival[j];
            arrival[j] = i;
        }
        for (uint32_t i = 0; i < orders; i++)
            now = put_life(&t, now, arrival[i] + UINT64_C(1), &drafts[arrival[i]], &rng);
        qsort(t.at, t.n, sizeof *t.at, by_time);
        w.messages = malloc(t.n * sizeof *w.messages);
    }
    for (w.n = 0; w.messages && w.n < t.n; w.n++) {
        w.messages[w.n] = t.at[w.n].message;
        number(&w.messages[w.n], w.n);
    }
    free(t.at);
    free(arrival);
    free(drafts);
    return w;
}
