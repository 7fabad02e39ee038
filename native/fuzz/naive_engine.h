/* A deliberately slow engine for the fuzzer to compare with: docs/engine-rules.md over one flat array of orders.
 * It shares the record types with the engine and no code. */
#ifndef MATCHMARK_FUZZ_NAIVE_ENGINE_H
#define MATCHMARK_FUZZ_NAIVE_ENGINE_H

#include "matchmark/engine.h"

#include <stdbool.h>

enum { NAIVE_ORDERS = 4096, NAIVE_EVENTS = 8192, NAIVE_SYMBOLS = 4 };

typedef struct naive_order {
    uint64_t cl, id, arrival;
    int64_t price;
    uint32_t account, symbol, side, leaves, cum;
    bool waits; /* deferred */
    uint8_t type, tif, smp;
    enum mm_state state; /* mm_state of an order that has ended; MM_STATE_NEW while it rests */
} naive_order;

typedef struct naive_engine {
    mm_config config;
    naive_order orders[NAIVE_ORDERS]; /* every ClOrdID that is known */
    uint32_t n_orders;
    uint64_t accepted, arrivals;
    uint8_t trading[NAIVE_SYMBOLS];
    mm_event events[NAIVE_EVENTS]; /* of the last command */
    uint32_t n_events;
} naive_engine;

void naive_take(naive_engine *n, const mm_command *c);
uint64_t naive_state_hash(const naive_engine *n);

#endif
