#pragma once

/*
 * JSON in: a whole text to a tree that knows where each value stood.
 *
 * Two dialects. JSON is RFC 8259. HuJSON adds line and block comments and one comma after the last
 * member or element; people write policies and settings in it. Everything valid as JSON is valid as
 * HuJSON with the same tree.
 *
 * The tree lives in the caller's arena and borrows from the text (raw spans, keys and strings
 * without escapes), so text and arena must both outlive it; arena_copy the text first when it would
 * not. Depth, nodes and bytes are bounded, so are stack and memory: about 130 bytes a node.
 *
 * What is refused: text that is not UTF-8 or begins with a byte order mark, unescaped control
 * characters in strings, numbers no double can hold, anything after the value. What is accepted as
 * Go does: repeated keys (the last one counts), an escape that is half a surrogate pair (U+FFFD),
 * NUL inside strings.
 */

#include "core/arena.h"
#include "json/writer.h"

#define JSON_DEPTH_MAX 64 /* nested objects and arrays */
#define JSON_NODES_DEFAULT ((size_t)200000)
#define JSON_BYTES_DEFAULT ((size_t)16 << 20)

enum json_type { JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

/* How a number's value is held. */
enum json_number {
    JSON_UNSIGNED, /* no fraction, no exponent, fits: u64 */
    JSON_NEGATIVE, /* as above, below zero: i64 */
    JSON_DOUBLE,   /* the rest: finite */
};

struct json_value {
    enum json_type type;
    enum json_number number; /* JSON_NUMBER only */
    /* Where it begins, from 1; columns count characters, not bytes. */
    uint32_t line;
    uint32_t col;
    /* Of a member: its key, decoded, and where that begins. Elements have the empty key. */
    struct str key;
    uint32_t key_line;
    uint32_t key_col;
    struct str raw; /* its own text, quotes and brackets included; HuJSON may have comments in it */
    struct json_value *next; /* the next member or element, NULL after the last */
    union {
        bool boolean;
        uint64_t u64;
        int64_t i64;
        double dbl;
        struct str str; /* decoded */
        struct {
            struct json_value *first; /* in the text's order */
            size_t len;
        } list; /* JSON_ARRAY and JSON_OBJECT */
    };
};

struct json_options {
    bool hujson;
    size_t max_nodes; /* 0: JSON_NODES_DEFAULT */
    size_t max_bytes; /* 0: JSON_BYTES_DEFAULT; never over 4 GiB */
};

struct json_error {
    uint32_t line; /* from 1 */
    uint32_t col;
    char text[96]; /* "expected a comma or the end of the object" */
};

/*
 * Options may be NULL (plain JSON), and so may error. False: *out untouched, *error filled. The
 * arena may hold pieces of the tree then; they go with it.
 */
MUST_USE bool json_parse(struct arena *arena, struct str text, const struct json_options *options,
                         struct json_value **out, struct json_error *error);

/* Visits members or elements in order; nothing when `container` is NULL or neither. */
#define JSON_EACH(var, container) \
    for (const struct json_value *var = json_first(container); var; var = var->next)
const struct json_value *json_first(const struct json_value *container);
/* Members or elements; 0 for anything else and NULL. */
size_t json_len(const struct json_value *container);

/*
 * The member of that name, the last one if there are more; NULL when there is none, or `obj` is
 * NULL or no object. A member that is null is found. One look over all members.
 */
const struct json_value *json_get(const struct json_value *obj, const char *key);
/* The same ignoring ASCII case: what Go's decoder does with struct fields. */
const struct json_value *json_get_nocase(const struct json_value *obj, const char *key);
/* The element at `index`, or NULL. */
const struct json_value *json_at(const struct json_value *array, size_t index);

bool json_is(const struct json_value *v, enum json_type type); /* false for NULL */
/* What kind it is in words for a complaint: "a string", "an object", "nothing" for NULL. */
const char *json_type_name(const struct json_value *v);

/* The value, or `otherwise` when v is NULL or of another kind (or does not fit). */
struct str json_as_str(const struct json_value *v, struct str otherwise);
uint64_t json_as_u64(const struct json_value *v, uint64_t otherwise);
int64_t json_as_i64(const struct json_value *v, int64_t otherwise);
double json_as_double(const struct json_value *v, double otherwise); /* any number */
bool json_as_bool(const struct json_value *v, bool otherwise);

/* json_get and json_as_... in one step. */
struct str json_get_str(const struct json_value *obj, const char *key); /* otherwise empty */
uint64_t json_get_u64(const struct json_value *obj, const char *key, uint64_t otherwise);
int64_t json_get_i64(const struct json_value *obj, const char *key, int64_t otherwise);
double json_get_double(const struct json_value *obj, const char *key, double otherwise);
bool json_get_bool(const struct json_value *obj, const char *key, bool otherwise);
const struct json_value *json_get_array(const struct json_value *obj,
                                        const char *key); /* or NULL */
const struct json_value *json_get_object(const struct json_value *obj,
                                         const char *key); /* or NULL */
/* The member's own text, for keeping it verbatim; empty when absent. */
struct str json_get_raw(const struct json_value *obj, const char *key);

/* Same type, same values, members in the same order; positions and spelling do not count. */
bool json_eq(const struct json_value *a, const struct json_value *b);
/* Writes the tree; numbers keep their spelling, comments are gone. */
void json_value_write(struct json_writer *w, const struct json_value *v);
