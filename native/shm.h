/* The files of a pipeline: layouts, and the handle that has them mapped. docs/shared-memory.md is the same as tables.
 *
 * Every file starts with a page: a head that says what it is, then words, each on a cache line of its own where two sides
 * write; slots begin at the second page. */
#ifndef MATCHMARK_SHM_H
#define MATCHMARK_SHM_H

#include "ring.h"

#define MM_SHM_MAGIC   UINT64_C(0x314D48534D4D0000) /* bytes 00 00 "MMSHM1" */
#define MM_SHM_VERSION 2
#define MM_SHM_PAGE    4096

enum mm_shm_kind { MM_SHM_CONTROL = 1, MM_SHM_ORDERS = 2, MM_SHM_AUDIT = 3, MM_SHM_REPORTS = 4 };

typedef struct mm_shm_head {
    uint64_t magic;
    uint32_t version, kind;
    uint64_t generation; /* the same in all files of one pipeline */
    uint64_t bytes;      /* of the file */
    uint64_t slots;
    uint32_t slot_bytes;
    uint32_t index; /* reports: the gateway */
    uint64_t zero[2];
} mm_shm_head;

_Static_assert(sizeof(mm_shm_head) == 64, "head layout");

typedef struct mm_line {
    mm_word word;
    uint64_t pad[7];
} mm_line;

typedef struct mm_control {
    mm_shm_head head;
    mm_pipeline_config config;
    uint64_t zero[2]; /* the next line starts on a cache line */
    mm_line state;    /* mm_exchange_state */
    mm_line failing;  /* 1 once someone has begun to say why it failed */
    int32_t failure_errno;
    char failure[252];
    mm_line engine_beat_ns, writer_beat_ns; /* word: time; pad[0]: process id */
    mm_line order_position;                 /* next to be consumed; for people, the log is what counts */
    mm_line orders_abandoned;
    mm_line epoch; /* of the records made from now on */
    mm_line
        lease_until_ns; /* mm_now_ns(): from then on nothing is executed, written or told. UINT64_MAX: no lease is needed */
    mm_line fenced_by;  /* the epoch of another primary, 0 for none: it stays */
    mm_line role;       /* mm_role */
    mm_line replicated; /* last record that the standby in step has */
    mm_line alone;      /* 1: no standby is in step, so in MM_REPLICATED the disk counts instead */
    mm_line
        standby_behind; /* primary: records that the standby in step has not executed; pad[0]: when that was known */
} mm_control;

_Static_assert(sizeof(mm_control) <= MM_SHM_PAGE, "control layout");

typedef struct mm_orders_file {
    mm_shm_head head;
    mm_line tail;
    char pad[MM_SHM_PAGE - 128];
    mm_order_slot slots[];
} mm_orders_file;

/* Counters are audit sequence numbers: record s is in slot s mod slots. */
typedef struct mm_audit_ring {
    mm_shm_head head;
    mm_line tail;    /* last record visible: the engine's */
    mm_line durable; /* last record on disk, its slot free: the writer's */
    char pad[MM_SHM_PAGE - 192];
    mm_audit_record slots[];
} mm_audit_ring;

/* Counters count reports since the file was made. */
typedef struct mm_reports_file {
    mm_shm_head head;
    mm_line tail;      /* the engine's */
    mm_line taken;     /* the gateway's */
    mm_line base_key;  /* never written again */
    mm_line lost_from; /* the engine's: first key dropped, 0 for none */
    mm_line resume;    /* the gateway's: 1 it asks, the engine answers by clearing it */
    mm_line resumed;   /* the engine's: first key that comes through the ring again */
    char pad[MM_SHM_PAGE - 64 - 6 * 64];
    mm_report slots[];
} mm_reports_file;

_Static_assert(sizeof(mm_orders_file) == MM_SHM_PAGE && sizeof(mm_audit_ring) == MM_SHM_PAGE,
               "slots start at the second page");
_Static_assert(sizeof(mm_reports_file) == MM_SHM_PAGE, "slots start at the second page");

struct mm_pipeline {
    char directory[3840];
    mm_control *control;
    mm_orders_file *orders;
    mm_audit_ring *audit;
    mm_reports_file *reports[MM_GATEWAYS_MAX];
    int gateway_locks[MM_GATEWAYS_MAX]; /* descriptor, -1 where not joined */
    mm_mpsc order_ring;
};

/* Fills `fault` (may be NULL): text by the format, and errno's words after it when `error` is not 0. Always -1. */
int mm_fault_set(mm_fault *fault, int error, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Takes an exclusive lock that dies with its holder: descriptor, or -1 (errno EWOULDBLOCK: someone has it). */
int mm_lock_take(const char *directory, const char *name);
void mm_lock_give(int descriptor);

/* For the engine, about a claim that stays open: when its gateway is dead, abandons it. */
bool mm_claim_is_dead(mm_pipeline *p, uint64_t position, uint32_t gateway);
bool mm_gateway_is_dead(mm_pipeline *p, uint32_t gateway);

#endif
