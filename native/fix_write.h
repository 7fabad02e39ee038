/* Writing FIX fields: cursors into a buffer that the caller made large enough. The message's head is put in last, in the room
 * left before the body, so that BodyLength needs no guess. Inline: a report has twenty numbers. */
#ifndef MM_FIX_WRITE_H
#define MM_FIX_WRITE_H

#include "matchmark/fix.h"

#include <string.h>

#define MM_FIX_HEAD_ROOM 32 /* "8=FIXT.1.1|9=123456|" fits */

extern const char mm_two_digits[200];
extern const uint64_t mm_powers_of_ten[20];

/* A literal: PUT(at, "\00158="). */
#define PUT(at, literal) (memcpy((at), (literal), sizeof(literal) - 1), (at) + sizeof(literal) - 1)

static inline char *put_text(char *at, const char *text, uint32_t length)
{
    memcpy(at, text, length);
    return at + length;
}

static inline uint32_t digits_of(uint64_t value)
{
    uint32_t guess = (uint32_t)(64 - __builtin_clzll(value | 1)) * 1233 >> 12;
    return guess + (value >= mm_powers_of_ten[guess] || !guess);
}

/* Exactly `digits` digits, zeros in front. Below 2^32 the divisions are narrow, which most numbers on the wire are. */
static inline char *put_digits(char *at, uint64_t value, uint32_t digits)
{
    char *end = at + digits, *p = end;
    while (value > UINT32_MAX && p - at >= 2) {
        memcpy(p -= 2, mm_two_digits + value % 100 * 2, 2);
        value /= 100;
    }
    uint32_t narrow = (uint32_t)value;
    while (p - at >= 2) {
        uint32_t rest = narrow / 100;
        memcpy(p -= 2, mm_two_digits + (narrow - rest * 100) * 2, 2);
        narrow = rest;
    }
    if (p > at)
        *--p = (char)('0' + narrow % 10);
    return end;
}

static inline char *put_uint(char *at, uint64_t value)
{
    uint32_t digits = digits_of(value);
    return put_digits(at, value, digits);
}

static inline char *put_decimal(char *at, int64_t units, uint32_t digits)
{
    uint64_t size = units < 0 ? (uint64_t)0 - (uint64_t)units : (uint64_t)units;
    if (units < 0)
        *at++ = '-';
    uint64_t whole = size / mm_powers_of_ten[digits];
    at = put_uint(at, whole);
    if (!digits)
        return at;
    *at++ = '.';
    return put_digits(at, size - whole * mm_powers_of_ten[digits], digits);
}

/* "YYYYMMDD-HH:MM:SS.sss", 21 bytes; the envelope remembers the second. */
char *mm_fix_put_utc(mm_fix_envelope *envelope, char *at, uint64_t ns);

/* "35=<type>|49=..|56=..|34=<seq>|52=..|" and, when orig_ns, "43=Y|122=..|". The body begins at out + MM_FIX_HEAD_ROOM. */
char *mm_fix_put_header(mm_fix_envelope *envelope, char *out, const char *type, uint64_t seq, uint64_t sending_ns,
                        uint64_t orig_ns);
/* Head before the body, CheckSum after it; `end` is where the body ends, after its last SOH. Returns where the message starts. */
const char *mm_fix_close(const mm_fix_envelope *envelope, char *out, char *end, uint32_t *length);

#endif
