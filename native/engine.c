/* The engine's life and its submit loop. Rules are in engine_orders.c and engine_requests.c, queries in
 * engine_query.c. */
#define _GNU_SOURCE
#include "engine_internal.h"
#include "reserve.h"

#include <string.h>

#define MAX_SYMBOLS (UINT32_C(1) << 24)

const char *mm_config_error(const mm_config *c)
{
    if (c->n_symbols < 1 || c->n_symbols > MAX_SYMBOLS)
        return "n_symbols must be 1 .. 16777216";
    if (c->max_orders < 1 || c->max_orders > MM_POOL_MAX)
        return "max_orders must be 1 .. 1073741824";
    if (c->max_levels < 1 || c->max_levels > MM_POOL_MAX)
        return "max_levels must be 1 .. 1073741824";
    if (c->remembered_ids > MM_POOL_MAX)
        return "remembered_ids must be 0 .. 1073741824";
    if (c->window_ticks < MM_WINDOW_MIN || c->window_ticks > MM_WINDOW_MAX || (c->window_ticks & (c->window_ticks - 1)))
        return "window_ticks must be a power of two, 64 .. 262144";
    if (c->emit_top > 1)
        return "emit_top must be 0 or 1";
    return NULL;
}

static uint64_t part(uint64_t *at, uint64_t bytes)
{
    uint64_t start = *at;
    *at = (start + bytes + 63) & ~UINT64_C(63);
    return start;
}

static mm_engine layout(const mm_config *c)
{
    mm_engine e = {.config = *c};
    mm_book_config book = {c->n_symbols, c->max_orders, c->max_levels, c->window_ticks};
    uint64_t at = 0;
    part(&at, sizeof(mm_engine));
    e.book_at = part(&at, mm_book_size(&book));
    e.n_slots = mm_id_map_slots(c->remembered_ids ? c->remembered_ids : c->max_orders);
    e.slots_at = part(&at, e.n_slots * sizeof(uint64_t));
    e.finished_at = part(&at, c->remembered_ids ? (c->remembered_ids + UINT64_C(1)) * sizeof(mm_finished) : 0);
    e.order_ids_at = part(&at, (c->max_orders + UINT64_C(1)) * sizeof(uint64_t));
    e.tops_at = part(&at, c->emit_top ? c->n_symbols * sizeof(mm_published_top) : 0);
    e.states_at = part(&at, c->n_symbols * sizeof(mm_symbol_state));
    e.max_deferred = c->max_orders < MM_DEFERRED_MAX ? c->max_orders : MM_DEFERRED_MAX;
    e.deferred_at = part(&at, (e.max_deferred + UINT64_C(1)) * sizeof(mm_deferred));
    e.bytes = at;
    return e;
}

size_t mm_engine_size(const mm_config *config)
{
    return mm_config_error(config) ? 0 : layout(config).bytes;
}

static void forget_top(mm_published_top *top)
{
    *top = (mm_published_top){MM_ABSENT, 0, MM_ABSENT, 0};
}

mm_engine *mm_engine_create(void *memory, const mm_config *config)
{
    if (mm_config_error(config))
        return NULL;
    mm_engine *e = memory;
    *e = layout(config);
    mm_book_config book = {config->n_symbols, config->max_orders, config->max_levels, config->window_ticks};
    mm_book_create((char *)memory + e->book_at, &book);
    mm_run r = mm_run_open(e);
    for (uint32_t i = 0; config->emit_top && i < config->n_symbols; i++)
        forget_top(&r.tops[i]);
    return e;
}

mm_engine *mm_engine_map(const mm_config *config, int kind)
{
    size_t bytes = mm_engine_size(config);
    if (!bytes)
        return NULL;
    void *memory = kind == MM_MEMORY_SMALL_PAGES ? mm_reserve_small(bytes) : mm_reserve(bytes);
    if (!memory)
        return NULL;
    if (kind == MM_MEMORY_RESIDENT)
        memset(memory, 0, bytes);
    mm_engine *e = mm_engine_create(memory, config);
    e->mapped = bytes;
    return e;
}

const mm_config *mm_engine_config(const mm_engine *e)
{
    return &e->config;
}

void mm_engine_populate(mm_engine *e)
{
    mm_populate(e, e->mapped);
}

void mm_engine_destroy(mm_engine *e)
{
    if (e && e->mapped)
        munmap(e, e->mapped);
}

mm_run mm_run_open(const mm_engine *engine)
{
    mm_engine *e = (mm_engine *)(uintptr_t)engine; /* queries do not write through it */
    char *at = (char *)e;
    return (mm_run){
        .engine = e,
        .book = mm_book_open(at + e->book_at),
        .ids = mm_id_map_open((uint64_t *)(at + e->slots_at), e->n_slots, e->config.hash_seed),
        .finished = (mm_finished *)(at + e->finished_at),
        .order_ids = (uint64_t *)(at + e->order_ids_at),
        .tops = (mm_published_top *)(at + e->tops_at),
        .states = (mm_symbol_state *)(at + e->states_at),
        .deferred = (mm_deferred *)(at + e->deferred_at),
    };
}

/* Empties the map by the ids it holds, or all at once when that is less work. */
static void forget_ids(mm_run *r)
{
    mm_engine *e = r->engine;
    if (e->ids_in_use > e->n_slots / 16) {
        memset(r->ids.slots, 0, e->n_slots * sizeof(uint64_t));
        return;
    }
    for (uint32_t n = 1; n <= e->finished_used; n++)
        mm_id_forget_run(&r->ids, mm_id_hash(&r->ids, r->finished[n].cl_ord_id));
    for (uint32_t n = 1; n <= e->fresh_deferred; n++)
        mm_id_forget_run(&r->ids, mm_id_hash(&r->ids, r->deferred[n].order.cl_ord_id));
    for (uint32_t n = 1; n < r->book.head->fresh_level; n++) {
        const mm_level *l = &r->book.levels[n];
        for (uint32_t o = l->orders ? l->head : 0; o; o = r->book.orders[o].next)
            mm_id_forget_run(&r->ids, mm_id_hash(&r->ids, r->book.orders[o].key));
    }
}

static void reset(mm_run *r)
{
    mm_engine *e = r->engine;
    forget_ids(r);
    for (uint32_t n = 1; e->config.emit_top && n < r->book.head->fresh_level; n++)
        forget_top(&r->tops[r->book.levels[n].side >> 1]);
    mm_book_reset(&r->book);
    mm_forget_states(r);
    e->accepted = e->trades = 0;
    e->ids_in_use = e->finished_used = 0;
    e->phase = MM_PHASE_NONE;
}

void mm_engine_reset(mm_engine *engine)
{
    mm_run r = mm_run_open(engine);
    reset(&r);
}

static bool go_on(mm_run *r)
{
    const mm_engine *e = r->engine;
    if (e->phase == MM_PHASE_MASS_CANCEL || e->phase == MM_PHASE_TOPS)
        return mm_go_on_mass_cancel(r);
    uint32_t symbol = e->settling ? e->settling - 1 : e->incoming.symbol;
    if (e->phase == MM_PHASE_MATCH && !mm_do_match(r))
        return false;
    if (e->settling && !mm_go_on_settle(r))
        return false;
    if (e->config.emit_top)
        mm_publish_top(r, symbol);
    return true;
}

static bool take(mm_run *r, const mm_command *c)
{
    bool done = true;
    switch (c->op) {
    case MM_NEW:
        done = mm_do_new(r, c);
        break;
    case MM_CANCEL:
        mm_do_cancel(r, c);
        break;
    case MM_REPLACE:
        done = mm_do_replace(r, c);
        break;
    case MM_MASS_CANCEL:
        return mm_do_mass_cancel(r, c);
    case MM_STATUS:
        mm_do_status(r, c);
        return true;
    case MM_RESET:
        reset(r);
        return true;
    case MM_WARN:
    case MM_CALM:
    case MM_HALT:
    case MM_RESUME:
    case MM_RELEASE:
    case MM_ATTEMPT:
        done = mm_do_trading(r, c);
        break;
    default:
        mm_refuse(r, c, MM_EV_REJECTED, MM_REASON_MALFORMED);
        return true;
    }
    if (done && r->engine->config.emit_top && c->symbol < r->engine->config.n_symbols)
        mm_publish_top(r, c->symbol);
    return done;
}

/* Commands of a batch are looked at before their turn, to have the memory that they will need on its way: first the
 * id's slot in the map, then the order, then its level and neighbours. What is read then may be out of date when the
 * turn comes; it only decides what is prefetched. Always inlined: gcc drops calls of functions that do nothing but
 * prefetch. */
enum { AHEAD_COMMAND = 32, AHEAD_ID = 18, AHEAD_ORDER = 12, AHEAD_LEVEL = 6 };

MM_INLINE void ask_for_ids(const mm_run *r, const mm_command *c)
{
    if (c->op == MM_NEW || c->op == MM_REPLACE)
        mm_id_prefetch(&r->ids, mm_id_hash(&r->ids, c->cl_ord_id));
    if (c->op != MM_NEW)
        mm_id_prefetch(&r->ids, mm_id_hash(&r->ids, c->orig_cl_ord_id));
}

MM_INLINE void ask_for_order(const mm_run *r, const mm_command *c)
{
    if (c->op == MM_NEW) {
        if (c->symbol < r->engine->config.n_symbols && c->side <= MM_SELL) {
            int64_t key = mm_key_of_price(c->side, c->price_ticks);
            __builtin_prefetch(mm_book_ring(&r->book, 2 * c->symbol + c->side, key), 1);
        }
        return;
    }
    uint32_t index = mm_id_guess(&r->ids, mm_id_hash(&r->ids, c->orig_cl_ord_id));
    if (index & MM_FINISHED_BIT) {
        __builtin_prefetch(&r->finished[index & ~MM_FINISHED_BIT]);
    } else {
        __builtin_prefetch(&r->book.orders[index], 1);
        __builtin_prefetch(&r->order_ids[index]);
    }
}

MM_INLINE void ask_for_level(const mm_run *r, const mm_command *c)
{
    const mm_order *orders = r->book.orders;
    if (c->op == MM_NEW) {
        if (c->symbol < r->engine->config.n_symbols && c->side <= MM_SELL) {
            int64_t key = mm_key_of_price(c->side, c->price_ticks);
            uint32_t level = *mm_book_ring(&r->book, 2 * c->symbol + c->side, key);
            __builtin_prefetch(&orders[r->book.levels[level].tail], 1);
        }
        return;
    }
    uint32_t index = mm_id_guess(&r->ids, mm_id_hash(&r->ids, c->orig_cl_ord_id));
    if (index & MM_FINISHED_BIT)
        return;
    __builtin_prefetch(&orders[orders[index].next], 1);
    __builtin_prefetch(&orders[orders[index].prev], 1);
    __builtin_prefetch(&r->book.levels[orders[index].level], 1);
}

/* The order that it would fill first may end with it, and is then noted under its ClOrdID. */
MM_INLINE void ask_for_resting(const mm_run *r, const mm_command *c)
{
    if (c->op != MM_NEW || c->symbol >= r->engine->config.n_symbols || c->side > MM_SELL)
        return;
    uint32_t against = 2 * c->symbol + (c->side ^ 1);
    int64_t best = r->book.sides[against].best_key;
    if (best > mm_key_of_price(c->side ^ 1, c->price_ticks) ||
        !mm_book_is_near(&r->book, &r->book.sides[against], best))
        return;
    uint32_t head = r->book.levels[*mm_book_ring(&r->book, against, best)].head;
    mm_id_prefetch(&r->ids, mm_id_hash(&r->ids, r->book.orders[head].key));
}

MM_INLINE void look_ahead(const mm_run *r, const mm_command *next, uint64_t left)
{
    __builtin_prefetch(next + (left > AHEAD_COMMAND ? AHEAD_COMMAND : 0));
    if (left > AHEAD_ID)
        ask_for_ids(r, next + AHEAD_ID);
    if (left > AHEAD_ORDER)
        ask_for_order(r, next + AHEAD_ORDER);
    if (left > AHEAD_LEVEL)
        ask_for_level(r, next + AHEAD_LEVEL);
}

void mm_engine_expect(const mm_engine *engine, const mm_command *soon, const mm_command *later, const mm_command *last)
{
    mm_run r = mm_run_open(engine);
    if (last)
        ask_for_ids(&r, last);
    if (later)
        ask_for_order(&r, later);
    if (soon) {
        ask_for_level(&r, soon);
        ask_for_resting(&r, soon);
    }
}

int mm_engine_submit(mm_engine *engine, const mm_command *commands, uint64_t n, mm_event *events, uint64_t capacity,
                     mm_progress *progress)
{
    *progress = (mm_progress){0, 0};
    if (capacity < MM_MIN_EVENTS)
        return MM_SMALL_BUFFER;
    mm_run r = mm_run_open(engine);
    r.out = events;
    r.end = events + capacity;
    uint64_t i = 0;
    bool done = engine->phase == MM_PHASE_NONE || go_on(&r);
    for (uint64_t k = 0; n > 1 && k < n && k < AHEAD_COMMAND; k++)
        __builtin_prefetch(&commands[k]);
    for (uint64_t k = 0; n > 1 && k < n && k < AHEAD_ID; k++)
        ask_for_ids(&r, &commands[k]);
    for (; done && i < n && mm_room(&r) >= MM_MIN_EVENTS; i++) {
        look_ahead(&r, commands + i, n - i);
        done = take(&r, &commands[i]);
    }
    *progress = (mm_progress){i, (uint64_t)(r.out - events)};
    return done && i == n ? MM_OK : MM_FULL;
}
