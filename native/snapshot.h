/* Parts of a snapshot: who owns memory names it once, for writing and for reading. */
#ifndef MATCHMARK_SNAPSHOT_INTERNAL_H
#define MATCHMARK_SNAPSHOT_INTERNAL_H

#include "matchmark/snapshot.h"

#define MM_SNAPSHOT_PARTS 32

/* `reserved`: memory from mm_reserve, most of which may never have been touched. */
typedef struct mm_part {
    uint32_t name, reserved;
    void *memory;
    uint64_t bytes;
} mm_part;

enum mm_part_name {
    MM_PART_LOOP = 1,
    MM_PART_ENGINE,
    MM_PART_KNOWN_SLOTS,
    MM_PART_KNOWN_POOL,
    MM_PART_KNOWN_FREE,
    MM_PART_KNOWN_PAST,
    MM_PART_RISK,
    MM_PART_RISK_SYMBOLS,
    MM_PART_RISK_CASH,
    MM_PART_RISK_ORDERS,
    MM_PART_RISK_SLOTS,
    MM_PART_RISK_POSITIONS,
    MM_PART_GATEWAY,
    MM_PART_GATEWAY_SESSIONS,
    MM_PART_TRADING,
    MM_PART_TRADING_STATES,
    MM_PART_WAITING_ORDERS,
    MM_PART_RELEASING
};

/* Fills the part's memory with what was saved of it. 0, or -1 and `fault` when it is not in the snapshot, or of another size. */
int mm_snapshot_load(const mm_snapshot *s, mm_part part, mm_fault *fault);

/* Of a risk state: numbers that say how the rest lies, and the rest, which follows from them. */
typedef struct mm_risk_numbers {
    uint32_t open, used, free, zero;
    uint64_t n_positions, n_slots;
} mm_risk_numbers;
mm_risk_numbers mm_risk_numbers_of(const mm_risk *r);
int mm_risk_use_numbers(mm_risk *r, const mm_risk_numbers *numbers); /* -1: they make no sense for its sizes */
uint32_t mm_risk_parts(mm_risk *r, mm_part *out);

#endif
