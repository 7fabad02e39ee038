/* A load: orders over FIX on several sessions from one thread, whatever happens to the exchange, and a ledger of what was sent and
 * told. What is sent is a function of the seed alone, so that a message can be sent again and a checker knows what it said.
 *
 * A session that is cut off connects again, to each address in turn, and goes on with its numbers: what the other side asks for is
 * sent again with PossDupFlag, what is missing is asked for, and what is in doubt a second after a logon is sent with PossResend. Both arrays are the caller's; one thread runs the load, any may read
 * the counts and turn its knobs. Times are ns of CLOCK_REALTIME. */
#ifndef MM_LOAD_H
#define MM_LOAD_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* cdef begin */
typedef struct mm_load mm_load;

typedef struct mm_load_config {
    uint64_t seed;
    uint64_t capacity;    /* orders of a session, at most 2^24 */
    uint64_t reports_max; /* of all sessions */
    int64_t middle_ticks;
    uint64_t tick_e8; /* a tick, in units of 10^-8 */
    uint32_t price_decimals;
    uint32_t lot_size;
    uint32_t sessions, symbols;
    uint32_t window; /* orders of a session without an answer at any time */
    uint32_t heartbeat_s;
    uint32_t patience_ms; /* a connection that leaves orders unanswered for so long is given up; 0: never */
    uint32_t run;         /* of ClOrdIDs, below 10^6: "K" run(6) session(3) number(10) */
} mm_load_config;

/* What the ledger has of an order or cancel: at [session * capacity + number]. */
typedef struct mm_load_order {
    uint64_t sent_ns;         /* 0: never */
    uint64_t told_ns;         /* first report about it; 0: none */
    uint64_t acknowledged_ns; /* first one that is no status */
    uint64_t order_id;        /* digits as a number, else a hash with the top bit set */
    uint32_t connection;      /* logons of its session by then, when it was first sent */
    uint32_t last_connection; /* when it was last sent */
    uint32_t filled_lots;
    uint16_t reports, sendings;
    uint32_t state;  /* bits: 1 accepted, 2 traded, 4 cancelled, 8 rejected, 16 cancel refused, 32 status told */
    uint32_t doubts; /* times it was sent under a new number with PossResend, for nobody asked for it or answered it */
} mm_load_order;

/* An ExecutionReport or OrderCancelReject, in the order in which they came. */
typedef struct mm_load_report {
    uint64_t at_ns;
    uint64_t exec_id, order_id; /* as order_id above */
    uint32_t order, orig;       /* indexes of tags 11 and 41; UINT32_MAX: absent, or not ours */
    uint32_t number;            /* MsgSeqNum */
    uint32_t last_lots, cum_lots, leaves_lots;
    int32_t price_ticks;
    uint16_t session;
    uint8_t kind;  /* ExecType; 'r' an OrderCancelReject */
    uint8_t flags; /* bits: 1 PossDupFlag, 2 its number had come before, 4 PossResend */
    uint32_t connection;
} mm_load_report;

typedef struct mm_load_plan {
    int64_t price_ticks;
    uint32_t lots, symbol, orig; /* orig: number of the order that a cancel is about */
    uint8_t cancels, sells, immediate, zero;
} mm_load_plan;

typedef struct mm_load_counts {
    uint64_t sent, told, reports, resent, logons, too_low, rejected_messages, garbled, last_told_ns;
    uint32_t up, full, running, resending;
} mm_load_counts;

/* NULL: no memory. */
mm_load *mm_load_make(const mm_load_config *config, mm_load_order *orders, mm_load_report *reports);
void mm_load_free(mm_load *load);
/* Fields are "tag=value<SOH>" in a row. 0 when a text is too long or not allowed. */
int mm_load_session(mm_load *load, uint32_t session, const char *begin_string, const char *sender, const char *target,
                    const char *logon_fields, const char *order_fields, int reset_first);
int mm_load_symbol(mm_load *load, uint32_t symbol, const char *name);
/* Addresses, tried in turn: at most 4; IPv4. 0 when it is none. */
int mm_load_address(mm_load *load, uint32_t index, const char *host, uint16_t port);
void mm_load_addresses(mm_load *load, uint32_t n);
void mm_load_rate(mm_load *load, uint64_t orders_per_s);
/* Closes all connections and makes none until it is let go. */
void mm_load_hold(mm_load *load, int hold);
/* Sessions begin anew at number 1 with their next logon, with ResetSeqNumFlag. */
void mm_load_reset(mm_load *load);
void mm_load_stop(mm_load *load);
/* Until mm_load_stop. */
void mm_load_run(mm_load *load);
void mm_load_look(const mm_load *load, mm_load_counts *counts);
void mm_load_plans(const mm_load_config *config, uint32_t session, uint64_t from, uint64_t n, mm_load_plan *plans);
/* cdef end */

#ifdef __cplusplus
}
#endif

#endif
