/* The table of resting orders: see engine_loop.h. */
#define _GNU_SOURCE
#include "engine_loop.h"

#include "reserve.h"

#include <string.h>

static uint64_t slots_bytes(const mm_known_orders *k)
{
    return (k->mask + 1) * sizeof *k->slots;
}

static uint64_t past_bytes(const mm_known_orders *k)
{
    return (k->max_past + 1) * sizeof *k->past;
}

int mm_known_create(mm_known_orders *k, uint32_t max_orders, uint32_t remembered_ids)
{
    uint32_t bits = 6, max = max_orders + (max_orders < MM_DEFERRED_MAX ? max_orders : MM_DEFERRED_MAX) + 1;
    while ((UINT64_C(1) << bits) < UINT64_C(2) * max)
        bits++;
    *k = (mm_known_orders){
        .mask = (UINT64_C(1) << bits) - 1, .group_shift = 64 - (bits - 3), .max = max, .max_past = remembered_ids};
    k->slots = mm_reserve(slots_bytes(k));
    k->pool = mm_reserve((k->max + UINT64_C(1)) * sizeof *k->pool);
    k->free_list = mm_reserve((k->max + UINT64_C(1)) * sizeof *k->free_list);
    k->past = mm_reserve(past_bytes(k));
    if (!k->slots || !k->pool || !k->free_list || !k->past) {
        mm_known_destroy(k);
        return -1;
    }
    mm_known_clear(k);
    return 0;
}

void mm_known_populate(const mm_known_orders *k)
{
    mm_populate(k->slots, slots_bytes(k));
    mm_populate(k->pool, (k->max + UINT64_C(1)) * sizeof *k->pool);
    mm_populate(k->past, past_bytes(k));
    mm_populate(k->free_list, (k->max + UINT64_C(1)) * sizeof *k->free_list);
}

void mm_known_destroy(mm_known_orders *k)
{
    mm_unreserve(k->slots, slots_bytes(k));
    mm_unreserve(k->pool, (k->max + UINT64_C(1)) * sizeof *k->pool);
    mm_unreserve(k->past, past_bytes(k));
    mm_unreserve(k->free_list, (k->max + UINT64_C(1)) * sizeof *k->free_list);
    memset(k, 0, sizeof *k);
}

void mm_known_clear(mm_known_orders *k)
{
    memset(k->slots, 0, slots_bytes(k));
    k->n_free = k->max;
    for (uint32_t i = 0; i < k->max; i++)
        k->free_list[i] = k->max - i; /* the last is given out first: index 1 */
}

void mm_past_keep(mm_known_orders *k, const mm_known_order *order, uint32_t cancelled_lots)
{
    if (order->order_id > k->max_past)
        return;
    k->past[order->order_id] = (mm_past_order){
        .notional = {order->notional[0], order->notional[1]},
        .limit_ticks = order->limit_ticks,
        .order_lots = order->cum_lots + cancelled_lots,
        .cum_lots = order->cum_lots,
        .side = order->side,
        .type = order->type,
        .tif = order->tif,
    };
}

const mm_past_order *mm_past_find(const mm_known_orders *k, uint64_t order_id)
{
    return order_id && order_id <= k->max_past ? &k->past[order_id] : NULL;
}

static uint64_t home(const mm_known_orders *k, uint64_t id)
{
    return (id >> 3) * UINT64_C(0x9E3779B97F4A7C15) >> k->group_shift << 3 | (id & 7);
}

/* The slot of this id, or the empty one where it would go. */
static uint64_t slot_of(const mm_known_orders *k, uint64_t id)
{
    uint64_t at = home(k, id);
    for (;; at = (at + 1) & k->mask) {
        uint64_t slot = k->slots[at];
        if (!slot || (slot >> 32 == (uint32_t)id && k->pool[(uint32_t)slot].order_id == id))
            return at;
    }
}

mm_known_order *mm_known_find(const mm_known_orders *k, uint64_t order_id)
{
    uint64_t slot = k->slots[slot_of(k, order_id)];
    return slot ? &k->pool[(uint32_t)slot] : NULL;
}

bool mm_known_insert(mm_known_orders *k, const mm_known_order *order)
{
    if (!k->n_free)
        return false;
    uint32_t index = k->free_list[--k->n_free];
    k->pool[index] = *order;
    k->slots[slot_of(k, order->order_id)] = order->order_id << 32 | index;
    return true;
}

void mm_known_remove(mm_known_orders *k, uint64_t order_id)
{
    uint64_t hole = slot_of(k, order_id);
    if (!k->slots[hole])
        return;
    k->free_list[k->n_free++] = (uint32_t)k->slots[hole];
    /* Closes the hole: what lies behind moves up if that brings it no further than its home. */
    for (uint64_t at = (hole + 1) & k->mask; k->slots[at]; at = (at + 1) & k->mask) {
        uint64_t from_home = (at - home(k, k->pool[(uint32_t)k->slots[at]].order_id)) & k->mask;
        if (from_home < ((at - hole) & k->mask))
            continue;
        k->slots[hole] = k->slots[at];
        hole = at;
    }
    k->slots[hole] = 0;
}
