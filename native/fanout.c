/* The last stage of market data: one frame, made once, to every client that wants it. */
#include "matchmark/fanout.h"

#include <errno.h>
#include <sys/socket.h>

uint64_t mm_fanout(const int32_t *sockets, uint64_t n, const uint8_t *frame, uint64_t length, uint32_t *which,
                   int64_t *taken)
{
    uint64_t n_short = 0;
    for (uint64_t i = 0; i < n; i++) {
        int64_t sent;
        do
            sent = send(sockets[i], frame, length, MSG_DONTWAIT | MSG_NOSIGNAL);
        while (__builtin_expect(sent < 0 && errno == EINTR, 0));
        if (__builtin_expect(sent == (int64_t)length, 1))
            continue;
        which[n_short] = (uint32_t)i;
        taken[n_short++] = sent >= 0 ? sent : errno == EAGAIN ? 0 : -(int64_t)errno;
    }
    return n_short;
}
