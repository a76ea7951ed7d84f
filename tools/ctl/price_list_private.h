/* price_list_private.h - what price_list.c and price_list_read.c share. */
#ifndef TOOLS_CTL_PRICE_LIST_PRIVATE_H
#define TOOLS_CTL_PRICE_LIST_PRIVATE_H

#include "gateway/domain/jread.h"
#include "tools/ctl/price_list.h"

/* One model's entry of LiteLLM's form; name is for messages. */
NODISCARD enum fault_err price_list_read_litellm(struct jread_value entry,
                                                 const char *name,
                                                 enum price_list_kind kind,
                                                 struct price_listed *ret_listed,
                                                 struct fault *fault);

#endif
