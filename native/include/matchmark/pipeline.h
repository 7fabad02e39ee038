/* The pipeline: gateways, engine and audit writer as processes joined by rings in shared memory.
 *
 *   gateway 0 --\                                /--> reports.0  (SPSC) --> gateway 0
 *   gateway 1 ----> orders (MPSC, CAS) --> engine ---> reports.1  (SPSC) --> gateway 1
 *                                                \--> audit      (SPSC) --> writer --> audit log
 *
 * The rings are files in one directory, by default under /dev/shm: they outlive every process, so that kill -9 of any role
 * loses nothing that was put into a ring. docs/shared-memory.md has the layouts of the files.
 *
 * When an order is consumed. The engine writes an order's command record, then the records of the events it caused, into the
 * audit ring and makes them visible by moving the ring's tail. The order is consumed at the instant its command record is
 * visible; everything else is a function of the command records, so an engine that is killed comes back by replaying them,
 * finishes what was cut short, and takes the next order position after the last one recorded. Its slot is freed afterwards.
 * A report is put after its record is visible, so none tells of something that could be lost by kill -9.
 *
 * Prices are integer ticks, quantities integer lots, money ticks x lots in 128 bits (low word first), times nanoseconds:
 * time_ns of the wall clock, all others readings of mm_now_ns(). Text is ASCII, padded with zeros, not ended by one when full.
 *
 * Order slot payload, what a gateway puts (248 bytes; with the ring's word 256)
 *   offset  field          type  meaning
 *        0  command        64 B  mm_command; its tag is overwritten with the order position
 *       64  text           40 B  ClOrdID
 *      104  orig_text      40 B  OrigClOrdID, zeros for none
 *      144  session        u32   the gateway's number of the session; comes back in reports
 *      148  gateway        u16   set by mm_orders_put
 *      150  zero           u16
 *      152  received_ns    u64   the gateway had its bytes
 *      160  validated_ns   u64   its checks were done
 *      168  enqueued_ns    u64   it was put; 0: stamped by mm_orders_put
 *      176  notional       2xu64 warn to resume: sum of price x quantity of the trades in the average; goes into the record
 *      192  spare          56 B  zeros
 *
 * Report, what a gateway takes (256 bytes): one side of one event, for the session that is to be told
 *   offset  field          type  meaning
 *        0  key            u64   2 x audit sequence of the event + 1 for the resting side of a trade, else + 0; only rises
 *        8  kind           u8    mm_event_kind; state goes to every gateway: state and side are mm_trading after and before, last
 *                                the price and contra_order_id the lots of the command, notional its
 *        9  reason         u8    mm_reason
 *       10  side           u8    mm_side of the order
 *       11  state          u8    mm_state of the order after the event (MM_UNKNOWN in rejects)
 *       12  type           u8    mm_ord_type of the order
 *       13  tif            u8    mm_tif of the order
 *       14  op             u8    mm_op of the command that caused it
 *       15  resting        u8    1: the resting side of a trade
 *       16  session        u32   who is told
 *       20  gateway        u16   whose session that is
 *       22  cause_type     u8    mm_ord_type of the command that caused it
 *       23  cause_tif      u8    mm_tif of it
 *       24  account        u32   of the order
 *       28  symbol         u32   MM_ALL_SYMBOLS in mass_cancelled of all
 *       32  cl_ord_id      u64   hash of text
 *       40  orig_cl_ord_id u64   hash of orig_text, 0 for none
 *       48  order_id       u64   0 where no order was found
 *       56  limit_ticks    i64   limit of the order, MM_ABSENT for market and where not known
 *       64  last_ticks     i64   trade: its price
 *       72  last_lots      u32   trade: its quantity; cancelled: what was cancelled; mass_cancelled: how many orders
 *       76  leaves_lots    u32   of the order after the event
 *       80  cum_lots       u32   of the order after the event
 *       84  order_lots     u32   OrderQty of the order (of a rejected new as given, capped to u32); 0 where not known
 *       88  notional       2xu64 sum of price x quantity of its fills: AvgPx is notional / cum (0 where not known)
 *      104  text           40 B  ClOrdID that the report is about: the order's; of the request in rejects, status, mass_cancelled
 *                                and in cancelled by request
 *      144  orig_text      40 B  OrigClOrdID, zeros for none
 *      184  time_ns        u64   wall clock carried by the command that caused it: TransactTime
 *      192  received_ns    u64   of that command, like the next two
 *      200  validated_ns   u64
 *      208  enqueued_ns    u64
 *      216  dequeued_ns    u64   the engine began its batch
 *      224  matched_ns     u64   the batch's records became visible
 *      232  reported_ns    u64   the report became visible
 *      240  contra_order_id u64  trade: the other order
 *      248  order_position u64   of the command that caused it
 * A report rebuilt from the log has validated_ns and enqueued_ns 0 unless the command's record is given too, and reported_ns 0.
 * Status under a ClOrdID that a replace has ended knows cum and state of then, and has no notional. */
#ifndef MATCHMARK_PIPELINE_H
#define MATCHMARK_PIPELINE_H

#include "matchmark/audit.h"
#include "matchmark/engine.h"
#include "matchmark/stages.h"

#ifdef __cplusplus
extern "C" {
#endif

/* cdef begin */
#define MM_GATEWAYS_MAX 64

enum mm_durability { MM_ASYNC = 0, MM_FSYNC = 1, MM_REPLICATED = 2 };
enum mm_wait { MM_WAIT_AUTO = 0, MM_WAIT_SPIN = 1, MM_WAIT_YIELD = 2, MM_WAIT_SLEEP = 3 };

/* Why an exchange takes no orders. Starting and stopping pass; failed stays until mm_pipeline_clear_failure. */
enum mm_exchange_state { MM_STARTING = 0, MM_RUNNING = 1, MM_STOPPING = 2, MM_FAILED = 3 };

/* A standby's commands come from the primary's log, and it tells nobody. */
enum mm_role { MM_PRIMARY = 0, MM_STANDBY = 1 };

enum mm_put { MM_PUT_OK = 0, MM_PUT_FULL = 1, MM_PUT_STOPPED = 2 };

typedef struct mm_pipeline mm_pipeline;

/* Ring sizes are powers of two, 64 .. 2^24 slots. `base_*` go on from the audit log (0 for an empty one): mm_audit_recover. */
typedef struct mm_pipeline_config {
    uint32_t gateways; /* 1 .. 64 */
    uint32_t order_slots, audit_slots, report_slots;
    uint32_t durability;          /* mm_durability */
    uint32_t epoch;               /* 1 ..; written into every record, never below the log's */
    uint64_t base_sequence;       /* last sequence number in the log */
    uint64_t base_running_hash;   /* its running hash */
    uint64_t base_order_position; /* the first order position to be used */
} mm_pipeline_config;

typedef struct mm_order_message {
    mm_command command;
    char text[40], orig_text[40];
    uint32_t session;
    uint16_t gateway, zero;
    uint64_t received_ns, validated_ns, enqueued_ns;
    uint64_t notional[2];
    uint64_t spare[7];
} mm_order_message;

typedef struct mm_report {
    uint64_t key;
    uint8_t kind, reason, side, state, type, tif, op, resting;
    uint32_t session;
    uint16_t gateway;
    uint8_t cause_type, cause_tif;
    uint32_t account, symbol;
    uint64_t cl_ord_id, orig_cl_ord_id, order_id;
    int64_t limit_ticks, last_ticks;
    uint32_t last_lots, leaves_lots, cum_lots, order_lots;
    uint64_t notional[2];
    char text[40], orig_text[40];
    uint64_t time_ns, received_ns, validated_ns, enqueued_ns, dequeued_ns, matched_ns, reported_ns;
    uint64_t contra_order_id, order_position;
} mm_report;

/* A snapshot for people and supervisors. Depths in slots, sequences of the audit log. */
typedef struct mm_pipeline_status {
    mm_pipeline_config config;
    uint64_t generation; /* random, of this set of files */
    uint32_t state;      /* mm_exchange_state */
    int32_t failure_errno;
    char failure[256];                       /* why it failed; empty unless MM_FAILED */
    uint64_t order_position;                 /* next order position to be consumed */
    uint64_t orders_waiting;                 /* about */
    uint64_t sequence;                       /* last record visible */
    uint64_t durable_sequence;               /* last record on disk */
    uint64_t orders_abandoned;               /* slots of gateways that died between claiming and filling them */
    uint64_t engine_beat_ns, writer_beat_ns; /* mm_now_ns() when each last went round its loop */
    uint32_t engine_pid, writer_pid;
    uint32_t epoch, fenced_by; /* of records made now; of another primary, 0 for none */
    uint32_t role, alone;      /* mm_role; 1: MM_REPLICATED without a standby in step */
    uint64_t replicated_sequence;
    uint64_t lease_until_ns; /* UINT64_MAX: none is needed */
} mm_pipeline_status;

/* CLOCK_MONOTONIC_RAW in nanoseconds: the one clock of all stamps on this machine. */
uint64_t mm_now_ns(void);

/* Makes the files in `directory` (made too; what a former pipeline left there is replaced). 0, or -1 and `fault`. Nothing may be attached. */
int mm_pipeline_create(const char *directory, const mm_pipeline_config *config, mm_fault *fault);
/* Maps them, checking magic, version, sizes and that they belong together. NULL and `fault` when that fails. */
mm_pipeline *mm_pipeline_attach(const char *directory, mm_fault *fault);
void mm_pipeline_detach(mm_pipeline *p);
void mm_pipeline_status_of(const mm_pipeline *p, mm_pipeline_status *status);
/* The supervisor's words. Orders are taken in MM_RUNNING only; stopping lets the engine and the writer drain and end. */
void mm_pipeline_set_state(mm_pipeline *p, int state);
/* First failure wins and stays. `error` is an errno or 0. */
void mm_pipeline_fail(mm_pipeline *p, int error, const char *text);
/* An operator's decision after the cause was repaired, with no role running. */
void mm_pipeline_clear_failure(mm_pipeline *p);
int mm_pipeline_state(const mm_pipeline *p);
/* --- one of several members (docs/cluster.md). Until told otherwise an exchange is a primary that needs no lease. --- */
/* From `until_ns` (mm_now_ns) on nothing is executed, written or told to clients, until it is extended. */
void mm_pipeline_set_lease(mm_pipeline *p, uint64_t until_ns);
/* Another primary has begun under `epoch`: this one is over for good. Also the successor's word to a predecessor's memory. */
void mm_pipeline_fence(mm_pipeline *p, uint32_t epoch);
/* With no role running: the fence, the failure and the lease are taken back, so that a writer can write what is left. */
void mm_pipeline_retire(mm_pipeline *p);
/* Of the records made from now on. Nothing may be on its way through the engine. */
void mm_pipeline_set_epoch(mm_pipeline *p, uint32_t epoch);
void mm_pipeline_set_role(mm_pipeline *p, int role);
int mm_pipeline_role(const mm_pipeline *p);
void mm_pipeline_set_alone(mm_pipeline *p, int alone);
/* The lease has not run out. */
int mm_pipeline_may_act(const mm_pipeline *p);
uint64_t mm_pipeline_durable_sequence(const mm_pipeline *p);

/* How a thread waits here: `asked`, or for MM_WAIT_AUTO what suits `threads` busy threads on the processors this one may use.
 * `text` (256 bytes, may be NULL) gets a sentence that says what was picked and why. */
int mm_wait_pick(int asked, uint32_t threads, char *text);

/* --- gateways. One process (one thread) at a time has a gateway number; its death gives it back. --- */

/* 0, or -1 and `fault` when the number is taken or out of range. Claims that a killed predecessor left open are passed over. */
int mm_gateway_join(mm_pipeline *p, uint32_t gateway, mm_fault *fault);
void mm_gateway_leave(mm_pipeline *p, uint32_t gateway);

/* Copies the order into the order ring. MM_PUT_FULL is back-pressure: try again later; MM_PUT_STOPPED: refuse the order, nobody
 * has it. `order_position` (may be NULL) gets the position. Any number of gateways at once, one thread a gateway. */
int mm_orders_put(mm_pipeline *p, uint32_t gateway, const mm_order_message *order, uint64_t *order_position);

/* Reports waiting for the gateway that may be sent: their number, at most `max`, contiguous at *first, valid until released.
 * In MM_FSYNC those not yet on disk are held back, in MM_REPLICATED those that the standby does not have. */
uint64_t mm_reports_peek(mm_pipeline *p, uint32_t gateway, const mm_report **first, uint64_t max);
void mm_reports_release(mm_pipeline *p, uint32_t gateway, uint64_t n);
/* Reports up to this key were put before the ring's first one (they are in the audit log only). */
uint64_t mm_reports_base_key(const mm_pipeline *p, uint32_t gateway);
/* The engine never waits long for a gateway: when a report ring has been full for 100 ms (at once when its gateway is dead),
 * reports to it are dropped, for the audit log has them. Non-zero: the first key dropped. The gateway takes what is in the ring,
 * calls mm_reports_resume until it gives the key (non-zero) from which on reports come through the ring again, and reads those
 * in between from the log. */
uint64_t mm_reports_lost_from(const mm_pipeline *p, uint32_t gateway);
uint64_t mm_reports_resume(mm_pipeline *p, uint32_t gateway);

/* The report that the engine made of an event's record: `resting` 1 for the resting side of a trade. `command` is the record of
 * the command that caused it (NULL: without what only it knows). 1, or 0 when the record makes no such report. */
int mm_report_of_record(const mm_audit_record *record, const mm_audit_record *command, int resting, mm_report *report);

/* --- engine: one process, which a lock on the directory makes sure of. --- */

typedef struct mm_engine_loop mm_engine_loop;

/* Attaches the engine's side, replays the audit log in `log_directory` and what the audit ring holds, and puts the records and
 * reports that a killed predecessor owed. `config` must be the log's. NULL and `fault` when anything disagrees. */
mm_engine_loop *mm_engine_loop_open(mm_pipeline *p, const char *log_directory, const mm_config *config,
                                    mm_fault *fault);
/* All of its memory is there from now on, so that no order waits for a page. A hint: the system may not be able to. */
void mm_engine_loop_populate(mm_engine_loop *loop);
/* Takes what is in the order ring, at most one batch, and publishes what it caused: commands taken. Never blocks, but for a full audit ring. */
uint64_t mm_engine_loop_poll(mm_engine_loop *loop);
/* Polls until `slice_ns` have passed or the pipeline stops, waiting as `wait` says. 0: the slice is over; 1: stopped and drained; -1: failed. */
int mm_engine_loop_run(mm_engine_loop *loop, uint64_t slice_ns, int wait);
/* For a thread that is gateway `gateway` as well: executes what is there as long as the reports of it fit into that gateway's ring, and
 * returns how many orders that were. Nothing here waits for the gateway. */
uint64_t mm_engine_loop_step(mm_engine_loop *loop, uint32_t gateway);
const mm_engine *mm_engine_loop_engine(const mm_engine_loop *loop);
void mm_engine_loop_close(mm_engine_loop *loop);

/* --- audit writer: one process, which a lock on the log's directory makes sure of. --- */

typedef struct mm_writer mm_writer;

typedef struct mm_writer_config {
    mm_config engine;          /* goes into the file headers; must be the log's */
    uint64_t instruments_hash; /* the same */
    uint64_t file_records;     /* records a file, then the next one; 1,000 .. 2^32 - 1, at least audit_slots */
    uint64_t linger_ns;        /* how long a batch waits to become full, 1 ms at most; in MM_FSYNC it never waits */
} mm_writer_config;

/* Opens the log for writing where the audit ring's durable mark says, makes the directory and the first file when there is none.
 * What lies behind the mark was never confirmed and is still in the ring: it is cut and written again. NULL and `fault`. */
mm_writer *mm_writer_open(mm_pipeline *p, const char *log_directory, const mm_writer_config *config, mm_fault *fault);
/* Writes one batch if one is due: at most 1,000 records, one write, one fdatasync. Records written, or -1 when the log failed,
 * which has stopped the exchange: mm_pipeline_status_of says why. It is never tried again. */
int64_t mm_writer_poll(mm_writer *w);
/* Polls until `slice_ns` have passed or the pipeline stops. 0: the slice is over; 1: stopped, the engine has gone and all it made is on disk; -1: failed. */
int mm_writer_run(mm_writer *w, uint64_t slice_ns, int wait);
void mm_writer_close(mm_writer *w);
/* Counts how long records took to the disk (MM_STAGE_WRITTEN, MM_STAGE_DURABLE) from now on; NULL: no more. */
void mm_writer_measure(mm_writer *w, mm_stages *stages);
/* cdef end */

MM_STATIC_ASSERT(sizeof(mm_order_message) == 248, "order layout");
MM_STATIC_ASSERT(sizeof(mm_report) == 256, "report layout");

#ifdef __cplusplus
}
#endif

#endif
