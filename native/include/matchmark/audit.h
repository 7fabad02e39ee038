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
 *      191  flags              u8    bit 0: last record of its command; bit 1: status of a sell that
 *                                    is over; bits 4-7: the command's mm_op
 *      192  leaves_lots        u32   -                  of the order after the event
 *      196  cum_lots           u32   -                  of the order after the event
 *      200  other_leaves_lots  u32   -                  trade: of the resting order after it; status of an order that is
 *                                                       over: its OrderQty
 *      204  epoch              u32   of the engine that wrote it; never falls
 *      208  notional           2xu64 (1)                low, high: sum of price x quantity of the order's fills
 *      224  other_notional     2xu64 -                  trade: the same of the resting order
 *      240  received_ns        u64   when the gateway had its bytes; in every record of the command
 *      248  stage_a_ns         u64   validated_ns       dequeued_ns: the engine began its batch
 *      256  stage_b_ns         u64   enqueued_ns        matched_ns: the engine ended its batch, just before it published
 *      264  batch_index        u16   written by the writer: how many records before it in its batch; sequence - batch_index is
 *                                    where the batch began, and all before that was on disk when this record was written
 *      266  zero               u16
 *      268  crc                u32   CRC32C of bytes 0-267, by the writer
 * (1) warn, halt, calm, resume: sum of price x quantity of the trades in the average, low word first; and in their state event.
 * A trade's cum_lots is the incoming order's; that of the resting one is in the event. */
#ifndef MATCHMARK_AUDIT_H
#define MATCHMARK_AUDIT_H

#include "matchmark/engine.h"

#ifdef __cplusplus
extern "C" {
#endif

#define MM_AUDIT_MAGIC   UINT64_C(0x31474F4C414D4D00) /* bytes 00 "MMALOG1" */
#define MM_AUDIT_VERSION 1

/* cdef begin */
#define MM_TEXT_BYTES         40
#define MM_AUDIT_RECORD_BYTES 272
#define MM_AUDIT_HEADER_BYTES 4096
#define MM_AUDIT_BATCH_MAX    1000

/* What went wrong: a sentence that says whose fault it is and what to do, and errno where a system call failed (else 0). */
typedef struct mm_fault {
    int code;
    char text[508];
} mm_fault;

enum mm_record_kind { MM_RECORD_COMMAND = 1, MM_RECORD_EVENT = 2 };
/* flags: bit 0 set in the last record of a command; bits 4-7 the mm_op of the command. */
#define MM_RECORD_LAST     1
#define MM_RECORD_SELL     2
#define MM_RECORD_OP_SHIFT 4

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

/* First page of every file; files are audit-<first sequence, 20 digits>.log, records follow the page without a gap. */
typedef struct mm_audit_header {
    uint64_t magic;
    uint32_t version, record_bytes;
    uint64_t first_sequence;
    uint64_t first_hash;       /* running hash before the first record */
    uint64_t capacity_records; /* then the next file follows */
    uint64_t created_ns;       /* wall clock */
    uint32_t epoch, zero;
    mm_config engine;          /* what the commands must be replayed with */
    uint64_t instruments_hash; /* of the instrument list, the caller's; must stay the same */
} mm_audit_header;

/* What a log holds. */
typedef struct mm_audit_extent {
    uint64_t files;
    uint64_t sequence;            /* of the last record, 0 for none */
    uint64_t running_hash;        /* its */
    uint64_t next_order_position; /* one past the last command's order position */
    uint64_t bytes_cut;           /* torn tail: what a batch that was never confirmed left behind */
    uint64_t records_cut;         /* at most so many records were in it */
    uint32_t epoch, zero;
    mm_audit_header header; /* of the first file; zeros for none */
} mm_audit_extent;

/* Reads the log in `directory`, checking every record. With `cut` a torn tail is zeroed on disk, else only counted. Damage to
 * records that were committed is refused and never cut: -1 and `fault`. No log at all is an extent of zeros. Before a pipeline is
 * made anew (cold start). Nobody may be writing.
 *
 * `last` -1: how far the log was committed is not known but by itself. Else it is (shared memory is there): every record up to `last`
 * must be good, and what lies behind it is not looked at, for the writer will write that again. */
int mm_audit_recover(const char *directory, int64_t last, int cut, mm_audit_extent *extent, mm_fault *fault);

/* CRC32C (Castagnoli, as in RFC 3720) of `n` bytes, going on from `crc` (0 at first). */
uint32_t mm_crc32c(uint32_t crc, const void *data, size_t n);
/* How many of `n` records from the first have the CRC that they state. */
uint64_t mm_audit_crc_good(const mm_audit_record *records, uint64_t n);
/* The running hash of a record after one whose running hash was `before`. */
uint64_t mm_audit_hash(uint64_t before, const mm_audit_record *record);
/* cdef end */

MM_STATIC_ASSERT(sizeof(mm_audit_record) == MM_AUDIT_RECORD_BYTES, "audit record layout");
MM_STATIC_ASSERT(offsetof(mm_audit_record, text) == 80 && offsetof(mm_audit_record, time_ns) == 160,
                 "audit record layout");
MM_STATIC_ASSERT(offsetof(mm_audit_record, notional) == 208 && offsetof(mm_audit_record, crc) == 268,
                 "audit record layout");

#ifdef __cplusplus
}
#endif

#endif
