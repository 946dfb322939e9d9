/*
 * Laws of messages. Read: what is taken lies inside the message and is UTF-8; what is refused says
 * why. Written: what we make of any JSON at all, protobuf-c reads, and knows every field of it.
 */

#include <headscale.pb-c.h>

#include "core/defs.h"
#include "grpc/proto.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_inside(struct str part, struct str whole)
{
    return part.len == 0 || (part.ptr >= whole.ptr && part.ptr + part.len <= whole.ptr + whole.len);
}

static void check_read(const ProtobufCMessageDescriptor *is, struct str in)
{
    struct arena *arena = arena_new();
    struct proto_message m;
    const char *why = NULL;

    if (proto_read(arena, is, in, &m, &why)) {
        for (unsigned i = 0; i < is->n_fields; i++) {
            const struct proto_field *f = &m.fields[i];

            ASSERT(str_is_utf8(f->text));
            ASSERT(f->is->type == PROTOBUF_C_TYPE_MESSAGE || is_inside(f->text, in));
            for (size_t j = 0; j < f->n_list; j++)
                ASSERT(is_inside(f->list[j], in) && str_is_utf8(f->list[j]));
        }
    } else {
        ASSERT(why != NULL);
    }
    arena_free(arena);
}

static void check_write(const ProtobufCMessageDescriptor *is, struct str in)
{
    struct arena *arena = arena_new();
    struct json_value *v = NULL;
    struct buf out = BUF((size_t)1 << 20);

    if (json_parse(arena, in, NULL, &v, NULL)) {
        proto_put(&out, is, v, NULL);
        ProtobufCMessage *m =
            protobuf_c_message_unpack(is, NULL, out.len, (const uint8_t *)out.ptr);

        ASSERT(m && m->n_unknown_fields == 0);
        protobuf_c_message_free_unpacked(m, NULL);
    }
    buf_fini(&out);
    arena_free(arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const ProtobufCServiceDescriptor *service = &headscale__v1__headscale_service__descriptor;

    if (size < 2)
        return 0;
    const ProtobufCMethodDescriptor *method = &service->methods[data[0] % service->n_methods];
    struct str in = str_bytes(data + 2, size - 2);

    if (data[1] & 1)
        check_read(method->input, in);
    else
        check_write(method->output, in);
    return 0;
}
