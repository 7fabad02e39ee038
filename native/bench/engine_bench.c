/* Measures the whole engine on the workload: checks, ClOrdID map, accounts, all events written. Output as book_bench's.
 * usage: engine_bench RUNS. Trades are read back from the events and must be the expected ones. */
#define _DEFAULT_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "matchmark/engine.h"
#include "timing.h"
#include "workload.h"

enum { BATCH = 256, EVENTS = 4096, ACCOUNTS = 64 };

static mm_command command_of(const op *o)
{
    mm_command c = {
        .op = o->type == OP_CANCEL ? MM_CANCEL : MM_NEW,
        .side = o->side,
        .type = o->type == OP_MARKET ? MM_MARKET : MM_LIMIT,
        .tif = o->type == OP_IOC ? MM_IOC : MM_DAY,
        .account = (uint32_t)(o->id % ACCOUNTS),
        .cl_ord_id = o->id,
        .price_ticks = o->price,
        .quantity_lots = o->lots,
    };
    if (o->type == OP_CANCEL) {
        c.orig_cl_ord_id = o->id;
        c.cl_ord_id = ~o->id;
    }
    return c;
}

static mm_command *commands_of(const workload *w)
{
    uint64_t n = w->n_warm + w->n_timed;
    mm_command *c = malloc(n * sizeof *c);
    if (!c)
        abort();
    for (uint64_t i = 0; i < n; i++)
        c[i] = command_of(&w->client_ops[i]);
    return c;
}

static void read_events(const mm_event *e, uint64_t n, tape *t)
{
    for (uint64_t i = 0; i < n; i++) {
        if (e[i].kind == MM_EV_TRADE)
            tape_trade(t, e[i].other_cl_ord_id, e[i].cl_ord_id, (uint64_t)e[i].price_ticks, e[i].quantity_lots);
    }
}

static void submit_all(mm_engine *e, const mm_command *c, uint64_t n, uint64_t batch, tape *t)
{
    static mm_event events[EVENTS];
    for (uint64_t taken = 0; taken < n || mm_engine_unfinished(e);) {
        mm_progress p;
        mm_engine_submit(e, c + taken, n - taken < batch ? n - taken : batch, events, EVENTS, &p);
        read_events(events, p.events, t);
        taken += p.commands;
    }
}

static double run(const workload *w, const mm_command *c, uint64_t batch, uint32_t remembered, uint32_t emit_top)
{
    mm_config config = {1, 1 << 20, 1 << 17, remembered, 4096, emit_top, 0};
    mm_engine *e = mm_engine_map(&config, 1);
    if (!e)
        abort();
    tape t = {0};
    submit_all(e, c, w->n_warm, BATCH, &t);
    t = (tape){0};
    double start = now();
    submit_all(e, c + w->n_warm, w->n_timed, batch, &t);
    double seconds = now() - start;
    if (memcmp(&t, &w->expected_clients, sizeof t) != 0 || mm_engine_check(e)) {
        fprintf(stderr, "engine: trades differ from the expected ones: no figure counts\n");
        exit(1);
    }
    mm_engine_destroy(e);
    return seconds;
}

int main(int argc, char **argv)
{
    int runs = argc == 2 ? atoi(argv[1]) : 0;
    if (runs < 1) {
        fprintf(stderr, "usage: engine_bench RUNS\n");
        return 2;
    }
    static const struct {
        const char *name;
        uint32_t batch, remembered, emit_top;
    } kinds[] = {{"engine", BATCH, 1 << 21, 0},
                 {"engine_top", BATCH, 1 << 21, 1},
                 {"engine_forgetful", BATCH, 0, 0},
                 {"engine_one_by_one", 1, 1 << 21, 0}};
    for (int deep = 0; deep < 2; deep++) {
        workload *w = workload_make(deep, 1000000, 42);
        mm_command *c = commands_of(w);
        for (int i = 0; i < runs; i++) {
            for (unsigned k = 0; k < sizeof kinds / sizeof *kinds; k++)
                printf("throughput %s %s %.0f\n", kinds[k].name, deep ? "deep" : "base",
                       (double)w->n_timed / run(w, c, kinds[k].batch, kinds[k].remembered, kinds[k].emit_top));
        }
        free(c);
        workload_free(w);
    }
    return 0;
}
