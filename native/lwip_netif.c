/* The network of lwIP's that is a port of DPDK's. A received frame is lent to lwIP as it is: its pbuf lies beside it in the buffer, and
 * the buffer goes back to the pool when the pbuf's last holder lets go. A sent one is copied once, into a buffer of the port's.
 *
 * lwIP was built with its pools on malloc, so nothing of its own bounds them; here is what does:
 *   half-open connections   SYN_MAX: more SYNs are not heard until some have become connections or are given up
 *   orphans                 closed by us, the other side silent: given up after ORPHAN_TICKS
 *   TIME-WAIT               TIME_WAIT_MAX, the oldest go first
 *   out-of-order segments   let go when less than a half of the buffers is free; they come again
 *
 * No thread of lwIP's own runs: lwip_init, and not tcpip_init. All calls come from the thread that polls, so its core lock is not needed. */
#include "lwip_netif.h"

#include "gateway_carrier.h"

#include <lwip/etharp.h>
#include <lwip/init.h>
#include <lwip/ip_addr.h>
#include <lwip/netif.h>
#include <lwip/pbuf.h>
#include <lwip/priv/tcp_priv.h>
#include <lwip/sys.h>
#include <lwip/tcp.h>
#include <lwip/timeouts.h>
#include <netif/ethernet.h>
#include <stdio.h>
#include <string.h>

#define SYN_MAX       MM_CARRIER_BACKLOG
#define ORPHAN_TICKS  40 /* of half a second: 20 s */
#define TIME_WAIT_MAX 4096
#define SWEEP_MS      1000
#define SYN_LOOK_MS   10 /* between two counts while SYNs are not heard */
#define PAD           64 /* MM_FIX_PAD: what a parser may read beyond the end */

typedef struct lent_frame {
    struct pbuf_custom pbuf; /* first: lwIP gives it back as a pbuf */
    void *buffer;
    uint64_t at_ns;
} lent_frame;

_Static_assert(sizeof(lent_frame) <= MM_FRAME_PRIVATE, "the pbuf of a frame lies beside it in the buffer");

static struct netif network;
static mm_port *port;
static uint32_t syn_room, syn_looked_ms, swept_ms, released_ms;

/* --- frames --- */

static void let_go(struct pbuf *p)
{
    mm_port_give_back(port, ((lent_frame *)p)->buffer);
}

uint64_t mm_netif_arrived(const struct pbuf *p)
{
    return p->flags & PBUF_FLAG_IS_CUSTOM ? ((const lent_frame *)p)->at_ns : 0;
}

static void release_out_of_order(void)
{
    if (sys_now() == released_ms)
        return;
    released_ms = sys_now();
    for (struct tcp_pcb *c = tcp_active_pcbs; c; c = c->next)
        if (c->ooseq)
            tcp_free_ooseq(c);
}

static bool is_syn(const mm_frame *f)
{
    const unsigned char *d = (const unsigned char *)f->data;
    if (f->length < 54 || d[12] != 0x08 || d[13] != 0 || d[23] != IP_PROTO_TCP)
        return false;
    uint32_t flags = 14 + (d[14] & 15u) * 4 + 13;
    return flags < f->length && (d[flags] & 0x12) == 0x02; /* SYN and no ACK */
}

static void count_half_open(void)
{
    uint32_t n = 0;
    for (struct tcp_pcb *c = tcp_active_pcbs; c; c = c->next)
        n += c->state == SYN_RCVD;
    syn_room = n < SYN_MAX ? SYN_MAX - n : 0;
    syn_looked_ms = sys_now();
}

static bool may_open(void)
{
    if (!syn_room && sys_now() - syn_looked_ms >= SYN_LOOK_MS)
        count_half_open();
    if (!syn_room)
        return false;
    syn_room--;
    return true;
}

void mm_netif_input(const mm_frame *f)
{
    lent_frame *lent = f->beside;
    if (mm_port_is_low(port, 2))
        release_out_of_order();
    if (mm_port_is_low(port, 8) || (is_syn(f) && !may_open())) {
        mm_port_refuse(port, f->buffer);
        return;
    }
    struct pbuf *p;
    if (f->behind >= PAD) {
        lent->buffer = f->buffer;
        lent->at_ns = f->at_ns;
        lent->pbuf.custom_free_function = let_go;
        p = pbuf_alloced_custom(PBUF_RAW, (u16_t)f->length, PBUF_REF, &lent->pbuf, f->data, (u16_t)f->length);
    } else { /* a frame of full size has no room behind it for a parser in wide steps */
        p = pbuf_alloc(PBUF_RAW, (u16_t)f->length, PBUF_RAM);
        if (!p) {
            mm_port_refuse(port, f->buffer);
            return;
        }
        pbuf_take(p, f->data, (u16_t)f->length);
        mm_port_give_back(port, f->buffer);
    }
    if (network.input(p, &network) != ERR_OK)
        pbuf_free(p);
}

static err_t output(struct netif *n, struct pbuf *p)
{
    (void)n;
    char *at = mm_port_put(port, p->tot_len);
    if (!at)
        return ERR_MEM; /* TCP sends it again */
    pbuf_copy_partial(p, at, p->tot_len, 0);
    return ERR_OK;
}

static err_t prepare(struct netif *n)
{
    uint32_t mtu;
    mm_port_address(port, n->hwaddr, &mtu);
    n->hwaddr_len = ETH_HWADDR_LEN;
    n->mtu = (u16_t)mtu;
    n->name[0] = 'm';
    n->name[1] = 'm';
    n->flags = NETIF_FLAG_BROADCAST | NETIF_FLAG_ETHARP | NETIF_FLAG_ETHERNET | NETIF_FLAG_LINK_UP;
    n->output = etharp_output;
    n->linkoutput = output;
    return ERR_OK;
}

/* --- life --- */

bool mm_netif_open(mm_port *over, const mm_dpdk_config *config, char *why)
{
    ip4_addr_t address, netmask, router;
    memcpy(&address, config->address, 4); /* both in the network's order */
    memcpy(&netmask, config->netmask, 4);
    memcpy(&router, config->router, 4);
    port = over;
    lwip_init();
    if (!netif_add(&network, &address, &netmask, &router, NULL, prepare, ethernet_input)) {
        snprintf(why, MM_PORT_WHY, "lwIP does not take the port with this address");
        return false;
    }
    netif_set_default(&network);
    netif_set_up(&network); /* tells its neighbours by ARP */
    count_half_open();
    return true;
}

static bool was_closed(const struct tcp_pcb *c)
{
    return c->state == FIN_WAIT_1 || c->state == FIN_WAIT_2 || c->state == CLOSING || c->state == LAST_ACK;
}

/* An orphan's argument is the tick at which it was closed (gateway_dpdk.c). */
static void sweep(void)
{
    struct tcp_pcb *c, *next;
    uint32_t n = 0;
    for (c = tcp_active_pcbs; c; c = next) {
        next = c->next;
        if (!c->recv && was_closed(c) && tcp_ticks - (u32_t)(uintptr_t)c->callback_arg > ORPHAN_TICKS)
            tcp_abort(c);
    }
    for (c = tcp_tw_pcbs; c; c = next) { /* the newest first */
        next = c->next;
        if (++n > TIME_WAIT_MAX)
            tcp_abort(c);
    }
    count_half_open();
}

void mm_netif_timers(void)
{
    sys_check_timeouts();
    uint32_t now = sys_now();
    if (now - swept_ms < SWEEP_MS)
        return;
    swept_ms = now;
    sweep();
}

bool mm_netif_is_settled(void)
{
    for (const struct tcp_pcb *c = tcp_active_pcbs; c; c = c->next)
        if (c->unsent || c->unacked || c->state == FIN_WAIT_1 || c->state == CLOSING || c->state == LAST_ACK)
            return false;
    return true;
}

void mm_netif_close(void)
{
    while (tcp_active_pcbs) /* whoever did not say goodbye in time is told */
        tcp_abort(tcp_active_pcbs);
    while (tcp_tw_pcbs)
        tcp_abort(tcp_tw_pcbs);
    netif_set_down(&network);
    netif_remove(&network);
}
