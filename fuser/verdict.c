/* verdict.c - the generators ranked by utility, and what the ranking rests on.
 *
 * Pure: the session is not changed, and the same session with the same money left gives
 * the same verdict. What must always hold: no NAN in quality or utility; a generator that
 * was not allowed is not there.
 */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "fuser/session.h"

#define KNOWN_FEW 10 /* known cells near: fewer are a rumour */
/* Rows after which what a generator did itself counts as much as what another lent: as in the domain prior. */
#define LENT_ROWS      30.0
#define SPREAD_LEAST   0.05 /* deviation between experts, at least */
#define SPREAD_UNKNOWN 0.25 /* ... where there is but one */
#define WORTH_MOST                                                                       \
    120.0 /* rows: beyond, what an estimate is off by averages out no more */

static int64_t to_pico(double value)
{
    return value >= 9.2e18 ? INT64_MAX : (int64_t)llround(value);
}

static void estimate(const struct fuser_session *session, struct head_view *view,
                     struct head_estimate *estimates)
{
    const struct fuser_bundle *bundle = session->fuser->bundle;
    float limit = (float)session->terms.output_limit;
    const float *vectors[FUSER_MAX_EMBEDDERS] = { NULL };

    view->n_votes = 0;
    if (!session->subset) {
        head_estimate_blind(bundle, limit, estimates);
        return;
    }
    for (size_t e = 0; e < bundle->n_embedders; e++)
        if (session->subset >> e & 1)
            vectors[e] = session->vectors[e];
    view->bundle = bundle;
    view->subset = session->subset;
    view->near = session->near;
    view->n_near = session->n_near;
    view->n_listed = session->n_listed;
    view->vectors = vectors;
    view->distance = session->distance;
    view->error = session->error;
    view->scratch = session->scratch;
    view->row = KERNEL_NO_ROW;
    view->output_limit = limit;
    head_look(view);
    head_estimate(view, estimates);
    view->vectors = NULL; /* they end with this function */
}

static void rank_one(const struct fuser_session *session, size_t named,
                     const struct fuser_ask_generator *asked,
                     const struct head_estimate *estimate, int64_t remaining,
                     struct fuser_ranked *ret)
{
    double cost =
        (double)asked->prompt_pico + (double)asked->output_pico * estimate->output_tokens;
    double waiting = isnan(estimate->latency_ms) ? 0 : estimate->latency_ms / 1000;

    *ret = (struct fuser_ranked){
        .generator = named,
        .quality = estimate->quality,
        .quality_se = estimate->quality_se,
        .utility =
            estimate->quality - session->lambda * 1e-12 * cost - session->wait * waiting,
        .output_tokens = estimate->output_tokens,
        .latency_ms = estimate->latency_ms,
        .expected_pico = to_pico(cost),
        .worst_pico = asked->worst_pico,
        .known = estimate->known,
        .affordable = asked->worst_pico <= remaining,
        .good_enough = estimate->quality >= session->terms.min_quality,
    };
}

/* Affordable and good enough, then affordable, then the rest. */
static int class_of(const struct fuser_ranked *ranked)
{
    return ranked->affordable ? (ranked->good_enough ? 0 : 1) : 2;
}

static bool ranks_before(const struct fuser_ranked *a, const struct fuser_ranked *b)
{
    if (class_of(a) != class_of(b))
        return class_of(a) < class_of(b);
    return a->utility > b->utility;
}

/* -- lending ------------------------------------------------------------------------ */

/* How far experts are apart on this prompt: so far one may be from another that it is said to be like. */
static double spread_of(const struct head_estimate *estimates, size_t n)
{
    double sum = 0, squares = 0;

    for (size_t g = 0; g < n; g++) {
        sum += estimates[g].quality;
        squares += estimates[g].quality * estimates[g].quality;
    }
    if (n < 2)
        return SPREAD_UNKNOWN;
    return sqrt(fmax((squares - sum * sum / (double)n) / (double)(n - 1),
                     SPREAD_LEAST * SPREAD_LEAST));
}

/* The lender's estimate, which `own`, of a generator that n rows know, replaces row by row; NULL: none does. */
static struct head_estimate lend(const struct head_estimate *lender,
                                 const struct head_estimate *own, double n, double spread)
{
    double share = LENT_ROWS / (n + LENT_ROWS);
    double lent_se = hypot(lender->quality_se, spread);
    struct head_estimate one = *lender;

    one.known = 0;
    one.quality_se = lent_se;
    if (!own)
        return one;
    one.known = own->known;
    one.quality = share * lender->quality + (1 - share) * own->quality;
    one.quality_se = hypot(share * lent_se, (1 - share) * own->quality_se);
    one.rows = own->rows;
    one.output_tokens = share * lender->output_tokens + (1 - share) * own->output_tokens;
    if (!isnan(own->latency_ms))
        one.latency_ms = isnan(lender->latency_ms)
                             ? own->latency_ms
                             : share * lender->latency_ms + (1 - share) * own->latency_ms;
    return one;
}

static double promise_of(const struct fuser_ranked *ranked)
{
    return ranked->utility + ranked->quality_se;
}

/* Keeps one of those that are lent to, behind all that are ranked. */
static void rank_lent(const struct fuser_ranked *one, struct fuser_verdict *verdict)
{
    struct fuser_ranked *lent = verdict->ranked + verdict->n_ranked;
    size_t at = verdict->n_lent++;

    while (at > 0 && (class_of(one) < class_of(&lent[at - 1]) ||
                      (class_of(one) == class_of(&lent[at - 1]) &&
                       promise_of(one) > promise_of(&lent[at - 1])))) {
        lent[at] = lent[at - 1];
        at--;
    }
    lent[at] = *one;
}

/* Generators with rows to which another lends: what they are expected to do with the loan. Those that too few neighbours
 * know are for exploration: their bits in the result. */
static uint64_t take_loans(const struct fuser_session *session,
                           struct head_estimate *estimates, double spread,
                           double *ret_share)
{
    const struct fuser *fuser = session->fuser;
    struct head_estimate before[FUSER_MAX_GENERATORS];
    uint64_t thin = 0;

    memcpy(before, estimates, fuser->bundle->cells.n_generators * sizeof *before);
    for (size_t i = 0; i < session->choice.n; i++) {
        size_t g = session->choice.order[i];
        int lender = fuser->lender_in_bundle[session->named[g]];
        double n = (double)fuser_bundle_known_rows(fuser->bundle, g);

        ret_share[g] = 0;
        if (lender < 0)
            continue;
        estimates[g] = lend(&before[lender], &before[g], n, spread);
        ret_share[g] = LENT_ROWS / (n + LENT_ROWS);
        if ((session->subset ? (double)before[g].known : n) < KNOWN_FEW)
            thin |= UINT64_C(1) << g;
    }
    return thin;
}

/* Those that are for exploration, once the others are ranked. */
static void rank_explorers(const struct fuser_session *session,
                           const struct head_estimate *estimates, const double *share,
                           uint64_t thin, double spread, int64_t remaining,
                           struct fuser_verdict *verdict)
{
    struct fuser_ranked one;

    for (size_t g = 0; g < session->fuser->bundle->cells.n_generators; g++) {
        if ((thin >> g & 1) == 0)
            continue;
        rank_one(session, (size_t)session->named[g], &session->asked[g], &estimates[g],
                 remaining, &one);
        one.lent = share[g];
        rank_lent(&one, verdict);
    }
    for (size_t i = 0; i < session->n_lent; i++) {
        const struct session_lent *lent = &session->lent[i];
        int lender = session->fuser->lender_in_bundle[lent->named];
        struct head_estimate estimate = lend(&estimates[lender], NULL, 0, spread);

        rank_one(session, lent->named, &lent->asked, &estimate, remaining, &one);
        one.lent = 1;
        rank_lent(&one, verdict);
    }
}

/* Inserts in the order of ties, so that equal utilities stay in it. */
static void rank(const struct fuser_session *session, struct head_estimate *estimates,
                 int64_t remaining, struct fuser_verdict *verdict)
{
    double spread = spread_of(estimates, session->fuser->bundle->cells.n_generators);
    double share[FUSER_MAX_GENERATORS];
    uint64_t thin = take_loans(session, estimates, spread, share);

    for (size_t i = 0; i < session->choice.n; i++) {
        size_t g = session->choice.order[i], at = verdict->n_ranked;
        struct fuser_ranked one;

        if (thin >> g & 1)
            continue;
        rank_one(session, (size_t)session->named[g], &session->asked[g], &estimates[g],
                 remaining, &one);
        one.lent = share[g];
        while (at > 0 && ranks_before(&one, &verdict->ranked[at - 1])) {
            verdict->ranked[at] = verdict->ranked[at - 1];
            at--;
        }
        verdict->ranked[at] = one;
        verdict->n_ranked++;
    }
    rank_explorers(session, estimates, share, thin, spread, remaining, verdict);
}

/* -- switching: routing.md, point 5 ------------------------------------------------- */

/* Utility of a generator for a prompt that may be of any domain, each as likely. */
static double even_utility(const struct fuser_session *session, size_t g)
{
    const struct prior_mean *even = &session->fuser->bundle->even[g];
    const struct fuser_ask_generator *asked = &session->asked[g];
    double tokens = fmin(even->output_tokens, session->terms.output_limit);
    double waiting = isnan(even->latency_ms) ? 0 : even->latency_ms / 1000;

    return even->quality - session->wait * waiting -
           session->lambda * 1e-12 *
               ((double)asked->prompt_pico + (double)asked->output_pico * tokens);
}

/* The generator of the bundle that stands at a place of the ranking. */
static size_t bundle_generator(const struct fuser_session *session,
                               const struct fuser_ranked *ranked)
{
    return (size_t)session->fuser->generator_in_bundle[ranked->generator];
}

/* Place of the generator that is held, or of the best fixed one, among those in the same class as the first. */
static size_t place_of_default(const struct fuser_session *session,
                               const struct fuser_verdict *verdict)
{
    size_t best = 0;
    double best_utility = -INFINITY;

    for (size_t i = 0; i < verdict->n_ranked; i++) {
        size_t g = bundle_generator(session, &verdict->ranked[i]);
        double utility = even_utility(session, g);

        if (class_of(&verdict->ranked[i]) != class_of(&verdict->ranked[0]))
            continue;
        if (session->asked[g].held)
            return i;
        if (utility > best_utility) {
            best = i;
            best_utility = utility;
        }
    }
    return best;
}

/* Standard error of the difference in quality: the deviation of the differences among the
 * neighbours that know both, over the root of the rows that the estimates are worth. A head counts
 * rows as if they were prompts like this one; of a domain never seen none are, and no number of them says
 * more than some. */
static double paired_error(const struct fuser_session *session,
                           const struct head_estimate *estimates, size_t a, size_t b)
{
    const struct cells *cells = &session->fuser->bundle->cells;
    double n = 1, sum = 0, squares = 0.25; /* a fair coin's worth of one row */

    for (size_t i = 0; i < session->n_near; i++) {
        const float *quality =
            cells->quality + session->near[i].row * cells->n_generators;
        double off = (double)(quality[a] - quality[b]);

        if (isnan(off))
            continue;
        n += 1;
        sum += off;
        squares += off * off;
    }
    return sqrt(fmax(squares / n - sum / n * (sum / n), 0) /
                fmin(fmin(estimates[a].rows, estimates[b].rows), WORTH_MOST));
}

/* Brings forward the first whose gain over the best fixed generator is more than chance,
 * or that generator itself. */
static void hold_default(const struct fuser_session *session,
                         const struct head_estimate *estimates,
                         struct fuser_verdict *verdict)
{
    size_t fixed = place_of_default(session, verdict), chosen = 0;
    struct fuser_ranked first;

    if ((session->switch_z == 0 && !session->looked) || !session->subset || fixed == 0)
        return;
    while (chosen < fixed) {
        double gain = verdict->ranked[chosen].utility - verdict->ranked[fixed].utility;
        double error = paired_error(session, estimates,
                                    bundle_generator(session, &verdict->ranked[chosen]),
                                    bundle_generator(session, &verdict->ranked[fixed]));

        if (!session->looked && gain > session->switch_z * error)
            break;
        chosen++;
    }
    first = verdict->ranked[chosen];
    memmove(&verdict->ranked[1], &verdict->ranked[0], chosen * sizeof first);
    verdict->ranked[0] = first;
    verdict->kept_default = chosen == fixed;
}

static enum fuser_evidence judge(const struct fuser_session *session,
                                 const struct fuser_verdict *verdict)
{
    const struct loo *loo = &session->fuser->bundle->loo;

    if (!session->subset)
        return FUSER_EVIDENCE_NONE;
    if (verdict->n_ranked == 0 || verdict->ranked[0].known < KNOWN_FEW)
        return FUSER_EVIDENCE_TOO_FEW;
    if (loo_distance(session->near, session->n_near) > loo->far[session->subset - 1])
        return FUSER_EVIDENCE_TOO_FAR;
    return FUSER_EVIDENCE_GOOD;
}

static void show_neighbours(const struct fuser_session *session,
                            struct fuser_verdict *verdict)
{
    const struct fuser_bundle *bundle = session->fuser->bundle;
    size_t counted =
        session->n_near < bundle->settings.k ? session->n_near : bundle->settings.k;

    verdict->n_neighbours =
        counted < FUSER_MAX_NEIGHBOURS ? counted : FUSER_MAX_NEIGHBOURS;
    for (size_t i = 0; i < verdict->n_neighbours; i++) {
        uint32_t row = session->near[i].row, domain = bundle->domain_of[row];

        verdict->neighbours[i] = (struct fuser_neighbour){
            .id = bundle_name(&bundle->ids, row),
            .domain = bundle->labelled && domain != PRIOR_NO_DOMAIN
                          ? bundle_name(&bundle->domains, domain)
                          : NULL,
            .distance = session->near[i].distance,
            .weight = 1.0f / (float)counted,
        };
    }
}

void fuser_verdict(const struct fuser_session *session, int64_t remaining_pico,
                   struct fuser_verdict *ret_verdict)
{
    const struct fuser_bundle *bundle = session->fuser->bundle;
    struct head_view view;
    struct head_estimate estimates[FUSER_MAX_GENERATORS];

    memset(ret_verdict, 0, sizeof *ret_verdict);
    estimate(session, &view, estimates);
    rank(session, estimates, remaining_pico, ret_verdict);
    hold_default(session, estimates, ret_verdict);
    show_neighbours(session, ret_verdict);
    ret_verdict->n_steps = session->n_steps;
    memcpy(ret_verdict->steps, session->steps, sizeof session->steps);
    ret_verdict->stop = session->stop;
    ret_verdict->evidence = judge(session, ret_verdict);
    ret_verdict->paid_pico = session->paid_pico;
    if (bundle->labelled && view.n_votes > 0)
        ret_verdict->domain = bundle_name(&bundle->domains, view.votes[0].domain);
}
