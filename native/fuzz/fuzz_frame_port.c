/* The port of fuzz_frame.c: dpdk_port.c as it is, over a driver that is two lists of this file, so that no EAL is started and every
 * frame lies in memory of exactly its size, where the sanitizer sees who reads beside it. */
#include "fuzz_frame_port.h"

#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_mbuf.h>
#include <rte_tcp.h>
#include <stdlib.h>
#include <string.h>

static struct rte_mbuf *waiting[FUZZ_WAITING_MAX];
static uint32_t n_waiting, n_made;

static struct rte_mbuf *make(uint32_t room)
{
    struct rte_mbuf *m = aligned_alloc(64, sizeof *m + MM_FRAME_PRIVATE);
    memset(m, 0, sizeof *m + MM_FRAME_PRIVATE);
    m->buf_addr = malloc(room);
    m->buf_len = (uint16_t)room;
    m->priv_size = MM_FRAME_PRIVATE;
    m->nb_segs = 1;
    n_made++;
    return m;
}

static void fuzz_free(struct rte_mbuf *m)
{
    free(m->buf_addr);
    free(m);
    n_made--;
}

static struct rte_mbuf *fuzz_alloc(struct rte_mempool *pool)
{
    (void)pool;
    return make(MM_FRAME_MAX);
}

static uint16_t fuzz_receive(uint16_t port, uint16_t queue, struct rte_mbuf **burst, uint16_t most)
{
    uint16_t n = (uint16_t)(n_waiting < most ? n_waiting : most);
    (void)port;
    (void)queue;
    memcpy(burst, waiting, n * sizeof *burst);
    n_waiting -= n;
    memmove(waiting, waiting + n, n_waiting * sizeof *waiting);
    return n;
}

static uint16_t fuzz_send(uint16_t port, uint16_t queue, struct rte_mbuf **burst, uint16_t n)
{
    (void)port;
    (void)queue;
    for (uint16_t i = 0; i < n; i++)
        fuzz_free(burst[i]);
    return n;
}

#define rte_eth_rx_burst  fuzz_receive
#define rte_eth_tx_burst  fuzz_send
#define rte_pktmbuf_free  fuzz_free
#define rte_pktmbuf_alloc fuzz_alloc
#define mm_port_open      real_open
#include "../dpdk_port.c"
#undef mm_port_open

mm_port *mm_port_open(const mm_dpdk_config *config, char *why)
{
    mm_port *p = &the_port;
    (void)why;
    (void)real_open; /* which needs EAL */
    p->buffers = config->buffers;
    p->mtu = 1500;
    p->registered = true;
    memcpy(p->mac, FUZZ_MAC, 6);
    return p;
}

void fuzz_put(const uint8_t *frame, uint32_t length, uint32_t behind)
{
    if (n_waiting == FUZZ_WAITING_MAX)
        return;
    struct rte_mbuf *m = make(length + behind);
    memcpy(m->buf_addr, frame, length);
    memset((char *)m->buf_addr + length, 0xa5, behind);
    m->data_len = (uint16_t)length;
    m->pkt_len = length;
    waiting[n_waiting++] = m;
}

uint32_t fuzz_buffers(void)
{
    return n_made;
}

uint32_t fuzz_lent(void)
{
    return the_port.lent;
}

uint64_t fuzz_bad(void)
{
    return the_port.rx_bad + the_port.rx_ignored;
}
