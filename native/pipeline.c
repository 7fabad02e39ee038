/* The pipeline's public functions for supervisors and gateways: state, order ring, report rings. */
#define _GNU_SOURCE
#include "shm.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define JOIN_PATIENCE_MS 200

/* --- state --- */

int mm_pipeline_state(const mm_pipeline *p)
{
    return (int)mm_load(&p->control->state.word);
}

void mm_pipeline_set_state(mm_pipeline *p, int state)
{
    uint64_t was = mm_load(&p->control->state.word);
    while (was != MM_FAILED && state != MM_FAILED && !mm_swap_if(&p->control->state.word, was, (uint64_t)state))
        was = mm_load(&p->control->state.word);
}

void mm_pipeline_fail(mm_pipeline *p, int error, const char *text)
{
    mm_control *c = p->control;
    if (!mm_swap_if(&c->failing.word, 0, 1))
        return;
    c->failure_errno = error;
    snprintf(c->failure, sizeof c->failure, "%s", text);
    mm_store(&c->state.word, MM_FAILED);
}

void mm_pipeline_clear_failure(mm_pipeline *p)
{
    mm_control *c = p->control;
    if (mm_load(&c->state.word) == MM_FAILED)
        mm_store(&c->state.word, MM_STARTING);
    mm_store(&c->failing.word, 0);
}

/* --- membership --- */

void mm_pipeline_set_lease(mm_pipeline *p, uint64_t until_ns)
{
    if (!mm_load(&p->control->fenced_by.word))
        mm_store(&p->control->lease_until_ns.word, until_ns);
    if (mm_load(&p->control->fenced_by.word)) /* in between: what was just stored must not stay */
        mm_store(&p->control->lease_until_ns.word, 0);
}

void mm_pipeline_fence(mm_pipeline *p, uint32_t epoch)
{
    char text[128];
    mm_store(&p->control->fenced_by.word, epoch);
    mm_store(&p->control->lease_until_ns.word, 0);
    snprintf(text, sizeof text, "fenced: another member is primary under epoch %u", epoch);
    mm_pipeline_fail(p, 0, text);
}

void mm_pipeline_retire(mm_pipeline *p)
{
    mm_pipeline_clear_failure(p);
    mm_store(&p->control->fenced_by.word, 0);
    mm_store(&p->control->lease_until_ns.word, UINT64_MAX);
    mm_store(&p->control->state.word, MM_STARTING);
}

void mm_pipeline_set_epoch(mm_pipeline *p, uint32_t epoch)
{
    mm_store(&p->control->epoch.word, epoch);
}

void mm_pipeline_set_role(mm_pipeline *p, int role)
{
    mm_store(&p->control->role.word, (uint64_t)role);
}

int mm_pipeline_role(const mm_pipeline *p)
{
    return (int)mm_load(&p->control->role.word);
}

void mm_pipeline_set_alone(mm_pipeline *p, int alone)
{
    mm_store(&p->control->alone.word, alone != 0);
}

int mm_pipeline_may_act(const mm_pipeline *p)
{
    uint64_t until = mm_load(&p->control->lease_until_ns.word);
    return until == UINT64_MAX || mm_now_ns() < until;
}

uint64_t mm_pipeline_durable_sequence(const mm_pipeline *p)
{
    return mm_load(&p->audit->durable.word);
}

void mm_pipeline_status_of(const mm_pipeline *p, mm_pipeline_status *s)
{
    const mm_control *c = p->control;
    *s = (mm_pipeline_status){
        .config = c->config,
        .generation = c->head.generation,
        .state = (uint32_t)mm_load(&c->state.word),
        .order_position = mm_load(&c->order_position.word),
        .durable_sequence = mm_load(&p->audit->durable.word),
        .sequence = mm_load(&p->audit->tail.word),
        .orders_abandoned = mm_load(&c->orders_abandoned.word),
        .engine_beat_ns = mm_load(&c->engine_beat_ns.word),
        .writer_beat_ns = mm_load(&c->writer_beat_ns.word),
        .engine_pid = (uint32_t)c->engine_beat_ns.pad[0],
        .writer_pid = (uint32_t)c->writer_beat_ns.pad[0],
        .epoch = (uint32_t)mm_load(&c->epoch.word),
        .fenced_by = (uint32_t)mm_load(&c->fenced_by.word),
        .role = (uint32_t)mm_load(&c->role.word),
        .alone = (uint32_t)mm_load(&c->alone.word),
        .replicated_sequence = mm_load(&c->replicated.word),
        .lease_until_ns = mm_load(&c->lease_until_ns.word),
    };
    uint64_t tail = mm_load(&p->orders->tail.word);
    s->orders_waiting = tail > s->order_position ? tail - s->order_position : 0;
    if (s->state == MM_FAILED) {
        s->failure_errno = c->failure_errno;
        memcpy(s->failure, c->failure, sizeof c->failure);
    }
}

/* --- gateways --- */

static void abandon_claims_of(mm_pipeline *p, uint32_t gateway)
{
    for (uint64_t i = 0; i <= p->order_ring.mask; i++) {
        uint64_t turn = mm_load(&p->orders->slots[i].turn);
        if (mm_turn_state_of(turn) == MM_TURN_CLAIMED && mm_turn_gateway(turn) == gateway)
            mm_mpsc_abandon(&p->order_ring, mm_turn_position(turn), gateway);
    }
}

int mm_gateway_join(mm_pipeline *p, uint32_t gateway, mm_fault *fault)
{
    if (gateway >= p->control->config.gateways)
        return mm_fault_set(fault, 0, "gateway %u: this exchange has gateways 0 to %u", gateway,
                            p->control->config.gateways - 1);
    char name[32];
    snprintf(name, sizeof name, "gateway.%u.lock", gateway);
    int fd = mm_lock_take(p->directory, name);
    /* The engine holds the lock for an instant when it asks whether the gateway is alive. */
    for (int i = 0; fd < 0 && errno == EWOULDBLOCK && i < JOIN_PATIENCE_MS; i++) {
        struct timespec t = {0, 1000000};
        nanosleep(&t, NULL);
        fd = mm_lock_take(p->directory, name);
    }
    if (fd < 0 && errno == EWOULDBLOCK)
        return mm_fault_set(fault, 0, "gateway %u is already running on %.300s: stop it, or use another gateway number",
                            gateway, p->directory);
    if (fd < 0)
        return mm_fault_set(fault, errno, "gateway %u: cannot lock %.300s/%s", gateway, p->directory, name);
    p->gateway_locks[gateway] = fd;
    abandon_claims_of(p, gateway);
    return 0;
}

void mm_gateway_leave(mm_pipeline *p, uint32_t gateway)
{
    mm_lock_give(p->gateway_locks[gateway]);
    p->gateway_locks[gateway] = -1;
}

int mm_orders_put(mm_pipeline *p, uint32_t gateway, const mm_order_message *order, uint64_t *order_position)
{
    if (mm_load(&p->control->state.word) != MM_RUNNING)
        return MM_PUT_STOPPED;
    uint64_t position = mm_mpsc_claim(&p->order_ring, gateway);
    if (position == MM_NO_POSITION)
        return MM_PUT_FULL;
    mm_order_message *to = &mm_mpsc_slot(&p->order_ring, position)->order;
    memcpy(to, order, sizeof *to);
    to->gateway = (uint16_t)gateway;
    to->zero = 0;
    to->command.tag = position;
    if (!to->enqueued_ns)
        to->enqueued_ns = mm_now_ns();
    mm_mpsc_publish(&p->order_ring, position, gateway);
    if (order_position)
        *order_position = position;
    return MM_PUT_OK;
}

/* --- reports --- */

uint64_t mm_reports_peek(mm_pipeline *p, uint32_t gateway, const mm_report **first, uint64_t max)
{
    mm_reports_file *f = p->reports[gateway];
    uint64_t taken = mm_load_own(&f->taken.word), n = mm_load(&f->tail.word) - taken;
    uint64_t at = taken & (f->head.slots - 1), to_end = f->head.slots - at;
    *first = &f->slots[at];
    n = n < to_end ? n : to_end;
    n = n < max ? n : max;
    if (p->control->config.durability == MM_ASYNC || mm_load(&p->control->role.word) == MM_STANDBY)
        return n; /* a standby tells nobody */
    bool by_disk = p->control->config.durability == MM_FSYNC || mm_load(&p->control->alone.word);
    uint64_t safe = mm_load(by_disk ? &p->audit->durable.word : &p->control->replicated.word), ready = 0;
    while (ready < n && f->slots[at + ready].key >> 1 <= safe)
        ready++;
    return ready;
}

void mm_reports_release(mm_pipeline *p, uint32_t gateway, uint64_t n)
{
    mm_reports_file *f = p->reports[gateway];
    mm_store(&f->taken.word, mm_load_own(&f->taken.word) + n);
}

uint64_t mm_reports_base_key(const mm_pipeline *p, uint32_t gateway)
{
    return mm_load(&p->reports[gateway]->base_key.word);
}

uint64_t mm_reports_lost_from(const mm_pipeline *p, uint32_t gateway)
{
    return mm_load(&p->reports[gateway]->lost_from.word);
}

uint64_t mm_reports_resume(mm_pipeline *p, uint32_t gateway)
{
    mm_reports_file *f = p->reports[gateway];
    if (mm_load(&f->lost_from.word)) {
        mm_store(&f->resume.word, 1);
        return 0;
    }
    return mm_load(&f->resumed.word);
}
