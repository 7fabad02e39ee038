/* libFuzzer target: bytes become an engine's configuration and commands; the engine's events must be the naive
 * engine's, byte for byte, its state hash too, and every invariant must hold (mm_engine_check). Built with ASan and
 * UBSan by run.sh.
 *
 * Six bytes of configuration, then eight a command: op, the small fields, account and symbol, id, orig, price,
 * quantity, and how the batch is cut. Ids, prices and accounts come from small sets, so that they meet. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "naive_engine.h"

enum { CONFIG_BYTES = 6, COMMAND_BYTES = 8, COMMANDS = 500, ROOM_MAX = 64 };

static naive_engine naive;
static mm_event expected[COMMANDS * 64], actual[COMMANDS * 64 + ROOM_MAX];

static void fail(const char *what, uint64_t at)
{
    fprintf(stderr, "engine: %s (at %llu)\n", what, (unsigned long long)at);
    abort();
}

static mm_config config_of(const uint8_t *b)
{
    static const uint32_t pools[] = {1, 2, 5, 400}, ids[] = {0, 3, 40, 1000}, windows[] = {64, 128, 1024, 8192};
    return (mm_config){
        .n_symbols = 1 + b[0] % 3,
        .max_orders = pools[b[1] & 3],
        .max_levels = pools[b[2] & 3],
        .remembered_ids = ids[b[3] & 3],
        .window_ticks = windows[b[4] & 3],
        .emit_top = b[4] >> 7,
        .hash_seed = b[4] & 0x40 ? UINT64_C(0x123456789abcdef) : 0,
    };
}

static int64_t price_of(uint8_t b)
{
    static const int64_t odd[] = {MM_ABSENT, 0, -1, INT64_MAX, MM_MAX_PRICE, MM_MAX_PRICE + 1, 1, INT64_MIN + 1};
    if (b < 160)
        return 1000 + b % 16; /* close together */
    if (b < 240)
        return 1000 + (b - 160) * 37; /* over some windows */
    return b < 248 ? INT64_C(1) << (b - 240) * 7 : odd[b - 248];
}

static int64_t quantity_of(uint8_t b)
{
    static const int64_t odd[] = {MM_ABSENT,     0,   -1, INT64_MAX, MM_MAX_QUANTITY, MM_MAX_QUANTITY + 1,
                                  INT64_MIN + 1, 1000};
    return b < 248 ? 1 + b % 32 : odd[b - 248];
}

static mm_command command_of(const uint8_t *b, uint32_t n_symbols)
{
    uint32_t symbol = (b[2] >> 2 & 7) % (n_symbols + 1);
    mm_command c = {
        .op = b[0] < 128 ? MM_NEW : (uint8_t)(b[0] % 16),
        .defer = b[0] < 128 && b[0] & 64,
        .side = b[1] & 1,
        .type = (b[1] >> 1 & 7) == 7,
        .tif = (b[1] >> 4 & 3) == 3,
        .smp = b[1] >> 6,
        .account = b[2] & 3,
        .symbol = symbol == n_symbols && b[2] >> 7 ? MM_ALL_SYMBOLS : symbol,
        .cl_ord_id = b[3],
        .orig_cl_ord_id = b[4],
        .price_ticks = price_of(b[5]),
        .quantity_lots = quantity_of(b[6]),
    };
    if (b[7] == 255)
        c.side = c.type = c.tif = b[3];
    return c;
}

static void must_hold(const mm_engine *e, uint64_t at)
{
    const char *fault = mm_engine_check(e);
    if (fault)
        fail(fault, at);
}

static mm_engine *make(const mm_config *config)
{
    size_t bytes = mm_engine_size(config);
    void *memory = aligned_alloc(64, bytes);
    if (!memory)
        abort();
    memset(memory, 0, bytes);
    return mm_engine_create(memory, config);
}

/* An engine holds no pointers: a copy goes on as if it were the original, which is gone. */
static mm_engine *move(mm_engine *e, const mm_config *config)
{
    size_t bytes = mm_engine_size(config);
    void *copy = aligned_alloc(64, bytes);
    if (!copy)
        abort();
    memcpy(copy, e, bytes);
    free(e);
    return copy;
}

/* Takes all commands in batches whose sizes the input chooses, through a buffer of `room` events. */
static uint64_t submit_all(mm_engine **engine, const mm_config *config, bool moves, const mm_command *c, uint64_t n,
                           const uint8_t *cuts, uint64_t room)
{
    uint64_t written = 0;
    mm_engine *e = *engine;
    for (uint64_t taken = 0; taken < n || mm_engine_unfinished(e);) {
        if (moves)
            e = *engine = move(e, config);
        uint64_t batch = taken < n ? 1 + cuts[taken * COMMAND_BYTES] % 50 : 0;
        mm_event *buffer = malloc(room * sizeof *buffer); /* on the heap, where ASan sees one event too many */
        mm_progress p;
        if (!buffer)
            abort();
        int code = mm_engine_submit(e, c + taken, n - taken < batch ? n - taken : batch, buffer, room, &p);
        if (code != MM_OK && code != MM_FULL)
            fail("submit was refused", taken);
        if (p.events > room || written + p.events > sizeof actual / sizeof *actual)
            fail("more events than there is room for", taken);
        if (!p.events && !p.commands && mm_engine_unfinished(e)) /* a resumed command may turn out to be complete */
            fail("no progress", taken);
        memcpy(actual + written, buffer, p.events * sizeof *buffer);
        free(buffer);
        written += p.events;
        taken += p.commands;
        if (taken == n || p.events % 4 == 0)
            must_hold(e, taken);
    }
    return written;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static mm_command commands[COMMANDS];
    if (size < CONFIG_BYTES + COMMAND_BYTES)
        return 0;
    mm_config config = config_of(data);
    uint64_t n = (size - CONFIG_BYTES) / COMMAND_BYTES, wanted = 0;
    n = n < COMMANDS ? n : COMMANDS;
    memset(&naive, 0, offsetof(naive_engine, orders));
    naive.config = config;
    naive.n_orders = naive.n_events = 0;
    naive.accepted = naive.arrivals = 0;
    memset(naive.trading, 0, sizeof naive.trading);
    for (uint64_t i = 0; i < n; i++) {
        commands[i] = command_of(data + CONFIG_BYTES + i * COMMAND_BYTES, config.n_symbols);
        naive_take(&naive, &commands[i]);
        if (wanted + naive.n_events > sizeof expected / sizeof *expected)
            return 0;
        memcpy(expected + wanted, naive.events, naive.n_events * sizeof(mm_event));
        wanted += naive.n_events;
    }
    mm_engine *e = make(&config);
    uint64_t got = submit_all(&e, &config, data[4] & 0x20, commands, n, data + CONFIG_BYTES + 7,
                              MM_MIN_EVENTS + data[5] % ROOM_MAX);
    for (uint64_t i = 0; i < got && i < wanted; i++) {
        if (memcmp(&actual[i], &expected[i], sizeof(mm_event)) != 0)
            fail("event differs from the naive engine's", i);
    }
    if (got != wanted)
        fail("another number of events than the naive engine", got);
    if (mm_engine_state_hash(e) != naive_state_hash(&naive))
        fail("state hash differs from the naive engine's", n);
    free(e);
    return 0;
}
