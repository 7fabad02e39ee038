/* How the time of one operation depends on the number of resting orders, 10 to 10,000,000, and the memory that one
 * takes. usage: resting_bench RUNS. Output as book_bench's; the flow's name is the number of orders, 20 a level on up
 * to 1,000 levels a side. Operations: 45% limits at a random level, 45% cancels of a random order, 10% IOC at the best
 * price. */
#include <stdio.h>
#include <stdlib.h>

#include "drive.h"
#include "matchmark/engine.h"
#include "timing.h"

enum { TIMED = 200000, MID = 1 << 20, LEVELS_MAX = 1000 };

typedef struct client {
    driver d;
    op *live; /* for each live order the cancel that its client would send */
    uint64_t n_live, next_id, random, levels;
} client;

static uint64_t draw(client *c, uint64_t below)
{
    c->random = c->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint64_t)((unsigned __int128)(c->random ^ c->random >> 29) * below >> 64);
}

static op passive(client *c)
{
    uint32_t side = draw(c, 2) != 0, away = 1 + (uint32_t)draw(c, c->levels);
    return (op){.id = client_id(c->next_id++),
                .price = side ? MID + away : MID - away,
                .lots = 100 + (uint32_t)draw(c, 400),
                .type = OP_ADD,
                .side = (uint8_t)side};
}

/* Some of the orders that the client thinks live have been filled: those it has to pass over. */
static bool is_live(const client *c, const op *cancel)
{
    const mm_order *o = &c->d.book.orders[cancel->lots];
    return o->key == cancel->id && c->d.book.levels[o->level].orders && o->leaves;
}

static op next_op(client *c, uint64_t i)
{
    if (i % 10 == 9) {
        uint32_t side = draw(c, 2) != 0;
        int64_t best = c->d.book.sides[side ^ 1].best_key;
        if (best != MM_NO_KEY)
            return (op){.id = client_id(c->next_id++),
                        .price = (uint32_t)(best < 0 ? -best : best),
                        .lots = 1 + (uint32_t)draw(c, 100),
                        .type = OP_IOC,
                        .side = (uint8_t)side};
    }
    while (i & 1 && c->n_live) {
        uint64_t at = draw(c, c->n_live);
        op cancel = c->live[at];
        c->live[at] = c->live[--c->n_live];
        if (is_live(c, &cancel))
            return cancel;
    }
    return passive(c);
}

MM_INLINE void apply(client *c, const op *o, enum ids ids)
{
    uint32_t index = drive(&c->d, o, ids);
    if (index)
        c->live[c->n_live++] = (op){.id = o->id, .lots = index, .type = OP_CANCEL};
}

MM_INLINE double p50_ns(uint64_t resting, enum ids ids, uint32_t *ticks)
{
    client c = {.next_id = 1, .random = resting};
    c.levels = resting / 40 + 1 < LEVELS_MAX ? resting / 40 + 1 : LEVELS_MAX;
    driver_make(&c.d, resting + TIMED, 1);
    c.live = malloc((resting + TIMED) * sizeof *c.live);
    if (!c.live)
        abort();
    while (c.n_live < resting) {
        op o = passive(&c);
        apply(&c, &o, ids);
    }
    for (uint64_t i = 0; i < TIMED; i++) {
        op o = next_op(&c, i);
        uint64_t start = ticks_before();
        uint32_t index = drive(&c.d, &o, ids);
        ticks[i] = (uint32_t)(ticks_after() - start);
        if (index)
            c.live[c.n_live++] = (op){.id = o.id, .lots = index, .type = OP_CANCEL};
    }
    if (mm_book_check(&c.d.book)) {
        fprintf(stderr, "book: %s\n", mm_book_check(&c.d.book));
        exit(1);
    }
    driver_free(&c.d);
    free(c.live);
    sort_ticks(ticks, TIMED);
    return ticks_to_ns(ticks[TIMED / 2]);
}

static double p50_dense(uint64_t resting, uint32_t *ticks)
{
    return p50_ns(resting, DENSE, ticks);
}
static double p50_hashed(uint64_t resting, uint32_t *ticks)
{
    return p50_ns(resting, HASHED, ticks);
}

/* Bytes that room for one more resting order costs, from the sizes of two engines: order, order id and share of the
 * map. */
static void print_memory(uint32_t orders)
{
    mm_config config = {1, orders, 1, 0, 64, 0, 0}, none = {1, 1, 1, 0, 64, 0, 0};
    double bytes = (double)(mm_engine_size(&config) - mm_engine_size(&none));
    printf("bytes engine pool_%u %.1f\n", orders, bytes / (orders - 1));
    mm_book_config book = {1, orders, 1, 64}, no_book = {1, 1, 1, 64};
    printf("bytes book pool_%u %.1f\n", orders, (double)(mm_book_size(&book) - mm_book_size(&no_book)) / (orders - 1));
}

int main(int argc, char **argv)
{
    int runs = argc == 2 ? atoi(argv[1]) : 0;
    uint32_t *ticks = malloc(TIMED * sizeof *ticks);
    if (runs < 1 || !ticks) {
        fprintf(stderr, "usage: resting_bench RUNS\n");
        return 2;
    }
    for (uint32_t orders = 1 << 16; orders <= 1 << 24; orders <<= 4)
        print_memory(orders);
    print_memory(699051); /* where the map has just doubled: the most a pool of this order of size can cost */
    for (int run = 0; run < runs; run++) {
        for (uint64_t resting = 10; resting <= 10000000; resting *= 10) {
            printf("p50_ns dense %llu %.1f\n", (unsigned long long)resting, p50_dense(resting, ticks));
            printf("p50_ns hashed %llu %.1f\n", (unsigned long long)resting, p50_hashed(resting, ticks));
        }
        fflush(stdout);
    }
    free(ticks);
    return 0;
}
