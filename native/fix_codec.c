/* Bytes to fields: framing, CheckSum and the split at SOH, wide where the processor can. What the fields may be is fix_check.c. */
#include "fix_dictionary.h"

#include <stdbool.h>
#include <string.h>

#define SOH '\x01'

/* Fills the masks but for the words of zeros behind them; returns the sum of all bytes. Reads 64 bytes at once, which MM_FIX_PAD allows. */
typedef uint32_t (*scanner)(const char *bytes, uint32_t length, mm_fix_masks *masks);

#define EACH_BYTE(b) (UINT64_C(0x0101010101010101) * (b))

#define HIGH_BITS EACH_BYTE(0x80)

/* One bit for each byte whose high bit is set, the lowest byte first. */
static uint64_t gather_bits(uint64_t high_bits)
{
    return (high_bits >> 7) * UINT64_C(0x0102040810204080) >> 56;
}

static uint64_t load_word(const char *bytes)
{
    unsigned char in_order[8];
    uint64_t word = 0;
    memcpy(in_order, bytes, 8);
    for (int i = 0; i < 8; i++) /* one load where the processor is little-endian */
        word |= (uint64_t)in_order[i] << 8 * i;
    return word;
}

/* Eight bytes a step. */
static uint32_t scan_portable(const char *bytes, uint32_t length, mm_fix_masks *masks)
{
    const uint64_t low = EACH_BYTE(0x7f), pairs = UINT64_C(0x00ff00ff00ff00ff);
    uint32_t sum = 0;
    for (uint32_t at = 0; at < length; at += 8) {
        uint32_t left = length - at;
        uint64_t word = load_word(bytes + at) & (left < 8 ? (UINT64_C(1) << 8 * left) - 1 : ~UINT64_C(0));
        uint64_t off = word ^ EACH_BYTE(SOH), digit = word ^ EACH_BYTE('0');
        uint64_t soh = gather_bits(~(((off & low) + low) | off | low) & HIGH_BITS);
        uint64_t other = gather_bits((digit | ((digit & low) + EACH_BYTE(0x76))) & HIGH_BITS);
        uint64_t sums = (word & pairs) + (word >> 8 & pairs);
        sum += (uint32_t)(sums * UINT64_C(0x0001000100010001) >> 48);
        masks->soh[at / 64] = at & 63 ? masks->soh[at / 64] | soh << (at & 63) : soh;
        masks->other[at / 64] = at & 63 ? masks->other[at / 64] | other << (at & 63) : other;
    }
    return sum;
}

#if defined(__x86_64__)
#include <immintrin.h>

__attribute__((target("avx2"))) static inline uint64_t mask_of(__m256i low, __m256i high)
{
    return (uint32_t)_mm256_movemask_epi8(low) | (uint64_t)(uint32_t)_mm256_movemask_epi8(high) << 32;
}

/* All ones where the byte is no digit. */
__attribute__((target("avx2"))) static inline __m256i not_digit(__m256i bytes)
{
    const __m256i first = _mm256_set1_epi8('0'), ten = _mm256_set1_epi8(10);
    __m256i value = _mm256_sub_epi8(bytes, first);
    return _mm256_cmpeq_epi8(_mm256_max_epu8(value, ten), value);
}

__attribute__((target("avx2"))) static uint32_t scan_avx2(const char *bytes, uint32_t length, mm_fix_masks *masks)
{
    /* 64 bytes from keep + 64 - n: the first n are ones. */
    static const uint64_t keep[16] = {~UINT64_C(0), ~UINT64_C(0), ~UINT64_C(0), ~UINT64_C(0),
                                      ~UINT64_C(0), ~UINT64_C(0), ~UINT64_C(0), ~UINT64_C(0)};
    const __m256i soh = _mm256_set1_epi8(SOH), zero = _mm256_setzero_si256();
    const char *last =
        (const char *)keep + ((64 - (length & 63)) & 63); /* of the last word; all of it when it is full */
    __m256i sums = zero;
    for (uint32_t at = 0; at < length; at += 64) {
        const char *kept = length - at < 64 ? last : (const char *)keep;
        __m256i low = _mm256_loadu_si256((const __m256i *)(const void *)(bytes + at));
        __m256i high = _mm256_loadu_si256((const __m256i *)(const void *)(bytes + at + 32));
        low = _mm256_and_si256(low, _mm256_loadu_si256((const __m256i *)(const void *)kept));
        high = _mm256_and_si256(high, _mm256_loadu_si256((const __m256i *)(const void *)(kept + 32)));
        masks->soh[at / 64] = mask_of(_mm256_cmpeq_epi8(low, soh), _mm256_cmpeq_epi8(high, soh));
        masks->other[at / 64] = mask_of(not_digit(low), not_digit(high));
        sums = _mm256_add_epi64(sums, _mm256_add_epi64(_mm256_sad_epu8(low, zero), _mm256_sad_epu8(high, zero)));
    }
    __m128i half = _mm_add_epi64(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));
    return (uint32_t)(_mm_cvtsi128_si64(half) + _mm_extract_epi64(half, 1));
}

static bool wide_runs(void)
{
    return __builtin_cpu_supports("avx2");
}
#else
#define scan_avx2 scan_portable
static bool wide_runs(void)
{
    return false;
}
#endif

static uint32_t scan_first(const char *bytes, uint32_t length, mm_fix_masks *masks);
static scanner scan = scan_first;

/* Chosen at the first message. Two threads may choose at once: they choose the same. */
static uint32_t scan_first(const char *bytes, uint32_t length, mm_fix_masks *masks)
{
    mm_fix_use_wide(1);
    return scan(bytes, length, masks);
}

int mm_fix_use_wide(int wide)
{
    bool runs = wide && wide_runs();
    scan = runs ? scan_avx2 : scan_portable;
    return runs;
}

/* Where a message may begin again: the next "8=FIX" after the first byte, or the first byte that may be the start of one. */
static uint32_t resync(const char *bytes, uint64_t n)
{
    uint64_t look = n < MM_FIX_MAX_MESSAGE * 2 ? n : MM_FIX_MAX_MESSAGE * 2;
    uint64_t at = 1;
    while (at < look) {
        const char *found = memchr(bytes + at, '8', look - at);
        if (!found)
            return (uint32_t)look;
        at = (uint64_t)(found - bytes);
        uint64_t have = look - at < 5 ? look - at : 5;
        if (!memcmp(found, "8=FIX", have))
            break;
        at++;
    }
    return (uint32_t)at;
}

static int skip(const char *bytes, uint64_t n, uint32_t *length)
{
    *length = resync(bytes, n);
    return MM_FIX_SKIP;
}

static bool digits3(const char *p)
{
    return (unsigned)(p[0] - '0') < 10 && (unsigned)(p[1] - '0') < 10 && (unsigned)(p[2] - '0') < 10;
}

int mm_fix_scan(const char *bytes, uint64_t n, uint32_t *length)
{
    static const char start[] = "8=FIX";
    uint64_t have = n < 5 ? n : 5, at = 5;
    *length = 0;
    if (n > 12 && !memcmp(bytes, "8=FIX.4.", 8) && bytes[8] != SOH && bytes[9] == SOH)
        at = 9; /* nearly always */
    else if (memcmp(bytes, start, have))
        return skip(bytes, n, length);
    while (at < n && at < 16 && bytes[at] != SOH)
        at++;
    if (at >= n && at < 16)
        return MM_FIX_MORE;
    if (bytes[at] != SOH)
        return skip(bytes, n, length);
    if (at + 3 > n)
        return (at + 1 < n && bytes[at + 1] != '9') ? skip(bytes, n, length) : MM_FIX_MORE;
    if (bytes[at + 1] != '9' || bytes[at + 2] != '=')
        return skip(bytes, n, length);
    uint64_t body = 0;
    uint64_t first = at += 3;
    for (; at < n && at < first + 6 && (unsigned)(bytes[at] - '0') < 10; at++)
        body = body * 10 + (uint64_t)(bytes[at] - '0');
    if (at >= n)
        return at < first + 6 ? MM_FIX_MORE : skip(bytes, n, length);
    uint64_t total = at + 1 + body + 7;
    if (bytes[at] != SOH || at == first || body == 0 || total > MM_FIX_MAX_MESSAGE)
        return skip(bytes, n, length);
    if (total > n)
        return MM_FIX_MORE;
    const char *tail = bytes + total - 8;
    if (tail[0] != SOH || memcmp(tail + 1, "10=", 3) || !digits3(tail + 4) || tail[7] != SOH)
        return skip(bytes, n, length);
    *length = (uint32_t)total;
    return MM_FIX_FRAME;
}

/* The tag at p, which ends with '='; its digits in *width. 0 when it is no number of 1 to 7 digits without a leading zero.
 * By hand for the lengths that occur: the branches repeat from message to message, and the predictor learns them. */
static inline uint32_t read_tag(const char *p, uint32_t *width)
{
    uint32_t a = (uint32_t)p[0] - '0', b = (uint32_t)p[1] - '0', c = (uint32_t)p[2] - '0';
    *width = 0;
    if (a - 1 > 8)
        return 0;
    if (p[1] == '=')
        return *width = 1, a;
    if (b > 9)
        return 0;
    if (p[2] == '=')
        return *width = 2, a * 10 + b;
    if (c > 9)
        return 0;
    uint32_t tag = a * 100 + b * 10 + c, n = 3;
    for (; p[n] != '='; n++) {
        if ((uint32_t)p[n] - '0' > 9 || n == 7)
            return 0;
        tag = tag * 10 + ((uint32_t)p[n] - '0');
    }
    *width = n;
    return tag;
}

static void set_fault(mm_fix_message *m, int fault, uint32_t tag)
{
    if (m->fault == MM_FIX_SOUND) {
        m->fault = fault;
        m->fault_tag = tag;
    }
}

/* Where the DATA value at `from` ends, by the LENGTH field before it; 0 when there is none or what it says cannot be. */
static uint32_t data_end(const mm_fix_dictionary *d, const mm_fix_message *m, uint32_t from)
{
    if (!m->n_fields)
        return 0;
    const mm_fix_field *before = &m->fields[m->n_fields - 1];
    uint64_t announced;
    if (before->tag >= MM_FIX_MAX_TAG || d->format[before->tag] != MM_FIX_LENGTH ||
        !mm_fix_read_uint(m->bytes + before->at, before->length, &announced) || announced >= m->length - from)
        return 0;
    uint32_t end = from + (uint32_t)announced;
    return m->bytes[end] == SOH ? end : 0;
}

static void add_field(mm_fix_message *m, uint32_t tag, uint32_t at, uint32_t end)
{
    if (tag < MM_FIX_MAX_TAG && m->index[tag] >> 9 != m->stamp)
        m->index[tag] = m->stamp << 9 | (m->n_fields + 1);
    m->fields[m->n_fields++] = (mm_fix_field){tag, (uint16_t)at, (uint16_t)(end - at)};
}

/* A field that is not plain: no tag, no '=', a tag of a user, or data, which may hold SOH. Returns where it ends. */
static uint32_t take_odd_field(const mm_fix_dictionary *d, mm_fix_message *m, uint32_t start, uint32_t end)
{
    uint32_t width, tag = read_tag(m->bytes + start, &width), at = start + width + 1;
    if (!memchr(m->bytes + start, '=', end - start)) {
        set_fault(m, MM_FIX_EMBEDDED_SOH, m->n_fields ? m->fields[m->n_fields - 1].tag : 0);
        return end;
    }
    if (!tag) {
        set_fault(m, MM_FIX_INVALID_TAG, 0);
        return end;
    }
    if (tag < MM_FIX_MAX_TAG && d->format[tag] == MM_FIX_DATA) {
        uint32_t data = data_end(d, m, at);
        if (!data)
            set_fault(m, MM_FIX_BAD_FORMAT, tag);
        else
            end = data;
    }
    add_field(m, tag, at, end);
    return end;
}

static int split(const mm_fix_dictionary *d, mm_fix_message *m, const uint64_t *soh)
{
    const char *bytes = m->bytes;
    const uint32_t stamp = m->stamp, length = m->length;
    uint32_t start = 0, n = 0;
    for (uint32_t word = 0; word * 64 < length; word++)
        for (uint64_t bits = soh[word]; bits; bits &= bits - 1) {
            uint32_t end = word * 64 + (uint32_t)__builtin_ctzll(bits), width;
            if (end < start)
                continue; /* inside a data field */
            if (n == MM_FIX_MAX_FIELDS)
                return MM_FIX_TOO_MANY_FIELDS;
            uint32_t tag = read_tag(bytes + start, &width), at = start + width + 1;
            if (tag - 1 < MM_FIX_MAX_TAG - 1 && at <= end && d->format[tag] != MM_FIX_DATA) {
                m->fields[n++] = (mm_fix_field){tag, (uint16_t)at, (uint16_t)(end - at)};
                if (m->index[tag] >> 9 != stamp)
                    m->index[tag] = stamp << 9 | n;
            } else {
                m->n_fields = n;
                end = take_odd_field(d, m, start, end);
                n = m->n_fields;
            }
            start = end + 1;
        }
    m->n_fields = n;
    return start == length ? MM_FIX_PARSED : MM_FIX_BROKEN_FIELD;
}

void mm_fix_next_stamp(mm_fix_message *m)
{
    m->stamp = (m->stamp + 1) & ((1u << 23) - 1);
    if (!m->stamp) {
        memset(m->index, 0, sizeof m->index);
        m->stamp = 1;
    }
}

/* Any message, field by field. */
static int parse_slowly(const mm_fix_dictionary *d, mm_fix_message *m, const mm_fix_masks *masks)
{
    m->n_fields = 0;
    m->shape = 0;
    mm_fix_next_stamp(m);
    int result = split(d, m, masks->soh);
    if (result != MM_FIX_PARSED)
        return result;
    if (m->n_fields < 4 || m->fields[2].tag != 35)
        return MM_FIX_TYPE_NOT_THIRD;
    if (m->fields[m->n_fields - 1].tag != 10)
        return MM_FIX_BROKEN_FIELD; /* a data field reached into the trailer */
    m->type = mm_fix_message_index(d, m->bytes + m->fields[2].at, m->fields[2].length);
    mm_fix_check_fields(d, m);
    if (m->fault == MM_FIX_SOUND)
        mm_fix_learn_shape(d, m);
    return MM_FIX_PARSED;
}

int mm_fix_parse(const mm_fix_dictionary *d, const char *bytes, uint32_t length, mm_fix_message *m)
{
    mm_fix_masks masks;
    const char *digits = bytes + length - 4; /* of "10=123|", which is not summed */
    uint32_t a = (uint32_t)digits[0] - '0', b = (uint32_t)digits[1] - '0', c = (uint32_t)digits[2] - '0';
    uint32_t trailer = '1' + '0' + '=' + SOH + 3 * '0' + a + b + c;
    if (((scan(bytes, length, &masks) - trailer) & 255) != a * 100 + b * 10 + c)
        return MM_FIX_BAD_CHECKSUM;
    masks.other[(length + 63) / 64] = 0;
    m->bytes = bytes;
    m->length = length;
    m->fault = MM_FIX_SOUND;
    m->fault_tag = 0;
    return mm_fix_by_shape(d, m, &masks) ? MM_FIX_PARSED : parse_slowly(d, m, &masks);
}

const mm_fix_field *mm_fix_get(const mm_fix_message *m, uint32_t tag)
{
    if (tag < MM_FIX_MAX_TAG)
        return m->index[tag] >> 9 == m->stamp ? &m->fields[(m->index[tag] & 511) - 1] : NULL;
    for (uint32_t i = 0; i < m->n_fields; i++)
        if (m->fields[i].tag == tag)
            return &m->fields[i];
    return NULL;
}
