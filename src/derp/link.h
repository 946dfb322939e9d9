#pragma once

/*
 * A link: this relay as the client of another relay of its mesh, from which it hears who is there
 * and to which it forwards what is for them.
 *
 *   LOGIN --SERVER_KEY--> CLIENT_INFO with the mesh key --SERVER_INFO--> READY: WATCH_CONNS
 *     |                                                                    |
 *     +------------------ broken, silent, closed ----------------+---------+--> on_end
 *
 * While READY, keys that the other relay has told of are reachable through the link; with its end
 * they no longer are. A packet is forwarded once: what came by FORWARD_PACKET goes to clients here,
 * at most to those of this relay's other process, or nowhere.
 *
 * Source: docs/protocol.md 16.6; tailscale derp/derphttp/mesh_client.go.
 */

#include "derp/server.h"

enum derp_link_end {
    DERP_LINK_LOST, /* also when it never came to be */
    DERP_LINK_SELF, /* the other relay is this one */
};

struct derp_link_events {
    void (*on_ready)(void *user); /* the other relay tells who is there; may be NULL */
    void (*on_end)(void *user, enum derp_link_end why); /* the last call */
};

/*
 * Takes a stream to another relay that has left HTTP, on its loop, which is one of the server's.
 * The server has a mesh key. Events come on that loop, never from inside the call.
 */
void derp_link_open(struct derp_server *server, struct stream *stream,
                    const struct derp_link_events *events, void *user);
/*
 * The same to another process of this very relay (sibling.h), which needs no mesh key: both ends
 * prove that they have the relay's own. There is one at a time; a second ends as soon as it is let
 * in.
 */
void derp_link_open_sibling(struct derp_server *server, struct stream *stream,
                            const struct derp_link_events *events, void *user);
