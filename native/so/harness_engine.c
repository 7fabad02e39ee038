/* The native book behind the public benchmark harness's interface (harness_abi.h), one book for the process.
 *
 * Client ids find their order through a flat table of book indexes for the ids that an order-entry session would assign, dense
 * and increasing, and through a hash map for all others, so that any 64-bit id is right and the usual one is a single load.
 *
 * What the interface cannot say is answered with what it can: a new order that no book may hold (zero quantity, price beyond
 * +-MM_MAX_PRICE) is acknowledged and cancelled at once, such a modify is rejected and the order stays as it was. An id that
 * rests already must not come again in a new order; there is no report to refuse it with, so it is dropped.
 * Running out of memory for orders ends the process with a message: silence would be a wrong book. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "book.h"
#include "matchmark/harness_abi.h"
#include "report_ring.h"

#define DENSE_IDS       (UINT64_C(1) << 26) /* ids below this use the table: 256 MiB of address space, paged in as used */
#define DENSE_IDS_READY (UINT64_C(1) << 21) /* of it made present at start: two million orders */
#define ORDERS_MAX      (UINT32_C(1) << 26) /* resting at once: 2 GiB of address space */
#define LEVELS_MAX      (UINT32_C(1) << 24)
#define ORDERS_READY    (UINT32_C(1) << 17)
#define SPARSE_IDS      (UINT32_C(1) << 20) /* orders resting at once whose ids are beyond the table */
#define HELD_REPORTS    1024                /* handed to a driver's transport at once */
#define WINDOW_TICKS    MM_WINDOW_MAX /* 1 MiB a side: flow that jumps about in price must not end up in the tree */
#define API             __attribute__((visibility("default")))

static struct {
    mm_book book;
    uint32_t *dense; /* order index by id, 0 when it does not rest */
    mm_id_map sparse;
    uint64_t sparse_used;
    mh_report_ring *ring; /* our own transport, or NULL: push into the driver's */
    int (*push)(void *queue, const mh_report *report);
    void *queue;
    uint32_t held; /* reports not yet pushed into the driver's transport */
    void *block;
    size_t block_bytes, dense_bytes, sparse_bytes;
} engine;

static void fail(const char *what)
{
    fprintf(stderr, "libmatchmark_harness: %s\n", what);
    abort();
}

/* --- memory ------------------------------------------------------------------------------------------------------ */

static void *reserve(size_t bytes)
{
    void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED)
        fail("no address space for the book; raise the limit on virtual memory (ulimit -v)");
    madvise(at, bytes, MADV_HUGEPAGE); /* a hint: without huge pages it is slower and as right */
    return at;
}

/* Make the first bytes present, so that no message pays for a page fault: reading does not, the kernel maps a zero page. */
static void make_present(void *at, size_t bytes)
{
    for (size_t i = 0; i < bytes; i += 4096)
        ((volatile char *)at)[i] = 0;
}

/* --- ids --------------------------------------------------------------------------------------------------------- */

static uint64_t key_of(const void *owner, uint32_t index)
{
    return ((const mm_book *)owner)->orders[index].key;
}

static uint32_t find_sparse(uint64_t id)
{
    uint32_t slot = mm_id_find(&engine.sparse, mm_id_hash(&engine.sparse, id), id, key_of, &engine.book);
    return slot == MM_NO_SLOT ? 0 : (uint32_t)engine.sparse.slots[slot];
}

MM_INLINE uint32_t find(uint64_t id)
{
    return __builtin_expect(id < DENSE_IDS, 1) ? engine.dense[id] : find_sparse(id);
}

static void remember_sparse(uint64_t id, uint32_t order)
{
    if (engine.sparse_used++ >= SPARSE_IDS)
        fail("more than 1,048,576 resting orders with ids of 2^26 and above");
    mm_id_insert(&engine.sparse, mm_id_hash(&engine.sparse, id), order);
}

static void forget_sparse(uint64_t id)
{
    mm_id_erase(&engine.sparse, mm_id_find(&engine.sparse, mm_id_hash(&engine.sparse, id), id, key_of, &engine.book));
    engine.sparse_used--;
}

/* Before the order leaves the book: the hash map reads ids from it. */
MM_INLINE void forget(uint64_t id)
{
    if (__builtin_expect(id < DENSE_IDS, 1))
        engine.dense[id] = 0;
    else
        forget_sparse(id);
}

/* --- reports ----------------------------------------------------------------------------------------------------- */

/* A driver's transport publishes each report at once, and producer and consumer then fight over its cache lines report by
 * report. So reports are held and pushed many at a time; flush pushes the rest. */

static _Alignas(64) mh_report held_reports[HELD_REPORTS];

static void push_held(void)
{
    for (uint32_t i = 0; i < engine.held; i++)
        while (!engine.push(engine.queue, &held_reports[i]))
            mh_pause();
    engine.held = 0;
}

MM_INLINE void report(mh_words words)
{
    if (engine.ring) {
        mh_ring_push(engine.ring, words);
        return;
    }
    memcpy(&held_reports[engine.held], &words, sizeof words);
    if (++engine.held == HELD_REPORTS)
        push_held();
}

MM_INLINE void say(uint8_t type, uint32_t side, uint64_t sequence, uint64_t id, int64_t price, uint32_t lots)
{
    report(mh_pack(type, side, sequence, id, price, lots, 0, 0));
}

/* --- matching ---------------------------------------------------------------------------------------------------- */

struct incoming {
    uint64_t id, sequence;
    uint32_t resting_side;
};

MM_INLINE enum mm_match_step ask(void *context, uint32_t order, const mm_order *resting)
{
    (void)context;
    (void)order;
    (void)resting;
    return MM_STEP_TRADE;
}

MM_INLINE void tell(void *context, uint32_t order, const mm_order *resting, int64_t key, uint32_t lots)
{
    (void)order;
    const struct incoming *in = context;
    if (!resting->leaves)
        forget(resting->key);
    report(mh_pack(MH_TRADE, in->resting_side ^ 1, in->sequence, 0, mm_price_of_key(in->resting_side, key), lots,
                   resting->key, in->id));
}

/* The lots that find no counterparty at `price` or better. */
MM_INLINE uint32_t match(uint64_t id, uint64_t sequence, uint32_t side, int64_t price, uint32_t lots)
{
    struct incoming in = {id, sequence, side ^ 1};
    int64_t limit = mm_key_of_price(side ^ 1, price);
    if (__builtin_expect(engine.book.sides[side ^ 1].best_key > limit, 1))
        return lots;
    return mm_book_match(&engine.book, side ^ 1, limit, lots, ask, tell, &in);
}

MM_INLINE void rest(uint64_t id, uint32_t side, int64_t price, uint32_t lots)
{
    if (__builtin_expect(mm_book_orders_full(&engine.book) || mm_book_levels_full(&engine.book), 0))
        fail("the book is full (2^26 orders or 2^24 price levels)");
    uint32_t order = mm_book_add(&engine.book, side, mm_key_of_price(side, price), id, 0, lots, 0);
    if (__builtin_expect(id < DENSE_IDS, 1))
        engine.dense[id] = order;
    else
        remember_sparse(id, order);
}

MM_INLINE bool bad(int64_t price, uint32_t lots)
{
    return __builtin_expect(!lots || price > MM_MAX_PRICE || price < -MM_MAX_PRICE, 0);
}

/* --- messages ---------------------------------------------------------------------------------------------------- */

MM_INLINE void on_new_order(const mh_new_order *m)
{
    uint32_t side = m->side != 0, lots = m->quantity_lots;
    if (__builtin_expect(find(m->order_id) != 0, 0))
        return;
    say(MH_ORDER_ACK, m->side, m->sequence, m->order_id, m->price_ticks, lots);
    bool refused = bad(m->price_ticks, lots);
    if (!refused)
        lots = match(m->order_id, m->sequence, side, m->price_ticks, lots);
    if (!refused && (!lots || !m->ioc)) {
        if (lots)
            rest(m->order_id, side, m->price_ticks, lots);
        return;
    }
    say(MH_CANCEL_ACK, m->side, m->sequence, m->order_id, m->price_ticks, lots);
}

MM_INLINE void on_cancel(const mh_cancel *m)
{
    uint32_t order = find(m->order_id);
    if (!order) {
        say(MH_CANCEL_REJECT, 0, m->sequence, m->order_id, 0, 0);
        return;
    }
    const mm_order *o = &engine.book.orders[order];
    const mm_level *l = &engine.book.levels[o->level];
    say(MH_CANCEL_ACK, l->side & 1, m->sequence, m->order_id, mm_price_of_key(l->side, l->key), o->leaves);
    forget(m->order_id);
    mm_book_remove(&engine.book, order);
}

MM_INLINE void on_modify(const mh_modify *m)
{
    uint32_t order = find(m->order_id), lots = m->quantity_lots;
    if (!order || bad(m->price_ticks, lots)) {
        say(MH_MODIFY_REJECT, m->side, m->sequence, m->order_id, m->price_ticks, lots);
        return;
    }
    uint32_t side = engine.book.levels[engine.book.orders[order].level].side;
    forget(m->order_id);
    mm_book_remove(&engine.book, order);
    say(MH_MODIFY_ACK, side, m->sequence, m->order_id, m->price_ticks, lots);
    lots = match(m->order_id, m->sequence, side, m->price_ticks, lots);
    if (lots)
        rest(m->order_id, side, m->price_ticks, lots);
}

/* --- the interface ----------------------------------------------------------------------------------------------- */

API void engine_init(uint64_t seed, const mh_transport *transport, void *queue)
{
    mm_book_config config = {
        .n_symbols = 1, .max_orders = ORDERS_MAX, .max_levels = LEVELS_MAX, .window_ticks = WINDOW_TICKS};
    uint64_t slots = mm_id_map_slots(SPARSE_IDS);
    engine.block_bytes = mm_book_size(&config);
    engine.dense_bytes = DENSE_IDS * sizeof(uint32_t);
    engine.sparse_bytes = slots * sizeof(uint64_t);
    engine.block = reserve(engine.block_bytes);
    engine.dense = reserve(engine.dense_bytes);
    engine.sparse = mm_id_map_open(reserve(engine.sparse_bytes), slots, seed);
    engine.sparse_used = 0;
    mm_book_create(engine.block, &config);
    engine.book = mm_book_open(engine.block);
    make_present(engine.dense, DENSE_IDS_READY * sizeof(uint32_t));
    make_present(engine.book.orders, ORDERS_READY * sizeof(mm_order));
    make_present(engine.book.levels, 16384 * sizeof(mm_level));
    engine.ring = transport == &mh_ring_transport ? queue : NULL;
    engine.push = transport->push;
    engine.queue = queue;
}

API void engine_shutdown(void)
{
    munmap(engine.block, engine.block_bytes);
    munmap(engine.dense, engine.dense_bytes);
    munmap(engine.sparse.slots, engine.sparse_bytes);
}

API void engine_on_new_order(const mh_new_order *order)
{
    on_new_order(order);
}

API void engine_on_cancel(const mh_cancel *cancel)
{
    on_cancel(cancel);
}

API void engine_on_modify(const mh_modify *modify)
{
    on_modify(modify);
}

/* Everything is matched when the call that delivered it returns; what the ring holds back becomes visible here. */
API void engine_flush(void)
{
    if (engine.ring)
        mh_ring_publish(engine.ring);
    else
        push_held();
}

API int64_t engine_query_best_bid(void)
{
    int64_t key = engine.book.sides[0].best_key;
    return key == MM_NO_KEY ? INT64_MIN : mm_price_of_key(0, key);
}

API int64_t engine_query_best_ask(void)
{
    return engine.book.sides[1].best_key; /* MM_NO_KEY is INT64_MAX, which is what no asks are called */
}

API uint64_t engine_query_depth_at(int64_t price_ticks, uint8_t side)
{
    if (price_ticks > MM_MAX_PRICE || price_ticks < -MM_MAX_PRICE)
        return 0;
    uint32_t level = mm_book_find_level(&engine.book, side != 0, mm_key_of_price(side != 0, price_ticks));
    return level ? engine.book.levels[level].lots : 0;
}
