/* Shared by the two halves of the session: fix_session.c (what came in) and fix_session_out.c (what goes out). */
#ifndef MM_FIX_SESSION_INTERNAL_H
#define MM_FIX_SESSION_INTERNAL_H

#include "fix_write.h"
#include "matchmark/fix_session.h"

#include <stdbool.h>

#define MM_JOURNAL_KEY (UINT64_C(1) << 63)
#define MM_AGAIN_KEY   (UINT64_C(1) << 62) /* of a report that may have been sent before under another number */
#define MM_STORE_AHEAD 4 /* a part of the capacity: so many numbers may be sent that the disk does not know of yet */

/* A text value of the message at hand; empty when absent. */
typedef struct mm_text {
    const char *at;
    uint32_t length;
} mm_text;

static inline mm_text mm_value(const mm_fix_message *m, uint32_t tag)
{
    const mm_fix_field *f = mm_fix_get(m, tag);
    return f ? (mm_text){m->bytes + f->at, f->length} : (mm_text){"", 0};
}

static inline bool mm_uint_value(const mm_fix_message *m, uint32_t tag, uint64_t *value)
{
    mm_text t = mm_value(m, tag);
    return mm_fix_read_uint(t.at, t.length, value);
}

static inline bool mm_is_yes(const mm_fix_message *m, uint32_t tag)
{
    mm_text t = mm_value(m, tag);
    return t.length == 1 && *t.at == 'Y';
}

/* Ends the connection after what is in the output; the first reason stays. */
void mm_session_cut(mm_session *s, const char *why);
/* An administrative message: its type and its fields. */
void mm_session_admin(mm_session *s, const char *type, const char *fields, uint32_t length, uint64_t now_ns);
void mm_session_begin_resend(mm_session *s, uint64_t first, uint64_t last);
/* Goes on with a resend: MM_EVENT_RESEND when a report is wanted, MM_EVENT_NONE when done or the output is full. */
int mm_session_go_on_resending(mm_session *s, uint64_t now_ns);

#endif
