/* Restart: a new engine takes every command of the log again, and must make the same records.
 *
 * What is on disk up to the audit ring's durable mark is read from the files, what lies between that and the ring's tail from
 * the ring. The mark only rises and only the engine, which is us, writes slots behind it, so a writer that goes on writing
 * meanwhile changes nothing of that. The last command may have been cut short: the records that are missing are made now,
 * and the reports that were not put yet are put. */
#include "engine_loop.h"

#include <stdlib.h>
#include <string.h>

#define AHEAD 6  /* commands that the engine is told of before they come */
#define SIGHT 48 /* records that these are looked for in */

typedef struct source {
    mm_audit_reader reader;
    uint64_t durable, tail;
    uint64_t sequence;              /* of the last record given */
    const mm_audit_record *record;  /* that one, which stays where it is until another is read */
    bool again;                     /* `record` is to be given once more */
    uint64_t ahead[AHEAD], n_ahead; /* places of commands in the reader's file */
    uint64_t seen, seen_in;         /* up to where, and in which file, they were looked for */
} source;

static const mm_audit_record *from_file(mm_engine_loop *loop, source *s, uint64_t sequence)
{
    mm_fault fault;
    const mm_audit_record *r = mm_audit_reader_next(&s->reader, &fault);
    if (r)
        return r;
    if (fault.text[0])
        *loop->fault = fault;
    else
        mm_fault_set(loop->fault, 0,
                     "audit log %.200s ends at record %llu, but shared memory says that %llu is the last on disk: "
                     "files were removed, or "
                     "the directory is not of this exchange",
                     s->reader.files.directory, (unsigned long long)(sequence - 1), (unsigned long long)s->durable);
    loop->broken = true;
    return NULL;
}

/* The record after the last one given; NULL at the end, or with loop->broken set. */
static const mm_audit_record *next_expected(mm_engine_loop *loop)
{
    source *s = loop->source;
    if (s->again) {
        s->again = false;
        return s->record;
    }
    uint64_t sequence = s->sequence + 1;
    if (sequence > s->tail)
        return NULL;
    const mm_audit_record *r = NULL;
    if (sequence <= s->durable) {
        r = from_file(loop, s, sequence);
    } else {
        r = &loop->p->audit->slots[sequence & (loop->p->audit->head.slots - 1)];
        if (r->sequence != sequence) {
            mm_fault_set(loop->fault, 0, "audit ring: record %llu is not in its slot: shared memory was written over",
                         (unsigned long long)sequence);
            loop->broken = true;
            return NULL;
        }
    }
    if (r) {
        s->record = r;
        s->sequence = sequence;
    }
    return r;
}

/* Tells the engine which commands come, as for those in the order ring: its tables are larger than the caches. */
static void expect_ahead(mm_engine_loop *loop, source *s)
{
    const mm_audit_map *map = &s->reader.map;
    uint64_t next = s->reader.at, n = 0;
    if (!map->memory || s->reader.known_good < map->header->first_sequence)
        return;
    uint64_t good = s->reader.known_good - map->header->first_sequence + 1;
    good = good < map->capacity ? good : map->capacity;
    if (s->seen_in != s->reader.file || s->seen < next) {
        s->seen_in = s->reader.file;
        s->seen = next;
        s->n_ahead = 0;
    }
    while (n < s->n_ahead && s->ahead[n] < next)
        n++;
    memmove(s->ahead, s->ahead + n, (s->n_ahead -= n) * sizeof *s->ahead);
    for (; s->n_ahead < AHEAD && s->seen < good && s->seen < next + SIGHT; s->seen++)
        if (map->records[s->seen].kind == MM_RECORD_COMMAND)
            s->ahead[s->n_ahead++] = s->seen;
    const mm_command *commands[AHEAD] = {0};
    for (n = 0; n < s->n_ahead; n++)
        commands[n] = &map->records[s->ahead[n]].command;
    mm_engine_expect(loop->engine, commands[AHEAD - 5], commands[AHEAD - 3], commands[AHEAD - 1]);
}

void mm_order_of_record(const mm_audit_record *r, mm_order_message *o)
{
    *o = (mm_order_message){
        .command = r->command,
        .session = r->session,
        .gateway = r->gateway,
        .received_ns = r->received_ns,
        .validated_ns = r->stage_a_ns,
        .enqueued_ns = r->stage_b_ns,
    };
    memcpy(o->text, r->text, sizeof o->text);
    memcpy(o->orig_text, r->other_text, sizeof o->orig_text);
    memcpy(o->notional, r->notional, sizeof o->notional);
}

/* What was wrong with a record, unless an earlier one was not the log's. */
static int wrong(mm_engine_loop *loop, const char *format, const mm_audit_record *r)
{
    return mm_loop_compare(loop) ? mm_fault_set(loop->fault, 0, format, (unsigned long long)r->sequence,
                                                (unsigned long long)r->command.tag)
                                 : -1;
}

static int replay_commands(mm_engine_loop *loop, source *s)
{
    const mm_audit_record *r;
    while (loop->replaying && (r = next_expected(loop)) != NULL) {
        if (r->kind != MM_RECORD_COMMAND)
            return wrong(loop, "audit log: record %llu is an event that no command of the log causes", r);
        if (r->command.tag < loop->position)
            return wrong(loop, "audit log: record %llu takes order position %llu again", r);
        mm_order_message order;
        mm_order_of_record(r, &order);
        loop->position = r->command.tag + 1;
        s->again = true;
        expect_ahead(loop, s);
        if (!mm_loop_execute(loop, &order, loop->position - 1))
            return -1;
    }
    return loop->broken || !mm_loop_compare(loop) ? -1 : 0;
}

static void note_reported(mm_engine_loop *loop)
{
    for (uint32_t g = 0; g < loop->p->control->config.gateways; g++) {
        const mm_reports_file *f = loop->p->reports[g];
        uint64_t tail = mm_load(&f->tail.word), resumed = mm_load(&f->resumed.word), key = mm_load(&f->base_key.word);
        if (tail && f->slots[(tail - 1) & (f->head.slots - 1)].key > key)
            key = f->slots[(tail - 1) & (f->head.slots - 1)].key;
        loop->reported[g] = resumed > key + 1 ? resumed - 1 : key;
    }
}

/* Order positions: those the log has taken are freed, and what was passed over behind them is skipped. */
static void settle_orders(mm_engine_loop *loop)
{
    const mm_mpsc *ring = &loop->p->order_ring;
    for (uint64_t i = 0; i <= ring->mask; i++) {
        uint64_t position = mm_turn_position(mm_load(&ring->slots[i].turn));
        if (position < loop->position)
            mm_mpsc_free(ring, position);
    }
    while (mm_turn_position(mm_load(&mm_mpsc_slot(ring, loop->position)->turn)) > loop->position)
        loop->position++;
    mm_store(&loop->p->control->order_position.word, loop->position);
}

static int check_config(const source *s, const mm_config *config, mm_fault *fault)
{
    if (!s->reader.files.n)
        return 0;
    mm_audit_map map;
    if (mm_audit_map_open(&map, &s->reader.files, 0, fault))
        return -1;
    bool same = memcmp(&map.header->engine, config, sizeof *config) == 0;
    mm_audit_map_close(&map);
    return same
               ? 0
               : mm_fault_set(
                     fault, 0,
                     "audit log %.250s was written with another engine configuration: use that one, or a new directory",
                     s->reader.files.directory);
}

static int replay(mm_engine_loop *loop, source *s, const char *log_directory, const mm_config *config, mm_fault *fault)
{
    s->durable = mm_load(&loop->p->audit->durable.word);
    s->tail = mm_load(&loop->p->audit->tail.word);
    s->sequence = loop->sequence;
    if (loop->sequence ? mm_audit_reader_open_after(&s->reader, log_directory, loop->sequence, loop->running_hash,
                                                    loop->log_epoch, fault)
                       : mm_audit_reader_open(&s->reader, log_directory, fault))
        return -1;
    /* Whoever made the shared memory has checked the log so far, and each record is compared with the one made here. */
    s->reader.known_good = loop->p->control->config.base_sequence;
    int result = check_config(s, config, fault);
    loop->replaying = true;
    loop->expected = next_expected;
    loop->source = s;
    loop->fault = fault;
    loop->dequeued_ns = mm_now_ns();
    note_reported(loop);
    if (!result)
        result = replay_commands(loop, s);
    loop->replaying = false;
    mm_audit_reader_close(&s->reader);
    if (result)
        return -1;
    if (loop->position < loop->p->control->config.base_order_position)
        loop->position = loop->p->control->config.base_order_position;
    settle_orders(loop);
    return mm_loop_publish(loop) ? 0
                                 : mm_fault_set(fault, 0, "engine: the exchange is stopping and has no audit writer");
}

int mm_loop_replay(mm_engine_loop *loop, const char *log_directory, const mm_config *config, mm_fault *fault)
{
    mm_fault unused;
    source *s = calloc(1, sizeof *s);
    if (!s)
        return mm_fault_set(fault, 0, "engine: no memory");
    int result = replay(loop, s, log_directory, config, fault ? fault : &unused);
    free(s);
    loop->source = NULL;
    loop->fault = NULL;
    return result;
}
