/* Snapshots: what the engine and a gateway have made of the audit log up to a record, in one file, so that a start reads that and
 * the records behind it, and not all of the log. docs/snapshots.md.
 *
 * They are made by a process that follows closed files of the log in a pipeline of its own; nobody who trades knows of it. */
#ifndef MATCHMARK_SNAPSHOT_H
#define MATCHMARK_SNAPSHOT_H

#include "matchmark/gateway.h"

#ifdef __cplusplus
extern "C" {
#endif

/* cdef begin */
/* First page of the file, with a CRC32C of it in its last four bytes; parts follow. */
typedef struct mm_snapshot_head {
    uint64_t magic;
    uint32_t version, n_parts;
    uint64_t sequence; /* the last record that is in it: a command and all that it caused, or nothing of a command */
    uint64_t running_hash;        /* its */
    uint64_t next_order_position; /* one past the last command's */
    uint64_t state_hash;          /* of the engine: mm_engine_state_hash */
    uint64_t instruments_hash;    /* as in the log's headers */
    uint64_t settings_hash; /* of what a gateway's balances depend on besides: accounts, limits, sizes; the caller's */
    uint32_t epoch, zero;   /* of the last record */
    mm_config engine;
} mm_snapshot_head;

typedef struct mm_snapshot mm_snapshot;

/* The state of an engine and of a gateway that follows it and has taken all its reports. Written beside `path` and flushed before it
 * gets that name, a few megabytes at a time, for others need the disk too. Bytes of the file, or -1 and `fault`. */
int64_t mm_snapshot_save(const char *path, mm_engine_loop *loop, mm_gateway *g, uint64_t instruments_hash,
                         uint64_t settings_hash, mm_fault *fault);
/* With `check` every byte is looked at. NULL and `fault` when the file is not there, damaged, or of another version. */
mm_snapshot *mm_snapshot_open(const char *path, int check, mm_fault *fault);
const mm_snapshot_head *mm_snapshot_head_of(const mm_snapshot *s);
void mm_snapshot_close(mm_snapshot *s);

/* The log in `directory` has the snapshot's last record, by its running hash, and what follows it may follow it. 0, or -1 and `fault`. */
int mm_snapshot_fits(const mm_snapshot *s, const char *directory, mm_fault *fault);
/* Like mm_audit_recover, of the records behind the snapshot; those in front are not looked at. */
int mm_audit_recover_from(const char *directory, const mm_snapshot *s, int64_t last, int cut, mm_audit_extent *extent,
                          mm_fault *fault);
/* Like mm_engine_loop_open (which is this without a snapshot); one that says more than the durable mark is passed over. */
mm_engine_loop *mm_engine_loop_open_from(mm_pipeline *p, const char *log_directory, const mm_config *config,
                                         const mm_snapshot *s, mm_fault *fault);
/* Before mm_gateway_open, which then reads the log from there. The risk state's opening balances give way. 0, or -1 and `fault`. */
int mm_gateway_begin_from(mm_gateway *g, const mm_snapshot *s, mm_fault *fault);
/* cdef end */

#ifdef __cplusplus
}
#endif

#endif
