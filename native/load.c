/* The load's loop: connections, pace, and the knobs. */
#include "load_internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    RETRY_NS = 5000000,
    CONNECT_NS = 1000000000,
    LOGON_NS = 3000000000u,
    BURST_NS = 20000000,
    DOUBT_NS = 1000000000,
    DOUBT_MAX = 100000,
    NAP_NS = 50000
};

static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    x = (x ^ x >> 27) * UINT64_C(0x94D049BB133111EB);
    return x ^ x >> 31;
}

/* Every sixteenth is a cancel of one of the fourteen before it, which may be over by then. */
mm_load_plan load_plan_of(const mm_load_config *c, uint32_t session, uint64_t number)
{
    uint64_t h = mix(mix(c->seed + UINT64_C(0x9E3779B97F4A7C15) * (session + 1)) + number);
    mm_load_plan plan = {.lots = (uint32_t)(1 + (h >> 9) % 9),
                         .symbol = (uint32_t)((h >> 32) % c->symbols),
                         .price_ticks = c->middle_ticks + (int64_t)((h >> 16) % 9) - 4,
                         .sells = h >> 8 & 1,
                         .immediate = (h >> 24) % 16 == 0};
    if (number % 16 == 15) {
        uint64_t orig = number - 1 - (h >> 40) % 14;
        plan = load_plan_of(c, session, orig);
        plan.orig = (uint32_t)orig;
        plan.cancels = 1;
    }
    return plan;
}

void mm_load_plans(const mm_load_config *c, uint32_t session, uint64_t from, uint64_t n, mm_load_plan *plans)
{
    for (uint64_t i = 0; i < n; i++)
        plans[i] = load_plan_of(c, session, from + i);
}

uint32_t load_index(const mm_load *load, const load_session *s, uint64_t number)
{
    return (uint32_t)(s->index * load->config.capacity + number);
}

/* --- making --- */

mm_load *mm_load_make(const mm_load_config *config, mm_load_order *orders, mm_load_report *reports)
{
    mm_load *load = calloc(1, sizeof *load);
    if (!load || config->sessions > LOAD_SESSIONS_MAX || config->symbols > LOAD_SYMBOLS_MAX || !config->symbols ||
        config->capacity > 1 << 24) {
        free(load);
        return NULL;
    }
    load->config = *config;
    load->orders = orders;
    load->reports = reports;
    load->sessions = calloc(config->sessions, sizeof *load->sessions);
    bool whole = load->sessions != NULL;
    for (uint32_t i = 0; whole && i < config->sessions; i++) {
        load_session *s = &load->sessions[i];
        s->numbers = config->capacity + LOAD_ADMIN_MAX;
        s->order_of = calloc(s->numbers, sizeof *s->order_of);
        s->index = i;
        s->fd = -1;
        s->next_out = s->next_in = s->resend_from = 1;
        whole = s->order_of != NULL;
    }
    if (whole)
        return load;
    mm_load_free(load);
    return NULL;
}

void mm_load_free(mm_load *load)
{
    for (uint32_t i = 0; load->sessions && i < load->config.sessions; i++)
        free(load->sessions[i].order_of);
    free(load->sessions);
    free(load);
}

int mm_load_session(mm_load *load, uint32_t session, const char *begin_string, const char *sender, const char *target,
                    const char *logon_fields, const char *order_fields, int reset_first)
{
    load_session *s = &load->sessions[session];
    s->reset = reset_first != 0;
    return load_copy_text(s->sender, sizeof s->sender, sender) && load_copy_text(s->target, sizeof s->target, target) &&
           load_copy_text(s->begin_string, sizeof s->begin_string, begin_string) &&
           load_copy_text(s->logon_fields, sizeof s->logon_fields, logon_fields) &&
           load_copy_text(s->order_fields, sizeof s->order_fields, order_fields) &&
           mm_fix_envelope_make(&s->envelope, begin_string, sender, target);
}

int mm_load_symbol(mm_load *load, uint32_t symbol, const char *name)
{
    return symbol < LOAD_SYMBOLS_MAX && load_copy_text(load->symbols[symbol], sizeof load->symbols[symbol], name);
}

int mm_load_address(mm_load *load, uint32_t index, const char *host, uint16_t port)
{
    struct in_addr address;
    if (index >= LOAD_ADDRESSES_MAX || inet_pton(AF_INET, host, &address) != 1)
        return 0;
    LOAD_SET(load->addresses[index], (uint64_t)ntohl(address.s_addr) << 16 | port);
    return 1;
}

void mm_load_addresses(mm_load *load, uint32_t n)
{
    LOAD_SET(load->n_addresses, n);
}

void mm_load_rate(mm_load *load, uint64_t orders_per_s)
{
    LOAD_SET(load->rate, orders_per_s);
}

void mm_load_hold(mm_load *load, int hold)
{
    LOAD_SET(load->hold, (uint32_t)hold);
}

void mm_load_reset(mm_load *load)
{
    LOAD_SET(load->reset_wanted, 1);
}

void mm_load_stop(mm_load *load)
{
    LOAD_SET(load->stop, 1);
}

void mm_load_look(const mm_load *load, mm_load_counts *counts)
{
    *counts = (mm_load_counts){LOAD_GET(load->sent),
                               LOAD_GET(load->told),
                               LOAD_GET(load->n_reports),
                               LOAD_GET(load->resent),
                               LOAD_GET(load->logons),
                               LOAD_GET(load->too_low),
                               LOAD_GET(load->rejected),
                               LOAD_GET(load->garbled),
                               LOAD_GET(load->last_told_ns),
                               0,
                               LOAD_GET(load->full),
                               LOAD_GET(load->running),
                               0};
    for (uint32_t i = 0; i < load->config.sessions; i++) {
        const load_session *s = &load->sessions[i];
        counts->up += LOAD_GET(s->state) == LOAD_UP;
        counts->resending += LOAD_GET(s->resend_from) <= LOAD_GET(s->resend_to);
    }
}

/* --- connections --- */

static void drop(load_session *s, uint64_t now)
{
    if (s->fd >= 0)
        close(s->fd);
    s->fd = -1;
    if (s->state != LOAD_DOWN)
        s->address++;
    LOAD_SET(s->state, LOAD_DOWN);
    s->in_end = s->out_start = s->out_end = 0;
    LOAD_SET(s->resend_from, 1);
    LOAD_SET(s->resend_to, 0);
    s->asked_for = 0;
    s->retry_ns = now + RETRY_NS;
}

static void begin_connecting(mm_load *load, load_session *s, uint64_t now)
{
    uint32_t n = LOAD_GET(load->n_addresses);
    if (!n)
        return;
    uint64_t address = LOAD_GET(load->addresses[s->address % n]);
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)address),
                             .sin_addr.s_addr = htonl((uint32_t)(address >> 16))};
    int one = 1;
    s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (s->fd < 0)
        return;
    setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    LOAD_SET(s->state, LOAD_CONNECTING);
    s->began_ns = now;
    if (connect(s->fd, (struct sockaddr *)&to, sizeof to) && errno != EINPROGRESS)
        drop(s, now);
}

static void when_connected(mm_load *load, load_session *s, uint64_t now)
{
    struct sockaddr_in peer;
    socklen_t size = sizeof peer;
    int error = 0;
    socklen_t error_size = sizeof error;
    getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &error_size);
    if (error || now - s->began_ns > CONNECT_NS) {
        drop(s, now);
        return;
    }
    if (getpeername(s->fd, (struct sockaddr *)&peer, &size))
        return;
    LOAD_SET(s->state, LOAD_LOGGING_ON);
    s->began_ns = s->heard_ns = s->said_ns = s->waiting_since_ns = now;
    s->connection++;
    if (s->reset)
        s->doubt_from = s->floor = s->next; /* what went before is over; else it is asked for, or answered */
    s->doubt_to = s->next;
    if (s->doubt_from + DOUBT_MAX < s->doubt_to)
        s->doubt_from = s->doubt_to - DOUBT_MAX;
    load_put_logon(load, s);
}

static uint64_t in_flight(const load_session *s)
{
    uint64_t base = s->answered > s->floor ? s->answered : s->floor;
    return s->next > base ? s->next - base : 0;
}

/* Silent for too long: a connection to a peer that was stopped never ends by itself. */
static bool gave_up(const mm_load *load, const load_session *s, uint64_t now)
{
    if (s->state == LOAD_LOGGING_ON && !load->config.patience_ms)
        return now - s->began_ns > LOGON_NS;
    if (s->state == LOAD_LOGGING_ON)
        return now - s->began_ns > load->config.patience_ms * UINT64_C(1000000);
    uint64_t heard = s->heard_ns > s->waiting_since_ns ? s->heard_ns : s->waiting_since_ns;
    return load->config.patience_ms && in_flight(s) && now > heard &&
           now - heard > load->config.patience_ms * UINT64_C(1000000);
}

static void keep_alive(const mm_load *load, load_session *s, uint64_t now)
{
    uint64_t beat = load->config.heartbeat_s * UINT64_C(1000000000);
    if (s->state == LOAD_UP && beat && now - s->said_ns > beat / 2 && load_has_room(s)) {
        load_put_admin(s, "0", "");
        s->said_ns = now;
    }
}

/* --- pace --- */

/* How many orders the session may send now. */
static uint64_t may_send(const mm_load *load, const load_session *s)
{
    uint64_t flying = in_flight(s), left = load->config.capacity - s->next;
    if (s->state != LOAD_UP || s->resend_from <= s->resend_to || flying >= load->config.window || LOAD_GET(load->full))
        return 0;
    uint64_t room = load->config.window - flying;
    return room < left ? room : left;
}

static uint64_t send_orders(mm_load *load, load_session *s, uint64_t credit)
{
    uint64_t n = may_send(load, s), done = 0;
    if (!n || !credit)
        return 0;
    uint64_t now_ns = load_clock(CLOCK_REALTIME);
    while (done < n && done < credit && s->next_out < s->numbers && load_has_room(s)) {
        if (!in_flight(s))
            s->waiting_since_ns = load_clock(CLOCK_MONOTONIC);
        load_put_order(load, s, s->next, now_ns);
        s->next++;
        done++;
    }
    LOAD_SET(load->sent, load->sent + done);
    return done;
}

static bool turn(mm_load *load, load_session *s, uint64_t now, uint64_t *credit, uint64_t share)
{
    bool moved = false;
    if (s->state == LOAD_DOWN) {
        if (now >= s->retry_ns)
            begin_connecting(load, s, now);
        return false;
    }
    if (s->state == LOAD_CONNECTING) {
        when_connected(load, s, now);
        if (s->state != LOAD_LOGGING_ON)
            return false;
    }
    if (s->state == LOAD_UP) {
        load_put_resend(load, s);
        if (s->resend_from > s->resend_to && s->doubt_from < s->doubt_to && now - s->began_ns > DOUBT_NS)
            load_put_doubts(load, s);
        uint64_t done = send_orders(load, s, *credit < share ? *credit : share);
        *credit -= done;
        moved = done > 0;
        if (done)
            s->said_ns = now;
        keep_alive(load, s, now);
    }
    if (!load_flush(s) || !load_receive(load, s, &moved) || gave_up(load, s, now))
        drop(s, load_clock(CLOCK_MONOTONIC));
    return moved;
}

static void reset_all(mm_load *load)
{
    LOAD_SET(load->reset_wanted, 0);
    for (uint32_t i = 0; i < load->config.sessions; i++)
        load->sessions[i].reset = true;
}

void mm_load_run(mm_load *load)
{
    const struct timespec nap = {0, NAP_NS};
    uint64_t last = load_clock(CLOCK_MONOTONIC), owed = 0; /* orders x 10^9 */
    uint32_t n = load->config.sessions, first = 0;
    LOAD_SET(load->running, 1);
    while (!LOAD_GET(load->stop)) {
        uint64_t now = load_clock(CLOCK_MONOTONIC), rate = LOAD_GET(load->rate);
        owed += (now - last) * rate;
        last = now;
        if (owed > rate * BURST_NS)
            owed = rate * BURST_NS;
        if (LOAD_GET(load->reset_wanted))
            reset_all(load);
        uint64_t credit = owed / 1000000000, before = credit;
        bool moved = false, held = LOAD_GET(load->hold);
        for (uint32_t i = 0; i < n; i++) {
            load_session *s = &load->sessions[(first + i) % n];
            if (held)
                drop(s, now);
            else
                moved = turn(load, s, now, &credit, credit / (n - i) + 1) || moved;
        }
        first++;
        owed -= (before - credit) * 1000000000;
        if (!moved)
            nanosleep(&nap, NULL);
    }
    for (uint32_t i = 0; i < n; i++)
        drop(&load->sessions[i], last);
    LOAD_SET(load->running, 0);
}
