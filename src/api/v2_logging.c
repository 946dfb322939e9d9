/*
 * v2's configuration log: the audit log in Tailscale's shape, the oldest first, between two times.
 * Source: Tailscale's API reference, logging.
 */

#include "api/v2_internal.h"

#include "control/audit_query.h"

/* "node.rename" is an update of a node. */
static struct str action_of(struct str action)
{
    static const struct str words[][2] = {
        {STR_INIT(".create"), STR_INIT("CREATE")},   {STR_INIT(".register"), STR_INIT("CREATE")},
        {STR_INIT(".delete"), STR_INIT("DELETE")},   {STR_INIT(".login"), STR_INIT("LOGIN")},
        {STR_INIT(".revoke"), STR_INIT("REVOKE")},   {STR_INIT(".expire"), STR_INIT("EXPIRE")},
        {STR_INIT(".approve"), STR_INIT("APPROVE")},
    };

    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (str_ends(action, words[i][0]))
            return words[i][1];
    return STR("UPDATE");
}

static struct str origin_of(enum command_origin origin)
{
    if (origin == ORIGIN_CLIENT)
        return STR("NODE");
    if (origin == ORIGIN_API)
        return STR("CONFIG_API");
    return origin == ORIGIN_SOCKET ? STR("ADMIN_CONSOLE") : STR("CONTROL");
}

static struct str actor_kind(struct str author)
{
    if (str_starts(author, STR("user:")))
        return STR("USER");
    if (str_starts(author, STR("oauth:")))
        return STR("OAUTH_CLIENT");
    return str_starts(author, STR("key:")) ? STR("API_KEY") : STR("SERVICE");
}

/* "auth_key" is an AUTH_KEY. */
static void put_upper(struct json_writer *w, struct str key, struct str word)
{
    json_key(w, key);
    json_begin_plain(w);
    for (size_t i = 0; i < word.len; i++)
        buf_put_char(w->out, word.ptr[i] >= 'a' && word.ptr[i] <= 'z'
                                 ? (char)(word.ptr[i] - 'a' + 'A')
                                 : word.ptr[i]);
    json_end_plain(w);
}

static void put_entry(struct json_writer *w, const struct audit_entry *e)
{
    json_begin_object(w);
    json_field_time(w, STR("eventTime"), e->created_ms);
    json_field_str(w, STR("type"), STR("CONFIG"));
    json_field_str(w, STR("deferredAt"), STR("0001-01-01T00:00:00Z"));
    api_field_id(w, STR("eventGroupID"), e->id);
    json_field_str(w, STR("origin"), origin_of(e->origin));
    json_field_object(w, STR("actor"));
    json_field_str(w, STR("id"), e->author);
    json_field_str(w, STR("type"), actor_kind(e->author));
    json_field_str(w, STR("loginName"), e->author);
    json_field_str(w, STR("displayName"), e->author);
    json_end_object(w);
    json_field_object(w, STR("target"));
    api_field_id(w, STR("id"), e->object_id);
    json_field_str(w, STR("name"), e->object_name);
    put_upper(w, STR("type"), e->object);
    json_field_str(w, STR("property"), e->action);
    json_end_object(w);
    json_field_str(w, STR("action"), action_of(e->action));
    json_field_raw(w, STR("old"), e->before);
    json_field_raw(w, STR("new"), e->after);
    json_end_object(w);
}

/* ---- Page by page, the newest first ---- */

#define ENTRIES_MAX ((size_t)20000) /* in one answer; who wants more asks for less time */

/* In the call's arena. */
struct reading {
    struct api_call *call;
    struct audit_page page;
    struct str tailnet;
    const struct audit_entry **entries; /* counted */
    size_t n;
};

static void ask(struct reading *r);

static void put_entries(struct reading *r)
{
    struct buf body = BUF(API_ANSWER_MAX);
    struct json_writer w = JSON_WRITER(&body);

    json_begin_object(&w);
    json_field_str(&w, STR("version"), STR("1.1"));
    json_field_str(&w, STR("tailnet"), r->tailnet);
    json_field_array(&w, STR("logs"));
    for (size_t i = r->n; i-- > 0;)
        put_entry(&w, r->entries[i]);
    json_end_array(&w);
    json_end_object(&w);
    api_respond(r->call, &body);
}

static void drop_entries(const struct audit_entry **entries, size_t n)
{
    for (size_t i = 0; i < n; i++)
        audit_entry_unref(entries[i]);
    mem_free(entries);
}

static void take_entries(struct reading *r, const struct audit_query *q)
{
    r->entries = mem_realloc_array(r->entries, r->n + q->n + 1, sizeof(*r->entries));
    for (size_t i = 0; i < q->n; i++)
        r->entries[r->n++] = audit_entry_ref(q->entries[i]);
}

static void done(struct audit_query *q)
{
    struct reading *r = q->user;
    struct err err = q->err;
    int status = q->status;
    bool more = q->n >= q->page.limit && r->n + q->n < ENTRIES_MAX && r->call->a->x;

    if (status == 0)
        take_entries(r, q);
    audit_query_free(q);
    if (status == 0 && more) {
        ask(r);
        return;
    }
    /* The answer frees what `r` is in. */
    const struct audit_entry **entries = r->entries;
    size_t n = r->n;

    if (status == 0)
        put_entries(r);
    else
        api_respond_err(r->call, &err);
    drop_entries(entries, n);
}

static void ask(struct reading *r)
{
    struct audit_query *q = NEW(struct audit_query);

    q->page = r->page;
    if (r->n > 0)
        q->page.before = r->entries[r->n - 1]->id;
    q->done = done;
    q->user = r;
    audit_query_ask(control_registrar(r->call->api->control), r->call->a->loop, q);
}

void api_v2_log_configuration(struct api_call *c)
{
    struct reading *r = arena_alloc(api_arena(c), sizeof(*r));

    *r = (struct reading){.call = c,
                          .page = {.tailnet = c->tailnet, .limit = AUDIT_PAGE_MAX},
                          .tailnet = arena_copy(api_arena(c), view_info(c->view)->name)};
    if (api_query_time(c, "start", &r->page.since_ms) &&
        api_query_time(c, "end", &r->page.until_ms))
        ask(r);
}
