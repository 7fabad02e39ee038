/* An order cannon: orders over FIX at the times of a schedule, whether the answers come or not, and a check of every answer as it
 * comes. One thread sends (mm_cannon_fire), another receives (mm_cannon_listen), or one does both (mm_cannon_both); neither waits
 * for the other. All arrays are the caller's. Times are ns of CLOCK_MONOTONIC; `at_ns` of a shot counts from the start of the run.
 *
 * A session that ends stays down: what was measured is kept, and who watches decides (load/trouble.py). */
#ifndef MM_CANNON_H
#define MM_CANNON_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#include "matchmark/load.h"

/* cdef begin */
typedef struct mm_cannon mm_cannon;

/* What can be wrong with an answer. */
enum mm_cannon_wrong {
    MM_CANNON_STRANGER = 0,  /* about an order that was never sent */
    MM_CANNON_TWICE = 1,     /* accepted, rejected or cancelled a second time */
    MM_CANNON_OVERFILL = 2,  /* filled beyond its quantity */
    MM_CANNON_SUM = 3,       /* CumQty or LeavesQty do not follow from the fills before */
    MM_CANNON_PRICE = 4,     /* traded at a worse price than its limit */
    MM_CANNON_AFTER_END = 5, /* traded after it was over */
    MM_CANNON_ORDER = 6,   /* a session's orders of one symbol were acknowledged in another order than they were sent */
    MM_CANNON_NUMBER = 7,  /* MsgSeqNum left out or used again */
    MM_CANNON_GARBLED = 8, /* no FIX message, or its CheckSum is wrong */
    MM_CANNON_WRONGS = 9
};

/* Why a session is down. */
enum mm_cannon_end {
    MM_CANNON_ON = 0,
    MM_CANNON_REFUSED = 1,    /* no connection */
    MM_CANNON_SILENT = 2,     /* the logon was not answered */
    MM_CANNON_CLOSED = 3,     /* the other side closed or reset the connection */
    MM_CANNON_LOGGED_OUT = 4, /* a Logout came */
    MM_CANNON_GARBAGE = 5     /* what came is no FIX */
};

typedef struct mm_cannon_config {
    uint64_t shots, reports_max;
    uint64_t tick_e8; /* a tick, in units of 10^-8 */
    uint32_t price_decimals, lot_size;
    uint32_t sessions, symbols;
    uint32_t heartbeat_s;
    uint32_t run; /* of ClOrdIDs, below 10^6: "K" run(6) session(3) number(10) */
    uint32_t
        window; /* 0: open loop. Else the schedule is not looked at, and so many orders of a session have no answer */
    uint32_t spin_us; /* the sender sleeps until so long before the next shot, and spins then */
    uint32_t listen_spins;
} mm_cannon_config;

typedef struct mm_cannon_shot {
    uint64_t at_ns;
    int64_t price_ticks;
    uint32_t lots, symbol;
    uint32_t orig; /* of a cancel or replace: the number of that order in its session */
    uint16_t session;
    uint8_t op;    /* 'D', 'F' or 'G' */
    uint8_t flags; /* bits: 1 sells, 2 market, 4 immediate or cancel */
} mm_cannon_shot;

/* What became of a shot; the one at the same index. */
typedef struct mm_cannon_mark {
    uint64_t sent_ns; /* just before it was given to the kernel; 0: never */
    uint64_t told_ns; /* its first answer was read; 0: none */
    uint64_t order_id;
    uint32_t number; /* in its session */
    uint32_t cum_lots;
    uint32_t state; /* bits: 1 accepted, 2 traded, 4 cancelled, 8 rejected, 16 cancel refused, 32 status told, 64 over,
                       128 refused by the session layer */
    uint16_t reports;
    uint16_t held; /* 1: due, but the target took no more of its session's bytes */
} mm_cannon_mark;

typedef struct mm_cannon_counts {
    uint64_t sent, told, reports, rejected, refused_messages, held, asked_again, last_told_ns;
    uint64_t wrong[9];
    uint64_t first_wrong[9];       /* of each kind, 1 + the index of its report; 0: none, or no report shows it */
    uint32_t up, down, full, done; /* done: every shot was sent */
} mm_cannon_counts;

typedef struct mm_cannon_session_state {
    uint64_t next_out, next_in; /* MsgSeqNum */
    uint32_t end;               /* mm_cannon_end */
    int32_t error;              /* errno, where there was one */
    char words[128];            /* Text of its Logout or of the first reject */
} mm_cannon_session_state;

/* Shots in the order of their times, those of a session in the order of their numbers. NULL: no memory, or a shot that names no
 * session or symbol. */
mm_cannon *mm_cannon_make(const mm_cannon_config *config, const mm_cannon_shot *shots, mm_cannon_mark *marks,
                          mm_load_report *reports);
void mm_cannon_free(mm_cannon *cannon);
/* As mm_load_session; numbers go on from there, 1 and 1 at first. */
int mm_cannon_session(mm_cannon *cannon, uint32_t session, const char *begin_string, const char *sender,
                      const char *target, const char *logon_fields, const char *order_fields, int reset,
                      uint64_t next_out, uint64_t next_in);
int mm_cannon_symbol(mm_cannon *cannon, uint32_t symbol, const char *name);
/* Connects and logs all sessions on, within `timeout_ms`; how many are on. */
uint32_t mm_cannon_connect(mm_cannon *cannon, const char *host, uint16_t port, uint32_t timeout_ms);
/* Until mm_cannon_stop; the run starts at `start_ns`. */
void mm_cannon_fire(mm_cannon *cannon, uint64_t start_ns);
void mm_cannon_listen(mm_cannon *cannon);
void mm_cannon_both(mm_cannon *cannon, uint64_t start_ns);
/* No more orders: what was sent is still listened to. */
void mm_cannon_cease(mm_cannon *cannon);
void mm_cannon_stop(mm_cannon *cannon);
/* After the threads have ended: says goodbye and closes, within `timeout_ms`. */
void mm_cannon_close(mm_cannon *cannon, uint32_t timeout_ms);
void mm_cannon_look(const mm_cannon *cannon, mm_cannon_counts *counts);
void mm_cannon_session_look(const mm_cannon *cannon, uint32_t session, mm_cannon_session_state *state);

/* The floor of the harness: a FIX acceptor that answers every order at once and does nothing else. */
typedef struct mm_echo mm_echo;
/* Listens on 127.0.0.1; NULL: it cannot. `stall_ms` of each `stall_every_ms` it stands still; 0: never. */
mm_echo *mm_echo_make(uint32_t stall_ms, uint32_t stall_every_ms);
uint16_t mm_echo_port(const mm_echo *echo);
void mm_echo_run(mm_echo *echo);
void mm_echo_stop(mm_echo *echo);
void mm_echo_free(mm_echo *echo);
/* cdef end */

#ifdef __cplusplus
}
#endif

#endif
