/* An attempt, against an authority that looks at every request and does not always behave. */

#include "fake_ca.h"

#include "acme/order.h"
#include "core/clock.h"
#include "net/cert.h"

struct rig {
    struct fake_ca *fake;
    struct p256_key *key;
    struct acme_ca *ca;
    int64_t waited_ms; /* the longest wait it was told */
    struct err err;
};

static struct rig *rig_new(void)
{
    struct rig *rig = NEW(struct rig);

    rig->fake = fake_ca_new();
    rig->key = p256_key_new();
    rig->ca = acme_ca_new(&(struct acme_ca_options){
        .directory_url = str_from(rig->fake->directory), .email = STR("a@b.c"), .key = rig->key});
    return rig;
}

static void rig_free(struct rig *rig)
{
    acme_ca_free(rig->ca);
    p256_key_free(rig->key);
    fake_ca_free(rig->fake);
    mem_free(rig);
}

static int present(void *user, enum acme_challenge_kind kind, struct str name, struct str token,
                   const uint8_t sha256[32], struct err *err)
{
    struct fake_ca *fake = user;

    (void)err;
    assert_true(name.len > 0 && (token.len == 0) == (sha256 == NULL));
    (void)pthread_mutex_lock(&fake->lock);
    (void)snprintf(fake->presented[kind], sizeof(fake->presented[0]), "%.*s", STR_ARG(token));
    (void)pthread_mutex_unlock(&fake->lock);
    return 0;
}

/* Steps until the end, without the waits. *wait_ms is the last one told. */
static enum acme_step attempt_with(struct rig *rig, struct acme_run_options options,
                                   int64_t *wait_ms, struct buf *result)
{
    options.ca = rig->ca;
    options.present = present;
    options.user = rig->fake;
    struct acme_run *run = acme_run_new(&options);
    enum acme_step step = ACME_STEP_AGAIN;

    rig->waited_ms = 0;
    rig->err = (struct err){0};
    for (int i = 0; i < 200 && step == ACME_STEP_AGAIN; i++) {
        step = acme_run_step(run, wait_ms, &rig->err);
        if (step == ACME_STEP_AGAIN)
            rig->waited_ms = MAX(rig->waited_ms, *wait_ms);
    }
    if (step == ACME_STEP_DONE && result)
        buf_put(result, acme_run_result(run));
    acme_run_free(run);
    /* Whatever came of it, nothing stays presented. */
    assert_int_equal(rig->fake->presented[0][0], 0);
    assert_int_equal(rig->fake->presented[1][0], 0);
    return step;
}

static enum acme_step attempt(struct rig *rig, const char *name)
{
    const struct acme_run_options options = {
        .name = str_from(name), .tls_alpn_01 = true, .http_01 = true};
    int64_t wait_ms = 0;

    return attempt_with(rig, options, &wait_ms, NULL);
}

#define ASSERT_DONE(rig, name)                                               \
    do {                                                                     \
        if (attempt(rig, name) != ACME_STEP_DONE)                            \
            fail_msg("%s (it says: %s)", (rig)->err.text, (rig)->fake->why); \
        assert_int_equal((rig)->fake->n_forged, 0);                          \
    } while (0)

static void assert_says(const char *text, const char *says)
{
    if (str_find(str_from(text), str_from(says)) < 0)
        fail_msg("said \"%s\", not \"%s\"", text, says);
}

static void gets_a_certificate(void **state)
{
    static const char *const names[] = {"relay.test", "192.0.2.1", "2001:db8::7"};
    struct rig *rig = rig_new();

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        AUTO_FINI(buf_fini) struct buf pem = BUF(1 << 18);
        const struct acme_run_options options = {
            .name = str_from(names[i]), .tls_alpn_01 = true, .http_01 = true};
        int64_t wait_ms = 0;
        bool fits = false;

        if (attempt_with(rig, options, &wait_ms, &pem) != ACME_STEP_DONE)
            fail_msg("%s", rig->err.text);
        assert_true(str_starts(buf_str(&pem), STR("-----BEGIN EC PRIVATE KEY-----\n")));
        assert_int_equal(cert_is_for_host(buf_str(&pem), str_from(names[i]), &fits, &rig->err), 0);
        assert_true(fits);
        /* Addresses: the profile that gives them, and the one challenge. */
        assert_string_equal(rig->fake->profile, i == 0 ? "" : "shortlived");
        assert_int_equal(rig->fake->checking, i == 0 ? 0 : 1);
    }
    assert_int_equal(rig->fake->n_accounts, 1); /* one for all */
    assert_int_equal(rig->fake->n_forged, 0);
    rig_free(rig);
}

static void bears_with_bad_nonces(void **state)
{
    struct rig *rig = rig_new();

    (void)state;
    rig->fake->bad_nonces = 9;
    ASSERT_DONE(rig, "relay.test");
    /* At every place. */
    for (int every = 2; every < 9; every++) {
        rig->fake->bad_every = every;
        ASSERT_DONE(rig, "relay.test");
    }
    rig->fake->bad_nonces = 1000;
    int before = rig->fake->n_requests;

    assert_int_equal(attempt(rig, "relay.test"), ACME_STEP_FAILED);
    assert_says(rig->err.text, "badNonce");
    assert_true(rig->fake->n_requests - before <= 14); /* it does not go on for ever */
    rig_free(rig);
}

static void waits_as_long_as_it_takes(void **state)
{
    struct rig *rig = rig_new();

    (void)state;
    rig->fake->pending_polls = 5;
    rig->fake->processing_polls = 5;
    ASSERT_DONE(rig, "relay.test");
    assert_in_range(rig->waited_ms, 250, 30000);
    rig_free(rig);
}

/* Not for ever: the attempt has an end. */
static void gives_up_in_the_end(void **state)
{
    struct rig *rig = rig_new();
    const struct acme_run_options options = {.ca = rig->ca,
                                             .name = STR("relay.test"),
                                             .http_01 = true,
                                             .present = present,
                                             .user = rig->fake};
    struct acme_run *run = acme_run_new(&options);
    enum acme_step step = ACME_STEP_AGAIN;
    int64_t wait_ms = 0;
    int i = 0;

    (void)state;
    rig->fake->pending_polls = 1000000;
    for (; i < 100 && step == ACME_STEP_AGAIN; i++) {
        step = acme_run_step(run, &wait_ms, &rig->err);
        clock_test_advance_ms(30000);
    }
    assert_int_equal(step, ACME_STEP_FAILED);
    assert_in_range(i, 5, 30);
    assert_says(rig->err.text, "in time");
    acme_run_free(run);
    assert_int_equal(rig->fake->presented[1][0], 0);
    rig_free(rig);
}

static void tries_the_other_challenge(void **state)
{
    struct rig *rig = rig_new();

    (void)state;
    rig->fake->fails[0] = true;
    ASSERT_DONE(rig, "relay.test");
    assert_int_equal(rig->fake->n_orders, 2);
    assert_int_equal(rig->fake->checking, 1);
    rig->fake->fails[1] = true;
    assert_int_equal(attempt(rig, "relay.test"), ACME_STEP_FAILED);
    assert_int_equal(rig->fake->n_orders, 4);
    assert_says(rig->err.text, "http-01 failed: nobody answers http-01");
    rig->fake->offers[0] = rig->fake->offers[1] = false;
    assert_int_equal(attempt(rig, "relay.test"), ACME_STEP_FAILED);
    assert_says(rig->err.text, "no challenge that can be met");
    rig_free(rig);
}

static void uses_what_is_authorized(void **state)
{
    struct rig *rig = rig_new();

    (void)state;
    rig->fake->is_authorized = true;
    ASSERT_DONE(rig, "relay.test");
    assert_int_equal(rig->fake->checking, -1);
    rig_free(rig);
}

static void respects_rate_limits(void **state)
{
    struct rig *rig = rig_new();
    const struct acme_run_options options = {.name = STR("relay.test"), .http_01 = true};
    int64_t wait_ms = 0;

    (void)state;
    rig->fake->rate_limit_seconds = 4321;
    assert_int_equal(attempt_with(rig, options, &wait_ms, NULL), ACME_STEP_FAILED);
    assert_int_equal(wait_ms, 4321000);
    assert_says(rig->err.text, "too many of these");
    rig_free(rig);
}

static void makes_a_lost_account_again(void **state)
{
    struct rig *rig = rig_new();

    (void)state;
    ASSERT_DONE(rig, "relay.test");
    rig->fake->forgets_account = true;
    assert_int_equal(attempt(rig, "relay.test"), ACME_STEP_FAILED);
    ASSERT_DONE(rig, "relay.test");
    assert_int_equal(rig->fake->n_accounts, 2);
    rig_free(rig);
}

static void shows_whose_customer_it_is(void **state)
{
    struct rig *rig = rig_new();

    (void)state;
    rig->fake->wants_eab = true;
    assert_int_equal(attempt(rig, "relay.test"), ACME_STEP_FAILED);
    assert_says(rig->err.text, "whose customer");
    acme_ca_free(rig->ca);
    rig->ca = acme_ca_new(&(struct acme_ca_options){.directory_url = str_from(rig->fake->directory),
                                                    .eab_kid = STR("customer-9"),
                                                    .eab_key = STR("secret of the customer"),
                                                    .key = rig->key});
    ASSERT_DONE(rig, "relay.test");
    rig_free(rig);
}

static void names_what_it_replaces(void **state)
{
    struct rig *rig = rig_new();
    const struct acme_run_options options = {
        .name = STR("relay.test"), .http_01 = true, .replaces = STR("ZmFrZQ.Emc")};
    int64_t wait_ms = 0;

    (void)state;
    assert_int_equal(attempt_with(rig, options, &wait_ms, NULL), ACME_STEP_DONE);
    assert_int_equal(rig->fake->n_replaces, 1);
    /* If it does not like that, an order without. */
    rig->fake->lie = (struct fake_lie){"/order", 409, "{\"type\":\"x\"}", 0};
    assert_int_equal(attempt_with(rig, options, &wait_ms, NULL), ACME_STEP_FAILED);
    assert_int_equal(rig->fake->n_replaces, 2);
    assert_int_equal(rig->fake->n_orders, 3);
    rig_free(rig);
}

static void takes_no_wrong_certificate(void **state)
{
    struct rig *rig = rig_new();

    (void)state;
    rig->fake->cert_name = "other.test";
    assert_int_equal(attempt(rig, "relay.test"), ACME_STEP_FAILED);
    assert_says(rig->err.text, "not for relay.test");
    rig->fake->cert_name = NULL;
    rig->fake->own_key = true;
    assert_int_equal(attempt(rig, "relay.test"), ACME_STEP_FAILED);
    assert_says(rig->err.text, "the certificate that came");
    rig->fake->own_key = false;
    rig->fake->cert_seconds = 1800; /* ended half an hour ago */
    assert_int_equal(attempt(rig, "relay.test"), ACME_STEP_FAILED);
    assert_says(rig->err.text, "has ended");
    rig->fake->cert_seconds = 86400;
    ASSERT_DONE(rig, "relay.test");
    rig_free(rig);
}

/* Truncated, hostile or mad at every place: a failure that says something, and the next attempt
 * works. */
static void survives_bad_answers(void **state)
{
    static const char *const paths[] = {"/dir",      "/account", "/order", "/authz",
                                        "/finalize", "/order/1", "/cert"};
    static const struct {
        int status;
        const char *body;
    } lies[] = {
        {200, ""},
        {200, "{"},
        {200, "null"},
        {200, "{\"status\":\"valid\"}"},
        {200, "{\"status\":\"pending\",\"finalize\":\"gopher://x\",\"authorizations\":[]}"},
        {200, "<html>captive portal</html>"},
        {200, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"},
        {200, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"},
        {500, "{\"type\":\"urn:ietf:params:acme:error:serverInternal\",\"detail\":\"oh\"}"},
        {302, ""},
        {503, "{\"type\":7,\"detail\":[[[[]]]]}"},
    };
    struct rig *rig = rig_new();

    (void)state;
    rig->fake->processing_polls = 1;
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        for (size_t k = 0; k < ARRAY_LEN(lies); k++) {
            /* What an account is told does not matter, as long as it has a place. */
            bool is_fine = strcmp(paths[i], "/account") == 0 && lies[k].status == 200;

            rig->fake->lie = (struct fake_lie){paths[i], lies[k].status, lies[k].body, 0};
            /* Each time a new account. */
            acme_ca_free(rig->ca);
            rig->ca = acme_ca_new(&(struct acme_ca_options){
                .directory_url = str_from(rig->fake->directory), .key = rig->key});
            enum acme_step step = attempt(rig, "relay.test");

            /* Waiting on is an answer too, to what sounds as if it needed time. */
            if (is_fine != (step == ACME_STEP_DONE))
                fail_msg("%s %d %s: %d %s", paths[i], lies[k].status, lies[k].body, (int)step,
                         rig->err.text);
            assert_true(step != ACME_STEP_FAILED || strlen(rig->err.text) > 0);
        }
    }
    rig->fake->lie = (struct fake_lie){0};
    ASSERT_DONE(rig, "relay.test");
    rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gets_a_certificate),         cmocka_unit_test(bears_with_bad_nonces),
        cmocka_unit_test(waits_as_long_as_it_takes),  cmocka_unit_test(gives_up_in_the_end),
        cmocka_unit_test(tries_the_other_challenge),  cmocka_unit_test(uses_what_is_authorized),
        cmocka_unit_test(respects_rate_limits),       cmocka_unit_test(makes_a_lost_account_again),
        cmocka_unit_test(shows_whose_customer_it_is), cmocka_unit_test(names_what_it_replaces),
        cmocka_unit_test(takes_no_wrong_certificate), cmocka_unit_test(survives_bad_answers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
