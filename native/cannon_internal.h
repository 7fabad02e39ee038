/* What the cannon's parts share: cannon.c makes, connects and closes, cannon_out.c fires, cannon_in.c listens and judges. */
#ifndef MM_CANNON_INTERNAL_H
#define MM_CANNON_INTERNAL_H

#define _GNU_SOURCE
#include "load_wire.h"
#include "matchmark/cannon.h"

#include <errno.h>
#include <sys/socket.h>
#include <time.h>

enum {
    CANNON_SESSIONS_MAX = 256,
    CANNON_SYMBOLS_MAX = 4096,
    CANNON_IN_BYTES = 1 << 18,
    CANNON_OUT_BYTES = 1 << 16,
    CANNON_MESSAGE_ROOM = 8192,
    CANNON_ADMIN_MAX = 1 << 12,
    CANNON_WORDS = 128,
    /* Orders of one send: so long as the first of them waits for the encoding of the others, 32 x 0.15 us, nobody notices. */
    CANNON_BATCH = 32,
    /* Bytes of one receive where one thread does both: some thirty reports, so that the next shot waits microseconds for them. */
    CANNON_SIP_BYTES = 8192
};

enum {
    CANNON_ACCEPTED = 1,
    CANNON_TRADED = 2,
    CANNON_CANCELLED = 4,
    CANNON_REJECTED = 8,
    CANNON_OVER = 64,
    CANNON_REFUSED_MESSAGE = 128
};

typedef enum cannon_state { CANNON_DOWN, CANNON_CONNECTING, CANNON_LOGGING_ON, CANNON_UP, CANNON_ENDED } cannon_state;

/* The sender writes what stands in its part, the receiver the rest; `state` either. */
typedef struct cannon_session {
    char begin_string[16], logon_fields[4096], order_fields[512];
    mm_fix_envelope envelope;
    uint32_t index;
    int fd;
    cannon_state state;
    uint32_t end;
    int error;
    char words[CANNON_WORDS];
    bool reset, old_fills;
    uint32_t *shots; /* indexes of its shots, by number */
    uint64_t n_shots;

    /* the sender's */
    uint64_t next, next_out, said_ns;
    uint64_t held_to; /* numbers below were looked at for whether the target held them up */
    uint32_t out_start, out_end;
    uint32_t *shot_of; /* by MsgSeqNum - first_out: 1 + the index of the shot, 0: a session message */
    uint64_t first_out, n_numbers;

    /* the receiver's */
    uint64_t next_in, answered;
    uint32_t in_end;

    /* from the receiver to the sender */
    uint32_t wants_test_answer, wants_gap_fill;
    uint64_t gap_from;
    char test_id[64];

    char in[CANNON_IN_BYTES + MM_FIX_PAD], out[CANNON_OUT_BYTES];
} cannon_session;

struct mm_cannon {
    mm_cannon_config config;
    const mm_cannon_shot *shots;
    mm_cannon_mark *marks;
    mm_load_report *reports;
    uint64_t n_reports, sent, told, rejected, refused_messages, held, asked_again, last_told_ns;
    uint64_t wrong[MM_CANNON_WRONGS], first_wrong[MM_CANNON_WRONGS];
    uint32_t full, done, stop, cease;
    int64_t to_real_ns; /* from CLOCK_MONOTONIC to CLOCK_REALTIME, as it was at the start */
    char (*symbols)[40];
    uint32_t
        *last_acknowledged; /* by session and symbol: 1 + the number; an exchange may have an engine for each symbol */
    cannon_session *sessions;
};

static inline uint64_t cannon_clock(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Gives the kernel what it takes of out[*start, *end). false: the connection is gone. */
static inline bool cannon_send(int fd, const char *out, uint32_t *start, uint32_t *end)
{
    while (*start < *end) {
        ssize_t n = send(fd, out + *start, *end - *start, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN)
            return true;
        if (n <= 0)
            return false;
        *start += (uint32_t)n;
    }
    *start = *end = 0;
    return true;
}

/* Counts are read by other threads; only `n_reports`, `state` and what the receiver asks the sender for carry an order. */
#define CANNON_GET(from)       __atomic_load_n(&(from), __ATOMIC_RELAXED)
#define CANNON_SET(to, value)  __atomic_store_n(&(to), (value), __ATOMIC_RELAXED)
#define CANNON_SEE(from)       __atomic_load_n(&(from), __ATOMIC_ACQUIRE)
#define CANNON_SHOW(to, value) __atomic_store_n(&(to), (value), __ATOMIC_RELEASE)

/* A session message with these fields, each with its SOH; orig_ns: as one that comes again. */
void cannon_put_admin(const mm_cannon *cannon, cannon_session *s, const char *type, uint64_t seq, uint64_t orig_ns,
                      const char *fields);
void cannon_put_logon(const mm_cannon *cannon, cannon_session *s);
/* cannon_send of what waits. */
bool cannon_flush(cannon_session *s);
/* Takes what came, `most` bytes at once; *moved: something was there. A session that is over has another state after it. */
void cannon_receive(mm_cannon *cannon, cannon_session *s, uint32_t most, bool *moved);
void cannon_end(cannon_session *s, uint32_t end, int error);
/* All that is due now; the time of the next shot, or UINT64_MAX. *waits: something is due and cannot go out. */
uint64_t cannon_fire_due(mm_cannon *cannon, uint64_t start_ns, uint64_t now, bool *waits);

#endif
