/* The native engine behind the kit's library interface (target_abi.h): anyone's way in, used for our own engine too. */
#include "matchmark/engine.h"
#include "matchmark/target_abi.h"

#include <string.h>

#define EVENTS_AT_ONCE     256
#define RESTING_ORDERS_MAX (UINT32_C(1) << 21)
#define CL_ORD_IDS_MAX     (UINT32_C(1) << 22)
#define WINDOW_TICKS       4096
#ifndef MATCHMARK_VERSION
#define MATCHMARK_VERSION "unversioned"
#endif

_Static_assert(sizeof(mmt_command) == sizeof(mm_command), "one command layout");
#define SAME_PLACE(field)                                                                                              \
    _Static_assert(offsetof(mmt_command, field) == offsetof(mm_command, field), "one command layout")
SAME_PLACE(op);
SAME_PLACE(side);
SAME_PLACE(type);
SAME_PLACE(tif);
SAME_PLACE(smp);
SAME_PLACE(account);
SAME_PLACE(symbol);
SAME_PLACE(cl_ord_id);
SAME_PLACE(orig_cl_ord_id);
SAME_PLACE(price_ticks);
SAME_PLACE(quantity_lots);
_Static_assert(MMT_STATUS == (int)MM_STATUS && MMT_SMP_CANCEL_OLDEST == (int)MM_SMP_CANCEL_OLDEST &&
                   MMT_ABSENT == MM_ABSENT && MMT_ALL_SYMBOLS == MM_ALL_SYMBOLS,
               "one set of command codes");
_Static_assert(MMT_TOP == (int)MM_EV_TOP && MMT_STATE_CANCELLED == (int)MM_CANCELLED, "one set of event codes");

static const char *const reasons[] = {
    [MM_REASON_NONE] = NULL,
    [MM_REASON_UNKNOWN_SYMBOL] = "unknown_symbol",
    [MM_REASON_MALFORMED] = "malformed",
    [MM_REASON_BAD_QUANTITY] = "bad_quantity",
    [MM_REASON_BAD_PRICE] = "bad_price",
    [MM_REASON_DUPLICATE_CL_ORD_ID] = "duplicate_cl_ord_id",
    [MM_REASON_CAPACITY] = "capacity",
    [MM_REASON_UNKNOWN_ORDER] = "unknown_order",
    [MM_REASON_TOO_LATE] = "too_late",
    [MM_REASON_REQUESTED] = "requested",
    [MM_REASON_IOC] = "ioc",
    [MM_REASON_NO_LIQUIDITY] = "no_liquidity",
    [MM_REASON_SMP] = "smp",
    [MM_REASON_MASS_CANCEL] = "mass_cancel",
};

static void *create(uint32_t n_symbols, const char **error)
{
    mm_config config = {.n_symbols = n_symbols,
                        .max_orders = RESTING_ORDERS_MAX,
                        .max_levels = RESTING_ORDERS_MAX,
                        .remembered_ids = CL_ORD_IDS_MAX,
                        .window_ticks = WINDOW_TICKS,
                        .emit_top = 1};
    *error = mm_config_error(&config);
    if (*error)
        return NULL;
    mm_engine *engine = mm_engine_map(&config, MM_MEMORY_SMALL_PAGES);
    if (!engine)
        *error = "not enough address space for the engine; raise the limit on virtual memory (ulimit -v)";
    return engine;
}

static void destroy(void *engine)
{
    mm_engine_destroy(engine);
}

static void reset(void *engine)
{
    mm_engine_reset(engine);
}

static mmt_event told(const mm_event *e)
{
    if (e->kind == MM_EV_TOP) {
        mm_top t;
        memcpy(&t, e, sizeof t);
        return (mmt_event){.kind = MMT_TOP,
                           .symbol = t.symbol,
                           .price_ticks = t.bid_ticks,
                           .quantity_lots = (int64_t)t.bid_lots,
                           .ask_price_ticks = t.ask_ticks,
                           .ask_quantity_lots = (int64_t)t.ask_lots};
    }
    return (mmt_event){.kind = e->kind,
                       .state = e->kind == MM_EV_STATUS ? e->state : 0,
                       .symbol = e->symbol,
                       .cl_ord_id = e->cl_ord_id,
                       .other_cl_ord_id = e->other_cl_ord_id,
                       .order_id = e->order_id,
                       .price_ticks = e->price_ticks,
                       .quantity_lots = e->quantity_lots,
                       .cum_lots = e->cum_lots,
                       .reason = reasons[e->reason]};
}

static void submit(void *engine, const mmt_command *command, mmt_sink sink, void *context)
{
    mm_command c;
    mm_event events[EVENTS_AT_ONCE];
    mm_progress progress;
    uint64_t n = 1;
    int result;
    memcpy(&c, command, sizeof c);
    do {
        result = mm_engine_submit(engine, &c, n, events, EVENTS_AT_ONCE, &progress);
        n -= progress.commands;
        for (uint64_t i = 0; i < progress.events; i++) {
            mmt_event event = told(&events[i]);
            sink(context, &event);
        }
    } while (result == MM_FULL);
}

static const mmt_target target = {
    .abi_version = MMT_ABI_VERSION,
    .struct_bytes = sizeof(mmt_target),
    .name = "matchmark native",
    .version = MATCHMARK_VERSION,
    .capabilities =
        "limit market ioc cancel replace replace_priority replace_above_cum mass_cancel order_status smp_cancel_newest "
        "smp_cancel_oldest top multi_symbol accounts validation duplicate_check symbol_list",
    .create = create,
    .destroy = destroy,
    .reset = reset,
    .submit = submit,
};

__attribute__((visibility("default"))) const mmt_target *matchmark_target(void)
{
    return &target;
}
