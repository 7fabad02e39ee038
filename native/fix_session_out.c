/* What a session sends: numbers, the store of what was sent under each, resends and gap fills.
 *
 * While a resend is under way new messages only take their numbers and join its end: the counterparty sees every number in order. */
#define _DEFAULT_SOURCE
#include "fix_session_internal.h"

#include "matchmark/audit.h"

#include <stddef.h>
#include <stdio.h>

#define JOURNAL_MAX 1024 /* fields of one kept message */

typedef struct journal_entry {
    uint64_t seq;
    char type[4];
    uint32_t length; /* of the fields, which follow */
    uint32_t crc;    /* of the fields, then of what is before it: a loss of power may leave half of them */
    uint32_t zero;
} journal_entry;

void mm_session_cut(mm_session *s, const char *why)
{
    if (s->state != MM_SESSION_CUT_DUE && why != s->cut)
        snprintf(s->cut, sizeof s->cut, "%s", why);
    s->state = MM_SESSION_CUT_DUE;
}

uint32_t mm_session_output(mm_session *s, const char **from)
{
    *from = s->out + s->out_start;
    return s->out_end - s->out_start;
}

void mm_session_sent(mm_session *s, uint32_t n)
{
    s->out_start += n;
    if (s->out_start == s->out_end)
        s->out_start = s->out_end = 0;
}

static bool has_room(mm_session *s, uint32_t length)
{
    if (s->config->output_bytes - s->out_end >= length)
        return true;
    memmove(s->out, s->out + s->out_start, s->out_end - s->out_start);
    s->out_end -= s->out_start;
    s->out_start = 0;
    return s->config->output_bytes - s->out_end >= length;
}

static void emit(mm_session *s, const char *from, uint32_t length, uint64_t now_ns)
{
    if (!has_room(s, length)) {
        mm_session_cut(s, "the counterparty does not read: its output buffer is full");
        return;
    }
    memcpy(s->out + s->out_end, from, length);
    s->out_end += length;
    s->sent_ns = now_ns;
}

static uint64_t claim(mm_fix_store *store, uint64_t key, uint64_t now_ns)
{
    mm_fix_numbers *n = store->numbers;
    uint64_t seq = n->next_out;
    store->sent[seq & (n->capacity - 1)] = (mm_fix_sent){key, now_ns};
    __atomic_store_n(&n->next_out, seq + 1, __ATOMIC_RELEASE);
    if (key && key < MM_JOURNAL_KEY)
        __atomic_store_n(&n->last_key, key & ~MM_AGAIN_KEY,
                         __ATOMIC_RELEASE); /* last: mm_fix_store_last_key says why */
    return seq;
}

void mm_fix_store_keep(mm_fix_store *store, uint64_t key, int again, uint64_t now_ns)
{
    claim(store, again ? key | MM_AGAIN_KEY : key, now_ns);
}

uint64_t mm_fix_store_last_key(const mm_fix_store *store)
{
    const mm_fix_numbers *n = store->numbers;
    uint64_t last = n->next_out > 1 ? store->sent[(n->next_out - 1) & (n->capacity - 1)].key : 0;
    last = last < MM_JOURNAL_KEY ? last & ~MM_AGAIN_KEY : 0;
    return last > n->last_key ? last : n->last_key;
}

/* Takes a number. 0 when the message is not to be written now: it joined the resend, or nobody is there. */
static uint64_t number(mm_session *s, uint64_t key, uint64_t now_ns)
{
    uint64_t seq = claim(&s->store, key, now_ns);
    if (seq >= __atomic_load_n(&s->store.numbers->ceiling, __ATOMIC_RELAXED)) { /* waits for the disk, as a resend */
        if (!s->resending)
            mm_session_begin_resend(s, seq, seq);
        s->resend_last = seq;
        return 0;
    }
    if (s->resending && s->resend_last + 1 == seq) {
        s->resend_last = seq;
        return 0;
    }
    bool open = s->state == MM_SESSION_ACTIVE || s->state == MM_SESSION_LOGOUT_SENT || s->state == MM_SESSION_PENDING;
    return open ? seq : 0;
}

static void write_fields(mm_session *s, const char *type, const char *fields, uint32_t length, uint64_t seq,
                         uint64_t now_ns, uint64_t orig_ns)
{
    char out[MM_FIX_HEAD_ROOM + 320 + JOURNAL_MAX];
    char *at = mm_fix_put_header(&s->envelope, out, type, seq, now_ns, orig_ns);
    const char *from = mm_fix_close(&s->envelope, out, put_text(at, fields, length), &length);
    emit(s, from, length, now_ns);
}

void mm_session_admin(mm_session *s, const char *type, const char *fields, uint32_t length, uint64_t now_ns)
{
    uint64_t seq = number(s, 0, now_ns);
    if (seq)
        write_fields(s, type, fields, length, seq, now_ns, 0);
}

static uint32_t entry_crc(const journal_entry *entry, const char *fields)
{
    return mm_crc32c(mm_crc32c(0, fields, entry->length), entry, offsetof(journal_entry, crc));
}

/* Entries do not wrap: one that does not fit before the journal's end begins at its start. */
static uint64_t keep_fields(mm_fix_store *store, const char *type, const char *fields, uint32_t length)
{
    mm_fix_numbers *n = store->numbers;
    uint32_t bytes = (uint32_t)(sizeof(journal_entry) + length + 7) & ~7u;
    uint64_t at = n->journal_end, left = n->journal_bytes - at % n->journal_bytes;
    if (left < bytes)
        at += left;
    char *to = store->journal + at % n->journal_bytes;
    journal_entry entry = {.seq = n->next_out, .length = length};
    memcpy(entry.type, type, strnlen(type, 3));
    entry.crc = entry_crc(&entry, fields);
    memcpy(to, &entry, sizeof entry);
    memcpy(to + sizeof entry, fields, length);
    __atomic_store_n(&n->journal_end, at + bytes, __ATOMIC_RELEASE);
    return MM_JOURNAL_KEY + at;
}

void mm_session_send(mm_session *s, const char *type, const char *fields, uint32_t length, uint64_t now_ns)
{
    if (length > JOURNAL_MAX)
        length = JOURNAL_MAX; /* callers' fields are bounded below it: fix_session.h */
    uint64_t seq = number(s, keep_fields(&s->store, type, fields, length), now_ns);
    if (seq)
        write_fields(s, type, fields, length, seq, now_ns, 0);
}

void mm_fix_store_keep_fields(mm_fix_store *store, const char *type, const char *fields, uint32_t length,
                              uint64_t now_ns)
{
    claim(store, keep_fields(store, type, fields, length < JOURNAL_MAX ? length : JOURNAL_MAX), now_ns);
}

/* Its BodyLength has three digits at most: all that is no text of it is below 370 bytes. */
static bool is_short(const mm_session *s, const mm_fix_report *r)
{
    return s->envelope.comps_length + r->cl_ord_id_length + r->orig_length + r->symbol_length + r->account_length +
               r->text_length <
           600;
}

/* Writes a report where it goes out from, so that it need not be copied; one that may not fit there is made elsewhere first. */
static void emit_report(mm_session *s, const mm_fix_report *report, uint64_t seq, uint64_t now_ns, uint64_t orig_ns)
{
    char out[MM_FIX_REPORT_ROOM];
    uint32_t length;
    const char *from;
    if (!is_short(s, report) || !has_room(s, MM_FIX_REPORT_ROOM)) {
        from = mm_fix_write_report(&s->envelope, report, seq, now_ns, orig_ns, out, &length);
        emit(s, from, length, now_ns);
        return;
    }
    char *start = s->out + s->out_end, *body = start + s->envelope.begin_length + 4; /* "123|" */
    from = mm_fix_write_report_body(&s->envelope, report, seq, now_ns, orig_ns, body, &length);
    if (from != start)
        memmove(start, from, length); /* fewer digits */
    s->out_end += length;
    s->sent_ns = now_ns;
}

void mm_session_report(mm_session *s, uint64_t key, const mm_fix_report *report, uint64_t now_ns)
{
    uint64_t seq = number(s, key, now_ns);
    if (seq)
        emit_report(s, report, seq, now_ns, 0);
}

void mm_session_begin_resend(mm_session *s, uint64_t first, uint64_t last)
{
    s->resending = 1;
    s->resend_next = first;
    s->resend_last = last;
    s->gap_begin = 0;
}

/* SequenceReset-GapFill over the administrative messages from gap_begin to before resend_next. */
static void fill_gap(mm_session *s, uint64_t now_ns)
{
    char fields[64], *at = put_uint(PUT(fields, "123=Y\00136="), s->resend_next);
    *at++ = 1;
    if (s->gap_begin)
        write_fields(s, "4", fields, (uint32_t)(at - fields), s->gap_begin, now_ns, now_ns);
    s->gap_begin = 0;
}

static bool send_kept(mm_session *s, const mm_fix_sent *sent, uint64_t now_ns)
{
    const mm_fix_numbers *n = s->store.numbers;
    uint64_t at = sent->key - MM_JOURNAL_KEY;
    const char *from = s->store.journal + at % n->journal_bytes;
    journal_entry entry;
    memcpy(&entry, from, sizeof entry);
    if (n->journal_end - at > n->journal_bytes || entry.seq != s->resend_next || entry.length > JOURNAL_MAX ||
        entry_crc(&entry, from + sizeof entry) != entry.crc)
        return false; /* written over since, or torn by a loss of power */
    fill_gap(s, now_ns);
    write_fields(s, entry.type, from + sizeof entry, entry.length, s->resend_next, now_ns, sent->sending_ns);
    s->resent++;
    return true;
}

static void pass_over(mm_session *s)
{
    if (!s->gap_begin)
        s->gap_begin = s->resend_next;
    s->resend_next++;
}

int mm_session_go_on_resending(mm_session *s, uint64_t now_ns)
{
    const mm_fix_numbers *n = s->store.numbers;
    while (s->resending && has_room(s, 2 * MM_FIX_REPORT_ROOM)) {
        if (s->resend_next > s->resend_last) {
            fill_gap(s, now_ns);
            s->resending = 0;
            break;
        }
        if (s->resend_next >= __atomic_load_n(&n->ceiling, __ATOMIC_ACQUIRE))
            break;                                        /* until the disk knows of it */
        if (n->next_out - s->resend_next > n->capacity) { /* forgotten: passed over in one step */
            pass_over(s);
            s->resend_next =
                n->next_out - n->capacity < s->resend_last + 1 ? n->next_out - n->capacity : s->resend_last + 1;
            continue;
        }
        const mm_fix_sent *sent = &s->store.sent[s->resend_next & (n->capacity - 1)];
        if (!sent->key || (sent->key >= MM_JOURNAL_KEY && !send_kept(s, sent, now_ns)))
            pass_over(s);
        else if (sent->key >= MM_JOURNAL_KEY)
            s->resend_next++;
        else {
            s->wanted_key = sent->key & ~MM_AGAIN_KEY;
            s->wanted_again = (sent->key & MM_AGAIN_KEY) != 0;
            return MM_EVENT_RESEND;
        }
    }
    return MM_EVENT_NONE;
}

void mm_session_resend_report(mm_session *s, const mm_fix_report *report, uint64_t now_ns)
{
    if (!report) {
        pass_over(s);
        return;
    }
    fill_gap(s, now_ns);
    uint64_t first_ns = s->store.sent[s->resend_next & (s->store.numbers->capacity - 1)].sending_ns;
    emit_report(s, report, s->resend_next, now_ns, first_ns);
    s->resend_next++;
    s->resent++;
}

static char *put_ref(char *at, const mm_fix_message *m)
{
    mm_text seq = mm_value(m, 34), type = mm_value(m, 35);
    at = put_text(PUT(at, "45="), seq.at, seq.length < 18 ? seq.length : 18);
    if (type.length)
        at = put_text(PUT(at, "\001372="), type.at, type.length < 4 ? type.length : 4);
    *at++ = 1;
    return at;
}

static char *put_bounded(char *at, const char *text)
{
    size_t n = strlen(text);
    at = put_text(PUT(at, "58="), text, (uint32_t)(n < 250 ? n : 250));
    *at++ = 1;
    return at;
}

void mm_session_reject(mm_session *s, const mm_fix_message *m, int reason, uint32_t tag, const char *text,
                       uint64_t now_ns)
{
    char fields[512], *at = put_ref(fields, m);
    if (tag)
        at = put_uint(PUT(at, "371="), tag), *at++ = 1;
    at = put_uint(PUT(at, "373="), (uint64_t)reason);
    *at++ = 1;
    at = put_bounded(at, text);
    s->rejected++;
    mm_session_admin(s, "3", fields, (uint32_t)(at - fields), now_ns);
}

void mm_session_business_reject(mm_session *s, const mm_fix_message *m, uint32_t reason, const char *text,
                                uint64_t now_ns)
{
    char fields[512], *at = put_ref(fields, m);
    mm_text id = mm_value(m, 11);
    if (id.length && id.length <= 40) {
        at = put_text(PUT(at, "379="), id.at, id.length);
        *at++ = 1;
    }
    at = put_uint(PUT(at, "380="), reason);
    *at++ = 1;
    at = put_bounded(at, text);
    s->rejected++;
    mm_session_send(s, "j", fields, (uint32_t)(at - fields), now_ns);
}
