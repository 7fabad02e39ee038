/* Making, mapping and looking at the files of a pipeline. Nothing here is on the order path. */
#define _GNU_SOURCE
#include "shm.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define SLOTS_MIN 64
#define SLOTS_MAX (UINT32_C(1) << 24)

uint64_t mm_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC_RAW, &t);
    return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

int mm_fault_set(mm_fault *fault, int error, const char *format, ...)
{
    if (!fault)
        return -1;
    fault->code = error;
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(fault->text, sizeof fault->text, format, arguments);
    va_end(arguments);
    if (error && n >= 0 && (size_t)n < sizeof fault->text)
        snprintf(fault->text + n, sizeof fault->text - (size_t)n, ": %s", strerror(error));
    return -1;
}

/* --- waiting --- */

/* Rounds with nothing to do after which a thread sleeps 50 us a round, and after which 500 us: a yielding one in the pauses
 * between orders never gets there, an exchange that nobody trades on leaves the processors to others. */
enum { SLEEP_AFTER = 64, YIELD_SLEEP_AFTER = 4096, QUIET_AFTER = 8192 };

long mm_idle_nap_ns(const mm_idle *idle)
{
    uint32_t begin = idle->wait == MM_WAIT_SLEEP ? SLEEP_AFTER : YIELD_SLEEP_AFTER;
    if (idle->wait == MM_WAIT_SPIN || idle->rounds <= begin)
        return 0;
    return idle->rounds <= begin + QUIET_AFTER ? 50000 : 500000;
}

void mm_idle_slow(mm_idle *idle)
{
    struct timespec nap = {0, mm_idle_nap_ns(idle)};
    if (nap.tv_nsec)
        nanosleep(&nap, NULL);
    else
        sched_yield();
}

int mm_wait_pick(int asked, uint32_t threads, char *text)
{
    static const char *const names[] = {"auto", "spin", "yield", "sleep"};
    cpu_set_t set;
    int processors = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    int pick = asked;
    if (asked < MM_WAIT_SPIN || asked > MM_WAIT_SLEEP) {
        asked = MM_WAIT_AUTO;
        /* A spinning thread keeps its processor from the one it waits for, so spin only when each has its own and one is left over. */
        pick = threads < (uint32_t)processors        ? MM_WAIT_SPIN
               : threads <= 2 * (uint32_t)processors ? MM_WAIT_YIELD
                                                     : MM_WAIT_SLEEP;
    }
    if (text)
        snprintf(text, 256, "wait strategy %s (%s): %u busy threads on %d processors", names[pick],
                 asked == MM_WAIT_AUTO ? "picked by processor count" : "asked for", threads, processors);
    return pick;
}

/* --- locks that die with their holder --- */

static int path_of(char *out, size_t size, const char *directory, const char *name)
{
    int n = snprintf(out, size, "%s/%s", directory, name);
    return n > 0 && (size_t)n < size ? 0 : -1;
}

int mm_lock_take(const char *directory, const char *name)
{
    char path[4096];
    if (path_of(path, sizeof path, directory, name)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return -1;
    if (flock(fd, LOCK_EX | LOCK_NB) == 0)
        return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

void mm_lock_give(int descriptor)
{
    if (descriptor >= 0)
        close(descriptor);
}

static void gateway_lock_name(char out[32], uint32_t gateway)
{
    snprintf(out, 32, "gateway.%u.lock", gateway);
}

bool mm_gateway_is_dead(mm_pipeline *p, uint32_t gateway)
{
    char name[32];
    gateway_lock_name(name, gateway);
    int fd = mm_lock_take(p->directory, name);
    mm_lock_give(fd);
    return fd >= 0;
}

bool mm_claim_is_dead(mm_pipeline *p, uint64_t position, uint32_t gateway)
{
    /* Holding the lock while the claim is abandoned: no successor can have made this claim. */
    char name[32];
    gateway_lock_name(name, gateway);
    int fd = mm_lock_take(p->directory, name);
    if (fd < 0)
        return false;
    bool abandoned = mm_mpsc_abandon(&p->order_ring, position, gateway);
    mm_lock_give(fd);
    return abandoned;
}

/* --- creating --- */

static const char *config_error(const mm_pipeline_config *c)
{
    const uint32_t sizes[] = {c->order_slots, c->audit_slots, c->report_slots};
    for (int i = 0; i < 3; i++) {
        if (sizes[i] < SLOTS_MIN || sizes[i] > SLOTS_MAX || (sizes[i] & (sizes[i] - 1)))
            return "order_slots, audit_slots and report_slots must be powers of two, 64 .. 16777216";
    }
    if (c->gateways < 1 || c->gateways > MM_GATEWAYS_MAX)
        return "gateways must be 1 .. 64";
    if (c->durability > MM_REPLICATED)
        return "durability must be async (0), fsync (1) or replicated (2)";
    if (c->epoch < 1)
        return "epoch must be 1 or more";
    return NULL;
}

static const char *reports_name(char out[32], uint32_t gateway)
{
    snprintf(out, 32, "reports.%u", gateway);
    return out;
}

static int make_file(const char *directory, const char *name, const mm_shm_head *head, mm_fault *fault)
{
    char path[4096];
    if (path_of(path, sizeof path, directory, name))
        return mm_fault_set(fault, 0, "shared memory directory %.200s: the path is too long", directory);
    unlink(path);
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return mm_fault_set(fault, errno, "shared memory: cannot create %.300s", path);
    /* Reserved now, so that a full /dev/shm is an error here and not a SIGBUS under load. */
    int error = posix_fallocate(fd, 0, (off_t)head->bytes);
    if (!error && pwrite(fd, head, sizeof *head, 0) != sizeof *head)
        error = errno;
    close(fd);
    if (!error)
        return 0;
    unlink(path);
    return mm_fault_set(fault, error, "shared memory: no %llu bytes for %.300s; free some, or make the rings smaller",
                        (unsigned long long)head->bytes, path);
}

static mm_shm_head head_of(enum mm_shm_kind kind, uint64_t generation, uint64_t slots, uint32_t slot_bytes,
                           uint32_t index)
{
    return (mm_shm_head){
        .magic = MM_SHM_MAGIC,
        .version = MM_SHM_VERSION,
        .kind = kind,
        .generation = generation,
        .bytes = MM_SHM_PAGE + slots * slot_bytes,
        .slots = slots,
        .slot_bytes = slot_bytes,
        .index = index,
    };
}

static void *map_file(const char *directory, const char *name, enum mm_shm_kind kind, uint32_t slot_bytes,
                      uint32_t index, mm_fault *fault);

static void unmap(void *file)
{
    if (file)
        munmap(file, ((const mm_shm_head *)file)->bytes);
}

static int fill_orders(const char *directory, const mm_pipeline_config *c, mm_fault *fault)
{
    mm_orders_file *f = map_file(directory, "orders", MM_SHM_ORDERS, sizeof(mm_order_slot), 0, fault);
    if (!f)
        return -1;
    mm_mpsc ring = {&f->tail.word, f->slots, f->head.slots - 1};
    mm_store(&f->tail.word, c->base_order_position);
    for (uint64_t i = 0; i < f->head.slots; i++)
        mm_store(&mm_mpsc_slot(&ring, c->base_order_position + i)->turn,
                 mm_turn(c->base_order_position + i, 0, MM_TURN_FREE));
    unmap(f);
    return 0;
}

static int fill_audit(const char *directory, const mm_pipeline_config *c, mm_fault *fault)
{
    mm_audit_ring *f = map_file(directory, "audit", MM_SHM_AUDIT, sizeof(mm_audit_record), 0, fault);
    if (!f)
        return -1;
    mm_store(&f->tail.word, c->base_sequence);
    mm_store(&f->durable.word, c->base_sequence);
    unmap(f);
    return 0;
}

static int fill_reports(const char *directory, const mm_pipeline_config *c, uint32_t gateway, mm_fault *fault)
{
    char name[32];
    mm_reports_file *f =
        map_file(directory, reports_name(name, gateway), MM_SHM_REPORTS, sizeof(mm_report), gateway, fault);
    if (!f)
        return -1;
    mm_store(&f->base_key.word, 2 * c->base_sequence + 1);
    unmap(f);
    return 0;
}

static int fill_control(const char *directory, const mm_pipeline_config *c, mm_fault *fault)
{
    mm_control *f = map_file(directory, "control", MM_SHM_CONTROL, 0, 0, fault);
    if (!f)
        return -1;
    f->config = *c;
    mm_store(&f->order_position.word, c->base_order_position);
    mm_store(&f->state.word, MM_STARTING);
    mm_store(&f->epoch.word, c->epoch);
    mm_store(&f->lease_until_ns.word, UINT64_MAX);
    mm_store(&f->replicated.word, c->base_sequence);
    unmap(f);
    return 0;
}

static int make_rings(const char *directory, const mm_pipeline_config *c, uint64_t generation, mm_fault *fault)
{
    mm_shm_head orders = head_of(MM_SHM_ORDERS, generation, c->order_slots, sizeof(mm_order_slot), 0);
    mm_shm_head audit = head_of(MM_SHM_AUDIT, generation, c->audit_slots, sizeof(mm_audit_record), 0);
    if (make_file(directory, "orders", &orders, fault) || fill_orders(directory, c, fault))
        return -1;
    if (make_file(directory, "audit", &audit, fault) || fill_audit(directory, c, fault))
        return -1;
    for (uint32_t g = 0; g < c->gateways; g++) {
        char name[32];
        mm_shm_head reports = head_of(MM_SHM_REPORTS, generation, c->report_slots, sizeof(mm_report), g);
        if (make_file(directory, reports_name(name, g), &reports, fault) || fill_reports(directory, c, g, fault))
            return -1;
    }
    return 0;
}

int mm_pipeline_create(const char *directory, const mm_pipeline_config *config, mm_fault *fault)
{
    const char *wrong = config_error(config);
    if (wrong)
        return mm_fault_set(fault, 0, "pipeline configuration: %s", wrong);
    if (mkdir(directory, 0700) && errno != EEXIST)
        return mm_fault_set(fault, errno, "shared memory: cannot make the directory %.300s", directory);
    uint64_t generation;
    if (getrandom(&generation, sizeof generation, 0) != sizeof generation)
        return mm_fault_set(fault, errno, "shared memory: no random generation number");
    /* The control file says that a pipeline is there: it goes first and comes back last. */
    char path[4096];
    if (path_of(path, sizeof path, directory, "control"))
        return mm_fault_set(fault, 0, "shared memory directory %.200s: the path is too long", directory);
    unlink(path);
    if (make_rings(directory, config, generation, fault))
        return -1;
    mm_shm_head control = head_of(MM_SHM_CONTROL, generation, 0, 0, 0);
    return make_file(directory, "control", &control, fault) || fill_control(directory, config, fault) ? -1 : 0;
}

/* --- attaching --- */

static const char *head_error(const mm_shm_head *h, enum mm_shm_kind kind, uint32_t slot_bytes, uint32_t index,
                              uint64_t bytes)
{
    if (h->magic != MM_SHM_MAGIC)
        return "is not a matchmark shared memory file";
    if (h->version != MM_SHM_VERSION)
        return "was made by another version of matchmark: stop the exchange and start it anew";
    if (h->kind != (uint32_t)kind || h->index != index || h->slot_bytes != slot_bytes)
        return "is a shared memory file of another kind or layout";
    if (h->bytes != bytes || bytes != MM_SHM_PAGE + h->slots * slot_bytes || (h->slots & (h->slots - 1)))
        return "has another size than its head says: it was truncated or written over";
    return NULL;
}

static void *map_file(const char *directory, const char *name, enum mm_shm_kind kind, uint32_t slot_bytes,
                      uint32_t index, mm_fault *fault)
{
    char path[4096];
    struct stat info;
    if (path_of(path, sizeof path, directory, name)) {
        mm_fault_set(fault, 0, "shared memory directory %.200s: the path is too long", directory);
        return NULL;
    }
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &info)) {
        mm_fault_set(fault, errno, "shared memory: cannot open %.300s (is the exchange running?)", path);
        if (fd >= 0)
            close(fd);
        return NULL;
    }
    void *file = MAP_FAILED;
    if (info.st_size >= MM_SHM_PAGE)
        file = mmap(NULL, (size_t)info.st_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
    int error = errno;
    close(fd);
    if (file == MAP_FAILED) {
        if (info.st_size < MM_SHM_PAGE)
            mm_fault_set(fault, 0, "shared memory: %.300s is too short: it was truncated or is still being made", path);
        else
            mm_fault_set(fault, error, "shared memory: cannot map %.300s", path);
        return NULL;
    }
    const char *wrong = head_error(file, kind, slot_bytes, index, (uint64_t)info.st_size);
    if (!wrong)
        return file;
    mm_fault_set(fault, 0, "shared memory: %.300s %s", path, wrong);
    munmap(file, (size_t)info.st_size);
    return NULL;
}

static int map_all(mm_pipeline *p, mm_fault *fault)
{
    if (!(p->control = map_file(p->directory, "control", MM_SHM_CONTROL, 0, 0, fault)) ||
        !(p->orders = map_file(p->directory, "orders", MM_SHM_ORDERS, sizeof(mm_order_slot), 0, fault)) ||
        !(p->audit = map_file(p->directory, "audit", MM_SHM_AUDIT, sizeof(mm_audit_record), 0, fault)))
        return -1;
    const mm_pipeline_config *c = &p->control->config;
    if (config_error(c))
        return mm_fault_set(fault, 0, "shared memory: %.300s/control is damaged or still being made", p->directory);
    uint64_t generation = p->control->head.generation;
    bool related = p->orders->head.generation == generation && p->audit->head.generation == generation &&
                   p->orders->head.slots == c->order_slots && p->audit->head.slots == c->audit_slots;
    for (uint32_t g = 0; g < c->gateways; g++) {
        char name[32];
        p->reports[g] = map_file(p->directory, reports_name(name, g), MM_SHM_REPORTS, sizeof(mm_report), g, fault);
        if (!p->reports[g])
            return -1;
        related &= p->reports[g]->head.generation == generation && p->reports[g]->head.slots == c->report_slots;
    }
    if (!related)
        return mm_fault_set(fault, 0,
                            "shared memory: the files in %.300s are of different exchanges: stop it and start it anew",
                            p->directory);
    p->order_ring = (mm_mpsc){&p->orders->tail.word, p->orders->slots, p->orders->head.slots - 1};
    return 0;
}

mm_pipeline *mm_pipeline_attach(const char *directory, mm_fault *fault)
{
    mm_pipeline *p = calloc(1, sizeof *p);
    if (!p) {
        mm_fault_set(fault, ENOMEM, "pipeline");
        return NULL;
    }
    for (int g = 0; g < MM_GATEWAYS_MAX; g++)
        p->gateway_locks[g] = -1;
    int n = snprintf(p->directory, sizeof p->directory, "%s", directory);
    if (n < 0 || (size_t)n >= sizeof p->directory)
        mm_fault_set(fault, 0, "shared memory directory %.200s: the path is too long", directory);
    else if (map_all(p, fault) == 0)
        return p;
    mm_pipeline_detach(p);
    return NULL;
}

void mm_pipeline_detach(mm_pipeline *p)
{
    if (!p)
        return;
    for (uint32_t g = 0; g < MM_GATEWAYS_MAX; g++) {
        mm_lock_give(p->gateway_locks[g]);
        unmap(p->reports[g]);
    }
    unmap(p->audit);
    unmap(p->orders);
    unmap(p->control);
    free(p);
}
