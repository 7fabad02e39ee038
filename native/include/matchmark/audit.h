/* The audit log: what the engine was told and what it did, one 272-byte record each, in sequence.
 *
 * docs/audit-log.md has the same layout as tables, with the file header and the rules of recovery. Everything is
 * little-endian; prices are integer ticks, quantities integer lots, times integer nanoseconds, money (notional) ticks
 * times lots in 128 bits. Received, validated, enqueued, dequeued and matched are readings of mm_now_ns(); time_ns is the
 * wall clock that the command carried.
 *
 * Record, 272 bytes; "-" is zero. "the order" is the one that the event's cl_ord_id names, "the other" a trade's resting one.
 *   offset  field              type  command            event
 *        0  sequence           u64   1, 2, 3 ... without a gap
 *        8  running_hash       u64   mm_audit_hash of the record before's and of this record's bytes 0-7 and 16-239
 *       16  command | event    64 B  mm_command, its tag mm_event or mm_top
 *                                    the order position
 *       80  text               40 B  its ClOrdID        ClOrdID of the order (of the request: rejects, status, mass)
 *      120  other_text         40 B  OrigClOrdID        trade: the resting order's ClOrdID; cancelled by request: the
 *                                                       request's ClOrdID; replaced, cancel_rejected, status: OrigClOrdID
 *      160  time_ns            u64   as carried         the command's
 *      168  limit_ticks        i64   price_ticks        limit of the order, MM_ABSENT for market and where there is none
 *      176  session            u32   it came from       owns the order (made the request: rejects, status, mass)
 *      180  other_session      u32   -                  trade: owns the resting order; cancelled by request: made it
 *      184  gateway            u16   of session         of session
 *      186  other_gateway      u16   -                  of other_session
 *      188  kind               u8    mm_record_kind
 *      189  type               u8    as given           mm_ord_type of the order
 *      190  tif                u8    as given           mm_tif of the order
 *      191  flags              u8    mm_record_flag
 *      192  leaves_lots        u32   -                  of the order after the event
 *      196  cum_lots           u32   -                  of the order after the event
 *      200  other_leaves_lots  u32   -                  trade: of the resting order after it
 *      204  epoch              u32   of the engine that wrote it; never falls
 *      208  notional           2xu64 -                  low, high: sum of price x quantity of the order's fills
 *      224  other_notional     2xu64 -                  trade: the same of the resting order
 *      240  received_ns        u64   when the gateway had its bytes; in every record of the command
 *      248  stage_a_ns         u64   validated_ns       dequeued_ns: the engine began its batch
 *      256  stage_b_ns         u64   enqueued_ns        matched_ns: the engine ended its batch, just before it published
 *      264  batch_index        u16   written by the writer: how many records before it in its batch; sequence - batch_index is
 *                                    where the batch began, and all before that was on disk when this record was written
 *      266  zero               u16
 *      268  crc                u32   CRC32C of bytes 0-267, by the writer
 * A trade's cum_lots is the incoming order's; that of the resting one is in the event. */
#ifndef MATCHMARK_AUDIT_H
#define MATCHMARK_AUDIT_H

#include "matchmark/types.h"

#ifdef __cplusplus
extern "C" {
#endif

#define MM_AUDIT_MAGIC UINT64_C(0x31474F4C414D4D00) /* bytes 00 "MMALOG1" */
#define MM_AUDIT_VERSION 1

/* cdef begin */
#define MM_TEXT_BYTES 40
#define MM_AUDIT_RECORD_BYTES 272
#define MM_AUDIT_HEADER_BYTES 4096
#define MM_AUDIT_BATCH_MAX 1000

enum mm_record_kind { MM_RECORD_COMMAND = 1, MM_RECORD_EVENT = 2 };
enum mm_record_flag { MM_RECORD_LAST = 1 }; /* last record of its command */

typedef struct mm_audit_record {
    uint64_t sequence, running_hash;
    union {
        mm_command command;
        mm_event event;
        mm_top top;
        uint64_t body[8];
    };
    char text[40], other_text[40];
    uint64_t time_ns;
    int64_t limit_ticks;
    uint32_t session, other_session;
    uint16_t gateway, other_gateway;
    uint8_t kind, type, tif, flags;
    uint32_t leaves_lots, cum_lots, other_leaves_lots, epoch;
    uint64_t notional[2], other_notional[2];
    uint64_t received_ns, stage_a_ns, stage_b_ns;
    uint16_t batch_index, zero;
    uint32_t crc;
} mm_audit_record;
/* cdef end */

MM_STATIC_ASSERT(sizeof(mm_audit_record) == MM_AUDIT_RECORD_BYTES, "audit record layout");
MM_STATIC_ASSERT(offsetof(mm_audit_record, text) == 80 && offsetof(mm_audit_record, time_ns) == 160, "audit record layout");
MM_STATIC_ASSERT(offsetof(mm_audit_record, notional) == 208 && offsetof(mm_audit_record, crc) == 268, "audit record layout");

#ifdef __cplusplus
}
#endif

#endif
