/* What the pipeline costs, each figure beside a floor of the same run:
 *   audit copy   the engine loop's time above the bare engine's, per audit record, with and without reports
 *   writer       records a second to disk against the same writes and fdatasyncs without a ring, taking turns
 *   lag          from a record becoming visible to being on disk, at a steady rate
 * Usage: pipeline_bench SHARED_DIRECTORY LOG_DIRECTORY ORDERS. Prints one JSON object. */
#define _GNU_SOURCE
#include "../audit_file.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define CHUNK   4096
#define SYMBOLS 16
#define NOBODY  63 /* a gateway number that this exchange does not have: no reports are made */

static const mm_config engine_config = {
    .n_symbols = SYMBOLS, .max_orders = 1 << 16, .max_levels = 1 << 16, .window_ticks = 4096, .hash_seed = 1};

static _Noreturn void stop(const char *text)
{
    fprintf(stderr, "pipeline_bench: %s\n", text);
    exit(2);
}

/* The processor's time of this thread: what others do on a busy machine is not counted. For what neither waits nor writes. */
static uint64_t busy_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

static uint64_t random_state;

static uint64_t next_random(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

/* Three in four are limit orders around a price, one in four cancels a recent one: about two records an order. */
static void make_orders(mm_order_message *orders, uint64_t first, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++) {
        uint64_t r = next_random(), id = first + i + 1, cancel = r % 4 == 0 && id > 64;
        orders[i] = (mm_order_message){
            .command = {.op = cancel ? MM_CANCEL : MM_NEW,
                        .side = r >> 8 & 1,
                        .account = (r >> 9 & 7),
                        .symbol = (r >> 16) % SYMBOLS,
                        .cl_ord_id = id,
                        .orig_cl_ord_id = cancel ? id - 1 - (r >> 24) % 60 : 0,
                        .price_ticks = 10000 + (int64_t)((r >> 32) % 41) - 20,
                        .quantity_lots = 1 + (int64_t)((r >> 40) % 100)},
            .session = 1,
        };
        snprintf(orders[i].text, sizeof orders[i].text, "ORDER-%llu", (unsigned long long)id);
    }
}

static mm_pipeline *fresh(const char *shared, mm_fault *fault)
{
    mm_pipeline_config c = {
        .gateways = 1, .order_slots = 1 << 14, .audit_slots = 1 << 16, .report_slots = 1 << 15, .epoch = 1};
    mm_pipeline *p = mm_pipeline_create(shared, &c, fault) ? NULL : mm_pipeline_attach(shared, fault);
    if (!p)
        stop(fault->text);
    mm_pipeline_set_state(p, MM_RUNNING);
    return p;
}

/* What each chunk took at least, over all turns: a chunk is a millisecond or two, and is the same in each turn. */
static double fewest(uint64_t *least, uint64_t chunk, uint64_t took)
{
    if (!least[chunk] || took < least[chunk])
        least[chunk] = took;
    return (double)least[chunk];
}

static double bare_engine(uint64_t orders, mm_order_message *chunk, uint64_t *events, uint64_t *least)
{
    mm_engine *e = mm_engine_map(&engine_config, 0);
    mm_event out[64];
    double spent = 0;
    random_state = 42;
    for (uint64_t done = 0; done < orders; done += CHUNK) {
        make_orders(chunk, done, CHUNK);
        uint64_t start = busy_ns();
        for (int i = 0; i < CHUNK; i++) {
            mm_progress p;
            int code = mm_engine_submit(e, &chunk[i].command, 1, out, 64, &p);
            for (*events += p.events; code == MM_FULL; *events += p.events)
                code = mm_engine_submit(e, NULL, 0, out, 64, &p);
        }
        spent += fewest(least, done / CHUNK, busy_ns() - start);
    }
    mm_engine_destroy(e);
    return spent;
}

static double loop(const char *shared, const char *log, uint64_t orders, mm_order_message *chunk, bool reports,
                   uint64_t *records, uint64_t *least)
{
    mm_fault fault;
    mm_pipeline *p = fresh(shared, &fault);
    mm_engine_loop *l = mm_engine_loop_open(p, log, &engine_config, &fault);
    if (!l)
        stop(fault.text);
    double spent = 0;
    random_state = 42;
    for (uint64_t done = 0; done < orders; done += CHUNK) {
        make_orders(chunk, done, CHUNK);
        for (int i = 0; i < CHUNK; i++) {
            uint64_t position = mm_mpsc_claim(&p->order_ring, 0);
            mm_order_slot *slot = mm_mpsc_slot(&p->order_ring, position);
            slot->order = chunk[i];
            slot->order.gateway = reports ? 0 : NOBODY;
            mm_mpsc_publish(&p->order_ring, position, 0);
        }
        uint64_t start = busy_ns();
        for (uint64_t n = 0; n < CHUNK;)
            n += mm_engine_loop_poll(l);
        spent += fewest(least, done / CHUNK, busy_ns() - start);
        const mm_report *first;
        for (uint64_t n; (n = mm_reports_peek(p, 0, &first, UINT64_MAX)) != 0;)
            mm_reports_release(p, 0, n);
        mm_store(&p->audit->durable.word, mm_load(&p->audit->tail.word)); /* a writer that takes no time */
    }
    *records = mm_load(&p->audit->tail.word);
    mm_engine_loop_close(l);
    mm_pipeline_detach(p);
    return spent;
}

static double copy_floor(uint64_t records)
{
    uint64_t slots = 1 << 16;
    mm_audit_record *ring = calloc(slots, sizeof *ring), one = {.sequence = 1};
    for (uint64_t i = 0; i < slots; i++)
        ring[i].sequence = i;
    uint64_t start = busy_ns();
    for (uint64_t i = 0; i < records; i++) {
        one.sequence = i;
        memcpy(&ring[i & (slots - 1)], &one, sizeof one);
        __asm__ volatile("" ::: "memory");
    }
    double spent = (double)(busy_ns() - start);
    free(ring);
    return spent;
}

/* --- the writer --- */

static void fill_ring(mm_pipeline *p, uint64_t n)
{
    uint64_t tail = mm_load(&p->audit->tail.word);
    for (uint64_t i = 1; i <= n; i++) {
        mm_audit_record *r = &p->audit->slots[(tail + i) & (p->audit->head.slots - 1)];
        *r = (mm_audit_record){.sequence = tail + i, .epoch = 1, .kind = MM_RECORD_COMMAND, .running_hash = tail + i};
    }
    mm_store(&p->audit->tail.word, tail + n);
}

static void raw_batches(int fd, const mm_audit_record *from, uint64_t n, off_t *at)
{
    for (uint64_t i = 0; i < n; i += MM_AUDIT_BATCH_MAX) {
        uint64_t part = n - i < MM_AUDIT_BATCH_MAX ? n - i : MM_AUDIT_BATCH_MAX;
        ssize_t bytes = (ssize_t)(part * sizeof *from);
        if (pwrite(fd, from + i, (size_t)bytes, *at) != bytes || fdatasync(fd))
            stop("raw write failed");
        *at += bytes;
    }
}

static void writer(const char *shared, const char *log, double *ours, double *raw, uint64_t *records)
{
    enum { ROUNDS = 12, ROUND = 50000 };
    mm_fault fault;
    mm_pipeline *p = fresh(shared, &fault);
    mm_writer_config c = {.engine = engine_config, .file_records = (ROUNDS + 1) * ROUND};
    mm_writer *w = mm_writer_open(p, log, &c, &fault);
    char path[MM_AUDIT_PATH];
    snprintf(path, sizeof path, "%s/raw", log);
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (!w || fd < 0 || posix_fallocate(fd, 0, (off_t)((ROUNDS + 1) * ROUND * sizeof(mm_audit_record))) || fsync(fd))
        stop(w ? "cannot make the raw file" : fault.text);
    mm_audit_record *source = malloc(ROUND * sizeof *source);
    memset(source, 1, ROUND * sizeof *source);
    off_t at = 0;
    *ours = *raw = 0;
    for (int round = 0; round <= ROUNDS; round++) {
        fill_ring(p, ROUND);
        uint64_t start = mm_now_ns();
        for (int64_t n = 0, done = 0; done < ROUND; done += n)
            if ((n = mm_writer_poll(w)) < 0)
                stop(p->control->failure);
        uint64_t middle = mm_now_ns();
        raw_batches(fd, source, ROUND, &at);
        if (!round)
            continue; /* the first warms up */
        *ours += (double)(middle - start);
        *raw += (double)(mm_now_ns() - middle);
    }
    *records = (uint64_t)ROUNDS * ROUND;
    close(fd);
    unlink(path);
    free(source);
    mm_writer_close(w);
    mm_pipeline_detach(p);
}

/* --- lag --- */

static void *write_on(void *w)
{
    while (mm_writer_run(w, 20000000, MM_WAIT_YIELD) == 0) {
    }
    return NULL;
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* One thread is gateway and engine, the other the writer. Lags in ns, sorted; their number. */
static uint64_t lag(const char *shared, const char *log, uint64_t per_second, uint64_t *lags, uint64_t most)
{
    mm_fault fault;
    mm_pipeline *p = fresh(shared, &fault);
    mm_writer_config c = {.engine = engine_config, .file_records = 2000000, .linger_ns = 1000000};
    mm_writer *w = mm_writer_open(p, log, &c, &fault);
    mm_engine_loop *l = w ? mm_engine_loop_open(p, log, &engine_config, &fault) : NULL;
    pthread_t thread;
    if (!l || pthread_create(&thread, NULL, write_on, w))
        stop(fault.text);
    mm_order_message order;
    uint64_t start = mm_now_ns(), sent = 0, n = 0, oldest = 0;
    uint64_t *visible = calloc(most, sizeof *visible), *when = calloc(most, sizeof *when);
    uint64_t seen = 0;
    random_state = 42;
    while (oldest < most) {
        uint64_t now = mm_now_ns();
        if (sent < (now - start) * per_second / 1000000000 && n < most) {
            make_orders(&order, sent, 1);
            sent += mm_orders_put(p, 0, &order, NULL) == MM_PUT_OK;
        }
        mm_engine_loop_poll(l);
        const mm_report *first;
        mm_reports_release(p, 0, mm_reports_peek(p, 0, &first, UINT64_MAX));
        uint64_t tail = mm_load(&p->audit->tail.word), durable = mm_pipeline_durable_sequence(p);
        now = mm_now_ns();
        if (tail != seen && n < most) {
            visible[n] = seen = tail;
            when[n++] = now;
        }
        for (; oldest < n && visible[oldest] <= durable; oldest++)
            lags[oldest] = now - when[oldest];
    }
    mm_engine_loop_close(l);
    mm_pipeline_set_state(p, MM_STOPPING);
    pthread_join(thread, NULL);
    mm_writer_close(w);
    mm_pipeline_detach(p);
    free(visible);
    free(when);
    qsort(lags, most, sizeof *lags, by_value);
    return most;
}

static void subdirectory(char *out, const char *log, const char *name)
{
    snprintf(out, 3800, "%.3700s/%s", log, name);
}

int main(int argc, char **argv)
{
    if (argc != 4)
        stop("usage: pipeline_bench SHARED_DIRECTORY LOG_DIRECTORY ORDERS");
    const char *shared = argv[1], *log = argv[2];
    uint64_t orders = strtoull(argv[3], NULL, 10) / CHUNK * CHUNK;
    if (!orders)
        stop("ORDERS must be at least 4096");
    char path[3800];
    mm_order_message *chunk = malloc(CHUNK * sizeof *chunk);
    uint64_t n_chunks = orders / CHUNK, *least = calloc(3 * n_chunks, sizeof *least);
    double best_bare = 1e30, best_silent = 1e30, best_full = 1e30, best_copy = 1e30;
    uint64_t records = 0, events;
    for (int turn = 0; turn < 7; turn++) {
        events = 0;
        double bare = bare_engine(orders, chunk, &events, least);
        subdirectory(path, log, "none"); /* no log: the engine starts empty */
        double silent = loop(shared, path, orders, chunk, false, &records, least + n_chunks),
               full = loop(shared, path, orders, chunk, true, &records, least + 2 * n_chunks);
        double copy = copy_floor(records);
        best_bare = bare < best_bare ? bare : best_bare;
        best_silent = silent < best_silent ? silent : best_silent;
        best_full = full < best_full ? full : best_full;
        best_copy = copy < best_copy ? copy : best_copy;
    }
    if (records != events + orders)
        stop("the loop did not make a record for each command and event");
    double n = (double)records, ours, raw;
    printf("{\"orders\":%llu,\"records\":%llu,\"bare_engine_ns_per_order\":%.1f,\"audit_copy_ns_per_record\":%.1f,"
           "\"memcpy_floor_ns_per_record\":%.1f,\"with_reports_ns_per_record\":%.1f,\"loop_orders_per_s\":%.0f,",
           (unsigned long long)orders, (unsigned long long)records, best_bare / (double)orders,
           (best_silent - best_bare) / n, best_copy / n, (best_full - best_bare) / n, (double)orders / best_full * 1e9);
    uint64_t written;
    subdirectory(path, log, "writer");
    writer(shared, path, &ours, &raw, &written);
    printf("\"writer_records_per_s\":%.0f,\"raw_disk_records_per_s\":%.0f,\"writer_to_raw\":%.3f,",
           (double)written / ours * 1e9, (double)written / raw * 1e9, raw / ours);
    enum { SAMPLES = 50000 };
    uint64_t *lags = malloc(SAMPLES * sizeof *lags);
    subdirectory(path, log, "lag");
    /* A quarter of what this disk takes just now, about 2.3 records an order, and no more than 100,000 orders a second. */
    double per_second = (double)written / raw * 1e9 / 4 / 2.3;
    per_second = per_second < 100000 ? per_second : 100000;
    uint64_t count = lag(shared, path, (uint64_t)per_second, lags, SAMPLES);
    printf("\"lag_orders_per_s\":%.0f,", per_second);
    printf("\"lag_samples\":%llu,\"lag_ns_p50\":%llu,\"lag_ns_p99\":%llu,\"lag_ns_p999\":%llu,\"lag_ns_max\":%llu}\n",
           (unsigned long long)count, (unsigned long long)lags[count / 2], (unsigned long long)lags[count * 99 / 100],
           (unsigned long long)lags[count * 999 / 1000], (unsigned long long)lags[count - 1]);
    free(lags);
    free(chunk);
    return 0;
}
