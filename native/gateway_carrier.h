/* What carries the bytes of a gateway's connections: the kernel's TCP (gateway_tcp.c), or one of user space over a poll-mode port
 * (gateway_dpdk.c, in a library of its own). The gateway knows nothing of either but this.
 *
 * A connection has a number of the carrier's, `fd`, from accept to close, and after watch also the gateway's number for it, `place`,
 * which its events name. One thread calls all of it. Nothing here blocks, but for the nap of `poll`. */
#ifndef MM_GATEWAY_CARRIER_H
#define MM_GATEWAY_CARRIER_H

#include <stdbool.h>
#include <stdint.h>

#define MM_CARRIER_VERSION 2 /* of this struct: a library that was built for another one is refused */
#define MM_CARRIER_BACKLOG 1024

/* Of an event. GONE is told by receive. WRITABLE comes only to who wants to write. */
enum mm_carrier_what { MM_CARRIER_NEWCOMERS = 1, MM_CARRIER_READABLE = 2, MM_CARRIER_WRITABLE = 4 };

typedef struct mm_carrier_event {
    uint32_t place, what;
} mm_carrier_event;

typedef struct mm_carrier mm_carrier;

struct mm_carrier {
    uint32_t version;
    /* Hears newcomers from now on. 0, or -1 and errno. */
    int (*listen)(mm_carrier *self);
    /* What can be done now, at most `max`; what was not done comes again. Nothing: after `nap_ns` at the latest. */
    uint32_t (*poll)(mm_carrier *self, mm_carrier_event *events, uint32_t max, long nap_ns);
    /* A newcomer's number, -1: nobody is there. It is watched or closed next. */
    int32_t (*accept)(mm_carrier *self);
    int (*watch)(mm_carrier *self, int32_t fd, uint32_t place); /* 0 or -1 */
    void (*want_write)(mm_carrier *self, int32_t fd, uint32_t place, bool wanted);
    /* Bytes copied to `at`. 0: nothing now, -1: the connection is over. */
    int64_t (*receive)(mm_carrier *self, int32_t fd, char *at, uint32_t room);
    /* The next bytes where they are, with MM_FIX_PAD readable ones behind them, valid until `taken`; 0: there are none such. NULL: this
     * carrier can only copy. */
    uint32_t (*lend)(mm_carrier *self, int32_t fd, const char **at);
    void (*taken)(mm_carrier *self, int32_t fd, uint32_t n);
    /* mm_now_ns() when the frame that brought the last of the bytes received or lent last was in memory: found by the poll, or seen by
     * the kernel. 0: not known. */
    uint64_t (*arrived)(mm_carrier *self, int32_t fd);
    /* Bytes taken, 0: no room now, -1: the connection is over. */
    int64_t (*send)(mm_carrier *self, int32_t fd, const char *from, uint32_t n);
    /* What was sent is still delivered; the number may be another newcomer's from now on. */
    void (*close)(mm_carrier *self, int32_t fd);
    void (*flush)(mm_carrier *self);   /* puts on the wire what a round made. NULL: nothing waits */
    bool (*settled)(mm_carrier *self); /* all that was sent has arrived, or never will. NULL: others see to it */
    void (*free)(mm_carrier *self);
};

/* The kernel's, on a listening socket, which is its own from then on. NULL: no memory. */
mm_carrier *mm_tcp_carrier(int32_t listen_fd);

#endif
