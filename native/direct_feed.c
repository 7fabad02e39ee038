/* The direct feed's loop: a reader of the audit ring that nobody waits for. What the ring has no more it takes from the log's files.
 *
 * It writes to none of the exchange's memory, so the engine's work is the same with it and without it. */
#define _GNU_SOURCE
#include "direct_feed_packet.h"
#include "replica.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#define RECORDS   64              /* looked at in one go */
#define LOOKS     8               /* for one packet of an answer */
#define LISTEN_NS UINT64_C(50000) /* between two looks for requests: a look costs as much as a packet */

typedef struct request {
    struct sockaddr_in from;
    uint64_t after, through;
    uint32_t packets;
} request;

/* Where it reads in the log, and the last epoch that a packet was of. */
typedef struct place {
    mm_log_place log;
    uint32_t epoch;
    uint64_t began; /* last record before it */
} place;

struct mm_direct_feed {
    mm_pipeline *p;
    char directory[3840];
    int fd;
    struct sockaddr_in group;
    mm_direct_settings settings;
    mm_direct_counters counters;
    uint64_t sent_ns, listened_ns, paid_ns;
    uint64_t allowance; /* packets in answers that may be sent now */
    mm_direct_filling live, answer;
    place live_place, answer_place;
    mm_audit_record records[RECORDS];
    request waiting[MM_DIRECT_WAITING_MAX];
    uint32_t n_waiting, turn;
};

/* The last record that clients may be told of: the same mark that holds back their reports. */
static uint64_t may_tell(const mm_pipeline *p)
{
    const mm_control *c = p->control;
    uint64_t tail = mm_load(&p->audit->tail.word);
    if (c->config.durability == MM_ASYNC)
        return tail;
    bool by_disk = c->config.durability == MM_FSYNC || mm_load(&c->alone.word);
    uint64_t safe = mm_load(by_disk ? &p->audit->durable.word : &c->replicated.word);
    return safe < tail ? safe : tail;
}

/* Records from `first` on, at most to `last`, from the ring or the log: how many; 0: neither has the first. */
static uint32_t fetch(mm_direct_feed *f, place *place, uint64_t first, uint64_t last)
{
    uint64_t most = last - first + 1 < RECORDS ? last - first + 1 : RECORDS;
    bool in_log;
    uint32_t n = (uint32_t)mm_ring_copy(f->p->audit, first, f->records, most, &in_log);
    if (n && f->records[0].sequence == first) /* a new ring has slots that nothing was in */
        return n;
    uint64_t durable = mm_load(&f->p->audit->durable.word);
    mm_fault fault;
    for (n = 0; n < most && first + n <= durable; n++) {
        const mm_audit_record *r = mm_log_record(&place->log, f->directory, first + n, &fault);
        if (!r)
            break;
        f->records[n] = *r;
    }
    f->counters.from_log += n;
    return n;
}

/* What is missing from `first` on, when neither has it: to before the log's first record, or all. */
static uint64_t missing(const mm_direct_feed *f, uint64_t first, uint64_t last)
{
    mm_audit_files files;
    mm_fault fault;
    if (mm_audit_list(&files, f->directory, &fault))
        return last;
    uint64_t begins = files.n ? files.first[0] : 0;
    mm_audit_files_free(&files);
    return first < begins && begins <= last ? begins - 1 : last;
}

/* Epochs never fall from record to record. All records count, not those alone that were told: a standby that has just become primary
 * may have told less than the primary before it. Uses f->records. */
static void find_epoch(mm_direct_feed *f, place *place, uint32_t epoch)
{
    uint64_t last = mm_load(&f->p->audit->tail.word);
    uint64_t before = 0, from = last + 1; /* `from` has the epoch, or would have it */
    while (before + 1 < from) {
        uint64_t middle = before + (from - before) / 2;
        if (fetch(f, place, middle, middle) && f->records[0].epoch >= epoch)
            from = middle;
        else
            before = middle; /* also where the log begins later */
    }
    place->epoch = epoch;
    place->began = before;
}

static uint64_t flush(mm_direct_feed *f, mm_direct_filling *w, place *place, const struct sockaddr_in *to)
{
    struct mmsghdr out[MM_DIRECT_PACKETS];
    struct iovec part[MM_DIRECT_PACKETS];
    uint32_t n = w->ready;
    uint64_t now = mm_now_ns();
    for (uint32_t i = 0; i < n; i++) {
        mm_direct_header *h = &w->packets[i].head;
        if (h->after == h->through || !h->epoch) /* its records are yet to come, or gone */
            h->epoch = (uint32_t)mm_load(&f->p->control->epoch.word);
        if (place->epoch != h->epoch)
            find_epoch(f, place, h->epoch);
        h->began = place->began;
        h->sent_ns = now;
        part[i] = (struct iovec){w->packets[i].data, w->packets[i].bytes};
        out[i] = (struct mmsghdr){
            .msg_hdr = {
                .msg_name = (void *)(uintptr_t)to, .msg_namelen = sizeof *to, .msg_iov = &part[i], .msg_iovlen = 1}};
    }
    for (uint32_t at = 0; at < n;) {
        int sent = sendmmsg(f->fd, out + at, n - at, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent <= 0) { /* this one is lost: who listens sees the gap and asks */
            f->counters.send_errors++;
            sent = 1;
        }
        at += (uint32_t)sent;
    }
    mm_direct_gone(w);
    return n;
}

/* --- the feed --- */

static uint64_t send_live(mm_direct_feed *f)
{
    for (uint32_t i = 0; i < f->live.ready; i++) {
        f->counters.messages += f->live.packets[i].head.messages;
        f->counters.sequence = f->live.packets[i].head.through;
    }
    f->counters.packets += f->live.ready;
    return flush(f, &f->live, &f->live_place, &f->group);
}

uint64_t mm_direct_feed_poll(mm_direct_feed *f)
{
    mm_direct_filling *w = &f->live;
    uint64_t last = may_tell(f->p);
    if (last <= w->through || !mm_pipeline_may_act(f->p))
        return 0;
    bool room = true;
    while (room && w->through < last && w->ready + 2 < MM_DIRECT_PACKETS) {
        uint32_t n = fetch(f, &f->live_place, w->through + 1, last);
        if (!n)
            mm_direct_leave_out(w, missing(f, w->through + 1, last));
        for (uint32_t i = 0; i < n && room; i++)
            room = mm_direct_put(w, &f->records[i]);
    }
    if (room && w->whole.messages)
        mm_direct_end_whole(w);
    return w->ready ? send_live(f) : 0;
}

/* Where a standby will begin when it becomes primary. */
static void follow(mm_direct_feed *f)
{
    uint64_t last = may_tell(f->p);
    if (last == f->live.through)
        return;
    mm_direct_start(&f->live, 0, last);
    f->counters.sequence = last;
}

/* --- requests --- */

static void take_requests(mm_direct_feed *f, bool primary)
{
    uint8_t bytes[MM_DIRECT_REQUEST_BYTES + 1];
    for (int i = 0; i < 16; i++) {
        request r = {.packets = 0};
        socklen_t length = sizeof r.from;
        ssize_t n = recvfrom(f->fd, bytes, sizeof bytes, MSG_DONTWAIT, (struct sockaddr *)&r.from, &length);
        if (n < 0)
            return;
        uint64_t told = f->counters.sequence;
        if (!primary || !mm_direct_request(bytes, (size_t)n, &r.after, &r.through) || r.after >= told ||
            f->n_waiting == MM_DIRECT_WAITING_MAX) {
            f->counters.ignored++;
            continue;
        }
        r.through = r.through < told ? r.through : told;
        f->counters.requests++;
        f->waiting[f->n_waiting++] = r;
    }
}

/* One packet for the request whose turn it is: the feed itself is never kept waiting for longer. */
static void answer_one(mm_direct_feed *f)
{
    f->turn = f->turn < f->n_waiting ? f->turn : 0;
    request *r = &f->waiting[f->turn];
    mm_direct_filling *w = &f->answer;
    mm_direct_start(w, MM_DIRECT_ANSWER, r->after);
    for (int look = 0; look < LOOKS && !w->ready && w->through < r->through; look++) {
        uint32_t n = fetch(f, &f->answer_place, w->through + 1, r->through);
        if (!n)
            mm_direct_leave_out(w, missing(f, w->through + 1, r->through));
        for (uint32_t i = 0; i < n && !w->ready; i++)
            mm_direct_put(w, &f->records[i]);
    }
    if (!w->ready)
        mm_direct_end(w);
    w->ready = 1; /* what begins behind the first packet is for the next turn */
    r->after = w->packets[0].head.through;
    flush(f, w, &f->answer_place, &r->from);
    f->counters.resent++;
    f->allowance--;
    if (r->after >= r->through || ++r->packets == MM_DIRECT_ANSWER_MAX)
        *r = f->waiting[--f->n_waiting];
    else
        f->turn++;
}

static void pay(mm_direct_feed *f, uint64_t now)
{
    uint64_t per_s = f->settings.answers_per_s, most = per_s / 100 + 1;
    uint64_t earned = (now - f->paid_ns) * per_s / 1000000000;
    if (!earned)
        return;
    f->paid_ns = now;
    f->allowance = f->allowance + earned < most ? f->allowance + earned : most;
}

/* What has time until there is nothing to tell, or a moment has passed. True: something was done. */
static bool chores(mm_direct_feed *f, uint64_t now, bool primary)
{
    if (now - f->listened_ns >= LISTEN_NS) {
        f->listened_ns = now;
        take_requests(f, primary);
        pay(f, now);
    }
    if (!primary)
        return false;
    if (f->n_waiting && f->allowance) {
        answer_one(f);
        return true;
    }
    return false;
}

void mm_direct_feed_run(mm_direct_feed *f, uint64_t slice_ns, int wait)
{
    mm_idle idle = {wait, 0};
    uint64_t now = mm_now_ns(), until = now + slice_ns;
    for (uint32_t round = 0; now < until; round++) {
        bool standby = mm_pipeline_role(f->p) == MM_STANDBY, primary = !standby && mm_pipeline_may_act(f->p),
             work = false;
        if (standby)
            follow(f);
        else
            work = mm_direct_feed_poll(f) > 0;
        if (work || !(round & 15) || mm_idle_nap_ns(&idle)) {
            now = mm_now_ns();
            f->sent_ns = work ? now : f->sent_ns;
            work |= chores(f, now, primary);
            if (primary && now - f->sent_ns >= f->settings.heartbeat_ns) {
                f->sent_ns = now;
                mm_direct_end_whole(&f->live);
                send_live(f);
            }
        }
        if (work)
            mm_idle_reset(&idle);
        else
            mm_idle_round(&idle);
    }
}

void mm_direct_feed_counters(const mm_direct_feed *f, mm_direct_counters *counters)
{
    *counters = f->counters;
}

mm_direct_feed *mm_direct_feed_make(mm_pipeline *p, const char *log_directory, int descriptor,
                                    const mm_direct_settings *settings, mm_fault *fault)
{
    mm_direct_feed *f = calloc(1, sizeof *f);
    int n = f ? snprintf(f->directory, sizeof f->directory, "%s", log_directory) : -1;
    if (n < 0 || (size_t)n >= sizeof f->directory) {
        mm_fault_set(fault, f ? 0 : ENOMEM, "direct feed: no memory, or the log's path is too long");
        free(f);
        return NULL;
    }
    f->p = p;
    f->fd = descriptor;
    f->settings = *settings;
    f->group = (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons((uint16_t)settings->port), .sin_addr.s_addr = htonl(settings->group)};
    f->paid_ns = mm_now_ns();
    uint64_t last = may_tell(p), told = settings->told < last ? settings->told : last;
    mm_direct_start(&f->live, 0, told);
    f->counters.sequence = told;
    return f;
}

void mm_direct_feed_close(mm_direct_feed *f)
{
    if (!f)
        return;
    mm_log_place_close(&f->live_place.log);
    mm_log_place_close(&f->answer_place.log);
    free(f);
}
