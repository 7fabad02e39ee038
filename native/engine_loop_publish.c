/* Making a batch visible: stamps, copies into the audit ring, moves its tail, then the tails of the report rings. */
#include "engine_loop.h"

#include "audit_record.h"
#include "past_cache.h"

#define REPORT_PATIENCE_NS UINT64_C(100000000) /* a report ring full for so long is given up until its gateway asks */
#define WRITER_PATIENCE_NS                                                                                             \
    UINT64_C(1000000000) /* how long a stopping or failed exchange waits for a writer that has gone */

static uint64_t room(const mm_audit_ring *ring, uint64_t tail)
{
    return ring->head.slots - (tail - mm_load(&ring->durable.word));
}

/* Waits for the writer to free slots. False when there is none who could and the exchange is ending. */
static bool wait_for_room(mm_engine_loop *loop, uint64_t tail)
{
    mm_idle idle = {MM_WAIT_SLEEP, 0}; /* the writer may want this processor, and has a whole ring to write */
    uint64_t ending_since = 0;
    while (!room(loop->p->audit, tail)) {
        mm_idle_round(&idle);
        if (idle.rounds % 64)
            continue;
        uint64_t now = mm_now_ns();
        mm_store(&loop->p->control->engine_beat_ns.word, now);
        if (mm_pipeline_state(loop->p) < MM_STOPPING)
            ending_since = 0;
        else if (!ending_since)
            ending_since = now;
        else if (now - ending_since > WRITER_PATIENCE_NS) {
            loop->broken = true;
            return false;
        }
    }
    return true;
}

static void publish_reports(mm_engine_loop *loop, uint64_t matched_ns)
{
    uint64_t reported_ns = 0;
    for (uint32_t g = 0; g < loop->p->control->config.gateways; g++) {
        if (!loop->pending[g])
            continue;
        mm_reports_file *f = loop->p->reports[g];
        uint64_t tail = mm_load_own(&f->tail.word);
        reported_ns = reported_ns ? reported_ns : mm_now_ns();
        for (uint64_t i = 0; i < loop->pending[g]; i++) {
            mm_report *r = &f->slots[(tail + i) & (f->head.slots - 1)];
            r->matched_ns = matched_ns;
            r->reported_ns = reported_ns;
        }
        mm_store(&f->tail.word, tail + loop->pending[g]);
        loop->pending[g] = 0;
    }
}

bool mm_loop_publish(mm_engine_loop *loop)
{
    mm_audit_ring *ring = loop->p->audit;
    uint64_t tail = mm_load_own(&ring->tail.word), matched_ns = mm_now_ns();
    for (uint32_t at = 0; at < loop->n_staged;) {
        uint64_t n = room(ring, tail);
        if (!n && !wait_for_room(loop, tail))
            return false;
        if (mm_pipeline_state(loop->p) == MM_FAILED) {
            /* Where the disk has no room for another file, there is room for one lap behind the durable mark that we have just read,
             * or, if that has moved since, none at all: a mark that was moved after the failure comes with the failure. */
            loop->broken = true;
            return false;
        }
        n = n < loop->n_staged - at ? n : loop->n_staged - at;
        for (uint64_t i = 0; i < n; i++) {
            mm_audit_record *r = &loop->staged[at + i];
            if (r->kind == MM_RECORD_EVENT)
                r->stage_b_ns = matched_ns;
            loop->running_hash = r->running_hash = mm_record_hash(loop->running_hash, r);
            mm_copy_past_cache(&ring->slots[r->sequence & (ring->head.slots - 1)], r, sizeof *r);
        }
        mm_copies_done();
        tail += n;
        at += (uint32_t)n;
        mm_store(&ring->tail.word, tail);
    }
    loop->n_staged = 0;
    publish_reports(loop, matched_ns);
    return true;
}

/* --- reports --- */

static uint64_t report_room(const mm_engine_loop *loop, uint32_t gateway)
{
    const mm_reports_file *f = loop->p->reports[gateway];
    return f->head.slots - (mm_load_own(&f->tail.word) + loop->pending[gateway] - mm_load(&f->taken.word));
}

/* The ring is full. Publishes what it holds back and gives the gateway some time, if it lives. */
static bool wait_for_gateway(mm_engine_loop *loop, uint32_t gateway)
{
    if (!mm_loop_publish(loop))
        return false;
    mm_idle idle = {MM_WAIT_YIELD, 0};
    uint64_t until = mm_now_ns() + REPORT_PATIENCE_NS;
    while (!loop->shared && !report_room(loop, gateway)) {
        mm_idle_round(&idle);
        if (idle.rounds % 256 == 0 && (mm_now_ns() > until || mm_gateway_is_dead(loop->p, gateway)))
            break;
    }
    return true;
}

static bool put(mm_engine_loop *loop, const mm_audit_record *record, int resting, uint32_t gateway)
{
    uint64_t key = 2 * record->sequence + (uint64_t)resting;
    if (gateway >= loop->p->control->config.gateways || key <= loop->reported[gateway])
        return true;
    mm_reports_file *f = loop->p->reports[gateway];
    if (mm_load_own(&f->lost_from.word))
        return true;
    if (!report_room(loop, gateway) && !wait_for_gateway(loop, gateway))
        return false;
    if (!report_room(loop, gateway)) {
        mm_store(&f->lost_from.word, key);
        return true;
    }
    uint64_t at = mm_load_own(&f->tail.word) + loop->pending[gateway]++;
    mm_report_of_record(record, &loop->command_record, resting, &f->slots[at & (f->head.slots - 1)]);
    loop->reported[gateway] = key;
    return true;
}

bool mm_loop_report(mm_engine_loop *loop, const mm_audit_record *record, int resting)
{
    uint32_t gateway = resting ? record->other_gateway : record->gateway;
    if (record->event.kind == MM_EV_CANCELLED && record->event.reason == MM_REASON_REQUESTED)
        gateway = record->other_gateway;
    return put(loop, record, resting, gateway);
}

bool mm_loop_report_to_all(mm_engine_loop *loop, const mm_audit_record *record)
{
    for (uint32_t g = 0; g < loop->p->control->config.gateways; g++)
        if (!put(loop, record, 0, g))
            return false;
    return true;
}

void mm_loop_answer_resume(mm_engine_loop *loop)
{
    for (uint32_t g = 0; g < loop->p->control->config.gateways; g++) {
        mm_reports_file *f = loop->p->reports[g];
        if (!mm_load_own(&f->lost_from.word) || !mm_load(&f->resume.word))
            continue;
        mm_store(&f->resumed.word, 2 * (loop->sequence + 1));
        mm_store(&f->resume.word, 0);
        mm_store(&f->lost_from.word, 0);
    }
}
