/* Reports as they are written against the same made with snprintf, to the last byte. Usage: fix_reports ROUNDS. Exit 1: they differ. */
#define _DEFAULT_SOURCE
#include "fix_write.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static uint64_t random_state = 88172645463325252;

static uint64_t next_random(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

static uint64_t below(uint64_t n)
{
    return (next_random() >> 11) % n;
}

/* Of any number of digits, and now and then just about a power of ten. */
static uint64_t some(uint32_t digits)
{
    uint64_t top = mm_powers_of_ten[1 + below(digits)], near = top - 2 + below(4);
    return below(4) ? below(top) : near;
}

static char wanted[4096];
static uint32_t n_wanted;

static void add(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    n_wanted += (uint32_t)vsnprintf(wanted + n_wanted, sizeof wanted - n_wanted, format, arguments);
    va_end(arguments);
}

static void add_text(uint32_t tag, const char *text, uint32_t n)
{
    add("%u=%.*s\001", tag, (int)n, text);
}

static void add_decimal(uint32_t tag, int64_t units, uint32_t digits)
{
    uint64_t size = units < 0 ? (uint64_t)-units : (uint64_t)units, unit = mm_powers_of_ten[digits];
    add("%u=%s%" PRIu64, tag, units < 0 ? "-" : "", size / unit);
    if (digits)
        add(".%0*" PRIu64, (int)digits, size % unit);
    add("\001");
}

static void add_time(uint32_t tag, uint64_t ns)
{
    time_t second = (time_t)(ns / 1000000000);
    struct tm t;
    char text[32];
    gmtime_r(&second, &t);
    strftime(text, sizeof text, "%Y%m%d-%H:%M:%S", &t);
    add("%u=%s.%03u\001", tag, text, (unsigned)(ns / 1000000 % 1000));
}

static void add_report(const mm_fix_report *r)
{
    r->order_id ? add("37=%" PRIu64 "\001", r->order_id) : add("37=NONE\001");
    add_text(11, r->cl_ord_id, r->cl_ord_id_length);
    if (r->orig_length)
        add_text(41, r->orig, r->orig_length);
    if (r->cancel_response) {
        add("39=%c\001434=%c\001", r->ord_status, r->cancel_response);
        if (r->has_reason)
            add("102=%u\001", r->reject_reason);
    } else {
        add("17=%" PRIu64 "\001150=%c\00139=%c\001", r->exec_id, r->exec_type, r->ord_status);
        if (r->exec_type == '8' && r->has_reason)
            add("103=%u\001", r->reject_reason);
        if (r->account_length)
            add_text(1, r->account, r->account_length);
        add_text(55, r->symbol, r->symbol_length);
        if (r->side)
            add("54=%c\001", r->side);
        if (r->order_lots)
            add("38=%" PRIu64 "\00140=%c\00159=%c\001", r->order_lots * r->lot_size, r->ord_type, r->time_in_force);
        if (r->has_price)
            add_decimal(44, r->price_units, r->price_digits);
        if (r->has_last) {
            add("32=%" PRIu64 "\001", r->last_lots * r->lot_size);
            add_decimal(31, r->last_units, r->price_digits);
        }
        add("151=%" PRIu64 "\00114=%" PRIu64 "\001", r->leaves_lots * r->lot_size, r->cum_lots * r->lot_size);
        if (r->average_units)
            add_decimal(6, r->average_units, r->price_digits + (uint32_t)r->average_extra);
        else
            add("6=0\001");
    }
    add_time(60, r->transact_ns);
    if (r->text_length)
        add_text(58, r->text, r->text_length);
}

static void make(mm_fix_report *r, char *text)
{
    for (int i = 0; i < 200; i++)
        text[i] = (char)(33 + below(94));
    *r = (mm_fix_report){.exec_type = "0458FI"[below(6)],
                         .ord_status = "0128"[below(4)],
                         .side = "\00012"[below(3)],
                         .ord_type = "12"[below(2)],
                         .time_in_force = "03"[below(2)],
                         .cl_ord_id = text + below(100),
                         .cl_ord_id_length = (uint8_t)(1 + below(40)),
                         .orig = text + below(100),
                         .orig_length = (uint8_t)(below(2) ? below(41) : 0),
                         .symbol = text + below(100),
                         .symbol_length = (uint8_t)(1 + below(24)),
                         .account = text + below(100),
                         .account_length = (uint8_t)below(65),
                         .text = text + below(100),
                         .text_length = (uint8_t)(below(2) ? below(100) : 0),
                         .price_digits = (uint8_t)below(10),
                         .average_extra = (uint8_t)below(5),
                         .cancel_response = (uint8_t)(below(4) ? 0 : '1'),
                         .reject_reason = (uint16_t)below(100),
                         .has_reason = below(2) != 0,
                         .has_price = below(2) != 0,
                         .has_last = below(2) != 0,
                         .order_lots = (uint32_t)some(9),
                         .leaves_lots = (uint32_t)some(9),
                         .cum_lots = (uint32_t)some(9),
                         .last_lots = (uint32_t)some(9),
                         .lot_size = 1 + below(1000),
                         .order_id = below(10) ? some(19) : 0,
                         .exec_id = some(19),
                         .transact_ns = below(UINT64_C(4000000000000000000)),
                         .price_units = (int64_t)some(18),
                         .last_units = (int64_t)some(18),
                         .average_units = (int64_t)some(18)};
    if (below(8) == 0)
        r->price_units = -r->price_units;
}

static void compare(mm_fix_envelope *e, const mm_fix_report *r, uint64_t seq, uint64_t sending_ns, uint64_t orig_ns)
{
    static char body[4096], out[MM_FIX_REPORT_ROOM];
    uint32_t length, n_body, n, sum = 0;
    n_wanted = 0;
    add("35=%c\00149=US-%d\00156=THEM\00134=%" PRIu64 "\001", r->cancel_response ? '9' : '8', 12345, seq);
    add_time(52, sending_ns);
    if (orig_ns) {
        add("43=Y\001");
        add_time(122, orig_ns);
    }
    uint32_t header = n_wanted;
    add_report(r);
    n_body = n_wanted;
    memcpy(body, wanted, n_body);
    uint32_t fields = mm_fix_report_fields(e, r, out);
    if (fields != n_body - header || memcmp(out, body + header, fields) != 0) {
        fprintf(stderr, "fields differ: %.*s\n", (int)fields, out);
        exit(1);
    }
    n_wanted = 0;
    add("8=FIX.4.4\0019=%u\001", n_body);
    memcpy(wanted + n_wanted, body, n_body);
    n_wanted += n_body;
    for (uint32_t i = 0; i < n_wanted; i++)
        sum += (unsigned char)wanted[i];
    add("10=%03u\001", sum & 255);
    const char *from = mm_fix_write_report(e, r, seq, sending_ns, orig_ns, out, &length);
    n = length < n_wanted ? length : n_wanted;
    if (length != n_wanted || memcmp(from, wanted, n) != 0) {
        fprintf(stderr, "messages differ:\n%.*s\n%.*s\n", (int)length, from, (int)n_wanted, wanted);
        exit(1);
    }
}

int main(int argc, char **argv)
{
    mm_fix_envelope e;
    if (argc != 2 || !mm_fix_envelope_make(&e, "FIX.4.4", "US-12345", "THEM"))
        return 2;
    for (long round = strtol(argv[1], NULL, 10); round > 0; round--) {
        mm_fix_report r;
        char text[200];
        make(&r, text);
        uint64_t sending_ns = below(2) ? r.transact_ns : below(UINT64_C(4000000000000000000));
        compare(&e, &r, some(19), sending_ns, below(2) ? 1 + below(UINT64_C(4000000000000000000)) : 0);
    }
    return 0;
}
