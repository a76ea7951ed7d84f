/* order_parts.h - what the files of the order share. For them alone. */
#ifndef GATEWAY_FLOW_ORDER_PARTS_H
#define GATEWAY_FLOW_ORDER_PARTS_H

#include "gateway/flow/order.h"

/* Does it speak the API that is asked for? */
bool order_speaks(const struct order *order, size_t expert);

/* order_able.c */
/* Whoever lacks an ability that the request needs goes. UNABLE when nobody is left. */
NODISCARD enum api_err order_drop_unable(struct order *order, struct api_error *error);
/* Whoever has no room for prompt and answer goes, as long as somebody stays. */
void order_drop_narrow(struct order *order);

#endif
