/* What an audit record tells the public, and what a receiver asks for: bytes in and out, and nothing else. */
#include "matchmark/direct_feed.h"

#include <string.h>

#define LAST      1
#define MARKET    2
#define IMMEDIATE 4

typedef struct message {
    uint8_t type, flags, side, state;
    uint32_t symbol;
    uint64_t sequence, matched_ns;
    union {
        struct {
            uint64_t order_id;
            int64_t price_ticks;
            uint32_t quantity_lots, cum_lots;
        } order;
        struct {
            uint64_t order_id, resting_order_id;
            int64_t price_ticks;
            uint32_t quantity_lots, leaves_lots, resting_leaves_lots, zero;
        } trade;
        struct {
            uint64_t order_id;
            uint32_t quantity_lots, zero;
        } cancelled;
    };
} message;

enum { HEAD_BYTES = 24, ORDER_BYTES = 48, TRADE_BYTES = 64, CANCELLED_BYTES = 40 };

_Static_assert(offsetof(message, order) == HEAD_BYTES && sizeof(message) == TRADE_BYTES, "message layout");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the feed is little-endian");

static uint32_t order_message(message *m, uint8_t type, const mm_event *e, uint32_t cum_lots)
{
    m->type = type;
    m->order.order_id = e->order_id;
    m->order.price_ticks = e->price_ticks;
    m->order.quantity_lots = e->quantity_lots;
    m->order.cum_lots = cum_lots;
    return ORDER_BYTES;
}

static uint32_t trade_message(message *m, const mm_audit_record *r)
{
    const mm_event *e = &r->event;
    m->type = 'E';
    m->state = e->state;
    m->trade.order_id = e->order_id;
    m->trade.resting_order_id = e->other_order_id;
    m->trade.price_ticks = e->price_ticks;
    m->trade.quantity_lots = e->quantity_lots;
    m->trade.leaves_lots = r->leaves_lots;
    m->trade.resting_leaves_lots = r->other_leaves_lots;
    return TRADE_BYTES;
}

static uint32_t event_message(message *m, const mm_audit_record *r)
{
    const mm_event *e = &r->event;
    switch (e->kind) {
    case MM_EV_ACCEPTED:
        return order_message(m, e->reason == MM_REASON_DEFERRED ? 'D' : 'A', e, 0);
    case MM_EV_RELEASED:
        return order_message(m, 'R', e, 0);
    case MM_EV_REPLACED:
        return order_message(m, 'U', e, e->cum_lots);
    case MM_EV_TRADE:
        return trade_message(m, r);
    case MM_EV_CANCELLED:
        m->type = 'X';
        m->cancelled.order_id = e->order_id;
        m->cancelled.quantity_lots = e->quantity_lots;
        return CANCELLED_BYTES;
    case MM_EV_STATE:
        m->type = 'S';
        m->state = e->state;
        m->flags &= LAST;
        return HEAD_BYTES;
    default:
        return 0; /* between the exchange and one client, or to be had from the others */
    }
}

uint32_t mm_direct_message(const mm_audit_record *r, uint8_t *to)
{
    message m;
    uint32_t bytes = 0;
    memset(&m, 0, sizeof m);
    m.flags = (uint8_t)((r->flags & MM_RECORD_LAST ? LAST : 0) | (r->type == MM_MARKET ? MARKET : 0) |
                        (r->tif == MM_IOC ? IMMEDIATE : 0));
    m.sequence = r->sequence;
    if (r->kind == MM_RECORD_EVENT) {
        m.side = r->event.side;
        m.symbol = r->event.symbol;
        m.matched_ns = r->stage_b_ns;
        bytes = event_message(&m, r);
    } else if (r->kind == MM_RECORD_COMMAND && r->command.op == MM_RESET) {
        m.type = 'C';
        m.flags = LAST;
        bytes = HEAD_BYTES;
    }
    memcpy(to, &m, bytes);
    return bytes;
}

int mm_direct_request(const uint8_t *bytes, size_t n, uint64_t *after, uint64_t *through)
{
    static const uint8_t begins[8] = {'M', 'M', 'D', 'R', 1, 0, 0, 0};
    if (n != MM_DIRECT_REQUEST_BYTES || memcmp(bytes, begins, sizeof begins))
        return 0;
    memcpy(after, bytes + 8, 8);
    memcpy(through, bytes + 16, 8);
    return *after < *through;
}
