/* One order through the engine: the command's record, a record for each event, and who is told. */
#include "engine_loop.h"

#include "audit_record.h"

static void add_notional(uint64_t notional[2], int64_t price_ticks, uint32_t lots)
{
    unsigned __int128 sum = (unsigned __int128)notional[1] << 64 | notional[0];
    sum += (unsigned __int128)(uint64_t)price_ticks * lots;
    notional[0] = (uint64_t)sum;
    notional[1] = (uint64_t)(sum >> 64);
}

/* --- records --- */

bool mm_loop_compare(mm_engine_loop *loop)
{
    for (uint32_t i = 0; i < loop->n_made; i++) {
        loop->running_hash = loop->made[i].running_hash = mm_record_hash(loop->running_hash, &loop->made[i]);
        if (loop->running_hash == loop->wanted[i])
            continue;
        mm_fault_set(loop->fault, 0,
                     "audit log: replaying its commands does not give record %llu: it was written with another engine "
                     "configuration or another version, or is damaged",
                     (unsigned long long)loop->made[i].sequence);
        loop->broken = true;
        loop->n_made = 0;
        return false;
    }
    loop->n_made = 0;
    return true;
}

/* In replay what was made before and is another than the log's is the reason for all that comes of it. */
static bool broken(mm_engine_loop *loop, const char *text)
{
    if (loop->replaying && !mm_loop_compare(loop))
        return false;
    loop->broken = true;
    if (loop->replaying)
        mm_fault_set(loop->fault, 0, "%s", text);
    else
        mm_pipeline_fail(loop->p, 0, text);
    return false;
}

/* Numbers the record, which is hashed when it is published, or compared with the log's: some at a time, for what was just written in
 * small pieces is slow to read in large ones. */
static bool finish_record(mm_engine_loop *loop, mm_audit_record *r)
{
    r->sequence = ++loop->sequence;
    r->epoch = loop->epoch;
    if (!loop->replaying)
        return true;
    const mm_audit_record *was = loop->expected(loop);
    if (was) {
        r->epoch = was->epoch;
        loop->wanted[loop->n_made++] = was->running_hash;
        return loop->n_made < MM_LOOP_MADE || mm_loop_compare(loop);
    }
    if (!mm_loop_compare(loop) || loop->broken)
        return false;
    /* The log ends within this command: from here on the records are new. */
    loop->replaying = false;
    loop->staged[loop->n_staged++] = *r;
    return true;
}

/* Where the next record is made. */
static mm_audit_record *next_record(mm_engine_loop *loop)
{
    if (loop->replaying)
        return &loop->made[loop->n_made];
    if (loop->n_staged == MM_LOOP_STAGED && !mm_loop_publish(loop))
        return NULL;
    return &loop->staged[loop->n_staged++];
}

static bool record_command(mm_engine_loop *loop)
{
    const mm_order_message *o = &loop->order;
    mm_audit_record *r = next_record(loop);
    if (!r)
        return false;
    bool only = o->command.op == MM_RESET; /* the one command that causes no event */
    *r = (mm_audit_record){
        .command = o->command,
        .time_ns = o->command.time_ns,
        .limit_ticks = o->command.price_ticks,
        .session = o->session,
        .gateway = o->gateway,
        .kind = MM_RECORD_COMMAND,
        .type = o->command.type,
        .tif = o->command.tif,
        .flags = (uint8_t)((only ? MM_RECORD_LAST : 0) | o->command.op << MM_RECORD_OP_SHIFT),
        .received_ns = o->received_ns,
        .stage_a_ns = o->validated_ns,
        .stage_b_ns = o->enqueued_ns,
    };
    memcpy(r->text, o->text, sizeof r->text);
    memcpy(r->other_text, o->orig_text, sizeof r->other_text);
    memcpy(r->notional, o->notional, sizeof r->notional);
    loop->command_record.command = o->command;
    loop->command_record.stage_a_ns = o->validated_ns;
    loop->command_record.stage_b_ns = o->enqueued_ns;
    return finish_record(loop, r);
}

/* The order that the event is about, as it is after the event: the incoming one or a resting one. */
static void fill_order(mm_audit_record *r, const mm_known_order *k)
{
    memcpy(r->text, k->text, sizeof r->text);
    r->session = k->session;
    r->gateway = k->gateway;
    r->type = k->type;
    r->tif = k->tif;
    r->limit_ticks = k->limit_ticks;
    r->leaves_lots = k->leaves_lots;
    r->cum_lots = k->cum_lots;
    memcpy(r->notional, k->notional, sizeof r->notional);
}

static void fill_request(const mm_engine_loop *loop, mm_audit_record *r)
{
    memcpy(r->text, loop->order.text, sizeof r->text);
    memcpy(r->other_text, loop->order.orig_text, sizeof r->other_text);
    r->session = loop->order.session;
    r->gateway = loop->order.gateway;
}

static mm_known_order opened(const mm_engine_loop *loop, const mm_event *e)
{
    const mm_order_message *o = &loop->order;
    mm_known_order k = {
        .order_id = e->order_id,
        .limit_ticks = e->price_ticks,
        .session = o->session,
        .gateway = o->gateway,
        .leaves_lots = e->quantity_lots,
        .cum_lots = e->cum_lots,
        .type = (o->command.op == MM_NEW ? o->command.type : MM_LIMIT) & 0x7f,
        .side = e->side & 1,
        .tif = o->command.op == MM_NEW ? o->command.tif : MM_DAY,
    };
    memcpy(k.text, o->text, sizeof k.text);
    return k;
}

static bool on_accepted(mm_engine_loop *loop, const mm_event *e, mm_audit_record *r)
{
    loop->incoming = opened(loop, e);
    loop->incoming_open = true;
    fill_order(r, &loop->incoming);
    return true;
}

static bool on_replaced(mm_engine_loop *loop, const mm_event *e, mm_audit_record *r)
{
    const mm_known_order *was = mm_known_find(&loop->known, e->order_id);
    if (!was)
        return broken(loop, "engine loop: a replaced order is not known: this is a bug of matchmark");
    loop->incoming = opened(loop, e);
    memcpy(loop->incoming.notional, was->notional, sizeof was->notional);
    mm_known_remove(&loop->known, e->order_id);
    loop->incoming_open = true;
    fill_order(r, &loop->incoming);
    memcpy(r->other_text, loop->order.orig_text, sizeof r->other_text);
    return true;
}

static bool on_trade(mm_engine_loop *loop, const mm_event *e, mm_audit_record *r)
{
    mm_known_order *in = &loop->incoming, *resting = mm_known_find(&loop->known, e->other_order_id);
    if (!resting || !loop->incoming_open || in->order_id != e->order_id)
        return broken(loop, "engine loop: an order that traded is not known: this is a bug of matchmark");
    in->leaves_lots -= e->quantity_lots;
    in->cum_lots += e->quantity_lots;
    resting->leaves_lots -= e->quantity_lots;
    resting->cum_lots = e->cum_lots;
    add_notional(in->notional, e->price_ticks, e->quantity_lots);
    add_notional(resting->notional, e->price_ticks, e->quantity_lots);
    fill_order(r, in);
    memcpy(r->other_text, resting->text, sizeof r->other_text);
    memcpy(r->other_notional, resting->notional, sizeof r->other_notional);
    r->other_session = resting->session;
    r->other_gateway = resting->gateway;
    r->other_leaves_lots = resting->leaves_lots;
    if (!resting->leaves_lots) {
        mm_past_keep(&loop->known, resting, 0);
        mm_known_remove(&loop->known, e->other_order_id);
    }
    if (!in->leaves_lots)
        mm_past_keep(&loop->known, in, 0);
    return true;
}

static bool on_cancelled(mm_engine_loop *loop, const mm_event *e, mm_audit_record *r)
{
    bool own = loop->incoming_open && loop->incoming.order_id == e->order_id;
    mm_known_order *k = own ? &loop->incoming : mm_known_find(&loop->known, e->order_id);
    if (!k)
        return broken(loop, "engine loop: a cancelled order is not known: this is a bug of matchmark");
    k->leaves_lots = 0;
    fill_order(r, k);
    mm_past_keep(&loop->known, k, e->quantity_lots);
    if (e->reason == MM_REASON_REQUESTED) {
        memcpy(r->other_text, loop->order.text, sizeof r->other_text);
        r->other_session = loop->order.session;
        r->other_gateway = loop->order.gateway;
    }
    if (own)
        loop->incoming_open = false;
    else
        mm_known_remove(&loop->known, e->order_id);
    return true;
}

/* A deferred order is the incoming one again; the one before it, of the same command, is resting or over. */
static bool on_released(mm_engine_loop *loop, const mm_event *e, mm_audit_record *r)
{
    const mm_known_order *waiting = mm_known_find(&loop->known, e->order_id);
    if (!waiting)
        return broken(loop, "engine loop: a released order is not known: this is a bug of matchmark");
    mm_known_order next = *waiting;
    mm_known_remove(&loop->known, e->order_id);
    if (loop->incoming_open && loop->incoming.leaves_lots)
        mm_known_insert(&loop->known, &loop->incoming);
    loop->incoming = next;
    loop->incoming_open = true;
    fill_order(r, &loop->incoming);
    return true;
}

/* Who asked, why, and the figures. */
static void on_state(const mm_engine_loop *loop, const mm_event *e, mm_audit_record *r)
{
    fill_request(loop, r);
    r->type = loop->order.command.type;
    r->limit_ticks = e->price_ticks;
    memcpy(r->notional, loop->order.notional, sizeof r->notional);
}

static void on_status(mm_engine_loop *loop, const mm_event *e, mm_audit_record *r)
{
    const mm_known_order *k = e->order_id ? mm_known_find(&loop->known, e->order_id) : NULL;
    const mm_past_order *past = k ? NULL : mm_past_find(&loop->known, e->order_id);
    bool over = e->state == MM_FILLED || e->state == MM_CANCELLED;
    if (k && !over)
        fill_order(r, k);
    fill_request(loop, r);
    r->limit_ticks = e->price_ticks;
    r->leaves_lots = e->quantity_lots;
    r->cum_lots = e->cum_lots;
    if (k && over) { /* asked for by a ClOrdID that a replace has ended */
        r->flags |= k->side ? MM_RECORD_SELL : 0;
        r->type = k->type;
        r->tif = k->tif;
        r->other_leaves_lots = k->leaves_lots + k->cum_lots;
    } else if (past && over) {
        r->flags |= past->side ? MM_RECORD_SELL : 0;
        r->type = past->type;
        r->tif = past->tif;
        r->limit_ticks = past->limit_ticks;
        r->other_leaves_lots = past->order_lots;
        if (past->cum_lots == e->cum_lots)
            memcpy(r->notional, past->notional, sizeof r->notional);
    }
}

static bool fill_event(mm_engine_loop *loop, const mm_event *e, mm_audit_record *r)
{
    switch (e->kind) {
    case MM_EV_ACCEPTED:
        return on_accepted(loop, e, r);
    case MM_EV_REPLACED:
        return on_replaced(loop, e, r);
    case MM_EV_TRADE:
        return on_trade(loop, e, r);
    case MM_EV_CANCELLED:
        return on_cancelled(loop, e, r);
    case MM_EV_STATUS:
        on_status(loop, e, r);
        return true;
    case MM_EV_TOP:
        return true;
    case MM_EV_RELEASED:
        return on_released(loop, e, r);
    case MM_EV_STATE:
        on_state(loop, e, r);
        return true;
    default:
        fill_request(loop, r);
        r->type = loop->order.command.type;
        r->tif = loop->order.command.tif;
        r->limit_ticks = e->kind == MM_EV_REJECTED ? loop->order.command.price_ticks : MM_ABSENT;
        return true;
    }
}

static bool record_event(mm_engine_loop *loop, const mm_event *e, bool last)
{
    mm_audit_record *r = next_record(loop);
    if (!r)
        return false;
    *r = (mm_audit_record){
        .event = *e,
        .time_ns = loop->order.command.time_ns,
        .limit_ticks = MM_ABSENT,
        .kind = MM_RECORD_EVENT,
        .flags = (uint8_t)((last ? MM_RECORD_LAST : 0) | loop->order.command.op << MM_RECORD_OP_SHIFT),
        .received_ns = loop->order.received_ns,
        .stage_a_ns = loop->dequeued_ns,
    };
    if (!fill_event(loop, e, r) || !finish_record(loop, r))
        return false;
    if (e->kind == MM_EV_TOP)
        return true;
    if (e->kind == MM_EV_STATE)
        return mm_loop_report_to_all(loop, r);
    return mm_loop_report(loop, r, 0) && (e->kind != MM_EV_TRADE || mm_loop_report(loop, r, 1));
}

/* --- the command --- */

static bool submit(mm_engine_loop *loop)
{
    mm_progress done;
    const mm_command *command = &loop->order.command;
    uint32_t held = 0; /* an event in events[0] that may be the last */
    int code;
    do {
        code = mm_engine_submit(loop->engine, command, command ? 1 : 0, loop->events + held, MM_LOOP_EVENTS, &done);
        command = NULL;
        uint64_t n = held + done.events;
        for (uint64_t i = 0; i + 1 < n; i++)
            if (!record_event(loop, &loop->events[i], false))
                return false;
        held = n > 0;
        if (n > 1)
            loop->events[0] = loop->events[n - 1];
    } while (code == MM_FULL);
    return !held || record_event(loop, &loop->events[0], true);
}

bool mm_loop_execute(mm_engine_loop *loop, const mm_order_message *order, uint64_t position)
{
    loop->order = *order;
    loop->order.command.tag = position;
    loop->incoming_open = false;
    if (!record_command(loop))
        return false;
    if (order->command.op == MM_RESET)
        mm_known_clear(&loop->known);
    if (!submit(loop))
        return false;
    if (loop->incoming_open && loop->incoming.leaves_lots && !mm_known_insert(&loop->known, &loop->incoming))
        return broken(loop, "engine loop: more orders rest than the book can hold: this is a bug of matchmark");
    return true;
}
