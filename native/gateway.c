/* The gateway's life: what it is made of, its sessions, and logons, which the control thread decides on. */
#define _DEFAULT_SOURCE
#include "gateway_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define LOG_STANDS_NS UINT64_C(30000000000)

uint64_t mm_wall_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int fail(mm_fault *fault, int code, const char *text, const char *detail)
{
    fault->code = code;
    snprintf(fault->text, sizeof fault->text, "%s%s%s", text, detail ? ": " : "", detail ? detail : "");
    return -1;
}

/* --- names --- */

#define ROTL(x, b) ((x) << (b) | (x) >> (64 - (b)))
#define SIP_ROUND(v)                                                                                                   \
    do {                                                                                                               \
        v[0] += v[1], v[1] = ROTL(v[1], 13) ^ v[0], v[0] = ROTL(v[0], 32);                                             \
        v[2] += v[3], v[3] = ROTL(v[3], 16) ^ v[2];                                                                    \
        v[0] += v[3], v[3] = ROTL(v[3], 21) ^ v[0];                                                                    \
        v[2] += v[1], v[1] = ROTL(v[1], 17) ^ v[2], v[2] = ROTL(v[2], 32);                                             \
    } while (0)

static void sip_word(uint64_t v[4], uint64_t word)
{
    v[3] ^= word;
    SIP_ROUND(v);
    SIP_ROUND(v);
    v[0] ^= word;
}

/* SipHash-2-4 of the account as eight bytes, little-endian, and then the text. */
uint64_t mm_cl_ord_id_hash(const uint64_t key[2], uint32_t account, const char *text, uint32_t length)
{
    uint64_t v[4] = {key[0] ^ UINT64_C(0x736f6d6570736575), key[1] ^ UINT64_C(0x646f72616e646f6d),
                     key[0] ^ UINT64_C(0x6c7967656e657261), key[1] ^ UINT64_C(0x7465646279746573)};
    sip_word(v, account);
    uint32_t at = 0;
    for (; length - at >= 8; at += 8) {
        uint64_t word;
        memcpy(&word, text + at, 8);
        sip_word(v, word);
    }
    uint64_t last = (uint64_t)(length + 8) << 56;
    for (uint32_t i = 0; at + i < length; i++)
        last |= (uint64_t)(unsigned char)text[at + i] << 8 * i;
    sip_word(v, last);
    v[2] ^= 0xff;
    for (int i = 0; i < 4; i++)
        SIP_ROUND(v);
    uint64_t hash = v[0] ^ v[1] ^ v[2] ^ v[3];
    return hash ? hash : 1;
}

static uint32_t name_hash(mm_text name)
{
    uint32_t h = 2166136261u;
    for (uint32_t i = 0; i < name.length; i++)
        h = (h ^ (unsigned char)name.at[i]) * 16777619u;
    return h ^ h >> 15;
}

static bool is_symbol(const mm_gateway *g, uint32_t symbol, mm_text name)
{
    const char *known = mm_risk_symbol_at(g->risk, symbol)->name;
    return name.length <= 24 && strnlen(known, 24) == name.length && !memcmp(known, name.at, name.length);
}

int32_t mm_gateway_symbol(const mm_gateway *g, mm_text name)
{
    for (uint32_t at = name_hash(name) & g->symbol_mask; g->symbol_map[at]; at = (at + 1) & g->symbol_mask)
        if (is_symbol(g, g->symbol_map[at] - 1, name))
            return (int32_t)(g->symbol_map[at] - 1);
    return -1;
}

static bool map_symbols(mm_gateway *g)
{
    while (mm_risk_symbol_at(g->risk, g->n_symbols))
        g->n_symbols++;
    g->symbol_mask = 16;
    while (g->symbol_mask < g->n_symbols * 2)
        g->symbol_mask *= 2;
    g->symbol_map = calloc(g->symbol_mask, sizeof *g->symbol_map);
    g->symbol_mask--;
    for (uint32_t s = 0; g->symbol_map && s < g->n_symbols; s++) {
        const char *name = mm_risk_symbol_at(g->risk, s)->name;
        uint32_t at = name_hash((mm_text){name, (uint32_t)strnlen(name, 24)}) & g->symbol_mask;
        while (g->symbol_map[at])
            at = (at + 1) & g->symbol_mask;
        g->symbol_map[at] = s + 1;
    }
    return g->symbol_map != NULL;
}

static bool name_accounts(mm_gateway *g, const char *names)
{
    size_t bytes = 0;
    for (uint32_t i = 0; i < g->n_accounts; i++)
        bytes += strlen(names + bytes) + 1;
    g->account_text = malloc(bytes + 1);
    g->accounts = malloc((g->n_accounts + 1u) * sizeof *g->accounts);
    if (!g->account_text || !g->accounts)
        return false;
    memcpy(g->account_text, names, bytes);
    const char *at = g->account_text;
    for (uint32_t i = 0; i < g->n_accounts; i++, at += strlen(at) + 1)
        g->accounts[i] = at;
    return true;
}

/* --- life --- */

static bool make_rooms(mm_gateway *g)
{
    const mm_gateway_config *c = &g->config;
    g->identities = calloc(c->max_sessions, sizeof *g->identities);
    g->connections = calloc(c->max_connections, sizeof *g->connections);
    g->outputs = calloc(c->max_connections, c->session.output_bytes);
    g->recent = aligned_alloc(64, c->recent_reports * sizeof *g->recent);
    g->dirty = calloc(c->max_connections, sizeof *g->dirty);
    g->waiting = calloc(c->max_connections, sizeof *g->waiting);
    if (!mm_gateway_make_trading(g))
        return false;
    if (!g->identities || !g->connections || !g->outputs || !g->recent || !g->dirty || !g->waiting)
        return false;
    memset(g->recent, 0, c->recent_reports * sizeof *g->recent);
    g->oldest = g->newest = MM_NO_PLACE;
    for (uint32_t i = 0; i < c->max_connections; i++) {
        g->connections[i].fd = -1;
        g->connections[i].newer = i + 1 < c->max_connections ? i + 1 : MM_NO_PLACE;
        mm_session_create(&g->connections[i].fix, &g->config.session,
                          g->outputs + (uint64_t)i * c->session.output_bytes);
    }
    return true;
}

mm_gateway *mm_gateway_make(mm_pipeline *p, const mm_gateway_config *config, mm_risk *risk, const char *account_names,
                            uint32_t n_accounts, mm_fault *fault)
{
    if (!config->max_connections || !config->max_sessions || config->session.output_bytes < 4 * MM_FIX_REPORT_ROOM ||
        !config->recent_reports || (config->recent_reports & (config->recent_reports - 1)) ||
        !config->session.dictionary) {
        fail(fault, EINVAL, "gateway configuration out of range", NULL);
        return NULL;
    }
    if (config->carrier && config->carrier->version != MM_CARRIER_VERSION) {
        fail(fault, EINVAL, "the carrier was built for another version of the gateway: build both again", NULL);
        return NULL;
    }
    if (mm_gateway_join(p, config->gateway, fault))
        return NULL;
    mm_gateway *g = calloc(1, sizeof *g);
    if (g) {
        g->config = *config;
        g->pipeline = p;
        g->risk = risk;
        g->n_accounts = n_accounts;
        g->carrier = config->carrier;
        g->listening = 1;
        g->local_exec_id = UINT64_C(1) << 62 | mm_wall_ns(); /* above every key, and rising over restarts */
    }
    bool made = g && name_accounts(g, account_names) && map_symbols(g) && make_rooms(g);
    if (made) {
        g->way_stage = g->carrier ? MM_STAGE_PORT_READY : MM_STAGE_KERNEL_READY;
        if (!g->carrier)
            g->carrier = mm_tcp_carrier(config->listen_fd);
    }
    if (!made || !g->carrier) {
        fail(fault, ENOMEM, "no memory for the gateway: lower max_connections or output_bytes", NULL);
        mm_gateway_leave(p, config->gateway);
        if (g)
            g->pipeline = NULL;
        mm_gateway_close(g);
        return NULL;
    }
    return g;
}

int mm_gateway_add_session(mm_gateway *g, uint32_t session, const char *sender, uint32_t account,
                           const char *store_path, mm_fault *fault)
{
    if (session >= g->config.max_sessions || account >= g->n_accounts || strlen(sender) > 64)
        return fail(fault, EINVAL, "session, account or SenderCompID out of range", sender);
    mm_identity *id = &g->identities[session];
    char why[256];
    if (mm_fix_store_open(&id->store, store_path, sender, g->config.store_capacity, g->config.store_journal_bytes, why))
        return fail(fault, EIO, why, NULL);
    if (mm_gateway_settle_store(g, id, store_path, fault)) {
        mm_fix_store_close(&id->store);
        return -1;
    }
    snprintf(id->sender, sizeof id->sender, "%s", sender);
    id->account = account;
    id->sent_key = id->gone_key = mm_fix_store_last_key(&id->store);
    id->unmet = id->store.numbers->next_out == 1 && id->store.numbers->next_in == 1;
    __atomic_store_n(&id->known, 1, __ATOMIC_RELEASE);
    return 0;
}

/* All that is visible now must be on disk first: a killed predecessor may have taken reports of records that the disk did not
 * have yet, and neither the ring nor the log up to the durable mark would tell of them again. A disk may be slow, so what counts
 * is that the log grows. */
static int await_log(mm_gateway *g, uint64_t *durable, mm_fault *fault)
{
    mm_pipeline_status now;
    mm_pipeline_status_of(g->pipeline, &now);
    uint64_t needed = now.sequence, grew_ns = mm_now_ns();
    *durable = now.durable_sequence;
    while (*durable < needed && now.state != MM_FAILED && !now.fenced_by && mm_now_ns() - grew_ns < LOG_STANDS_NS) {
        usleep(1000);
        mm_pipeline_status_of(g->pipeline, &now);
        if (now.durable_sequence > *durable)
            grew_ns = mm_now_ns();
        *durable = now.durable_sequence;
    }
    if (*durable >= needed)
        return 0;
    return mm_fault_set(
        fault, EAGAIN,
        "the audit log ends at record %llu and this gateway must read up to %llu: is the audit writer running? "
        "It was seen %llu ms ago; %s",
        (unsigned long long)*durable, (unsigned long long)needed,
        (unsigned long long)((mm_now_ns() - now.writer_beat_ns) / 1000000),
        now.fenced_by            ? "another member is primary"
        : now.state == MM_FAILED ? now.failure
                                 : "the exchange has not failed");
}

int mm_gateway_open(mm_gateway *g, mm_fault *fault)
{
    uint64_t durable;
    if (await_log(g, &durable, fault))
        return -1;
    if (mm_gateway_tell_owed(g, fault) || mm_gateway_catch_up(g, 2 * durable + 1, fault))
        return -1;
    if (mm_gateway_keep(g)) /* a session may have been owed more than it had numbers for */
        return fail(fault, EIO, "session stores cannot be flushed", NULL);
    return mm_gateway_listen(g) ? fail(fault, errno, "the gateway cannot listen", strerror(errno)) : 0;
}

void mm_gateway_drive(mm_gateway *g, mm_engine_loop *engine)
{
    g->engine = engine;
}

void mm_gateway_stop(mm_gateway *g)
{
    __atomic_store_n(&g->stopping, 1, __ATOMIC_RELEASE);
}

const char *mm_gateway_failure(const mm_gateway *g)
{
    return g->failure;
}

mm_gateway_counters mm_gateway_counters_of(const mm_gateway *g)
{
    return g->counters; /* each word is read whole; together they may be a moment apart */
}

void mm_gateway_close(mm_gateway *g)
{
    if (!g)
        return;
    for (uint32_t i = 0; g->carrier && g->connections && i < g->config.max_connections; i++)
        if (g->connections[i].fd >= 0)
            g->carrier->close(g->carrier, g->connections[i].fd);
    if (g->identities)
        mm_gateway_keep_all(g);
    for (uint32_t i = 0; g->identities && i < g->config.max_sessions; i++)
        mm_fix_store_close(&g->identities[i].store);
    if (g->pipeline) { /* else it was never made, and what carries it is the caller's still */
        g->carrier->free(g->carrier);
        mm_gateway_leave(g->pipeline, g->config.gateway);
    }
    if (g->log_open)
        mm_audit_map_close(&g->log);
    free(g->trading);
    free(g->states);
    free(g->waiting_orders);
    free(g->releasing);
    void *parts[] = {g->identities, g->connections, g->outputs,      g->recent,   g->dirty,
                     g->waiting,    g->symbol_map,  g->account_text, g->accounts, g};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        free(parts[i]);
}

/* --- logons --- */

/* Puts the logon into a slot for the control thread. Without a free one it is asked again at the next tick. */
void mm_gateway_ask(mm_gateway *g, mm_connection *c, const mm_fix_message *logon)
{
    mm_text token = mm_value(logon, 554), cancel = mm_value(logon, 8013);
    for (uint16_t i = 0; i < MM_GATEWAY_SLOTS; i++) {
        mm_logon_slot *slot = &g->slots[i];
        if (__atomic_load_n(&slot->state, __ATOMIC_ACQUIRE) != MM_SLOT_FREE)
            continue;
        slot->connection = (uint32_t)(c - g->connections);
        slot->serial = c->serial;
        slot->request =
            (mm_logon_request){.slot = i, .token_length = token.length < MM_GATEWAY_TOKEN ? token.length : 0};
        memcpy(slot->request.token, token.at, slot->request.token_length);
        memcpy(slot->request.sender, c->fix.their_comp_id, sizeof slot->request.sender);
        c->cancel_on_disconnect = cancel.length == 1 && *cancel.at == 'Y';
        c->asked = 1;
        __atomic_store_n(&slot->state, MM_SLOT_ASKED, __ATOMIC_RELEASE);
        return;
    }
}

int mm_gateway_next_logon(mm_gateway *g, mm_logon_request *request)
{
    for (uint32_t i = 0; i < MM_GATEWAY_SLOTS; i++) {
        mm_logon_slot *slot = &g->slots[i];
        if (__atomic_load_n(&slot->state, __ATOMIC_ACQUIRE) != MM_SLOT_ASKED)
            continue;
        *request = slot->request;
        explicit_bzero(slot->request.token, sizeof slot->request.token);
        __atomic_store_n(&slot->state, MM_SLOT_TAKEN, __ATOMIC_RELEASE);
        return 1;
    }
    return 0;
}

int mm_gateway_answer_logon(mm_gateway *g, uint32_t number, int64_t session, uint32_t account, uint64_t expires_ns,
                            const char *store_path, const char *why, mm_fault *fault)
{
    if (number >= MM_GATEWAY_SLOTS || __atomic_load_n(&g->slots[number].state, __ATOMIC_ACQUIRE) != MM_SLOT_TAKEN)
        return fail(fault, EINVAL, "no logon is being decided in this slot", NULL);
    mm_logon_slot *slot = &g->slots[number];
    int result = 0;
    if (session >= (int64_t)g->config.max_sessions || (session >= 0 && account >= g->n_accounts)) {
        result = fail(fault, EINVAL, "no room for another session, or no such account", NULL);
        session = -1;
    }
    if (session >= 0 && !g->identities[session].known)
        if (mm_gateway_add_session(g, (uint32_t)session, slot->request.sender, account, store_path, fault)) {
            result = -1;
            session = -1;
        }
    slot->session = session;
    slot->account = account;
    slot->expires_ns = expires_ns;
    snprintf(slot->why, sizeof slot->why, "%s", result ? "the session's store cannot be used" : why ? why : "refused");
    __atomic_store_n(&slot->state, MM_SLOT_ANSWERED, __ATOMIC_RELEASE);
    return result;
}

static void admit(mm_gateway *g, mm_connection *c, const mm_logon_slot *slot)
{
    mm_identity *id = &g->identities[slot->session];
    if (id->cancel_due && !mm_gateway_cancel_orders(g, (uint32_t)slot->session, UINT32_MAX)) {
        g->counters.logon_refusals++;
        mm_session_refuse(&c->fix, "the session's orders are being cancelled");
        return;
    }
    if (id->connection || strcmp(id->sender, c->fix.their_comp_id) != 0 || id->account != slot->account) {
        g->counters.logon_refusals++;
        mm_session_refuse(&c->fix, id->connection ? "duplicate session: it is logged on already"
                                                  : "the session is another account's");
        return;
    }
    if (id->store.numbers->next_out >= __atomic_load_n(&id->store.numbers->ceiling, __ATOMIC_ACQUIRE)) {
        c->asked = 0; /* the answer's number is not on disk yet: asked again at the next tick */
        return;
    }
    uint64_t resets = id->store.numbers->resets;
    if (mm_session_admit(&c->fix, &g->message, &id->store, slot->expires_ns, g->now_ns)) {
        c->session = (uint32_t)slot->session;
        c->admitted = 1;
        mm_gateway_no_stranger(g, c);
        id->connection = c;
        g->counters.logons++;
        mm_gateway_tell_states(g, id, id->store.numbers->resets != resets);
    } else
        g->counters.logon_refusals++;
}

void mm_gateway_take_answers(mm_gateway *g)
{
    for (uint32_t i = 0; i < MM_GATEWAY_SLOTS; i++) {
        mm_logon_slot *slot = &g->slots[i];
        if (__atomic_load_n(&slot->state, __ATOMIC_ACQUIRE) != MM_SLOT_ANSWERED)
            continue;
        mm_connection *c = &g->connections[slot->connection];
        if (c->fd >= 0 && c->serial == slot->serial && c->fix.state == MM_SESSION_PENDING) {
            if (slot->session >= 0)
                admit(g, c, slot);
            else {
                g->counters.logon_refusals++;
                mm_session_refuse(&c->fix, slot->why);
            }
            mm_gateway_process(g, c);
        }
        __atomic_store_n(&slot->state, MM_SLOT_FREE, __ATOMIC_RELEASE);
    }
}

void mm_gateway_mark_dirty(mm_gateway *g, mm_connection *c)
{
    if (c->dirty)
        return;
    c->dirty = 1;
    g->dirty[g->n_dirty++] = (uint32_t)(c - g->connections);
}

void mm_gateway_forget(mm_gateway *g, mm_connection *c)
{
    if (c->admitted) {
        mm_identity *id = &g->identities[c->session];
        id->connection = NULL;
        id->gone_key = g->applied_key;
        g->n_cancel_due += c->cancel_on_disconnect && !id->cancel_due;
        id->cancel_due = id->cancel_due || c->cancel_on_disconnect;
        id->cancel_at = 0;
    }
    g->counters.garbled += c->fix.garbled;
    g->counters.resent += c->fix.resent;
    mm_session_disconnected(&c->fix);
    c->admitted = c->blocked = c->want_write = c->cancel_on_disconnect = c->asked = c->probe = 0;
    c->cut_ns = 0;
}
