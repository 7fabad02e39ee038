/* What counting stages costs: the processor's time of the writer a record with and without it, taking turns on a log in memory; and of
 * a report's three counts and its share of a reading of the clock, as the gateway does them.
 * Usage: stages_bench SHARED_DIRECTORY LOG_DIRECTORY. Prints one line of text. */
#define _GNU_SOURCE
#include "../audit_file.h"
#include "../stages.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { ROUNDS = 40, ROUND = 50000, PER_BATCH = 20, REPORTS = 1 << 16, AT_ONCE = 64 };

static const mm_config engine = {.n_symbols = 1, .max_orders = 1024, .max_levels = 1024, .window_ticks = 64};
static mm_stages stages;

static _Noreturn void stop(const char *text)
{
    fprintf(stderr, "stages_bench: %s\n", text);
    exit(2);
}

static uint64_t busy_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

static void fill_ring(mm_pipeline *p)
{
    uint64_t tail = mm_load(&p->audit->tail.word), now = mm_now_ns();
    for (uint64_t s = tail + 1; s <= tail + ROUND; s++)
        p->audit->slots[s & (p->audit->head.slots - 1)] =
            (mm_audit_record){.sequence = s,
                              .epoch = 1,
                              .kind = s % 2 ? MM_RECORD_COMMAND : MM_RECORD_EVENT,
                              .stage_b_ns = now + s / PER_BATCH};
    mm_store(&p->audit->tail.word, tail + ROUND);
}

static double writer_ns(mm_pipeline *p, mm_writer *w, mm_stages *measured)
{
    fill_ring(p);
    mm_writer_measure(w, measured);
    uint64_t start = busy_ns();
    for (int64_t n = 0, done = 0; done < ROUND; done += n)
        if ((n = mm_writer_poll(w)) < 0)
            stop(p->control->failure);
    return (double)(busy_ns() - start) / ROUND;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values)
{
    qsort(values, ROUNDS, sizeof *values, by_value);
    return values[ROUNDS / 2];
}

static double report_ns(void)
{
    static uint64_t received[REPORTS];
    uint64_t now = mm_now_ns(), state = 88172645463325252u;
    for (int i = 0; i < REPORTS; i++) {
        state ^= state << 13, state ^= state >> 7, state ^= state << 17;
        received[i] = now - 20000 - state % 40000;
    }
    uint64_t start = busy_ns();
    for (int i = 0; i < REPORTS; i++) {
        uint64_t sent = i % AT_ONCE ? now : mm_now_ns();
        mm_stage_span(&stages.rows[MM_STAGE_AUDIT_ACCEPTED + i % 5 * 2], received[i], now, 1);
        mm_stage_span(&stages.rows[MM_STAGE_SENT_ACCEPTED + i % 5 * 2], received[i], sent, 1);
        if (i % AT_ONCE == 0)
            mm_stage_span(&stages.rows[MM_STAGE_COPY], received[i], now, 1);
    }
    return (double)(busy_ns() - start) / REPORTS;
}

int main(int argc, char **argv)
{
    mm_fault fault;
    mm_pipeline_config c = {.gateways = 1, .order_slots = 64, .audit_slots = 1 << 16, .report_slots = 64, .epoch = 1};
    if (argc != 3 || mm_pipeline_create(argv[1], &c, &fault))
        stop(argc != 3 ? "two directories are needed" : fault.text);
    mm_pipeline *p = mm_pipeline_attach(argv[1], &fault);
    mm_writer_config wc = {.engine = engine, .file_records = (2 * ROUNDS + 3) * ROUND};
    mm_writer *w = p ? mm_writer_open(p, argv[2], &wc, &fault) : NULL;
    if (!w)
        stop(fault.text);
    mm_pipeline_set_state(p, MM_RUNNING);
    double with[ROUNDS], without[ROUNDS], reports[ROUNDS];
    writer_ns(p, w, &stages);
    for (int i = 0; i < ROUNDS; i++) {
        without[i] = writer_ns(p, w, NULL);
        with[i] = writer_ns(p, w, &stages);
        reports[i] = report_ns();
    }
    double off = median(without), on = median(with);
    printf("writer %.1f ns a record without stages, %.1f with: ratio %.3f; gateway %.1f ns a report more\n", off, on,
           on / off, median(reports));
    mm_writer_close(w);
    mm_pipeline_detach(p);
    return 0;
}
