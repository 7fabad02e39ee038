/* What the load says: orders, and the session's own messages. */
#include "load_internal.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>

enum { ANSWERED_AGAIN = 64 };

bool load_has_room(const load_session *s)
{
    return LOAD_OUT_BYTES - s->out_end > LOAD_MESSAGE_ROOM;
}

/* Under the number `seq`; with `orig_ns` it was sent under that number before, then. */
static void write_order(mm_load *load, load_session *s, uint64_t number, uint64_t seq, uint64_t now_ns,
                        uint64_t orig_ns)
{
    const mm_load_config *c = &load->config;
    mm_load_plan plan = load_plan_of(c, s->index, number);
    const char *symbol = load->symbols[plan.symbol];
    char room[LOAD_MESSAGE_ROOM],
        *at = mm_fix_put_header(&s->envelope, room, plan.cancels ? "F" : "D", seq, now_ns, orig_ns);
    if (seq == s->doubted)
        at = PUT(at, "97=Y\001");
    at = load_put_name(PUT(at, "11="), c->run, s->index, number);
    if (plan.cancels)
        at = load_put_name(PUT(at, "\00141="), c->run, s->index, plan.orig);
    at = put_text(PUT(at, "\00155="), symbol, (uint32_t)strlen(symbol));
    at = plan.sells ? PUT(at, "\00154=2") : PUT(at, "\00154=1");
    at = put_uint(PUT(at, "\00138="), (uint64_t)plan.lots * c->lot_size);
    if (!plan.cancels) {
        at = load_put_price(PUT(at, "\00140=2\00144="), c->tick_e8, c->price_decimals, plan.price_ticks);
        at = plan.immediate ? PUT(at, "\00159=3") : PUT(at, "\00159=0");
    }
    at = mm_fix_put_utc(&s->envelope, PUT(at, "\00160="), now_ns);
    *at++ = 1;
    at = put_text(at, s->order_fields, (uint32_t)strlen(s->order_fields));
    load_put_message(&s->envelope, room, at, s->out, &s->out_end);
}

void load_put_order(mm_load *load, load_session *s, uint64_t number, uint64_t now_ns)
{
    mm_load_order *o = &load->orders[load_index(load, s, number)];
    o->sent_ns = now_ns;
    o->connection = o->last_connection = s->connection;
    o->sendings = 1;
    s->order_of[s->next_out] = (uint32_t)number + 1;
    write_order(load, s, number, s->next_out++, now_ns, 0);
}

void load_put_doubts(mm_load *load, load_session *s)
{
    for (; s->doubt_from < s->doubt_to && s->next_out < s->numbers && load_has_room(s); s->doubt_from++) {
        mm_load_order *o = &load->orders[load_index(load, s, s->doubt_from)];
        if (o->told_ns)
            continue;
        o->doubts++;
        o->last_connection = s->connection;
        s->order_of[s->next_out] = (uint32_t)s->doubt_from + 1;
        s->doubted = s->next_out;
        write_order(load, s, s->doubt_from, s->next_out++, load_clock(CLOCK_REALTIME), 0);
        s->doubted = 0;
        LOAD_SET(load->resent, load->resent + 1);
    }
}

static void put_fields(load_session *s, const char *type, uint64_t seq, uint64_t orig_ns, const char *fields)
{
    char room[LOAD_MESSAGE_ROOM];
    char *at = mm_fix_put_header(&s->envelope, room, type, seq, load_clock(CLOCK_REALTIME), orig_ns);
    load_put_message(&s->envelope, room, put_text(at, fields, (uint32_t)strlen(fields)), s->out, &s->out_end);
}

void load_put_admin(load_session *s, const char *type, const char *fields)
{
    if (s->next_out < s->numbers)
        s->order_of[s->next_out] = 0;
    put_fields(s, type, s->next_out++, 0, fields);
}

void load_put_logon(mm_load *load, load_session *s)
{
    char fields[LOAD_MESSAGE_ROOM - 1024];
    if (s->reset)
        s->next_out = s->next_in = 1;
    snprintf(fields, sizeof fields, "98=0\001108=%u\001%s%s", load->config.heartbeat_s, s->reset ? "141=Y\001" : "",
             s->logon_fields);
    load_put_admin(s, "A", fields);
}

/* The number + 1 of the order that is to go out again under this number; 0: a gap is filled instead. An order that was answered is
 * over for its client; one in so many goes out all the same, for whoever executes it twice. */
static uint32_t again(const mm_load *load, const load_session *s, uint64_t seq)
{
    uint32_t number = seq < s->numbers ? s->order_of[seq] : 0;
    if (number && load->orders[load_index(load, s, number - 1)].told_ns && number % ANSWERED_AGAIN)
        return 0;
    return number;
}

/* One order, or all in a row that is none to be sent by one SequenceReset. */
static void resend_one(mm_load *load, load_session *s)
{
    uint64_t from = s->resend_from, to = from;
    uint32_t number = again(load, s, from);
    if (number) {
        mm_load_order *o = &load->orders[load_index(load, s, number - 1)];
        o->sendings += o->sendings < UINT16_MAX;
        o->last_connection = s->connection;
        write_order(load, s, number - 1, from, load_clock(CLOCK_REALTIME), o->sent_ns);
        LOAD_SET(load->resent, load->resent + 1);
    } else {
        char fields[48];
        while (to < s->resend_to && !again(load, s, to + 1))
            to++;
        snprintf(fields, sizeof fields, "123=Y\00136=%llu\001", (unsigned long long)to + 1);
        put_fields(s, "4", from, load_clock(CLOCK_REALTIME), fields);
    }
    LOAD_SET(s->resend_from, to + 1);
}

void load_put_resend(mm_load *load, load_session *s)
{
    while (s->resend_from <= s->resend_to && load_has_room(s))
        resend_one(load, s);
}

bool load_flush(load_session *s)
{
    while (s->out_start < s->out_end) {
        ssize_t n = send(s->fd, s->out + s->out_start, s->out_end - s->out_start, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN)
            break;
        if (n <= 0)
            return false;
        s->out_start += (uint32_t)n;
    }
    memmove(s->out, s->out + s->out_start, s->out_end - s->out_start);
    s->out_end -= s->out_start;
    s->out_start = 0;
    return true;
}
