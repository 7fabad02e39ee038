/* The files of an audit log: names, headers, and going through them in order. docs/audit-log.md. */
#ifndef MATCHMARK_AUDIT_FILE_H
#define MATCHMARK_AUDIT_FILE_H

#include "shm.h"

#define MM_AUDIT_PATH          4096
#define MM_AUDIT_HEADER_CRC_AT (MM_AUDIT_HEADER_BYTES - 4)

/* A log's files by first sequence number. */
typedef struct mm_audit_files {
    char directory[3840];
    uint64_t *first;
    uint64_t n;
} mm_audit_files;

/* 0, also for an empty directory or none (n = 0), or -1 and `fault`. Free with mm_audit_files_free. */
int mm_audit_list(mm_audit_files *files, const char *directory, mm_fault *fault);
void mm_audit_files_free(mm_audit_files *files);
void mm_audit_path(char out[MM_AUDIT_PATH], const char *directory, uint64_t first_sequence);

/* One file mapped for reading. `records` has room for `capacity`, of which some may be zeros or torn. */
typedef struct mm_audit_map {
    char path[MM_AUDIT_PATH];
    void *memory;
    uint64_t bytes, capacity; /* whole records in the file */
    const mm_audit_header *header;
    const mm_audit_record *records;
} mm_audit_map;

/* Maps file number `i` and checks its header. 0, or -1 and `fault`. */
int mm_audit_map_open(mm_audit_map *map, const mm_audit_files *files, uint64_t i, mm_fault *fault);
void mm_audit_map_close(mm_audit_map *map);

/* The header page of a new file, CRC included. */
void mm_audit_header_page(unsigned char page[MM_AUDIT_HEADER_BYTES], const mm_audit_header *header);

/* Goes through the records of a log in order, checking each. */
typedef struct mm_audit_reader {
    mm_audit_files files;
    mm_audit_map map;
    uint64_t file, at;               /* next record */
    uint64_t sequence, running_hash; /* of the last one read */
    uint32_t epoch;
    uint64_t
        known_good; /* up to this record somebody has checked all, and who reads compares it with what it must be: only its
                            place is looked at */
    const char *wrong; /* why the next record is not valid; NULL when that is not why it stopped */
} mm_audit_reader;

int mm_audit_reader_open(mm_audit_reader *reader, const char *directory, mm_fault *fault);
/* To go on after a record that was read before, by its sequence number, running hash and epoch. -1 and `fault` when the log does not
 * have it, or has another one. */
int mm_audit_reader_open_after(mm_audit_reader *reader, const char *directory, uint64_t sequence, uint64_t running_hash,
                               uint32_t epoch, mm_fault *fault);
/* The next record, valid until the next call. NULL with fault->text empty at the end, or else with what is wrong. */
const mm_audit_record *mm_audit_reader_next(mm_audit_reader *reader, mm_fault *fault);
/* As many of the next as are good and lie behind each other, *n of them; NULL as above. */
const mm_audit_record *mm_audit_reader_some(mm_audit_reader *reader, uint64_t *n, mm_fault *fault);
void mm_audit_reader_close(mm_audit_reader *reader);

/* Why a record cannot follow one of this sequence, hash and epoch; NULL when it can. */
const char *mm_audit_record_error(const mm_audit_record *r, uint64_t sequence, uint64_t running_hash, uint32_t epoch);

/* mm_audit_recover from where the reader stands; `extent` says what is in front of it. Closes the reader. */
int mm_audit_recover_rest(mm_audit_reader *reader, int64_t last, int cut, mm_audit_extent *extent, mm_fault *fault);

/* Zeroes a file from `offset` to the end of its data and makes that durable. 0 or an errno. */
int mm_audit_cut(int descriptor, uint64_t offset, uint64_t bytes);
int mm_audit_sync_directory(const char *directory);

#endif
