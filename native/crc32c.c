/* CRC32C: the processor's instruction where there is one (three records at a time, to hide its latency), else a table. */
#include "matchmark/audit.h"

#include <stdbool.h>
#include <string.h>

#define POLYNOMIAL UINT32_C(0x82F63B78) /* Castagnoli, reflected */

/* Eight tables: eight bytes a step. Filled before main, so that threads need not ask. */
static uint32_t table[8][256];
static bool hardware;

__attribute__((constructor)) static void fill_tables(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;
        for (int bit = 0; bit < 8; bit++)
            c = c >> 1 ^ (c & 1 ? POLYNOMIAL : 0);
        table[0][i] = c;
    }
    for (int t = 1; t < 8; t++)
        for (uint32_t i = 0; i < 256; i++)
            table[t][i] = table[t - 1][i] >> 8 ^ table[0][table[t - 1][i] & 255];
#if defined(__x86_64__)
    hardware = __builtin_cpu_supports("sse4.2");
#endif
}

static uint32_t by_table(uint32_t crc, const unsigned char *at, size_t n)
{
    for (; n >= 8; n -= 8, at += 8) {
        uint64_t word;
        memcpy(&word, at, 8);
        word ^= crc;
        crc = 0;
        for (int t = 0; t < 8; t++)
            crc ^= table[7 - t][word >> 8 * t & 255];
    }
    for (; n; n--)
        crc = crc >> 8 ^ table[0][(crc ^ *at++) & 255];
    return crc;
}

#if defined(__x86_64__)
#define SSE42 __attribute__((target("sse4.2")))

SSE42 static uint32_t by_hardware(uint32_t crc, const unsigned char *at, size_t n)
{
    uint64_t c = crc;
    for (; n >= 8; n -= 8, at += 8) {
        uint64_t word;
        memcpy(&word, at, 8);
        c = __builtin_ia32_crc32di(c, word);
    }
    crc = (uint32_t)c;
    for (; n; n--)
        crc = __builtin_ia32_crc32qi(crc, *at++);
    return crc;
}

#define CRC_AT offsetof(mm_audit_record, crc)

SSE42 static uint64_t good_by_hardware(const mm_audit_record *r, uint64_t n)
{
    uint64_t i = 0;
    for (; i + 3 <= n; i += 3) {
        const unsigned char *at = (const unsigned char *)&r[i];
        uint64_t c[3] = {UINT32_MAX, UINT32_MAX, UINT32_MAX};
        for (size_t offset = 0; offset + 8 <= CRC_AT; offset += 8) {
            for (int lane = 0; lane < 3; lane++) {
                uint64_t word;
                memcpy(&word, at + (size_t)lane * sizeof *r + offset, 8);
                c[lane] = __builtin_ia32_crc32di(c[lane], word);
            }
        }
        for (int lane = 0; lane < 3; lane++) {
            uint32_t word;
            memcpy(&word, at + (size_t)lane * sizeof *r + CRC_AT - 4, 4);
            if (~__builtin_ia32_crc32si((uint32_t)c[lane], word) != r[i + (uint64_t)lane].crc)
                return i + (uint64_t)lane;
        }
    }
    while (i < n && mm_crc32c(0, &r[i], CRC_AT) == r[i].crc)
        i++;
    return i;
}
#endif

uint32_t mm_crc32c(uint32_t crc, const void *data, size_t n)
{
#if defined(__x86_64__)
    if (hardware)
        return ~by_hardware(~crc, data, n);
#endif
    return ~by_table(~crc, data, n);
}

uint64_t mm_audit_crc_good(const mm_audit_record *records, uint64_t n)
{
#if defined(__x86_64__)
    if (hardware)
        return good_by_hardware(records, n);
#endif
    uint64_t i = 0;
    while (i < n &&
           ~by_table(UINT32_MAX, (const unsigned char *)&records[i], offsetof(mm_audit_record, crc)) == records[i].crc)
        i++;
    return i;
}
