/* FIX as the loads speak it, load.c and cannon.c alike: how messages are told apart and read, how ClOrdIDs and prices are written.
 * Bytes in, fields out: no socket, no clock, no state. */
#ifndef MM_LOAD_WIRE_H
#define MM_LOAD_WIRE_H

#include "fix_write.h"

#include <stdbool.h>
#include <string.h>

enum { LOAD_NAME_DIGITS = 19, LOAD_MESSAGE_MAX = 1 << 16 };

typedef struct load_text {
    const char *at;
    uint32_t n;
} load_text;

/* The fields that matter of one message; absent ones are empty. */
typedef struct load_message {
    char type;
    bool poss_dup, poss_resend, gap_fill;
    uint64_t number, begin, end, new_number, about;
    load_text cl, orig, exec_id, order_id, exec_type, last_lots, last_price, price, cum, leaves, lots, test_id, sender,
        target, words;
} load_message;

static inline uint64_t load_number_of(load_text t)
{
    uint64_t value = 0;
    for (uint32_t i = 0; i < t.n && t.at[i] >= '0' && t.at[i] <= '9'; i++)
        value = value * 10 + (uint64_t)(t.at[i] - '0');
    return value;
}

/* The id as a number, or a hash of one that is none (FNV-1a). */
static inline uint64_t load_id_of(load_text t)
{
    bool digits = t.n && t.n < 19;
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (uint32_t i = 0; i < t.n; i++) {
        digits = digits && t.at[i] >= '0' && t.at[i] <= '9';
        hash = (hash ^ (unsigned char)t.at[i]) * UINT64_C(0x100000001b3);
    }
    return digits ? load_number_of(t) : t.n ? hash | UINT64_C(1) << 63 : 0;
}

static inline int64_t load_price_e8(load_text t)
{
    int64_t value = 0, digits = -1;
    for (uint32_t i = 0; i < t.n && digits < 8; i++) {
        if (t.at[i] == '.')
            digits = 0;
        else if (t.at[i] >= '0' && t.at[i] <= '9') {
            value = value * 10 + (t.at[i] - '0');
            digits += digits >= 0;
        }
    }
    for (digits = digits < 0 ? 0 : digits; digits < 8; digits++)
        value *= 10;
    return value;
}

static inline void load_take_field(load_message *m, uint32_t tag, load_text v)
{
    switch (tag) {
    case 35:
        m->type = v.n == 1 ? v.at[0] : '?';
        break;
    case 34:
        m->number = load_number_of(v);
        break;
    case 43:
        m->poss_dup = *v.at == 'Y';
        break;
    case 97:
        m->poss_resend = *v.at == 'Y';
        break;
    case 123:
        m->gap_fill = *v.at == 'Y';
        break;
    case 7:
        m->begin = load_number_of(v);
        break;
    case 16:
        m->end = load_number_of(v);
        break;
    case 36:
        m->new_number = load_number_of(v);
        break;
    case 45:
        m->about = load_number_of(v);
        break;
    case 11:
        m->cl = v;
        break;
    case 41:
        m->orig = v;
        break;
    case 17:
        m->exec_id = v;
        break;
    case 37:
        m->order_id = v;
        break;
    case 38:
        m->lots = v;
        break;
    case 150:
        m->exec_type = v;
        break;
    case 32:
        m->last_lots = v;
        break;
    case 31:
        m->last_price = v;
        break;
    case 44:
        m->price = v;
        break;
    case 14:
        m->cum = v;
        break;
    case 151:
        m->leaves = v;
        break;
    case 112:
        m->test_id = v;
        break;
    case 49:
        m->sender = v;
        break;
    case 56:
        m->target = v;
        break;
    case 58:
        m->words = v;
        break;
    default:
        break;
    }
}

/* Of the bytes from behind BodyLength to before CheckSum. */
static inline load_message load_read_message(const char *at, const char *end)
{
    load_message m = {0};
    while (at < end) {
        uint32_t tag = 0;
        while (at < end && *at != '=')
            tag = tag * 10 + (uint32_t)(*at++ - '0');
        const char *from = ++at;
        at = from < end ? memchr(from, 1, (size_t)(end - from)) : NULL;
        if (!at)
            break;
        load_take_field(&m, tag, (load_text){from, (uint32_t)(at - from)});
        at++;
    }
    return m;
}

/* Bytes of the whole message at `start`, of which `there` have come; 0: not all of it. */
static inline uint64_t load_whole(const char *start, uint64_t there, const char **body)
{
    const char *soh = memchr(start, 1, there);
    if (!soh || (uint64_t)(soh - start) + 4 > there)
        return 0;
    const char *close = memchr(soh + 3, 1, there - (uint64_t)(soh + 3 - start));
    if (!close)
        return 0;
    *body = close + 1;
    load_text digits = {soh + 3, (uint32_t)(close - soh - 3)};
    uint64_t length = (uint64_t)(*body - start) + load_number_of(digits) + 7;
    return length <= there ? length : 0;
}

static inline bool load_sum_fits(const char *from, uint64_t length)
{
    uint32_t sum = 0;
    for (uint64_t i = 0; i < length - 7; i++)
        sum += (unsigned char)from[i];
    return memcmp(from + length - 7, "10=", 3) == 0 && load_number_of((load_text){from + length - 4, 3}) == (sum & 255);
}

/* ClOrdIDs are "K" run(6) session(3) number(10). */
static inline char *load_put_name(char *at, uint32_t run, uint32_t session, uint64_t number)
{
    *at++ = 'K';
    at = put_digits(at, run, 6);
    at = put_digits(at, session, 3);
    return put_digits(at, number, 10);
}

/* Whether it is a ClOrdID of that run, and then whose. */
static inline bool load_read_name(load_text t, uint32_t run, uint64_t *session, uint64_t *number)
{
    if (t.n != LOAD_NAME_DIGITS + 1 || t.at[0] != 'K' || load_number_of((load_text){t.at + 1, 6}) != run)
        return false;
    *session = load_number_of((load_text){t.at + 7, 3});
    *number = load_number_of((load_text){t.at + 10, 10});
    return true;
}

static inline char *load_put_price(char *at, uint64_t tick_e8, uint32_t decimals, int64_t ticks)
{
    uint64_t units = (uint64_t)ticks * tick_e8; /* of 10^-8 */
    return put_decimal(at, (int64_t)(units / mm_powers_of_ten[8 - decimals]), decimals);
}

/* Closes the message in `room` whose body ends at `at`, and puts it behind what waits in `out`. */
static inline void load_put_message(const mm_fix_envelope *envelope, char *room, char *at, char *out, uint32_t *out_end)
{
    uint32_t length;
    const char *from = mm_fix_close(envelope, room, at, &length);
    memcpy(out + *out_end, from, length);
    *out_end += length;
}

/* False: the text does not fit. */
static inline bool load_copy_text(char *to, size_t room, const char *text)
{
    size_t n = strlen(text);
    if (n < room)
        memcpy(to, text, n + 1);
    return n < room;
}

/* Bit of an order's state that a report of that kind sets. */
static inline uint32_t load_state_bit(char kind)
{
    switch (kind) {
    case '0':
        return 1;
    case 'F':
        return 2;
    case '4':
        return 4;
    case '8':
        return 8;
    case 'r':
        return 16;
    case 'I':
        return 32;
    default:
        return 0;
    }
}

#endif
