/* See crowd.h. */

#include "bench/crowd.h"

#include "bench/made_up.h"
#include "core/clock.h"
#include "core/mem.h"
#include "http/client.h"
#include "json/value.h"

#define API_MS 60000
#define KEYS_LAST_MS ((int64_t)24 * 3600 * 1000)

struct crowd {
    const struct bench_options *o;
    size_t people;
    struct str *keys; /* people's, then tags'; without rules the tailnets' */
    size_t n_keys;
};

/* ---- The API ---- */

static int ask(const struct bench_options *o, const char *method, const char *path, struct str body,
               struct arena *arena, struct json_value **answer, struct err *err)
{
    struct str url =
        arena_printf(arena, "%s%s", o->api_url ? o->api_url : "http://localhost", path);
    struct buf *got = arena_alloc(arena, sizeof(*got)), text = BUF((size_t)16 << 20);
    const struct http_fetch_options options = {.url = url.ptr,
                                               .unix_path = o->api_socket,
                                               .method = method,
                                               .body = body,
                                               .content_type = "application/json",
                                               .bearer = o->api_key,
                                               .timeout_ms = API_MS};
    int code = 0, status = http_fetch(&options, &code, &text, err);

    if (status == 0 && code != 200)
        status = err_set(err, ERR_IO, "%s %s: status %d, %.*s", method, path, code,
                         (int)MIN(text.len, (size_t)120), text.ptr ? text.ptr : "");
    if (status == 0 && !json_parse(arena, arena_copy(arena, buf_str(&text)), NULL, answer, NULL))
        status = err_set(err, ERR_IO, "%s %s: the answer is not JSON", method, path);
    buf_fini(&text);
    return status;
}

/* The first tailnet is there, others have to be named. */
static const char *path_in(struct arena *arena, const char *path, size_t tailnet)
{
    return tailnet == 0 ? path : arena_printf(arena, "%s?tailnet=bench-%zu", path, tailnet).ptr;
}

static int make_tailnet(const struct bench_options *o, size_t tailnet, struct err *err)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    struct json_value *answer = NULL;

    return ask(o, "POST", "/api/v1/tailnet",
               arena_printf(arena, "{\"name\":\"bench-%zu\"}", tailnet), arena, &answer, err);
}

static int make_user(const struct bench_options *o, size_t tailnet, size_t number, uint64_t *id,
                     struct err *err)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    struct str body =
        arena_printf(arena, "{\"name\":\"p%zu\",\"email\":\"p%zu@example.com\"}", number, number);
    struct json_value *answer = NULL;
    const struct json_value *text;

    if (ask(o, "POST", path_in(arena, "/api/v1/user", tailnet), body, arena, &answer, err) < 0)
        return -(int)err->code;
    text = json_get(json_get(answer, "user"), "id");
    *id = json_as_u64(text, 0);
    if (*id == 0 && !str_parse_u64(json_as_str(text, STR_NONE), id))
        return err_set(err, ERR_IO, "a user was made without an id");
    return 0;
}

/* For a user, or (0) for machines with the tag. */
static int make_key(const struct bench_options *o, size_t tailnet, uint64_t user, size_t tag,
                    struct str *key, struct err *err)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    struct json_value *answer = NULL;
    struct buf body = BUF(4096);
    struct json_writer w = JSON_WRITER(&body);
    struct str name = arena_printf(arena, "tag:t%zu", tag);

    json_begin_object(&w);
    if (user)
        json_field_u64(&w, STR("user"), user);
    json_field_bool(&w, STR("reusable"), true);
    json_field_time(&w, STR("expiration"), clock_unix_ms() + KEYS_LAST_MS);
    if (!user) {
        json_field_array(&w, STR("aclTags"));
        json_str(&w, name);
        json_end_array(&w);
    }
    json_end_object(&w);
    int status = ask(o, "POST", path_in(arena, "/api/v1/preauthkey", tailnet), buf_str(&body),
                     arena, &answer, err);

    buf_fini(&body);
    if (status < 0)
        return status;
    *key = str_copy(json_get_str(json_get(answer, "preAuthKey"), "key"));
    return key->len > 0 ? 0 : err_set(err, ERR_IO, "an auth key was made without a key");
}

int crowd_set_policy(const struct bench_options *o, struct str text, struct err *err)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    struct json_value *answer = NULL;
    struct buf body = BUF((size_t)16 << 20);
    struct json_writer w = JSON_WRITER(&body);

    json_begin_object(&w);
    json_field_str(&w, STR("policy"), text);
    json_end_object(&w);
    int status = ask(o, "PUT", "/api/v1/policy", buf_str(&body), arena, &answer, err);

    buf_fini(&body);
    return status;
}

/* ---- The crowd ---- */

/* Everybody of a tailnet by one key of one user. */
static int make_one(struct crowd *c, size_t tailnet, struct err *err)
{
    uint64_t user = 0;

    if ((tailnet > 0 && make_tailnet(c->o, tailnet, err) < 0) ||
        make_user(c->o, tailnet, 1, &user, err) < 0)
        return -(int)err->code;
    return make_key(c->o, tailnet, user, 0, &c->keys[tailnet], err);
}

static int make_each(struct crowd *c, struct err *err)
{
    int status = 0;

    for (size_t i = 0; i < c->o->tailnets && status == 0; i++)
        status = make_one(c, i, err);
    return status;
}

static int make_all(struct crowd *c, struct err *err)
{
    for (size_t i = 0; i < c->people; i++) {
        uint64_t user = 0;

        if (make_user(c->o, 0, i + 1, &user, err) < 0 ||
            make_key(c->o, 0, user, 0, &c->keys[i], err) < 0)
            return -(int)err->code;
    }
    struct buf policy = BUF((size_t)16 << 20);

    crowd_put_policy(c, 0, &policy);
    int status = crowd_set_policy(c->o, buf_str(&policy), err);

    buf_fini(&policy);
    for (size_t i = 0; i < MADE_UP_TAGS && status == 0; i++)
        status = make_key(c->o, 0, 0, i, &c->keys[c->people + i], err);
    return status;
}

int crowd_new(const struct bench_options *o, struct crowd **out, struct err *err)
{
    struct crowd *c = NEW(struct crowd);

    c->o = o;
    *out = c;
    if (o->rules == 0 && o->auth_key.len > 0)
        return 0;
    c->people = o->rules ? made_up_people(o->nodes) : 0;
    c->n_keys = c->people ? c->people + MADE_UP_TAGS : o->tailnets;
    c->keys = mem_alloc_array(c->n_keys, sizeof(*c->keys));
    if ((c->people ? make_all : make_each)(c, err) == 0)
        return 0;
    crowd_free(c);
    *out = NULL;
    return err_wrap(err, "making users, keys and policy");
}

void crowd_free(struct crowd *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < c->n_keys; i++)
        str_free(&c->keys[i]);
    mem_free(c->keys);
    mem_free(c);
}

struct str crowd_key(const struct crowd *c, size_t node)
{
    if (!c->keys)
        return c->o->auth_key;
    if (c->people == 0)
        return c->keys[node % c->o->tailnets];
    size_t owner = made_up_owner(node, c->people);

    return c->keys[owner ? owner - 1 : c->people + made_up_tag(node)];
}

size_t crowd_people(const struct crowd *c)
{
    return c->people;
}

/* Under rules, what opens the port to a tag's machines makes everybody see them. */
void crowd_put_policy(const struct crowd *c, unsigned port, struct buf *out)
{
    struct made_up m = {.people = c->people, .rules = c->o->rules};
    struct str rule = str_printf("{\"action\":\"accept\",\"src\":[\"tag:t0\"],\"dst\":"
                                 "[\"autogroup:member:%u\",\"autogroup:tagged:%u\"]}",
                                 port, port);

    if (c->people) {
        rand_seed(&m.rand, 1);
        m.last_rule = port ? rule : STR_NONE;
        made_up_put_policy(&m, out);
    } else {
        buf_put(out, STR("{\"acls\":[{\"action\":\"accept\",\"src\":[\"*\"],\"dst\":[\"*:*\"]}"));
        if (port)
            buf_printf(out, ",{\"action\":\"accept\",\"src\":[\"*\"],\"dst\":[\"*:%u\"]}", port);
        buf_put(out, STR("]}"));
    }
    str_free(&rule);
}
