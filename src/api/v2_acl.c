/*
 * v2's policy file: the text itself is the body, as HuJSON or as plain JSON, under an ETag that is
 * its hash (headscale.md 3.6).
 *
 * Who writes may say which text he has seen. That is compared where he comes in, and what he saw
 * goes with the command as its time, so that of two who saw the same one only the first is let
 * through.
 */

#include "api/v2_internal.h"

#include "crypto/hash.h"

#include <stdio.h>

#define ANSWER_MAX ((size_t)64 << 20)
#define NODES_MAX ((size_t)2000000) /* values of a policy's text */

/* What a tailnet without a policy does. */
static const struct str default_policy =
    STR_INIT("// This tailnet was given no policy: everybody may reach everybody.\n"
             "{\n"
             "\t\"acls\": [\n"
             "\t\t// Allow all connections. Comment this section out to define restrictions.\n"
             "\t\t{\"action\": \"accept\", \"src\": [\"*\"], \"dst\": [\"*:*\"]},\n"
             "\t],\n"
             "}\n");

static struct str text_of(const struct tailnet_info *info)
{
    return info->policy.len > 0 ? info->policy : default_policy;
}

/* ---- Answers ---- */

static void put_etag(struct buf *out, struct str text)
{
    uint8_t hash[HASH_BYTES];

    sha256(text, hash);
    buf_put_char(out, '"');
    buf_put_hex(out, str_bytes(hash, sizeof(hash)));
    buf_put_char(out, '"');
}

static bool wants_hujson(const struct api_call *c)
{
    return str_find(http_header_get(c->a->req, STR("accept")), STR("application/hujson")) >= 0;
}

/* The text without comments; false: a text that nobody can read, from a file. */
static bool put_json(struct buf *out, struct str text)
{
    const struct json_options options = {
        .hujson = true, .max_nodes = NODES_MAX, .max_bytes = TAILNET_POLICY_MAX};
    AUTO(arena_free) struct arena *arena = arena_new();
    struct json_writer w = JSON_WRITER(out);
    struct json_value *v = NULL;

    if (!json_parse(arena, text, &options, &v, NULL))
        return false;
    json_value_write(&w, v);
    buf_put_char(out, '\n');
    return true;
}

static void respond_text(struct api_call *c, const struct tailnet_info *info)
{
    struct str text = text_of(info);
    struct buf etag = BUF(128), json = BUF(ANSWER_MAX);

    put_etag(&etag, text);
    http_add_header(c->a->x, STR("etag"), buf_str(&etag));
    if (wants_hujson(c) || !put_json(&json, text))
        http_respond(c->a->x, 200, "application/hujson", text);
    else
        http_respond(c->a->x, 200, "application/json", buf_str(&json));
    buf_fini(&etag);
    buf_fini(&json);
    api_end(c);
}

/* "alice@ -> tag:web:22: expected ALLOWED, got DENIED" is one of alice's, and so is what begins
 * with "test of \"alice@\":". */
static struct str tester_of(struct str line)
{
    bool named = str_starts(line, STR("test of \""));
    struct str rest = named ? str_from_index(line, STR("test of \"").len) : line;
    ptrdiff_t end = named ? str_find(rest, STR("\":")) : str_find(rest, STR(" -> "));

    return end < 0 ? STR_NONE : str_sub(rest, 0, (size_t)end);
}

/* Lines about the same source stand together. */
static void put_failures(struct json_writer *w, struct str details)
{
    struct str line = STR_NONE, who = STR_NONE;
    bool open = false;

    json_begin_array(w);
    while (str_next(&details, '\n', &line)) {
        if (!open || !str_eq(tester_of(line), who)) {
            if (open) {
                json_end_array(w);
                json_end_object(w);
            }
            open = true;
            who = tester_of(line);
            json_begin_object(w);
            json_field_str(w, STR("user"), who);
            json_field_array(w, STR("errors"));
        }
        json_str(w, line);
    }
    if (open) {
        json_end_array(w);
        json_end_object(w);
    }
    json_end_array(w);
}

/* The message and the data of a refusal; `data` stays empty where no test failed. */
static void put_verdict(struct buf *message, struct buf *data, const struct policy_verdict *v)
{
    struct json_writer w = JSON_WRITER(data);

    if (v->judgement != POLICY_TESTS_FAIL) {
        policy_verdict_put(message, v);
        return;
    }
    buf_put(message, str_from(v->complaint.text));
    put_failures(&w, v->details);
}

static void refuse(struct api_call *c, const struct policy_verdict *v)
{
    struct buf message = BUF(ANSWER_MAX), data = BUF(ANSWER_MAX);

    if (c->a->x) {
        put_verdict(&message, &data, v);
        api_v2_put_problem(c->a->x, 400, buf_str(&message), buf_str(&data));
    }
    buf_fini(&message);
    buf_fini(&data);
    api_end(c);
}

/* ---- Reading ---- */

/* The text wrapped up, and what its author should know. */

static void put_details(struct api_v2_job *j, struct json_writer *w)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    struct policy_findings findings = {0};
    struct buf base64 = BUF(ANSWER_MAX);

    buf_put_base64(&base64, text_of(view_info(j->view)));
    json_field_str(w, STR("acl"), buf_str(&base64));
    buf_fini(&base64);
    policy_lint(j->policy, arena, &findings);
    json_field_array(w, STR("warnings"));
    for (size_t i = 0; i < findings.len; i++)
        json_str(w, arena_printf(arena, "line %u, column %u: %.*s", findings.items[i].pos.line,
                                 findings.items[i].pos.col, STR_ARG(findings.items[i].text)));
    json_end_array(w);
    json_field_array(w, STR("errors"));
    json_end_array(w);
}

void api_v2_acl_get(struct api_call *c)
{
    struct str details = STR_NONE;

    if (api_query(c, "details", &details) && !str_eq(details, STR("0")) &&
        !str_eq(details, STR("false")))
        api_v2_job_start(c, &(struct api_v2_job){.answer = put_details});
    else
        respond_text(c, view_info(c->view));
}

/* ---- Writing ---- */

/* Whether one of the tags in If-Match is that of what is there. */
static bool matches(const struct api_call *c)
{
    const struct tailnet_info *info = view_info(c->view);
    struct str rest = http_header_get(c->a->req, STR("if-match")), tag;
    struct buf etag = BUF(128);
    bool found = rest.len == 0;

    put_etag(&etag, text_of(info));
    while (!found && str_next(&rest, ',', &tag)) {
        tag = str_trim(tag);
        if (str_starts(tag, STR("W/")))
            tag = str_from_index(tag, 2);
        found = str_eq(tag, STR("*")) || str_eq(tag, buf_str(&etag)) ||
                str_eq(tag, str_sub(buf_str(&etag), 1, etag.len - 2)) ||
                ((str_eq(tag, STR("\"ts-default\"")) || str_eq(tag, STR("ts-default"))) &&
                 info->policy.len == 0);
    }
    buf_fini(&etag);
    return found;
}

static void done_set(struct registrar_call *call)
{
    struct api_call *c = api_call_of(call);
    struct policy_verdict verdict = *call->verdict;

    /* The call's end frees what the verdict is in, not what it holds. */
    if (call->status < 0 && verdict.judgement != POLICY_GOOD)
        refuse(c, &verdict);
    else if (call->status == -ERR_CONFLICT)
        api_problem(c, 412, "precondition failed, invalid old hash", NULL);
    else if (!api_refused(c))
        respond_text(c, view_info(call->result.view));
    policy_verdict_fini(&verdict);
}

void api_v2_acl_set(struct api_call *c)
{
    struct command *command = api_command(c, COMMAND_POLICY_SET);

    if (api_policy_is_from_file(c)) {
        api_problem(c, 400, "update is disabled for modes other than 'database'",
                    "edit the policy's file and send the server SIGHUP");
        return;
    }
    if (!matches(c)) {
        api_problem(c, 412, "precondition failed, invalid old hash", NULL);
        return;
    }
    command->text = arena_copy(api_arena(c), c->a->req->body);
    if (str_trim(command->text).len == 0)
        command->text = STR_NONE; /* back to none, as Terraform leaves it */
    if (command->text.len > TAILNET_POLICY_MAX) {
        api_problem(c, 400, "a policy has at most 4 MiB", NULL);
        return;
    }
    if (http_header_get(c->a->req, STR("if-match")).len > 0) {
        command->is_guarded = true;
        command->policy_seen_ms = view_info(c->view)->policy_updated_ms;
    }
    c->a->call.verdict = arena_alloc(api_arena(c), sizeof(*c->a->call.verdict));
    api_submit(c, done_set);
}

/* ---- Trying ---- */

/* The policy in force with these tests in place of its own. False: it cannot be read. */
static bool put_with_tests(struct buf *out, struct str policy, const struct json_value *tests)
{
    const struct json_options options = {
        .hujson = true, .max_nodes = NODES_MAX, .max_bytes = TAILNET_POLICY_MAX};
    AUTO(arena_free) struct arena *arena = arena_new();
    struct json_writer w = JSON_WRITER(out);
    struct json_value *v = NULL;

    if (!json_parse(arena, policy, &options, &v, NULL) || !json_is(v, JSON_OBJECT))
        return false;
    json_begin_object(&w);
    JSON_EACH(member, v) {
        if (str_eq_nocase(member->key, STR("tests")) || str_eq_nocase(member->key, STR("sshTests")))
            continue;
        json_key(&w, member->key);
        json_value_write(&w, member);
    }
    json_key(&w, STR("tests"));
    json_value_write(&w, tests);
    json_end_object(&w);
    return true;
}

static void put_judgement(struct json_writer *w, const struct policy_verdict *v)
{
    struct buf message = BUF(ANSWER_MAX), data = BUF(ANSWER_MAX);

    if (v->judgement != POLICY_GOOD) {
        put_verdict(&message, &data, v);
        json_field_str(w, STR("message"), buf_str(&message));
        json_opt_raw(w, STR("data"), buf_str(&data));
    }
    buf_fini(&message);
    buf_fini(&data);
}

/* {} for a policy that is good and tests that hold; else what is wrong, which is an answer, too. */
static void put_validation(struct api_v2_job *j, struct json_writer *w)
{
    const struct json_options options = {
        .hujson = true, .max_nodes = NODES_MAX, .max_bytes = TAILNET_POLICY_MAX};
    AUTO(arena_free) struct arena *arena = arena_new();
    struct buf text = BUF(ANSWER_MAX);
    struct policy_verdict verdict = {0};
    struct json_value *v = NULL;

    if (json_parse(arena, j->text, &options, &v, NULL) && json_is(v, JSON_ARRAY) &&
        put_with_tests(&text, text_of(view_info(j->view)), v))
        policy_judge(buf_str(&text), j->view, NULL, NULL, &verdict);
    else
        policy_judge(j->text, j->view, NULL, NULL, &verdict);
    put_judgement(w, &verdict);
    policy_verdict_fini(&verdict);
    buf_fini(&text);
}

void api_v2_acl_validate(struct api_call *c)
{
    struct str text = arena_copy(api_arena(c), c->a->req->body);

    if (text.len > TAILNET_POLICY_MAX)
        api_problem(c, 400, "a policy has at most 4 MiB", NULL);
    else
        api_v2_job_start(c, &(struct api_v2_job){.text = text, .answer = put_validation});
}

/* The rules of the text that are about somebody; its tests need not hold. */
static void put_preview(struct api_v2_job *j, struct json_writer *w)
{
    AUTO(policy_unref) const struct policy *policy = NULL;
    struct policy_verdict verdict = {0};
    struct err err = {0};
    struct buf message = BUF(ANSWER_MAX);

    policy_judge(j->text, j->view, NULL, &policy, &verdict);
    if (verdict.judgement == POLICY_UNPARSABLE || verdict.judgement == POLICY_AMBIGUOUS) {
        policy_verdict_put(&message, &verdict);
        (void)snprintf(j->problem, sizeof(j->problem), "%.*s", STR_ARG(buf_str(&message)));
    } else if (policy_put_preview(policy, j->view, j->preview, j->preview_for, w, &err) < 0) {
        (void)snprintf(j->problem, sizeof(j->problem), "%s", err.text);
    } else {
        json_field_str(w, STR("type"),
                       j->preview == POLICY_PREVIEW_USER ? STR("user") : STR("ipport"));
        json_field_str(w, STR("previewFor"), j->preview_for);
    }
    buf_fini(&message);
    policy_verdict_fini(&verdict);
}

void api_v2_acl_preview(struct api_call *c)
{
    struct api_v2_job j = {.answer = put_preview};
    struct str type = STR_NONE;
    bool of_user;

    (void)api_query(c, "type", &type);
    of_user = str_eq(type, STR("user"));
    if (!of_user && !str_eq(type, STR("ipport"))) {
        api_problem(c, 400, "type is user or ipport", NULL);
        return;
    }
    if (!api_query(c, "previewFor", &j.preview_for)) {
        api_problem(c, 400, "previewFor says for which user, or for which address and port", NULL);
        return;
    }
    j.preview = of_user ? POLICY_PREVIEW_USER : POLICY_PREVIEW_IPPORT;
    j.text = arena_copy(api_arena(c), c->a->req->body);
    if (str_trim(j.text).len == 0)
        j.text = arena_copy(api_arena(c), text_of(view_info(c->view)));
    if (j.text.len > TAILNET_POLICY_MAX)
        api_problem(c, 400, "a policy has at most 4 MiB", NULL);
    else
        api_v2_job_start(c, &j);
}
