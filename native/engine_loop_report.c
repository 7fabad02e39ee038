/* The report that an event's record makes: used by the engine as it happens, and by a gateway that rebuilds one from the log. */
#include "matchmark/pipeline.h"

#include <string.h>

static uint8_t op_of(const mm_audit_record *r)
{
    return r->flags >> MM_RECORD_OP_SHIFT;
}

static void fill_common(mm_report *to, const mm_audit_record *r, const mm_audit_record *command)
{
    const mm_event *e = &r->event;
    *to = (mm_report){
        .key = 2 * r->sequence,
        .kind = e->kind,
        .reason = e->reason,
        .side = e->side,
        .state = e->state,
        .type = r->type,
        .tif = r->tif,
        .op = op_of(r),
        .session = r->session,
        .gateway = r->gateway,
        .cause_type = command ? command->command.type : r->type,
        .cause_tif = command ? command->command.tif : r->tif,
        .account = e->account,
        .symbol = e->symbol,
        .cl_ord_id = e->cl_ord_id,
        .order_id = e->order_id,
        .limit_ticks = r->limit_ticks,
        .leaves_lots = r->leaves_lots,
        .cum_lots = r->cum_lots,
        .order_lots = r->leaves_lots + r->cum_lots,
        .notional = {r->notional[0], r->notional[1]},
        .time_ns = r->time_ns,
        .received_ns = r->received_ns,
        .dequeued_ns = r->stage_a_ns,
        .matched_ns = r->stage_b_ns,
    };
    memcpy(to->text, r->text, sizeof to->text);
    if (command) {
        to->validated_ns = command->stage_a_ns;
        to->enqueued_ns = command->stage_b_ns;
        to->order_position = command->command.tag;
    }
}

static void fill_trade(mm_report *to, const mm_audit_record *r, int resting)
{
    const mm_event *e = &r->event;
    to->last_ticks = e->price_ticks;
    to->last_lots = e->quantity_lots;
    to->contra_order_id = e->other_order_id;
    to->state = r->leaves_lots ? MM_PARTIALLY_FILLED : MM_FILLED;
    if (!resting)
        return;
    to->key++;
    to->resting = 1;
    to->state = e->state;
    to->side = e->side ^ 1;
    to->type = MM_LIMIT;
    to->tif = MM_DAY;
    to->session = r->other_session;
    to->gateway = r->other_gateway;
    to->account = e->other_account;
    to->cl_ord_id = e->other_cl_ord_id;
    to->order_id = e->other_order_id;
    to->contra_order_id = e->order_id;
    to->limit_ticks = e->price_ticks;
    to->leaves_lots = r->other_leaves_lots;
    to->cum_lots = e->cum_lots;
    to->order_lots = r->other_leaves_lots + e->cum_lots;
    memcpy(to->notional, r->other_notional, sizeof to->notional);
    memcpy(to->text, r->other_text, sizeof to->text);
}

/* By request: told to who asked, under the request's ClOrdID. */
static void fill_cancelled(mm_report *to, const mm_audit_record *r, const mm_audit_record *command)
{
    const mm_event *e = &r->event;
    to->last_lots = e->quantity_lots;
    to->order_lots = e->quantity_lots + r->cum_lots;
    if (e->reason != MM_REASON_REQUESTED)
        return;
    to->session = r->other_session;
    to->gateway = r->other_gateway;
    to->orig_cl_ord_id = e->cl_ord_id;
    to->cl_ord_id = command ? command->command.cl_ord_id : 0;
    memcpy(to->orig_text, r->text, sizeof to->orig_text);
    memcpy(to->text, r->other_text, sizeof to->text);
}

static uint32_t as_u32(int64_t value)
{
    return value < 0 ? 0 : value > UINT32_MAX ? UINT32_MAX : (uint32_t)value;
}

int mm_report_of_record(const mm_audit_record *r, const mm_audit_record *command, int resting, mm_report *to)
{
    if (r->kind != MM_RECORD_EVENT || r->event.kind == MM_EV_TOP || (resting && r->event.kind != MM_EV_TRADE))
        return 0;
    fill_common(to, r, command);
    switch (r->event.kind) {
    case MM_EV_TRADE:
        fill_trade(to, r, resting);
        break;
    case MM_EV_CANCELLED:
        fill_cancelled(to, r, command);
        break;
    case MM_EV_REJECTED:
        to->order_lots = command ? as_u32(command->command.quantity_lots) : 0;
        break;
    case MM_EV_STATE:
        memcpy(to->orig_text, r->other_text, sizeof to->orig_text);
        to->last_ticks = r->event.price_ticks;
        to->contra_order_id = r->event.other_order_id;
        break;
    case MM_EV_MASS_CANCELLED:
        to->last_lots = r->event.quantity_lots;
        break;
    default:
        memcpy(to->orig_text, r->other_text, sizeof to->orig_text);
        to->orig_cl_ord_id = r->event.other_cl_ord_id;
        if (r->other_leaves_lots)
            to->order_lots = r->other_leaves_lots;
        if (r->flags & MM_RECORD_SELL)
            to->side = MM_SELL;
        break;
    }
    return 1;
}
