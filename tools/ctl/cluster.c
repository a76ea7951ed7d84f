/* cluster.c - vectors, groups, names. */
#include "tools/ctl/cluster.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuser/fuser.h"
#include "tools/ctl/memory.h"
#include "tools/ctl/names.h"
#include "tools/ctl/sphere.h"

#define FEW         8    /* prompts: too few for groups */
#define SHORT_WORD  3    /* bytes: shorter ones tell nothing */
#define LONG_WORD   24   /* bytes of a word in a name */
#define LEAST_KNOWN 2    /* prompts that have a word */
#define SLACK       0.15 /* of the best silhouette */
#define NUMBER      32   /* bytes of a number behind a name */

struct grouping {
    struct haul *haul;
    const struct plain *plain;
    size_t *prompts; /* kept ones without a domain, by hash */
    size_t n;
    struct fuser *fuser;
    size_t dim;
    float *vectors; /* of the first `sample` prompts */
    size_t sample, k;
    float *centres; /* k x dim */
    size_t *group;  /* per prompt, in the order of `prompts` */
};

/* -- vectors ----------------------------------------------------------------------------- */

struct keyed {
    uint64_t hash;
    size_t prompt;
};

static int by_hash(const void *a, const void *b)
{
    const struct keyed *left = a, *right = b;

    if (left->hash != right->hash)
        return left->hash < right->hash ? -1 : 1;
    return (left->prompt > right->prompt) - (left->prompt < right->prompt);
}

static void pick(struct grouping *grouping)
{
    const struct haul *haul = grouping->haul;
    struct keyed *keyed = memory_new(haul->n, sizeof(*keyed));

    for (size_t i = 0; i < haul->n; i++) {
        if (haul->prompts[i].fate == HAUL_KEPT && haul->prompts[i].domain == NULL)
            keyed[grouping->n++] = (struct keyed){ haul->prompts[i].hash, i };
    }
    qsort(keyed, grouping->n, sizeof(*keyed), by_hash);
    grouping->prompts = memory_new(grouping->n, sizeof(*grouping->prompts));
    for (size_t i = 0; i < grouping->n; i++)
        grouping->prompts[i] = keyed[i].prompt;
    grouping->sample = grouping->n < CLUSTER_SAMPLE ? grouping->n : CLUSTER_SAMPLE;
    free(keyed);
}

/* The embedder comes with a bundle; of this one nothing else is used. */
static enum fuser_err fit(struct grouping *grouping, struct fuser_error *error)
{
    static const char *const nobody[] = { "nobody" };
    static const char *const lexical[] = { "lexical" };
    const struct fuser_embedder_info info = { .name = "lexical", .kind = FUSER_LEXICAL };
    const struct fuser_names names = { nobody, 1, lexical, 1, NULL };
    const struct fuser_build how = { .head = "domain", .prior_rows = -1, .seed = 1 };
    const struct fuser_cell cell = {
        .quality = 0.5f, .input_tokens = 1, .output_tokens = 1, .latency_ms = 1
    };
    struct fuser_rows *rows = NULL;
    struct fuser_bundle *bundle = NULL;
    enum fuser_err err = fuser_rows_new(nobody, 1, &info, 1, &rows, error);

    for (size_t i = 0; err == FUSER_OK && i < grouping->sample; i++) {
        const char *text = grouping->plain->at[grouping->prompts[i]];
        size_t row;
        err = fuser_rows_add(rows, grouping->haul->prompts[grouping->prompts[i]].id,
                             "all", text, strlen(text), &row, error);
        if (err == FUSER_OK)
            err = fuser_rows_set_cell(rows, row, 0, &cell, error);
    }
    if (err == FUSER_OK)
        err = fuser_bundle_build(rows, &how, &bundle, error);
    if (err == FUSER_OK)
        err = fuser_new(bundle, &names, &grouping->fuser, error);
    if (err == FUSER_OK)
        grouping->dim = fuser_bundle_embedder(bundle, 0)->dim;
    fuser_bundle_unref(bundle);
    fuser_rows_free(rows);
    return err;
}

static void embed(const struct grouping *grouping, size_t i, float *ret_vector)
{
    const char *text = grouping->plain->at[grouping->prompts[i]];

    fuser_embed(grouping->fuser, 0, text, strlen(text), ret_vector);
}

/* -- groups ------------------------------------------------------------------------------ */

/* The smallest number that is nearly as good as the best: more groups of the same kind tell less. */
static size_t enough(const double *quality, size_t first, size_t last)
{
    double best = quality[first];

    for (size_t k = first; k <= last; k++)
        best = quality[k] > best ? quality[k] : best;
    while (quality[first] < best - (best > 0 ? best * SLACK : 0))
        first++;
    return first;
}

static void find_centres(struct grouping *grouping, size_t k)
{
    size_t dim = grouping->dim, most = grouping->sample / FEW;
    double quality[CLUSTER_MOST + 1] = { 0 };

    most = most < CLUSTER_MOST ? most : CLUSTER_MOST;
    grouping->k = k < grouping->sample ? k : grouping->sample;
    grouping->centres =
        memory_new((k > most ? k : most) * dim, sizeof(*grouping->centres));
    if (k == 0) {
        for (size_t n = 2; n <= most; n++)
            quality[n] = sphere_kmeans(grouping->vectors, grouping->sample, dim, n,
                                       grouping->centres);
        grouping->k = enough(quality, 2, most);
    }
    (void)sphere_kmeans(grouping->vectors, grouping->sample, dim, grouping->k,
                        grouping->centres);
}

static void assign(struct grouping *grouping)
{
    float *vector = memory_new(grouping->dim, sizeof(*vector));

    grouping->group = memory_new(grouping->n, sizeof(*grouping->group));
    for (size_t i = 0; i < grouping->n; i++) {
        embed(grouping, i, vector);
        grouping->group[i] =
            sphere_nearest(vector, grouping->centres, grouping->dim, grouping->k);
    }
    free(vector);
}

/* -- names ------------------------------------------------------------------------------- */

struct telling_word {
    char text[LONG_WORD + 1];
    size_t last;  /* prompt that had it last, from 1: each counts once */
    size_t known; /* prompts that have it */
    size_t *in;   /* per group */
};

struct lexicon {
    const struct grouping *grouping;
    struct names index;
    struct telling_word *words;
    size_t n, room;
    size_t prompt; /* that is being read */
};

/* English words that stand in any text; of other languages the difference of shares has to do. */
static bool says_nothing(const char *word)
{
    static const char words[] = " the and for with from that this what which who how are "
                                "was were its you your can "
                                "has have had not but about into over than then them "
                                "they their there these those "
                                "please following would should could will when where why "
                                "does did one all any out ";
    const char *found = strstr(words, word);
    size_t n = strlen(word);

    for (; found != NULL; found = strstr(found + 1, word)) {
        if (found[-1] == ' ' && found[n] == ' ')
            return true;
    }
    return false;
}

static void note_word(void *context, struct str word)
{
    struct lexicon *lexicon = context;
    char text[LONG_WORD + 1];
    size_t at;

    if (word.n < SHORT_WORD || word.n > LONG_WORD || isdigit((unsigned char)word.p[0]))
        return;
    for (size_t i = 0; i < word.n; i++)
        text[i] = (char)tolower((unsigned char)word.p[i]);
    text[word.n] = '\0';
    if (says_nothing(text))
        return;
    if (!names_find(&lexicon->index, text, &at)) {
        at = lexicon->n;
        (void)names_add(&lexicon->index, text, at);
        if (lexicon->n == lexicon->room) {
            lexicon->room = lexicon->room > 0 ? lexicon->room * 2 : 1024;
            lexicon->words =
                memory_resize(lexicon->words, lexicon->room, sizeof(*lexicon->words));
        }
        struct telling_word *added = &lexicon->words[lexicon->n++];
        *added = (struct telling_word){ .in = memory_new(lexicon->grouping->k,
                                                         sizeof(*added->in)) };
        memcpy(added->text, text, word.n + 1);
    }
    struct telling_word *known = &lexicon->words[at];
    if (known->last == lexicon->prompt + 1)
        return;
    known->last = lexicon->prompt + 1;
    known->known++;
    known->in[lexicon->grouping->group[lexicon->prompt]]++;
}

/* How much more of the group than of all others has the word. */
static double telling(const struct telling_word *word, size_t group, size_t members,
                      size_t all)
{
    double inside = (double)word->in[group] / (double)members;
    double outside =
        all > members ? (double)(word->known - word->in[group]) / (double)(all - members)
                      : 0;

    return inside - outside;
}

static void name_group(const struct lexicon *lexicon, size_t group, size_t members,
                       char *name, size_t bytes)
{
    bool *taken = memory_new(lexicon->n, sizeof(*taken));

    name[0] = '\0';
    for (size_t round = 0; round < CLUSTER_WORDS; round++) {
        size_t best = SIZE_MAX;
        double most = 0;
        for (size_t w = 0; w < lexicon->n; w++) {
            double tells =
                telling(&lexicon->words[w], group, members, lexicon->grouping->n);
            if (!taken[w] && lexicon->words[w].known >= LEAST_KNOWN && tells > most) {
                most = tells;
                best = w;
            }
        }
        if (best == SIZE_MAX)
            break;
        taken[best] = true;
        size_t at = strlen(name);
        (void)snprintf(name + at, bytes - at, "%s%s", at > 0 ? "-" : "",
                       lexicon->words[best].text);
    }
    free(taken);
}

/* Two groups of one name are told apart by their number. */
static void name_all(struct grouping *grouping)
{
    struct lexicon lexicon = { .grouping = grouping };
    size_t *members = memory_new(grouping->k, sizeof(*members));
    struct names used = { 0 };

    for (size_t i = 0; i < grouping->n; i++) {
        members[grouping->group[i]]++;
        lexicon.prompt = i;
        plain_words(grouping->plain->at[grouping->prompts[i]], note_word, &lexicon);
    }
    for (size_t g = 0; g < grouping->k; g++) {
        char name[CLUSTER_WORDS * (LONG_WORD + 1) + NUMBER];
        if (members[g] == 0)
            continue;
        name_group(&lexicon, g, members[g], name, sizeof(name) - NUMBER);
        if (name[0] == '\0' || !names_add(&used, name, g)) {
            size_t at = strlen(name);
            (void)snprintf(name + at, NUMBER, "%s%zu", at > 0 ? "-" : "group-", g + 1);
        }
        for (size_t i = 0; i < grouping->n; i++) {
            if (grouping->group[i] == g)
                grouping->haul->prompts[grouping->prompts[i]].domain = memory_text(name);
        }
    }
    for (size_t w = 0; w < lexicon.n; w++)
        free(lexicon.words[w].in);
    free(lexicon.words);
    names_release(&lexicon.index);
    names_release(&used);
    free(members);
}

/* -- the whole --------------------------------------------------------------------------- */

enum fault_err cluster_domains(struct haul *haul, const struct plain *plain, size_t k,
                               struct fault *fault)
{
    struct grouping grouping = { .haul = haul, .plain = plain };
    struct fuser_error error = { 0 };
    enum fault_err err = FAULT_OK;

    pick(&grouping);
    if (grouping.n < 2 * FEW)
        k = 1;
    if (grouping.n > 0 && fit(&grouping, &error) != FUSER_OK)
        err = fault_set(fault, FAULT_FUSER, "--domain-by cluster: %s", error.text);
    if (grouping.n > 0 && err == FAULT_OK) {
        grouping.vectors =
            memory_new(grouping.sample * grouping.dim, sizeof(*grouping.vectors));
        for (size_t i = 0; i < grouping.sample; i++)
            embed(&grouping, i, grouping.vectors + i * grouping.dim);
        find_centres(&grouping, k);
        assign(&grouping);
        name_all(&grouping);
    }
    fuser_unref(grouping.fuser);
    free(grouping.prompts);
    free(grouping.vectors);
    free(grouping.centres);
    free(grouping.group);
    return err;
}
