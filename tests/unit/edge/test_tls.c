/* test_tls.c - identities: what is loaded, what is refused, who keeps which. */
#include "gateway/edge/tls.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sys/stat.h>
#include <unistd.h>

#include <gnutls/abstract.h>
#include <gnutls/x509.h>

#include <cmocka.h>

#define DAY_S 86400

static char folder[] = "/tmp/frugal-tls-XXXXXX";
static char paths[4][64]; /* certificate and key of one, of another */

static void write_file(const char *path, const gnutls_datum_t *bytes)
{
    FILE *file = fopen(path, "wb");

    assert_non_null(file);
    assert_int_equal(fwrite(bytes->data, 1, bytes->size, file), bytes->size);
    assert_int_equal(fclose(file), 0);
}

/* A certificate that is its own authority, valid from so many days ago for two days. */
static void make_pair(const char *cert_file, const char *key_file, int days_ago)
{
    gnutls_x509_privkey_t key;
    gnutls_x509_crt_t certificate;
    gnutls_datum_t pem;
    unsigned char serial = 1;
    time_t from = time(NULL) - (time_t)days_ago * DAY_S;

    assert_int_equal(gnutls_x509_privkey_init(&key), 0);
    assert_int_equal(
        gnutls_x509_privkey_generate(key, GNUTLS_PK_ECDSA,
                                     GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0),
        0);
    assert_int_equal(gnutls_x509_crt_init(&certificate), 0);
    assert_int_equal(gnutls_x509_crt_set_version(certificate, 3), 0);
    assert_int_equal(gnutls_x509_crt_set_serial(certificate, &serial, 1), 0);
    assert_int_equal(gnutls_x509_crt_set_activation_time(certificate, from), 0);
    assert_int_equal(gnutls_x509_crt_set_expiration_time(certificate, from + 2 * DAY_S),
                     0);
    assert_int_equal(gnutls_x509_crt_set_dn(certificate, "CN=gateway", NULL), 0);
    assert_int_equal(gnutls_x509_crt_set_key(certificate, key), 0);
    assert_int_equal(
        gnutls_x509_crt_sign2(certificate, certificate, key, GNUTLS_DIG_SHA256, 0), 0);
    assert_int_equal(gnutls_x509_crt_export2(certificate, GNUTLS_X509_FMT_PEM, &pem), 0);
    write_file(cert_file, &pem);
    gnutls_free(pem.data);
    assert_int_equal(gnutls_x509_privkey_export2(key, GNUTLS_X509_FMT_PEM, &pem), 0);
    write_file(key_file, &pem);
    gnutls_free(pem.data);
    gnutls_x509_crt_deinit(certificate);
    gnutls_x509_privkey_deinit(key);
    assert_int_equal(chmod(key_file, 0600), 0);
}

static int set_up(void **state)
{
    (void)state;
    if (mkdtemp(folder) == NULL)
        return -1;
    for (int i = 0; i < 4; i++)
        (void)snprintf(paths[i], sizeof paths[i], "%s/%d.pem", folder, i);
    make_pair(paths[0], paths[1], 1);
    make_pair(paths[2], paths[3], 10);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++)
        (void)unlink(paths[i]);
    return rmdir(folder);
}

static struct tls_identity *loaded(const char *cert_file, const char *key_file)
{
    const struct tls_files files = { cert_file, key_file, NULL };
    struct tls_identity *identity = NULL;
    struct tls_error error = { .text = "" };

    assert_int_equal(tls_identity_load(&files, &identity, &error), ERR_OK);
    assert_string_equal(error.text, "");
    return identity;
}

static void what_is_worth_a_warning_is_told(void **state)
{
    struct tls_identity *now = loaded(paths[0], paths[1]);
    struct tls_identity *stale = loaded(paths[2], paths[3]);

    (void)state;
    assert_string_equal(tls_identity_state(now)->subject, "CN=gateway");
    assert_true(tls_identity_state(now)->until_s > time(NULL));
    assert_true(tls_identity_state(now)->from_s < time(NULL));
    assert_false(tls_identity_state(now)->key_is_open);
    assert_true(tls_identity_state(stale)->until_s < time(NULL));
    tls_identity_unref(now);
    tls_identity_unref(stale);
    assert_int_equal(chmod(paths[1], 0644), 0);
    now = loaded(paths[0], paths[1]);
    assert_true(tls_identity_state(now)->key_is_open);
    assert_int_equal(chmod(paths[1], 0600), 0);
    tls_identity_unref(now);
}

static void refused(const char *cert_file, const char *key_file, const char *clients,
                    const char *setting, const char *why)
{
    const struct tls_files files = { cert_file, key_file, clients };
    struct tls_identity *identity = NULL;
    struct tls_error error = { .text = "" };

    assert_int_not_equal(tls_identity_load(&files, &identity, &error), ERR_OK);
    assert_null(identity);
    assert_string_equal(error.setting, setting);
    assert_non_null(strstr(error.text, why));
    assert_int_not_equal(tls_identity_load(&files, &identity, NULL), ERR_OK);
}

static void what_does_not_fit_is_refused_by_name(void **state)
{
    (void)state;
    refused("/nonexistent", paths[1], NULL, "cert_file", "cannot read");
    refused(paths[0], "/nonexistent", NULL, "key_file", "cannot read");
    refused(paths[1], paths[1], NULL, "cert_file", "no chain of certificates");
    refused(paths[0], paths[0], NULL, "key_file", "no private key");
    refused(paths[0], paths[3], NULL, "key_file", "does not belong");
    refused(paths[0], paths[1], "/nonexistent", "client_ca_file", "no certificate");
    assert_int_equal(tls_check_pair(paths[0], paths[1], NULL), ERR_OK);
    assert_int_equal(tls_check_pair(paths[0], paths[3], NULL), ERR_INVALID);
}

static void a_connection_keeps_what_it_began_with(void **state)
{
    struct tls_identity *first = loaded(paths[0], paths[1]);
    struct tls_identity *second = loaded(paths[2], paths[3]);
    const struct tls_identity *was_first = first, *was_second = second;
    struct tls *tls = tls_new(&first);
    struct tls_identity *kept, *next;

    (void)state;
    assert_non_null(tls);
    assert_null(first); /* taken */
    kept = tls_current(tls);
    assert_ptr_equal(kept, was_first);
    tls_replace(tls, &second);
    assert_null(second);
    next = tls_current(tls);
    assert_ptr_equal(next, was_second);
    assert_true(tls_identity_state(kept)->until_s > time(NULL)); /* still there */
    tls_free(tls);
    assert_true(tls_identity_state(next)->until_s < time(NULL));
    tls_identity_unref(kept);
    tls_identity_unref(next);
}

/* What libmicrohttpd is given is read by GnuTLS as meant: nothing old, nothing without AEAD. */
static void the_priorities_are_read_whole(void **state)
{
    gnutls_priority_t priorities = NULL;
    const unsigned *list = NULL;
    const char *wrong = NULL;
    int n;

    (void)state;
    assert_int_equal(gnutls_priority_init(&priorities, tls_priorities, &wrong), 0);
    n = gnutls_priority_protocol_list(priorities, &list);
    assert_int_equal(n, 2);
    assert_int_equal(list[0], GNUTLS_TLS1_3);
    assert_int_equal(list[1], GNUTLS_TLS1_2);
    n = gnutls_priority_mac_list(priorities, &list);
    assert_int_equal(n, 1);
    assert_int_equal(list[0], GNUTLS_MAC_AEAD);
    gnutls_priority_deinit(priorities);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_worth_a_warning_is_told),
        cmocka_unit_test(what_does_not_fit_is_refused_by_name),
        cmocka_unit_test(a_connection_keeps_what_it_began_with),
        cmocka_unit_test(the_priorities_are_read_whole),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
