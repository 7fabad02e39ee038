/* Makes lookup tables of the texts of a FIX version: once in a process, before the first message. */
#include "fix_dictionary.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static const mm_fix_version_text *const versions[] = {&mm_fix_44};
#define N_VERSIONS (sizeof(versions) / sizeof(versions[0]))

static mm_fix_dictionary made[N_VERSIONS];
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* A walk over "1 3 5-9": the next tag, 0 at the end. */
typedef struct tag_list {
    const char *at;
    uint32_t next, last;
} tag_list;

static uint32_t next_tag(tag_list *list)
{
    if (list->next && list->next < list->last)
        return ++list->next;
    while (*list->at == ' ')
        list->at++;
    if (!*list->at)
        return 0;
    char *end;
    list->next = list->last = (uint32_t)strtoul(list->at, &end, 10);
    if (*end == '-')
        list->last = (uint32_t)strtoul(end + 1, &end, 10);
    list->at = end;
    return list->next;
}

static mm_fix_rule rule_of(const mm_fix_dictionary *d, uint32_t tag, unsigned section)
{
    return section | (mm_fix_rule)d->format[tag] << 3 | (mm_fix_rule)d->value_set[tag] << 12 |
           (mm_fix_rule)(d->group_of[tag] != 0) << 19;
}

static void put_section(mm_fix_rules *rules, const mm_fix_dictionary *d, const char *tags, unsigned section)
{
    tag_list list = {.at = tags};
    for (uint32_t tag; (tag = next_tag(&list));)
        rules->of[tag] = rule_of(d, tag, section);
}

static void put_required(mm_fix_rules *rules, const char *tags)
{
    tag_list list = {.at = tags};
    for (uint32_t tag; (tag = next_tag(&list));) {
        unsigned bit = (unsigned)__builtin_popcount(rules->required);
        rules->required |= 1u << bit;
        rules->required_tags[bit] = (uint16_t)tag;
        rules->of[tag] |= (bit + 1) << 7;
    }
}

static void make_rules(mm_fix_dictionary *d, mm_fix_rules *rules, const mm_fix_message_text *text)
{
    memset(rules, 0, sizeof *rules);
    strncpy(rules->type, text->type, sizeof rules->type - 1);
    for (uint32_t tag = 1; tag < MM_FIX_MAX_TAG; tag++)
        if (d->defined[tag])
            rules->of[tag] = rule_of(d, tag, MM_FIX_ELSEWHERE);
    put_section(rules, d, text->tags, MM_FIX_BODY);
    put_section(rules, d, d->text->header, MM_FIX_HEADER);
    put_section(rules, d, d->text->trailer, MM_FIX_TRAILER);
    put_required(rules, d->text->header_required);
    put_required(rules, text->required);
}

static void make_formats(mm_fix_dictionary *d, const mm_fix_version_text *t)
{
    for (uint32_t i = 0; i < t->n_formats; i++) {
        tag_list list = {.at = t->formats[i].tags};
        for (uint32_t tag; (tag = next_tag(&list));) {
            d->format[tag] = (uint8_t)t->formats[i].format;
            d->defined[tag] = 1;
        }
    }
    for (uint32_t i = 0; i < t->n_values; i++) {
        d->value_set[t->values[i].tag] = (uint8_t)(i + 1);
        for (const char *c = t->values[i].values; *c; c++)
            d->values[i][(unsigned)*c >> 6] |= UINT64_C(1) << (*c & 63);
    }
}

static void make_groups(mm_fix_dictionary *d, const mm_fix_version_text *t)
{
    d->n_groups = t->n_groups;
    for (uint32_t i = 0; i < t->n_groups; i++) {
        mm_fix_group *g = &d->groups[i];
        g->count_tag = t->groups[i].count_tag;
        d->group_of[g->count_tag] = (uint8_t)(i + 1);
        tag_list list = {.at = t->groups[i].tags};
        for (uint32_t tag; (tag = next_tag(&list));)
            g->tags[g->n++] = (uint16_t)tag;
    }
}

static void make_all(void)
{
    for (uint32_t v = 0; v < N_VERSIONS; v++) {
        mm_fix_dictionary *d = &made[v];
        d->text = versions[v];
        make_formats(d, d->text);
        make_groups(d, d->text);
        memset(d->by_letter, -1, sizeof d->by_letter);
        d->n_messages = d->text->n_messages;
        for (uint32_t i = 0; i < d->n_messages; i++) {
            make_rules(d, &d->messages[i], &d->text->messages[i]);
            if (!d->messages[i].type[1])
                d->by_letter[(unsigned char)d->messages[i].type[0] & 127] = (int8_t)i;
        }
    }
}

const mm_fix_dictionary *mm_fix_dictionary_of(const char *begin_string)
{
    pthread_once(&once, make_all);
    for (uint32_t v = 0; v < N_VERSIONS; v++)
        if (!strcmp(begin_string, made[v].text->begin_string))
            return &made[v];
    return NULL;
}

const char *mm_fix_begin_string(const mm_fix_dictionary *d)
{
    return d->text->begin_string;
}

int mm_fix_message_index(const mm_fix_dictionary *d, const char *type, uint32_t length)
{
    if (length == 1)
        return (unsigned char)type[0] < 128 ? d->by_letter[(unsigned char)type[0]] : -1;
    for (uint32_t i = 0; i < d->n_messages; i++)
        if (strlen(d->messages[i].type) == length && !memcmp(d->messages[i].type, type, length))
            return (int)i;
    return -1;
}

int mm_fix_type_class(const mm_fix_dictionary *d, const char *type, uint32_t length)
{
    if (mm_fix_message_index(d, type, length) >= 0)
        return MM_FIX_TYPE_KNOWN;
    if (length && type[0] == 'U') /* user-defined, FIX volume 1: types that begin with U */
        return MM_FIX_TYPE_UNSUPPORTED;
    for (const char *at = d->text->other_types; *at;) {
        const char *end = strchr(at, ' ');
        size_t n = end ? (size_t)(end - at) : strlen(at);
        if (n == length && !memcmp(at, type, n))
            return MM_FIX_TYPE_UNSUPPORTED;
        at += n + (end != NULL);
    }
    return MM_FIX_TYPE_UNKNOWN;
}
