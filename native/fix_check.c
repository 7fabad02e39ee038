/* What is wrong with a message's fields, by the dictionary: the first fault in the order of the fields, then what is missing.
 * Reasons are those of the FIX session layer test cases 14a to 14k. */
#include "fix_dictionary.h"

static bool user_defined(uint32_t tag)
{
    return (tag >= 5000 && tag < 10000) || (tag >= 20000 && tag < 40000);
}

static inline int value_fault(const mm_fix_dictionary *d, mm_fix_message *m, const mm_fix_field *f, mm_fix_rule rule)
{
    uint32_t set = MM_RULE_VALUES(rule), format = MM_RULE_FORMAT(rule);
    if (!f->length)
        return MM_FIX_NO_VALUE;
    if (set) {
        unsigned char c = (unsigned char)m->bytes[f->at];
        if (f->length == 1 && c < 128 && d->values[set - 1][c >> 6] >> (c & 63) & 1)
            return MM_FIX_SOUND;
        return f->length == 1 || format == MM_FIX_INT ? MM_FIX_OUT_OF_RANGE : MM_FIX_BAD_FORMAT;
    }
    return mm_fix_has_format(m, f, format) ? MM_FIX_SOUND : MM_FIX_BAD_FORMAT;
}

static void fault(mm_fix_message *m, int what, uint32_t tag)
{
    m->fault = what;
    m->fault_tag = tag;
}

static uint32_t place_in(const mm_fix_group *g, uint32_t tag)
{
    for (uint32_t i = 0; i < g->n; i++)
        if (g->tags[i] == tag)
            return i + 1;
    return 0;
}

static uint32_t check_group(const mm_fix_dictionary *d, mm_fix_message *m, uint32_t at, uint32_t depth);

/* One entry of a group from `at`, where its first tag is. Returns the first field after it; a fault ends everything. */
static uint32_t check_entry(const mm_fix_dictionary *d, mm_fix_message *m, const mm_fix_group *g, uint32_t at,
                            uint32_t depth)
{
    uint32_t last = 0;
    while (at < m->n_fields) {
        const mm_fix_field *f = &m->fields[at];
        uint32_t place = place_in(g, f->tag);
        if (!place || (place == 1 && last))
            break;
        if (place <= last) {
            fault(m, place == last ? MM_FIX_REPEATED_TAG : MM_FIX_GROUP_ORDER, f->tag);
            break;
        }
        last = place;
        const mm_fix_rules *rules = &d->messages[m->type];
        int wrong = value_fault(d, m, f, rules->of[f->tag]);
        if (wrong != MM_FIX_SOUND) {
            fault(m, wrong, f->tag);
            break;
        }
        at = d->group_of[f->tag] ? check_group(d, m, at, depth + 1) : at + 1;
        if (m->fault != MM_FIX_SOUND)
            break;
    }
    return at;
}

/* The group whose count is field `at`: its entries must be as many as it says. Returns the first field after it. */
static uint32_t check_group(const mm_fix_dictionary *d, mm_fix_message *m, uint32_t at, uint32_t depth)
{
    const mm_fix_field *count = &m->fields[at++];
    const mm_fix_group *g = &d->groups[d->group_of[count->tag] - 1];
    uint64_t announced = 0, entries = 0;
    mm_fix_read_uint(m->bytes + count->at, count->length, &announced);
    if (depth > 4) { /* the dictionary nests two deep */
        fault(m, MM_FIX_GROUP_COUNT, count->tag);
        return at;
    }
    while (at < m->n_fields && m->fault == MM_FIX_SOUND && m->fields[at].tag == g->tags[0]) {
        at = check_entry(d, m, g, at, depth);
        entries++;
    }
    if (m->fault != MM_FIX_SOUND)
        return at;
    bool stray = at < m->n_fields && place_in(g, m->fields[at].tag) && announced;
    if (entries != announced)
        fault(m, stray && !entries ? MM_FIX_GROUP_ORDER : MM_FIX_GROUP_COUNT, count->tag);
    return at;
}

/* Sections come in order; a tag comes once. */
static int place_fault(const mm_fix_message *m, uint32_t at, uint32_t tag, uint32_t section, uint32_t reached)
{
    if (section == MM_FIX_NOWHERE)
        return MM_FIX_INVALID_TAG;
    if (section == MM_FIX_ELSEWHERE)
        return MM_FIX_NOT_FOR_TYPE;
    if ((m->index[tag] & 511) != at + 1)
        return MM_FIX_REPEATED_TAG;
    return section < reached ? MM_FIX_OUT_OF_ORDER : MM_FIX_SOUND;
}

/* A field that check_known does not pass at a glance. Returns where to go on. */
static uint32_t check_field(const mm_fix_dictionary *d, mm_fix_message *m, uint32_t at, uint32_t reached)
{
    const mm_fix_field *f = &m->fields[at];
    if (f->tag >= MM_FIX_MAX_TAG) {
        if (!user_defined(f->tag) || !f->length)
            fault(m, f->length ? MM_FIX_INVALID_TAG : MM_FIX_NO_VALUE, f->tag);
        return at + 1;
    }
    mm_fix_rule rule = d->messages[m->type].of[f->tag];
    int wrong = place_fault(m, at, f->tag, MM_RULE_SECTION(rule), reached);
    if (wrong == MM_FIX_SOUND)
        wrong = value_fault(d, m, f, rule);
    if (wrong != MM_FIX_SOUND) {
        fault(m, wrong, f->tag);
        return at + 1;
    }
    return MM_RULE_GROUP(rule) ? check_group(d, m, at, 0) : at + 1;
}

static void check_known(const mm_fix_dictionary *d, mm_fix_message *m)
{
    const mm_fix_rules *rules = &d->messages[m->type];
    const uint32_t n = m->n_fields, stamp = m->stamp << 9;
    uint32_t seen = 0, reached = MM_FIX_HEADER;
    for (uint32_t at = 0; at < n && m->fault == MM_FIX_SOUND;) {
        const mm_fix_field *f = &m->fields[at];
        mm_fix_rule rule = f->tag < MM_FIX_MAX_TAG ? rules->of[f->tag] : 0;
        uint32_t section = MM_RULE_SECTION(rule);
        seen |= (1u << MM_RULE_REQUIRED(rule)) >> 1;
        bool placed = section >= reached && f->length && m->index[f->tag] == (stamp | (at + 1)) && !MM_RULE_GROUP(rule);
        if (placed && (MM_RULE_PLAIN(rule) || value_fault(d, m, f, rule) == MM_FIX_SOUND))
            at++;
        else /* slowly, for the reason */
            at = check_field(d, m, at, reached);
        reached = section > reached ? section : reached;
    }
    if (m->fault == MM_FIX_SOUND && seen != rules->required)
        fault(m, MM_FIX_REQUIRED_MISSING, rules->required_tags[__builtin_ctz(rules->required & ~seen)]);
}

void mm_fix_check_fields(const mm_fix_dictionary *d, mm_fix_message *m)
{
    if (m->type >= 0)
        check_known(d, m);
}
