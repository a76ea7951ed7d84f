/* eval_classes.h - what the methods of `frugalctl eval classification` share. */
#ifndef TOOLS_CTL_EVAL_CLASSES_H
#define TOOLS_CTL_EVAL_CLASSES_H

#include <stdint.h>

#include "fuser/fuser_classes.h"
#include "tools/ctl/fault.h"
#include "tools/ctl/progress.h"

#define EVAL_MAX_POINTS 64

struct eval_point {
    double at; /* lambda, size or kappa */
    double accuracy, mean_experts;
};

/* One method's outcome; the lists may be empty. */
struct eval_result {
    double accuracy, mean_experts;
    size_t n_curve, n_sizes, n_kappas;
    struct eval_point curve[EVAL_MAX_POINTS]; /* by lambda, ascending as given */
    struct eval_point sizes[EVAL_MAX_POINTS]; /* by number of experts, from 1 */
    struct eval_point kappas[EVAL_MAX_POINTS];
};

struct eval_task {
    const struct fuser_class_set *fit, *measure;
    uint32_t all; /* every expert's bit */
    size_t n_kappas, n_lambdas;
    uint32_t kappas[EVAL_MAX_POINTS];
    double lambdas[EVAL_MAX_POINTS];
    uint32_t neighbours, max_experts, threads, subsets;
    bool soft;
    double gain_se;
    const double *cost; /* [expert], or NULL */
    uint64_t seed;
    struct progress *bar;
};

/* name, help, function */
#define EVAL_METHODS(X)                                                                  \
    X(SINGLE, "single-best", "the expert that is best on the fit items", single)         \
    X(AVERAGE, "average", "mean accuracy of the experts", average)                       \
    X(CONFIDENT, "max-confidence", "the surest expert's class", confident)               \
    X(MAJORITY, "majority", "majority vote", majority)                                   \
    X(WEIGHTED, "weighted", "vote weighted by confidence", weighted)                     \
    X(MEAN, "mean-probability", "mean of the probabilities (ensemble)", mean)            \
    X(KNN, "knn", "kNN fuser on all experts", knn)                                       \
    X(ROUTE, "knn-route", "kNN routing to one expert", knn_route)                        \
    X(RIDGE, "ridge", "ridge fuser in closed form", ridge)                               \
    X(LINEAR, "linear", "logistic fuser", linear)                                        \
    X(MLP, "mlp", "perceptron fuser, two hidden layers", mlp)                            \
    X(RANDOM_VOTE, "random-vote", "vote of random subsets", random_vote)                 \
    X(RANDOM_KNN, "random-knn", "kNN fuser on random subsets", random_knn)               \
    X(GREEDY, "static-greedy", "one subset for all, grown by leave-one-out loss",        \
      greedy)                                                                            \
    X(FRUGALML, "frugalml", "FrugalML: base, thresholds, one add-on", frugalml)          \
    X(FRUGALFOE, "frugalfoe", "FrugalFoE: buys experts while they pay", frugalfoe)       \
    X(DOMAIN_ORACLE, "domain-oracle", "the best expert of the item's own block",         \
      domain_oracle)                                                                     \
    X(ANY_ORACLE, "any-oracle", "right if any expert is", any_oracle)

#define X(id, name, help, function)                                                      \
    NODISCARD enum fault_err eval_##function(const struct eval_task *task,               \
                                             struct eval_result *ret_result,             \
                                             struct fault *fault);
EVAL_METHODS(X)
#undef X

#endif
