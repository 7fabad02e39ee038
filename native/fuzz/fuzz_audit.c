/* Fuzzes reading and recovery of an audit log: any bytes as the last file of one must be read, cut or refused, never crash, and a log
 * that was cut must be clean. The input is patches on a sound log (offset u16 in 8-byte steps, value 8 bytes), so that the
 * fuzzer gets past the CRCs; half the inputs have the CRC of what they touched made to fit again. */
#define _GNU_SOURCE
#include "../audit_file.h"

#include "../audit_record.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define RECORDS 48
#define ROOM    64

static char directory[64];
static unsigned char sound[MM_AUDIT_HEADER_BYTES + ROOM * sizeof(mm_audit_record)];

static void make_sound(void)
{
    mm_audit_header h = {.magic = MM_AUDIT_MAGIC,
                         .version = MM_AUDIT_VERSION,
                         .record_bytes = MM_AUDIT_RECORD_BYTES,
                         .first_sequence = 1,
                         .capacity_records = ROOM,
                         .epoch = 1,
                         .engine = {.n_symbols = 1, .max_orders = 64, .max_levels = 64, .window_ticks = 64}};
    mm_audit_header_page(sound, &h);
    uint64_t hash = 0;
    for (uint64_t i = 0; i < RECORDS; i++) {
        mm_audit_record r = {.sequence = i + 1,
                             .kind = MM_RECORD_COMMAND,
                             .epoch = 1,
                             .batch_index = (uint16_t)(i % 12),
                             .command = {.op = MM_NEW, .cl_ord_id = i, .tag = i},
                             .flags = 1};
        hash = r.running_hash = mm_record_hash(hash, &r);
        r.crc = mm_crc32c(0, &r, offsetof(mm_audit_record, crc));
        memcpy(sound + MM_AUDIT_HEADER_BYTES + i * sizeof r, &r, sizeof r);
    }
}

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    const char *given = getenv("FUZZ_FILES"); /* run.sh's, which takes it away however this ends */
    snprintf(directory, sizeof directory, "%s", given ? given : "/dev/shm/matchmark-fuzz");
    if (mkdir(directory, 0700) && errno != EEXIST)
        abort();
    make_sound();
    return 0;
}

static void refit(unsigned char *file, uint64_t offset)
{
    if (offset < MM_AUDIT_HEADER_BYTES) {
        uint32_t crc = mm_crc32c(0, file, MM_AUDIT_HEADER_CRC_AT);
        memcpy(file + MM_AUDIT_HEADER_CRC_AT, &crc, sizeof crc);
        return;
    }
    unsigned char *record = file + offset - (offset - MM_AUDIT_HEADER_BYTES) % sizeof(mm_audit_record);
    uint32_t crc = mm_crc32c(0, record, offsetof(mm_audit_record, crc));
    memcpy(record + offsetof(mm_audit_record, crc), &crc, sizeof crc);
}

static void patch(unsigned char *file, const uint8_t *data, size_t n, int fit)
{
    for (size_t at = 0; at + 10 <= n; at += 10) {
        uint64_t offset = ((uint64_t)data[at] | (uint64_t)data[at + 1] << 8) * 8 % (sizeof sound - 8);
        memcpy(file + offset, data + at + 2, 8);
        if (fit)
            refit(file, offset);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n < 3)
        return 0;
    static unsigned char file[sizeof sound];
    memcpy(file, sound, sizeof file);
    size_t length = sizeof file;
    if (data[0] & 2)
        length = ((size_t)data[1] | (size_t)data[2] << 8) % sizeof file;
    patch(file, data + 3, n - 3, data[0] & 1);
    char path[MM_AUDIT_PATH];
    mm_audit_path(path, directory, 1);
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (fd < 0 || write(fd, file, length) != (ssize_t)length)
        abort();
    close(fd);
    mm_audit_extent first, again;
    mm_fault fault;
    if (mm_audit_recover(directory, -1, 1, &first, &fault) == 0) {
        if (mm_audit_recover(directory, -1, 0, &again, &fault) || again.bytes_cut || again.sequence != first.sequence ||
            again.running_hash != first.running_hash)
            abort(); /* what was cut must be clean */
    } else if (!fault.text[0]) {
        abort(); /* a refusal says why */
    }
    return 0;
}
