/* Commands go to the engine some at a time, ahead of the events that are compared: it looks ahead, and one call costs as much as
 * many commands. */
#include "matchmark/replay.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define COMMANDS 64
#define EVENTS   512

struct mm_replay {
    mm_engine *engine;
    mm_command commands[COMMANDS];
    uint64_t n_commands, taken; /* gathered, and of these taken by the engine */
    mm_event events[EVENTS];
    uint64_t n_events, at; /* made, and of these compared */
    bool more;             /* the engine's buffer was full: it has events left */
};

mm_replay *mm_replay_make(const mm_config *config)
{
    mm_replay *r = mm_config_error(config) ? NULL : calloc(1, sizeof *r);
    if (r && !(r->engine = mm_engine_map(config, MM_MEMORY_HUGE_PAGES))) {
        free(r);
        return NULL;
    }
    return r;
}

void mm_replay_free(mm_replay *r)
{
    if (!r)
        return;
    mm_engine_destroy(r->engine);
    free(r);
}

static void run(mm_replay *r)
{
    mm_progress done;
    int code = mm_engine_submit(r->engine, r->commands + r->taken, r->n_commands - r->taken, r->events, EVENTS, &done);
    r->more = code == MM_FULL;
    r->taken += done.commands;
    r->n_events = done.events;
    r->at = 0;
}

/* Gathers the commands from *feed on and lets the engine have them. */
static void feed_some(mm_replay *r, const mm_audit_record *records, uint64_t n, uint64_t *feed)
{
    r->n_commands = r->taken = 0;
    for (; *feed < n && r->n_commands < COMMANDS; ++*feed)
        if (records[*feed].kind == MM_RECORD_COMMAND)
            r->commands[r->n_commands++] = records[*feed].command;
    run(r);
}

/* The next event of the engine, NULL when the commands so far make no more. */
static const mm_event *next_event(mm_replay *r, const mm_audit_record *records, uint64_t n, uint64_t *feed)
{
    while (r->at == r->n_events) {
        if (r->more || r->taken < r->n_commands)
            run(r);
        else if (*feed < n)
            feed_some(r, records, n, feed);
        else
            return NULL;
    }
    return &r->events[r->at++];
}

uint64_t mm_replay_check(mm_replay *r, const mm_audit_record *records, uint64_t n, mm_event *made)
{
    uint64_t feed = 0;
    memset(made, 0, sizeof *made);
    for (uint64_t i = 0; i < n; i++) {
        __builtin_prefetch(&records[i + 16 < n ? i + 16 : i]);
        if (records[i].kind == MM_RECORD_COMMAND)
            continue;
        const mm_event *event = next_event(r, records, n, &feed);
        if (event && !memcmp(event, &records[i].event, sizeof *event))
            continue;
        if (event)
            *made = *event;
        return i;
    }
    while (feed < n && r->at == r->n_events && !r->more && r->taken == r->n_commands)
        feed_some(r, records, n, &feed); /* commands whose events are in the next records */
    return n;
}
