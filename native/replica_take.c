/* A standby's side: commands into its own order ring, and its own records compared with the primary's. */
#define _GNU_SOURCE
#include "audit_record.h"
#include "engine_loop.h"
#include "replica.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SETTLE_MS   10000
#define WAITING_FOR 8 /* frames whose execution is to be told */

typedef struct told {
    uint64_t last, visible_ns, sent_ns;
} told;

struct mm_replica {
    mm_pipeline *p;
    int fd;
    uint64_t next, hash; /* the next record wanted, and the running hash before it */
    uint64_t applied, answered, answered_applied;
    uint64_t drain;   /* MM_ANSWER_DRAIN or 0 */
    uint64_t *hashes; /* of records received, by sequence number mod the ring's slots */
    mm_replica_status status;
    told frames[WAITING_FOR]; /* by arrival; a newer one takes the place of the last when there are too many */
    uint32_t n_frames;
    told done;
    uint32_t in_bytes, in_at; /* of the frame at hand: bytes there, records taken */
    uint32_t out_at, out_bytes;
    mm_answer out;
    struct {
        mm_frame head;
        mm_audit_record records[MM_FRAME_RECORDS];
    } in;
    char directory[3840];
};

/* A predecessor may have been killed: what it put counts, and is executed before we say where we are. */
static int settle(mm_pipeline *p, mm_fault *fault)
{
    uint64_t position = mm_load(&p->orders->tail.word);
    for (;; position++) {
        uint64_t turn = mm_load(&mm_mpsc_slot(&p->order_ring, position)->turn);
        if (mm_turn_position(turn) <= position && turn != mm_turn(position, 0, MM_TURN_PUBLISHED) &&
            turn != mm_turn(position, 0, MM_TURN_ABANDONED))
            break;
    }
    mm_store(&p->orders->tail.word, position);
    for (int tries = 0; mm_load(&p->control->order_position.word) < position; tries++, usleep(1000))
        if (tries > SETTLE_MS)
            return mm_fault_set(fault, 0, "replication: the standby's engine does not execute what it has");
    return 0;
}

mm_replica *mm_replica_make(mm_pipeline *p, const char *log_directory, mm_fault *fault)
{
    if (settle(p, fault))
        return NULL;
    uint64_t tail = mm_load(&p->audit->tail.word);
    uint64_t hash = tail ? mm_hash_at(p, log_directory, tail) : 0;
    if (tail && !hash) {
        mm_fault_set(fault, 0, "replication: record %llu, the last one, is neither in the ring nor in %.250s",
                     (unsigned long long)tail, log_directory);
        return NULL;
    }
    mm_replica *r = calloc(1, sizeof *r);
    if (r && !(r->hashes = calloc(p->audit->head.slots, sizeof *r->hashes))) {
        free(r);
        r = NULL;
    }
    if (!r) {
        mm_fault_set(fault, ENOMEM, "replication");
        return NULL;
    }
    r->p = p;
    r->fd = -1;
    r->next = tail + 1;
    r->hash = hash;
    r->applied = r->answered = r->answered_applied = tail;
    r->status =
        (mm_replica_status){.received = tail, .applied = tail, .epoch = (uint32_t)mm_load(&p->control->epoch.word)};
    snprintf(r->directory, sizeof r->directory, "%s", log_directory);
    return r;
}

void mm_replica_close(mm_replica *r)
{
    if (!r)
        return;
    free(r->hashes);
    free(r);
}

uint64_t mm_replica_next(const mm_replica *r, uint64_t *running_hash)
{
    *running_hash = r->hash;
    return r->next;
}

void mm_replica_connect(mm_replica *r, int fd)
{
    r->fd = fd;
    r->in_bytes = r->in_at = r->out_at = r->out_bytes = r->n_frames = 0;
    r->done = (told){0};
    r->status.drained = 0;
    r->answered = r->answered_applied = UINT64_MAX; /* it is told where we are */
}

void mm_replica_ask_to_drain(mm_replica *r, int drain)
{
    r->drain = drain ? MM_ANSWER_DRAIN : 0;
}

void mm_replica_status_of(const mm_replica *r, mm_replica_status *status)
{
    *status = r->status;
}

/* --- comparing --- */

static int diverged(mm_replica *r, mm_fault *fault, uint64_t sequence, const char *what)
{
    r->status.diverged = 1;
    return mm_fault_set(fault, 0, "the standby has diverged at record %llu: %s", (unsigned long long)sequence, what);
}

static int compare(mm_replica *r, mm_fault *fault)
{
    const mm_audit_ring *ring = r->p->audit;
    uint64_t tail = mm_load(&ring->tail.word), mask = ring->head.slots - 1;
    while (r->applied < tail && r->applied + 1 < r->next) {
        uint64_t sequence = r->applied + 1;
        const mm_audit_record *own = &ring->slots[sequence & mask];
        if (own->sequence != sequence)
            return diverged(r, fault, sequence, "its own record is not in the audit ring");
        if (own->running_hash != r->hashes[sequence & mask])
            return diverged(r, fault, sequence, "its engine does not do what the primary's did");
        r->applied = sequence;
    }
    r->status.applied = r->applied;
    while (r->n_frames && r->frames[0].last <= r->applied) {
        r->done = r->frames[0];
        memmove(r->frames, r->frames + 1, --r->n_frames * sizeof *r->frames);
    }
    return 0;
}

/* --- taking --- */

/* Into the order ring at its position, of which nobody else is a producer while we follow. False: the ring is full, or the epoch
 * cannot change yet. */
static bool put_command(mm_replica *r, const mm_audit_record *record)
{
    mm_pipeline *p = r->p;
    if (record->epoch != mm_load_own(&p->control->epoch.word)) {
        if (r->applied + 1 < record->sequence ||
            mm_load(&p->orders->tail.word) != mm_load(&p->control->order_position.word))
            return false;
        mm_pipeline_set_epoch(p, record->epoch);
    }
    uint64_t position = mm_load(&p->orders->tail.word);
    for (; position <= record->command.tag; position++) {
        mm_order_slot *slot = mm_mpsc_slot(&p->order_ring, position);
        if (mm_load(&slot->turn) != mm_turn(position, 0, MM_TURN_FREE))
            return false;
        bool ours = position == record->command.tag; /* those before were passed over by the primary's engine */
        if (ours)
            mm_order_of_record(record, &slot->order);
        mm_store(&slot->turn, mm_turn(position, 0, ours ? MM_TURN_PUBLISHED : MM_TURN_ABANDONED));
        mm_store(&p->orders->tail.word, position + 1);
    }
    return true;
}

/* 1: taken, 0: not yet, -1: `fault`. */
static int take(mm_replica *r, const mm_audit_record *record, mm_fault *fault)
{
    uint64_t slots = r->p->audit->head.slots, mask = slots - 1;
    if (record->sequence != r->next)
        return mm_fault_set(fault, 0, "replication: record %llu came where %llu is next",
                            (unsigned long long)record->sequence, (unsigned long long)r->next);
    if (record->sequence - r->applied > slots / 2)
        return 0;
    if (record->running_hash != mm_record_hash(r->hash, record))
        return diverged(r, fault, record->sequence, "the primary's record does not follow from the one before");
    if (record->kind == MM_RECORD_COMMAND) {
        if (record->command.tag < mm_load(&r->p->orders->tail.word))
            return diverged(r, fault, record->sequence, "its order position is taken already");
        r->hashes[record->sequence & mask] = record->running_hash;
        if (!put_command(r, record))
            return 0;
    }
    r->hashes[record->sequence & mask] = record->running_hash;
    r->hash = record->running_hash;
    r->next = record->sequence + 1;
    r->status.received = record->sequence;
    return 1;
}

/* Takes what it can of the frame at hand. */
static int take_frame(mm_replica *r, mm_fault *fault)
{
    const mm_frame *f = &r->in.head;
    int taken = 1;
    while (r->in_at < f->n && (taken = take(r, &r->in.records[r->in_at], fault)) > 0)
        r->in_at++;
    if (taken <= 0)
        return taken;
    if (f->n) {
        uint32_t at = r->n_frames < WAITING_FOR ? r->n_frames++ : WAITING_FOR - 1;
        r->frames[at] = (told){f->first + f->n - 1, f->visible_ns, f->sent_ns};
    } else if (r->applied + 1 == r->next)
        r->done = (told){r->applied, 0, f->sent_ns};
    r->in_bytes = r->in_at = 0;
    return 1;
}

static bool frame_is_sound(const mm_replica *r)
{
    const mm_frame *f = &r->in.head;
    return f->magic == MM_FRAME_MAGIC && f->n <= MM_FRAME_RECORDS && f->epoch >= r->status.epoch &&
           (!f->n || f->first == r->next);
}

/* 1: something came, 0: nothing, MM_REPLICA_LOST, or -1 and `fault`. */
static int receive(mm_replica *r, mm_fault *fault)
{
    uint32_t want = sizeof r->in.head;
    if (r->in_bytes >= want)
        want += r->in.head.n * (uint32_t)sizeof(mm_audit_record);
    if (r->in_bytes < want) {
        ssize_t n = recv(r->fd, (char *)&r->in + r->in_bytes, want - r->in_bytes, MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR))
            return MM_REPLICA_LOST;
        if (n < 0)
            return 0;
        r->in_bytes += (uint32_t)n;
    }
    if (r->in_bytes == sizeof r->in.head) {
        if (!frame_is_sound(r))
            return mm_fault_set(fault, EPROTO, "replication: the primary sent something that is no frame");
        r->status.heard_ns = mm_now_ns();
        r->status.engine_age_ns = r->in.head.engine_age_ns;
        r->status.primary_tail = r->in.head.tail;
        r->status.drained = r->in.head.drained;
        r->status.epoch = r->in.head.epoch;
        want += r->in.head.n * (uint32_t)sizeof(mm_audit_record);
    }
    if (r->in_bytes < want)
        return 1;
    return take_frame(r, fault);
}

/* False: the connection is over. */
static bool answer(mm_replica *r)
{
    bool news = r->answered != r->status.received || r->answered_applied != r->applied ||
                r->out.sent_ns != r->done.sent_ns || (r->out.epoch & MM_ANSWER_DRAIN) != r->drain;
    if (!r->out_bytes && news) {
        r->out = (mm_answer){MM_FRAME_MAGIC, r->status.epoch | r->drain, r->status.received,
                             r->applied,     r->done.visible_ns,         r->done.sent_ns};
        r->done.visible_ns = 0; /* it is counted once */
        r->answered = r->status.received;
        r->answered_applied = r->applied;
        r->out_at = 0;
        r->out_bytes = sizeof r->out;
    }
    if (!r->out_bytes)
        return true;
    ssize_t n = send(r->fd, (const char *)&r->out + r->out_at, r->out_bytes - r->out_at, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0)
        return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
    r->out_at += (uint32_t)n;
    if (r->out_at == r->out_bytes)
        r->out_at = r->out_bytes = 0;
    return true;
}

int mm_replica_run(mm_replica *r, uint64_t slice_ns, int wait, mm_fault *fault)
{
    mm_idle idle = {wait, 0};
    uint64_t until = mm_now_ns() + slice_ns;
    do {
        if (mm_pipeline_state(r->p) >= MM_STOPPING)
            return MM_REPLICA_STOPPED;
        uint64_t before = r->applied;
        int came = receive(r, fault);
        if (came == MM_REPLICA_LOST)
            return MM_REPLICA_LOST;
        if (came < 0 || compare(r, fault))
            return MM_REPLICA_FAULT;
        if (!answer(r))
            return MM_REPLICA_LOST;
        if (came || before != r->applied)
            mm_idle_reset(&idle);
        else
            mm_idle_round(&idle);
    } while (mm_now_ns() < until);
    return MM_REPLICA_OK;
}

/* --- the gap --- */

#define BEHIND_MAX (2 * MM_AUDIT_BATCH_MAX)

/* A record that does not follow ends an interrupted log, unless a whole one lies behind it: then it was committed. */
static int ended_or_damaged(mm_log_place *place, const char *directory, uint64_t sequence, mm_fault *fault)
{
    for (uint64_t at = sequence + 1; at <= sequence + BEHIND_MAX; at++) {
        const mm_audit_record *r = mm_log_record(place, directory, at, fault);
        if (r && mm_crc32c(0, r, offsetof(mm_audit_record, crc)) == r->crc)
            return mm_fault_set(
                fault, 0, "audit log %.200s of the old primary: record %llu is damaged, those behind it are whole",
                directory, (unsigned long long)sequence);
    }
    fault->text[0] = 0;
    return 0;
}

/* The next record of the old log; NULL at its end, or with fault->text. */
static const mm_audit_record *next_of_old(mm_replica *r, mm_pipeline *old, mm_log_place *place, const char *old_log,
                                          mm_audit_record *copy, mm_fault *fault)
{
    bool in_log = true;
    fault->text[0] = 0;
    if (old && mm_ring_copy(old->audit, r->next, copy, 1, &in_log) && copy->sequence == r->next)
        return copy;
    if (old && !in_log)
        return NULL;
    const mm_audit_record *found = mm_log_record(place, old_log, r->next, fault);
    if (fault->text[0])
        return NULL;
    if (found && !mm_audit_record_error(found, r->next - 1, r->hash, 1))
        return found;
    if (!ended_or_damaged(place, old_log, r->next, fault) && old)
        mm_fault_set(fault, 0,
                     "audit log %.200s of the old primary lacks record %llu, which its shared memory says is on disk",
                     old_log, (unsigned long long)r->next);
    return NULL;
}

/* Of the last record that both have: it must be the same one. */
static int check_join(mm_replica *r, mm_pipeline *old, const char *old_log, mm_fault *fault)
{
    uint64_t last = mm_replica_end_of(r, old, old_log, fault);
    if (last == UINT64_MAX)
        return -1;
    last = last < r->next - 1 ? last : r->next - 1;
    if (last && mm_hash_at(old, old_log, last) != mm_hash_at(r->p, r->directory, last))
        return diverged(r, fault, last, "the old primary's log has another record there");
    return 0;
}

uint64_t mm_replica_end_of(const mm_replica *r, mm_pipeline *old, const char *old_log, mm_fault *fault)
{
    if (old)
        return mm_load(&old->audit->tail.word);
    mm_log_place place = {0};
    uint64_t last = r->next - 1, hash = r->hash;
    const mm_audit_record *found;
    const char *wrong = NULL;
    while ((found = mm_log_record(&place, old_log, last + 1, fault)) != NULL &&
           !(wrong = mm_audit_record_error(found, last, hash, 1))) {
        last = found->sequence;
        hash = found->running_hash;
    }
    int refused = fault->text[0] ? -1 : 0;
    bool whole = found && mm_crc32c(0, found, offsetof(mm_audit_record, crc)) == found->crc;
    if (!refused && whole && last == r->next - 1)
        last++; /* it does not follow from ours: so ours is another one, which comparing will tell */
    else if (!refused && wrong)
        refused = ended_or_damaged(&place, old_log, last + 1, fault);
    while (!refused && last && last < r->next && !mm_log_record(&place, old_log, last, fault))
        last--; /* it has less than we: a loss of power took its end */
    mm_log_place_close(&place);
    return refused ? UINT64_MAX : last;
}

static int wait_applied(mm_replica *r, uint64_t up_to, mm_fault *fault)
{
    mm_idle idle = {MM_WAIT_YIELD, 0};
    while (r->applied < up_to) {
        if (compare(r, fault))
            return -1;
        if (mm_pipeline_state(r->p) >= MM_STOPPING)
            return mm_fault_set(fault, 0, "the exchange is stopping");
        mm_idle_round(&idle);
    }
    return 0;
}

uint64_t mm_replica_orders_of(mm_replica *r, const mm_pipeline *old)
{
    mm_pipeline *p = r->p;
    uint64_t n = 0;
    for (uint64_t position = mm_load(&p->orders->tail.word);; position++) {
        const mm_order_slot *from = mm_mpsc_slot(&old->order_ring, position);
        uint64_t turn = mm_load(&from->turn);
        bool ours = mm_turn_position(turn) == position, whole = mm_turn_state_of(turn) == MM_TURN_PUBLISHED;
        if (!ours || (!whole && mm_turn_state_of(turn) != MM_TURN_ABANDONED))
            return n; /* a claim that is open was never an order */
        mm_order_slot *slot = mm_mpsc_slot(&p->order_ring, position);
        mm_idle idle = {MM_WAIT_SLEEP, 0};
        while (mm_load(&slot->turn) != mm_turn(position, 0, MM_TURN_FREE)) {
            if (mm_pipeline_state(p) >= MM_STOPPING)
                return n;
            mm_idle_round(&idle);
        }
        if (whole)
            memcpy(&slot->order, &from->order, sizeof slot->order);
        mm_store(&slot->turn, mm_turn(position, 0, whole ? MM_TURN_PUBLISHED : MM_TURN_ABANDONED));
        mm_store(&p->orders->tail.word, position + 1);
        n += whole;
    }
}

int64_t mm_replica_gap(mm_replica *r, mm_pipeline *old, const char *old_log, mm_fault *fault)
{
    mm_log_place place = {0};
    mm_audit_record copy;
    const mm_audit_record *record;
    int64_t n = 0;
    int taken = check_join(r, old, old_log, fault);
    while (!taken && (record = next_of_old(r, old, &place, old_log, &copy, fault)) != NULL) {
        while ((taken = take(r, record, fault)) == 0)
            if ((taken = wait_applied(r, r->applied + 1 < r->next ? r->applied + 1 : r->applied, fault)) < 0)
                break;
        if (taken < 0)
            break;
        taken = 0;
        n++;
    }
    mm_log_place_close(&place);
    if (taken < 0 || fault->text[0])
        return -1;
    return wait_applied(r, r->next - 1, fault) ? -1 : n;
}
