/* The carrier over a poll-mode port: lwIP's raw API on one side, gateway_carrier.h on the other. lwIP's callbacks only note what came;
 * everything else happens when the gateway asks.
 *
 * What a client sent waits in the frames that it came in. A connection may hold UNREAD_MAX of them, LOW_UNREAD_MAX when buffers are
 * short; what is more is not taken from lwIP, which does not acknowledge it then, and it comes again. */
#define _GNU_SOURCE
#include "gateway_carrier.h"
#include "lwip_netif.h"

#include <errno.h>
#include <lwip/init.h>
#include <lwip/priv/tcp_priv.h>
#include <lwip/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define UNREAD_MAX     64
#define LOW_UNREAD_MAX 4
#define BURSTS         4      /* of frames between two looks at the connections */
#define NAP_MAX_NS     100000 /* nothing wakes it from a nap: the first frame after a pause is late by so much */
#define NOBODY         UINT32_MAX

typedef struct mm_end {
    struct tcp_pcb *pcb; /* NULL: reset, or given up */
    struct pbuf *unread[UNREAD_MAX];
    uint32_t first, n_unread, n_frames; /* n_frames: pbufs of all that is unread */
    uint32_t place, next_free;
    uint8_t used, watched, over, want_write, ready; /* over: nothing more will come. ready: it is in the list */
} mm_end;

typedef struct dpdk_carrier {
    mm_carrier carrier;
    mm_port *port;
    struct tcp_pcb *listener;
    uint16_t tcp_port;
    uint32_t n_ends, free_end;
    mm_end *ends;
    uint32_t *ready, n_ready, turn;
    uint32_t newcomers[MM_CARRIER_BACKLOG], first_newcomer, n_newcomers;
    uint64_t bytes_in_place, bytes_copied, connections, refused;
    uint64_t arrived_ns; /* of the frame of what was lent or received last */
} dpdk_carrier;

static dpdk_carrier *of(mm_carrier *self)
{
    return (dpdk_carrier *)self;
}

static void add(uint64_t *counter, uint64_t n)
{
    __atomic_store_n(counter, *counter + n, __ATOMIC_RELAXED); /* one writer */
}

static dpdk_carrier *the_carrier; /* lwIP's callbacks have one argument, and that is the end */

static void note_ready(mm_end *e)
{
    dpdk_carrier *d = the_carrier;
    if (e->ready)
        return;
    e->ready = 1;
    d->ready[d->n_ready++] = (uint32_t)(e - d->ends);
}

/* --- lwIP's callbacks --- */

static err_t on_bytes(void *arg, struct tcp_pcb *pcb, struct pbuf *p, err_t err)
{
    mm_end *e = arg;
    (void)pcb;
    (void)err;
    if (!p) { /* they closed */
        e->over = 1;
        note_ready(e);
        return ERR_OK;
    }
    uint32_t frames = pbuf_clen(p), most = mm_port_is_low(the_carrier->port, 2) ? LOW_UNREAD_MAX : UNREAD_MAX;
    if (e->n_unread == UNREAD_MAX || (e->n_unread && e->n_frames + frames > most))
        return ERR_MEM; /* lwIP keeps it, and offers it again */
    e->unread[(e->first + e->n_unread++) % UNREAD_MAX] = p;
    e->n_frames += frames;
    note_ready(e);
    return ERR_OK;
}

static err_t on_room(void *arg, struct tcp_pcb *pcb, u16_t length)
{
    (void)pcb;
    (void)length;
    if (((mm_end *)arg)->want_write)
        note_ready(arg);
    return ERR_OK;
}

static err_t on_pause(void *arg, struct tcp_pcb *pcb) /* there may be memory again */
{
    return on_room(arg, pcb, 0);
}

static void on_end(void *arg, err_t err) /* the pcb is gone already */
{
    mm_end *e = arg;
    (void)err;
    e->pcb = NULL;
    e->over = 1;
    note_ready(e);
}

static err_t on_newcomer(void *arg, struct tcp_pcb *pcb, err_t err)
{
    dpdk_carrier *d = arg;
    if (err != ERR_OK || !pcb)
        return ERR_VAL;
    if (d->free_end == NOBODY || d->n_newcomers == MM_CARRIER_BACKLOG) {
        add(&d->refused, 1);
        tcp_abort(pcb);
        return ERR_ABRT;
    }
    uint32_t number = d->free_end;
    mm_end *e = &d->ends[number];
    d->free_end = e->next_free;
    *e = (mm_end){.pcb = pcb, .used = 1, .place = NOBODY, .ready = e->ready};
    tcp_arg(pcb, e);
    tcp_recv(pcb, on_bytes);
    tcp_sent(pcb, on_room);
    tcp_poll(pcb, on_pause, 1);
    tcp_err(pcb, on_end);
    tcp_nagle_disable(pcb);
    ip_set_option(pcb, SOF_KEEPALIVE);
    d->newcomers[(d->first_newcomer + d->n_newcomers++) % MM_CARRIER_BACKLOG] = number;
    add(&d->connections, 1);
    return ERR_OK;
}

/* --- the carrier --- */

static int hear(mm_carrier *self)
{
    dpdk_carrier *d = of(self);
    struct tcp_pcb *bound = tcp_new_ip_type(IPADDR_TYPE_V4);
    if (!bound || tcp_bind(bound, IP4_ADDR_ANY, d->tcp_port) != ERR_OK) {
        errno = bound ? EADDRINUSE : ENOMEM;
        if (bound)
            tcp_abort(bound);
        return -1;
    }
    d->listener = tcp_listen_with_backlog(bound, 255); /* this lwIP counts none: see SYN_MAX and MM_CARRIER_BACKLOG */
    if (!d->listener) {
        tcp_abort(bound);
        errno = ENOMEM;
        return -1;
    }
    tcp_arg(d->listener, d);
    tcp_accept(d->listener, on_newcomer);
    return 0;
}

static bool can_read(const mm_end *e)
{
    return e->watched && (e->n_unread || e->over);
}

static bool can_write(const mm_end *e)
{
    return e->watched && e->want_write && e->pcb && e->pcb->snd_buf && e->pcb->snd_queuelen < TCP_SND_QUEUELEN;
}

/* What is ready, from another one on each time, so that those that stay ready do not keep others from being looked at. */
static uint32_t collect(dpdk_carrier *d, mm_carrier_event *events, uint32_t max)
{
    uint32_t kept = 0, n = 0;
    for (uint32_t i = 0; i < d->n_ready; i++) {
        mm_end *e = &d->ends[d->ready[i]];
        if (e->used && (can_read(e) || can_write(e)))
            d->ready[kept++] = d->ready[i];
        else
            e->ready = 0;
    }
    d->n_ready = kept;
    if (d->n_newcomers)
        events[n++] = (mm_carrier_event){NOBODY, MM_CARRIER_NEWCOMERS};
    for (uint32_t i = 0; i < kept && n < max; i++) {
        const mm_end *e = &d->ends[d->ready[(d->turn + i) % kept]];
        events[n++] = (mm_carrier_event){e->place, (can_read(e) ? MM_CARRIER_READABLE : 0u) |
                                                       (can_write(e) ? MM_CARRIER_WRITABLE : 0u)};
    }
    d->turn += n;
    return n;
}

static bool receive_frames(dpdk_carrier *d)
{
    mm_frame frames[MM_PORT_BURST];
    bool any = false, more = true;
    for (int i = 0; i < BURSTS && more; i++) {
        more = false;
        uint32_t n = mm_port_receive(d->port, frames, &more);
        any |= more;
        for (uint32_t k = 0; k < n; k++)
            mm_netif_input(&frames[k]);
    }
    return any;
}

static uint32_t look(mm_carrier *self, mm_carrier_event *events, uint32_t max, long nap_ns)
{
    dpdk_carrier *d = of(self);
    mm_port_begin(d->port);
    bool any = receive_frames(d);
    mm_netif_timers();
    if (!any && !d->n_ready && !d->n_newcomers && nap_ns) {
        struct timespec nap = {0, nap_ns < NAP_MAX_NS ? nap_ns : NAP_MAX_NS};
        mm_port_flush(d->port);
        nanosleep(&nap, NULL);
        receive_frames(d);
    }
    uint32_t n = collect(d, events, max);
    if (!n)
        mm_port_flush(d->port); /* acknowledgements, ARP */
    return n;
}

static int32_t next_newcomer(mm_carrier *self)
{
    dpdk_carrier *d = of(self);
    if (!d->n_newcomers)
        return -1;
    uint32_t number = d->newcomers[d->first_newcomer];
    d->first_newcomer = (d->first_newcomer + 1) % MM_CARRIER_BACKLOG;
    d->n_newcomers--;
    return (int32_t)number;
}

static int watch(mm_carrier *self, int32_t fd, uint32_t place)
{
    mm_end *e = &of(self)->ends[fd];
    e->place = place;
    e->watched = 1;
    note_ready(e);
    return 0;
}

static void want_write(mm_carrier *self, int32_t fd, uint32_t place, bool wanted)
{
    mm_end *e = &of(self)->ends[fd];
    (void)place;
    e->want_write = wanted;
    if (wanted)
        note_ready(e);
}

/* `n` bytes at the head were read, all within its first pbufs: their frames go back, and the window opens again. */
static void consume(mm_end *e, uint32_t n)
{
    struct pbuf *p = e->unread[e->first];
    uint32_t before = pbuf_clen(p);
    p = pbuf_free_header(p, (u16_t)n);
    while (p && !p->len) { /* nothing is in it, and lwIP leaves such in a chain */
        struct pbuf *next = p->next;
        if (next)
            pbuf_ref(next);
        pbuf_free(p);
        p = next;
    }
    e->unread[e->first] = p;
    e->n_frames -= before - (p ? pbuf_clen(p) : 0);
    if (!p) {
        e->first = (e->first + 1) % UNREAD_MAX;
        e->n_unread--;
    }
    if (!e->pcb)
        return;
    tcp_recved(e->pcb, (u16_t)n);
    if (!e->n_unread && e->pcb && e->pcb->refused_data)
        tcp_process_refused_data(e->pcb);
}

static uint32_t lend(mm_carrier *self, int32_t fd, const char **at)
{
    mm_end *e = &of(self)->ends[fd];
    const struct pbuf *p = e->n_unread ? e->unread[e->first] : NULL;
    if (!p || !p->len || !(p->flags & PBUF_FLAG_IS_CUSTOM))
        return 0;
    *at = p->payload;
    of(self)->arrived_ns = mm_netif_arrived(p);
    return p->len;
}

static void taken(mm_carrier *self, int32_t fd, uint32_t n)
{
    dpdk_carrier *d = of(self);
    add(&d->bytes_in_place, n);
    consume(&d->ends[fd], n);
}

/* The frame that byte `n` of a chain is in. */
static uint64_t arrived_with(const struct pbuf *p, uint32_t n)
{
    for (; p->next && n > p->len; p = p->next)
        n -= p->len;
    return mm_netif_arrived(p);
}

static int64_t receive(mm_carrier *self, int32_t fd, char *at, uint32_t room)
{
    dpdk_carrier *d = of(self);
    mm_end *e = &d->ends[fd];
    uint32_t got = 0;
    while (e->n_unread && got < room) {
        u16_t want = room - got < UINT16_MAX ? (u16_t)(room - got) : UINT16_MAX;
        u16_t n = pbuf_copy_partial(e->unread[e->first], at + got, want, 0);
        got += n;
        d->arrived_ns = arrived_with(e->unread[e->first], n);
        consume(e, n);
    }
    add(&d->bytes_copied, got);
    return got ? (int64_t)got : e->over ? -1 : 0;
}

static uint64_t arrived(mm_carrier *self, int32_t fd)
{
    (void)fd;
    return of(self)->arrived_ns;
}

static int64_t put(mm_carrier *self, int32_t fd, const char *from, uint32_t n)
{
    mm_end *e = &of(self)->ends[fd];
    if (!e->pcb)
        return -1;
    uint32_t room = tcp_sndbuf(e->pcb);
    n = n < room ? n : room;
    if (!n)
        return 0;
    err_t error = tcp_write(e->pcb, from, (u16_t)n, TCP_WRITE_FLAG_COPY);
    if (error != ERR_OK)
        return error == ERR_MEM ? 0 : -1;
    tcp_output(e->pcb); /* what it cannot send now, its timers send */
    return n;
}

/* With unread bytes the other side gets a reset, as from the kernel; else what was sent is delivered, and then the end. */
static void shut(mm_carrier *self, int32_t fd)
{
    dpdk_carrier *d = of(self);
    mm_end *e = &d->ends[fd];
    struct tcp_pcb *pcb = e->pcb;
    while (e->n_unread) {
        pbuf_free(e->unread[e->first]);
        e->first = (e->first + 1) % UNREAD_MAX;
        e->n_unread--;
    }
    e->used = e->watched = 0;
    e->next_free = d->free_end;
    d->free_end = (uint32_t)fd;
    add(&d->connections, (uint64_t)-1);
    if (!pcb)
        return;
    tcp_arg(pcb, (void *)(uintptr_t)tcp_ticks); /* since when it is an orphan (lwip_netif.c) */
    tcp_recv(pcb, NULL);
    tcp_sent(pcb, NULL);
    tcp_poll(pcb, NULL, 0);
    tcp_err(pcb, NULL);
    if (tcp_close(pcb) != ERR_OK)
        tcp_abort(pcb);
}

static void flush(mm_carrier *self)
{
    mm_port_flush(of(self)->port);
}

static bool is_settled(mm_carrier *self)
{
    (void)self;
    return mm_netif_is_settled();
}

static void release(mm_carrier *self)
{
    dpdk_carrier *d = of(self);
    for (uint32_t i = 0; i < d->n_ends; i++)
        if (d->ends[i].used)
            shut(self, (int32_t)i);
    if (d->listener)
        tcp_close(d->listener);
    mm_netif_close();
    mm_port_close(d->port);
    the_carrier = NULL;
    free(d->ends);
    free(d->ready);
    free(d);
}

static bool make_rooms(dpdk_carrier *d, const mm_dpdk_config *config)
{
    d->n_ends = config->connections + MM_CARRIER_BACKLOG;
    d->ends = calloc(d->n_ends, sizeof *d->ends);
    d->ready = calloc(d->n_ends, sizeof *d->ready);
    for (uint32_t i = 0; d->ends && i < d->n_ends; i++)
        d->ends[i].next_free = i + 1 < d->n_ends ? i + 1 : NOBODY;
    return d->ends && d->ready;
}

void *mm_dpdk_open(const mm_dpdk_config *config, char *why)
{
    dpdk_carrier *d = calloc(1, sizeof *d);
    if (!d || !make_rooms(d, config))
        snprintf(why, MM_PORT_WHY, "no memory for %u connections", config->connections);
    else if ((d->port = mm_port_open(config, why)) != NULL) {
        if (mm_netif_open(d->port, config, why)) {
            d->tcp_port = config->tcp_port;
            d->carrier = (mm_carrier){.version = MM_CARRIER_VERSION,
                                      .listen = hear,
                                      .poll = look,
                                      .accept = next_newcomer,
                                      .watch = watch,
                                      .want_write = want_write,
                                      .receive = receive,
                                      .lend = lend,
                                      .taken = taken,
                                      .arrived = arrived,
                                      .send = put,
                                      .close = shut,
                                      .flush = flush,
                                      .settled = is_settled,
                                      .free = release};
            the_carrier = d;
            return d;
        }
        mm_port_close(d->port);
    }
    if (d) {
        free(d->ends);
        free(d->ready);
    }
    free(d);
    return NULL;
}

void mm_dpdk_counters_of(void *carrier, mm_dpdk_counters *counters)
{
    const dpdk_carrier *d = carrier;
    mm_port_count(d->port, counters);
    counters->bytes_in_place = __atomic_load_n(&d->bytes_in_place, __ATOMIC_RELAXED);
    counters->bytes_copied = __atomic_load_n(&d->bytes_copied, __ATOMIC_RELAXED);
    counters->connections = __atomic_load_n(&d->connections, __ATOMIC_RELAXED);
    counters->refused = __atomic_load_n(&d->refused, __ATOMIC_RELAXED);
}

void mm_dpdk_close(void *carrier)
{
    release(carrier);
}

const char *mm_dpdk_version(void)
{
    static char text[64];
    snprintf(text, sizeof text, "%s, lwIP %s", mm_port_version(), LWIP_VERSION_STRING);
    return text;
}
