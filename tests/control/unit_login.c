/*
 * Log-ins over two loops: a browser of bare sockets, a provider on the other loop, the desk and the
 * registrar behind. Meant for the thread sanitizer as well. A certified provider and real machines
 * are in tests/e2e (50 to 54).
 */

#include "login_world.h"

static struct answer come_back(struct fixture *f, struct arena *arena, const char *id,
                               const char *code, struct answer *away)
{
    return come_back_from(f, arena, arena_printf(arena, "/register/%s", id), code, away);
}

static struct answer say_yes(struct fixture *f, struct arena *arena, const char *id,
                             const struct answer *question)
{
    return answer_to(f, arena, arena_printf(arena, "/register/confirm/%s", id), question, 0);
}

/* ---- Tests ---- */

static void a_machine_is_let_in(void **state)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    struct fixture *f = *state;
    struct answer away;
    char id[64];

    begin(f, id);
    struct answer question = come_back(f, arena, id, "good", &away);
    assert_int_equal(question.status, 200);
    assert_true(has(&question, "<td>lap&lt;top&gt;</td>") && has(&question, "mkey:"));
    struct answer done = say_yes(f, arena, id, &question);
    assert_int_equal(done.status, 200);
    assert_true(has(&done, "Node Registered"));
    /* Once. */
    assert_int_equal(say_yes(f, arena, id, &question).status, 410);
    struct answer gone =
        ask(f, arena, "GET", arena_printf(arena, "/register/%s", id), STR_NONE, STR_NONE);
    assert_int_equal(gone.status, 410);
}

static void what_is_not_right_comes_to_nothing(void **state)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    struct fixture *f = *state;
    struct answer away, other;
    char id[64];

    begin(f, id);
    assert_int_equal(come_back(f, arena, id, "bad", &away).status, 403);
    struct answer question = come_back(f, arena, id, "good", &away);
    struct answer second = come_back(f, arena, id, "good", &other);
    assert_int_equal(question.status, 200);
    assert_int_equal(second.status, 200);

    struct str mixed = second.cookies;
    second.cookies = question.cookies;
    assert_int_equal(say_yes(f, arena, id, &second).status, 403);
    second.cookies = STR_NONE;
    assert_int_equal(say_yes(f, arena, id, &second).status, 400);
    second.cookies = mixed;
    assert_int_equal(say_yes(f, arena, "hskey-authreq-000000000000000000000000", &second).status,
                     410);
    assert_int_equal(say_yes(f, arena, "no-id", &second).status, 400);
    /* Another person's word is as good as this one's only for what it is about. */
    assert_int_equal(say_yes(f, arena, id, &second).status, 200);
    assert_int_equal(say_yes(f, arena, id, &question).status, 410);
}

static void rules_are_heeded(void **state)
{
    static const struct str domains[] = {STR_INIT("example.com")};
    AUTO(arena_free) struct arena *arena = arena_new();
    struct fixture *f = *state;
    struct answer away, page;
    char id[64];

    /* Before anybody comes: nobody reads it yet. */
    f->provider.rules =
        (struct oidc_rules){.domains = domains, .n_domains = 1, .email_verified_required = true};
    begin(f, id);
    page = come_back(f, arena, id, "good", &away);
    assert_int_equal(page.status, 401);
    assert_false(has(&page, "unverified"));
    set_claims(f, STR(",\"email\":\"alice@example.com\",\"email_verified\":true"));
    page = come_back(f, arena, id, "good", &away);
    assert_int_equal(page.status, 200);
    assert_true(has(&page, "alice@example.com"));
}

/* Keys change between two log-ins; who forges one is not helped by that. */
static void keys_are_read_anew(void **state)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    struct fixture *f = *state;
    struct signer old = f->signer, stranger = signer_new("new", "ES256");
    struct answer away;
    char id[64];

    begin(f, id);
    assert_int_equal(come_back(f, arena, id, "good", &away).status, 200);
    clock_test_advance_ms(LOGIN_ASK_MS);
    (void)pthread_mutex_lock(&f->lock);
    size_t before = f->keys_asked;
    f->signer = f->published = signer_new("new", "ES256");
    (void)pthread_mutex_unlock(&f->lock);
    assert_int_equal(come_back(f, arena, id, "good", &away).status, 200);
    (void)pthread_mutex_lock(&f->lock);
    assert_int_equal(f->keys_asked, before + 1);
    struct signer fresh = f->signer;
    f->signer = stranger;
    (void)pthread_mutex_unlock(&f->lock);
    assert_int_equal(come_back(f, arena, id, "good", &away).status, 403);
    /* A key that nobody has: the keys were read a moment ago, and are not again. */
    (void)pthread_mutex_lock(&f->lock);
    f->signer.kid = "nobody's";
    (void)pthread_mutex_unlock(&f->lock);
    assert_int_equal(come_back(f, arena, id, "good", &away).status, 403);
    (void)pthread_mutex_lock(&f->lock);
    assert_int_equal(f->keys_asked, before + 1);
    f->signer = fresh;
    (void)pthread_mutex_unlock(&f->lock);
    assert_int_equal(come_back(f, arena, id, "good", &away).status, 200);
    signer_free(&old);
    signer_free(&stranger);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_machine_is_let_in, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_not_right_comes_to_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(rules_are_heeded, setup, teardown),
        cmocka_unit_test_setup_teardown(keys_are_read_anew, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
