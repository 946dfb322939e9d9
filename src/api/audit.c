/* /api/v1/audit: who changed what, the newest first, a page at a time. */

#include "api/api_internal.h"

#include "control/audit_query.h"

static const char *origin_name(enum command_origin origin)
{
    switch (origin) {
    case ORIGIN_NONE:
    case ORIGIN_CLIENT:
        return "client";
    case ORIGIN_SOCKET:
        return "socket";
    case ORIGIN_API:
        return "api";
    case ORIGIN_SERVER:
        break;
    }
    return "server";
}

static void put_entry(struct json_writer *w, const struct audit_entry *e)
{
    json_begin_object(w);
    api_field_id(w, STR("id"), e->id);
    api_field_id(w, STR("tailnetId"), e->tailnet);
    json_field_time(w, STR("createdAt"), e->created_ms);
    json_field_str(w, STR("origin"), str_from(origin_name(e->origin)));
    json_field_str(w, STR("author"), e->author);
    json_field_str(w, STR("from"), e->from);
    json_field_str(w, STR("action"), e->action);
    json_field_str(w, STR("object"), e->object);
    api_field_id(w, STR("objectId"), e->object_id);
    json_field_str(w, STR("objectName"), e->object_name);
    json_field_raw(w, STR("before"), e->before);
    json_field_raw(w, STR("after"), e->after);
    json_end_object(w);
}

static void done(struct audit_query *q)
{
    struct api_call *c = q->user;
    struct buf body = BUF(API_ANSWER_MAX);
    struct json_writer w = JSON_WRITER(&body);
    struct err err = q->err;
    int status = q->status;
    bool more = q->n > 0 && q->n >= q->page.limit;

    json_begin_object(&w);
    json_field_array(&w, STR("entries"));
    for (size_t i = 0; status == 0 && i < q->n; i++)
        put_entry(&w, q->entries[i]);
    json_end_array(&w);
    /* What to give as `before` for the next page. */
    json_key(&w, STR("next"));
    if (more) {
        json_begin_plain(&w);
        buf_put_u64(&body, q->entries[q->n - 1]->id);
        json_end_plain(&w);
    } else {
        json_null(&w);
    }
    json_end_object(&w);
    audit_query_free(q);
    if (status == 0) {
        api_respond(c, &body);
    } else {
        buf_fini(&body);
        api_respond_err(c, &err);
    }
}

/* False: answered. */
static bool read_number(struct api_call *c, const char *name, uint64_t *out)
{
    struct str text;

    if (!api_query(c, name, &text) || str_parse_u64(text, out))
        return true;
    api_problem(c, 400, arena_printf(api_arena(c), "%s is a number", name).ptr, NULL);
    return false;
}

void api_audit_list(struct api_call *c)
{
    struct audit_page page = {0};
    struct str word = STR_NONE;
    uint64_t limit = 100;

    if (!read_number(c, "before", &page.before) || !read_number(c, "limit", &limit) ||
        !api_query_time(c, "since", &page.since_ms) || !api_query_time(c, "until", &page.until_ms))
        return;
    /* The server's callers see all; of one tailnet when they name it. */
    if (c->caller.tailnet != 0 || api_query(c, "tailnet", &word))
        page.tailnet = c->tailnet;
    page.limit = (size_t)MIN(MAX(limit, (uint64_t)1), (uint64_t)AUDIT_PAGE_MAX);
    page.without_clients =
        api_query(c, "clients", &word) && !str_eq(word, STR("true")) && !str_eq(word, STR("1"));

    struct audit_query *q = NEW(struct audit_query);
    q->page = page;
    q->done = done;
    q->user = c;
    audit_query_ask(control_registrar(c->api->control), c->a->loop, q);
}
