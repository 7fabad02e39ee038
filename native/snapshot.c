/* The file of a snapshot: the pages of each part that are not zeros, for most of what is reserved was never used. */
#define _GNU_SOURCE
#include "snapshot.h"

#include "engine_loop.h"
#include "gateway_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC       UINT64_C(0x3150414e534d4d00) /* bytes 00 "MMSNAP1" */
#define VERSION     2
#define HEAD_BYTES  4096
#define HEAD_CRC_AT (HEAD_BYTES - 4)
#define PAGE        4096
#define FLUSH_BYTES (UINT64_C(8) << 20)

/* `at`: where in the file its runs are, its pages follow; `length` of both, `crc` over both. */
typedef struct entry {
    uint32_t name, crc;
    uint64_t bytes, at, n_runs, length;
} entry;

typedef struct run {
    uint64_t first, pages; /* the part's last page may be cut short */
} run;

MM_STATIC_ASSERT(sizeof(mm_snapshot_head) + MM_SNAPSHOT_PARTS * sizeof(entry) <= HEAD_CRC_AT, "head page");

struct mm_snapshot {
    char path[MM_AUDIT_PATH];
    unsigned char *memory;
    uint64_t bytes;
    const mm_snapshot_head *head;
    const entry *entries;
};

/* --- writing --- */

typedef struct out {
    int fd, error;
    uint64_t at, unflushed;
    uint32_t crc;
} out;

static void put(out *o, const void *from, uint64_t n)
{
    const char *at = from;
    o->crc = mm_crc32c(o->crc, from, n);
    while (n && !o->error) {
        uint64_t step = n < FLUSH_BYTES ? n : FLUSH_BYTES;
        ssize_t done = write(o->fd, at, step);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0) {
            o->error = done < 0 ? errno : EIO;
            return;
        }
        at += done, n -= (uint64_t)done, o->at += (uint64_t)done;
        if ((o->unflushed += (uint64_t)done) >= FLUSH_BYTES) { /* the audit writer waits for the same disk */
            o->unflushed = 0;
            if (fdatasync(o->fd))
                o->error = errno;
        }
    }
}

static bool is_zero(const unsigned char *at, uint64_t n)
{
    return !at[0] && !memcmp(at, at + 1, n - 1);
}

static uint64_t page_bytes(uint64_t bytes, uint64_t page)
{
    return bytes - page * PAGE < PAGE ? bytes - page * PAGE : PAGE;
}

/* The runs of pages that are not zeros; NULL when there is no memory. */
static run *runs_of(const mm_part *p, uint64_t *n)
{
    uint64_t room = 64, pages = (p->bytes + PAGE - 1) / PAGE;
    run *runs = malloc(room * sizeof *runs);
    *n = 0;
    for (uint64_t page = 0; runs && page < pages; page++) {
        if (is_zero((const unsigned char *)p->memory + page * PAGE, page_bytes(p->bytes, page)))
            continue;
        if (*n && runs[*n - 1].first + runs[*n - 1].pages == page) {
            runs[*n - 1].pages++;
            continue;
        }
        if (*n == room) {
            run *more = realloc(runs, (room *= 2) * sizeof *runs);
            if (!more) {
                free(runs);
                return NULL;
            }
            runs = more;
        }
        runs[(*n)++] = (run){page, 1};
    }
    return runs;
}

static void put_part(out *o, const mm_part *p, entry *e)
{
    static const char zeros[8];
    put(o, zeros, -o->at % 8);
    *e = (entry){.name = p->name, .bytes = p->bytes, .at = o->at};
    run *runs = runs_of(p, &e->n_runs);
    if (!runs) {
        o->error = ENOMEM;
        return;
    }
    o->crc = 0;
    put(o, runs, e->n_runs * sizeof *runs);
    for (uint64_t i = 0; i < e->n_runs && !o->error; i++) {
        uint64_t from = runs[i].first * PAGE, n = runs[i].pages * PAGE;
        put(o, (const char *)p->memory + from, n < p->bytes - from ? n : p->bytes - from);
    }
    e->crc = o->crc;
    e->length = o->at - e->at;
    free(runs);
}

static int put_file(const char *path, const mm_snapshot_head *head, const mm_part *parts, uint64_t *bytes)
{
    union {
        unsigned char bytes[HEAD_BYTES];
        mm_snapshot_head head;
    } page = {{0}};
    out o = {.fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)};
    if (o.fd < 0)
        return errno;
    put(&o, page.bytes, HEAD_BYTES); /* the head comes last: until then it is no snapshot */
    page.head = *head;
    entry *entries = (entry *)(void *)(page.bytes + sizeof *head);
    for (uint32_t i = 0; i < head->n_parts && !o.error; i++)
        put_part(&o, &parts[i], &entries[i]);
    uint32_t crc = mm_crc32c(0, page.bytes, HEAD_CRC_AT);
    memcpy(page.bytes + HEAD_CRC_AT, &crc, sizeof crc);
    if (!o.error && fdatasync(o.fd))
        o.error = errno;
    if (!o.error && pwrite(o.fd, page.bytes, HEAD_BYTES, 0) != HEAD_BYTES)
        o.error = errno ? errno : EIO;
    if (!o.error && fsync(o.fd))
        o.error = errno;
    close(o.fd);
    *bytes = o.at;
    return o.error;
}

static int name_it(const char *draft, const char *path)
{
    char directory[MM_AUDIT_PATH];
    const char *slash = strrchr(path, '/');
    snprintf(directory, sizeof directory, "%.*s", slash ? (int)(slash - path) : 1, slash ? path : ".");
    return rename(draft, path) ? errno : mm_audit_sync_directory(directory);
}

/* The engine's, and those that make a gateway's. `loose` are small things that are copied for the file. */
typedef struct loose {
    struct {
        uint64_t sequence, running_hash, position;
        uint32_t epoch, known_free;
    } loop;
    mm_risk_numbers risk;
    struct {
        uint64_t applied_key;
        uint32_t n_unusual, free_waiting, fresh_waiting, n_releasing;
    } gateway;
} loose;

typedef struct kept_session {
    uint64_t seen_key;
    uint32_t first_waiting, last_waiting, releasing, zero;
} kept_session;

static uint32_t engine_parts(mm_engine_loop *l, mm_part *p)
{
    mm_known_orders *k = &l->known;
    uint32_t n = 0;
    p[n++] = (mm_part){MM_PART_ENGINE, 1, l->engine, mm_engine_size(mm_engine_config(l->engine))};
    p[n++] = (mm_part){MM_PART_KNOWN_SLOTS, 1, k->slots, (k->mask + 1) * sizeof *k->slots};
    p[n++] = (mm_part){MM_PART_KNOWN_POOL, 1, k->pool, (k->max + UINT64_C(1)) * sizeof *k->pool};
    p[n++] = (mm_part){MM_PART_KNOWN_FREE, 1, k->free_list, (k->max + UINT64_C(1)) * sizeof *k->free_list};
    p[n++] = (mm_part){MM_PART_KNOWN_PAST, 1, k->past, (k->max_past + 1) * sizeof *k->past};
    return n;
}

/* What of a gateway is in tables that lie where they are. */
static uint32_t gateway_parts(mm_gateway *g, mm_part *p)
{
    uint32_t n = mm_risk_parts(g->risk, p);
    p[n++] = (mm_part){MM_PART_TRADING, 0, g->trading, (g->n_symbols + 1u) * sizeof *g->trading};
    p[n++] = (mm_part){MM_PART_TRADING_STATES, 0, g->states, (g->n_symbols + 1u) * sizeof *g->states};
    p[n++] = (mm_part){MM_PART_WAITING_ORDERS, 0, g->waiting_orders,
                       (MM_DEFERRED_MAX + UINT64_C(1)) * sizeof *g->waiting_orders};
    p[n++] = (mm_part){MM_PART_RELEASING, 0, g->releasing, g->config.max_sessions * sizeof *g->releasing};
    return n;
}

static loose loose_of(const mm_engine_loop *l, const mm_gateway *g)
{
    loose s = {.risk = mm_risk_numbers_of(g->risk)};
    s.loop.sequence = l->sequence;
    s.loop.running_hash = l->running_hash;
    s.loop.position = l->position;
    s.loop.epoch = l->epoch;
    s.loop.known_free = l->known.n_free;
    s.gateway.applied_key = g->applied_key;
    s.gateway.n_unusual = g->n_unusual;
    s.gateway.free_waiting = g->free_waiting;
    s.gateway.fresh_waiting = g->fresh_waiting;
    s.gateway.n_releasing = g->n_releasing;
    return s;
}

static kept_session *sessions_of(const mm_gateway *g)
{
    kept_session *kept = calloc(g->config.max_sessions, sizeof *kept);
    for (uint32_t i = 0; kept && i < g->config.max_sessions; i++) {
        const mm_identity *id = &g->identities[i];
        kept[i] = (kept_session){id->seen_key, id->first_waiting, id->last_waiting, id->releasing, 0};
    }
    return kept;
}

/* The last command of the closed files may have been cut short there; the engine has finished it, and reports of that are in the ring. */
static int take_the_rest(mm_engine_loop *l, mm_gateway *g, mm_fault *fault)
{
    while (mm_gateway_take_reports(g))
        ;
    if (g->failure[0] || g->resume_key || mm_load(&g->pipeline->reports[g->config.gateway]->lost_from.word))
        return mm_fault_set(fault, 0, "snapshot: the gateway does not have all reports up to record %llu",
                            (unsigned long long)l->sequence);
    if (g->applied_key < 2 * l->sequence + 1)
        g->applied_key = 2 * l->sequence + 1;
    return 0;
}

int64_t mm_snapshot_save(const char *path, mm_engine_loop *l, mm_gateway *g, uint64_t instruments_hash,
                         uint64_t settings_hash, mm_fault *fault)
{
    mm_part parts[MM_SNAPSHOT_PARTS];
    char draft[MM_AUDIT_PATH + 8];
    if (take_the_rest(l, g, fault))
        return -1;
    loose small = loose_of(l, g);
    kept_session *sessions = sessions_of(g);
    if (!sessions)
        return mm_fault_set(fault, ENOMEM, "snapshot");
    uint32_t n = engine_parts(l, parts);
    n += gateway_parts(g, parts + n);
    parts[n++] = (mm_part){MM_PART_LOOP, 0, &small.loop, sizeof small.loop};
    parts[n++] = (mm_part){MM_PART_RISK, 0, &small.risk, sizeof small.risk};
    parts[n++] = (mm_part){MM_PART_GATEWAY, 0, &small.gateway, sizeof small.gateway};
    parts[n++] = (mm_part){MM_PART_GATEWAY_SESSIONS, 0, sessions, g->config.max_sessions * sizeof *sessions};
    mm_snapshot_head head = {.magic = MAGIC,
                             .version = VERSION,
                             .n_parts = n,
                             .sequence = l->sequence,
                             .running_hash = l->running_hash,
                             .next_order_position = l->position,
                             .state_hash = mm_engine_state_hash(l->engine),
                             .instruments_hash = instruments_hash,
                             .settings_hash = settings_hash,
                             .epoch = l->epoch,
                             .engine = *mm_engine_config(l->engine)};
    uint64_t bytes;
    snprintf(draft, sizeof draft, "%.4000s.new", path);
    int error = put_file(draft, &head, parts, &bytes);
    if (!error)
        error = name_it(draft, path);
    free(sessions);
    if (!error)
        return (int64_t)bytes;
    unlink(draft);
    return mm_fault_set(fault, error, "snapshot %.300s cannot be written", path);
}

/* --- reading --- */

static const char *head_error(const mm_snapshot *s)
{
    uint32_t crc;
    memcpy(&crc, s->memory + HEAD_CRC_AT, sizeof crc);
    if (s->head->magic != MAGIC)
        return "is not a snapshot";
    if (crc != mm_crc32c(0, s->memory, HEAD_CRC_AT))
        return "has a damaged head (CRC)";
    if (s->head->version != VERSION)
        return "was written in another version of the format";
    if (s->head->n_parts > MM_SNAPSHOT_PARTS || mm_config_error(&s->head->engine))
        return "has a head that makes no sense";
    return NULL;
}

/* Its runs lie in its pages, and its pages in the file. */
static const char *part_error(const mm_snapshot *s, const entry *e)
{
    const run *runs = (const run *)(const void *)(s->memory + e->at);
    uint64_t pages = (e->bytes + PAGE - 1) / PAGE, next = 0, length = e->n_runs * sizeof(run);
    if (e->at % 8 || e->at > s->bytes || e->length > s->bytes - e->at || e->n_runs > e->length / sizeof(run))
        return "was cut short";
    if (mm_crc32c(0, runs, e->length) != e->crc)
        return "is damaged (CRC)";
    for (uint64_t i = 0; i < e->n_runs; i++) {
        if (runs[i].first < next || !runs[i].pages || runs[i].pages > pages - runs[i].first)
            return "has runs that make no sense";
        next = runs[i].first + runs[i].pages;
        length += (runs[i].pages - 1) * PAGE + page_bytes(e->bytes, next - 1);
    }
    return length == e->length ? NULL : "has another length than its runs say";
}

static int map(mm_snapshot *s, mm_fault *fault)
{
    struct stat info;
    int fd = open(s->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &info)) {
        mm_fault_set(fault, errno, "snapshot %.300s cannot be read", s->path);
        if (fd >= 0)
            close(fd);
        return -1;
    }
    s->bytes = (uint64_t)info.st_size;
    void *memory = s->bytes >= HEAD_BYTES ? mmap(NULL, s->bytes, PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;
    int error = errno;
    close(fd);
    if (memory == MAP_FAILED && s->bytes < HEAD_BYTES)
        return mm_fault_set(fault, 0, "snapshot %.300s was cut short", s->path);
    if (memory == MAP_FAILED)
        return mm_fault_set(fault, error, "snapshot %.300s cannot be mapped", s->path);
    s->memory = memory;
    s->head = memory;
    s->entries = (const entry *)(const void *)(s->memory + sizeof *s->head);
    madvise(memory, s->bytes, MADV_SEQUENTIAL); /* a hint */
    return 0;
}

mm_snapshot *mm_snapshot_open(const char *path, int check, mm_fault *fault)
{
    mm_snapshot *s = calloc(1, sizeof *s);
    if (!s) {
        mm_fault_set(fault, ENOMEM, "snapshot");
        return NULL;
    }
    snprintf(s->path, sizeof s->path, "%s", path);
    const char *wrong = map(s, fault) ? "" : head_error(s);
    for (uint32_t i = 0; check && !wrong && i < s->head->n_parts; i++)
        wrong = part_error(s, &s->entries[i]);
    if (!wrong)
        return s;
    if (*wrong)
        mm_fault_set(fault, 0, "snapshot %.300s %s", s->path, wrong);
    mm_snapshot_close(s);
    return NULL;
}

const mm_snapshot_head *mm_snapshot_head_of(const mm_snapshot *s)
{
    return s->head;
}

void mm_snapshot_close(mm_snapshot *s)
{
    if (s && s->memory)
        munmap(s->memory, s->bytes);
    free(s);
}

int mm_snapshot_load(const mm_snapshot *s, mm_part part, mm_fault *fault)
{
    const entry *e = s->entries, *end = e + s->head->n_parts;
    while (e < end && e->name != part.name)
        e++;
    if (e == end || e->bytes != part.bytes)
        return mm_fault_set(fault, 0, "snapshot %.300s is of an exchange of other sizes", s->path);
    const run *runs = (const run *)(const void *)(s->memory + e->at);
    const unsigned char *from = s->memory + e->at + e->n_runs * sizeof *runs;
    if (part.reserved)
        madvise(part.memory, part.bytes, MADV_DONTNEED); /* zeros again */
    else
        memset(part.memory, 0, part.bytes);
    for (uint64_t i = 0; i < e->n_runs; i++) {
        uint64_t at = runs[i].first * PAGE, n = runs[i].pages * PAGE;
        n = n < part.bytes - at ? n : part.bytes - at;
        memcpy((char *)part.memory + at, from, n);
        from += n;
    }
    return 0;
}

static int load_all(const mm_snapshot *s, const mm_part *parts, uint32_t n, mm_fault *fault)
{
    for (uint32_t i = 0; i < n; i++)
        if (mm_snapshot_load(s, parts[i], fault))
            return -1;
    return 0;
}

int mm_snapshot_into_engine(const mm_snapshot *s, mm_engine_loop *l, mm_fault *fault)
{
    mm_part parts[MM_SNAPSHOT_PARTS];
    loose small;
    if (memcmp(&s->head->engine, mm_engine_config(l->engine), sizeof s->head->engine) != 0)
        return mm_fault_set(fault, 0, "snapshot %.300s was made with another engine configuration", s->path);
    if (mm_snapshot_load(s, (mm_part){MM_PART_LOOP, 0, &small.loop, sizeof small.loop}, fault) ||
        load_all(s, parts, engine_parts(l, parts), fault))
        return -1;
    l->known.n_free = small.loop.known_free;
    l->sequence = small.loop.sequence;
    l->running_hash = small.loop.running_hash;
    l->position = small.loop.position;
    l->log_epoch = s->head->epoch;
    return 0;
}

int mm_gateway_begin_from(mm_gateway *g, const mm_snapshot *s, mm_fault *fault)
{
    mm_part parts[MM_SNAPSHOT_PARTS];
    loose small;
    kept_session *kept = calloc(g->config.max_sessions, sizeof *kept);
    uint64_t bytes = g->config.max_sessions * sizeof *kept;
    int result = !kept || mm_snapshot_load(s, (mm_part){MM_PART_RISK, 0, &small.risk, sizeof small.risk}, fault) ||
                 mm_snapshot_load(s, (mm_part){MM_PART_GATEWAY, 0, &small.gateway, sizeof small.gateway}, fault) ||
                 mm_snapshot_load(s, (mm_part){MM_PART_GATEWAY_SESSIONS, 0, kept, bytes}, fault) ||
                 (mm_risk_use_numbers(g->risk, &small.risk) &&
                  mm_fault_set(fault, 0, "snapshot %.300s is of a gateway of other sizes", s->path)) ||
                 load_all(s, parts, gateway_parts(g, parts), fault);
    for (uint32_t i = 0; !result && i < g->config.max_sessions; i++) {
        mm_identity *id = &g->identities[i];
        id->seen_key = kept[i].seen_key;
        id->first_waiting = kept[i].first_waiting;
        id->last_waiting = kept[i].last_waiting;
        id->releasing = (uint8_t)kept[i].releasing;
    }
    free(kept);
    if (result)
        return -1;
    g->applied_key = small.gateway.applied_key;
    g->n_unusual = small.gateway.n_unusual;
    g->free_waiting = small.gateway.free_waiting;
    g->fresh_waiting = small.gateway.fresh_waiting;
    g->n_releasing = small.gateway.n_releasing;
    return 0;
}

/* --- the log behind it --- */

int mm_snapshot_fits(const mm_snapshot *s, const char *directory, mm_fault *fault)
{
    mm_audit_reader reader;
    if (mm_audit_reader_open_after(&reader, directory, s->head->sequence, s->head->running_hash, s->head->epoch, fault))
        return -1;
    int result = 0;
    if (reader.map.memory && (memcmp(&reader.map.header->engine, &s->head->engine, sizeof s->head->engine) != 0 ||
                              reader.map.header->instruments_hash != s->head->instruments_hash))
        result = mm_fault_set(fault, 0, "snapshot %.300s is not of the log %.300s", s->path, directory);
    mm_audit_reader_close(&reader);
    return result;
}

int mm_audit_recover_from(const char *directory, const mm_snapshot *s, int64_t last, int cut, mm_audit_extent *extent,
                          mm_fault *fault)
{
    const mm_snapshot_head *h = s->head;
    *extent = (mm_audit_extent){.sequence = h->sequence,
                                .running_hash = h->running_hash,
                                .next_order_position = h->next_order_position,
                                .epoch = h->epoch};
    mm_audit_reader reader;
    if (mm_audit_reader_open_after(&reader, directory, h->sequence, h->running_hash, h->epoch, fault))
        return -1;
    return mm_audit_recover_rest(&reader, last, cut, extent, fault);
}
