/* Shared by sender and replica: frames on the wire, and records by sequence number from a ring or a log's files. */
#ifndef MM_REPLICA_INTERNAL_H
#define MM_REPLICA_INTERNAL_H

#include "audit_file.h"
#include "matchmark/replica.h"

#define MM_FRAME_MAGIC   UINT64_C(0x00314C5045524D4D)
#define MM_FRAME_RECORDS 256

typedef struct mm_frame {
    uint64_t magic;
    uint32_t n, epoch;
    uint64_t first, tail, engine_age_ns, visible_ns, sent_ns, drained;
} mm_frame;

#define MM_ANSWER_DRAIN (UINT64_C(1) << 63) /* in the epoch of an answer */

typedef struct mm_answer {
    uint64_t magic, epoch, received, applied, visible_ns, sent_ns;
} mm_answer;

_Static_assert(sizeof(mm_frame) == 64 && sizeof(mm_answer) == 48, "replication layout");

/* A place in a log's files, which grows as they do. Zeroed at first. */
typedef struct mm_log_place {
    mm_audit_map map;
    bool open;
} mm_log_place;

/* The record with this number, valid until the next call; NULL when it is not there (yet), or when `fault` has text. */
const mm_audit_record *mm_log_record(mm_log_place *place, const char *directory, uint64_t sequence, mm_fault *fault);
void mm_log_place_close(mm_log_place *place);

/* Copies up to `max` records from the ring, beginning with `first`: how many are whole. 0: none is visible, or they are in the log only
 * (*in_log). For a reader that the ring does not wait for. */
uint64_t mm_ring_copy(const mm_audit_ring *ring, uint64_t first, mm_audit_record *to, uint64_t max, bool *in_log);

#endif
