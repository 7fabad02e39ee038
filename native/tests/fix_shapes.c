/* A parser that remembers shapes against one that remembers nothing: for any message, from sound ones with bytes changed, both must
 * say the same. Numbers read in wide steps against those read digit by digit. Usage: fix_shapes ROUNDS. Exit 1: they differ. */
#include "fix_read.h"
#include "fix_write.h"

#include <stdio.h>
#include <stdlib.h>

static uint64_t random_state = 88172645463325252;

static uint32_t below(uint32_t n)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)(random_state >> 33) % n;
}

static const char *const layouts[] = {
    "35=D|49=C|56=M|34=7|52=20260202-00:00:00.123|11=a1|55=S|54=1|38=100|40=2|44=10.25|59=0|60=20260202-00:00:00.120|",
    "35=D|34=7|49=C|52=20260202-00:00:00|56=M|11=a|1=ACC|54=2|38=5|40=1|60=20260202-00:00:00|55=S|21=1|",
    "35=D|49=C|56=M|34=7|52=20260202-00:00:01.5|11=a1|55=S|54=1|60=20260202-00:00:00.120|40=2|44=-.5|38=1234567890123|",
    "35=F|49=C|56=M|34=18|52=20260202-00:00:00.123|11=a2|41=a1|55=S|54=1|60=20260202-00:00:00.120|",
    "35=G|49=C|56=M|34=18|52=20260202-00:00:00.123|11=a2|41=a1|55=S|54=1|40=2|44=1|38=1.|60=20260202-00:00:00.120|",
    "35=H|49=C|56=M|34=18|52=20260202-00:00:00.123|11=a2|55=S|54=1|",
    "35=0|49=C|56=M|34=18|52=20260202-00:00:00.123|112=x|",
    "35=A|49=C|56=M|34=1|52=20260202-00:00:00.123|98=0|108=30|554=t=t=t|",
    "35=D|49=C|56=M|34=7|43=Y|122=20260202-00:00:00|52=20260202-00:00:00.123|11=a1|55=S|54=1|38=100|40=2|44=10.25|"
    "453=1|448=p|447=D|452=1|60=20260202-00:00:00.120|",
    "35=D|49=C|56=M|34=7|52=20260202-00:00:00.123|11=a1|55=S|54=1|40=2|60=20260202-00:00:00.120|5001=u|126=20260202-00:"
    "00:00|",
    "35=AE|49=C|56=M|34=7|52=20260202-00:00:00.123|11=a1|55=S|54=1|",
};
enum { LAYOUTS = sizeof layouts / sizeof *layouts };

static const char alphabet[] = "||0123456789=.-ASDYN:\x7f\xff ";

/* Changes, drops, doubles bytes and whole fields. */
static uint32_t spoil(char *body, uint32_t n)
{
    for (uint32_t times = below(3); times; times--) {
        uint32_t at = below(n), part = 1 + below(12);
        part = part < n - at ? part : n - at;
        switch (below(4)) {
        case 0:
        case 1:
            body[at] = alphabet[below(sizeof alphabet - 1)];
            break;
        case 2:
            memmove(body + at, body + at + part, n - at - part);
            n -= part;
            break;
        default:
            if (n < 700) {
                memmove(body + at + part, body + at, n - at);
                n += part;
            }
        }
        if (n < 8)
            return n;
    }
    return n;
}

static void differ(const char *what, const char *bytes, uint32_t length)
{
    fprintf(stderr, "%s: ", what);
    for (uint32_t i = 0; i < length; i++)
        fputc(bytes[i] == 1 ? '|' : bytes[i], stderr);
    fputc('\n', stderr);
    exit(1);
}

static void compare(const mm_fix_dictionary *d, mm_fix_message *warm, mm_fix_message *cold, const char *bytes,
                    uint32_t length)
{
    memset(cold, 0, sizeof *cold);
    int result = mm_fix_parse(d, bytes, length, cold);
    if (mm_fix_parse(d, bytes, length, warm) != result)
        differ("result", bytes, length);
    if (result != MM_FIX_PARSED)
        return;
    if (warm->fault != cold->fault || warm->fault_tag != cold->fault_tag)
        differ("fault", bytes, length);
    if (warm->type != cold->type || warm->n_fields != cold->n_fields ||
        memcmp(warm->fields, cold->fields, cold->n_fields * sizeof *cold->fields) != 0)
        differ("fields", bytes, length);
    for (uint32_t tag = 0; tag < MM_FIX_MAX_TAG; tag++) {
        const mm_fix_field *a = mm_fix_get(warm, tag), *b = mm_fix_get(cold, tag);
        if (!a != !b || (a && a - warm->fields != b - cold->fields))
            differ("index", bytes, length);
    }
}

static void compare_numbers(const char *text, uint32_t length)
{
    uint64_t a = 0, b = 0;
    int64_t c = 0, d = 0;
    bool sound = mm_fix_read_uint(text, length, &a);
    if (mm_fix_uint_in(text, length, &b) != sound || (sound && a != b))
        differ("uint", text, length);
    uint32_t digits = below(11);
    sound = mm_fix_read_decimal(text, length, digits, &c);
    if (mm_fix_decimal_in(text, length, digits, &d) != sound || (sound && c != d))
        differ("decimal", text, length);
}

int main(int argc, char **argv)
{
    const mm_fix_dictionary *d = mm_fix_dictionary_of("FIX.4.4");
    mm_fix_envelope e;
    mm_fix_message *warm = calloc(1, sizeof *warm), *cold = malloc(sizeof *cold);
    if (argc != 2 || !warm || !cold || !mm_fix_envelope_make(&e, "FIX.4.4", "C", "M"))
        return 2;
    uint64_t sound = 0;
    for (long round = strtol(argv[1], NULL, 10); round > 0; round--) {
        char room[2048], number[64] = "";
        const char *layout = layouts[below(LAYOUTS)];
        uint32_t n = (uint32_t)strlen(layout), length, digits = below(12);
        memcpy(room + MM_FIX_HEAD_ROOM, layout, n);
        n = spoil(room + MM_FIX_HEAD_ROOM, n);
        for (uint32_t i = 0; i < n; i++)
            if (room[MM_FIX_HEAD_ROOM + i] == '|')
                room[MM_FIX_HEAD_ROOM + i] = 1;
        char *end = room + MM_FIX_HEAD_ROOM + n;
        if (!n || end[-1] != 1)
            *end++ = 1;
        const char *from = mm_fix_close(&e, room, end, &length);
        uint32_t framed;
        mm_fix_use_wide((int)below(2));
        if (mm_fix_scan(from, length, &framed) != MM_FIX_FRAME || framed != length)
            differ("no frame", from, length);
        compare(d, warm, cold, from, length);
        sound += warm->fault == MM_FIX_SOUND;
        for (uint32_t i = 0; i < digits; i++)
            number[i] = "0123456789.0123456789.-x"[below(24)];
        compare_numbers(number, digits);
    }
    printf("%llu\n", (unsigned long long)sound);
    free(warm);
    free(cold);
    return 0;
}
