/* Writing FIX fields: cursors into a buffer that the caller made large enough. The message's head is put in last, in the room
 * left before the body, so that BodyLength needs no guess. Inline: a report has twenty numbers. */
#ifndef MM_FIX_WRITE_H
#define MM_FIX_WRITE_H

#include "matchmark/fix.h"

#include <string.h>

#define MM_FIX_HEAD_ROOM 32 /* "8=FIXT.1.1|9=123456|" fits */

extern const uint64_t mm_powers_of_ten[20];

static inline char *put_fixed(char *at, const char *text, size_t length)
{
    memcpy(at, text, length);
    return at + length;
}

/* A literal: PUT(at, "\00158="). */
#define PUT(at, literal) put_fixed((at), (literal), sizeof(literal) - 1)

/* memcpy by overlapping pieces: a call costs more than most of these texts. */
static inline char *put_text(char *at, const char *text, uint32_t length)
{
    char *end = at + length;
    if (length > 64)
        memcpy(at, text, length);
    else if (length >= 16) {
        for (uint32_t i = 0; i + 16 < length; i += 16)
            memcpy(at + i, text + i, 16);
        memcpy(end - 16, text + length - 16, 16);
    } else if (length >= 8) {
        memcpy(at, text, 8);
        memcpy(end - 8, text + length - 8, 8);
    } else if (length >= 4) {
        memcpy(at, text, 4);
        memcpy(end - 4, text + length - 4, 4);
    } else if (length) {
        at[0] = text[0];
        at[length / 2] = text[length / 2];
        end[-1] = text[length - 1];
    }
    return end;
}

static inline uint32_t digits_of(uint64_t value)
{
    uint32_t guess = (uint32_t)(64 - __builtin_clzll(value | 1)) * 1233 >> 12;
    return guess + (value >= mm_powers_of_ten[guess] || !guess);
}

/* Eight bytes, the first lowest. */
static inline void put_word(char *at, uint64_t word)
{
    unsigned char in_order[8];
    for (int i = 0; i < 8; i++) /* one store where the processor is little-endian */
        in_order[i] = (unsigned char)(word >> 8 * i);
    memcpy(at, in_order, 8);
}

/* The eight digits of a number below 10^8, the first lowest: halves, quarters, then digits, side by side in one word. */
static inline uint64_t eight_digits(uint32_t value)
{
    uint64_t high = value / 10000, halves = high | (value - high * 10000) << 32;
    uint64_t hundreds = (halves * 10486 >> 20) & UINT64_C(0x0000007f0000007f);
    uint64_t quarters = hundreds | (halves - hundreds * 100) << 16;
    uint64_t tens = (quarters * 103 >> 10) & UINT64_C(0x000f000f000f000f);
    return (tens | (quarters - tens * 10) << 8) | UINT64_C(0x3030303030303030);
}

/* Exactly `digits` digits, 1 to 20, zeros in front. Writes whole words: up to seven bytes behind are overwritten. */
static inline char *put_digits(char *at, uint64_t value, uint32_t digits)
{
    while (digits > 8) {
        uint32_t first = (digits - 1) % 8 + 1, rest = digits - first;
        uint64_t high = value / mm_powers_of_ten[rest];
        put_word(at, eight_digits((uint32_t)high) >> (64 - 8 * first));
        value -= high * mm_powers_of_ten[rest];
        at += first;
        digits = rest;
    }
    put_word(at, eight_digits((uint32_t)value) >> (64 - 8 * digits));
    return at + digits;
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

static inline uint64_t load_word(const char *text)
{
    unsigned char in_order[8];
    uint64_t word = 0;
    memcpy(in_order, text, 8);
    for (int i = 0; i < 8; i++) /* one load where the processor is little-endian */
        word |= (uint64_t)in_order[i] << 8 * i;
    return word;
}

/* 0 to 7 bytes, the first lowest; no other is read. */
static inline uint64_t load_short(const char *text, uint32_t n)
{
    const unsigned char *t = (const unsigned char *)text;
    if (n >= 4) {
        uint64_t low = t[0] | (uint32_t)t[1] << 8 | (uint32_t)t[2] << 16 | (uint32_t)t[3] << 24;
        t += n - 4;
        uint64_t high = t[0] | (uint32_t)t[1] << 8 | (uint32_t)t[2] << 16 | (uint32_t)t[3] << 24;
        return low | high << 8 * (n - 4);
    }
    return n ? t[0] | (uint64_t)t[n / 2] << 8 * (n / 2) | (uint64_t)t[n - 1] << 8 * (n - 1) : 0;
}

/* "YYYYMMDD-HH:MM:SS.sss", 21 bytes; the envelope remembers the second. */
char *mm_fix_put_utc(mm_fix_envelope *envelope, char *at, uint64_t ns);

void mm_fix_show_second(mm_fix_envelope *envelope, uint64_t second);

/* mm_fix_write_report with its body beginning at `body`, and the head in what lies before it. */
const char *mm_fix_write_report_body(mm_fix_envelope *envelope, const mm_fix_report *report, uint64_t seq,
                                     uint64_t sending_ns, uint64_t orig_sending_ns, char *body, uint32_t *length);

/* "35=<type>|49=..|56=..|34=<seq>|52=..|" and, when orig_ns, "43=Y|122=..|". The body begins at out + MM_FIX_HEAD_ROOM. */
char *mm_fix_put_header(mm_fix_envelope *envelope, char *out, const char *type, uint64_t seq, uint64_t sending_ns,
                        uint64_t orig_ns);
/* Head before the body, CheckSum after it; `end` is where the body ends, after its last SOH. Returns where the message starts. */
const char *mm_fix_close(const mm_fix_envelope *envelope, char *out, char *end, uint32_t *length);

#endif
