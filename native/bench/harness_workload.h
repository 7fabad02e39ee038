/* Order flow of the kind that the public matching-engine-benchmark harness plays, in five regimes; our own generator, so the
 * messages are not that harness's, only their statistics are.
 *
 * A mid price in half-penny ticks starts at 33,504 and walks; buys are priced below the first half of its path, sells above the
 * second half, 1 to 800 ticks away, mostly near, with a hump 8 ticks out. Arrival order is shuffled. 15% are IOC; of the others
 * 20% are modified once (a lot more, mostly also one tick nearer) and 95% cancelled after an exponential life with a median of
 * 431 us, longer for deep orders. 2% of cancels and of modifies come twice. Ids are dense from 1 in pricing order.
 *
 *   regime       total diffusion of the mid   what it stresses
 *   static       0                            a deep book of few levels
 *   normal       2%                           a few hundred levels
 *   swing-25     25%                          a wide, thin book
 *   swing-40     40%
 *   flash-crash  60%                          prices far apart from one message to the next */
#ifndef MATCHMARK_HARNESS_WORKLOAD_H
#define MATCHMARK_HARNESS_WORKLOAD_H

#include "matchmark/harness_abi.h"

#define HW_REGIMES 5
extern const char *const hw_regime_names[HW_REGIMES];

typedef struct hw_workload {
    mh_message *messages;
    uint32_t n;
} hw_workload;

/* `orders` is at least 2. The messages are the caller's to free; NULL when there is no memory. */
hw_workload hw_generate(int regime, uint32_t orders, uint64_t seed);

#endif
