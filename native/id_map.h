/* Open-addressing map from a 64-bit id to a 31- or 32-bit index, 8 bytes a slot: the id's hash above, the index below.
 *
 * The map does not store ids: whoever looks one up says how to read the id at an index (`key_of`). Linear probing; the home
 * slot is the top bits of the hash, so that erasing can close the gap without reading any id. Index 0 means an empty slot.
 * Never more than two thirds full, which the owner guarantees by sizing it with mm_id_map_slots. */
#ifndef MATCHMARK_ID_MAP_H
#define MATCHMARK_ID_MAP_H

#include <stdbool.h>
#include <stdint.h>

#define MM_INLINE static inline __attribute__((always_inline, unused))
#define MM_NO_SLOT UINT32_MAX

typedef struct mm_id_map {
    uint64_t *slots;
    uint64_t seed;
    uint32_t mask, shift;
} mm_id_map;

typedef uint64_t (*mm_key_of)(const void *owner, uint32_t index);

/* Power of two at least 1.5 times the entries, at least 16; 2^31 entries at most. */
MM_INLINE uint64_t mm_id_map_slots(uint64_t entries)
{
    uint64_t slots = 16;
    while (slots * 2 < entries * 3)
        slots *= 2;
    return slots;
}

MM_INLINE mm_id_map mm_id_map_open(uint64_t *slots, uint64_t n, uint64_t seed)
{
    return (mm_id_map){slots, seed, (uint32_t)(n - 1), (uint32_t)(__builtin_clzll(n - 1) - 32)};
}

MM_INLINE uint32_t mm_id_hash(const mm_id_map *m, uint64_t id)
{
    id ^= m->seed;
    id = (id ^ (id >> 32)) * UINT64_C(0xD6E8FEB86659FD93);
    id = (id ^ (id >> 32)) * UINT64_C(0xD6E8FEB86659FD93);
    return (uint32_t)(id >> 32);
}

MM_INLINE void mm_id_prefetch(const mm_id_map *m, uint32_t hash)
{
    __builtin_prefetch(&m->slots[hash >> m->shift]);
}

/* The slot that holds `id`, or MM_NO_SLOT. */
MM_INLINE uint32_t mm_id_find(const mm_id_map *m, uint32_t hash, uint64_t id, mm_key_of key_of, const void *owner)
{
    for (uint32_t i = hash >> m->shift;; i = (i + 1) & m->mask) {
        uint64_t slot = m->slots[i];
        if (!slot)
            return MM_NO_SLOT;
        if (slot >> 32 == hash && key_of(owner, (uint32_t)slot) == id)
            return i;
    }
}

/* The index in the id's home slot, 0 if that holds another: nearly always the right one, good enough for a prefetch. */
MM_INLINE uint32_t mm_id_guess(const mm_id_map *m, uint32_t hash)
{
    uint64_t slot = m->slots[hash >> m->shift];
    return slot >> 32 == hash ? (uint32_t)slot : 0;
}

/* The id must not be there yet. */
MM_INLINE void mm_id_insert(mm_id_map *m, uint32_t hash, uint32_t index)
{
    uint32_t i = hash >> m->shift;
    while (m->slots[i])
        i = (i + 1) & m->mask;
    m->slots[i] = (uint64_t)hash << 32 | index;
}

MM_INLINE void mm_id_set(mm_id_map *m, uint32_t slot, uint32_t index)
{
    m->slots[slot] = (m->slots[slot] & ~(uint64_t)UINT32_MAX) | index;
}

/* Empties a slot and moves later entries of its run up, so that none is cut off from its home. */
MM_INLINE void mm_id_erase(mm_id_map *m, uint32_t hole)
{
    for (uint32_t j = (hole + 1) & m->mask; m->slots[j]; j = (j + 1) & m->mask) {
        uint32_t home = (uint32_t)(m->slots[j] >> 32) >> m->shift;
        if (((j - home) & m->mask) >= ((j - hole) & m->mask)) {
            m->slots[hole] = m->slots[j];
            hole = j;
        }
    }
    m->slots[hole] = 0;
}

/* Empties the run that starts at the hash's home. Called for every id it held, this empties the whole map. */
MM_INLINE void mm_id_forget_run(mm_id_map *m, uint32_t hash)
{
    for (uint32_t i = hash >> m->shift; m->slots[i]; i = (i + 1) & m->mask)
        m->slots[i] = 0;
}

#endif
