/* Shared by the engine's own files only: the layout of an engine block and the state of one submit. */
#ifndef MATCHMARK_ENGINE_INTERNAL_H
#define MATCHMARK_ENGINE_INTERNAL_H

#include "book.h"
#include "matchmark/engine.h"

/* What is left of an order that has ended, or of a ClOrdID that a replace has retired. */
typedef struct mm_finished {
    uint64_t cl_ord_id, order_id;
    uint32_t account, symbol, cum;
    uint32_t state;
} mm_finished;

/* An index in the id map is that of a resting order, or with this bit that of a finished one. */
#define MM_FINISHED_BIT (UINT32_C(1) << 31)
/* Above this it is that of a deferred order: no finished one's is, for there are at most 2^30. */
#define MM_DEFERRED_BASE (UINT32_C(3) << 30)

typedef struct mm_published_top {
    int64_t bid_ticks;
    uint64_t bid_lots;
    int64_t ask_ticks;
    uint64_t ask_lots;
} mm_published_top;

/* An order on its way into the book, new or replaced. */
typedef struct mm_incoming {
    uint64_t cl_ord_id, order_id;
    int64_t price_ticks;
    uint32_t account, symbol, leaves, cum;
    uint8_t side, type, tif, smp;
} mm_incoming;

/* An order that was accepted and is not decided. Queues are by symbol, in the order of acceptance. */
typedef struct mm_deferred {
    mm_incoming order;
    uint32_t next, prev; /* 0 for none; next also joins the free ones */
} mm_deferred;

typedef struct mm_symbol_state {
    uint32_t head, tail; /* its deferred orders, 0 for none */
    uint32_t trading;    /* mm_trading */
} mm_symbol_state;

/* What a full event buffer interrupted. */
enum mm_phase { MM_PHASE_NONE, MM_PHASE_MATCH, MM_PHASE_MASS_CANCEL, MM_PHASE_TOPS, MM_PHASE_SETTLE };

typedef struct mm_mass {
    uint64_t cl_ord_id, count;
    uint32_t account, symbol; /* the command's */
    uint32_t side, last_side; /* side being cancelled; one past the last */
    uint32_t order;           /* next order to look at, 0: go on to the level after `key` */
    uint32_t top_symbol;      /* next symbol whose top may have changed */
    int64_t key;
} mm_mass;

struct mm_engine {
    mm_config config;
    uint64_t bytes, book_at, slots_at, n_slots, finished_at, order_ids_at, tops_at, states_at, deferred_at;
    uint64_t mapped; /* bytes to unmap; 0: the caller's memory */
    uint64_t accepted, trades;
    uint32_t ids_in_use, finished_used;
    uint32_t phase;
    uint32_t n_unusual; /* symbols that are not open: while there are none, no order looks at its symbol's state */
    uint32_t max_deferred, n_deferred, fresh_deferred, free_deferred;
    uint32_t settling;          /* 1 + the symbol whose deferred orders are being decided, 0 for none */
    uint32_t deferred_incoming; /* the incoming order was deferred: room for it was not looked for when it came */
    mm_incoming incoming;
    mm_mass mass;
};

/* One submit: the parts of the block in this address space, and where the events go. */
typedef struct mm_run {
    mm_engine *engine;
    mm_book book;
    mm_id_map ids;
    mm_finished *finished;
    uint64_t *order_ids; /* by order index */
    mm_published_top *tops;
    mm_symbol_state *states;
    mm_deferred *deferred;
    mm_event *out, *end;
} mm_run;

mm_run mm_run_open(const mm_engine *engine);

/* Each takes one command, or goes on with it, and says whether it is done: false when the buffer is full. */
bool mm_do_new(mm_run *r, const mm_command *c);
bool mm_do_replace(mm_run *r, const mm_command *c);
bool mm_do_match(mm_run *r);
bool mm_do_mass_cancel(mm_run *r, const mm_command *c);
bool mm_go_on_mass_cancel(mm_run *r);
void mm_do_cancel(mm_run *r, const mm_command *c);
void mm_do_status(mm_run *r, const mm_command *c);

/* engine_trading.c: trading states and deferred orders. */
bool mm_do_trading(mm_run *r, const mm_command *c); /* warn to attempt, and release */
bool mm_go_on_settle(mm_run *r);
/* The incoming order, just accepted, waits. */
void mm_defer(mm_run *r);
void mm_cancel_deferred(mm_run *r, uint32_t index, enum mm_reason reason);
bool mm_mass_cancel_deferred(mm_run *r, mm_mass *m);
void mm_forget_states(mm_run *r);
/* What the state hash adds for states and deferred orders. */
uint64_t mm_states_hash(const mm_run *r);
const char *mm_check_states(const mm_run *r);
bool mm_may_not_rest(const mm_run *r, const mm_incoming *in);
void mm_rest(mm_run *r, const mm_incoming *in);
void mm_cancel_remainder(mm_run *r, const mm_incoming *in, enum mm_reason reason);
/* Emits the symbol's top if it is not the published one; the caller has room. */
void mm_publish_top(mm_run *r, uint32_t symbol);

MM_INLINE uint64_t mm_room(const mm_run *r)
{
    return (uint64_t)(r->end - r->out);
}

MM_INLINE uint64_t mm_id_at(const void *owner, uint32_t index)
{
    const mm_run *r = owner;
    if (!(index & MM_FINISHED_BIT))
        return r->book.orders[index].key;
    return index > MM_DEFERRED_BASE ? r->deferred[index - MM_DEFERRED_BASE].order.cl_ord_id
                                    : r->finished[index & ~MM_FINISHED_BIT].cl_ord_id;
}

MM_INLINE uint32_t mm_find_id(const mm_run *r, uint64_t cl_ord_id)
{
    return mm_id_find(&r->ids, mm_id_hash(&r->ids, cl_ord_id), cl_ord_id, mm_id_at, r);
}

MM_INLINE uint32_t mm_index_in(const mm_run *r, uint32_t slot)
{
    return (uint32_t)r->ids.slots[slot];
}

/* NULL unless the index is a deferred order's. */
MM_INLINE const mm_incoming *mm_deferred_at(const mm_run *r, uint32_t index)
{
    return index > MM_DEFERRED_BASE ? &r->deferred[index - MM_DEFERRED_BASE].order : NULL;
}

MM_INLINE bool mm_is_in_state(const mm_run *r, uint32_t symbol, enum mm_trading trading)
{
    return __builtin_expect(r->engine->n_unusual != 0, 0) && r->states[symbol].trading == (uint32_t)trading;
}

MM_INLINE const mm_level *mm_level_of(const mm_run *r, const mm_order *o)
{
    return &r->book.levels[o->level];
}

/* Writes a finished order's memory and gives its index for the map. Counting ids_in_use is the caller's. */
MM_INLINE uint32_t mm_remember(mm_run *r, mm_finished f)
{
    uint32_t n = ++r->engine->finished_used;
    r->finished[n] = f;
    return n | MM_FINISHED_BIT;
}

/* A resting order's ClOrdID ends: remembered if the engine does that, else free to be used again. */
MM_INLINE void mm_retire(mm_run *r, uint32_t order, uint32_t symbol, enum mm_state state)
{
    const mm_order *o = &r->book.orders[order];
    uint32_t slot = mm_find_id(r, o->key);
    if (r->engine->config.remembered_ids) {
        mm_finished f = {o->key, r->order_ids[order], o->account, symbol, o->cum, state};
        mm_id_set(&r->ids, slot, mm_remember(r, f));
    } else {
        mm_id_erase(&r->ids, slot);
        r->engine->ids_in_use--;
    }
}

MM_INLINE void mm_refuse(mm_run *r, const mm_command *c, enum mm_event_kind kind, enum mm_reason reason)
{
    *r->out++ = (mm_event){
        .kind = (uint8_t)kind,
        .reason = (uint8_t)reason,
        .side = kind == MM_EV_REJECTED ? c->side : 0,
        .symbol = c->symbol,
        .cl_ord_id = c->cl_ord_id,
        .other_cl_ord_id = kind == MM_EV_REJECTED ? 0 : c->orig_cl_ord_id,
        .price_ticks = kind == MM_EV_REJECTED ? c->price_ticks : 0,
        .account = c->account,
    };
}

/* Reports that a resting order ends with its leaves unfilled. */
MM_INLINE void mm_report_cancelled(mm_run *r, uint32_t order, enum mm_reason reason)
{
    const mm_order *o = &r->book.orders[order];
    const mm_level *l = mm_level_of(r, o);
    *r->out++ = (mm_event){
        .kind = MM_EV_CANCELLED,
        .reason = (uint8_t)reason,
        .side = l->side & 1,
        .state = MM_CANCELLED,
        .symbol = l->side >> 1,
        .cl_ord_id = o->key,
        .order_id = r->order_ids[order],
        .price_ticks = mm_price_of_key(l->side, l->key),
        .quantity_lots = o->leaves,
        .cum_lots = o->cum,
        .account = o->account,
    };
}

#endif
