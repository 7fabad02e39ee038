/* What all messages of the exchange have: header, time stamps, CheckSum. */
#include "fix_write.h"

#include <stdbool.h>

#if defined(__x86_64__)
#include <emmintrin.h>
#endif

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

static uint32_t sum_of(const char *text, uint32_t length)
{
    uint32_t sum = 0;
    for (uint32_t i = 0; i < length; i++)
        sum += (unsigned char)text[i];
    return sum;
}

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
    e->begin_sum = sum_of(e->begin, e->begin_length);
    e->comps_sum = sum_of(e->comps, e->comps_length);
    mm_fix_show_second(e, 0);
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

void mm_fix_show_second(mm_fix_envelope *e, uint64_t second)
{
    uint64_t of_day = second % 86400;
    if (e->second == UINT64_MAX || e->second / 86400 != second / 86400)
        put_day(e->clock, second / 86400);
    e->clock[8] = '-';
    put_digits(e->clock + 9, of_day / 3600, 2)[0] = ':';
    put_digits(e->clock + 12, of_day / 60 % 60, 2)[0] = ':';
    put_digits(e->clock + 15, of_day % 60, 2)[0] = '.';
    e->second = second;
    e->clock_sum = sum_of(e->clock, 18);
}

char *mm_fix_put_utc(mm_fix_envelope *e, char *at, uint64_t ns)
{
    uint64_t second = ns / 1000000000;
    if (second != e->second)
        mm_fix_show_second(e, second);
    memcpy(at, e->clock, 24);
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

/* The sum of the bytes; those from `end` to the next whole sixteen, which are free, are made zeros first. */
static unsigned checksum(const char *p, char *end)
{
    uint64_t sum = 0;
    memset(end, 0, 16);
#if defined(__x86_64__)
    const __m128i zero = _mm_setzero_si128();
    __m128i sums = zero;
    for (; p < end; p += 16)
        sums = _mm_add_epi64(sums, _mm_sad_epu8(_mm_loadu_si128((const __m128i *)(const void *)p), zero));
    sum = (uint64_t)_mm_cvtsi128_si64(sums) + (uint64_t)_mm_cvtsi128_si64(_mm_unpackhi_epi64(sums, sums));
#else
    while (p < end)
        sum += (unsigned char)*p++;
#endif
    return (unsigned)(sum & 255);
}

const char *mm_fix_close(const mm_fix_envelope *e, char *out, char *end, uint32_t *length)
{
    char *body = out + MM_FIX_HEAD_ROOM;
    uint64_t body_length = (uint64_t)(end - body);
    uint32_t digits = digits_of(body_length);
    char *start = body - 1 - digits - e->begin_length, *at = put_text(start, e->begin, e->begin_length) + digits;
    *at = 1;
    for (uint64_t rest = body_length; digits; digits--, rest /= 10)
        *--at = (char)('0' + rest % 10);
    unsigned sum = checksum(start, end);
    *put_digits(PUT(end, "10="), sum, 3) = 1;
    *length = (uint32_t)(end + 7 - start);
    return start;
}
