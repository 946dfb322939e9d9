/*
 * Keys checked on a loop: our own at once, imported ones on a worker, and every refusal alike.
 */

#include "../unit.h"

#include "auth/auth.h"
#include "auth/roles.h"
#include "core/buf.h"
#include "core/clock.h"
#include "net/loop.h"
#include "tailnet/domain.h"

#define ROUNDS_MAX 3000 /* of 10 ms, for a worker to report on a loaded machine */

struct world {
    struct loop *loop;
    struct auth *auth;
    struct domain *domain;
    tailnet_id tailnet;

    /* Of the last check. */
    unsigned answers;
    enum auth_answer answer;
    struct caller who;
    struct auth_ticket *ticket;
    unsigned seen;
    api_key_id seen_id;
    enum user_role role; /* of every user */
    bool is_out;         /* who may nothing */
    unsigned asked;
};

static void on_seen(void *user, struct loop *loop, api_key_id id)
{
    struct world *w = user;

    assert_ptr_equal(loop, w->loop);
    w->seen++;
    w->seen_id = id;
}

static void publish(struct world *w, const struct change_list *changes)
{
    AUTO(api_key_set_unref) const struct api_key_set *keys = domain_api_keys(w->domain);

    auth_set_keys(w->auth, w->loop, keys, changes ? changes->items : NULL,
                  changes ? changes->len : 0, !changes);
    assert_ptr_equal(auth_keys(w->auth, w->loop), keys);
}

static void apply(struct world *w, struct command c, struct command_result *r)
{
    struct change_list changes = {0};
    struct err err = {0};

    c.now_ms = clock_unix_ms();
    if (domain_apply(w->domain, &c, &changes, r, &err) < 0)
        fail_msg("refused: %s", err.text);
    publish(w, &changes);
    change_list_fini(&changes);
}

static bool role_of(void *user, struct loop *loop, tailnet_id tailnet, user_id id,
                    enum user_role *role)
{
    struct world *w = user;

    assert_ptr_equal(loop, w->loop);
    assert_int_equal(tailnet, w->tailnet);
    assert_true(id != 0);
    w->asked++;
    *role = w->role;
    return !w->is_out;
}

static void world_init(struct world *w)
{
    struct tailnet_info *info = tailnet_info_new();
    struct command_result r = {0};
    struct err err = {0};

    *w = (struct world){.domain = domain_new()};
    clock_test_stop();
    assert_int_equal(loop_new("auth", &w->loop, &err), 0);
    const struct auth_options options = {
        .loops = &w->loop, .n_loops = 1, .on_seen = on_seen, .role = role_of, .user = w};
    w->role = ROLE_OWNER;
    assert_int_equal(auth_new(&options, &w->auth, &err), 0);
    publish(w, NULL);
    info->name = str_copy(STR("default"));
    info->base_domain = str_copy(STR("example.net"));
    assert_true(ip_prefix_parse(STR("100.64.0.0/10"), &info->prefix_v4));
    apply(w, (struct command){.type = COMMAND_TAILNET_CREATE, .info = info}, &r);
    w->tailnet = r.id;
    command_result_fini(&r);
    tailnet_info_unref(info);
}

static void world_fini(struct world *w)
{
    auth_stop(w->auth);
    loop_free(w->loop);
    auth_free(w->auth);
    domain_free(w->domain);
    caller_fini(&w->who);
}

/* ---- Checking ---- */

static void on_done(void *user, enum auth_answer answer, const struct caller *who)
{
    struct world *w = user;

    w->answers++;
    w->answer = answer;
    assert_int_equal(who != NULL, answer == AUTH_OK);
    if (who)
        w->who = caller_copy(who);
}

static void begin(struct world *w, struct str header)
{
    w->answers = 0;
    caller_fini(&w->who);
    w->ticket = auth_check(w->auth, w->loop, header, on_done, w);
}

static enum auth_answer check(struct world *w, struct str header)
{
    begin(w, header);
    assert_int_equal(w->answers == 0, w->ticket != NULL);
    for (int i = 0; i < ROUNDS_MAX && w->answers == 0; i++)
        loop_run_once(w->loop, 10);
    assert_int_equal(w->answers, 1);
    return w->answer;
}

static enum auth_answer bearer(struct world *w, const char *key)
{
    struct str header = str_printf("Bearer %s", key);
    enum auth_answer answer = check(w, header);

    str_free(&header);
    return answer;
}

static api_key_id new_key(struct world *w, struct command c, char text[128])
{
    struct command_result r = {0};

    c.type = COMMAND_API_KEY_CREATE;
    apply(w, c, &r);
    snprintf(text, 128, "%.*s", STR_ARG(r.secret));
    api_key_id id = r.id;
    command_result_fini(&r);
    return id;
}

/* What bcrypt (cost 4) makes of the secrets used here. */
static const struct {
    const char *secret, *hash;
} hashed[] = {
    {"0123456789abcdef0123456789abcdef",
     "$2a$04$abcdefghijklmnopqrstuuyKB7PfxDWSFbFy.F2ttv21Vr/lmdnbO"},
    {"0123456789abcdef0123456789abcdef0123456789a",
     "$2a$04$abcdefghijklmnopqrstuuhxx8bCA29ZOFDUGV8aOMMkZ5bHFQCX."},
    {"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcd-_",
     "$2a$04$abcdefghijklmnopqrstuuw3XBA9HAJCzK/.pddLuUzrKSJFHijGO"},
    {"s", "$2a$04$abcdefghijklmnopqrstuuv.bQpav0fSu5GhDAhUej6WlP3bVuksK"},
    {"right", "$2a$04$abcdefghijklmnopqrstuuFmEfrkTQnczNzw475xE2VhDrK1uwJiC"},
};

static struct str bcrypt_of(const char *secret)
{
    for (size_t i = 0; i < ARRAY_LEN(hashed); i++)
        if (strcmp(hashed[i].secret, secret) == 0)
            return str_from(hashed[i].hash);
    fail_msg("no hash of %s", secret);
    return STR_NONE;
}

/* As an import has it: prefix, and the bcrypt hash of the secret. */
static api_key_id import_key(struct world *w, const char *prefix, const char *secret,
                             int64_t expiry_ms)
{
    struct api_key *k = api_key_new();
    struct err err = {0};
    api_key_id id = domain_counters(w->domain).api_key;

    k->id = id;
    k->prefix = str_copy(str_from(prefix));
    k->legacy = str_copy(bcrypt_of(secret));
    k->expiry_ms = expiry_ms;
    assert_int_equal(domain_load_api_key(w->domain, k, &err), 0);
    publish(w, NULL);
    return id;
}

static void our_own_are_known_at_once(void **state)
{
    struct world w;
    char server[128], tailnet[128], scoped[128];
    struct str scope = STR("devices:core:read");

    (void)state;
    world_init(&w);
    api_key_id id = new_key(&w, (struct command){0}, server);
    (void)new_key(&w, (struct command){.tailnet = w.tailnet}, tailnet);
    (void)new_key(&w, (struct command){.scopes = {&scope, 1}}, scoped);

    assert_int_equal(bearer(&w, server), AUTH_OK);
    assert_null(w.ticket);
    assert_int_equal(w.who.kind, CALLER_API_KEY);
    assert_true(w.who.api_key == id && w.who.tailnet == 0 && caller_may_write(&w.who, AREA_SERVER));
    assert_true(str_starts(str_from(w.who.author), STR("key:")));
    assert_int_equal(strlen(w.who.author), 4 + 12);
    /* The secret is nowhere in it. */
    assert_null(strstr(w.who.author, server + 23));

    assert_int_equal(bearer(&w, tailnet), AUTH_OK);
    assert_true(w.who.tailnet == w.tailnet);
    assert_false(caller_may_read(&w.who, AREA_SERVER));
    assert_int_equal(bearer(&w, scoped), AUTH_OK);
    assert_true(caller_may_read(&w.who, AREA_DEVICES));
    assert_false(caller_may_write(&w.who, AREA_DEVICES) || caller_may_read(&w.who, AREA_USERS));

    /* Basic, the key as the user name. */
    struct buf pair = BUF(0), header = BUF(0);
    buf_printf(&pair, "%s:", server);
    buf_put(&header, STR("Basic "));
    buf_put_base64(&header, buf_str(&pair));
    assert_int_equal(check(&w, buf_str(&header)), AUTH_OK);
    buf_fini(&pair);
    buf_fini(&header);
    world_fini(&w);
}

/* headscale.md 11 #106, as far as the check goes: what the door answers is one 401 for all. */
static void strangers_are_all_alike(void **state)
{
    static const struct str headers[] = {
        STR_INIT(""),
        STR_INIT("Bearer"),
        STR_INIT("Bearer "),
        STR_INIT("Bearer garbage"),
        STR_INIT("Bearer a.b"),
        STR_INIT("Token hskey-api-000000000000-"
                 "0000000000000000000000000000000000000000000000000000000000000000"),
        STR_INIT("Bearer hskey-api-000000000000-"
                 "0000000000000000000000000000000000000000000000000000000000000000"),
        STR_INIT("Basic OnB3"),
    };
    struct world w;
    char key[128], wrong[128], old[128];

    (void)state;
    world_init(&w);
    api_key_id id = new_key(&w, (struct command){0}, key);
    (void)new_key(&w, (struct command){.expiry_ms = clock_unix_ms() + 1000}, old);
    assert_int_equal(bearer(&w, old), AUTH_OK);
    clock_test_advance_ms(1000);
    snprintf(wrong, sizeof(wrong), "%s", key);
    wrong[strlen(wrong) - 1] = wrong[strlen(wrong) - 1] == '0' ? '1' : '0';

    /* Without imported keys none costs a hash; with one, all do. */
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < ARRAY_LEN(headers); i++) {
            assert_int_equal(check(&w, headers[i]), AUTH_REFUSED);
            assert_int_equal(w.ticket != NULL, round == 1);
        }
        assert_int_equal(bearer(&w, wrong), AUTH_REFUSED);
        assert_int_equal(w.ticket != NULL, round == 1);
        assert_int_equal(bearer(&w, old), AUTH_REFUSED);
        assert_int_equal(w.ticket != NULL, round == 1);
        assert_int_equal(bearer(&w, key), AUTH_OK);
        if (round == 0)
            (void)import_key(&w, "abcdefg", "0123456789abcdef0123456789abcdef", 0);
    }
    struct command_result r = {0};
    apply(&w, (struct command){.type = COMMAND_API_KEY_DELETE, .id = id}, &r);
    command_result_fini(&r);
    assert_int_equal(bearer(&w, key), AUTH_REFUSED);
    world_fini(&w);
}

static void imported_ones_are_hashed_once(void **state)
{
    struct world w;

    (void)state;
    world_init(&w);
    (void)import_key(&w, "abcdefg", "0123456789abcdef0123456789abcdef", 0);
    api_key_id ten = import_key(&w, "abcdefghij", "0123456789abcdef0123456789abcdef0123456789a", 0);
    (void)import_key(&w, "abcdefghi-_1",
                     "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcd-_", 0);

    assert_int_equal(bearer(&w, "abcdefg.0123456789abcdef0123456789abcdef"), AUTH_OK);
    assert_non_null(w.ticket);
    assert_string_equal(w.who.author, "key:abcdefg");
    assert_int_equal(bearer(&w, "abcdefg.0123456789abcdef0123456789abcdef"), AUTH_OK);
    assert_null(w.ticket);
    assert_int_equal(bearer(&w, "abcdefg.0123456789abcdef0123456789abcdeX"), AUTH_REFUSED);
    assert_non_null(w.ticket);
    assert_int_equal(bearer(&w, "abcdefghij.0123456789abcdef0123456789abcdef0123456789a"), AUTH_OK);
    assert_int_equal(w.who.api_key, ten);
    assert_int_equal(bearer(&w, "hskey-api-abcdefghi-_1-"
                                "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcd-_"),
                     AUTH_OK);
    /* The right secret of another key is no key. */
    assert_int_equal(bearer(&w, "unknown.0123456789abcdef0123456789abcdef"), AUTH_REFUSED);
    /* Nor is what stands in the database. */
    struct str stolen =
        str_printf("abcdefg.%.*s", STR_ARG(api_key_set_find(auth_keys(w.auth, w.loop), 1)->legacy));
    assert_int_equal(bearer(&w, stolen.ptr), AUTH_REFUSED);
    str_free(&stolen);
    world_fini(&w);
}

static void expired_imports_are_refused_proven_or_not(void **state)
{
    struct world w;

    (void)state;
    world_init(&w);
    (void)import_key(&w, "abcdefg", "s", clock_unix_ms() + 1000);
    (void)import_key(&w, "bcdefgh", "s", clock_unix_ms() + 1000);
    assert_int_equal(bearer(&w, "abcdefg.s"), AUTH_OK);
    clock_test_advance_ms(1000);
    assert_int_equal(bearer(&w, "abcdefg.s"), AUTH_REFUSED);
    assert_int_equal(bearer(&w, "bcdefgh.s"), AUTH_REFUSED);
    world_fini(&w);
}

static void deleting_a_key_ends_a_check_under_way(void **state)
{
    struct world w;
    struct command_result r = {0};

    (void)state;
    world_init(&w);
    api_key_id id = import_key(&w, "abcdefg", "s", 0);
    begin(&w, STR("Bearer abcdefg.s"));
    assert_int_equal(w.answers, 0);
    apply(&w, (struct command){.type = COMMAND_API_KEY_DELETE, .id = id}, &r);
    command_result_fini(&r);
    for (int i = 0; i < ROUNDS_MAX && w.answers == 0; i++)
        loop_run_once(w.loop, 10);
    assert_int_equal(w.answers, 1);
    assert_int_equal(w.answer, AUTH_REFUSED);
    world_fini(&w);
}

static void cancelled_checks_say_nothing(void **state)
{
    struct world w;

    (void)state;
    world_init(&w);
    (void)import_key(&w, "abcdefg", "s", 0);
    begin(&w, STR("Bearer abcdefg.s"));
    auth_cancel(w.ticket);
    /* The next one shares the pool, and comes through. */
    begin(&w, STR("Bearer abcdefg.s"));
    for (int i = 0; i < ROUNDS_MAX && w.answers == 0; i++)
        loop_run_once(w.loop, 10);
    assert_int_equal(w.answers, 1);
    auth_cancel(NULL);
    /* Under way when the server stops: told so when the loop is freed. */
    begin(&w, STR("Bearer other.s"));
    assert_non_null(w.ticket);
    world_fini(&w);
    assert_int_equal(w.answers, 1);
    assert_int_equal(w.answer, AUTH_BUSY);
}

static void too_many_hashes_are_put_off(void **state)
{
    struct world w;
    char key[128];
    unsigned under_way = 0;

    (void)state;
    world_init(&w);
    (void)new_key(&w, (struct command){0}, key);
    (void)import_key(&w, "abcdefg", "s", 0);
    /* The loop does not run, so nothing that was begun is over. */
    for (int i = 0; i < AUTH_HASHES_MAX + 3; i++) {
        begin(&w, STR("Bearer unknown.s"));
        under_way += w.ticket != NULL;
        if (!w.ticket)
            assert_int_equal(w.answer, AUTH_BUSY);
    }
    assert_int_equal(under_way, AUTH_HASHES_MAX);
    /* Who needs no hash is not in that line. */
    begin(&w, STR_NONE);
    assert_int_equal(w.answer, AUTH_BUSY);
    assert_int_equal(bearer(&w, key), AUTH_OK);
    w.answers = 0;
    for (int i = 0; i < ROUNDS_MAX && w.answers < under_way; i++)
        loop_run_once(w.loop, 10);
    assert_int_equal(w.answers, under_way);
    assert_int_equal(bearer(&w, "abcdefg.s"), AUTH_OK);
    world_fini(&w);
}

/* ---- OAuth clients, access tokens, sessions ---- */

static struct str some_scopes[] = {STR_INIT("auth_keys"), STR_INIT("devices:core")};
static struct str some_tags[] = {STR_INIT("tag:k8s")};

static api_key_id new_of(struct world *w, struct command c, char text[128])
{
    struct command_result r = {0};

    c.scopes = (struct str_list){some_scopes, 2};
    c.tags = (struct str_list){some_tags, 1};
    apply(w, c, &r);
    snprintf(text, 128, "%.*s", STR_ARG(r.secret));
    api_key_id id = r.id;
    command_result_fini(&r);
    return id;
}

static enum auth_answer client(struct world *w, struct str id, const char *secret)
{
    w->answers = 0;
    caller_fini(&w->who);
    w->ticket = auth_check_client(w->auth, w->loop, id, str_from(secret), on_done, w);
    for (int i = 0; i < ROUNDS_MAX && w->answers == 0; i++)
        loop_run_once(w->loop, 10);
    assert_int_equal(w->answers, 1);
    return w->answer;
}

static enum auth_answer session(struct world *w, const char *token)
{
    w->answers = 0;
    caller_fini(&w->who);
    assert_null(auth_check_session(w->auth, w->loop, str_from(token), on_done, w));
    assert_int_equal(w->answers, 1);
    return w->answer;
}

static void what_is_somebodys_lets_do_what_he_may(void **state)
{
    struct world w;
    char his[128], nobodys[128], cookie[128];
    struct command_result r = {0};
    struct caller kept;

    (void)state;
    world_init(&w);
    apply(&w, (struct command){.type = COMMAND_USER_CREATE, .name = STR("alice")}, &r);
    user_id alice = r.id;
    command_result_fini(&r);
    api_key_id id =
        new_key(&w, (struct command){.tailnet = w.tailnet, .user = alice, .expiry_ms = 0}, his);
    (void)new_key(&w, (struct command){.tailnet = w.tailnet}, nobodys);
    (void)new_of(&w,
                 (struct command){.type = COMMAND_SESSION_CREATE,
                                  .user = alice,
                                  .expiry_ms = clock_unix_ms() + 60000},
                 cookie);

    w.role = ROLE_AUDITOR;
    assert_int_equal(bearer(&w, his), AUTH_OK);
    assert_int_equal(w.asked, 1);
    assert_true(caller_may_read(&w.who, AREA_POLICY) && !caller_may_write(&w.who, AREA_DEVICES));
    kept = caller_copy(&w.who);
    assert_int_equal(session(&w, cookie), AUTH_OK);
    /* A session's own scopes are the other half. */
    assert_true(caller_may_read(&w.who, AREA_AUTH_KEYS) && !caller_may_read(&w.who, AREA_POLICY) &&
                !caller_may_write(&w.who, AREA_AUTH_KEYS));
    assert_int_equal(bearer(&w, nobodys), AUTH_OK);
    assert_true(caller_may_write(&w.who, AREA_DEVICES));
    assert_int_equal(w.asked, 2);

    /* Another role is in force at once, also for who has come in before. */
    w.role = ROLE_IT_ADMIN;
    assert_int_equal(bearer(&w, his), AUTH_OK);
    assert_true(caller_may_write(&w.who, AREA_DEVICES) && !caller_may_write(&w.who, AREA_POLICY));
    assert_true(auth_again(w.auth, w.loop, &kept) && caller_may_write(&kept, AREA_DEVICES));

    w.is_out = true;
    assert_int_equal(bearer(&w, his), AUTH_REFUSED);
    assert_int_equal(session(&w, cookie), AUTH_REFUSED);
    assert_int_equal(bearer(&w, nobodys), AUTH_OK);
    assert_false(auth_again(w.auth, w.loop, &kept));
    assert_int_equal(kept.may.read, 0);

    w.is_out = false;
    w.role = ROLE_MEMBER;
    assert_false(auth_again(w.auth, w.loop, &kept));
    assert_int_equal(bearer(&w, his), AUTH_REFUSED);
    w.role = ROLE_OWNER;
    assert_true(auth_again(w.auth, w.loop, &kept) && kept.role == ROLE_OWNER);
    apply(&w, (struct command){.type = COMMAND_API_KEY_DELETE, .id = id}, &r);
    command_result_fini(&r);
    assert_false(auth_again(w.auth, w.loop, &kept));
    caller_fini(&kept);
    world_fini(&w);
}

static void each_kind_of_key_opens_its_own_door(void **state)
{
    struct world w;
    char plain[128], secret[128], token[128], cookie[128];
    struct command_result r = {0};

    (void)state;
    world_init(&w);
    (void)new_key(&w, (struct command){0}, plain);
    api_key_id of = new_of(&w, (struct command){.type = COMMAND_OAUTH_CLIENT_CREATE}, secret);
    (void)new_of(&w, (struct command){.type = COMMAND_OAUTH_TOKEN_CREATE, .id = of}, token);
    apply(&w, (struct command){.type = COMMAND_USER_CREATE, .name = STR("alice")}, &r);
    (void)new_of(&w,
                 (struct command){.type = COMMAND_SESSION_CREATE,
                                  .user = r.id,
                                  .text = STR("alice@example.net"),
                                  .expiry_ms = clock_unix_ms() + 60000},
                 cookie);
    command_result_fini(&r);

    assert_int_equal(bearer(&w, token), AUTH_OK);
    assert_int_equal(w.who.kind, CALLER_OAUTH);
    assert_true(w.who.tailnet == w.tailnet && w.who.user == 0);
    assert_true(caller_may_write(&w.who, AREA_AUTH_KEYS) && !caller_may_read(&w.who, AREA_POLICY) &&
                !caller_may_read(&w.who, AREA_SERVER));
    assert_int_equal(w.who.tags.len, 1);
    /* The log names the client. */
    assert_true(str_starts(str_from(w.who.author), STR("oauth:")));
    assert_memory_equal(w.who.author + 6, secret + strlen("hskey-client-"), 12);
    assert_int_equal(w.seen, 0);

    assert_int_equal(client(&w, STR_NONE, secret), AUTH_OK);
    assert_true(w.who.api_key == of);
    assert_int_equal(w.seen, 1);
    assert_int_equal(client(&w, str_sub(str_from(secret), strlen("hskey-client-"), 12), secret),
                     AUTH_OK);
    assert_int_equal(client(&w, STR("000000000000"), secret), AUTH_REFUSED);

    assert_int_equal(session(&w, cookie), AUTH_OK);
    assert_int_equal(w.who.kind, CALLER_SESSION);
    assert_string_equal(w.who.author, "user:alice@example.net");
    assert_true(w.who.user != 0);

    const char *const all[] = {plain, secret, token, cookie};
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        assert_int_equal(bearer(&w, all[i]) == AUTH_OK, i == 0 || i == 2);
        assert_int_equal(client(&w, STR_NONE, all[i]) == AUTH_OK, i == 1);
        assert_int_equal(session(&w, all[i]) == AUTH_OK, i == 3);
    }
    clock_test_advance_ms(60000);
    assert_int_equal(session(&w, cookie), AUTH_REFUSED);
    clock_test_advance_ms(OAUTH_TOKEN_MS);
    assert_int_equal(bearer(&w, token), AUTH_REFUSED);
    apply(&w, (struct command){.type = COMMAND_OAUTH_CLIENT_DELETE, .id = of}, &r);
    command_result_fini(&r);
    assert_int_equal(client(&w, STR_NONE, secret), AUTH_REFUSED);
    world_fini(&w);
}

static void load(struct world *w, enum api_key_kind kind, const char *prefix, api_key_id client_id)
{
    static const char hash[] = "$argon2id$v=19$m=8,t=1,p=1$EBESExQVFhcYGRobHB0eHw$"
                               "um4x0gwWNyqEWyi0KhqG47INp7hhOt/InrY8aKuGaVQ";
    struct api_key *k = api_key_new();
    struct err err = {0};

    k->id = domain_counters(w->domain).api_key;
    k->kind = kind;
    k->tailnet = w->tailnet;
    k->client = client_id;
    k->prefix = str_copy(str_from(prefix));
    k->legacy = str_copy(str_from(hash));
    str_list_add(&k->scopes, STR("all"));
    k->expiry_ms = client_id ? clock_unix_ms() + 1000 : 0;
    assert_int_equal(domain_load_api_key(w->domain, k, &err), 0);
    publish(w, NULL);
}

/* headscale's own, with Argon2id hashes. */
static void imported_clients_and_tokens_are_good(void **state)
{
    static const char secret[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    struct world w;
    char text[128], plain[128];

    (void)state;
    world_init(&w);
    (void)new_key(&w, (struct command){0}, plain);
    api_key_id id = domain_counters(w.domain).api_key;
    load(&w, API_KEY_OAUTH_CLIENT, "aaaaaaaaaaaa", 0);
    load(&w, API_KEY_OAUTH_TOKEN, "bbbbbbbbbbbb", id);
    snprintf(text, sizeof(text), "hskey-client-aaaaaaaaaaaa-%s", secret);
    assert_int_equal(client(&w, STR_NONE, text), AUTH_OK);
    assert_non_null(w.ticket);
    assert_int_equal(client(&w, STR_NONE, text), AUTH_OK);
    assert_null(w.ticket); /* known by now */
    text[strlen(text) - 1] = 'e';
    assert_int_equal(client(&w, STR_NONE, text), AUTH_REFUSED);
    assert_non_null(w.ticket);
    /* Strangers to clients cost a hash now, strangers to API keys none. */
    assert_int_equal(client(&w, STR_NONE, "hskey-client-cccccccccccc-0123"), AUTH_REFUSED);
    assert_non_null(w.ticket);
    assert_int_equal(client(&w, STR_NONE, plain), AUTH_REFUSED);
    assert_non_null(w.ticket);
    plain[strlen(plain) - 1] = plain[strlen(plain) - 1] == '0' ? '1' : '0';
    assert_int_equal(bearer(&w, plain), AUTH_REFUSED);
    assert_null(w.ticket);
    snprintf(text, sizeof(text), "hskey-oauthtok-bbbbbbbbbbbb-%s", secret);
    assert_int_equal(bearer(&w, text), AUTH_OK);
    assert_string_equal(w.who.author, "oauth:aaaaaaaaaaaa");
    clock_test_advance_ms(1000);
    assert_int_equal(bearer(&w, text), AUTH_REFUSED);
    world_fini(&w);
}

static void last_use_is_noted_once_a_minute(void **state)
{
    struct world w;
    char key[128];

    (void)state;
    world_init(&w);
    api_key_id id = new_key(&w, (struct command){0}, key);
    for (int i = 0; i < 5; i++)
        assert_int_equal(bearer(&w, key), AUTH_OK);
    assert_int_equal(w.seen, 1);
    assert_true(w.seen_id == id);
    clock_test_advance_ms(API_KEY_SEEN_MS);
    for (int i = 0; i < 5; i++)
        assert_int_equal(bearer(&w, key), AUTH_OK);
    assert_int_equal(w.seen, 2);
    /* Another loop noted it meanwhile. */
    struct command_result r = {0};
    clock_test_advance_ms(API_KEY_SEEN_MS);
    apply(&w, (struct command){.type = COMMAND_API_KEY_SEEN, .id = id}, &r);
    command_result_fini(&r);
    assert_int_equal(bearer(&w, key), AUTH_OK);
    assert_int_equal(w.seen, 2);
    world_fini(&w);
}

static void on_proven(void *user, enum auth_answer answer, const struct caller *who)
{
    struct world *w = user;

    assert_null(who);
    w->answers++;
    w->answer = answer;
}

static void auth_keys_are_proven(void **state)
{
    struct world w;
    static const struct {
        const char *secret;
        enum auth_answer want;
    } cases[] = {{"right", AUTH_OK}, {"wrong", AUTH_REFUSED}};

    (void)state;
    world_init(&w);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct auth_ticket *t;

        w.answers = 0;
        t = auth_prove(w.auth, w.loop, str_from(cases[i].secret), bcrypt_of("right"), on_proven,
                       &w);
        assert_non_null(t);
        while (w.answers == 0)
            loop_run_once(w.loop, 10);
        assert_int_equal(w.answer, cases[i].want);
    }
    world_fini(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(our_own_are_known_at_once),
        cmocka_unit_test(strangers_are_all_alike),
        cmocka_unit_test(imported_ones_are_hashed_once),
        cmocka_unit_test(expired_imports_are_refused_proven_or_not),
        cmocka_unit_test(deleting_a_key_ends_a_check_under_way),
        cmocka_unit_test(cancelled_checks_say_nothing),
        cmocka_unit_test(too_many_hashes_are_put_off),
        cmocka_unit_test(last_use_is_noted_once_a_minute),
        cmocka_unit_test(what_is_somebodys_lets_do_what_he_may),
        cmocka_unit_test(each_kind_of_key_opens_its_own_door),
        cmocka_unit_test(imported_clients_and_tokens_are_good),
        cmocka_unit_test(auth_keys_are_proven),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
