/* lwIP over a port: frames to packets and back. Beside lwIP's own headers this is all that its users need. */
#ifndef MM_LWIP_NETIF_H
#define MM_LWIP_NETIF_H

#include "dpdk_port.h"

/* Starts lwIP with the port for its only network. False and `why`. */
bool mm_netif_open(mm_port *port, const mm_dpdk_config *config, char *why);
/* Takes the frame: it is given back when nobody holds it any more. */
void mm_netif_input(const mm_frame *frame);
struct pbuf;
/* When the frame of a received pbuf was taken off the port; 0: it is not in a frame any more. */
uint64_t mm_netif_arrived(const struct pbuf *p);
/* Due timers: retransmissions, delayed acknowledgements, ARP. As often as there is time for it. */
void mm_netif_timers(void);
/* All that was sent on closed connections has arrived. */
bool mm_netif_is_settled(void);
void mm_netif_close(void);

#endif
