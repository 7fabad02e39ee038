/* The audit writer: takes batches from the audit ring, one write and one fdatasync each, and moves the durable mark.
 *
 * The first error stops the exchange and is never tried again: after a failed fdatasync the kernel may have dropped the pages
 * and a second one would succeed without the data. The durable mark has not moved, so after a repair and a restart with the
 * same shared memory the batch is written anew from the ring.
 *
 * A file is filled to the last record, then the next one takes over. The next one is always there already, preallocated under
 * the name `spare`: when the disk is full the exchange stops taking orders while there is still room for all it has acknowledged. */
#define _GNU_SOURCE
#include "audit_file.h"
#include "stages.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define FILE_RECORDS_MIN 1000
#define LINGER_NS_MAX    UINT64_C(1000000)

/* Records of one batch of the engine: they were matched at one instant. */
typedef struct run {
    uint64_t matched_ns, n;
} run;

struct mm_writer {
    mm_pipeline *p;
    mm_stages *stages;            /* NULL: not measured */
    run runs[MM_AUDIT_BATCH_MAX]; /* of the batch at hand */
    uint64_t n_runs;
    uint64_t received_ns[MM_AUDIT_BATCH_MAX]; /* of the new orders of the batch at hand */
    uint64_t n_received;
    mm_writer_config config;
    char directory[3840];
    int lock, file;
    bool broken;
    uint64_t file_first;       /* first sequence number of the open file */
    uint64_t file_capacity;    /* its records; the last file of a log keeps its own */
    uint64_t written;          /* last record on disk */
    uint64_t last_hash;        /* its running hash */
    uint64_t waiting_since_ns; /* when the next batch had its first record, 0 while it has none */
    uint64_t linger_ns;        /* how long it waits for more */
};

static int fail(mm_writer *w, int error, const char *what)
{
    char text[252];
    snprintf(text, sizeof text, "audit log %.120s: %s: %s", w->directory, what, strerror(error));
    w->broken = true;
    mm_pipeline_fail(w->p, error, text);
    return -1;
}

/* --- files --- */

static uint64_t file_bytes(uint64_t records)
{
    return MM_AUDIT_HEADER_BYTES + records * sizeof(mm_audit_record);
}

static int spare_path(const mm_writer *w, char out[MM_AUDIT_PATH])
{
    return snprintf(out, MM_AUDIT_PATH, "%s/spare", w->directory) > 0 ? 0 : -1;
}

/* Makes the next file, zeros only. 0 or an errno. */
static int make_spare(const mm_writer *w)
{
    char path[MM_AUDIT_PATH];
    spare_path(w, path);
    unlink(path); /* one left over may have been made for another size */
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return errno;
    int error = posix_fallocate(fd, 0, (off_t)file_bytes(w->config.file_records));
    if (!error && fsync(fd))
        error = errno;
    close(fd);
    if (error)
        unlink(path); /* gives back what it has taken of a full disk */
    return error;
}

static mm_audit_header header_for(const mm_writer *w, uint64_t first_sequence, uint64_t first_hash)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (mm_audit_header){
        .magic = MM_AUDIT_MAGIC,
        .version = MM_AUDIT_VERSION,
        .record_bytes = MM_AUDIT_RECORD_BYTES,
        .first_sequence = first_sequence,
        .first_hash = first_hash,
        .capacity_records = w->config.file_records,
        .created_ns = (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec,
        .epoch = (uint32_t)mm_load(&w->p->control->epoch.word),
        .engine = w->config.engine,
        .instruments_hash = w->config.instruments_hash,
    };
}

/* Turns the spare into the file that begins with this record, and opens it. 0 or an errno. */
static int begin_file(mm_writer *w, uint64_t first_sequence, uint64_t first_hash)
{
    char spare[MM_AUDIT_PATH], path[MM_AUDIT_PATH];
    unsigned char page[MM_AUDIT_HEADER_BYTES];
    mm_audit_header header = header_for(w, first_sequence, first_hash);
    spare_path(w, spare);
    mm_audit_path(path, w->directory, first_sequence);
    mm_audit_header_page(page, &header);
    int fd = open(spare, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return errno;
    ssize_t n = pwrite(fd, page, sizeof page, 0);
    int error = n < 0 ? errno : n != (ssize_t)sizeof page ? ENOSPC : fdatasync(fd) || rename(spare, path) ? errno : 0;
    if (!error)
        error = mm_audit_sync_directory(w->directory);
    if (error) {
        close(fd);
        return error;
    }
    if (w->file >= 0)
        close(w->file);
    w->file = fd;
    w->file_first = first_sequence;
    w->file_capacity = w->config.file_records;
    return 0;
}

/* --- opening --- */

static int check_config(const mm_pipeline *p, const mm_writer_config *c, mm_fault *fault)
{
    if (c->file_records < FILE_RECORDS_MIN || c->file_records > UINT32_MAX)
        return mm_fault_set(fault, 0, "audit writer: file_records must be 1000 .. 4294967295");
    if (c->file_records < p->audit->head.slots) /* what was taken must fit when there is no room for another file */
        return mm_fault_set(fault, 0, "audit writer: file_records must be at least audit_slots, %llu",
                            (unsigned long long)p->audit->head.slots);
    if (c->linger_ns > LINGER_NS_MAX)
        return mm_fault_set(fault, 0, "audit writer: linger_ns must be at most 1000000 (1 ms)");
    const char *wrong = mm_config_error(&c->engine);
    return wrong ? mm_fault_set(fault, 0, "audit writer: engine configuration: %s", wrong) : 0;
}

static int open_last(mm_writer *w, const mm_audit_map *map, mm_fault *fault)
{
    w->file = open(map->path, O_RDWR | O_CLOEXEC);
    if (w->file < 0)
        return mm_fault_set(fault, errno, "audit log: cannot write %.300s", map->path);
    w->file_first = map->header->first_sequence;
    w->file_capacity = map->header->capacity_records;
    uint64_t keep = file_bytes(w->written + 1 - w->file_first);
    int error = mm_audit_cut(w->file, keep, map->bytes > keep ? map->bytes : keep);
    if (!error)
        error = posix_fallocate(w->file, 0, (off_t)file_bytes(w->file_capacity));
    return error ? mm_fault_set(fault, error, "audit log: cannot cut what was not confirmed from %.300s", map->path)
                 : 0;
}

/* The last file must hold the record at the durable mark, and no file may begin after it (but at it + 1, empty). */
static int resume(mm_writer *w, const mm_audit_files *files, mm_fault *fault)
{
    mm_audit_map map;
    if (mm_audit_map_open(&map, files, files->n - 1, fault))
        return -1;
    const mm_audit_header *h = map.header;
    int result = 0;
    if (memcmp(&h->engine, &w->config.engine, sizeof h->engine) || h->instruments_hash != w->config.instruments_hash)
        result = mm_fault_set(
            fault, 0,
            "audit log %.200s was written with another engine configuration or instrument list: use that one, or a "
            "new directory",
            w->directory);
    else if (h->first_sequence > w->written + 1 || w->written + 1 - h->first_sequence > map.capacity)
        result = mm_fault_set(
            fault, 0,
            "audit log: %.200s holds records %llu to %llu, but shared memory says that %llu is the last on disk: the "
            "directory is not of this exchange",
            map.path, (unsigned long long)h->first_sequence, (unsigned long long)(h->first_sequence + map.capacity - 1),
            (unsigned long long)w->written);
    else if (w->written >= h->first_sequence) {
        const mm_audit_record *r = &map.records[w->written - h->first_sequence];
        if (r->sequence != w->written || mm_crc32c(0, r, offsetof(mm_audit_record, crc)) != r->crc)
            result = mm_fault_set(fault, 0, "audit log: %.250s: record %llu, the last on disk, is damaged or not there",
                                  map.path, (unsigned long long)w->written);
        w->last_hash = r->running_hash;
    } else {
        w->last_hash = h->first_hash;
    }
    if (!result)
        result = open_last(w, &map, fault);
    mm_audit_map_close(&map);
    return result;
}

static int start(mm_writer *w, mm_fault *fault)
{
    mm_audit_files files;
    if (mm_audit_list(&files, w->directory, fault))
        return -1;
    int result = 0;
    if (files.n)
        result = resume(w, &files, fault);
    mm_audit_files_free(&files);
    if (result)
        return -1;
    if (w->file < 0 && w->written)
        return mm_fault_set(
            fault, 0,
            "audit log %.300s is empty, but shared memory says that record %llu is on disk: the log was removed",
            w->directory, (unsigned long long)w->written);
    int error = make_spare(w);
    if (!error && w->file < 0) {
        error = begin_file(w, 1, 0);
        if (!error)
            error = make_spare(w);
    }
    return error ? mm_fault_set(fault, error, "audit log: cannot make a file in %.300s", w->directory) : 0;
}

mm_writer *mm_writer_open(mm_pipeline *p, const char *log_directory, const mm_writer_config *config, mm_fault *fault)
{
    if (check_config(p, config, fault))
        return NULL;
    if (mm_pipeline_state(p) == MM_FAILED) {
        mm_fault_set(fault, 0, "the exchange has stopped (%.250s): repair the cause, then start it anew",
                     p->control->failure);
        return NULL;
    }
    if (mkdir(log_directory, 0700) && errno != EEXIST) {
        mm_fault_set(fault, errno, "audit log: cannot make the directory %.300s", log_directory);
        return NULL;
    }
    mm_writer *w = calloc(1, sizeof *w);
    if (!w) {
        mm_fault_set(fault, ENOMEM, "audit writer");
        return NULL;
    }
    *w = (mm_writer){.p = p, .config = *config, .lock = -1, .file = -1, .written = mm_pipeline_durable_sequence(p)};
    /* Where a client waits for the disk, waiting for company costs it more than a batch can save: those that come meanwhile
     * are the next batch. */
    w->linger_ns = p->control->config.durability == MM_FSYNC ? 0 : config->linger_ns;
    int n = snprintf(w->directory, sizeof w->directory, "%s", log_directory);
    bool fits = n > 0 && (size_t)n < sizeof w->directory;
    w->lock = fits ? mm_lock_take(log_directory, "writer.lock") : -1;
    if (!fits)
        mm_fault_set(fault, 0, "audit log %.200s: the path is too long", log_directory);
    else if (w->lock < 0 && errno == EWOULDBLOCK)
        mm_fault_set(fault, 0, "audit log %.300s: another writer has it", log_directory);
    else if (w->lock < 0)
        mm_fault_set(fault, errno, "audit log: cannot write in %.300s", log_directory);
    else if (start(w, fault) == 0) {
        p->control->writer_beat_ns.pad[0] = (uint64_t)getpid();
        mm_store(&p->control->writer_beat_ns.word, mm_now_ns());
        return w;
    }
    mm_writer_close(w);
    return NULL;
}

void mm_writer_close(mm_writer *w)
{
    if (!w)
        return;
    if (w->file >= 0)
        close(w->file);
    mm_lock_give(w->lock);
    free(w);
}

/* --- writing --- */

static void note_stamps(mm_writer *w, const mm_audit_record *r)
{
    if (r->kind == MM_RECORD_COMMAND && r->command.op == MM_NEW)
        w->received_ns[w->n_received++] = r->received_ns;
    if (r->kind != MM_RECORD_EVENT)
        return;
    if (!w->n_runs || w->runs[w->n_runs - 1].matched_ns != r->stage_b_ns)
        w->runs[w->n_runs++] = (run){r->stage_b_ns, 0};
    w->runs[w->n_runs - 1].n++;
}

static void count_runs(mm_writer *w, int stage)
{
    uint64_t now = w->stages ? mm_now_ns() : 0;
    for (uint64_t i = 0; w->stages && i < w->n_runs; i++)
        mm_stage_span(&w->stages->rows[stage], w->runs[i].matched_ns, now, w->runs[i].n);
    for (uint64_t i = 0; w->stages && stage == MM_STAGE_DURABLE && i < w->n_received; i++)
        mm_stage_span(&w->stages->rows[MM_STAGE_ON_DISK], w->received_ns[i], now, 1);
}

void mm_writer_measure(mm_writer *w, mm_stages *stages)
{
    w->stages = stages;
}

static void seal(mm_writer *w, uint64_t first, uint64_t n)
{
    mm_audit_ring *ring = w->p->audit;
    w->n_runs = w->n_received = 0;
    for (uint64_t i = 0; i < n; i++) {
        mm_audit_record *r = &ring->slots[(first + i) & (ring->head.slots - 1)];
        note_stamps(w, r);
        r->batch_index = (uint16_t)i;
        r->zero = 0;
        r->crc = mm_crc32c(0, r, offsetof(mm_audit_record, crc));
    }
}

static int write_batch(mm_writer *w, uint64_t n)
{
    mm_audit_ring *ring = w->p->audit;
    uint64_t first = w->written + 1, at = first & (ring->head.slots - 1), to_end = ring->head.slots - at;
    uint64_t head = n < to_end ? n : to_end;
    seal(w, first, n);
    struct iovec parts[2] = {{&ring->slots[at], head * sizeof(mm_audit_record)},
                             {&ring->slots[0], (n - head) * sizeof(mm_audit_record)}};
    ssize_t bytes = pwritev(w->file, parts, n > head ? 2 : 1, (off_t)file_bytes(first - w->file_first));
    if (bytes != (ssize_t)(n * sizeof(mm_audit_record))) {
        int error = bytes < 0 ? errno : ENOSPC;
        if (bytes > 0) /* a part of a record is no torn batch to who reads the log without our memory */
            mm_audit_cut(w->file, file_bytes(first - w->file_first),
                         file_bytes(first - w->file_first) + (uint64_t)bytes);
        return fail(w, error, "write failed");
    }
    count_runs(w, MM_STAGE_WRITTEN);
    if (fdatasync(w->file))
        return fail(w, errno, "fdatasync failed");
    w->written += n;
    w->last_hash = ring->slots[w->written & (ring->head.slots - 1)].running_hash;
    mm_store(&ring->durable.word, w->written);
    count_runs(w, MM_STAGE_DURABLE);
    return 0;
}

/* The open file is full: the spare takes its place, and a new spare is made. Without room for one no further order is taken. */
static int next_file(mm_writer *w)
{
    int error = begin_file(w, w->written + 1, w->last_hash);
    if (error)
        return fail(w, error, "cannot begin the next file");
    error = make_spare(w);
    if (error) {
        char text[252];
        snprintf(text, sizeof text, "audit log %.120s: no room for the next file: %s", w->directory, strerror(error));
        mm_pipeline_fail(w->p, error, text); /* what was acknowledged still has room here */
    }
    return 0;
}

int64_t mm_writer_poll(mm_writer *w)
{
    if (w->broken)
        return -1;
    if (!mm_pipeline_may_act(w->p)) { /* what another primary does not have is not for the log */
        w->broken = mm_load(&w->p->control->fenced_by.word) != 0;
        return w->broken ? -1 : 0;
    }
    uint64_t ready = mm_load(&w->p->audit->tail.word) - w->written;
    if (!ready) {
        w->waiting_since_ns = 0;
        return 0;
    }
    if (ready < MM_AUDIT_BATCH_MAX && w->linger_ns && mm_pipeline_state(w->p) == MM_RUNNING) {
        uint64_t now = mm_now_ns();
        if (!w->waiting_since_ns)
            w->waiting_since_ns = now;
        if (now - w->waiting_since_ns < w->linger_ns)
            return 0;
    }
    w->waiting_since_ns = 0;
    if (w->written + 1 - w->file_first == w->file_capacity && next_file(w))
        return -1;
    uint64_t room = w->file_capacity - (w->written + 1 - w->file_first), n = ready < room ? ready : room;
    n = n < MM_AUDIT_BATCH_MAX ? n : MM_AUDIT_BATCH_MAX;
    return write_batch(w, n) ? -1 : (int64_t)n;
}

/* Nothing more will come: the engine has gone and all it made visible is on disk. */
static bool drained(mm_writer *w)
{
    if (mm_pipeline_state(w->p) < MM_STOPPING)
        return false;
    int engine = mm_lock_take(w->p->directory, "engine.lock");
    mm_lock_give(engine);
    return engine >= 0 && mm_load(&w->p->audit->tail.word) == w->written;
}

#define LINGER_NAP_NS UINT64_C(1000000)

/* A batch waits for company: until then there is nothing to look for, and the processor is left to those who have work. */
static void linger(const mm_writer *w)
{
    uint64_t past = mm_now_ns() - w->waiting_since_ns, left = past < w->linger_ns ? w->linger_ns - past : 0;
    struct timespec nap = {0, (long)(left < LINGER_NAP_NS ? left : LINGER_NAP_NS)};
    nanosleep(&nap, NULL);
}

int mm_writer_run(mm_writer *w, uint64_t slice_ns, int wait)
{
    mm_idle idle = {wait, 0};
    uint64_t until = mm_now_ns() + slice_ns;
    for (uint32_t round = 0;; round++) {
        int64_t n = mm_writer_poll(w);
        if (n < 0)
            return -1;
        if (n > 0)
            mm_idle_reset(&idle);
        else if (w->waiting_since_ns && wait == MM_WAIT_SLEEP)
            linger(w);
        else
            mm_idle_round(&idle);
        if (n == 0 && !w->waiting_since_ns && round % 64)
            continue;
        uint64_t now = mm_now_ns();
        mm_store(&w->p->control->writer_beat_ns.word, now);
        if (now >= until)
            return drained(w) ? 1 : 0;
    }
}
