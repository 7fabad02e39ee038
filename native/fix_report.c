/* ExecutionReport(8) and OrderCancelReject(9) to bytes: the messages that go out by the million.
 *
 * A pen writes words of up to eight bytes and sums them for CheckSum as it goes: to read a message back right after it was written in
 * small pieces costs more than to write it. Fields begin with the SOH that ends the one before. */
#include "fix_write.h"

#include <stdbool.h>

#if defined(__x86_64__)
#include <emmintrin.h>
typedef __m128i sums;

static inline sums sum_word(sums s, uint64_t word)
{
    return _mm_add_epi64(s, _mm_sad_epu8(_mm_cvtsi64_si128((long long)word), _mm_setzero_si128()));
}

static inline uint32_t total(sums s)
{
    return (uint32_t)_mm_cvtsi128_si64(s);
}
#else
typedef uint64_t sums;

static inline sums sum_word(sums s, uint64_t word)
{
    const uint64_t pairs = UINT64_C(0x00ff00ff00ff00ff);
    word = (word & pairs) + (word >> 8 & pairs);
    return s + (uint32_t)(word * UINT64_C(0x0001000100010001) >> 48);
}

static inline uint32_t total(sums s)
{
    return (uint32_t)s;
}
#endif

/* A pen is in registers only where all that takes it is inline. */
#define INLINE static inline __attribute__((always_inline))

typedef struct pen {
    char *at;
    sums words;
    uint32_t fixed; /* the sum of what is the same in many messages */
} pen;

/* The `n` low bytes, lowest first; those above are zero. Up to seven bytes behind them are overwritten. */
INLINE void ink(pen *p, uint64_t word, uint32_t n)
{
    put_word(p->at, word);
    p->words = sum_word(p->words, word);
    p->at += n;
}

/* A literal of at most sixteen bytes: the compiler makes words and a sum of it. */
#define INK(p, literal) ink_fixed((p), (literal), sizeof(literal) - 1)

INLINE void ink_fixed(pen *p, const char *text, uint32_t n)
{
    uint64_t low = 0, high = 0;
    for (uint32_t i = 0; i < n && i < 8; i++)
        low |= (uint64_t)(unsigned char)text[i] << 8 * i;
    for (uint32_t i = 8; i < n; i++)
        high |= (uint64_t)(unsigned char)text[i] << 8 * (i - 8);
    for (uint32_t i = 0; i < n; i++)
        p->fixed += (unsigned char)text[i];
    put_word(p->at, low);
    if (n > 8)
        put_word(p->at + 8, high);
    p->at += n;
}

/* One letter of the literal just written. */
INLINE void ink_letter(pen *p, int back, char letter)
{
    p->at[-back] = letter;
    p->fixed += (unsigned char)letter - (unsigned char)' ';
}

INLINE void ink_text(pen *p, const char *text, uint32_t n)
{
    for (; n > 8; n -= 8, text += 8)
        ink(p, load_word(text), 8);
    if (n == 8)
        ink(p, load_word(text), 8);
    else
        ink(p, load_short(text, n), n);
}

#define ZEROS      UINT64_C(0x3030303030303030)
#define FROM_DIGIT UINT64_C(100000000) /* a number from here on has more than eight digits */

/* How far an eight_digits word is to be shifted for its number's first digit to come first, or the one `least` before its last. */
static inline uint32_t leading(uint64_t word, uint32_t least)
{
    return (uint32_t)__builtin_ctzll((word ^ ZEROS) | UINT64_C(1) << (56 - 8 * least)) & 56;
}

/* "000" to "999", the first digit lowest. Filled before main, so that threads need not ask. */
static uint32_t three_digits[1000];

__attribute__((constructor)) static void fill_digits(void)
{
    for (uint32_t i = 0; i < 1000; i++)
        three_digits[i] = (i / 100 | i / 10 % 10 << 8 | i % 10 << 16) + 0x303030;
}

/* eight_digits, with fewer steps where a table is at hand. */
static inline uint64_t digits_by_table(uint32_t value)
{
    uint32_t above = value / 1000, top = above / 1000;
    return three_digits[top] >> 8 | (uint64_t)three_digits[above - top * 1000] << 16 |
           (uint64_t)three_digits[value - above * 1000] << 40;
}

/* All eight digits. */
INLINE void ink_eight(pen *p, uint32_t value)
{
    ink(p, digits_by_table(value), 8);
}

INLINE void ink_short(pen *p, uint32_t value)
{
    uint64_t word = digits_by_table(value);
    uint32_t shift = leading(word, 0);
    ink(p, word >> shift, 8 - shift / 8);
}

INLINE void ink_uint(pen *p, uint64_t value)
{
    if (value >= FROM_DIGIT) {
        uint64_t high = value / FROM_DIGIT;
        if (high >= FROM_DIGIT) {
            ink_short(p, (uint32_t)(high / FROM_DIGIT));
            ink_eight(p, (uint32_t)(high % FROM_DIGIT));
        } else
            ink_short(p, (uint32_t)high);
        ink_eight(p, (uint32_t)(value - high * FROM_DIGIT));
    } else
        ink_short(p, (uint32_t)value);
}

static inline uint64_t divide(uint64_t by_what, uint64_t what)
{
    return (what | by_what) >> 32 ? what / by_what : (uint32_t)what / (uint32_t)by_what;
}

INLINE void ink_decimal(pen *p, int64_t units, uint32_t decimals)
{
    uint64_t size = units < 0 ? (uint64_t)0 - (uint64_t)units : (uint64_t)units;
    if (units < 0)
        ink(p, '-', 1);
    if (!decimals) {
        ink_uint(p, size);
        return;
    }
    if (size < 10000000 && decimals < 7) { /* one word, the point put in */
        uint64_t word = digits_by_table((uint32_t)size);
        uint32_t shift = leading(word, decimals), whole = 64 - shift - 8 * decimals;
        word >>= shift;
        uint64_t behind = word >> whole;
        ink(p, (word ^ behind << whole) | ((uint64_t)'.' | behind << 8) << whole, 9 - shift / 8);
        return;
    }
    uint64_t unit = mm_powers_of_ten[decimals], whole = divide(unit, size), rest = size - whole * unit;
    ink_uint(p, whole);
    ink(p, '.', 1);
    if (decimals > 8) {
        uint64_t high = rest / FROM_DIGIT;
        ink(p, digits_by_table((uint32_t)high) >> (64 - 8 * (decimals - 8)), decimals - 8);
        rest -= high * FROM_DIGIT;
        decimals = 8;
    }
    ink(p, digits_by_table((uint32_t)rest) >> (64 - 8 * decimals), decimals);
}

INLINE void ink_utc(pen *p, mm_fix_envelope *e, uint64_t ns)
{
    uint64_t since = ns - e->second * 1000000000;
    if (since >= 1000000000) {
        mm_fix_show_second(e, ns / 1000000000);
        since = ns % 1000000000;
    }
    memcpy(p->at, e->clock, 24);
    p->at += 18;
    p->fixed += e->clock_sum;
    ink(p, three_digits[(uint32_t)since / 1000000], 3);
}

INLINE void ink_header(pen *p, mm_fix_envelope *e, char type, uint64_t seq, uint64_t sending_ns, uint64_t orig_ns,
                       bool poss_resend)
{
    INK(p, "35= \001");
    ink_letter(p, 2, type);
    p->at = put_text(p->at, e->comps, e->comps_length);
    p->fixed += e->comps_sum;
    ink_uint(p, seq);
    INK(p, "\00152=");
    ink_utc(p, e, sending_ns);
    if (orig_ns) {
        INK(p, "\00143=Y\001122=");
        ink_utc(p, e, orig_ns);
        if (poss_resend)
            INK(p, "\00197=Y");
    }
    INK(p, "\001");
}

INLINE void ink_order(pen *p, const mm_fix_report *r)
{
    if (r->account_length) {
        INK(p, "\0011=");
        ink_text(p, r->account, r->account_length);
    }
    INK(p, "\00155=");
    ink_text(p, r->symbol, r->symbol_length);
    if (r->side) {
        INK(p, "\00154= ");
        ink_letter(p, 1, r->side);
    }
    if (r->order_lots) {
        INK(p, "\00138=");
        ink_uint(p, r->order_lots * r->lot_size);
        INK(p, "\00140= \00159= ");
        ink_letter(p, 6, r->ord_type);
        ink_letter(p, 1, r->time_in_force);
    }
    if (r->has_price) {
        INK(p, "\00144=");
        ink_decimal(p, r->price_units, r->price_digits);
    }
}

INLINE void ink_execution(pen *p, const mm_fix_report *r)
{
    INK(p, "\00117=");
    ink_uint(p, r->exec_id);
    INK(p, "\001150= \00139= ");
    ink_letter(p, 6, r->exec_type);
    ink_letter(p, 1, r->ord_status);
    if (r->exec_type == '8' && r->has_reason) {
        INK(p, "\001103=");
        ink_uint(p, r->reject_reason);
    }
    ink_order(p, r);
    if (r->has_last) {
        INK(p, "\00132=");
        ink_uint(p, r->last_lots * r->lot_size);
        INK(p, "\00131=");
        ink_decimal(p, r->last_units, r->price_digits);
    }
    INK(p, "\001151=");
    ink_uint(p, r->leaves_lots * r->lot_size);
    INK(p, "\00114=");
    ink_uint(p, r->cum_lots * r->lot_size);
    INK(p, "\0016=");
    if (r->average_units)
        ink_decimal(p, r->average_units, r->price_digits + (uint32_t)r->average_extra);
    else
        INK(p, "0");
}

INLINE void ink_cancel_reject(pen *p, const mm_fix_report *r)
{
    INK(p, "\00139= \001434= ");
    ink_letter(p, 7, r->ord_status);
    ink_letter(p, 1, r->cancel_response);
    if (r->has_reason) {
        INK(p, "\001102=");
        ink_uint(p, r->reject_reason);
    }
}

INLINE void ink_report(pen *p, mm_fix_envelope *e, const mm_fix_report *r)
{
    INK(p, "37=");
    if (r->order_id)
        ink_uint(p, r->order_id);
    else
        INK(p, "NONE");
    INK(p, "\00111=");
    ink_text(p, r->cl_ord_id, r->cl_ord_id_length);
    if (r->orig_length) {
        INK(p, "\00141=");
        ink_text(p, r->orig, r->orig_length);
    }
    if (r->cancel_response)
        ink_cancel_reject(p, r);
    else
        ink_execution(p, r);
    INK(p, "\00160=");
    ink_utc(p, e, r->transact_ns);
    if (r->text_length) {
        INK(p, "\00158=");
        ink_text(p, r->text, r->text_length);
    }
    INK(p, "\001");
}

/* The pen's body began at `body`: head before it, CheckSum after it. */
static const char *close(const mm_fix_envelope *e, pen *p, char *body, uint32_t *length)
{
    uint32_t rest = (uint32_t)(p->at - body);
    char *at = body - 1;
    *at = 1;
    for (; rest >= 1000; rest /= 10)
        p->fixed += *--at = (char)('0' + rest % 10);
    for (uint32_t three = three_digits[rest], n = rest >= 100 ? 3 : rest >= 10 ? 2 : 1; n; n--, three <<= 8)
        p->fixed += *--at = (char)(three >> 16);
    char *start = at - e->begin_length;
    put_text(start, e->begin, e->begin_length);
    uint32_t sum = (total(p->words) + p->fixed + e->begin_sum + 1) & 255;
    put_word(p->at, UINT64_C(0x010000003d3031) | (uint64_t)three_digits[sum] << 24);
    *length = (uint32_t)(p->at + 7 - start);
    return start;
}

const char *mm_fix_write_report_body(mm_fix_envelope *e, const mm_fix_report *r, uint64_t seq, uint64_t sending_ns,
                                     uint64_t orig_sending_ns, char *body, uint32_t *length)
{
    pen p = {.at = body};
    ink_header(&p, e, r->cancel_response ? '9' : '8', seq, sending_ns, orig_sending_ns, r->poss_resend);
    ink_report(&p, e, r);
    return close(e, &p, body, length);
}

const char *mm_fix_write_report(mm_fix_envelope *e, const mm_fix_report *r, uint64_t seq, uint64_t sending_ns,
                                uint64_t orig_sending_ns, char *out, uint32_t *length)
{
    return mm_fix_write_report_body(e, r, seq, sending_ns, orig_sending_ns, out + MM_FIX_HEAD_ROOM, length);
}

uint32_t mm_fix_report_fields(mm_fix_envelope *e, const mm_fix_report *r, char *out)
{
    pen p = {.at = out};
    ink_report(&p, e, r);
    return (uint32_t)(p.at - out);
}
