/* tls.h - what a listener shows and asks for: certificate, key, authorities of clients
 *
 *      main     tls_identity_load(files, &identity, &error)        at start and reload
 *               tls_new(identity)   tls_replace(tls, identity)     in force for new connections
 *      worker   identity = tls_current(tls)                        a connection is accepted
 *               tls_attach(identity, session)                      GnuTLS asks us from here on
 *               tls_identity_unref(identity)                       it is closed
 *
 * TLS 1.3 and 1.2, with forward secrecy and authenticated ciphers alone. With client
 * authorities a client without a certificate of theirs does not get past the handshake.
 * A connection keeps the identity that it began with, so a new certificate cuts nobody off.
 *
 * Threads: any, but a session is its worker's. The lock in tls.c guards which identity is in
 * force: a pointer and its reference.
 */
#ifndef GATEWAY_EDGE_TLS_H
#define GATEWAY_EDGE_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/base/err.h"

struct tls;          /* which identity is in force */
struct tls_identity; /* immutable, counted by reference */

struct tls_files {         /* PEM */
    const char *cert_file; /* the certificate, and those between it and the root */
    const char *key_file;
    const char *client_ca_file; /* NULL: clients show no certificate */
};

struct tls_error {
    char text[600];
    const char *setting; /* whose file is wrong: "cert_file"...; a literal */
};

/* What is worth a warning, and is taken over all the same. */
struct tls_state {
    char subject[200];
    int64_t from_s, until_s; /* wall time of the certificate's validity */
    bool key_is_open; /* others than owner and group can read the file of the key */
};

/* Blocks on files. IO, INVALID or NOMEM; error (may be NULL) says what to do. */
NODISCARD enum err tls_identity_load(const struct tls_files *files,
                                     struct tls_identity **ret_identity,
                                     struct tls_error *error);
void tls_identity_unref(struct tls_identity *identity); /* takes NULL */
const struct tls_state *tls_identity_state(const struct tls_identity *identity);

/* Takes the reference. NULL: out of memory. */
NODISCARD struct tls *tls_new(struct tls_identity **identity);
void tls_free(struct tls *tls); /* no listener is left; takes NULL */
void tls_replace(struct tls *tls,
                 struct tls_identity **identity); /* takes the reference */
/* With a reference of the caller's. */
struct tls_identity *tls_current(struct tls *tls);

/* session: GnuTLS's, before its handshake. Identity NULL: the handshake is to fail. */
void tls_attach(struct tls_identity *identity, void *session);

/* For libmicrohttpd's options: its priorities, and a gnutls_certificate_retrieve_function3 of
 * GnuTLS, whose headers are tls.c's alone. */
extern const char tls_priorities[];
void *tls_retrieve_function(void);

/* Do certificate and key of a client of ours belong together? The same errors. */
NODISCARD enum err tls_check_pair(const char *cert_file, const char *key_file,
                                  struct tls_error *error);
/* Has that file certificates to trust an expert by? The same errors. */
NODISCARD enum err tls_check_authority(const char *ca_file, struct tls_error *error);

#endif
