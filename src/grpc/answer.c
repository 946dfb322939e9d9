/* What every call has in common at its two ends: whether it is one, and its status. */

#include "grpc/grpc_internal.h"

#define TYPE "application/grpc"

void grpc_answer_start(struct http_exchange *x)
{
    http_add_header(x, STR("grpc-accept-encoding"), STR("identity"));
    http_stream_start(x, 200, TYPE);
}

void grpc_answer_end(struct http_exchange *x, enum grpc_code code, struct str text)
{
    struct buf message = BUF((size_t)16 << 10), number = BUF(16);

    buf_put_u64(&number, code);
    http_add_trailer(x, STR("grpc-status"), buf_str(&number));
    if (text.len > 0) {
        grpc_put_message(&message, str_sub(text, 0, 4096));
        http_add_trailer(x, STR("grpc-message"), buf_str(&message));
    }
    buf_fini(&message);
    buf_fini(&number);
    http_stream_end(x);
}

void grpc_answer(struct http_exchange *x, enum grpc_code code, struct str text,
                 const struct str *message)
{
    char header[GRPC_FRAME_HEADER];
    struct buf frame = BUF(sizeof(header));

    grpc_answer_start(x);
    if (message) {
        buf_put_char(&frame, 0);
        buf_put_be32(&frame, (uint32_t)message->len);
        http_stream_write(x, buf_str(&frame));
        http_stream_write(x, *message);
        buf_fini(&frame);
    }
    grpc_answer_end(x, code, text);
}

bool grpc_is_call(struct http_exchange *x, const struct http_request *req)
{
    if (req->version != 2) {
        http_respond_text(x, 505, "gRPC wants HTTP/2");
        return false;
    }
    if (!str_starts(http_header_get(req, STR("content-type")), STR(TYPE))) {
        http_respond_text(x, 415, "this is gRPC: content-type " TYPE);
        return false;
    }
    if (!grpc_is_proto(http_header_get(req, STR("content-type")))) {
        grpc_answer(x, GRPC_UNIMPLEMENTED, STR("messages are protobuf here: " TYPE), NULL);
        return false;
    }
    return true;
}
