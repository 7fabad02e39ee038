/* The same bytes to many sockets, never waiting for any of them. */
#ifndef MATCHMARK_FANOUT_H
#define MATCHMARK_FANOUT_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* cdef begin */
/* Sends `length` bytes at `frame` to each of `n` sockets. Of those that did not take all of it, `which[i]` is the index in `sockets`
 * and `taken[i]` how many bytes it took, or the negative errno of a socket that is broken; how many they are is returned. Both have
 * room for `n`. */
uint64_t mm_fanout(const int32_t *sockets, uint64_t n, const uint8_t *frame, uint64_t length, uint32_t *which,
                   int64_t *taken);
/* cdef end */

#ifdef __cplusplus
}
#endif

#endif
