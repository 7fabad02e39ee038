/* The floor of the harness: a FIX acceptor that answers every order with one report and knows no book. What the cannon measures
 * against it is what the cannon, the kernel and this machine cost. It can stand still now and then, as a target might. */
#include "cannon_internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ECHO_CLIENTS = CANNON_SESSIONS_MAX, ECHO_IN_BYTES = 1 << 17, ECHO_OUT_BYTES = 1 << 18, ECHO_POLL_MS = 5 };

typedef struct echo_client {
    int fd;
    bool knows; /* whom it talks to */
    uint64_t next_out;
    uint32_t in_end, out_start, out_end;
    mm_fix_envelope envelope;
    char in[ECHO_IN_BYTES + MM_FIX_PAD], out[ECHO_OUT_BYTES];
} echo_client;

struct mm_echo {
    int listener;
    uint16_t port;
    uint32_t stop, n;
    uint64_t stall_ns, stall_every_ns, stalls, ids;
    echo_client *clients;
};

mm_echo *mm_echo_make(uint32_t stall_ms, uint32_t stall_every_ms)
{
    mm_echo *e = calloc(1, sizeof *e);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    if (!e)
        return NULL;
    e->stall_ns = stall_ms * UINT64_C(1000000);
    e->stall_every_ns = stall_every_ms * UINT64_C(1000000);
    e->clients = calloc(ECHO_CLIENTS, sizeof *e->clients);
    e->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (e->clients && e->listener >= 0 && !bind(e->listener, (struct sockaddr *)&at, sizeof at) &&
        !listen(e->listener, ECHO_CLIENTS) && !getsockname(e->listener, (struct sockaddr *)&at, &size)) {
        e->port = ntohs(at.sin_port);
        return e;
    }
    mm_echo_free(e);
    return NULL;
}

uint16_t mm_echo_port(const mm_echo *e)
{
    return e->port;
}

void mm_echo_stop(mm_echo *e)
{
    CANNON_SET(e->stop, 1);
}

void mm_echo_free(mm_echo *e)
{
    for (uint32_t i = 0; e->clients && i < e->n; i++)
        if (e->clients[i].fd >= 0)
            close(e->clients[i].fd);
    if (e->listener >= 0)
        close(e->listener);
    free(e->clients);
    free(e);
}

static uint64_t real_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* --- answers --- */

static char *put_field(char *at, const char *tag, load_text value)
{
    at = put_text(at, tag, (uint32_t)strlen(tag));
    at = put_text(at, value.at, value.n);
    *at++ = 1;
    return at;
}

static void answer_session(echo_client *k, const load_message *m, const char *type, uint64_t now)
{
    char room[CANNON_MESSAGE_ROOM], *at = mm_fix_put_header(&k->envelope, room, type, k->next_out++, now, 0);
    if (*type == 'A')
        at = PUT(at, "98=0\001108=30\001141=Y\001");
    if (m->type == '1')
        at = put_field(at, "112=", m->test_id);
    load_put_message(&k->envelope, room, at, k->out, &k->out_end);
}

static void answer_order(mm_echo *e, echo_client *k, const load_message *m, uint64_t now)
{
    char room[CANNON_MESSAGE_ROOM], *at = mm_fix_put_header(&k->envelope, room, "8", k->next_out++, now, 0);
    uint64_t id = ++e->ids;
    at = put_uint(PUT(at, "37="), id);
    at = put_uint(PUT(at, "\00117="), id);
    *at++ = 1;
    at = put_field(at, "11=", m->cl);
    if (m->orig.n)
        at = put_field(at, "41=", m->orig);
    at = m->type == 'D'   ? PUT(at, "150=0\00139=0\00114=0\0016=0\001")
         : m->type == 'G' ? PUT(at, "150=5\00139=0\00114=0\0016=0\001")
                          : PUT(at, "150=4\00139=4\00114=0\0016=0\001");
    at = m->type == 'F' ? PUT(at, "151=0\001") : put_field(at, "151=", m->lots);
    load_put_message(&k->envelope, room, at, k->out, &k->out_end);
}

static bool greet(echo_client *k, const load_message *m)
{
    char sender[65] = {0}, target[65] = {0};
    if (!m->sender.n || m->sender.n > 64 || !m->target.n || m->target.n > 64)
        return false;
    memcpy(sender, m->target.at, m->target.n);
    memcpy(target, m->sender.at, m->sender.n);
    k->next_out = 1;
    k->knows = true;
    return mm_fix_envelope_make(&k->envelope, "FIX.4.4", sender, target);
}

/* false: it goes. */
static bool answer(mm_echo *e, echo_client *k, const load_message *m, uint64_t now)
{
    if (m->type == 'A' && !greet(k, m))
        return false;
    if (!k->knows)
        return false;
    if (m->type == 'A' || m->type == '5')
        answer_session(k, m, m->type == 'A' ? "A" : "5", now);
    else if (m->type == '1')
        answer_session(k, m, "0", now);
    else if (m->type == 'D' || m->type == 'F' || m->type == 'G')
        answer_order(e, k, m, now);
    return true;
}

/* --- sockets --- */

static bool flush(echo_client *k)
{
    return cannon_send(k->fd, k->out, &k->out_start, &k->out_end);
}

static bool answer_all(mm_echo *e, echo_client *k, uint64_t now)
{
    uint32_t from = 0;
    const char *body;
    for (uint64_t length; from < k->in_end && ECHO_OUT_BYTES - k->out_end > CANNON_MESSAGE_ROOM &&
                          (length = load_whole(k->in + from, k->in_end - from, &body));
         from += (uint32_t)length) {
        if (length < 20 || !load_sum_fits(k->in + from, length))
            return false;
        load_message m = load_read_message(body, k->in + from + length - 7);
        if (!answer(e, k, &m, now))
            return false;
    }
    memmove(k->in, k->in + from, k->in_end - from);
    k->in_end -= from;
    return true;
}

/* false: the client is gone. */
static bool serve(mm_echo *e, echo_client *k)
{
    if (k->out_end && !flush(k))
        return false;
    if (k->out_end) /* it reads nothing: neither do we */
        return true;
    ssize_t n = recv(k->fd, k->in + k->in_end, ECHO_IN_BYTES - k->in_end, MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN)
        return answer_all(e, k, real_now()) && flush(k);
    if (n <= 0)
        return false;
    k->in_end += (uint32_t)n;
    return answer_all(e, k, real_now()) && flush(k);
}

static void welcome(mm_echo *e)
{
    int fd = accept4(e->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK), one = 1;
    if (fd < 0)
        return;
    uint32_t place = 0;
    while (place < e->n && e->clients[place].fd >= 0)
        place++;
    if (place == ECHO_CLIENTS) {
        close(fd);
        return;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    echo_client *k = &e->clients[place];
    k->fd = fd;
    k->knows = false;
    k->in_end = k->out_start = k->out_end = 0;
    e->n += place == e->n;
}

/* Stands still at the beginning of every period. */
static void stall(mm_echo *e, uint64_t began)
{
    if (!e->stall_every_ns)
        return;
    uint64_t period = (cannon_clock() - began) / e->stall_every_ns;
    if (period <= e->stalls)
        return;
    e->stalls = period;
    const struct timespec t = {(time_t)(e->stall_ns / 1000000000), (long)(e->stall_ns % 1000000000)};
    nanosleep(&t, NULL);
}

void mm_echo_run(mm_echo *e)
{
    struct pollfd *ready = calloc(ECHO_CLIENTS + 1, sizeof *ready);
    uint64_t began = cannon_clock();
    while (ready && !CANNON_GET(e->stop)) {
        ready[0] = (struct pollfd){e->listener, POLLIN, 0};
        for (uint32_t i = 0; i < e->n; i++) {
            const echo_client *k = &e->clients[i];
            ready[i + 1] = (struct pollfd){k->fd, k->out_end ? POLLOUT : POLLIN, 0};
        }
        uint32_t n = e->n;
        poll(ready, n + 1, ECHO_POLL_MS);
        stall(e, began);
        if (ready[0].revents)
            welcome(e);
        for (uint32_t i = 0; i < n; i++) {
            if (!ready[i + 1].revents || serve(e, &e->clients[i]))
                continue;
            close(e->clients[i].fd);
            e->clients[i].fd = -1;
        }
    }
    free(ready);
}
