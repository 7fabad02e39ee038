/* The matching engine: order checks, price-time matching, self-match prevention, replace, mass cancel, status, top of
 * book.
 *
 * One engine is one block of zeroed memory that the caller provides (malloc, mmap, shared memory): it holds offsets and
 * no pointers, so it can be mapped at any address and copied with memcpy. After create nothing allocates, locks, reads
 * a clock or makes a system call, and the same commands give the same events on any machine. One thread at a time.
 *
 * Use from C or C++: include this header, compile native/engine*.c, native/book*.c and native/far_tree.c with -std=c11
 * -O3 -Inative/include -Inative. To drive the book without client ids, accounts or checks, include native/book.h (it
 * also needs book.c and far_tree.c). */
#ifndef MATCHMARK_ENGINE_H
#define MATCHMARK_ENGINE_H

#include "matchmark/types.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A submit with a smaller event buffer is refused: one step of a command (a trade, what ends the order, the top) must
 * fit. */
/* cdef begin */
#define MM_MIN_EVENTS 4
/* Orders that wait for their release at once, at most max_orders: a gateway's rate limit lets few in. Refused for want of capacity
 * are those that do not fit. */
#define MM_DEFERRED_MAX 65536

typedef struct mm_engine mm_engine;

typedef struct mm_config {
    uint32_t n_symbols;      /* 1 .. 2^24 */
    uint32_t max_orders;     /* orders resting at once, 1 .. 2^30 */
    uint32_t max_levels;     /* price levels in use at once over all books, 1 .. 2^30 */
    uint32_t remembered_ids; /* ClOrdIDs, live and finished, until reset, .. 2^30; 0: an order's end is forgotten */
    uint32_t window_ticks;   /* prices a side indexes directly: a power of two, 64 .. 262144 */
    uint32_t emit_top;       /* 1: top events */
    uint64_t hash_seed;      /* of the ClOrdID map; no effect on events */
} mm_config;

enum mm_status_code {
    MM_OK = 0,          /* every command was taken and every event written */
    MM_FULL = 1,        /* event buffer full: read it, then submit the remaining commands (also when none remain) */
    MM_SMALL_BUFFER = 2 /* fewer than MM_MIN_EVENTS: nothing was done */
};

typedef struct mm_progress {
    uint64_t commands; /* taken from the front of the batch; the last one may have events to come */
    uint64_t events;   /* written */
} mm_progress;

typedef struct mm_quote {
    int64_t price_ticks; /* MM_ABSENT when the side is empty */
    uint64_t quantity_lots;
    uint64_t orders;
} mm_quote;

typedef struct mm_order_view {
    uint64_t order_id;
    int64_t price_ticks; /* MM_ABSENT unless it rests */
    uint32_t symbol, account, leaves_lots, cum_lots;
    uint8_t side, state; /* state MM_UNKNOWN: no such ClOrdID; side of a finished order is not kept */
} mm_order_view;

typedef struct mm_counters {
    uint64_t accepted, trades, resting_orders, levels_in_use, ids_in_use, far_levels, window_slides;
} mm_counters;

/* 0 when the configuration is out of range (mm_config_error says why), else the bytes that create needs. */
size_t mm_engine_size(const mm_config *config);
const char *mm_config_error(const mm_config *config);
/* `memory`: zeroed, aligned to 64 bytes, mm_engine_size long. NULL when the configuration is out of range. */
mm_engine *mm_engine_create(void *memory, const mm_config *config);
/* How an engine's memory comes: as it is touched, which suits many small engines; the same on huge pages where the system has them,
 * for one that works; or all of that touched now, so that no command meets a page fault. */
enum mm_memory { MM_MEMORY_SMALL_PAGES = 0, MM_MEMORY_RESIDENT = 1, MM_MEMORY_HUGE_PAGES = 2 };
/* The same on memory of our own, from the system; destroy only what map made. NULL when there is no memory. */
mm_engine *mm_engine_map(const mm_config *config, int memory);
/* All of a mapped engine's memory is there from now on. A hint: the system may not be able to. */
void mm_engine_populate(mm_engine *engine);
void mm_engine_destroy(mm_engine *engine);
void mm_engine_reset(mm_engine *engine);

/* For who submits one by one: commands that come soon, later, last (each may be NULL). Has the memory that they need on its way. */
void mm_engine_expect(const mm_engine *engine, const mm_command *soon, const mm_command *later, const mm_command *last);
/* Takes commands in order until all are done or the buffer is full; back-pressure is a result, not an error. */
int mm_engine_submit(mm_engine *engine, const mm_command *commands, uint64_t n, mm_event *events, uint64_t capacity,
                     mm_progress *progress);
/* 1 while the last command taken is not complete: a submit of no commands goes on with it and writes its events, if
 * any. */
int mm_engine_unfinished(const mm_engine *engine);

uint64_t mm_engine_state_hash(const mm_engine *engine);
const mm_config *mm_engine_config(const mm_engine *engine);
mm_quote mm_engine_best(const mm_engine *engine, uint32_t symbol, uint32_t side);
mm_quote mm_engine_depth(const mm_engine *engine, uint32_t symbol, uint32_t side, int64_t price_ticks);
mm_order_view mm_engine_order(const mm_engine *engine, uint64_t cl_ord_id);
mm_counters mm_engine_counters(const mm_engine *engine);
/* Checks every invariant by walking everything; NULL when all hold, else which one does not. For tests and fuzzing. */
const char *mm_engine_check(const mm_engine *engine);
/* cdef end */

#ifdef __cplusplus
}
#endif

#endif
