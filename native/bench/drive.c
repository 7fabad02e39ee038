#define _DEFAULT_SOURCE
#include "drive.h"

#include <string.h>
#include <sys/mman.h>

enum { LEVELS = 1 << 17, HUGE_PAGE = 2 << 20 };

static void *reserve(uint64_t bytes, int huge_pages)
{
    bytes = (bytes + HUGE_PAGE - 1) & ~(uint64_t)(HUGE_PAGE - 1);
    void *memory = aligned_alloc(HUGE_PAGE, bytes);
    if (!memory)
        abort();
    if (huge_pages)
        madvise(memory, bytes, MADV_HUGEPAGE);
    memset(memory, 0, bytes);
    return memory;
}

void driver_make(driver *d, uint64_t max_orders, int huge_pages)
{
    mm_book_config config = {1, (uint32_t)max_orders, LEVELS, MM_WINDOW_MAX};
    void *block = reserve(mm_book_size(&config), huge_pages);
    mm_book_create(block, &config);
    uint64_t slots = mm_id_map_slots(max_orders);
    *d = (driver){
        .book = mm_book_open(block),
        .map = mm_id_map_open(reserve(slots * sizeof(uint64_t), huge_pages), slots, 0),
    };
}

void driver_free(driver *d)
{
    free(d->book.head);
    free(d->map.slots);
}

op *rehearse(const workload *w)
{
    uint64_t n = w->n_warm + w->n_timed;
    op *ops = malloc(n * sizeof *ops);
    uint32_t *index_of = calloc(w->max_id + 1, sizeof *index_of);
    if (!ops || !index_of)
        abort();
    driver d;
    driver_make(&d, n, 0);
    for (uint64_t i = 0; i < n; i++) {
        ops[i] = w->ops[i];
        if (ops[i].type == OP_CANCEL)
            ops[i].lots = index_of[ops[i].id];
        index_of[ops[i].id] = drive(&d, &ops[i], DENSE);
    }
    driver_free(&d);
    free(index_of);
    return ops;
}
