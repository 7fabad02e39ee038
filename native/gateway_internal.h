/* Shared by the gateway's files: gateway.c (life, sessions, logons), gateway_keep.c (session stores onto the disk), gateway_orders.c (FIX to orders), gateway_reports.c (reports to
 * FIX, resends, restart), gateway_disconnect.c (cancel-on-disconnect), gateway_takeover.c (leases, a standby that becomes primary),
 * gateway_trading.c (trading states, rates), gateway_connections.c (connections and their bytes), gateway_carrier.h (what carries them),
 * gateway_tcp.c (the kernel's sockets). */
#ifndef MM_GATEWAY_INTERNAL_H
#define MM_GATEWAY_INTERNAL_H

#include "audit_file.h"
#include "fix_session_internal.h"
#include "gateway_carrier.h"
#include "matchmark/gateway.h"

typedef struct mm_connection mm_connection;

#define MM_NO_PLACE        UINT32_MAX
#define MM_REPORTS_AT_ONCE 256 /* between two looks at the network */

/* A counterparty: lives on when it is not connected. Index: the session number. */
typedef struct mm_identity {
    char sender[65];
    uint8_t known, cancel_due;
    uint32_t account;
    uint64_t cancel_at; /* how far the search for orders to cancel has come */
    uint64_t sent_key;  /* reports up to it were numbered before this process */
    uint64_t again_key; /* those up to it may have been sent under numbers that a loss of power took: 0 for none */
    uint64_t
        seen_key; /* of a gateway that follows, and of a snapshot: the last report that the session is owed or was sent */
    uint64_t kept_ns;                     /* when the store was last flushed with all that can be known; the keeper's */
    uint64_t gone_key;                    /* when it left, reports up to it had been told */
    uint64_t tokens_from_ns;              /* since then the tokens of its rate have been saved up */
    uint32_t first_waiting, last_waiting; /* its deferred orders, 0 for none */
    uint8_t releasing;                    /* it is in g->releasing */
    uint8_t unmet;                        /* it has never been logged on: nothing is kept for it */
    mm_fix_store store;
    mm_connection *connection; /* NULL: not connected */
} mm_identity;

/* A deferred order. `asked`: its release is on its way. */
typedef struct mm_waiting_order {
    uint64_t cl_ord_id;
    uint32_t symbol, next, asked;
} mm_waiting_order;

/* What becomes of an order for its rate: not limited, within it, above it. */
enum mm_rate { MM_RATE_FREE = 0, MM_RATE_WITHIN = 1, MM_RATE_DEFER = 2, MM_RATE_REFUSE = 3 };

/* An order that may have been sent before: the engine is asked for its state before it may become an order. */
enum mm_probe { MM_PROBE_NONE = 0, MM_PROBE_ASKED = 1, MM_PROBE_UNKNOWN = 2, MM_PROBE_KNOWN = 3 };

struct mm_connection {
    int32_t fd; /* the carrier's number for it, -1: the place is free */
    uint32_t session;
    uint8_t probe;     /* mm_probe of the message that waits at the head of the input */
    uint64_t probe_id; /* its ClOrdID's hash */
    uint8_t admitted, blocked, waits, dirty, want_write, cancel_on_disconnect, asked; /* waits: it is in g->waiting */
    uint32_t older, newer; /* neighbours among the strangers; newer: the next free place */
    uint64_t serial;       /* no two connections of a process have the same */
    uint64_t cut_ns;       /* when to close whatever is unsent; 0: not cut */
    uint64_t received_ns;  /* mm_now_ns() when its last bytes were there */
    uint64_t
        arrived_ns; /* when the frame that brought them was in memory; 0: not known, or an order of them was measured */
    mm_session fix;
};

enum mm_slot_state { MM_SLOT_FREE = 0, MM_SLOT_ASKED = 1, MM_SLOT_TAKEN = 2, MM_SLOT_ANSWERED = 3 };

typedef struct mm_logon_slot {
    uint32_t state; /* atomic: each side moves it on, and owns the rest while it is its turn */
    uint32_t connection, account;
    uint64_t serial; /* tells a connection from a later one in the same place */
    int64_t session;
    uint64_t expires_ns;
    mm_fix_store store;
    mm_logon_request request;
    char why[128];
} mm_logon_slot;

/* A report that was taken in this round and is not sent yet. */
typedef struct mm_on_its_way {
    uint64_t received_ns;
    uint32_t stage;
} mm_on_its_way;

struct mm_gateway {
    mm_gateway_config config;
    mm_pipeline *pipeline;
    mm_engine_loop *engine; /* run by this thread too; NULL: it has one of its own */
    mm_risk *risk;
    uint32_t n_accounts, n_symbols;
    const char **accounts;
    char *account_text;
    uint32_t *symbol_map; /* name hash -> 1 + symbol */
    uint32_t symbol_mask;
    mm_identity *identities;
    mm_connection *connections;
    char *outputs;
    mm_report *recent;
    mm_audit_map log; /* the file that was asked last */
    uint8_t log_open;
    mm_stages *stages;    /* NULL: not measured */
    uint64_t measured_ns; /* matched_ns of the engine's batch that was measured last */
    uint64_t ready_ns;    /* when the carrier's last poll was over */
    uint64_t parsed_ns;   /* when the message in hand was parsed; 0: it is not measured */
    uint32_t way_stage;   /* of the carrier: the row of READY, others follow */
    mm_on_its_way sending[MM_REPORTS_AT_ONCE];
    uint32_t n_sending;
    uint64_t resume_key;     /* reports before it must be read from the log first; 0: none lost */
    uint64_t applied_key;    /* reports up to it are in the balances and were numbered */
    uint64_t inherited_life; /* of a predecessor whose memory is there, 0: none */
    uint64_t now_ns, tick_ns, local_exec_id, serial;
    uint32_t idle_rounds; /* rounds with nothing to do, over the slices that mm_gateway_run is called for */
    mm_carrier *carrier;
    uint64_t settling_ns; /* since when only the carrier's last bytes are waited for; 0: not yet */
    uint32_t n_connections;
    uint32_t free_place;     /* first of the free places */
    uint32_t oldest, newest; /* strangers, who have not logged on, by the time they came */
    uint32_t tick_at;        /* the place that is looked at next */
    uint32_t n_cancel_due;
    uint8_t stopping, listening;
    uint8_t open; /* atomic: mm_gateway_open or a take-over is done */
    uint32_t *dirty, n_dirty;
    uint32_t *waiting, n_waiting; /* places whose next message waits for the ring or the log */
    uint8_t *trading;             /* mm_trading by symbol */
    mm_report *states;            /* by symbol: the report of its last change */
    uint32_t n_unusual;
    mm_waiting_order *waiting_orders;
    uint32_t free_waiting, fresh_waiting;
    uint32_t *releasing, n_releasing; /* sessions with deferred orders */
    mm_logon_slot slots[MM_GATEWAY_SLOTS];
    mm_gateway_counters counters;
    mm_fix_message message;
    char failure[512];
};

/* gateway.c */
uint64_t mm_wall_ns(void);
void mm_gateway_ask(mm_gateway *g, mm_connection *c, const mm_fix_message *logon);
void mm_gateway_take_answers(mm_gateway *g);
void mm_gateway_mark_dirty(mm_gateway *g, mm_connection *c);
/* A connection is over: its identity is free again, its orders are cancelled if it asked for that. */
void mm_gateway_forget(mm_gateway *g, mm_connection *c);
int32_t mm_gateway_symbol(const mm_gateway *g, mm_text name); /* -1: unknown */

/* gateway_keep.c */
/* Makes an opened store usable: finds out whether it can be believed, and sees to it that it outlives a loss of power. */
int mm_gateway_settle_store(mm_gateway *g, mm_identity *id, const char *store_path, mm_fault *fault);
void mm_gateway_keep_all(mm_gateway *g);

/* gateway_disconnect.c */
/* Goes on cancelling the orders of a session that is due; true when none is left to cancel. */
bool mm_gateway_cancel_orders(mm_gateway *g, uint32_t session, uint32_t steps);
void mm_gateway_cancel_due(mm_gateway *g);

/* gateway_trading.c */
int mm_gateway_make_trading(mm_gateway *g); /* 0: no memory */
int mm_gateway_rate(mm_gateway *g, uint32_t session, uint32_t symbol);
/* The order was put: it counts. */
void mm_gateway_rate_spend(mm_gateway *g, uint32_t session, int rate, const mm_command *c);
/* Asks for decisions of deferred orders whose turn has come; how many. */
uint32_t mm_gateway_release(mm_gateway *g);
/* True: the report is not one that a session is told of by itself. */
/* Tells every session, of what has a state event for its cause. */
void mm_gateway_tell_state(mm_gateway *g, const mm_report *r);
bool mm_gateway_take_trading(mm_gateway *g, const mm_report *r);
void mm_gateway_tell_states(mm_gateway *g, mm_identity *id, bool numbers_were_reset);

/* gateway_orders.c: true when the message was dealt with, false when the order ring is full and it must come again. */
bool mm_gateway_application(mm_gateway *g, mm_connection *c, const mm_fix_message *m);

/* gateway_reports.c */
uint32_t mm_gateway_take_reports(mm_gateway *g);
/* What was taken has been given to the sockets. */
void mm_gateway_count_sent(mm_gateway *g);
/* Answers MM_EVENT_RESEND; false when the log does not have it yet. */
bool mm_gateway_resend(mm_gateway *g, mm_connection *c);
int mm_gateway_catch_up(mm_gateway *g, uint64_t to_key, mm_fault *fault);
/* Numbers what sessions are owed of reports that the balances have already, by their seen_key: from the log. */
int mm_gateway_tell_owed(mm_gateway *g, mm_fault *fault);

/* gateway_takeover.c */
/* Without a lease: true, and nothing may be done in this round. */
bool mm_gateway_must_wait(mm_gateway *g);

/* gateway_connections.c */
void mm_gateway_cut_all(mm_gateway *g);
int mm_gateway_listen(mm_gateway *g);
/* It has logged on: no newcomer takes its place. */
void mm_gateway_no_stranger(mm_gateway *g, mm_connection *c);
void mm_gateway_process(mm_gateway *g, mm_connection *c);
void mm_gateway_flush(mm_gateway *g, mm_connection *c);

#endif
