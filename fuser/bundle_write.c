/* bundle_write.c - a bundle into its file.
 *
 * What must always hold: a reader never sees half a bundle. It is written beside the old one,
 * synced, renamed over it, and the folder is synced.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <xxhash.h>

#include "fuser/bundle.h"
#include "fuser/bundle_file.h"
#include "fuser/err.h"

static void write_meta(const struct fuser_bundle *bundle, struct sink *sink)
{
    const struct bundle_settings *settings = &bundle->settings;

    sink_begin(sink, BUNDLE_META, 0);
    sink_u64(sink, bundle->cells.n);
    sink_u32(sink, (uint32_t)bundle->cells.n_generators);
    sink_u32(sink, (uint32_t)bundle->n_embedders);
    sink_u32(sink, settings->k);
    sink_u32(sink, settings->walk_m);
    sink_f64(sink, settings->prior_rows);
    sink_u64(sink, settings->seed);
    sink_u32(sink, bundle->approximate);
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
    sink_end(sink);
}

static void write_ids(const struct fuser_bundle *bundle, struct sink *sink)
{
    sink_begin(sink, BUNDLE_IDS, 0);
    sink_bytes(sink, bundle->ids.block, bundle->ids.bytes);
    sink_end(sink);
}

static void write_domains(const struct fuser_bundle *bundle, struct sink *sink)
{
    sink_begin(sink, BUNDLE_DOMN, 0);
    sink_u32(sink, bundle->labelled);
    sink_u32(sink, (uint32_t)bundle->domains.n);
    sink_u32(sink, (uint32_t)bundle->domains.bytes);
    sink_bytes(sink, bundle->domains.block, bundle->domains.bytes);
    sink_bytes(sink, bundle->domain_of, bundle->cells.n * sizeof *bundle->domain_of);
    if (bundle->centroids) {
        sink_u32(sink, bundle->cluster_embedder);
        sink_bytes(sink, bundle->centroids,
                   bundle->domains.n * bundle->embedders[bundle->cluster_embedder].dim *
                       sizeof(float));
    }
    sink_end(sink);
}

static void write_cells(const struct cells *cells, struct sink *sink)
{
    size_t bytes = cells->n * cells->n_generators * sizeof(float);

    sink_begin(sink, BUNDLE_CELL, 0);
    sink_bytes(sink, cells->quality, bytes);
    sink_bytes(sink, cells->input, bytes);
    sink_bytes(sink, cells->output, bytes);
    sink_bytes(sink, cells->latency, bytes);
    sink_end(sink);
}

static void write_vectors(const struct fuser_bundle *bundle, size_t e, struct sink *sink)
{
    sink_begin(sink, BUNDLE_VECS, (uint32_t)e);
    sink_u32(sink, bundle->n_missing[e]);
    sink_bytes(sink, bundle->missing[e], bundle->n_missing[e] * sizeof(uint32_t));
    sink_bytes(sink, index_vectors(bundle->index[e]),
               bundle->cells.n * bundle->embedders[e].dim * sizeof(float));
    sink_end(sink);
}

static void write_embedders(const struct fuser_bundle *bundle, struct sink *sink)
{
    sink_begin(sink, BUNDLE_SURF, 0);
    surface_save(&bundle->surface, sink);
    sink_end(sink);
    if (bundle->lexical) {
        sink_begin(sink, BUNDLE_LEXI, 0);
        lexical_save(bundle->lexical, sink);
        sink_end(sink);
    }
    for (size_t e = 0; e < bundle->n_embedders; e++)
        write_vectors(bundle, e, sink);
}

static void write_tables(const struct loo *loo, struct sink *sink)
{
    size_t bytes = loo->n_subsets * loo->n_rows * loo->n_generators * sizeof(float);

    sink_begin(sink, BUNDLE_TABL, 0);
    sink_u32(sink, (uint32_t)loo->n_rows);
    sink_bytes(sink, loo->rows, loo->n_rows * sizeof *loo->rows);
    sink_bytes(sink, loo->quality, bytes);
    sink_bytes(sink, loo->tokens, bytes);
    sink_bytes(sink, loo->far, loo->n_subsets * sizeof *loo->far);
    if (loo->plain != 0)
        sink_u64(sink, loo->plain);
    sink_end(sink);
}

static void write_probes(const struct fuser_bundle *bundle, struct sink *sink)
{
    sink_begin(sink, BUNDLE_PROB, 0);
    for (size_t e = 0; e < bundle->n_embedders; e++)
        for (size_t p = 0; p < FUSER_PROBES; p++) {
            const struct bundle_probe *probe = &bundle->probes[e][p];

            sink_string(sink, probe->text ? probe->text : "");
            sink_u32(sink, probe->row);
        }
    sink_end(sink);
}

static void write_approx(const struct fuser_bundle *bundle, struct sink *sink)
{
    for (size_t e = 0; bundle->approximate && e < bundle->n_embedders; e++) {
        sink_begin(sink, BUNDLE_APRX, (uint32_t)(2 * e));
        approx_save(bundle->approx[e], sink);
        sink_end(sink);
        sink_begin(sink, BUNDLE_APRX, (uint32_t)(2 * e + 1));
        approx_save(bundle->approx_table[e], sink);
        sink_end(sink);
    }
}

static void write_measured(const struct fuser_bundle *bundle, struct sink *sink)
{
    sink_begin(sink, BUNDLE_MEAS, 0);
    for (size_t e = 0; e < bundle->n_embedders; e++) {
        sink_f64(sink, bundle->measured[e].recall);
        sink_f64(sink, bundle->measured[e].search_us);
        sink_f64(sink, bundle->measured[e].flat_us);
    }
    sink_end(sink);
}

static void write_attached(struct sink *sink, uint32_t tag, const void *bytes, size_t n)
{
    if (n == 0)
        return;
    sink_begin(sink, tag, 0);
    sink_bytes(sink, bytes, n);
    sink_end(sink);
}

void bundle_write(const struct fuser_bundle *bundle, struct sink *sink)
{
    write_meta(bundle, sink);
    write_ids(bundle, sink);
    write_domains(bundle, sink);
    write_cells(&bundle->cells, sink);
    write_embedders(bundle, sink);
    write_tables(&bundle->loo, sink);
    write_probes(bundle, sink);
    write_approx(bundle, sink);
    write_measured(bundle, sink);
    if (bundle->head->save) {
        sink_begin(sink, BUNDLE_HEAD, 0);
        bundle->head->save(bundle->head_state, sink);
        sink_end(sink);
    }
    if (bundle->tuned) {
        sink_begin(sink, BUNDLE_TUNE, 0);
        tuned_save(bundle->tuned, sink);
        sink_end(sink);
    }
    write_attached(sink, BUNDLE_ORIG, bundle->attached.origin,
                   bundle->attached.origin_bytes);
    write_attached(sink, BUNDLE_TEXT, bundle->attached.text_extra,
                   bundle->attached.text_extra_bytes);
}

void bundle_identify(const struct wire_section *sections, size_t n, char ret_id[17])
{
    uint64_t sums[WIRE_SECTIONS_MAX];
    size_t counted = 0;

    for (size_t i = 0; i < n; i++)
        if (sections[i].tag != BUNDLE_MEAS)
            sums[counted++] = sections[i].checksum;
    (void)snprintf(ret_id, 17, "%016" PRIx64,
                   (uint64_t)XXH3_64bits(sums, counted * sizeof *sums));
}

enum fuser_err bundle_set_id(struct fuser_bundle *bundle)
{
    struct sink sink;
    enum fuser_err err;

    sink_init(&sink, NULL, 0);
    bundle_write(bundle, &sink);
    err = sink.err;
    if (!err)
        bundle_identify(sink.sections, sink.n_sections, bundle->id);
    sink_release(&sink);
    return err;
}

static size_t section_count(const struct fuser_bundle *bundle)
{
    return 8 + bundle->n_embedders + (bundle->approximate ? 2 * bundle->n_embedders : 0) +
           (bundle->lexical != NULL) + (bundle->head->save != NULL) +
           (bundle->tuned != NULL) + (bundle->attached.origin != NULL) +
           (bundle->attached.text_extra != NULL);
}

/* The lowest that a program must know to decide by it as this one does. */
static uint32_t version_of(const struct fuser_bundle *bundle)
{
    if (bundle->attached.text_extra)
        return BUNDLE_VERSION;
    return bundle->loo.plain != 0 ? BUNDLE_VERSION_PLAIN : BUNDLE_VERSION_OLDEST;
}

/* The prefix and the table of contents, which are known when all sections are written. */
static void write_contents(const struct fuser_bundle *bundle, const struct sink *sink,
                           unsigned char *head)
{
    uint32_t numbers[2] = { version_of(bundle), (uint32_t)sink->n_sections };
    uint64_t bytes = sink->offset, checksum;
    size_t table = sink->n_sections * sizeof *sink->sections;

    memcpy(head, BUNDLE_MAGIC, sizeof BUNDLE_MAGIC - 1);
    memcpy(head + 8, numbers, sizeof numbers);
    memcpy(head + BUNDLE_HASHED_FROM, &bytes, sizeof bytes);
    memcpy(head + BUNDLE_PREFIX, sink->sections, table);
    checksum = XXH3_64bits(head + BUNDLE_HASHED_FROM,
                           BUNDLE_PREFIX - BUNDLE_HASHED_FROM + table);
    memcpy(head + BUNDLE_CHECKSUM_AT, &checksum, sizeof checksum);
}

static enum fuser_err write_file(const struct fuser_bundle *bundle, FILE *file)
{
    unsigned char
        head[BUNDLE_PREFIX + WIRE_SECTIONS_MAX * sizeof(struct wire_section)] = { 0 };
    size_t n = section_count(bundle),
           bytes = BUNDLE_PREFIX + n * sizeof(struct wire_section);
    struct sink sink;
    enum fuser_err err;

    sink_init(&sink, file, bytes);
    if (fwrite(head, 1, bytes, file) != bytes)
        sink.err = FUSER_IO;
    bundle_write(bundle, &sink);
    err = sink.err;
    if (!err) {
        write_contents(bundle, &sink, head);
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
