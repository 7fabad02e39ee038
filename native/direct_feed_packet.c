#include "direct_feed_packet.h"

#include <string.h>

#define HEADER sizeof(mm_direct_header)

static void begin(mm_direct_filling *w, uint64_t after)
{
    mm_direct_packet *k = &w->packets[w->ready];
    k->head = (mm_direct_header){.magic = {'M', 'M', 'D', 'F'}, .version = 1, .flags = w->flags, .after = after};
    k->bytes = w->whole.bytes = HEADER;
    w->whole.messages = 0;
    w->whole.through = after;
}

void mm_direct_start(mm_direct_filling *w, uint8_t flags, uint64_t after)
{
    w->flags = flags;
    w->ready = 0;
    w->through = after;
    begin(w, after);
}

void mm_direct_end(mm_direct_filling *w)
{
    mm_direct_packet *k = &w->packets[w->ready++];
    k->head.flags |= w->whole.through < w->through ? MM_DIRECT_CONTINUES : 0;
    k->head.through = w->through;
    begin(w, w->through);
}

void mm_direct_end_whole(mm_direct_filling *w)
{
    mm_direct_packet *k = &w->packets[w->ready++], *next = k + 1;
    uint32_t rest = k->bytes - w->whole.bytes;
    uint16_t rest_messages = (uint16_t)(k->head.messages - w->whole.messages);
    k->head.messages = w->whole.messages;
    k->head.through = w->whole.through;
    k->bytes = w->whole.bytes;
    begin(w, k->head.through);
    memcpy(next->data + HEADER, k->data + k->bytes, rest);
    next->bytes += rest;
    next->head.epoch = rest ? k->head.epoch : 0;
    next->head.messages = rest_messages;
}

bool mm_direct_put(mm_direct_filling *w, const mm_audit_record *r)
{
    uint8_t message[MM_DIRECT_MESSAGE_MAX];
    uint32_t n = mm_direct_message(r, message);
    const mm_direct_packet *was = &w->packets[w->ready];
    bool other_epoch = w->through > was->head.after && was->head.epoch != r->epoch;
    if (other_epoch || was->bytes + n > MM_DIRECT_PACKET_BYTES) {
        if (w->ready + 2 >= MM_DIRECT_PACKETS)
            return false;
        if (w->whole.messages && !other_epoch)
            mm_direct_end_whole(w);
        else
            mm_direct_end(w); /* one command has more to tell than a packet holds */
    }
    mm_direct_packet *k = &w->packets[w->ready];
    memcpy(k->data + k->bytes, message, n);
    k->bytes += n;
    k->head.messages = (uint16_t)(k->head.messages + (n > 0));
    k->head.epoch = r->epoch;
    w->through = r->sequence;
    if (r->flags & MM_RECORD_LAST) {
        w->whole.bytes = k->bytes;
        w->whole.messages = k->head.messages;
        w->whole.through = r->sequence;
    }
    return true;
}

void mm_direct_leave_out(mm_direct_filling *w, uint64_t through)
{
    if (w->through > w->packets[w->ready].head.after)
        mm_direct_end(w);
    w->packets[w->ready].head.flags |= MM_DIRECT_UNAVAILABLE;
    w->through = w->whole.through = through;
    mm_direct_end(w);
}

void mm_direct_gone(mm_direct_filling *w)
{
    if (!w->ready)
        return;
    w->packets[0].bytes = w->packets[w->ready].bytes;
    memcpy(w->packets[0].data, w->packets[w->ready].data, w->packets[0].bytes);
    w->ready = 0;
}
