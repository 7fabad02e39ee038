/* The direct feed: the engine's public events in UDP multicast packets, made from the audit ring. docs/direct-feed.md has the rules.
 *
 * All little-endian. A packet is at most 1,400 bytes: a header and `messages` messages, each as long as its type says. Sequences are
 * those of the audit log. Prices are ticks (MM_ABSENT for a market order), quantities lots; matched_ns and sent_ns are mm_now_ns().
 *
 * Header, 48 bytes
 *   offset  field      type
 *        0  magic      4 B   "MMDF"
 *        4  version    u8    1
 *        5  flags      u8    bit 0: the last message's command goes on in the next packet; bit 1: an answer to a request; bit 2: what is
 *                            between after and through can no longer be had
 *        6  messages   u16   how many follow; 0 in a heartbeat
 *        8  began      u64   last record before the epoch
 *       16  after      u64   the packet tells all that is public in records after + 1 to through
 *       24  through    u64
 *       32  sent_ns    u64
 *       40  epoch      u32   of its records; of a heartbeat: of those to come
 *       44  zero       u32
 *
 * Message, a head of 24 bytes, then what its type has
 *   offset  field       type
 *        0  type        u8    a letter
 *        1  flags       u8    bit 0: last record of its command; bit 1: the order is a market order; bit 2: immediate or cancel
 *        2  side        u8    mm_side of the order, of a trade's incoming order; S: mm_trading before
 *        3  state       u8    S: mm_trading from now on; E: mm_state of the resting order; else 0
 *        4  symbol      u32   index in the instrument list
 *        8  sequence    u64   of its audit record
 *       16  matched_ns  u64   0 in C
 *   A added, D deferred, R released, U replaced (48 bytes)
 *       24  order_id u64, 32 price i64, 40 quantity u32 (leaves), 44 cum u32 (U; else 0)
 *   E trade (64 bytes)
 *       24  order_id u64, 32 resting_order_id u64, 40 price i64, 48 quantity u32, 52 leaves u32, 56 resting_leaves u32, 60 zero u32
 *   X cancelled (40 bytes)
 *       24  order_id u64, 32 quantity u32, 36 zero u32
 *   S trading state, C all books cleared (24 bytes)
 *
 * Request for a retransmission, 24 bytes, to the address that packets come from
 *   offset  field    type
 *        0  magic    4 B   "MMDR"
 *        4  version  u8    1
 *        5  zero     u8x3
 *        8  after    u64   what is wanted: records after + 1 to through
 *       16  through  u64 */
#ifndef MATCHMARK_DIRECT_FEED_H
#define MATCHMARK_DIRECT_FEED_H

#include "matchmark/pipeline.h"

#ifdef __cplusplus
extern "C" {
#endif

/* cdef begin */
#define MM_DIRECT_PACKET_BYTES  1400
#define MM_DIRECT_HEADER_BYTES  48
#define MM_DIRECT_MESSAGE_MAX   64
#define MM_DIRECT_REQUEST_BYTES 24
#define MM_DIRECT_ANSWER_MAX    64 /* packets that one request is answered with at most: who wants more asks again */
#define MM_DIRECT_WAITING_MAX   64 /* requests that wait for their answer; one more is ignored */

typedef struct mm_direct_feed mm_direct_feed;

typedef struct mm_direct_settings {
    uint32_t group; /* IPv4 address of the multicast group, in host order */
    uint32_t port;
    uint64_t told;         /* the first packet tells what is behind this record; UINT64_MAX: behind what is there now */
    uint64_t heartbeat_ns; /* an idle feed sends a packet without messages so often */
    uint64_t answers_per_s; /* packets in answers to requests, all together */
} mm_direct_settings;

typedef struct mm_direct_counters {
    uint64_t sequence; /* the last record told */
    uint64_t packets, messages;
    uint64_t requests, resent; /* taken; packets in answer */
    uint64_t ignored;          /* malformed requests, of records not told yet, or more than may wait */
    uint64_t from_log;         /* records that the ring had no more */
    uint64_t send_errors;      /* packets that the kernel did not take */
} mm_direct_counters;

/* What a record tells the public: its message in `to` (MM_DIRECT_MESSAGE_MAX bytes), and its length; 0: nothing. */
uint32_t mm_direct_message(const mm_audit_record *record, uint8_t *to);
/* Any bytes. 1 and what is asked for, or 0. */
int mm_direct_request(const uint8_t *bytes, size_t n, uint64_t *after, uint64_t *through);

/* `descriptor`: a UDP socket, bound to where requests come, with its multicast options set; it stays the caller's. NULL and `fault`. */
mm_direct_feed *mm_direct_feed_make(mm_pipeline *p, const char *log_directory, int descriptor,
                                    const mm_direct_settings *settings, mm_fault *fault);
/* Tells what there is to tell, once: how many packets. */
uint64_t mm_direct_feed_poll(mm_direct_feed *f);
/* For `slice_ns`, waiting as `wait` says. */
void mm_direct_feed_run(mm_direct_feed *f, uint64_t slice_ns, int wait);
void mm_direct_feed_counters(const mm_direct_feed *f, mm_direct_counters *counters);
void mm_direct_feed_close(mm_direct_feed *f);
/* cdef end */

#ifdef __cplusplus
}
#endif

#endif
