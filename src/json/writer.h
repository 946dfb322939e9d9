#pragma once

/*
 * JSON out, streamed into a buffer: no tree, no allocation of its own, commas by themselves.
 *
 *   struct json_writer w = JSON_WRITER(&out);
 *   json_begin_object(&w);
 *   json_field_str(&w, STR("Name"), name);
 *   json_field_array(&w, STR("Peers"));
 *   for (...)
 *       json_u64(&w, id);
 *   json_end_array(&w);
 *   json_end_object(&w);
 *
 * Strings may hold any bytes: quotes, backslashes and control characters are escaped, each byte
 * that is not part of well-formed UTF-8 becomes U+FFFD, the rest goes out as it is. Running into
 * the buffer's ceiling is seen by buf_is_full() afterwards; what was written is then useless.
 *
 * The caller keeps the order: a key before each member of an object, none in an array, as many ends
 * as begins.
 */

#include "core/buf.h"

struct json_writer {
    struct buf *out;
    bool pretty;    /* a line per member, indented by tabs */
    bool comma;     /* a value came before at this level */
    bool after_key; /* the next value belongs on the key's line */
    unsigned depth; /* open objects and arrays */
};

#define JSON_WRITER(buf_ptr) ((struct json_writer){.out = (buf_ptr)})
#define JSON_WRITER_PRETTY(buf_ptr) ((struct json_writer){.out = (buf_ptr), .pretty = true})

void json_begin_object(struct json_writer *w);
void json_end_object(struct json_writer *w);
void json_begin_array(struct json_writer *w);
void json_end_array(struct json_writer *w);
void json_key(struct json_writer *w, struct str key);

void json_str(struct json_writer *w, struct str s);
void json_u64(struct json_writer *w, uint64_t v);
void json_i64(struct json_writer *w, int64_t v);
void json_bool(struct json_writer *w, bool v);
void json_null(struct json_writer *w);
/* The fewest digits that read back the same; what JSON cannot say (infinite, not a number): null.
 */
void json_double(struct json_writer *w, double v);
/* Text that is one JSON value already; put as it is, also when pretty. Empty: null. */
void json_raw(struct json_writer *w, struct str json);
void json_str_list(struct json_writer *w, const struct str_list *list);    /* empty is "[]" */
/* The next value is put into w->out by the caller, who has another writer of it: comma and all. */
void json_value_follows(struct json_writer *w);
void json_base64(struct json_writer *w, struct str bytes);                 /* as Go writes []byte */
void json_hex(struct json_writer *w, struct str prefix, struct str bytes); /* "nodekey:0a1b..." */
void json_time(struct json_writer *w, int64_t unix_ms); /* RFC 3339, as Go writes time.Time */
/*
 * A string written in parts by the caller: everything put into w->out between these two lands
 * between the quotes, unescaped.
 */
void json_begin_plain(struct json_writer *w);
void json_end_plain(struct json_writer *w);

/* A key and its value at once. */
void json_field_object(struct json_writer *w, struct str key); /* and json_begin_object */
void json_field_array(struct json_writer *w, struct str key);  /* and json_begin_array */
void json_field_str(struct json_writer *w, struct str key, struct str s);
void json_field_u64(struct json_writer *w, struct str key, uint64_t v);
void json_field_i64(struct json_writer *w, struct str key, int64_t v);
void json_field_bool(struct json_writer *w, struct str key, bool v);
void json_field_null(struct json_writer *w, struct str key);
void json_field_double(struct json_writer *w, struct str key, double v);
void json_field_raw(struct json_writer *w, struct str key, struct str json);
void json_field_base64(struct json_writer *w, struct str key, struct str bytes);
void json_field_hex(struct json_writer *w, struct str key, struct str prefix, struct str bytes);
void json_field_time(struct json_writer *w, struct str key, int64_t unix_ms);
void json_field_str_list(struct json_writer *w, struct str key, const struct str_list *list);

/* As above, but nothing at all for the zero value: Go's omitempty. */
void json_opt_str(struct json_writer *w, struct str key, struct str s);
void json_opt_u64(struct json_writer *w, struct str key, uint64_t v);
void json_opt_i64(struct json_writer *w, struct str key, int64_t v);
void json_opt_bool(struct json_writer *w, struct str key, bool v);
void json_opt_raw(struct json_writer *w, struct str key, struct str json);
void json_opt_str_list(struct json_writer *w, struct str key, const struct str_list *list);
