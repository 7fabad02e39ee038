/* The red-black tree that holds the price levels outside a side's window.
 *
 * A member is an index into one array of links, parallel to the book's levels; index 0 is the nil leaf of every tree.
 * Trees of all books share the array. Keys are unique within a tree and ascend from the best price to the worst. */
#ifndef MATCHMARK_FAR_TREE_H
#define MATCHMARK_FAR_TREE_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mm_link {
    int64_t key;
    uint32_t child[2]; /* smaller, larger keys */
    uint32_t parent;
    uint32_t red;
} mm_link;

uint32_t mm_tree_find(const mm_link *t, uint32_t root, int64_t key);     /* 0: not there */
uint32_t mm_tree_at_least(const mm_link *t, uint32_t root, int64_t key); /* least member with that key or more, or 0 */
uint32_t mm_tree_first(const mm_link *t, uint32_t root);
uint32_t mm_tree_next(const mm_link *t, uint32_t n);
void mm_tree_insert(mm_link *t, uint32_t *root, uint32_t n, int64_t key);
void mm_tree_erase(mm_link *t, uint32_t *root, uint32_t n);
/* NULL when order, colours and parent links are right; adds the members to *count. */
const char *mm_tree_check(const mm_link *t, uint32_t root, uint64_t *count);

#ifdef __cplusplus
}
#endif

#endif
