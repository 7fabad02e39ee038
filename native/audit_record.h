/* What an audit record says of itself: its running hash. Inline, for the engine makes one with every record.
 *
 * The hash covers what a replay reproduces (sequence number, command or event, texts, routing, quantities, money, epoch), not
 * the stamps and the writer's words. Four lanes take the words in turn, each step a bijection of its lane, so that no single
 * changed word leaves the hash as it was; the hash before enters at the end, so that records next to each other overlap. */
#ifndef MATCHMARK_AUDIT_RECORD_H
#define MATCHMARK_AUDIT_RECORD_H

#include "matchmark/audit.h"

#include <string.h>

#define MM_HASH_STEP   UINT64_C(0x9FB21C651E98DF25)
#define MM_HASHED_FROM 16
#define MM_HASHED_TO   240

static inline uint64_t mm_hash_finish(uint64_t x)
{
    x ^= x >> 30;
    x *= UINT64_C(0xBF58476D1CE4E5B9);
    x ^= x >> 27;
    x *= UINT64_C(0x94D049BB133111EB);
    return x ^ x >> 31;
}

static inline uint64_t mm_hash_step(uint64_t lane, uint64_t word)
{
    lane = (lane ^ word) * MM_HASH_STEP;
    return lane ^ lane >> 32;
}

static inline uint64_t mm_record_hash(uint64_t before, const mm_audit_record *record)
{
    uint64_t words[(MM_HASHED_TO - MM_HASHED_FROM) / 8], lanes[4] = {record->sequence, 1, 2, 3};
    memcpy(words, (const char *)record + MM_HASHED_FROM, sizeof words);
    for (int i = 0; i < (int)(sizeof words / 8); i += 4)
        for (int lane = 0; lane < 4; lane++)
            lanes[lane] = mm_hash_step(lanes[lane], words[i + lane]);
    uint64_t sum = lanes[0] + 3 * lanes[1] + 5 * lanes[2] + 7 * lanes[3];
    return mm_hash_finish(before ^ mm_hash_finish(sum));
}

_Static_assert((MM_HASHED_TO - MM_HASHED_FROM) % 32 == 0, "the lanes take the same number of words");

#endif
