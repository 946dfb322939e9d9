/*
 * Connections that proxies bring: the PROXY header is read first, and then they are the
 * consumer's, with the address of whom the proxy names.
 *
 *   accepted --header--> on_accept
 *      |
 *      +-- something else, too late, over a limit --> aborted
 */

#include "core/metric.h"
#include "net/proxy.h"
#include "net/tcp_internal.h"

static struct metric broken = METRIC_COUNTER(
    "hatsize_proxy_headers_bad_total", "Connections of proxies closed for want of a PROXY header.");

struct proxied {
    struct tcp *tcp;
    struct buf in;
    struct timer limit;
    size_t max_per_address;
    void (*on_accept)(void *user, struct stream *s);
    void *user;
};

static void proxied_free(struct proxied *p)
{
    timer_stop(&p->limit);
    buf_fini(&p->in);
    mem_free(p);
}

static void refuse(struct proxied *p)
{
    metric_add(&broken, 1);
    stream_abort(&p->tcp->stream);
}

static void on_late(void *user)
{
    refuse(user);
}

/* The stream is not ours any more. */
static void hand_over(struct proxied *p, const struct proxy_header *h, size_t used)
{
    struct stream *s = &p->tcp->stream;

    if (ip_addr_is_set(h->from.addr)) {
        s->peer = h->from;
        if (!listener_count_peer(p->tcp, p->max_per_address)) {
            stream_abort(s);
            return;
        }
    }
    stream_unread(s, str_from_index(buf_str(&p->in), used));
    p->on_accept(p->user, s);
    proxied_free(p);
}

static void on_data(void *user, struct str data)
{
    struct proxied *p = user;
    struct proxy_header h;
    size_t used = 0, before = p->in.len;

    buf_put(&p->in, data);
    if (p->in.len != before + data.len) {
        refuse(p);
        return;
    }
    switch (proxy_header_decode(buf_str(&p->in), &h, &used)) {
    case PROXY_OK:
        hand_over(p, &h, used);
        return;
    case PROXY_MORE:
        return;
    case PROXY_BROKEN:
        refuse(p);
        return;
    }
}

static void on_close(void *user, const struct err *why)
{
    (void)why;
    proxied_free(user);
}

void proxied_begin(struct tcp *t, const struct listener_options *o)
{
    static const struct stream_events events = {.on_data = on_data, .on_close = on_close};
    struct proxied *p = NEW(struct proxied);

    p->tcp = t;
    p->in = BUF(PROXY_HEADER_MAX + READ_BUFFER);
    p->max_per_address = o->max_per_address;
    p->on_accept = o->on_accept;
    p->user = o->user;
    timer_init(&p->limit, t->stream.loop, on_late, p);
    timer_start(&p->limit, HANDSHAKE_MS);
    stream_set_events(&t->stream, &events, p);
}
