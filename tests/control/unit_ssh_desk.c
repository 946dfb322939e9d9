/*
 * SSH checks over two loops: machines ask on one in HTTP/2, the checks live on the other, people
 * decide there; with a registrar and a policy behind them. Meant for the thread sanitizer as well.
 */

#include "../first_tailnet.h"
#include "../unit.h"

#include <stdatomic.h>
#include <unistd.h>

#include "control/control.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/rand.h"
#include "http/client.h"

#define ASKS_MAX 64

struct machine {
    struct machine_key key;
    struct node_key node_key;
    node_id id;
    user_id user;
};

struct fixture {
    char path[64];
    struct loop *loops[2]; /* the checks' (this thread's), the machines' */
    struct control *control;
    struct http_server *server;
    tailnet_id tailnet; /* where users and machines are made; 0: the first */
    struct machine laptop, box, strange; /* alice's, alice's, bob's */
    struct ask *asks[ASKS_MAX];
    size_t n_asks;
    _Atomic(size_t) nodes[2]; /* as many as each loop knows */
};

/* ---- What stands behind ---- */

struct test_call {
    struct registrar_call call;
    bool is_done;
};

static void on_call_done(struct registrar_call *call)
{
    CONTAINER_OF(call, struct test_call, call)->is_done = true;
}

static void apply(struct fixture *f, struct test_call *t, struct command command)
{
    t->call.command = command;
    t->call.command.origin = ORIGIN_SOCKET;
    t->call.loop = f->loops[0];
    t->call.done = on_call_done;
    registrar_submit(control_registrar(f->control), &t->call);
    for (int i = 0; i < 2000 && !t->is_done; i++)
        loop_run_once(f->loops[0], 10);
    assert_true(t->is_done);
    if (t->call.status < 0)
        print_message("%s\n", t->call.err.text);
    assert_int_equal(t->call.status, 0);
}

static void make_tailnet(struct fixture *f)
{
    struct tailnet_info *info = first_tailnet();
    struct test_call t = {0};

    apply(f, &t,
          (struct command){.type = COMMAND_TAILNET_CREATE, .name = STR("default"), .info = info});
    command_result_fini(&t.call.result);
    tailnet_info_unref(info);
}

static user_id make_user(struct fixture *f, struct str name)
{
    struct test_call t = {0};

    apply(f, &t,
          (struct command){.type = COMMAND_USER_CREATE, .tailnet = f->tailnet, .name = name});
    user_id id = t.call.result.user->id;
    command_result_fini(&t.call.result);
    return id;
}

static void join(struct fixture *f, struct machine *m, user_id user)
{
    struct test_call key = {0}, t = {0};
    struct register_request reg = {.capver = 142, .facts = node_facts_new()};

    apply(f, &key,
          (struct command){.type = COMMAND_AUTH_KEY_CREATE,
                           .tailnet = f->tailnet,
                           .user = user,
                           .expiry_ms = clock_unix_ms() + 3600000});
    rand_bytes(m->key.b, sizeof(m->key.b));
    rand_bytes(m->node_key.b, sizeof(m->node_key.b));
    reg.machine = m->key;
    reg.key = m->node_key;
    reg.auth_key = key.call.result.secret;
    apply(f, &t, (struct command){.type = COMMAND_REGISTER, .reg = &reg});
    assert_int_equal(t.call.result.outcome, REGISTER_DONE);
    m->id = t.call.result.node->id;
    m->user = user;
    node_facts_unref(reg.facts);
    command_result_fini(&key.call.result);
    command_result_fini(&t.call.result);
}

static void set_policy(struct fixture *f, struct str text)
{
    struct test_call t = {0};

    apply(f, &t, (struct command){.type = COMMAND_POLICY_SET, .text = text});
    command_result_fini(&t.call.result);
}

#define CHECK(period)                                                                   \
    STR("{\"ssh\": [{\"action\": \"check\", \"checkPeriod\": \"" period "\", \"src\": " \
        "[\"autogroup:member\"], \"dst\": [\"autogroup:self\"], \"users\": [\"root\"]}]}")

/* ---- Machines, on the other loop ---- */

struct ask {
    struct fixture *f;
    const struct machine *from; /* whose channel */
    char target[256];
    struct loop_message message;
    struct loop_message leave;
    struct h2_client *client;
    struct h2_request *request;
    struct buf body;
    int status;
    _Atomic(bool) is_over;
};

static void on_action(void *user, struct http_exchange *x, const struct http_request *req)
{
    struct fixture *f = user;
    const struct ask *ask = req->conn_user;

    ssh_desk_serve(control_ssh_desk(f->control), control_hub(f->control, req->loop),
                   &ask->from->key, x, req);
}

static void on_status(void *user, int status)
{
    ((struct ask *)user)->status = status;
}

static void on_body(void *user, struct str data)
{
    buf_put(&((struct ask *)user)->body, data);
}

static void on_over(void *user, const struct err *err)
{
    struct ask *ask = user;

    if (err)
        ask->status = -1;
    ask->request = NULL;
    atomic_store(&ask->is_over, true);
}

static void on_gone(void *user)
{
    ((struct ask *)user)->client = NULL;
}

static void ask_starts(struct loop_message *msg)
{
    static const struct h2_request_events events = {
        .on_headers = on_status, .on_data = on_body, .on_end = on_over};
    struct ask *ask = CONTAINER_OF(msg, struct ask, message);
    struct stream *pair[2];

    if (msg->cancelled)
        return;
    stream_pair(ask->f->loops[1], pair);
    http_serve(ask->f->server, pair[0], ask, NULL);
    ask->client = h2_client_new(pair[1], on_gone, ask);
    ask->request = h2_client_request(ask->client, "GET", str_from(ask->target), STR("host"),
                                     STR_NONE, &events, ask);
}

static void ask_leaves(struct loop_message *msg)
{
    struct ask *ask = CONTAINER_OF(msg, struct ask, leave);

    if (!msg->cancelled && ask->request)
        h2_request_cancel(ask->request);
}

/* A log-in from the laptop, asked about by `by`. */
static struct ask *ask(struct fixture *f, const struct machine *by, const struct machine *dst,
                       const char *as, const char *id)
{
    struct ask *a = NEW(struct ask);

    assert_true(f->n_asks < ASKS_MAX);
    f->asks[f->n_asks++] = a;
    a->f = f;
    a->from = by;
    a->body = BUF((size_t)1 << 20);
    (void)snprintf(a->target, sizeof(a->target),
                   "/machine/ssh/action/%llu/to/%llu?local_user=%s&check=%s",
                   (unsigned long long)f->laptop.id, (unsigned long long)dst->id, as, id);
    a->message = (struct loop_message){.run = ask_starts};
    loop_post(f->loops[1], &a->message);
    return a;
}

static struct str wait_answer(struct fixture *f, struct ask *a)
{
    for (int i = 0; i < 1000 && !atomic_load(&a->is_over); i++)
        loop_run_once(f->loops[0], 5);
    assert_true(atomic_load(&a->is_over));
    return buf_str(&a->body);
}

static void assert_has(struct str text, const char *part)
{
    if (str_find(text, str_from(part)) < 0)
        fail_msg("no \"%s\" in %.*s", part, STR_ARG(text));
}

/* The check that an answer names. */
static void id_in(struct str answer, char id[SSH_CHECK_ID_MAX])
{
    ptrdiff_t at = str_find(answer, STR("&check="));

    assert_has(answer, "https://example.com/machine/ssh/action/$SRC_NODE_ID/to/$DST_NODE_ID");
    assert_true(at > 0);
    struct str rest = str_from_index(answer, (size_t)at + 7);
    size_t n = (size_t)str_find_char(rest, '"');

    assert_true(n < SSH_CHECK_ID_MAX);
    memcpy(id, rest.ptr, n);
    id[n] = '\0';
}

/* ---- A person ---- */

struct word {
    struct ssh_desk_query query;
    const char *id;
    bool approve;
    size_t held; /* of all checks */
    bool is_done;
};

static void on_word(struct ssh_desk_query *q, struct ssh_checks *checks)
{
    struct word *w = CONTAINER_OF(q, struct word, query);
    struct err err = {0};

    for (const struct ssh_check *c = NULL; (c = ssh_checks_next(checks, c));)
        w->held += c->n_held;
    if (w->id && w->approve)
        assert_int_equal(ssh_checks_approve(checks, 1, str_from(w->id), &err), 0);
    else if (w->id)
        assert_int_equal(ssh_checks_reject(checks, 1, str_from(w->id), &err), 0);
}

static void on_word_done(struct ssh_desk_query *q)
{
    CONTAINER_OF(q, struct word, query)->is_done = true;
}

/* How many requests were held when it was heard. */
static size_t say(struct fixture *f, const char *id, bool approve)
{
    struct word w = {.query = {.run = on_word, .done = on_word_done, .loop = f->loops[0]},
                     .id = id,
                     .approve = approve};

    ssh_desk_ask(control_ssh_desk(f->control), &w.query);
    for (int i = 0; i < 1000 && !w.is_done; i++)
        loop_run_once(f->loops[0], 5);
    assert_true(w.is_done);
    return w.held;
}

static void wait_held(struct fixture *f, size_t want)
{
    size_t held = SIZE_MAX;

    for (int i = 0; i < 400 && held != want; i++) {
        held = say(f, NULL, false);
        loop_run_once(f->loops[0], 5);
    }
    assert_int_equal(held, want);
}

/* ---- Life ---- */

static const struct http_route routes[] = {
    {"GET", "/machine/ssh/action/{src}/to/{dst}", on_action, 0},
};

static void on_nodes(void *user, struct loop *loop, size_t n)
{
    struct fixture *f = user;

    atomic_store(&f->nodes[loop == f->loops[1]], n);
}

static int setup(void **state)
{
    struct fixture *f = NEW(struct fixture);
    const struct http_server_options server = {
        .routes = routes, .n_routes = 1, .user = f, .h2_only = true};
    struct machine_private key = {0};
    struct store *store = NULL;
    struct domain *domain = domain_new();
    struct err err = {0};

    log_init(LOG_OFF, LOG_TEXT, -1);
    (void)snprintf(f->path, sizeof(f->path), "/tmp/hatsize-desk-%d-%llx.sqlite", getpid(),
                   (unsigned long long)rand_u64());
    rand_bytes(&key, sizeof(key));
    const struct store_options store_options = {.sqlite_path = str_from(f->path), .wal = true};
    assert_int_equal(store_open(&store_options, &store, &err), 0);
    assert_int_equal(store_load(store, domain, &err), 0);
    domain_load_done(domain, clock_unix_ms());
    assert_int_equal(loop_new("checks", &f->loops[0], &err), 0);
    assert_int_equal(loop_new("machines", &f->loops[1], &err), 0);
    const struct control_options options = {.loops = f->loops,
                                            .n_loops = 2,
                                            .noise_key = &key,
                                            .server_url = STR("http://example.com"),
                                            .store = store,
                                            .domain = domain,
                                            .on_nodes = on_nodes,
                                            .user = f};
    assert_int_equal(control_new(&options, &f->control, &err), 0);
    f->server = http_server_new(&server);
    assert_int_equal(loop_thread_start(f->loops[1], &err), 0);
    make_tailnet(f);
    user_id alice = make_user(f, STR("alice"));
    join(f, &f->laptop, alice);
    join(f, &f->box, alice);
    join(f, &f->strange, make_user(f, STR("bob")));
    set_policy(f, CHECK("1h"));
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    char name[96];

    loop_stop(f->loops[1]);
    loop_thread_join(f->loops[1]);
    control_stop(f->control);
    loop_free(f->loops[0]);
    loop_free(f->loops[1]);
    http_server_free(f->server);
    control_free(f->control);
    for (size_t i = 0; i < f->n_asks; i++) {
        buf_fini(&f->asks[i]->body);
        mem_free(f->asks[i]);
    }
    (void)unlink(f->path);
    (void)snprintf(name, sizeof(name), "%s-wal", f->path);
    (void)unlink(name);
    (void)snprintf(name, sizeof(name), "%s-shm", f->path);
    (void)unlink(name);
    mem_free(f);
    return 0;
}

/* ---- Tests ---- */

static void wait_nodes(struct fixture *f, size_t want)
{
    for (int i = 0; i < 400 && (f->nodes[0] != want || f->nodes[1] != want); i++)
        loop_run_once(f->loops[0], 5);
    assert_int_equal(f->nodes[0], want);
    assert_int_equal(f->nodes[1], want);
}

/* Nothing to do with SSH, but here are two loops. */
static void each_loop_knows_how_many_machines_there_are(void **state)
{
    struct fixture *f = *state;
    struct tailnet_info *info = first_tailnet();
    struct test_call made = {0}, gone = {0}, all_gone = {0};
    struct machine first = {0}, second = {0};

    wait_nodes(f, 3);
    str_free(&info->name);
    str_free(&info->base_domain);
    apply(f, &made,
          (struct command){.type = COMMAND_TAILNET_CREATE, .name = STR("other"), .info = info});
    tailnet_info_unref(info);
    f->tailnet = made.call.result.id;
    user_id carol = make_user(f, STR("carol"));
    join(f, &first, carol);
    join(f, &second, carol);
    wait_nodes(f, 5);
    apply(f, &gone, (struct command){.type = COMMAND_NODE_DELETE, .id = f->strange.id});
    wait_nodes(f, 4);
    apply(f, &all_gone, (struct command){.type = COMMAND_TAILNET_DELETE, .tailnet = f->tailnet});
    wait_nodes(f, 2);
    command_result_fini(&made.call.result);
    command_result_fini(&gone.call.result);
    command_result_fini(&all_gone.call.result);
}

static void held_until_approved(void **state)
{
    struct fixture *f = *state;
    char id[SSH_CHECK_ID_MAX];
    struct ask *a = ask(f, &f->box, &f->box, "root", "");

    assert_has(wait_answer(f, a), "alice on ");
    assert_has(buf_str(&a->body), " as root.");
    id_in(buf_str(&a->body), id);
    assert_has(buf_str(&a->body), "hatsize ssh approve ");
    a = ask(f, &f->box, &f->box, "root", id);
    wait_held(f, 1);
    assert_false(atomic_load(&a->is_over));
    (void)say(f, id, true);
    assert_has(wait_answer(f, a), "\"accept\":true");
    assert_int_equal(a->status, 200);
    assert_has(wait_answer(f, ask(f, &f->box, &f->box, "root", "")), "\"accept\":true");
}

static void rejected_says_so(void **state)
{
    struct fixture *f = *state;
    char id[SSH_CHECK_ID_MAX];

    id_in(wait_answer(f, ask(f, &f->box, &f->box, "root", "")), id);
    struct ask *a = ask(f, &f->box, &f->box, "root", id);

    wait_held(f, 1);
    (void)say(f, id, false);
    assert_has(wait_answer(f, a), "\"reject\":true");
}

static void only_the_machine_itself_may_ask(void **state)
{
    struct fixture *f = *state;
    struct ask *a = ask(f, &f->strange, &f->box, "root", "");

    (void)wait_answer(f, a);
    assert_int_equal(a->status, 404);
    /* The laptop asks about itself as where the log-in goes, which no rule is about. */
    a = ask(f, &f->laptop, &f->box, "root", "");
    (void)wait_answer(f, a);
    assert_int_equal(a->status, 404);
    /* A node without a rule: no more than that is said. */
    a = ask(f, &f->strange, &f->strange, "root", "");
    assert_has(wait_answer(f, a), "\"reject\":true");
    assert_int_equal(a->status, 200);
}

static void the_rule_goes_while_held(void **state)
{
    struct fixture *f = *state;
    char id[SSH_CHECK_ID_MAX];

    id_in(wait_answer(f, ask(f, &f->box, &f->box, "root", "")), id);
    struct ask *a = ask(f, &f->box, &f->box, "root", id);

    wait_held(f, 1);
    set_policy(f, STR("{\"ssh\": []}"));
    assert_has(wait_answer(f, a), "\"reject\":true");
    /* And an approval ends with its rule, for good. */
    set_policy(f, CHECK("1h"));
    id_in(wait_answer(f, ask(f, &f->box, &f->box, "root", "")), id);
    (void)say(f, id, true);
    assert_has(wait_answer(f, ask(f, &f->box, &f->box, "root", "")), "\"accept\":true");
    set_policy(f, STR("{\"ssh\": []}"));
    set_policy(f, CHECK("1h"));
    assert_has(wait_answer(f, ask(f, &f->box, &f->box, "root", "")), "holdAndDelegate");
}

static void the_source_goes_while_held(void **state)
{
    struct fixture *f = *state;
    char id[SSH_CHECK_ID_MAX];
    struct test_call t = {0};

    id_in(wait_answer(f, ask(f, &f->box, &f->box, "root", "")), id);
    struct ask *a = ask(f, &f->box, &f->box, "root", id);

    wait_held(f, 1);
    apply(f, &t, (struct command){.type = COMMAND_NODE_DELETE, .id = f->laptop.id});
    command_result_fini(&t.call.result);
    assert_has(wait_answer(f, a), "\"reject\":true");
}

/* And an approval that was given lets nobody in who has no access. */
static void the_user_is_suspended_while_held(void **state)
{
    struct fixture *f = *state;
    char id[SSH_CHECK_ID_MAX];
    struct test_call off = {0}, on = {0};

    id_in(wait_answer(f, ask(f, &f->box, &f->box, "root", "")), id);
    struct ask *a = ask(f, &f->box, &f->box, "root", id);

    wait_held(f, 1);
    apply(f, &off, (struct command){.type = COMMAND_USER_SUSPEND, .id = f->laptop.user});
    command_result_fini(&off.call.result);
    assert_has(wait_answer(f, a), "\"reject\":true");
    assert_has(wait_answer(f, ask(f, &f->box, &f->box, "root", "")), "\"reject\":true");
    apply(f, &on, (struct command){.type = COMMAND_USER_RESTORE, .id = f->laptop.user});
    command_result_fini(&on.call.result);
    assert_has(wait_answer(f, ask(f, &f->box, &f->box, "root", "")), "holdAndDelegate");
}

static void leaving_releases(void **state)
{
    struct fixture *f = *state;
    char id[SSH_CHECK_ID_MAX];
    struct ask *held[8];

    id_in(wait_answer(f, ask(f, &f->box, &f->box, "root", "")), id);
    for (size_t i = 0; i < ARRAY_LEN(held); i++)
        held[i] = ask(f, &f->box, &f->box, "root", id);
    wait_held(f, ARRAY_LEN(held));
    for (size_t i = 0; i < ARRAY_LEN(held) - 1; i++) {
        held[i]->leave = (struct loop_message){.run = ask_leaves};
        loop_post(f->loops[1], &held[i]->leave);
    }
    wait_held(f, 1);
    (void)say(f, id, true);
    assert_has(wait_answer(f, held[ARRAY_LEN(held) - 1]), "\"accept\":true");
}

/* Asking, leaving and deciding at the same time: nothing is lost, nothing is used twice. */
static void leaving_meets_the_verdict(void **state)
{
    struct fixture *f = *state;
    char id[SSH_CHECK_ID_MAX];
    struct ask *held[40];

    id_in(wait_answer(f, ask(f, &f->box, &f->box, "root", "")), id);
    for (size_t i = 0; i < ARRAY_LEN(held); i++)
        held[i] = ask(f, &f->box, &f->box, "root", id);
    for (size_t i = 0; i < ARRAY_LEN(held); i++) {
        held[i]->leave = (struct loop_message){.run = ask_leaves};
        if (i % 3 != 0)
            loop_post(f->loops[1], &held[i]->leave);
        if (i == ARRAY_LEN(held) / 2)
            (void)say(f, id, true);
    }
    for (size_t i = 0; i < ARRAY_LEN(held); i += 3) {
        struct str got = wait_answer(f, held[i]);

        /* More than one check holds are told so. */
        if (str_find(got, STR("Too many")) < 0)
            assert_has(got, "\"accept\":true");
    }
}

static void stopping_with_some_held(void **state)
{
    struct fixture *f = *state;
    char id[SSH_CHECK_ID_MAX];

    id_in(wait_answer(f, ask(f, &f->box, &f->box, "root", "")), id);
    for (int i = 0; i < 5; i++)
        (void)ask(f, &f->box, &f->box, "root", id);
    wait_held(f, 5);
    /* One is on its way, too. */
    (void)ask(f, &f->box, &f->box, "root", id);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_loop_knows_how_many_machines_there_are, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(held_until_approved, setup, teardown),
        cmocka_unit_test_setup_teardown(rejected_says_so, setup, teardown),
        cmocka_unit_test_setup_teardown(only_the_machine_itself_may_ask, setup, teardown),
        cmocka_unit_test_setup_teardown(the_rule_goes_while_held, setup, teardown),
        cmocka_unit_test_setup_teardown(the_source_goes_while_held, setup, teardown),
        cmocka_unit_test_setup_teardown(the_user_is_suspended_while_held, setup, teardown),
        cmocka_unit_test_setup_teardown(leaving_releases, setup, teardown),
        cmocka_unit_test_setup_teardown(leaving_meets_the_verdict, setup, teardown),
        cmocka_unit_test_setup_teardown(stopping_with_some_held, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
