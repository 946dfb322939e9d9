/* v2's posture attributes: what a machine says of itself, and what was said of it
 * (tailnet/attributes.h). */

#include "api/v2_internal.h"

#include "core/clock.h"

#define ANSWER_MAX ((size_t)1 << 20)

/* ---- Showing ---- */

static void put_value(struct json_writer *w, const struct node_attribute *a)
{
    if (a->kind == ATTRIBUTE_TEXT)
        json_field_str(w, a->name, a->value);
    else
        json_field_raw(w, a->name, a->value);
}

static void put_own(struct json_writer *w, const struct node *n)
{
    struct str version = n->facts->ipn_version;

    if (n->facts->os.len > 0)
        json_field_str(w, STR("node:os"), n->facts->os);
    if (version.len > 0)
        json_field_str(w, STR("node:tsVersion"), version);
}

static void respond_attributes(struct api_call *c, const struct node *n)
{
    struct buf body = BUF(ANSWER_MAX);
    struct json_writer w = JSON_WRITER(&body);

    json_begin_object(&w);
    json_field_object(&w, STR("attributes"));
    put_own(&w, n);
    for (size_t i = 0; i < n->n_attributes; i++)
        put_value(&w, &n->attributes[i]);
    json_end_object(&w);
    json_field_object(&w, STR("expiries"));
    for (size_t i = 0; i < n->n_attributes; i++)
        if (n->attributes[i].expiry_ms != 0)
            json_field_time(&w, n->attributes[i].name, n->attributes[i].expiry_ms);
    json_end_object(&w);
    json_end_object(&w);
    api_respond(c, &body);
}

void api_v2_attributes_get(struct api_call *c)
{
    const struct node *n = api_v2_device(c);

    if (n)
        respond_attributes(c, n);
}

/* ---- Setting ---- */

/* A text, a number, true or false. False: none of these. */
static bool read_value(const struct json_value *v, struct node_attribute *a)
{
    if (json_is(v, JSON_STRING)) {
        a->kind = ATTRIBUTE_TEXT;
        a->value = v->str;
        return true;
    }
    if (!json_is(v, JSON_NUMBER) && !json_is(v, JSON_BOOL))
        return false;
    a->kind = json_is(v, JSON_NUMBER) ? ATTRIBUTE_NUMBER : ATTRIBUTE_BOOL;
    a->value = v->raw;
    return true;
}

static void done(struct registrar_call *call)
{
    struct api_call *c = api_call_of(call);

    if (!api_refused(c))
        respond_attributes(c, call->result.node);
}

void api_v2_attribute_set(struct api_call *c)
{
    struct node_attribute *a = arena_alloc(api_arena(c), sizeof(*a));
    struct str expiry = api_text(c, "expiry");
    const struct node *n = api_v2_device(c);
    int64_t expiry_ms = 0;

    if (!n)
        return;
    *a = (struct node_attribute){.name = api_path_text(c, "attributeKey"),
                                 .comment = api_text(c, "comment")};
    if (!read_value(api_member(c, "value"), a)) {
        api_problem(c, 400, "the body wants the value: a text, a number, true or false", NULL);
        return;
    }
    if (expiry.len > 0 && !clock_parse_rfc3339(expiry, &expiry_ms)) {
        api_problem(c, 400, "expiry is an RFC 3339 time", NULL);
        return;
    }
    /* Go's zero time, which its client sends for none, lies before 1970. */
    a->expiry_ms = MAX(expiry_ms, (int64_t)0);
    struct command *command = api_command(c, COMMAND_NODE_ATTRIBUTE_SET);
    command->id = n->id;
    command->attribute = a;
    api_submit(c, done);
}

void api_v2_attribute_delete(struct api_call *c)
{
    const struct node *n = api_v2_device(c);

    if (!n)
        return;
    struct command *command = api_command(c, COMMAND_NODE_ATTRIBUTE_DELETE);
    command->id = n->id;
    command->name = api_path_text(c, "attributeKey");
    api_submit(c, api_done_empty);
}

/* ---- Addresses ---- */

void api_v2_device_ip(struct api_call *c)
{
    const struct node *n = api_v2_device(c);
    struct ip_addr addr;

    if (!n)
        return;
    if (!ip_addr_parse(api_text(c, "ipv4"), &addr) || addr.family != IP_V4) {
        api_problem(c, 400, "the body wants an address: {\"ipv4\": \"100.64.0.7\"}", NULL);
        return;
    }
    struct command *command = api_command(c, COMMAND_NODE_ADDRESS);
    command->id = n->id;
    command->addr = addr;
    api_submit(c, api_done_empty);
}
