/* Many subscribers in one process, for the benchmarks of market data: market_data_clients PORT CLIENTS PATH REQUEST COUNTERS
 *
 * Connects, upgrades, sends REQUEST (an empty one: nothing) and then reads until stdin is closed. COUNTERS is a file of 2 + 200,000
 * words of 64 bits that is mapped: frames and bytes received, then how many Updates took so many units of 10 us from their made_ns,
 * which is the last field of the message, to here. Frames are taken to be short and whole. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BUCKETS = 200000, BUCKET_NS = 10000, BUFFER = 1 << 16, EVENTS = 1024, AT_ONCE = 500 };

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static int asked(int port, const char *path)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&at, sizeof at) < 0)
        die("connect");
    char text[8192];
    int n = snprintf(text, sizeof text,
                     "GET %s HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                     "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
                     path);
    if (send(fd, text, (size_t)n, 0) != n)
        die("send");
    return fd;
}

/* Takes the answer to the upgrade and no byte behind it, and sends the request. */
static void upgraded(int fd, const char *request)
{
    char text[8192], *end = NULL;
    while (!end) {
        ssize_t n = recv(fd, text, sizeof text - 1, MSG_PEEK);
        if (n <= 0)
            die("no upgrade");
        text[n] = 0;
        end = strstr(text, "\r\n\r\n");
    }
    if (recv(fd, text, (size_t)(end + 4 - text), 0) != end + 4 - text)
        die("no upgrade");
    size_t length = strlen(request), head = length < 126 ? 2 : 4;
    if (length) {
        text[0] = (char)0x81;
        text[1] = (char)(0x80 | (length < 126 ? length : 126));
        text[2] = (char)(length >> 8);
        text[3] = (char)length;
        memset(text + head, 0, 4);
        memcpy(text + head + 4, request, length);
        if (send(fd, text, length + head + 4, 0) != (ssize_t)(length + head + 4))
            die("send");
    }
    fcntl(fd, F_SETFL, O_NONBLOCK);
}

static void take(const uint8_t *p, ssize_t n, uint64_t now, uint64_t *counters)
{
    counters[1] += (uint64_t)n;
    while (n >= 2) {
        ssize_t head = p[1] < 126 ? 2 : 4, length = p[1] < 126 ? p[1] : p[2] << 8 | p[3];
        if (p[1] == 127 || n < head + length)
            return;
        if (p[0] == 0x82 && length > 9 && p[head + length - 9] == 0x51) {
            uint64_t made;
            memcpy(&made, p + head + length - 8, 8);
            uint64_t bucket = (now - made) / BUCKET_NS;
            counters[2 + (bucket < BUCKETS ? bucket : BUCKETS - 1)]++;
        }
        counters[0]++;
        p += head + length;
        n -= head + length;
    }
}

int main(int argc, char **argv)
{
    if (argc != 6)
        return 2;
    int port = atoi(argv[1]), clients = atoi(argv[2]), file = open(argv[5], O_RDWR), epoll = epoll_create1(0);
    uint64_t *counters = mmap(NULL, (BUCKETS + 2) * sizeof(uint64_t), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (counters == MAP_FAILED || epoll < 0)
        die("counters");
    for (int i = 0, fds[AT_ONCE]; i < clients;) {
        int n = 0;
        for (; n < AT_ONCE && i < clients; i++)
            fds[n++] = asked(port, argv[3]);
        for (int k = 0; k < n; k++) {
            upgraded(fds[k], argv[4]);
            struct epoll_event event = {.events = EPOLLIN, .data.fd = fds[k]};
            epoll_ctl(epoll, EPOLL_CTL_ADD, fds[k], &event);
        }
    }
    puts("ready");
    fflush(stdout);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = 0}, events[EVENTS];
    epoll_ctl(epoll, EPOLL_CTL_ADD, 0, &event);
    static uint8_t buffer[BUFFER];
    for (;;) {
        int n = epoll_wait(epoll, events, EVENTS, -1);
        for (int i = 0; i < n; i++) {
            int fd = events[i].data.fd;
            if (fd == 0)
                return 0;
            ssize_t got = recv(fd, buffer, sizeof buffer, 0);
            if (got > 0)
                take(buffer, got, now_ns(), counters);
            else if (got == 0 || errno != EAGAIN)
                epoll_ctl(epoll, EPOLL_CTL_DEL, fd, NULL);
        }
    }
}
