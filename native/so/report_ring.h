/* A single-producer single-consumer ring of reports: the transport that the harness library offers as its own.
 *
 * The producer counts in a private cursor and publishes it every PUBLISH_EVERY reports and on flush; the consumer publishes how
 * far it has read after each drain. Each side keeps the other's last value and looks again only when that is not enough, so a
 * cache line changes owner once a batch and not once a report. A full ring makes the producer wait, after publishing. */
#ifndef MATCHMARK_REPORT_RING_H
#define MATCHMARK_REPORT_RING_H

#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

#include "matchmark/harness_abi.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define MH_PUBLISH_EVERY 64

typedef struct mh_report_ring {
    /* the producer's line */
    _Alignas(64) uint64_t next, seen_read;
    mh_report *slots;
    uint64_t mask;
    size_t slots_bytes;
    /* written by the producer, read by the consumer */
    _Alignas(64) _Atomic uint64_t published;
    /* written by the consumer, read by the producer */
    _Alignas(64) _Atomic uint64_t read;
} mh_report_ring;

extern const mh_transport mh_ring_transport;

static inline void mh_pause(void)
{
#if defined(__x86_64__)
    _mm_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* The ring is larger than the caches and is not read again here: on x86 the store goes round them. */
static inline void mh_ring_copy(mh_report *to, const mh_report *from)
{
#if defined(__AVX__)
    _mm256_stream_si256((__m256i *)to, _mm256_loadu_si256((const __m256i *)from));
    _mm256_stream_si256((__m256i *)to + 1, _mm256_loadu_si256((const __m256i *)from + 1));
#else
    *to = *from;
#endif
}

static inline void mh_ring_publish(mh_report_ring *ring)
{
#if defined(__AVX__)
    _mm_sfence(); /* streaming stores are not ordered by a release */
#endif
    atomic_store_explicit(&ring->published, ring->next, memory_order_release);
}

static inline void mh_ring_wait(mh_report_ring *ring)
{
    ring->seen_read = atomic_load_explicit(&ring->read, memory_order_acquire);
    if (ring->next - ring->seen_read <= ring->mask)
        return;
    mh_ring_publish(ring);
    do {
        mh_pause();
        ring->seen_read = atomic_load_explicit(&ring->read, memory_order_acquire);
    } while (ring->next - ring->seen_read > ring->mask);
}

static inline __attribute__((always_inline)) void mh_ring_push(mh_report_ring *ring, const mh_report *report)
{
    if (__builtin_expect(ring->next - ring->seen_read > ring->mask, 0))
        mh_ring_wait(ring);
    mh_ring_copy(&ring->slots[ring->next++ & ring->mask], report);
    if (!(ring->next % MH_PUBLISH_EVERY))
        mh_ring_publish(ring);
}

#endif
