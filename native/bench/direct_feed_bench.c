/* How old a trade is when a receiver of the direct feed has it, beside what a multicast packet takes one way on this machine.
 *
 * Two threads that spin, a processor each. One is the engine and then the receiver: it puts an order that trades, lets the engine
 * publish, and looks at its socket until the trade is there. The other is the feed; in the turns between it sends back the
 * packets that come to it, of as many bytes: half of such a round trip is the floor. Then how many messages a second the feed
 * tells from a full ring. Usage: direct_feed_bench SHARED_DIRECTORY LOG_DIRECTORY ORDERS. Prints one JSON object. */
#define _GNU_SOURCE
#include "../direct_feed_packet.h"
#include "../ring.h"

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define GROUP       "239.255.41.9"
#define TURN        500
#define TRADE_BYTES (MM_DIRECT_HEADER_BYTES + 48 + 64)
#define PATIENCE_NS UINT64_C(10000000)

enum { FEED, ECHO, END };

typedef struct bench {
    mm_pipeline *p;
    mm_engine_loop *engine;
    mm_direct_feed *feed;
    int out, in, echo_out, echo_in; /* the feed's and the receiver's sockets; those of the way there of an echo */
    struct sockaddr_in group, echo_group;
    mm_word mode, taken;
    uint64_t orders;
} bench;

static const mm_config config = {
    .n_symbols = 1, .max_orders = 1 << 16, .max_levels = 1 << 16, .window_ticks = 4096, .hash_seed = 1};

static _Noreturn void stop(const char *text)
{
    fprintf(stderr, "direct_feed_bench: %s: %s\n", text, strerror(errno));
    exit(2);
}

static void pin(int processor)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(processor, &set);
    sched_setaffinity(0, sizeof set, &set); /* a hint: on a machine with fewer it stays where it is */
}

static int sender(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_DGRAM, 0), bytes = 1 << 22;
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof at) ||
        setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &at.sin_addr, sizeof at.sin_addr))
        stop("a socket that sends");
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
    return fd;
}

static int receiver(struct sockaddr_in *group)
{
    socklen_t length = sizeof *group;
    struct ip_mreq member = {.imr_interface.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_DGRAM, 0), bytes = 1 << 25;
    *group = (struct sockaddr_in){.sin_family = AF_INET};
    inet_aton(GROUP, &group->sin_addr);
    member.imr_multiaddr = group->sin_addr;
    if (fd < 0 || bind(fd, (struct sockaddr *)group, sizeof *group) ||
        getsockname(fd, (struct sockaddr *)group, &length) ||
        setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &member, sizeof member))
        stop("a socket that receives");
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes))
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
    return fd;
}

static void *other_side(void *of)
{
    bench *b = of;
    uint8_t bytes[MM_DIRECT_PACKET_BYTES];
    pin(1);
    for (uint64_t mode; (mode = mm_load(&b->mode)) != END;) {
        mm_store(&b->taken, mode);
        if (mode == FEED) {
            mm_direct_feed_run(b->feed, 200000, MM_WAIT_SPIN);
            continue;
        }
        ssize_t n = recv(b->echo_in, bytes, sizeof bytes, MSG_DONTWAIT);
        if (n > 0)
            sendto(b->out, bytes, (size_t)n, 0, (struct sockaddr *)&b->group, sizeof b->group);
    }
    return NULL;
}

static void become(bench *b, uint64_t mode)
{
    mm_store(&b->mode, mode);
    while (mm_load(&b->taken) != mode)
        mm_relax();
}

static void put(bench *b, uint8_t side)
{
    mm_order_message o = {
        .command = {.op = MM_NEW, .side = side, .cl_ord_id = ++b->orders, .price_ticks = 100, .quantity_lots = 1}};
    if (mm_orders_put(b->p, 0, &o, NULL) != MM_PUT_OK)
        stop("the order ring is full");
    while (!mm_engine_loop_poll(b->engine))
        ;
    const mm_report *reports;
    uint64_t n;
    while ((n = mm_reports_peek(b->p, 0, &reports, 64)))
        mm_reports_release(b->p, 0, n);
}

/* The next packet of the group that has `messages` messages, or bytes alone; 0 when it does not come. */
static size_t await(bench *b, uint8_t *bytes, uint16_t messages)
{
    uint64_t until = mm_now_ns() + PATIENCE_NS;
    for (uint32_t i = 1; i % 4096 || mm_now_ns() < until; i++) {
        ssize_t n = recv(b->in, bytes, MM_DIRECT_PACKET_BYTES, MSG_DONTWAIT);
        if (n > 0 &&
            (!messages ||
             ((mm_direct_packet *)(void *)(bytes - offsetof(mm_direct_packet, data)))->head.messages == messages))
            return (size_t)n;
    }
    return 0;
}

/* Nanoseconds from the engine's stamp of a trade to the trade; 0: it was lost. */
static uint64_t one_trade(bench *b)
{
    mm_direct_packet k;
    put(b, MM_SELL);
    await(b, k.data, 1);
    put(b, MM_BUY);
    if (!await(b, k.data, 2))
        return 0;
    uint64_t now = mm_now_ns(), matched;
    memcpy(&matched, k.data + MM_DIRECT_HEADER_BYTES + 48 + 16, sizeof matched);
    return now - matched;
}

static uint64_t one_echo(bench *b)
{
    uint8_t bytes[MM_DIRECT_PACKET_BYTES] = {0};
    uint64_t began = mm_now_ns();
    sendto(b->echo_out, bytes, TRADE_BYTES, 0, (struct sockaddr *)&b->echo_group, sizeof b->echo_group);
    return await(b, bytes, 0) ? (mm_now_ns() - began) / 2 : 0;
}

static int by_size(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static uint64_t at(const uint64_t *sorted, uint64_t n, double share)
{
    return n ? sorted[(uint64_t)(share * (double)(n - 1))] : 0;
}

/* Messages a second that the feed tells of what is in the ring, into one receiver's buffer. */
static double told_per_s(bench *b, uint64_t *received)
{
    mm_direct_settings settings = {
        .group = ntohl(b->group.sin_addr.s_addr), .port = ntohs(b->group.sin_port), .heartbeat_ns = UINT64_MAX};
    mm_fault fault;
    mm_direct_feed *feed = mm_direct_feed_make(b->p, "/nowhere", b->out, &settings, &fault);
    if (!feed)
        stop(fault.text);
    mm_direct_counters counters;
    uint64_t began = mm_now_ns();
    while (mm_direct_feed_poll(feed))
        ;
    uint64_t took = mm_now_ns() - began;
    mm_direct_feed_counters(feed, &counters);
    mm_direct_feed_close(feed);
    mm_direct_packet k;
    for (*received = 0; recv(b->in, k.data, sizeof k.data, MSG_DONTWAIT) > 0;)
        *received += k.head.messages;
    return (double)counters.messages * 1e9 / (double)took;
}

int main(int argc, char **argv)
{
    if (argc != 4)
        stop("usage: direct_feed_bench SHARED_DIRECTORY LOG_DIRECTORY ORDERS");
    uint64_t wanted = strtoull(argv[3], NULL, 10), n = 0, echoes = 0, lost = 0;
    mm_fault fault;
    mm_pipeline_config rings = {
        .gateways = 1, .order_slots = 1024, .audit_slots = 1 << 18, .report_slots = 1024, .epoch = 1};
    bench b = {0};
    if (mm_pipeline_create(argv[1], &rings, &fault) || !(b.p = mm_pipeline_attach(argv[1], &fault)) ||
        mm_gateway_join(b.p, 0, &fault) || !(b.engine = mm_engine_loop_open(b.p, argv[2], &config, &fault)))
        stop(fault.text);
    mm_pipeline_set_state(b.p, MM_RUNNING);
    b.out = sender();
    b.echo_out = sender();
    b.in = receiver(&b.group);
    b.echo_in = receiver(&b.echo_group);
    mm_direct_settings settings = {.group = ntohl(b.group.sin_addr.s_addr),
                                   .port = ntohs(b.group.sin_port),
                                   .told = UINT64_MAX,
                                   .heartbeat_ns = UINT64_MAX};
    if (!(b.feed = mm_direct_feed_make(b.p, argv[2], b.out, &settings, &fault)))
        stop(fault.text);
    uint64_t *trades = malloc(wanted * sizeof *trades), *floors = malloc(wanted * sizeof *floors);
    pthread_t thread;
    pin(0);
    if (!trades || !floors || pthread_create(&thread, NULL, other_side, &b))
        stop("no memory");
    for (uint64_t i = 0; i < TURN; i++)
        one_trade(&b); /* warm */
    while (n < wanted && lost < wanted) {
        become(&b, FEED);
        for (int i = 0; i < TURN && n < wanted; i++) {
            uint64_t took = one_trade(&b);
            trades[n] = took;
            n += took > 0;
            lost += !took;
        }
        become(&b, ECHO);
        for (int i = 0; i < TURN && echoes < wanted; i++) {
            uint64_t took = one_echo(&b);
            floors[echoes] = took;
            echoes += took > 0;
        }
    }
    mm_store(&b.mode, END);
    pthread_join(thread, NULL);
    qsort(trades, n, sizeof *trades, by_size);
    qsort(floors, echoes, sizeof *floors, by_size);
    uint64_t received;
    double per_s = told_per_s(&b, &received);
    printf("{\"trades\": %llu, \"lost\": %llu, \"p50_ns\": %llu, \"p99_ns\": %llu, \"floor_p50_ns\": %llu, "
           "\"floor_p99_ns\": %llu, "
           "\"messages_per_s\": %.0f, \"received\": %llu}\n",
           (unsigned long long)n, (unsigned long long)lost, (unsigned long long)at(trades, n, 0.5),
           (unsigned long long)at(trades, n, 0.99), (unsigned long long)at(floors, echoes, 0.5),
           (unsigned long long)at(floors, echoes, 0.99), per_s, (unsigned long long)received);
    return 0;
}
