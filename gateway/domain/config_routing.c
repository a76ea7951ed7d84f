/* config_routing.c - the section `stickiness`: what is remembered of conversations. */
#include "gateway/domain/config_read.h"

#define AT(member) offsetof(struct config_stickiness, member)

static const struct setting stickiness_settings[] = {
    { "entries", SETTING_INT, AT(entries), "100000", 0, 1e8, .restart = true,
      .help = "conversations that are remembered, 64 bytes each; 0: none" },
    { "keep_s", SETTING_INT, AT(keep_s), "3600", 1, 604800,
      .help = "a conversation that was silent for longer begins anew" },
    { "cache_s", SETTING_INT, AT(cache_s), "300", 0, 604800,
      .help = "how long experts hold a prompt's beginning in their cache after its last "
              "use: until then leaving one loses it" },
};

enum err config_read_stickiness(const struct config_node *node)
{
    return config_settings(node, stickiness_settings, ARRAY_LEN(stickiness_settings),
                           &node->reader->config->stickiness);
}

void config_stickiness_differ(const struct config *before, const struct config *after,
                              config_named fn, void *context)
{
    config_settings_differ("stickiness", stickiness_settings,
                           ARRAY_LEN(stickiness_settings), &before->stickiness,
                           &after->stickiness, fn, context);
}

void config_routing_help(struct buf *out)
{
    config_settings_help("stickiness", stickiness_settings,
                         ARRAY_LEN(stickiness_settings), out);
}
