/* libFuzzer: bytes into a FIX session, in pieces, with the clock moving, reports between them and resends asked for. What must hold
 * whatever comes in: no fault of memory, numbers that only rise, output that the parser itself finds sound, and progress.
 *
 * Input: the first byte says how to cut the rest into pieces and whether a logon of ours comes first; '^' in a message is made
 * sound: the piece from "8=FIX" gets its BodyLength and CheckSum right, for a fuzzer does not guess those. */
#include "fix_session_internal.h"

#include <stdlib.h>

enum { CAPACITY = 64, JOURNAL = 4096, OUTPUT = 32768 };

static const uint64_t start_ns = UINT64_C(1770000000000000000);

static void must(int held)
{
    if (!held)
        abort();
}

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

static void feed(mm_session *s, mm_fix_message *m, const mm_fix_store *store, const char *from, uint32_t n,
                 uint64_t now_ns)
{
    while (n) {
        char *at;
        uint32_t room = mm_session_input(s, &at), part = n < room ? n : room;
        if (!part)
            return; /* the session is pending or cut: it takes no more */
        memcpy(at, from, part);
        mm_session_received(s, part);
        from += part;
        n -= part;
        run(s, m, store, now_ns);
        check_output(s, m);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static mm_session session;
    static mm_fix_message message;
    static char out[OUTPUT], scratch[4096];
    static _Alignas(8) char memory[4096 + CAPACITY * 16 + JOURNAL];
    mm_session_config config = {.dictionary = mm_fix_dictionary_of("FIX.4.4"),
                                .comp_id = "MATCHMARK",
                                .clock_skew_ns = UINT64_MAX,
                                .logon_wait_ns = 10000000000,
                                .logout_wait_ns = 2000000000,
                                .heartbeat_max_s = 3600,
                                .output_bytes = OUTPUT};
    static const char logon[] = "35=A|34=1|49=CLIENT|56=MATCHMARK|52=20260202-00:00:00|98=0|108=30|";
    mm_fix_store store;
    if (size < 2 || size > 16384)
        return 0;
    memset(memory, 0, sizeof memory);
    mm_fix_store_in(&store, memory, "CLIENT", CAPACITY, JOURNAL);
    mm_session_create(&session, &config, out);
    mm_session_connect(&session, start_ns);
    mm_fix_use_wide(data[0] & 1);
    uint64_t now_ns = start_ns;
    if (data[0] & 2)
        feed(&session, &message, &store, scratch, make_sound(scratch, (const uint8_t *)logon, sizeof logon - 1),
             now_ns);
    for (size_t at = 1; at < size;) {
        const uint8_t *end = memchr(data + at, '^', size - at);
        uint32_t n = (uint32_t)(end ? end - (data + at) : (long)(size - at));
        if (data[0] & 4)
            feed(&session, &message, &store, (const char *)data + at, n, now_ns);
        else
            feed(&session, &message, &store, scratch, make_sound(scratch, data + at, n), now_ns);
        at += n + 1;
        now_ns += (uint64_t)(data[0] >> 3) * 500000000;
        mm_session_tick(&session, now_ns);
        check_output(&session, &message);
    }
    return 0;
}
