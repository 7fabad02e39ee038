/* Threads on the order ring, for ThreadSanitizer: producers put, one consumer takes, some producers "die" between claim and
 * publish (they just stop, and their claims are abandoned). Every order put arrives once, whole, in its producer's order.
 * Usage: ring_stress ORDERS_PER_PRODUCER. Exit code 0 when all is well. */
#define _GNU_SOURCE
#include "../ring.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#define PRODUCERS   4
#define SLOTS       64
#define DEATH_EVERY 997
#define SPARE       (sizeof(((mm_order_message *)0)->spare) / sizeof(uint64_t))

static mm_order_slot slots[SLOTS];
static mm_word tail;
static const mm_mpsc ring = {&tail, slots, SLOTS - 1};
static uint64_t orders;
static mm_word left_open; /* claims that producers left */

void mm_idle_slow(mm_idle *idle)
{
    (void)idle;
}

static void fill(mm_order_message *o, uint32_t producer, uint64_t number)
{
    o->session = producer;
    for (size_t i = 0; i < SPARE; i++)
        o->spare[i] = number;
}

static void *produce(void *argument)
{
    uint32_t me = (uint32_t)(uintptr_t)argument;
    for (uint64_t number = 1; number <= orders; number++) {
        uint64_t position;
        while ((position = mm_mpsc_claim(&ring, me)) == MM_NO_POSITION)
            sched_yield();
        if (number % DEATH_EVERY == 0) {
            mm_store(&left_open,
                     mm_load(&left_open) + (me == 0));    /* only counted for one, so that the count is exact */
            while (!mm_mpsc_abandon(&ring, position, me)) /* what a successor or the engine does for the dead */
                sched_yield();
            continue;
        }
        fill(&mm_mpsc_slot(&ring, position)->order, me, number);
        mm_mpsc_publish(&ring, position, me);
    }
    return NULL;
}

static int consume(void)
{
    uint64_t last[PRODUCERS] = {0}, taken = 0, passed = 0, position = 0;
    uint64_t dead = orders / DEATH_EVERY;
    while (taken + passed < PRODUCERS * orders) {
        mm_order_slot *slot = mm_mpsc_slot(&ring, position);
        uint64_t turn = mm_load(&slot->turn);
        if (mm_turn_position(turn) != position || mm_turn_state_of(turn) < MM_TURN_PUBLISHED) {
            sched_yield();
            continue;
        }
        if (mm_turn_state_of(turn) == MM_TURN_PUBLISHED) {
            const mm_order_message *o = &slot->order;
            for (size_t i = 1; i < SPARE; i++)
                if (o->spare[i] != o->spare[0])
                    return fprintf(stderr, "a torn order at position %llu\n", (unsigned long long)position), 1;
            if (o->spare[0] <= last[o->session] || o->session != mm_turn_gateway(turn))
                return fprintf(stderr, "repeated or out of order at position %llu\n", (unsigned long long)position), 1;
            last[o->session] = o->spare[0];
            taken++;
        } else {
            passed++;
        }
        mm_mpsc_free(&ring, position++);
    }
    if (passed != PRODUCERS * dead || mm_load(&left_open) != dead)
        return fprintf(stderr, "%llu claims were abandoned, not %llu\n", (unsigned long long)passed,
                       (unsigned long long)(PRODUCERS * dead)),
               1;
    return 0;
}

int main(int argc, char **argv)
{
    orders = argc > 1 ? strtoull(argv[1], NULL, 10) : 100000;
    for (uint64_t i = 0; i < SLOTS; i++)
        mm_store(&slots[i].turn, mm_turn(i, 0, MM_TURN_FREE));
    pthread_t threads[PRODUCERS];
    for (uintptr_t i = 0; i < PRODUCERS; i++)
        if (pthread_create(&threads[i], NULL, produce, (void *)i))
            return 2;
    int result = consume();
    for (int i = 0; result == 0 && i < PRODUCERS; i++)
        pthread_join(threads[i], NULL);
    return result;
}
