/* A library of the kit's own interface that accepts every order and does
 * nothing else, wrong in the way it is compiled for. */
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#include "matchmark/target_abi.h"

#ifndef VERSION
#define VERSION MMT_ABI_VERSION
#endif
#ifndef CAPABILITIES
#define CAPABILITIES "limit cancel"
#endif

static void *create(uint32_t n_symbols, const char **error)
{
    (void)n_symbols;
#ifdef CREATE_FAILS
    *error = "no licence";
    return NULL;
#elif defined CREATE_HANGS
    (void)error;
    for (volatile int on = 1; on;)
        pause();
    return NULL;
#elif defined CREATE_DIES
    (void)error;
    abort();
#else
    static int engine;
    (void)error;
    return &engine;
#endif
}

static void destroy(void *e)
{
    (void)e;
}

static void submit(void *e, const mmt_command *c, mmt_sink sink, void *context)
{
    (void)e;
    mmt_event accepted = {.kind = MMT_ACCEPTED, .cl_ord_id = c->cl_ord_id, .order_id = 1};
#ifdef ODD_EVENT
    accepted.kind = ODD_EVENT;
#endif
#ifdef ODD_NAME
    accepted.cl_ord_id = 77;
#endif
    sink(context, &accepted);
}

static const mmt_target target = {VERSION, sizeof(mmt_target), "broken", "1", CAPABILITIES, create, destroy,
#ifdef NO_RESET
                                  NULL,
#else
                                  destroy,
#endif
                                  submit};

const mmt_target *matchmark_target(void)
{
    return &target;
}
