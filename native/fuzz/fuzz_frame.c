/* libFuzzer: frames into the port, through lwIP and the carrier, into FIX sessions, as the gateway does it. What must hold whatever comes:
 * no fault of memory; each session is given its client's bytes, once, in order and no others, whatever is sent beside; a witness whose
 * frames are whole loses nothing and is not cut; and when all is closed every buffer is back.
 *
 * Input: options, a count of steps, the steps (four bytes each: what, and its arguments), and the stream of the attacked session. Frames
 * that are legal take their bytes from that stream by their place in it; those that are illegal have others, which nobody may hear. */
#include "fuzz_session.h"

#include "fuzz_frame_port.h"
#include "gateway_carrier.h"

#include <lwip/priv/tcp_priv.h>
#include <lwip/tcp.h>

enum { PLACES = 12, STREAM = 4096, STEPS = 64, PAD = 64, FIX_PORT = 9878, HEAD = 54 };
enum { FIN = 1, SYN = 2, RST = 4, PSH = 8, ACK = 16 };

typedef struct client {
    uint8_t host; /* the last byte of its address */
    uint16_t port;
    uint32_t iss;
    uint8_t stream[STREAM];
    uint32_t length, heard; /* what it says, and what its session was given of it */
} client;

typedef struct place {
    int32_t fd; /* -1: free */
    client *of; /* NULL: a stranger, whose bytes nobody foretells */
    mm_session session;
    mm_fix_store store;
    _Alignas(8) char memory[STORE];
    char out[OUTPUT];
} place;

static mm_carrier *carrier;
static place places[PLACES];
static place *speaks;
static client attacked, witness;
static client *expected[2];
static uint32_t n_expected;
static mm_session_config config;
static mm_fix_message message;
static bool nobody_reads;

/* --- frames --- */

static void write16(uint8_t *at, uint32_t v)
{
    at[0] = (uint8_t)(v >> 8);
    at[1] = (uint8_t)v;
}

static void write32(uint8_t *at, uint32_t v)
{
    write16(at, v >> 16);
    write16(at + 2, v);
}

static uint32_t sum16(const uint8_t *at, uint32_t n, uint32_t sum)
{
    for (uint32_t i = 0; i < n; i++)
        sum += (uint32_t)at[i] << (i & 1 ? 0 : 8);
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return sum;
}

/* Makes the checksums right, as far as there are bytes for them. */
static void seal(uint8_t *d, uint32_t length)
{
    uint32_t header = (d[14] & 15u) * 4;
    if (length < 34 || header < 20 || length < 14 + header)
        return;
    write16(d + 24, 0);
    write16(d + 24, ~sum16(d + 14, header, 0));
    uint32_t n = length - 14 - header;
    uint8_t *tcp = d + 14 + header;
    if (d[23] != 6 || n < 20)
        return;
    write16(tcp + 16, 0);
    write16(tcp + 16, ~sum16(tcp, n, sum16(d + 26, 8, 0) + 6 + n));
}

static uint32_t segment(uint8_t *d, const client *c, uint32_t seq, uint32_t ack, uint8_t flags, uint32_t window,
                        const uint8_t *data, uint32_t n)
{
    memcpy(d, FUZZ_MAC, 6);
    memcpy(d + 6, "\002mmcl", 5);
    d[11] = c->host;
    write16(d + 12, 0x0800);
    memcpy(d + 14, "\105\0\0\0\0\1\100\0\100\6\0\0\12\115\0", 15);
    write16(d + 16, 40 + n);
    d[29] = c->host;
    memcpy(d + 30, "\12\115\0\1", 4);
    write16(d + 34, c->port);
    write16(d + 36, FIX_PORT);
    write32(d + 38, seq);
    write32(d + 42, ack);
    d[46] = 0x50;
    d[47] = flags;
    write16(d + 48, window);
    write16(d + 50, 0);
    write16(d + 52, 0);
    if (n)
        memcpy(d + HEAD, data, n);
    seal(d, HEAD + n);
    return HEAD + n;
}

static struct tcp_pcb *pcb_of(const client *c)
{
    for (struct tcp_pcb *p = tcp_active_pcbs; p; p = p->next)
        if (p->remote_port == c->port && ip4_addr4(ip_2_ip4(&p->remote_ip)) == c->host)
            return p;
    return NULL;
}

static void say(const client *c, uint32_t at, uint8_t flags, const uint8_t *data, uint32_t n, uint32_t behind)
{
    uint8_t frame[HEAD + 1460];
    const struct tcp_pcb *p = pcb_of(c);
    uint32_t length = segment(frame, c, c->iss + at, p ? p->snd_nxt : 0, flags, 65535, data, n);
    fuzz_put(frame, length, behind);
}

/* --- what the gateway does --- */

static void close_place(place *p)
{
    carrier->close(carrier, p->fd);
    p->fd = -1;
}

static void speak(mm_session *s, const char *from, uint32_t n)
{
    (void)s;
    if (speaks->fd >= 0)
        carrier->send(carrier, speaks->fd, from, n); /* what finds no room is lost: nobody here reads it */
}

static void heard(const place *p, const char *at, uint32_t n)
{
    client *c = p->of;
    if (!c)
        return;
    must(c->heard + n <= c->length && !memcmp(c->stream + c->heard, at, n));
    c->heard += n;
}

static void act(place *p)
{
    run(&p->session, &message, &p->store, start_ns);
    check_output(&p->session, &message);
}

static void read_from(place *p)
{
    const char *lent;
    char *at;
    uint32_t n;
    speaks = p;
    for (int loans = 0; loans < 16 && mm_session_may_borrow(&p->session); loans++) {
        if (!(n = carrier->lend(carrier, p->fd, &lent)))
            break;
        heard(p, lent, n);
        mm_session_borrow(&p->session, lent, n);
        act(p);
        mm_session_give_back(&p->session);
        carrier->taken(carrier, p->fd, n);
    }
    uint32_t room = mm_session_input(&p->session, &at);
    int64_t got = room ? carrier->receive(carrier, p->fd, at, room) : 0;
    if (got > 0) {
        heard(p, at, (uint32_t)got);
        mm_session_received(&p->session, (uint32_t)got);
        act(p);
    }
    if (got < 0 || p->session.state == MM_SESSION_CUT_DUE)
        close_place(p);
}

static void accept_all(void)
{
    int32_t fd;
    while ((fd = carrier->accept(carrier)) >= 0) {
        place *p = places;
        while (p < places + PLACES && p->fd >= 0)
            p++;
        if (p == places + PLACES) {
            carrier->close(carrier, fd);
            continue;
        }
        memset(p->memory, 0, sizeof p->memory);
        p->fd = fd;
        p->of = n_expected < 2 ? expected[n_expected++] : NULL;
        mm_fix_store_in(&p->store, p->memory, p->of == &witness ? "WITNESS" : "CLIENT", CAPACITY, JOURNAL);
        mm_session_create(&p->session, &config, p->out);
        mm_session_connect(&p->session, start_ns);
        carrier->watch(carrier, fd, (uint32_t)(p - places));
    }
}

static void go_on(void)
{
    mm_carrier_event events[PLACES + 1];
    for (int rounds = 0; rounds < 20; rounds++) {
        uint32_t n = carrier->poll(carrier, events, PLACES + 1, 0), done = 0;
        for (uint32_t i = 0; i < n; i++) {
            if (events[i].what & MM_CARRIER_NEWCOMERS) {
                accept_all();
                done++;
                continue;
            }
            place *p = &places[events[i].place];
            if (p->fd >= 0 && !(nobody_reads && p->of != &witness)) {
                read_from(p);
                done++;
            }
        }
        carrier->flush(carrier);
        if (!done)
            return;
    }
}

static void connect_client(client *c, uint8_t host, uint16_t port, uint32_t iss)
{
    c->host = host;
    c->port = port;
    c->iss = iss;
    c->heard = 0;
    say(c, 0, SYN, NULL, 0, PAD);
    go_on();
    say(c, 1, ACK, NULL, 0, PAD);
    go_on();
}

/* The witness says one message more, and what it is told it acknowledges. */
static void witness_goes_on(uint32_t number)
{
    char body[160];
    int n = number == 1
                ? snprintf(body, sizeof body, "35=A|34=1|49=WITNESS|56=MATCHMARK|52=20260202-00:00:00|98=0|108=30|")
                : snprintf(body, sizeof body, "35=1|34=%u|49=WITNESS|56=MATCHMARK|52=20260202-00:00:00|112=q%u|",
                           number, number);
    char whole[512];
    uint32_t length = make_sound(whole, (const uint8_t *)body, (uint32_t)n), at = witness.length;
    if (at + length > STREAM)
        return;
    memcpy(witness.stream + at, whole, length);
    witness.length += length;
    say(&witness, 1 + at, PSH | ACK, witness.stream + at, length, PAD);
    go_on();
    must(witness.heard == witness.length && pcb_of(&witness) != NULL);
    say(&witness, 1 + witness.length, ACK, NULL, 0, PAD);
    go_on();
}

/* --- steps --- */

static uint32_t reached(const client *c)
{
    const struct tcp_pcb *p = pcb_of(c);
    return p ? p->rcv_nxt - c->iss - 1 : c->heard;
}

static void legal(const uint8_t *arg)
{
    int64_t at = (int64_t)reached(&attacked) + (int8_t)arg[0] * (arg[2] & 1 ? 1 : 16);
    uint32_t n = arg[1] * (arg[2] & 2 ? 1u : 6u);
    if (at < 0 || at > attacked.length)
        at = reached(&attacked);
    n = n < attacked.length - at ? n : (uint32_t)(attacked.length - at);
    n = n < 1460 ? n : 1460;
    say(&attacked, 1 + (uint32_t)at, PSH | ACK, attacked.stream + at, n, arg[2] & 4 ? 0 : PAD);
}

enum { KINDS = 19 };

static void illegal(const uint8_t *arg)
{
    uint8_t data[1460], d[HEAD + 1460 + 4];
    uint32_t n = 1 + arg[1], r = arg[2], seq = attacked.iss + 1 + reached(&attacked);
    const struct tcp_pcb *p = pcb_of(&attacked);
    for (uint32_t i = 0; i < n; i++)
        data[i] = (uint8_t)~attacked.stream[(reached(&attacked) + i) % STREAM];
    uint32_t length = segment(d, &attacked, seq, p ? p->snd_nxt : 0, PSH | ACK, 65535, data, n);
    switch (arg[0] % KINDS) {
    case 0:
        d[50] ^= (uint8_t)(r | 1);
        break;
    case 1:
        d[24] ^= (uint8_t)(r | 1);
        break;
    case 2:
        d[20] = (uint8_t)(r & 1 ? 0x20 : 0), d[21] = (uint8_t)(r | 2), seal(d, length);
        break;
    case 3:
        d[r % 6] ^= 0x10;
        break;
    case 4:
        d[47] = (uint8_t)(PSH | (r & 1)), seal(d, length);
        break;
    case 5:
        d[47] = (uint8_t)(SYN | ACK | (r & 1 ? FIN : RST)), seal(d, length);
        break;
    case 6:
        d[46] = (uint8_t)(r % 5 << 4), seal(d, length);
        break;
    case 7:
        d[46] = 0xf0, length = HEAD + r % 20, write16(d + 16, length - 14), seal(d, length);
        break;
    case 8:
        length -= 1 + r % n;
        break;
    case 9:
        memmove(d + 16, d + 12, length - 12), write16(d + 12, 0x8100), write16(d + 14, r), length += 4;
        break;
    case 10:
        memset(d, 0xff, 6);
        break;
    case 11:
        d[30 + r % 4] ^= 0x41, seal(d, length);
        break;
    case 12:
        d[14] = (uint8_t)(r & 1 ? 0x65 : 0x44), write16(d + 24, 0), write16(d + 24, ~sum16(d + 14, 20, 0));
        break;
    case 13:
        memcpy(d + 26, d + 30, 4), seal(d, length);
        break;
    case 14:
        write32(d + 38, seq + 0x100000 + (r << 20)), seal(d, length);
        break;
    case 15:
        d[47] = RST, write32(d + 38, seq + 1 + r), write16(d + 16, 40), length = HEAD, seal(d, length);
        break;
    case 16:
        d[23] = (uint8_t)(r == 6 ? 17 : r), seal(d, length);
        break;
    case 17:
        write32(d + 42, (p ? p->snd_nxt : 0) + 1 + (r << 16));
        seal(d, length);
        break;
    default:
        write16(d + 36, FIX_PORT + 1 + r), seal(d, length);
        break;
    }
    fuzz_put(d, length, PAD);
}

/* Any bytes of the input's. Where they are IP their sender is somebody else: whoever knows a session's numbers may speak for it. */
static void raw(const uint8_t *arg, const uint8_t *from, uint32_t left)
{
    uint8_t d[1518];
    uint32_t length = (uint32_t)arg[0] | (arg[1] & 3u) << 8;
    length = length < left ? length : left;
    memcpy(d, from, length);
    if (length >= 14 && arg[1] & 4)
        memcpy(d, FUZZ_MAC, 6);
    if (length >= 14 && arg[1] & 8)
        write16(d + 12, arg[1] & 16 ? 0x0806 : 0x0800);
    if (length >= 34) {
        if (arg[1] & 32)
            write16(d + 16, length - 14), memcpy(d + 30, "\12\115\0\1", 4);
        d[29] = 99;
        if (arg[1] & 64)
            seal(d, length);
    }
    fuzz_put(d, length, arg[1] & 128 ? 0 : PAD);
}

/* A stranger opens a connection, or says something on it that no model foretells, or ends it. */
static void stranger(const uint8_t *arg, const uint8_t *from, uint32_t left)
{
    client c = {.host = 7, .port = (uint16_t)(3000 + arg[0] % 8), .iss = 5000};
    const struct tcp_pcb *p = pcb_of(&c);
    uint32_t n = arg[1] < left ? arg[1] : left;
    if (!p) {
        say(&c, 0, SYN, NULL, 0, PAD);
        go_on();
        say(&c, 1, ACK, NULL, 0, PAD);
    } else
        say(&c, p->rcv_nxt - c.iss + (arg[2] >> 6), (uint8_t)(PSH | ACK | (arg[2] & 5)), from, n, arg[2] & 8 ? 0 : PAD);
}

static void step(const uint8_t *arg, const uint8_t *text, uint32_t n)
{
    switch (arg[0] % 10) {
    case 0:
    case 1:
    case 2:
        legal(arg + 1);
        break;
    case 3:
    case 4:
        illegal(arg + 1);
        break;
    case 5:
        raw(arg + 1, text, n);
        break;
    case 6:
        stranger(arg + 1, text, n);
        break;
    case 7:
        for (int i = arg[1] % 8; i >= 0; i--)
            tcp_tmr();
        break;
    case 8:
        nobody_reads = arg[1] & 1;
        break;
    default:
        if (arg[1] % 4 == 0)
            say(&attacked, 1 + reached(&attacked), (uint8_t)(arg[2] & 1 ? RST : FIN | ACK), NULL, 0, PAD);
        else if (arg[1] % 4 == 1 && places[0].fd >= 0)
            close_place(&places[0]);
        else /* its window */
            say(&attacked, 1 + reached(&attacked), ACK, NULL, 0, PAD);
    }
    if (arg[0] & 128) /* else it goes with the next in one burst */
        go_on();
}

/* What is missing of the attacked stream is sent in order, and heard, if the session lives. */
static void finish(void)
{
    nobody_reads = false;
    go_on();
    const struct tcp_pcb *p = pcb_of(&attacked);
    if (!p || p->state != ESTABLISHED || places[0].fd < 0)
        return;
    while (places[0].fd >= 0 && pcb_of(&attacked) && reached(&attacked) < attacked.length) {
        uint32_t at = reached(&attacked), n = attacked.length - at < 1000 ? attacked.length - at : 1000;
        say(&attacked, 1 + at, PSH | ACK, attacked.stream + at, n, PAD);
        go_on();
        must(places[0].fd < 0 || reached(&attacked) > at);
    }
    must(places[0].fd < 0 || !pcb_of(&attacked) || attacked.heard == attacked.length);
}

static void clean(void)
{
    go_on();
    for (place *p = places; p < places + PLACES; p++)
        if (p->fd >= 0)
            close_place(p);
    while (tcp_active_pcbs)
        tcp_abort(tcp_active_pcbs);
    while (tcp_tw_pcbs)
        tcp_abort(tcp_tw_pcbs);
    go_on();
    carrier->flush(carrier);
    must(fuzz_lent() == 0 && fuzz_buffers() == 0);
}

static void open_carrier(void)
{
    static const char *words[] = {"fuzz", NULL};
    static char why[MM_PORT_WHY];
    const mm_dpdk_config port = {.eal_words = words,
                                 .n_eal_words = 1,
                                 .address = {10, 77, 0, 1},
                                 .netmask = {255, 255, 255, 0},
                                 .tcp_port = FIX_PORT,
                                 .connections = PLACES,
                                 .buffers = 512};
    carrier = mm_dpdk_open(&port, why);
    must(carrier && carrier->listen(carrier) == 0);
    config = a_config();
    deliver = speak;
    for (place *p = places; p < places + PLACES; p++)
        p->fd = -1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 8 || size > STREAM)
        return 0;
    if (!carrier)
        open_carrier();
    uint32_t n_steps = data[1] % STEPS, number = 1, skip = 2 + 4 * n_steps;
    if (skip > size)
        n_steps = 0, skip = 2;
    const uint8_t *text = data + skip;
    uint32_t n = (uint32_t)size - skip;
    static const char logon[] = "35=A|34=1|49=CLIENT|56=MATCHMARK|52=20260202-00:00:00|98=0|108=30|";
    mm_fix_use_wide(data[0] & 1);
    attacked.length = witness.length = n_expected = 0;
    nobody_reads = false;
    if (data[0] & 2)
        attacked.length = make_sound((char *)attacked.stream, (const uint8_t *)logon, sizeof logon - 1);
    for (uint32_t at = 0, part; at < n; at += part + 1) {
        const uint8_t *end = memchr(text + at, '^', n - at);
        part = end ? (uint32_t)(end - (text + at)) : n - at;
        if (part > 1400 || attacked.length + part + 64 > STREAM)
            break;
        if (data[0] & 4)
            memcpy(attacked.stream + attacked.length, text + at, part), attacked.length += part;
        else
            attacked.length += make_sound((char *)attacked.stream + attacked.length, text + at, part);
    }
    expected[0] = &attacked;
    expected[1] = &witness;
    connect_client(&attacked, 2, 1000, 77);
    connect_client(&witness, 3, 2000, 0xfffffff0);
    must(n_expected == 2);
    witness_goes_on(number++);
    for (uint32_t i = 0; i < n_steps; i++) {
        step(data + 2 + 4 * i, text, n);
        if (data[2 + 4 * i] & 64)
            witness_goes_on(number++);
    }
    finish();
    witness_goes_on(number);
    clean();
    return 0;
}
