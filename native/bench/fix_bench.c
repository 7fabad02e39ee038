/* What the FIX codec costs a message, beside the floor: a copy of the same bytes. One line of JSON.
 * Orders are parsed and checked against the dictionary; every field a NewOrderSingle needs is read. */
#define _DEFAULT_SOURCE
#include "fix_write.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum {
    ORDERS = 512,
    ROUNDS = 400,
    STRIDE = 256
}; /* the inputs stay in the second-level cache, where recv leaves them */

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC_RAW, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static char orders[ORDERS][STRIDE], copies[ORDERS][STRIDE];
static uint32_t lengths[ORDERS];
static const uint64_t start_ns = UINT64_C(1770000000000000000);

static void make_orders(mm_fix_envelope *e)
{
    for (uint32_t i = 0; i < ORDERS; i++) {
        char out[MM_FIX_REPORT_ROOM], *at = mm_fix_put_header(e, out, "D", i + 1, start_ns + i * 1000000ull, 0);
        at = put_uint(PUT(at, "11=ORD"), 1000000 + i * 7919u);
        at = PUT(at, "\0011=ACCOUNT1\00155=SYM");
        at = put_uint(at, i % 300);
        at = PUT(at, "\00154=1\00138=");
        at = put_uint(at, 1 + i % 5000);
        at = PUT(at, "\00140=2\00144=");
        at = put_decimal(at, 10000 + i % 900, 2);
        at = PUT(at, "\00159=0\00121=1\00160=");
        at = mm_fix_put_utc(e, at, start_ns);
        *at++ = 1;
        const char *from = mm_fix_close(e, out, at, &lengths[i]);
        memcpy(orders[i], from, lengths[i]);
    }
}

static uint64_t parse_all(const mm_fix_dictionary *d, mm_fix_message *m)
{
    static const uint32_t tags[] = {34, 52, 11, 1, 55, 54, 38, 40, 44, 59};
    uint64_t sum = 0, value;
    for (uint32_t i = 0; i < ORDERS; i++) {
        uint32_t length;
        if (mm_fix_scan(orders[i], lengths[i], &length) != MM_FIX_FRAME ||
            mm_fix_parse(d, orders[i], length, m) != MM_FIX_PARSED || m->fault != MM_FIX_SOUND)
            abort();
        for (uint32_t t = 0; t < sizeof tags / sizeof *tags; t++)
            sum += mm_fix_get(m, tags[t])->length;
        const mm_fix_field *q = mm_fix_get(m, 38), *p = mm_fix_get(m, 44), *s = mm_fix_get(m, 34);
        int64_t price;
        if (!mm_fix_read_uint(m->bytes + q->at, q->length, &value) ||
            !mm_fix_read_uint(m->bytes + s->at, s->length, &value) ||
            !mm_fix_read_decimal(m->bytes + p->at, p->length, 2, &price))
            abort();
        sum += value + (uint64_t)price;
    }
    return sum;
}

static uint64_t encode_all(mm_fix_envelope *e, uint64_t *bytes)
{
    mm_fix_report r = {.exec_type = 'F',
                       .ord_status = '1',
                       .side = '1',
                       .ord_type = '2',
                       .time_in_force = '0',
                       .cl_ord_id = "ORD1000000",
                       .cl_ord_id_length = 10,
                       .symbol = "SYM17",
                       .symbol_length = 5,
                       .account = "ACCOUNT1",
                       .account_length = 8,
                       .price_digits = 2,
                       .average_extra = 4,
                       .has_price = 1,
                       .has_last = 1,
                       .order_lots = 500,
                       .lot_size = 1};
    uint64_t sum = 0;
    char out[MM_FIX_REPORT_ROOM];
    for (uint32_t i = 0; i < ORDERS; i++) {
        uint32_t length;
        r.order_id = 1000000 + i, r.exec_id = 90000000 + i, r.transact_ns = start_ns + i * 1000ull;
        r.price_units = r.last_units = 10000 + i % 900, r.average_units = r.price_units * 10000;
        r.last_lots = 1 + i % 90, r.cum_lots = 100, r.leaves_lots = 400;
        const char *from = mm_fix_write_report(e, &r, 100000 + i, start_ns + i * 1000ull, 0, out, &length);
        sum += (unsigned char)from[length - 2];
        *bytes = length;
    }
    return sum;
}

static uint64_t copy_all(uint64_t bytes)
{
    for (uint32_t i = 0; i < ORDERS; i++) {
        memcpy(copies[i], orders[i], bytes ? bytes : lengths[i]);
        __asm__ volatile("" ::"r"(copies[i]) : "memory");
    }
    return (uint64_t)copies[ORDERS / 2][20];
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Medians of interleaved rounds, so that a slow spell of the machine falls on all alike. */
int main(void)
{
    mm_fix_envelope in, out;
    const mm_fix_dictionary *d = mm_fix_dictionary_of("FIX.4.4");
    mm_fix_message *m = calloc(1, sizeof *m);
    if (!m || !mm_fix_envelope_make(&in, "FIX.4.4", "CLIENT1", "MATCHMARK") ||
        !mm_fix_envelope_make(&out, "FIX.4.4", "MATCHMARK", "CLIENT1"))
        return 2;
    make_orders(&in);
    uint64_t spent[5][ROUNDS], report_bytes = 0, sink = 0;
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t t[6];
        mm_fix_use_wide(1);
        t[0] = now_ns();
        sink += parse_all(d, m);
        t[1] = now_ns();
        mm_fix_use_wide(0);
        sink += parse_all(d, m);
        t[2] = now_ns();
        sink += encode_all(&out, &report_bytes);
        t[3] = now_ns();
        sink += copy_all(0);
        t[4] = now_ns();
        sink += copy_all(report_bytes);
        t[5] = now_ns();
        for (int i = 0; i < 5; i++)
            spent[i][round] = t[i + 1] - t[i];
    }
    double ns[5];
    for (int i = 0; i < 5; i++) {
        qsort(spent[i], ROUNDS, sizeof spent[i][0], by_value);
        ns[i] = (double)spent[i][ROUNDS / 2] / ORDERS;
    }
    printf("{\"order_bytes\":%u,\"parse_and_check_ns\":%.1f,\"parse_portable_ns\":%.1f,\"order_copy_floor_ns\":%.1f,"
           "\"report_bytes\":%llu,\"report_encode_ns\":%.1f,\"report_copy_floor_ns\":%.1f,\"wide\":%d,\"sink\":%llu}\n",
           lengths[9], ns[0], ns[1], ns[3], (unsigned long long)report_bytes, ns[2], ns[4], mm_fix_use_wide(1),
           (unsigned long long)sink);
    free(m);
    return 0;
}
