/* The interface that an engine implements to be certified as a shared library: export one function, matchmark_target.
 *
 * This header is all that is needed; it depends on nothing else of matchmark. docs/so-abi.md has the tables, docs/engine-rules.md
 * the meaning of every command and event. Little-endian LP64. Prices are integer ticks, quantities integer lots, ids, accounts
 * and symbols are the kit's numbers; a ClOrdID's number is never 0.
 *
 * The kit calls from one thread, one call at a time, in a process of its own. submit returns when the command is decided, after
 * having told the sink every event that it caused, in order, from the same thread. */
#ifndef MATCHMARK_TARGET_ABI_H
#define MATCHMARK_TARGET_ABI_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Grows when anything below changes its meaning or place; the kit refuses a library of another version. */
#define MMT_ABI_VERSION 1
/* No price, no quantity. */
#define MMT_ABSENT INT64_MIN
/* The symbol of a mass cancel over all symbols. */
#define MMT_ALL_SYMBOLS UINT32_MAX

/* cdef begin */
enum mmt_op { MMT_NEW = 1, MMT_CANCEL = 2, MMT_REPLACE = 3, MMT_MASS_CANCEL = 4, MMT_STATUS = 5 };
enum mmt_side { MMT_BUY = 0, MMT_SELL = 1 };
enum mmt_type { MMT_LIMIT = 0, MMT_MARKET = 1 };
enum mmt_tif { MMT_DAY = 0, MMT_IOC = 1 };
enum mmt_smp { MMT_SMP_NONE = 0, MMT_SMP_CANCEL_NEWEST = 1, MMT_SMP_CANCEL_OLDEST = 2 };
enum mmt_state {
    MMT_STATE_UNKNOWN = 0,
    MMT_STATE_NEW = 1,
    MMT_STATE_PARTIALLY_FILLED = 2,
    MMT_STATE_FILLED = 3,
    MMT_STATE_CANCELLED = 4
};

/* 64 bytes. A value of side, type, tif or smp that is in no table above is malformed, and the engine must refuse it. */
typedef struct mmt_command {
    uint8_t op, side, type, tif, smp, pad[3];
    uint32_t account, symbol; /* a symbol at or beyond n_symbols is unknown */
    uint64_t cl_ord_id;
    uint64_t orig_cl_ord_id; /* the order meant, by a cancel, replace or status */
    int64_t price_ticks;     /* limit or new price, MMT_ABSENT for none */
    int64_t quantity_lots;   /* quantity or new total quantity, MMT_ABSENT for none */
    uint64_t reserved[2];    /* 0 */
} mmt_command;

enum mmt_event_kind {
    MMT_ACCEPTED = 1,
    MMT_REJECTED = 2,
    MMT_REPLACED = 3,
    MMT_TRADE = 4,
    MMT_CANCELLED = 5,
    MMT_CANCEL_REJECTED = 6,
    MMT_MASS_CANCELLED = 7,
    MMT_STATUS_REPORT = 8,
    MMT_TOP = 9
};

/* 80 bytes. Fields that an event does not have are 0; reason may be NULL or text that lives until the sink returns. */
typedef struct mmt_event {
    uint8_t kind, state, pad[2]; /* state: of a status report */
    uint32_t symbol;             /* of a trade or top */
    uint64_t cl_ord_id;          /* of a trade: the incoming order */
    uint64_t
        other_cl_ord_id;   /* of a trade: the resting order; of a replaced or status report: the order that was meant */
    uint64_t order_id;     /* of an accepted */
    int64_t price_ticks;   /* of a trade or replaced; of a top: the best bid, MMT_ABSENT for none */
    int64_t quantity_lots; /* traded, or leaves, or the count of a mass cancel; of a top: lots at the best bid */
    int64_t cum_lots;      /* of a replaced, cancelled or status report */
    int64_t ask_price_ticks, ask_quantity_lots; /* of a top */
    const char *reason;                         /* of a rejected, cancelled or cancel rejected: for people */
} mmt_event;

typedef void (*mmt_sink)(void *context, const mmt_event *event);

typedef struct mmt_target {
    uint32_t abi_version;  /* MMT_ABI_VERSION */
    uint32_t struct_bytes; /* sizeof(mmt_target) */
    const char *name;      /* UTF-8 */
    const char *version;
    const char *capabilities; /* separated by blanks: "limit market ioc cancel ...", the words of `matchmark clauses` */
    /* An engine for symbols 0 .. n_symbols - 1 with empty books, or NULL with *error set to a text that says why. */
    void *(*create)(uint32_t n_symbols, const char **error);
    void (*destroy)(void *engine);
    /* Empty books, no known ClOrdID, order ids start over. */
    void (*reset)(void *engine);
    void (*submit)(void *engine, const mmt_command *command, mmt_sink sink, void *context);
} mmt_target;

const mmt_target *matchmark_target(void);
/* cdef end */

#ifdef __cplusplus
}
#else
_Static_assert(sizeof(mmt_command) == 64 && sizeof(mmt_event) == 80 && sizeof(mmt_target) == 64, "interface layout");
#endif

#endif
