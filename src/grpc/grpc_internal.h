#pragma once

/* What the files of this room share. */

#include "core/mem.h"
#include "grpc/frame.h"
#include "grpc/grpc.h"
#include "grpc/proto.h"
#include "grpc/status.h"

#define GRPC_MESSAGE_MAX ((size_t)1 << 20)
/* A policy and its frame. */
#define GRPC_POLICY_MAX (TAILNET_POLICY_MAX + ((size_t)4 << 10))
#define GRPC_ANSWER_MAX ((size_t)60 << 20)

/* Ends a call: the message if it is not NULL, and the status behind it. */
void grpc_answer(struct http_exchange *x, enum grpc_code code, struct str text,
                 const struct str *message);
/* The two ends of an answer that has any number of messages between them. */
void grpc_answer_start(struct http_exchange *x);
void grpc_answer_end(struct http_exchange *x, enum grpc_code code, struct str text);
/* False: the request is not gRPC's, and was answered. */
bool grpc_is_call(struct http_exchange *x, const struct http_request *req);

/* reflection.c: tells what there is to call; for a route whose body is streamed. */
void grpc_reflect(struct http_exchange *x);
