/* Commands and events of the matching engine: fixed-layout records, little-endian on every machine we build for.
 *
 * Units: prices are integer ticks, quantities integer lots, times integer nanoseconds. Semantics: docs/engine-rules.md.
 * The text between the cdef marks is read by build_ffi.py as well as by the compiler: plain C, no macros.
 *
 * Command, 64 bytes
 *   offset  field           type  meaning
 *        0  op              u8    mm_op
 *        1  side            u8    mm_side            (new)
 *        2  type            u8    mm_ord_type        (new)
 *        3  tif             u8    mm_tif             (new)
 *        4  smp             u8    mm_smp             (new, replace)
 *        5  defer           u8    1: (new) where the symbol is warned, accepted now and decided at its release
 *        6  pad             u8x2  ignored
 *        8  account         u32   the caller's number of the account
 *       12  symbol          u32   index in the instrument list; >= n_symbols is unknown; MM_ALL_SYMBOLS in mass_cancel
 *       16  cl_ord_id       u64   the ClOrdID of this command
 *       24  orig_cl_ord_id  u64   the order meant      (cancel, replace, status, release)
 *       32  price_ticks     i64   limit, or new_px     (MM_ABSENT for none); warn to resume: the last price, carried
 *       40  quantity_lots   i64   quantity, or new_qty (MM_ABSENT for none); warn to resume: lots in the average, carried
 *       48  time_ns         u64   when it was sequenced; carried, never read
 *       56  tag             u64   the caller's; carried, never read
 *
 * Event, 64 bytes; "-" is zero
 *   offset  field            accepted  rejected  replaced  trade            cancelled  cancel_rejected  mass_cancelled  status
 *        0  kind       u8    1         2         3         4                5          6                7               8
 *        1  reason     u8    -         why       -         -                why        why              -               -
 *        2  side       u8    side      as given  side      of the incoming  side       -                -               side if known
 *        3  state      u8    new       -         mm_state  of the resting   cancelled  -                -               mm_state
 *        4  symbol     u32   in every event, as given (MM_ALL_SYMBOLS from a mass_cancel of all)
 *        8  cl_ord_id  u64   cl        cl        new cl    incoming         cl         request's cl     request's cl    request's cl
 *       16  other_cl   u64   -         -         orig      resting          -          orig             -               orig
 *       24  order_id   u64   id        -         id        of the incoming  id         -                -               id if known
 *       32  price      i64   limit(1)  as given  price     resting's price  limit(1)   -                -               limit(1) if live
 *       40  quantity   u32   leaves    -         leaves    traded           leaves     -                count           leaves
 *       44  cum        u32   -         -         cum       of the resting   cum        -                -               cum
 *       48  account    u32   account   account   account   of the incoming  account    account          account         account
 *       52  other_acct u32   -         -         -         of the resting   -          -                -               -
 *       56  other_id   u64   -         -         -         id of the resting -         -                -               -
 *   (1) MM_ABSENT for a market order
 *   The state and cum of a trade are the resting order's after the trade: filled or partially_filled.
 *
 * Events of trading states; fields that are not named are zero.
 *   state (10)          a symbol is in another trading state: state mm_trading, side the mm_trading before, symbol, cl_ord_id and
 *                       other_cl of the command, price and other_id its price and quantity, account
 *   state_refused (11)  warn, calm, halt, resume, release or attempt that changes nothing: reason, state mm_trading of the symbol (0
 *                       where there is none), symbol, cl_ord_id, other_cl and account of the command
 *   released (12)       a deferred order waits no more: the fields of its accepted; trades and its end follow, or it rests
 *   An accepted that is deferred has reason deferred.
 *
 * Top event (kind 9), 64 bytes: the same record read as mm_top; an empty side has price MM_ABSENT and quantity 0. */
#ifndef MATCHMARK_TYPES_H
#define MATCHMARK_TYPES_H

#include <stddef.h>
#include <stdint.h>

#define MM_ABSENT       INT64_MIN
#define MM_ALL_SYMBOLS  UINT32_MAX
#define MM_MAX_PRICE    ((INT64_C(1) << 53) - 1)
#define MM_MAX_QUANTITY INT64_C(0x7fffffff)

/* cdef begin */
enum mm_op {
    MM_NEW = 1,
    MM_CANCEL = 2,
    MM_REPLACE = 3,
    MM_MASS_CANCEL = 4,
    MM_STATUS = 5,
    MM_RESET = 6,
    MM_WARN = 7, /* level 1 of the circuit breaker begins */
    MM_CALM = 8, /* and ends */
    MM_HALT = 9, /* level 2: nothing trades until a resume */
    MM_RESUME = 10,
    MM_RELEASE = 11, /* a deferred order is decided */
    MM_ATTEMPT = 12  /* an operator command that was not allowed: recorded, and refused */
};
enum mm_trading { MM_OPEN = 0, MM_WARNED = 1, MM_HALTED = 2 };
enum mm_side { MM_BUY = 0, MM_SELL = 1 };
enum mm_ord_type { MM_LIMIT = 0, MM_MARKET = 1 };
enum mm_tif { MM_DAY = 0, MM_IOC = 1 };
enum mm_smp { MM_SMP_NONE = 0, MM_SMP_CANCEL_NEWEST = 1, MM_SMP_CANCEL_OLDEST = 2 };
enum mm_event_kind {
    MM_EV_ACCEPTED = 1,
    MM_EV_REJECTED = 2,
    MM_EV_REPLACED = 3,
    MM_EV_TRADE = 4,
    MM_EV_CANCELLED = 5,
    MM_EV_CANCEL_REJECTED = 6,
    MM_EV_MASS_CANCELLED = 7,
    MM_EV_STATUS = 8,
    MM_EV_TOP = 9,
    MM_EV_STATE = 10,
    MM_EV_STATE_REFUSED = 11,
    MM_EV_RELEASED = 12
};
enum mm_reason {
    MM_REASON_NONE = 0,
    MM_REASON_UNKNOWN_SYMBOL = 1,
    MM_REASON_MALFORMED = 2,
    MM_REASON_BAD_QUANTITY = 3,
    MM_REASON_BAD_PRICE = 4,
    MM_REASON_DUPLICATE_CL_ORD_ID = 5,
    MM_REASON_CAPACITY = 6,
    MM_REASON_UNKNOWN_ORDER = 7,
    MM_REASON_TOO_LATE = 8,
    MM_REASON_REQUESTED = 9,
    MM_REASON_IOC = 10,
    MM_REASON_NO_LIQUIDITY = 11,
    MM_REASON_SMP = 12,
    MM_REASON_MASS_CANCEL = 13,
    MM_REASON_TRADING_HALTED = 14,
    MM_REASON_DEFERRED = 15,
    MM_REASON_NOT_HALTED = 16,
    MM_REASON_NOT_WARNED = 17,
    MM_REASON_ALREADY = 18,
    MM_REASON_NOT_ALLOWED = 19
};
enum mm_state { MM_UNKNOWN = 0, MM_STATE_NEW = 1, MM_PARTIALLY_FILLED = 2, MM_FILLED = 3, MM_CANCELLED = 4 };

typedef struct mm_command {
    uint8_t op, side, type, tif, smp, defer, pad[2];
    uint32_t account, symbol;
    uint64_t cl_ord_id, orig_cl_ord_id;
    int64_t price_ticks, quantity_lots;
    uint64_t time_ns, tag;
} mm_command;

typedef struct mm_event {
    uint8_t kind, reason, side, state;
    uint32_t symbol;
    uint64_t cl_ord_id, other_cl_ord_id, order_id;
    int64_t price_ticks;
    uint32_t quantity_lots, cum_lots, account, other_account;
    uint64_t other_order_id;
} mm_event;

typedef struct mm_top {
    uint8_t kind, pad[3];
    uint32_t symbol;
    int64_t bid_ticks;
    uint64_t bid_lots;
    int64_t ask_ticks;
    uint64_t ask_lots;
    uint64_t zero[3];
} mm_top;
/* cdef end */

#ifdef __cplusplus
#define MM_STATIC_ASSERT static_assert
#else
#define MM_STATIC_ASSERT _Static_assert
#endif
MM_STATIC_ASSERT(sizeof(mm_command) == 64, "command layout");
MM_STATIC_ASSERT(sizeof(mm_event) == 64, "event layout");
MM_STATIC_ASSERT(sizeof(mm_top) == sizeof(mm_event), "a top event is an event");

#endif
