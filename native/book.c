#include "book.h"

#include <string.h>

_Static_assert(sizeof(mm_order) == 32, "two orders a cache line");
_Static_assert(sizeof(mm_level) == 32, "two levels a cache line");
_Static_assert(sizeof(mm_side_book) == 64, "one side a cache line");

static uint64_t part(uint64_t *at, uint64_t bytes)
{
    uint64_t start = *at;
    *at = (start + bytes + 63) & ~UINT64_C(63);
    return start;
}

static mm_book_head layout(const mm_book_config *c)
{
    mm_book_head h = {.n_sides = 2 * c->n_symbols,
                      .max_orders = c->max_orders,
                      .max_levels = c->max_levels,
                      .window = c->window_ticks};
    uint64_t at = 0;
    part(&at, sizeof(mm_book_head));
    h.sides_at = part(&at, h.n_sides * sizeof(mm_side_book));
    h.words_at = part(&at, (uint64_t)h.n_sides * h.window / 8);
    h.sums_at = part(&at, (uint64_t)h.n_sides * ((h.window + 4095) / 4096) * sizeof(uint64_t));
    h.rings_at = part(&at, (uint64_t)h.n_sides * h.window * sizeof(uint32_t));
    h.orders_at = part(&at, (c->max_orders + UINT64_C(1)) * sizeof(mm_order));
    h.levels_at = part(&at, (c->max_levels + UINT64_C(1)) * sizeof(mm_level));
    h.links_at = part(&at, (c->max_levels + UINT64_C(1)) * sizeof(mm_link));
    h.bytes = at;
    h.fresh_order = h.fresh_level = 1;
    return h;
}

size_t mm_book_size(const mm_book_config *config)
{
    return layout(config).bytes;
}

static void empty_side(mm_side_book *s)
{
    *s = (mm_side_book){.best_key = MM_NO_KEY, .far_min = MM_NO_KEY};
}

void mm_book_create(void *memory, const mm_book_config *config)
{
    mm_book_head *h = memory;
    *h = layout(config);
    mm_book b = mm_book_open(memory);
    for (uint32_t i = 0; i < h->n_sides; i++)
        empty_side(&b.sides[i]);
}

mm_book mm_book_open(void *memory)
{
    mm_book_head *h = memory;
    char *at = memory;
    return (mm_book){
        .head = h,
        .sides = (mm_side_book *)(at + h->sides_at),
        .words = (uint64_t *)(at + h->words_at),
        .sums = (uint64_t *)(at + h->sums_at),
        .rings = (uint32_t *)(at + h->rings_at),
        .orders = (mm_order *)(at + h->orders_at),
        .levels = (mm_level *)(at + h->levels_at),
        .links = (mm_link *)(at + h->links_at),
        .window = h->window,
        .mask = h->window - 1,
    };
}

/* Touches what was used, not what was reserved: a suite resets a large engine thousands of times. */
void mm_book_reset(mm_book *b)
{
    mm_book_head *h = b->head;
    for (uint32_t n = 1; n < h->fresh_level; n++) {
        mm_level *l = &b->levels[n];
        if (l->orders && mm_book_is_near(b, &b->sides[l->side], l->key))
            mm_book_clear_near(b, l->side, l->key);
    }
    for (uint32_t n = 1; n < h->fresh_level; n++) {
        mm_level *l = &b->levels[n];
        empty_side(&b->sides[l->side]);
        l->orders = 0;
    }
    h->fresh_order = h->fresh_level = 1;
    h->free_order = h->free_level = h->orders_used = h->levels_used = 0;
    h->slides = 0;
}

uint32_t mm_book_find_level(const mm_book *b, uint32_t side, int64_t key)
{
    const mm_side_book *s = &b->sides[side];
    return mm_book_is_near(b, s, key) ? *mm_book_ring(b, side, key) : mm_tree_find(b->links, s->root, key);
}

uint32_t mm_book_level_after(const mm_book *b, uint32_t side, int64_t key)
{
    const mm_side_book *s = &b->sides[side];
    if (s->best_key == MM_NO_KEY || key < s->best_key)
        return s->best;
    uint32_t far = mm_tree_at_least(b->links, s->root, key + 1), near = 0;
    int64_t from = key + 1 < s->base ? s->base : key + 1;
    if (s->summary && mm_book_is_near(b, s, from)) {
        near = mm_book_first_near(b, side, from);
        if (b->levels[near].key <= key) /* went round */
            near = 0;
    }
    if (!near || !far)
        return near ? near : far;
    return b->levels[near].key < b->links[far].key ? near : far;
}

static void put_far(mm_book *b, uint32_t side, int64_t key, uint32_t level)
{
    mm_side_book *s = &b->sides[side];
    mm_tree_insert(b->links, &s->root, level, key);
    s->far_levels++;
    if (key < s->far_min)
        s->far_min = key;
}

static void clear_far(mm_book *b, uint32_t side, uint32_t level)
{
    mm_side_book *s = &b->sides[side];
    bool first = b->links[level].key == s->far_min;
    mm_tree_erase(b->links, &s->root, level);
    s->far_levels--;
    if (first)
        s->far_min = s->root ? b->links[mm_tree_first(b->links, s->root)].key : MM_NO_KEY;
}

/* Moves the window so that `best` has an eighth of it on its better side, and every level to where it now belongs. */
static void slide(mm_book *b, uint32_t side, int64_t best)
{
    mm_side_book *s = &b->sides[side];
    int64_t base = best - b->window / 8, end = base + b->window;
    int64_t from = s->base;
    for (uint32_t left = s->near_levels; left; left--) {
        uint32_t n = mm_book_first_near(b, side, from);
        int64_t key = b->levels[n].key;
        from = key + 1;
        if (key < base || key >= end) {
            mm_book_clear_near(b, side, key);
            put_far(b, side, key, n);
        }
    }
    s->base = base;
    uint32_t n = mm_tree_at_least(b->links, s->root, base);
    while (n && b->links[n].key < end) {
        uint32_t next = mm_tree_next(b->links, n);
        int64_t key = b->links[n].key;
        clear_far(b, side, n);
        mm_book_put_near(b, side, key, n);
        n = next;
    }
    s->missed_better = s->missed_worse = 0;
    b->head->slides++;
}

/* Whether an access at `key`, outside the window, makes sliding worth it. A slide moves at most the levels in the ring
 * out and the levels it passes in, so it waits for a number of misses in proportion: no sequence of commands can make
 * the window cost more than a constant number of tree operations for each miss. */
static bool slide_is_due(mm_book *b, mm_side_book *s, int64_t key)
{
    if (key < s->base)
        return ++s->missed_better > s->near_levels / 8 + 8;
    if (++s->missed_worse <= b->window / 4)
        return false;
    s->missed_worse = 0;
    int64_t shift = s->best_key - b->window / 8 - s->base;
    return shift >= b->window / 8 || shift <= -(int64_t)(b->window / 8);
}

uint32_t mm_book_far_level(mm_book *b, uint32_t side, int64_t key)
{
    mm_side_book *s = &b->sides[side];
    if (s->best_key == MM_NO_KEY)
        s->base = key - b->window / 4;
    else if (slide_is_due(b, s, key))
        slide(b, side, key < s->best_key ? key : s->best_key);
    if (mm_book_is_near(b, s, key))
        return mm_book_level(b, side, key);
    uint32_t n = mm_tree_find(b->links, s->root, key);
    if (!n) {
        n = mm_book_take_level(b, side, key);
        put_far(b, side, key, n);
    }
    return n;
}

void mm_book_drop_far_level(mm_book *b, uint32_t level)
{
    clear_far(b, b->levels[level].side, level);
}

void mm_book_find_best(mm_book *b, uint32_t side)
{
    mm_side_book *s = &b->sides[side];
    if (!s->summary && s->far_min != MM_NO_KEY)
        slide(b, side, s->far_min);
    s->best_key = MM_NO_KEY;
    s->best = 0;
    if (s->summary) {
        s->best = mm_book_first_near(b, side, s->base);
        s->best_key = b->levels[s->best].key;
    }
    if (s->far_min < s->best_key) {
        s->best = mm_tree_find(b->links, s->root, s->far_min);
        s->best_key = s->far_min;
    }
}
