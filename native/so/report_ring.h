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

/* A report as the eight words of its line. Putting it together in registers matters: a report built in memory field by field
 * and then copied in wider pieces waits each time for its own stores. */
typedef struct mh_words {
    uint64_t at[8];
} mh_words;

static inline __attribute__((always_inline)) mh_words mh_pack(uint8_t type, uint32_t side, uint64_t sequence,
                                                              uint64_t id, int64_t price, uint32_t lots,
                                                              uint64_t resting, uint64_t incoming)
{
    return (mh_words){{type | (uint64_t)side << 8, sequence, id, (uint64_t)price, lots, resting, incoming, 0}};
}

/* The ring is larger than the caches and is not read again here: on x86 the stores go round them, a whole line at a time. */
static inline __attribute__((always_inline)) void mh_ring_store(mh_report *to, mh_words words)
{
#if defined(__x86_64__)
    for (int i = 0; i < 8; i++)
        _mm_stream_si64((long long *)to + i, (long long)words.at[i]);
#else
    memcpy(to, &words, sizeof *to);
#endif
}

static inline void mh_ring_publish(mh_report_ring *ring)
{
#if defined(__x86_64__)
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

static inline __attribute__((always_inline)) void mh_ring_push(mh_report_ring *ring, mh_words words)
{
    if (__builtin_expect(ring->next - ring->seen_read > ring->mask, 0))
        mh_ring_wait(ring);
    mh_ring_store(&ring->slots[ring->next++ & ring->mask], words);
    if (!(ring->next % MH_PUBLISH_EVERY))
        mh_ring_publish(ring);
}

#endif
