/* One port of DPDK's, whatever is behind it: frames in and out. No header of DPDK is needed here, because they and lwIP's do not go
 * together in one file. */
#ifndef MM_DPDK_PORT_H
#define MM_DPDK_PORT_H

#include "matchmark/dpdk.h"

#include <stdbool.h>

#define MM_PORT_BURST    32
#define MM_PORT_WHY      512
#define MM_FRAME_PRIVATE 64   /* bytes beside each frame, for whoever holds it */
#define MM_FRAME_MAX     2048 /* bytes of a frame, and of what may be sent */

typedef struct mm_frame {
    void *buffer; /* to be given back, exactly once */
    char *data;
    uint32_t length, behind; /* behind: readable bytes after the data */
    void *beside;            /* MM_FRAME_PRIVATE bytes */
    uint64_t at_ns;          /* mm_now_ns() when its burst was taken off the port */
} mm_frame;

typedef struct mm_port mm_port;

/* Starts EAL and the one port that its arguments give it. NULL and `why`. */
mm_port *mm_port_open(const mm_dpdk_config *config, char *why);
/* The thread that polls, before its first poll: it gets buffers of its own, and the processors of EAL's main thread. */
void mm_port_begin(mm_port *p);
void mm_port_address(const mm_port *p, uint8_t mac[6], uint32_t *mtu);
/* Sound frames of ARP and IPv4 that are for this port, at most MM_PORT_BURST; the others are counted and gone. *any: there were frames. */
uint32_t mm_port_receive(mm_port *p, mm_frame *frames, bool *any);
void mm_port_give_back(mm_port *p, void *buffer);
/* A frame was not taken: it is given back, and counted as dropped. */
void mm_port_refuse(mm_port *p, void *buffer);
/* Less than one `rest`th of the buffers is not lent. */
bool mm_port_is_low(const mm_port *p, uint32_t rest);
/* Room for a frame of `length` to be sent, which it is by the next flush. NULL: there is none, and it is counted as dropped. */
char *mm_port_put(mm_port *p, uint32_t length);
void mm_port_flush(mm_port *p);
void mm_port_count(const mm_port *p, mm_dpdk_counters *counters);
void mm_port_close(mm_port *p);
const char *mm_port_version(void);

#endif
