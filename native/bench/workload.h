/* The order flow that the book is measured on: deterministic, the same operations for everyone who follows the recipe.
 *
 * After an untimed warm-up (base: 200 orders on 40 levels; deep: 500,000 on 5,000, shuffled) come n timed operations: about
 * 60% passive limits around a random-walk mid price, 25% cancels of live orders, 10% limits crossing 1 to 3 levels, 3% IOC,
 * 2% market orders; quantities 1 .. 500. Deep places half of its passive limits over 2,500 ticks a side.
 * The generator matches with a book of its own (an array of queues by price), so what it expects is independent of ours. */
#ifndef MATCHMARK_BENCH_WORKLOAD_H
#define MATCHMARK_BENCH_WORKLOAD_H

#include <stdint.h>

enum op_type { OP_ADD, OP_CANCEL, OP_IOC, OP_MARKET };

typedef struct op {
    uint64_t id;
    uint32_t price, lots;
    uint8_t type, side; /* side: 0 buy, 1 sell */
} op;

/* What was traded; `hash` depends on every trade and on their order. */
typedef struct tape {
    uint64_t trades, volume, notional, hash;
} tape;

typedef struct workload {
    op *ops;        /* n_warm, then n_timed */
    op *client_ops; /* the same with each id replaced by client_id(id) */
    uint64_t n_warm, n_timed, max_id;
    tape expected;         /* of the timed operations, by id */
    tape expected_clients; /* of client_ops */
    uint64_t resting;      /* orders left at the end */
} workload;

/* Aborts when there is no memory. */
workload *workload_make(int deep, uint64_t n_timed, uint64_t seed);
void workload_free(workload *w);

static inline void tape_trade(tape *t, uint64_t resting, uint64_t incoming, uint64_t price, uint64_t lots)
{
    t->trades++;
    t->volume += lots;
    t->notional += price * lots;
    uint64_t h = (t->hash ^ (resting * UINT64_C(0x9E3779B97F4A7C15) + incoming + (price << 32) + lots)) *
                 UINT64_C(0xBF58476D1CE4E5B9);
    t->hash = h ^ h >> 29;
}

/* An id as a client would choose it: any 64 bits. One to one. */
static inline uint64_t client_id(uint64_t id)
{
    id = (id ^ id >> 31) * UINT64_C(0x7FB5D329728EA185);
    id = (id ^ id >> 27) * UINT64_C(0x81DADEF4BC2DD44D);
    return id ^ id >> 33;
}

#endif
