/* The floor of a fan-out: the same bytes to each of n sockets, and nothing else. */
#include <stddef.h>
#include <sys/socket.h>

void plain_send(const int *sockets, size_t n, const void *frame, size_t length)
{
    for (size_t i = 0; i < n; i++)
        send(sockets[i], frame, length, MSG_DONTWAIT);
}
