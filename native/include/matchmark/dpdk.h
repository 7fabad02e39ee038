/* The gateway's connections over a poll-mode port: DPDK under lwIP's TCP. A library of its own, so that matchmark needs neither where
 * nobody wants this. What it makes is a carrier (gateway_carrier.h) for mm_gateway_config. One a process, and once: EAL cannot be
 * started again. */
#ifndef MATCHMARK_DPDK_H
#define MATCHMARK_DPDK_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* cdef begin */
typedef struct mm_dpdk_config {
    const char **eal_words; /* EAL's arguments, the first a program's name; ended by NULL */
    uint32_t n_eal_words;
    uint8_t address[4], netmask[4], router[4]; /* of the port; router 0.0.0.0: there is none */
    uint16_t tcp_port;
    uint32_t connections; /* at once, without those that wait to be accepted */
    uint32_t buffers;     /* for frames */
} mm_dpdk_config;

/* Counted from the start. Frames dropped found no room; bad ones were damaged, ignored ones were for others or of another kind. */
typedef struct mm_dpdk_counters {
    uint64_t rx_frames, rx_bytes, tx_frames, tx_bytes, rx_dropped, tx_dropped, rx_bad, rx_ignored;
    uint64_t bytes_in_place, bytes_copied; /* of TCP's stream: parsed where the port put them, or copied before */
    uint64_t buffers, buffers_in_use, connections, refused;
} mm_dpdk_counters;

/* A mm_carrier, or NULL and `why` (512 bytes). The words may be forgotten when it returns. */
void *mm_dpdk_open(const mm_dpdk_config *config, char *why);
/* At any time until it is closed, from any thread. */
void mm_dpdk_counters_of(void *carrier, mm_dpdk_counters *counters);
/* Only of one that no gateway has taken. */
void mm_dpdk_close(void *carrier);
/* "DPDK ..., lwIP ..." */
const char *mm_dpdk_version(void);
/* cdef end */

#ifdef __cplusplus
}
#endif

#endif
