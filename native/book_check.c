/* The book's invariants, by walking everything: for tests and the fuzzer. */
#include "book.h"

static const char *check_queue(const mm_book *b, uint32_t level, const mm_level *l)
{
    uint64_t lots = 0;
    uint32_t count = 0, prev = 0;
    for (uint32_t n = l->head; n; prev = n, n = b->orders[n].next) {
        const mm_order *o = &b->orders[n];
        if (o->prev != prev || o->level != level)
            return "queue: an order does not know its neighbours or its level";
        if (!o->leaves || o->leaves > MM_MAX_QUANTITY)
            return "queue: leaves out of range";
        if (++count > l->orders)
            return "queue: more orders than the level counts";
        lots += o->leaves;
    }
    if (prev != l->tail || count != l->orders || lots != l->lots)
        return "level: tail, count or aggregate quantity is wrong";
    return NULL;
}

static const char *check_side(const mm_book *b, uint32_t side, uint64_t *levels, uint64_t *orders)
{
    const mm_side_book *s = &b->sides[side];
    uint64_t near = 0, far = 0, queued = 0, in_tree = 0;
    int64_t last = INT64_MIN;
    if (s->best_key == MM_NO_KEY && (s->best || s->summary || s->root || s->orders))
        return "side: empty but not empty";
    for (uint32_t n = mm_book_level_after(b, side, last); n; n = mm_book_level_after(b, side, last)) {
        const mm_level *l = &b->levels[n];
        if (l->key <= last || l->side != side || !l->orders)
            return "side: levels out of order, on the wrong side or empty";
        if (last == INT64_MIN && (n != s->best || l->key != s->best_key))
            return "side: cached best is not the first level";
        if (mm_book_find_level(b, side, l->key) != n)
            return "side: level is not found by its price";
        last = l->key;
        if (mm_book_is_near(b, s, last))
            near++;
        else
            far++;
        if (!far != (s->far_min == MM_NO_KEY) && !s->root)
            return "side: least far key of an empty tree";
        queued += l->orders;
        const char *fault = check_queue(b, n, l);
        if (fault)
            return fault;
    }
    const char *fault = mm_tree_check(b->links, s->root, &in_tree);
    if (fault)
        return fault;
    if (near != s->near_levels || far != s->far_levels || far != in_tree || queued != s->orders)
        return "side: counts of levels or orders are wrong";
    if ((s->root ? b->links[mm_tree_first(b->links, s->root)].key : MM_NO_KEY) != s->far_min)
        return "side: least far key is wrong";
    *levels += near + far;
    *orders += queued;
    return NULL;
}

static const char *check_bitmap(const mm_book *b, uint32_t side)
{
    const mm_side_book *s = &b->sides[side];
    uint64_t bits = 0;
    for (uint32_t w = 0; w < b->window >> 6; w++) {
        uint64_t word = mm_book_words(b, side)[w];
        if (!word != !(mm_book_sums(b, side)[w >> 6] >> (w & 63) & 1))
            return "bitmap: a sum is wrong";
        for (uint32_t i = 0; i < 64; i++) {
            if ((word >> i & 1) != (b->rings[(uint64_t)side * b->window + w * 64 + i] != 0))
                return "bitmap: bit and ring disagree";
        }
        bits += (uint64_t)__builtin_popcountll(word);
    }
    for (uint32_t i = 0; i < (b->window + 4095) >> 12; i++) {
        if (!mm_book_sums(b, side)[i] != !(s->summary >> i & 1))
            return "bitmap: summary is wrong";
    }
    return bits == s->near_levels ? NULL : "bitmap: count of levels is wrong";
}

const char *mm_book_check(const mm_book *b)
{
    const mm_book_head *h = b->head;
    uint64_t levels = 0, orders = 0, free_orders = 0, free_levels = 0;
    for (uint32_t side = 0; side < h->n_sides; side++) {
        const char *fault = check_bitmap(b, side);
        if (!fault)
            fault = check_side(b, side, &levels, &orders);
        if (fault)
            return fault;
    }
    for (uint32_t symbol = 0; symbol < h->n_sides / 2; symbol++) {
        const mm_side_book *bid = &b->sides[2 * symbol], *ask = bid + 1;
        if (bid->best && ask->best && -bid->best_key >= ask->best_key)
            return "book is crossed";
    }
    for (uint32_t n = h->free_order; n; n = b->orders[n].next)
        free_orders++;
    for (uint32_t n = h->free_level; n; n = b->levels[n].head)
        free_levels++;
    if (orders != h->orders_used || orders + free_orders + 1 != h->fresh_order || h->orders_used > h->max_orders)
        return "pool: orders lost or counted twice";
    if (levels != h->levels_used || levels + free_levels + 1 != h->fresh_level || h->levels_used > h->max_levels)
        return "pool: levels lost or counted twice";
    return NULL;
}
