/* Cancel-on-disconnect: a cancel for each open order of a session whose connection was lost, and of no other. */
#define _DEFAULT_SOURCE
#include "gateway_internal.h"

#include <stdio.h>

#define STEPS 8192 /* places of the table of open orders between two looks at the network */

/* One cancel, in the session's name. It names itself; an order that is gone by then is told as a cancel that was rejected. */
static int cancel(mm_gateway *g, uint32_t session, const mm_risk_order *order)
{
    uint32_t account = g->identities[session].account;
    mm_order_message o = {.session = session, .received_ns = mm_now_ns(), .orig_text = "NONE"};
    int n = snprintf(o.text, sizeof o.text, "DISCONNECT-%llu", (unsigned long long)++g->local_exec_id);
    o.command = (mm_command){.op = MM_CANCEL,
                             .account = account,
                             .symbol = order->symbol,
                             .side = order->side,
                             .time_ns = g->now_ns,
                             .cl_ord_id = mm_cl_ord_id_hash(g->config.hash_key, account, o.text, (uint32_t)n),
                             .orig_cl_ord_id = order->cl_ord_id,
                             .price_ticks = MM_ABSENT,
                             .quantity_lots = MM_ABSENT};
    o.validated_ns = o.received_ns;
    return mm_orders_put(g->pipeline, g->config.gateway, &o, NULL);
}

bool mm_gateway_cancel_orders(mm_gateway *g, uint32_t session, uint32_t steps)
{
    mm_identity *id = &g->identities[session];
    mm_risk_order order;
    int found;
    while ((found = mm_risk_next_of(g->risk, session, &id->cancel_at, steps, &order)) > 0) {
        if (cancel(g, session, &order) == MM_PUT_FULL) {
            id->cancel_at--; /* that one again */
            return false;
        }
        mm_risk_going(g->risk, order.cl_ord_id);
    }
    if (found == 0)
        return false;
    id->cancel_due = 0;
    g->n_cancel_due--;
    return true;
}

void mm_gateway_cancel_due(mm_gateway *g)
{
    for (uint32_t i = 0; g->n_cancel_due && i < g->config.max_sessions; i++)
        if (g->identities[i].cancel_due && !mm_gateway_cancel_orders(g, i, STEPS))
            return; /* the rest in the next tick */
}
