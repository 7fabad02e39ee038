/* Messages of a client look alike: the same tags in the same order, only the values differ. A message that the slow way (split
 * and fix_check.c) found sound leaves its order of tags here; one with the same order needs no search for its tags, no
 * check of their places, and no new index: its values alone are checked. Whatever is not fine at a glance goes the slow way, which
 * alone says what is wrong. */
#include "fix_dictionary.h"

#include <string.h>

#define SLOT_BITS 5
_Static_assert(MM_FIX_SHAPES == 1 << SLOT_BITS, "shapes are found by a hash of so many bits");

#if defined(__BMI__)
#define LOWEST(bits) ((uint32_t)__builtin_ia32_tzcnt_u64(bits)) /* 64 of none */
#else
#define LOWEST(bits) ((uint32_t)__builtin_ctzll((bits) | UINT64_C(1) << 63))
#endif

/* Where the fields end, from the mask of SOH bytes; 0 when there are too many. Eight at a time whether there are so many or not: a
 * branch for each would be guessed wrong about once a word. `ends` has room for seven more. */
#if defined(__GNUC__) && !defined(__clang__)
__attribute__((optimize("no-tree-slp-vectorize"))) /* eight words are stored faster one by one than gathered first */
#endif
static uint32_t
field_ends(const uint64_t *soh, uint32_t length, uint16_t *ends)
{
    uint32_t n = 0;
    for (uint32_t at = 0; at < length; at += 64) {
        uint64_t bits = soh[at / 64];
        uint32_t count = (uint32_t)__builtin_popcountll(bits);
        if (n + count > MM_FIX_SHAPE_FIELDS)
            return 0;
        for (uint16_t *to = ends + n, *stop = to + count; to < stop; to += 8)
            for (int i = 0; i < 8; i++) {
                to[i] = (uint16_t)(at + LOWEST(bits));
                bits &= bits - 1;
            }
        n += count;
    }
    return n;
}

static uint64_t two_bytes(const char *p)
{
    uint16_t word;
    memcpy(&word, p, sizeof word);
    return word;
}

/* Of five tags' first two bytes, each turned by its place: it tells shapes apart nearly always, and all tags cost 10 ns more. 0: no message for a shape. */
static uint64_t key_of(const char *bytes, const uint16_t *ends, uint32_t n)
{
    if (n < 8 || ends[2] - ends[1] != 5)
        return 0;
    uint64_t sum = (uint64_t)(unsigned char)bytes[ends[1] + 4] << 56 | (uint64_t)n << 48;
    return sum + (two_bytes(bytes + ends[6] + 1) << 1) + (two_bytes(bytes + ends[7] + 1) << 7) +
           (two_bytes(bytes + ends[n / 2] + 1) << 16) + (two_bytes(bytes + ends[n / 2 + 2] + 1) << 21) +
           (two_bytes(bytes + ends[n - 4] + 1) << 27);
}

static uint32_t slot_of(uint64_t key)
{
    return (uint32_t)(key * UINT64_C(0x9E3779B97F4A7C15) >> (64 - SLOT_BITS));
}

/* Which bytes of a field are no digits; only of fields shorter than 64. */
static inline uint64_t others_of(const uint64_t *other, const mm_fix_field *f)
{
    uint32_t word = f->at / 64, shift = f->at & 63;
    uint64_t bits = other[word] >> shift | other[word + 1] << 1 << (63 - shift);
    return bits & ~(~UINT64_C(0) << (f->length & 63));
}

/* What mm_fix_has_format says of UINT, LENGTH, INT without a sign, and DECIMAL, of at most 18 bytes. */
static inline bool plain_digits(const uint64_t *other, const mm_fix_field *f)
{
    return f->length <= 18 && !others_of(other, f);
}

static inline bool plain_decimal(const char *bytes, const uint64_t *other, const mm_fix_field *f)
{
    uint64_t odd = others_of(other, f);
    if (f->length > 18)
        return false;
    return !odd || (!(odd & (odd - 1)) && f->length > 1 && bytes[f->at + LOWEST(odd)] == '.');
}

/* "YYYYMMDD-HH:MM:SS.sss" of the second that the cache knows to be one. */
static inline bool plain_time(const mm_fix_message *m, const uint64_t *other, const mm_fix_field *f)
{
    uint64_t known[2], text[2];
    const char *p = m->bytes + f->at;
    if (f->length != 21)
        return false;
    memcpy(known, m->second_text, 16);
    memcpy(text, p, 16);
    mm_fix_field fraction = {0, (uint16_t)(f->at + 18), 3};
    return !((known[0] ^ text[0]) | (known[1] ^ text[1])) && m->second_text[16] == p[16] && p[17] == '.' &&
           !others_of(other, &fraction);
}

static bool values_fit(mm_fix_message *m, const mm_fix_shape *shape, const uint64_t *other)
{
    const char *bytes = m->bytes;
    const mm_fix_look *look = shape->looks, *end = look + shape->n_sets;
    uint32_t odd = 0;
    for (; look < end; look++) {
        const mm_fix_field *f = &m->fields[look->field];
        unsigned char c = (unsigned char)bytes[f->at];
        odd |= (f->length - 1u) | c >> 7 | ((uint32_t)(look->values[c >> 6 & 1] >> (c & 63) & 1) ^ 1);
    }
    if (odd)
        return false;
    for (end += shape->n_numbers; look < end; look++)
        if (!plain_digits(other, &m->fields[look->field]) &&
            !mm_fix_has_format(m, &m->fields[look->field], look->format))
            return false;
    for (end += shape->n_decimals; look < end; look++)
        if (!plain_decimal(bytes, other, &m->fields[look->field]) &&
            !mm_fix_has_format(m, &m->fields[look->field], look->format))
            return false;
    for (end += shape->n_times; look < end; look++)
        if (!plain_time(m, other, &m->fields[look->field]) &&
            !mm_fix_has_format(m, &m->fields[look->field], look->format))
            return false;
    for (end += shape->n_others; look < end; look++)
        if (!mm_fix_has_format(m, &m->fields[look->field], look->format))
            return false;
    return true;
}

static void point_index(mm_fix_message *m, const mm_fix_shape *shape, uint32_t number)
{
    if (m->shape == number)
        return; /* the message before had the same fields in the same places */
    m->shape = number;
    mm_fix_next_stamp(m);
    for (uint32_t i = 0; i < shape->n; i++)
        m->index[shape->steps[i].tag] = m->stamp << 9 | (i + 1);
}

bool mm_fix_by_shape(const mm_fix_dictionary *d, mm_fix_message *m, const mm_fix_masks *masks)
{
    uint16_t ends[MM_FIX_SHAPE_FIELDS + 8];
    const char *bytes = m->bytes;
    uint32_t n = field_ends(masks->soh, m->length, ends);
    uint64_t key = key_of(bytes, ends, n);
    mm_fix_shape *shape = &m->shapes[slot_of(key)];
    m->shape_key = key;
    if (!key || shape->key != key || shape->dictionary != d || shape->n != n)
        return false;
    uint32_t start = 0, wrong = 0, shortest = 0;
    for (uint32_t i = 0; i < n; i++) {
        const mm_fix_step *s = &shape->steps[i];
        uint32_t word, at = start + s->skip, length = ends[i] - at;
        memcpy(&word, bytes + start, sizeof word);
        wrong |= (word ^ s->want) & s->mask;
        shortest |= length - 1; /* its highest bit: there was an empty one */
        m->fields[i] = (mm_fix_field){s->tag, (uint16_t)at, (uint16_t)length};
        start = ends[i] + 1u;
    }
    m->n_fields = n;
    if (wrong || shortest >> 31 || !values_fit(m, shape, masks->other))
        return false;
    m->type = shape->type;
    shape->kept = 4;
    point_index(m, shape, 1 + slot_of(key));
    return true;
}

static bool learn_step(mm_fix_step *s, const mm_fix_message *m, const mm_fix_field *f, uint32_t start)
{
    uint32_t name = f->at - start; /* "44=" */
    if (name > 4 || f->tag >= MM_FIX_MAX_TAG)
        return false;
    *s = (mm_fix_step){.mask = name == 4 ? UINT32_MAX : (1u << 8 * name) - 1, .tag = f->tag, .skip = name};
    if (f->tag == 35)
        s->mask = UINT32_MAX; /* "35=D" */
    memcpy(&s->want, m->bytes + start, sizeof s->want);
    return true;
}

enum kind { PLAIN, SET, NUMBER, DECIMAL, TIME, OTHER, KINDS };

static enum kind kind_of(mm_fix_rule rule)
{
    if (MM_RULE_VALUES(rule))
        return SET;
    switch (MM_RULE_FORMAT(rule)) {
    case MM_FIX_TEXT:
        return PLAIN;
    case MM_FIX_UINT:
    case MM_FIX_LENGTH:
    case MM_FIX_INT:
        return NUMBER;
    case MM_FIX_DECIMAL:
        return DECIMAL;
    case MM_FIX_UTC:
        return TIME;
    default:
        return OTHER;
    }
}

static void learn_looks(const mm_fix_dictionary *d, const mm_fix_message *m, mm_fix_shape *shape)
{
    const mm_fix_rules *rules = &d->messages[m->type];
    uint32_t n = 0, counts[KINDS] = {0};
    for (enum kind kind = SET; kind < KINDS; kind++)
        for (uint32_t i = 0; i < m->n_fields; i++) {
            mm_fix_rule rule = rules->of[m->fields[i].tag];
            if (kind_of(rule) != kind)
                continue;
            shape->looks[n++] = (mm_fix_look){(uint16_t)i, (uint16_t)MM_RULE_FORMAT(rule),
                                              kind == SET ? d->values[MM_RULE_VALUES(rule) - 1] : NULL};
            counts[kind]++;
        }
    shape->n_sets = counts[SET];
    shape->n_numbers = counts[NUMBER];
    shape->n_decimals = counts[DECIMAL];
    shape->n_times = counts[TIME];
    shape->n_others = counts[OTHER];
}

void mm_fix_learn_shape(const mm_fix_dictionary *d, mm_fix_message *m)
{
    if (!m->shape_key || m->type < 0 || m->n_fields > MM_FIX_SHAPE_FIELDS || m->n_fields != (m->shape_key >> 48 & 255))
        return;
    mm_fix_shape *shape = &m->shapes[slot_of(m->shape_key)];
    if (shape->key && shape->kept && shape->kept--)
        return; /* it is of use to others: only a few misses in a row drive it out, or two would drive out each other */
    shape->key = 0;
    shape->kept = 4;
    shape->dictionary = d;
    shape->n = m->n_fields;
    shape->type = m->type;
    for (uint32_t i = 0, start = 0; i < m->n_fields; i++) {
        const mm_fix_field *f = &m->fields[i];
        if (!learn_step(&shape->steps[i], m, f, start))
            return; /* without its key it is never found */
        mm_fix_rule rule = d->messages[m->type].of[f->tag];
        if (MM_RULE_GROUP(rule) || MM_RULE_FORMAT(rule) == MM_FIX_DATA)
            return;
        start = f->at + f->length + 1u;
    }
    learn_looks(d, m, shape);
    shape->key = m->shape_key;
}
