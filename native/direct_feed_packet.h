/* Packets of the direct feed while they are filled: records go in, packets that end with a whole command come out. */
#ifndef MATCHMARK_DIRECT_FEED_PACKET_H
#define MATCHMARK_DIRECT_FEED_PACKET_H

#include "matchmark/direct_feed.h"

#include <stdbool.h>

#define MM_DIRECT_PACKETS 16 /* sent with one call */

enum { MM_DIRECT_CONTINUES = 1, MM_DIRECT_ANSWER = 2, MM_DIRECT_UNAVAILABLE = 4 };

typedef struct mm_direct_header {
    uint8_t magic[4], version, flags;
    uint16_t messages;
    uint64_t began, after, through, sent_ns;
    uint32_t epoch, zero;
} mm_direct_header;

_Static_assert(sizeof(mm_direct_header) == MM_DIRECT_HEADER_BYTES, "packet layout");

typedef struct mm_direct_packet {
    uint32_t bytes;
    union {
        mm_direct_header head;
        uint8_t data[MM_DIRECT_PACKET_BYTES];
    };
} mm_direct_packet;

/* Packets 0 to ready - 1 are closed, the next one is being filled. */
typedef struct mm_direct_filling {
    mm_direct_packet packets[MM_DIRECT_PACKETS];
    uint32_t ready;
    uint8_t flags;    /* of every packet */
    uint64_t through; /* last record looked at */
    struct {          /* of the packet that is filled, up to where its last whole command ends */
        uint32_t bytes;
        uint16_t messages;
        uint64_t through;
    } whole;
} mm_direct_filling;

void mm_direct_start(mm_direct_filling *w, uint8_t flags, uint64_t after);
/* Puts in what a record tells. False: packets must go first. */
bool mm_direct_put(mm_direct_filling *w, const mm_audit_record *record);
/* Ends the packet behind its last whole command, empty if there is none; what is left begins the next. */
void mm_direct_end_whole(mm_direct_filling *w);
/* Ends it as it is. */
void mm_direct_end(mm_direct_filling *w);
/* A packet that says that records up to `through` are not to be had. */
void mm_direct_leave_out(mm_direct_filling *w, uint64_t through);
/* The closed packets are gone; the one that is being filled becomes the first. */
void mm_direct_gone(mm_direct_filling *w);

#endif
