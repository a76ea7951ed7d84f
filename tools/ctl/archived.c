/* archived.c - records out of the database's file or over HTTP; see archived.h. */
#include "tools/ctl/archived.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/base/buf.h"
#include "gateway/base/clock.h"
#include "gateway/flow/recall.h"
#include "tools/ctl/fetch.h"
#include "tools/ctl/memory.h"

#define WAIT_MS 30000

/* -- over HTTP --------------------------------------------------------------------------- */

static enum fault_err fetch(struct archived *archived, const char *url,
                            json_t **ret_document, struct fault *fault)
{
    const struct fetch question = { "GET", url, .wait_ms = WAIT_MS };
    json_t *document = NULL;
    unsigned status = 0;
    enum fault_err err =
        fetch_json(&archived->network, &question, &status, &document, fault);

    if (err != FAULT_OK)
        return err;
    if (status != 200)
        err = fetch_refused(url, status, document, fault);
    else if (document == NULL)
        err = fault_set(fault, FAULT_IO, "'%s' answered something else than JSON", url);
    if (err == FAULT_OK)
        *ret_document = document;
    else
        json_decref(document);
    return err;
}

static void put_escaped(struct buf *out, const char *text)
{
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;

        if (isalnum(c) || strchr("-_.~", c) != NULL)
            buf_putf(out, "%c", c);
        else
            buf_putf(out, "%%%02X", c);
    }
}

static enum fault_err fetch_list(struct archived *archived,
                                 const struct archived_param *params, size_t n,
                                 json_t **ret_list, struct fault *fault)
{
    char separator = '?';
    struct buf url;
    enum fault_err err;

    buf_init(&url, 65536);
    buf_putf(&url, "%s/v1/decisions", archived->url);
    for (size_t i = 0; i < n; i++) {
        if (params[i].value == NULL)
            continue;
        buf_putf(&url, "%c%s=", separator, params[i].name);
        put_escaped(&url, params[i].value);
        separator = '&';
    }
    IGNORE(buf_add(&url, "", 1));
    if (url.failed)
        err = fault_set(fault, FAULT_USAGE, "the options are too long");
    else
        err = fetch(archived, url.p, ret_list, fault);
    buf_release(&url);
    return err;
}

static enum fault_err fetch_one(struct archived *archived, const char *id,
                                json_t **ret_record, struct fault *fault)
{
    struct buf url;
    enum fault_err err;

    buf_init(&url, 65536);
    buf_putf(&url, "%s/v1/decisions/", archived->url);
    put_escaped(&url, id);
    IGNORE(buf_add(&url, "", 1));
    if (url.failed)
        err = fault_set(fault, FAULT_USAGE, "the id is too long");
    else
        err = fetch(archived, url.p, ret_record, fault);
    buf_release(&url);
    return err;
}

/* -- out of the file --------------------------------------------------------------------- */

static enum fault_err look(struct archived *archived, struct recall *recall,
                           json_t **ret_document, struct fault *fault)
{
    json_error_t error;
    enum fault_err err = FAULT_OK;
    json_t *document;

    if (recall->error.code == API_OK)
        recall_look(recall, &archived->view);
    if (recall->error.code != API_OK)
        err = fault_set(fault, FAULT_STORE, "%s",
                        recall->error.message[0] != '\0'
                            ? recall->error.message
                            : api_error_text(recall->error.code));
    if (err == FAULT_OK) {
        document = json_loadb(recall->out.p, recall->out.n, 0, &error);
        if (document == NULL)
            err = fault_set(fault, FAULT_STORE, "the record is no JSON: %s", error.text);
        else
            *ret_document = document;
    }
    recall_release(recall);
    return err;
}

static enum fault_err look_list(struct archived *archived,
                                const struct archived_param *params, size_t n,
                                json_t **ret_list, struct fault *fault)
{
    const int64_t now_us = clock_wall_us(&clock_system);
    struct recall recall = { .ask = RECALL_LIST, .everyone = true };

    record_query_init(&recall.query);
    for (size_t i = 0; i < n && recall.error.code == API_OK; i++) {
        if (params[i].value != NULL)
            (void)!record_query_take(&recall.query, str_of(params[i].name),
                                     str_of(params[i].value), now_us, &recall.error);
    }
    if (recall.error.code == API_OK)
        (void)!record_query_end(&recall.query, &recall.error);
    if (recall.error.code != API_OK)
        return fault_set(fault, FAULT_USAGE, "%s", recall.error.message);
    return look(archived, &recall, ret_list, fault);
}

/* -- both -------------------------------------------------------------------------------- */

static enum fault_err open_file(struct archived *archived, const char *path,
                                struct fault *fault)
{
    struct store_error error = { "" };

    if (store_file_open(path, STORE_FILE_READ, &archived->view.file, &error) == STORE_OK)
        return FAULT_OK;
    return fault_set(fault, FAULT_STORE, "%s", error.text);
}

static enum fault_err open_configured(struct archived *archived, const char *path,
                                      struct fault *fault)
{
    struct config *config = NULL;
    enum fault_err err = network_config(path, &config, fault);

    if (err == FAULT_OK && config->store.path == NULL)
        err = fault_set(fault, FAULT_CONFIG, "'%s' has no store", path);
    if (err == FAULT_OK)
        err = open_file(archived, config->store.path, fault);
    config_unref(config);
    return err;
}

enum fault_err archived_open(struct archived *archived,
                             const struct archived_options *options, struct fault *fault)
{
    const int given =
        (options->store != NULL) + (options->config != NULL) + (options->url != NULL);

    *archived = (struct archived){ .url = NULL };
    if (given == 0)
        return fault_set(fault, FAULT_USAGE,
                         "say where the records are: --store, --config or --url");
    if (given > 1)
        return fault_set(fault, FAULT_USAGE,
                         "of --store, --config and --url only one can be given");
    if (options->store != NULL)
        return open_file(archived, options->store, fault);
    if (options->config != NULL)
        return open_configured(archived, options->config, fault);
    return network_listener(&archived->network, options->url, &archived->url, fault);
}

void archived_release(struct archived *archived)
{
    store_file_close(archived->view.file);
    network_release(&archived->network);
    free(archived->url);
    *archived = (struct archived){ .url = NULL };
}

enum fault_err archived_list(struct archived *archived,
                             const struct archived_param *params, size_t n,
                             json_t **ret_list, struct fault *fault)
{
    if (archived->url != NULL)
        return fetch_list(archived, params, n, ret_list, fault);
    return look_list(archived, params, n, ret_list, fault);
}

enum fault_err archived_one(struct archived *archived, const char *id,
                            json_t **ret_record, struct fault *fault)
{
    struct recall recall = { .ask = RECALL_ONE, .everyone = true, .id = str_of(id) };

    if (archived->url != NULL)
        return fetch_one(archived, id, ret_record, fault);
    return look(archived, &recall, ret_record, fault);
}

const char *archived_text(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text != NULL ? text : "";
}

double archived_number(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);

    return json_is_number(value) ? json_number_value(value) : (double)NAN;
}
