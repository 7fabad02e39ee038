/* Records by sequence number, for those who follow a log that others write. */
#include "engine_loop.h"
#include "replica.h"

void mm_log_place_close(mm_log_place *place)
{
    if (place->open)
        mm_audit_map_close(&place->map);
    place->open = false;
}

static const mm_audit_record *here(const mm_log_place *place, uint64_t sequence)
{
    if (!place->open || sequence < place->map.header->first_sequence)
        return NULL;
    uint64_t at = sequence - place->map.header->first_sequence;
    return at < place->map.capacity && place->map.records[at].sequence == sequence ? &place->map.records[at] : NULL;
}

const mm_audit_record *mm_log_record(mm_log_place *place, const char *directory, uint64_t sequence, mm_fault *fault)
{
    fault->text[0] = 0;
    const mm_audit_record *found = here(place, sequence);
    if (found)
        return found;
    mm_log_place_close(place);
    mm_audit_files files;
    if (mm_audit_list(&files, directory, fault))
        return NULL;
    uint64_t i = files.n;
    while (i && files.first[i - 1] > sequence)
        i--;
    place->open = i && !mm_audit_map_open(&place->map, &files, i - 1, fault);
    mm_audit_files_free(&files);
    return here(place, sequence);
}

uint64_t mm_ring_copy(const mm_audit_ring *ring, uint64_t first, mm_audit_record *to, uint64_t max, bool *in_log)
{
    uint64_t tail = mm_load(&ring->tail.word), slots = ring->head.slots;
    *in_log = false;
    if (first > tail)
        return 0;
    uint64_t n = tail - first + 1 < max ? tail - first + 1 : max;
    for (uint64_t i = 0; i < n; i++)
        to[i] = ring->slots[(first + i) & (slots - 1)];
    /* A slot is written again only when its record is on disk, and by then the tail is nearly a lap further. */
    atomic_thread_fence(memory_order_acquire);
    bool whole = first > mm_load(&ring->durable.word) || first + slots > mm_load(&ring->tail.word) + MM_LOOP_STAGED;
    *in_log = !whole;
    return whole ? n : 0;
}

uint64_t mm_hash_at(mm_pipeline *p, const char *log_directory, uint64_t sequence)
{
    mm_audit_record record;
    bool in_log;
    if (p && mm_ring_copy(p->audit, sequence, &record, 1, &in_log) && record.sequence == sequence)
        return record.running_hash;
    mm_log_place place = {0};
    mm_fault fault;
    const mm_audit_record *r = mm_log_record(&place, log_directory, sequence, &fault);
    uint64_t hash = r ? r->running_hash : 0;
    mm_log_place_close(&place);
    return hash;
}
