/*
 * Protobuf by tables.
 *
 * Reading: one walk over the pieces of a message; each goes to the field of its number. A scalar
 * that comes again replaces what was there, a repeated one is added. Writing: one walk over the
 * members of an object; a message inside is written behind a gap of one byte for its length, and
 * moved when the length needs more.
 */

#include "grpc/proto.h"

#include "core/clock.h"
#include "core/mem.h"
#include "core/num.h"

#define VARINT_MAX 10 /* bytes */
#define FIELD_MAX ((uint64_t)(1U << 29) - 1)
#define TIMESTAMP "google.protobuf.Timestamp"
#define SECONDS_MAX ((int64_t)253402300799) /* the year 9999 */
#define NANOS_MAX 999999999

/* ---- Pieces ---- */

static bool take_varint(struct str *rest, uint64_t *v)
{
    uint64_t got = 0;

    for (size_t i = 0; i < rest->len && i < VARINT_MAX; i++) {
        uint8_t byte = (uint8_t)rest->ptr[i];

        if (i == VARINT_MAX - 1 && byte > 1)
            return false;
        got |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (byte & 0x80)
            continue;
        *rest = str_from_index(*rest, i + 1);
        *v = got;
        return true;
    }
    return false;
}

static bool take_bytes(struct str *rest, uint64_t n, struct str *bytes)
{
    if (n > rest->len)
        return false;
    *bytes = str_sub(*rest, 0, (size_t)n);
    *rest = str_from_index(*rest, (size_t)n);
    return true;
}

bool proto_next(struct str *rest, struct proto_piece *piece)
{
    uint64_t tag = 0, len = 0;

    *piece = (struct proto_piece){0};
    if (!take_varint(rest, &tag) || tag >> 3 == 0 || tag >> 3 > FIELD_MAX)
        return false;
    piece->field = (uint32_t)(tag >> 3);
    switch (tag & 7) {
    case PROTO_VARINT:
        piece->wire = PROTO_VARINT;
        return take_varint(rest, &piece->number);
    case PROTO_FIXED64:
        piece->wire = PROTO_FIXED64;
        return take_bytes(rest, 8, &piece->bytes);
    case PROTO_BYTES:
        piece->wire = PROTO_BYTES;
        return take_varint(rest, &len) && take_bytes(rest, len, &piece->bytes);
    case PROTO_FIXED32:
        piece->wire = PROTO_FIXED32;
        return take_bytes(rest, 4, &piece->bytes);
    default: /* groups, which nobody sends any more */
        return false;
    }
}

void proto_put_varint(struct buf *out, uint64_t v)
{
    for (; v >= 0x80; v >>= 7)
        buf_put_char(out, (char)(uint8_t)(v | 0x80));
    buf_put_char(out, (char)(uint8_t)v);
}

static void put_tag(struct buf *out, uint32_t field, enum proto_wire wire)
{
    proto_put_varint(out, (uint64_t)field << 3 | wire);
}

void proto_put_number(struct buf *out, uint32_t field, uint64_t v)
{
    put_tag(out, field, PROTO_VARINT);
    proto_put_varint(out, v);
}

void proto_put_bytes(struct buf *out, uint32_t field, struct str bytes)
{
    put_tag(out, field, PROTO_BYTES);
    proto_put_varint(out, bytes.len);
    buf_put(out, bytes);
}

/* ---- Names ---- */

/* "machine_key" is "machineKey". */
bool proto_is_named(const ProtobufCFieldDescriptor *f, struct str json_name)
{
    const char *p = f->name;

    for (size_t i = 0; i < json_name.len; i++, p++) {
        char want = *p;

        if (*p == '_' && p[1] >= 'a' && p[1] <= 'z')
            want = (char)(*++p - 'a' + 'A');
        if (want == '\0' || want != json_name.ptr[i])
            return false;
    }
    return *p == '\0';
}

const struct proto_field *proto_field(const struct proto_message *m, struct str json_name)
{
    for (unsigned i = 0; i < m->is->n_fields; i++)
        if (proto_is_named(m->fields[i].is, json_name))
            return &m->fields[i];
    return NULL;
}

static bool is_timestamp(const ProtobufCFieldDescriptor *f)
{
    const ProtobufCMessageDescriptor *of = f->descriptor;

    return f->type == PROTOBUF_C_TYPE_MESSAGE && str_eq(str_from(of->name), STR(TIMESTAMP));
}

/* ---- Reading ---- */

static bool read_timestamp(struct arena *arena, struct str bytes, struct str *text,
                           const char **why)
{
    struct proto_piece piece;
    int64_t seconds = 0, nanos = 0;
    struct buf out = BUF(64);

    while (bytes.len > 0) {
        if (!proto_next(&bytes, &piece)) {
            *why = "a time is cut short or broken";
            return false;
        }
        if (piece.wire == PROTO_VARINT && piece.field == 1)
            seconds = (int64_t)piece.number;
        if (piece.wire == PROTO_VARINT && piece.field == 2)
            nanos = (int64_t)piece.number;
    }
    if (seconds < CLOCK_ZERO / 1000 || seconds > SECONDS_MAX || nanos < 0 || nanos > NANOS_MAX) {
        *why = "a time is outside the years 1 to 9999";
        return false;
    }
    clock_put_rfc3339(&out, seconds * 1000 + nanos / 1000000);
    *text = arena_copy(arena, buf_str(&out));
    buf_fini(&out);
    return true;
}

/* Room for all of them at once: the message says how many there are. */
static void add_to_list(struct arena *arena, struct proto_field *f, struct str whole,
                        struct str text)
{
    struct str *list = NULL;

    if (!f->list) {
        struct proto_piece piece;
        size_t n = 0;

        while (whole.len > 0 && proto_next(&whole, &piece))
            n += piece.field == f->is->id;
        f->list = arena_alloc(arena, n * sizeof(*f->list));
    }
    union {
        const struct str *in;
        struct str *out;
    } cast = {.in = f->list};

    list = cast.out; /* ours until the message is read */
    list[f->n_list++] = text;
}

static bool read_text(struct arena *arena, struct proto_field *f, struct str whole,
                      const struct proto_piece *piece, const char **why)
{
    if (!str_is_utf8(piece->bytes)) {
        *why = "a text is not UTF-8";
        return false;
    }
    if (f->is->label == PROTOBUF_C_LABEL_REPEATED)
        add_to_list(arena, f, whole, piece->bytes);
    f->is_text = true;
    f->text = piece->bytes;
    return true;
}

static bool read_field(struct arena *arena, struct proto_field *f, struct str whole,
                       const struct proto_piece *piece, const char **why)
{
    f->present = true;
    if (is_timestamp(f->is) && piece->wire == PROTO_BYTES) {
        f->is_text = true;
        return read_timestamp(arena, piece->bytes, &f->text, why);
    }
    if (f->is->type == PROTOBUF_C_TYPE_STRING || f->is->type == PROTOBUF_C_TYPE_UINT64) {
        if (piece->wire == PROTO_BYTES)
            return read_text(arena, f, whole, piece, why);
    } else if (f->is->type != PROTOBUF_C_TYPE_BOOL && f->is->type != PROTOBUF_C_TYPE_ENUM) {
        *why = "a field is of a kind that is not read";
        return false;
    }
    if (piece->wire != PROTO_VARINT || f->is->label == PROTOBUF_C_LABEL_REPEATED) {
        *why = "a field is of another kind";
        return false;
    }
    f->is_text = false;
    f->number = piece->number;
    return true;
}

bool proto_read(struct arena *arena, const ProtobufCMessageDescriptor *is, struct str bytes,
                struct proto_message *out, const char **why)
{
    struct str rest = bytes;
    struct proto_piece piece;

    *out = (struct proto_message){.is = is};
    out->fields = arena_alloc(arena, (is->n_fields + 1) * sizeof(*out->fields));
    for (unsigned i = 0; i < is->n_fields; i++)
        out->fields[i] = (struct proto_field){
            .is = &is->fields[i], .is_text = is->fields[i].type == PROTOBUF_C_TYPE_STRING};
    while (rest.len > 0) {
        if (!proto_next(&rest, &piece)) {
            *why = "the message is cut short or broken";
            return false;
        }
        const ProtobufCFieldDescriptor *f =
            protobuf_c_message_descriptor_get_field(is, piece.field);

        if (f && !read_field(arena, &out->fields[f - is->fields], bytes, &piece, why))
            return false;
    }
    return true;
}

/* ---- Writing ---- */

/* Begins a field whose length is not known yet; the result goes to end_message. */
static size_t begin_message(struct buf *out, uint32_t field)
{
    put_tag(out, field, PROTO_BYTES);
    buf_put_char(out, 0);
    return out->len;
}

static void end_message(struct buf *out, size_t from)
{
    char length[VARINT_MAX];
    struct buf text = BUF(sizeof(length));

    if (buf_is_full(out))
        return;
    size_t len = out->len - from;

    proto_put_varint(&text, len);
    size_t more = text.len - 1;

    for (size_t i = 0; i < more; i++)
        buf_put_char(out, 0);
    if (!buf_is_full(out)) {
        memmove(out->ptr + from + more, out->ptr + from, len);
        memcpy(out->ptr + from - 1, text.ptr, text.len);
    }
    buf_fini(&text);
}

static void put_time(struct buf *out, uint32_t field, struct str text)
{
    int64_t ms = 0;

    if (!clock_parse_rfc3339(text, &ms))
        return;
    size_t from = begin_message(out, field);
    int64_t seconds = (ms >= 0 ? ms : ms - 999) / 1000;

    if (seconds != 0)
        proto_put_number(out, 1, (uint64_t)seconds);
    if (ms != seconds * 1000)
        proto_put_number(out, 2, (uint64_t)(ms - seconds * 1000) * 1000000);
    end_message(out, from);
}

static void put_enum(struct buf *out, const ProtobufCFieldDescriptor *f, struct str name)
{
    const ProtobufCEnumDescriptor *is = f->descriptor;

    for (unsigned i = 0; i < is->n_values; i++)
        if (is->values[i].value != 0 && str_eq(str_from(is->values[i].name), name))
            proto_put_number(out, f->id, (uint64_t)is->values[i].value);
}

/* Ids are text in JSON, but for some. */
static uint64_t number_of(const struct json_value *v)
{
    uint64_t n = 0;

    return str_parse_u64(json_as_str(v, STR_NONE), &n) ? n : json_as_u64(v, 0);
}

static void put_one(struct buf *out, const ProtobufCFieldDescriptor *f, const struct json_value *v,
                    const struct proto_swap *swap)
{
    bool is_item = f->label == PROTOBUF_C_LABEL_REPEATED; /* written even if it is the default */
    struct str text = json_is(v, JSON_OBJECT) ? json_get_str(v, "name") : json_as_str(v, STR_NONE);

    if (f->type == PROTOBUF_C_TYPE_MESSAGE && is_timestamp(f)) {
        put_time(out, f->id, json_as_str(v, STR_NONE));
    } else if (f->type == PROTOBUF_C_TYPE_MESSAGE && json_is(v, JSON_OBJECT)) {
        size_t from = begin_message(out, f->id);

        proto_put(out, swap && f->descriptor == swap->is ? swap->put : f->descriptor, v, swap);
        end_message(out, from);
    } else if (f->type == PROTOBUF_C_TYPE_ENUM) {
        put_enum(out, f, json_as_str(v, STR_NONE));
    } else if (f->type == PROTOBUF_C_TYPE_BOOL && json_as_bool(v, false)) {
        proto_put_number(out, f->id, 1);
    } else if (f->type == PROTOBUF_C_TYPE_UINT64 && number_of(v) != 0) {
        proto_put_number(out, f->id, number_of(v));
    } else if (f->type == PROTOBUF_C_TYPE_STRING && (is_item || text.len > 0)) {
        proto_put_bytes(out, f->id, text);
    }
}

void proto_put(struct buf *out, const ProtobufCMessageDescriptor *is,
               const struct json_value *object, const struct proto_swap *swap)
{
    unsigned next = 0; /* members mostly come in the fields' order */

    JSON_EACH(v, json_is(object, JSON_OBJECT) ? object : NULL) {
        for (unsigned i = 0; i < is->n_fields; i++) {
            const ProtobufCFieldDescriptor *f = &is->fields[(next + i) % is->n_fields];

            if (!proto_is_named(f, v->key))
                continue;
            next = (next + i + 1) % is->n_fields;
            if (f->label != PROTOBUF_C_LABEL_REPEATED)
                put_one(out, f, v, swap);
            JSON_EACH(item, f->label == PROTOBUF_C_LABEL_REPEATED ? v : NULL) {
                put_one(out, f, item, swap);
            }
            break;
        }
    }
}
