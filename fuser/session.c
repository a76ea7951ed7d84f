/* session.c - the life of one prompt's walk, and what its caller tells it.
 *
 * One allocation holds everything, so that after fuser_session_new nothing on the way to
 * a decision can run out of memory.
 */
#include "fuser/session.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fuser/err.h"

#define PICO 1e-12

static enum fuser_err check_ask(const struct fuser *fuser, const struct fuser_ask *ask,
                                struct fuser_error *error)
{
    if (!isfinite(ask->lambda) || ask->lambda < 0 || !isfinite(ask->wait) ||
        ask->wait < 0)
        return ferr_set(error, FUSER_INVALID,
                        "lambda %g and wait %g are not both finite and at least 0",
                        ask->lambda, ask->wait);
    if (!(ask->min_quality >= 0 && ask->min_quality <= 1))
        return ferr_set(error, FUSER_INVALID, "min_quality %g is not within 0 and 1",
                        ask->min_quality);
    if (!(ask->switch_z >= 0 && ask->switch_z <= 100))
        return ferr_set(error, FUSER_INVALID, "switch_z %g is not within 0 and 100",
                        ask->switch_z);
    if (!(ask->gain_se >= 0 && ask->gain_se <= 100))
        return ferr_set(error, FUSER_INVALID, "gain_se %g is not within 0 and 100",
                        ask->gain_se);
    if (ask->ceiling_pico < 0)
        return ferr_set(error, FUSER_INVALID, "the ceiling is negative");
    for (size_t i = 0; i < fuser->n_generators; i++) {
        const struct fuser_ask_generator *g = &ask->generators[i];

        if (g->prompt_pico < 0 || g->input_pico < 0 || g->output_pico < 0 ||
            g->request_pico < 0 || g->worst_pico < 0)
            return ferr_set(error, FUSER_INVALID, "generator %zu: a price is negative",
                            i);
    }
    for (size_t i = 0; i < fuser->n_embedders; i++) {
        const struct fuser_ask_embedder *e = &ask->embedders[i];

        if (e->price_pico < 0 || !isfinite(e->wait_ms) || e->wait_ms < 0)
            return ferr_set(error, FUSER_INVALID,
                            "embedder %zu: price or waiting is negative or not finite",
                            i);
    }
    return FUSER_OK;
}

/* Room for a session of this bundle: the struct, then its arrays, each a multiple of 8.
 */
static struct fuser_session *session_alloc(const struct fuser_bundle *bundle)
{
    size_t rows = bundle->approximate ? 0 : (bundle->cells.n + 1) & ~(size_t)1;
    size_t near = bundle->approximate ? bundle->n_embedders * APPROX_ROOM(APPROX_OVER)
                                      : bundle->settings.reach;
    size_t near_table = bundle->approximate
                            ? bundle->n_embedders * APPROX_ROOM(APPROX_TABLE)
                            : bundle->settings.walk_m;
    size_t floats = rows, widest = 0;
    struct fuser_session *session;
    char *at;

    for (size_t e = 0; e < bundle->n_embedders; e++) {
        floats += (bundle->embedders[e].dim + 1) & ~(size_t)1;
        widest = widest > bundle->coarse[e].width ? widest : bundle->coarse[e].width;
    }
    floats += head_scratch(bundle);
    session = calloc(1, sizeof *session + floats * sizeof(float) +
                            (near + near_table) * sizeof(struct near) +
                            widest * sizeof *session->query.code);
    if (!session)
        return NULL;
    at = (char *)(session + 1);
    session->near = (struct near *)at;
    session->near_table = session->near + near;
    at = (char *)(session->near_table + near_table);
    session->distance = rows > 0 ? (float *)at : NULL;
    at += rows * sizeof(float);
    for (size_t e = 0; e < bundle->n_embedders; e++) {
        session->vectors[e] = (float *)at;
        at += ((bundle->embedders[e].dim + 1) & ~(size_t)1) * sizeof(float);
    }
    session->scratch = (float *)at;
    session->query.code = (int16_t *)(session->scratch + head_scratch(bundle));
    return session;
}

static void take_generators(struct fuser_session *session, const struct fuser_ask *ask)
{
    const struct fuser *fuser = session->fuser;
    struct loo_terms *terms = &session->terms;
    double per_pico = ask->lambda * PICO;

    for (size_t g = 0; g < FUSER_MAX_GENERATORS; g++)
        session->named[g] = -1;
    terms->output_limit =
        ask->max_output_tokens ? (double)ask->max_output_tokens : INFINITY;
    terms->min_quality = ask->min_quality;
    for (size_t i = 0; i < fuser->n_generators; i++) {
        int at = fuser->generator_in_bundle[i];
        const struct fuser_ask_generator *asked = &ask->generators[i];
        double latency;

        if (at < 0 && fuser->lender_in_bundle[i] >= 0 && asked->allowed)
            session->lent[session->n_lent++] = (struct session_lent){ i, *asked };
        if (at < 0 || !asked->allowed)
            continue;
        latency = fuser->bundle->blind[at].latency_ms;
        session->asked[at] = *asked;
        session->named[at] = (int)i;
        terms->input[at] = per_pico * (double)asked->input_pico;
        terms->output[at] = per_pico * (double)asked->output_pico;
        terms->fixed[at] = per_pico * (double)asked->request_pico +
                           (isnan(latency) ? 0 : ask->wait * latency / 1000);
    }
}

/* Ties go to the larger mean quality, then the cheaper, then the lower name. */
static bool before(const struct fuser_session *session, uint8_t a, uint8_t b)
{
    const struct fuser_bundle *bundle = session->fuser->bundle;
    const struct head_estimate *left = &bundle->blind[a], *right = &bundle->blind[b];
    const struct fuser_ask_generator *cheap = &session->asked[a],
                                     *dear = &session->asked[b];
    double left_cost, right_cost;

    if (left->quality != right->quality)
        return left->quality > right->quality;
    left_cost =
        (double)cheap->prompt_pico + (double)cheap->output_pico * left->output_tokens;
    right_cost =
        (double)dear->prompt_pico + (double)dear->output_pico * right->output_tokens;
    return left_cost != right_cost ? left_cost < right_cost : a < b;
}

static void order_generators(struct fuser_session *session)
{
    struct loo_choice *choice = &session->choice;

    for (size_t g = 0; g < session->fuser->bundle->cells.n_generators; g++) {
        size_t at = choice->n;

        if (session->named[g] < 0)
            continue;
        while (at > 0 && before(session, (uint8_t)g, choice->order[at - 1])) {
            choice->order[at] = choice->order[at - 1];
            at--;
        }
        choice->order[at] = (uint8_t)g;
        choice->n++;
    }
}

static void take_embedders(struct fuser_session *session, const struct fuser_ask *ask)
{
    const struct fuser *fuser = session->fuser;

    for (size_t e = 0; e < FUSER_MAX_EMBEDDERS; e++)
        session->embedders[e].named = -1;
    for (size_t i = 0; i < fuser->n_embedders; i++) {
        int at = fuser->embedder_in_bundle[i];
        const struct fuser_ask_embedder *asked = &ask->embedders[i];

        if (at < 0)
            continue;
        session->embedders[at] = (struct session_embedder){
            .open = asked->allowed,
            .named = (int)i,
            .price_pico = asked->price_pico,
            .loss = ask->lambda * PICO * (double)asked->price_pico +
                    ask->wait * asked->wait_ms / 1000,
        };
    }
}

enum fuser_err fuser_session_new(struct fuser *fuser, const struct fuser_ask *ask,
                                 struct fuser_session **ret_session,
                                 struct fuser_error *error)
{
    struct fuser_session *session;
    enum fuser_err err;

    ferr_clear(error);
    err = check_ask(fuser, ask, error);
    if (err)
        return err;
    session = session_alloc(fuser->bundle);
    if (!session)
        return ferr_nomem(error);
    session->fuser = fuser_ref(fuser);
    session->lambda = ask->lambda;
    session->wait = ask->wait;
    session->switch_z = ask->switch_z;
    session->gain_se = ask->gain_se;
    session->look = ask->look;
    session->ceiling_pico = ask->ceiling_pico;
    session->text = ask->text;
    session->text_bytes = ask->text ? ask->text_bytes : 0;
    take_generators(session, ask);
    order_generators(session);
    take_embedders(session, ask);
    *ret_session = session;
    return FUSER_OK;
}

void fuser_session_free(struct fuser_session *session)
{
    if (!session)
        return;
    fuser_unref(session->fuser);
    free(session);
}

void session_affordable(const struct fuser_session *session, int64_t remaining,
                        struct loo_choice *ret_choice)
{
    ret_choice->n = 0;
    for (size_t i = 0; i < session->choice.n; i++)
        if (session->asked[session->choice.order[i]].worst_pico <= remaining)
            ret_choice->order[ret_choice->n++] = session->choice.order[i];
}

int64_t session_remaining(const struct fuser_session *session)
{
    if (session->ceiling_pico == INT64_MAX)
        return INT64_MAX;
    return session->paid_pico < session->ceiling_pico
               ? session->ceiling_pico - session->paid_pico
               : 0;
}

static void add_paid(struct fuser_session *session, int64_t paid_pico)
{
    if (paid_pico > 0 &&
        __builtin_add_overflow(session->paid_pico, paid_pico, &session->paid_pico))
        session->paid_pico = INT64_MAX;
}

static bool is_asked(const struct fuser_session *session, size_t embedder)
{
    return session->state == SESSION_ASKED && embedder < session->fuser->n_embedders &&
           session->embedders[session->pending].named == (int)embedder;
}

enum fuser_err fuser_tell(struct fuser_session *session, size_t embedder,
                          const float *vector, size_t dim, int64_t paid_pico,
                          double waited_ms, struct fuser_error *error)
{
    const struct fuser_embedder_info *info;
    float *own;

    (void)waited_ms;
    ferr_clear(error);
    if (!is_asked(session, embedder))
        return ferr_set(error, FUSER_INVALID, "embedder %zu was not asked", embedder);
    info = &session->fuser->bundle->embedders[session->pending];
    if (dim != info->dim)
        return ferr_set(error, FUSER_MISMATCH,
                        "embedder '%s' gave %zu floats, the bundle was built with %u",
                        info->name, dim, info->dim);
    own = session->vectors[session->pending];
    memcpy(own, vector, dim * sizeof *own);
    if (!kernel_unit(own, dim))
        return ferr_set(error, FUSER_INVALID,
                        "embedder '%s' gave a vector that is zero or not finite",
                        info->name);
    add_paid(session, paid_pico);
    session->embedders[session->pending].open = false;
    session->state = SESSION_SEARCH;
    return FUSER_OK;
}

void fuser_fail(struct fuser_session *session, size_t embedder, int64_t paid_pico)
{
    add_paid(session, paid_pico);
    if (!is_asked(session, embedder))
        return;
    session->embedders[session->pending].open = false;
    session->state = SESSION_DECIDE;
}
