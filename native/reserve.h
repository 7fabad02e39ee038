/* Memory for tables that are read at random places: reserved whole, there when it is first touched, in huge pages where the system
 * gives them. With small pages every look costs a walk of the page tables, of two kinds in a virtual machine, as well. */
#ifndef MATCHMARK_RESERVE_H
#define MATCHMARK_RESERVE_H

#include <stdint.h>
#include <sys/mman.h>

/* Zeroes. NULL when there is no room. The file that includes this defines _GNU_SOURCE. */
static inline void *mm_reserve_small(uint64_t bytes)
{
    void *memory = mmap(0, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return memory == MAP_FAILED ? 0 : memory;
}

static inline void *mm_reserve(uint64_t bytes)
{
    void *memory = mm_reserve_small(bytes);
    if (memory)
        madvise(memory, bytes, MADV_HUGEPAGE); /* a hint: on small pages it is slower, not wrong */
    return memory;
}

/* All of it now; what is there stays as it is. A hint. */
static inline void mm_populate(void *memory, uint64_t bytes)
{
#ifdef MADV_POPULATE_WRITE
    madvise(memory, bytes, MADV_POPULATE_WRITE);
#else
    (void)memory, (void)bytes;
#endif
}

static inline void mm_unreserve(void *memory, uint64_t bytes)
{
    if (memory)
        munmap(memory, bytes);
}

#endif
