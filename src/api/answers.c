/* Answers: JSON objects, and problems that clients of every release can read. */

#include "api/api_internal.h"

#include "core/mem.h"

#define PROBLEM_MAX ((size_t)64 << 20)

struct status_row {
    int status;
    int grpc; /* the code that headscale's gateway gave with it */
    const char *title;
};

static const struct status_row statuses[] = {
    {400, 3, "Bad Request"},
    {401, 16, "Unauthorized"},
    {403, 7, "Forbidden"},
    {404, 5, "Not Found"},
    {405, 12, "Method Not Allowed"},
    {409, 6, "Conflict"},
    {422, 3, "Unprocessable Entity"},
    {429, 8, "Too Many Requests"},
    {503, 14, "Service Unavailable"},
    {500, 13, "Internal Server Error"}, /* last: what every other status counts as */
};

static const struct status_row *status_row(int status)
{
    size_t i = 0;

    while (i < ARRAY_LEN(statuses) - 1 && statuses[i].status != status)
        i++;
    return &statuses[i];
}

void api_put_problem_with(struct http_exchange *x, int status, const char *detail,
                          struct str message, struct str errors)
{
    const struct status_row *row = status_row(status);
    struct buf body = BUF(PROBLEM_MAX);
    struct json_writer w = JSON_WRITER(&body);

    json_begin_object(&w);
    json_field_str(&w, STR("title"), str_from(row->title));
    json_field_u64(&w, STR("status"), (uint64_t)row->status);
    json_field_str(&w, STR("detail"), str_from(detail));
    json_opt_raw(&w, STR("errors"), errors);
    json_field_u64(&w, STR("code"), (uint64_t)row->grpc);
    json_field_str(&w, STR("message"), message);
    json_field_array(&w, STR("details"));
    json_end_array(&w);
    json_end_object(&w);
    buf_put_char(&body, '\n');
    http_respond(x, row->status, "application/problem+json", buf_str(&body));
    buf_fini(&body);
}

void api_put_problem(struct http_exchange *x, int status, const char *detail, const char *why)
{
    struct buf errors = BUF(8192), message = BUF(4096);
    struct json_writer w = JSON_WRITER(&errors);

    buf_put(&message, str_from(detail));
    if (why) {
        buf_printf(&message, ": %s", why);
        json_begin_array(&w);
        json_begin_object(&w);
        json_field_str(&w, STR("message"), str_from(why));
        json_end_object(&w);
        json_end_array(&w);
    }
    api_put_problem_with(x, status, detail, buf_str(&message), buf_str(&errors));
    buf_fini(&errors);
    buf_fini(&message);
}

void api_v2_put_problem(struct http_exchange *x, int status, struct str message, struct str data)
{
    struct buf body = BUF(PROBLEM_MAX);
    struct json_writer w = JSON_WRITER(&body);

    json_begin_object(&w);
    json_field_str(&w, STR("message"), message);
    json_opt_raw(&w, STR("data"), data);
    json_field_u64(&w, STR("status"), (uint64_t)status);
    json_end_object(&w);
    buf_put_char(&body, '\n');
    http_respond(x, status, "application/problem+json", buf_str(&body));
    buf_fini(&body);
}

/*
 * Consoles ask for plain application/json and know headscale's old answer, the bare word; the
 * others get the new one, which holds no more either.
 */
void api_put_unauthorized(struct http_exchange *x, enum api_version version,
                          const struct http_request *req)
{
    struct str accept = str_trim(http_header_get(req, STR("accept")));

    http_add_header(x, STR("www-authenticate"), STR("Bearer"));
    if (version == API_V2)
        api_v2_put_problem(x, 401, STR("unauthorized"), STR_NONE);
    else if (str_eq_nocase(accept, STR("application/json")))
        http_respond(x, 401, "text/plain; charset=utf-8", STR("Unauthorized"));
    else
        http_respond(
            x, 401, "application/problem+json",
            STR("{\"title\":\"Unauthorized\",\"status\":401,\"detail\":\"Unauthorized\"}\n"));
}

void api_problem(struct api_call *c, int status, const char *detail, const char *why)
{
    struct buf message = BUF(4096);

    if (c->a->x && c->version == API_V2) {
        buf_printf(&message, "%s%s%s", detail, why ? ": " : "", why ? why : "");
        api_v2_put_problem(c->a->x, status, buf_str(&message), STR_NONE);
    } else if (c->a->x) {
        api_put_problem(c->a->x, status, detail, why);
    }
    buf_fini(&message);
    api_end(c);
}

/* A caller who may not is known here; elsewhere it is whoever asks. */
static int status_of(const struct api_call *c, enum err_code code)
{
    if (code == ERR_CONFLICT && c->op->conflict_is_400)
        return 400;
    return code == ERR_DENIED ? 403 : asked_status(code);
}

void api_respond_err(struct api_call *c, const struct err *err)
{
    const char *doing = c->op->doing;

    api_problem(c, status_of(c, err->code), doing ? doing : err->text, doing ? err->text : NULL);
}

void api_respond(struct api_call *c, struct buf *body)
{
    if (c->a->x && buf_is_full(body)) {
        buf_fini(body);
        api_problem(c, 500, "the answer is too large", NULL);
        return;
    } else if (c->a->x) {
        buf_put_char(body, '\n');
        http_respond(c->a->x, 200, "application/json", buf_str(body));
    }
    /* Some hold a secret that is shown this once. */
    if (body->ptr && !str_eq(str_from(c->op->method), STR("GET")))
        mem_wipe(body->ptr, body->len);
    buf_fini(body);
    api_end(c);
}

void api_respond_empty(struct api_call *c)
{
    if (c->a->x)
        http_respond(c->a->x, 200, "application/json", STR("{}\n"));
    api_end(c);
}
