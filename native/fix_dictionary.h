/* FIX versions as tables, and the lookup tables made of them. A version is one mm_fix_version_text (fix_tables_44.c);
 * adding one is adding its text and a line in fix_dictionary.c. */
#ifndef MM_FIX_DICTIONARY_H
#define MM_FIX_DICTIONARY_H

#include "matchmark/fix.h"

#include <stdbool.h>

enum mm_fix_format {
    MM_FIX_TEXT,
    MM_FIX_CHAR,
    MM_FIX_INT,
    MM_FIX_UINT,
    MM_FIX_LENGTH, /* bytes of the DATA field that follows */
    MM_FIX_COUNT,  /* entries of a repeating group */
    MM_FIX_DECIMAL,
    MM_FIX_BOOLEAN,
    MM_FIX_UTC,
    MM_FIX_DATE,
    MM_FIX_TIME,
    MM_FIX_MONTH,
    MM_FIX_DATA
};

/* Lists of tags are texts: "1 3 5-9". A group's list is in the order that its fields must have; the first opens an entry. */
typedef struct mm_fix_format_text {
    int format;
    const char *tags;
} mm_fix_format_text;

typedef struct mm_fix_values_text {
    uint16_t tag;
    const char *values; /* its one-character values */
} mm_fix_values_text;

typedef struct mm_fix_group_text {
    uint16_t count_tag;
    const char *tags;
} mm_fix_group_text;

typedef struct mm_fix_message_text {
    const char *type, *required, *tags;
} mm_fix_message_text;

typedef struct mm_fix_version_text {
    const char *begin_string, *header, *header_required, *trailer;
    const char *other_types; /* message types of the version that this exchange does not take */
    const mm_fix_format_text *formats;
    const mm_fix_values_text *values;
    const mm_fix_group_text *groups;
    const mm_fix_message_text *messages;
    uint32_t n_formats, n_values, n_groups, n_messages;
} mm_fix_version_text;

extern const mm_fix_version_text mm_fix_44;

#define MM_FIX_MAX_MESSAGES 16
#define MM_FIX_MAX_GROUPS   32
#define MM_FIX_GROUP_TAGS   64
#define MM_FIX_MAX_VALUES   64

enum mm_fix_section { MM_FIX_NOWHERE, MM_FIX_ELSEWHERE, MM_FIX_HEADER, MM_FIX_BODY, MM_FIX_TRAILER };

/* One tag in one message type: bits 0-2 section, 3-6 format, 7-11 required (1 + bit in the mask of required tags, 0: optional),
 * 12-18 value set (1 + index, 0: any), 19 opens a group. A tag of free text that may come anywhere is its section alone. */
typedef uint32_t mm_fix_rule;
#define MM_RULE_SECTION(r)  ((r) & 7u)
#define MM_RULE_FORMAT(r)   ((r) >> 3 & 15u)
#define MM_RULE_REQUIRED(r) ((r) >> 7 & 31u)
#define MM_RULE_VALUES(r)   ((r) >> 12 & 127u)
#define MM_RULE_GROUP(r)    ((r) >> 19 & 1u)
#define MM_RULE_PLAIN(r)    (((r) & 0xff078u) == 0) /* no format, no values, no group */

typedef struct mm_fix_rules {
    char type[4];
    uint32_t required;          /* mask of required tags */
    uint16_t required_tags[32]; /* bit -> tag */
    mm_fix_rule of[MM_FIX_MAX_TAG];
} mm_fix_rules;

typedef struct mm_fix_group {
    uint16_t count_tag, n, tags[MM_FIX_GROUP_TAGS];
} mm_fix_group;

struct mm_fix_dictionary {
    const mm_fix_version_text *text;
    uint32_t n_messages, n_groups;
    uint8_t format[MM_FIX_MAX_TAG], defined[MM_FIX_MAX_TAG];
    uint8_t value_set[MM_FIX_MAX_TAG]; /* 1 + index in values, 0: any */
    uint8_t group_of[MM_FIX_MAX_TAG];  /* count tag -> 1 + index in groups */
    int8_t by_letter[128];             /* one-letter type -> message, -1 none */
    uint64_t values[MM_FIX_MAX_VALUES][2];
    mm_fix_group groups[MM_FIX_MAX_GROUPS];
    mm_fix_rules messages[MM_FIX_MAX_MESSAGES];
};

int mm_fix_message_index(const mm_fix_dictionary *dictionary, const char *type, uint32_t length);
/* Sets message->fault to the first thing wrong with its fields (fix_check.c). */
void mm_fix_check_fields(const mm_fix_dictionary *dictionary, mm_fix_message *message);
#define MM_FIX_MASK_WORDS (MM_FIX_MAX_MESSAGE / 64 + 2)

/* Bit i of word i / 64 is byte i of a message. The word after the last is 0. */
typedef struct mm_fix_masks {
    uint64_t soh[MM_FIX_MASK_WORDS], other[MM_FIX_MASK_WORDS]; /* other: no digit */
} mm_fix_masks;

/* Fields and index of a message whose order of tags is known, its values checked; false: it must go the slow way (fix_shape.c). */
bool mm_fix_by_shape(const mm_fix_dictionary *dictionary, mm_fix_message *message, const mm_fix_masks *masks);
/* After the slow way, of a sound message. */
void mm_fix_learn_shape(const mm_fix_dictionary *dictionary, mm_fix_message *message);
/* Makes the index forget all it has (fix_codec.c). */
void mm_fix_next_stamp(mm_fix_message *message);
/* 1 when a field's value has that form (fix_values.c). */
int mm_fix_has_format(mm_fix_message *message, const mm_fix_field *field, uint32_t format);

#endif
