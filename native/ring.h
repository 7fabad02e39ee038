/* Lock-free rings over memory that several processes map, and how a thread waits for one. All atomics of the pipeline live here.
 *
 * MPSC by CAS. A slot's first word says whose turn it is: the position it stands for, the gateway that claimed it, and a
 * state. A producer claims position p by swinging the word of slot p mod n from (p, free) to (p, claimed, gateway); only then is
 * the shared tail moved, by whoever gets to it first, so claim and claimant are one atomic step and a producer that dies at any
 * instruction leaves either nothing or a claim with its name on it. It fills the slot and publishes it. The consumer takes
 * position p when its word says (p, published) and frees the slot by writing (p + n, free). A claim whose owner is known to be
 * dead becomes (p, abandoned), which the consumer passes over. Who is dead is not decided here.
 *
 * SPSC: two counters, each written by one side. What a counter counts (slots, sequence numbers) is the user's.
 *
 * Full and empty are results. Nothing here blocks, allocates or calls the system, but for mm_idle in its slower ways. */
#ifndef MATCHMARK_RING_H
#define MATCHMARK_RING_H

#include "matchmark/pipeline.h"

#include <stdatomic.h>
#include <stdbool.h>

typedef _Atomic(uint64_t) mm_word;

_Static_assert(sizeof(mm_word) == 8 && ATOMIC_LLONG_LOCK_FREE == 2, "words shared between processes must be lock-free");

static inline uint64_t mm_load(const mm_word *w)
{
    return atomic_load_explicit(w, memory_order_acquire);
}

static inline uint64_t
mm_load_own(const mm_word *w) /* one that only this thread writes, or where order does not matter */
{
    return atomic_load_explicit(w, memory_order_relaxed);
}

static inline void mm_store(mm_word *w, uint64_t value)
{
    atomic_store_explicit(w, value, memory_order_release);
}

static inline void mm_store_relaxed(mm_word *w, uint64_t value)
{
    atomic_store_explicit(w, value, memory_order_relaxed);
}

static inline bool mm_swap_if(mm_word *w, uint64_t from, uint64_t to)
{
    return atomic_compare_exchange_strong_explicit(w, &from, to, memory_order_acq_rel, memory_order_acquire);
}

static inline void mm_relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#else
    atomic_signal_fence(memory_order_seq_cst);
#endif
}

/* --- MPSC --- */

enum mm_turn_state { MM_TURN_FREE = 0, MM_TURN_CLAIMED = 1, MM_TURN_PUBLISHED = 2, MM_TURN_ABANDONED = 3 };

#define MM_TURN_GATEWAY_BITS   14
#define MM_TURN_POSITION_SHIFT (MM_TURN_GATEWAY_BITS + 2)

static inline uint64_t mm_turn(uint64_t position, uint32_t gateway, enum mm_turn_state state)
{
    return position << MM_TURN_POSITION_SHIFT | (uint64_t)gateway << 2 | (uint64_t)state;
}

static inline uint64_t mm_turn_position(uint64_t turn)
{
    return turn >> MM_TURN_POSITION_SHIFT;
}

static inline uint32_t mm_turn_gateway(uint64_t turn)
{
    return (uint32_t)(turn >> 2) & ((1u << MM_TURN_GATEWAY_BITS) - 1);
}

static inline enum mm_turn_state mm_turn_state_of(uint64_t turn)
{
    return (enum mm_turn_state)(turn & 3);
}

typedef struct mm_order_slot {
    mm_word turn;
    mm_order_message order;
} mm_order_slot;

_Static_assert(sizeof(mm_order_slot) == 256, "order slot layout");

typedef struct mm_mpsc {
    mm_word *tail; /* shared */
    mm_order_slot *slots;
    uint64_t mask;
} mm_mpsc;

#define MM_NO_POSITION UINT64_MAX

/* The position claimed, or MM_NO_POSITION when the ring is full. */
static inline uint64_t mm_mpsc_claim(const mm_mpsc *r, uint32_t gateway)
{
    for (;;) {
        uint64_t at = mm_load(r->tail);
        mm_word *word = &r->slots[at & r->mask].turn;
        uint64_t turn = mm_load(word);
        if (turn == mm_turn(at, 0, MM_TURN_FREE)) {
            if (!mm_swap_if(word, turn, mm_turn(at, gateway, MM_TURN_CLAIMED)))
                continue;
            mm_swap_if(r->tail, at, at + 1); /* a failure means that another has moved it */
            return at;
        }
        if (mm_turn_position(turn) < at) { /* the slot is a lap behind: full, unless the tail has moved on meanwhile */
            if (mm_load(r->tail) == at)
                return MM_NO_POSITION;
        } else {
            mm_swap_if(r->tail, at, at + 1); /* its claimant has not moved the tail yet, and may be dead */
        }
    }
}

static inline mm_order_slot *mm_mpsc_slot(const mm_mpsc *r, uint64_t position)
{
    return &r->slots[position & r->mask];
}

static inline void mm_mpsc_publish(const mm_mpsc *r, uint64_t position, uint32_t gateway)
{
    mm_store(&mm_mpsc_slot(r, position)->turn, mm_turn(position, gateway, MM_TURN_PUBLISHED));
}

/* The consumer is done with a position (or found it abandoned): its slot is free for the next lap. */
static inline void mm_mpsc_free(const mm_mpsc *r, uint64_t position)
{
    mm_store(&mm_mpsc_slot(r, position)->turn, mm_turn(position + r->mask + 1, 0, MM_TURN_FREE));
}

/* For one who knows that the gateway is dead: true when its claim was open and is now abandoned. */
static inline bool mm_mpsc_abandon(const mm_mpsc *r, uint64_t position, uint32_t gateway)
{
    return mm_swap_if(&mm_mpsc_slot(r, position)->turn, mm_turn(position, gateway, MM_TURN_CLAIMED),
                      mm_turn(position, gateway, MM_TURN_ABANDONED));
}

/* --- waiting --- */

typedef struct mm_idle {
    int wait; /* mm_wait, not MM_WAIT_AUTO */
    uint32_t rounds;
} mm_idle;

static inline void mm_idle_reset(mm_idle *idle)
{
    idle->rounds = 0;
}

/* One round with nothing to do: spins; after 64 rounds yields the processor or sleeps, as the strategy says. */
void mm_idle_slow(mm_idle *idle);

/* How long the strategy sleeps in such a round; 0 while it does not. */
long mm_idle_nap_ns(const mm_idle *idle);

static inline void mm_idle_count(mm_idle *idle)
{
    idle->rounds += idle->rounds < UINT32_MAX;
}

static inline void mm_idle_round(mm_idle *idle)
{
    mm_idle_count(idle);
    if (idle->rounds < 64 || idle->wait == MM_WAIT_SPIN)
        mm_relax();
    else
        mm_idle_slow(idle);
}

#endif
