#pragma once

/*
 * A domain under test: applies commands, keeps what the last one gave, and after each checks the
 * rules of tailnet/domain.h against the views alone.
 */

#include "../unit.h"

#include "core/err.h"
#include "core/map.h"
#include "core/rand.h"
#include "tailnet/domain.h"

#define T0 ((int64_t)1700000000000)
#define MINUTE_MS ((int64_t)60 * 1000)
#define HOUR_MS (60 * MINUTE_MS)

struct fixture {
    struct domain *d;
    int64_t now;
    struct change_list changes;   /* of the last command */
    struct command_result result; /* of the last command, if it was done */
    struct err err;               /* of the last command, if it was refused */
    bool is_quiet;                /* leave the checks out */
};

void fixture_init(struct fixture *f); /* with one tailnet, "default" */
void fixture_fini(struct fixture *f);
/* Fills in the time. 0 or -code. */
int fixture_apply(struct fixture *f, struct command c);
void fixture_tick(struct fixture *f, int64_t ms); /* lets time pass, then ticks */
void fixture_check(struct fixture *f);

/* ASSERTs that it was done. */
void fixture_done(struct fixture *f, struct command c);
/* ASSERTs that it was refused so, and that nothing changed. */
void fixture_refused(struct fixture *f, struct command c, enum err_code code, const char *text);

const struct tailnet_view *fixture_view(struct fixture *f); /* of the first tailnet; borrowed */
const struct node *fixture_node(struct fixture *f, node_id id);
size_t fixture_count(const struct fixture *f, enum change_kind kind);
/* The mask of the last command's CHANGE_NODE for the node; 0: none. */
unsigned fixture_mask(const struct fixture *f, node_id id);

struct machine_key machine_of(unsigned n);
struct node_key key_of(unsigned n);
struct node_facts *facts_of(const char *hostname, const char *routes, const char *tags);
struct str_list list_of(const char *comma_separated); /* str_list_free */
struct ip_prefix prefix_of(const char *text);

user_id fixture_user(struct fixture *f, const char *name);
/* An auth key's text, in `out`. */
struct key_options {
    user_id user;
    const char *tags;
    bool reusable;
    bool ephemeral;
    bool preauthorized;
    int64_t expiry_ms;
};
auth_key_id fixture_key(struct fixture *f, struct key_options o, char out[128]);
/* A register request; everything zero that is not needed. The outcome. */
struct ask {
    unsigned machine;
    unsigned key;
    unsigned old_key; /* 0: none */
    const char *auth_key;
    const char *followup;
    const char *hostname;
    const char *routes;
    const char *tags;
    int64_t expiry_ms; /* 0: none */
    bool ephemeral;
};
enum register_outcome fixture_register(struct fixture *f, struct ask a);
/* Registers with a fresh reusable key of the user; the node's id. */
node_id fixture_join(struct fixture *f, unsigned machine, user_id user, const char *hostname,
                     const char *routes);
void fixture_approve_routes(struct fixture *f, node_id id, const char *routes);
/* The stream's generation. */
uint64_t fixture_open(struct fixture *f, node_id id);
void fixture_close(struct fixture *f, node_id id, uint64_t generation);
