#include "peer_tree_book.h"

#include <stdlib.h>

#include "far_tree.h"

typedef struct peer_order {
    uint32_t next, prev, lots, level;
} peer_order;

typedef struct peer_level {
    uint32_t head, tail, side;
} peer_level;

enum { MAX_LEVELS = 1 << 16 };

struct peer_book {
    uint32_t root[2], best[2], free_level, fresh_level;
    peer_order *orders; /* by id */
    peer_level levels[MAX_LEVELS];
    mm_link links[MAX_LEVELS];
};

static int64_t key_of(uint32_t side, uint32_t price)
{
    return side ? price : -(int64_t)price;
}

peer_book *peer_make(uint64_t max_id)
{
    peer_book *b = calloc(1, sizeof *b);
    if (!b || !(b->orders = calloc(max_id + 1, sizeof(peer_order))))
        abort();
    b->fresh_level = 1;
    return b;
}

void peer_free(peer_book *b)
{
    free(b->orders);
    free(b);
}

static void take_out(peer_book *b, uint32_t id)
{
    peer_order *o = &b->orders[id];
    peer_level *l = &b->levels[o->level];
    *(o->prev ? &b->orders[o->prev].next : &l->head) = o->next;
    *(o->next ? &b->orders[o->next].prev : &l->tail) = o->prev;
    if (l->head)
        return;
    uint32_t side = l->side;
    mm_tree_erase(b->links, &b->root[side], o->level);
    if (b->best[side] == o->level)
        b->best[side] = b->root[side] ? mm_tree_first(b->links, b->root[side]) : 0;
    l->head = b->free_level;
    b->free_level = o->level;
}

static uint32_t level_at(peer_book *b, uint32_t side, int64_t key)
{
    uint32_t n = mm_tree_find(b->links, b->root[side], key);
    if (n)
        return n;
    n = b->free_level;
    if (n)
        b->free_level = b->levels[n].head;
    else
        n = b->fresh_level++;
    b->levels[n] = (peer_level){.side = side};
    mm_tree_insert(b->links, &b->root[side], n, key);
    if (!b->best[side] || key < b->links[b->best[side]].key)
        b->best[side] = n;
    return n;
}

static void put_in(peer_book *b, uint32_t id, uint32_t side, uint32_t price, uint32_t lots)
{
    uint32_t n = level_at(b, side, key_of(side, price));
    peer_level *l = &b->levels[n];
    b->orders[id] = (peer_order){.prev = l->tail, .lots = lots, .level = n};
    *(l->tail ? &b->orders[l->tail].next : &l->head) = id;
    l->tail = id;
}

void peer_apply(peer_book *b, const op *o, tape *out)
{
    if (o->type == OP_CANCEL) {
        take_out(b, (uint32_t)o->id);
        return;
    }
    uint32_t against = o->side ^ 1, left = o->lots;
    while (left && b->best[against]) {
        uint32_t level = b->best[against], id = b->levels[level].head;
        int64_t key = b->links[level].key;
        if (o->type != OP_MARKET && key > key_of(against, o->price))
            break;
        uint32_t lots = left < b->orders[id].lots ? left : b->orders[id].lots;
        tape_trade(out, id, o->id, (uint64_t)(against ? key : -key), lots);
        left -= lots;
        b->orders[id].lots -= lots;
        if (!b->orders[id].lots)
            take_out(b, id);
    }
    if (left && o->type == OP_ADD)
        put_in(b, (uint32_t)o->id, o->side, o->price, left);
}
