/* What the cannon says: orders when they are due, and the session's own messages. */
#include "cannon_internal.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>

enum { BLOCKED_NS = 50000 }; /* a socket that took nothing is tried again after so long */

static bool has_room(const cannon_session *s)
{
    return CANNON_OUT_BYTES - s->out_end > CANNON_MESSAGE_ROOM;
}

static uint64_t real_ns(const mm_cannon *c, uint64_t now)
{
    return (uint64_t)((int64_t)now + c->to_real_ns);
}

void cannon_put_admin(const mm_cannon *c, cannon_session *s, const char *type, uint64_t seq, uint64_t orig_ns,
                      const char *fields)
{
    char room[CANNON_MESSAGE_ROOM];
    uint64_t now = real_ns(c, cannon_clock());
    char *at = mm_fix_put_header(&s->envelope, room, type, seq, now, orig_ns ? now : 0);
    load_put_message(&s->envelope, room, put_text(at, fields, (uint32_t)strlen(fields)), s->out, &s->out_end);
}

void cannon_put_logon(const mm_cannon *c, cannon_session *s)
{
    char fields[CANNON_MESSAGE_ROOM - 1024];
    snprintf(fields, sizeof fields, "98=0\001108=%u\001%s%s", c->config.heartbeat_s, s->reset ? "141=Y\001" : "",
             s->logon_fields);
    cannon_put_admin(c, s, "A", s->next_out++, 0, fields);
}

static void put_shot(const mm_cannon *c, cannon_session *s, uint32_t index, uint64_t now_ns)
{
    const mm_cannon_shot *shot = &c->shots[index];
    const char type[2] = {(char)shot->op, 0}, *symbol = c->symbols[shot->symbol];
    bool fresh = shot->op == 'D', cancels = shot->op == 'F', market = shot->flags & 2;
    char room[CANNON_MESSAGE_ROOM], *at = mm_fix_put_header(&s->envelope, room, type, s->next_out, now_ns, 0);
    at = load_put_name(PUT(at, "11="), c->config.run, s->index, c->marks[index].number);
    if (!fresh)
        at = load_put_name(PUT(at, "\00141="), c->config.run, s->index, shot->orig);
    at = put_text(PUT(at, "\00155="), symbol, (uint32_t)strlen(symbol));
    at = shot->flags & 1 ? PUT(at, "\00154=2") : PUT(at, "\00154=1");
    at = put_uint(PUT(at, "\00138="), (uint64_t)shot->lots * c->config.lot_size);
    if (!cancels && market)
        at = PUT(at, "\00140=1");
    else if (!cancels)
        at = load_put_price(PUT(at, "\00140=2\00144="), c->config.tick_e8, c->config.price_decimals, shot->price_ticks);
    if (!cancels)
        at = shot->flags & 4 ? PUT(at, "\00159=3") : PUT(at, "\00159=0");
    at = mm_fix_put_utc(&s->envelope, PUT(at, "\00160="), now_ns);
    *at++ = 1;
    at = put_text(at, s->order_fields, (uint32_t)strlen(s->order_fields));
    if (s->next_out - s->first_out < s->n_numbers)
        CANNON_SHOW(s->shot_of[s->next_out - s->first_out], index + 1);
    s->next_out++;
    load_put_message(&s->envelope, room, at, s->out, &s->out_end);
}

bool cannon_flush(cannon_session *s)
{
    return cannon_send(s->fd, s->out, &s->out_start, &s->out_end);
}

/* Heartbeats, and what the receiver was asked for. */
static void keep_alive(const mm_cannon *c, cannon_session *s, uint64_t now)
{
    uint64_t beat = c->config.heartbeat_s * UINT64_C(1000000000);
    char fields[128];
    if (!has_room(s))
        return;
    if (CANNON_SEE(s->wants_test_answer)) {
        snprintf(fields, sizeof fields, "112=%s\001", s->test_id);
        cannon_put_admin(c, s, "0", s->next_out++, 0, fields);
        CANNON_SHOW(s->wants_test_answer, 0);
    }
    if (CANNON_SEE(s->wants_gap_fill)) { /* a load sends nothing a second time: what was asked for is left out */
        snprintf(fields, sizeof fields, "123=Y\00136=%llu\001", (unsigned long long)s->next_out);
        cannon_put_admin(c, s, "4", s->gap_from, 1, fields);
        CANNON_SHOW(s->wants_gap_fill, 0);
    }
    if (beat && now - s->said_ns > beat / 2) {
        if (s->said_ns)
            cannon_put_admin(c, s, "0", s->next_out++, 0, "");
        s->said_ns = now;
    }
}

/* May the session's next shot go out, by its time or by the window? *next: the earliest time that is still to come. */
static bool due(const mm_cannon *c, const cannon_session *s, uint64_t start_ns, uint64_t now, uint64_t *next)
{
    if (c->config.window) {
        *next = now; /* an answer may come at any moment: no sleep */
        return now >= start_ns && s->next - CANNON_GET(s->answered) < c->config.window;
    }
    uint64_t at = start_ns + c->shots[s->shots[s->next]].at_ns;
    if (at > now && at < *next)
        *next = at;
    return at <= now;
}

/* One send of what is due. */
static bool fire_session(mm_cannon *c, cannon_session *s, uint64_t start_ns, uint64_t now, uint64_t *next)
{
    uint64_t first = s->next, now_ns = real_ns(c, now);
    while (s->next < s->n_shots && s->next - first < CANNON_BATCH && has_room(s) && due(c, s, start_ns, now, next))
        put_shot(c, s, s->shots[s->next++], now_ns);
    if (s->next == first)
        return cannon_flush(s);
    uint64_t sent_ns = cannon_clock();
    for (uint64_t n = first; n < s->next; n++)
        CANNON_SET(c->marks[s->shots[n]].sent_ns, sent_ns);
    CANNON_SET(c->sent, c->sent + (s->next - first));
    s->said_ns = sent_ns;
    return cannon_flush(s);
}

/* What is due now, and the target's socket takes nothing: that is its doing, and is noted as such. */
static void note_held(mm_cannon *c, cannon_session *s, uint64_t start_ns, uint64_t now)
{
    if (c->config.window)
        return;
    if (s->held_to < s->next)
        s->held_to = s->next;
    for (; s->held_to < s->n_shots && start_ns + c->shots[s->shots[s->held_to]].at_ns <= now; s->held_to++) {
        c->marks[s->shots[s->held_to]].held = 1;
        CANNON_SET(c->held, c->held + 1);
    }
}

uint64_t cannon_fire_due(mm_cannon *c, uint64_t start_ns, uint64_t now, bool *waits)
{
    uint64_t next = UINT64_MAX;
    bool left = false, ceased = CANNON_GET(c->cease);
    for (uint32_t i = 0; i < c->config.sessions; i++) {
        cannon_session *s = &c->sessions[i];
        if (CANNON_SEE(s->state) != CANNON_UP)
            continue;
        keep_alive(c, s, now);
        bool goes = true;
        if (s->out_end) { /* the kernel took not all of it */
            goes = cannon_flush(s);
            if (s->out_end && goes && !ceased)
                note_held(c, s, start_ns, now);
            if (s->out_end && next > now + BLOCKED_NS)
                next = now + BLOCKED_NS;
        }
        if (goes && !s->out_end && !ceased && s->next < s->n_shots) {
            goes = fire_session(c, s, start_ns, now, &next);
            *waits = *waits || s->out_end || (s->next < s->n_shots && due(c, s, start_ns, now, &next));
        }
        left = left || s->next < s->n_shots;
        if (!goes)
            cannon_end(s, MM_CANNON_CLOSED, errno);
    }
    if (!left)
        CANNON_SET(c->done, 1);
    return next;
}
