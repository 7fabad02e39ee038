/* The peer: a limit order book as it is usually written. Levels in a red-black tree for each side, a queue in each level,
 * orders found by dense id, pools preallocated; no window, no bitmap, no prefetch. It gives the ratios in the report. */
#ifndef MATCHMARK_BENCH_PEER_TREE_BOOK_H
#define MATCHMARK_BENCH_PEER_TREE_BOOK_H

#include "workload.h"

typedef struct peer_book peer_book;

peer_book *peer_make(uint64_t max_id);
void peer_free(peer_book *b);
void peer_apply(peer_book *b, const op *o, tape *out);

#endif
