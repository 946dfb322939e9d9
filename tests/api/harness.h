#pragma once

/*
 * The API with everything behind it but the network: a store, the registrar, one loop, and requests
 * over stream pairs, which count as the network's door. Requests with `socket` set are served as if
 * they came over the Unix socket.
 *
 * Every answer is held against the table of calls: a 200 must be the operation's object, member by
 * member, and a refusal a problem (or the bare word of a 401).
 */

#include "../unit.h"

#include "api/api_internal.h"

struct harness {
    char path[64];
    struct loop *loop;
    struct control *control;
    struct api *api;
    struct http_server *server; /* of the network's door */
    struct machine_private noise_key;
    struct str key; /* the server's own, whole; what ask() shows */
    /* What came of the last call. */
    int status;
    struct buf raw; /* headers and body */
    struct str body;
    struct arena *arena; /* of the last call */
    struct json_value *json;
};

struct harness_options {
    bool policy_from_file;
    struct str_list origins;
};
void harness_start(struct harness *h, const struct harness_options *options);
void harness_stop(struct harness *h);

struct question {
    const char *method;
    const char *path;
    struct str body;
    const char *key;     /* NULL: the harness's; "": none */
    const char *headers; /* further lines, each with its CRLF; NULL: none */
    bool unchecked;      /* the answer is not one of an operation's */
};
/* Returns the status. */
int harness_ask(struct harness *h, const struct question *q);
int ask(struct harness *h, const char *method, const char *path, const char *body);
/* As ask, and fails when the status is another. */
void want(struct harness *h, int status, const char *method, const char *path, const char *body);
/* "node.user.name", "users.0.id" of the last answer; the empty str when it is not there. */
struct str got(struct harness *h, const char *where);
const struct json_value *got_value(struct harness *h, const char *where);
bool got_header(const struct harness *h, const char *line);
void want_got(struct harness *h, const char *where, const char *text);
/* A machine that waits for approval: its auth id, good until the next call. */
struct str harness_pending(struct harness *h, const char *name);
/* Lets a machine of that name in for the user and returns the node's id. */
uint64_t harness_node(struct harness *h, const char *name, const char *user);
