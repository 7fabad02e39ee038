#include "report_ring.h"

#include <stdlib.h>
#include <sys/mman.h>

_Static_assert(sizeof(mh_words) == sizeof(mh_report) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "mh_pack makes reports");

static void *create(uint32_t capacity)
{
    uint64_t n = MH_PUBLISH_EVERY;
    while (n < capacity)
        n *= 2;
    mh_report_ring *ring = aligned_alloc(64, sizeof *ring);
    if (!ring)
        return NULL;
    memset(ring, 0, sizeof *ring);
    ring->mask = n - 1;
    ring->slots_bytes = n * sizeof(mh_report);
    ring->slots = mmap(NULL, ring->slots_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (ring->slots == MAP_FAILED) {
        free(ring);
        return NULL;
    }
    madvise(ring->slots, ring->slots_bytes, MADV_HUGEPAGE);
    memset(ring->slots, 0, ring->slots_bytes); /* page faults are paid here */
    return ring;
}

static int push(void *queue, const mh_report *report)
{
    mh_report_ring *ring = queue;
    if (ring->next - ring->seen_read > ring->mask) {
        ring->seen_read = atomic_load_explicit(&ring->read, memory_order_acquire);
        if (ring->next - ring->seen_read > ring->mask) {
            mh_ring_publish(ring);
            return 0;
        }
    }
    mh_words words;
    memcpy(&words, report, sizeof words);
    mh_ring_push(ring, words);
    return 1;
}

static uint32_t drain(void *queue, mh_report *out, uint32_t max)
{
    mh_report_ring *ring = queue;
    uint64_t from = atomic_load_explicit(&ring->read, memory_order_relaxed);
    uint64_t n = atomic_load_explicit(&ring->published, memory_order_acquire) - from;
    if (n > max)
        n = max;
    uint64_t at = from & ring->mask, before_end = ring->mask + 1 - at;
    uint64_t first = n < before_end ? n : before_end;
    memcpy(out, &ring->slots[at], first * sizeof *out);
    memcpy(out + first, ring->slots, (n - first) * sizeof *out);
    atomic_store_explicit(&ring->read, from + n, memory_order_release);
    return (uint32_t)n;
}

static void flush(void *queue)
{
    mh_ring_publish(queue);
}

static void destroy(void *queue)
{
    mh_report_ring *ring = queue;
    munmap(ring->slots, ring->slots_bytes);
    free(ring);
}

const mh_transport mh_ring_transport = {create, push, drain, flush, destroy};

/* MATCHMARK_HARNESS_TRANSPORT=driver in the environment declines, to measure the engine on the driver's own transport. */
__attribute__((visibility("default"))) const mh_transport *engine_get_transport(void)
{
    const char *wanted = getenv("MATCHMARK_HARNESS_TRANSPORT");
    return wanted && !strcmp(wanted, "driver") ? NULL : &mh_ring_transport;
}
