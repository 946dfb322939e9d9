#pragma once

/*
 * HTTP requests of our own. `http_fetch` blocks (the CLI, start-up, worker threads; libcurl); the
 * h2 client runs on a loop over any stream (simulated nodes inside Noise).
 */

#include "core/buf.h"
#include "core/err.h"
#include "net/stream.h"
#include "http/server.h"

struct http_fetch_options {
    const char *url;       /* http:// or https:// */
    const char *unix_path; /* not NULL: over this Unix socket, the URL's host is then only a name */
    const char *method;    /* NULL: GET, or POST with a body */
    struct str body;
    const char *content_type;
    struct str bearer;     /* Authorization: Bearer …; empty for none */
    struct str basic;      /* Authorization: Basic …, in base64 already; empty for none */
    const struct http_header *headers; /* more of them; names end with a NUL */
    size_t n_headers;
    const char *called;    /* instead of the URL in errors, when that holds a secret; may be NULL */
    /* Whether an address may be connected to, whatever name led to it. NULL: any may. */
    bool (*may_connect)(void *user, struct ip_addr to);
    int64_t timeout_ms;    /* the whole request; 0: 10 s; -1: for ever */
    bool insecure;         /* skip TLS verification */
    const char *ca_file;   /* PEM: trust these authorities instead of the system's; NULL: those */
    size_t max_body;       /* of the answer; 0: 64 MiB */
    /* Each header of the answer, name as sent, in order; during the call. May be NULL. */
    void (*on_header)(void *user, struct str name, struct str value);
    void *user;
    /* The body as it comes, instead of `body`; false ends the request. May be NULL. */
    bool (*on_data)(void *user, struct str data);
    const _Atomic(bool) *cancelled; /* gives up within a second when it turns true; may be NULL */
};
/* 0 when any answer came (see *status); negative when none did. Body appended to `body`. */
MUST_USE int http_fetch(const struct http_fetch_options *options, int *status, struct buf *body,
                        struct err *err);

struct h2_client;
struct h2_request;

struct h2_request_events {
    void (*on_headers)(void *user, int status); /* once, before data; may be NULL */
    void (*on_data)(void *user, struct str data);
    /* Last call. err NULL: the answer is complete. */
    void (*on_end)(void *user, const struct err *err);
};
/* Takes the stream. on_close is called when the connection is gone, after the last on_end; then the client is gone. */
MUST_USE struct h2_client *h2_client_new(struct stream *stream, void (*on_close)(void *user),
                                         void *user);
/* authority such as "host:8080"; body may be empty. The handle is good until on_end. */
struct h2_request *h2_client_request(struct h2_client *c, const char *method, struct str path,
                                     struct str authority, struct str body,
                                     const struct h2_request_events *events, void *user);
/* RST_STREAM(CANCEL); on_end follows with an error. */
void h2_request_cancel(struct h2_request *r);
/* Tests and benches: what a server sends ahead of on_data, for requests to come (4 MiB at first);
 * and whether anything at all is read. */
void h2_client_set_window(struct h2_client *c, uint32_t bytes);
void h2_client_read(struct h2_client *c, bool on);
/* Closes the connection; on_end for open requests and on_close follow. */
void h2_client_close(struct h2_client *c);

/*
 * HTTP/1.1 upgrade as a client: sends the request over `stream` (taken), waits for 101 with the Upgrade value
 * (case-insensitive), then gives the stream to on_done, bytes that followed included; or an error.
 */
void http_client_upgrade(struct stream *stream, const char *method, struct str target,
                         struct str host, const char *upgrade, const struct http_header *headers,
                         size_t n_headers, int64_t timeout_ms,
                         void (*on_done)(void *user, struct stream *s, const struct err *err),
                         void *user);

/*
 * The same for WebSocket, with a subprotocol (may be NULL): the stream given carries the concatenated
 * binary messages.
 */
void http_client_upgrade_websocket(struct stream *stream, struct str target, struct str host,
                                   const char *protocol, int64_t timeout_ms,
                                   void (*on_done)(void *user, struct stream *s,
                                                   const struct err *err),
                                   void *user);
