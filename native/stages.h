/* Counting into a stage's row: inline, for the gateway does it with every report. */
#ifndef MATCHMARK_STAGES_INTERNAL_H
#define MATCHMARK_STAGES_INTERNAL_H

#include "matchmark/stages.h"

#define MM_STAGE_SUB_BITS 6

static inline uint32_t mm_stage_bucket(uint64_t ns)
{
    if (ns < 1u << MM_STAGE_SUB_BITS)
        return (uint32_t)ns;
    uint32_t shift = 63u - (uint32_t)__builtin_clzll(ns) - MM_STAGE_SUB_BITS;
    uint32_t bucket = (shift << MM_STAGE_SUB_BITS) + (uint32_t)(ns >> shift);
    return bucket < MM_STAGE_BUCKETS - 2 ? bucket : MM_STAGE_BUCKETS - 2;
}

static inline void mm_stage_add(mm_stage_row *row, uint64_t ns, uint64_t n)
{
    uint64_t *count = &row->counts[mm_stage_bucket(ns)];
    __atomic_store_n(count, *count + n, __ATOMIC_RELAXED); /* one writer: no locked addition */
    if (ns > row->max_ns)
        __atomic_store_n(&row->max_ns, ns, __ATOMIC_RELAXED);
}

/* Times that are not there (0: a report of a former life) or run backwards are not counted. */
static inline void mm_stage_span(mm_stage_row *row, uint64_t from_ns, uint64_t to_ns, uint64_t n)
{
    if (from_ns && to_ns >= from_ns)
        mm_stage_add(row, to_ns - from_ns, n);
}

#endif
