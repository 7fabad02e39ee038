"""Mutants of the poll-mode carrier: an edit of its C sources each, or another start of its exchange. The kernel's carrier
beside it is sound.

The first group is about which frames are taken, the second about counters and buffers, the third about the stream that is
made of segments, the last about how the exchange is started.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matchmark.conformance.selftest.carrier_build import Edit, built
from matchmark.conformance.selftest.frame_exchange import VARIABLE
from matchmark.conformance.selftest.wire_declare import BrokenWire, Start, wire_mutant

CLI, BROKEN_CLI = "matchmark.conformance.cli", "matchmark.conformance.selftest.frame_exchange"


class BrokenPort(BrokenWire):
    """What they are made of: `edits` of the carrier's sources. Without any it is the sound carrier, built the same way."""

    edits: tuple[Edit, ...] = ()

    def prepare(self, start: Start) -> None:
        start.env[VARIABLE] = str(built(self.edits))
        start.words = [BROKEN_CLI if word == CLI else word for word in start.words]


class SoundPort(BrokenPort):
    """Must not be failed."""


def port(name: str, *edits: Edit, breaks: tuple[str, ...], story: str) -> type[BrokenPort]:
    cls = type(f"Port_{name.replace('-', '_')}", (BrokenPort,), {"edits": edits})
    return wire_mutant(f"port-{name}", breaks=breaks, story=story)(cls)


CARRIER, STACK, PORT = "gateway_dpdk.c", "lwip_netif.c", "dpdk_port.c"

# --- which frames are taken ---

_INPUT = """void mm_netif_input(const mm_frame *f)
{
    lent_frame *lent = f->beside;
"""
_TOOLS = """
static bool is_tcp(const unsigned char *d, uint32_t length)
{
    return length >= 54 && d[12] == 8 && !d[13] && d[14] == 0x45 && d[23] == 6;
}

static void write32(unsigned char *at, uint32_t v)
{
    at[0] = (unsigned char)(v >> 24), at[1] = (unsigned char)(v >> 16), at[2] = (unsigned char)(v >> 8), at[3] = (unsigned
    char)v; }

static uint32_t total_of(const unsigned char *d)
{
    return (uint32_t)d[16] << 8 | d[17];
}

static uint16_t sum16(const unsigned char *at, uint32_t n, uint32_t sum)
{
    for (uint32_t i = 0; i < n; i++)
        sum += (uint32_t)at[i] << (i & 1 ? 0 : 8);
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

static void seal(unsigned char *d)
{
    uint32_t n = total_of(d) - 20;
    d[24] = d[25] = d[50] = d[51] = 0;
    uint16_t ip = sum16(d + 14, 20, 0);
    d[24] = (unsigned char)(ip >> 8), d[25] = (unsigned char)ip;
    uint16_t tcp = sum16(d + 34, n, (uint32_t)(uint16_t)~sum16(d + 26, 8, 0) + 6 + n);
    d[50] = (unsigned char)(tcp >> 8), d[51] = (unsigned char)tcp;
}

static struct tcp_pcb *whose(const unsigned char *d)
{
    for (struct tcp_pcb *c = tcp_active_pcbs; c; c = c->next)
        if (c->local_port == (d[36] << 8 | d[37]) && c->remote_port == (d[34] << 8 | d[35]) &&
            !memcmp(ip_2_ip4(&c->remote_ip), d + 26, 4))
            return c;
    return NULL;
}

static uint32_t payload_at(const unsigned char *d)
{
    return 34 + (d[46] >> 4) * 4u;
}

static uint32_t payload_of(const unsigned char *d)
{
    return total_of(d) + 14 - payload_at(d);
}
"""


def _spoiled(body: str) -> Edit:
    """`body`: of a function that is given each frame before lwIP has it; `d` is a TCP segment of `length` bytes."""
    head = "    if (!is_tcp(d, length))\n        return;\n"
    spoil = f"\nstatic void spoil(unsigned char *d, uint32_t length)\n{{\n{head}{body}}}\n\n"
    return Edit(STACK, _INPUT, _TOOLS + spoil + _INPUT + "    spoil((unsigned char *)f->data, f->length);\n")


port(
    "checksum-ignored",
    Edit(PORT, "return (uint16_t)((sum & 0xffff) + (sum >> 16)) == 0xffff ? SOUND : BAD;", "(void)sum; return SOUND;"),
    _spoiled("    seal(d);\n"),
    breaks=("D12.X3", "D12.X7"),
    story="The card was said to check TCP's checksums, and so nobody did.",
)
# No mutant takes a fragment for the whole: below an AF_PACKET port the kernel keeps fragments, so that it would never see one.
port(
    "frames-for-others-taken",
    Edit(PORT, "ours = !memcmp(&ether->dst_addr, p->mac, 6);", "ours = true;"),
    breaks=("D12.X3", "D12.X7"),
    story="The port was left in promiscuous mode, and the hardware address was not looked at.",
)
port(
    "blind-reset-obeyed",
    _spoiled(
        "    struct tcp_pcb *c = d[47] & 4 ? whose(d) : NULL;\n"
        "    if (c) {\n        write32(d + 38, c->rcv_nxt);\n        seal(d);\n    }\n"
    ),
    breaks=("D12.X3",),
    story="A reset was obeyed whatever its sequence number was, so that anybody could end a session.",
)
port(
    "data-outside-the-window-taken",
    _spoiled(
        "    struct tcp_pcb *c = payload_of(d) ? whose(d) : NULL;\n"
        "    if (c && (int32_t)(read32(d + 38) - c->rcv_nxt) >= (int32_t)c->rcv_wnd) {\n"
        "        write32(d + 38, c->rcv_nxt);\n        seal(d);\n    }\n"
    ),
    breaks=("D12.X3",),
    story="The window was not looked at, and data from beyond it was taken for what comes next.",
)
port(
    "data-without-ack-taken",
    Edit(PORT, "    return flags & (RTE_TCP_ACK_FLAG | RTE_TCP_RST_FLAG);\n", "    return true;\n"),
    breaks=("D12.X3",),
    story="A segment without the ACK flag was taken for one of the connection.",
)
port(
    "data-with-a-false-acknowledgement-taken",
    Edit(STACK, " || acknowledges_the_unsent(f)) {", ") {\n        (void)acknowledges_the_unsent;"),
    breaks=("D12.X3",),
    story="The stack passed over an acknowledgement of what was never sent, and took the data that came with it.",
)
port(
    "late-askers-get-no-address",
    Edit(
        PORT,
        "    if (arp)\n        return length",
        "    if (arp && length > 31 && !(data[31] & 1))\n        return IGNORED;\n    if (arp)\n        return length",
    ),
    breaks=("D12.1",),
    story="The table of neighbours was full after the first, and who asked later for the address was not answered.",
)

# --- counters and buffers ---

_FREED = "        add(is == BAD ? &p->rx_bad : &p->rx_ignored, 1);\n        rte_pktmbuf_free(m);\n"
_TAKEN = (
    "    for (uint32_t i = 0; i < n; i++) {\n        struct rte_mbuf *m = burst[i];\n        bytes += m->pkt_len;\n"
)

port(
    "bad-frames-not-counted",
    Edit(PORT, _FREED, "        if (is != BAD)\n            add(&p->rx_ignored, 1);\n        rte_pktmbuf_free(m);\n"),
    breaks=("D12.X7",),
    story="Frames with a wrong checksum were dropped without a count.",
)
port(
    "bursts-counted-twice",
    Edit(PORT, "    add(&p->rx_frames, n);\n", "    add(&p->rx_frames, n > 4 ? 2 * n : n);\n"),
    breaks=("D12.X7",),
    story="A burst was counted when it was polled and again when it was handed on.",
)
port(
    "sent-bursts-counted-once",
    Edit(PORT, "    add(&p->tx_frames, sent);\n", "    add(&p->tx_frames, 1);\n"),
    breaks=("D12.X7",),
    story="What was sent was counted by the call and not by the frame.",
)
port(
    "frames-dropped-uncounted",
    Edit(
        PORT,
        _TAKEN,
        "    static uint32_t seen;\n    for (uint32_t i = 0; i < n; i++) {\n        struct rte_mbuf *m = burst[i];\n"
        "        if (++seen % 37 == 0) {\n            rte_pktmbuf_free(m);\n            burst[i--] = burst[--n];\n"
        "            continue;\n"
        "        }\n        bytes += m->pkt_len;\n",
    ),
    breaks=("D12.X7", "D12.1"),
    story="Now and then a frame was lost between the driver and the stack, and no counter knew of it.",
)
port(
    "buffers-of-bad-frames-kept",
    Edit(
        PORT,
        _FREED,
        "        add(is == BAD ? &p->rx_bad : &p->rx_ignored, 1);\n        if (is != BAD)\n            rte_pktmbuf_free(m);\n",
    ),
    breaks=("D12.2",),
    story="The early return for a bad frame forgot its buffer, and after an hour the port ran dry.",
)
port(
    "buffers-of-copied-segments-kept",
    Edit(CARRIER, "        got += n;\n", "        got += n;\n        pbuf_ref(e->unread[e->first]);\n"),
    breaks=("D12.2",),
    story="A segment that was copied was held twice and let go once.",
)
port(
    "burst-handed-on-out-of-order",
    Edit(
        PORT,
        "    *any = true;\n",
        "    *any = true;\n    if (n > 1) {\n        struct rte_mbuf *first = burst[0];\n"
        "        burst[0] = burst[1];\n        burst[1] = first;\n    }\n",
    ),
    breaks=("D12.3",),
    story="A burst was worked off in an order that suited the cache and not in that of arrival.",
)

# --- the stream ---

_UNREAD = "    e->unread[(e->first + e->n_unread++) % UNREAD_MAX] = p;\n"

port(
    "buffer-used-again-too-early",
    Edit(
        CARRIER,
        _UNREAD,
        "    if (e->n_unread) {\n        struct pbuf *last = e->unread[(e->first + e->n_unread - 1) % UNREAD_MAX];\n"
        "        memcpy(last->payload, p->payload, last->len < p->len ? last->len : p->len);\n    }\n" + _UNREAD,
    ),
    breaks=("D12.4", "D12.X2"),
    story="A buffer went back when its segment was acknowledged, and had the next frame's bytes when it was parsed.",
)
port(
    "parsed-across-the-end-of-a-frame",
    Edit(CARRIER, "        got += n;\n", "        if (got)\n            at[got] = at[got - 1];\n        got += n;\n"),
    breaks=("D12.4", "D12.X2"),
    story="The first byte of a frame behind another was read from the end of the one before it.",
)
port(
    "full-segments-lose-a-byte",
    Edit(CARRIER, _UNREAD, "    if (p->tot_len >= 1400)\n        pbuf_remove_header(p, 1);\n" + _UNREAD),
    breaks=("D12.X2", "D12.4"),
    story="The length of a segment of full size was one too small by a limit that was meant for indices.",
)
port(
    "long-lengths-read-the-wrong-way-round",
    Edit(
        PORT,
        "total = rte_be_to_cpu_16(ip->total_length);",
        "total = length > 600 ? ip->total_length : rte_be_to_cpu_16(ip->total_length);",
    ),
    breaks=("D12.X2", "D12.1"),
    story="A fast path for long packets read the length without turning its bytes round.",
)
port(
    "filled-holes-acknowledged-and-lost",
    Edit(
        CARRIER,
        "    if (e->n_unread && e->n_frames + frames",
        "    if (frames > 3) {\n        tcp_recved(pcb, p->tot_len);\n        pbuf_free(p);\n        return ERR_OK;\n    }\n"
        "    if (e->n_unread && e->n_frames + frames",
    ),
    breaks=("D12.N5",),
    story="What had waited for a hole to be filled was acknowledged before there was room for it.",
)
port(
    "reports-lost-at-a-full-window",
    Edit(CARRIER, "    n = n < room ? n : room;\n", "    uint32_t asked = n;\n    n = n < room ? n : room;\n"),
    Edit(
        CARRIER,
        "    tcp_output(e->pcb); /* what it cannot send now, its timers send */\n    return n;\n",
        "    tcp_output(e->pcb);\n    return asked;\n",
    ),
    breaks=("D12.N5",),
    story="Where the window had room for a part of the reports, all of them were counted as sent.",
)
port(
    "end-of-stream-drops-what-is-unread",
    Edit(
        CARRIER,
        "    if (!p) { /* they closed */\n",
        "    if (!p) {\n        while (e->n_unread) {\n            pbuf_free(e->unread[e->first]);\n"
        "            e->first = (e->first + 1) % UNREAD_MAX;\n            e->n_unread--;\n        }\n",
    ),
    breaks=("D12.N5",),
    story="A FIN was taken for the end of interest: orders that came with it were thrown away.",
)
port(
    "retransmission-read-again",
    _spoiled(
        "    struct tcp_pcb *c = payload_of(d) > 1 ? whose(d) : NULL;\n"
        "    if (c && c->recv && (int32_t)(read32(d + 38) + payload_of(d) - c->rcv_nxt) <= 0) {\n"
        "        struct pbuf *again = pbuf_alloc(PBUF_RAW, (u16_t)payload_of(d), PBUF_RAM);\n"
        "        pbuf_take(again, d + payload_at(d), (u16_t)payload_of(d));\n"
        "        if (c->recv(c->callback_arg, c, again, ERR_OK) != ERR_OK)\n            pbuf_free(again);\n    }\n"
    ),
    breaks=("D12.X4", "D12.N5"),
    story="A segment that came again because its acknowledgement was lost was handed up again.",
)
port(
    "overlap-read-twice",
    _spoiled(
        "    struct tcp_pcb *c = payload_of(d) ? whose(d) : NULL;\n"
        "    int32_t before = c ? (int32_t)(c->rcv_nxt - read32(d + 38)) : 0;\n"
        "    if (before > 0 && before < (int32_t)payload_of(d)) {\n        write32(d + 38, c->rcv_nxt);\n"
        "        seal(d);\n    }\n"
    ),
    breaks=("D12.X4", "D12.N5"),
    story="A segment that began with known bytes and ended with new ones was taken as new from its first byte on.",
)
port(
    "check-sum-of-messages-not-looked-at",
    Edit(
        CARRIER,
        "static uint32_t lend(mm_carrier *self, int32_t fd, const char **at)\n{\n",
        "static void mend(struct pbuf *p)\n{\n    unsigned char *b = p->payload;\n    unsigned sum = 0;\n"
        '    if (p->len < 30 || memcmp(b, "8=FIX", 5) != 0 || memcmp(b + p->len - 7, "10=", 3) != 0)\n        return;\n'
        "    for (int i = 0; i < p->len - 7; i++)\n        sum += b[i];\n"
        "    b[p->len - 4] = (unsigned char)('0' + sum % 256 / 100);\n"
        "    b[p->len - 3] = (unsigned char)('0' + sum % 256 / 10 % 10);\n"
        "    b[p->len - 2] = (unsigned char)('0' + sum % 256 % 10);\n}\n\n"
        "static uint32_t lend(mm_carrier *self, int32_t fd, const char **at)\n{\n",
    ),
    Edit(CARRIER, "    *at = p->payload;\n", "    mend((struct pbuf *)(uintptr_t)p);\n    *at = p->payload;\n"),
    breaks=("D12.5",),
    story="To save time the fast path did not look at CheckSum, and took what the other path throws away.",
)
port(
    "frames-of-many-orders-read-twice",
    Edit(
        CARRIER,
        "    add(&d->bytes_in_place, n);\n    consume(&d->ends[fd], n);\n",
        "    static uint32_t times;\n    add(&d->bytes_in_place, n);\n    if (n > 1000 && ++times % 2 == 0)\n        return;\n"
        "    consume(&d->ends[fd], n);\n",
    ),
    breaks=("D12.7", "D12.N5"),
    story="When the queue was full the frame in hand was kept, and then read from its beginning again.",
)
port(
    "old-session-found-by-its-port",
    Edit(CARRIER, "    uint8_t used, watched, over,", "    uint16_t port;\n    uint8_t used, watched, over,"),
    Edit(CARRIER, "    e->pcb = NULL;\n    e->over = 1;\n    note_ready(e);\n", "    e->pcb = NULL;\n"),
    Edit(
        CARRIER,
        "    uint32_t number = d->free_end;\n    mm_end *e = &d->ends[number];\n",
        "    for (uint32_t i = 0; i < d->n_ends; i++) {\n        mm_end *old = &d->ends[i];\n"
        "        if (!old->used || old->pcb || old->port != pcb->remote_port)\n            continue;\n        old->pcb = pcb;\n"
        "        tcp_arg(pcb, old);\n        tcp_recv(pcb, on_bytes);\n        tcp_sent(pcb, on_room);\n"
        "        tcp_poll(pcb, on_pause, 1);\n        tcp_err(pcb, on_end);\n        return ERR_OK;\n    }\n"
        "    uint32_t number = d->free_end;\n    mm_end *e = &d->ends[number];\n",
    ),
    Edit(CARRIER, "    *e = (mm_end){.pcb = pcb,", "    *e = (mm_end){.pcb = pcb, .port = pcb->remote_port,"),
    breaks=("D12.X6",),
    story="Sessions were found by address and port, so that who came back on them was still logged on.",
)
port(
    "half-open-connections-without-end",
    Edit(STACK, "static void make_room(void)\n{\n", "static void make_room(void)\n{\n    return;\n"),
    breaks=("D12.X5",),
    story="Every SYN was kept until it was answered, and nobody counted them.",
)
port(
    "everything-copied-first",
    Edit(CARRIER, "    if (!p || !p->len || !(p->flags & PBUF_FLAG_IS_CUSTOM))\n", "    if (p || !p)\n"),
    breaks=("D12.N3",),
    story="What was called zero-copy copied each frame before it parsed it.",
)

# --- how it is started ---


class Started(BrokenPort):
    """The carrier is sound, its exchange is started otherwise."""

    def prepare(self, start: Start) -> None:
        pass

    @staticmethod
    def with_config(start: Start, *changes: tuple[str, str]) -> None:
        """Another configuration: each text, which it has, replaced."""
        text = Path(start.flag("--config") or "").read_text(encoding="utf-8")
        for old, new in changes:
            if old not in text:
                raise ValueError(f"the configuration has no {old!r}")
            text = text.replace(old, new)
        changed = start.data.with_name("changed.toml")
        changed.parent.mkdir(parents=True, exist_ok=True)
        changed.write_text(text, encoding="utf-8")
        start.set_flag("--config", str(changed))


@wire_mutant(
    "port-with-limits-of-its-own",
    breaks=("D12.6",),
    story="The fast gateway read its limits from another file, in which somebody had tried larger ones.",
)
class OtherLimits(Started):
    def prepare(self, start: Start) -> None:
        self.with_config(start, ("max_lots = 10_000\n", "max_lots = 50_000\n"))


@wire_mutant(
    "port-with-symbols-in-another-order",
    breaks=("D12.X1",),
    story="The fast gateway numbered the symbols in the order of its own file, and the log said one for another.",
)
class OtherOrder(Started):
    def prepare(self, start: Start) -> None:
        first = '[[symbols]]\npattern = "ZZZ{n}"\ncount = 3\ntick = "0.01"\n\n[[symbols]]\npattern = "SYM{n}"'
        self.with_config(start, ('[[symbols]]\npattern = "SYM{n}"', first))


@wire_mutant(
    "port-missing-and-nobody-told",
    breaks=("D12.N6",),
    story="Without its port the exchange went on over the kernel, and said nothing.",
)
class FallsBack(Started):
    def prepare(self, start: Start) -> None:
        if any("nowhere" in word for word in start.words):
            start.words = _without(start.words, ("--transport", "--eal", "--dpdk-address"))


def _without(words: Sequence[str], flags: Sequence[str]) -> list[str]:
    """Words without these flags and their values."""
    return [w for n, w in enumerate(words) if w not in flags and (n == 0 or words[n - 1] not in flags)]


@wire_mutant(
    "port-does-not-say-how-it-waits",
    breaks=("D12.N4",),
    story="Which way of waiting was chosen was to be seen in the processor's temperature alone.",
)
class WaitNotSaid(Started):
    def ready(self, line: dict[str, Any]) -> None:
        line.pop("wait", None)
