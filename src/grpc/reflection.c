/*
 * Server reflection: a conversation in which a client asks for services, files and symbols, so that
 * tools need no .proto of ours. What is handed out is the compiled definition, as it is.
 *
 *   bytes --frames--> question --> answer, at once, one for each; the client ends it
 *
 * v1alpha and v1 are the same but for their name.
 *
 * Source: grpc-proto grpc/reflection/v1/reflection.proto; protobuf descriptor.proto.
 */

#include "grpc/grpc_internal.h"

#define QUESTION_MAX ((size_t)4 << 10)
/* Of a client that asks and does not listen. */
#define UNREAD_MAX ((size_t)1 << 20)
#define SERVICE_NAME STR("headscale.v1.HeadscaleService")

/* embed.py: a FileDescriptorSet. */
extern const uint8_t grpc_descriptors[];
extern const size_t grpc_descriptors_len;

/* ServerReflectionRequest and ServerReflectionResponse. */
enum ask { ASK_HOST = 1, ASK_FILE = 3, ASK_SYMBOL = 4, ASK_SERVICES = 7 };
enum tell { TELL_HOST = 1, TELL_QUESTION = 2, TELL_FILES = 4, TELL_SERVICES = 6, TELL_ERROR = 7 };
/* FileDescriptorProto, and what is inside. */
enum file { FILE_NAME = 1, FILE_PACKAGE = 2, FILE_NEEDS = 3, FILE_MESSAGE = 4, FILE_SERVICE = 6 };

struct talk {
    struct http_exchange *x;
    struct buf in;
    bool is_over;
};

/* ---- The definition ---- */

/* The next file of the set; *rest begins as all of it. */
static bool next_file(struct str *rest, struct str *file)
{
    struct proto_piece piece;

    if (rest->len == 0 || !proto_next(rest, &piece))
        return false;
    *file = piece.bytes;
    return true;
}

/* The first text with that number. */
static struct str text_in(struct str message, uint32_t field)
{
    struct proto_piece piece;

    while (message.len > 0 && proto_next(&message, &piece))
        if (piece.field == field)
            return piece.bytes;
    return STR_NONE;
}

/* Whether the symbol is `package.name`, or something in it. */
static bool is_of(struct str symbol, struct str package, struct str name)
{
    if (!str_starts(symbol, package) || symbol.len <= package.len || symbol.ptr[package.len] != '.')
        return false;
    struct str rest = str_from_index(symbol, package.len + 1);

    return str_starts(rest, name) && (rest.len == name.len || rest.ptr[name.len] == '.');
}

static bool defines(struct str file, struct str symbol)
{
    struct str package = text_in(file, FILE_PACKAGE);
    struct proto_piece piece;

    while (file.len > 0 && proto_next(&file, &piece))
        if (piece.field >= FILE_MESSAGE && piece.field <= FILE_SERVICE &&
            is_of(symbol, package, text_in(piece.bytes, 1)))
            return true;
    return false;
}

/* The file of that name, or the one that has the symbol; empty: none. */
static struct str find_file(struct str name, struct str symbol)
{
    struct str all = str_bytes(grpc_descriptors, grpc_descriptors_len), file = STR_NONE;

    while (next_file(&all, &file))
        if (name.len > 0 ? str_eq(text_in(file, FILE_NAME), name) : defines(file, symbol))
            return file;
    return STR_NONE;
}

/* ---- Answers ---- */

static void put_error(struct buf *out, enum grpc_code code, const char *text)
{
    struct buf error = BUF(256);

    proto_put_number(&error, 1, code);
    proto_put_bytes(&error, 2, str_from(text));
    proto_put_bytes(out, TELL_ERROR, buf_str(&error));
    buf_fini(&error);
}

/* The file and what it needs; needs are one deep. */
static void put_files(struct buf *out, struct str file)
{
    struct buf files = BUF((size_t)1 << 20);
    struct proto_piece piece;
    struct str rest = file;

    if (file.len == 0) {
        put_error(out, GRPC_NOT_FOUND, "not found");
        return;
    }
    proto_put_bytes(&files, 1, file);
    while (rest.len > 0 && proto_next(&rest, &piece))
        if (piece.field == FILE_NEEDS)
            proto_put_bytes(&files, 1, find_file(piece.bytes, STR_NONE));
    proto_put_bytes(out, TELL_FILES, buf_str(&files));
    buf_fini(&files);
}

static void put_services(struct buf *out)
{
    struct buf service = BUF(256), services = BUF(256);

    proto_put_bytes(&service, 1, SERVICE_NAME);
    proto_put_bytes(&services, 1, buf_str(&service));
    proto_put_bytes(out, TELL_SERVICES, buf_str(&services));
    buf_fini(&service);
    buf_fini(&services);
}

/* False: the question is broken. */
static bool answer_question(struct str question, struct buf *out)
{
    struct proto_piece piece, asked = {0};
    struct str rest = question;

    while (rest.len > 0) {
        if (!proto_next(&rest, &piece))
            return false;
        if (piece.field != ASK_HOST)
            asked = piece;
    }
    proto_put_bytes(out, TELL_HOST, text_in(question, ASK_HOST));
    proto_put_bytes(out, TELL_QUESTION, question);
    if (asked.field == ASK_SERVICES)
        put_services(out);
    else if (asked.field == ASK_FILE && asked.bytes.len > 0)
        put_files(out, find_file(asked.bytes, STR_NONE));
    else if (asked.field == ASK_SYMBOL)
        put_files(out, find_file(STR_NONE, asked.bytes));
    else
        put_error(out, GRPC_NOT_FOUND, "there are no extensions");
    return true;
}

/* ---- The conversation ---- */

static void end(struct talk *t, enum grpc_code code, const char *why)
{
    t->is_over = true;
    grpc_answer_end(t->x, code, str_from(why));
}

static void answer(struct talk *t, struct str question)
{
    struct buf message = BUF((size_t)2 << 20), frame = BUF((size_t)2 << 20);

    if (!answer_question(question, &message)) {
        end(t, GRPC_INVALID_ARGUMENT, "the question is broken");
    } else if (http_stream_pending(t->x) > UNREAD_MAX) {
        end(t, GRPC_RESOURCE_EXHAUSTED, "read the answers first");
    } else {
        grpc_frame_put(&frame, buf_str(&message));
        http_stream_write(t->x, buf_str(&frame));
    }
    buf_fini(&message);
    buf_fini(&frame);
}

static void on_body(void *user, struct str data, bool is_end)
{
    struct talk *t = user;
    struct str question = STR_NONE;
    size_t used = 0;
    enum grpc_frame got = GRPC_FRAME_OK;

    if (t->is_over)
        return;
    /* A chunk is at most a frame of HTTP/2, and questions are taken out as they come. */
    while (data.len > 0 && !t->is_over) {
        struct str part = str_sub(data, 0, QUESTION_MAX);

        data = str_from_index(data, part.len);
        buf_put(&t->in, part);
        while (!t->is_over && (got = grpc_frame_read(buf_str(&t->in), QUESTION_MAX, &question,
                                                     &used)) == GRPC_FRAME_OK) {
            answer(t, question);
            buf_drop(&t->in, used);
        }
        if (!t->is_over && got != GRPC_FRAME_MORE)
            end(t, got == GRPC_FRAME_COMPRESSED ? GRPC_UNIMPLEMENTED : GRPC_RESOURCE_EXHAUSTED,
                "the question is compressed, too long or broken");
    }
    if (is_end && !t->is_over)
        end(t, t->in.len > 0 ? GRPC_INTERNAL : GRPC_OK, t->in.len > 0 ? "cut short" : "");
}

static void on_end(void *user, bool aborted)
{
    struct talk *t = user;

    (void)aborted;
    buf_fini(&t->in);
    mem_free(t);
}

void grpc_reflect(struct http_exchange *x)
{
    struct talk *t = NEW(struct talk);

    t->x = x;
    t->in = BUF(2 * QUESTION_MAX + GRPC_FRAME_HEADER);
    http_on_end(x, on_end, t);
    http_on_body(x, on_body, t);
    grpc_answer_start(x);
}
