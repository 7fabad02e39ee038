/* Checks before an order may enter: tick, lot, size, price collar, and the account's balance.
 *
 * A buy reserves cash (its limit x quantity; a market order the top of the collar, or the highest open sell if that is more, x quantity), a sell reserves position. A fill
 * turns what was reserved into what was paid or delivered, a cancel or reject gives it back. State is a function of the reports
 * applied to it, so a gateway that restarts applies those of the audit log and is where it was.
 *
 * Money is integer units of 10^-price_digits, in 128 bits: 2^53 ticks x 2^31 lots does not fit in 64. */
#ifndef MATCHMARK_RISK_H
#define MATCHMARK_RISK_H

#include "matchmark/pipeline.h"

#ifdef __cplusplus
extern "C" {
#endif

/* cdef begin */
typedef struct mm_risk_symbol {
    char name[24];
    uint32_t price_digits;   /* decimals of its prices, 0 .. 9 */
    uint32_t collar_bps;     /* limit prices may be so far from the last trade, in 1/10000; 0: no collar */
    int64_t tick_units;      /* a tick in units of 10^-price_digits */
    int64_t lot_size;        /* a lot in shares */
    int64_t max_lots;        /* of one order */
    int64_t reference_ticks; /* last trade, or the opening reference */
    /* Kept by the checks, 0 at first. */
    int64_t highest_sell_ticks; /* no open sell asks more */
    uint64_t open_sells;        /* and replaces of sells on their way */
} mm_risk_symbol;

/* Why an order may not enter; texts and OrdRejReason(103) in docs/fix.md. */
enum mm_risk_verdict {
    MM_RISK_OK = 0,
    MM_RISK_TICK = 1,
    MM_RISK_LOT = 2,
    MM_RISK_SIZE = 3,
    MM_RISK_COLLAR = 4,
    MM_RISK_CASH = 5,
    MM_RISK_POSITION = 6,
    MM_RISK_DUPLICATE = 7,
    MM_RISK_FULL = 8,
    MM_RISK_ACCOUNT = 9,
    MM_RISK_SYMBOL = 10
};

typedef struct mm_risk mm_risk;

/* A 128-bit amount as its two halves, low first (two's complement). */
typedef struct mm_money {
    uint64_t low;
    int64_t high;
} mm_money;

/* `orders`: open orders at once; `positions`: (account, symbol) pairs at once. NULL when memory is short or a symbol is malformed. */
mm_risk *mm_risk_make(const mm_risk_symbol *symbols, uint32_t n_symbols, uint32_t n_accounts, uint32_t orders,
                      uint32_t positions);
void mm_risk_free(mm_risk *risk);
void mm_risk_deposit(mm_risk *risk, uint32_t account, mm_money amount);
int mm_risk_deposit_lots(mm_risk *risk, uint32_t account, uint32_t symbol, int64_t lots);

/* Checks a new order (op MM_NEW) and reserves for it. price_units: as the client wrote it, ignored for market orders; shares likewise.
 * On MM_RISK_OK the command's price_ticks and quantity_lots are set. */
int mm_risk_new(mm_risk *risk, mm_command *command, int64_t price_units, int64_t shares);
/* The same for a replace: the new total and price of the order orig_cl_ord_id; reserves what it needs more than it has. An order that is
 * not known here is the engine's to refuse. */
int mm_risk_replace(mm_risk *risk, mm_command *command, int64_t price_units, int64_t shares);
/* Gives back what mm_risk_new or mm_risk_replace reserved for a command that did not enter. */
void mm_risk_undo(mm_risk *risk, uint64_t cl_ord_id);
/* A report of this order comes soon: has its memory on its way. */
void mm_risk_expect(const mm_risk *risk, uint64_t cl_ord_id);
/* Takes what the engine said. Each report once, in the order of the keys. */
void mm_risk_apply(mm_risk *risk, const mm_report *report);

/* An open order by its ClOrdID, if it is that account's in that symbol; order_id 0: not accepted yet. */
typedef struct mm_risk_open_order {
    uint64_t order_id;
    int64_t cum_lots;
    int known;
} mm_risk_open_order;
mm_risk_open_order mm_risk_find_open(const mm_risk *risk, uint64_t cl_ord_id, uint32_t account, uint32_t symbol);

/* Whose order, or replace on its way, it is: to be told when mm_risk_new or mm_risk_replace has taken it. */
void mm_risk_owned_by(mm_risk *risk, uint64_t cl_ord_id, uint32_t session);

typedef struct mm_risk_order {
    uint64_t cl_ord_id;
    uint32_t symbol;
    uint8_t side;
} mm_risk_order;

/* The open orders of a session and its replaces on their way, one a call. `at` is 0 at first and the caller's to keep; looks at no
 * more than `steps` places. 1: `order` is one, 0: not yet, -1: there are no more. Those that were said to be going are left out. */
int mm_risk_next_of(const mm_risk *risk, uint32_t session, uint64_t *at, uint32_t steps, mm_risk_order *order);
void mm_risk_going(mm_risk *risk, uint64_t cl_ord_id);

int mm_risk_knows(const mm_risk *risk, uint64_t cl_ord_id);
uint32_t mm_risk_open(const mm_risk *risk);
mm_money mm_risk_cash(const mm_risk *risk, uint32_t account);                     /* not reserved */
int64_t mm_risk_position(const mm_risk *risk, uint32_t account, uint32_t symbol); /* lots not reserved */
const mm_risk_symbol *mm_risk_symbol_at(const mm_risk *risk, uint32_t symbol);
int mm_risk_reject_reason(int verdict);
const char *mm_risk_text(int verdict);
/* cdef end */

#ifdef __cplusplus
}
#endif

#endif
