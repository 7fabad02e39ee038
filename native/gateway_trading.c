/* Trading states in the gateway: every session is told of a warning, a halt and their ends; and while a symbol is warned, the rate of
 * orders of each session is limited, by refusal or by deferral.
 *
 * A deferred order is the engine's, which has accepted it; here is only whose turn is next. Queues hold what was put with the mark
 * and is not decided, oldest first, and are made again from the log after a restart. */
#define _DEFAULT_SOURCE
#include "gateway_internal.h"

#include <stdio.h>
#include <stdlib.h>

#define SECOND_NS UINT64_C(1000000000)

enum { STATUS_HALT = 2, STATUS_RESUME = 3, STATUS_READY = 17, STATUS_FAST = 23 }; /* SecurityTradingStatus(326) */

int mm_gateway_make_trading(mm_gateway *g)
{
    g->states = calloc(g->n_symbols + 1u, sizeof *g->states);
    g->trading = calloc(g->n_symbols + 1u, sizeof *g->trading);
    g->waiting_orders = calloc(MM_DEFERRED_MAX + 1u, sizeof *g->waiting_orders);
    g->releasing = calloc(g->config.max_sessions, sizeof *g->releasing);
    return g->states && g->trading && g->waiting_orders && g->releasing;
}

/* --- who is told --- */

static const char *words_of(const mm_report *r, int *status)
{
    *status = r->state == MM_HALTED   ? STATUS_HALT
              : r->state == MM_WARNED ? STATUS_FAST
              : r->side == MM_HALTED  ? STATUS_RESUME
                                      : STATUS_READY;
    return *status == STATUS_HALT     ? "Trading Halted"
           : *status == STATUS_FAST   ? "Warning, orders are limited in rate"
           : *status == STATUS_RESUME ? "Trading Resumed"
                                      : "Warning ended";
}

/* SecurityStatus(f): the symbol, its state, why and by whom, the last price. */
static uint32_t status_fields(const mm_gateway *g, const mm_report *r, char out[MM_FIX_REPORT_ROOM])
{
    const mm_risk_symbol *s = mm_risk_symbol_at(g->risk, r->symbol);
    mm_fix_envelope scratch = {.second = UINT64_MAX};
    char text[160];
    int status, n;
    const char *words = words_of(r, &status);
    n = snprintf(text, sizeof text, "%s: %.40s (%.40s)", words, r->orig_text, r->text);
    char *at = put_text(PUT(out, "55="), s->name, (uint32_t)strnlen(s->name, 24));
    at = put_uint(PUT(at, "\001325=Y\001326="), (uint64_t)status);
    if (r->last_ticks > 0)
        at = put_decimal(PUT(at, "\00131="), r->last_ticks * s->tick_units, s->price_digits);
    at = put_text(PUT(at, "\00158="), text, (uint32_t)n);
    at = mm_fix_put_utc(&scratch, PUT(at, "\00160="), r->time_ns);
    *at++ = 1;
    return (uint32_t)(at - out);
}

static void tell_one(mm_gateway *g, mm_identity *id, const char *fields, uint32_t n)
{
    if (id->connection) {
        mm_session_send(&id->connection->fix, "f", fields, n, g->now_ns);
        mm_gateway_mark_dirty(g, id->connection);
    } else
        mm_fix_store_keep_fields(&id->store, "f", fields, n, g->now_ns);
}

void mm_gateway_tell_state(mm_gateway *g, const mm_report *r)
{
    char fields[MM_FIX_REPORT_ROOM];
    uint32_t n = status_fields(g, r, fields);
    for (uint32_t i = 0; i < g->config.max_sessions; i++) {
        mm_identity *id = &g->identities[i];
        if (g->config.follow) {
            id->seen_key = r->key; /* it is owed it, when this gateway takes over */
            continue;
        }
        if (!__atomic_load_n(&id->known, __ATOMIC_ACQUIRE) || id->unmet || r->key <= id->sent_key)
            continue;
        tell_one(g, id, fields, n);
        id->store.numbers->last_key = r->key;
    }
}

/* What happened while it was away is in its numbers and comes with the resend that it asks for; of the rest it is told now. */
void mm_gateway_tell_states(mm_gateway *g, mm_identity *id, bool numbers_were_reset)
{
    char fields[MM_FIX_REPORT_ROOM];
    for (uint32_t s = 0; g->n_unusual && s < g->n_symbols; s++) {
        const mm_report *r = &g->states[s];
        if (g->trading[s] != MM_OPEN && (id->unmet || numbers_were_reset || r->key <= id->gone_key))
            tell_one(g, id, fields, status_fields(g, r, fields));
    }
    id->unmet = 0;
    if (id->store.numbers->last_key < g->applied_key) /* all up to it that is this session's was numbered */
        id->store.numbers->last_key = g->applied_key;
}

/* --- the rate --- */

/* Tokens as nanoseconds of the rate: a token is 1 s / rate, and a second's worth of them can be saved up. */
static uint64_t token_ns(const mm_gateway *g)
{
    return SECOND_NS / g->config.rate_per_s;
}

static bool has_token(const mm_gateway *g, mm_identity *id, uint64_t now)
{
    if (now - id->tokens_from_ns > SECOND_NS)
        id->tokens_from_ns = now - SECOND_NS;
    return now - id->tokens_from_ns >= token_ns(g);
}

int mm_gateway_rate(mm_gateway *g, uint32_t session, uint32_t symbol)
{
    mm_identity *id = &g->identities[session];
    if (__builtin_expect(!g->n_unusual, 1) || g->trading[symbol] != MM_WARNED || !g->config.rate_per_s)
        return MM_RATE_FREE;
    if (!id->first_waiting && has_token(g, id, mm_now_ns()))
        return MM_RATE_WITHIN;
    return g->config.rate_defers && (g->free_waiting || g->fresh_waiting < MM_DEFERRED_MAX) ? MM_RATE_DEFER
                                                                                            : MM_RATE_REFUSE;
}

static void push(mm_gateway *g, uint32_t session, uint64_t cl_ord_id, uint32_t symbol)
{
    mm_identity *id = &g->identities[session];
    uint32_t n = g->free_waiting ? g->free_waiting : ++g->fresh_waiting;
    if (n == g->free_waiting)
        g->free_waiting = g->waiting_orders[n].next;
    g->waiting_orders[n] = (mm_waiting_order){.cl_ord_id = cl_ord_id, .symbol = symbol};
    if (id->first_waiting)
        g->waiting_orders[id->last_waiting].next = n;
    else
        id->first_waiting = n;
    id->last_waiting = n;
    if (!id->releasing)
        g->releasing[g->n_releasing++] = session;
    id->releasing = 1;
}

void mm_gateway_rate_spend(mm_gateway *g, uint32_t session, int rate, const mm_command *c)
{
    if (rate == MM_RATE_WITHIN)
        g->identities[session].tokens_from_ns += token_ns(g);
    else if (rate == MM_RATE_DEFER)
        push(g, session, c->cl_ord_id, c->symbol);
}

/* The place of the order in its session's queue and of the one before it; 0 when it is in none. */
static uint32_t find(const mm_gateway *g, const mm_identity *id, uint64_t cl_ord_id, uint32_t *before)
{
    uint32_t n = id->first_waiting;
    *before = 0;
    while (n && g->waiting_orders[n].cl_ord_id != cl_ord_id) {
        *before = n;
        n = g->waiting_orders[n].next;
    }
    return n;
}

static void drop(mm_gateway *g, mm_identity *id, uint64_t cl_ord_id)
{
    uint32_t before, n = find(g, id, cl_ord_id, &before);
    if (!n)
        return;
    uint32_t next = g->waiting_orders[n].next;
    *(before ? &g->waiting_orders[before].next : &id->first_waiting) = next;
    if (!next)
        id->last_waiting = before;
    g->waiting_orders[n].next = g->free_waiting;
    g->free_waiting = n;
}

/* Asks for the decision of a session's first deferred order when its turn has come. An end of the warning decides all, without us. */
static bool release_first(mm_gateway *g, uint32_t session)
{
    mm_identity *id = &g->identities[session];
    mm_waiting_order *w = &g->waiting_orders[id->first_waiting];
    if (w->asked || g->trading[w->symbol] != MM_WARNED || !has_token(g, id, mm_now_ns()))
        return false;
    mm_order_message o = {.session = session, .received_ns = mm_now_ns()};
    o.command = (mm_command){.op = MM_RELEASE,
                             .account = id->account,
                             .symbol = w->symbol,
                             .time_ns = g->now_ns,
                             .cl_ord_id = w->cl_ord_id,
                             .orig_cl_ord_id = w->cl_ord_id,
                             .price_ticks = MM_ABSENT,
                             .quantity_lots = MM_ABSENT};
    o.validated_ns = o.received_ns;
    if (mm_orders_put(g->pipeline, g->config.gateway, &o, NULL) != MM_PUT_OK)
        return false;
    w->asked = 1;
    id->tokens_from_ns += token_ns(g);
    return true;
}

uint32_t mm_gateway_release(mm_gateway *g)
{
    uint32_t released = 0;
    for (uint32_t i = 0; !g->config.follow && i < g->n_releasing;) {
        mm_identity *id = &g->identities[g->releasing[i]];
        if (id->first_waiting) {
            released += release_first(g, g->releasing[i++]);
            continue;
        }
        id->releasing = 0;
        g->releasing[i] = g->releasing[--g->n_releasing];
    }
    return released;
}

/* --- what the engine says --- */

static void take_state(mm_gateway *g, const mm_report *r)
{
    if (r->symbol >= g->n_symbols)
        return;
    g->n_unusual = g->n_unusual - (g->trading[r->symbol] != MM_OPEN) + (r->state != MM_OPEN);
    g->trading[r->symbol] = r->state;
    g->states[r->symbol] = *r;
    mm_gateway_tell_state(g, r);
}

bool mm_gateway_take_trading(mm_gateway *g, const mm_report *r)
{
    if (r->kind == MM_EV_STATE) {
        take_state(g, r);
        return true;
    }
    bool ours = r->kind == MM_EV_RELEASED || r->kind == MM_EV_STATE_REFUSED;
    mm_identity *id = r->session < g->config.max_sessions ? &g->identities[r->session] : NULL;
    if (!id)
        return ours;
    uint32_t before;
    bool deferred = r->kind == MM_EV_ACCEPTED && r->reason == MM_REASON_DEFERRED;
    if (deferred && !find(g, id, r->cl_ord_id, &before))
        push(g, r->session, r->cl_ord_id, r->symbol); /* put before a restart */
    if (!deferred && id->first_waiting)
        drop(g, id, r->kind == MM_EV_CANCELLED && r->op == MM_CANCEL ? r->orig_cl_ord_id : r->cl_ord_id);
    return ours;
}
