/* libFuzzer: bytes into a FIX session, in pieces, with the clock moving, reports between them and resends asked for. What must hold
 * whatever comes in: no fault of memory, numbers that only rise, output that the parser itself finds sound, and progress.
 *
 * Input: the first byte says how to cut the rest into pieces and whether a logon of ours comes first; '^' in a message is made
 * sound: the piece from "8=FIX" gets its BodyLength and CheckSum right, for a fuzzer does not guess those. */
#include "fuzz_session.h"

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
    static _Alignas(8) char memory[STORE];
    mm_session_config config = a_config();
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
