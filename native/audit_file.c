/* Names, headers and sequential reading of audit files. */
#define _GNU_SOURCE
#include "audit_file.h"

#include "audit_record.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME_DIGITS 20
#define NAME_LENGTH (6 + NAME_DIGITS + 4)

uint64_t mm_audit_hash(uint64_t before, const mm_audit_record *record)
{
    return mm_record_hash(before, record);
}

void mm_audit_path(char out[MM_AUDIT_PATH], const char *directory, uint64_t first_sequence)
{
    snprintf(out, MM_AUDIT_PATH, "%.3839s/audit-%020llu.log", directory, (unsigned long long)first_sequence);
}

static bool parse_name(const char *name, uint64_t *first)
{
    if (strlen(name) != NAME_LENGTH || strncmp(name, "audit-", 6) || strcmp(name + 6 + NAME_DIGITS, ".log"))
        return false;
    *first = 0;
    for (int i = 0; i < NAME_DIGITS; i++) {
        char c = name[6 + i];
        if (c < '0' || c > '9' || *first > (UINT64_MAX - 9) / 10)
            return false;
        *first = *first * 10 + (uint64_t)(c - '0');
    }
    return true;
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

int mm_audit_list(mm_audit_files *files, const char *directory, mm_fault *fault)
{
    memset(files, 0, sizeof *files);
    int length = snprintf(files->directory, sizeof files->directory, "%s", directory);
    if (length < 0 || (size_t)length >= sizeof files->directory)
        return mm_fault_set(fault, 0, "audit log %.200s: the path is too long", directory);
    DIR *d = opendir(directory);
    if (!d)
        return errno == ENOENT ? 0
                               : mm_fault_set(fault, errno, "audit log %.300s: cannot read the directory", directory);
    uint64_t room = 0, first;
    int result = 0;
    for (struct dirent *e; result == 0 && (e = readdir(d));) {
        if (!parse_name(e->d_name, &first))
            continue;
        if (files->n == room) {
            room = room ? 2 * room : 16;
            uint64_t *more = realloc(files->first, room * sizeof *more);
            if (!more) {
                result = mm_fault_set(fault, ENOMEM, "audit log %.300s", directory);
                break;
            }
            files->first = more;
        }
        files->first[files->n++] = first;
    }
    closedir(d);
    if (files->n)
        qsort(files->first, files->n, sizeof *files->first, by_value);
    return result;
}

void mm_audit_files_free(mm_audit_files *files)
{
    free(files->first);
    files->first = NULL;
    files->n = 0;
}

void mm_audit_header_page(unsigned char page[MM_AUDIT_HEADER_BYTES], const mm_audit_header *header)
{
    memset(page, 0, MM_AUDIT_HEADER_BYTES);
    memcpy(page, header, sizeof *header);
    uint32_t crc = mm_crc32c(0, page, MM_AUDIT_HEADER_CRC_AT);
    memcpy(page + MM_AUDIT_HEADER_CRC_AT, &crc, sizeof crc);
}

static const char *header_error(const mm_audit_map *map, uint64_t first_sequence)
{
    const mm_audit_header *h = map->header;
    uint32_t crc;
    memcpy(&crc, (const char *)map->memory + MM_AUDIT_HEADER_CRC_AT, sizeof crc);
    if (h->magic != MM_AUDIT_MAGIC)
        return "is not an audit log file (magic number)";
    if (crc != mm_crc32c(0, map->memory, MM_AUDIT_HEADER_CRC_AT))
        return "has a damaged header (CRC)";
    if (h->version != MM_AUDIT_VERSION || h->record_bytes != MM_AUDIT_RECORD_BYTES)
        return "was written in another version of the format";
    if (h->first_sequence != first_sequence)
        return "has another first sequence number in its header than in its name: it was renamed";
    if (h->capacity_records < 1 || h->capacity_records > UINT32_MAX || mm_config_error(&h->engine))
        return "has a header that makes no sense";
    return NULL;
}

int mm_audit_map_open(mm_audit_map *map, const mm_audit_files *files, uint64_t i, mm_fault *fault)
{
    memset(map, 0, sizeof *map);
    mm_audit_path(map->path, files->directory, files->first[i]);
    struct stat info;
    int fd = open(map->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &info)) {
        mm_fault_set(fault, errno, "audit log: cannot open %.300s", map->path);
        if (fd >= 0)
            close(fd);
        return -1;
    }
    map->bytes = (uint64_t)info.st_size;
    map->memory = MAP_FAILED;
    if (map->bytes >= MM_AUDIT_HEADER_BYTES)
        map->memory = mmap(NULL, map->bytes, PROT_READ, MAP_SHARED, fd, 0);
    int error = errno;
    close(fd);
    if (map->memory == MAP_FAILED) {
        map->memory = NULL;
        if (map->bytes < MM_AUDIT_HEADER_BYTES)
            return mm_fault_set(fault, 0, "audit log: %.300s is too short to have a header: it was truncated",
                                map->path);
        return mm_fault_set(fault, error, "audit log: cannot map %.300s", map->path);
    }
    madvise(map->memory, map->bytes, MADV_SEQUENTIAL); /* a hint */
    map->header = map->memory;
    map->records = (const mm_audit_record *)((const char *)map->memory + MM_AUDIT_HEADER_BYTES);
    const char *wrong = header_error(map, files->first[i]);
    if (wrong) {
        mm_fault_set(fault, 0, "audit log: %.300s %s", map->path, wrong);
        mm_audit_map_close(map);
        return -1;
    }
    map->capacity = (map->bytes - MM_AUDIT_HEADER_BYTES) / sizeof(mm_audit_record);
    if (map->capacity > map->header->capacity_records)
        map->capacity = map->header->capacity_records;
    return 0;
}

void mm_audit_map_close(mm_audit_map *map)
{
    if (map->memory)
        munmap(map->memory, map->bytes);
    map->memory = NULL;
}

/* All but the CRC. */
static const char *place_error(const mm_audit_record *r, uint64_t sequence, uint64_t running_hash, uint32_t epoch)
{
    if (r->sequence != sequence + 1)
        return "sequence number is not the next";
    if (r->kind != MM_RECORD_COMMAND && r->kind != MM_RECORD_EVENT)
        return "kind is unknown";
    if (r->epoch < epoch || !r->epoch)
        return "epoch is lower than before";
    if (r->running_hash != mm_record_hash(running_hash, r))
        return "running hash does not follow from the record before";
    if (r->batch_index >= MM_AUDIT_BATCH_MAX || r->batch_index >= r->sequence)
        return "batch index is out of range";
    return NULL;
}

const char *mm_audit_record_error(const mm_audit_record *r, uint64_t sequence, uint64_t running_hash, uint32_t epoch)
{
    if (mm_crc32c(0, r, offsetof(mm_audit_record, crc)) != r->crc)
        return "CRC does not fit its bytes";
    return place_error(r, sequence, running_hash, epoch);
}

/* --- reading in order --- */

#define CHUNK 120 /* records whose CRCs are made together: they stay in the cache for the rest of their checks */

int mm_audit_reader_open(mm_audit_reader *reader, const char *directory, mm_fault *fault)
{
    memset(reader, 0, sizeof *reader);
    if (mm_audit_list(&reader->files, directory, fault))
        return -1;
    if (reader->files.n && reader->files.first[0] != 1) {
        mm_fault_set(fault, 0, "audit log %.300s: the first file begins with record %llu: earlier files were removed",
                     directory, (unsigned long long)reader->files.first[0]);
        mm_audit_files_free(&reader->files);
        return -1;
    }
    return 0;
}

static int go_to(mm_audit_reader *r, uint64_t sequence, uint64_t running_hash, uint32_t epoch, mm_fault *fault)
{
    uint64_t i = r->files.n;
    while (i && r->files.first[i - 1] > sequence)
        i--;
    if (!i)
        return mm_fault_set(fault, 0, "audit log %.300s: record %llu is not in it", r->files.directory,
                            (unsigned long long)sequence);
    if (mm_audit_map_open(&r->map, &r->files, i - 1, fault))
        return -1;
    uint64_t at = sequence - r->map.header->first_sequence;
    const mm_audit_record *record = at < r->map.capacity ? &r->map.records[at] : NULL;
    if (!record || record->sequence != sequence || record->running_hash != running_hash || record->epoch != epoch ||
        mm_crc32c(0, record, offsetof(mm_audit_record, crc)) != record->crc)
        return mm_fault_set(fault, 0, "audit log %.300s: record %llu is not there, or another one", r->files.directory,
                            (unsigned long long)sequence);
    r->file = i - 1;
    r->at = at + 1;
    r->sequence = sequence;
    r->running_hash = running_hash;
    r->epoch = epoch;
    return 0;
}

int mm_audit_reader_open_after(mm_audit_reader *r, const char *directory, uint64_t sequence, uint64_t running_hash,
                               uint32_t epoch, mm_fault *fault)
{
    memset(r, 0, sizeof *r);
    if (mm_audit_list(&r->files, directory, fault))
        return -1;
    if (go_to(r, sequence, running_hash, epoch, fault) == 0)
        return 0;
    mm_audit_reader_close(r);
    return -1;
}

/* Maps the file that the next record is in; false at the end of the log or on a fault. */
static bool next_file(mm_audit_reader *r, mm_fault *fault)
{
    if (r->map.memory && r->at < r->map.capacity)
        return true;
    if (r->map.memory) {
        mm_audit_map_close(&r->map);
        r->file++;
    }
    r->at = 0;
    if (r->file == r->files.n || mm_audit_map_open(&r->map, &r->files, r->file, fault))
        return false;
    const mm_audit_header *h = r->map.header;
    if (h->first_sequence == r->sequence + 1 && h->first_hash == r->running_hash)
        return r->map.capacity > 0;
    mm_fault_set(fault, 0,
                 "audit log: %.300s begins at record %llu, but record %llu was the last before it: a file is missing "
                 "or not of this log",
                 r->map.path, (unsigned long long)h->first_sequence, (unsigned long long)r->sequence);
    return false;
}

static void passed(mm_audit_reader *r, const mm_audit_record *record)
{
    r->sequence++;
    r->running_hash = record->running_hash;
    r->epoch = record->epoch;
    r->at++;
}

const mm_audit_record *mm_audit_reader_next(mm_audit_reader *r, mm_fault *fault)
{
    fault->text[0] = 0;
    fault->code = 0;
    r->wrong = NULL;
    if (!next_file(r, fault))
        return NULL;
    const mm_audit_record *record = &r->map.records[r->at];
    if (record->sequence == 0 && record->crc == 0) /* preallocated, not written */
        return NULL;
    if (r->sequence < r->known_good)
        r->wrong = record->sequence != r->sequence + 1 ? "sequence number is not the next" : NULL;
    else
        r->wrong = mm_audit_record_error(record, r->sequence, r->running_hash, r->epoch);
    if (r->wrong) {
        mm_fault_set(fault, 0, "audit log: %.300s, offset %llu, record %llu: %s", r->map.path,
                     (unsigned long long)(MM_AUDIT_HEADER_BYTES + r->at * sizeof *record),
                     (unsigned long long)(r->sequence + 1), r->wrong);
        return NULL;
    }
    passed(r, record);
    return record;
}

const mm_audit_record *mm_audit_reader_some(mm_audit_reader *r, uint64_t *n, mm_fault *fault)
{
    const mm_audit_record *first = mm_audit_reader_next(r, fault);
    *n = first != NULL;
    if (!first)
        return NULL;
    uint64_t left = r->map.capacity - r->at;
    uint64_t sound = mm_audit_crc_good(first + 1, left < CHUNK ? left : CHUNK);
    for (; *n <= sound && !place_error(first + *n, r->sequence, r->running_hash, r->epoch); ++*n)
        passed(r, first + *n);
    return first;
}

void mm_audit_reader_close(mm_audit_reader *reader)
{
    mm_audit_map_close(&reader->map);
    mm_audit_files_free(&reader->files);
}

/* --- cutting --- */

int mm_audit_cut(int descriptor, uint64_t offset, uint64_t bytes)
{
    static const unsigned char zeros[1 << 16];
    for (uint64_t at = offset; at < bytes;) {
        size_t n = bytes - at < sizeof zeros ? (size_t)(bytes - at) : sizeof zeros;
        ssize_t written = pwrite(descriptor, zeros, n, (off_t)at);
        if (written <= 0)
            return written < 0 ? errno : EIO;
        at += (uint64_t)written;
    }
    return fdatasync(descriptor) ? errno : 0;
}

int mm_audit_sync_directory(const char *directory)
{
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return errno;
    int error = fsync(fd) ? errno : 0;
    close(fd);
    return error;
}
