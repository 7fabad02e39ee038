/* The kernel's TCP as a carrier: non-blocking sockets, and epoll to wait for them. */
#define _GNU_SOURCE
#include "gateway_carrier.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define EVENTS   256
#define LISTENER UINT32_MAX

typedef struct tcp_carrier {
    mm_carrier carrier;
    int epoll, listen_fd;
} tcp_carrier;

static tcp_carrier *of(mm_carrier *self)
{
    return (tcp_carrier *)self;
}

static int watch_for(tcp_carrier *t, int op, int fd, uint32_t number, uint32_t events)
{
    struct epoll_event e = {.events = events, .data.u32 = number};
    return epoll_ctl(t->epoll, op, fd, &e);
}

static int hear(mm_carrier *self)
{
    return watch_for(of(self), EPOLL_CTL_ADD, of(self)->listen_fd, LISTENER, EPOLLIN);
}

/* A socket wakes it from its nap at once. */
static uint32_t look(mm_carrier *self, mm_carrier_event *events, uint32_t max, long nap_ns)
{
    struct epoll_event found[EVENTS];
    struct timespec nap = {0, nap_ns};
    int most = max < EVENTS ? (int)max : EVENTS;
    int n = epoll_pwait2(of(self)->epoll, found, most, &nap, NULL);
    if (n < 0 && errno == ENOSYS)
        n = epoll_wait(of(self)->epoll, found, most, nap_ns ? 1 : 0);
    for (int i = 0; i < n; i++) {
        uint32_t is = found[i].events, number = found[i].data.u32;
        events[i].place = number;
        events[i].what = number == LISTENER ? MM_CARRIER_NEWCOMERS
                                            : (is & EPOLLOUT ? MM_CARRIER_WRITABLE : 0u) |
                                                  (is & (EPOLLIN | EPOLLHUP | EPOLLERR) ? MM_CARRIER_READABLE : 0u);
    }
    return n > 0 ? (uint32_t)n : 0;
}

static int32_t next_newcomer(mm_carrier *self)
{
    int one = 1, fd = accept4(of(self)->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        return -1; /* nobody there, or no descriptors: they wait in the backlog */
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one);
    return fd;
}

static int watch(mm_carrier *self, int32_t fd, uint32_t place)
{
    return watch_for(of(self), EPOLL_CTL_ADD, fd, place, EPOLLIN);
}

static void want_write(mm_carrier *self, int32_t fd, uint32_t place, bool wanted)
{
    watch_for(of(self), EPOLL_CTL_MOD, fd, place, wanted ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

static bool not_now(void)
{
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
}

static int64_t receive(mm_carrier *self, int32_t fd, char *at, uint32_t room)
{
    (void)self;
    ssize_t n = recv(fd, at, room, MSG_DONTWAIT);
    return n > 0 ? n : n < 0 && not_now() ? 0 : -1;
}

static int64_t put(mm_carrier *self, int32_t fd, const char *from, uint32_t n)
{
    (void)self;
    ssize_t sent;
    do
        sent = send(fd, from, n, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent >= 0 ? sent : not_now() ? 0 : -1;
}

static void shut(mm_carrier *self, int32_t fd)
{
    (void)self;
    close(fd);
}

static void release(mm_carrier *self)
{
    if (of(self)->epoll >= 0)
        close(of(self)->epoll);
    close(of(self)->listen_fd);
    free(self);
}

mm_carrier *mm_tcp_carrier(int32_t listen_fd)
{
    tcp_carrier *t = malloc(sizeof *t);
    if (!t)
        return NULL;
    *t = (tcp_carrier){
        .carrier = {.version = MM_CARRIER_VERSION,
                    .listen = hear,
                    .poll = look,
                    .accept = next_newcomer,
                    .watch = watch,
                    .want_write = want_write,
                    .receive = receive,
                    .send = put,
                    .close = shut,
                    .free = release},
        .epoll = epoll_create1(EPOLL_CLOEXEC),
        .listen_fd = listen_fd,
    };
    if (t->epoll >= 0)
        return &t->carrier;
    free(t);
    return NULL;
}
