/* A native FIX client that loads an exchange over TCP, or measures it wire to wire. One thread.
 *
 *   fix_load load HOST PORT TOKENS ORDERS WINDOW     ORDERS a session as fast as they go, WINDOW of them in flight
 *   fix_load ping HOST PORT TOKENS ORDERS PID CPU    one in flight, in turn with a spinning TCP echo of as many bytes, which takes the
 *                                                    place of the process PID on processor CPU: it is stopped meanwhile
 *
 * TOKENS is a file, a line a session: SenderCompID, symbol, token. Sessions 2n and 2n + 1 have a symbol together: one buys, the other
 * sells as much at the same price, so all is filled in the end and the book stays small. Every order must be acknowledged, once and
 * in order, and all lots be filled; sequence numbers must have no gap, BodyLength and CheckSum be right. Exit code 1 otherwise.
 * Prints one JSON object. */
#define _GNU_SOURCE
#include "fix_write.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { SESSIONS_MAX = 256, IN_BYTES = 1 << 18, OUT_BYTES = 1 << 15, LOTS = 10, CHUNK = 16 };

typedef struct session {
    int fd, sells;
    char sender[65], symbol[32], token[2048];
    mm_fix_envelope envelope;
    uint64_t next_out, next_in;  /* FIX numbers */
    uint64_t sent, acknowledged; /* orders; numbered from 0 in their ClOrdID */
    uint64_t filled_lots, reports;
    uint32_t in_start, in_end, out_start, out_end;
    char in[IN_BYTES + 64], out[OUT_BYTES];
} session;

static session *sessions;
static uint64_t first_name; /* ClOrdIDs are numbers from here on, so that another run's are others */
static uint32_t n_sessions;

static _Noreturn void stop(const char *what, const char *detail)
{
    int n = detail ? (int)strcspn(detail, "\001") : 0; /* a value of a message ends there */
    fprintf(stderr, "fix_load: %s%s%.*s\n", what, detail ? ": " : "", n, detail ? detail : "");
    exit(1);
}

static uint64_t clock_ns(clockid_t which)
{
    struct timespec t;
    clock_gettime(which, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* --- out --- */

/* Closes the message whose body ends at `at`; it was written from s->out + s->out_end with room for its head. */
static void finish(session *s, char *room, char *at)
{
    uint32_t length;
    const char *from = mm_fix_close(&s->envelope, room, at, &length);
    memmove(s->out + s->out_end, from, length);
    s->out_end += length;
}

static char *begin(session *s, char *room, const char *type)
{
    return mm_fix_put_header(&s->envelope, room, type, s->next_out++, clock_ns(CLOCK_REALTIME), 0);
}

static void put_order(session *s, uint64_t now_ns)
{
    char room[1024], *at = mm_fix_put_header(&s->envelope, room, "D", s->next_out++, now_ns, 0);
    at = put_digits(PUT(at, "11=O"), first_name + s->sent++, 15);
    at = put_text(PUT(at, "\00155="), s->symbol, (uint32_t)strlen(s->symbol));
    at = s->sells ? PUT(at, "\00154=2") : PUT(at, "\00154=1");
    at = PUT(at, "\00138=10\00140=2\00144=100.00\00159=0\00160=");
    at = mm_fix_put_utc(&s->envelope, at, now_ns);
    *at++ = 1;
    finish(s, room, at);
}

static void flush(session *s)
{
    while (s->out_start < s->out_end) {
        ssize_t n = send(s->fd, s->out + s->out_start, s->out_end - s->out_start, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN)
            return;
        if (n <= 0)
            stop("the exchange closed the connection", s->sender);
        s->out_start += (uint32_t)n;
    }
    s->out_start = s->out_end = 0;
}

/* --- in --- */

static const char *value_of(const char *from, const char *end, const char *tag, uint32_t n)
{
    const char *found = memmem(from, (size_t)(end - from), tag, n);
    return found ? found + n : NULL;
}

static uint64_t number_at(const char *p)
{
    uint64_t value = 0;
    while (*p >= '0' && *p <= '9')
        value = value * 10 + (uint64_t)(*p++ - '0');
    return value;
}

static uint32_t sum_of(const char *p, const char *end)
{
    uint32_t sum = 0;
    while (p < end)
        sum += (unsigned char)*p++;
    return sum & 255;
}

/* One whole message. `check`: its CheckSum too, which a load generator leaves to one in so many. */
static void take(session *s, const char *from, uint32_t length)
{
    const char *end = from + length;
    if (number_at(end - 4) != sum_of(from, end - 7))
        stop("a CheckSum is wrong", s->sender);
    const char *seq = value_of(from + 12, end, "\00134=", 4), *type = value_of(from + 12, end, "\00135=", 4);
    if (!seq || !type)
        stop("a message without type or number", s->sender);
    if (number_at(seq) != s->next_in++)
        stop("a gap in the exchange's sequence numbers", s->sender);
    if (*type != '8') {
        if (*type == 'A' || *type == '0')
            return;
        stop("neither a report nor a heartbeat", from);
    }
    s->reports++;
    const char *what = value_of(seq, end, "\001150=", 5), *name = value_of(seq, end, "\00111=O", 5);
    if (!what || !name)
        stop("a report without ExecType or ClOrdID", s->sender);
    if (*what == '0') {
        if (number_at(name) - first_name != s->acknowledged++)
            stop("an order was not acknowledged, or twice", s->sender);
    } else if (*what == 'F')
        s->filled_lots += number_at(value_of(what, end, "\00132=", 4));
    else
        stop("an order was refused", value_of(what, end, "\00158=", 4));
}

/* Reads what is there. Returns how many messages it took. */
static uint32_t receive(session *s)
{
    ssize_t n = recv(s->fd, s->in + s->in_end, IN_BYTES - s->in_end, MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN)
        return 0;
    if (n <= 0)
        stop("the exchange closed the connection", s->sender);
    s->in_end += (uint32_t)n;
    uint32_t taken = 0;
    while (s->in_end - s->in_start > 24) {
        const char *from = s->in + s->in_start, *digits = from + 12;
        if (memcmp(from, "8=FIX.4.4\0019=", 12) != 0)
            stop("a message does not begin where BodyLength says", s->sender);
        const char *body = memchr(digits, 1, 8);
        uint64_t length = (uint64_t)(body + 1 - from) + number_at(digits) + 7;
        if (s->in_end - s->in_start < length)
            break;
        if (memcmp(from + length - 8, "\00110=", 4) != 0)
            stop("a message does not end where BodyLength says", s->sender);
        take(s, from, (uint32_t)length);
        s->in_start += (uint32_t)length;
        taken++;
    }
    memmove(s->in, s->in + s->in_start, s->in_end - s->in_start);
    s->in_end -= s->in_start;
    s->in_start = 0;
    return taken;
}

/* --- sessions --- */

static int connect_to(const char *host, const char *port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || inet_pton(AF_INET, host, &to.sin_addr) != 1 || connect(fd, (struct sockaddr *)&to, sizeof to))
        stop("cannot connect", strerror(errno));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

static void log_on(session *s, const char *host, const char *port)
{
    char room[4096], *at;
    s->fd = connect_to(host, port);
    s->next_out = s->next_in = 1;
    if (!mm_fix_envelope_make(&s->envelope, "FIX.4.4", s->sender, "MATCHMARK"))
        stop("a SenderCompID that FIX does not allow", s->sender);
    at = PUT(begin(s, room, "A"), "98=0\001108=60\001141=Y\001554=");
    at = put_text(at, s->token, (uint32_t)strlen(s->token));
    *at++ = 1;
    finish(s, room, at);
    flush(s);
    for (uint64_t until = clock_ns(CLOCK_MONOTONIC) + 10000000000u; !receive(s);)
        if (clock_ns(CLOCK_MONOTONIC) > until)
            stop("no answer to a logon", s->sender);
}

static void read_sessions(const char *path, const char *host, const char *port)
{
    FILE *f = fopen(path, "r");
    sessions = calloc(SESSIONS_MAX, sizeof *sessions);
    if (!f || !sessions)
        stop("cannot read the tokens", path);
    for (session *s = sessions; n_sessions < SESSIONS_MAX; s++, n_sessions++) {
        if (fscanf(f, "%64s %31s %2047s", s->sender, s->symbol, s->token) != 3)
            break;
        s->sells = (int)(n_sessions & 1);
        log_on(s, host, port);
    }
    fclose(f);
    if (!n_sessions || n_sessions % 2)
        stop("sessions must come in pairs", path);
}

/* --- load --- */

static void load(uint64_t orders, uint64_t window)
{
    uint64_t start = clock_ns(CLOCK_MONOTONIC), left = n_sessions, reports = 0, last = start;
    const struct timespec nap = {0,
                                 50000}; /* nothing came and nothing may go: its processor is the audit writer's too */
    while (left) {
        left = 0;
        bool moved = false;
        uint64_t now = clock_ns(CLOCK_REALTIME);
        for (session *s = sessions; s < sessions + n_sessions; s++) {
            while (s->sent < orders && s->sent - s->acknowledged + CHUNK <= window &&
                   OUT_BYTES - s->out_end > CHUNK * 256)
                for (int i = 0; i < CHUNK && s->sent < orders; i++)
                    put_order(s, now);
            moved = moved || s->out_end;
            flush(s);
            moved = receive(s) || moved;
            left += s->acknowledged < orders || s->filled_lots < orders * LOTS;
        }
        if (!moved)
            nanosleep(&nap, NULL);
        else
            last = clock_ns(CLOCK_MONOTONIC);
        if (clock_ns(CLOCK_MONOTONIC) - last > 20000000000u)
            stop("nothing came for 20 s: orders were lost", NULL);
    }
    double seconds = (double)(clock_ns(CLOCK_MONOTONIC) - start) / 1e9;
    for (session *s = sessions; s < sessions + n_sessions; s++) {
        reports += s->reports;
        if (s->acknowledged != orders || s->filled_lots != orders * LOTS)
            stop("more was filled or acknowledged than was sent", s->sender);
    }
    printf("{\"orders\":%llu,\"sessions\":%u,\"window\":%llu,\"seconds\":%.3f,\"orders_per_s\":%.0f,\"reports\":%llu,"
           "\"client_cpu_ns_per_order\":%.0f}\n",
           (unsigned long long)(orders * n_sessions), n_sessions, (unsigned long long)window, seconds,
           (double)(orders * n_sessions) / seconds, (unsigned long long)reports,
           (double)clock_ns(CLOCK_PROCESS_CPUTIME_ID) / (double)(orders * n_sessions));
}

/* --- ping --- */

static pid_t exchange;     /* stopped while the echo has its processor */
static int echo_processor; /* the exchange's */

static _Noreturn void echo(int listener)
{
    char bytes[4096];
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(echo_processor, &set);
    if (sched_setaffinity(0, sizeof set, &set))
        _exit(1);
    int one = 1, fd = accept(listener, NULL, NULL);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    for (;;) {
        ssize_t n = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno != EAGAIN) || (n > 0 && bytes[0] == '.'))
            _exit(0);
        if (n > 0 && send(fd, bytes, (size_t)n, MSG_NOSIGNAL) != n)
            _exit(1);
    }
}

static void let_it_go_on(void)
{
    kill(exchange, SIGCONT);
}

/* A block of echoes by a process that lives as long as it lasts. */
static void echo_block(uint64_t n, uint64_t *took, size_t bytes)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    char port[16], text[512];
    memset(text, 'x', sizeof text);
    if (bind(listener, (struct sockaddr *)&at, sizeof at) || listen(listener, 1) ||
        getsockname(listener, (struct sockaddr *)&at, &size))
        stop("no port for the echo", strerror(errno));
    kill(exchange, SIGSTOP);
    pid_t child = fork();
    if (child == 0)
        echo(listener);
    snprintf(port, sizeof port, "%u", ntohs(at.sin_port));
    int fd = connect_to("127.0.0.1", port);
    for (uint64_t i = 0; i < n; i++) {
        uint64_t start = clock_ns(CLOCK_MONOTONIC);
        if (send(fd, text, bytes, MSG_NOSIGNAL) != (ssize_t)bytes)
            stop("the echo is gone", NULL);
        for (size_t got = 0; got < bytes;) {
            ssize_t part = recv(fd, text, sizeof text, MSG_DONTWAIT);
            got += part > 0 ? (size_t)part : 0;
        }
        took[i] = clock_ns(CLOCK_MONOTONIC) - start;
    }
    close(fd);
    close(listener);
    waitpid(child, NULL, 0);
    let_it_go_on();
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void print_quantiles(const char *name, uint64_t *took, uint64_t n)
{
    qsort(took, n, sizeof *took, by_value);
    printf("\"%s_p50_us\":%.2f,\"%s_p99_us\":%.2f,\"%s_p999_us\":%.2f,", name, (double)took[n / 2] / 1e3, name,
           (double)took[n * 99 / 100] / 1e3, name, (double)took[n * 999 / 1000] / 1e3);
}

/* Until all that was asked for is there: the acknowledgement, and the fill where the other side waits already. */
static uint64_t one_order(session *s)
{
    uint64_t start = clock_ns(CLOCK_MONOTONIC), wanted = s->acknowledged + 1;
    put_order(s, clock_ns(CLOCK_REALTIME));
    flush(s);
    while (s->acknowledged < wanted)
        receive(s);
    return clock_ns(CLOCK_MONOTONIC) - start;
}

static void ping(uint64_t orders)
{
    enum { BLOCK = 1000 };
    uint64_t n = orders / BLOCK * BLOCK;
    uint64_t *took = calloc(n + 1, sizeof *took), *floors = calloc(n + 1, sizeof *floors);
    if (!n || !took || !floors)
        stop("ORDERS must be at least 1000", NULL);
    for (uint64_t i = 0; i < 2000; i++)
        one_order(&sessions[i & 1]); /* warms up */
    for (uint64_t at = 0; at < n; at += BLOCK) {
        echo_block(BLOCK, floors + at, 160);
        for (uint64_t i = 0; i < BLOCK; i++)
            took[at + i] = one_order(&sessions[i & 1]);
        for (uint64_t until = clock_ns(CLOCK_MONOTONIC) + 1000000; clock_ns(CLOCK_MONOTONIC) < until;)
            receive(&sessions[0]), receive(&sessions[1]);
    }
    printf("{\"samples\":%llu,", (unsigned long long)n);
    print_quantiles("order", took, n);
    print_quantiles("echo", floors, n);
    printf("\"p50_ratio\":%.2f,\"p99_ratio\":%.2f}\n", (double)took[n / 2] / (double)floors[n / 2],
           (double)took[n * 99 / 100] / (double)floors[n * 99 / 100]);
    free(took);
    free(floors);
}

int main(int argc, char **argv)
{
    bool loads = argc == 7 && !strcmp(argv[1], "load"), pings = argc == 8 && !strcmp(argv[1], "ping");
    if (!loads && !pings)
        stop("usage: fix_load load HOST PORT TOKENS ORDERS WINDOW | ping HOST PORT TOKENS ORDERS PID CPU", NULL);
    first_name = clock_ns(CLOCK_REALTIME) / 1000000 % 100000000 * 10000000; /* another millisecond, other names */
    read_sessions(argv[4], argv[2], argv[3]);
    if (loads)
        load(strtoull(argv[5], NULL, 10), strtoull(argv[6], NULL, 10));
    else {
        exchange = (pid_t)atoi(argv[6]);
        echo_processor = atoi(argv[7]);
        atexit(let_it_go_on);
        ping(strtoull(argv[5], NULL, 10));
    }
    return 0;
}
