/* Values of FIX fields: text to integers and instants. Strict: what FIX does not allow is not read. */
#include "fix_dictionary.h"

#include <string.h>

#define DAY_NS UINT64_C(86400000000000)

int mm_fix_read_uint(const char *text, uint32_t length, uint64_t *value)
{
    if (!length || length > 18)
        return 0;
    uint64_t sum = 0;
    for (uint32_t i = 0; i < length; i++) {
        unsigned digit = (unsigned)(text[i] - '0');
        if (digit > 9)
            return 0;
        sum = sum * 10 + digit;
    }
    *value = sum;
    return 1;
}

int mm_fix_read_decimal(const char *text, uint32_t length, uint32_t digits, int64_t *units)
{
    uint32_t at = 0, seen = 0, decimals = 0;
    bool negative = length && text[0] == '-', point = false;
    int64_t sum = 0;
    for (at = negative; at < length; at++) {
        unsigned digit = (unsigned)(text[at] - '0');
        if (text[at] == '.' && !point) {
            point = true;
            continue;
        }
        if (digit > 9)
            return 0;
        seen++;
        if (point && decimals == digits) {
            if (digit)
                return 0; /* finer than a unit */
            continue;
        }
        decimals += point;
        if (__builtin_mul_overflow(sum, 10, &sum) || __builtin_add_overflow(sum, (int64_t)digit, &sum))
            return 0;
    }
    for (; decimals < digits; decimals++)
        if (__builtin_mul_overflow(sum, 10, &sum))
            return 0;
    *units = negative ? -sum : sum;
    return seen != 0;
}

static int two(const char *p)
{
    unsigned high = (unsigned)(p[0] - '0'), low = (unsigned)(p[1] - '0');
    return high > 9 || low > 9 ? -1 : (int)(high * 10 + low);
}

/* Days since 1970-01-01 of a date of the Gregorian calendar. */
static int64_t days_of(int64_t year, int64_t month, int64_t day)
{
    year -= month <= 2;
    int64_t era = year / 400, of_era = year - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

/* 1 when the 8 characters are a date of 1970 or later, and then *days. */
static int read_date(const char *p, int64_t *days)
{
    static const int month_days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int century = two(p), year = two(p + 2), month = two(p + 4), day = two(p + 6);
    if (century < 19 || year < 0 || month < 1 || month > 12 || day < 1)
        return 0;
    year += century * 100;
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    if (day > month_days[month - 1] + (month == 2 && leap) || year < 1970 || year > 2400)
        return 0;
    *days = days_of(year, month, day);
    return 1;
}

/* One to nine decimals of a second, in nanoseconds. */
static int read_fraction(const char *p, uint32_t digits, uint64_t *ns)
{
    static const uint32_t scale[] = {0, 100000000, 10000000, 1000000, 100000, 10000, 1000, 100, 10, 1};
    uint64_t value;
    if (digits > 9 || !mm_fix_read_uint(p, digits, &value))
        return 0;
    *ns = value * scale[digits];
    return 1;
}

/* "HH:MM:SS" and up to nine decimals; a leap second is let pass as the second after. */
static int read_time(const char *p, uint32_t length, uint64_t *ns)
{
    if (length < 8 || length > 18 || p[2] != ':' || p[5] != ':')
        return 0;
    int hour = two(p), minute = two(p + 3), second = two(p + 6);
    if (hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 60)
        return 0;
    uint64_t fraction = 0;
    if (length > 8 && (p[8] != '.' || !read_fraction(p + 9, length - 9, &fraction)))
        return 0;
    *ns = (uint64_t)(hour * 3600 + minute * 60 + second) * 1000000000 + fraction;
    return 1;
}

/* The part of a UTC time that changes once a second, into the cache. */
static int read_second(mm_fix_message *cache, const char *text)
{
    uint64_t of_day;
    int64_t days;
    if (text[8] != '-' || !read_date(text, &days) || !read_time(text + 9, 8, &of_day))
        return 0;
    memcpy(cache->second_text, text, 17);
    cache->second_ns = (uint64_t)days * DAY_NS + of_day;
    return 1;
}

static bool same_second(const mm_fix_message *cache, const char *text)
{
    uint64_t a[2], b[2];
    memcpy(a, cache->second_text, 16);
    memcpy(b, text, 16);
    return !((a[0] ^ b[0]) | (a[1] ^ b[1])) && cache->second_text[16] == text[16];
}

int mm_fix_read_utc(mm_fix_message *cache, const char *text, uint32_t length, uint64_t *ns)
{
    uint64_t fraction = 0;
    if (length < 17 || (!same_second(cache, text) && !read_second(cache, text)))
        return 0;
    if (length > 17 && (text[17] != '.' || length > 27 || !read_fraction(text + 18, length - 18, &fraction)))
        return 0;
    *ns = cache->second_ns + fraction;
    return 1;
}

/* All of 1 to 8 bytes are digits. Reads 8 bytes, which MM_FIX_PAD allows. */
static inline bool short_digits(const char *p, uint32_t length)
{
    uint64_t word;
    memcpy(&word, p, 8);
    word = (word ^ UINT64_C(0x3030303030303030)) << (64 - 8 * length);
    return !((word | (word + UINT64_C(0x7676767676767676))) & UINT64_C(0x8080808080808080));
}

static int is_integer(const char *p, uint32_t length)
{
    uint64_t value;
    uint32_t sign = length && p[0] == '-';
    return mm_fix_read_uint(p + sign, length - sign, &value);
}

/* Digits and at most one point; how large is for whoever reads the number. */
static int is_decimal(const char *p, uint32_t length)
{
    uint32_t digits = 0, points = 0;
    for (uint32_t i = p[0] == '-'; i < length; i++) {
        if ((unsigned)(p[i] - '0') < 10)
            digits++;
        else if (p[i] != '.' || points++)
            return 0;
    }
    return digits != 0;
}

static int is_month(const char *p, uint32_t length)
{
    char date[8] = {'0', '0', '0', '0', '0', '0', '0', '1'};
    int64_t days;
    if (length != 6 && length != 8)
        return 0;
    memcpy(date, p, 6);
    if (length == 8 && p[6] == 'w')
        return p[7] >= '1' && p[7] <= '5' && read_date(date, &days);
    if (length == 8)
        memcpy(date + 6, p + 6, 2);
    return read_date(date, &days);
}

int mm_fix_has_format(mm_fix_message *m, const mm_fix_field *f, uint32_t format)
{
    const char *p = m->bytes + f->at;
    uint64_t value;
    int64_t days;
    switch (format) {
    case MM_FIX_CHAR:
        return f->length == 1;
    case MM_FIX_INT:
        return is_integer(p, f->length);
    case MM_FIX_UINT:
    case MM_FIX_LENGTH:
    case MM_FIX_COUNT:
        if (f->length - 1u < 8)
            return short_digits(p, f->length);
        return mm_fix_read_uint(p, f->length, &value);
    case MM_FIX_DECIMAL:
        if (f->length - 1u < 8 && short_digits(p, f->length))
            return 1;
        return is_decimal(p, f->length);
    case MM_FIX_BOOLEAN:
        return f->length == 1 && (*p == 'Y' || *p == 'N');
    case MM_FIX_UTC:
        return mm_fix_read_utc(m, p, f->length, &value);
    case MM_FIX_DATE:
        return f->length == 8 && read_date(p, &days);
    case MM_FIX_TIME:
        return read_time(p, f->length, &value);
    case MM_FIX_MONTH:
        return is_month(p, f->length);
    default:
        return 1;
    }
}
