/* What the load is told: reports into the ledger, and the session's own messages. */
#include "load_internal.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>

enum { KNOWN = 2, POSS_DUP = 1, POSS_RESEND = 4 };

/* The index of one of our ClOrdIDs. */
static uint32_t index_of(const mm_load *load, load_text t)
{
    uint64_t session, number;
    if (!load_read_name(t, load->config.run, &session, &number) || session >= load->config.sessions ||
        number >= load->config.capacity)
        return UINT32_MAX;
    return (uint32_t)(session * load->config.capacity + number);
}

/* --- the ledger --- */

static void tell(mm_load *load, uint32_t index, const mm_load_report *r)
{
    mm_load_order *o = &load->orders[index];
    if (!o->told_ns) {
        o->told_ns = r->at_ns;
        LOAD_SET(load->told, load->told + 1);
        if (r->kind != '8') /* who refuses everything does not trade */
            LOAD_SET(load->last_told_ns, r->at_ns);
    }
    if (!o->acknowledged_ns && r->kind != 'I')
        o->acknowledged_ns = r->at_ns;
    o->state |= load_state_bit((char)r->kind);
    o->reports += o->reports < UINT16_MAX;
    if (r->kind == 'F')
        o->filled_lots += r->last_lots;
    if (r->kind != 'r' && r->order_id)
        o->order_id = r->order_id;
}

static void note(mm_load *load, load_session *s, const load_message *m, bool known)
{
    if (load->n_reports >= load->config.reports_max) {
        LOAD_SET(load->full, 1);
        return;
    }
    const mm_load_config *c = &load->config;
    mm_load_report *r = &load->reports[load->n_reports];
    *r = (mm_load_report){
        .at_ns = load_clock(CLOCK_REALTIME),
        .exec_id = load_id_of(m->exec_id),
        .order_id = load_id_of(m->order_id),
        .order = index_of(load, m->cl),
        .orig = index_of(load, m->orig),
        .number = (uint32_t)m->number,
        .last_lots = (uint32_t)(load_number_of(m->last_lots) / c->lot_size),
        .cum_lots = (uint32_t)(load_number_of(m->cum) / c->lot_size),
        .leaves_lots = (uint32_t)(load_number_of(m->leaves) / c->lot_size),
        .price_ticks = (int32_t)(load_price_e8(m->last_price) / (int64_t)c->tick_e8),
        .session = (uint16_t)s->index,
        .kind = m->type == '9'   ? 'r'
                : m->exec_type.n ? (uint8_t)m->exec_type.at[0]
                                 : '?',
        .flags = (uint8_t)((m->poss_dup ? POSS_DUP : 0) | (known ? KNOWN : 0) | (m->poss_resend ? POSS_RESEND : 0)),
        .connection = s->connection,
    };
    if (!known && r->order != UINT32_MAX)
        tell(load, r->order, r);
    if (!known && r->kind == '4' && r->orig != UINT32_MAX)
        load->orders[r->orig].state |= 4;
    __atomic_store_n(&load->n_reports, load->n_reports + 1, __ATOMIC_RELEASE);
    uint64_t first = s->index * c->capacity;
    if (r->order >= first && r->order - first >= s->answered && r->order - first < s->next) {
        s->answered = r->order - first + 1;
    }
}

/* --- the session --- */

static void ask_again(load_session *s)
{
    char fields[48];
    if (s->asked_for == s->next_in || !load_has_room(s))
        return;
    s->asked_for = s->next_in;
    snprintf(fields, sizeof fields, "7=%llu\00116=0\001", (unsigned long long)s->next_in);
    load_put_admin(s, "2", fields);
}

static void asked(load_session *s, const load_message *m)
{
    uint64_t last = s->next_out - 1;
    LOAD_SET(s->resend_from, m->begin ? m->begin : 1);
    LOAD_SET(s->resend_to, m->end && m->end < last ? m->end : last);
}

static void answer_test(load_session *s, const load_message *m)
{
    char fields[128];
    snprintf(fields, sizeof fields, "112=%.*s\001", (int)(m->test_id.n < 100 ? m->test_id.n : 100), m->test_id.at);
    if (load_has_room(s))
        load_put_admin(s, "0", fields);
}

/* false: the session is over. */
static bool act(mm_load *load, load_session *s, const load_message *m)
{
    switch (m->type) {
    case '8':
    case '9':
        note(load, s, m, false);
        return true;
    case 'A':
        s->reset = false;
        LOAD_SET(s->state, LOAD_UP);
        LOAD_SET(load->logons, load->logons + 1);
        return true;
    case '1':
        answer_test(s, m);
        return true;
    case '2':
        asked(s, m);
        return true;
    case '3':
    case 'j':
        LOAD_SET(load->rejected, load->rejected + 1);
        return true;
    case '4':
        if (m->new_number > s->next_in)
            s->next_in = m->new_number;
        return true;
    default:
        return m->type != '5';
    }
}

static bool take(mm_load *load, load_session *s, const load_message *m)
{
    if (m->type == '4' && !m->gap_fill)
        return act(load, s, m);
    if (m->number == s->next_in) {
        s->next_in++;
        return act(load, s, m);
    }
    if (m->number > s->next_in) { /* a logon and a resend request are acted on all the same */
        bool goes_on = (m->type != 'A' && m->type != '2' && m->type != '5') || act(load, s, m);
        ask_again(s);
        return goes_on;
    }
    if (!m->poss_dup) {
        LOAD_SET(load->too_low, load->too_low + 1);
        return act(load, s, m);
    }
    if (m->type == '8' || m->type == '9')
        note(load, s, m, true);
    return true;
}

bool load_receive(mm_load *load, load_session *s, bool *moved)
{
    ssize_t n = recv(s->fd, s->in + s->in_end, LOAD_IN_BYTES - s->in_end, MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN)
        return true;
    if (n <= 0)
        return false;
    *moved = true;
    s->heard_ns = load_clock(CLOCK_MONOTONIC);
    s->in_end += (uint32_t)n;
    uint32_t from = 0;
    const char *body;
    for (uint64_t length; (length = load_whole(s->in + from, s->in_end - from, &body)); from += (uint32_t)length) {
        if (!load_sum_fits(s->in + from, length)) {
            LOAD_SET(load->garbled, load->garbled + 1);
            continue;
        }
        load_message m = load_read_message(body, s->in + from + length - 7);
        if (!take(load, s, &m))
            return false;
    }
    memmove(s->in, s->in + from, s->in_end - from);
    s->in_end -= from;
    return true;
}
