/* Replication: the primary's sender gives its records to standbys, a standby's replica takes them.
 *
 * A replica puts the COMMANDS of the stream into its own order ring, at the positions that the primary gave them. Its engine
 * executes them as if a gateway had put them, makes records of its own, and its writer keeps them; at each sequence number the
 * running hash of its record must be the one that the primary sent, which covers all that the primary did. docs/cluster.md has the protocol.
 *
 * A frame, little-endian: a head of 64 bytes, then `n` records of 272 bytes in sequence. Without records it is a sign of life.
 *   offset  field      type
 *        0  magic      u64   bytes "MMREPL1", 0
 *        8  n          u32   at most 256
 *       12  epoch      u32   the primary's
 *       16  first      u64   sequence number of the first record
 *       24  tail       u64   last record visible on the primary
 *       32  engine_age u64   ns since its engine last went round its loop
 *       40  visible    u64   when the last of them were matched, by the primary's clock; 0: not known
 *       48  sent       u64   its clock when the frame was made
 *       56  drained    u64   0, or one more than the last record: the primary takes no orders and has given up its lease
 * An answer, 48 bytes: magic, epoch (u64; its highest bit: the standby asks the primary to drain), received and applied (sequence numbers), visible and sent of the last frame that is executed whole.
 * What is received is in the standby's shared memory; what is applied was executed, with the same result. */
#ifndef MATCHMARK_REPLICA_H
#define MATCHMARK_REPLICA_H

#include "matchmark/pipeline.h"
#include "matchmark/stages.h"

#ifdef __cplusplus
extern "C" {
#endif

/* cdef begin */
#define MM_PEERS_MAX 8

typedef struct mm_sender mm_sender;

/* What the primary knows of a standby. */
typedef struct mm_peer_status {
    int32_t connected;
    uint32_t epoch;       /* of its last answer */
    uint32_t drain, zero; /* 1: it asks the primary to drain, for it is to take over */
    uint64_t next, received, applied;
    uint64_t heard_ns;      /* mm_now_ns() of its last answer */
    uint64_t round_trip_ns; /* of the last frame that was answered */
} mm_peer_status;

/* `stages` may be NULL. One thread runs it; add, drop, status and step may be another's. NULL and `fault`. */
mm_sender *mm_sender_make(mm_pipeline *p, const char *log_directory, uint64_t heartbeat_ns, mm_stages *stages,
                          mm_fault *fault);
void mm_sender_close(mm_sender *s);
/* A connected socket, the sender's from then on; records from `next` on are sent. The peer's number, or -1 when there is no room. */
int mm_sender_add(mm_sender *s, int fd, uint64_t next);
void mm_sender_drop(mm_sender *s, int peer);
void mm_sender_peer(const mm_sender *s, int peer, mm_peer_status *status);
/* The peer whose word counts in MM_REPLICATED; -1: nobody's does. */
void mm_sender_in_step(mm_sender *s, int peer);
/* From now on standbys are told that the primary has drained: `last` is its last record. UINT64_MAX: it has not. */
void mm_sender_drained(mm_sender *s, uint64_t last);
/* Sends and listens for `slice_ns`. 0, or -1 and `fault` when the log does not have what a peer needs. */
int mm_sender_run(mm_sender *s, uint64_t slice_ns, int wait, mm_fault *fault);

typedef struct mm_replica mm_replica;

typedef struct mm_replica_status {
    uint64_t received, applied; /* sequence numbers */
    uint64_t primary_tail;      /* as last told */
    uint64_t heard_ns;          /* mm_now_ns() of the last frame, 0: none */
    uint64_t engine_age_ns;     /* as it said */
    uint32_t epoch;             /* of the primary */
    uint64_t drained;           /* one more than the last record of a primary that has drained; 0: it has not */
    uint32_t diverged;          /* 1: it is not the primary's copy any more: mm_replica_run said where */
} mm_replica_status;

enum mm_replica_result { MM_REPLICA_OK = 0, MM_REPLICA_STOPPED = 1, MM_REPLICA_LOST = 2, MM_REPLICA_FAULT = -1 };

/* Where the pipeline's records end now, which must be the end of a command, the stream goes on. NULL and `fault`. */
mm_replica *mm_replica_make(mm_pipeline *p, const char *log_directory, mm_fault *fault);
void mm_replica_close(mm_replica *r);
/* The next record that it wants, and the running hash of the one before. */
uint64_t mm_replica_next(const mm_replica *r, uint64_t *running_hash);
/* A connected socket, the caller's; run takes what comes. */
void mm_replica_connect(mm_replica *r, int fd);
/* Whether the primary is asked to drain. */
void mm_replica_ask_to_drain(mm_replica *r, int drain);
/* For `slice_ns`: mm_replica_result; LOST: the connection has ended, FAULT: `fault` says what differs and where. */
int mm_replica_run(mm_replica *r, uint64_t slice_ns, int wait, mm_fault *fault);
void mm_replica_status_of(const mm_replica *r, mm_replica_status *status);
/* The last record of a primary's log that is over and can be had, from its shared memory or (`old` NULL) from its files, which are read from
 * where the replica is. UINT64_MAX and `fault` when it cannot be read whole. */
uint64_t mm_replica_end_of(const mm_replica *r, mm_pipeline *old, const char *old_log, mm_fault *fault);
/* The rest of a primary's log that is over: from its shared memory, where that can be reached (`old` may be NULL), and from its files.
 * Returns when all of it is executed: records taken, or -1 and `fault`. */
int64_t mm_replica_gap(mm_replica *r, mm_pipeline *old, const char *old_log, mm_fault *fault);
/* Orders that an old primary's gateways had taken and its engine had not: put into our ring, in their order, for our engine. Its sessions were
 * counted as having sent them, so nobody would send them again. How many. */
uint64_t mm_replica_orders_of(mm_replica *r, const mm_pipeline *old);
/* The running hash of a record, from the ring (`p` may be NULL) or the files; 0: it is not there. */
uint64_t mm_hash_at(mm_pipeline *p, const char *log_directory, uint64_t sequence);
/* cdef end */

#ifdef __cplusplus
}
#endif

#endif
