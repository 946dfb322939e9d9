/*
 * Imports of every release's database, object by object; and of databases that nobody should have.
 *
 * Shown here: headscale.md 11 #24 (a node outlives its key), #34 (user and identity stored), #39
 * (node id and addresses kept), #40 (expiry kept), #44 (exactly the key's tags), as far as an
 * import carries them over.
 */

#include "harness.h"
#include "headscale_writer.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "crypto/secret.h"
#include "store/import.h"
#include "store/import_internal.h"
#include "tailnet/api_key.h"

struct run {
    struct test_dir dir;
    char from[160];
    char to[200];
    struct import_options options;
    struct import_report report;
    struct arena *arena;
    struct store *store;
    struct domain *domain;
    struct err err;
};

static bool bob_may_ask(void *hook, const struct user *owner, struct str tag)
{
    (void)hook;
    return str_eq(owner->name, STR("bob")) && str_eq(tag, STR("tag:web"));
}

static struct tailnet_info *make_info(void)
{
    struct tailnet_info *info = tailnet_info_new();

    info->name = str_copy(STR("default"));
    info->base_domain = str_copy(STR("example.net"));
    info->domain = str_copy(STR("example.net"));
    assert_true(ip_prefix_parse(STR("100.64.0.0/10"), &info->prefix_v4));
    assert_true(ip_prefix_parse(STR("fd7a:115c:a1e0::/48"), &info->prefix_v6));
    info->ephemeral_timeout_ms = 120000;
    return info;
}

static void run_init(struct run *r)
{
    *r = (struct run){.arena = arena_new()};
    test_dir_make(&r->dir);
    snprintf(r->from, sizeof(r->from), "%s/old.sqlite", r->dir.dir);
    snprintf(r->to, sizeof(r->to), "%s", r->dir.path);
    r->options = (struct import_options){.sqlite_path = str_from(r->from),
                                         .info = make_info(),
                                         .take_policy = true,
                                         .tag_may_be_requested = bob_may_ask,
                                         .now_ms = T0 + (int64_t)1000 * 86400000};
}

static void run_close(struct run *r)
{
    domain_free(r->domain);
    r->domain = NULL;
    store_close(r->store);
    r->store = NULL;
}

static void run_fini(struct run *r)
{
    run_close(r);
    tailnet_info_unref(r->options.info);
    arena_free(r->arena);
    test_dir_remove(&r->dir);
}

static int run_import(struct run *r, bool is_dry)
{
    const struct store_options to = {.sqlite_path = str_from(r->to), .wal = true};

    r->err = (struct err){0};
    return import_headscale_into(&r->options, &to, is_dry, r->arena, &r->report, &r->err);
}

/* Reads back what was written, as a server does at its start. */
static void run_open(struct run *r)
{
    const struct store_options to = {.sqlite_path = str_from(r->to), .wal = true};
    struct err err = {0};

    if (store_open(&to, &r->store, &err) < 0)
        fail_msg("opening: %s", err.text);
    r->domain = domain_new();
    if (store_load(r->store, r->domain, &err) < 0)
        fail_msg("loading: %s", err.text);
    domain_load_done(r->domain, r->options.now_ms);
}

static void run_good(struct run *r)
{
    if (run_import(r, false) < 0)
        fail_msg("importing: %s", r->err.text);
    run_open(r);
}

static void assert_prefixes(const struct ip_prefix *items, size_t n, const char *want)
{
    AUTO_FINI(buf_fini) struct buf text = BUF(4096);

    for (size_t i = 0; i < n; i++) {
        buf_put(&text, i ? STR(" ") : STR_NONE);
        ip_prefix_put(&text, items[i]);
    }
    assert_str(buf_str(&text), str_from(want));
}

static void assert_addr(struct ip_addr addr, const char *want)
{
    AUTO_FINI(buf_fini) struct buf text = BUF(64);

    ip_addr_put(&text, addr);
    assert_str(buf_str(&text), str_from(want));
}

static void assert_key(const uint8_t *key, uint8_t byte)
{
    for (size_t i = 0; i < KEY_BYTES; i++)
        assert_int_equal(key[i], byte);
}

/* ---- every release ---- */

static void check_users(const struct tailnet_view *v, enum hs_release rel)
{
    const struct user *alice = view_user_find(v, 1), *bob = view_user_find(v, 2);
    size_t n = 0;

    (void)view_users(v, &n);
    assert_int_equal(n, 2);
    assert_str(alice->name, STR("alice"));
    assert_str(bob->name, STR("bob"));
    assert_int_equal(alice->created_ms, 1709283600500);
    if (rel >= HS_0_25) {
        assert_str(alice->display_name, STR("Alice A"));
        assert_str(alice->email, STR("alice@example.com"));
        assert_str(bob->provider, STR("oidc"));
        assert_str(bob->provider_id, STR("https://idp.example.com/bob-sub"));
        assert_str(bob->picture_url, STR("https://example.com/b.png"));
    }
    assert_int_equal(alice->provider_id.len, 0);
}

static void check_auth_keys(const struct tailnet_view *v, enum hs_release rel)
{
    const struct auth_key *one = view_auth_key_find(v, 1), *four = view_auth_key_find(v, 4);
    const struct auth_key *five = view_auth_key_find(v, 5);
    size_t n = 0;

    (void)view_auth_keys(v, &n);
    assert_int_equal(n, 3);
    assert_true(one->user == 1 && one->reusable && !one->ephemeral && one->tags.len == 0);
    assert_int_equal(one->expiry_ms, 0);
    assert_true(four->used && four->tags.len == 1);
    assert_str(four->tags.items[0], STR("tag:web"));
    assert_true(five->ephemeral && five->expiry_ms > 0);
    if (rel >= HS_0_28) {
        assert_str(one->prefix, STR("aB-_56789011"));
        assert_str(one->legacy, STR(HS_HASH_AUTH));
    } else {
        assert_str(one->prefix, STR("001122334455"));
        assert_true(str_starts(one->legacy, STR("sha256:")));
    }
}

static void check_api_keys(struct domain *d, enum hs_release rel)
{
    AUTO(api_key_set_unref) const struct api_key_set *keys = domain_api_keys(d);
    const struct api_key *k = api_key_set_find(keys, 1);

    assert_int_equal(api_key_set_count(keys), rel == HS_0_30 ? 3 : rel >= HS_0_16 ? 1 : 0);
    if (rel < HS_0_16)
        return;
    assert_true(k->tailnet == 0 && k->user == 0 && k->expiry_ms == 0 && k->scopes.len == 0);
    assert_str(k->prefix, rel >= HS_0_28   ? STR("Ab-_56789012")
                          : rel >= HS_0_25 ? STR("abcdefg")
                                           : STR("abcdefghij"));
    assert_str(k->legacy, rel >= HS_0_28   ? STR(HS_HASH_API64)
                          : rel >= HS_0_25 ? STR(HS_HASH_API32)
                                           : STR(HS_HASH_API43));
}

static void check_oauth(struct domain *d)
{
    AUTO(api_key_set_unref) const struct api_key_set *keys = domain_api_keys(d);
    const struct api_key *k, *client = NULL, *token = NULL;

    for (size_t at = 0; (k = api_key_set_next(keys, &at));) {
        client = k->kind == API_KEY_OAUTH_CLIENT ? k : client;
        token = k->kind == API_KEY_OAUTH_TOKEN ? k : token;
    }
    assert_str(client->prefix, STR("0123456789ab"));
    assert_str(client->legacy, STR(HS_HASH_OAUTH));
    assert_str(client->description, STR("operator"));
    assert_true(client->tailnet == 1 && client->user == 0 && client->expiry_ms == 0);
    assert_true(client->scopes.len == 2 && client->tags.len == 1);
    assert_str(token->prefix, STR("00000000000a"));
    assert_true(token->client == client->id && token->tailnet == 1);
    assert_true(token->expiry_ms > 0);
    assert_str(token->scopes.items[0], STR("auth_keys"));
}

static void check_laptop(const struct node *n, enum hs_release rel)
{
    assert_key(n->machine.b, 0x11);
    assert_key(n->key.b, 0xaa);
    assert_key(n->disco.b, 0xdd);
    assert_addr(n->v4, "100.64.0.1");
    assert_addr(n->v6, rel == HS_0_12 ? "" : "fd7a:115c:a1e0::1");
    assert_str(n->given_name, STR("laptop"));
    assert_str(n->fqdn, STR("laptop.example.net."));
    assert_true(n->name_is_auto && n->user == 1 && n->tags.len == 0 && !n->ephemeral);
    assert_str(n->stable_id, STR("1"));
    assert_str(n->facts->hostname, STR("Laptop.local"));
    assert_str(n->facts->os, STR("linux"));
    assert_str(n->facts->ipn_version, STR("1.80.0"));
    assert_int_equal(n->home_derp, 999);
    assert_int_equal(n->n_endpoints, 2);
    assert_int_equal(n->auth_key, 1);
    assert_int_equal(n->method, REGISTER_AUTH_KEY);
    assert_int_equal(n->expiry_ms, 4070908800000);
    assert_int_equal(n->last_seen_ms, 1714557600123);
    assert_int_equal(n->n_approved, 0);
}

static void check_others(const struct tailnet_view *v)
{
    const struct node *web = view_node_find(v, 2), *router = view_node_find(v, 3);
    const struct node *eph = view_node_find(v, 5);

    assert_true(web->user == 0 && web->tags.len == 1 && web->expiry_ms == 0);
    assert_str(web->tags.items[0], STR("tag:web"));
    assert_str(web->given_name, STR("front"));
    assert_true(!web->name_is_auto && disco_key_is_zero(&web->disco) && web->auth_key == 4);
    assert_addr(web->v6, "");

    assert_true(router->user == 2 && router->method == REGISTER_CLI && router->auth_key == 0);
    assert_true(router->expiry_ms == 0 && router->name_is_auto);
    assert_str(router->given_name, STR("router-abcd1234"));
    assert_prefixes(router->approved, router->n_approved, "0.0.0.0/0 10.1.0.0/16 ::/0");
    assert_int_equal(router->facts->n_routes, 3);

    assert_true(eph->ephemeral && eph->user == 1 && eph->auth_key == 5);
    assert_str(eph->facts->hostinfo, STR("{}"));
    assert_int_equal(eph->method, REGISTER_AUTH_KEY);
}

static void check_report(const struct run *r, enum hs_release rel)
{
    const struct import_report *p = &r->report;

    assert_str(p->release, str_from(hs_release_words(rel)));
    assert_int_equal(p->counts[IMPORT_USER][IMPORT_TAKEN], 2);
    assert_int_equal(p->counts[IMPORT_NODE][IMPORT_TAKEN], 4);
    assert_int_equal(p->counts[IMPORT_AUTH_KEY][IMPORT_TAKEN], 3);
    assert_int_equal(p->counts[IMPORT_AUTH_KEY][IMPORT_LEFT], 2);
    assert_int_equal(p->counts[IMPORT_API_KEY][IMPORT_LEFT], rel >= HS_0_16 ? 1 : 0);
    assert_int_equal(p->counts[IMPORT_POLICY][IMPORT_TAKEN], rel >= HS_0_23 ? 1 : 0);
    assert_int_equal(p->counts[IMPORT_OAUTH_CLIENT][IMPORT_LEFT], rel == HS_0_30 ? 1 : 0);
    assert_int_equal(p->counts[IMPORT_OAUTH_CLIENT][IMPORT_TAKEN], rel == HS_0_30 ? 1 : 0);
    assert_int_equal(p->counts[IMPORT_OAUTH_TOKEN][IMPORT_TAKEN], rel == HS_0_30 ? 1 : 0);
    assert_int_equal(p->counts[IMPORT_OAUTH_TOKEN][IMPORT_LEFT], rel == HS_0_30 ? 1 : 0);
    assert_int_equal(p->n_notes, p->counts[IMPORT_AUTH_KEY][IMPORT_LEFT] +
                                     p->counts[IMPORT_API_KEY][IMPORT_LEFT] +
                                     p->counts[IMPORT_OAUTH_CLIENT][IMPORT_LEFT] +
                                     p->counts[IMPORT_OAUTH_TOKEN][IMPORT_LEFT]);
    assert_int_equal(p->n_tagged, 1);
    assert_int_equal(p->n_routes, 3);
}

static void every_release_is_taken_object_by_object(void **state)
{
    (void)state;
    for (enum hs_release rel = HS_0_12; rel < HS_RELEASES; rel++) {
        struct run r;

        print_message("%s\n", hs_release_words(rel));
        run_init(&r);
        sqlite3 *db = hs_make(r.from, rel);
        hs_fill(db, rel);
        sqlite3_close(db);
        run_good(&r);
        check_report(&r, rel);

        const struct tailnet_view *v = domain_view(r.domain, 0);

        assert_int_equal(view_node_count(v), 4);
        check_users(v, rel);
        check_auth_keys(v, rel);
        check_api_keys(r.domain, rel);
        if (rel == HS_0_30)
            check_oauth(r.domain);
        check_laptop(view_node_find(v, 1), rel);
        check_others(v);
        assert_str(view_info(v)->policy, rel >= HS_0_23 ? STR(HS_POLICY) : STR_NONE);
        view_unref(v);
        run_fini(&r);
    }
}

/* ---- keys that were handed out go on working ---- */

static enum register_outcome show_key(struct run *r, struct str key, auth_key_id proven)
{
    struct node_facts *facts = node_facts_new();
    struct register_request reg = {.machine = {.b = {9}},
                                   .key = {.b = {8}},
                                   .capver = 100,
                                   .auth_key = key,
                                   .proven = proven,
                                   .facts = facts};
    struct command c = {.type = COMMAND_REGISTER, .now_ms = r->options.now_ms, .reg = &reg};
    struct change_list changes = {0};
    struct command_result result = {0};
    struct err err = {0};

    assert_int_equal(domain_apply(r->domain, &c, &changes, &result, &err), 0);
    enum register_outcome outcome = result.outcome;

    command_result_fini(&result);
    change_list_fini(&changes);
    node_facts_unref(facts);
    return outcome;
}

static void a_key_in_clear_lets_machines_in_and_is_not_kept_in_clear(void **state)
{
    struct run r;

    (void)state;
    run_init(&r);
    sqlite3 *db = hs_make(r.from, HS_0_27);
    hs_fill(db, HS_0_27);
    sqlite3_close(db);
    run_good(&r);

    const struct tailnet_view *v = domain_view(r.domain, 0);
    struct str kept = view_auth_key_find(v, 1)->legacy;

    assert_true(str_find(kept, STR(HS_CLEAR_KEY)) < 0);
    assert_int_equal(show_key(&r, STR("00112233445566778899aabbccddeeff0011223344556678"), 0),
                     REGISTER_FAILED);
    assert_int_equal(show_key(&r, kept, 0), REGISTER_FAILED);
    assert_int_equal(show_key(&r, STR(HS_CLEAR_KEY), 0), REGISTER_DONE);
    view_unref(v);
    run_fini(&r);
}

static void a_hashed_key_lets_machines_in_once_its_hash_is_proven(void **state)
{
    struct run r;
    struct str text = STR("hskey-auth-aB-_56789011-" HS_SECRET_AUTH);

    (void)state;
    run_init(&r);
    sqlite3 *db = hs_make(r.from, HS_0_29);
    hs_fill(db, HS_0_29);
    sqlite3_close(db);
    run_good(&r);
    assert_int_equal(show_key(&r, text, 0), REGISTER_PROVE);
    assert_true(secret_bcrypt_matches(STR(HS_SECRET_AUTH), STR(HS_HASH_AUTH)));
    assert_int_equal(show_key(&r, text, 1), REGISTER_DONE);
    run_fini(&r);
}

/* ---- the source stays as it was ---- */

static struct str contents(const char *path)
{
    struct buf b = BUF((size_t)1 << 24);
    bool found = false;
    int fd = open(path, O_RDONLY);
    char piece[4096];
    ssize_t n;

    (void)found;
    while (fd >= 0 && (n = read(fd, piece, sizeof(piece))) > 0)
        buf_put(&b, str_bytes(piece, (size_t)n));
    if (fd >= 0)
        close(fd);
    return buf_take(&b);
}

static void what_is_in_the_old_log_is_read_and_left_there(void **state)
{
    struct run r;
    char wal[200], shm[200];

    (void)state;
    run_init(&r);
    snprintf(wal, sizeof(wal), "%s-wal", r.from);
    snprintf(shm, sizeof(shm), "%s-shm", r.from);
    sqlite3 *db = hs_make(r.from, HS_0_29);
    sqlite3_close(db);

    /* A server that is killed leaves its last changes in the log. */
    pid_t child = fork();
    if (child == 0) {
        db = NULL;
        sqlite3_open(r.from, &db);
        hs_sql(db, "PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0");
        hs_fill(db, HS_0_29);
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    (void)unlink(shm);
    struct str before = contents(r.from), log_before = contents(wal);

    assert_true(log_before.len > 0);
    run_good(&r);
    assert_int_equal(r.report.counts[IMPORT_NODE][IMPORT_TAKEN], 4);
    struct str after = contents(r.from), log_after = contents(wal);

    assert_true(str_eq(before, after) && str_eq(log_before, log_after));
    assert_int_equal(access(shm, F_OK), -1);
    str_free(&before);
    str_free(&after);
    str_free(&log_before);
    str_free(&log_after);
    run_fini(&r);
}

static void a_server_that_runs_is_seen(void **state)
{
    struct run r;
    int ready[2], done[2];
    char c = 0;

    (void)state;
    run_init(&r);
    sqlite3 *db = hs_make(r.from, HS_0_29);
    sqlite3_close(db);
    assert_int_equal(pipe(ready), 0);
    assert_int_equal(pipe(done), 0);
    pid_t child = fork();
    if (child == 0) {
        db = NULL;
        close(done[1]);
        sqlite3_open(r.from, &db);
        hs_sql(db, "PRAGMA journal_mode = WAL; SELECT count(*) FROM users");
        if (write(ready[1], "r", 1) == 1)
            (void)!read(done[0], &c, 1);
        _exit(0);
    }
    close(done[0]);
    assert_int_equal(read(ready[0], &c, 1), 1);
    assert_int_equal(run_import(&r, true), -ERR_CONFLICT);
    assert_non_null(strstr(r.err.text, "has the database open"));
    close(done[1]);
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    close(ready[0]);
    close(ready[1]);
    assert_int_equal(run_import(&r, true), 0);
    run_fini(&r);
}

static void a_dry_run_writes_nothing(void **state)
{
    struct run r;

    (void)state;
    run_init(&r);
    sqlite3 *db = hs_make(r.from, HS_0_28);
    hs_fill(db, HS_0_28);
    sqlite3_close(db);
    assert_int_equal(run_import(&r, true), 0);
    check_report(&r, HS_0_28);
    assert_int_equal(access(r.to, F_OK), -1);
    run_fini(&r);
}

/* ---- a target that has something ---- */

static void nodes_are_only_added_to_nodes_by_force_and_never_overwritten(void **state)
{
    struct run r;

    (void)state;
    run_init(&r);
    sqlite3 *db = hs_make(r.from, HS_0_28);
    hs_fill(db, HS_0_28);
    run_good(&r);
    run_close(&r);
    assert_int_equal(run_import(&r, false), -ERR_CONFLICT);
    assert_non_null(strstr(r.err.text, "--force"));

    /* The same again, one of them changed, and one that is new under a number that is taken. */
    hs_sql(db, "UPDATE users SET display_name = 'Other' WHERE id = 1;"
               "UPDATE nodes SET given_name = 'other', node_key = 'nodekey:"
               "0707070707070707070707070707070707070707070707070707070707070707', machine_key ="
               " 'mkey:0606060606060606060606060606060606060606060606060606060606060606'"
               " WHERE id = 1");
    r.options.force = true;
    run_good(&r);
    const struct tailnet_view *v = domain_view(r.domain, 0);
    const struct node *added = view_node_find(v, 7);

    assert_int_equal(view_node_count(v), 5);
    check_laptop(view_node_find(v, 1), HS_0_28);
    check_users(v, HS_0_28);
    assert_non_null(added);
    assert_str(added->given_name, STR("other"));
    assert_true(ip_addr_is_set(added->v4) && ip_addr_is_set(added->v6));
    assert_false(ip_addr_eq(added->v4, view_node_find(v, 1)->v4));
    assert_int_equal(r.report.counts[IMPORT_NODE][IMPORT_LEFT], 3);
    assert_int_equal(r.report.counts[IMPORT_NODE][IMPORT_CHANGED], 1);
    assert_int_equal(r.report.counts[IMPORT_USER][IMPORT_PRESENT], 2);
    assert_int_equal(r.report.counts[IMPORT_AUTH_KEY][IMPORT_PRESENT], 3);
    assert_int_equal(r.report.counts[IMPORT_API_KEY][IMPORT_PRESENT], 1);
    assert_int_equal(r.report.counts[IMPORT_POLICY][IMPORT_PRESENT], 1);
    view_unref(v);
    sqlite3_close(db);
    run_fini(&r);
}

/* ---- collisions and old leftovers ---- */

static const struct {
    const char *name;
    enum hs_release release;
    const char *sql;
    enum import_what what;
    enum import_fate fate;
    uint64_t id;
    const char *text; /* part of the note */
} collisions[] = {
    {"two nodes of one name", HS_0_29, "UPDATE nodes SET given_name = 'LAPTOP' WHERE id = 3",
     IMPORT_NODE, IMPORT_CHANGED, 3, "is called LAPTOP-1 now"},
    {"a name that is no label", HS_0_29, "UPDATE nodes SET given_name = '-Ä x_' WHERE id = 3",
     IMPORT_NODE, IMPORT_CHANGED, 3, "is no DNS label"},
    {"two nodes with one address", HS_0_29, "UPDATE nodes SET ipv4 = '100.64.0.1' WHERE id = 3",
     IMPORT_NODE, IMPORT_CHANGED, 3, "gets new addresses"},
    {"no address", HS_0_29, "UPDATE nodes SET ipv4 = NULL, ipv6 = '' WHERE id = 3", IMPORT_NODE,
     IMPORT_CHANGED, 3, "it had none"},
    {"two nodes with one node key", HS_0_29,
     "UPDATE nodes SET node_key = (SELECT node_key FROM nodes WHERE id = 1) WHERE id = 3",
     IMPORT_NODE, IMPORT_LEFT, 3, "another node has its node key"},
    {"an owner that is gone", HS_0_29, "UPDATE nodes SET user_id = 77 WHERE id = 3", IMPORT_NODE,
     IMPORT_LEFT, 3, "neither an owner nor tags"},
    {"neither owner nor tags, and no key to tell", HS_0_29,
     "UPDATE nodes SET user_id = NULL WHERE id = 3", IMPORT_NODE, IMPORT_LEFT, 3,
     "neither an owner nor tags"},
    {"a tag that is none", HS_0_29, "UPDATE nodes SET tags = '[\"tag:web\", \"web\"]' WHERE id = 2",
     IMPORT_NODE, IMPORT_CHANGED, 2, "\"web\", which is no tag"},
    {"a route that is none", HS_0_29,
     "UPDATE nodes SET approved_routes = '[\"10.0.0.0/99\"]' WHERE id = 3", IMPORT_NODE,
     IMPORT_CHANGED, 3, "the approved route \"10.0.0.0/99\""},
    {"host facts that are no JSON", HS_0_29, "UPDATE nodes SET host_info = '{' WHERE id = 1",
     IMPORT_NODE, IMPORT_CHANGED, 1, "without its host facts"},
    {"host facts of another type", HS_0_29, "UPDATE nodes SET host_info = '[1]' WHERE id = 1",
     IMPORT_NODE, IMPORT_CHANGED, 1, "without its host facts"},
    {"a machine that was never let in", HS_0_12, "UPDATE machines SET registered = 0 WHERE id = 3",
     IMPORT_NODE, IMPORT_LEFT, 3, "never let in"},
    {"a key whose user is gone", HS_0_29, "UPDATE pre_auth_keys SET user_id = NULL WHERE id = 1",
     IMPORT_AUTH_KEY, IMPORT_LEFT, 1, "its user is not there"},
    {"a key that expired at once", HS_0_29,
     "UPDATE pre_auth_keys SET expiration = '0001-01-01 00:00:00+00:00' WHERE id = 2",
     IMPORT_AUTH_KEY, IMPORT_LEFT, 2, "it was used"},
    {"a key that was revoked", HS_0_30,
     "UPDATE pre_auth_keys SET revoked = '2026-01-01 00:00:00Z' WHERE id = 1", IMPORT_AUTH_KEY,
     IMPORT_LEFT, 1, "revoked"},
    {"two keys with one prefix", HS_0_29,
     "UPDATE pre_auth_keys SET prefix = 'aB-_56789011', hash = '" HS_HASH_API64 "' WHERE id = 4",
     IMPORT_AUTH_KEY, IMPORT_LEFT, 4, "same prefix"},
    {"two users of one name", HS_0_23,
     "CREATE TABLE t AS SELECT * FROM users; DROP TABLE users; ALTER TABLE t RENAME TO users;"
     "UPDATE users SET name = 'alice'",
     IMPORT_USER, IMPORT_CHANGED, 2, "gets the name alice-2"},
    {"a user without a name", HS_0_29, "UPDATE users SET name = '' WHERE id = 1", IMPORT_USER,
     IMPORT_CHANGED, 1, "gets the name user-1"},
    {"the number of tagged devices", HS_0_29,
     "INSERT INTO users (id, name) VALUES (2147455555, 'x')", IMPORT_USER, IMPORT_CHANGED,
     2147455555, "gets the number"},
};

static const struct import_note *find_note(const struct import_report *p, enum import_what what,
                                           enum import_fate fate, uint64_t id, const char *text)
{
    for (size_t i = 0; i < p->n_notes; i++)
        if (p->notes[i].what == what && p->notes[i].fate == fate && p->notes[i].id == id &&
            str_find(p->notes[i].text, str_from(text)) >= 0)
            return &p->notes[i];
    return NULL;
}

static void explain(const struct import_report *p)
{
    for (size_t i = 0; i < p->n_notes; i++)
        print_message("  %s %s %llu: %.*s\n", import_fate_name(p->notes[i].fate),
                      import_what_name(p->notes[i].what), (unsigned long long)p->notes[i].id,
                      STR_ARG(p->notes[i].text));
}

static void collisions_are_settled_and_told(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(collisions); i++) {
        struct run r;

        print_message("%s\n", collisions[i].name);
        run_init(&r);
        sqlite3 *db = hs_make(r.from, collisions[i].release);
        hs_fill(db, collisions[i].release);
        hs_sql(db, collisions[i].sql);
        sqlite3_close(db);
        run_good(&r);
        if (!find_note(&r.report, collisions[i].what, collisions[i].fate, collisions[i].id,
                       collisions[i].text)) {
            explain(&r.report);
            fail_msg("the report does not say so");
        }
        run_fini(&r);
    }
}

/* headscale.md 8.6, rule 6. */
static void a_lost_owner_is_found_by_the_key(void **state)
{
    struct run r;

    (void)state;
    run_init(&r);
    sqlite3 *db = hs_make(r.from, HS_0_29);
    hs_fill(db, HS_0_29);
    hs_sql(db, "UPDATE nodes SET user_id = NULL, tags = 'null' WHERE id = 1");
    sqlite3_close(db);
    run_good(&r);
    const struct tailnet_view *v = domain_view(r.domain, 0);

    assert_int_equal(view_node_find(v, 1)->user, 1);
    view_unref(v);
    run_fini(&r);
}

static void numbers_of_what_was_deleted_are_not_given_again(void **state)
{
    struct run r;

    (void)state;
    run_init(&r);
    sqlite3 *db = hs_make(r.from, HS_0_29);
    hs_fill(db, HS_0_29);
    hs_sql(db, "INSERT INTO nodes (id) VALUES (500); DELETE FROM nodes WHERE id = 500;"
               "INSERT INTO users (id) VALUES (70); DELETE FROM users WHERE id = 70;"
               "UPDATE sqlite_sequence SET seq = -7 WHERE name = 'api_keys'");
    sqlite3_close(db);
    run_good(&r);
    struct domain_counters next = domain_counters(r.domain);

    assert_int_equal(next.node, 501);
    assert_int_equal(next.user, 71);
    assert_int_equal(next.api_key, 3);
    run_fini(&r);
}

/* headscale.md 8.6, rule 2. */
static void old_users_by_log_in_are_given_their_identity(void **state)
{
    struct run r;

    (void)state;
    run_init(&r);
    sqlite3 *db = hs_make(r.from, HS_0_23);
    hs_fill(db, HS_0_23);
    sqlite3_close(db);
    str_list_add(&r.options.identities, STR("bob=https://idp.example.com/b=1"));
    run_good(&r);
    const struct tailnet_view *v = domain_view(r.domain, 0);

    assert_str(view_user_find(v, 2)->provider_id, STR("https://idp.example.com/b=1"));
    assert_str(view_user_find(v, 2)->provider, STR("oidc"));
    assert_int_equal(view_user_find(v, 1)->provider_id.len, 0);
    view_unref(v);
    run_close(&r);
    str_list_add(&r.options.identities, STR("nobody=https://idp.example.com/n"));
    r.options.force = true;
    assert_int_equal(run_import(&r, false), -ERR_NOT_FOUND);
    str_list_free(&r.options.identities);
    run_fini(&r);
}

/* ---- damage ---- */

static const struct {
    const char *name;
    const char *sql;
    enum import_what what;
    uint64_t id;
    const char *text;
} damages[] = {
    {"a blob for a name", "UPDATE users SET name = x'ff00' WHERE id = 1", IMPORT_USER, 1,
     "name is no text in UTF-8"},
    {"invalid UTF-8", "UPDATE users SET email = CAST(x'c328' AS TEXT) WHERE id = 1", IMPORT_USER, 1,
     "email is no text in UTF-8"},
    {"a number for a name", "UPDATE users SET name = 7 WHERE id = 1", IMPORT_USER, 1, NULL},
    {"a name of a megabyte", "UPDATE users SET name = hex(zeroblob(500000)) WHERE id = 1",
     IMPORT_USER, 1, "more than 255"},
    {"a time that is none", "UPDATE users SET created_at = 'soon' WHERE id = 1", IMPORT_USER, 1,
     "created_at is no time"},
    {"a fraction for a time", "UPDATE nodes SET expiry = 1.5 WHERE id = 1", IMPORT_NODE, 1,
     "expiry is no time"},
    {"no node key", "UPDATE nodes SET node_key = NULL WHERE id = 1", IMPORT_NODE, 1,
     "node_key is no key"},
    {"a zero machine key", "UPDATE nodes SET machine_key = 'mkey:' || hex(zeroblob(32))",
     IMPORT_NODE, 1, "machine_key is no key"},
    {"a short node key", "UPDATE nodes SET node_key = 'nodekey:abcd' WHERE id = 1", IMPORT_NODE, 1,
     "node_key is no key"},
    {"an address that is none", "UPDATE nodes SET ipv4 = '100.64.0.999' WHERE id = 1", IMPORT_NODE,
     1, "no address"},
    {"tags that are no list", "UPDATE nodes SET tags = '{\"a\":1}' WHERE id = 1", IMPORT_NODE, 1,
     "tags is no JSON list"},
    {"tags of numbers", "UPDATE nodes SET tags = '[1]' WHERE id = 1", IMPORT_NODE, 1,
     "tags is no list of texts"},
    {"tags nested too deep",
     "UPDATE nodes SET tags = replace(hex(zeroblob(300)), '00', '[') WHERE id = 1", IMPORT_NODE, 1,
     "tags is no JSON list"},
    {"an owner that is no number", "UPDATE nodes SET user_id = 'alice' WHERE id = 1", IMPORT_NODE,
     1, "user_id is no number"},
    {"a negative owner", "UPDATE nodes SET user_id = -1 WHERE id = 1", IMPORT_NODE, 1,
     "user_id is no number"},
    {"an id beyond all", "UPDATE nodes SET id = 9007199254740993 WHERE id = 1", IMPORT_NODE, 0,
     "id is no number"},
    {"an OAuth client's hash that is none",
     "UPDATE oauth_clients SET secret_hash = 'x' WHERE id = 1", IMPORT_OAUTH_CLIENT, 1,
     "secret_hash is no Argon2id hash"},
    {"a client id that is none", "UPDATE oauth_clients SET client_id = 'gg' WHERE id = 1",
     IMPORT_OAUTH_CLIENT, 1, "client_id is none"},
    {"an access token's tag that is none",
     "UPDATE oauth_access_tokens SET tags = '[\"k8s\"]' WHERE id = 1", IMPORT_OAUTH_TOKEN, 1,
     "tags hold one that is none"},
    {"a negative id", "UPDATE nodes SET id = -4 WHERE id = 1", IMPORT_NODE, 0, "id is no number"},
    {"a huge hostname", "UPDATE nodes SET hostname = hex(zeroblob(500000)) WHERE id = 1",
     IMPORT_NODE, 1, "hostname has 1000000 bytes"},
    {"a key without a hash", "UPDATE pre_auth_keys SET hash = NULL WHERE id = 1", IMPORT_AUTH_KEY,
     1, "bcrypt"},
    {"a hash that costs years",
     "UPDATE pre_auth_keys SET hash = replace(hash, '$04$', '$31$') WHERE id = 1", IMPORT_AUTH_KEY,
     1, "bcrypt"},
    {"a bool that is neither", "UPDATE pre_auth_keys SET reusable = 'maybe' WHERE id = 1",
     IMPORT_AUTH_KEY, 1, "reusable is neither"},
    {"an API key's prefix of another length", "UPDATE api_keys SET prefix = 'a' WHERE id = 1",
     IMPORT_API_KEY, 1, "prefix is none"},
    {"two rows of one id",
     "CREATE TABLE t AS SELECT * FROM users; DROP TABLE users; ALTER TABLE t RENAME TO users;"
     "INSERT INTO users SELECT * FROM users WHERE id = 1",
     IMPORT_USER, 1, "the same id"},
};

static void damage_stops_all_unless_it_may_be_left_out(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(damages); i++) {
        struct run r;

        print_message("%s\n", damages[i].name);
        run_init(&r);
        sqlite3 *db = hs_make(r.from, HS_0_30);
        hs_fill(db, HS_0_29);
        hs_sql(db, damages[i].sql);
        sqlite3_close(db);
        if (!damages[i].text) { /* columns of text make text of it */
            assert_int_equal(run_import(&r, false), 0);
            run_fini(&r);
            continue;
        }
        assert_int_equal(run_import(&r, false), -ERR_INVALID);
        assert_non_null(strstr(r.err.text, "--skip-damaged"));
        if (!find_note(&r.report, damages[i].what, IMPORT_DAMAGED, damages[i].id,
                       damages[i].text)) {
            explain(&r.report);
            fail_msg("the report does not say so");
        }
        assert_int_equal(access(r.to, F_OK), -1);
        r.options.skip_damaged = true;
        run_good(&r);
        run_fini(&r);
    }
}

static void write_file(const char *path, struct str text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text.ptr, text.len), text.len);
    close(fd);
}

static void assert_refused(struct run *r, const char *why)
{
    char making[220];

    snprintf(making, sizeof(making), "%s.import", r->to);
    assert_true(run_import(r, false) < 0);
    if (!strstr(r->err.text, why))
        fail_msg("got \"%s\", want \"%s\"", r->err.text, why);
    assert_int_equal(access(r->to, F_OK), -1);
    assert_int_equal(access(making, F_OK), -1);
}

static void what_is_no_headscale_database_is_refused(void **state)
{
    struct run r;

    (void)state;
    run_init(&r);
    assert_refused(&r, "No such file");
    write_file(r.from,
               STR("tables: none\n and some more text so that it is longer than a header is, "
                   "which has a hundred bytes"));
    assert_refused(&r, "no SQLite database");
    write_file(r.from, STR_NONE);
    assert_refused(&r, "the database is empty");
    assert_int_equal(unlink(r.from), 0);
    assert_int_equal(mkdir(r.from, 0700), 0);
    assert_refused(&r, "folder");
    assert_int_equal(rmdir(r.from), 0);

    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(r.from, &db), SQLITE_OK);
    hs_sql(db, "CREATE TABLE notes (id integer)");
    assert_refused(&r, "no headscale database");
    /* Names alone do not make it one, and views are not looked at. */
    hs_sql(db, "CREATE TABLE pre_auth_keys (id, key); CREATE TABLE users (id, name);"
               "CREATE VIEW nodes AS SELECT 1 AS id, 2 AS machine_key, 3 AS node_key");
    assert_refused(&r, "no table of nodes");
    sqlite3_close(db);
    run_fini(&r);
}

static void a_truncated_database_is_refused(void **state)
{
    struct run r;
    struct stat st;

    (void)state;
    run_init(&r);
    sqlite3 *db = hs_make(r.from, HS_0_29);
    hs_fill(db, HS_0_29);
    sqlite3_close(db);
    assert_int_equal(stat(r.from, &st), 0);
    assert_int_equal(truncate(r.from, st.st_size / 2), 0);
    assert_true(run_import(&r, false) < 0);
    assert_non_null(strstr(r.err.text, "damaged"));
    assert_int_equal(access(r.to, F_OK), -1);
    run_fini(&r);
}

static void a_value_beyond_all_bounds_is_refused(void **state)
{
    struct run r;

    (void)state;
    run_init(&r);
    sqlite3 *db = hs_make(r.from, HS_0_29);
    hs_fill(db, HS_0_29);
    hs_sql(db, "UPDATE users SET email = hex(zeroblob(5000000)) WHERE id = 1");
    sqlite3_close(db);
    assert_refused(&r, "over 8388608 bytes");
    run_fini(&r);
}

static void our_own_database_is_no_source(void **state)
{
    struct run r;

    (void)state;
    run_init(&r);
    sqlite3 *db = hs_make(r.from, HS_0_29);
    hs_fill(db, HS_0_29);
    sqlite3_close(db);
    run_good(&r);
    run_close(&r);
    assert_int_equal(rename(r.to, r.from), 0);
    assert_true(run_import(&r, false) < 0);
    assert_non_null(strstr(r.err.text, "database of Hatsize"));
    run_fini(&r);
}

/* ---- where it goes ---- */

static int refuse_policy(void *hook, struct str text, const struct tailnet_view *view,
                         struct err *err)
{
    (void)hook;
    assert_str(text, STR(HS_POLICY));
    assert_non_null(view_user_find(view, 2));
    return err_set(err, ERR_INVALID, "line 7 is wrong");
}

static void a_policy_that_cannot_be_used_stops_all(void **state)
{
    struct run r;

    (void)state;
    run_init(&r);
    sqlite3 *db = hs_make(r.from, HS_0_29);
    hs_fill(db, HS_0_29);
    sqlite3_close(db);
    r.options.judge_policy = refuse_policy;
    assert_refused(&r, "the policy cannot be taken over: line 7 is wrong");
    r.options.judge_policy = NULL;
    r.options.take_policy = false;
    run_good(&r);
    const struct tailnet_view *v = domain_view(r.domain, 0);

    assert_int_equal(view_info(v)->policy.len, 0);
    assert_non_null(find_note(&r.report, IMPORT_POLICY, IMPORT_LEFT, 2, "policy file"));
    view_unref(v);
    run_fini(&r);
}

static void a_headscale_file_in_the_configuration_means_ours_beside_it(void **state)
{
    struct run r;
    char beside[200];
    struct err err = {0};
    struct store *store = NULL;

    (void)state;
    run_init(&r);
    snprintf(beside, sizeof(beside), "%s/hatsize.sqlite", r.dir.dir);
    sqlite3 *db = hs_make(r.from, HS_0_29);
    hs_fill(db, HS_0_29);
    sqlite3_close(db);

    struct store_options to = {.sqlite_path = str_from(r.from), .wal = true};
    struct str before = contents(r.from);

    assert_true(import_is_headscale(to.sqlite_path));
    assert_int_equal(store_open(&to, &store, &err), -ERR_INVALID);
    assert_non_null(strstr(err.text, "hatsize import headscale"));

    struct str path = import_path_beside(to.sqlite_path);
    assert_str(path, str_from(beside));
    snprintf(r.to, sizeof(r.to), "%s", beside);
    run_good(&r);
    run_close(&r);
    /* The old name leads to the new database from now on. */
    assert_int_equal(store_open(&to, &store, &err), 0);
    store_close(store);
    struct str after = contents(r.from);

    assert_true(str_eq(before, after));
    str_free(&before);
    str_free(&after);
    str_free(&path);
    path = import_path_of(to.sqlite_path);
    assert_str(path, str_from(beside));
    str_free(&path);
    path = import_path_of(str_from(beside));
    assert_str(path, str_from(beside));
    str_free(&path);
    run_fini(&r);
}

/* ---- times ---- */

static void times_are_read_in_every_spelling(void **state)
{
    static const struct {
        const char *text;
        bool good;
        int64_t ms;
    } cases[] = {
        {"1970-01-01 00:00:00+00:00", true, 0},
        {"2024-02-29 12:30:45.123456789+02:00", true, 1709202645123},
        {"2024-02-29T12:30:45Z", true, 1709209845000},
        {"2024-02-29 12:30:45", true, 1709209845000},
        {"2024-02-29 12:30:45 +0000 UTC", true, 1709209845000},
        {"2024-02-29 12:30:45.5-0330", true, 1709222445500},
        {"2024-02-29 12:30:45+00", true, 1709209845000},
        {"2024-02-29", true, 1709164800000},
        {"0001-01-01 00:00:00+00:00", true, -62135596800000},
        {"", false, 0},
        {"2024", false, 0},
        {"2024-13-01 00:00:00", false, 0},
        {"2024-02-29 25:00:00", false, 0},
        {"2024-02-29 12:30:45.x", false, 0},
        {"2024-02-29 12:30:45 CET", false, 0},
        {"99999-02-29 12:30:45", false, 0},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        int64_t ms = 7;

        print_message("%s\n", cases[i].text);
        assert_int_equal(import_parse_time(str_from(cases[i].text), &ms), cases[i].good);
        assert_int_equal(ms, cases[i].good ? cases[i].ms : 7);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times_are_read_in_every_spelling),
        cmocka_unit_test(every_release_is_taken_object_by_object),
        cmocka_unit_test(a_key_in_clear_lets_machines_in_and_is_not_kept_in_clear),
        cmocka_unit_test(a_hashed_key_lets_machines_in_once_its_hash_is_proven),
        cmocka_unit_test(what_is_in_the_old_log_is_read_and_left_there),
        cmocka_unit_test(a_server_that_runs_is_seen),
        cmocka_unit_test(a_dry_run_writes_nothing),
        cmocka_unit_test(nodes_are_only_added_to_nodes_by_force_and_never_overwritten),
        cmocka_unit_test(collisions_are_settled_and_told),
        cmocka_unit_test(a_lost_owner_is_found_by_the_key),
        cmocka_unit_test(numbers_of_what_was_deleted_are_not_given_again),
        cmocka_unit_test(old_users_by_log_in_are_given_their_identity),
        cmocka_unit_test(damage_stops_all_unless_it_may_be_left_out),
        cmocka_unit_test(what_is_no_headscale_database_is_refused),
        cmocka_unit_test(a_truncated_database_is_refused),
        cmocka_unit_test(a_value_beyond_all_bounds_is_refused),
        cmocka_unit_test(our_own_database_is_no_source),
        cmocka_unit_test(a_policy_that_cannot_be_used_stops_all),
        cmocka_unit_test(a_headscale_file_in_the_configuration_means_ours_beside_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
