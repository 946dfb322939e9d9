/*
 * Requests as headscale counts them, for its dashboards: by path, status and method. Of servers
 * that ask for it; a path is the route's pattern, so nobody makes new ones by asking.
 *
 * Source: headscale.md 9.3; the two headscale_http_… are those of 0.23 to 0.28.
 */

#include "core/clock.h"
#include "core/metric_family.h"
#include "http/http_internal.h"

static const double seconds[] = {0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10};

static struct metric_family requests =
    METRIC_FAMILY_COUNTER("http_requests_total", "HTTP requests answered.");
static struct metric_family duration = METRIC_FAMILY_HISTOGRAM(
    "http_request_duration_seconds", "From a request's first byte to its end.", seconds);
static struct metric_family inflight =
    METRIC_FAMILY_GAUGE("http_requests_inflight", "HTTP requests under way.");
static struct metric_family old_requests = METRIC_FAMILY_COUNTER(
    "headscale_http_requests_total", "HTTP requests answered, as headscale counted them.");
static struct metric_family old_duration = METRIC_FAMILY_HISTOGRAM(
    "headscale_http_duration_seconds", "Their time, as headscale measured it.", seconds);

static const char *proto(const struct http_exchange *x)
{
    return x->req.version == 2 ? "HTTP/2.0" : "HTTP/1.1";
}

static void add_inflight(const struct http_exchange *x, double n)
{
    struct buf labels = BUF(128);

    buf_printf(&labels, "host=\"\",proto=\"%s\"", proto(x));
    metric_family_add(&inflight, buf_str(&labels), n);
    buf_fini(&labels);
}

void http_observe_begin(struct http_exchange *x)
{
    static const char *const known[] = {"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"};

    if (!x->conn->server->options.observed)
        return;
    x->began_ms = clock_mono_ms();
    x->method_name = "other";
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (str_eq(x->req.method, str_from(known[i])))
            x->method_name = known[i];
    add_inflight(x, 1);
}

void http_observe_end(const struct http_exchange *x)
{
    const char *path = x->route ? x->route->pattern : "other";
    struct buf labels = BUF(1024);
    /* One that went to another protocol was answered 101. */
    int status = x->status != 0 ? x->status : x->aborted ? 499 : 101;
    double took;

    if (!x->method_name)
        return;
    took = (double)(clock_mono_ms() - x->began_ms) / 1000;
    add_inflight(x, -1);
    buf_printf(&labels,
               "host=\"\",status=\"%d\",endpoint=\"%s\",proto=\"%s\",client_aborted=\"%s\"", status,
               path, proto(x), x->aborted ? "true" : "false");
    metric_family_add(&requests, buf_str(&labels), 1);
    buf_clear(&labels);
    buf_printf(&labels, "endpoint=\"%s\",status=\"%d\"", path, status);
    metric_family_observe(&duration, buf_str(&labels), took);
    buf_clear(&labels);
    buf_printf(&labels, "code=\"%d\",method=\"%s\",path=\"%s\"", status, x->method_name, path);
    metric_family_add(&old_requests, buf_str(&labels), 1);
    buf_clear(&labels);
    buf_printf(&labels, "path=\"%s\"", path);
    metric_family_observe(&old_duration, buf_str(&labels), took);
    buf_fini(&labels);
}
