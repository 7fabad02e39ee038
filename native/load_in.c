/* What the load is told: reports into the ledger, and the session's own messages. */
#include "load_internal.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>

enum { KNOWN = 2, POSS_DUP = 1, POSS_RESEND = 4 };

typedef struct text {
    const char *at;
    uint32_t n;
} text;

/* The fields that matter of one message; absent ones are empty. */
typedef struct message {
    char type;
    bool poss_dup, poss_resend, gap_fill;
    uint64_t number, begin, end, new_number;
    text cl, orig, exec_id, order_id, exec_type, last_lots, last_price, cum, leaves, test_id;
} message;

static uint64_t number_of(text t)
{
    uint64_t value = 0;
    for (uint32_t i = 0; i < t.n && t.at[i] >= '0' && t.at[i] <= '9'; i++)
        value = value * 10 + (uint64_t)(t.at[i] - '0');
    return value;
}

/* The id as a number, or a hash of one that is none (FNV-1a). */
static uint64_t id_of(text t)
{
    bool digits = t.n && t.n < 19;
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (uint32_t i = 0; i < t.n; i++) {
        digits = digits && t.at[i] >= '0' && t.at[i] <= '9';
        hash = (hash ^ (unsigned char)t.at[i]) * UINT64_C(0x100000001b3);
    }
    return digits ? number_of(t) : t.n ? hash | UINT64_C(1) << 63 : 0;
}

static int64_t price_e8(text t)
{
    int64_t value = 0, digits = -1;
    for (uint32_t i = 0; i < t.n && digits < 8; i++) {
        if (t.at[i] == '.')
            digits = 0;
        else if (t.at[i] >= '0' && t.at[i] <= '9') {
            value = value * 10 + (t.at[i] - '0');
            digits += digits >= 0;
        }
    }
    for (digits = digits < 0 ? 0 : digits; digits < 8; digits++)
        value *= 10;
    return value;
}

/* The index of one of our ClOrdIDs. */
static uint32_t index_of(const mm_load *load, text t)
{
    if (t.n != LOAD_NAME_DIGITS + 1 || t.at[0] != 'K')
        return UINT32_MAX;
    uint64_t run = number_of((text){t.at + 1, 6}), session = number_of((text){t.at + 7, 3});
    uint64_t number = number_of((text){t.at + 10, 10});
    if (run != load->config.run || session >= load->config.sessions || number >= load->config.capacity)
        return UINT32_MAX;
    return (uint32_t)(session * load->config.capacity + number);
}

static void take_field(message *m, uint32_t tag, text v)
{
    switch (tag) {
    case 35:
        m->type = v.n == 1 ? v.at[0] : '?';
        break;
    case 34:
        m->number = number_of(v);
        break;
    case 43:
        m->poss_dup = *v.at == 'Y';
        break;
    case 97:
        m->poss_resend = *v.at == 'Y';
        break;
    case 123:
        m->gap_fill = *v.at == 'Y';
        break;
    case 7:
        m->begin = number_of(v);
        break;
    case 16:
        m->end = number_of(v);
        break;
    case 36:
        m->new_number = number_of(v);
        break;
    case 11:
        m->cl = v;
        break;
    case 41:
        m->orig = v;
        break;
    case 17:
        m->exec_id = v;
        break;
    case 37:
        m->order_id = v;
        break;
    case 150:
        m->exec_type = v;
        break;
    case 32:
        m->last_lots = v;
        break;
    case 31:
        m->last_price = v;
        break;
    case 14:
        m->cum = v;
        break;
    case 151:
        m->leaves = v;
        break;
    case 112:
        m->test_id = v;
        break;
    default:
        break;
    }
}

static message read_message(const char *at, const char *end)
{
    message m = {0};
    while (at < end) {
        uint32_t tag = 0;
        while (at < end && *at != '=')
            tag = tag * 10 + (uint32_t)(*at++ - '0');
        const char *from = ++at;
        at = from < end ? memchr(from, 1, (size_t)(end - from)) : NULL;
        if (!at)
            break;
        take_field(&m, tag, (text){from, (uint32_t)(at - from)});
        at++;
    }
    return m;
}

/* --- the ledger --- */

static uint32_t state_bit(char kind)
{
    switch (kind) {
    case '0':
        return 1;
    case 'F':
        return 2;
    case '4':
        return 4;
    case '8':
        return 8;
    case 'r':
        return 16;
    case 'I':
        return 32;
    default:
        return 0;
    }
}

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
    o->state |= state_bit((char)r->kind);
    o->reports += o->reports < UINT16_MAX;
    if (r->kind == 'F')
        o->filled_lots += r->last_lots;
    if (r->kind != 'r' && r->order_id)
        o->order_id = r->order_id;
}

static void note(mm_load *load, load_session *s, const message *m, bool known)
{
    if (load->n_reports >= load->config.reports_max) {
        LOAD_SET(load->full, 1);
        return;
    }
    const mm_load_config *c = &load->config;
    mm_load_report *r = &load->reports[load->n_reports];
    *r = (mm_load_report){
        .at_ns = load_clock(CLOCK_REALTIME),
        .exec_id = id_of(m->exec_id),
        .order_id = id_of(m->order_id),
        .order = index_of(load, m->cl),
        .orig = index_of(load, m->orig),
        .number = (uint32_t)m->number,
        .last_lots = (uint32_t)(number_of(m->last_lots) / c->lot_size),
        .cum_lots = (uint32_t)(number_of(m->cum) / c->lot_size),
        .leaves_lots = (uint32_t)(number_of(m->leaves) / c->lot_size),
        .price_ticks = (int32_t)(price_e8(m->last_price) / (int64_t)c->tick_e8),
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

static void asked(load_session *s, const message *m)
{
    uint64_t last = s->next_out - 1;
    LOAD_SET(s->resend_from, m->begin ? m->begin : 1);
    LOAD_SET(s->resend_to, m->end && m->end < last ? m->end : last);
}

static void answer_test(load_session *s, const message *m)
{
    char fields[128];
    snprintf(fields, sizeof fields, "112=%.*s\001", (int)(m->test_id.n < 100 ? m->test_id.n : 100), m->test_id.at);
    if (load_has_room(s))
        load_put_admin(s, "0", fields);
}

/* false: the session is over. */
static bool act(mm_load *load, load_session *s, const message *m)
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

static bool take(mm_load *load, load_session *s, const message *m)
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

/* Bytes of the whole message at `from`; 0: not there yet. */
static uint64_t whole(const load_session *s, uint32_t from, const char **body)
{
    uint64_t there = s->in_end - from;
    const char *start = s->in + from, *soh = memchr(start, 1, there);
    if (!soh || (uint64_t)(soh - start) + 4 > there)
        return 0;
    const char *close = memchr(soh + 3, 1, there - (uint64_t)(soh + 3 - start));
    if (!close)
        return 0;
    *body = close + 1;
    uint64_t length = (uint64_t)(*body - start) + number_of((text){soh + 3, (uint32_t)(close - soh - 3)}) + 7;
    return length <= there ? length : 0;
}

static bool sum_fits(const char *from, uint64_t length)
{
    uint32_t sum = 0;
    for (uint64_t i = 0; i < length - 7; i++)
        sum += (unsigned char)from[i];
    return memcmp(from + length - 7, "10=", 3) == 0 && number_of((text){from + length - 4, 3}) == (sum & 255);
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
    for (uint64_t length; (length = whole(s, from, &body)); from += (uint32_t)length) {
        if (!sum_fits(s->in + from, length)) {
            LOAD_SET(load->garbled, load->garbled + 1);
            continue;
        }
        message m = read_message(body, s->in + from + length - 7);
        if (!take(load, s, &m))
            return false;
    }
    memmove(s->in, s->in + from, s->in_end - from);
    s->in_end -= from;
    return true;
}
