/* Reports to FIX messages, on their way out and again when a session asks; and the restart, which reads them from the audit log. */
#define _DEFAULT_SOURCE
#include "gateway_internal.h"

#include "past_cache.h"
#include "shm.h"
#include "stages.h"

#include <stdio.h>

#define EXPECT_AHEAD 6 /* records of the log: what their reports need is asked for so much earlier */

static const char *const reasons[] = {
    "",
    "unknown symbol",
    "malformed",
    "quantity out of range",
    "price out of range",
    "duplicate ClOrdID",
    "no room",
    "unknown order",
    "too late to cancel",
    "",
    "immediate-or-cancel remainder",
    "no liquidity",
    "self-match prevention",
    "mass cancel",
    "Trading Halted",
    "deferred: above the rate for a warned symbol",
};

static const uint8_t reject_reasons[] = {0, 1, 11, 13, 99, 6, 0, 5,
                                         4, 0, 0,  0,  0,  0, 2}; /* OrdRejReason(103) by mm_reason */
static const uint8_t cancel_reasons[] = {0, 1, 2, 2, 2, 6, 2, 1,
                                         0, 0, 0, 0, 0, 0, 2, 2}; /* CxlRejReason(102) by mm_reason */

static char status_of(const mm_report *r)
{
    static const char by_state[] = {'8', '0', '1', '2', '4'};
    return r->state < sizeof by_state ? by_state[r->state] : '8';
}

/* AvgPx = notional / cum, rounded to four decimals more than a price has; fewer where that would not fit in 63 bits. */
static void put_average(mm_fix_report *out, const mm_report *r, const mm_risk_symbol *s)
{
    __extension__ typedef unsigned __int128 wide;
    if (!r->cum_lots)
        return;
    wide notional = ((wide)r->notional[1] << 64 | r->notional[0]) * (wide)s->tick_units;
    uint32_t extra = 4;
    wide average = (notional * 10000 + r->cum_lots / 2) / r->cum_lots;
    for (; average > (wide)INT64_MAX && extra; extra--)
        average = (average + 5) / 10;
    out->average_units = average > (wide)INT64_MAX ? INT64_MAX : (int64_t)average;
    out->average_extra = (uint8_t)extra;
}

static char exec_type_of(const mm_report *r)
{
    static const char by_kind[] = {
        [MM_EV_ACCEPTED] = '0',  [MM_EV_REJECTED] = '8',        [MM_EV_REPLACED] = '5',       [MM_EV_TRADE] = 'F',
        [MM_EV_CANCELLED] = '4', [MM_EV_CANCEL_REJECTED] = '8', [MM_EV_MASS_CANCELLED] = '4', [MM_EV_STATUS] = 'I'};
    return r->kind < sizeof by_kind ? by_kind[r->kind] : '8';
}

static void put_prices(mm_fix_report *out, const mm_report *r, const mm_risk_symbol *s)
{
    out->price_digits = (uint8_t)s->price_digits;
    out->lot_size = (uint64_t)s->lot_size;
    out->has_price = r->limit_ticks != MM_ABSENT && r->type == MM_LIMIT && r->limit_ticks != 0;
    out->price_units = out->has_price ? r->limit_ticks * s->tick_units : 0;
    out->has_last = r->kind == MM_EV_TRADE;
    out->last_units = out->has_last ? r->last_ticks * s->tick_units : 0;
    out->last_lots = r->last_lots;
    put_average(out, r, s);
}

static void to_fix(const mm_gateway *g, const mm_report *r, mm_fix_report *out)
{
    static const mm_risk_symbol nothing = {.tick_units = 1, .lot_size = 1};
    const mm_risk_symbol *s = mm_risk_symbol_at(g->risk, r->symbol);
    uint8_t reason = r->reason < sizeof reasons / sizeof *reasons ? r->reason : 0;
    bool refused = r->kind == MM_EV_REJECTED, ended = r->kind == MM_EV_CANCELLED || refused;
    *out = (mm_fix_report){.exec_type = exec_type_of(r),
                           .ord_status = refused ? '8' : status_of(r),
                           .side = r->side == MM_SELL ? '2' : '1',
                           .ord_type = r->type == MM_MARKET ? '1' : '2',
                           .time_in_force = r->tif == MM_IOC ? '3' : '0',
                           .cl_ord_id = r->text,
                           .orig = r->orig_text,
                           .symbol = s ? s->name : "?",
                           .account = g->accounts[r->account],
                           .text = reasons[reason],
                           .text_length = (uint8_t)strlen(reasons[reason]),
                           .order_id = r->order_id,
                           .exec_id = r->key,
                           .transact_ns = r->time_ns,
                           .order_lots = r->order_lots,
                           .leaves_lots = ended ? 0 : r->leaves_lots,
                           .cum_lots = r->cum_lots,
                           .has_reason = refused,
                           .reject_reason = reason < sizeof reject_reasons ? reject_reasons[reason] : 99};
    out->cl_ord_id_length = (uint8_t)strnlen(r->text, 40);
    out->orig_length = (uint8_t)strnlen(r->orig_text, 40);
    out->symbol_length = (uint8_t)strnlen(out->symbol, 24);
    out->account_length = (uint8_t)strnlen(out->account, 64);
    put_prices(out, r, s ? s : &nothing);
    if (r->kind == MM_EV_STATUS)
        out->orig_length = 0; /* the order's name is ClOrdID */
    if (r->kind == MM_EV_CANCEL_REJECTED) {
        out->cancel_response = r->op == MM_REPLACE ? '2' : '1';
        out->has_reason = 1;
        out->reject_reason = reason < sizeof cancel_reasons ? cancel_reasons[reason] : 99;
    }
}

/* OrderMassCancelReport(r): not an ExecutionReport, so it is kept in the journal like the gateway's own words. */
static uint32_t mass_cancel_fields(const mm_gateway *g, mm_fix_envelope *e, const mm_report *r, char *out)
{
    bool all = r->symbol == MM_ALL_SYMBOLS, refused = r->kind == MM_EV_CANCEL_REJECTED;
    const mm_risk_symbol *s = mm_risk_symbol_at(g->risk, r->symbol);
    char *at = put_uint(PUT(out, "37="), r->key);
    at = put_text(PUT(at, "\00111="), r->text, (uint32_t)strnlen(r->text, 40));
    at = all ? PUT(at, "\001530=7\001531=") : PUT(at, "\001530=1\001531=");
    *at++ = refused ? '0' : all ? '7' : '1';
    at = refused ? PUT(at, "\001532=1") : put_uint(PUT(at, "\001533="), r->last_lots);
    if (s)
        at = put_text(PUT(at, "\00155="), s->name, (uint32_t)strnlen(s->name, 24));
    at = mm_fix_put_utc(e, PUT(at, "\00160="), r->time_ns);
    *at++ = 1;
    return (uint32_t)(at - out);
}

static bool is_mass(const mm_report *r)
{
    return r->op == MM_MASS_CANCEL && (r->kind == MM_EV_MASS_CANCELLED || r->kind == MM_EV_CANCEL_REJECTED);
}

static void tell_mass(mm_gateway *g, mm_identity *id, const mm_report *r)
{
    char fields[272] = "97=Y\001";
    mm_fix_envelope scratch = {.second = UINT64_MAX};
    uint32_t again = r->key <= id->again_key ? 5 : 0, n = again + mass_cancel_fields(g, &scratch, r, fields + again);
    if (id->connection)
        mm_session_send(&id->connection->fix, "r", fields, n, g->now_ns);
    else
        mm_fix_store_keep_fields(&id->store, "r", fields, n, g->now_ns);
    id->store.numbers->last_key = r->key;
}

/* The engine's answer about an order that may have been sent before. True: nobody else is told, for it is new. */
static bool is_answer_to_probe(mm_identity *id, const mm_report *r)
{
    mm_connection *c = id->connection;
    if (!c || c->probe != MM_PROBE_ASKED || r->kind != MM_EV_STATUS || r->cl_ord_id != c->probe_id)
        return false;
    c->probe = r->state == MM_UNKNOWN ? MM_PROBE_UNKNOWN : MM_PROBE_KNOWN;
    if (c->probe == MM_PROBE_UNKNOWN)
        id->store.numbers->last_key = r->key;
    return c->probe == MM_PROBE_UNKNOWN;
}

/* Numbers a report for its session, and sends it when the session is there. */
static void tell(mm_gateway *g, const mm_report *r)
{
    mm_identity *id = r->session < g->config.max_sessions ? &g->identities[r->session] : NULL;
    if (id && g->config.follow)
        id->seen_key = r->key;
    if (!id || !id->known || r->key <= id->sent_key || r->account >= g->n_accounts)
        return;
    if (is_answer_to_probe(id, r))
        return;
    g->counters.reports++;
    if (is_mass(r))
        tell_mass(g, id, r);
    else if (id->connection) {
        mm_fix_report out;
        to_fix(g, r, &out);
        mm_session_report(&id->connection->fix, r->key, &out, g->now_ns);
    } else {
        mm_fix_store_keep(&id->store, r->key, r->key <= id->again_key, g->now_ns);
        g->counters.reports_kept++;
    }
    if (id->connection)
        mm_gateway_mark_dirty(g, id->connection);
}

/* `last_key`: up to which reports are taken now. */
static void take(mm_gateway *g, const mm_report *r, uint64_t last_key)
{
    if (r->key <= g->applied_key)
        return; /* read from the log already */
    g->applied_key = r->key;
    mm_risk_apply(g->risk, r);
    if ((last_key >> 1) - (r->key >> 1) <
        g->config.recent_reports) /* else it has no place among the recent ones at the end */
        mm_copy_past_cache(&g->recent[(r->key >> 1) & (g->config.recent_reports - 1)], r, sizeof *r);
    if (!mm_gateway_take_trading(g, r))
        tell(g, r);
}

/* --- stages --- */

void mm_gateway_measure(mm_gateway *g, mm_stages *stages)
{
    g->stages = stages;
}

/* The row of its records being visible; the one after it is of its being sent. -1: no diagram has a budget for it. */
static int stage_of(const mm_report *r)
{
    bool ioc = r->cause_type == MM_LIMIT && r->cause_tif == MM_IOC;
    if (r->op == MM_CANCEL)
        return r->kind == MM_EV_CANCELLED ? MM_STAGE_AUDIT_CANCEL : -1;
    if (r->op != MM_NEW)
        return -1;
    if (r->kind == MM_EV_TRADE)
        return r->cause_type == MM_MARKET ? MM_STAGE_AUDIT_MARKET : ioc ? MM_STAGE_AUDIT_IOC : MM_STAGE_AUDIT_LIMIT;
    if (r->kind == MM_EV_CANCELLED && ioc)
        return MM_STAGE_AUDIT_IOC;
    return r->kind == MM_EV_ACCEPTED && r->cause_type == MM_LIMIT && !ioc ? MM_STAGE_AUDIT_ACCEPTED : -1;
}

static void measure(mm_gateway *g, const mm_report *r)
{
    if (r->matched_ns != g->measured_ns) /* its batch is visible at one instant */
        mm_stage_span(&g->stages->rows[MM_STAGE_COPY], r->matched_ns, r->reported_ns, 1);
    g->measured_ns = r->matched_ns;
    int stage = stage_of(r);
    if (stage < 0)
        return;
    mm_stage_span(&g->stages->rows[stage], r->received_ns, r->reported_ns, 1);
    if (r->session < g->config.max_sessions && g->identities[r->session].connection)
        g->sending[g->n_sending++] = (mm_on_its_way){r->received_ns, (uint32_t)stage + 1};
}

void mm_gateway_count_sent(mm_gateway *g)
{
    uint64_t now = g->n_sending ? mm_now_ns() : 0;
    for (uint32_t i = 0; i < g->n_sending; i++)
        mm_stage_span(&g->stages->rows[g->sending[i].stage], g->sending[i].received_ns, now, 1);
    g->n_sending = 0;
}

/* --- the audit log --- */

static const mm_audit_record *in_map(const mm_gateway *g, uint64_t sequence)
{
    if (!g->log_open || sequence < g->log.header->first_sequence)
        return NULL;
    uint64_t at = sequence - g->log.header->first_sequence;
    return at < g->log.capacity && g->log.records[at].sequence == sequence ? &g->log.records[at] : NULL;
}

static const mm_audit_record *read_record(mm_gateway *g, uint64_t sequence, mm_fault *fault)
{
    const mm_audit_record *found = in_map(g, sequence);
    if (found)
        return found;
    mm_audit_files files;
    if (mm_audit_list(&files, g->config.log_directory, fault))
        return NULL;
    uint64_t i = files.n;
    while (i && files.first[i - 1] > sequence)
        i--;
    if (g->log_open)
        mm_audit_map_close(&g->log);
    g->log_open = i && !mm_audit_map_open(&g->log, &files, i - 1, fault);
    mm_audit_files_free(&files);
    return in_map(g, sequence);
}

/* The record of the command that caused an event: it lies before it. */
static const mm_audit_record *command_of(mm_gateway *g, uint64_t sequence, mm_audit_record *copy)
{
    mm_fault fault;
    while (sequence--) {
        const mm_audit_record *r = sequence ? read_record(g, sequence, &fault) : NULL;
        if (!r)
            return NULL;
        if (r->kind == MM_RECORD_COMMAND) {
            *copy = *r;
            return copy;
        }
    }
    return NULL;
}

/* Of a record that will be read soon: what its report needs of the balances. */
static void expect_record(const mm_gateway *g, uint64_t sequence)
{
    const mm_audit_record *r = in_map(g, sequence);
    if (!r || r->kind != MM_RECORD_EVENT)
        return;
    mm_risk_expect(g->risk, r->event.cl_ord_id);
    if (r->event.kind == MM_EV_TRADE)
        mm_risk_expect(g->risk, r->event.other_cl_ord_id);
}

/* Takes the reports after applied_key up to to_key from the log. Their records must be durable. */
int mm_gateway_catch_up(mm_gateway *g, uint64_t to_key, mm_fault *fault)
{
    mm_audit_record command = {0};
    g->now_ns = mm_wall_ns();
    for (uint64_t sequence = g->applied_key / 2 + 1; sequence <= to_key / 2; sequence++) {
        const mm_audit_record *r = read_record(g, sequence, fault);
        mm_report report;
        expect_record(g, sequence + EXPECT_AHEAD);
        if (!r) {
            snprintf(fault->text, sizeof fault->text,
                     "audit log %s has no record %llu: the gateway cannot know what its sessions were owed",
                     g->config.log_directory, (unsigned long long)sequence);
            return -1;
        }
        if (r->kind == MM_RECORD_COMMAND)
            command = *r;
        for (int resting = 0; resting < 2; resting++)
            if (mm_report_of_record(r, command.sequence ? &command : NULL, resting, &report) &&
                (report.gateway == g->config.gateway || report.kind == MM_EV_STATE)) {
                take(g, &report, to_key);
                g->counters.lost_reports_recovered++;
            }
    }
    g->applied_key = to_key > g->applied_key ? to_key : g->applied_key;
    return 0;
}

static void tell_again(mm_gateway *g, const mm_report *r)
{
    if (r->kind == MM_EV_STATE)
        mm_gateway_tell_state(g, r);
    else if (r->gateway == g->config.gateway && r->kind != MM_EV_RELEASED && r->kind != MM_EV_STATE_REFUSED)
        tell(g, r);
}

static int tell_after(mm_gateway *g, uint64_t key, mm_fault *fault)
{
    mm_audit_record command = {0};
    g->now_ns = mm_wall_ns();
    command_of(g, key / 2 + 1, &command);
    for (uint64_t sequence = key / 2; sequence <= g->applied_key / 2; sequence++) {
        const mm_audit_record *r = sequence ? read_record(g, sequence, fault) : NULL;
        mm_report report;
        if (!r && sequence)
            return mm_fault_set(fault, 0,
                                "audit log %s has no record %llu: the gateway cannot know what its sessions were owed",
                                g->config.log_directory, (unsigned long long)sequence);
        if (r && r->kind == MM_RECORD_COMMAND)
            command = *r;
        for (int resting = 0; r && resting < 2; resting++)
            if (mm_report_of_record(r, command.sequence ? &command : NULL, resting, &report) && report.key > key)
                tell_again(g, &report);
    }
    return 0;
}

int mm_gateway_tell_owed(mm_gateway *g, mm_fault *fault)
{
    uint64_t from = UINT64_MAX;
    for (uint32_t i = 0; i < g->config.max_sessions; i++) {
        const mm_identity *id = &g->identities[i];
        if (id->known && id->sent_key < id->seen_key && id->sent_key < from)
            from = id->sent_key;
    }
    return from == UINT64_MAX ? 0 : tell_after(g, from, fault);
}

/* Reports that the engine dropped while this ring was full: read from the log once they are there. True when none are owed. */
static bool recover_lost(mm_gateway *g)
{
    mm_fault fault;
    if (!g->resume_key && mm_reports_lost_from(g->pipeline, g->config.gateway))
        g->resume_key = mm_reports_resume(g->pipeline, g->config.gateway);
    if (!g->resume_key)
        return true;
    if (mm_pipeline_durable_sequence(g->pipeline) < (g->resume_key - 1) / 2)
        return false;
    if (mm_gateway_catch_up(g, g->resume_key - 1, &fault)) {
        snprintf(g->failure, sizeof g->failure, "%s", fault.text);
        return false;
    }
    g->resume_key = 0;
    return true;
}

uint32_t mm_gateway_take_reports(mm_gateway *g)
{
    const mm_report *first;
    if (g->resume_key && !recover_lost(g))
        return 0;
    uint64_t n = mm_reports_peek(g->pipeline, g->config.gateway, &first, MM_REPORTS_AT_ONCE);
    for (uint64_t i = 0; i < n; i++) {
        bool fresh = first[i].key > g->applied_key;
        mm_risk_expect(g->risk, first[i + 6 < n ? i + 6 : i].cl_ord_id);
        take(g, &first[i], first[i].key);
        if (fresh && g->stages)
            measure(g, &first[i]);
    }
    if (n)
        mm_reports_release(g->pipeline, g->config.gateway, n);
    else
        recover_lost(g);
    return (uint32_t)n;
}

bool mm_gateway_resend(mm_gateway *g, mm_connection *c)
{
    uint64_t key = c->fix.wanted_key;
    mm_report report = g->recent[(key >> 1) & (g->config.recent_reports - 1)];
    mm_audit_record command;
    mm_fix_report out;
    mm_fault fault;
    bool found = report.key == key;
    if (!found && mm_pipeline_durable_sequence(g->pipeline) < key / 2)
        return false; /* in a moment */
    const mm_audit_record *r = found ? NULL : read_record(g, key / 2, &fault);
    if (r) {
        mm_audit_record event = *r;
        found = mm_report_of_record(&event, command_of(g, key / 2, &command), (int)(key & 1), &report);
    }
    found = found && report.session == c->session && report.account < g->n_accounts;
    if (found)
        to_fix(g, &report, &out);
    out.poss_resend = c->fix.wanted_again;
    mm_session_resend_report(&c->fix, found ? &out : NULL, g->now_ns);
    return true;
}
