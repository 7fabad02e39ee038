/* Measures the book on the workload; prints one line for each measurement: what, who, on which flow, figure. run.py reads
 * them. usage: book_bench throughput|latency RUNS
 * Every run must reproduce the expected trades (count, volume, notional, hash), else the program fails. */
#define _DEFAULT_SOURCE
#include <stdio.h>
#include <string.h>

#include "drive.h"
#include "peer_tree_book.h"
#include "timing.h"

/* The workload's published totals: a generator that has drifted must not be taken for a faster book. */
static const tape published[2] = {{299641, 37603244, UINT64_C(375579030024), UINT64_C(0x1c86aba83b0f7955)},
                                  {297997, 37384703, UINT64_C(377149752163), UINT64_C(0x953704b401a267f6)}};
static const char *const flow_names[2] = {"base", "deep"};

/* Room for the orders that rest at the end (200,770 and 700,161), as an operator would dimension it. */
static const uint64_t pools[2] = {1 << 18, 720000};

typedef struct flow {
    workload *w;
    op *dense_ops;
    uint64_t pool;
} flow;

static void must_agree(const char *what, const tape *actual, const tape *expected)
{
    if (memcmp(actual, expected, sizeof *actual) == 0)
        return;
    fprintf(stderr, "%s: %llu trades, hash %016llx; expected %llu, %016llx: the book is wrong, no figure counts\n", what,
            (unsigned long long)actual->trades, (unsigned long long)actual->hash, (unsigned long long)expected->trades,
            (unsigned long long)expected->hash);
    exit(1);
}

static void must_be_right(const driver *d, const workload *w, enum ids ids)
{
    must_agree("book", &d->tape, ids == DENSE ? &w->expected : &w->expected_clients);
    const char *fault = mm_book_check(&d->book);
    if (!fault && d->book.head->orders_used == w->resting)
        return;
    fprintf(stderr, "book: %s\n", fault ? fault : "wrong number of resting orders");
    exit(1);
}

/* What everyone pays: reading each operation and hashing one record for it. */
static double run_floor(const flow *f)
{
    const workload *w = f->w;
    tape t = {0};
    double start = now();
    for (uint64_t i = w->n_warm; i < w->n_warm + w->n_timed; i++)
        tape_trade(&t, w->ops[i].type, w->ops[i].id, w->ops[i].price, w->ops[i].lots);
    double seconds = now() - start;
    __asm__ volatile("" : : "r"(t.hash), "r"(t.volume), "r"(t.notional) : "memory"); /* else it is never computed */
    return seconds;
}

static double run_peer(const flow *f)
{
    const workload *w = f->w;
    peer_book *b = peer_make(w->max_id);
    tape t = {0};
    for (uint64_t i = 0; i < w->n_warm; i++)
        peer_apply(b, &w->ops[i], &t);
    t = (tape){0};
    double start = now();
    for (uint64_t i = w->n_warm; i < w->n_warm + w->n_timed; i++)
        peer_apply(b, &w->ops[i], &t);
    double seconds = now() - start;
    must_agree("peer tree book", &t, &w->expected);
    peer_free(b);
    return seconds;
}

MM_INLINE double run_book(const flow *f, enum ids ids, enum look look)
{
    const workload *w = f->w;
    const op *ops = ids == DENSE ? f->dense_ops : w->client_ops;
    driver d;
    driver_make(&d, f->pool, 1);
    drive_all(&d, ops, w->n_warm, ids, ONE_BY_ONE);
    d.tape = (tape){0};
    double start = now();
    drive_all(&d, ops + w->n_warm, w->n_timed, ids, look);
    double seconds = now() - start;
    must_be_right(&d, w, ids);
    driver_free(&d);
    return seconds;
}

static double dense(const flow *f) { return run_book(f, DENSE, ONE_BY_ONE); }
static double dense_ahead(const flow *f) { return run_book(f, DENSE, AHEAD); }
static double hashed(const flow *f) { return run_book(f, HASHED, ONE_BY_ONE); }
static double hashed_ahead(const flow *f) { return run_book(f, HASHED, AHEAD); }

static const struct runner {
    const char *name;
    double (*run)(const flow *);
} runners[] = {{"floor", run_floor},         {"peer_tree", run_peer}, {"dense", dense},
               {"dense_ahead", dense_ahead}, {"hashed", hashed},      {"hashed_ahead", hashed_ahead}};
enum { RUNNERS = sizeof runners / sizeof *runners };

static void throughput(const flow flows[2], int runs)
{
    for (int run = 0; run < runs; run++) {
        for (int deep = 0; deep < 2; deep++) {
            for (int i = 0; i < RUNNERS; i++)
                printf("throughput %s %s %.0f\n", runners[i].name, flow_names[deep],
                       (double)flows[deep].w->n_timed / runners[i].run(&flows[deep]));
        }
        fflush(stdout);
    }
}

MM_INLINE void latency_of(const flow *f, enum ids ids, uint32_t *ticks)
{
    const op *ops = ids == DENSE ? f->dense_ops : f->w->client_ops;
    driver d;
    driver_make(&d, f->pool, 1);
    drive_all(&d, ops, f->w->n_warm, ids, ONE_BY_ONE);
    d.tape = (tape){0};
    ops += f->w->n_warm;
    for (uint64_t i = 0; i < f->w->n_timed; i++) {
        uint64_t start = ticks_before();
        drive(&d, &ops[i], ids);
        ticks[i] = (uint32_t)(ticks_after() - start);
    }
    must_be_right(&d, f->w, ids);
    driver_free(&d);
}

static void print_latency(const char *who, const char *on, uint32_t *ticks, uint64_t n)
{
    sort_ticks(ticks, n);
    printf("p50_ns %s %s %.1f\n", who, on, ticks_to_ns(ticks[n / 2]));
    printf("p99_ns %s %s %.1f\n", who, on, ticks_to_ns(ticks[n / 100 * 99]));
    printf("p999_ns %s %s %.1f\n", who, on, ticks_to_ns(ticks[n / 1000 * 999]));
}

static void latency(const flow flows[2], int runs)
{
    uint64_t n = flows[0].w->n_timed;
    uint32_t *ticks = malloc(n * sizeof *ticks);
    if (!ticks)
        abort();
    for (int run = 0; run < runs; run++) {
        for (uint64_t i = 0; i < n; i++) {
            uint64_t start = ticks_before();
            ticks[i] = (uint32_t)(ticks_after() - start);
        }
        print_latency("timer", "none", ticks, n);
        for (int deep = 0; deep < 2; deep++) {
            latency_of(&flows[deep], DENSE, ticks);
            print_latency("dense", flow_names[deep], ticks, n);
            latency_of(&flows[deep], HASHED, ticks);
            print_latency("hashed", flow_names[deep], ticks, n);
        }
    }
    free(ticks);
}

int main(int argc, char **argv)
{
    int runs = argc == 3 ? atoi(argv[2]) : 0;
    if (runs < 1 || (strcmp(argv[1], "throughput") != 0 && strcmp(argv[1], "latency") != 0)) {
        fprintf(stderr, "usage: book_bench throughput|latency RUNS\n");
        return 2;
    }
    flow flows[2];
    for (int deep = 0; deep < 2; deep++) {
        flows[deep].pool = pools[deep];
        flows[deep].w = workload_make(deep, 1000000, 42);
        must_agree("workload", &flows[deep].w->expected, &published[deep]);
        flows[deep].dense_ops = rehearse(flows[deep].w);
    }
    (strcmp(argv[1], "latency") ? throughput : latency)(flows, runs);
    for (int deep = 0; deep < 2; deep++) {
        workload_free(flows[deep].w);
        free(flows[deep].dense_ops);
    }
    return 0;
}
