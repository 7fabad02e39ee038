/* The kernel's TCP as a carrier: non-blocking sockets, and epoll to wait for them. */
#define _GNU_SOURCE
#include "gateway_carrier.h"
#include "matchmark/pipeline.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define EVENTS   256
#define LISTENER UINT32_MAX

typedef struct tcp_carrier {
    mm_carrier carrier;
    int epoll, listen_fd;
    struct timespec
        stamp; /* of what was received last: when the kernel had its last segment, by the wall clock; zeros: it did not say */
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
    setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &one,
               sizeof one); /* where it is not to be had, the way is not measured */
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
    tcp_carrier *t = of(self);
    union {
        char bytes[CMSG_SPACE(sizeof(struct timespec))];
        struct cmsghdr first;
    } control;
    struct iovec to = {at, room};
    struct msghdr m = {
        .msg_iov = &to, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control.bytes};
    ssize_t n = recvmsg(fd, &m, MSG_DONTWAIT);
    const struct cmsghdr *said = n > 0 ? CMSG_FIRSTHDR(&m) : NULL;
    t->stamp = (struct timespec){0};
    if (said && said->cmsg_level == SOL_SOCKET && said->cmsg_type == SCM_TIMESTAMPNS)
        memcpy(&t->stamp, CMSG_DATA(said), sizeof t->stamp);
    return n > 0 ? n : n < 0 && not_now() ? 0 : -1;
}

/* The kernel stamps by the wall clock, so what is measured is how long ago that was. A clock that was set meanwhile spoils one time. */
static uint64_t arrived(mm_carrier *self, int32_t fd)
{
    const struct timespec *stamp = &of(self)->stamp;
    struct timespec now;
    (void)fd;
    if (!stamp->tv_sec)
        return 0;
    clock_gettime(CLOCK_REALTIME, &now);
    int64_t ago = (int64_t)(now.tv_sec - stamp->tv_sec) * 1000000000 + (now.tv_nsec - stamp->tv_nsec);
    return ago >= 0 ? mm_now_ns() - (uint64_t)ago : 0;
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
                    .arrived = arrived,
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
