/* admin.c - what an operator tells the gateway to do: the routes under /admin/, on the admin
 * listener alone.
 *
 * The listener asks for no key, so a page in the operator's browser must not be able to use
 * it: what comes with an Origin, as every POST of a page does, is refused.
 */
#include "gateway/flow/exchange_parts.h"
#include "gateway/flow/reload.h"

#define ANSWER_BYTES (64u << 10)

static bool from_a_page(const struct exchange_request *request)
{
    for (size_t i = 0; i < request->n_headers; i++) {
        if (str_eq_nocase(request->headers[i].name, STR("origin")))
            return true;
    }
    return false;
}

/* Inside exchange_new: the request's head is still there. False: x->error says why. */
static bool ask(struct exchange *x)
{
    struct reload *reload;

    if (from_a_page(x->request)) {
        (void)api_error_set(&x->error, API_BAD_VALUE, "origin",
                            "pages of a browser may not ask for this");
        return false;
    }
    reload = arena_zalloc(&x->arena, sizeof *reload);
    if (reload == NULL) {
        (void)api_error_set(&x->error, API_NOMEM, NULL, NULL);
        return false;
    }
    reload->wake = exchange_woke;
    reload->arg = x;
    x->reload = reload;
    if (reload_start(reload, worker_service(x->worker), exchange_loop(x)))
        return true;
    (void)api_error_set(&x->error, API_INTERNAL, NULL, NULL);
    return false;
}

bool admin_waiting(struct exchange *x)
{
    if (x->route != EXCHANGE_RELOAD)
        return false;
    if (x->reload == NULL && !ask(x))
        return false;
    return x->reload->away;
}

void admin_answer(struct exchange *x)
{
    struct buf out;

    if (x->error.code == API_OK)
        (void)reload_error(&x->reload->report, &x->error);
    if (x->error.code != API_OK && x->error.code != API_RELOAD) {
        respond_error(x);
        return;
    }
    buf_init(&out, ANSWER_BYTES);
    reload_render(&x->reload->report, &out);
    if (out.failed) {
        x->error = (struct api_error){ .code = API_OK };
        (void)api_error_set(&x->error, API_NOMEM, NULL, NULL);
        respond_error(x);
    } else {
        respond_own(x, (unsigned)api_error_status(x->error.code), NULL, buf_str(&out));
    }
    buf_release(&out);
}

bool admin_over(const struct exchange *x)
{
    return x->reload == NULL || !x->reload->away;
}
