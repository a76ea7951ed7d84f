/* bundle_file.c - a bundle as one file.
 *
 *   0   "FRUGALBU"                     magic: another file is FOREIGN
 *   8   u32 version, u32 n_sections    another version is VERSION
 *   16  u64 checksum                   XXH3 of everything before the first section but
 * this 24  u64 bytes of the whole file    a shorter file is TRUNCATED 32  n_sections x
 * struct wire_section
 *       ... the sections, one after the other, without gaps
 *
 *   META  settings and counts          IDS_  row ids, one after the other, each ended by
 * 0 DOMN  domains and which has which  CELL  quality, input, output, latency SURF
 * surface@1                    LEXI  lexical@1 VECS  one per embedder             TABL
 * the leave-one-out tables PROB  probe texts                  HEAD  the head's state
 *
 * What must always hold: nothing of a file is believed before its checksum matched and
 * its numbers were found in range, for a checksum only tells accidents from intent.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <xxhash.h>

#include "fuser/bundle.h"
#include "fuser/err.h"
#include "fuser/rows.h"

#define VERSION     1
#define PREFIX      32 /* bytes before the table of contents */
#define HASHED_FROM 24

static const char magic[8] = { 'F', 'R', 'U', 'G', 'A', 'L', 'B', 'U' };

#define META WIRE_TAG('M', 'E', 'T', 'A')
#define IDS  WIRE_TAG('I', 'D', 'S', '_')
#define DOMN WIRE_TAG('D', 'O', 'M', 'N')
#define CELL WIRE_TAG('C', 'E', 'L', 'L')
#define SURF WIRE_TAG('S', 'U', 'R', 'F')
#define LEXI WIRE_TAG('L', 'E', 'X', 'I')
#define VECS WIRE_TAG('V', 'E', 'C', 'S')
#define TABL WIRE_TAG('T', 'A', 'B', 'L')
#define PROB WIRE_TAG('P', 'R', 'O', 'B')
#define HEAD WIRE_TAG('H', 'E', 'A', 'D')

_Static_assert(sizeof(struct wire_section) == 32, "the table of contents has no padding");

/* -- writing
 * ----------------------------------------------------------------------------- */

static void write_meta(const struct fuser_bundle *bundle, struct sink *sink)
{
    const struct bundle_settings *settings = &bundle->settings;

    sink_u64(sink, bundle->cells.n);
    sink_u32(sink, (uint32_t)bundle->cells.n_generators);
    sink_u32(sink, (uint32_t)bundle->n_embedders);
    sink_u32(sink, settings->k);
    sink_u32(sink, settings->walk_m);
    sink_f64(sink, settings->prior_rows);
    sink_u64(sink, settings->seed);
    sink_string(sink, bundle->text_version);
    sink_string(sink, bundle->head->name);
    for (size_t g = 0; g < bundle->cells.n_generators; g++)
        sink_string(sink, bundle->generators[g]);
    for (size_t e = 0; e < bundle->n_embedders; e++) {
        sink_string(sink, bundle->embedders[e].name);
        sink_string(sink, bundle->embedders[e].model);
        sink_u32(sink, (uint32_t)bundle->embedders[e].kind);
        sink_u32(sink, bundle->embedders[e].dim);
    }
}

static void write_domains(const struct fuser_bundle *bundle, struct sink *sink)
{
    sink_u32(sink, bundle->labelled);
    sink_u32(sink, (uint32_t)bundle->domains.n);
    sink_u32(sink, (uint32_t)bundle->domains.bytes);
    sink_bytes(sink, bundle->domains.block, bundle->domains.bytes);
    sink_bytes(sink, bundle->domain_of, bundle->cells.n * sizeof *bundle->domain_of);
}

static void write_cells(const struct cells *cells, struct sink *sink)
{
    size_t bytes = cells->n * cells->n_generators * sizeof(float);

    sink_bytes(sink, cells->quality, bytes);
    sink_bytes(sink, cells->input, bytes);
    sink_bytes(sink, cells->output, bytes);
    sink_bytes(sink, cells->latency, bytes);
}

static void write_vectors(const struct fuser_bundle *bundle, size_t e, struct sink *sink)
{
    sink_u32(sink, bundle->n_missing[e]);
    sink_bytes(sink, bundle->missing[e], bundle->n_missing[e] * sizeof(uint32_t));
    sink_bytes(sink, index_vectors(bundle->index[e]),
               bundle->cells.n * bundle->embedders[e].dim * sizeof(float));
}

static void write_tables(const struct loo *loo, struct sink *sink)
{
    size_t bytes = loo->n_subsets * loo->n_rows * loo->n_generators * sizeof(float);

    sink_u32(sink, (uint32_t)loo->n_rows);
    sink_bytes(sink, loo->rows, loo->n_rows * sizeof *loo->rows);
    sink_bytes(sink, loo->quality, bytes);
    sink_bytes(sink, loo->tokens, bytes);
    sink_bytes(sink, loo->far, loo->n_subsets * sizeof *loo->far);
}

static void write_probes(const struct fuser_bundle *bundle, struct sink *sink)
{
    for (size_t e = 0; e < bundle->n_embedders; e++)
        for (size_t p = 0; p < FUSER_PROBES; p++) {
            const struct bundle_probe *probe = &bundle->probes[e][p];

            sink_string(sink, probe->text ? probe->text : "");
            sink_u32(sink, probe->row);
        }
}

void bundle_write(const struct fuser_bundle *bundle, struct sink *sink)
{
    sink_begin(sink, META, 0);
    write_meta(bundle, sink);
    sink_end(sink);
    sink_begin(sink, IDS, 0);
    sink_bytes(sink, bundle->ids.block, bundle->ids.bytes);
    sink_end(sink);
    sink_begin(sink, DOMN, 0);
    write_domains(bundle, sink);
    sink_end(sink);
    sink_begin(sink, CELL, 0);
    write_cells(&bundle->cells, sink);
    sink_end(sink);
    sink_begin(sink, SURF, 0);
    surface_save(&bundle->surface, sink);
    sink_end(sink);
    if (bundle->lexical) {
        sink_begin(sink, LEXI, 0);
        lexical_save(bundle->lexical, sink);
        sink_end(sink);
    }
    for (size_t e = 0; e < bundle->n_embedders; e++) {
        sink_begin(sink, VECS, (uint32_t)e);
        write_vectors(bundle, e, sink);
        sink_end(sink);
    }
    sink_begin(sink, TABL, 0);
    write_tables(&bundle->loo, sink);
    sink_end(sink);
    sink_begin(sink, PROB, 0);
    write_probes(bundle, sink);
    sink_end(sink);
    if (bundle->head->save) {
        sink_begin(sink, HEAD, 0);
        bundle->head->save(bundle->head_state, sink);
        sink_end(sink);
    }
}

void bundle_identify(const struct wire_section *sections, size_t n, char ret_id[17])
{
    uint64_t sums[WIRE_SECTIONS_MAX];

    for (size_t i = 0; i < n; i++)
        sums[i] = sections[i].checksum;
    (void)snprintf(ret_id, 17, "%016" PRIx64,
                   (uint64_t)XXH3_64bits(sums, n * sizeof *sums));
}

static size_t section_count(const struct fuser_bundle *bundle)
{
    return 7 + bundle->n_embedders + (bundle->lexical != NULL) +
           (bundle->head->save != NULL);
}

/* The prefix and the table of contents, which are known when all sections are written. */
static void write_contents(const struct sink *sink, unsigned char *head)
{
    uint32_t numbers[2] = { VERSION, (uint32_t)sink->n_sections };
    uint64_t bytes = sink->offset, checksum;
    size_t table = sink->n_sections * sizeof *sink->sections;

    memcpy(head, magic, sizeof magic);
    memcpy(head + 8, numbers, sizeof numbers);
    memcpy(head + HASHED_FROM, &bytes, sizeof bytes);
    memcpy(head + PREFIX, sink->sections, table);
    checksum = XXH3_64bits(head + HASHED_FROM, PREFIX - HASHED_FROM + table);
    memcpy(head + 16, &checksum, sizeof checksum);
}

static enum fuser_err write_file(const struct fuser_bundle *bundle, FILE *file)
{
    unsigned char head[PREFIX + WIRE_SECTIONS_MAX * sizeof(struct wire_section)] = { 0 };
    size_t n = section_count(bundle), bytes = PREFIX + n * sizeof(struct wire_section);
    struct sink sink;
    enum fuser_err err;

    sink_init(&sink, file, bytes);
    if (fwrite(head, 1, bytes, file) != bytes)
        sink.err = FUSER_IO;
    bundle_write(bundle, &sink);
    err = sink.err;
    if (!err) {
        write_contents(&sink, head);
        if (sink.n_sections != n || fseeko(file, 0, SEEK_SET) != 0 ||
            fwrite(head, 1, bytes, file) != bytes)
            err = FUSER_IO;
    }
    sink_release(&sink);
    return err;
}

/* A rename is on disk only when its folder is. */
static int sync_folder(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *folder =
        slash ? strndup(path, slash == path ? 1 : (size_t)(slash - path)) : strdup(".");
    int fd = folder ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1, failed;

    free(folder);
    if (fd < 0)
        return -1;
    failed = fsync(fd);
    (void)close(fd);
    return failed;
}

enum fuser_err fuser_bundle_save(const struct fuser_bundle *bundle, const char *path,
                                 struct fuser_error *error)
{
    size_t length = strlen(path);
    char *aside = malloc(length + sizeof ".new");
    FILE *file = NULL;
    enum fuser_err err;

    ferr_clear(error);
    if (!aside)
        return ferr_nomem(error);
    memcpy(aside, path, length);
    memcpy(aside + length, ".new", sizeof ".new");
    file = fopen(aside, "wbe");
    if (!file) {
        err = ferr_set(error, FUSER_IO, "cannot create '%s': %s", aside, strerror(errno));
        goto done;
    }
    err = write_file(bundle, file);
    if (!err && (fflush(file) != 0 || fsync(fileno(file)) != 0))
        err = FUSER_IO;
    if (fclose(file) != 0 && !err)
        err = FUSER_IO;
    if (!err && (rename(aside, path) != 0 || sync_folder(path) != 0))
        err = FUSER_IO;
    if (err == FUSER_IO)
        (void)ferr_set(error, err, "cannot write '%s': %s", path, strerror(errno));
    else if (err)
        (void)ferr_nomem(error);
    if (err)
        (void)unlink(aside);
done:
    free(aside);
    return err;
}

/* -- reading
 * ----------------------------------------------------------------------------- */

struct reader {
    int fd;
    const char *path;
    struct fuser_error *error;
    uint64_t bytes; /* of the file */
    uint32_t n_sections;
    struct wire_section sections[WIRE_SECTIONS_MAX];
    struct fuser_bundle *bundle;
    char head_name[FUSER_MAX_NAME];
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

static enum fuser_err read_contents(struct reader *reader)
{
    unsigned char prefix[PREFIX];
    struct stat status;
    uint32_t version;
    uint64_t checksum, promised, at;
    XXH3_state_t *hash;
    size_t table;

    if (fstat(reader->fd, &status) != 0)
        return refuse(reader, FUSER_IO, strerror(errno));
    reader->bytes = (uint64_t)status.st_size;
    if (!read_at(reader->fd, prefix, sizeof magic, 0) ||
        memcmp(prefix, magic, sizeof magic) != 0)
        return refuse(reader, FUSER_FOREIGN, "it is not a bundle");
    if (!read_at(reader->fd, prefix, PREFIX, 0))
        return refuse(reader, FUSER_TRUNCATED, "it is truncated");
    memcpy(&version, prefix + 8, sizeof version);
    memcpy(&reader->n_sections, prefix + 12, sizeof reader->n_sections);
    memcpy(&checksum, prefix + 16, sizeof checksum);
    memcpy(&promised, prefix + HASHED_FROM, sizeof promised);
    if (version != VERSION)
        return ferr_set(reader->error, FUSER_VERSION,
                        "cannot load '%s': its version is %" PRIu32
                        ", this program reads %d",
                        reader->path, version, VERSION);
    if (reader->n_sections == 0 || reader->n_sections > WIRE_SECTIONS_MAX)
        return refuse(reader, FUSER_CORRUPT, "its table of contents is damaged");
    table = reader->n_sections * sizeof *reader->sections;
    if (!read_at(reader->fd, reader->sections, table, PREFIX))
        return refuse(reader, FUSER_TRUNCATED, "it is truncated");
    hash = XXH3_createState();
    if (!hash)
        return ferr_nomem(reader->error);
    (void)XXH3_64bits_reset(hash);
    (void)XXH3_64bits_update(hash, prefix + HASHED_FROM, PREFIX - HASHED_FROM);
    (void)XXH3_64bits_update(hash, reader->sections, table);
    at = XXH3_64bits_digest(hash);
    (void)XXH3_freeState(hash);
    if (at != checksum)
        return refuse(reader, FUSER_CORRUPT, "its table of contents is damaged");
    if (reader->bytes < promised)
        return refuse(reader, FUSER_TRUNCATED, "it is truncated");
    at = PREFIX + table;
    for (uint32_t i = 0; i < reader->n_sections; i++) {
        const struct wire_section *section = &reader->sections[i];

        if (section->offset != at || section->bytes > promised - at)
            return refuse(reader, FUSER_CORRUPT, "its table of contents is damaged");
        at += section->bytes;
    }
    return at == promised && promised == reader->bytes
               ? FUSER_OK
               : refuse(reader, FUSER_CORRUPT, "its length is wrong");
}

/* Reads one section, checks its checksum, and gives it to `decode`. */
static enum fuser_err read_section(struct reader *reader, uint32_t tag, uint32_t index,
                                   enum fuser_err (*decode)(struct reader *, uint32_t,
                                                            struct source *))
{
    const struct wire_section *section = reader->sections;
    const struct wire_section *end = section + reader->n_sections;
    enum fuser_err err = FUSER_CORRUPT;
    unsigned char *bytes;
    struct source source = { 0 };

    while (section < end && (section->tag != tag || section->index != index))
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
        err = decode(reader, index, &source);
        if (!err && !source_done(&source))
            err = FUSER_CORRUPT;
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

    (void)index;
    settings->k = source_u32(source);
    settings->walk_m = source_u32(source);
    settings->prior_rows = source_f64(source);
    settings->seed = source_u64(source);
    source_string(source, bundle->text_version, sizeof bundle->text_version);
    source_string(source, reader->head_name, sizeof reader->head_name);
    if (source->failed || n == 0 || n > ROWS_MAX || n_generators == 0 ||
        n_generators > FUSER_MAX_GENERATORS || n_embedders == 0 ||
        n_embedders > FUSER_MAX_EMBEDDERS || settings->k == 0 ||
        settings->k > BUNDLE_K_MAX || settings->walk_m == 0 ||
        settings->walk_m > BUNDLE_K_MAX ||
        !(settings->prior_rows >= 0 && settings->prior_rows <= BUNDLE_PRIOR_MAX))
        return FUSER_CORRUPT;
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

    (void)index;
    if (!block)
        return FUSER_CORRUPT;
    if (!bundle_names_take(ids, block, bytes, reader->bundle->cells.n))
        return FUSER_CORRUPT;
    for (size_t i = 1; i < ids->n; i++)
        if (strcmp(bundle_name(ids, i - 1), bundle_name(ids, i)) >= 0)
            return FUSER_CORRUPT;
    return FUSER_OK;
}

static enum fuser_err decode_domains(struct reader *reader, uint32_t index,
                                     struct source *source)
{
    struct fuser_bundle *bundle = reader->bundle;
    uint32_t labelled = source_u32(source), n = source_u32(source);
    uint32_t bytes = source_u32(source);
    char *block;

    (void)index;
    if (source->failed || labelled > 1 || n > BUNDLE_DOMAINS_MAX ||
        (n == 0) != (bytes == 0))
        return FUSER_CORRUPT;
    bundle->labelled = labelled;
    block = source_array(source, bytes, 1);
    if (!bundle_names_take(&bundle->domains, block, block ? bytes : 0, n))
        return FUSER_CORRUPT;
    bundle->domain_of = source_array(source, bundle->cells.n, sizeof *bundle->domain_of);
    for (size_t i = 0; bundle->domain_of && i < bundle->cells.n; i++)
        if (bundle->domain_of[i] >= n && bundle->domain_of[i] != PRIOR_NO_DOMAIN)
            return FUSER_CORRUPT;
    return FUSER_OK;
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
    return lexical_load(source, &reader->bundle->lexical);
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

    if (source->failed || n_missing >= n)
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
    return source_done(source) && ascending_below(loo->rows, n_rows, bundle->cells.n) &&
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

static enum fuser_err decode_head(struct reader *reader, uint32_t index,
                                  struct source *source)
{
    struct fuser_bundle *bundle = reader->bundle;

    (void)index;
    return bundle->head->load(bundle, source, &bundle->head_state);
}

static enum fuser_err read_sections(struct reader *reader)
{
    struct fuser_bundle *bundle = reader->bundle;
    bool lexical = false;
    enum fuser_err err;

    if ((err = read_section(reader, META, 0, decode_meta)) ||
        (err = read_section(reader, IDS, 0, decode_ids)) ||
        (err = read_section(reader, DOMN, 0, decode_domains)) ||
        (err = read_section(reader, CELL, 0, decode_cells)) ||
        (err = read_section(reader, SURF, 0, decode_surface)))
        return err;
    for (size_t e = 0; e < bundle->n_embedders; e++) {
        const struct fuser_embedder_info *info = &bundle->embedders[e];

        if (info->kind == FUSER_LEXICAL) {
            if (lexical)
                return refuse(reader, FUSER_CORRUPT, "it has two lexical embedders");
            lexical = true;
            err = read_section(reader, LEXI, 0, decode_lexical);
            if (err)
                return err;
            if (lexical_dim(bundle->lexical) != info->dim)
                return refuse(reader, FUSER_CORRUPT, "its numbers make no sense");
        }
        if ((info->kind == FUSER_LEXICAL && strcmp(info->model, LEXICAL_MODEL) != 0) ||
            (info->kind == FUSER_SURFACE && strcmp(info->model, SURFACE_MODEL) != 0))
            return ferr_set(reader->error, FUSER_MISMATCH,
                            "cannot load '%s': this program does not have embedder '%s'",
                            reader->path, info->model);
        err = read_section(reader, VECS, (uint32_t)e, decode_vectors);
        if (err)
            return err;
    }
    if ((err = read_section(reader, TABL, 0, decode_tables)) ||
        (err = read_section(reader, PROB, 0, decode_probes)))
        return err;
    if (bundle_derive(bundle))
        return ferr_nomem(reader->error);
    bundle->head = head_named(reader->head_name);
    if (!bundle->head)
        return ferr_set(reader->error, FUSER_VERSION,
                        "cannot load '%s': this program does not have head '%s'",
                        reader->path, reader->head_name);
    if (bundle->head->load && (err = read_section(reader, HEAD, 0, decode_head)))
        return err;
    return loo_derive(bundle, &bundle->loo) ? ferr_nomem(reader->error) : FUSER_OK;
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
