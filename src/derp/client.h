#pragma once

/*
 * A DERP client on a stream: for simulated nodes, benches and tests.
 *
 *   derp_client_new --handshake--> on_ready --packets both ways--> on_close
 *
 * Rules
 *   1. Everything happens on the stream's loop. on_close is the last event and always comes, never
 *      from inside a call; after it the client is gone.
 *   2. Pings of the relay are answered by themselves. A relay that is silent for
 *      DERP_CLIENT_SILENCE_MS, or not ready within 10 s, is given up.
 *   3. What is sent is never dropped here: ask derp_client_pending and wait for on_writable.
 *
 * Source: docs/protocol.md 16.
 */

#include "derp/frame.h"
#include "derp/handshake.h"
#include "net/stream.h"

struct derp_client;

/* All but on_close may be NULL. `packet` is borrowed until the callback returns. */
struct derp_client_events {
    void (*on_ready)(void *user, const struct derp_server_info *info);
    void (*on_packet)(void *user, const struct node_key *src, struct str packet);
    void (*on_peer_gone)(void *user, const struct node_key *key, uint8_t reason);
    void (*on_pong)(void *user, struct str data);                 /* 8 bytes */
    void (*on_frame)(void *user, const struct derp_frame *frame); /* every other one */
    void (*on_writable)(void *user); /* all that was sent has gone to the kernel */
    void (*on_close)(void *user, const struct err *why); /* why: NULL when in order or asked for */
};

struct derp_client_options {
    const struct node_private *key; /* copied, wiped in the end */
    /*
     * The relay's key if it is already known: CLIENT_INFO goes at once, and the relay must be that
     * one. NULL: it is learnt from SERVER_KEY.
     */
    const struct node_key *server_key;
    /* With server_key: first writes the request of a fast start for this host, so `stream` may be
     * fresh. */
    struct str fast_start_host;
    struct derp_client_info info; /* version 0 means DERP_VERSION */
    const struct derp_client_events *events;
    void *user;
};

/* Takes the stream, which has left HTTP unless fast_start_host is given. */
MUST_USE struct derp_client *derp_client_new(struct stream *stream,
                                             const struct derp_client_options *options);
/* The relay's key; zero before it is known. */
const struct node_key *derp_client_server_key(const struct derp_client *c);
const struct node_key *derp_client_key(const struct derp_client *c);
bool derp_client_is_ready(const struct derp_client *c);

/* Once ready; before that and when closed these do nothing. A packet is at most DERP_PACKET_MAX. */
void derp_client_send(struct derp_client *c, const struct node_key *dst, struct str packet);
/*
 * Between these two, frames gather and go out as one write, which over TLS is cheaper than each for
 * itself. Pairs may not nest.
 */
void derp_client_cork(struct derp_client *c);
void derp_client_uncork(struct derp_client *c);
void derp_client_note_preferred(struct derp_client *c, bool preferred);
void derp_client_ping(struct derp_client *c, const uint8_t data[8]);
/* Any frame, as it is: mesh frames, and broken ones for tests. */
void derp_client_send_frame(struct derp_client *c, uint8_t type, struct str payload);
/* Bytes on their way to the kernel. */
size_t derp_client_pending(const struct derp_client *c);
void derp_client_close(struct derp_client *c);
struct stream *derp_client_stream(const struct derp_client *c);
