/* How long stages took that no audit record can hold, for they come after it: counts in log-linear buckets, in memory of the
 * caller's that other processes may read. Each row is written by one thread; a reader sees each word whole.
 *
 * All times are differences of mm_now_ns(). A bucket is a time exactly below 64 ns and 1/64 of a power of two wide above. */
#ifndef MATCHMARK_STAGES_H
#define MATCHMARK_STAGES_H

#include "matchmark/types.h"

#ifdef __cplusplus
extern "C" {
#endif

/* cdef begin */
#define MM_STAGE_BUCKETS 2048

/* From the receipt of the bytes that caused it, by what the report is, to: its records visible to the audit writer, the report given to
 * the kernel (or its socket found full). COPY: matched to visible. WRITTEN, DURABLE: matched to the end of the write, of the fdatasync. */
enum mm_stage {
    MM_STAGE_AUDIT_ACCEPTED = 0, /* acceptance of a day limit order */
    MM_STAGE_SENT_ACCEPTED = 1,
    MM_STAGE_AUDIT_MARKET = 2, /* fill, of either side, by a market order */
    MM_STAGE_SENT_MARKET = 3,
    MM_STAGE_AUDIT_LIMIT = 4, /* the same by a day limit order */
    MM_STAGE_SENT_LIMIT = 5,
    MM_STAGE_AUDIT_CANCEL = 6, /* cancellation by request */
    MM_STAGE_SENT_CANCEL = 7,
    MM_STAGE_AUDIT_IOC = 8, /* fill by, or cancelled remainder of, an immediate-or-cancel limit order */
    MM_STAGE_SENT_IOC = 9,
    MM_STAGE_COPY = 10,
    MM_STAGE_WRITTEN = 11,
    MM_STAGE_DURABLE = 12,
    MM_STAGE_ON_DISK = 13, /* of a new order's command, from its receipt to the end of the fdatasync */
    MM_STAGE_REPLICATED =
        14, /* of a record, from its batch being matched to the standby's word that it has executed it */
    /* From the frame being in memory, of a new order that is the first to be complete in its bytes (those behind it wait for it), to: the
     * carrier has it ready, the gateway reads it, parsed, checked, in the order ring. By carrier. */
    MM_STAGE_PORT_READY = 15,
    MM_STAGE_PORT_READ = 16,
    MM_STAGE_PORT_PARSED = 17,
    MM_STAGE_PORT_CHECKED = 18,
    MM_STAGE_PORT_ENQUEUED = 19,
    MM_STAGE_KERNEL_READY = 20,
    MM_STAGE_KERNEL_READ = 21,
    MM_STAGE_KERNEL_PARSED = 22,
    MM_STAGE_KERNEL_CHECKED = 23,
    MM_STAGE_KERNEL_ENQUEUED = 24,
    MM_STAGES = 25
};

typedef struct mm_stage_row {
    uint64_t max_ns;
    uint64_t counts[2047]; /* by bucket; the last one holds all that is longer */
} mm_stage_row;

typedef struct mm_stages {
    mm_stage_row rows[25];
} mm_stages;

/* The longest time that the bucket holds. */
uint64_t mm_stage_bucket_top(uint32_t bucket);
/* For readers of other stamps, who want the same buckets: counts n times into one row. */
void mm_stage_count_all(mm_stage_row *row, const uint64_t *times_ns, uint64_t n);
/* cdef end */

#ifdef __cplusplus
}
#endif

#endif
