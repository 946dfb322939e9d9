#pragma once

/*
 * A message to an endpoint: the body in its provider's form, and the signature.
 *
 *   generic                [event, …]                      Content-Type: application/json
 *   slack                  {"text": "line\nline"}          & < > as entities
 *   mattermost             {"text": …}                     a space of no width behind each @
 *   googlechat             {"text": …}                     < > as other characters
 *   discord                {"content": …, "allowed_mentions": {"parse": []}}
 *
 * Tailscale-Webhook-Signature: t=<unix seconds>,v1=<hex of HMAC-SHA256(secret, "t" "." body)>
 *
 * Sources: tailscale.com/kb/1213; Slack "Incoming webhooks"; Mattermost "Incoming webhooks"; Google
 * Chat "Build a webhook"; Discord "Execute Webhook" (content has at most 2000 characters).
 */

#include "core/buf.h"
#include "tailnet/webhook.h"

#define MESSAGE_EVENTS_MAX 32
#define MESSAGE_TEXT_MAX 1900 /* bytes of a chat's message */
#define MESSAGE_BYTES_MAX ((size_t)2 << 20)
#define MESSAGE_SIGNATURE_HEADER "Tailscale-Webhook-Signature"

/*
 * Puts as many of the first n (at least 1) deliveries as fit one message; how many.
 */
MUST_USE size_t message_put_body(struct buf *out, enum webhook_provider provider,
                                 const struct delivery *const *items, size_t n);
void message_put_signature(struct buf *out, struct str secret, int64_t now_ms, struct str body);
