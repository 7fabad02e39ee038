/* Connections and their bytes, whatever carries them (gateway_carrier.h): one thread, which waits for nothing but something to do. */
#define _GNU_SOURCE
#include "gateway_internal.h"

#include <sched.h>

#define MS        UINT64_C(1000000)
#define TICK_NS   MS /* a tick looks at one of TICKS parts of the places, so that none holds up orders for long */
#define TICKS     50
#define LINGER_NS (2000 * MS) /* how long a cut connection may take to read our last words */
#define SETTLE_NS (2000 * MS) /* how long the last bytes of all connections may take to arrive when it stops */
#define EVENTS    256
#define ACCEPTS   8  /* newcomers between two looks at everybody else */
#define LOANS_MAX 16 /* segments of a connection between two looks at everybody else */

int mm_gateway_listen(mm_gateway *g)
{
    if (!g->config.follow && g->carrier->listen(g->carrier))
        return -1;
    __atomic_store_n(&g->open, 1, __ATOMIC_RELEASE);
    return 0;
}

/* --- places: free ones in a stack, strangers in the order in which they came --- */

static void add_stranger(mm_gateway *g, mm_connection *c)
{
    uint32_t at = (uint32_t)(c - g->connections);
    c->older = g->newest;
    c->newer = MM_NO_PLACE;
    *(g->newest == MM_NO_PLACE ? &g->oldest : &g->connections[g->newest].newer) = at;
    g->newest = at;
}

void mm_gateway_no_stranger(mm_gateway *g, mm_connection *c)
{
    *(c->older == MM_NO_PLACE ? &g->oldest : &g->connections[c->older].newer) = c->newer;
    *(c->newer == MM_NO_PLACE ? &g->newest : &g->connections[c->newer].older) = c->older;
}

static void shut(mm_gateway *g, mm_connection *c)
{
    g->carrier->close(g->carrier, c->fd);
    c->fd = -1;
    g->n_connections--;
    g->counters.cut += c->cut_ns != 0;
    if (!c->admitted)
        mm_gateway_no_stranger(g, c);
    mm_gateway_forget(g, c);
    c->newer = g->free_place;
    g->free_place = (uint32_t)(c - g->connections);
}

void mm_gateway_cut_all(mm_gateway *g)
{
    for (uint32_t i = 0; i < g->config.max_connections; i++)
        if (g->connections[i].fd >= 0)
            shut(g, &g->connections[i]);
    if (g->carrier->flush)
        g->carrier->flush(g->carrier);
}

/* A place for a newcomer: a free one, or that of who has been here longest without a logon; who waits for an answer to one stays. */
static mm_connection *place_for(mm_gateway *g)
{
    for (uint32_t at = g->oldest; g->free_place == MM_NO_PLACE && at != MM_NO_PLACE; at = g->connections[at].newer)
        if (g->connections[at].fix.state == MM_SESSION_AWAIT_LOGON) {
            g->counters.evicted++;
            shut(g, &g->connections[at]);
            break;
        }
    if (g->free_place == MM_NO_PLACE)
        return NULL;
    mm_connection *c = &g->connections[g->free_place];
    g->free_place = c->newer;
    add_stranger(g, c);
    return c;
}

/* --- bytes --- */

static void want_write(mm_gateway *g, mm_connection *c, bool wanted)
{
    if (c->want_write != wanted)
        g->carrier->want_write(g->carrier, c->fd, (uint32_t)(c - g->connections), wanted);
    c->want_write = wanted;
}

/* Sends what is there; closes a connection that was cut when nothing is left or its time is up. */
void mm_gateway_flush(mm_gateway *g, mm_connection *c)
{
    const char *from;
    uint32_t n;
    while (c->fd >= 0 && (n = mm_session_output(&c->fix, &from)) > 0 && mm_pipeline_may_act(g->pipeline)) {
        int64_t sent = g->carrier->send(g->carrier, c->fd, from, n);
        if (sent < 0) {
            shut(g, c);
            return;
        }
        if (sent > 0) {
            mm_session_sent(&c->fix, (uint32_t)sent);
            g->counters.bytes_out += (uint64_t)sent;
        }
        if (sent < (int64_t)n) {
            want_write(g, c, true);
            break;
        }
    }
    if (c->fd < 0)
        return;
    bool empty = mm_session_output(&c->fix, &from) == 0;
    if (empty)
        want_write(g, c, false);
    if (empty && c->fix.resending)
        mm_gateway_mark_dirty(g, c); /* what is longer than the output goes on when that has gone */
    if (c->cut_ns && (empty || g->now_ns > c->cut_ns))
        shut(g, c);
}

static void flush_dirty(mm_gateway *g)
{
    uint32_t n = g->n_dirty;
    g->n_dirty = 0;
    for (uint32_t i = 0; i < n; i++) {
        mm_connection *c = &g->connections[g->dirty[i]];
        c->dirty = 0;
        if (c->fd >= 0 && c->fix.resending && !c->want_write)
            mm_gateway_process(g, c);
        if (c->fd >= 0 && c->fix.state == MM_SESSION_CUT_DUE && !c->cut_ns)
            c->cut_ns = g->now_ns + LINGER_NS;
        mm_gateway_flush(g, c);
    }
}

/* Acts on what the session made of its bytes until there is nothing left to do. */
void mm_gateway_process(mm_gateway *g, mm_connection *c)
{
    int event;
    c->blocked = 0;
    while (c->fd >= 0 && !c->cut_ns && (event = mm_session_next(&c->fix, &g->message, g->now_ns)) != MM_EVENT_NONE) {
        if (event == MM_EVENT_LOGON)
            mm_gateway_ask(g, c, &g->message);
        else if (event == MM_EVENT_CUT)
            c->cut_ns = g->now_ns + LINGER_NS;
        else if (event == MM_EVENT_RESEND ? !mm_gateway_resend(g, c) : !mm_gateway_application(g, c, &g->message)) {
            c->blocked = 1; /* the ring is full, or the log not that far: again in the next round */
            if (!c->waits)
                g->waiting[g->n_waiting++] = (uint32_t)(c - g->connections);
            c->waits = 1;
            break;
        } else if (event == MM_EVENT_APPLICATION) {
            g->counters.messages_in++;
            mm_session_take(&c->fix);
        }
    }
    mm_gateway_mark_dirty(g, c);
}

/* Bytes where the carrier has them, if it can show them and nothing older waits in the session's own room. True: there were some. */
static bool receive_in_place(mm_gateway *g, mm_connection *c)
{
    const char *at;
    uint32_t n = g->carrier->lend && mm_session_may_borrow(&c->fix) ? g->carrier->lend(g->carrier, c->fd, &at) : 0;
    if (!n)
        return false;
    c->received_ns = mm_now_ns();
    c->arrived_ns = g->stages ? g->carrier->arrived(g->carrier, c->fd) : 0;
    g->counters.bytes_in += n;
    mm_session_borrow(&c->fix, at, n);
    mm_gateway_process(g, c);
    mm_session_give_back(&c->fix);
    if (c->fd >= 0) /* else they went with the connection */
        g->carrier->taken(g->carrier, c->fd, n);
    return true;
}

static void receive(mm_gateway *g, mm_connection *c)
{
    char *at;
    if (c->blocked)
        return;
    int loans = 0;
    while (loans < LOANS_MAX && c->fd >= 0 && receive_in_place(g, c) && !c->blocked)
        loans++;
    if (loans || c->blocked || c->fd < 0)
        return; /* answers first: whoever has closed since is found out in the next round */
    uint32_t room = mm_session_input(&c->fix, &at);
    if (!room)
        return; /* what it sent waits in the carrier until there is room again */
    int64_t n = g->carrier->receive(g->carrier, c->fd, at, room);
    if (n > 0) {
        c->received_ns = mm_now_ns();
        c->arrived_ns = g->stages ? g->carrier->arrived(g->carrier, c->fd) : 0;
        g->counters.bytes_in += (uint64_t)n;
        mm_session_received(&c->fix, (uint32_t)n);
        mm_gateway_process(g, c);
    } else if (n < 0)
        shut(g, c);
}

static void accept_some(mm_gateway *g)
{
    for (int i = 0; i < ACCEPTS; i++) {
        int32_t fd = g->carrier->accept(g->carrier);
        if (fd < 0)
            return;
        g->counters.connections++;
        mm_connection *c = g->stopping ? NULL : place_for(g);
        if (!c) {
            g->counters.refused++;
            g->carrier->close(g->carrier, fd);
            continue;
        }
        c->fd = fd;
        c->cut_ns = 0;
        g->n_connections++;
        g->counters.accepted++;
        c->serial = ++g->serial;
        mm_session_connect(&c->fix, g->now_ns);
        if (g->carrier->watch(g->carrier, fd, (uint32_t)(c - g->connections)))
            shut(g, c);
    }
}

static void tick(mm_gateway *g)
{
    g->tick_ns = g->now_ns;
    mm_gateway_cancel_due(g);
    for (uint32_t part = g->config.max_connections / TICKS + 1; part; part--) {
        mm_connection *c = &g->connections[g->tick_at];
        g->tick_at = (g->tick_at + 1) % g->config.max_connections;
        if (c->fd < 0)
            continue;
        if (g->stopping && c->fix.state == MM_SESSION_ACTIVE)
            mm_session_logout(&c->fix, "the exchange is closing", g->now_ns);
        else if (g->stopping && !c->admitted)
            mm_session_refuse(&c->fix, "the exchange is closing");
        if (c->fix.state == MM_SESSION_PENDING && !c->asked) {
            c->fix.state = MM_SESSION_AWAIT_LOGON; /* no slot was free: ask again */
            mm_gateway_process(g, c);
        }
        if (mm_session_tick(&c->fix, g->now_ns) == MM_EVENT_CUT && !c->cut_ns)
            c->cut_ns = g->now_ns + LINGER_NS;
        mm_gateway_flush(g, c);
    }
}

/* A report may be late by a nap, if the network does not end it; but reports come right after an order. */
static uint32_t network(mm_gateway *g, const mm_idle *idle)
{
    mm_carrier_event events[EVENTS];
    uint32_t n = g->carrier->poll(g->carrier, events, EVENTS, mm_idle_nap_ns(idle));
    if (n) {
        g->now_ns = mm_wall_ns();
        g->ready_ns = g->stages ? mm_now_ns() : 0;
    }
    for (uint32_t i = 0; i < n; i++) {
        if (events[i].what & MM_CARRIER_NEWCOMERS) {
            accept_some(g);
            continue;
        }
        mm_connection *c = &g->connections[events[i].place];
        if (c->fd >= 0 && (events[i].what & MM_CARRIER_WRITABLE))
            mm_gateway_flush(g, c);
        if (c->fd >= 0 && (events[i].what & MM_CARRIER_READABLE))
            receive(g, c);
    }
    return n;
}

/* Those that still cannot go on come to stand behind the others, so nobody is first for ever. */
static void retry_waiting(mm_gateway *g)
{
    uint32_t n = g->n_waiting;
    g->n_waiting = 0;
    for (uint32_t i = 0; i < n; i++) {
        mm_connection *c = &g->connections[g->waiting[i]];
        c->waits = 0;
        if (c->blocked && c->fd >= 0)
            mm_gateway_process(g, c);
    }
}

/* Every session has ended. A carrier of our own ends with us, so it waits for a while until all has arrived. */
static bool is_over(mm_gateway *g)
{
    if (!__atomic_load_n(&g->stopping, __ATOMIC_ACQUIRE) || g->n_connections)
        return false;
    if (!g->carrier->settled || g->carrier->settled(g->carrier))
        return true;
    uint64_t now = mm_now_ns();
    if (!g->settling_ns)
        g->settling_ns = now;
    return now - g->settling_ns > SETTLE_NS;
}

int mm_gateway_run(mm_gateway *g, uint64_t slice_ns)
{
    uint64_t end = mm_now_ns() + slice_ns;
    mm_idle idle = {(int)g->config.wait, g->idle_rounds};
    do {
        if (mm_gateway_must_wait(g))
            continue;
        g->now_ns = mm_wall_ns();
        uint32_t work = mm_gateway_take_reports(g);
        flush_dirty(g);
        mm_gateway_count_sent(g);
        if (work)
            mm_idle_reset(&idle);
        work += network(g, &idle);
        if (g->engine && mm_engine_loop_step(g->engine, g->config.gateway))
            mm_idle_reset(&idle); /* and its reports come next */
        mm_gateway_take_answers(g);
        retry_waiting(g);
        if (g->n_releasing)
            work += mm_gateway_release(g);
        if (g->now_ns - g->tick_ns > TICK_NS || g->now_ns < g->tick_ns)
            tick(g);
        flush_dirty(g);
        if (g->carrier->flush)
            g->carrier->flush(g->carrier);
        if (g->failure[0])
            return -1;
        if (is_over(g))
            return 1;
        if (work)
            mm_idle_reset(&idle);
        else
            mm_idle_count(&idle);
        if (!work && idle.wait != MM_WAIT_SPIN && !mm_idle_nap_ns(&idle))
            sched_yield();
        g->idle_rounds = idle.rounds;
    } while (mm_now_ns() < end);
    return g->failure[0] ? -1 : 0;
}
