/* The engine's process: takes orders in batches, executes them, publishes what they caused, frees their slots. */
#include "engine_loop.h"
#include "matchmark/snapshot.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define CLAIM_PATIENCE_NS                                                                                              \
    UINT64_C(1000000) /* a claim is filled within nanoseconds: after so long its owner is looked at */

#define STEP_ORDERS 256 /* of a thread that has other things to do */

mm_engine_loop *mm_engine_loop_open(mm_pipeline *p, const char *log_directory, const mm_config *config, mm_fault *fault)
{
    return mm_engine_loop_open_from(p, log_directory, config, NULL, fault);
}

/* One from before the durable mark: what is behind that may be in the ring alone. */
static bool of_use(const mm_pipeline *p, const mm_snapshot *s)
{
    return s && mm_snapshot_head_of(s)->sequence <= mm_load(&p->audit->durable.word);
}

mm_engine_loop *mm_engine_loop_open_from(mm_pipeline *p, const char *log_directory, const mm_config *config,
                                         const mm_snapshot *s, mm_fault *fault)
{
    const char *wrong = mm_config_error(config);
    if (wrong) {
        mm_fault_set(fault, 0, "engine configuration: %s", wrong);
        return NULL;
    }
    mm_engine_loop *loop = aligned_alloc(64, (sizeof *loop + 63) / 64 * 64);
    if (!loop) {
        mm_fault_set(fault, ENOMEM, "engine");
        return NULL;
    }
    memset(loop, 0, sizeof *loop);
    loop->p = p;
    loop->epoch = (uint32_t)mm_load(&p->control->epoch.word);
    loop->lock = mm_lock_take(p->directory, "engine.lock");
    if (loop->lock < 0 && errno == EWOULDBLOCK)
        mm_fault_set(fault, 0, "engine: another engine is running on %.300s", p->directory);
    else if (loop->lock < 0)
        mm_fault_set(fault, errno, "engine: cannot lock %.300s/engine.lock", p->directory);
    else if (!(loop->engine = mm_engine_map(config, MM_MEMORY_HUGE_PAGES)) ||
             mm_known_create(&loop->known, config->max_orders, config->remembered_ids))
        mm_fault_set(fault, 0, "engine: no memory for %u orders on %u symbols: lower the configuration",
                     config->max_orders, config->n_symbols);
    else if ((!of_use(p, s) || mm_snapshot_into_engine(s, loop, fault) == 0) &&
             mm_loop_replay(loop, log_directory, config, fault) == 0) {
        p->control->engine_beat_ns.pad[0] = (uint64_t)getpid();
        mm_store(&p->control->engine_beat_ns.word, mm_now_ns());
        return loop;
    }
    mm_engine_loop_close(loop);
    return NULL;
}

void mm_engine_loop_close(mm_engine_loop *loop)
{
    if (!loop)
        return;
    mm_engine_destroy(loop->engine);
    mm_known_destroy(&loop->known);
    mm_lock_give(loop->lock);
    free(loop);
}

void mm_engine_loop_populate(mm_engine_loop *loop)
{
    mm_engine_populate(loop->engine);
    mm_known_populate(&loop->known);
}

const mm_engine *mm_engine_loop_engine(const mm_engine_loop *loop)
{
    return loop->engine;
}

/* Nothing to take at the position: a claim that stays open, or one abandoned, must not hold up those behind it. */
static void look_at_head(mm_engine_loop *loop, uint64_t turn)
{
    enum mm_turn_state state = mm_turn_state_of(turn);
    bool mine = mm_turn_position(turn) == loop->position;
    if (mine && state == MM_TURN_ABANDONED) {
        mm_mpsc_free(&loop->p->order_ring, loop->position++);
        mm_line *count = &loop->p->control->orders_abandoned;
        mm_store(&count->word, mm_load_own(&count->word) + 1);
        mm_store(&loop->p->control->order_position.word, loop->position);
    }
    if (!mine || state != MM_TURN_CLAIMED) {
        loop->stuck_since_ns = 0;
        return;
    }
    uint64_t now = mm_now_ns();
    if (!loop->stuck_since_ns)
        loop->stuck_since_ns = now;
    if (now - loop->stuck_since_ns < CLAIM_PATIENCE_NS)
        return;
    loop->stuck_since_ns = 0;
    mm_claim_is_dead(loop->p, loop->position, mm_turn_gateway(turn));
}

/* The order at a position that is not its turn yet; NULL when it is not there. */
static const mm_command *waiting(const mm_mpsc *ring, uint64_t position)
{
    const mm_order_slot *slot = mm_mpsc_slot(ring, position);
    uint64_t turn = mm_load(&slot->turn);
    bool there = mm_turn_state_of(turn) == MM_TURN_PUBLISHED && mm_turn_position(turn) == position;
    return there ? &slot->order.command : NULL;
}

uint64_t mm_engine_loop_poll(mm_engine_loop *loop)
{
    const mm_mpsc *ring = &loop->p->order_ring;
    if (loop->broken || mm_pipeline_state(loop->p) == MM_FAILED)
        return 0;
    uint64_t n = 0, first = loop->position;
    uint64_t turn = mm_load(&mm_mpsc_slot(ring, first)->turn);
    if (mm_turn_state_of(turn) != MM_TURN_PUBLISHED || mm_turn_position(turn) != first) {
        look_at_head(loop, turn);
        if (loop->idle_polls++ % 64 == 0)
            mm_loop_answer_resume(loop);
        return 0;
    }
    mm_loop_answer_resume(loop);
    loop->dequeued_ns = mm_now_ns();
    if (loop->dequeued_ns >= mm_load(&loop->p->control->lease_until_ns.word))
        return 0; /* another may be primary by now */
    loop->epoch = (uint32_t)mm_load(&loop->p->control->epoch.word);
    do {
        const mm_order_message *order = &mm_mpsc_slot(ring, first + n)->order;
        __builtin_prefetch(mm_mpsc_slot(ring, first + n + 10));
        mm_engine_expect(loop->engine, waiting(ring, first + n + 2), waiting(ring, first + n + 4),
                         waiting(ring, first + n + 6));
        if (!mm_loop_execute(loop, order, first + n))
            return 0;
        n++;
        turn = mm_load(&mm_mpsc_slot(ring, first + n)->turn);
    } while (n < MM_LOOP_BATCH && mm_turn_state_of(turn) == MM_TURN_PUBLISHED && mm_turn_position(turn) == first + n);
    if (!mm_loop_publish(loop))
        return 0;
    for (uint64_t i = 0; i < n; i++)
        mm_mpsc_free(ring, first + i);
    loop->position = first + n;
    mm_store(&loop->p->control->order_position.word, loop->position);
    return n;
}

uint64_t mm_engine_loop_step(mm_engine_loop *loop, uint32_t gateway)
{
    const mm_reports_file *f = loop->p->reports[gateway];
    uint64_t total = 0, n = 1;
    loop->shared = true;
    mm_store(&loop->p->control->engine_beat_ns.word, mm_now_ns());
    while (n && total < STEP_ORDERS && mm_load_own(&f->tail.word) - mm_load(&f->taken.word) < f->head.slots / 2)
        total += n = mm_engine_loop_poll(loop);
    return total;
}

int mm_engine_loop_run(mm_engine_loop *loop, uint64_t slice_ns, int wait)
{
    mm_idle idle = {wait, 0};
    uint64_t until = mm_now_ns() + slice_ns;
    for (uint32_t round = 0;; round++) {
        uint64_t n = mm_engine_loop_poll(loop);
        if (n)
            mm_idle_reset(&idle);
        else
            mm_idle_round(&idle);
        int state = mm_pipeline_state(loop->p);
        if (loop->broken || state == MM_FAILED)
            return -1;
        if (state == MM_STOPPING && !n && mm_load(&loop->p->orders->tail.word) == loop->position)
            return 1;
        if (round % 64)
            continue;
        uint64_t now = mm_now_ns();
        mm_store(&loop->p->control->engine_beat_ns.word, now);
        if (now >= until)
            return 0;
    }
}
