/* Drives the book with the workload's operations, orders found either by the index that the book gave them (dense) or by
 * the client's 64-bit id through the id map (hashed), with or without looking ahead in the batch to prefetch.
 *
 * The book is deterministic, so the indexes it will give are known from a rehearsal: for dense ids a cancel carries in `lots`
 * the index that its client was answered with, as it would arrive from outside. */
#ifndef MATCHMARK_BENCH_DRIVE_H
#define MATCHMARK_BENCH_DRIVE_H

#include <stdlib.h>

#include "book.h"
#include "workload.h"

enum ids { DENSE, HASHED };
enum look { ONE_BY_ONE, AHEAD };

/* How far ahead of the operation in hand memory is asked for: first where the order is, then the order, then its level. */
enum { AHEAD_ID = 24, AHEAD_ORDER = 16, AHEAD_LEVEL = 8, AHEAD_MOST = AHEAD_ID };

typedef struct driver {
    mm_book book;
    mm_id_map map;
    tape tape;
    uint64_t incoming;
} driver;

void driver_make(driver *d, uint64_t max_orders, int huge_pages);
/* A copy of the workload's operations in which each cancel carries its order's index. */
op *rehearse(const workload *w);
void driver_free(driver *d);

MM_INLINE uint64_t order_key(const void *owner, uint32_t index)
{
    return ((const driver *)owner)->book.orders[index].key;
}

MM_INLINE enum mm_match_step always_trade(void *context, uint32_t order, const mm_order *resting)
{
    (void)context, (void)order, (void)resting;
    return MM_STEP_TRADE;
}

MM_INLINE void told_dense(void *context, uint32_t order, const mm_order *resting, int64_t key, uint32_t lots)
{
    driver *d = context;
    (void)order;
    tape_trade(&d->tape, resting->key, d->incoming, (uint64_t)(key < 0 ? -key : key), lots);
}

MM_INLINE void told_hashed(void *context, uint32_t order, const mm_order *resting, int64_t key, uint32_t lots)
{
    driver *d = context;
    told_dense(context, order, resting, key, lots);
    if (!resting->leaves)
        mm_id_erase(&d->map, mm_id_find(&d->map, mm_id_hash(&d->map, resting->key), resting->key, order_key, d));
}

MM_INLINE void drive_cancel(driver *d, const op *o, enum ids ids)
{
    uint32_t index;
    if (ids == DENSE) {
        index = o->lots;
        if (d->book.orders[index].key != o->id)
            abort(); /* the book lost an order */
    } else {
        uint32_t slot = mm_id_find(&d->map, mm_id_hash(&d->map, o->id), o->id, order_key, d);
        if (slot == MM_NO_SLOT)
            abort();
        index = (uint32_t)d->map.slots[slot];
        mm_id_erase(&d->map, slot);
    }
    mm_book_remove(&d->book, index);
}

/* Returns the index of the order if it rests, else 0. */
MM_INLINE uint32_t drive(driver *d, const op *o, enum ids ids)
{
    if (o->type == OP_CANCEL) {
        drive_cancel(d, o, ids);
        return 0;
    }
    uint32_t against = o->side ^ 1, left = o->lots;
    int64_t limit = o->type == OP_MARKET ? MM_ANY_PRICE : mm_key_of_price(against, o->price);
    if (d->book.sides[against].best_key <= limit) {
        d->incoming = o->id;
        left = mm_book_match(&d->book, against, limit, left, always_trade, ids == DENSE ? told_dense : told_hashed, d);
    }
    if (!left || o->type != OP_ADD)
        return 0;
    uint32_t index = mm_book_add(&d->book, o->side, mm_key_of_price(o->side, o->price), o->id, 0, left, 0);
    if (ids == HASHED)
        mm_id_insert(&d->map, mm_id_hash(&d->map, o->id), index);
    return index;
}

/* Asks for what the operation will need; `stage` is how near it has come. */
MM_INLINE void look_ahead(driver *d, const op *o, enum ids ids, int stage)
{
    uint32_t hash = ids == DENSE ? 0 : mm_id_hash(&d->map, o->id);
    if (stage == AHEAD_ID) {
        if (ids == HASHED)
            mm_id_prefetch(&d->map, hash);
        return;
    }
    if (o->type == OP_CANCEL) {
        uint32_t index = ids == DENSE ? o->lots : mm_id_guess(&d->map, hash);
        const mm_order *order = &d->book.orders[index];
        if (stage == AHEAD_ORDER) {
            __builtin_prefetch(order, 1);
        } else {
            __builtin_prefetch(&d->book.orders[order->next], 1);
            __builtin_prefetch(&d->book.orders[order->prev], 1);
            __builtin_prefetch(&d->book.levels[order->level], 1);
        }
    } else if (o->type == OP_ADD) {
        int64_t key = mm_key_of_price(o->side, o->price);
        uint32_t *cell = mm_book_ring(&d->book, o->side, key);
        if (stage == AHEAD_ORDER)
            __builtin_prefetch(&d->book.levels[*cell], 1);
        else
            __builtin_prefetch(&d->book.orders[d->book.levels[*cell].tail], 1);
    }
}

MM_INLINE void drive_all(driver *d, const op *ops, uint64_t n, enum ids ids, enum look look)
{
    uint64_t i = 0;
    for (; look == AHEAD && i + AHEAD_MOST < n; i++) {
        look_ahead(d, &ops[i + AHEAD_ID], ids, AHEAD_ID);
        look_ahead(d, &ops[i + AHEAD_ORDER], ids, AHEAD_ORDER);
        look_ahead(d, &ops[i + AHEAD_LEVEL], ids, AHEAD_LEVEL);
        drive(d, &ops[i], ids);
    }
    for (; i < n; i++)
        drive(d, &ops[i], ids);
}

#endif
