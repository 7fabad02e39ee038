/* FIX tag=value: dictionary, framing, parsing, checking and the messages that the exchange sends.
 *
 * Nothing here reads a clock, allocates after a dictionary is made, or makes a system call. Times are integer nanoseconds
 * since 1970-01-01 UTC, prices integer ticks, quantities integer lots. Which field means what: docs/fix.md.
 *
 * Bytes given to mm_fix_parse must be followed by MM_FIX_PAD readable bytes (of any content): it reads in wide steps. */
#ifndef MATCHMARK_FIX_H
#define MATCHMARK_FIX_H

#include "matchmark/types.h"

#ifdef __cplusplus
extern "C" {
#endif

/* cdef begin */
#define MM_FIX_PAD         64
#define MM_FIX_MAX_MESSAGE 8192 /* a longer message is garbled: no order needs a tenth of it */
#define MM_FIX_MAX_FIELDS  256
#define MM_FIX_MAX_TAG     1024 /* tags of the dictionary are below; user-defined ones are above and only carried */

/* Orders of tags that were seen before (fix_shape.c): so many are remembered, of messages of so many fields. */
#define MM_FIX_SHAPES       32
#define MM_FIX_SHAPE_FIELDS 48

/* SessionRejectReason(373) */
enum mm_fix_reject {
    MM_FIX_SOUND = -1,
    MM_FIX_INVALID_TAG = 0,
    MM_FIX_REQUIRED_MISSING = 1,
    MM_FIX_NOT_FOR_TYPE = 2,
    MM_FIX_UNDEFINED_TAG = 3,
    MM_FIX_NO_VALUE = 4,
    MM_FIX_OUT_OF_RANGE = 5,
    MM_FIX_BAD_FORMAT = 6,
    MM_FIX_DECRYPTION = 7,
    MM_FIX_SIGNATURE = 8,
    MM_FIX_COMP_ID = 9,
    MM_FIX_SENDING_TIME = 10,
    MM_FIX_BAD_TYPE = 11,
    MM_FIX_REPEATED_TAG = 13,
    MM_FIX_OUT_OF_ORDER = 14,
    MM_FIX_GROUP_ORDER = 15,
    MM_FIX_GROUP_COUNT = 16,
    MM_FIX_EMBEDDED_SOH = 17
};

/* What mm_fix_scan finds at the front of a stream. */
enum mm_fix_scan_result {
    MM_FIX_MORE = 0,  /* the start of a message: read on */
    MM_FIX_FRAME = 1, /* a whole message of *length bytes, its BodyLength right */
    MM_FIX_SKIP = 2   /* *length bytes that are no message: garbled, drop them */
};

enum mm_fix_parse_result {
    MM_FIX_PARSED = 0,
    MM_FIX_BAD_CHECKSUM = 1,
    MM_FIX_TYPE_NOT_THIRD = 2,
    MM_FIX_TOO_MANY_FIELDS = 3,
    MM_FIX_BROKEN_FIELD = 4 /* BodyLength does not end a field */
};

enum mm_fix_type_class { MM_FIX_TYPE_UNKNOWN = 0, MM_FIX_TYPE_UNSUPPORTED = 1, MM_FIX_TYPE_KNOWN = 2 };

typedef struct mm_fix_dictionary mm_fix_dictionary;

typedef struct mm_fix_field {
    uint32_t tag;
    uint16_t at, length; /* the value is bytes[at .. at + length) */
} mm_fix_field;

/* One field of a shape: "44=" as a word, where its value begins, its tag. */
typedef struct mm_fix_step {
    uint32_t want, mask, tag, skip;
} mm_fix_step;

/* A value to be looked at: the field, its format, and the values that it may have (none: any). */
typedef struct mm_fix_look {
    uint16_t field, format;
    const uint64_t *values;
} mm_fix_look;

typedef struct mm_fix_shape {
    uint64_t key; /* 0: nothing here */
    const mm_fix_dictionary *dictionary;
    uint32_t n;
    int32_t type;
    uint32_t kept;                                             /* misses that it outlives */
    uint32_t n_sets, n_numbers, n_decimals, n_times, n_others; /* of `looks`, in this order */
    mm_fix_step steps[48];
    mm_fix_look looks[48];
} mm_fix_shape;

/* One parsed message; made once for a thread and used for every message. Zero it before its first use. */
typedef struct mm_fix_message {
    const char *bytes;
    uint32_t length, n_fields;
    int32_t type;       /* index of the dictionary's message, -1 when it has none */
    int32_t fault;      /* mm_fix_reject: the first thing wrong with the fields */
    uint32_t fault_tag; /* the tag it is about */
    uint32_t stamp;     /* index entries of other messages carry other stamps */
    uint64_t second_ns; /* cache: the second that second_text names, "YYYYMMDD-HH:MM:SS" */
    char second_text[24];
    mm_fix_field fields[256];
    uint32_t index[1024]; /* tag -> stamp << 9 | 1 + position of its first occurrence */
    uint32_t shape;       /* 1 + the shape that the index was made from, 0: none */
    uint64_t shape_key;   /* of the message at hand, 0: none */
    mm_fix_shape shapes[32];
} mm_fix_message;

/* The dictionary of a BeginString, NULL when there is none. Built at the first call of a process. */
const mm_fix_dictionary *mm_fix_dictionary_of(const char *begin_string);
const char *mm_fix_begin_string(const mm_fix_dictionary *dictionary);
int mm_fix_type_class(const mm_fix_dictionary *dictionary, const char *type, uint32_t length);

int mm_fix_scan(const char *bytes, uint64_t n, uint32_t *length);
/* Splits a frame into fields and verifies CheckSum: mm_fix_parse_result. Then message->fault says what is wrong with the fields. */
int mm_fix_parse(const mm_fix_dictionary *dictionary, const char *bytes, uint32_t length, mm_fix_message *message);
/* The first field of a tag, NULL when the message has none. */
const mm_fix_field *mm_fix_get(const mm_fix_message *message, uint32_t tag);

/* Values. 1 when the text is of that form, and then *value; else 0. */
int mm_fix_read_uint(const char *text, uint32_t length, uint64_t *value);
int mm_fix_read_utc(mm_fix_message *cache, const char *text, uint32_t length, uint64_t *ns);
/* A decimal as an integer count of 10^-digits; 0 also when it has more digits than that or does not fit. */
int mm_fix_read_decimal(const char *text, uint32_t length, uint32_t digits, int64_t *units);

/* 1: the wide (AVX2) scanner runs, 0: the portable one. mm_fix_use_wide(0) forces the portable one, for tests; returns what runs. */
int mm_fix_use_wide(int wide);

/* Everything of an ExecutionReport(8) or OrderCancelReject(9) beside its header. Texts are not zero-terminated. */
typedef struct mm_fix_report {
    char exec_type, ord_status, side, ord_type, time_in_force; /* FIX characters; side 0: absent */
    uint8_t cl_ord_id_length, orig_length, symbol_length, account_length, text_length;
    uint8_t price_digits;                                   /* decimals of a price */
    uint8_t cancel_response;                                /* OrderCancelReject: '1' cancel, '2' replace */
    uint16_t reject_reason;                                 /* 103 (or 102), only when has_reason */
    uint8_t has_reason, has_price, has_last, average_extra; /* average_extra: decimals of AvgPx beyond a price's */
    uint8_t poss_resend;                                    /* with orig_sending_ns: PossResend=Y */
    uint32_t order_lots, leaves_lots, cum_lots, last_lots;
    uint64_t order_id, exec_id, transact_ns;
    int64_t price_units, last_units; /* of 10^-price_digits */
    int64_t average_units;           /* of 10^-(price_digits + average_extra) */
    uint64_t lot_size;
    const char *cl_ord_id, *orig, *symbol, *account, *text;
} mm_fix_report;

/* Header fields that stay the same for a session: written once, copied into every message. */
typedef struct mm_fix_envelope {
    char begin[16], comps[160]; /* "8=FIX.4.4<SOH>9=", "49=..<SOH>56=..<SOH>" */
    uint32_t begin_length, comps_length;
    uint32_t begin_sum, comps_sum, clock_sum; /* of their bytes, for CheckSum */
    uint64_t second;                          /* cache: the second that `clock` shows */
    char clock[24];
} mm_fix_envelope;

/* 0 when an id is empty, too long (64) or has a control character. */
int mm_fix_envelope_make(mm_fix_envelope *envelope, const char *begin_string, const char *sender, const char *target);

#define MM_FIX_REPORT_ROOM 2048
/* Writes a whole message at `out` (MM_FIX_REPORT_ROOM bytes); returns where it starts and its *length.
 * orig_sending_ns: 0, or the first time it was sent: PossDupFlag and OrigSendingTime are added. */
const char *mm_fix_write_report(mm_fix_envelope *envelope, const mm_fix_report *report, uint64_t seq,
                                uint64_t sending_ns, uint64_t orig_sending_ns, char *out, uint32_t *length);
/* Its fields after the header, for mm_session_send; `out` has MM_FIX_REPORT_ROOM bytes. Returns their length. */
uint32_t mm_fix_report_fields(mm_fix_envelope *envelope, const mm_fix_report *report, char *out);
/* cdef end */

#ifdef __cplusplus
}
#endif

#endif
