/* The C interface of the public matching-engine-benchmark harness, as far as an engine and its driver need it.
 *
 * A library that exports these symbols can be measured by that harness and certified by this kit (docs/so-abi.md has the
 * tables). Everything is little-endian LP64; prices are signed integer ticks, quantities unsigned integer lots, side is 0 buy
 * or 1 sell. One book, no accounts, no market orders. Ids are the client's: an id is free again when its order has ended.
 *
 *   message        the engine answers with reports, in this order as far as the order matters
 *   new order      order ack; a trade for each fill, in matching order; a cancel ack for what an IOC order leaves
 *   cancel         cancel ack when the order rests, else cancel reject
 *   modify         modify ack and the trades it causes when the order rests, else modify reject; always loses its place
 *
 * Each report repeats the message's sequence number. Trades are at the resting order's price. The engine may use threads:
 * flush returns when everything delivered is matched and reported, a query sees everything delivered before it. */
#ifndef MATCHMARK_HARNESS_ABI_H
#define MATCHMARK_HARNESS_ABI_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* cdef begin */
typedef struct mh_new_order {
    uint64_t order_id, sequence;
    int64_t price_ticks;
    uint32_t quantity_lots;
    uint8_t side, ioc, pad[2];
} mh_new_order;

typedef struct mh_cancel {
    uint64_t order_id, sequence;
} mh_cancel;

typedef struct mh_modify {
    uint64_t order_id, sequence;
    int64_t price_ticks;    /* the new price */
    uint32_t quantity_lots; /* the new leaves */
    uint8_t side, pad[3];   /* the side that the order has */
} mh_modify;

enum mh_message_type { MH_NEW_ORDER = 0, MH_CANCEL = 1, MH_MODIFY = 2 };
typedef struct mh_message {
    uint8_t type, pad[7];
    union {
        mh_new_order new_order;
        mh_cancel cancel;
        mh_modify modify;
    } as;
} mh_message;

enum mh_report_type {
    MH_ORDER_ACK = 0,
    MH_TRADE = 1,
    MH_CANCEL_ACK = 2,
    MH_MODIFY_ACK = 3,
    MH_CANCEL_REJECT = 4,
    MH_MODIFY_REJECT = 5
};

typedef struct mh_report {
    uint8_t type, side, pad[6];
    uint64_t sequence, order_id; /* a trade has order_id 0 */
    int64_t price_ticks;
    uint32_t quantity_lots, pad2;     /* of a cancel ack: not defined, engines differ */
    uint64_t resting_id, incoming_id; /* of a trade */
    uint64_t pad3;
} mh_report;

/* A queue of reports from the engine to whoever reads them; the engine's driver supplies one, or the engine its own. */
typedef struct mh_transport {
    void *(*create)(uint32_t capacity);
    int (*push)(void *queue, const mh_report *report); /* 1, or 0 when it is full: try again */
    uint32_t (*drain)(void *queue, mh_report *out, uint32_t max);
    void (*flush)(void *queue); /* by the engine's side: make everything pushed visible */
    void (*destroy)(void *queue);
} mh_transport;
/* cdef end */

/* cdef begin */
void engine_init(uint64_t seed, const mh_transport *transport, void *queue);
void engine_shutdown(void);
void engine_on_new_order(const mh_new_order *order);
void engine_on_cancel(const mh_cancel *cancel);
void engine_on_modify(const mh_modify *modify);
void engine_flush(void);
int64_t engine_query_best_bid(void); /* INT64_MIN without bids */
int64_t engine_query_best_ask(void); /* INT64_MAX without asks */
uint64_t engine_query_depth_at(int64_t price_ticks, uint8_t side);
/* Optional: the engine's own transport, or NULL to take the driver's. */
const mh_transport *engine_get_transport(void);
/* Optional: told of every message (type, and the message) before it is delivered, to convert it to the engine's own form.
 * An engine that exports this may refuse to work without it. */
void engine_prebuild(uint8_t type, const void *message);
/* Optional: many messages in one call; each is done, and reported, before the next is looked at. */
void engine_on_batch(const mh_message *messages, uint32_t n);
/* cdef end */

#ifdef __cplusplus
}
#else
_Static_assert(sizeof(mh_new_order) == 32 && sizeof(mh_cancel) == 16 && sizeof(mh_modify) == 32, "message layout");
_Static_assert(sizeof(mh_message) == 40 && sizeof(mh_report) == 64, "message and report layout");
#endif

#endif
