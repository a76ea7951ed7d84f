/* bundle_read.c - a bundle from its file, which may be anything.
 *
 * What must always hold: nothing of a file is believed before its checksum matched and its
 * numbers were found in range, for a checksum only tells accidents from intent. Sections are
 * read one at a time, so that a load needs little more memory than the bundle.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <xxhash.h>

#include "fuser/bundle.h"
#include "fuser/bundle_file.h"
#include "fuser/err.h"
#include "fuser/rows.h"

struct reader {
    int fd;
    const char *path;
    struct fuser_error *error;
    uint64_t bytes; /* of the file */
    uint32_t n_sections;
    struct wire_section sections[WIRE_SECTIONS_MAX];
    struct fuser_bundle *bundle;
    char head_name[FUSER_MAX_NAME];
    unsigned lexical_version; /* before LEXI is read */
};

/* A section and what reads it; `index` tells several with one tag apart. */
struct part {
    uint32_t tag;
    enum fuser_err (*decode)(struct reader *reader, uint32_t index,
                             struct source *source);
};

/* n bytes at `offset`; false when they are not all there. */
static bool read_at(int fd, void *to, size_t n, uint64_t offset)
{
    unsigned char *at = to;

    while (n > 0) {
        ssize_t got = pread(fd, at, n, (off_t)offset);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        at += got;
        n -= (size_t)got;
        offset += (uint64_t)got;
    }
    return true;
}

static enum fuser_err refuse(struct reader *reader, enum fuser_err err, const char *why)
{
    return ferr_set(reader->error, err, "cannot load '%s': %s", reader->path, why);
}

static uint64_t contents_checksum(const unsigned char *prefix,
                                  const struct wire_section *sections, size_t n)
{
    unsigned char all[BUNDLE_PREFIX + WIRE_SECTIONS_MAX * sizeof *sections];
    size_t head = BUNDLE_PREFIX - BUNDLE_HASHED_FROM;

    memcpy(all, prefix + BUNDLE_HASHED_FROM, head);
    memcpy(all + head, sections, n * sizeof *sections);
    return XXH3_64bits(all, head + n * sizeof *sections);
}

/* Sections follow each other without gaps up to the end of the file. */
static bool sections_fit(const struct reader *reader, uint64_t promised)
{
    uint64_t at = BUNDLE_PREFIX + reader->n_sections * sizeof *reader->sections;

    for (uint32_t i = 0; i < reader->n_sections; i++) {
        const struct wire_section *section = &reader->sections[i];

        if (section->offset != at || at > promised || section->bytes > promised - at)
            return false;
        at += section->bytes;
    }
    return at == promised && promised == reader->bytes;
}

static enum fuser_err read_contents(struct reader *reader)
{
    unsigned char prefix[BUNDLE_PREFIX];
    struct stat status;
    uint32_t version;
    uint64_t checksum, promised;

    if (fstat(reader->fd, &status) != 0)
        return refuse(reader, FUSER_IO, strerror(errno));
    if (!S_ISREG(status.st_mode))
        return refuse(reader, FUSER_FOREIGN, "it is not a file");
    reader->bytes = (uint64_t)status.st_size;
    if (!read_at(reader->fd, prefix, sizeof BUNDLE_MAGIC - 1, 0) ||
        memcmp(prefix, BUNDLE_MAGIC, sizeof BUNDLE_MAGIC - 1) != 0)
        return refuse(reader, FUSER_FOREIGN, "it is not a bundle");
    if (!read_at(reader->fd, prefix, BUNDLE_PREFIX, 0))
        return refuse(reader, FUSER_TRUNCATED, "it is truncated");
    memcpy(&version, prefix + 8, sizeof version);
    memcpy(&reader->n_sections, prefix + 12, sizeof reader->n_sections);
    memcpy(&checksum, prefix + BUNDLE_CHECKSUM_AT, sizeof checksum);
    memcpy(&promised, prefix + BUNDLE_HASHED_FROM, sizeof promised);
    if (version < BUNDLE_VERSION_OLDEST || version > BUNDLE_VERSION)
        return ferr_set(reader->error, FUSER_VERSION,
                        "cannot load '%s': its version is %" PRIu32
                        ", this program reads %d",
                        reader->path, version, BUNDLE_VERSION);
    if (reader->n_sections == 0 || reader->n_sections > WIRE_SECTIONS_MAX)
        return refuse(reader, FUSER_CORRUPT, "its table of contents is damaged");
    if (!read_at(reader->fd, reader->sections,
                 reader->n_sections * sizeof *reader->sections, BUNDLE_PREFIX))
        return refuse(reader, FUSER_TRUNCATED, "it is truncated");
    if (contents_checksum(prefix, reader->sections, reader->n_sections) != checksum)
        return refuse(reader, FUSER_CORRUPT, "its table of contents is damaged");
    if (reader->bytes < promised)
        return refuse(reader, FUSER_TRUNCATED, "it is truncated");
    return sections_fit(reader, promised)
               ? FUSER_OK
               : refuse(reader, FUSER_CORRUPT, "its length is wrong");
}

/* Reads one section, checks its checksum, and gives it to `decode`. */
static enum fuser_err read_section(struct reader *reader, const struct part *part,
                                   uint32_t index)
{
    const struct wire_section *section = reader->sections;
    const struct wire_section *end = section + reader->n_sections;
    enum fuser_err err = FUSER_CORRUPT;
    unsigned char *bytes;
    struct source source = { 0 };

    while (section < end && (section->tag != part->tag || section->index != index))
        section++;
    if (section == end)
        return refuse(reader, FUSER_CORRUPT, "a section is missing");
    bytes = malloc(section->bytes ? section->bytes : 1);
    if (!bytes)
        return ferr_nomem(reader->error);
    if (!read_at(reader->fd, bytes, section->bytes, section->offset)) {
        err = refuse(reader, FUSER_IO, "it cannot be read");
    } else if (XXH3_64bits(bytes, section->bytes) != section->checksum) {
        err = refuse(reader, FUSER_CORRUPT, "a checksum does not match");
    } else {
        source.at = bytes;
        source.left = section->bytes;
        err = part->decode(reader, index, &source);
        if (!err && !source_done(&source))
            err = FUSER_CORRUPT;
        if (source.no_memory)
            err = FUSER_NOMEM;
        if (err == FUSER_NOMEM)
            (void)ferr_nomem(reader->error);
        else if (err)
            (void)refuse(reader, err, "its numbers make no sense");
    }
    free(bytes);
    return err;
}

static enum fuser_err decode_meta(struct reader *reader, uint32_t index,
                                  struct source *source)
{
    struct fuser_bundle *bundle = reader->bundle;
    struct bundle_settings *settings = &bundle->settings;
    uint64_t n = source_u64(source);
    uint32_t n_generators = source_u32(source), n_embedders = source_u32(source);
    uint32_t approximate;

    (void)index;
    settings->k = source_u32(source);
    settings->walk_m = source_u32(source);
    settings->prior_rows = source_f64(source);
    settings->seed = source_u64(source);
    approximate = source_u32(source);
    source_string(source, bundle->text_version, sizeof bundle->text_version);
    source_string(source, reader->head_name, sizeof reader->head_name);
    if (source->failed || n == 0 || n > ROWS_MAX || n_generators == 0 ||
        n_generators > FUSER_MAX_GENERATORS || n_embedders == 0 ||
        n_embedders > FUSER_MAX_EMBEDDERS || settings->k == 0 ||
        settings->k > BUNDLE_K_MAX || settings->walk_m == 0 ||
        settings->walk_m > BUNDLE_K_MAX ||
        !(settings->prior_rows >= 0 && settings->prior_rows <= BUNDLE_PRIOR_MAX) ||
        approximate > 1 || (approximate && !bundle_may_approximate(bundle)))
        return FUSER_CORRUPT;
    bundle->approximate = approximate;
    bundle->cells.n = n;
    bundle->cells.n_generators = n_generators;
    bundle->n_embedders = n_embedders;
    bundle->generators = calloc(n_generators, sizeof *bundle->generators);
    if (!bundle->generators)
        return FUSER_NOMEM;
    for (size_t g = 0; g < n_generators; g++) {
        source_string(source, bundle->generators[g], FUSER_MAX_NAME);
        if (!bundle->generators[g][0] ||
            (g > 0 && strcmp(bundle->generators[g - 1], bundle->generators[g]) >= 0))
            return FUSER_CORRUPT;
    }
    for (size_t e = 0; e < n_embedders; e++) {
        struct fuser_embedder_info *info = &bundle->embedders[e];
        uint32_t kind;

        source_string(source, info->name, sizeof info->name);
        source_string(source, info->model, sizeof info->model);
        kind = source_u32(source);
        info->dim = source_u32(source);
        if (!info->name[0] || kind > FUSER_LEXICAL || info->dim == 0 ||
            info->dim > FUSER_MAX_DIM ||
            (kind == FUSER_SURFACE && info->dim != SURFACE_DIM) ||
            (e > 0 && strcmp(bundle->embedders[e - 1].name, info->name) >= 0))
            return FUSER_CORRUPT;
        info->kind = (enum fuser_embedder_kind)kind;
    }
    return FUSER_OK;
}

static enum fuser_err decode_ids(struct reader *reader, uint32_t index,
                                 struct source *source)
{
    struct bundle_names *ids = &reader->bundle->ids;
    size_t bytes = source->left;
    char *block = source_array(source, bytes, 1);
    enum fuser_err err;

    (void)index;
    if (!block)
        return FUSER_CORRUPT;
    err = bundle_names_take(ids, block, bytes, reader->bundle->cells.n);
    if (err)
        return err;
    for (size_t i = 1; i < ids->n; i++)
        if (strcmp(bundle_name(ids, i - 1), bundle_name(ids, i)) >= 0)
            return FUSER_CORRUPT;
    return FUSER_OK;
}

/* What domains are where there are no labels. */
static enum fuser_err decode_clusters(struct fuser_bundle *bundle, struct source *source)
{
    uint32_t e = source_u32(source);
    size_t floats;

    if (source->failed || e >= bundle->n_embedders)
        return FUSER_CORRUPT;
    floats = bundle->domains.n * bundle->embedders[e].dim;
    bundle->cluster_embedder = e;
    bundle->centroids = source_array(source, floats, sizeof(float));
    return source_done(source) &&
                   wire_floats_within(bundle->centroids, floats, -4, 4, false)
               ? FUSER_OK
               : FUSER_CORRUPT;
}

static enum fuser_err decode_domains(struct reader *reader, uint32_t index,
                                     struct source *source)
{
    struct fuser_bundle *bundle = reader->bundle;
    uint32_t labelled = source_u32(source), n = source_u32(source);
    uint32_t bytes = source_u32(source);
    enum fuser_err err;
    char *block;

    (void)index;
    if (source->failed || labelled > 1 || n > BUNDLE_DOMAINS_MAX ||
        (n == 0) != (bytes == 0))
        return FUSER_CORRUPT;
    bundle->labelled = labelled;
    block = source_array(source, bytes, 1);
    err = bundle_names_take(&bundle->domains, block, block ? bytes : 0, n);
    if (err)
        return err;
    bundle->domain_of = source_array(source, bundle->cells.n, sizeof *bundle->domain_of);
    for (size_t i = 0; bundle->domain_of && i < bundle->cells.n; i++)
        if (bundle->domain_of[i] >= n && bundle->domain_of[i] != PRIOR_NO_DOMAIN)
            return FUSER_CORRUPT;
    return labelled || n == 0 ? FUSER_OK : decode_clusters(bundle, source);
}

static enum fuser_err decode_cells(struct reader *reader, uint32_t index,
                                   struct source *source)
{
    struct cells *cells = &reader->bundle->cells;
    size_t n = cells->n * cells->n_generators;

    (void)index;
    cells->quality = source_array(source, n, sizeof(float));
    cells->input = source_array(source, n, sizeof(float));
    cells->output = source_array(source, n, sizeof(float));
    cells->latency = source_array(source, n, sizeof(float));
    return source_done(source) && wire_floats_within(cells->quality, n, 0, 1, true) &&
                   wire_floats_within(cells->input, n, 0, ROWS_AMOUNT_MAX, false) &&
                   wire_floats_within(cells->output, n, 0, ROWS_AMOUNT_MAX, true) &&
                   wire_floats_within(cells->latency, n, 0, ROWS_AMOUNT_MAX, true)
               ? FUSER_OK
               : FUSER_CORRUPT;
}

static enum fuser_err decode_surface(struct reader *reader, uint32_t index,
                                     struct source *source)
{
    (void)index;
    return surface_load(&reader->bundle->surface, source) ? FUSER_OK : FUSER_CORRUPT;
}

static enum fuser_err decode_lexical(struct reader *reader, uint32_t index,
                                     struct source *source)
{
    (void)index;
    return lexical_load(source, reader->lexical_version, &reader->bundle->lexical);
}

static bool ascending_below(const uint32_t *numbers, size_t n, size_t limit)
{
    for (size_t i = 0; i < n; i++)
        if (numbers[i] >= limit || (i > 0 && numbers[i - 1] >= numbers[i]))
            return false;
    return true;
}

static enum fuser_err decode_vectors(struct reader *reader, uint32_t e,
                                     struct source *source)
{
    struct fuser_bundle *bundle = reader->bundle;
    const struct fuser_embedder_info *info = &bundle->embedders[e];
    size_t n = bundle->cells.n, floats = n * info->dim;
    uint32_t n_missing = source_u32(source);
    float *vectors = NULL;
    enum fuser_err err = FUSER_CORRUPT;

    if (source->failed || n_missing > n)
        return FUSER_CORRUPT;
    bundle->missing[e] = source_array(source, n_missing, sizeof(uint32_t));
    vectors = source_array(source, floats, sizeof(float));
    if (source_done(source) && ascending_below(bundle->missing[e], n_missing, n) &&
        wire_floats_within(vectors, floats, -1.001f, 1.001f, false)) {
        bundle->n_missing[e] = n_missing;
        err = index_new(info->dim, &bundle->index[e], reader->error);
        if (!err)
            err = index_add(bundle->index[e], n, vectors, reader->error);
    }
    free(vectors);
    return err;
}

static enum fuser_err decode_tables(struct reader *reader, uint32_t index,
                                    struct source *source)
{
    struct fuser_bundle *bundle = reader->bundle;
    struct loo *loo = &bundle->loo;
    size_t n_rows = source_u32(source), cells;

    (void)index;
    loo->n_subsets = ((size_t)1 << bundle->n_embedders) - 1;
    loo->n_generators = bundle->cells.n_generators;
    if (source->failed || n_rows == 0 || n_rows > FUSER_TABLE_ROWS ||
        n_rows > bundle->cells.n)
        return FUSER_CORRUPT;
    loo->n_rows = n_rows;
    cells = loo->n_subsets * n_rows * loo->n_generators;
    loo->rows = source_array(source, n_rows, sizeof *loo->rows);
    loo->quality = source_array(source, cells, sizeof(float));
    loo->tokens = source_array(source, cells, sizeof(float));
    loo->far = source_array(source, loo->n_subsets, sizeof(float));
    if (!source->failed && source->left > 0)
        loo->plain = source_u64(source);
    return source_done(source) && loo->plain >> (loo->n_subsets - 1) <= 1 &&
                   ascending_below(loo->rows, n_rows, bundle->cells.n) &&
                   wire_floats_within(loo->quality, cells, 0, 1, false) &&
                   wire_floats_within(loo->tokens, cells, 0, 2 * ROWS_AMOUNT_MAX,
                                      false) &&
                   wire_floats_within(loo->far, loo->n_subsets, 0, 8, false)
               ? FUSER_OK
               : FUSER_CORRUPT;
}

static enum fuser_err decode_probes(struct reader *reader, uint32_t index,
                                    struct source *source)
{
    struct fuser_bundle *bundle = reader->bundle;
    char text[4096];

    (void)index;
    for (size_t e = 0; e < bundle->n_embedders; e++)
        for (size_t p = 0; p < FUSER_PROBES; p++) {
            struct bundle_probe *probe = &bundle->probes[e][p];

            source_string(source, text, sizeof text);
            probe->row = source_u32(source);
            if (source->failed || probe->row >= bundle->cells.n)
                return FUSER_CORRUPT;
            if (!text[0])
                continue;
            probe->text = strdup(text);
            if (!probe->text)
                return FUSER_NOMEM;
        }
    return FUSER_OK;
}

/* An approximate index: of embedder at / 2, among all rows or among those of the tables. */
static enum fuser_err decode_approx(struct reader *reader, uint32_t at,
                                    struct source *source)
{
    struct fuser_bundle *bundle = reader->bundle;
    size_t e = at / 2, n = at % 2 ? bundle->loo.n_rows : bundle->cells.n;
    uint32_t *rows = calloc(n, sizeof *rows);
    struct approx_data data = { index_vectors(bundle->index[e]), bundle->embedders[e].dim,
                                rows, 0 };
    enum fuser_err err = FUSER_NOMEM;

    if (rows) {
        data.n = bundle_rows_with(bundle, e, at % 2 ? bundle->loo.rows : NULL, n, rows);
        err = approx_load(source, &data,
                          at % 2 ? &bundle->approx_table[e] : &bundle->approx[e],
                          reader->error);
    }
    free(rows);
    return err;
}

static enum fuser_err decode_measured(struct reader *reader, uint32_t index,
                                      struct source *source)
{
    struct fuser_bundle *bundle = reader->bundle;

    (void)index;
    for (size_t e = 0; e < bundle->n_embedders; e++) {
        struct bundle_measured *measured = &bundle->measured[e];

        measured->recall = source_f64(source);
        measured->search_us = source_f64(source);
        measured->flat_us = source_f64(source);
        if (!(measured->recall >= 0 && measured->recall <= 1) ||
            measured->search_us < 0 || measured->flat_us < 0)
            return FUSER_CORRUPT;
    }
    return FUSER_OK;
}

static enum fuser_err decode_head(struct reader *reader, uint32_t index,
                                  struct source *source)
{
    struct fuser_bundle *bundle = reader->bundle;

    (void)index;
    return bundle->head->load(bundle, source, &bundle->head_state);
}

static enum fuser_err decode_tuned(struct reader *reader, uint32_t index,
                                   struct source *source)
{
    (void)index;
    return tuned_load(source, &reader->bundle->tuned);
}

static enum fuser_err decode_origin(struct reader *reader, uint32_t index,
                                    struct source *source)
{
    (void)index;
    return attached_load_origin(&reader->bundle->attached, source);
}

static enum fuser_err decode_text_extra(struct reader *reader, uint32_t index,
                                        struct source *source)
{
    (void)index;
    return attached_load_text_extra(&reader->bundle->attached, source);
}

/* The sections that a bundle may do without whatever its settings. */
static enum fuser_err read_optional(struct reader *reader)
{
    static const struct part optional[] = { { BUNDLE_TUNE, decode_tuned },
                                            { BUNDLE_ORIG, decode_origin },
                                            { BUNDLE_TEXT, decode_text_extra } };
    enum fuser_err err = FUSER_OK;

    for (size_t p = 0; p < sizeof optional / sizeof *optional; p++) {
        bool found = false;

        for (size_t i = 0; i < reader->n_sections; i++)
            found = found || reader->sections[i].tag == optional[p].tag;
        if (found && !err)
            err = read_section(reader, &optional[p], 0);
    }
    return err;
}

/* What one embedder needs beside its vectors. */
static enum fuser_err read_embedder(struct reader *reader, size_t e)
{
    struct fuser_bundle *bundle = reader->bundle;
    const struct fuser_embedder_info *info = &bundle->embedders[e];
    enum fuser_err err = FUSER_OK;

    if ((info->kind == FUSER_LEXICAL && lexical_version(info->model) == 0) ||
        (info->kind == FUSER_SURFACE && strcmp(info->model, SURFACE_MODEL) != 0))
        return ferr_set(reader->error, FUSER_MISMATCH,
                        "cannot load '%s': this program does not have embedder '%s'",
                        reader->path, info->model);
    if (info->kind == FUSER_LEXICAL && bundle->lexical)
        return refuse(reader, FUSER_CORRUPT, "it has two lexical embedders");
    if (info->kind == FUSER_LEXICAL) {
        reader->lexical_version = lexical_version(info->model);
        err = read_section(reader, &(struct part){ BUNDLE_LEXI, decode_lexical }, 0);
        if (!err && lexical_dim(bundle->lexical) != info->dim)
            err = refuse(reader, FUSER_CORRUPT, "its numbers make no sense");
    }
    if (!err)
        err = read_section(reader, &(struct part){ BUNDLE_VECS, decode_vectors },
                           (uint32_t)e);
    for (uint32_t table = 0; !err && bundle->approximate && table < 2; table++)
        err = read_section(reader, &(struct part){ BUNDLE_APRX, decode_approx },
                           (uint32_t)(2 * e) + table);
    return err;
}

static enum fuser_err read_head(struct reader *reader)
{
    struct fuser_bundle *bundle = reader->bundle;

    bundle->head = head_named(reader->head_name);
    if (!bundle->head)
        return ferr_set(reader->error, FUSER_VERSION,
                        "cannot load '%s': this program does not have head '%s'",
                        reader->path, reader->head_name);
    return bundle->head->load
               ? read_section(reader, &(struct part){ BUNDLE_HEAD, decode_head }, 0)
               : FUSER_OK;
}

/* Each needs what those before it made. */
static const struct part parts[] = {
    { BUNDLE_META, decode_meta },    { BUNDLE_IDS, decode_ids },
    { BUNDLE_DOMN, decode_domains }, { BUNDLE_CELL, decode_cells },
    { BUNDLE_SURF, decode_surface }, { BUNDLE_TABL, decode_tables },
    { BUNDLE_PROB, decode_probes },  { BUNDLE_MEAS, decode_measured },
};

static enum fuser_err read_sections(struct reader *reader)
{
    enum fuser_err err = FUSER_OK;

    for (size_t i = 0; !err && i < sizeof parts / sizeof *parts; i++)
        err = read_section(reader, &parts[i], 0);
    for (size_t e = 0; !err && e < reader->bundle->n_embedders; e++)
        err = read_embedder(reader, e);
    if (!err && bundle_derive(reader->bundle))
        err = ferr_nomem(reader->error);
    if (!err)
        err = read_head(reader);
    if (!err)
        err = read_optional(reader);
    if (!err && loo_derive(reader->bundle, &reader->bundle->loo))
        err = ferr_nomem(reader->error);
    return err;
}

enum fuser_err fuser_bundle_load(const char *path, struct fuser_bundle **ret_bundle,
                                 struct fuser_error *error)
{
    struct reader reader = { .path = path, .error = error };
    enum fuser_err err;

    ferr_clear(error);
    reader.fd = open(path, O_RDONLY | O_CLOEXEC);
    if (reader.fd < 0)
        return ferr_set(error, FUSER_IO, "cannot open '%s': %s", path, strerror(errno));
    reader.bundle = bundle_new();
    err = reader.bundle ? read_contents(&reader) : ferr_nomem(error);
    if (!err)
        err = read_sections(&reader);
    (void)close(reader.fd);
    if (err) {
        fuser_bundle_unref(reader.bundle);
        return err;
    }
    bundle_identify(reader.sections, reader.n_sections, reader.bundle->id);
    *ret_bundle = reader.bundle;
    return FUSER_OK;
}
