#pragma once

/*
 * The client's side of the control protocol, for simulated nodes: thousands of them on one loop.
 *
 *   TCP --> POST /ts2021 --> Noise --> HTTP/2 --> register, map stream, lite updates
 *
 * One of these is one Noise connection of one machine. Everything is asynchronous on its loop; a
 * callback may call anything here.
 *
 * Sources: protocol.md 1.2, 1.3, 2, 4 to 6; tailscale control/ts2021, control/controlclient.
 */

#include "core/err.h"
#include "crypto/keys.h"
#include "ip/addrport.h"
#include "net/loop.h"
#include "json/value.h"

struct control_client;

struct control_client_options {
    struct loop *loop;
    struct ip_addrport addr; /* where the server listens */
    struct ip_addr from;     /* where to come from; family 0: as the system chooses */
    struct str authority; /* "host:port", for the Host header and :authority; borrowed for life */
    struct machine_key server;
    const struct machine_private *machine; /* borrowed for life */
    uint16_t version;                      /* capability version */
    struct str tls_name; /* not empty: over TLS, checked for this name; borrowed for life */
    bool websocket;                        /* upgrade as clients in browsers do */
    uint32_t window; /* bytes the server may send ahead in an answer; 0: as official clients */
    /* Once: the channel is ready (err NULL) or could not be made; then on_close follows. */
    void (*on_ready)(void *user, const struct err *err);
    /* Last call; the client is gone. */
    void (*on_close)(void *user);
    void *user;
};
/* Begins to connect. */
MUST_USE struct control_client *control_client_new(const struct control_client_options *options);
/* Closes; what is open ends with an error, then on_close. Not twice. */
void control_client_close(struct control_client *c);

/* Whether anything is read; a client that does not is a slow one. Only when ready. */
void control_client_read(struct control_client *c, bool on);

/* A whole answer. status 0 and err: none came. The body is borrowed. */
typedef void control_answer_fn(void *user, int status, struct str body, const struct err *err);
/* POSTs a JSON body inside the channel; only when ready. */
void control_client_post(struct control_client *c, struct str path, struct str body,
                         control_answer_fn *on_answer, void *user);

struct control_map;
struct control_map_events {
    /* Each message of the stream, parsed; borrowed. `frame_bytes` is what it took on the wire. */
    void (*on_message)(void *user, const struct json_value *message, size_t frame_bytes);
    /* Not NULL: gets the stream's bytes as they come, and on_message is not called. */
    void (*on_bytes)(void *user, struct str data);
    /* Last call. status is the HTTP status, 0 if none came. */
    void (*on_end)(void *user, int status, const struct err *err);
};
/* Opens a map stream with the request in `body`; `zstd` as the body says. */
struct control_map *control_client_map(struct control_client *c, struct str body, bool zstd,
                                       const struct control_map_events *events, void *user);
/* Leaves the stream; on_end follows. */
void control_map_cancel(struct control_map *m);

/* GET {url}/key, blocking. */
MUST_USE int control_fetch_key(const char *url, struct machine_key *key, struct err *err);
