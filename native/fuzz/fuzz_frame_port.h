/* The driver below fuzz_frame.c. No header of DPDK is needed here (dpdk_port.h says why). */
#ifndef FUZZ_FRAME_PORT_H
#define FUZZ_FRAME_PORT_H

#include "dpdk_port.h"

#define FUZZ_MAC         "\002mmgw\001"
#define FUZZ_WAITING_MAX 64

/* A copy of the frame is the next that the port receives, with so many readable bytes behind it. */
void fuzz_put(const uint8_t *frame, uint32_t length, uint32_t behind);
uint32_t fuzz_buffers(void); /* that are somewhere, in all */
uint32_t fuzz_lent(void);
uint64_t fuzz_bad(void); /* frames that went no further than the port */

#endif
