/* Shared by the engine loop's own files: its state, and the orders it knows beyond what the book needs. */
#ifndef MATCHMARK_ENGINE_LOOP_H
#define MATCHMARK_ENGINE_LOOP_H

#include "audit_file.h"

#include <string.h>

#define MM_LOOP_BATCH  64  /* orders a batch: what one reading of the clock stamps */
#define MM_LOOP_MADE   32  /* records of a replay that are compared with the log's together */
#define MM_LOOP_STAGED 128 /* records made in the cache before they go to the ring */
#define MM_LOOP_EVENTS 255 /* events a submit; one more is held back until it is known whether it is the last */

/* What a report needs of an order and the book does not keep. */
typedef struct mm_known_order {
    uint64_t order_id;
    uint64_t notional[2];
    int64_t limit_ticks;
    char text[MM_TEXT_BYTES];
    uint32_t session, leaves_lots, cum_lots;
    uint16_t gateway;
    uint8_t type : 7, side : 1, tif;
} mm_known_order;

/* What the answer to a status request needs of an order that has ended, beyond what the engine remembers. */
typedef struct mm_past_order {
    uint64_t notional[2];
    int64_t limit_ticks;
    uint32_t order_lots, cum_lots;
    uint8_t side, type, tif;
} mm_past_order;

/* Resting orders by order id: an open-addressed table of indexes into a pool. Ids are given out in sequence, so eight neighbours
 * share a cache line of the table. Sized at creation for all orders that can rest; nothing allocates later. */
typedef struct mm_known_orders {
    uint64_t *slots; /* low word of the id << 32 | index, 0 for empty */
    mm_known_order *pool;
    uint32_t *free_list;
    mm_past_order
        *past; /* by order id, which counts accepted orders and so stays within the ids that the engine remembers */
    uint64_t mask, max_past;
    uint32_t group_shift, n_free, max;
} mm_known_orders;

int mm_known_create(mm_known_orders *known, uint32_t max_orders, uint32_t remembered_ids);
void mm_known_populate(const mm_known_orders *known);
void mm_known_destroy(mm_known_orders *known);
void mm_known_clear(mm_known_orders *known);
/* NULL when there is no such order. */
mm_known_order *mm_known_find(const mm_known_orders *known, uint64_t order_id);
/* False when the pool is full, which a pool as large as the book's never is. */
bool mm_known_insert(mm_known_orders *known, const mm_known_order *order);
void mm_known_remove(mm_known_orders *known, uint64_t order_id);
/* The order has ended, with so much of it cancelled. */
void mm_past_keep(mm_known_orders *known, const mm_known_order *order, uint32_t cancelled_lots);
/* NULL when the engine forgets orders that have ended. */
const mm_past_order *mm_past_find(const mm_known_orders *known, uint64_t order_id);

struct mm_engine_loop {
    mm_pipeline *p;
    int lock;
    mm_engine *engine;
    mm_known_orders known;
    bool broken; /* an inconsistency or a dead writer: nothing more is taken */
    uint32_t epoch;

    uint64_t sequence,
        running_hash;        /* of the last record made, visible or not; the hash of the last one staged or compared */
    uint32_t log_epoch;      /* of the snapshot's last record, for a replay that begins behind it */
    uint64_t position;       /* next order position */
    uint64_t dequeued_ns;    /* the batch began */
    uint64_t stuck_since_ns; /* first look at a claim that stays open, 0 for none */
    uint32_t idle_polls;
    bool shared; /* its thread is a gateway's too */

    /* The command being executed. */
    mm_order_message order;
    mm_audit_record command_record; /* of its record what reports need: the command and its stages */
    mm_known_order incoming;
    bool incoming_open; /* accepted or replaced by this command, not ended */

    /* Replay: records are compared with those of the log instead of being staged, until the log ends. */
    bool replaying;
    const mm_audit_record *(*expected)(struct mm_engine_loop *);
    void *source;
    mm_fault *fault;
    uint32_t n_made;
    uint64_t wanted[MM_LOOP_MADE];      /* running hashes that the records made must have */
    uint64_t reported[MM_GATEWAYS_MAX]; /* last key put into each report ring */

    uint64_t pending[MM_GATEWAYS_MAX]; /* reports written behind each ring's tail, not visible yet */
    uint32_t n_staged;
    mm_event events[MM_LOOP_EVENTS + 1];
    _Alignas(64) mm_audit_record staged[MM_LOOP_STAGED];
    _Alignas(64) mm_audit_record made[MM_LOOP_MADE];
};

/* engine_loop_record.c: one order through the engine, its records and reports. False when the loop is broken. */
bool mm_loop_execute(mm_engine_loop *loop, const mm_order_message *order, uint64_t position);
/* Compares what a replay has made with the log. False, with the loop broken and `fault` set, when it is something else. */
bool mm_loop_compare(mm_engine_loop *loop);

/* engine_loop_publish.c: makes what is staged visible, records first, then reports. False when the writer is gone. */
bool mm_loop_publish(mm_engine_loop *loop);
/* Puts one side's report into its gateway's ring. */
bool mm_loop_report(mm_engine_loop *loop, const mm_audit_record *record, int resting);
/* Into every gateway's: all their sessions are to be told. */
bool mm_loop_report_to_all(mm_engine_loop *loop, const mm_audit_record *record);
void mm_loop_answer_resume(mm_engine_loop *loop);

/* engine_loop_replay.c: the order that a command's record is of. */
void mm_order_of_record(const mm_audit_record *r, mm_order_message *o);
/* Brings an engine, new or of a snapshot, to where the log and the audit ring end. 0, or -1 and `fault`. */
int mm_loop_replay(mm_engine_loop *loop, const char *log_directory, const mm_config *config, mm_fault *fault);

/* snapshot.c: the state of a new engine. 0, or -1 and `fault`. */
struct mm_snapshot;
int mm_snapshot_into_engine(const struct mm_snapshot *s, mm_engine_loop *loop, mm_fault *fault);

#endif
