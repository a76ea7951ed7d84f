/* config_store.c - the section `store`: a path, or an object with one. */
#include "gateway/domain/config_read.h"

static const char *const durabilities[] = { "batched", "full", NULL };
static const char *const on_failures[] = { "refuse", "continue", NULL };
static const char *const feedbacks[] = {
#define X(name, word) word,
    CONFIG_FEEDBACKS(X)
#undef X
        NULL
};

struct draft { /* words of the file */
    struct config_store store;
    int durability, on_failure, feedback;
};

#define AT(member) offsetof(struct draft, member)

static const struct setting store_settings[] = {
    { "path", SETTING_PATH, AT(store.path), .restart = true,
      .help = "SQLite file of keys, ledger and decisions" },
    { "durability", SETTING_WORD, AT(durability), "batched", .words = durabilities,
      .restart = true,
      .help = "batched: a kill may take the last commit_ms; full: nothing that was "
              "acknowledged is ever lost, and each paid call waits for the disk" },
    { "commit_ms", SETTING_INT, AT(store.commit_ms), "50", 1, 60000, .restart = true,
      .help = "a row waits at most so long for its commit" },
    { "commit_rows", SETTING_INT, AT(store.commit_rows), "500", 1, 100000,
      .restart = true, .help = "rows that wait are committed when they are so many" },
    { "queue_rows", SETTING_INT, AT(store.queue_rows), "10000", 16, 1e6, .restart = true,
      .help = "rows in memory, with those of requests under way" },
    { "queue_bytes", SETTING_INT, AT(store.queue_bytes), "67108864", 65536, 1e12,
      .restart = true, .help = "bytes of the rows in memory" },
    { "on_failure", SETTING_WORD, AT(on_failure), "refuse", .words = on_failures,
      .restart = true,
      .help = "when nothing can be written: refuse requests (503), or continue and count "
              "the rows that are lost" },
    { "keep_days", SETTING_INT, AT(store.keep_days), "90", 0, 36500, .restart = true,
      .help = "decisions that are older are removed, their sums stay; 0: never" },
    { "keep_bytes", SETTING_INT, AT(store.keep_bytes), "4294967296", 0, 1e15,
      .restart = true,
      .help = "the oldest decisions are removed when the file holds more; 0: never" },
    { "keep_prompts", SETTING_BOOL, AT(store.keep_prompts), "false",
      .help = "records hold the text of prompts, and their messages up to 64 KiB" },
    { "keep_vectors", SETTING_BOOL, AT(store.keep_vectors), "false",
      .help = "records hold the vectors of prompts, so that feedback can become "
              "calibration rows without their text" },
    { "keep_neighbours", SETTING_INT, AT(store.keep_neighbours), "8", 0, 32,
      .help = "calibration prompts that a record names" },
    { "feedback", SETTING_WORD, AT(feedback), "shared", .words = feedbacks,
      .help =
          "what scores teach that are given without a key: off (they are refused), own "
          "(builds for requests without a key) or shared (every build with feedback)" },
    { "feedback_per_day", SETTING_INT, AT(store.feedback_per_day), "1000", 0, 1e9,
      .help = "scores that one key may give in a day; 0: as many as it likes" },
    { "learn_s", SETTING_INT, AT(store.learn_s), "0", 0, 86400,
      .help =
          "so often, and at each reload, scores become calibration rows of the bundle in "
          "force, where the prompt's text or vectors are kept; 0: only a build takes "
          "them" },
};

/* Its own text, or an object's `path`. Without either there is no store. */
enum err config_read_store(const struct config_node *node)
{
    struct config *config = node->reader->config;
    struct config_node settings = *node;
    struct draft draft = { .durability = 0 };
    const char *path = NULL;
    enum err err = ERR_OK;

    if (json_is_string(node->json)) {
        err = config_path(node, &path);
        settings.json = NULL;
    } else if (node->json && !json_is_object(node->json)) {
        return config_fail(node, "must be a path or an object");
    }
    if (err == ERR_OK)
        err =
            config_settings(&settings, store_settings, ARRAY_LEN(store_settings), &draft);
    if (err != ERR_OK)
        return err;
    if (path)
        draft.store.path = path;
    if (settings.json && !draft.store.path)
        return config_fail(node, "must have a 'path'");
    config->store = draft.store;
    config->store.full = draft.durability == 1;
    config->store.refuse = draft.on_failure == 0;
    config->store.feedback = (enum config_feedback)draft.feedback;
    return ERR_OK;
}

/* The words are another type in the configuration. */
static struct draft draft_of(const struct config *config)
{
    return (struct draft){ .store = config->store,
                           .durability = config->store.full,
                           .on_failure = !config->store.refuse,
                           .feedback = (int)config->store.feedback };
}

void config_store_differ(const struct config *before, const struct config *after,
                         config_named fn, void *context)
{
    struct draft a = draft_of(before), b = draft_of(after);

    config_settings_differ("store", store_settings, ARRAY_LEN(store_settings), &a, &b, fn,
                           context);
}

void config_store_help(struct buf *out)
{
    config_settings_help("store", store_settings, ARRAY_LEN(store_settings), out);
}
