/* A FIX session for fuzzers, with what its gateway does to it, and what must hold of whatever it says. */
#ifndef FUZZ_SESSION_H
#define FUZZ_SESSION_H

#include "fix_session_internal.h"

#include <stdlib.h>

enum { CAPACITY = 64, JOURNAL = 4096, OUTPUT = 32768, STORE = 4096 + CAPACITY * 16 + JOURNAL };

static const uint64_t start_ns = UINT64_C(1770000000000000000);

static void must(int held)
{
    if (!held)
        abort();
}

static void (*deliver)(mm_session *s, const char *from, uint32_t n); /* what goes out; NULL: nobody hears it */

/* All that goes out is whole messages, and sound ones. */
static void check_output(mm_session *s, mm_fix_message *m)
{
    static char copy[OUTPUT + MM_FIX_PAD];
    const char *from;
    uint32_t n = mm_session_output(s, &from), length;
    memcpy(copy, from, n);
    for (uint32_t at = 0; at < n; at += length) {
        must(mm_fix_scan(copy + at, n - at, &length) == MM_FIX_FRAME);
        must(mm_fix_parse(s->config->dictionary, copy + at, length, m) == MM_FIX_PARSED);
        must(m->type < 0 || m->fault == MM_FIX_SOUND);
    }
    if (deliver && n)
        deliver(s, from, n);
    mm_session_sent(s, n);
}

static mm_fix_report a_report(uint64_t key)
{
    return (mm_fix_report){.exec_type = '0',
                           .ord_status = '0',
                           .side = '1',
                           .ord_type = '2',
                           .time_in_force = '0',
                           .cl_ord_id = "c",
                           .cl_ord_id_length = 1,
                           .symbol = "S",
                           .symbol_length = 1,
                           .lot_size = 1,
                           .exec_id = key,
                           .order_id = 1,
                           .transact_ns = start_ns};
}

static void run(mm_session *s, mm_fix_message *m, const mm_fix_store *store, uint64_t now_ns)
{
    uint64_t key = 2 + store->numbers->next_out;
    for (int turns = 0;; turns++) {
        must(turns < 100000);
        uint64_t before = store->numbers->next_out;
        mm_fix_report report = a_report(s->wanted_key);
        switch (mm_session_next(s, m, now_ns)) {
        case MM_EVENT_LOGON:
            mm_session_admit(s, m, store, 0, now_ns);
            break;
        case MM_EVENT_APPLICATION:
            report = a_report(key);
            mm_session_report(s, key++, &report, now_ns);
            mm_session_take(s);
            break;
        case MM_EVENT_RESEND:
            mm_session_resend_report(s, s->wanted_key % 3 ? &report : NULL, now_ns);
            break;
        default:
            return;
        }
        must(store->numbers->next_out >= before || store->numbers->next_out <= 3);
        check_output(s, m);
    }
}

/* Puts head and trailer around the body at `from`, as in tests: '|' is SOH. */
static uint32_t make_sound(char *out, const uint8_t *from, uint32_t n)
{
    mm_fix_envelope e = {.begin = "8=FIX.4.4\0019=", .begin_length = 12};
    char room[2048];
    uint32_t length = 0;
    n = n < 1500 ? n : 1500;
    for (uint32_t i = 0; i < n; i++)
        room[MM_FIX_HEAD_ROOM + i] = from[i] == '|' ? 1 : (char)from[i];
    const char *start = mm_fix_close(&e, room, room + MM_FIX_HEAD_ROOM + n, &length);
    memcpy(out, start, length);
    return length;
}

static mm_session_config a_config(void)
{
    return (mm_session_config){.dictionary = mm_fix_dictionary_of("FIX.4.4"),
                               .comp_id = "MATCHMARK",
                               .clock_skew_ns = UINT64_MAX,
                               .logon_wait_ns = 10000000000,
                               .logout_wait_ns = 2000000000,
                               .heartbeat_max_s = 3600,
                               .output_bytes = OUTPUT};
}

#endif
