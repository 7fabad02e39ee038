/* Both ends of a port without a kernel: a bare TCP echo, and a FIX client, each on lwIP and DPDK as the exchange's gateway is.
 *
 *     wire_bench echo ADDRESS -- EAL ...
 *     wire_bench ping|load ADDRESS SERVER ORDERS LOGON -- EAL ...      LOGON: file with a Logon, or "-": the server echoes
 *
 * ping: one message in flight, and how long its answer takes. load: WINDOW in flight, and how many a second. Prints JSON. It spins. */
#define _GNU_SOURCE
#include "lwip_netif.h"

#include <arpa/inet.h>
#include <lwip/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TCP_PORT   9878
#define WINDOW     256
#define WARM_UP    2000
#define TEXT       256
#define TIMEOUT_NS UINT64_C(60000000000)

static mm_port *port;
static struct tcp_pcb *connection;
static bool connected, gone, echoes;
static uint64_t answers, bytes_heard;
static char tail[16];
static uint32_t n_tail, message_bytes;
static bool admitted;

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC_RAW, &t);
    return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

static _Noreturn void give_up(const char *why)
{
    fprintf(stderr, "wire_bench: %s\n", why);
    exit(1);
}

static void poll_port(void)
{
    mm_frame frames[MM_PORT_BURST];
    bool any = false;
    uint32_t n = mm_port_receive(port, frames, &any);
    for (uint32_t i = 0; i < n; i++)
        mm_netif_input(&frames[i]);
    mm_netif_timers();
    mm_port_flush(port);
}

/* --- echo --- */

static err_t echo_bytes(void *arg, struct tcp_pcb *pcb, struct pbuf *p, err_t err)
{
    (void)arg;
    (void)err;
    if (!p)
        return tcp_close(pcb);
    for (const struct pbuf *q = p; q; q = q->next)
        if (tcp_write(pcb, q->payload, q->len, TCP_WRITE_FLAG_COPY) != ERR_OK)
            give_up("the echo has no room");
    tcp_recved(pcb, p->tot_len);
    pbuf_free(p);
    return tcp_output(pcb);
}

static err_t echo_newcomer(void *arg, struct tcp_pcb *pcb, err_t err)
{
    (void)arg;
    if (err != ERR_OK)
        return err;
    tcp_nagle_disable(pcb);
    tcp_recv(pcb, echo_bytes);
    return ERR_OK;
}

static _Noreturn void echo(void)
{
    struct tcp_pcb *bound = tcp_new();
    tcp_bind(bound, IP_ADDR_ANY, TCP_PORT);
    tcp_accept(tcp_listen(bound), echo_newcomer);
    printf("ready\n");
    fflush(stdout);
    for (;;)
        poll_port();
}

/* --- client --- */

/* Counts acceptances, whatever the segments are: the end of what came before is looked at again with what comes. */
static void count(const char *from, uint32_t n)
{
    static const char accepted[] = "\001150=0\001", logon[] = "\00135=A\001";
    char seam[2 * sizeof tail];
    uint32_t head = n < sizeof tail ? n : sizeof tail;
    memcpy(seam, tail, n_tail);
    memcpy(seam + n_tail, from, head);
    for (uint32_t part = 0; part < 2; part++) {
        const char *at = part ? from : seam, *end = part ? from + n : seam + n_tail + head;
        const char *first = part ? NULL : seam + n_tail; /* at the seam only what begins before it and ends behind */
        for (const char *f = at; (f = memmem(f, (size_t)(end - f), accepted, sizeof accepted - 1)) != NULL; f++)
            answers += part || (f < first && f + sizeof accepted - 1 > first);
        if (!admitted && memmem(at, (size_t)(end - at), logon, sizeof logon - 1))
            admitted = true;
    }
    if (n >= sizeof accepted - 2) {
        n_tail = sizeof accepted - 2;
        memcpy(tail, from + n - n_tail, n_tail);
        return;
    }
    uint32_t keep = n_tail + n < sizeof accepted - 2 ? n_tail : (uint32_t)(sizeof accepted - 2) - n;
    memmove(tail, tail + n_tail - keep, keep);
    memcpy(tail + keep, from, n);
    n_tail = keep + n;
}

static err_t heard(void *arg, struct tcp_pcb *pcb, struct pbuf *p, err_t err)
{
    (void)arg;
    (void)err;
    if (!p) {
        gone = true;
        return ERR_OK;
    }
    bytes_heard += p->tot_len;
    for (const struct pbuf *q = p; q && !echoes; q = q->next)
        count(q->payload, q->len);
    if (echoes)
        answers = bytes_heard / message_bytes;
    tcp_recved(pcb, p->tot_len);
    pbuf_free(p);
    return ERR_OK;
}

static void lost(void *arg, err_t err)
{
    (void)arg;
    (void)err;
    gone = true;
}

static err_t opened(void *arg, struct tcp_pcb *pcb, err_t err)
{
    (void)arg;
    (void)pcb;
    (void)err;
    connected = true;
    return ERR_OK;
}

static void wait_until(const bool *done, const char *what)
{
    uint64_t until = now_ns() + TIMEOUT_NS;
    while (!*done) {
        poll_port();
        if (gone)
            give_up("the connection ended");
        if (now_ns() > until)
            give_up(what);
    }
}

/* An order of fixed length that trades with nobody and rests nowhere: immediate or cancel. */
static void write_order(char *out, uint32_t number, const char *when)
{
    char body[TEXT];
    int n =
        snprintf(body, sizeof body,
                 "35=D\00134=%07u\00149=S1\00156=MATCHMARK\00152=%s\00111=o%07u\00155=SYM1\00154=1\00160=%s\00138=1\001"
                 "40=2\00144=100.00\00159=3\001",
                 number, when, number, when);
    int length = snprintf(out, TEXT, "8=FIX.4.4\0019=%03d\001%s", n, body);
    unsigned sum = 0;
    for (int i = 0; i < length; i++)
        sum += (unsigned char)out[i];
    length += snprintf(out + length, (size_t)(TEXT - length), "10=%03u\001", sum % 256);
    if (message_bytes && message_bytes != (uint32_t)length)
        give_up("orders of different lengths");
    message_bytes = (uint32_t)length;
}

static int by_size(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void say(const char *from, uint32_t n)
{
    while (n) {
        uint32_t room = tcp_sndbuf(connection), part = n < room ? n : room;
        if (gone)
            give_up("the connection ended");
        if (part && tcp_write(connection, from, (u16_t)part, TCP_WRITE_FLAG_COPY) == ERR_OK) {
            from += part;
            n -= part;
            tcp_output(connection);
        }
        if (n)
            poll_port();
    }
    mm_port_flush(port);
}

static void log_on(const char *path)
{
    char text[4096];
    FILE *file = fopen(path, "rb");
    if (!file)
        give_up("no Logon");
    uint32_t n = (uint32_t)fread(text, 1, sizeof text, file);
    fclose(file);
    say(text, n);
    wait_until(&admitted, "no answer to the Logon");
}

static void measure(uint32_t orders, uint32_t window)
{
    char when[32], *all = malloc((size_t)(orders + WARM_UP) * TEXT);
    uint64_t *took = calloc(orders, sizeof *took), began = 0, base = answers;
    time_t wall = time(NULL);
    struct tm utc;
    if (!all || !took)
        give_up("no memory");
    strftime(when, sizeof when, "%Y%m%d-%H:%M:%S", gmtime_r(&wall, &utc));
    for (uint32_t i = 0; i < orders + WARM_UP; i++)
        write_order(all + (size_t)i * TEXT, i + 2, when);
    bytes_heard = 0;
    if (echoes)
        base = answers = 0;
    for (uint32_t i = 0; i < orders + WARM_UP; i++) {
        uint64_t sent = now_ns(), until = sent + TIMEOUT_NS;
        if (i == WARM_UP)
            began = sent;
        say(all + (size_t)i * TEXT, message_bytes);
        uint64_t enough = window == 1 || i + 1 == orders + WARM_UP ? i + 1u : i + 1u > window ? i + 1u - window : 0;
        while (answers - base < enough) {
            poll_port();
            if (gone)
                give_up("the connection ended");
            if (now_ns() > until)
                give_up("an answer did not come");
        }
        if (i >= WARM_UP)
            took[i - WARM_UP] = now_ns() - sent;
    }
    double seconds = (double)(now_ns() - began) / 1e9;
    qsort(took, orders, sizeof *took, by_size);
    mm_dpdk_counters c;
    mm_port_count(port, &c);
    printf("{\"messages\": %u, \"bytes\": %u, \"per_s\": %.0f, \"p50_us\": %.3f, \"p99_us\": %.3f, \"p999_us\": %.3f, "
           "\"frames\": %llu, \"dropped\": %llu}\n",
           orders, message_bytes, orders / seconds, (double)took[orders / 2] / 1e3,
           (double)took[orders / 100 * 99] / 1e3, (double)took[orders / 1000 * 999] / 1e3,
           (unsigned long long)(c.rx_frames + c.tx_frames),
           (unsigned long long)(c.rx_dropped + c.tx_dropped + c.rx_bad));
}

int main(int argc, char **argv)
{
    char why[MM_PORT_WHY];
    int words = 1;
    while (words < argc && strcmp(argv[words], "--") != 0)
        words++;
    if (words == argc || words < 3)
        give_up("usage: echo ADDRESS -- EAL ..., ping|load ADDRESS SERVER ORDERS LOGON -- EAL ...");
    const char **eal = (const char **)argv + words;
    eal[0] = "wire_bench";
    mm_dpdk_config config = {.eal_words = eal,
                             .n_eal_words = (uint32_t)(argc - words),
                             .netmask = {255, 255, 255, 0},
                             .connections = 8,
                             .buffers = 8192};
    inet_pton(AF_INET, argv[2], config.address);
    if (!(port = mm_port_open(&config, why)) || !mm_netif_open(port, &config, why))
        give_up(why);
    mm_port_begin(port);
    if (argv[1][0] == 'e')
        echo();
    ip_addr_t server;
    if (words < 6 || !ipaddr_aton(argv[3], &server))
        give_up("ping|load ADDRESS SERVER ORDERS LOGON");
    echoes = argv[5][0] == '-';
    connection = tcp_new();
    tcp_nagle_disable(connection);
    tcp_recv(connection, heard);
    tcp_err(connection, lost);
    tcp_connect(connection, &server, TCP_PORT, opened);
    wait_until(&connected, "no connection");
    if (!echoes)
        log_on(argv[5]);
    measure((uint32_t)atoi(argv[4]), argv[1][0] == 'p' ? 1 : WINDOW);
    tcp_abort(connection);
    mm_port_flush(port);
    return 0;
}
