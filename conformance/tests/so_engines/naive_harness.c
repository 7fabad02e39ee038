/* A matching engine of the harness's interface that is right and slow: one
 * array of orders, searched for every question.
 *
 * Compiled with one of these it is wrong in that way, or works in that way:
 *   SEGV_ON_ORDER=n    writes to address 0 on its nth order HANG_ON_ORDER=n
 * never returns from its nth order NO_MODIFY          lacks engine_on_modify
 * LATE_REPORT       reports a cancel with the next message THREADED reports
 * from a thread of its own, which flush waits for OWN_TRANSPORT      brings its
 * own queue, of few places          CHATTY            prints on stdout
 *   LAST_FIRST         gives the youngest order of a level priority  PREBUILD
 * refuses what it was not told of before */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "matchmark/harness_abi.h"

#define ORDERS_MAX 100000

static struct resting {
    uint64_t id;
    int64_t price;
    uint32_t lots, side;
} orders[ORDERS_MAX];
static int n_orders, messages;
static const mh_transport *transport;
static void *queue;

/* --- reports
 * -----------------------------------------------------------------------------------------------------
 */

#ifdef THREADED
static mh_report held[ORDERS_MAX];
static int n_held;

static void *push_held(void *nothing)
{
    for (int i = 0; i < n_held; i++)
        while (!transport->push(queue, &held[i]))
            ;
    n_held = 0;
    return nothing;
}

static void report(const mh_report *r)
{
    held[n_held++] = *r;
}

void engine_flush(void)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, push_held, NULL))
        abort();
    pthread_join(thread, NULL);
}
#else
static void report(const mh_report *r)
{
    while (!transport->push(queue, r))
        ;
}

void engine_flush(void)
{
}
#endif

static void say(uint8_t type, uint64_t sequence, uint64_t id, uint32_t side, int64_t price, uint32_t lots)
{
#ifdef LATE_REPORT
    static mh_report late;
    if (late.sequence) {
        report(&late);
        late.sequence = 0;
    }
    if (type == MH_CANCEL_ACK) {
        late = (mh_report){.type = type, .side = (uint8_t)side, .sequence = sequence, .order_id = id};
        return;
    }
#endif
    mh_report r = {.type = type,
                   .side = (uint8_t)side,
                   .sequence = sequence,
                   .order_id = id,
                   .price_ticks = price,
                   .quantity_lots = lots};
    report(&r);
}

#ifdef OWN_TRANSPORT
#define PLACES 8
static struct {
    _Atomic unsigned written, read;
    mh_report slots[PLACES];
} own;

static void *own_create(uint32_t capacity)
{
    (void)capacity;
    own.written = own.read = 0;
    return &own;
}

static int own_push(void *q, const mh_report *r)
{
    (void)q;
    if (own.written - own.read == PLACES)
        return 0;
    own.slots[own.written % PLACES] = *r;
    own.written++;
    return 1;
}

static uint32_t own_drain(void *q, mh_report *out, uint32_t max)
{
    (void)q;
    uint32_t n = 0;
    for (; n < max && own.read != own.written; own.read++)
        out[n++] = own.slots[own.read % PLACES];
    return n;
}

static void own_nothing(void *q)
{
    (void)q;
}

static const mh_transport own_transport = {own_create, own_push, own_drain, own_nothing, own_nothing};

const mh_transport *engine_get_transport(void)
{
    return &own_transport;
}
#endif

/* --- the book
 * ----------------------------------------------------------------------------------------------------
 */

static int find(uint64_t id)
{
    for (int i = 0; i < n_orders; i++)
        if (orders[i].id == id)
            return i;
    return -1;
}

static void take_out(int at)
{
    for (n_orders--; at < n_orders; at++)
        orders[at] = orders[at + 1];
}

static int better(uint32_t side, int64_t a, int64_t b)
{
    return side ? a < b : a > b;
}

/* The order that trades first on that side, -1 if there is none; orders stand
 * in the array as they came. */
static int first(uint32_t side)
{
    int best = -1;
    for (int i = 0; i < n_orders; i++) {
        if (orders[i].side != side)
            continue;
#ifdef LAST_FIRST
        if (best < 0 || !better(side, orders[best].price, orders[i].price))
#else
        if (best < 0 || better(side, orders[i].price, orders[best].price))
#endif
            best = i;
    }
    return best;
}

static uint32_t match(uint64_t id, uint64_t sequence, uint32_t side, int64_t price, uint32_t lots)
{
    int at;
    while (lots && (at = first(!side)) >= 0 && !better(side, orders[at].price, price)) {
        struct resting *r = &orders[at];
        uint32_t traded = lots < r->lots ? lots : r->lots;
        mh_report t = {.type = MH_TRADE,
                       .side = (uint8_t)side,
                       .sequence = sequence,
                       .price_ticks = r->price,
                       .quantity_lots = traded,
                       .resting_id = r->id,
                       .incoming_id = id};
        report(&t);
        lots -= traded;
        r->lots -= traded;
        if (!r->lots)
            take_out(at);
    }
    return lots;
}

static void rest(uint64_t id, uint32_t side, int64_t price, uint32_t lots)
{
    if (n_orders == ORDERS_MAX)
        abort();
    orders[n_orders++] = (struct resting){id, price, lots, side};
}

/* --- the interface
 * -----------------------------------------------------------------------------------------------
 */

#ifdef PREBUILD
static int prebuilt;

void engine_prebuild(uint8_t type, const void *message)
{
    (void)message;
    prebuilt += type == MH_NEW_ORDER;
}
#endif

void engine_init(uint64_t seed, const mh_transport *t, void *q)
{
    (void)seed;
    transport = t;
    queue = q;
    n_orders = messages = 0;
#ifdef PREBUILD
    prebuilt = 0;
#endif
}

void engine_shutdown(void)
{
    n_orders = 0;
}

void engine_on_new_order(const mh_new_order *m)
{
    messages++;
#ifdef PREBUILD
    if (prebuilt < messages)
        return;
#endif
#ifdef SEGV_ON_ORDER
    if (messages == SEGV_ON_ORDER)
        *(volatile int *)0 = 1;
#endif
#ifdef HANG_ON_ORDER
    while (messages == HANG_ON_ORDER)
        ;
#endif
#ifdef CHATTY
    printf("new order %llu\n{\"ev\":\"done\"}\n", (unsigned long long)m->order_id);
    fflush(stdout);
#endif
    uint32_t lots = match(m->order_id, m->sequence, m->side, m->price_ticks, m->quantity_lots);
    say(MH_ORDER_ACK, m->sequence, m->order_id, m->side, m->price_ticks, m->quantity_lots);
    if (lots && m->ioc)
        say(MH_CANCEL_ACK, m->sequence, m->order_id, m->side, m->price_ticks, 0);
    else if (lots)
        rest(m->order_id, m->side, m->price_ticks, lots);
}

void engine_on_cancel(const mh_cancel *m)
{
    int at = find(m->order_id);
    say(at < 0 ? MH_CANCEL_REJECT : MH_CANCEL_ACK, m->sequence, m->order_id, 0, 0, 0);
    if (at >= 0)
        take_out(at);
}

#ifndef NO_MODIFY
void engine_on_modify(const mh_modify *m)
{
    int at = find(m->order_id);
    if (at < 0) {
        say(MH_MODIFY_REJECT, m->sequence, m->order_id, 0, 0, 0);
        return;
    }
    uint32_t side = orders[at].side;
    take_out(at);
    uint32_t lots = match(m->order_id, m->sequence, side, m->price_ticks, m->quantity_lots);
    if (lots)
        rest(m->order_id, side, m->price_ticks, lots);
    say(MH_MODIFY_ACK, m->sequence, m->order_id, side, m->price_ticks, m->quantity_lots);
}
#endif

int64_t engine_query_best_bid(void)
{
    int at = first(0);
    return at < 0 ? INT64_MIN : orders[at].price;
}

int64_t engine_query_best_ask(void)
{
    int at = first(1);
    return at < 0 ? INT64_MAX : orders[at].price;
}

uint64_t engine_query_depth_at(int64_t price, uint8_t side)
{
    uint64_t lots = 0;
    for (int i = 0; i < n_orders; i++)
        if (orders[i].side == side && orders[i].price == price)
            lots += orders[i].lots;
    return lots;
}
