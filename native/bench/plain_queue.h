/* The simplest single-producer single-consumer queue that is right: each push is published at once, each drain read back at
 * once. What a driver hands to an engine that brings no transport of its own. */
#ifndef MATCHMARK_PLAIN_QUEUE_H
#define MATCHMARK_PLAIN_QUEUE_H

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "matchmark/harness_abi.h"

typedef struct plain_queue {
    _Alignas(64) _Atomic uint64_t written;
    _Alignas(64) _Atomic uint64_t read;
    _Alignas(64) uint64_t mask;
    mh_report slots[];
} plain_queue;

static inline void *plain_create(uint32_t capacity)
{
    uint64_t n = 64;
    while (n < capacity)
        n *= 2;
    plain_queue *q = aligned_alloc(64, sizeof *q + n * sizeof(mh_report));
    if (!q)
        return NULL;
    memset(q, 0, sizeof *q + n * sizeof(mh_report));
    q->mask = n - 1;
    return q;
}

static inline int plain_push(void *queue, const mh_report *report)
{
    plain_queue *q = queue;
    uint64_t at = atomic_load_explicit(&q->written, memory_order_relaxed);
    if (at - atomic_load_explicit(&q->read, memory_order_acquire) > q->mask)
        return 0;
    q->slots[at & q->mask] = *report;
    atomic_store_explicit(&q->written, at + 1, memory_order_release);
    return 1;
}

static inline uint32_t plain_drain(void *queue, mh_report *out, uint32_t max)
{
    plain_queue *q = queue;
    uint64_t from = atomic_load_explicit(&q->read, memory_order_relaxed);
    uint64_t n = atomic_load_explicit(&q->written, memory_order_acquire) - from;
    if (n > max)
        n = max;
    for (uint64_t i = 0; i < n; i++)
        out[i] = q->slots[(from + i) & q->mask];
    atomic_store_explicit(&q->read, from + n, memory_order_release);
    return (uint32_t)n;
}

static inline void plain_flush(void *queue)
{
    (void)queue;
}

static const mh_transport mh_plain_transport = {plain_create, plain_push, plain_drain, plain_flush, free};

#endif
