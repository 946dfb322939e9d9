#pragma once

/*
 * Custom posture attributes: what administrators and their tools say of a machine, for the
 * policy's postures to ask ("custom:tier == 'prod'"). They are the server's: no client is told of
 * them.
 *
 * Source: Tailscale's API reference, device posture attributes; policy.md 5.10.
 */

#include "core/err.h"
#include "core/str.h"

#define ATTRIBUTE_PREFIX "custom:"
#define ATTRIBUTE_NAME_MAX 50 /* bytes, with the prefix */
#define ATTRIBUTE_TEXT_MAX 512
#define ATTRIBUTE_COMMENT_MAX 200
#define NODE_ATTRIBUTES_MAX 128

enum attribute_kind { ATTRIBUTE_TEXT, ATTRIBUTE_NUMBER, ATTRIBUTE_BOOL };

struct node_attribute {
    struct str name; /* "custom:tier" */
    enum attribute_kind kind;
    struct str value;  /* as policies spell it: the text, the number's digits, "true", "false" */
    int64_t expiry_ms; /* it goes then; 0: it stays */
    struct str comment;
};
void node_attributes_free(struct node_attribute *a, size_t n);
struct node_attribute *node_attributes_copy(const struct node_attribute *a, size_t n);
/* Whether an administrator may set it so. */
MUST_USE int node_attribute_check(const struct node_attribute *a, struct err *err);

struct node;
/* Of that name, or NULL. */
const struct node_attribute *node_attribute_find(const struct node *n, struct str name);
