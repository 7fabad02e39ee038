/* Plays the five regimes of harness_workload.h through an engine library of the harness interface and prints messages a second.
 *
 * The clock runs from the first message to the return of flush, with a second thread draining the reports as they come, as
 * under the public harness. Every run's report stream is hashed, and all runs of a regime must agree. The floor is an engine
 * that answers each message with one report and has no book: what the calls and the transport cost by themselves. Floor and
 * engine take turns, and medians are printed: by the wall clock, and by processor time of the driving thread, which other
 * work on the machine disturbs less. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "harness_workload.h"
#include "plain_queue.h"

#if defined(__x86_64__)
#define cpu_pause() __builtin_ia32_pause()
#else
#define cpu_pause() ((void)0)
#endif

#define QUEUE_REPORTS (UINT32_C(1) << 20)
#define DRAIN_AT_ONCE 256
#define RUNS_MAX      99

typedef struct engine {
    void (*init)(uint64_t, const mh_transport *, void *);
    void (*shutdown)(void);
    void (*on_new_order)(const mh_new_order *);
    void (*on_cancel)(const mh_cancel *);
    void (*on_modify)(const mh_modify *);
    void (*flush)(void);
    const mh_transport *(*get_transport)(void);
} engine;

typedef struct drain {
    const mh_transport *transport;
    void *queue;
    atomic_bool stop;
    mh_report *reports; /* room for `max` */
    uint64_t n, max;
} drain;

typedef struct seconds {
    double wall, cpu;
} seconds;

typedef struct options {
    const char *engine_path, *regime;
    uint32_t orders, runs;
    uint64_t seed;
    int driver_core, drain_core;
    bool plain_transport;
} options;

static void die(const char *what, const char *why)
{
    fprintf(stderr, "harness_replay: %s%s%s\n", what, why ? ": " : "", why ? why : "");
    exit(2);
}

/* --- the floor --------------------------------------------------------------------------------------------------- */

static const mh_transport *floor_transport;
static void *floor_queue;

static void floor_init(uint64_t seed, const mh_transport *transport, void *queue)
{
    (void)seed;
    floor_transport = transport;
    floor_queue = queue;
}

static void floor_nothing(void)
{
}

static void floor_say(uint8_t type, uint64_t sequence, uint64_t id)
{
    mh_report r = {.type = type, .sequence = sequence, .order_id = id};
    while (!floor_transport->push(floor_queue, &r))
        cpu_pause();
}

static void floor_new_order(const mh_new_order *m)
{
    floor_say(MH_ORDER_ACK, m->sequence, m->order_id);
}

static void floor_cancel(const mh_cancel *m)
{
    floor_say(MH_CANCEL_ACK, m->sequence, m->order_id);
}

static void floor_modify(const mh_modify *m)
{
    floor_say(MH_MODIFY_ACK, m->sequence, m->order_id);
}

/* --- one run ----------------------------------------------------------------------------------------------------- */

static void pin(int core)
{
    if (core < 0)
        return;
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(core, &set);
    if (sched_setaffinity(0, sizeof set, &set))
        die("cannot pin a thread to its core; give --driver-core and --drain-core, -1 for any", NULL);
}

static void *drain_main(void *context)
{
    drain *d = context;
    for (;;) {
        bool last = atomic_load_explicit(&d->stop, memory_order_acquire);
        uint32_t max = d->max - d->n < DRAIN_AT_ONCE ? (uint32_t)(d->max - d->n) : DRAIN_AT_ONCE;
        uint32_t n = d->transport->drain(d->queue, d->reports + d->n, max);
        d->n += n;
        if (d->n == d->max)
            die("the engine made more reports than there can be", NULL);
        if (!n) {
            if (last)
                return NULL;
            cpu_pause();
        }
    }
}

static double clock_s(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static seconds play(const engine *e, const hw_workload *w, drain *d, const options *o)
{
    pthread_t thread;
    d->n = 0;
    d->stop = false;
    d->queue = d->transport->create(QUEUE_REPORTS);
    if (!d->queue)
        die("the transport cannot be made", NULL);
    pin(o->drain_core);
    if (pthread_create(&thread, NULL, drain_main, d))
        die("no thread for the reports", NULL);
    pin(o->driver_core);
    e->init(o->seed, d->transport, d->queue);
    seconds start = {clock_s(CLOCK_MONOTONIC), clock_s(CLOCK_THREAD_CPUTIME_ID)};
    for (uint32_t i = 0; i < w->n; i++) {
        const mh_message *m = &w->messages[i];
        if (m->type == MH_NEW_ORDER)
            e->on_new_order(&m->as.new_order);
        else if (m->type == MH_CANCEL)
            e->on_cancel(&m->as.cancel);
        else
            e->on_modify(&m->as.modify);
    }
    e->flush();
    d->transport->flush(d->queue);
    seconds taken = {clock_s(CLOCK_MONOTONIC) - start.wall, clock_s(CLOCK_THREAD_CPUTIME_ID) - start.cpu};
    atomic_store_explicit(&d->stop, true, memory_order_release);
    pthread_join(thread, NULL);
    e->shutdown();
    d->transport->destroy(d->queue);
    return taken;
}

/* --- what came out ----------------------------------------------------------------------------------------------- */

static uint64_t mix(uint64_t h, uint64_t v)
{
    h = (h ^ v) * UINT64_C(0xD6E8FEB86659FD93);
    return h ^ (h >> 32);
}

/* Of every report in the order of arrival, over the fields that the interface defines. */
static uint64_t hash_reports(const drain *d, uint64_t *trades)
{
    uint64_t h = 0;
    *trades = 0;
    for (uint64_t i = 0; i < d->n; i++) {
        const mh_report *r = &d->reports[i];
        h = mix(mix(mix(h, r->type), r->sequence), r->order_id);
        if (r->type == MH_TRADE) {
            ++*trades;
            h = mix(mix(h, r->resting_id), r->incoming_id);
        }
        if (r->type == MH_TRADE || r->type == MH_ORDER_ACK || r->type == MH_MODIFY_ACK)
            h = mix(mix(h, (uint64_t)r->price_ticks), r->quantity_lots);
    }
    return h;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, uint32_t n)
{
    qsort(values, n, sizeof *values, ascending);
    return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

/* In millions of messages a second, of `n` messages; sorts the times. */
static double rate(double *times_s, uint32_t runs, uint32_t n)
{
    return n / median(times_s, runs) / 1e6;
}

/* The engine's rates, by wall clock and processor time. */
static seconds measure(int regime, const engine *e, const engine *floor, drain *d, const options *o)
{
    hw_workload w = hw_generate(regime, o->orders, o->seed);
    if (!w.messages)
        die("not enough memory for the workload", NULL);
    double wall[RUNS_MAX], cpu[RUNS_MAX], floor_wall[RUNS_MAX], floor_cpu[RUNS_MAX];
    uint64_t hash = 0, trades = 0;
    for (uint32_t i = 0; i < o->runs; i++) {
        seconds s = play(floor, &w, d, o);
        floor_wall[i] = s.wall;
        floor_cpu[i] = s.cpu;
        s = play(e, &w, d, o);
        wall[i] = s.wall;
        cpu[i] = s.cpu;
        uint64_t h = hash_reports(d, &trades);
        if (i && h != hash)
            die("two runs of the same messages gave different reports", hw_regime_names[regime]);
        hash = h;
    }
    seconds rates = {rate(wall, o->runs, w.n), rate(cpu, o->runs, w.n)};
    double floor_rate = rate(floor_cpu, o->runs, w.n);
    printf("%-12s %8u %8llu  %6.2f %6.2f  %6.2f  %6.2f %6.2f  %4.2f  %016llx\n", hw_regime_names[regime], w.n,
           (unsigned long long)trades, rates.wall, w.n / wall[0] / 1e6, rates.cpu, rate(floor_wall, o->runs, w.n),
           floor_rate, rates.cpu / floor_rate, (unsigned long long)hash);
    fflush(stdout);
    free(w.messages);
    return rates;
}

/* --- command line ------------------------------------------------------------------------------------------------ */

static void *symbol(void *library, const char *name, bool required)
{
    void *at = dlsym(library, name);
    if (!at && required)
        die("the library lacks a symbol of the harness interface", name);
    return at;
}

static engine load(const char *path)
{
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library)
        die("cannot load the engine", dlerror());
    return (engine){symbol(library, "engine_init", true),          symbol(library, "engine_shutdown", true),
                    symbol(library, "engine_on_new_order", true),  symbol(library, "engine_on_cancel", true),
                    symbol(library, "engine_on_modify", true),     symbol(library, "engine_flush", true),
                    symbol(library, "engine_get_transport", false)};
}

static uint64_t number(const char *text, const char *option, uint64_t low, uint64_t high)
{
    char *end;
    unsigned long long value = strtoull(text ? text : "", &end, 10);
    if (!text || *end || end == text || value < low || value > high)
        die("not a number in range", option);
    return value;
}

static options parse(int argc, char **argv)
{
    options o = {.regime = NULL, .orders = 1000000, .runs = 7, .seed = 1, .driver_core = 0, .drain_core = 1};
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (!strcmp(argv[i], "--plain-transport")) {
            o.plain_transport = true;
            continue;
        }
        i++;
        if (!strcmp(argv[i - 1], "--engine") && value)
            o.engine_path = value;
        else if (!strcmp(argv[i - 1], "--regime") && value)
            o.regime = value;
        else if (!strcmp(argv[i - 1], "--orders"))
            o.orders = (uint32_t)number(value, "--orders", 2, 100000000);
        else if (!strcmp(argv[i - 1], "--runs"))
            o.runs = (uint32_t)number(value, "--runs", 1, RUNS_MAX);
        else if (!strcmp(argv[i - 1], "--seed"))
            o.seed = number(value, "--seed", 0, UINT64_MAX);
        else if (!strcmp(argv[i - 1], "--driver-core"))
            o.driver_core =
                value && !strcmp(value, "-1") ? -1 : (int)number(value, "--driver-core", 0, CPU_SETSIZE - 1);
        else if (!strcmp(argv[i - 1], "--drain-core"))
            o.drain_core = value && !strcmp(value, "-1") ? -1 : (int)number(value, "--drain-core", 0, CPU_SETSIZE - 1);
        else
            die("unknown option", argv[i - 1]);
    }
    if (!o.engine_path)
        die("usage: harness_replay --engine LIBRARY [--regime NAME] [--orders N] [--runs N] [--seed N] "
            "[--plain-transport] "
            "[--driver-core N] [--drain-core N]",
            NULL);
    return o;
}

int main(int argc, char **argv)
{
    options o = parse(argc, argv);
    engine e = load(o.engine_path);
    const engine floor = {floor_init, floor_nothing, floor_new_order, floor_cancel, floor_modify, floor_nothing, NULL};
    drain d = {.transport = !o.plain_transport && e.get_transport ? e.get_transport() : NULL};
    if (!d.transport)
        d.transport = &mh_plain_transport;
    d.max = o.orders * UINT64_C(16);
    d.reports = malloc(d.max * sizeof *d.reports);
    if (!d.reports)
        die("not enough memory for the reports", NULL);
    memset(d.reports, 0, o.orders * UINT64_C(3) * sizeof *d.reports); /* page faults are paid here */
    printf("M messages/s; reports carried by %s\n",
           d.transport == &mh_plain_transport ? "a plain queue" : "the engine's own queue");
    printf("regime       messages   trades    wall   best     cpu   floor: wall cpu  of it  hash of the reports\n");
    seconds worst = {0};
    for (int regime = 0; regime < HW_REGIMES; regime++) {
        if (o.regime && strcmp(o.regime, hw_regime_names[regime]))
            continue;
        seconds rates = measure(regime, &e, &floor, &d, &o);
        worst.wall = worst.wall && worst.wall < rates.wall ? worst.wall : rates.wall;
        worst.cpu = worst.cpu && worst.cpu < rates.cpu ? worst.cpu : rates.cpu;
    }
    if (!worst.wall)
        die("no such regime; one of static, normal, swing-25, swing-40, flash-crash", o.regime);
    printf("worst regime: %.2f by the wall clock, %.2f by processor time\n", worst.wall, worst.cpu);
    free(d.reports);
    return 0;
}
