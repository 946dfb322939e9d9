/*
 * The document: operations.c and schemas.c as OpenAPI 3.1, or 3.0 for tools that know no newer
 * one, and as a page for people.
 *
 * The two releases differ here in one thing: how a member says that it may be null.
 */

#include "api/api_internal.h"

#define DOCUMENT_MAX ((size_t)4 << 20)

struct writing {
    struct json_writer w;
    enum api_version version;
    enum api_document which;
};

static void put_ref(struct json_writer *w, const char *schema)
{
    json_begin_object(w);
    json_key(w, STR("$ref"));
    json_begin_plain(w);
    buf_printf(w->out, "#/components/schemas/%s", schema);
    json_end_plain(w);
    json_end_object(w);
}

/* ---- Members ---- */

static void put_type(struct writing *d, const char *type, bool nullable)
{
    struct json_writer *w = &d->w;

    if (nullable && d->which == DOCUMENT_3_1) {
        json_field_array(w, STR("type"));
        json_str(w, str_from(type));
        json_str(w, STR("null"));
        json_end_array(w);
        return;
    }
    json_field_str(w, STR("type"), str_from(type));
    if (nullable)
        json_field_bool(w, STR("nullable"), true);
}

static void put_either(struct writing *d, const struct api_member *m)
{
    struct json_writer *w = &d->w;

    json_field_array(w, d->which == DOCUMENT_3_1 ? STR("anyOf") : STR("allOf"));
    put_ref(w, m->of);
    if (d->which == DOCUMENT_3_1) {
        json_begin_object(w);
        json_field_str(w, STR("type"), STR("null"));
        json_end_object(w);
    }
    json_end_array(w);
    if (d->which == DOCUMENT_3_0)
        json_field_bool(w, STR("nullable"), true);
}

static void put_id(struct writing *d, const struct api_member *m)
{
    put_type(d, "string", m->nullable);
    json_field_str(&d->w, STR("pattern"), STR("^[0-9]+$"));
}

/* The inside of a member's schema. */
static void put_member(struct writing *d, const struct api_member *m)
{
    struct json_writer *w = &d->w;

    switch (m->kind) {
    case KIND_STRING:
    case KIND_ID_OR_NAME:
        put_type(d, "string", m->nullable);
        break;
    case KIND_ID:
        put_id(d, m);
        break;
    case KIND_TIME:
        put_type(d, "string", m->nullable);
        json_field_str(w, STR("format"), STR("date-time"));
        break;
    case KIND_BOOL:
        put_type(d, "boolean", m->nullable);
        break;
    case KIND_NUMBER:
        put_type(d, "integer", m->nullable);
        break;
    case KIND_STRINGS:
        put_type(d, "array", m->nullable);
        json_field_object(w, STR("items"));
        json_field_str(w, STR("type"), STR("string"));
        json_end_object(w);
        break;
    case KIND_OBJECT:
        if (m->nullable)
            put_either(d, m);
        break;
    case KIND_OBJECTS:
        put_type(d, "array", m->nullable);
        json_key(w, STR("items"));
        put_ref(w, m->of);
        break;
    case KIND_ANY:
        break;
    }
    json_opt_str(w, STR("description"), str_from(m->about));
}

static void put_member_schema(struct writing *d, const struct api_member *m)
{
    if (m->kind == KIND_OBJECT && !m->nullable) {
        put_ref(&d->w, m->of);
        return;
    }
    json_begin_object(&d->w);
    put_member(d, m);
    json_end_object(&d->w);
}

/* ---- Schemas ---- */

static bool is_asked(const struct writing *d, const char *schema)
{
    size_t n = 0;
    const struct api_operation *ops = api_operations(d->version, &n);
    struct str name = str_from(schema);

    for (size_t i = 0; i < n; i++)
        if ((ops[i].body && str_eq(str_from(ops[i].body), name)) ||
            (ops[i].query && str_eq(str_from(ops[i].query), name)))
            return true;
    return str_eq(name, STR("Common"));
}

static void put_schema(struct writing *d, const struct api_schema *s)
{
    struct json_writer *w = &d->w;
    bool asked = is_asked(d, s->name);

    json_field_object(w, str_from(s->name));
    json_field_str(w, STR("type"), STR("object"));
    json_opt_str(w, STR("description"), str_from(s->about));
    json_field_object(w, STR("properties"));
    for (size_t i = 0; i < s->n; i++) {
        json_key(w, str_from(s->members[i].name));
        put_member_schema(d, &s->members[i]);
    }
    json_end_object(w);
    if (!asked) {
        bool any = false;

        for (size_t i = 0; i < s->n; i++) {
            if (s->members[i].optional)
                continue;
            if (!any)
                json_field_array(w, STR("required"));
            any = true;
            json_str(w, str_from(s->members[i].name));
        }
        if (any)
            json_end_array(w);
        json_field_bool(w, STR("additionalProperties"), s->is_map);
    }
    json_end_object(w);
}

/* ---- Operations ---- */

static void put_parameter(struct writing *d, struct str name, const char *in,
                          const struct api_member *m)
{
    struct json_writer *w = &d->w;

    json_begin_object(w);
    json_field_str(w, STR("name"), name);
    json_field_str(w, STR("in"), str_from(in));
    json_field_bool(w, STR("required"), in[0] == 'p');
    json_key(w, STR("schema"));
    put_member_schema(d, m);
    json_end_object(w);
}

static void put_query(struct writing *d, const char *schema)
{
    const struct api_schema *s = api_schema_find(d->version, schema);

    for (size_t i = 0; i < s->n; i++)
        put_parameter(d, str_from(s->members[i].name), "query", &s->members[i]);
}

static void put_parameters(struct writing *d, const struct api_operation *op)
{
    static const struct api_member id = {.kind = KIND_ID}, text = {.kind = KIND_STRING};
    struct str rest = str_from(op->pattern), part;

    json_field_array(&d->w, STR("parameters"));
    while (str_next(&rest, '/', &part)) {
        if (!str_starts(part, STR("{")))
            continue;
        struct str name = str_sub(part, 1, part.len - 2);
        bool is_id = d->version == API_V1 &&
                     ((str_ends(name, STR("Id")) && !str_starts(name, STR("check"))) ||
                      str_eq(name, STR("id")));

        put_parameter(d, name, "path", is_id ? &id : &text);
    }
    if (op->query)
        put_query(d, op->query);
    if (!op->is_public && d->version == API_V1)
        put_query(d, "Common");
    json_end_array(&d->w);
}

static void put_body(struct writing *d, const struct api_operation *op)
{
    struct json_writer *w = &d->w;

    if (!op->body)
        return;
    json_field_object(w, STR("requestBody"));
    json_field_object(w, STR("content"));
    json_field_object(w, STR("application/json"));
    json_key(w, STR("schema"));
    put_ref(w, op->body);
    json_end_object(w);
    json_end_object(w);
    json_end_object(w);
}

static void put_content(struct json_writer *w, const char *type, const char *schema)
{
    json_field_object(w, str_from(type));
    json_key(w, STR("schema"));
    if (schema) {
        put_ref(w, schema);
    } else {
        json_begin_object(w);
        json_field_str(w, STR("type"), STR("string"));
        json_end_object(w);
    }
    json_end_object(w);
}

/* `refusal`: in the place of a problem; may be NULL. */
static void put_problem(struct writing *d, const char *status, const char *words,
                        const char *refusal)
{
    struct json_writer *w = &d->w;

    json_field_object(w, str_from(status));
    json_field_str(w, STR("description"), str_from(words));
    json_field_object(w, STR("content"));
    if (refusal)
        put_content(w, "application/json", refusal);
    else
        put_content(w, "application/problem+json", "Problem");
    /* The bare word, for who accepts nothing but application/json. */
    if (str_eq(str_from(status), STR("401")) && d->version == API_V1)
        put_content(w, "text/plain", NULL);
    json_end_object(w);
    json_end_object(w);
}

static void put_responses(struct writing *d, const struct api_operation *op)
{
    enum { V1 = BIT(API_V1), V2 = BIT(API_V2) };
    static const struct {
        const char *status, *words;
        unsigned versions;
    } problems[] = {
        {"400", "The request is wrong as it stands", V1 | V2},
        {"401", "No key, or one that is not good", V1 | V2},
        {"403", "The key may not do that", V1 | V2},
        {"404", "What is named is not there", V1 | V2},
        {"409", "Something else has that name or key", V1 | V2},
        {"412", "It is not any longer what If-Match names", V2},
        {"422", "A member of the body is of the wrong kind", V1},
        {"429", "A limit is reached", V1 | V2},
        {"501", "This server has no such thing", V2},
        {"503", "The database or the server is busy", V1 | V2},
    };
    struct json_writer *w = &d->w;

    json_field_object(w, STR("responses"));
    json_field_object(w, STR("200"));
    json_field_str(w, STR("description"), STR("Done"));
    if (op->answer) {
        json_field_object(w, STR("content"));
        put_content(w, "application/json", op->answer);
        json_end_object(w);
    }
    json_end_object(w);
    for (size_t i = 0; (!op->is_public || op->refusal) && i < ARRAY_LEN(problems); i++)
        if (problems[i].versions & BIT(d->version))
            put_problem(d, problems[i].status, problems[i].words, op->refusal);
    json_end_object(w);
}

static void put_operation(struct writing *d, const struct api_operation *op)
{
    struct json_writer *w = &d->w;
    char method[8] = {0};

    for (size_t i = 0; op->method[i] && i < sizeof(method) - 1; i++)
        method[i] = (char)(op->method[i] | 0x20);
    json_field_object(w, str_from(method));
    json_field_str(w, STR("operationId"), str_from(op->id));
    json_field_str(w, STR("summary"), str_from(op->summary));
    if (op->is_public) {
        json_field_array(w, STR("security"));
        json_end_array(w);
    }
    put_parameters(d, op);
    put_body(d, op);
    put_responses(d, op);
    json_end_object(w);
}

static void put_paths(struct writing *d)
{
    size_t n = 0;
    const struct api_operation *ops = api_operations(d->version, &n);

    json_field_object(&d->w, STR("paths"));
    for (size_t i = 0; i < n; i++) {
        struct str pattern = str_from(ops[i].pattern);

        if (ops[i].socket_only)
            continue;
        if (i == 0 || !str_eq(pattern, str_from(ops[i - 1].pattern)))
            json_field_object(&d->w, pattern);
        put_operation(d, &ops[i]);
        if (i + 1 == n || !str_eq(pattern, str_from(ops[i + 1].pattern)))
            json_end_object(&d->w);
    }
    json_end_object(&d->w);
}

static void put_security_scheme(struct json_writer *w, const char *scheme, const char *words)
{
    json_field_object(w, str_from(scheme));
    json_field_str(w, STR("type"), STR("http"));
    json_field_str(w, STR("scheme"), str_from(scheme));
    json_field_str(w, STR("description"), str_from(words));
    json_end_object(w);
}

static void put_security(struct json_writer *w, const char *scheme)
{
    json_begin_object(w);
    json_field_array(w, str_from(scheme));
    json_end_array(w);
    json_end_object(w);
}

static void put_components(struct writing *d)
{
    struct json_writer *w = &d->w;
    size_t n = 0;
    const struct api_schema *schemas = api_schemas(d->version, &n);

    json_field_object(w, STR("components"));
    json_field_object(w, STR("schemas"));
    for (size_t i = 0; i < n; i++)
        put_schema(d, &schemas[i]);
    json_end_object(w);
    json_field_object(w, STR("securitySchemes"));
    put_security_scheme(w, "bearer", "An API key: hatsize apikeys create");
    if (d->version == API_V2)
        put_security_scheme(w, "basic", "An API key as the user name, without a password");
    json_end_object(w);
    json_end_object(w);
}

void api_document_put(struct buf *out, enum api_version version, enum api_document which,
                      const char *release)
{
    struct writing d = {.w = JSON_WRITER(out), .version = version, .which = which};

    json_begin_object(&d.w);
    json_field_str(&d.w, STR("openapi"), which == DOCUMENT_3_1 ? STR("3.1.0") : STR("3.0.3"));
    json_field_object(&d.w, STR("info"));
    json_field_str(&d.w, STR("title"),
                   version == API_V2 ? STR("Hatsize REST API v2") : STR("Hatsize REST API v1"));
    json_field_str(&d.w, STR("version"), str_from(release));
    json_end_object(&d.w);
    json_field_array(&d.w, STR("security"));
    put_security(&d.w, "bearer");
    if (version == API_V2)
        put_security(&d.w, "basic");
    json_end_array(&d.w);
    put_paths(&d);
    put_components(&d);
    json_end_object(&d.w);
}

/* ---- Serving it ---- */

static void respond_document(struct api_call *c, enum api_document which, const char *type)
{
    struct buf body = BUF(DOCUMENT_MAX);

    api_document_put(&body, c->version, which, c->api->version.ptr);
    buf_put_char(&body, '\n');
    http_respond(c->a->x, 200, type, buf_str(&body));
    buf_fini(&body);
    api_end(c);
}

void api_openapi(struct api_call *c)
{
    respond_document(c, DOCUMENT_3_1, "application/json");
}

void api_openapi_3_0(struct api_call *c)
{
    respond_document(c, DOCUMENT_3_0, "application/json");
}

void api_openapi_yaml(struct api_call *c)
{
    respond_document(c, DOCUMENT_3_1, "application/yaml");
}

void api_openapi_3_0_yaml(struct api_call *c)
{
    respond_document(c, DOCUMENT_3_0, "application/yaml");
}

static void put_row(struct buf *out, enum api_version version, const struct api_operation *op)
{
    const struct api_schema *body = op->body ? api_schema_find(version, op->body) : NULL;

    buf_printf(out, "<tr><td><code>%s</code><td><code>%s</code><td>%s<td>", op->method, op->pattern,
               op->summary);
    for (size_t i = 0; body && i < body->n; i++)
        buf_printf(out, "<code>%s</code> ", body->members[i].name);
    buf_put_char(out, '\n');
}

void api_docs(struct api_call *c)
{
    size_t n = 0;
    const struct api_operation *ops = api_operations(c->version, &n);
    struct buf page = BUF(DOCUMENT_MAX);
    int version = c->version == API_V2 ? 2 : 1;

    buf_printf(&page,
               "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\">\n"
               "<title>Hatsize REST API v%d</title>\n"
               "<h1>REST API v%d</h1>\n<p>Each call wants <code>Authorization: Bearer "
               "KEY</code>; <code>hatsize apikeys create</code> makes a key. In full: "
               "<a href=\"/api/v%d/openapi.json\">openapi.json</a>.</p>\n<table>\n",
               version, version, version);
    for (size_t i = 0; i < n; i++)
        if (!ops[i].socket_only)
            put_row(&page, c->version, &ops[i]);
    buf_put(&page, STR("</table>\n"));
    http_respond(c->a->x, 200, "text/html; charset=utf-8", buf_str(&page));
    buf_fini(&page);
    api_end(c);
}
