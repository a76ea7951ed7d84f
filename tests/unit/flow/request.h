/* request.h - a parsed chat request and its options, out of a body, for flow's tests. */
#ifndef TESTS_UNIT_FLOW_REQUEST_H
#define TESTS_UNIT_FLOW_REQUEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/domain/chat.h"
#include "gateway/domain/frugal_headers.h"
#include "gateway/flow/order.h"

struct request {
    struct arena arena;
    struct scan scan;
    struct chat_request chat;
    struct frugal_options options;
};

static inline void request_init(struct request *request, const char *body)
{
    struct api_error error = { 0 };

    arena_init(&request->arena, 1 << 20);
    scan_init(&request->scan, 64);
    frugal_options_init(&request->options);
    assert_int_equal(scan_feed(&request->scan, body, strlen(body)), SCAN_OK);
    assert_int_equal(scan_end(&request->scan), SCAN_OK);
    assert_int_equal(
        chat_parse(&request->chat, &request->scan, str_of(body), &request->arena, &error),
        API_OK);
    assert_int_equal(frugal_options_body(&request->options, request->chat.frugal,
                                         &request->arena, &error),
                     API_OK);
}

static inline void request_release(struct request *request)
{
    arena_release(&request->arena);
}

#endif
