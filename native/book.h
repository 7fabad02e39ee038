/* Limit order books: price levels in price order, first in first out within a level, all from preallocated pools.
 *
 * What may live here: levels, queues, matching, best prices. What may not: accounts' rights, client ids, order types; an
 * order's `key` and `account` are carried for the layer above and never looked at.
 *
 * Orders and levels are indexes into pools shared by all books of one block; index 0 means none. A *side* is one half of
 * one symbol's book: number 2 * symbol + (0 buy, 1 sell). Inside a side a price is a *key* that ascends from the best price
 * to the worst (a sell's price, a buy's price negated), so that one piece of code serves both sides.
 *
 * A side keeps the levels whose keys lie in its window [base, base + window) in a ring indexed by key modulo window, with a
 * two-level bitmap of the non-empty ones; all other levels are in a red-black tree (far_tree.h). The window slides after the
 * best price, at a cost that the accesses which missed it have paid for. Orders refer to their level by its index, which
 * does not change when the level moves between ring and tree.
 *
 * Use from C or C++: include this header, compile native/book.c and native/far_tree.c with -Inative/include -Inative. */
#ifndef MATCHMARK_BOOK_H
#define MATCHMARK_BOOK_H

#include <stddef.h>

#include "far_tree.h"
#include "id_map.h"
#include "matchmark/types.h"

#ifdef __cplusplus
extern "C" {
#endif

#define MM_NO_KEY INT64_MAX                   /* best key of an empty side */
#define MM_ANY_PRICE (INT64_MAX - 1)          /* limit key of a market order: every level is good enough */
#define MM_WINDOW_MIN 64
#define MM_WINDOW_MAX 4096                    /* 64 words of 64 bits, one summary word */
#define MM_POOL_MAX (UINT32_C(1) << 30)       /* the layer above needs the top bit of an order index */

typedef struct mm_order {
    uint64_t key;        /* the caller's */
    uint32_t next, prev; /* younger and older neighbour in the level; next also chains free orders */
    uint32_t level;
    uint32_t leaves, cum;
    uint32_t account; /* the caller's */
} mm_order;

typedef struct mm_level {
    int64_t key;
    uint64_t lots;       /* sum of leaves */
    uint32_t head, tail; /* oldest and youngest order; head also chains free levels */
    uint32_t orders;     /* 0: the level is free */
    uint32_t side;
} mm_level;

typedef struct mm_side_book {
    int64_t best_key, base;
    int64_t far_min;  /* least key in the tree, MM_NO_KEY when it is empty */
    uint64_t summary; /* bit w: word w of the bitmap is not zero */
    uint32_t best, root;
    uint32_t near_levels, far_levels;
    uint32_t missed_better, missed_worse; /* accesses outside the window since it last slid */
    uint64_t orders;
} mm_side_book;

typedef struct mm_book_head {
    uint64_t bytes, sides_at, words_at, rings_at, orders_at, levels_at, links_at;
    uint32_t n_sides, max_orders, max_levels, window;
    uint32_t free_order, fresh_order, free_level, fresh_level;
    uint32_t orders_used, levels_used;
    uint64_t slides;
} mm_book_head;

/* Where the parts of a block are in this address space; made by mm_book_open, cheap, copied freely. */
typedef struct mm_book {
    mm_book_head *head;
    mm_side_book *sides;
    uint64_t *words;
    uint32_t *rings;
    mm_order *orders;
    mm_level *levels;
    mm_link *links;
    uint32_t window, mask;
} mm_book;

typedef struct mm_book_config {
    uint32_t n_symbols, max_orders, max_levels, window_ticks;
} mm_book_config;

/* Bytes of a block; the configuration must be in range (n_symbols 1..2^24, pools 1..MM_POOL_MAX, window a power of two). */
size_t mm_book_size(const mm_book_config *config);
/* `memory`: zeroed, aligned to 64. */
void mm_book_create(void *memory, const mm_book_config *config);
mm_book mm_book_open(void *memory);
void mm_book_reset(mm_book *b);
/* Level of `key` on `side`, 0 if there is none. */
uint32_t mm_book_find_level(const mm_book *b, uint32_t side, int64_t key);
/* The level after the one with `key` in price order, 0 at the end; with key INT64_MIN the first. */
uint32_t mm_book_level_after(const mm_book *b, uint32_t side, int64_t key);
const char *mm_book_check(const mm_book *b);

/* The parts of the inline functions below that are rarely needed. */
uint32_t mm_book_far_level(mm_book *b, uint32_t side, int64_t key);
void mm_book_drop_far_level(mm_book *b, uint32_t level);
void mm_book_find_best(mm_book *b, uint32_t side);

MM_INLINE int64_t mm_key_of_price(uint32_t buy_or_sell, int64_t price)
{
    return buy_or_sell == MM_BUY ? (int64_t)(0 - (uint64_t)price) : price; /* defined for every price, also bad ones */
}

MM_INLINE int64_t mm_price_of_key(uint32_t side, int64_t key)
{
    return side & 1 ? key : -key;
}

MM_INLINE bool mm_book_is_near(const mm_book *b, const mm_side_book *s, int64_t key)
{
    return (uint64_t)(key - s->base) <= b->mask;
}

MM_INLINE uint32_t *mm_book_ring(const mm_book *b, uint32_t side, int64_t key)
{
    return &b->rings[(uint64_t)side * b->window + ((uint64_t)key & b->mask)];
}

MM_INLINE uint64_t *mm_book_words(const mm_book *b, uint32_t side)
{
    return &b->words[(uint64_t)side * (b->window >> 6)];
}

/* A level without orders, in neither ring nor tree. The caller has made sure that there is one. */
MM_INLINE uint32_t mm_book_take_level(mm_book *b, uint32_t side, int64_t key)
{
    uint32_t n = b->head->free_level;
    if (n)
        b->head->free_level = b->levels[n].head;
    else
        n = b->head->fresh_level++;
    b->head->levels_used++;
    mm_level *l = &b->levels[n];
    l->key = key;
    l->lots = 0;
    l->head = l->tail = l->orders = 0;
    l->side = side;
    return n;
}

MM_INLINE void mm_book_put_near(mm_book *b, uint32_t side, int64_t key, uint32_t level)
{
    mm_side_book *s = &b->sides[side];
    uint32_t at = (uint32_t)((uint64_t)key & b->mask);
    *mm_book_ring(b, side, key) = level;
    mm_book_words(b, side)[at >> 6] |= UINT64_C(1) << (at & 63);
    s->summary |= UINT64_C(1) << (at >> 6);
    s->near_levels++;
}

MM_INLINE void mm_book_clear_near(mm_book *b, uint32_t side, int64_t key)
{
    mm_side_book *s = &b->sides[side];
    uint32_t at = (uint32_t)((uint64_t)key & b->mask);
    uint64_t *word = &mm_book_words(b, side)[at >> 6];
    *mm_book_ring(b, side, key) = 0;
    *word &= ~(UINT64_C(1) << (at & 63));
    if (!*word)
        s->summary &= ~(UINT64_C(1) << (at >> 6));
    s->near_levels--;
}

/* The first non-empty level at `from` or after, going round the ring once; the ring must not be empty. */
MM_INLINE uint32_t mm_book_first_near(const mm_book *b, uint32_t side, int64_t from)
{
    const uint64_t *words = mm_book_words(b, side);
    uint32_t at = (uint32_t)((uint64_t)from & b->mask), w = at >> 6;
    uint64_t bits = words[w] & (~UINT64_C(0) << (at & 63));
    if (!bits) {
        uint64_t summary = b->sides[side].summary, after = summary & (~UINT64_C(1) << w);
        w = (uint32_t)__builtin_ctzll(after ? after : summary);
        bits = words[w];
    }
    return b->rings[(uint64_t)side * b->window + w * 64 + (uint32_t)__builtin_ctzll(bits)];
}

/* The level of `key`, made if need be. */
MM_INLINE uint32_t mm_book_level(mm_book *b, uint32_t side, int64_t key)
{
    if (__builtin_expect(!mm_book_is_near(b, &b->sides[side], key), 0))
        return mm_book_far_level(b, side, key);
    uint32_t n = *mm_book_ring(b, side, key);
    if (!n) {
        n = mm_book_take_level(b, side, key);
        mm_book_put_near(b, side, key, n);
    }
    return n;
}

/* Frees an empty level and finds the side's best again if it was that. */
MM_INLINE void mm_book_drop_level(mm_book *b, uint32_t level)
{
    mm_level *l = &b->levels[level];
    uint32_t side = l->side;
    int64_t key = l->key;
    mm_side_book *s = &b->sides[side];
    bool near = mm_book_is_near(b, s, key);
    if (__builtin_expect(near, 1))
        mm_book_clear_near(b, side, key);
    else
        mm_book_drop_far_level(b, level);
    l->head = b->head->free_level;
    b->head->free_level = level;
    b->head->levels_used--;
    if (s->best != level)
        return;
    if (__builtin_expect(near && s->summary, 1)) {
        uint32_t n = mm_book_first_near(b, side, key);
        s->best = n;
        s->best_key = b->levels[n].key;
        if (__builtin_expect(s->best_key < s->far_min, 1))
            return;
    }
    mm_book_find_best(b, side);
}

MM_INLINE bool mm_book_orders_full(const mm_book *b)
{
    return b->head->orders_used == b->head->max_orders;
}

MM_INLINE bool mm_book_levels_full(const mm_book *b)
{
    return b->head->levels_used == b->head->max_levels;
}

/* Puts an order at the back of the level of `key` and says which it is. Room for it, and for its level, must have been
 * made sure of; lots is at least 1. */
MM_INLINE uint32_t mm_book_add(mm_book *b, uint32_t side, int64_t key, uint64_t order_key, uint32_t account, uint32_t leaves,
                               uint32_t cum)
{
    mm_book_head *h = b->head;
    uint32_t n = h->free_order;
    mm_order *o = &b->orders[n];
    if (n)
        h->free_order = o->next;
    else
        o = &b->orders[n = h->fresh_order++];
    h->orders_used++;
    uint32_t level = mm_book_level(b, side, key);
    mm_level *l = &b->levels[level];
    mm_side_book *s = &b->sides[side];
    if (key < s->best_key) {
        s->best_key = key;
        s->best = level;
    }
    s->orders++;
    o->key = order_key;
    o->next = 0;
    o->prev = l->tail;
    o->level = level;
    o->leaves = leaves;
    o->cum = cum;
    o->account = account;
    if (l->tail)
        b->orders[l->tail].next = n;
    else
        l->head = n;
    l->tail = n;
    l->lots += leaves;
    l->orders++;
    return n;
}

/* Takes an order out of its level and frees it. */
MM_INLINE void mm_book_remove(mm_book *b, uint32_t order)
{
    mm_order *o = &b->orders[order];
    uint32_t level = o->level;
    mm_level *l = &b->levels[level];
    if (o->prev)
        b->orders[o->prev].next = o->next;
    else
        l->head = o->next;
    if (o->next)
        b->orders[o->next].prev = o->prev;
    else
        l->tail = o->prev;
    l->lots -= o->leaves;
    b->sides[l->side].orders--;
    o->next = b->head->free_order;
    b->head->free_order = order;
    b->head->orders_used--;
    if (!--l->orders)
        mm_book_drop_level(b, level);
}

/* Lowers an order's leaves to `leaves`, at least 1; its place in the queue is kept. */
MM_INLINE void mm_book_reduce(mm_book *b, uint32_t order, uint32_t leaves)
{
    mm_order *o = &b->orders[order];
    b->levels[o->level].lots -= o->leaves - leaves;
    o->leaves = leaves;
}

enum mm_match_step { MM_STEP_TRADE, MM_STEP_REMOVE, MM_STEP_STOP };
/* Asked before each trade: trade with this order, take it out instead (its end has then been reported), or stop here. */
typedef enum mm_match_step (*mm_match_ask)(void *context, uint32_t order, const mm_order *resting);
/* Told of each trade; `resting` already has its leaves and cum of after the trade, leaves 0 if it is done. */
typedef void (*mm_match_tell)(void *context, uint32_t order, const mm_order *resting, int64_t key, uint32_t lots);

/* Trades `lots` against `side` as long as its best key is at most `limit_key`; returns the lots left over. */
MM_INLINE uint32_t mm_book_match(mm_book *b, uint32_t side, int64_t limit_key, uint32_t lots, mm_match_ask ask,
                                 mm_match_tell tell, void *context)
{
    mm_side_book *s = &b->sides[side];
    while (lots && s->best_key <= limit_key) {
        mm_level *l = &b->levels[s->best];
        uint32_t order = l->head;
        mm_order *o = &b->orders[order];
        __builtin_prefetch(&b->orders[o->next], 1);
        enum mm_match_step step = ask(context, order, o);
        if (step == MM_STEP_STOP)
            break;
        if (step == MM_STEP_REMOVE) {
            mm_book_remove(b, order);
            continue;
        }
        uint32_t traded = lots < o->leaves ? lots : o->leaves;
        lots -= traded;
        o->leaves -= traded;
        o->cum += traded;
        l->lots -= traded;
        tell(context, order, o, l->key, traded);
        if (!o->leaves)
            mm_book_remove(b, order);
    }
    return lots;
}

#ifdef __cplusplus
}
#endif

#endif
