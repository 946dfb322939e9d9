#pragma once

/*
 * Protobuf messages to and from JSON, by the tables that protobuf-c makes of headscale.proto.
 *
 * protobuf-c's own reader is not used: it makes C strings, so that a name with a NUL in it would
 * become another name, takes bytes that are not UTF-8 for text, and refuses a message whose field
 * has changed its kind from one release to the next. What is read here borrows from the message and
 * takes memory in proportion to it.
 *
 * Source: protobuf.dev, "Encoding" (proto3; groups are refused).
 */

#include <protobuf-c/protobuf-c.h>

#include "core/arena.h"
#include "core/buf.h"
#include "json/value.h"

/* One field of a message that was read. */
struct proto_field {
    const ProtobufCFieldDescriptor *is;
    bool present;
    bool is_text;           /* by how it came, not by what it is: numbers and text may stand in for
                               each other, as releases of headscale have them */
    uint64_t number;        /* also of bools and enums; its default when it is not present */
    struct str text;        /* a moment: RFC 3339, in the arena */
    const struct str *list; /* of repeated text, in the arena */
    size_t n_list;
};

struct proto_message {
    const ProtobufCMessageDescriptor *is;
    struct proto_field *fields; /* as many as its table has, in its order; in the arena */
};

/*
 * Reads a message, whose fields are numbers, bools, text, lists of text and moments. Fields that
 * its table does not know are skipped. False: *why says what is wrong with it.
 */
MUST_USE bool proto_read(struct arena *arena, const ProtobufCMessageDescriptor *is,
                         struct str bytes, struct proto_message *out, const char **why);
/* The field whose JSON name this is ("nodeId" for node_id); NULL: none. */
const struct proto_field *proto_field(const struct proto_message *m, struct str json_name);
bool proto_is_named(const ProtobufCFieldDescriptor *f, struct str json_name);

/* Wherever a message of the one kind is told of, one of the other is written. */
struct proto_swap {
    const ProtobufCMessageDescriptor *is, *put;
};
/*
 * Appends the message that a JSON object tells of. Members that the table does not know and those
 * that are null are left out, as are defaults; so is what is of another kind than its field, but an
 * object where a text is wanted counts as its name. `swap` may be NULL.
 */
void proto_put(struct buf *out, const ProtobufCMessageDescriptor *is,
               const struct json_value *object, const struct proto_swap *swap);

/* ---- Pieces of it, for who writes messages by hand ---- */

enum proto_wire { PROTO_VARINT = 0, PROTO_FIXED64 = 1, PROTO_BYTES = 2, PROTO_FIXED32 = 5 };

struct proto_piece {
    uint32_t field;
    enum proto_wire wire;
    uint64_t number;  /* PROTO_VARINT */
    struct str bytes; /* PROTO_BYTES */
};
/* The field at the front of *rest, which it is taken from. False: the message is broken. */
MUST_USE bool proto_next(struct str *rest, struct proto_piece *piece);
void proto_put_varint(struct buf *out, uint64_t v);
void proto_put_number(struct buf *out, uint32_t field, uint64_t v);
void proto_put_bytes(struct buf *out, uint32_t field, struct str bytes);
