/*
 * Two processes of one relay: what is for a client of the other one gets there, whoever comes first
 * and whoever ends; others cannot come in that way. Each process has a loop of its own; a relay of
 * the mesh shares the first one's.
 */

#include "../unit.h"

#include "derp/link.h"
#include "derp/server_internal.h"
#include "derp/sibling.h"
#include "harness.h"

#define PROCESSES 4

static const uint8_t mesh_key[DERP_MESH_KEY_BYTES] = "0123456789abcdef0123456789abcde";
static const struct ip_addrport at = {.addr = {.family = IP_V4, .bytes = {192, 0, 2, 1}},
                                      .port = 443};

struct process {
    struct rig rig;
    struct derp_sibling *sibling; /* NULL: it has none, being a relay of the mesh */
    bool has_own_loop;
};

struct world {
    struct node_private key;
    struct process *processes[PROCESSES];
    size_t n;
};

static void run(struct world *w)
{
    for (int turn = 0; turn < 40; turn++)
        for (size_t i = 0; i < w->n; i++)
            if (w->processes[i])
                loop_run_once(w->processes[i]->rig.loop, 0);
}

static void wait_ms(struct world *w, int64_t ms)
{
    clock_test_advance_ms(ms);
    for (int turn = 0; turn < 8; turn++)
        for (size_t i = 0; i < w->n; i++)
            if (w->processes[i])
                loop_run_once(w->processes[i]->rig.loop, 1);
    run(w);
}

static struct process *add(struct world *w, const struct node_private *key, struct loop *loop)
{
    struct process *p = NEW(struct process);
    struct err err = {0};

    log_init(LOG_OFF, LOG_TEXT, -1);
    p->rig.server_key = *key;
    p->rig.loop = loop;
    p->has_own_loop = !loop;
    if (!loop)
        assert_int_equal(loop_new("test", &p->rig.loop, &err), 0);
    p->rig.server = derp_server_new(&(struct derp_server_options){
        .key = key, .loops = &p->rig.loop, .n_loops = 1, .mesh_key = mesh_key});
    w->processes[w->n++] = p;
    return p;
}

static struct process *start(struct world *w)
{
    if (w->n == 0)
        node_private_generate(&w->key);
    struct process *p = add(w, &w->key, NULL);

    p->sibling = derp_sibling_new(p->rig.server, p->rig.loop, at);
    run(w);
    return p;
}

static void close_loop(struct process *p)
{
    derp_sibling_stop(p->sibling);
    if (p->has_own_loop)
        loop_free(p->rig.loop);
}

static void free_process(struct process *p)
{
    derp_server_free(p->rig.server);
    derp_sibling_free(p->sibling);
    for (size_t i = 0; i < p->rig.n_parties; i++) {
        buf_fini(&p->rig.parties[i]->log);
        mem_free(p->rig.parties[i]);
    }
    mem_free(p);
}

static void end(struct world *w, struct process *p)
{
    for (size_t i = 0; i < w->n; i++)
        if (w->processes[i] == p)
            w->processes[i] = NULL;
    close_loop(p);
    free_process(p);
    run(w);
}

static void end_all(struct world *w)
{
    for (size_t i = 0; i < w->n; i++)
        if (w->processes[i])
            close_loop(w->processes[i]);
    for (size_t i = 0; i < w->n; i++)
        if (w->processes[i])
            free_process(w->processes[i]);
}

static struct party *join(struct world *w, struct process *p)
{
    struct party *party = rig_join(&p->rig);

    run(w);
    assert_str(party_log(party), STR("ready "));
    return party;
}

static void leave(struct world *w, struct party *p)
{
    derp_client_close(p->client);
    run(w);
    assert_str(party_log(p), STR("closed "));
}

/* `from`'s words get to `to`; '?' is a party of the other process. */
static void hears(struct world *w, struct party *from, struct party *to, const char *text,
                  const char *want)
{
    party_say(from, to, str_from(text));
    run(w);
    assert_str(party_log(to), str_from(want));
}

static void carries_from_process_to_process(void **state)
{
    struct world w = {0};
    struct process *old = start(&w);
    struct party *a = join(&w, old); /* before there is another */
    struct process *new = start(&w);
    struct party *b = join(&w, new), *c = join(&w, old);

    (void)state;
    hears(&w, a, b, "one", "?>one ");
    hears(&w, b, a, "two", "?>two ");
    hears(&w, b, c, "three", "?>three ");
    hears(&w, c, b, "four", "?>four ");
    hears(&w, c, a, "five", "B>five ");
    assert_int_equal(derp_server_clients(old->rig.server), 2);
    assert_int_equal(derp_server_clients(new->rig.server), 1);

    /* Who moves is found where it is, and has not gone as long as it is somewhere. */
    struct party *moved = rig_join_as(&new->rig, &a->key, (struct derp_client_info){0});

    run(&w);
    leave(&w, a);
    IGNORE(party_log(moved));
    hears(&w, c, moved, "six", "?>six ");
    hears(&w, moved, c, "seven", "A>seven ");
    assert_str(party_log(b), STR(""));
    leave(&w, moved);
    assert_str(party_log(b), STR("gone:B:0 ")); /* of whom it had "one" */
    assert_str(party_log(c), STR("gone:A:0 "));
    end_all(&w);
}

/* The old one's end is noticed; the one that is left is then found by the next. */
static void goes_on_from_one_to_the_next(void **state)
{
    struct world w = {0};
    struct process *first = start(&w), *second = start(&w);
    struct party *a = join(&w, first), *b = join(&w, second);

    (void)state;
    hears(&w, a, b, "one", "?>one ");
    end(&w, first);
    wait_ms(&w, 250);
    assert_str(party_log(b), STR("gone:?:0 "));

    struct process *third = start(&w);
    struct party *c = join(&w, third);

    hears(&w, b, c, "two", "?>two ");
    hears(&w, c, b, "three", "?>three ");
    end(&w, second);
    wait_ms(&w, 250);
    assert_str(party_log(c), STR("gone:?:0 "));
    end_all(&w);
}

/* Clients go, the way to the other process stays till the end. */
static void outlives_the_drain(void **state)
{
    struct world w = {0};
    struct process *old = start(&w), *new = start(&w);
    struct party *a = join(&w, old), *b = join(&w, new);

    (void)state;
    derp_server_drain(old->rig.server, 100, 1000);
    for (int i = 0; i < 6; i++)
        wait_ms(&w, 50);
    assert_null(a->client);
    assert_non_null(b->client);
    a = join(&w, old); /* who was just logging in */
    hears(&w, a, b, "late", "?>late ");
    hears(&w, b, a, "too", "?>too ");
    end_all(&w);
}

/* ---- In a mesh ---- */

static void on_link_end(void *user, enum derp_link_end why)
{
    (void)user;
    (void)why;
}

static const struct derp_link_events link_events = {.on_end = on_link_end};

/* Both ways between two on one loop. */
static void link_with(struct world *w, struct process *a, struct process *b)
{
    struct stream *ends[2];

    for (int way = 0; way < 2; way++) {
        struct process *from = way ? a : b, *to = way ? b : a;

        stream_pair(from->rig.loop, ends);
        derp_server_accept(to->rig.server, ends[1]);
        derp_link_open(from->rig.server, ends[0], &link_events, NULL);
        run(w);
    }
}

/* The other relay is linked with the old process only, yet its clients and the new one's talk. */
static void carries_for_the_mesh(void **state)
{
    struct world w = {0};
    struct process *old = start(&w);
    struct node_private other_key;

    (void)state;
    node_private_generate(&other_key);
    struct process *other = add(&w, &other_key, old->rig.loop);

    link_with(&w, old, other);
    struct process *new = start(&w);
    struct party *a = join(&w, old), *b = join(&w, new), *c = join(&w, other);

    hears(&w, c, a, "one", "?>one ");
    hears(&w, a, c, "two", "?>two ");
    hears(&w, c, b, "three", "?>three ");
    hears(&w, b, a, "four", "?>four ");
    leave(&w, b);
    assert_str(party_log(a), STR("gone:?:0 "));
    party_say(c, b, STR("lost"));
    run(&w);
    struct party *d = join(&w, new);

    const struct party gone = {.public_key = d->public_key};

    hears(&w, c, d, "five", "?>five ");
    end(&w, new);
    wait_ms(&w, 250);
    party_say(c, &gone, STR("lost"));
    hears(&w, c, a, "six", "?>six ");
    end_all(&w);
}

/* ---- Strangers ---- */

static void come_as(struct process *p, struct party *who, const struct node_private *key,
                    const uint8_t *shown)
{
    struct stream *ends[2];
    struct derp_client_info info = {.has_mesh_key = shown != NULL};

    if (shown)
        memcpy(info.mesh_key, shown, sizeof(info.mesh_key));
    stream_pair(p->rig.loop, ends);
    relay_accept_sibling(p->rig.server, ends[0]);
    who->rig = &p->rig;
    who->client = derp_client_new(
        ends[1], &(struct derp_client_options){
                     .key = key, .info = info, .events = &party_events, .user = who});
}

static void only_the_relay_itself_comes_in(void **state)
{
    struct world w = {0};
    struct process *p = start(&w);
    struct node_private stranger;

    (void)state;
    node_private_generate(&stranger);
    for (int has_key = 0; has_key < 2; has_key++) {
        struct party who = {.log = BUF(1000)};

        come_as(p, &who, &stranger, has_key ? mesh_key : NULL);
        run(&w);
        assert_str(buf_str(&who.log), STR("closed "));
        buf_fini(&who.log);
    }
    struct party self = {.log = BUF(1000)};

    come_as(p, &self, &w.key, NULL);
    run(&w);
    assert_str(buf_str(&self.log), STR("ready "));
    assert_int_equal(derp_server_clients(p->rig.server), 0);
    end_all(&w);
    buf_fini(&self.log);
}

/* The holder of the name has another key than whoever made it up: no link, and no harm. */
static void another_relay_is_no_sibling(void **state)
{
    struct world w = {0};
    struct process *p = start(&w);
    struct node_private other_key;
    struct stream *ends[2];

    (void)state;
    node_private_generate(&other_key);
    struct process *other = add(&w, &other_key, p->rig.loop);
    struct party *a = join(&w, p), *b = join(&w, other);

    stream_pair(p->rig.loop, ends);
    derp_server_accept(other->rig.server, ends[1]);
    derp_link_open_sibling(p->rig.server, ends[0], &link_events, NULL);
    run(&w);
    party_say(a, b, STR("nobody"));
    run(&w);
    assert_str(party_log(b), STR(""));
    end_all(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(carries_from_process_to_process),
        cmocka_unit_test(goes_on_from_one_to_the_next),
        cmocka_unit_test(outlives_the_drain),
        cmocka_unit_test(carries_for_the_mesh),
        cmocka_unit_test(only_the_relay_itself_comes_in),
        cmocka_unit_test(another_relay_is_no_sibling),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
