/* The cannon's life: made, connected, run by one thread or two, closed. */
#include "cannon_internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { POLL_MS = 5, IDLE_NS = 1000000, SOCKET_BYTES = 4 << 20 };

/* --- making --- */

/* Which shots are whose: false when one is nobody's. */
static bool share_out(mm_cannon *c)
{
    for (uint64_t i = 0; i < c->config.shots; i++) {
        if (c->shots[i].session >= c->config.sessions || c->shots[i].symbol >= c->config.symbols)
            return false;
        c->sessions[c->shots[i].session].n_shots++;
    }
    for (uint32_t i = 0; i < c->config.sessions; i++) {
        cannon_session *s = &c->sessions[i];
        s->index = i;
        s->fd = -1;
        s->next_in = s->next_out = 1;
        s->n_numbers = s->n_shots + CANNON_ADMIN_MAX;
        s->shots = calloc(s->n_shots + 1, sizeof *s->shots);
        s->shot_of = calloc(s->n_numbers, sizeof *s->shot_of);
        if (!s->shots || !s->shot_of)
            return false;
        s->n_shots = 0;
    }
    for (uint64_t i = 0; i < c->config.shots; i++) {
        cannon_session *s = &c->sessions[c->shots[i].session];
        c->marks[i] = (mm_cannon_mark){.number = (uint32_t)s->n_shots};
        s->shots[s->n_shots++] = (uint32_t)i;
    }
    return true;
}

mm_cannon *mm_cannon_make(const mm_cannon_config *config, const mm_cannon_shot *shots, mm_cannon_mark *marks,
                          mm_load_report *reports)
{
    if (!config->sessions || config->sessions > CANNON_SESSIONS_MAX || !config->symbols ||
        config->symbols > CANNON_SYMBOLS_MAX || config->shots >= UINT32_MAX || config->price_decimals > 8 ||
        !config->lot_size || !config->tick_e8)
        return NULL;
    mm_cannon *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->config = *config;
    c->shots = shots;
    c->marks = marks;
    c->reports = reports;
    c->symbols = calloc(config->symbols, sizeof *c->symbols);
    c->sessions = calloc(config->sessions, sizeof *c->sessions);
    c->last_acknowledged = calloc((size_t)config->sessions * config->symbols, sizeof *c->last_acknowledged);
    if (c->symbols && c->sessions && c->last_acknowledged && share_out(c))
        return c;
    mm_cannon_free(c);
    return NULL;
}

void mm_cannon_free(mm_cannon *c)
{
    for (uint32_t i = 0; c->sessions && i < c->config.sessions; i++) {
        if (c->sessions[i].fd > 0)
            close(c->sessions[i].fd);
        free(c->sessions[i].shots);
        free(c->sessions[i].shot_of);
    }
    free(c->sessions);
    free(c->last_acknowledged);
    free(c->symbols);
    free(c);
}

int mm_cannon_session(mm_cannon *c, uint32_t session, const char *begin_string, const char *sender, const char *target,
                      const char *logon_fields, const char *order_fields, int reset, uint64_t next_out,
                      uint64_t next_in)
{
    if (session >= c->config.sessions)
        return 0;
    cannon_session *s = &c->sessions[session];
    s->reset = reset != 0;
    s->old_fills = strcmp(begin_string, "FIX.4.2") == 0;
    s->next_out = s->first_out = reset ? 1 : next_out;
    s->next_in = reset ? 1 : next_in;
    return load_copy_text(s->begin_string, sizeof s->begin_string, begin_string) &&
           load_copy_text(s->logon_fields, sizeof s->logon_fields, logon_fields) &&
           load_copy_text(s->order_fields, sizeof s->order_fields, order_fields) &&
           mm_fix_envelope_make(&s->envelope, begin_string, sender, target);
}

int mm_cannon_symbol(mm_cannon *c, uint32_t symbol, const char *name)
{
    return symbol < c->config.symbols && load_copy_text(c->symbols[symbol], sizeof c->symbols[symbol], name);
}

/* --- connections --- */

void cannon_end(cannon_session *s, uint32_t end, int error)
{
    if (CANNON_SEE(s->state) == CANNON_ENDED)
        return;
    s->end = end;
    s->error = error;
    CANNON_SHOW(s->state, CANNON_ENDED);
    if (s->fd >= 0)
        shutdown(s->fd, SHUT_RDWR); /* closed with the cannon: the other thread may hold it just now */
}

static void begin_connecting(cannon_session *s, const struct sockaddr_in *to)
{
    int one = 1, bytes = SOCKET_BYTES;
    s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (s->fd < 0) {
        cannon_end(s, MM_CANNON_REFUSED, errno);
        return;
    }
    setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(s->fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
    CANNON_SHOW(s->state, CANNON_CONNECTING);
    if (connect(s->fd, (const struct sockaddr *)to, sizeof *to) && errno != EINPROGRESS)
        cannon_end(s, MM_CANNON_REFUSED, errno);
}

static void when_connected(const mm_cannon *c, cannon_session *s)
{
    struct pollfd ready = {s->fd, POLLOUT, 0};
    int error = 0;
    socklen_t size = sizeof error;
    if (poll(&ready, 1, 0) <= 0)
        return;
    getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error) {
        cannon_end(s, MM_CANNON_REFUSED, error);
        return;
    }
    CANNON_SHOW(s->state, CANNON_LOGGING_ON);
    cannon_put_logon(c, s);
    if (!cannon_flush(s))
        cannon_end(s, MM_CANNON_CLOSED, errno);
}

static int64_t to_real(void)
{
    struct timespec real;
    uint64_t now = cannon_clock();
    clock_gettime(CLOCK_REALTIME, &real);
    return (int64_t)((uint64_t)real.tv_sec * 1000000000u + (uint64_t)real.tv_nsec - now);
}

uint32_t mm_cannon_connect(mm_cannon *c, const char *host, uint16_t port, uint32_t timeout_ms)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    uint64_t until = cannon_clock() + timeout_ms * UINT64_C(1000000);
    uint32_t up = 0, over = 0;
    c->to_real_ns = to_real();
    if (inet_pton(AF_INET, host, &to.sin_addr) != 1)
        return 0;
    for (uint32_t i = 0; i < c->config.sessions; i++)
        begin_connecting(&c->sessions[i], &to);
    while (up + over < c->config.sessions && cannon_clock() < until && !CANNON_GET(c->stop)) {
        const struct timespec nap = {0, 200000};
        up = over = 0;
        for (uint32_t i = 0; i < c->config.sessions; i++) {
            cannon_session *s = &c->sessions[i];
            bool moved;
            if (s->state == CANNON_CONNECTING)
                when_connected(c, s);
            else if (s->state == CANNON_LOGGING_ON)
                cannon_receive(c, s, CANNON_IN_BYTES, &moved);
            up += s->state == CANNON_UP;
            over += s->state == CANNON_ENDED;
        }
        nanosleep(&nap, NULL);
    }
    for (uint32_t i = 0; i < c->config.sessions; i++)
        if (c->sessions[i].state != CANNON_UP)
            cannon_end(&c->sessions[i], MM_CANNON_SILENT, 0);
    return up;
}

void mm_cannon_close(mm_cannon *c, uint32_t timeout_ms)
{
    uint64_t until = cannon_clock() + timeout_ms * UINT64_C(1000000);
    for (uint32_t i = 0; i < c->config.sessions; i++) {
        cannon_session *s = &c->sessions[i];
        if (s->state != CANNON_UP)
            continue;
        s->out_start = s->out_end = 0;
        cannon_put_admin(c, s, "5", s->next_out++, 0, "");
        cannon_flush(s);
        while (s->state == CANNON_UP && cannon_clock() < until) {
            struct pollfd ready = {s->fd, POLLIN, 0};
            bool moved;
            if (poll(&ready, 1, 20) > 0)
                cannon_receive(c, s, CANNON_IN_BYTES, &moved);
        }
    }
    for (uint32_t i = 0; i < c->config.sessions; i++) {
        if (c->sessions[i].fd >= 0)
            close(c->sessions[i].fd);
        c->sessions[i].fd = -1;
    }
}

/* --- the threads --- */

/* Until shortly before the next shot asleep, then awake. */
static void wait_for(const mm_cannon *c, uint64_t next)
{
    uint64_t now = cannon_clock(), awake = c->config.spin_us * UINT64_C(1000);
    if (next <= now + awake)
        return;
    uint64_t nap = next - now - awake;
    if (nap > IDLE_NS)
        nap = IDLE_NS; /* heartbeats, and the end */
    const struct timespec t = {0, (long)nap};
    nanosleep(&t, NULL);
}

void mm_cannon_fire(mm_cannon *c, uint64_t start_ns)
{
    prctl(PR_SET_TIMERSLACK, 1);
    while (!CANNON_GET(c->stop)) {
        bool waits = false;
        uint64_t next = cannon_fire_due(c, start_ns, cannon_clock(), &waits);
        if (!waits)
            wait_for(c, next);
    }
}

static bool listen_once(mm_cannon *c, uint32_t most)
{
    bool any = false;
    for (uint32_t i = 0; i < c->config.sessions; i++) {
        bool moved = false;
        if (CANNON_SEE(c->sessions[i].state) == CANNON_UP)
            cannon_receive(c, &c->sessions[i], most, &moved);
        any = any || moved;
    }
    return any;
}

void mm_cannon_listen(mm_cannon *c)
{
    struct pollfd *ready = calloc(c->config.sessions, sizeof *ready);
    prctl(PR_SET_TIMERSLACK, 1);
    while (ready && !CANNON_GET(c->stop)) {
        if (listen_once(c, CANNON_IN_BYTES) || c->config.listen_spins)
            continue;
        for (uint32_t i = 0; i < c->config.sessions; i++) {
            const cannon_session *s = &c->sessions[i];
            ready[i] = (struct pollfd){CANNON_SEE(s->state) == CANNON_UP ? s->fd : -1, POLLIN, 0};
        }
        poll(ready, c->config.sessions, POLL_MS);
    }
    free(ready);
}

void mm_cannon_both(mm_cannon *c, uint64_t start_ns)
{
    prctl(PR_SET_TIMERSLACK, 1);
    while (!CANNON_GET(c->stop)) {
        bool waits = false;
        uint64_t next = cannon_fire_due(c, start_ns, cannon_clock(), &waits);
        bool moved = listen_once(c, CANNON_SIP_BYTES);
        if (moved || waits || c->config.listen_spins || next <= cannon_clock() + c->config.spin_us * UINT64_C(1000))
            continue;
        const struct timespec nap = {0, 50000};
        nanosleep(&nap, NULL);
    }
}

void mm_cannon_cease(mm_cannon *c)
{
    CANNON_SET(c->cease, 1);
}

void mm_cannon_stop(mm_cannon *c)
{
    CANNON_SET(c->stop, 1);
}

/* --- looking --- */

void mm_cannon_look(const mm_cannon *c, mm_cannon_counts *counts)
{
    *counts = (mm_cannon_counts){.sent = CANNON_GET(c->sent),
                                 .told = CANNON_GET(c->told),
                                 .reports = CANNON_SEE(c->n_reports),
                                 .rejected = CANNON_GET(c->rejected),
                                 .refused_messages = CANNON_GET(c->refused_messages),
                                 .held = CANNON_GET(c->held),
                                 .asked_again = CANNON_GET(c->asked_again),
                                 .last_told_ns = CANNON_GET(c->last_told_ns),
                                 .full = CANNON_GET(c->full),
                                 .done = CANNON_GET(c->done)};
    for (int i = 0; i < MM_CANNON_WRONGS; i++) {
        counts->wrong[i] = CANNON_GET(c->wrong[i]);
        counts->first_wrong[i] = CANNON_GET(c->first_wrong[i]);
    }
    for (uint32_t i = 0; i < c->config.sessions; i++) {
        counts->up += CANNON_SEE(c->sessions[i].state) == CANNON_UP;
        counts->down += CANNON_SEE(c->sessions[i].state) == CANNON_ENDED;
    }
}

void mm_cannon_session_look(const mm_cannon *c, uint32_t session, mm_cannon_session_state *state)
{
    const cannon_session *s = &c->sessions[session];
    *state = (mm_cannon_session_state){.next_out = s->next_out, .next_in = s->next_in};
    if (CANNON_SEE(s->state) == CANNON_ENDED) {
        state->end = s->end;
        state->error = s->error;
    }
    memcpy(state->words, s->words, sizeof state->words);
}
