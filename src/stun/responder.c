/* See responder.h. */

#include "stun/responder.h"

#include "core/mem.h"
#include "core/metric.h"
#include "net/bind.h"
#include "net/udp.h"
#include "stun/codec.h"

static struct metric answered =
    METRIC_COUNTER("hatsize_stun_answers_total", "STUN requests answered.");
static struct metric ignored = METRIC_COUNTER("hatsize_stun_ignored_total",
                                              "Datagrams that were no STUN request of a client.");

struct stun_responder {
    struct udp *udp;
    struct buf answer;
};

static void on_receive(void *user, struct udp *udp, struct ip_addrport from, struct str data)
{
    struct stun_responder *r = user;
    struct stun_txid txid;

    if (!stun_request_decode(data, &txid)) {
        metric_add(&ignored, 1);
        return;
    }
    buf_clear(&r->answer);
    stun_response_encode(&r->answer, &txid, from);
    udp_send(udp, from, buf_str(&r->answer));
    metric_add(&answered, 1);
}

static struct stun_responder *responder_new(void)
{
    struct stun_responder *r = NEW(struct stun_responder);

    r->answer = BUF(1024);
    return r;
}

static int open_one(struct loop *loop, struct ip_addrport addr, struct stun_responder **out,
                    struct err *err)
{
    struct stun_responder *r = responder_new();

    if (udp_open_shared(loop, addr, on_receive, r, &r->udp, err) < 0) {
        mem_free(r);
        return -(int)err->code;
    }
    *out = r;
    return 0;
}

int stun_responder_open_each(struct loop *const *loops, size_t n, struct ip_addrport addr,
                             struct stun_responder **out, struct err *err)
{
    addr = bind_usable(addr);
    if (bind_check_udp(addr, err) < 0)
        return -(int)err->code;
    for (size_t i = 0; i < n; i++) {
        struct ip_addrport at = i > 0 ? stun_responder_addr(out[0]) : addr;

        if (open_one(loops[i], at, &out[i], err) == 0)
            continue;
        for (; i > 0; i--)
            stun_responder_close(TAKE(out[i - 1]));
        return -(int)err->code;
    }
    return 0;
}

int stun_responder_open_given(struct loop *const *loops, size_t n, const int *fds, size_t n_fds,
                              struct stun_responder **out, struct err *err)
{
    for (size_t i = 0; i < n; i++) {
        struct stun_responder *r = responder_new();

        if (udp_open_given(loops[i], fds[i % n_fds], on_receive, r, &r->udp, err) < 0) {
            mem_free(r);
            return -(int)err->code;
        }
        out[i] = r;
    }
    return 0;
}

int stun_responder_fd(const struct stun_responder *r)
{
    return udp_fd(r->udp);
}

struct ip_addrport stun_responder_addr(const struct stun_responder *r)
{
    return udp_addr(r->udp);
}

void stun_responder_close(struct stun_responder *r)
{
    if (!r)
        return;
    udp_close(r->udp);
    buf_fini(&r->answer);
    mem_free(r);
}
