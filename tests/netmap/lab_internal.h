#pragma once

/* What the kinds of change are made of. False: the domain refused, which is fine. */

#include "netmap/lab.h"

bool lab_apply(struct lab *l, struct command c, struct command_result *r);
bool lab_do(struct lab *l, struct command c);
uint64_t lab_below(struct lab *l, uint64_t n);
/* By the beginning of its name; 0: none. */
user_id lab_user(const struct lab *l, const char *name);
/* Fresh facts, with the routes that this machine announces. */
struct node_facts *lab_facts(struct lab *l, enum lab_node which);
/* Joins, or logs in again with another node key; the owner is a user or "tag:…". */
bool lab_join(struct lab *l, enum lab_node which, const char *owner, bool ephemeral);
const char *lab_owner(enum lab_node which);
/* A command of the machine itself. */
bool lab_say(struct lab *l, enum lab_node which, struct command c);
void lab_come(struct lab *l, enum lab_node which); /* a stream, and all it says of itself */
void lab_go(struct lab *l, enum lab_node which);   /* its stream ends */
void lab_pass(struct lab *l, int64_t ms);
void lab_approve(struct lab *l, enum lab_node which, const struct ip_prefix *routes, size_t n);
void lab_approve_all(struct lab *l, enum lab_node which);
