#define _DEFAULT_SOURCE
#include "timing.h"

#include <stdlib.h>
#include <time.h>

static double seconds_of(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

double now(void)
{
    return seconds_of(CLOCK_THREAD_CPUTIME_ID);
}

#ifndef __x86_64__
uint64_t ticks_of_clock(void)
{
    return (uint64_t)(seconds_of(CLOCK_MONOTONIC) * 1e9);
}
#endif

double ticks_to_ns(uint64_t ticks)
{
    static double ns_per_tick;
    if (ns_per_tick == 0) {
        double start = seconds_of(CLOCK_MONOTONIC), end;
        uint64_t first = ticks_before();
        do
            end = seconds_of(CLOCK_MONOTONIC);
        while (end - start < 0.05);
        ns_per_tick = (end - start) * 1e9 / (double)(ticks_after() - first);
    }
    return (double)ticks * ns_per_tick;
}

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

void sort_ticks(uint32_t *ticks, uint64_t n)
{
    qsort(ticks, n, sizeof *ticks, compare);
}
