/* Numbers out of a message's bytes, eight at a time: for who knows that MM_FIX_PAD readable bytes follow, as they do a parsed message.
 * What is longer or not plain goes to fix_values.c. */
#ifndef MM_FIX_READ_H
#define MM_FIX_READ_H

#include "matchmark/fix.h"

#include <stdbool.h>
#include <string.h>

#define MM_EACH_BYTE(b) (UINT64_C(0x0101010101010101) * (b))

/* 1 to 8 characters at the high end of a word, '0' taken from each, zeros below: the first character lowest. */
static inline uint64_t mm_digits_at(const char *text, uint32_t length)
{
    uint64_t word = 0;
    unsigned char in_order[8];
    memcpy(in_order, text, 8);
    for (int i = 0; i < 8; i++) /* one load where the processor is little-endian */
        word |= (uint64_t)in_order[i] << 8 * i;
    return (word ^ MM_EACH_BYTE('0')) << (64 - 8 * length);
}

/* The high bit of each byte that is no digit. */
static inline uint64_t mm_no_digits(uint64_t digits)
{
    return (digits | ((digits & MM_EACH_BYTE(0x7f)) + MM_EACH_BYTE(0x76))) & MM_EACH_BYTE(0x80);
}

/* Eight digits, the first lowest, to a number: pairs, then fours, then all. */
static inline uint32_t mm_digits_value(uint64_t digits)
{
    digits = (digits * 10 + (digits >> 8)) & UINT64_C(0x00ff00ff00ff00ff);
    digits = (digits * 100 + (digits >> 16)) & UINT64_C(0x0000ffff0000ffff);
    return (uint32_t)((digits & UINT32_MAX) * 10000 + (digits >> 32));
}

static inline bool mm_fix_uint_in(const char *text, uint32_t length, uint64_t *value)
{
    if (length - 1 >= 8)
        return mm_fix_read_uint(text, length, value);
    uint64_t digits = mm_digits_at(text, length);
    *value = mm_digits_value(digits);
    return !mm_no_digits(digits);
}

/* A point among at most 8 characters, with `decimals` digits behind it, taken out; anything else goes the slow way. */
static inline bool mm_fix_decimal_in(const char *text, uint32_t length, uint32_t decimals, int64_t *units)
{
    static const uint32_t powers[] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000, 1000000000};
    if (length - 1 >= 8 || decimals > 9)
        return mm_fix_read_decimal(text, length, decimals, units);
    uint64_t word = mm_digits_at(text, length), odd = mm_no_digits(word);
    if (odd) { /* the highest character that is no digit is the point, or it is not plain */
        uint32_t behind = (uint32_t)__builtin_clzll(odd) / 8;
        uint64_t above = behind ? ~UINT64_C(0) << (64 - 8 * behind) : 0; /* digits behind the point */
        if (behind > decimals || length == 1 || (odd & (odd - 1)) || text[length - 1 - behind] != '.')
            return mm_fix_read_decimal(text, length, decimals, units);
        uint64_t below = behind < 7 ? ~UINT64_C(0) >> (8 * behind + 8) : 0;
        word = (word & above) | (word & below) << 8;
        decimals -= behind;
    }
    *units = (int64_t)mm_digits_value(word) * powers[decimals];
    return true;
}

/* mm_fix_get, where a call would cost as much again. */
static inline const mm_fix_field *mm_fix_find(const mm_fix_message *m, uint32_t tag)
{
    if (__builtin_constant_p(tag) && tag < MM_FIX_MAX_TAG)
        return m->index[tag] >> 9 == m->stamp ? &m->fields[(m->index[tag] & 511) - 1] : NULL;
    return mm_fix_get(m, tag);
}

#endif
