/* walk.c - FrugalFoE: is another piece of evidence worth its price?
 *
 *             +-> DECIDE --- nothing pays ----------------------------> DONE
 *             |     | buy j
 *             |     +-- built in: embed --------------> SEARCH --+
 *             |     +-- remote: ASKED --fuser_tell----> SEARCH --+
 *             |            +---fuser_fail--> DECIDE              |
 *             +------------ one batch of coarse distances -------+
 *                           or of candidates by an approximate index,
 *                           and an exact look at the nearest
 *
 * frugalfoe.md, 2.1: with S queried, the loss of answering now is the mean over the M
 * nearest calibration rows of what S's route would have cost them; that of buying j is
 * the same under S and j, plus j's price. The walk stops when the best of those is not
 * *less* (pitfall 2: stop on equality). Without evidence both are means over fixed rows,
 * and the best fixed generator is the candidate to beat (pitfall 3). What costs anything
 * must gain more than gain_se standard errors: both means are over the same rows, and the
 * least of several estimates is biased low (pitfall 4).
 *
 * walk_set() is the only function that changes a session's state here.
 */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "fuser/nearest.h"
#include "fuser/session.h"

#define TILE_BYTES                                                                       \
    (64u << 10) /* vectors that stay in the cache while all sessions look */

static void walk_set(struct fuser_session *session, enum session_state state,
                     size_t pending)
{
    assert(session->state != SESSION_DONE);
    session->state = state;
    session->pending = pending;
}

static void walk_stop(struct fuser_session *session, enum fuser_stop stop)
{
    session->stop = stop;
    walk_set(session, SESSION_DONE, 0);
}

void session_losses(const struct fuser_session *session, uint32_t subset,
                    const struct near *near, size_t n_near, int64_t remaining,
                    struct loo_losses *ret)
{
    const struct fuser_bundle *bundle = session->fuser->bundle;
    struct loo_choice choice;

    session_affordable(session, remaining, &choice);
    /* When nothing fits the caller decides what gives; the evidence is valued all the
     * same. */
    if (choice.n == 0)
        choice = session->choice;
    if (subset == 0)
        loo_blind_losses(bundle, &session->terms, &choice, ret);
    else if (n_near == 0)
        loo_first_losses(bundle, (size_t)__builtin_ctz(subset), &session->terms, &choice,
                         ret);
    else
        loo_near_losses(bundle, subset, near, n_near, &session->terms, &choice, ret);
}

/* The same near the prompt, as far as it is known. */
static void expected_losses(const struct fuser_session *session, uint32_t subset,
                            int64_t remaining, struct loo_losses *ret)
{
    session_losses(session, subset, session->near_table, session->n_near_table, remaining,
                   ret);
}

/* Whether j can be paid with something left for the cheapest generator. */
static bool fits(const struct fuser_session *session, const struct session_embedder *j)
{
    int64_t remaining = session_remaining(session);
    struct loo_choice choice;

    if (remaining == INT64_MAX)
        return true;
    if (j->price_pico == 0)
        return true;
    session_affordable(session, remaining - j->price_pico, &choice);
    return choice.n > 0;
}

/* The candidates of one step, and the best of them that pays. */
struct offer {
    int best; /* embedder of the bundle, or -1 */
    double best_loss;
    bool missed; /* one that would pay does not fit below the ceiling */
    bool any;    /* something is left to buy at all */
};

/* By how much a candidate's loss must be less: free evidence is worth any gain. */
static double margin(const struct fuser_session *session,
                     const struct session_embedder *j, double gain_se)
{
    if (session->gain_se == 0 || (j->price_pico == 0 && j->loss == 0))
        return 0;
    return session->gain_se * gain_se;
}

static struct offer consider(const struct fuser_session *session,
                             const struct loo_losses *now, struct fuser_walked *step)
{
    struct offer offer = { -1, INFINITY, false, false };
    int64_t remaining = session_remaining(session);
    struct loo_losses after;

    for (size_t e = 0; e < session->fuser->bundle->n_embedders; e++) {
        const struct session_embedder *j = &session->embedders[e];
        int64_t left = remaining == INT64_MAX ? INT64_MAX : remaining - j->price_pico;
        double loss, gain_se;
        bool pays;

        if (!j->open)
            continue;
        offer.any = true;
        expected_losses(session, session->subset | 1u << e, left, &after);
        loss = after.mean + j->loss;
        gain_se = loo_paired_error(now, &after);
        pays = now->mean - loss > margin(session, j, gain_se);
        if (!fits(session, j)) {
            offer.missed = offer.missed || pays;
            continue;
        }
        step->candidates[j->named] = (struct fuser_candidate){ true, loss, gain_se };
        if (pays && loss < offer.best_loss) {
            offer.best_loss = loss;
            offer.best = (int)e;
        }
    }
    return offer;
}

/* Makes a built-in embedder's vector; one that the text leaves without any is out. */
static void embed(struct fuser_session *session, size_t e)
{
    struct glyphs glyphs;

    session->embedders[e].open = false;
    glyphs_read(&glyphs, session->text, session->text_bytes);
    if (bundle_embed(session->fuser->bundle, e, &glyphs, session->vectors[e]))
        walk_set(session, SESSION_SEARCH, e);
}

static enum fuser_stop reason_to_stop(const struct fuser_session *session,
                                      const struct offer *offer)
{
    if (!offer->any)
        return session->subset ? FUSER_STOP_ALL_BOUGHT : FUSER_STOP_NO_EVIDENCE;
    if (offer->missed)
        return FUSER_STOP_CEILING;
    return session->subset ? FUSER_STOP_NO_GAIN : FUSER_STOP_NOT_WORTH;
}

/* Takes the best of the built-in embedders, which cost nothing, for the sake of this prompt's
 * own predictions. False when there is none. */
static bool look(struct fuser_session *session, struct fuser_walked *step)
{
    const struct fuser_bundle *bundle = session->fuser->bundle;
    int best = -1;

    for (size_t e = 0; e < bundle->n_embedders; e++) {
        const struct session_embedder *j = &session->embedders[e];

        if (!j->open || j->loss > 0 || bundle->embedders[e].kind == FUSER_REMOTE)
            continue;
        if (best < 0 || step->candidates[j->named].loss <
                            step->candidates[session->embedders[best].named].loss)
            best = (int)e;
    }
    if (best < 0)
        return false;
    session->looked = true;
    step->embedder = session->embedders[best].named;
    embed(session, (size_t)best);
    return true;
}

/* One decision: buy the best candidate, or stop. */
static void decide(struct fuser_session *session)
{
    struct fuser_walked *step = &session->steps[session->n_steps];
    struct loo_losses now;
    struct offer offer;

    if (session->choice.n == 0) {
        walk_stop(session, FUSER_STOP_NO_EVIDENCE);
        return;
    }
    assert(session->n_steps <= FUSER_MAX_EMBEDDERS);
    memset(step, 0, sizeof *step);
    session->n_steps++;
    step->embedder = -1;
    expected_losses(session, session->subset, session_remaining(session), &now);
    step->loss_before = now.mean;
    if (session->looked) {
        walk_stop(session, FUSER_STOP_NOT_WORTH);
        return;
    }
    offer = consider(session, &now, step);
    if (offer.best < 0) {
        enum fuser_stop stop = reason_to_stop(session, &offer);

        if (stop == FUSER_STOP_NOT_WORTH && session->look && look(session, step))
            return;
        walk_stop(session, stop);
        return;
    }
    step->embedder = session->embedders[offer.best].named;
    step->price_pico = session->embedders[offer.best].price_pico;
    if (session->fuser->bundle->embedders[offer.best].kind == FUSER_REMOTE)
        walk_set(session, SESSION_ASKED, (size_t)offer.best);
    else
        embed(session, (size_t)offer.best);
}

static bool is_due(const struct fuser_session *session, size_t e)
{
    return session->state == SESSION_SEARCH && session->pending == e;
}

/* Candidates of the pending embedder join those of the earlier ones. */
static void find_candidates(struct fuser_session *session, size_t e)
{
    const struct fuser_bundle *bundle = session->fuser->bundle;
    const float *vector = session->vectors[e];

    size_t before = session->n_listed, before_table = session->n_listed_table;

    session->n_listed +=
        approx_find(bundle->approx[e], vector, APPROX_OVER, session->near + before);
    session->n_listed_table += approx_find(bundle->approx_table[e], vector, APPROX_TABLE,
                                           session->near_table + before_table);
    /* Each list names a row once. */
    if (before > 0)
        session->n_listed = bundle_unite(session->near, session->n_listed);
    if (before_table > 0)
        session->n_listed_table =
            bundle_unite(session->near_table, session->n_listed_table);
}

/* Adds embedder e's coarse distances for every session that is due: each vector of the bundle
 * is brought into the cache once for all of them. An approximate index looks at few, session by
 * session. */
static void measure(struct fuser_session *const *sessions, size_t n, size_t e)
{
    const struct fuser_bundle *bundle = sessions[0]->fuser->bundle;
    const struct coarse *coarse = &bundle->coarse[e];
    size_t rows = bundle->cells.n, tile;

    for (size_t i = 0; bundle->approximate && i < n; i++)
        if (is_due(sessions[i], e))
            find_candidates(sessions[i], e);
    if (bundle->approximate)
        return;
    tile = TILE_BYTES / coarse->width + 1;
    for (size_t i = 0; i < n; i++)
        if (is_due(sessions[i], e)) {
            struct fuser_session *session = sessions[i];

            coarse_ask(coarse, session->vectors[e], session->query.code, &session->query);
            session->error += session->query.error;
        }
    for (size_t first = 0; first < rows; first += tile)
        for (size_t i = 0; i < n; i++)
            if (is_due(sessions[i], e))
                bundle_scan(bundle, e, first, rows - first < tile ? rows - first : tile,
                            &sessions[i]->query, sessions[i]->distance + first);
}

/* Squared distances, summed over the embedders in the order in which the tables are made, so that a
 * calibration prompt finds what its line in the tables was made of. */
static void measure_exactly(const void *untyped, struct near *near, size_t n)
{
    const struct fuser_session *session = untyped;

    bundle_measure(session->fuser->bundle, session->subset,
                   (const float *const *)session->vectors, near, n);
}

/* The k nearest rows, exactly, of all or of those in the tables. */
static size_t nearest(const struct fuser_session *session, size_t k, bool in_tables,
                      struct near *ret)
{
    const struct fuser_bundle *bundle = session->fuser->bundle;
    const struct loo *loo = &bundle->loo;
    struct nearest nearest = { .distance = session->distance,
                               .n = bundle->cells.n,
                               .error = session->error,
                               .except = KERNEL_NO_ROW,
                               .measure = measure_exactly,
                               .context = session };

    if (in_tables) {
        float *distance = session->scratch;

        for (size_t i = 0; i < loo->n_rows; i++)
            distance[i] = session->distance[loo->rows[i]];
        nearest.distance = distance;
        nearest.n = loo->n_rows;
        nearest.rows = loo->rows;
    }
    return nearest_find(&nearest, k, ret);
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* The neighbours among the candidates, by their exact distances. */
static void gather_candidates(struct fuser_session *session)
{
    const struct fuser_bundle *bundle = session->fuser->bundle;
    const float *const *vectors = (const float *const *)session->vectors;

    session->n_listed = bundle_order(bundle, session->subset, vectors, KERNEL_NO_ROW,
                                     session->near, session->n_listed);
    session->n_near = least(session->n_listed, bundle->settings.reach);
    session->n_listed_table =
        bundle_order(bundle, session->subset, vectors, KERNEL_NO_ROW, session->near_table,
                     session->n_listed_table);
    session->n_near_table = least(session->n_listed_table, bundle->settings.walk_m);
}

/* The neighbours among all rows. */
static void gather_rows(struct fuser_session *session)
{
    const struct fuser_bundle *bundle = session->fuser->bundle;
    size_t m = bundle->settings.walk_m;
    float share = 1.0f / (float)__builtin_popcount(session->subset);

    session->n_near = nearest(session, bundle->settings.reach, false, session->near);
    if (bundle->loo.n_rows == bundle->cells.n && session->n_near >= m) {
        memcpy(session->near_table, session->near, m * sizeof *session->near);
        session->n_near_table = m;
    } else {
        session->n_near_table = nearest(session, m, true, session->near_table);
    }
    session->n_listed = session->n_near;
    for (size_t i = 0; i < session->n_near; i++)
        session->near[i].distance *= share;
}

/* The neighbours under everything that was bought so far. */
static void gather(struct fuser_session *session)
{
    session->subset |= 1u << session->pending;
    if (session->fuser->bundle->approximate)
        gather_candidates(session);
    else
        gather_rows(session);
    walk_set(session, SESSION_DECIDE, 0);
}

static bool search_due(struct fuser_session *const *sessions, size_t n)
{
    uint32_t due = 0;

    for (size_t i = 0; i < n; i++)
        if (sessions[i]->state == SESSION_SEARCH)
            due |= 1u << sessions[i]->pending;
    for (size_t e = 0; e < FUSER_MAX_EMBEDDERS; e++)
        if (due >> e & 1)
            measure(sessions, n, e);
    for (size_t i = 0; i < n; i++)
        if (sessions[i]->state == SESSION_SEARCH)
            gather(sessions[i]);
    return due != 0;
}

void fuser_next(struct fuser_session *const *sessions, size_t n,
                struct fuser_step *ret_steps)
{
    do {
        for (size_t i = 0; i < n; i++) {
            assert(sessions[i]->fuser == sessions[0]->fuser);
            while (sessions[i]->state == SESSION_DECIDE)
                decide(sessions[i]);
        }
    } while (search_due(sessions, n));
    for (size_t i = 0; i < n; i++) {
        const struct fuser_session *session = sessions[i];

        ret_steps[i] = (struct fuser_step){ FUSER_ANSWER, 0 };
        if (session->state == SESSION_ASKED)
            ret_steps[i] =
                (struct fuser_step){ FUSER_QUERY,
                                     (size_t)session->embedders[session->pending].named };
    }
}
