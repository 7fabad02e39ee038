/* A gateway among several members of a cluster: it acts while it has the lease, and a standby's takes over from a primary that is gone. */
#define _DEFAULT_SOURCE
#include "gateway_internal.h"

#include "shm.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#define WAIT_US       200
#define PATIENCE_NS   UINT64_C(10000000000)
#define UP_TO_DATE_US 100

bool mm_gateway_must_wait(mm_gateway *g)
{
    if (mm_pipeline_may_act(g->pipeline))
        return false;
    uint64_t by = mm_load(&g->pipeline->control->fenced_by.word);
    if (by && !g->failure[0]) {
        mm_gateway_cut_all(g);
        snprintf(g->failure, sizeof g->failure, "another member is primary under epoch %llu", (unsigned long long)by);
    }
    usleep(WAIT_US);
    return true;
}

void mm_gateway_inherit(mm_gateway *g, uint64_t life)
{
    g->inherited_life = life;
}

/* All reports of what the engine has done are in the balances, and all its records in the log. */
static int catch_up(mm_gateway *g, mm_fault *fault)
{
    const mm_pipeline *p = g->pipeline;
    uint64_t tail = mm_load(&p->audit->tail.word), until = mm_now_ns() + PATIENCE_NS;
    const mm_reports_file *f = p->reports[g->config.gateway];
    for (;;) {
        bool taken =
            mm_load(&f->tail.word) == mm_load_own(&f->taken.word) && !g->resume_key && !mm_load(&f->lost_from.word);
        if (taken && mm_load(&p->audit->durable.word) >= tail)
            break;
        if (mm_gateway_take_reports(g))
            continue;
        if (g->failure[0] || mm_now_ns() > until)
            return mm_fault_set(fault, 0, "take-over: %.300s",
                                g->failure[0] ? g->failure : "the audit writer does not keep up: is it running?");
        usleep(UP_TO_DATE_US);
    }
    if (g->applied_key < 2 * tail + 1)
        g->applied_key = 2 * tail + 1;
    return 0;
}

int mm_gateway_take_over(mm_gateway *g, mm_fault *fault)
{
    if (catch_up(g, fault))
        return -1;
    g->config.follow = 0;
    if (mm_gateway_tell_owed(g, fault))
        return -1;
    if (mm_gateway_keep(g))
        return mm_fault_set(fault, EIO, "take-over: session stores cannot be flushed");
    return mm_gateway_listen(g) ? mm_fault_set(fault, errno, "take-over: the gateway cannot listen") : 0;
}
