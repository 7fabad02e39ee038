/* A session's numbers and what it sent, in memory mapped from a file: plain stores on the hot path, no system call, and a
 * killed process loses nothing. The order of the stores matters: what a number means is written before the number is used. */
#define _DEFAULT_SOURCE
#include "matchmark/fix_session.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define STORE_MAGIC  UINT64_C(0x315845534d4d0001)
#define HEADER_BYTES 4096

MM_STATIC_ASSERT(sizeof(mm_fix_numbers) == 128, "store header layout");

uint64_t mm_fix_store_size(uint32_t capacity, uint32_t journal_bytes)
{
    return HEADER_BYTES + (uint64_t)capacity * sizeof(mm_fix_sent) + journal_bytes;
}

static void point_into(mm_fix_store *store, char *memory, uint32_t capacity)
{
    store->numbers = (mm_fix_numbers *)(void *)memory;
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

void mm_fix_store_close(mm_fix_store *store)
{
    if (store->bytes)
        munmap(store->numbers, store->bytes);
    memset(store, 0, sizeof *store);
}
