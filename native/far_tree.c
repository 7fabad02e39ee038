#include "far_tree.h"

#include <stddef.h>

uint32_t mm_tree_find(const mm_link *t, uint32_t n, int64_t key)
{
    while (n && t[n].key != key)
        n = t[n].child[t[n].key < key];
    return n;
}

uint32_t mm_tree_at_least(const mm_link *t, uint32_t n, int64_t key)
{
    uint32_t found = 0;
    while (n) {
        if (t[n].key >= key)
            found = n;
        n = t[n].child[t[n].key < key];
    }
    return found;
}

uint32_t mm_tree_first(const mm_link *t, uint32_t n)
{
    while (t[n].child[0])
        n = t[n].child[0];
    return n;
}

uint32_t mm_tree_next(const mm_link *t, uint32_t n)
{
    if (t[n].child[1])
        return mm_tree_first(t, t[n].child[1]);
    uint32_t up = t[n].parent;
    while (up && n == t[up].child[1]) {
        n = up;
        up = t[n].parent;
    }
    return up;
}

/* Puts `n` where `old` hangs from its parent. */
static void hang(mm_link *t, uint32_t *root, uint32_t old, uint32_t n)
{
    uint32_t up = t[old].parent;
    if (!up)
        *root = n;
    else
        t[up].child[t[up].child[1] == old] = n;
    t[n].parent = up;
}

/* Moves `n` down on side `dir`; its child on the other side takes its place. */
static void rotate(mm_link *t, uint32_t *root, uint32_t n, unsigned dir)
{
    uint32_t top = t[n].child[!dir], moved = t[top].child[dir];
    hang(t, root, n, top);
    t[n].child[!dir] = moved;
    if (moved)
        t[moved].parent = n;
    t[top].child[dir] = n;
    t[n].parent = top;
}

void mm_tree_insert(mm_link *t, uint32_t *root, uint32_t n, int64_t key)
{
    uint32_t up = 0;
    for (uint32_t at = *root; at; at = t[at].child[t[at].key < key])
        up = at;
    t[n] = (mm_link){.key = key, .parent = up, .red = 1};
    if (up)
        t[up].child[t[up].key < key] = n;
    else
        *root = n;
    while (t[t[n].parent].red) {
        up = t[n].parent;
        uint32_t grand = t[up].parent;
        unsigned dir = t[grand].child[1] == up;
        uint32_t uncle = t[grand].child[!dir];
        if (t[uncle].red) {
            t[up].red = t[uncle].red = 0;
            t[grand].red = 1;
            n = grand;
            continue;
        }
        if (n == t[up].child[!dir]) {
            rotate(t, root, up, dir);
            up = n;
        }
        t[up].red = 0;
        t[grand].red = 1;
        rotate(t, root, grand, !dir);
        break;
    }
    t[*root].red = 0;
}

/* `n` carries one black too many: move it up or resolve it. The nil leaf's parent is set for as long as this runs. */
static void mend(mm_link *t, uint32_t *root, uint32_t n)
{
    while (n != *root && !t[n].red) {
        uint32_t up = t[n].parent;
        unsigned dir = t[up].child[1] == n;
        uint32_t sibling = t[up].child[!dir];
        if (t[sibling].red) {
            t[sibling].red = 0;
            t[up].red = 1;
            rotate(t, root, up, dir);
            sibling = t[up].child[!dir];
        }
        if (!t[t[sibling].child[0]].red && !t[t[sibling].child[1]].red) {
            t[sibling].red = 1;
            n = up;
            continue;
        }
        if (!t[t[sibling].child[!dir]].red) {
            t[t[sibling].child[dir]].red = 0;
            t[sibling].red = 1;
            rotate(t, root, sibling, !dir);
            sibling = t[up].child[!dir];
        }
        t[sibling].red = t[up].red;
        t[up].red = 0;
        t[t[sibling].child[!dir]].red = 0;
        rotate(t, root, up, dir);
        n = *root;
    }
    t[n].red = 0;
}

void mm_tree_erase(mm_link *t, uint32_t *root, uint32_t n)
{
    uint32_t filler, lost_red;
    if (t[n].child[0] && t[n].child[1]) {
        uint32_t heir = mm_tree_first(t, t[n].child[1]);
        lost_red = t[heir].red;
        filler = t[heir].child[1];
        if (t[heir].parent == n) {
            t[filler].parent = heir;
        } else {
            hang(t, root, heir, filler);
            t[heir].child[1] = t[n].child[1];
            t[t[heir].child[1]].parent = heir;
        }
        hang(t, root, n, heir);
        t[heir].child[0] = t[n].child[0];
        t[t[heir].child[0]].parent = heir;
        t[heir].red = t[n].red;
    } else {
        lost_red = t[n].red;
        filler = t[n].child[0] ? t[n].child[0] : t[n].child[1];
        hang(t, root, n, filler);
    }
    if (!lost_red)
        mend(t, root, filler);
    t[0] = (mm_link){0};
}

/* Black height of the subtree, 0 when something is wrong (nil has height 1). */
static uint32_t black_height(const mm_link *t, uint32_t n, const char **fault, uint64_t *count)
{
    if (!n)
        return 1;
    ++*count;
    for (int d = 0; d < 2; d++) {
        uint32_t c = t[n].child[d];
        if (!c)
            continue;
        if (t[c].parent != n)
            *fault = "tree: child does not know its parent";
        if ((t[c].key > t[n].key) != d || t[c].key == t[n].key)
            *fault = "tree: keys out of order";
        if (t[n].red && t[c].red)
            *fault = "tree: red below red";
    }
    uint32_t a = black_height(t, t[n].child[0], fault, count), b = black_height(t, t[n].child[1], fault, count);
    if (a != b)
        *fault = "tree: black heights differ";
    return a + !t[n].red;
}

const char *mm_tree_check(const mm_link *t, uint32_t root, uint64_t *count)
{
    const char *fault = NULL;
    if (t[0].red || t[0].child[0] || t[0].child[1])
        return "tree: the nil leaf was written to";
    if (t[root].red || t[root].parent)
        return "tree: root is red or has a parent";
    black_height(t, root, &fault, count);
    return fault;
}
