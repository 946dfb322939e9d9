#pragma once

/*
 * What a node asks for over its channel, typed: to be registered, its map, a lite update. The
 * encoders are wire's; the answers are decoded here.
 */

#include "client/control_client.h"
#include "wire/request.h"

enum control_outcome {
    CONTROL_REGISTERED,
    CONTROL_NEEDS_LOGIN, /* text: the URL to show */
    CONTROL_KEY_EXPIRED, /* make a new node key and register again */
    CONTROL_REFUSED,     /* text: why, in the server's words */
    CONTROL_UNANSWERED,  /* text: what became of the connection */
};
struct control_registration {
    enum control_outcome outcome;
    int status;      /* of HTTP, 0 when unanswered */
    struct str text; /* borrowed until the callback returns */
};
typedef void control_register_fn(void *user, const struct control_registration *r);
/* `req` is borrowed for the call; on_done once, not from inside. */
void control_client_register(struct control_client *c, const struct wire_register_encode *req,
                             control_register_fn *on_done, void *user);

/* A lite update: `req` less what makes it a stream. The answer is 200 and empty when taken. */
void control_client_lite(struct control_client *c, const struct wire_map_encode *req,
                         control_answer_fn *on_answer, void *user);
/* A map stream: `req` with what makes it one. */
struct control_map *control_client_stream(struct control_client *c,
                                          const struct wire_map_encode *req,
                                          const struct control_map_events *events, void *user);
