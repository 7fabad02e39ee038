/* What the load's parts share: load.c connects and paces, load_out.c writes, load_in.c reads. */
#ifndef MM_LOAD_INTERNAL_H
#define MM_LOAD_INTERNAL_H

#define _GNU_SOURCE
#include "load_wire.h"
#include "matchmark/load.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>

enum {
    LOAD_SESSIONS_MAX = 256,
    LOAD_SYMBOLS_MAX = 64,
    LOAD_ADDRESSES_MAX = 4,
    LOAD_IN_BYTES = 1 << 18,
    LOAD_OUT_BYTES = 1 << 16,
    LOAD_MESSAGE_ROOM = 8192, /* the longest that we write, with what the writers put behind it */
    LOAD_ADMIN_MAX = 1 << 16  /* session messages of a session, beside its orders */
};

typedef enum load_state { LOAD_DOWN, LOAD_CONNECTING, LOAD_LOGGING_ON, LOAD_UP } load_state;

typedef struct load_session {
    char sender[65], target[65], begin_string[16], logon_fields[4096], order_fields[512];
    mm_fix_envelope envelope;
    load_state state;
    int fd;
    uint32_t index, address, connection;
    uint64_t retry_ns, began_ns, heard_ns, said_ns; /* CLOCK_MONOTONIC */
    uint64_t waiting_since_ns;                      /* when an order went out with none before it on the way */
    uint64_t next_out, next_in;                     /* MsgSeqNum */
    uint64_t next;                                  /* number of the next order */
    uint64_t answered, floor;                       /* numbers below are answered, or of an earlier connection */
    uint64_t resend_from, resend_to;                /* what we were asked for and have not sent: none when from > to */
    uint64_t doubt_from, doubt_to;                  /* numbers of orders that may be in doubt: none when from >= to */
    uint64_t doubted;                               /* the number under which one of them goes out just now */
    uint64_t asked_for;                             /* we have asked for all from this number on; 0: have not */
    bool reset;
    uint64_t numbers;   /* of order_of: no order goes out under a higher one */
    uint32_t *order_of; /* by MsgSeqNum: number + 1, 0 for a session message */
    uint32_t in_end, out_start, out_end;
    char in[LOAD_IN_BYTES + 64], out[LOAD_OUT_BYTES];
} load_session;

struct mm_load {
    mm_load_config config;
    mm_load_order *orders;
    mm_load_report *reports;
    uint64_t n_reports, last_told_ns;
    uint64_t sent, told, resent, logons, too_low, rejected, garbled;
    uint32_t full, running, stop, hold, reset_wanted;
    uint64_t rate;
    uint32_t n_addresses;
    uint64_t addresses[LOAD_ADDRESSES_MAX]; /* IPv4 << 16 | port: one store */
    char symbols[LOAD_SYMBOLS_MAX][40];
    load_session *sessions;
};

static inline uint64_t load_clock(clockid_t which)
{
    struct timespec t;
    clock_gettime(which, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Knobs and counts are read and turned by other threads; nothing else hangs on their order. */
#define LOAD_GET(from)      __atomic_load_n(&(from), __ATOMIC_RELAXED)
#define LOAD_SET(to, value) __atomic_store_n(&(to), (value), __ATOMIC_RELAXED)

mm_load_plan load_plan_of(const mm_load_config *config, uint32_t session, uint64_t number);
uint32_t load_index(const mm_load *load, const load_session *s, uint64_t number);

/* Room for one more message? */
bool load_has_room(const load_session *s);
void load_put_order(mm_load *load, load_session *s, uint64_t number, uint64_t now_ns);
/* Goes on sending what is in doubt under new numbers, with PossResend. */
void load_put_doubts(mm_load *load, load_session *s);
void load_put_logon(mm_load *load, load_session *s);
/* A session message with these fields, each with its SOH. */
void load_put_admin(load_session *s, const char *type, const char *fields);
/* Goes on sending what was asked for, as far as there is room. */
void load_put_resend(mm_load *load, load_session *s);
/* What is in the buffer is not ours to send any more. false: the connection is gone. */
bool load_flush(load_session *s);
/* Takes what came. false: the connection is gone. *moved: something was there. */
bool load_receive(mm_load *load, load_session *s, bool *moved);

#endif
