/* Application messages to orders: what FIX says, checked, and put into the order ring; or the answer it deserves. docs/fix.md. */
#define _DEFAULT_SOURCE
#include "gateway_internal.h"
#include "stages.h"

#include <stdio.h>

/* OrdRejReason(103), FIX 4.4 */
enum {
    REJECT_BROKER = 0,
    REJECT_SYMBOL = 1,
    REJECT_CLOSED = 2,
    REJECT_UNSUPPORTED = 11,
    REJECT_ACCOUNT = 15,
    REJECT_OTHER = 99
};

#define MM_TAG_SELF_MATCH 8000

/* One message on its way: what it says, and the order it becomes. */
typedef struct request {
    mm_gateway *g;
    mm_connection *c;
    const mm_fix_message *m;
    mm_order_message order;
    int64_t price_units, shares;
    bool priced, quantified, was_put;
    mm_risk_open_order own; /* what a refused replace is about */
} request;

static bool conditional(request *q, const char *text)
{
    mm_session_business_reject(&q->c->fix, q->m, 5, text, q->g->now_ns);
    return true;
}

static void put_id(char out[40], uint8_t *length, mm_text id)
{
    *length = (uint8_t)(id.length < 40 ? id.length : 40);
    memcpy(out, id.at, *length);
}

/* An ExecutionReport (rejected) or OrderCancelReject of the gateway's own: it has no record in the audit log, so the journal keeps it. */
static bool refuse(request *q, int reason, const char *text)
{
    mm_text symbol = mm_value(q->m, 55), side = mm_value(q->m, 54), type = mm_value(q->m, 40), tif = mm_value(q->m, 59);
    uint8_t op = q->order.command.op;
    char cl[40], orig[40], fields[MM_FIX_REPORT_ROOM];
    mm_fix_report r = {.exec_type = '8',
                       .ord_status = '8',
                       .reject_reason = (uint16_t)reason,
                       .has_reason = 1,
                       .cl_ord_id = cl,
                       .orig = orig,
                       .symbol = symbol.at,
                       .text = text,
                       .text_length = (uint8_t)strlen(text),
                       .lot_size = 1,
                       .account = q->g->accounts[q->g->identities[q->c->session].account],
                       .exec_id = ++q->g->local_exec_id,
                       .transact_ns = q->g->now_ns};
    r.symbol_length = (uint8_t)(symbol.length < 24 ? symbol.length : 24);
    r.account_length = (uint8_t)strnlen(r.account, 64);
    r.side = side.length == 1 ? *side.at : 0;
    r.ord_type = type.length == 1 ? *type.at : '2';
    r.time_in_force = tif.length == 1 ? *tif.at : '0';
    put_id(cl, &r.cl_ord_id_length, mm_value(q->m, 11));
    put_id(orig, &r.orig_length, mm_value(q->m, 41));
    if (q->own.known) {
        r.order_id = q->own.order_id;
        r.ord_status = q->own.cum_lots ? '1' : '0';
    }
    if (op != MM_NEW) {
        r.cancel_response = op == MM_REPLACE ? '2' : '1';
        r.reject_reason = (uint16_t)(reason == 6              ? 6
                                     : reason == REJECT_OTHER ? 99
                                                              : 2); /* CxlRejReason(102) has fewer */
    }
    q->g->counters.orders_rejected++;
    mm_session_send(&q->c->fix, op == MM_NEW ? "8" : "9", fields, mm_fix_report_fields(&q->c->fix.envelope, &r, fields),
                    q->g->now_ns);
    return true;
}

static bool session_refuse(request *q, uint32_t tag, const char *text)
{
    mm_session_reject(&q->c->fix, q->m, MM_FIX_OUT_OF_RANGE, tag, text, q->g->now_ns);
    return true;
}

/* A ClOrdID or OrigClOrdID into its text field; its hash. 0 when it is too long. */
static uint64_t name(request *q, uint32_t tag, char text[40])
{
    mm_text id = mm_value(q->m, tag);
    if (!id.length || id.length > 40)
        return 0;
    memcpy(text, id.at, id.length);
    return mm_cl_ord_id_hash(q->g->config.hash_key, q->order.command.account, id.at, id.length);
}

/* Price and quantity as integers. MM_RISK_OK, or what is wrong with them. */
static int read_numbers(request *q)
{
    const mm_risk_symbol *s = mm_risk_symbol_at(q->g->risk, q->order.command.symbol);
    mm_text price = mm_value(q->m, 44), quantity = mm_value(q->m, 38);
    q->priced = price.length != 0;
    q->quantified = quantity.length != 0;
    if (q->priced && !mm_fix_read_decimal(price.at, price.length, s->price_digits, &q->price_units))
        return MM_RISK_TICK;
    if (q->quantified && !mm_fix_read_decimal(quantity.at, quantity.length, 0, &q->shares))
        return MM_RISK_LOT;
    return MM_RISK_OK;
}

/* How the order came from its frame into the ring. */
static void measure_way(request *q)
{
    mm_gateway *g = q->g;
    mm_connection *c = q->c;
    if (!g->parsed_ns || q->order.command.op != MM_NEW)
        return;
    uint64_t at[] = {g->ready_ns, c->received_ns, g->parsed_ns, q->order.validated_ns, mm_now_ns()};
    for (uint32_t i = 0; i < sizeof at / sizeof *at; i++)
        mm_stage_span(&g->stages->rows[g->way_stage + i], c->arrived_ns, at[i], 1);
    c->arrived_ns = 0;
}

/* Into the ring. False: it is full, and nothing was done. */
static bool put(request *q, bool reserved)
{
    mm_gateway *g = q->g;
    q->order.validated_ns = mm_now_ns();
    int result = mm_orders_put(g->pipeline, g->config.gateway, &q->order, NULL);
    if (result == MM_PUT_OK) {
        g->counters.orders++;
        q->was_put = true;
        measure_way(q);
        return true;
    }
    if (reserved)
        mm_risk_undo(g->risk, q->order.command.cl_ord_id);
    if (result == MM_PUT_FULL) {
        g->counters.back_pressure++;
        return false;
    }
    return refuse(q, REJECT_CLOSED, "the exchange is not taking orders");
}

static char letter(const request *q, uint32_t tag, char absent)
{
    mm_text t = mm_value(q->m, tag);
    return t.length == 1 ? *t.at : absent;
}

/* What becomes of an order that may have been sent before and is not open: the engine is asked, for it alone knows those that are
 * finished, and the message waits for its answer at the head of the input. */
static enum mm_probe probe(request *q)
{
    mm_gateway *g = q->g;
    mm_connection *c = q->c;
    uint64_t id = q->order.command.cl_ord_id;
    if (c->probe != MM_PROBE_NONE && c->probe_id == id)
        return (enum mm_probe)c->probe;
    mm_order_message question = q->order;
    question.command.op = MM_STATUS;
    question.command.orig_cl_ord_id = id;
    memcpy(question.orig_text, question.text, sizeof question.orig_text);
    question.validated_ns = mm_now_ns();
    if (mm_orders_put(g->pipeline, g->config.gateway, &question, NULL) == MM_PUT_OK) {
        c->probe = MM_PROBE_ASKED;
        c->probe_id = id;
    }
    return MM_PROBE_ASKED;
}

static const char no_such_prevention[] = "SelfMatchPreventionInstruction(8000) is N (cancel newest) or O (oldest)";

/* SelfMatchPreventionInstruction: a tag of ours. False: it is neither. */
static bool read_prevention(request *q)
{
    if (!mm_value(q->m, MM_TAG_SELF_MATCH).length)
        return true;
    char asked = letter(q, MM_TAG_SELF_MATCH, 0);
    if (asked != 'N' && asked != 'O')
        return false;
    q->order.command.smp = asked == 'N' ? MM_SMP_CANCEL_NEWEST : MM_SMP_CANCEL_OLDEST;
    return true;
}

static const char over_the_rate[] = "rate limit: too many orders a second in a warned symbol";

/* Into the ring, counted for the rate. */
static bool put_limited(request *q, int rate)
{
    q->order.command.defer = rate == MM_RATE_DEFER;
    if (!put(q, true))
        return false;
    if (q->was_put)
        mm_gateway_rate_spend(q->g, q->c->session, rate, &q->order.command);
    return true;
}

static bool new_order(request *q)
{
    mm_command *c = &q->order.command;
    char side = letter(q, 54, 0), type = letter(q, 40, 0), tif = letter(q, 59, '0');
    if ((side != '1' && side != '2') || (type != '1' && type != '2') || (tif != '0' && tif != '3'))
        return refuse(q, REJECT_UNSUPPORTED,
                      "only buy and sell, market and limit, day and immediate-or-cancel are offered");
    c->side = side == '1' ? MM_BUY : MM_SELL;
    c->type = type == '2' ? MM_LIMIT : MM_MARKET;
    c->tif = tif == '3' ? MM_IOC : MM_DAY;
    if (!read_prevention(q))
        return refuse(q, REJECT_UNSUPPORTED, no_such_prevention);
    int verdict = read_numbers(q);
    if (verdict != MM_RISK_OK)
        return refuse(q, mm_risk_reject_reason(verdict), mm_risk_text(verdict));
    if (!q->quantified)
        return conditional(q, "OrderQty is required");
    if (c->type == MM_LIMIT && !q->priced)
        return conditional(q, "Price is required for a limit order");
    bool again = mm_is_yes(q->m, 43) || mm_is_yes(q->m, 97);
    if (mm_is_yes(q->m, 43) && mm_risk_knows(q->g->risk, c->cl_ord_id))
        return true; /* 19a: it is here already, and its report is sent again when asked for */
    if (again && mm_pipeline_state(q->g->pipeline) == MM_RUNNING) {
        enum mm_probe found = probe(q);
        if (found == MM_PROBE_ASKED)
            return false;
        q->c->probe = MM_PROBE_NONE;
        if (found == MM_PROBE_KNOWN)
            return true; /* the report of its state was the answer */
    }
    int rate = mm_gateway_rate(q->g, q->c->session, c->symbol);
    if (rate == MM_RATE_REFUSE)
        return refuse(q, REJECT_OTHER, over_the_rate);
    verdict = mm_risk_new(q->g->risk, c, q->price_units, q->shares);
    if (verdict != MM_RISK_OK)
        return refuse(q, mm_risk_reject_reason(verdict), mm_risk_text(verdict));
    mm_risk_owned_by(q->g->risk, c->cl_ord_id, q->c->session);
    return put_limited(q, rate);
}

/* The owner of an order is told where it stands. One that is not open here is for the engine to speak of: it is given a quantity
 * that it always refuses, if it does not refuse before because the order is unknown or finished. False: not now. */
static bool refuse_replace(request *q, int reason, const char *text)
{
    mm_command *c = &q->order.command;
    q->own = mm_risk_find_open(q->g->risk, c->orig_cl_ord_id, c->account, c->symbol);
    if (q->own.known)
        return q->own.order_id && refuse(q, reason, text);
    c->quantity_lots = 0;
    c->price_ticks = MM_ABSENT;
    return put(q, false);
}

static bool replace_order(request *q)
{
    mm_command *c = &q->order.command;
    if (!read_prevention(q))
        return refuse_replace(q, REJECT_UNSUPPORTED, no_such_prevention);
    int verdict = read_numbers(q);
    if (verdict != MM_RISK_OK)
        return refuse_replace(q, mm_risk_reject_reason(verdict), mm_risk_text(verdict));
    if (!q->quantified || !q->priced)
        return conditional(q, "OrderQty and Price are required to replace an order");
    int rate = mm_gateway_rate(q->g, q->c->session, c->symbol);
    if (rate > MM_RATE_WITHIN) /* a replace that waits would leave its order in doubt */
        return refuse_replace(q, REJECT_OTHER, over_the_rate);
    verdict = mm_risk_replace(q->g->risk, c, q->price_units, q->shares);
    if (verdict != MM_RISK_OK)
        return refuse_replace(q, mm_risk_reject_reason(verdict), mm_risk_text(verdict));
    mm_risk_owned_by(q->g->risk, c->cl_ord_id, q->c->session);
    return put_limited(q, rate);
}

static bool mass_cancel(request *q)
{
    char scope = letter(q, 530, 0);
    if (scope != '1' && scope != '7')
        return session_refuse(q, 530, "only MassCancelRequestType 1 (a symbol) and 7 (all orders) are offered");
    if (scope == '7')
        q->order.command.symbol = MM_ALL_SYMBOLS;
    return put(q, false);
}

/* The symbol's number, or MM_ALL_SYMBOLS - 1, which no engine knows: it then refuses cancels of it by its own rules. */
static bool find_symbol(request *q)
{
    mm_command *c = &q->order.command;
    mm_text symbol = mm_value(q->m, 55);
    int32_t number = mm_gateway_symbol(q->g, symbol);
    c->symbol = number < 0 ? MM_ALL_SYMBOLS - 1 : (uint32_t)number;
    return number >= 0;
}

static bool by_type(request *q, char type)
{
    mm_command *c = &q->order.command;
    bool known = find_symbol(q), whole = type == 'q' && letter(q, 530, 0) == '7';
    c->op = type == 'D'   ? MM_NEW
            : type == 'F' ? MM_CANCEL
            : type == 'G' ? MM_REPLACE
            : type == 'H' ? MM_STATUS
                          : MM_MASS_CANCEL;
    if (!mm_value(q->m, 55).length && !whole)
        return conditional(q, "Symbol is required");
    c->cl_ord_id = name(q, 11, q->order.text);
    if (!c->cl_ord_id)
        return session_refuse(q, 11, "ClOrdID is longer than 40 characters");
    mm_risk_expect(q->g->risk, c->cl_ord_id);
    if (type == 'F' || type == 'G') {
        c->orig_cl_ord_id = name(q, 41, q->order.orig_text);
        if (!c->orig_cl_ord_id)
            return session_refuse(q, 41, "OrigClOrdID is longer than 40 characters");
    }
    mm_text account = mm_value(q->m, 1);
    const char *entitled = q->g->accounts[c->account];
    if (account.length && (account.length != strlen(entitled) || memcmp(account.at, entitled, account.length) != 0))
        return refuse(q, REJECT_ACCOUNT, "the account is not this session's");
    if (!known && (type == 'D' || type == 'G'))
        return refuse(q, REJECT_SYMBOL, "unknown symbol");
    if (type == 'H') { /* the request names the order; it has no name of its own but OrdStatusReqID */
        c->orig_cl_ord_id = c->cl_ord_id;
        memcpy(q->order.orig_text, q->order.text, sizeof q->order.orig_text);
    }
    return type == 'D' ? new_order(q) : type == 'G' ? replace_order(q) : type == 'q' ? mass_cancel(q) : put(q, false);
}

bool mm_gateway_application(mm_gateway *g, mm_connection *c, const mm_fix_message *m)
{
    char type = m->bytes[m->fields[2].at];
    g->parsed_ns = c->arrived_ns ? mm_now_ns() : 0;
    if (type == 'j') {
        return true; /* they did not like something of ours: nothing to do */
    }
    request q = {.g = g, .c = c, .m = m};
    q.order.session = c->session;
    q.order.received_ns = c->received_ns;
    q.order.command = (mm_command){.account = g->identities[c->session].account,
                                   .time_ns = g->now_ns,
                                   .price_ticks = MM_ABSENT,
                                   .quantity_lots = MM_ABSENT};
    return by_type(&q, type);
}
