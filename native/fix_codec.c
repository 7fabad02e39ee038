/* Bytes to fields: framing, CheckSum and the split at SOH, wide where the processor can. What the fields may be is fix_check.c. */
#include "fix_dictionary.h"

#include <stdbool.h>
#include <string.h>

#define SOH        '\x01'
#define MASK_WORDS (MM_FIX_MAX_MESSAGE / 32 + 2)

/* Bit i of masks[i / 32]: byte i is SOH. Returns the sum of the bytes before `summed`. */
typedef uint32_t (*scanner)(const char *bytes, uint32_t length, uint32_t summed, uint32_t *masks);

static uint32_t scan_portable(const char *bytes, uint32_t length, uint32_t summed, uint32_t *masks)
{
    uint32_t sum = 0;
    memset(masks, 0, (length / 32 + 1) * sizeof *masks);
    for (uint32_t i = 0; i < summed; i++)
        sum += (unsigned char)bytes[i];
    for (uint32_t i = 0; i < length; i++)
        masks[i / 32] |= (uint32_t)(bytes[i] == SOH) << (i & 31);
    return sum;
}

#if defined(__x86_64__)
#include <immintrin.h>

__attribute__((target("avx2"))) static uint32_t scan_avx2(const char *bytes, uint32_t length, uint32_t summed,
                                                          uint32_t *masks)
{
    /* 32 bytes from keep + 32 - n: the first n are ones. */
    static const uint64_t keep[8] = {~UINT64_C(0), ~UINT64_C(0), ~UINT64_C(0), ~UINT64_C(0)};
    const __m256i soh = _mm256_set1_epi8(SOH), zero = _mm256_setzero_si256();
    __m256i sums = zero;
    uint32_t at = 0;
    for (; at < length; at += 32) {
        __m256i block = _mm256_loadu_si256((const __m256i *)(const void *)(bytes + at));
        masks[at / 32] = (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(block, soh));
        if (at + 32 > summed) {
            uint32_t n = at < summed ? summed - at : 0;
            const char *mask = (const char *)keep + 32 - n;
            block = _mm256_and_si256(block, _mm256_loadu_si256((const __m256i *)(const void *)mask));
        }
        sums = _mm256_add_epi64(sums, _mm256_sad_epu8(block, zero));
    }
    if (length & 31)
        masks[length / 32] &= (1u << (length & 31)) - 1;
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

static uint32_t scan_first(const char *bytes, uint32_t length, uint32_t summed, uint32_t *masks);
static scanner scan = scan_first;

/* Chosen at the first message. Two threads may choose at once: they choose the same. */
static uint32_t scan_first(const char *bytes, uint32_t length, uint32_t summed, uint32_t *masks)
{
    mm_fix_use_wide(1);
    return scan(bytes, length, summed, masks);
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
    uint64_t have = n < 5 ? n : 5;
    *length = 0;
    if (memcmp(bytes, start, have))
        return skip(bytes, n, length);
    uint64_t at = 5;
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

static int split(const mm_fix_dictionary *d, mm_fix_message *m, const uint32_t *masks)
{
    const char *bytes = m->bytes;
    const uint32_t stamp = m->stamp, length = m->length;
    uint32_t start = 0, n = 0;
    for (uint32_t word = 0; word * 32 < length; word++)
        for (uint32_t bits = masks[word]; bits; bits &= bits - 1) {
            uint32_t end = word * 32 + (uint32_t)__builtin_ctz(bits), width;
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

static void next_stamp(mm_fix_message *m)
{
    m->stamp = (m->stamp + 1) & ((1u << 23) - 1);
    if (!m->stamp) {
        memset(m->index, 0, sizeof m->index);
        m->stamp = 1;
    }
}

int mm_fix_parse(const mm_fix_dictionary *d, const char *bytes, uint32_t length, mm_fix_message *m)
{
    uint32_t masks[MASK_WORDS];
    uint32_t sum = scan(bytes, length, length - 7, masks) & 255;
    const char *digits = bytes + length - 4;
    if (sum != (uint32_t)((digits[0] - '0') * 100 + (digits[1] - '0') * 10 + (digits[2] - '0')))
        return MM_FIX_BAD_CHECKSUM;
    m->bytes = bytes;
    m->length = length;
    m->n_fields = 0;
    m->fault = MM_FIX_SOUND;
    m->fault_tag = 0;
    next_stamp(m);
    int result = split(d, m, masks);
    if (result != MM_FIX_PARSED)
        return result;
    if (m->n_fields < 4 || m->fields[2].tag != 35)
        return MM_FIX_TYPE_NOT_THIRD;
    if (m->fields[m->n_fields - 1].tag != 10)
        return MM_FIX_BROKEN_FIELD; /* a data field reached into the trailer */
    m->type = mm_fix_message_index(d, bytes + m->fields[2].at, m->fields[2].length);
    mm_fix_check_fields(d, m);
    return MM_FIX_PARSED;
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
