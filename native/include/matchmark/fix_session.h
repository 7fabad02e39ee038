/* A FIX session, acceptor's side, sans-IO: bytes and the time go in, events and bytes come out. No socket, no clock, no allocation.
 *
 * The carrier loop, for one connection:
 *     mm_session_connect(s, now)                    a new connection, before any byte
 *     room = mm_session_input(s, &at); recv into at; mm_session_received(s, n)
 *         or, without a copy: mm_session_borrow(s, bytes, n), and when there are no more events mm_session_give_back(s)
 *     while ((event = mm_session_next(s, message, now)) > 0) act on it (enum mm_session_event)
 *     n = mm_session_output(s, &from); send; mm_session_sent(s, n)
 *     mm_session_tick(s, now) ten times a second or so
 *     mm_session_disconnected(s)                    the connection is gone, whoever closed it
 * Messages to the counterparty may be given at any time, connected or not: they take the next sequence number, are kept in the
 * store, and what cannot be sent now is sent when the counterparty asks for it (ResendRequest).
 *
 * Numbers live in a store (mm_fix_store), mapped from a file: they go on after a kill -9. `now` is wall-clock time in nanoseconds
 * since 1970 UTC and must not fall. The rules are those of the published FIX session layer test cases: docs/fix.md. */
#ifndef MATCHMARK_FIX_SESSION_H
#define MATCHMARK_FIX_SESSION_H

#include "matchmark/fix.h"

#ifdef __cplusplus
extern "C" {
#endif

/* cdef begin */
#define MM_SESSION_INPUT 16384

enum mm_session_state {
    MM_SESSION_OFF = 0, /* no connection */
    MM_SESSION_AWAIT_LOGON = 1,
    MM_SESSION_PENDING = 2, /* logon received, the carrier is deciding */
    MM_SESSION_ACTIVE = 3,
    MM_SESSION_LOGOUT_SENT = 4,     /* we began: waiting for the answer */
    MM_SESSION_LOGOUT_ANSWERED = 5, /* they began: waiting for them to disconnect */
    MM_SESSION_CUT_DUE = 6          /* send what is in the output, then close */
};

enum mm_session_event {
    MM_EVENT_NONE = 0,  /* nothing to do until more bytes come, or output is sent */
    MM_EVENT_LOGON = 1, /* a logon to decide on: mm_session_admit or mm_session_refuse, now or later */
    MM_EVENT_APPLICATION =
        2, /* a checked application message in sequence: mm_session_take when done with it, else it comes again */
    MM_EVENT_RESEND = 3, /* s->wanted_key is to be sent again: mm_session_resend_report */
    MM_EVENT_CUT = 4     /* send the output, close the connection; s->cut says why */
};

/* The persistent part: numbers, what was sent under each, and messages that no log can rebuild. */
typedef struct mm_fix_numbers {
    uint64_t magic, next_in, next_out;
    uint64_t ceiling; /* numbers from it on are given, but not sent: the disk does not know of them yet */
    uint32_t capacity, journal_bytes;
    uint64_t resets;
    char sender[64];   /* the counterparty's CompID, zero-padded */
    uint64_t last_key; /* of the last report numbered */
    uint64_t life;     /* of the memory: while it is the same, the file is what the last process left */
    uint64_t journal_end;
    uint64_t kept;      /* serial of the newest of the two copies on disk */
    uint64_t unsure_in; /* 1 from a loss of power to the next logon: a reset of theirs may have been lost with it */
    uint64_t zero[5];
} mm_fix_numbers;

/* What of the numbers is known to be on disk: two copies, written in turn. */
typedef struct mm_fix_kept {
    uint64_t serial, next_in, next_out, ceiling, resets, last_key, journal_end;
    uint64_t exact, exact_in; /* 1: nothing was sent after it, if the exchange stopped cleanly; and next_in then */
    uint32_t zero, crc;       /* CRC32C of all before it */
} mm_fix_kept;

/* key: 0 an administrative message; below 2^62 the report of that key; 2^62 more: it may have been sent before under another
 * number; 2^63 + position in the journal. */
typedef struct mm_fix_sent {
    uint64_t key, sending_ns;
} mm_fix_sent;

typedef struct mm_fix_store {
    mm_fix_numbers *numbers;
    mm_fix_kept *kept[2]; /* NULL in memory of the caller's */
    mm_fix_sent *sent;    /* of number n at n & (capacity - 1) */
    char *journal;
    uint64_t bytes; /* mapped; 0: memory of the caller's */
} mm_fix_store;

typedef struct mm_session_config {
    const mm_fix_dictionary *dictionary;
    char comp_id[64];       /* ours: their TargetCompID */
    uint64_t clock_skew_ns; /* of SendingTime, either way */
    uint64_t logon_wait_ns; /* from connect to a whole Logon */
    uint64_t logout_wait_ns;
    uint32_t heartbeat_min_s, heartbeat_max_s; /* HeartBtInt outside is refused; 0 is none, let pass when min is 0 */
    uint32_t output_bytes;                     /* more than this waiting to be sent: the reader is cut */
} mm_session_config;

typedef struct mm_session {
    const mm_session_config *config;
    mm_fix_store store; /* numbers NULL until a logon was admitted */
    mm_fix_envelope envelope;
    int32_t state;
    uint8_t gap_asked, resending, test_request_open;
    uint8_t wanted_again; /* the report wanted now may have been sent before under another number: PossResend */
    uint64_t connected_ns, received_ns, sent_ns, gap_asked_ns, test_request_ns, logout_ns, expires_ns;
    uint64_t heartbeat_ns;
    uint64_t resend_next, resend_last, wanted_key,
        gap_high;       /* numbers; key of the report wanted now; highest number seen past a gap */
    uint64_t gap_begin; /* first number of a run of administrative messages in a resend, 0: none */
    uint64_t garbled, rejected, resent, gaps; /* counters */
    char their_comp_id[65];
    char cut[128]; /* why the connection ends; never holds a credential */
    uint32_t in_start, in_end, out_start, out_end;
    char *out;            /* config->output_bytes */
    const char *borrowed; /* in_start and in_end are positions in it; NULL: in `in` */
    char in[16384 + 64];
} mm_session;

/* Maps a store of the counterparty `sender`, made when it is not there. `capacity`: messages remembered, a power of two. 0, or -1 and
 * `why` (256 bytes): a file of another counterparty, damaged, or an errno. */
int mm_fix_store_open(mm_fix_store *store, const char *path, const char *sender, uint32_t capacity,
                      uint32_t journal_bytes, char *why);
/* The same on zeroed memory of mm_fix_store_size bytes. */
uint64_t mm_fix_store_size(uint32_t capacity, uint32_t journal_bytes);
void mm_fix_store_in(mm_fix_store *store, void *memory, const char *sender, uint32_t capacity, uint32_t journal_bytes);
void mm_fix_store_close(mm_fix_store *store);
/* A store as it is at this moment, of a process that is over or may act no more, into a new file. 0, or -1 and `why` (256 bytes). */
int mm_fix_store_copy(const char *from, const char *to, char *why);
/* Whether the file can be believed. `life` is that of the shared memory: the same as in the file, and it is what the last process
 * left, however that ended. Else it is after a clean stop when `clean` and the store was flushed as exact; else the power may have
 * gone, and the numbers go on above all that can have been sent. `log_key`: of the last report in the audit log.
 * 1: brought forward, 0: believed, -1 and `why`: damaged. */
int mm_fix_store_trust(mm_fix_store *store, uint64_t life, int clean, uint64_t log_key, char *why);
/* From a thread beside the session's: gets what was sent onto the disk, and then the numbers, so that more may be sent. `next_in`:
 * theirs up to it are in the log; 0: as it was on disk. `exact`: no more is sent from now on. 0 or an errno. */
int mm_fix_store_flush(mm_fix_store *store, uint64_t next_in, int exact);
/* Whether a flush is due: 2 at once, 1 some time, 0 all is on disk. */
int mm_fix_store_due(const mm_fix_store *store);

/* `out`: config->output_bytes of memory that stays the session's. */
void mm_session_create(mm_session *s, const mm_session_config *config, char *out);
void mm_session_connect(mm_session *s, uint64_t now_ns);
void mm_session_disconnected(mm_session *s);
uint32_t mm_session_input(mm_session *s, char **at);
void mm_session_received(mm_session *s, uint32_t n);
/* Instead of the two: bytes are looked at where they are, with MM_FIX_PAD readable ones behind them. Only when none of before is left;
 * at most MM_SESSION_INPUT. What mm_session_next has left of them is the session's own after giving back. */
int mm_session_may_borrow(const mm_session *s);
void mm_session_borrow(mm_session *s, const char *bytes, uint32_t n);
void mm_session_give_back(mm_session *s);
uint32_t mm_session_output(mm_session *s, const char **from);
void mm_session_sent(mm_session *s, uint32_t n);
int mm_session_next(mm_session *s, mm_fix_message *message, uint64_t now_ns);
int mm_session_tick(mm_session *s, uint64_t now_ns);

/* Numbers a message and keeps its key, for a counterparty that is not connected. `again`: it may have been sent before. */
void mm_fix_store_keep(mm_fix_store *store, uint64_t key, int again, uint64_t now_ns);

void mm_fix_store_keep_fields(mm_fix_store *store, const char *type, const char *fields, uint32_t length,
                              uint64_t now_ns);
/* The key of the last report that was numbered, also when the process was killed in the midst of it: reports up to it are not to be
 * numbered again. */
uint64_t mm_fix_store_last_key(const mm_fix_store *store);

/* Decides on MM_EVENT_LOGON. The store becomes the session's until the connection ends; expires_ns 0: never.
 * 1: logged on. 0: the logon itself was bad (wrong number, HeartBtInt ...), it was told so and the connection ends. */
int mm_session_admit(mm_session *s, mm_fix_message *message, const mm_fix_store *store, uint64_t expires_ns,
                     uint64_t now_ns);
/* Test cases 1S b and c: no word to a stranger. */
void mm_session_refuse(mm_session *s, const char *why);
void mm_session_take(mm_session *s);
/* Begins a logout; text NULL for none. */
void mm_session_logout(mm_session *s, const char *text, uint64_t now_ns);

/* Sends the report of a key, or keeps it for later; report->text and so on are read at once. */
void mm_session_report(mm_session *s, uint64_t key, const mm_fix_report *report, uint64_t now_ns);
/* Answers MM_EVENT_RESEND; NULL when nothing knows that key any more: it is gap-filled. */
void mm_session_resend_report(mm_session *s, const mm_fix_report *report, uint64_t now_ns);
/* Sends another application message: its type and its fields ("58=..<SOH>"), kept in the store's journal. */
void mm_session_send(mm_session *s, const char *type, const char *fields, uint32_t length, uint64_t now_ns);
/* BusinessMessageReject of the message at hand: BusinessRejectReason and text. ref_tag 0: none. */
void mm_session_business_reject(mm_session *s, const mm_fix_message *message, uint32_t reason, const char *text,
                                uint64_t now_ns);
/* Reject (session level) of the application message at hand. */
void mm_session_reject(mm_session *s, const mm_fix_message *message, int reason, uint32_t tag, const char *text,
                       uint64_t now_ns);
/* cdef end */

#ifdef __cplusplus
}
#endif

#endif
