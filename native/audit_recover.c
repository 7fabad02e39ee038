/* Cold start: where the log ends, and whether what lies behind is a torn tail (cut) or damage (refused).
 *
 * The writer has one batch on its way at a time, and says in every record where its batch began; all before that was on disk
 * when the record was written. So of an invalid record k in the last file:
 *   1. if any later record is valid and its batch began after k, k was committed: damage.
 *   2. a batch torn by a power cut is missing whole sectors, and a file is zeros before it is written. If none of the sectors
 *      that k touches is all zeros, k was there once: damage. (A sector of a written batch is never all zeros: a sequence
 *      number starts in every 272 bytes, and the last record ends in its epoch-bearing part and CRC.) Of the sector that k
 *      begins in only k's part counts: what is in front of it was written before, and stays when the new write is lost.
 *   3. else the batch was never confirmed: torn, to be cut at k.
 * In a file that has a successor every record was committed. */
#define _GNU_SOURCE
#include "audit_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define SECTOR 512

static uint64_t offset_of(uint64_t record)
{
    return MM_AUDIT_HEADER_BYTES + record * sizeof(mm_audit_record);
}

static bool all_zero(const unsigned char *at, uint64_t n)
{
    return n == 0 || (at[0] == 0 && memcmp(at, at + 1, n - 1) == 0);
}

/* One past the last byte that is not zero, from `offset` on; `offset` when all are. */
static uint64_t data_end(const mm_audit_map *map, uint64_t offset)
{
    const unsigned char *bytes = map->memory;
    uint64_t end = map->bytes;
    while (end > offset) {
        uint64_t step = end - offset < SECTOR ? end - offset : SECTOR;
        if (!all_zero(bytes + end - step, step))
            break;
        end -= step;
    }
    while (end > offset && bytes[end - 1] == 0)
        end--;
    return end;
}

static bool misses_a_sector(const mm_audit_map *map, uint64_t record)
{
    const unsigned char *bytes = map->memory;
    uint64_t end = offset_of(record) + sizeof(mm_audit_record);
    for (uint64_t at = offset_of(record); at < end; at = (at / SECTOR + 1) * SECTOR) {
        uint64_t to = (at / SECTOR + 1) * SECTOR;
        if (all_zero(bytes + at, (to < map->bytes ? to : map->bytes) - at))
            return true;
    }
    return end > map->bytes;
}

/* First sequence number of the latest batch that a valid record after `record` belongs to; 0 for none. */
static uint64_t later_batch(const mm_audit_map *map, uint64_t record, uint64_t end)
{
    uint64_t latest = 0, first = map->header->first_sequence;
    for (uint64_t i = record + 1; i < map->capacity && offset_of(i) < end; i++) {
        const mm_audit_record *r = &map->records[i];
        if (r->sequence != first + i || mm_crc32c(0, r, offsetof(mm_audit_record, crc)) != r->crc)
            continue;
        if (r->sequence - r->batch_index > latest)
            latest = r->sequence - r->batch_index;
    }
    return latest;
}

/* The log is valid up to reader->sequence; looks at what follows in its last file. */
static int judge_tail(const mm_audit_reader *reader, mm_audit_extent *extent, uint64_t *cut_from, mm_fault *fault)
{
    const mm_audit_map *map = &reader->map;
    uint64_t record = reader->at, end = data_end(map, offset_of(record));
    *cut_from = 0;
    if (end == offset_of(record))
        return 0;
    uint64_t batch = later_batch(map, record, end);
    bool committed = batch > map->header->first_sequence + record;
    if (committed || !misses_a_sector(map, record))
        return mm_fault_set(
            fault, 0,
            "audit log: %.250s, offset %llu, record %llu: %s. It was committed, so this is damage, and nothing was "
            "cut: restore the file from a copy",
            map->path, (unsigned long long)offset_of(record), (unsigned long long)(reader->sequence + 1),
            reader->wrong ? reader->wrong : "zeros where a record was");
    extent->bytes_cut = end - offset_of(record);
    extent->records_cut = (extent->bytes_cut + sizeof(mm_audit_record) - 1) / sizeof(mm_audit_record);
    *cut_from = offset_of(record);
    return 0;
}

static int cut_file(const mm_audit_map *map, uint64_t from, uint64_t to, mm_fault *fault)
{
    int fd = open(map->path, O_RDWR | O_CLOEXEC);
    int error = fd < 0 ? errno : mm_audit_cut(fd, from, to);
    if (fd >= 0)
        close(fd);
    return error ? mm_fault_set(fault, error, "audit log: cannot cut the torn tail of %.300s", map->path) : 0;
}

static void note_record(mm_audit_extent *extent, const mm_audit_record *r)
{
    extent->sequence = r->sequence;
    extent->running_hash = r->running_hash;
    extent->epoch = r->epoch;
    if (r->kind == MM_RECORD_COMMAND)
        extent->next_order_position = r->command.tag + 1;
}

/* Up to `last`, or as far as they are good; `stop` says why no further. */
static void read_records(mm_audit_reader *reader, uint64_t last, mm_audit_extent *extent, mm_fault *stop)
{
    const mm_audit_record *r;
    uint64_t n;
    stop->text[0] = 0;
    while (extent->sequence < last && (r = mm_audit_reader_some(reader, &n, stop)) != NULL) {
        if (!extent->header.magic)
            extent->header = *reader->map.header;
        for (uint64_t i = 0; i < n && extent->sequence < last; i++)
            note_record(extent, &r[i]);
    }
}

static int read_known(mm_audit_reader *reader, uint64_t last, mm_audit_extent *extent, mm_fault *fault)
{
    mm_fault stop;
    mm_audit_map first;
    read_records(reader, last, extent, &stop);
    if (extent->sequence >= last && !extent->header.magic &&
        reader->files.n) { /* nothing was read: none was committed */
        if (mm_audit_map_open(&first, &reader->files, 0, fault))
            return -1;
        extent->header = *first.header;
        mm_audit_map_close(&first);
    }
    if (extent->sequence >= last)
        return 0;
    if (stop.text[0])
        return mm_fault_set(fault, 0, "%.350s. It was committed, so this is damage: restore the file from a copy",
                            stop.text);
    return mm_fault_set(fault, 0,
                        "audit log %.200s ends at record %llu, but shared memory says that %llu is on the disk: it "
                        "was damaged, or files were removed; restore them from a copy",
                        reader->files.directory, (unsigned long long)extent->sequence, (unsigned long long)last);
}

static int read_all(mm_audit_reader *reader, int cut, mm_audit_extent *extent, mm_fault *fault)
{
    mm_fault stop;
    read_records(reader, UINT64_MAX, extent, &stop);
    bool followed = reader->file + 1 < reader->files.n;
    if (stop.text[0] && !reader->wrong)
        return mm_fault_set(fault, 0, "%s", stop.text);
    if (stop.text[0] && followed)
        return mm_fault_set(
            fault, 0, "%.350s. It was committed, so this is damage, and nothing was cut: restore the file from a copy",
            stop.text);
    if (followed)
        return mm_fault_set(fault, 0,
                            "audit log: %.300s ends at record %llu, but a file follows it: records are missing",
                            reader->map.path, (unsigned long long)reader->sequence);
    if (!reader->map.memory) /* no file at all, or the last one is full to the brim */
        return 0;
    if (!extent->header.magic)
        extent->header = *reader->map.header;
    uint64_t from;
    if (judge_tail(reader, extent, &from, fault))
        return -1;
    return cut && from ? cut_file(&reader->map, from, from + extent->bytes_cut, fault) : 0;
}

int mm_audit_recover(const char *directory, int64_t last, int cut, mm_audit_extent *extent, mm_fault *fault)
{
    memset(extent, 0, sizeof *extent);
    mm_audit_reader reader;
    if (mm_audit_reader_open(&reader, directory, fault))
        return -1;
    return mm_audit_recover_rest(&reader, last, cut, extent, fault);
}

int mm_audit_recover_rest(mm_audit_reader *reader, int64_t last, int cut, mm_audit_extent *extent, mm_fault *fault)
{
    extent->files = reader->files.n;
    if (reader->map.memory)
        extent->header = *reader->map.header;
    int result = last >= 0 ? read_known(reader, (uint64_t)last, extent, fault) : read_all(reader, cut, extent, fault);
    mm_audit_reader_close(reader);
    return result;
}
