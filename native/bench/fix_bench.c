/* What the FIX codec costs a message, beside the floor: a copy of the same bytes. One line of JSON.
 * Orders are parsed and checked against the dictionary; every field a NewOrderSingle needs is read. */
#define _DEFAULT_SOURCE
#include "fix_read.h"
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

/* `clients` of them take turns, each with tags of its own. */
static void make_orders(mm_fix_envelope *e, uint32_t clients)
{
    for (uint32_t i = 0; i < ORDERS; i++) {
        char out[MM_FIX_REPORT_ROOM], *at = mm_fix_put_header(e, out, "D", i + 1, start_ns + i * 1000000ull, 0);
        uint32_t client = i % clients;
        at = client & 1 ? PUT(at, "18=1\001") : at;
        at = client & 2 ? PUT(at, "110=0\001") : at;
        at = client & 4 ? PUT(at, "81=0\001") : at;
        at = client & 8 ? PUT(at, "15=USD\001") : at;
        at = client & 16 ? PUT(at, "77=O\001") : at;
        at = client & 32 ? PUT(at, "207=XNYS\001") : at;
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
            sum += mm_fix_find(m, tags[t])->length;
        const mm_fix_field *q = mm_fix_find(m, 38), *p = mm_fix_find(m, 44), *s = mm_fix_find(m, 34);
        int64_t price;
        if (!mm_fix_uint_in(m->bytes + q->at, q->length, &value) ||
            !mm_fix_uint_in(m->bytes + s->at, s->length, &value) ||
            !mm_fix_decimal_in(m->bytes + p->at, p->length, 2, &price))
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

enum { ONE_LAYOUT, PORTABLE, EIGHT_LAYOUTS, MANY_LAYOUTS, ENCODE, COPY_ORDER, COPY_REPORT, KINDS };

/* Rounds of all kinds in turn, so that a slow spell of the machine falls on all alike; of each kind the round that one in twenty
 * beats: what it costs when nobody interrupts. */
int main(void)
{
    mm_fix_envelope in, out;
    const mm_fix_dictionary *d = mm_fix_dictionary_of("FIX.4.4");
    mm_fix_message *m = calloc(1, sizeof *m);
    if (!m || !mm_fix_envelope_make(&in, "FIX.4.4", "CLIENT1", "MATCHMARK") ||
        !mm_fix_envelope_make(&out, "FIX.4.4", "MATCHMARK", "CLIENT1"))
        return 2;
    uint64_t spent[KINDS][ROUNDS], report_bytes = 0, sink = 0;
    for (int round = 0; round < ROUNDS; round++)
        for (int kind = 0; kind < KINDS; kind++) {
            mm_fix_use_wide(kind != PORTABLE);
            if (kind <= MANY_LAYOUTS) {
                make_orders(&in, kind == EIGHT_LAYOUTS ? 8 : kind == MANY_LAYOUTS ? 64 : 1);
                sink += parse_all(d, m);
            }
            uint64_t start = now_ns();
            if (kind <= MANY_LAYOUTS)
                sink += parse_all(d, m);
            else if (kind == ENCODE)
                sink += encode_all(&out, &report_bytes);
            else
                sink += copy_all(kind == COPY_ORDER ? 0 : report_bytes);
            spent[kind][round] = now_ns() - start;
        }
    double ns[KINDS];
    for (int i = 0; i < KINDS; i++) {
        qsort(spent[i], ROUNDS, sizeof spent[i][0], by_value);
        ns[i] = (double)spent[i][ROUNDS / 20] / ORDERS;
    }
    printf("{\"order_bytes\":%u,\"parse_and_check_ns\":%.1f,\"parse_eight_layouts_ns\":%.1f,\"parse_many_layouts_ns\":%"
           ".1f,"
           "\"parse_portable_ns\":%.1f,\"order_copy_floor_ns\":%.1f,",
           lengths[0], ns[ONE_LAYOUT], ns[EIGHT_LAYOUTS], ns[MANY_LAYOUTS], ns[PORTABLE], ns[COPY_ORDER]);
    printf("\"report_bytes\":%llu,\"report_encode_ns\":%.1f,\"report_copy_floor_ns\":%.1f,\"wide\":%d,\"sink\":%llu}\n",
           (unsigned long long)report_bytes, ns[ENCODE], ns[COPY_REPORT], mm_fix_use_wide(1), (unsigned long long)sink);
    free(m);
    return 0;
}
