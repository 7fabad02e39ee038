/* Clocks: processor seconds for throughput, the time stamp counter for single operations. */
#ifndef MATCHMARK_BENCH_TIMING_H
#define MATCHMARK_BENCH_TIMING_H

#include <stdint.h>

/* Seconds that this thread has run: the machine may be shared, and waiting for a core is not the book's time. */
double now(void);
/* Around one operation; what was before has finished, what comes after has not begun. */
static inline uint64_t ticks_before(void);
static inline uint64_t ticks_after(void);
double ticks_to_ns(uint64_t ticks);
void sort_ticks(uint32_t *ticks, uint64_t n);

#ifdef __x86_64__
#include <x86intrin.h>

static inline uint64_t ticks_before(void)
{
    _mm_lfence();
    uint64_t t = __rdtsc();
    _mm_lfence();
    return t;
}

static inline uint64_t ticks_after(void)
{
    unsigned cpu;
    uint64_t t = __rdtscp(&cpu);
    _mm_lfence();
    return t;
}
#else
uint64_t ticks_of_clock(void);

static inline uint64_t ticks_before(void)
{
    return ticks_of_clock();
}

static inline uint64_t ticks_after(void)
{
    return ticks_of_clock();
}
#endif

#endif
