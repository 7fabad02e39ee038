/* Session stores onto the disk, by a thread of its own: no order and no report waits for it, unless the disk stands still for so
 * long that a session has used up all the numbers that the disk knows of. */
#define _DEFAULT_SOURCE
#include "gateway_internal.h"

#include "shm.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#define LAZY_NS                                                                                                        \
    UINT64_C(5000000000) /* a store's flush, if it is in no hurry: what it costs is shared by so much trading */
#define LOG_TRIES 100    /* milliseconds for what is in the order ring to get into the log */

/* The name of a new file is on disk when its directory was flushed. */
static int sync_directory_of(const char *path)
{
    char directory[4096];
    const char *slash = strrchr(path, '/');
    int length = slash && slash > path ? (int)(slash - path) : 1;
    snprintf(directory, sizeof directory, "%.*s", length, slash ? path : ".");
    return mm_audit_sync_directory(directory);
}

int mm_gateway_settle_store(mm_gateway *g, mm_identity *id, const char *store_path, mm_fault *fault)
{
    char why[256];
    mm_pipeline_status now;
    mm_pipeline_status_of(g->pipeline, &now);
    uint64_t log_key = 2 * now.sequence + 1;
    uint64_t *life = &id->store.numbers->life;
    if (g->inherited_life && __atomic_load_n(life, __ATOMIC_ACQUIRE) == g->inherited_life)
        __atomic_store_n(life, g->config.life, __ATOMIC_RELEASE);
    int forward = mm_fix_store_trust(&id->store, g->config.life, (int)g->config.clean, log_key, why);
    if (forward < 0)
        return mm_fault_set(fault, EIO, "session store %.200s is damaged: %.200s", store_path, why);
    id->again_key = forward ? log_key : 0;
    bool fresh = !id->store.numbers->kept;
    int error = fresh || forward ? mm_fix_store_flush(&id->store, 0, 0) : 0;
    if (!error && fresh)
        error = sync_directory_of(store_path);
    return error ? mm_fault_set(fault, error, "session store %.200s cannot be flushed", store_path) : 0;
}

/* True when the commands that are in the order ring now, and with them all that sessions were counted as having received, are on
 * disk. Were a number of theirs on disk before, and the order under it not, they would never be asked to send it again. */
static bool is_logged(mm_gateway *g)
{
    const mm_pipeline *p = g->pipeline;
    uint64_t put = mm_load(&p->orders->tail.word), made = 0;
    for (int tries = 0; tries < LOG_TRIES; tries++, usleep(1000)) {
        if (!made && mm_load(&p->control->order_position.word) >= put)
            made = mm_load(&p->audit->tail.word) + 1;
        if (made && mm_load(&p->audit->durable.word) + 1 >= made)
            return true;
    }
    return false;
}

int mm_gateway_keep(mm_gateway *g)
{
    uint64_t now = mm_now_ns();
    bool lazy = !__atomic_load_n(&g->open, __ATOMIC_ACQUIRE); /* one a call, and none while it opens */
    int error = 0;
    for (uint32_t i = 0; !error && i < g->config.max_sessions; i++) {
        mm_identity *id = &g->identities[i];
        int due = __atomic_load_n(&id->known, __ATOMIC_ACQUIRE) ? mm_fix_store_due(&id->store) : 0;
        if (due && !lazy && now - id->kept_ns > LAZY_NS) {
            uint64_t next_in = __atomic_load_n(&id->store.numbers->next_in, __ATOMIC_ACQUIRE);
            error = mm_fix_store_flush(&id->store, is_logged(g) ? next_in : 0, 0);
            id->kept_ns = now;
            lazy = true;
        } else if (due == 2)
            error = mm_fix_store_flush(&id->store, 0, 0);
    }
    return error;
}

/* Nothing more will be sent. What cannot be flushed is brought forward at the next start. */
void mm_gateway_keep_all(mm_gateway *g)
{
    for (uint32_t i = 0; i < g->config.max_sessions; i++) {
        mm_identity *id = &g->identities[i];
        if (!id->known)
            continue;
        const mm_fix_numbers *n = id->store.numbers;
        const mm_fix_kept *k = id->store.kept[n->kept & 1];
        bool same = k->exact && k->next_out == n->next_out && k->exact_in == n->next_in && k->last_key == n->last_key;
        if (!same && mm_fix_store_flush(&id->store, 0, 1))
            return;
    }
}
