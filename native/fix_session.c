/* What a session makes of what it receives. Each rule names its published FIX session layer test case: "2c" is scenario 2, case c. */
#include "fix_session_internal.h"

#include "fix_dictionary.h"

#include <stdio.h>

#define SECOND               UINT64_C(1000000000)
#define RESEND_STALL_NS      (30 * SECOND)
#define STRANGER_GARBLED_MAX 16 /* garbled messages before a stranger is cut */

void mm_session_create(mm_session *s, const mm_session_config *config, char *out)
{
    memset(s, 0, sizeof *s);
    s->config = config;
    s->out = out;
}

void mm_session_connect(mm_session *s, uint64_t now_ns)
{
    const mm_session_config *config = s->config;
    char *out = s->out;
    mm_session_create(s, config, out);
    s->state = MM_SESSION_AWAIT_LOGON;
    s->connected_ns = s->received_ns = s->sent_ns = now_ns;
}

void mm_session_disconnected(mm_session *s)
{
    s->state = MM_SESSION_OFF;
    s->in_start = s->in_end = s->out_start = s->out_end = 0;
    s->borrowed = NULL;
    memset(&s->store, 0, sizeof s->store);
}

uint32_t mm_session_input(mm_session *s, char **at)
{
    if (s->in_start && MM_SESSION_INPUT - s->in_end < MM_FIX_MAX_MESSAGE) {
        memmove(s->in, s->in + s->in_start, s->in_end - s->in_start);
        s->in_end -= s->in_start;
        s->in_start = 0;
    }
    *at = s->in + s->in_end;
    return MM_SESSION_INPUT - s->in_end;
}

void mm_session_received(mm_session *s, uint32_t n)
{
    s->in_end += n;
}

int mm_session_may_borrow(const mm_session *s)
{
    return !s->borrowed && s->in_start == s->in_end;
}

void mm_session_borrow(mm_session *s, const char *bytes, uint32_t n)
{
    s->borrowed = bytes;
    s->in_start = 0;
    s->in_end = n;
}

void mm_session_give_back(mm_session *s)
{
    if (!s->borrowed)
        return;
    uint32_t left = s->in_end - s->in_start;
    memcpy(s->in, s->borrowed + s->in_start, left);
    s->in_start = 0;
    s->in_end = left;
    s->borrowed = NULL;
}

static const char *head(const mm_session *s)
{
    return (s->borrowed ? s->borrowed : s->in) + s->in_start;
}

static void drop(mm_session *s, uint32_t n)
{
    s->in_start += n;
    if (s->in_start == s->in_end)
        s->in_start = s->in_end = 0;
}

/* The next whole and sound message, not yet dropped; false when there is none. 2d, 2m, 2t, 3b, 3c, 3e: what is garbled is passed over. */
static bool next_message(mm_session *s, mm_fix_message *m)
{
    for (;;) {
        uint32_t length;
        const char *from = head(s);
        uint32_t have = s->in_end - s->in_start;
        int found = have ? mm_fix_scan(from, have, &length) : MM_FIX_MORE;
        if (found == MM_FIX_MORE)
            return false;
        if (found == MM_FIX_FRAME && mm_fix_parse(s->config->dictionary, from, length, m) == MM_FIX_PARSED)
            return true;
        s->garbled++;
        drop(s, length);
    }
}

void mm_session_take(mm_session *s)
{
    uint32_t length;
    if (mm_fix_scan(head(s), s->in_end - s->in_start, &length) != MM_FIX_FRAME)
        return;
    drop(s, length);
    if (s->store.numbers)
        __atomic_store_n(&s->store.numbers->next_in, s->store.numbers->next_in + 1, __ATOMIC_RELEASE);
}

static void drop_message(mm_session *s, const mm_fix_message *m)
{
    drop(s, m->length);
}

static void consume(mm_session *s, const mm_fix_message *m)
{
    drop(s, m->length);
    __atomic_store_n(&s->store.numbers->next_in, s->store.numbers->next_in + 1, __ATOMIC_RELEASE);
}

static bool same(mm_text t, const char *text)
{
    return t.length == strlen(text) && !memcmp(t.at, text, t.length);
}

static bool is_type(const mm_fix_message *m, char letter)
{
    const mm_fix_field *f = &m->fields[2];
    return f->length == 1 && m->bytes[f->at] == letter;
}

static void send_logout(mm_session *s, const char *text, uint64_t now_ns)
{
    char fields[256] = "", *at = fields;
    if (text) {
        size_t n = strlen(text);
        at = put_text(PUT(at, "58="), text, (uint32_t)(n < 240 ? n : 240));
        *at++ = 1;
    }
    mm_session_admin(s, "5", fields, (uint32_t)(at - fields), now_ns);
}

void mm_session_logout(mm_session *s, const char *text, uint64_t now_ns)
{
    if (s->state != MM_SESSION_ACTIVE)
        return;
    s->resending = 0; /* what was left of a resend is asked for again after the next logon */
    send_logout(s, text, now_ns);
    if (s->state == MM_SESSION_ACTIVE)
        s->state = MM_SESSION_LOGOUT_SENT;
    s->logout_ns = now_ns;
    snprintf(s->cut, sizeof s->cut, "%s", text ? text : "logout");
}

/* A logout after which the counterparty is not waited for: its number or its name cannot be trusted. */
static void logout_and_cut(mm_session *s, const char *text, uint64_t now_ns)
{
    s->resending = 0;
    send_logout(s, text, now_ns);
    mm_session_cut(s, text);
}

static void too_low(mm_session *s, uint64_t expected, uint64_t received, uint64_t now_ns)
{
    char text[96];
    snprintf(text, sizeof text, "MsgSeqNum too low, expecting %llu but received %llu", (unsigned long long)expected,
             (unsigned long long)received);
    logout_and_cut(s, text, now_ns);
}

/* --- logon --- */

/* 1S c, 2S: before a counterparty is known there is no number to answer under, so strangers are cut without a word. */
static int first_message(mm_session *s, const mm_fix_message *m)
{
    mm_text sender = mm_value(m, 49);
    if (!is_type(m, 'A'))
        mm_session_cut(s, "first message not a logon");
    else if (!same((mm_text){m->bytes + m->fields[0].at, m->fields[0].length},
                   s->config->dictionary->text->begin_string))
        mm_session_cut(s, "logon with another BeginString");
    else if (!same(mm_value(m, 56), s->config->comp_id))
        mm_session_cut(s, "logon for another TargetCompID");
    else if (!sender.length || sender.length >= sizeof s->their_comp_id || !mm_fix_get(m, 34))
        mm_session_cut(s, "logon without SenderCompID or MsgSeqNum");
    else {
        memcpy(s->their_comp_id, sender.at, sender.length);
        s->their_comp_id[sender.length] = 0;
        s->state = MM_SESSION_PENDING;
        return MM_EVENT_LOGON;
    }
    return MM_EVENT_CUT;
}

void mm_session_refuse(mm_session *s, const char *why)
{
    mm_session_cut(s, why);
}

static bool clock_agrees(const mm_session *s, mm_fix_message *m, uint64_t now_ns)
{
    mm_text t = mm_value(m, 52);
    uint64_t sent;
    if (!mm_fix_read_utc(m, t.at, t.length, &sent))
        return true; /* its format is the dictionary's to judge */
    return sent < now_ns ? now_ns - sent <= s->config->clock_skew_ns : sent - now_ns <= s->config->clock_skew_ns;
}

/* 1S d, 17b: why a logon of a known counterparty is no good; NULL when it is. */
static const char *logon_fault(mm_session *s, mm_fix_message *m, uint64_t seq, uint64_t now_ns)
{
    uint64_t beat;
    if (m->fault != MM_FIX_SOUND)
        return "invalid Logon: a field is missing, unknown or malformed";
    if (!clock_agrees(s, m, now_ns))
        return "SendingTime accuracy problem";
    if (!same(mm_value(m, 98), "0"))
        return "unsupported EncryptMethod: only 0 (none) is offered";
    if (!mm_uint_value(m, 108, &beat) || (beat ? beat > s->config->heartbeat_max_s || beat < s->config->heartbeat_min_s
                                               : s->config->heartbeat_min_s > 0))
        return "HeartBtInt out of range";
    if (mm_is_yes(m, 141) && seq != 1)
        return "ResetSeqNumFlag needs MsgSeqNum 1";
    s->heartbeat_ns = beat * SECOND;
    return NULL;
}

static void reset_numbers(mm_session *s)
{
    mm_fix_numbers *n = s->store.numbers;
    uint64_t ceiling =
        1 + n->capacity / MM_STORE_AHEAD; /* the lowest that the disk can know of: numbers are 1 at least */
    if (n->ceiling != UINT64_MAX && n->ceiling > ceiling)
        n->ceiling = ceiling;
    __atomic_store_n(&n->resets, n->resets + 1, __ATOMIC_RELEASE);
    n->next_in = 1;
    __atomic_store_n(&n->next_out, 1, __ATOMIC_RELEASE);
    n->unsure_in = 0;
    s->resending = 0;
    s->gap_asked = 0;
    s->gap_high = 0;
}

static void answer_logon(mm_session *s, const mm_fix_message *m, uint64_t now_ns)
{
    char fields[96], *at = put_uint(PUT(fields, "98=0\001108="), s->heartbeat_ns / SECOND);
    *at++ = 1;
    if (mm_is_yes(m, 141))
        at = PUT(at, "141=Y\001");
    mm_session_admin(s, "A", fields, (uint32_t)(at - fields), now_ns);
}

static void ask_for_gap(mm_session *s, uint64_t now_ns)
{
    char fields[64], *at = put_uint(PUT(fields, "7="), s->store.numbers->next_in);
    at = PUT(at, "\00116=0\001");
    s->gap_asked = 1;
    s->gap_asked_ns = now_ns;
    s->gaps++;
    mm_session_admin(s, "2", fields, (uint32_t)(at - fields), now_ns);
}

int mm_session_admit(mm_session *s, mm_fix_message *m, const mm_fix_store *store, uint64_t expires_ns, uint64_t now_ns)
{
    uint64_t seq = 0;
    if (s->state != MM_SESSION_PENDING || !next_message(s, m))
        return 0;
    s->store = *store;
    s->expires_ns = expires_ns;
    s->received_ns = now_ns;
    if (!mm_fix_envelope_make(&s->envelope, s->config->dictionary->text->begin_string, s->config->comp_id,
                              s->their_comp_id)) {
        mm_session_cut(s, "logon with a SenderCompID that cannot be answered");
        return 0;
    }
    bool numbered = mm_uint_value(m, 34, &seq) && seq;
    const char *wrong = numbered ? logon_fault(s, m, seq, now_ns) : "invalid Logon: MsgSeqNum";
    if (!wrong && mm_is_yes(m, 141))
        reset_numbers(s);
    mm_fix_numbers *n = s->store.numbers;
    if (wrong) {
        if (numbered && seq == n->next_in)
            n->next_in++;
        logout_and_cut(s, wrong, now_ns);
        return 0;
    }
    if (seq < n->next_in && n->unsure_in) /* a reset of theirs was lost with the power: they know better */
        n->next_in = seq;
    if (seq < n->next_in) {
        too_low(s, n->next_in, seq, now_ns);
        return 0;
    }
    if (n->next_out >= n->ceiling) { /* also the answer would have to wait */
        mm_session_cut(s, "the session's numbers are not on disk yet");
        return 0;
    }
    n->unsure_in = 0;
    s->state = MM_SESSION_ACTIVE;
    answer_logon(s, m, now_ns);
    if (seq == n->next_in)
        consume(s, m);
    else {
        drop_message(s, m);
        s->gap_high = seq;
        ask_for_gap(s, now_ns);
    }
    return 1;
}

/* --- administrative messages in sequence --- */

static void answer_test_request(mm_session *s, const mm_fix_message *m, uint64_t now_ns)
{
    char fields[512], *at = fields;
    mm_text id = mm_value(m, 112);
    at = put_text(PUT(at, "112="), id.at, id.length < 480 ? id.length : 480);
    *at++ = 1;
    mm_session_admin(s, "0", fields, (uint32_t)(at - fields), now_ns);
}

/* 8: a range to be sent again; EndSeqNo 0 or too large is "all there is". */
static void serve_resend(mm_session *s, const mm_fix_message *m, uint64_t now_ns)
{
    uint64_t first = 0, last = 0, end = s->store.numbers->next_out;
    mm_uint_value(m, 7, &first);
    mm_uint_value(m, 16, &last);
    if (!last || last >= end)
        last = end - 1;
    if (!first || first > last)
        mm_session_reject(s, m, MM_FIX_OUT_OF_RANGE, 7, "BeginSeqNo is not a number that was sent", now_ns);
    else
        mm_session_begin_resend(s, first, last);
}

/* 10b, 10e and 11a to 11c. A reset counts whatever its own number is. */
static void reset_sequence(mm_session *s, const mm_fix_message *m, uint64_t now_ns)
{
    mm_fix_numbers *n = s->store.numbers;
    bool gap_fill = mm_is_yes(m, 123);
    uint64_t next = 0, seq = 0;
    char text[96];
    mm_uint_value(m, 36, &next);
    mm_uint_value(m, 34, &seq);
    if (next > n->next_in || (next == n->next_in && !gap_fill)) {
        __atomic_store_n(&n->next_in, next, __ATOMIC_RELEASE);
        return;
    }
    snprintf(text, sizeof text, "attempt to lower sequence number, invalid value NewSeqNo=%llu",
             (unsigned long long)next);
    mm_session_reject(s, m, MM_FIX_OUT_OF_RANGE, 36, text, now_ns);
    if (gap_fill)
        n->next_in++; /* it was in sequence: its own number is used up */
}

static int answer_logout(mm_session *s, uint64_t now_ns)
{
    if (s->state == MM_SESSION_LOGOUT_SENT) { /* 13a */
        mm_session_cut(s, s->cut[0] ? s->cut : "logout");
        return MM_EVENT_CUT;
    }
    s->resending = 0;
    send_logout(s, NULL, now_ns);
    if (s->state == MM_SESSION_ACTIVE)
        s->state = MM_SESSION_LOGOUT_ANSWERED; /* 13b: they disconnect, or we do in a while */
    snprintf(s->cut, sizeof s->cut, "the counterparty logged out");
    s->logout_ns = now_ns;
    return MM_EVENT_NONE;
}

/* Sound and in sequence. The event for the carrier, NONE when it was dealt with. */
static int dispatch(mm_session *s, const mm_fix_message *m, uint64_t now_ns)
{
    if (m->fields[2].length != 1 || !strchr("012345A", m->bytes[m->fields[2].at])) {
        if (s->state == MM_SESSION_ACTIVE)
            return MM_EVENT_APPLICATION;
        drop_message(s, m); /* after our logout: its number is not used up, so it comes again at the next logon */
        return MM_EVENT_NONE;
    }
    char type = m->bytes[m->fields[2].at];
    if (type == '4') {
        drop_message(s, m);
        reset_sequence(s, m, now_ns);
        return MM_EVENT_NONE;
    }
    consume(s, m);
    if (type == '1')
        answer_test_request(s, m, now_ns);
    else if (type == '2')
        serve_resend(s, m, now_ns);
    else if (type == '5')
        return answer_logout(s, now_ns);
    else if (type == 'A')
        logout_and_cut(s, "already logged on", now_ns);
    else if (type == '0' && same(mm_value(m, 112), "TEST"))
        s->test_request_open = 0;
    return MM_EVENT_NONE;
}

/* --- headers and sequence --- */

/* 2i, 2k, 2o and what has no number: whoever sends this is not to be talked with. True when that ended the session. */
static bool unfit(mm_session *s, mm_fix_message *m, uint64_t seq, uint64_t now_ns)
{
    mm_fix_numbers *n = s->store.numbers;
    const char *why = NULL;
    uint32_t tag = 0;
    int reason = MM_FIX_COMP_ID;
    if (!same((mm_text){m->bytes + m->fields[0].at, m->fields[0].length}, s->config->dictionary->text->begin_string)) {
        mm_session_logout(s, "incorrect BeginString", now_ns);
        drop_message(s, m);
        return true;
    }
    if (!seq) {
        drop_message(s, m);
        logout_and_cut(s, "MsgSeqNum missing or malformed", now_ns);
        return true;
    }
    if (!same(mm_value(m, 49), s->their_comp_id))
        why = "incorrect SenderCompID", tag = 49;
    else if (!same(mm_value(m, 56), s->config->comp_id))
        why = "incorrect TargetCompID", tag = 56;
    else if (!clock_agrees(s, m, now_ns))
        why = "SendingTime accuracy problem", tag = 52, reason = MM_FIX_SENDING_TIME;
    if (!why)
        return false;
    if (tag != 52 && !mm_value(m, tag).length)
        return false; /* missing or empty: the dictionary's fault 1 or 4 */
    mm_session_reject(s, m, reason, tag, why, now_ns);
    if (seq == n->next_in)
        n->next_in++;
    drop_message(s, m);
    mm_session_logout(s, why, now_ns);
    return true;
}

/* 2f and 2g: what PossDupFlag=Y demands. True when the message was refused. */
static bool bad_duplicate(mm_session *s, mm_fix_message *m, uint64_t now_ns)
{
    mm_text orig = mm_value(m, 122), sent = mm_value(m, 52);
    uint64_t orig_ns, sent_ns;
    if (!mm_is_yes(m, 43) || is_type(m, '4'))
        return false;
    if (!orig.length)
        mm_session_reject(s, m, MM_FIX_REQUIRED_MISSING, 122, "PossDupFlag without OrigSendingTime", now_ns);
    else if (mm_fix_read_utc(m, orig.at, orig.length, &orig_ns) && mm_fix_read_utc(m, sent.at, sent.length, &sent_ns) &&
             orig_ns > sent_ns)
        mm_session_reject(s, m, MM_FIX_SENDING_TIME, 122, "OrigSendingTime is later than SendingTime", now_ns);
    else
        return false;
    return true;
}

/* 2b, 10a, 20: a gap. It is asked for once; what came after it comes again. A resend they want is served at once. */
static int too_high(mm_session *s, const mm_fix_message *m, uint64_t now_ns)
{
    bool logout = is_type(m, '5') && m->fault == MM_FIX_SOUND;
    uint64_t seq = 0;
    mm_uint_value(m, 34, &seq);
    s->gap_high = seq > s->gap_high ? seq : s->gap_high;
    if (is_type(m, '2') && m->fault == MM_FIX_SOUND)
        serve_resend(s, m, now_ns);
    drop_message(s, m);
    if (logout)
        return answer_logout(s, now_ns);
    if (!s->gap_asked && !s->resending && s->state == MM_SESSION_ACTIVE)
        ask_for_gap(s, now_ns); /* else after the resend: a request of ours in the midst of it would join it */
    return MM_EVENT_NONE;
}

static const char *const reject_texts[] = {
    "invalid tag number",
    "required tag missing",
    "tag not defined for this message type",
    "undefined tag",
    "tag specified without a value",
    "value is incorrect (out of range) for this tag",
    "incorrect data format for value",
    "decryption problem",
    "signature problem",
    "CompID problem",
    "SendingTime accuracy problem",
    "invalid MsgType",
    "XML validation error",
    "tag appears more than once",
    "tag specified out of required order",
    "repeating group fields out of order",
    "incorrect NumInGroup count for repeating group",
    "value of a field that is not data includes the field delimiter",
};

/* 2q, 2r, 14a to 14k, 17, 18b: refused for what it is. True when it was, its number used up. */
static bool refused(mm_session *s, const mm_fix_message *m, uint64_t now_ns)
{
    mm_text type = mm_value(m, 35);
    int class = m->type >= 0 ? MM_FIX_TYPE_KNOWN : mm_fix_type_class(s->config->dictionary, type.at, type.length);
    uint32_t party = mm_fix_get(m, 115) ? 115 : mm_fix_get(m, 128) ? 128 : 0;
    if (class == MM_FIX_TYPE_UNKNOWN)
        mm_session_reject(s, m, MM_FIX_BAD_TYPE, 35, reject_texts[MM_FIX_BAD_TYPE], now_ns);
    else if (m->fault != MM_FIX_SOUND)
        mm_session_reject(s, m, m->fault, m->fault_tag, reject_texts[m->fault], now_ns);
    else if (class == MM_FIX_TYPE_UNSUPPORTED)
        mm_session_business_reject(s, m, 3, "unsupported message type", now_ns);
    else if (mm_fix_get(m, 91))
        mm_session_reject(s, m, MM_FIX_DECRYPTION, 91, "encryption was not agreed on", now_ns);
    else if (party)
        mm_session_reject(s, m, MM_FIX_COMP_ID, party, "no third parties are known here", now_ns);
    else
        return false;
    return true;
}

static int reset_in_session(mm_session *s, const mm_fix_message *m, uint64_t now_ns)
{
    reset_numbers(s);
    consume(s, m);
    answer_logon(s, m, now_ns);
    return MM_EVENT_NONE;
}

static int receive(mm_session *s, mm_fix_message *m, uint64_t now_ns)
{
    uint64_t seq = 0, next_in = s->store.numbers->next_in;
    mm_uint_value(m, 34, &seq);
    s->received_ns = now_ns;
    s->gap_asked = s->gap_asked && next_in <= s->gap_high;
    if (unfit(s, m, seq, now_ns))
        return MM_EVENT_NONE;
    if (is_type(m, 'A') && m->fault == MM_FIX_SOUND && mm_is_yes(m, 141) && seq == 1)
        return reset_in_session(s, m, now_ns);
    if (is_type(m, '4') && m->fault == MM_FIX_SOUND && !mm_is_yes(m, 123)) {
        drop_message(s, m);
        reset_sequence(s, m, now_ns);
        return MM_EVENT_NONE;
    }
    if (seq > next_in)
        return too_high(s, m, now_ns);
    if (seq < next_in && !mm_is_yes(m, 43)) {
        drop_message(s, m);
        too_low(s, next_in, seq, now_ns);
        return MM_EVENT_CUT;
    }
    bool bad = bad_duplicate(s, m, now_ns);
    if (seq < next_in) { /* 2e, 10c: already had */
        drop_message(s, m);
        return MM_EVENT_NONE;
    }
    if (bad || refused(s, m, now_ns)) {
        consume(s, m);
        return MM_EVENT_NONE;
    }
    return dispatch(s, m, now_ns);
}

int mm_session_next(mm_session *s, mm_fix_message *m, uint64_t now_ns)
{
    for (;;) {
        if (s->state == MM_SESSION_CUT_DUE)
            return MM_EVENT_CUT;
        if (s->resending) {
            int event = mm_session_go_on_resending(s, now_ns);
            if (event || s->resending)
                return s->state == MM_SESSION_CUT_DUE ? MM_EVENT_CUT : event;
            if (s->gap_high >= s->store.numbers->next_in && !s->gap_asked)
                ask_for_gap(s, now_ns); /* 20 */
        }
        if (s->state == MM_SESSION_OFF || s->state == MM_SESSION_PENDING || s->state == MM_SESSION_LOGOUT_ANSWERED)
            return MM_EVENT_NONE;
        if (!next_message(s, m)) {
            if (s->state == MM_SESSION_AWAIT_LOGON && s->garbled > STRANGER_GARBLED_MAX)
                mm_session_cut(s, "garbage before a logon");
            return s->state == MM_SESSION_CUT_DUE ? MM_EVENT_CUT : MM_EVENT_NONE;
        }
        if (s->state == MM_SESSION_AWAIT_LOGON)
            return first_message(s, m);
        int event = receive(s, m, now_ns);
        if (event == MM_EVENT_APPLICATION || event == MM_EVENT_CUT)
            return event;
    }
}

/* The wall clock may be set back: then no time has passed. */
static uint64_t since(uint64_t now_ns, uint64_t then_ns)
{
    return now_ns > then_ns ? now_ns - then_ns : 0;
}

static void tick_active(mm_session *s, uint64_t now_ns)
{
    uint64_t beat = s->heartbeat_ns;
    if (s->expires_ns && now_ns >= s->expires_ns)
        mm_session_logout(s, "the credential of this session has expired", now_ns);
    else if (s->resending) { /* what we would say now would join the resend, unheard */
        if (since(now_ns, s->sent_ns) > RESEND_STALL_NS)
            mm_session_cut(s, "the counterparty does not read what it asked for");
    } else if (beat && s->test_request_open && s->received_ns > s->test_request_ns)
        s->test_request_open = 0; /* it lives: something came, if not yet the Heartbeat */
    else if (beat && s->test_request_open && since(now_ns, s->test_request_ns) > beat + beat / 5)
        logout_and_cut(s, "no answer to TestRequest", now_ns);
    else if (beat && !s->test_request_open && since(now_ns, s->received_ns) > beat + beat / 5) { /* 6 */
        s->test_request_open = 1;
        s->test_request_ns = now_ns;
        mm_session_admin(s, "1", "112=TEST\001", 9, now_ns);
    } else if (beat && since(now_ns, s->sent_ns) >= beat) /* 4a */
        mm_session_admin(s, "0", "", 0, now_ns);
    else if (s->gap_asked && since(now_ns, s->gap_asked_ns) > 10 * SECOND)
        ask_for_gap(s, now_ns);
}

int mm_session_tick(mm_session *s, uint64_t now_ns)
{
    switch (s->state) {
    case MM_SESSION_AWAIT_LOGON: /* PENDING is our own delay, not theirs */
        if (since(now_ns, s->connected_ns) > s->config->logon_wait_ns)
            mm_session_cut(s, "no logon in time");
        break;
    case MM_SESSION_LOGOUT_SENT:
    case MM_SESSION_LOGOUT_ANSWERED:
        if (since(now_ns, s->logout_ns) > s->config->logout_wait_ns)
            mm_session_cut(s, s->cut[0] ? s->cut : "no answer to a logout");
        break;
    case MM_SESSION_ACTIVE:
        tick_active(s, now_ns);
        break;
    default:
        break;
    }
    return s->state == MM_SESSION_CUT_DUE ? MM_EVENT_CUT : MM_EVENT_NONE;
}
