/* A gateway: FIX sessions over TCP on one side, the order ring and the report ring on the other, checks between them.
 *
 * One thread runs it (mm_gateway_run) and never waits for anything but the network; another thread, the control plane, decides on
 * logons (mm_gateway_next_logon, mm_gateway_answer_logon) and reads counters. What the two share is atomic slots.
 * Semantics of the messages: docs/fix.md. Restart: mm_gateway_open reads the audit log, so that balances, open orders and what each
 * session was sent are as they were. */
#ifndef MATCHMARK_GATEWAY_H
#define MATCHMARK_GATEWAY_H

#include "matchmark/fix_session.h"
#include "matchmark/pipeline.h"
#include "matchmark/risk.h"

#ifdef __cplusplus
extern "C" {
#endif

/* cdef begin */
#define MM_GATEWAY_TOKEN 2048
#define MM_GATEWAY_SLOTS 64 /* logons being decided at once */

/* What carries connections (gateway_carrier.h). */
typedef struct mm_carrier mm_carrier;

typedef struct mm_gateway_config {
    uint32_t gateway;    /* its number in the pipeline */
    int32_t listen_fd;   /* a listening socket, non-blocking; the gateway's from then on. Unused with a carrier */
    mm_carrier *carrier; /* the gateway's from then on; NULL: the kernel's TCP, on listen_fd */
    uint32_t max_connections;
    uint32_t max_sessions; /* session numbers are below */
    uint32_t store_capacity, store_journal_bytes;
    uint32_t wait;           /* mm_wait: MM_WAIT_SPIN polls the sockets without sleeping */
    uint32_t recent_reports; /* kept for resends before the log is asked; a power of two */
    uint64_t hash_key[2];    /* of ClOrdIDs: the same for every gateway and every restart on a log */
    const char *log_directory;
    uint64_t life;       /* of the machine's memory and this pipeline's: another one after every loss of power. Not 0 */
    uint32_t clean;      /* 1: the last run was stopped cleanly, and nothing ran since */
    uint32_t rate_per_s; /* new orders and replaces of a session in warned symbols, 0: no limit */
    uint32_t rate_defers; /* 1: new orders above it wait, 0: they are refused. Replaces are always refused */
    uint32_t
        follow; /* 1: a standby's. It keeps balances, and neither listens nor has sessions until mm_gateway_take_over */
    mm_session_config session;
} mm_gateway_config;

/* A logon to be decided on. The token is wiped when it is answered. */
typedef struct mm_logon_request {
    uint32_t slot, token_length;
    char sender[65], token[2048], zero[3];
} mm_logon_request;

typedef struct mm_gateway_counters {
    uint64_t connections, accepted, refused, cut, logons, logon_refusals, evicted;
    uint64_t orders, orders_rejected, reports, reports_kept, resent, garbled, back_pressure, messages_in, bytes_in,
        bytes_out;
    uint64_t lost_reports_recovered;
} mm_gateway_counters;

typedef struct mm_gateway mm_gateway;

/* Joins the pipeline and reads the audit log. `account_names`: n_accounts names one after another, each ended by a zero. The risk state
 * holds the opening balances and is the gateway's from then on. NULL and `fault`. */
mm_gateway *mm_gateway_make(mm_pipeline *p, const mm_gateway_config *config, mm_risk *risk, const char *account_names,
                            uint32_t n_accounts, mm_fault *fault);
/* Before mm_gateway_open: a session that exists, its store file and account. 0, or -1 and `fault`. */
int mm_gateway_add_session(mm_gateway *g, uint32_t session, const char *sender, uint32_t account,
                           const char *store_path, mm_fault *fault);
int mm_gateway_open(mm_gateway *g, mm_fault *fault);
/* The life of a predecessor whose memory is still there: numbers in its stores are exact. Before its sessions are added. */
void mm_gateway_inherit(mm_gateway *g, uint64_t life);
/* A following gateway's sessions are there (mm_gateway_add_session) and all records of the former primary are executed: numbers the reports
 * that sessions are owed, and listens. Nobody runs it meanwhile. 0, or -1 and `fault`. */
int mm_gateway_take_over(mm_gateway *g, mm_fault *fault);
/* Before it runs: counts from then on when the records and reports of live sessions were visible and sent (stages.h). */
void mm_gateway_measure(mm_gateway *g, mm_stages *stages);
/* Runs for `slice_ns`. 0: the slice is over, 1: stopping and every session has ended, -1: failed (mm_gateway_failure). Without a lease
 * nothing is read, sent or taken; when another member is primary every connection is cut, and it has failed. */
int mm_gateway_run(mm_gateway *g, uint64_t slice_ns);
/* From now on mm_gateway_run runs this engine too, in turn with the network. The engine loop stays the caller's. */
void mm_gateway_drive(mm_gateway *g, mm_engine_loop *engine);
/* Logs every session out; mm_gateway_run returns 1 when they are gone. */
void mm_gateway_stop(mm_gateway *g);
void mm_gateway_close(mm_gateway *g);
const char *mm_gateway_failure(const mm_gateway *g);
mm_gateway_counters mm_gateway_counters_of(const mm_gateway *g);

/* A thread of its own, again and again: gets session numbers onto the disk, which is asked for a few at a time. 0, or an errno: then
 * no more, for what a failed flush has lost no later one brings back; the sessions stop when they have used up what is there. */
int mm_gateway_keep(mm_gateway *g);

/* Control thread. 1 and *request, or 0 when nobody waits. */
int mm_gateway_next_logon(mm_gateway *g, mm_logon_request *request);
/* The verdict: `session` -1 refuses. A session that is new is added (store_path, account). why: for the log, no credential in it.
 * 0, or -1 and `fault` when its store cannot be used: refused then. */
int mm_gateway_answer_logon(mm_gateway *g, uint32_t slot, int64_t session, uint32_t account, uint64_t expires_ns,
                            const char *store_path, const char *why, mm_fault *fault);
/* The keyed hash that names an order to the engine: SipHash-2-4 of the account number and the ClOrdID. Never 0. */
uint64_t mm_cl_ord_id_hash(const uint64_t key[2], uint32_t account, const char *text, uint32_t length);
/* cdef end */

#ifdef __cplusplus
}
#endif

#endif
