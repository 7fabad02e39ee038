/* Replay of an audit log for who checks it: a fresh engine takes the log's commands, and must make the log's events. */
#ifndef MATCHMARK_REPLAY_H
#define MATCHMARK_REPLAY_H

#include "matchmark/audit.h"
#include "matchmark/engine.h"

#ifdef __cplusplus
extern "C" {
#endif

/* cdef begin */
typedef struct mm_replay mm_replay;

/* NULL when there is no memory for such an engine, or the configuration makes no sense. */
mm_replay *mm_replay_make(const mm_config *config);
void mm_replay_free(mm_replay *replay);
/* Goes on with the next n records: the index of the first event that the engine does not make, or n. What it makes instead is in
 * *made, all zeros for nothing. */
uint64_t mm_replay_check(mm_replay *replay, const mm_audit_record *records, uint64_t n, mm_event *made);
/* cdef end */

#ifdef __cplusplus
}
#endif

#endif
