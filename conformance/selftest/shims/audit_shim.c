/* Stands in front of the C library for the audit writer and gets one thing about the disk wrong, as MATCHMARK_SHIM says.
 *
 * Only files of the audit log are touched: all else goes through. Which batch is hit depends on how many there were before. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#define RECORD      272
#define BATCH_BYTES (1000 * RECORD)
#define HEADER      4096
#define HASH_AT     24 /* of the header: the running hash of the record before its file */
#define EVERY       3  /* batches: the third, the sixth and so on are hit, where not all are */

typedef ssize_t pwritev_function(int, const struct iovec *, int, off_t);
typedef ssize_t pwrite_function(int, const void *, size_t, off_t);
typedef int sync_function(int);

static pwritev_function *real_pwritev;
static pwrite_function *real_pwrite;
static sync_function *real_fdatasync;
static const char *mode = "";
static unsigned long batches;

/* What the mode `late` has not written yet. */
static char kept[BATCH_BYTES];
static size_t kept_bytes;
static off_t kept_at;
static int kept_file = -1;

__attribute__((constructor)) static void begin(void)
{
    real_pwritev = (pwritev_function *)dlsym(RTLD_NEXT, "pwritev");
    real_pwrite = (pwrite_function *)dlsym(RTLD_NEXT, "pwrite");
    real_fdatasync = (sync_function *)dlsym(RTLD_NEXT, "fdatasync");
    const char *said = getenv("MATCHMARK_SHIM");
    mode = said ? said : "";
}

static bool is(const char *name)
{
    return strcmp(mode, name) == 0;
}

static bool is_log(int fd)
{
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n <= 0)
        return false;
    path[n] = 0;
    const char *name = strrchr(path, '/');
    return name && (strncmp(name, "/audit-", 7) == 0 || strcmp(name, "/spare") == 0);
}

static uint32_t crc32c(const unsigned char *from, size_t bytes)
{
    uint32_t crc = ~UINT32_C(0);
    for (size_t i = 0; i < bytes; i++) {
        crc ^= from[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? UINT32_C(0x82F63B78) : 0);
    }
    return ~crc;
}

static void swap_last_two(char *batch, size_t bytes)
{
    char record[RECORD], *last = batch + bytes - RECORD;
    memcpy(record, last, RECORD);
    memcpy(last, last - RECORD, RECORD);
    memcpy(last - RECORD, record, RECORD);
}

/* The batch as this mode writes it; how many bytes of it are written. */
static size_t spoil(char *batch, size_t bytes)
{
    char *last = batch + bytes - RECORD;
    bool hit = ++batches % EVERY == 0;
    if (is("flip") && hit)
        batch[bytes / RECORD / 2 * RECORD + 40] ^= 4;
    if (is("hole") && hit)
        return 0;
    if (bytes < 2 * RECORD)
        return bytes;
    if (is("short"))
        return bytes - RECORD - RECORD / 2;
    if (is("lose_last") && hit)
        memset(last, 0, RECORD);
    if (is("twice") && hit)
        memcpy(last - RECORD, last, RECORD);
    if (is("swap") && hit)
        swap_last_two(batch, bytes);
    return bytes;
}

static void write_kept(void)
{
    if (kept_bytes)
        real_pwrite(kept_file, kept, kept_bytes, kept_at);
    kept_bytes = 0;
}

static ssize_t write_late(int fd, const char *batch, size_t bytes, off_t at)
{
    write_kept();
    memcpy(kept, batch, bytes);
    kept_bytes = bytes;
    kept_at = at;
    kept_file = fd;
    return (ssize_t)bytes;
}

ssize_t pwritev(int fd, const struct iovec *parts, int n, off_t at)
{
    static char batch[BATCH_BYTES];
    size_t bytes = 0;
    if (!*mode || !is_log(fd))
        return real_pwritev(fd, parts, n, at);
    for (int i = 0; i < n; i++) {
        if (bytes + parts[i].iov_len > sizeof batch)
            return real_pwritev(fd, parts, n, at);
        memcpy(batch + bytes, parts[i].iov_base, parts[i].iov_len);
        bytes += parts[i].iov_len;
    }
    if (is("flush_first"))
        real_fdatasync(fd);
    if (is("late"))
        return write_late(fd, batch, bytes, at);
    size_t wanted = spoil(batch, bytes);
    ssize_t written = wanted ? real_pwrite(fd, batch, wanted, at) : 0;
    if (written < 0 && !is("ignore_write_error"))
        return written;
    return (ssize_t)bytes;
}

ssize_t pwrite(int fd, const void *from, size_t bytes, off_t at)
{
    unsigned char page[HEADER];
    if (!is("chain_anew") || bytes != HEADER || at != 0 || !is_log(fd))
        return real_pwrite(fd, from, bytes, at);
    memcpy(page, from, HEADER);
    memset(page + HASH_AT, 0, 8);
    uint32_t crc = crc32c(page, HEADER - 4);
    memcpy(page + HEADER - 4, &crc, sizeof crc);
    return real_pwrite(fd, page, HEADER, 0);
}

int fdatasync(int fd)
{
    if (!*mode || !is_log(fd))
        return real_fdatasync(fd);
    if (is("no_flush") || is("flush_first"))
        return 0;
    if (is("range"))
        return sync_file_range(fd, 0, 0,
                               SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER);
    int result = real_fdatasync(fd);
    if (result && is("retry_flush"))
        result = real_fdatasync(fd);
    return result && is("ignore_flush_error") ? 0 : result;
}

int posix_fallocate(int fd, off_t from, off_t bytes)
{
    static int (*real)(int, off_t, off_t);
    if (!real)
        real = (int (*)(int, off_t, off_t))dlsym(RTLD_NEXT, "posix_fallocate");
    if (!is("no_room_kept") || !is_log(fd))
        return real(fd, from, bytes);
    return 0; /* the file grows as it is written */
}

/* What programs call that are built for files above 2 GB; here it is the same. */
__attribute__((alias("pwritev"))) ssize_t pwritev64(int fd, const struct iovec *parts, int n, off_t at);
__attribute__((alias("pwrite"))) ssize_t pwrite64(int fd, const void *from, size_t bytes, off_t at);
__attribute__((alias("posix_fallocate"))) int posix_fallocate64(int fd, off_t from, off_t bytes);
