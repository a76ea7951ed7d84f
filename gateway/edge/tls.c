/* tls.c - see tls.h. The only file that knows GnuTLS. */
#include "gateway/edge/tls.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

#define CHAIN_MAX 16 /* certificates of a chain, ours or a client's */

/* AES-128 first: its SHA-256 halves the cost of a handshake. */
const char tls_priorities[] =
    "NONE:+VERS-TLS1.3:+VERS-TLS1.2:+AEAD:+ECDHE-ECDSA:+ECDHE-RSA:"
    "+AES-128-GCM:+AES-256-GCM:+CHACHA20-POLY1305:"
    "+GROUP-X25519:+GROUP-SECP256R1:+GROUP-SECP384R1:"
    "+SIGN-ALL:-SIGN-RSA-SHA1:-SIGN-ECDSA-SHA1:-SIGN-DSA-SHA1:"
    "+COMP-NULL:+CTYPE-X509:%SERVER_PRECEDENCE";

struct tls_identity {
    atomic_uint refs;
    gnutls_pcert_st chain[CHAIN_MAX];
    unsigned n_chain;
    gnutls_privkey_t key;
    gnutls_x509_trust_list_t clients; /* NULL: none are asked for a certificate */
    struct tls_state state;
};

struct tls {
    pthread_mutex_t lock; /* guards: current, while a reference is taken */
    struct tls_identity *current;
};

/* -- errors ------------------------------------------------------------------------------ */

static enum err fail(struct tls_error *error, enum err err, const char *setting,
                     const char *format, ...) PRINTF_LIKE(4, 5);

static enum err fail(struct tls_error *error, enum err err, const char *setting,
                     const char *format, ...)
{
    va_list arguments;

    if (error == NULL || error->text[0] != '\0')
        return err;
    error->setting = setting;
    va_start(arguments, format);
    (void)vsnprintf(error->text, sizeof error->text, format, arguments);
    va_end(arguments);
    return err;
}

/* -- files ------------------------------------------------------------------------------- */

/* A file's bytes; given back by wipe(), as they may be a key. */
static enum err read_file(const char *path, const char *setting,
                          gnutls_datum_t *ret_bytes, struct tls_error *error)
{
    if (gnutls_load_file(path, ret_bytes) == GNUTLS_E_SUCCESS)
        return ERR_OK;
    return fail(error, ERR_IO, setting, "cannot read '%s': %s", path, strerror(errno));
}

static void wipe(gnutls_datum_t *bytes)
{
    if (bytes->data == NULL)
        return;
    explicit_bzero(bytes->data, bytes->size);
    gnutls_free(bytes->data);
    bytes->data = NULL;
}

/* As the file has it: put_in_order() mends the order. */
static enum err read_chain(const char *path, gnutls_x509_crt_t **ret_chain,
                           unsigned *ret_n, struct tls_error *error)
{
    gnutls_datum_t bytes = { NULL, 0 };
    enum err err = read_file(path, "cert_file", &bytes, error);
    int code;

    if (err != ERR_OK)
        return err;
    code = gnutls_x509_crt_list_import2(ret_chain, ret_n, &bytes, GNUTLS_X509_FMT_PEM, 0);
    wipe(&bytes);
    if (code == GNUTLS_E_SUCCESS)
        return ERR_OK;
    return fail(error, ERR_INVALID, "cert_file",
                "'%s' is no chain of certificates in PEM form: %s", path,
                gnutls_strerror(code));
}

static void free_chain(gnutls_x509_crt_t *chain, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        gnutls_x509_crt_deinit(chain[i]);
    gnutls_free((void *)chain);
}

static enum err read_key(const char *path, gnutls_privkey_t key, struct tls_error *error)
{
    gnutls_datum_t bytes = { NULL, 0 };
    enum err err = read_file(path, "key_file", &bytes, error);
    int code;

    if (err != ERR_OK)
        return err;
    code = gnutls_privkey_import_x509_raw(key, &bytes, GNUTLS_X509_FMT_PEM, NULL, 0);
    wipe(&bytes);
    if (code == GNUTLS_E_SUCCESS)
        return ERR_OK;
    if (code == GNUTLS_E_DECRYPTION_FAILED)
        return fail(error, ERR_INVALID, "key_file",
                    "the key '%s' is encrypted: it is read at every start and reload, so "
                    "store it without a passphrase, readable by the gateway alone",
                    path);
    return fail(error, ERR_INVALID, "key_file", "'%s' is no private key in PEM form: %s",
                path, gnutls_strerror(code));
}

/* The same public key on both sides? */
static bool belong_together(gnutls_x509_crt_t certificate, gnutls_privkey_t key)
{
    unsigned char a[64], b[64];
    size_t n_a = sizeof a, n_b = sizeof b;
    gnutls_pubkey_t public_key = NULL;
    bool same;

    if (gnutls_pubkey_init(&public_key) != GNUTLS_E_SUCCESS)
        return false;
    same = gnutls_pubkey_import_privkey(public_key, key, 0, 0) == GNUTLS_E_SUCCESS &&
           gnutls_pubkey_get_key_id(public_key, GNUTLS_KEYID_USE_SHA256, a, &n_a) ==
               GNUTLS_E_SUCCESS &&
           gnutls_x509_crt_get_key_id(certificate, GNUTLS_KEYID_USE_SHA256, b, &n_b) ==
               GNUTLS_E_SUCCESS &&
           n_a == n_b && memcmp(a, b, n_a) == 0;
    gnutls_pubkey_deinit(public_key);
    return same;
}

static void describe(gnutls_x509_crt_t certificate, const char *key_file,
                     struct tls_state *state)
{
    size_t n = sizeof state->subject;
    struct stat there;

    if (gnutls_x509_crt_get_dn(certificate, state->subject, &n) != GNUTLS_E_SUCCESS)
        state->subject[0] = '\0';
    state->from_s = (int64_t)gnutls_x509_crt_get_activation_time(certificate);
    state->until_s = (int64_t)gnutls_x509_crt_get_expiration_time(certificate);
    state->key_is_open = stat(key_file, &there) == 0 && (there.st_mode & S_IROTH) != 0;
}

/* Files that have the authority's certificate first are a common mistake: what belongs to the
 * key goes to the front, and behind each the one that has issued it. False: none belongs. */
static bool put_in_order(gnutls_x509_crt_t *chain, unsigned n, gnutls_privkey_t key)
{
    for (unsigned i = 0; i < n; i++) {
        unsigned next = i;

        while (next < n &&
               !(i == 0 ? belong_together(chain[next], key)
                        : gnutls_x509_crt_check_issuer(chain[i - 1], chain[next]) != 0))
            next++;
        if (next == n)
            return i > 0; /* the rest is no part of the chain, and is shown behind it */
        gnutls_x509_crt_t found = chain[next];

        chain[next] = chain[i];
        chain[i] = found;
    }
    return n > 0;
}

/* Certificate and key, which belong together; both are the caller's, also on failure. */
static enum err read_pair(const char *cert_file, const char *key_file,
                          gnutls_x509_crt_t **chain, unsigned *n, gnutls_privkey_t *key,
                          struct tls_error *error)
{
    enum err err = read_chain(cert_file, chain, n, error);

    if (err == ERR_OK && *n > CHAIN_MAX)
        err = fail(error, ERR_INVALID, "cert_file", "'%s' has more than %d certificates",
                   cert_file, CHAIN_MAX);
    if (err == ERR_OK && gnutls_privkey_init(key) != GNUTLS_E_SUCCESS)
        err = fail(error, ERR_NOMEM, "key_file", "%s", err_text(ERR_NOMEM));
    if (err == ERR_OK)
        err = read_key(key_file, *key, error);
    if (err == ERR_OK && !put_in_order(*chain, *n, *key))
        err = fail(error, ERR_INVALID, "key_file",
                   "the key '%s' does not belong to the certificate '%s': take the key "
                   "that its request was made with, or have a certificate made for this "
                   "key",
                   key_file, cert_file);
    return err;
}

static enum err read_trusted(const char *path, const char *setting,
                             gnutls_x509_trust_list_t *ret_trusted,
                             struct tls_error *error)
{
    int n;

    if (path == NULL)
        return ERR_OK;
    if (gnutls_x509_trust_list_init(ret_trusted, 0) != GNUTLS_E_SUCCESS)
        return fail(error, ERR_NOMEM, setting, "%s", err_text(ERR_NOMEM));
    n = gnutls_x509_trust_list_add_trust_file(*ret_trusted, path, NULL,
                                              GNUTLS_X509_FMT_PEM, 0, 0);
    if (n > 0)
        return ERR_OK;
    return fail(error, ERR_INVALID, setting, "'%s' has no certificate in PEM form: %s",
                path, n < 0 ? gnutls_strerror(n) : "it is empty");
}

enum err tls_identity_load(const struct tls_files *files,
                           struct tls_identity **ret_identity, struct tls_error *error)
{
    struct tls_identity *identity = calloc(1, sizeof *identity);
    gnutls_x509_crt_t *chain = NULL;
    unsigned n = 0;
    enum err err;

    if (identity == NULL)
        return fail(error, ERR_NOMEM, "cert_file", "%s", err_text(ERR_NOMEM));
    atomic_init(&identity->refs, 1);
    err = read_pair(files->cert_file, files->key_file, &chain, &n, &identity->key, error);
    for (unsigned i = 0; i < n && err == ERR_OK; i++) {
        if (gnutls_pcert_import_x509(&identity->chain[i], chain[i], 0) !=
            GNUTLS_E_SUCCESS)
            err = fail(error, ERR_NOMEM, "cert_file", "%s", err_text(ERR_NOMEM));
        else
            identity->n_chain++;
    }
    if (err == ERR_OK)
        err = read_trusted(files->client_ca_file, "client_ca_file", &identity->clients,
                           error);
    if (err == ERR_OK)
        describe(chain[0], files->key_file, &identity->state);
    free_chain(chain, n);
    if (err == ERR_OK)
        *ret_identity = identity;
    else
        tls_identity_unref(identity);
    return err;
}

enum err tls_check_pair(const char *cert_file, const char *key_file,
                        struct tls_error *error)
{
    gnutls_x509_crt_t *chain = NULL;
    gnutls_privkey_t key = NULL;
    unsigned n = 0;
    enum err err = read_pair(cert_file, key_file, &chain, &n, &key, error);

    free_chain(chain, n);
    if (key != NULL)
        gnutls_privkey_deinit(key);
    return err;
}

enum err tls_check_authority(const char *ca_file, struct tls_error *error)
{
    gnutls_x509_trust_list_t trusted = NULL;
    enum err err = read_trusted(ca_file, "ca_file", &trusted, error);

    if (trusted != NULL)
        gnutls_x509_trust_list_deinit(trusted, 1);
    return err;
}

void tls_identity_unref(struct tls_identity *identity)
{
    if (identity == NULL || atomic_fetch_sub(&identity->refs, 1) != 1)
        return;
    for (unsigned i = 0; i < identity->n_chain; i++)
        gnutls_pcert_deinit(&identity->chain[i]);
    if (identity->key != NULL)
        gnutls_privkey_deinit(identity->key);
    if (identity->clients != NULL)
        gnutls_x509_trust_list_deinit(identity->clients, 1);
    free(identity);
}

const struct tls_state *tls_identity_state(const struct tls_identity *identity)
{
    return &identity->state;
}

/* -- which one is in force --------------------------------------------------------------- */

struct tls *tls_new(struct tls_identity **identity)
{
    struct tls *tls = calloc(1, sizeof *tls);

    if (tls == NULL)
        return NULL;
    (void)pthread_mutex_init(&tls->lock, NULL);
    tls->current = *identity;
    *identity = NULL;
    return tls;
}

void tls_free(struct tls *tls)
{
    if (tls == NULL)
        return;
    tls_identity_unref(tls->current);
    (void)pthread_mutex_destroy(&tls->lock);
    free(tls);
}

void tls_replace(struct tls *tls, struct tls_identity **identity)
{
    struct tls_identity *before;

    (void)pthread_mutex_lock(&tls->lock);
    before = tls->current;
    tls->current = *identity;
    (void)pthread_mutex_unlock(&tls->lock);
    *identity = NULL;
    tls_identity_unref(before);
}

struct tls_identity *tls_current(struct tls *tls)
{
    struct tls_identity *identity;

    (void)pthread_mutex_lock(&tls->lock);
    identity = tls->current;
    atomic_fetch_add(&identity->refs, 1);
    (void)pthread_mutex_unlock(&tls->lock);
    return identity;
}

/* -- a session --------------------------------------------------------------------------- */

/* GnuTLS wants to know what we show. Nothing of it is its to free: the connection keeps the
 * identity. */
static int retrieve(gnutls_session_t session, const struct gnutls_cert_retr_st *info,
                    gnutls_pcert_st **certificates, unsigned *n_certificates,
                    gnutls_ocsp_data_st **ocsp, unsigned *n_ocsp, gnutls_privkey_t *key,
                    unsigned *flags)
{
    struct tls_identity *identity = gnutls_session_get_ptr(session);

    (void)info;
    if (identity == NULL)
        return -1;
    *certificates = identity->chain;
    *n_certificates = identity->n_chain;
    *ocsp = NULL;
    *n_ocsp = 0;
    *key = identity->key;
    *flags = 0;
    return 0;
}

void *tls_retrieve_function(void)
{
    return (void *)(uintptr_t)retrieve;
}

/* Is the client's certificate of an authority that we know, for clients, and in force? */
static int verify_client(gnutls_session_t session)
{
    const struct tls_identity *identity = gnutls_session_get_ptr(session);
    unsigned n = 0, n_read = 0, status = GNUTLS_CERT_INVALID;
    const gnutls_datum_t *shown = gnutls_certificate_get_peers(session, &n);
    gnutls_x509_crt_t chain[CHAIN_MAX];
    gnutls_typed_vdata_st purpose = { .type = GNUTLS_DT_KEY_PURPOSE_OID,
                                      .data = (unsigned char *)GNUTLS_KP_TLS_WWW_CLIENT };

    if (identity == NULL || shown == NULL || n == 0 || n > CHAIN_MAX)
        return GNUTLS_E_CERTIFICATE_ERROR;
    for (; n_read < n; n_read++) {
        if (gnutls_x509_crt_init(&chain[n_read]) != GNUTLS_E_SUCCESS)
            break;
        if (gnutls_x509_crt_import(chain[n_read], &shown[n_read], GNUTLS_X509_FMT_DER) !=
            GNUTLS_E_SUCCESS) {
            gnutls_x509_crt_deinit(chain[n_read]);
            break;
        }
    }
    if (n_read == n &&
        gnutls_x509_trust_list_verify_crt2(identity->clients, chain, n, &purpose, 1, 0,
                                           &status, NULL) != GNUTLS_E_SUCCESS)
        status = GNUTLS_CERT_INVALID;
    while (n_read > 0)
        gnutls_x509_crt_deinit(chain[--n_read]);
    return status == 0 ? 0 : GNUTLS_E_CERTIFICATE_ERROR;
}

void tls_attach(struct tls_identity *identity, void *session)
{
    static const gnutls_datum_t http = { (unsigned char *)(uintptr_t) "http/1.1", 8 };

    gnutls_session_set_ptr(session, identity);
    /* Who offers nothing that we speak is answered in HTTP/1.1 all the same. */
    (void)gnutls_alpn_set_protocols(session, &http, 1, 0);
    if (identity == NULL || identity->clients == NULL)
        return;
    gnutls_certificate_server_set_request(session, GNUTLS_CERT_REQUIRE);
    gnutls_session_set_verify_function(session, verify_client);
}
