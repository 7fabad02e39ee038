/* Mass cancel, status and top of book: docs/engine-rules.md, rules 7 to 9. */
#include "engine_internal.h"

#include <string.h>

void mm_publish_top(mm_run *r, uint32_t symbol)
{
    mm_published_top *was = &r->tops[symbol], now = {MM_ABSENT, 0, MM_ABSENT, 0};
    const mm_side_book *bid = &r->book.sides[2 * symbol], *ask = bid + 1;
    if (bid->best) {
        now.bid_ticks = -bid->best_key;
        now.bid_lots = r->book.levels[bid->best].lots;
    }
    if (ask->best) {
        now.ask_ticks = ask->best_key;
        now.ask_lots = r->book.levels[ask->best].lots;
    }
    if (now.bid_ticks == was->bid_ticks && now.bid_lots == was->bid_lots && now.ask_ticks == was->ask_ticks &&
        now.ask_lots == was->ask_lots)
        return;
    *was = now;
    mm_top top = {
        .kind = MM_EV_TOP,
        .symbol = symbol,
        .bid_ticks = now.bid_ticks,
        .bid_lots = now.bid_lots,
        .ask_ticks = now.ask_ticks,
        .ask_lots = now.ask_lots,
    };
    memcpy(r->out++, &top, sizeof top);
}

void mm_do_status(mm_run *r, const mm_command *c)
{
    mm_event answer = {
        .kind = MM_EV_STATUS,
        .state = MM_UNKNOWN,
        .symbol = c->symbol,
        .cl_ord_id = c->cl_ord_id,
        .other_cl_ord_id = c->orig_cl_ord_id,
        .price_ticks = MM_ABSENT,
        .account = c->account,
    };
    mm_order_view v = mm_engine_order(r->engine, c->orig_cl_ord_id);
    if (v.state != MM_UNKNOWN && v.account == c->account && v.symbol == c->symbol) {
        answer.state = v.state;
        answer.side = v.side;
        answer.order_id = v.order_id;
        answer.price_ticks = v.price_ticks;
        answer.quantity_lots = v.leaves_lots;
        answer.cum_lots = v.cum_lots;
    }
    *r->out++ = answer;
}

bool mm_do_mass_cancel(mm_run *r, const mm_command *c)
{
    uint32_t n_symbols = r->engine->config.n_symbols;
    bool all = c->symbol == MM_ALL_SYMBOLS;
    if (!all && c->symbol >= n_symbols) {
        mm_refuse(r, c, MM_EV_CANCEL_REJECTED, MM_REASON_UNKNOWN_SYMBOL);
        return true;
    }
    uint32_t first = all ? 0 : c->symbol, past = all ? n_symbols : c->symbol + 1;
    r->engine->phase = MM_PHASE_MASS_CANCEL;
    r->engine->mass = (mm_mass){
        .cl_ord_id = c->cl_ord_id,
        .account = c->account,
        .symbol = c->symbol,
        .side = 2 * first,
        .last_side = 2 * past,
        .top_symbol = first,
        .key = INT64_MIN,
    };
    return mm_go_on_mass_cancel(r);
}

/* Cancels the account's orders from the cursor to the end of its side; false when the buffer is full. */
static bool cancel_side(mm_run *r, mm_mass *m)
{
    const mm_side_book *s = &r->book.sides[m->side];
    while (s->orders) {
        if (!m->order) {
            uint32_t level = mm_book_level_after(&r->book, m->side, m->key);
            if (!level)
                break;
            m->order = r->book.levels[level].head;
            m->key = r->book.levels[level].key;
        }
        const mm_order *o = &r->book.orders[m->order];
        uint32_t order = m->order, next = o->next;
        if (o->account == m->account) {
            if (!mm_room(r))
                return false;
            mm_report_cancelled(r, order, MM_REASON_MASS_CANCEL);
            mm_retire(r, order, m->side >> 1, MM_CANCELLED);
            mm_book_remove(&r->book, order);
            m->count++;
        }
        m->order = next;
    }
    m->order = 0;
    m->key = INT64_MIN;
    return true;
}

static bool publish_tops(mm_run *r, mm_mass *m)
{
    for (; m->top_symbol < m->last_side / 2; m->top_symbol++) {
        if (!mm_room(r))
            return false;
        mm_publish_top(r, m->top_symbol);
    }
    return true;
}

bool mm_go_on_mass_cancel(mm_run *r)
{
    mm_engine *e = r->engine;
    mm_mass *m = &e->mass;
    if (e->phase == MM_PHASE_MASS_CANCEL) {
        for (; m->side < m->last_side; m->side++) {
            if (!cancel_side(r, m) || (m->side & 1 && !mm_mass_cancel_deferred(r, m)))
                return false;
        }
        if (!mm_room(r))
            return false;
        *r->out++ = (mm_event){
            .kind = MM_EV_MASS_CANCELLED,
            .symbol = m->symbol,
            .cl_ord_id = m->cl_ord_id,
            .quantity_lots = (uint32_t)m->count,
            .account = m->account,
        };
        e->phase = MM_PHASE_TOPS;
    }
    if (e->config.emit_top && m->count && !publish_tops(r, m))
        return false;
    e->phase = MM_PHASE_NONE;
    return true;
}
