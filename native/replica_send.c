/* The primary's side: each standby gets the records from where it is, from the audit ring while they are there, else from the log. */
#define _GNU_SOURCE
#include "replica.h"
#include "stages.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define NOBODY UINT32_MAX

typedef struct peer {
    int fd; /* atomic; -1: no peer */
    uint64_t next;
    mm_log_place log;
    mm_peer_status status;
    uint64_t sent_ns; /* when the last frame was made */
    uint32_t out_at, out_bytes, in_bytes;
    mm_answer in;
    struct {
        mm_frame head;
        mm_audit_record records[MM_FRAME_RECORDS];
    } out;
} peer;

struct mm_sender {
    mm_pipeline *p;
    mm_stages *stages;
    uint64_t heartbeat_ns;
    uint32_t in_step; /* atomic */
    uint64_t drained; /* atomic */
    char directory[3840];
    peer peers[MM_PEERS_MAX];
};

mm_sender *mm_sender_make(mm_pipeline *p, const char *log_directory, uint64_t heartbeat_ns, mm_stages *stages,
                          mm_fault *fault)
{
    mm_sender *s = calloc(1, sizeof *s);
    int n = s ? snprintf(s->directory, sizeof s->directory, "%s", log_directory) : -1;
    if (n < 0 || (size_t)n >= sizeof s->directory) {
        mm_fault_set(fault, s ? 0 : ENOMEM, "replication: no memory, or the log's path is too long");
        free(s);
        return NULL;
    }
    s->p = p;
    s->stages = stages;
    s->heartbeat_ns = heartbeat_ns;
    s->in_step = NOBODY;
    for (int i = 0; i < MM_PEERS_MAX; i++)
        s->peers[i].fd = -1;
    return s;
}

static void hang_up(peer *a)
{
    int fd = a->fd;
    a->status.connected = 0;
    mm_log_place_close(&a->log);
    __atomic_store_n(&a->fd, -1, __ATOMIC_RELEASE);
    if (fd >= 0)
        close(fd);
}

void mm_sender_close(mm_sender *s)
{
    if (!s)
        return;
    for (int i = 0; i < MM_PEERS_MAX; i++)
        hang_up(&s->peers[i]);
    free(s);
}

int mm_sender_add(mm_sender *s, int fd, uint64_t next)
{
    for (int i = 0; i < MM_PEERS_MAX; i++) {
        peer *a = &s->peers[i];
        if (__atomic_load_n(&a->fd, __ATOMIC_ACQUIRE) >= 0)
            continue;
        a->next = next;
        a->out_at = a->out_bytes = a->in_bytes = 0;
        a->sent_ns = 0;
        a->status = (mm_peer_status){
            .connected = 1, .next = next, .received = next - 1, .applied = next - 1, .heard_ns = mm_now_ns()};
        __atomic_store_n(&a->fd, fd, __ATOMIC_RELEASE);
        return i;
    }
    return -1;
}

void mm_sender_drop(mm_sender *s, int number)
{
    int fd = __atomic_load_n(&s->peers[number].fd, __ATOMIC_ACQUIRE);
    if (fd >= 0)
        shutdown(fd, SHUT_RDWR); /* the thread that runs it notices, and hangs up */
}

void mm_sender_peer(const mm_sender *s, int number, mm_peer_status *status)
{
    *status = s->peers[number].status; /* each word is read whole */
}

void mm_sender_drained(mm_sender *s, uint64_t last)
{
    __atomic_store_n(&s->drained, last + 1, __ATOMIC_RELEASE);
}

void mm_sender_in_step(mm_sender *s, int number)
{
    __atomic_store_n(&s->in_step, number < 0 ? NOBODY : (uint32_t)number, __ATOMIC_RELEASE);
}

/* --- sending --- */

/* Records of the log from a->next on, into the frame. -1: it does not have them, though the ring says that it has. */
static int64_t from_log(mm_sender *s, peer *a, mm_fault *fault)
{
    uint64_t durable = mm_load(&s->p->audit->durable.word), n = 0;
    while (n < MM_FRAME_RECORDS && a->next + n <= durable) {
        const mm_audit_record *r = mm_log_record(&a->log, s->directory, a->next + n, fault);
        if (!r) {
            if (!fault->text[0])
                mm_fault_set(fault, 0, "audit log %.200s has no record %llu, which a standby needs", s->directory,
                             (unsigned long long)(a->next + n));
            return -1;
        }
        a->out.records[n++] = *r;
    }
    return (int64_t)n;
}

static uint64_t matched_at(const peer *a, uint32_t n)
{
    for (; n; n--)
        if (a->out.records[n - 1].kind == MM_RECORD_EVENT)
            return a->out.records[n - 1].stage_b_ns;
    return 0;
}

/* Makes the next frame if there is something to say. */
static int make_frame(mm_sender *s, peer *a, uint64_t now, mm_fault *fault)
{
    bool in_log;
    int64_t n = (int64_t)mm_ring_copy(s->p->audit, a->next, a->out.records, MM_FRAME_RECORDS, &in_log);
    if (in_log && (n = from_log(s, a, fault)) < 0)
        return -1;
    uint64_t drained = __atomic_load_n(&s->drained, __ATOMIC_ACQUIRE);
    if (!n && now - a->sent_ns < s->heartbeat_ns)
        return 0;
    if (!n && !drained && !mm_pipeline_may_act(s->p))
        return 0; /* who has lost its lease is no primary, or nobody would ever take its place */
    uint64_t beat = mm_load(&s->p->control->engine_beat_ns.word);
    a->out.head = (mm_frame){
        .magic = MM_FRAME_MAGIC,
        .n = (uint32_t)n,
        .epoch = (uint32_t)mm_load(&s->p->control->epoch.word),
        .first = a->next,
        .tail = mm_load(&s->p->audit->tail.word),
        .engine_age_ns = now > beat ? now - beat : 0,
        .visible_ns = matched_at(a, (uint32_t)n),
        .sent_ns = now,
        .drained = drained,
    };
    a->sent_ns = now;
    a->next += (uint64_t)n;
    a->status.next = a->next;
    a->out_at = 0;
    a->out_bytes = (uint32_t)(sizeof a->out.head + (uint64_t)n * sizeof(mm_audit_record));
    return 1;
}

static bool push(peer *a)
{
    while (a->out_at < a->out_bytes) {
        ssize_t n =
            send(a->fd, (const char *)&a->out + a->out_at, a->out_bytes - a->out_at, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN || errno == EWOULDBLOCK;
        a->out_at += (uint32_t)n;
    }
    a->out_at = a->out_bytes = 0;
    return true;
}

/* --- answers --- */

static void note_answer(mm_sender *s, peer *a, uint32_t number, uint64_t now)
{
    if (s->stages && a->in.visible_ns && a->in.applied > a->status.applied)
        mm_stage_span(&s->stages->rows[MM_STAGE_REPLICATED], a->in.visible_ns, now, a->in.applied - a->status.applied);
    a->status.drain = (a->in.epoch & MM_ANSWER_DRAIN) != 0;
    a->in.epoch &= ~MM_ANSWER_DRAIN;
    a->status.epoch = (uint32_t)a->in.epoch;
    a->status.received = a->in.received;
    a->status.applied = a->in.applied;
    a->status.heard_ns = now;
    a->status.round_trip_ns = now - a->in.sent_ns;
    if (number != __atomic_load_n(&s->in_step, __ATOMIC_ACQUIRE))
        return;
    mm_control *c = s->p->control;
    if (a->in.epoch == mm_load(&c->epoch.word) && a->in.received > mm_load_own(&c->replicated.word))
        mm_store(&c->replicated.word, a->in.received);
    uint64_t tail = mm_load(&s->p->audit->tail.word);
    mm_store(&c->standby_behind.word, tail > a->in.applied ? tail - a->in.applied : 0);
    c->standby_behind.pad[0] = now;
}

/* How many answers came; -1 when the connection is over or speaks something else. */
static int listen_to(mm_sender *s, peer *a, uint32_t number)
{
    for (int heard = 0;;) {
        ssize_t n = recv(a->fd, (char *)&a->in + a->in_bytes, sizeof a->in - a->in_bytes, MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK) ? heard : -1;
        a->in_bytes += (uint32_t)n;
        if (a->in_bytes < sizeof a->in)
            continue;
        a->in_bytes = 0;
        if (a->in.magic != MM_FRAME_MAGIC || a->in.received >= a->next)
            return -1;
        note_answer(s, a, number, mm_now_ns());
        heard++;
    }
}

int mm_sender_run(mm_sender *s, uint64_t slice_ns, int wait, mm_fault *fault)
{
    mm_idle idle = {wait, 0};
    uint64_t until = mm_now_ns() + slice_ns, now;
    do {
        bool work = false;
        now = mm_now_ns();
        for (uint32_t i = 0; i < MM_PEERS_MAX; i++) {
            peer *a = &s->peers[i];
            if (__atomic_load_n(&a->fd, __ATOMIC_ACQUIRE) < 0)
                continue;
            int heard = listen_to(s, a, i), made = 0;
            if (heard >= 0 && !a->out_bytes && (made = make_frame(s, a, now, fault)) < 0)
                return -1;
            if (heard < 0 || !push(a))
                hang_up(a);
            work |= heard > 0 || made > 0;
        }
        if (work)
            mm_idle_reset(&idle);
        else
            mm_idle_round(&idle);
    } while (now < until);
    return 0;
}
