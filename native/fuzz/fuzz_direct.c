/* Fuzzes what the direct feed makes of bytes from outside: a request is taken only as its table says, and whatever a record of the log
 * holds, packets stay within their size, go on from each other, and tell each record once. The first byte says which of the two. */
#include "../direct_feed_packet.h"

#include <stdlib.h>
#include <string.h>

static void check(bool right)
{
    if (!right)
        abort();
}

static void a_request(const uint8_t *data, size_t n)
{
    uint64_t after = 1, through = 0;
    if (!mm_direct_request(data, n, &after, &through))
        return;
    uint64_t words[3];
    check(n == sizeof words && after < through);
    memcpy(words, data, sizeof words);
    check(words[0] == UINT64_C(0x0000000152444D4D) && words[1] == after && words[2] == through);
}

static uint32_t length_of(uint8_t type)
{
    switch (type) {
    case 'A':
    case 'D':
    case 'R':
    case 'U':
        return 48;
    case 'E':
        return 64;
    case 'X':
        return 40;
    case 'S':
    case 'C':
        return 24;
    default:
        return 0;
    }
}

/* What a receiver would see: how many messages. `told` is the last record before. */
static uint64_t read_packet(const mm_direct_packet *k, uint64_t *told)
{
    uint32_t at = sizeof k->head;
    uint64_t last = k->head.after;
    check(k->head.after == *told && k->head.through >= *told && k->bytes <= MM_DIRECT_PACKET_BYTES);
    for (uint16_t i = 0; i < k->head.messages; i++) {
        uint64_t sequence;
        check(at < k->bytes && length_of(k->data[at]));
        memcpy(&sequence, k->data + at + 8, sizeof sequence);
        check(sequence > last && sequence <= k->head.through);
        last = sequence;
        at += length_of(k->data[at]);
    }
    check(at == k->bytes);
    *told = k->head.through;
    return k->head.messages;
}

static void records(const uint8_t *data, size_t n)
{
    static mm_direct_filling w;
    uint64_t told = 7, made = 0, seen = 0, sequence = told;
    mm_direct_start(&w, 0, told);
    while (n) {
        /* A few bytes a record, for there must be many to fill packets; what they do not say is zero. */
        uint8_t from[8] = {0}, message[MM_DIRECT_MESSAGE_MAX];
        size_t taken = n < sizeof from ? n : sizeof from;
        memcpy(from, data, taken);
        data += taken;
        n -= taken;
        mm_audit_record r = {
            .sequence = ++sequence, .kind = from[0], .flags = from[1], .epoch = from[2] & 3, .type = from[3]};
        r.event.kind = from[4];
        r.event.reason = from[5];
        r.event.side = from[6];
        r.event.order_id = from[7];
        made += mm_direct_message(&r, message) > 0;
        if (!mm_direct_put(&w, &r)) {
            check(w.ready > 0);
            for (uint32_t i = 0; i < w.ready; i++)
                seen += read_packet(&w.packets[i], &told);
            mm_direct_gone(&w);
            check(mm_direct_put(&w, &r));
        }
        if (from[3] == 0x55) { /* nothing more is there for now */
            mm_direct_end_whole(&w);
            for (uint32_t i = 0; i < w.ready; i++)
                seen += read_packet(&w.packets[i], &told);
            mm_direct_gone(&w);
        }
    }
    mm_direct_end(&w);
    for (uint32_t i = 0; i < w.ready; i++)
        seen += read_packet(&w.packets[i], &told);
    check(told == sequence && seen == made);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size)
        return 0;
    if (data[0] & 1)
        a_request(data + 1, size - 1);
    else
        records(data + 1, size - 1);
    return 0;
}
