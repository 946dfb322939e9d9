#pragma once

/*
 * A request that waits for the registrar: the exchange, an arena for what the command borrows, and
 * the call, in one block that lives until the answer came back, whether or not the client is still
 * there.
 *
 *   struct asked *a = asked_new(owner, registrar, x, req);
 *   a->call.command = …;                 (strings in a->arena or the request)
 *   asked_submit(a, done);               done: if (a->x) answer; asked_free(a)
 */

#include "control/registrar.h"
#include "core/arena.h"
#include "http/server.h"

struct asked {
    void *owner; /* the handler's user pointer */
    struct registrar *registrar;
    struct http_exchange *x; /* NULL: the client went; then neither is `req` to be touched */
    const struct http_request *req;
    struct loop *loop;
    struct arena *arena;
    struct registrar_call call;
    struct node_facts *facts; /* dropped with the block; may be NULL */
    void *more;               /* the handler's own, in the arena */
};

/* What a client below CAPVER_MIN is told; its command line shows it. */
#define TOO_OLD "this Tailscale client is too old; 1.70 or later is needed"

MUST_USE struct asked *asked_new(void *owner, struct registrar *registrar, struct http_exchange *x,
                                 const struct http_request *req);
void asked_free(struct asked *a);
void asked_submit(struct asked *a, void (*done)(struct registrar_call *call));
struct asked *asked_of(struct registrar_call *call);
/* The HTTP status that fits an error. */
int asked_status(enum err_code code);
/* Answers with the error's status and text, if there is somebody to answer. */
void asked_refuse(struct asked *a, const struct err *err);
/* Strangers can cause lines at will, so only so many a second are written down: whether this one
 * is. Any thread. */
bool asked_may_log(void);
