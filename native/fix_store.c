/* A session's numbers and what it sent, in memory mapped from a file: plain stores on the hot path, no system call, and a
 * killed process loses nothing. The order of the stores matters: what a number means is written before the number is used.
 *
 * A loss of power leaves of the file any mixture of old and new pages, so it is not believed then. What is believed are two small
 * copies of the numbers, each written after all that it speaks of was flushed, and flushed itself before the next. A copy
 * holds a ceiling besides: no number from it on is sent before a later copy is on disk. So after a loss of power the numbers go
 * on from the ceiling, above all that a counterparty can have seen, and what the log has after the copy's last report
 * is numbered anew (docs/fix.md). */
#define _GNU_SOURCE
#include "fix_session_internal.h"
#include "matchmark/audit.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define STORE_MAGIC  UINT64_C(0x315845534d4d0002)
#define HEADER_BYTES 4096
#define KEPT_AT      1024 /* each copy in a sector of its own: one torn leaves the other whole */
#define SECTOR       512

MM_STATIC_ASSERT(sizeof(mm_fix_numbers) == 192, "store header layout");
MM_STATIC_ASSERT(sizeof(mm_fix_kept) == 80, "store copy layout");

uint64_t mm_fix_store_size(uint32_t capacity, uint32_t journal_bytes)
{
    return HEADER_BYTES + (uint64_t)capacity * sizeof(mm_fix_sent) + journal_bytes;
}

static void point_into(mm_fix_store *store, char *memory, uint32_t capacity)
{
    store->numbers = (mm_fix_numbers *)(void *)memory;
    for (int i = 0; i < 2; i++)
        store->kept[i] = (mm_fix_kept *)(void *)(memory + KEPT_AT + i * SECTOR);
    store->sent = (mm_fix_sent *)(void *)(memory + HEADER_BYTES);
    store->journal = memory + HEADER_BYTES + (uint64_t)capacity * sizeof(mm_fix_sent);
}

void mm_fix_store_in(mm_fix_store *store, void *memory, const char *sender, uint32_t capacity, uint32_t journal_bytes)
{
    point_into(store, memory, capacity);
    store->bytes = 0;
    mm_fix_numbers *n = store->numbers;
    size_t length = strlen(sender);
    memcpy(n->sender, sender, length < sizeof n->sender ? length : sizeof n->sender);
    n->capacity = capacity;
    n->journal_bytes = journal_bytes;
    n->next_in = n->next_out = 1;
    n->ceiling = UINT64_MAX;                                    /* of a file: mm_fix_store_trust */
    __atomic_store_n(&n->magic, STORE_MAGIC, __ATOMIC_RELEASE); /* last: a store half made is made again */
}

static const char *disagreement(const mm_fix_numbers *n, const char *sender, uint32_t capacity, uint32_t journal_bytes)
{
    if (n->magic != STORE_MAGIC)
        return "is not a session store of this version";
    if (strncmp(n->sender, sender, sizeof n->sender))
        return "belongs to another SenderCompID";
    if (n->capacity != capacity || n->journal_bytes != journal_bytes)
        return "was made with other sizes; keep the configured ones or remove it, which resets the session's numbers";
    if (n->next_in < 1 || n->next_out < 1)
        return "is damaged: a sequence number is 0";
    return NULL;
}

/* All of a new store's space is taken at once: a page that finds none later on would kill the process. 0 or an errno. */
static int make_room(int file, uint64_t bytes)
{
    int error = posix_fallocate(file, 0, (off_t)bytes);
    if (error && ftruncate(file, 0))
        return errno;
    return error;
}

int mm_fix_store_open(mm_fix_store *store, const char *path, const char *sender, uint32_t capacity,
                      uint32_t journal_bytes, char *why)
{
    uint64_t bytes = mm_fix_store_size(capacity, journal_bytes);
    struct stat st;
    int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    int failed = file < 0 || fstat(file, &st) < 0 ? errno : st.st_size ? 0 : make_room(file, bytes);
    if (failed) {
        snprintf(why, 256, "session store %s: %s", path, strerror(failed));
        if (file >= 0)
            close(file);
        return -1;
    }
    bool fits = !st.st_size || (uint64_t)st.st_size == bytes;
    void *memory = fits ? mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0) : MAP_FAILED;
    int error = errno;
    close(file);
    if (memory == MAP_FAILED) {
        snprintf(why, 256, "session store %s: %s", path, fits ? strerror(error) : "has another size than configured");
        return -1;
    }
    mm_fix_numbers *n = memory;
    if (!n->magic)
        mm_fix_store_in(store, memory, sender, capacity, journal_bytes);
    const char *fault = disagreement(n, sender, capacity, journal_bytes);
    if (fault) {
        snprintf(why, 256, "session store %s %s", path, fault);
        munmap(memory, bytes);
        return -1;
    }
    point_into(store, memory, capacity);
    store->bytes = bytes;
    return 0;
}

/* What copy_file_range does, between any two file systems. Bytes done, -1 with errno. */
static ssize_t copy_piece(int from, off_t *in, int to, off_t *out, uint64_t left)
{
    char buffer[65536];
    ssize_t done = copy_file_range(from, in, to, out, left, 0);
    if (done >= 0 || (errno != EXDEV && errno != EINVAL && errno != EOPNOTSUPP && errno != ENOSYS))
        return done;
    ssize_t got = pread(from, buffer, left < sizeof buffer ? left : sizeof buffer, *in);
    ssize_t put = got > 0 ? pwrite(to, buffer, (size_t)got, *out) : got;
    *in += put > 0 ? put : 0;
    *out += put > 0 ? put : 0;
    return put;
}

/* Of the entries and of the journal what was used: the rest is zeros in a new file anyway. */
static int copy_used(int from, int to, const mm_fix_numbers *n, uint64_t bytes)
{
    uint64_t entries = n->next_out < n->capacity ? n->next_out : n->capacity;
    uint64_t used = n->journal_end < n->journal_bytes ? n->journal_end : n->journal_bytes;
    uint64_t journal_at = HEADER_BYTES + (uint64_t)n->capacity * sizeof(mm_fix_sent);
    const uint64_t parts[][2] = {{HEADER_BYTES, entries * sizeof(mm_fix_sent)}, {journal_at, used}, {0, HEADER_BYTES}};
    int error = make_room(to, bytes);
    for (size_t i = 0; !error && i < sizeof parts / sizeof *parts; i++) {
        off_t in = (off_t)parts[i][0], out = in;
        for (uint64_t left = parts[i][1]; !error && left;) {
            ssize_t done = copy_piece(from, &in, to, &out, left);
            error = done < 0 ? errno : done ? 0 : EIO;
            left -= done > 0 ? (uint64_t)done : 0;
        }
    }
    return error;
}

int mm_fix_store_copy(const char *from, const char *to, char *why)
{
    mm_fix_numbers n;
    struct stat st;
    int in = open(from, O_RDONLY | O_CLOEXEC), out = -1, error = 0;
    if (in < 0 || fstat(in, &st) || pread(in, &n, sizeof n, 0) != sizeof n)
        error = errno ? errno : EIO;
    else if (n.magic != STORE_MAGIC || (uint64_t)st.st_size != mm_fix_store_size(n.capacity, n.journal_bytes))
        error = EBADMSG;
    else if (unlink(to) && errno != ENOENT)
        error = errno;
    else if ((out = open(to, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600)) < 0)
        error = errno;
    else
        error = copy_used(in, out, &n, (uint64_t)st.st_size);
    if (error)
        snprintf(why, 256, "session store %.160s cannot be copied: %s", from, strerror(error));
    if (in >= 0)
        close(in);
    if (out >= 0)
        close(out);
    return error ? -1 : 0;
}

/* --- what the disk knows --- */

static const mm_fix_kept *newest(const mm_fix_store *store)
{
    const mm_fix_kept *found = NULL;
    for (int i = 0; i < 2; i++) {
        const mm_fix_kept *k = store->kept[i];
        bool whole = k->serial && mm_crc32c(0, k, offsetof(mm_fix_kept, crc)) == k->crc;
        if (whole && (!found || k->serial > found->serial))
            found = k;
    }
    return found;
}

/* A new store: nothing was sent under it, or it would have a copy. */
static int begin(mm_fix_store *store, uint64_t life, char *why)
{
    mm_fix_numbers *n = store->numbers;
    if (store->sent[1 & (n->capacity - 1)].sending_ns || n->next_out > 1) {
        snprintf(why, 256, "neither copy of its numbers is whole");
        return -1;
    }
    n->ceiling = 1;
    n->kept = 0;
    n->unsure_in = 0;
    __atomic_store_n(&n->life, life, __ATOMIC_RELEASE);
    return 0;
}

/* Numbers from the copy on may have been sent, who knows as what; keys beyond the log's end are of reports that are lost. */
static void forget_unsure(mm_fix_store *store, const mm_fix_kept *k, uint64_t log_key)
{
    mm_fix_numbers *n = store->numbers;
    for (uint64_t i = 0; i < n->capacity; i++) {
        uint64_t key = store->sent[i].key;
        if (key < MM_JOURNAL_KEY && (key & ~MM_AGAIN_KEY) > log_key)
            store->sent[i] = (mm_fix_sent){0, 0};
    }
    for (uint64_t i = k->next_out; i < k->ceiling && i - k->next_out < n->capacity; i++)
        store->sent[i & (n->capacity - 1)] = (mm_fix_sent){0, 0};
}

int mm_fix_store_trust(mm_fix_store *store, uint64_t life, int clean, uint64_t log_key, char *why)
{
    mm_fix_numbers *n = store->numbers;
    if (n->life == life)
        return 0;
    const mm_fix_kept *k = newest(store);
    if (!k)
        return begin(store, life, why);
    bool believed = clean && k->exact;
    if (!believed)
        forget_unsure(store, k, log_key);
    n->next_in = believed ? k->exact_in : k->next_in;
    n->next_out = believed ? k->next_out : k->ceiling;
    n->ceiling = k->ceiling;
    n->resets = k->resets;
    n->last_key = k->last_key < log_key ? k->last_key : log_key;
    n->journal_end = k->journal_end;
    n->kept = k->serial;
    n->unsure_in = !believed;
    __atomic_store_n(&n->life, life, __ATOMIC_RELEASE); /* last: one that is killed in the midst of it does it again */
    return !believed;
}

int mm_fix_store_due(const mm_fix_store *store)
{
    const mm_fix_numbers *n = store->numbers;
    const mm_fix_kept *k = n->kept ? store->kept[n->kept & 1] : NULL;
    uint64_t next_out = __atomic_load_n(&n->next_out, __ATOMIC_ACQUIRE);
    if (!k || k->resets != n->resets || next_out + n->capacity / MM_STORE_AHEAD / 2 >= k->ceiling)
        return 2;
    return k->next_out != next_out || k->next_in != n->next_in || k->last_key != n->last_key;
}

int mm_fix_store_flush(mm_fix_store *store, uint64_t next_in, int exact)
{
    mm_fix_numbers *n = store->numbers;
    const mm_fix_kept *before = n->kept ? store->kept[n->kept & 1] : NULL;
    uint64_t resets = __atomic_load_n(&n->resets, __ATOMIC_ACQUIRE);
    /* Its report was numbered before the last key moved: what the copy says was numbered is below its next number. */
    uint64_t last_key = __atomic_load_n(&n->last_key, __ATOMIC_ACQUIRE);
    uint64_t next_out = __atomic_load_n(&n->next_out, __ATOMIC_ACQUIRE);
    mm_fix_kept copy = {.serial = n->kept + 1,
                        .next_in = next_in  ? next_in
                                   : before ? before->next_in
                                            : 1,
                        .next_out = next_out,
                        .ceiling = next_out + n->capacity / MM_STORE_AHEAD + 1,
                        .resets = resets,
                        .last_key = last_key,
                        .journal_end = __atomic_load_n(&n->journal_end, __ATOMIC_ACQUIRE),
                        .exact = exact != 0,
                        .exact_in = n->next_in};
    if (__atomic_load_n(&n->resets, __ATOMIC_ACQUIRE) != resets)
        return 0; /* it is reset at this moment: still due */
    if (copy.next_in > copy.exact_in)
        copy.next_in = 1; /* they have begun anew; lower is safe, for they send it again */
    copy.crc = mm_crc32c(0, &copy, offsetof(mm_fix_kept, crc));
    if (msync(n, store->bytes, MS_SYNC))
        return errno;
    *store->kept[copy.serial & 1] = copy;
    if (msync(n, HEADER_BYTES, MS_SYNC))
        return errno;
    n->kept = copy.serial;
    __atomic_store_n(&n->ceiling, copy.ceiling, __ATOMIC_RELEASE);
    return 0;
}

void mm_fix_store_close(mm_fix_store *store)
{
    if (store->bytes)
        munmap(store->numbers, store->bytes);
    memset(store, 0, sizeof *store);
}
