/* store_keys.h - the table of keys: read by the daemon, written by frugalctl.
 *
 *   daemon      store_keys_changed(view, &version), then store_keys_read     on its reader
 *   frugalctl   store_keys_add, store_keys_edit           beside a running gateway
 *
 * A change is one transaction: who reads sees the key before or after it. Threads: those of
 * the connection. Errors: the database's; ABSENT: there is no key of that id; REFUSED: a
 * row that does not make a key (text says which), or a hash or an id that is there already.
 */
#ifndef GATEWAY_IO_STORE_KEYS_H
#define GATEWAY_IO_STORE_KEYS_H

#include <stdbool.h>
#include <stdint.h>

#include "gateway/domain/key.h"
#include "gateway/io/store_file.h"

/* Could the table have changed since *version was set? 0 at first: yes. Cheap: SQLite
 * counts the commits of other connections, whatever they changed. */
NODISCARD enum store_err store_keys_changed(struct store_file *file, int64_t *version,
                                            bool *ret_changed, struct store_error *error);
/* Adds every key to the set, by id; release it also on failure. */
NODISCARD enum store_err store_keys_read(struct store_file *file, struct key_set *set,
                                         struct store_error *error);
NODISCARD enum store_err store_keys_add(struct store_file *file, const struct key *key,
                                        struct store_error *error);
/* Reads the key of that id, lets `edit` change it (but for its id) and writes it back, in
 * one transaction. What edit sets must live until this returns; its false, with *error set,
 * changes nothing and gives REFUSED. */
typedef bool (*store_keys_edit_fn)(void *context, struct key *key,
                                   struct store_error *error);
NODISCARD enum store_err store_keys_edit(struct store_file *file, struct str id,
                                         store_keys_edit_fn edit, void *context,
                                         struct store_error *error);

#endif
