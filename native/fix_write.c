/* The exchange's messages to bytes: header, CheckSum, ExecutionReport(8) and OrderCancelReject(9). */
#include "fix_write.h"

#include <stdbool.h>

#if defined(__x86_64__)
#include <emmintrin.h>
#endif

/* Not ended by a zero: the table is exactly its digits. */
const char mm_two_digits[200] =
    "0001020304050607080910111213141516171819202122232425262728293031323334353637383940414243444546474849"
    "5051525354555657585960616263646566676869707172737475767778798081828384858687888990919293949596979899";

const uint64_t mm_powers_of_ten[20] = {UINT64_C(1),
                                       UINT64_C(10),
                                       UINT64_C(100),
                                       UINT64_C(1000),
                                       UINT64_C(10000),
                                       UINT64_C(100000),
                                       UINT64_C(1000000),
                                       UINT64_C(10000000),
                                       UINT64_C(100000000),
                                       UINT64_C(1000000000),
                                       UINT64_C(10000000000),
                                       UINT64_C(100000000000),
                                       UINT64_C(1000000000000),
                                       UINT64_C(10000000000000),
                                       UINT64_C(100000000000000),
                                       UINT64_C(1000000000000000),
                                       UINT64_C(10000000000000000),
                                       UINT64_C(100000000000000000),
                                       UINT64_C(1000000000000000000),
                                       UINT64_C(10000000000000000000)};

int mm_fix_envelope_make(mm_fix_envelope *e, const char *begin_string, const char *sender, const char *target)
{
    const char *ids[] = {sender, target};
    if (strlen(begin_string) > sizeof e->begin - 6)
        return 0;
    for (int i = 0; i < 2; i++) {
        size_t n = strlen(ids[i]);
        if (n < 1 || n > 64)
            return 0;
        for (size_t c = 0; c < n; c++)
            if ((unsigned char)ids[i][c] < 32 || (unsigned char)ids[i][c] == 127)
                return 0;
    }
    memset(e, 0, sizeof *e);
    char *at = put_text(PUT(e->begin, "8="), begin_string, (uint32_t)strlen(begin_string));
    e->begin_length = (uint32_t)(PUT(at, "\0019=") - e->begin);
    at = put_text(PUT(e->comps, "49="), sender, (uint32_t)strlen(sender));
    at = put_text(PUT(at, "\00156="), target, (uint32_t)strlen(target));
    e->comps_length = (uint32_t)(PUT(at, "\00134=") - e->comps);
    e->second = UINT64_MAX;
    return 1;
}

/* The calendar day of a count of days since 1970-01-01, as YYYYMMDD. */
static void put_day(char *at, uint64_t days)
{
    uint64_t z = days + 719468, era = z / 146097, of_era = z - era * 146097;
    uint64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    uint64_t of_year = of_era - (365 * year + year / 4 - year / 100), shifted = (5 * of_year + 2) / 153;
    uint64_t day = of_year - (153 * shifted + 2) / 5 + 1, month = shifted < 10 ? shifted + 3 : shifted - 9;
    year += era * 400 + (month <= 2);
    put_digits(put_digits(put_digits(at, year, 4), month, 2), day, 2);
}

static void show_second(mm_fix_envelope *e, uint64_t second)
{
    uint64_t of_day = second % 86400;
    if (e->second == UINT64_MAX || e->second / 86400 != second / 86400)
        put_day(e->clock, second / 86400);
    e->clock[8] = '-';
    put_digits(e->clock + 9, of_day / 3600, 2)[0] = ':';
    put_digits(e->clock + 12, of_day / 60 % 60, 2)[0] = ':';
    put_digits(e->clock + 15, of_day % 60, 2)[0] = '.';
    e->second = second;
}

char *mm_fix_put_utc(mm_fix_envelope *e, char *at, uint64_t ns)
{
    uint64_t second = ns / 1000000000;
    if (second != e->second)
        show_second(e, second);
    memcpy(at, e->clock, 18);
    return put_digits(at + 18, (ns - second * 1000000000) / 1000000, 3);
}

char *mm_fix_put_header(mm_fix_envelope *e, char *out, const char *type, uint64_t seq, uint64_t sending_ns,
                        uint64_t orig_ns)
{
    char *at = PUT(out + MM_FIX_HEAD_ROOM, "35=");
    while (*type)
        *at++ = *type++;
    *at++ = 1;
    at = put_text(at, e->comps, e->comps_length);
    at = PUT(put_uint(at, seq), "\00152=");
    at = mm_fix_put_utc(e, at, sending_ns);
    *at++ = 1;
    if (!orig_ns)
        return at;
    at = mm_fix_put_utc(e, PUT(at, "43=Y\001122="), orig_ns);
    *at++ = 1;
    return at;
}

static unsigned checksum(const char *p, const char *end)
{
    uint64_t sum = 0;
#if defined(__x86_64__)
    __m128i sums = _mm_setzero_si128();
    for (; end - p >= 16; p += 16)
        sums =
            _mm_add_epi64(sums, _mm_sad_epu8(_mm_loadu_si128((const __m128i *)(const void *)p), _mm_setzero_si128()));
    sum = (uint64_t)_mm_cvtsi128_si64(sums) + (uint64_t)_mm_cvtsi128_si64(_mm_unpackhi_epi64(sums, sums));
#endif
    while (p < end)
        sum += (unsigned char)*p++;
    return (unsigned)(sum & 255);
}

const char *mm_fix_close(const mm_fix_envelope *e, char *out, char *end, uint32_t *length)
{
    char *body = out + MM_FIX_HEAD_ROOM;
    uint64_t body_length = (uint64_t)(end - body);
    uint32_t digits = digits_of(body_length);
    char *start = body - 1 - digits - e->begin_length;
    *put_digits(put_text(start, e->begin, e->begin_length), body_length, digits) = 1;
    unsigned sum = checksum(start, end);
    *put_digits(PUT(end, "10="), sum, 3) = 1;
    *length = (uint32_t)(end + 7 - start);
    return start;
}

static char *put_order(char *at, const mm_fix_report *r)
{
    if (r->account_length)
        at = put_text(PUT(at, "1="), r->account, r->account_length), *at++ = 1;
    at = put_text(PUT(at, "55="), r->symbol, r->symbol_length);
    *at++ = 1;
    if (r->side) {
        at = PUT(at, "54= \001");
        at[-2] = r->side;
    }
    if (r->order_lots) {
        at = put_uint(PUT(at, "38="), r->order_lots * r->lot_size);
        at = PUT(at, "\00140= \001");
        at[-2] = r->ord_type;
        at = PUT(at, "59= \001");
        at[-2] = r->time_in_force;
    }
    if (r->has_price)
        at = put_decimal(PUT(at, "44="), r->price_units, r->price_digits), *at++ = 1;
    return at;
}

static char *put_execution(char *at, const mm_fix_report *r)
{
    at = put_uint(PUT(at, "17="), r->exec_id);
    at = PUT(at, "\001150= \00139= \001");
    at[-7] = r->exec_type;
    at[-2] = r->ord_status;
    if (r->exec_type == '8' && r->has_reason)
        at = put_uint(PUT(at, "103="), r->reject_reason), *at++ = 1;
    at = put_order(at, r);
    if (r->has_last) {
        at = put_uint(PUT(at, "32="), r->last_lots * r->lot_size);
        at = put_decimal(PUT(at, "\00131="), r->last_units, r->price_digits);
        *at++ = 1;
    }
    at = put_uint(PUT(at, "151="), r->leaves_lots * r->lot_size);
    at = put_uint(PUT(at, "\00114="), r->cum_lots * r->lot_size);
    at = PUT(at, "\0016=");
    at = r->average_units ? put_decimal(at, r->average_units, r->price_digits + (uint32_t)r->average_extra)
                          : PUT(at, "0");
    *at++ = 1;
    return at;
}

static char *put_cancel_reject(char *at, const mm_fix_report *r)
{
    at = PUT(at, "39= \001434= \001");
    at[-8] = r->ord_status;
    at[-2] = r->cancel_response;
    if (r->has_reason)
        at = put_uint(PUT(at, "102="), r->reject_reason), *at++ = 1;
    return at;
}

static char *put_report(mm_fix_envelope *e, char *at, const mm_fix_report *r)
{
    at = PUT(at, "37=");
    at = r->order_id ? put_uint(at, r->order_id) : PUT(at, "NONE");
    at = put_text(PUT(at, "\00111="), r->cl_ord_id, r->cl_ord_id_length);
    *at++ = 1;
    if (r->orig_length)
        at = put_text(PUT(at, "41="), r->orig, r->orig_length), *at++ = 1;
    at = r->cancel_response ? put_cancel_reject(at, r) : put_execution(at, r);
    at = mm_fix_put_utc(e, PUT(at, "60="), r->transact_ns);
    *at++ = 1;
    if (r->text_length)
        at = put_text(PUT(at, "58="), r->text, r->text_length), *at++ = 1;
    return at;
}

const char *mm_fix_write_report(mm_fix_envelope *e, const mm_fix_report *r, uint64_t seq, uint64_t sending_ns,
                                uint64_t orig_sending_ns, char *out, uint32_t *length)
{
    char *at = mm_fix_put_header(e, out, r->cancel_response ? "9" : "8", seq, sending_ns, orig_sending_ns);
    return mm_fix_close(e, out, put_report(e, at, r), length);
}

uint32_t mm_fix_report_fields(mm_fix_envelope *e, const mm_fix_report *r, char *out)
{
    return (uint32_t)(put_report(e, out, r) - out);
}
