/* What the cannon is told: every report is held against the orders as it comes, and kept. */
#include "cannon_internal.h"

#include <errno.h>
#include <sys/socket.h>

enum { POSS_DUP = 1, KNOWN = 2, POSS_RESEND = 4 };

/* `report`: 1 + its index, 0 when none shows it. */
static void wrong(mm_cannon *c, uint32_t kind, uint64_t report)
{
    if (!c->wrong[kind])
        CANNON_SET(c->first_wrong[kind], report);
    CANNON_SET(c->wrong[kind], c->wrong[kind] + 1);
}

/* The shot of one of our ClOrdIDs that was sent; UINT32_MAX: there is none. */
static uint32_t shot_of(const mm_cannon *c, load_text t)
{
    uint64_t session, number;
    if (!load_read_name(t, c->config.run, &session, &number) || session >= c->config.sessions)
        return UINT32_MAX;
    const cannon_session *s = &c->sessions[session];
    return number < CANNON_GET(s->next) ? s->shots[number] : UINT32_MAX;
}

static void keep_words(cannon_session *s, load_text words)
{
    uint32_t n = words.n < CANNON_WORDS - 1 ? words.n : CANNON_WORDS - 1;
    if (s->words[0] || !n)
        return;
    for (uint32_t i = 0; i < n; i++)
        s->words[i] = words.at[i] >= 32 && words.at[i] < 127 ? words.at[i] : '?';
}

/* --- one report against what is known of its order --- */

static void filled(mm_cannon *c, uint32_t index, const mm_load_report *r, uint64_t at)
{
    mm_cannon_mark *mark = &c->marks[index];
    const mm_cannon_shot *shot = &c->shots[index];
    uint64_t cum = (uint64_t)mark->cum_lots + r->last_lots;
    if (mark->state & CANNON_OVER)
        wrong(c, MM_CANNON_AFTER_END, at);
    if (cum > shot->lots)
        wrong(c, MM_CANNON_OVERFILL, at);
    else if (!r->last_lots || r->cum_lots != cum || r->leaves_lots != shot->lots - cum)
        wrong(c, MM_CANNON_SUM, at);
    if (!(shot->flags & 2) &&
        (shot->flags & 1 ? r->price_ticks < shot->price_ticks : r->price_ticks > shot->price_ticks))
        wrong(c, MM_CANNON_PRICE, at);
    mark->cum_lots = (uint32_t)cum;
    mark->state |= CANNON_TRADED | (cum >= shot->lots ? CANNON_OVER : 0);
}

/* An order that ends by a cancel, its own expiry or the name of another. */
static void ended(mm_cannon *c, uint32_t index, const mm_load_report *r, uint64_t at, uint32_t bit)
{
    mm_cannon_mark *mark = &c->marks[index];
    if (mark->state & CANNON_OVER)
        wrong(c, MM_CANNON_TWICE, at);
    if (r->kind != '5' && (r->leaves_lots || r->cum_lots != mark->cum_lots))
        wrong(c, MM_CANNON_SUM, at);
    mark->state |= CANNON_OVER | bit;
}

static void accepted(mm_cannon *c, const cannon_session *s, uint32_t index, const mm_load_report *r, uint64_t at)
{
    mm_cannon_mark *mark = &c->marks[index];
    if (mark->state & (CANNON_ACCEPTED | CANNON_REJECTED))
        wrong(c, MM_CANNON_TWICE, at);
    uint32_t *last = &c->last_acknowledged[s->index * c->config.symbols + c->shots[index].symbol];
    if (mark->number + 1 < *last)
        wrong(c, MM_CANNON_ORDER, at);
    *last = mark->number + 1;
    mark->state |= CANNON_ACCEPTED;
    mark->order_id = r->order_id;
}

static void judge(mm_cannon *c, const cannon_session *s, const mm_load_report *r, uint64_t at)
{
    uint32_t index = r->order;
    bool known = index != UINT32_MAX && c->shots[index].session == s->index;
    if (!known) {
        wrong(c, MM_CANNON_STRANGER, at);
        return;
    }
    mm_cannon_mark *mark = &c->marks[index];
    switch (r->kind) {
    case '0':
        accepted(c, s, index, r, at);
        break;
    case 'F':
        filled(c, index, r, at);
        break;
    case '8':
        if (mark->state & (CANNON_ACCEPTED | CANNON_REJECTED))
            wrong(c, MM_CANNON_TWICE, at);
        mark->state |= CANNON_REJECTED | CANNON_OVER;
        CANNON_SET(c->rejected, c->rejected + 1);
        break;
    case '5':
        accepted(c, s, index, r, at);
        if (r->orig != UINT32_MAX && r->orig != index) { /* it goes on under this name, with what it was filled for */
            mark->cum_lots = c->marks[r->orig].cum_lots;
            ended(c, r->orig, r, at, 0);
        }
        mark->state |= mark->cum_lots >= c->shots[index].lots ? CANNON_OVER : 0;
        break;
    case '4':
    case 'C':
    case '3':
        ended(c, r->orig == UINT32_MAX ? index : r->orig, r, at, CANNON_CANCELLED);
        break;
    case 'r':
        if (mark->state & 16)
            wrong(c, MM_CANNON_TWICE, at);
        break;
    default:
        break;
    }
    mark->state |= load_state_bit((char)r->kind);
}

/* --- keeping it --- */

static void tell(mm_cannon *c, uint32_t index, const mm_load_report *r)
{
    mm_cannon_mark *mark = &c->marks[index];
    mark->reports += mark->reports < UINT16_MAX;
    if (mark->told_ns)
        return;
    CANNON_SET(mark->told_ns, r->at_ns);
    CANNON_SET(c->told, c->told + 1);
    CANNON_SET(c->last_told_ns, r->at_ns);
    cannon_session *s = &c->sessions[c->shots[index].session];
    CANNON_SET(s->answered, s->answered + 1);
}

static uint32_t lots_of(const mm_cannon *c, load_text t)
{
    return (uint32_t)(load_number_of(t) / c->config.lot_size);
}

/* ExecType, or r for a cancel reject; a fill of FIX 4.2, partial (1) or the last (2), is what later versions call a trade (F). */
static uint8_t kind_of(const cannon_session *s, const load_message *m)
{
    if (m->type == '9')
        return 'r';
    char kind = m->exec_type.n ? m->exec_type.at[0] : '?';
    return s->old_fills && (kind == '1' || kind == '2') ? 'F' : (uint8_t)kind;
}

static void note(mm_cannon *c, cannon_session *s, const load_message *m, uint64_t now, bool known)
{
    if (c->n_reports >= c->config.reports_max) {
        CANNON_SET(c->full, 1);
        return;
    }
    mm_load_report *r = &c->reports[c->n_reports];
    *r = (mm_load_report){
        .at_ns = now,
        .exec_id = load_id_of(m->exec_id),
        .order_id = load_id_of(m->order_id),
        .order = shot_of(c, m->cl),
        .orig = shot_of(c, m->orig),
        .number = (uint32_t)m->number,
        .last_lots = lots_of(c, m->last_lots),
        .cum_lots = lots_of(c, m->cum),
        .leaves_lots = lots_of(c, m->leaves),
        .price_ticks =
            (int32_t)(load_price_e8(m->last_price.n ? m->last_price : m->price) / (int64_t)c->config.tick_e8),
        .session = (uint16_t)s->index,
        .kind = kind_of(s, m),
        .flags = (uint8_t)((m->poss_dup ? POSS_DUP : 0) | (known ? KNOWN : 0) | (m->poss_resend ? POSS_RESEND : 0)),
        .connection = 1,
    };
    if (r->kind == '8' || r->kind == 'r')
        keep_words(s, m->words);
    if (!known) {
        judge(c, s, r, c->n_reports + 1);
        if (r->order != UINT32_MAX)
            tell(c, r->order, r);
    }
    CANNON_SHOW(c->n_reports, c->n_reports + 1);
}

/* A Reject or BusinessMessageReject: an answer to the message that it is about. */
static void refused(mm_cannon *c, cannon_session *s, const load_message *m, uint64_t now)
{
    CANNON_SET(c->refused_messages, c->refused_messages + 1);
    keep_words(s, m->words);
    uint64_t n = m->about - s->first_out;
    uint32_t shot = m->about >= s->first_out && n < s->n_numbers ? CANNON_SEE(s->shot_of[n]) : 0;
    if (!shot)
        return;
    mm_load_report r = {.at_ns = now};
    c->marks[shot - 1].state |= CANNON_REFUSED_MESSAGE | CANNON_OVER;
    tell(c, shot - 1, &r);
}

/* --- the session --- */

static void act(mm_cannon *c, cannon_session *s, const load_message *m, uint64_t now)
{
    switch (m->type) {
    case '8':
    case '9':
        note(c, s, m, now, false);
        break;
    case 'A':
        if (CANNON_SEE(s->state) == CANNON_LOGGING_ON)
            CANNON_SHOW(s->state, CANNON_UP);
        break;
    case '1':
        if (!CANNON_SEE(s->wants_test_answer) && m->test_id.n < sizeof s->test_id) {
            memcpy(s->test_id, m->test_id.at, m->test_id.n);
            s->test_id[m->test_id.n] = 0;
            CANNON_SHOW(s->wants_test_answer, 1);
        }
        break;
    case '2':
        CANNON_SET(c->asked_again, c->asked_again + 1);
        s->gap_from = m->begin ? m->begin : 1;
        CANNON_SHOW(s->wants_gap_fill, 1);
        break;
    case '3':
    case 'j':
        refused(c, s, m, now);
        break;
    case '4':
        if (m->new_number > s->next_in)
            s->next_in = m->new_number;
        break;
    case '5':
        keep_words(s, m->words);
        cannon_end(s, MM_CANNON_LOGGED_OUT, 0);
        break;
    default:
        break;
    }
}

static void take(mm_cannon *c, cannon_session *s, const load_message *m, uint64_t now)
{
    if (m->type == '4' && !m->gap_fill) {
        act(c, s, m, now);
        return;
    }
    if (m->number < s->next_in && m->poss_dup) {
        if (m->type == '8' || m->type == '9')
            note(c, s, m, now, true);
        return;
    }
    if (m->number != s->next_in)
        wrong(c, MM_CANNON_NUMBER, 0);
    s->next_in = m->number + 1;
    act(c, s, m, now);
}

/* Whether what stands there can be the beginning of a message of a length that somebody would send. */
static bool may_be_fix(const char *at, uint64_t there)
{
    static const char head[] = "8=FIX";
    return memcmp(at, head, there < sizeof head - 1 ? there : sizeof head - 1) == 0;
}

/* false: what stands there is no FIX. */
static bool take_all(mm_cannon *c, cannon_session *s, uint64_t now)
{
    uint32_t from = 0;
    const char *body;
    for (uint64_t length; from < s->in_end && (length = load_whole(s->in + from, s->in_end - from, &body));
         from += (uint32_t)length) {
        if (!may_be_fix(s->in + from, s->in_end - from))
            return false;
        if (length < 20 || body + 7 > s->in + from + length || !load_sum_fits(s->in + from, length)) {
            wrong(c, MM_CANNON_GARBLED, 0);
            continue;
        }
        load_message m = load_read_message(body, s->in + from + length - 7);
        take(c, s, &m, now);
    }
    memmove(s->in, s->in + from, s->in_end - from);
    s->in_end -= from;
    return may_be_fix(s->in, s->in_end) && s->in_end < LOAD_MESSAGE_MAX;
}

void cannon_receive(mm_cannon *c, cannon_session *s, uint32_t most, bool *moved)
{
    uint32_t room = CANNON_IN_BYTES - s->in_end;
    ssize_t n = recv(s->fd, s->in + s->in_end, most < room ? most : room, MSG_DONTWAIT);
    *moved = n > 0;
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        cannon_end(s, MM_CANNON_CLOSED, n < 0 ? errno : 0);
        return;
    }
    s->in_end += (uint32_t)n;
    if (!take_all(c, s, cannon_clock())) {
        wrong(c, MM_CANNON_GARBLED, 0);
        cannon_end(s, MM_CANNON_GARBAGE, 0);
    }
}
