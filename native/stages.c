/* Buckets of stage times, for those who read them. */
#include "stages.h"

uint64_t mm_stage_bucket_top(uint32_t bucket)
{
    if (bucket < 2u << MM_STAGE_SUB_BITS)
        return bucket;
    uint32_t shift = (bucket >> MM_STAGE_SUB_BITS) - 1;
    return ((uint64_t)(bucket - (shift << MM_STAGE_SUB_BITS)) + 1) * (UINT64_C(1) << shift) - 1;
}

void mm_stage_count_all(mm_stage_row *row, const uint64_t *times_ns, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++)
        mm_stage_add(row, times_ns[i], 1);
}
