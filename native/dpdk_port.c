/* DPDK: EAL, one port with one queue each way, the pool of buffers, and what is counted of them. Sound frames go up, everything else
 * ends here. A buffer is in one of four hands: the pool's, the driver's, the holder's of a frame (`lent`), or waits to be sent. */
#define _GNU_SOURCE
#include "dpdk_port.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_lcore.h>
#include <rte_log.h>
#include <rte_mbuf.h>
#include <rte_tcp.h>
#include <rte_version.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define DESCRIPTORS 1024
#define CACHE       256
#define PENDING     256 /* frames that wait for the driver; more than that are dropped */
#define LOG_TAIL    4096

struct mm_port {
    uint16_t id;
    uint8_t mac[6];
    uint16_t mtu;
    struct rte_mempool *pool;
    uint32_t buffers, lent; /* lent: atomic for who counts */
    bool registered, started;
    uint32_t n_pending;
    struct rte_mbuf *pending[PENDING];
    uint64_t rx_frames, rx_bytes, tx_frames, tx_bytes, rx_refused, tx_dropped, rx_bad, rx_ignored;
};

static mm_port the_port; /* EAL is one a process, and so is this */
static bool was_started;
static char last_said[256]; /* by EAL while it started: a driver that fails is no failure of EAL's */

static void add(uint64_t *counter, uint64_t n)
{
    __atomic_store_n(counter, *counter + n, __ATOMIC_RELAXED); /* one writer */
}

static uint64_t now(const uint64_t *counter)
{
    return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

static uint64_t raw_clock_ns(void) /* mm_now_ns(), which is in another library */
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC_RAW, &t);
    return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

/* --- start --- */

/* The last line in EAL's own words that says why, for whoever has to repair it. */
static void last_words(FILE *log, char *out, size_t size)
{
    char tail[LOG_TAIL + 1], *rest;
    const char *last = "it gave no reason";
    fflush(log);
    fseek(log, 0, SEEK_END);
    long end = ftell(log);
    fseek(log, end > LOG_TAIL ? end - LOG_TAIL : 0, SEEK_SET);
    tail[fread(tail, 1, LOG_TAIL, log)] = 0;
    for (const char *line = strtok_r(tail, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
        if (strspn(line, " \t\r") < strlen(line) && !strstr(line, "FATAL") && !strstr(line, "failed to initialize") &&
            !strstr(line, "probe failed"))
            last = line;
    snprintf(out, size, "%s", last);
}

/* What it and getopt would say on our stdout and stderr goes to the log while EAL starts: stdout is for the readiness line. */
typedef struct aside {
    int out, err;
} aside;

static aside turn_aside(FILE *log)
{
    fflush(NULL);
    aside a = {dup(STDOUT_FILENO), dup(STDERR_FILENO)};
    int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
    dup2(nowhere, STDOUT_FILENO); /* how EAL is used, in 100 lines */
    dup2(fileno(log), STDERR_FILENO);
    close(nowhere);
    return a;
}

static void turn_back(aside a)
{
    fflush(NULL);
    dup2(a.out, STDOUT_FILENO);
    dup2(a.err, STDERR_FILENO);
    close(a.out);
    close(a.err);
}

static bool start_eal(const mm_dpdk_config *config, char *why)
{
    char **argv = calloc(config->n_eal_words + 1u, sizeof *argv); /* EAL moves the words about */
    FILE *log = tmpfile();
    cpu_set_t before;
    bool known = pthread_getaffinity_np(pthread_self(), sizeof before, &before) == 0;
    if (!argv || !log) {
        snprintf(why, MM_PORT_WHY, "EAL's log cannot be kept: %s", strerror(errno));
        free(argv);
        if (log)
            fclose(log);
        return false;
    }
    for (uint32_t i = 0; i < config->n_eal_words; i++)
        argv[i] = strdup(config->eal_words[i]); /* and keeps some of them */
    rte_openlog_stream(log);
    aside before_log = turn_aside(log);
    int done = rte_eal_init((int)config->n_eal_words, argv);
    int error = rte_errno;
    turn_back(before_log);
    last_words(log, last_said, sizeof last_said);
    if (done < 0)
        snprintf(why, MM_PORT_WHY, "EAL refused its arguments: %s (%s)", last_said, rte_strerror(error));
    rte_openlog_stream(NULL);
    fclose(log);
    free(argv);
    if (known) /* EAL pins who starts it; the thread that polls goes there instead */
        pthread_setaffinity_np(pthread_self(), sizeof before, &before);
    return done >= 0;
}

static bool find_port(mm_port *p, char *why)
{
    uint16_t id, found = 0;
    RTE_ETH_FOREACH_DEV(id)
    {
        p->id = id;
        found++;
    }
    if (found == 0)
        snprintf(
            why, MM_PORT_WHY,
            "EAL found no port: name one, as --vdev=net_af_packet0,iface=veth0, or allow a card that vfio-pci has, "
            "-a ADDRESS. Its last words: %s",
            last_said);
    else if (found > 1)
        snprintf(why, MM_PORT_WHY,
                 "EAL found %u ports and the gateway has one: allow only that (-a ADDRESS, or --no-pci and one --vdev)",
                 found);
    return found == 1;
}

static bool failed(const char *what, int error, char *why)
{
    snprintf(why, MM_PORT_WHY, "%s: %s", what, rte_strerror(error < 0 ? -error : error));
    return false;
}

static bool start_port(mm_port *p, const mm_dpdk_config *config, char *why)
{
    struct rte_eth_conf conf = {0};
    struct rte_ether_addr mac;
    uint16_t rx = DESCRIPTORS, tx = DESCRIPTORS;
    int error, socket = rte_eth_dev_socket_id(p->id);
    p->buffers = config->buffers;
    p->pool = rte_pktmbuf_pool_create("matchmark", config->buffers, CACHE, MM_FRAME_PRIVATE,
                                      MM_FRAME_MAX + RTE_PKTMBUF_HEADROOM, socket < 0 ? SOCKET_ID_ANY : socket);
    if (!p->pool) {
        snprintf(why, MM_PORT_WHY, "no memory for %u frame buffers (%s): give EAL more with -m, or lower `buffers`",
                 config->buffers, rte_strerror(rte_errno));
        return false;
    }
    if ((error = rte_eth_dev_configure(p->id, 1, 1, &conf)) ||
        (error = rte_eth_dev_adjust_nb_rx_tx_desc(p->id, &rx, &tx)))
        return failed("the port cannot be configured", error, why);
    if ((error = rte_eth_rx_queue_setup(p->id, 0, rx, rte_eth_dev_socket_id(p->id), NULL, p->pool)) ||
        (error = rte_eth_tx_queue_setup(p->id, 0, tx, rte_eth_dev_socket_id(p->id), NULL)))
        return failed("the port has no queues", error, why);
    if ((error = rte_eth_dev_start(p->id)))
        return failed("the port does not start", error, why);
    p->started = true;
    if ((error = rte_eth_macaddr_get(p->id, &mac)))
        return failed("the port has no hardware address", error, why);
    memcpy(p->mac, mac.addr_bytes, 6);
    if (rte_eth_dev_get_mtu(p->id, &p->mtu) || p->mtu > 1500 || p->mtu < 576)
        p->mtu = 1500;
    return true;
}

mm_port *mm_port_open(const mm_dpdk_config *config, char *why)
{
    mm_port *p = &the_port;
    if (was_started) {
        snprintf(why, MM_PORT_WHY, "a process can start EAL only once");
        return NULL;
    }
    was_started = true;
    if (!start_eal(config, why))
        return NULL;
    if (find_port(p, why) && start_port(p, config, why))
        return p;
    mm_port_close(p);
    return NULL;
}

void mm_port_begin(mm_port *p)
{
    if (p->registered)
        return;
    p->registered = true;
    rte_cpuset_t set = rte_lcore_cpuset(rte_get_main_lcore());
    pthread_setaffinity_np(pthread_self(), sizeof set, &set);
    rte_thread_register(); /* where it cannot be, it shares the pool without a cache of its own: slower, and right */
}

void mm_port_address(const mm_port *p, uint8_t mac[6], uint32_t *mtu)
{
    memcpy(mac, p->mac, 6);
    *mtu = p->mtu;
}

/* --- in --- */

enum verdict { SOUND, BAD, IGNORED };

/* lwIP takes data without the ACK flag, and is not asked to make sense of SYN with an end in it. */
static bool flags_are_sane(uint8_t flags)
{
    if (flags & RTE_TCP_SYN_FLAG)
        return !(flags & (RTE_TCP_FIN_FLAG | RTE_TCP_RST_FLAG));
    return flags & (RTE_TCP_ACK_FLAG | RTE_TCP_RST_FLAG);
}

static enum verdict check_tcp(const struct rte_ipv4_hdr *ip, const char *l4, uint32_t length)
{
    const struct rte_tcp_hdr *tcp = (const struct rte_tcp_hdr *)l4;
    uint32_t header = length < sizeof *tcp ? 0 : (tcp->data_off >> 4) * 4u;
    if (header < sizeof *tcp || header > length || !flags_are_sane(tcp->tcp_flags))
        return BAD;
    uint32_t sum = rte_raw_cksum(l4, length) + (uint32_t)rte_ipv4_phdr_cksum(ip, 0);
    return (uint16_t)((sum & 0xffff) + (sum >> 16)) == 0xffff ? SOUND : BAD;
}

static enum verdict check(const mm_port *p, const char *data, uint32_t length)
{
    const struct rte_ether_hdr *ether = (const struct rte_ether_hdr *)data;
    if (length < sizeof *ether)
        return BAD;
    bool arp = ether->ether_type == rte_cpu_to_be_16(RTE_ETHER_TYPE_ARP), ours = !memcmp(&ether->dst_addr, p->mac, 6);
    if (!ours && !(arp && rte_is_broadcast_ether_addr(&ether->dst_addr))) /* TCP has no business in a broadcast frame */
        return IGNORED;
    if (arp)
        return length >= sizeof *ether + 28 ? SOUND : BAD;
    if (ether->ether_type != rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV4))
        return IGNORED;
    const struct rte_ipv4_hdr *ip = (const struct rte_ipv4_hdr *)(ether + 1);
    length -= sizeof *ether;
    if (length < sizeof *ip || ip->version_ihl >> 4 != 4)
        return BAD;
    uint32_t header = (ip->version_ihl & 15) * 4u, total = rte_be_to_cpu_16(ip->total_length);
    if (header < sizeof *ip || total < header || total > length || rte_raw_cksum(ip, header) != 0xffff)
        return BAD;
    if (ip->fragment_offset & rte_cpu_to_be_16(0x3fff))
        return BAD;
    if (ip->src_addr == ip->dst_addr || (rte_be_to_cpu_32(ip->src_addr) >> 24) == 127)
        return BAD; /* lwIP would answer to itself, and wants a thread of its own for that */
    return ip->next_proto_id == IPPROTO_TCP ? check_tcp(ip, (const char *)ip + header, total - header) : SOUND;
}

uint32_t mm_port_receive(mm_port *p, mm_frame *frames, bool *any)
{
    struct rte_mbuf *burst[MM_PORT_BURST];
    uint32_t n = rte_eth_rx_burst(p->id, 0, burst, MM_PORT_BURST), sound = 0, bytes = 0;
    if (!n)
        return 0;
    *any = true;
    uint64_t at_ns = raw_clock_ns();
    for (uint32_t i = 0; i < n; i++)
        rte_prefetch0(rte_pktmbuf_mtod(burst[i], void *));
    for (uint32_t i = 0; i < n; i++) {
        struct rte_mbuf *m = burst[i];
        bytes += m->pkt_len;
        const char *data = rte_pktmbuf_mtod(m, char *);
        enum verdict is = m->nb_segs > 1 || m->data_len > MM_FRAME_MAX ? BAD : check(p, data, m->data_len);
        if (is == SOUND) {
            frames[sound++] = (mm_frame){
                m, rte_pktmbuf_mtod(m, char *), m->data_len, rte_pktmbuf_tailroom(m), rte_mbuf_to_priv(m), at_ns};
            continue;
        }
        add(is == BAD ? &p->rx_bad : &p->rx_ignored, 1);
        rte_pktmbuf_free(m);
    }
    add(&p->rx_frames, n);
    add(&p->rx_bytes, bytes);
    __atomic_store_n(&p->lent, p->lent + sound, __ATOMIC_RELAXED);
    return sound;
}

void mm_port_give_back(mm_port *p, void *buffer)
{
    rte_pktmbuf_free(buffer);
    __atomic_store_n(&p->lent, p->lent - 1, __ATOMIC_RELAXED);
}

void mm_port_refuse(mm_port *p, void *buffer)
{
    add(&p->rx_refused, 1);
    mm_port_give_back(p, buffer);
}

bool mm_port_is_low(const mm_port *p, uint32_t rest)
{
    return p->lent > p->buffers - p->buffers / rest;
}

/* --- out --- */

char *mm_port_put(mm_port *p, uint32_t length)
{
    if (p->n_pending == PENDING)
        mm_port_flush(p);
    struct rte_mbuf *m = p->n_pending < PENDING && length <= MM_FRAME_MAX ? rte_pktmbuf_alloc(p->pool) : NULL;
    if (!m) {
        add(&p->tx_dropped, 1);
        return NULL;
    }
    add(&p->tx_bytes, length);
    p->pending[p->n_pending++] = m;
    return rte_pktmbuf_append(m, (uint16_t)length);
}

void mm_port_flush(mm_port *p)
{
    uint32_t sent = 0, n;
    while (sent < p->n_pending &&
           (n = rte_eth_tx_burst(p->id, 0, p->pending + sent, (uint16_t)(p->n_pending - sent))) > 0)
        sent += n;
    if (!sent)
        return;
    p->n_pending -= sent; /* what the driver has no room for stays first */
    memmove(p->pending, p->pending + sent, p->n_pending * sizeof *p->pending);
    add(&p->tx_frames, sent);
}

/* --- the rest --- */

void mm_port_count(const mm_port *p, mm_dpdk_counters *c)
{
    struct rte_eth_stats stats = {0};
    rte_eth_stats_get(p->id, &stats);
    c->rx_frames = now(&p->rx_frames);
    c->rx_bytes = now(&p->rx_bytes);
    c->tx_frames = now(&p->tx_frames);
    c->tx_bytes = now(&p->tx_bytes);
    c->rx_dropped = now(&p->rx_refused) + stats.imissed + stats.rx_nombuf;
    c->tx_dropped = now(&p->tx_dropped) + stats.oerrors;
    c->rx_bad = now(&p->rx_bad) + stats.ierrors;
    c->rx_ignored = now(&p->rx_ignored);
    c->buffers = p->buffers;
    c->buffers_in_use = rte_mempool_in_use_count(p->pool);
}

void mm_port_close(mm_port *p)
{
    if (p->started) {
        mm_port_flush(p);
        rte_pktmbuf_free_bulk(p->pending, p->n_pending);
        p->n_pending = 0;
        rte_eth_dev_stop(p->id);
        rte_eth_dev_close(p->id);
        p->started = false;
    }
    rte_eal_cleanup();
}

const char *mm_port_version(void)
{
    return rte_version();
}
