/*
 * POST /machine/register: decodes, asks the registrar, tells the client (protocol.md 5). The
 * decisions are the domain's; here is only how they are worded.
 */

#include "control/control_internal.h"
#include "core/log.h"
#include "crypto/secret.h"
#include "wire/request.h"
#include "wire/response.h"

static const struct str tagged_login = STR_INIT("tagged-devices");
static const struct str tagged_display = STR_INIT("Tagged Devices");

static void respond(struct asked *a, const struct wire_register_response *r)
{
    struct buf body = BUF((size_t)64 << 10);

    wire_register_response_encode(r, &body);
    http_respond(a->x, 200, "application/json", buf_str(&body));
    buf_fini(&body);
}

static void respond_registered(struct asked *a)
{
    const struct command_result *result = &a->call.result;
    struct buf name = BUF(1024), display = BUF(1024);
    struct wire_login login = {
        .id = USER_TAGGED_DEVICES, .login_name = tagged_login, .display_name = tagged_display};

    if (result->user) {
        login.id = result->user->id;
        login.provider = result->user->provider;
        login.login_name = user_login_name(result->user, &name);
        login.display_name = user_display(result->user, &display);
        login.picture_url = result->user->picture_url;
    }
    respond(a, &(struct wire_register_response){
                   .login = &login, .machine_authorized = node_has_access(result->node)});
    buf_fini(&name);
    buf_fini(&display);
}

static const char *hold_reason(const struct node *n)
{
    return n->holds & HOLD_USER ? "held back: its user is not active"
                                : "held back until somebody approves the machine";
}

static void log_outcome(const struct asked *a)
{
    static const char *const words[] = {
        [REGISTER_DONE] = "registered",
        [REGISTER_PENDING] = "registration waits for approval",
        [REGISTER_EXPIRED] = "node key has expired",
        [REGISTER_LOGGED_OUT] = "node logged out",
        [REGISTER_FAILED] = "registration refused",
        [REGISTER_PROVE] = "registration waits for its key to be checked",
    };
    const struct command_result *result = &a->call.result;
    const struct node_facts *facts = a->call.command.reg->facts;
    const struct node *node = result->node;

    log_event(LOG_INFO, words[result->outcome], LOG_U64("node", node ? node->id : 0),
              LOG_STR("name", node ? node->given_name : facts->hostname), LOG_STR("os", facts->os),
              LOG_TXT("reason", node && !node_has_access(node) ? hold_reason(node) : result->text));
}

static void registered(struct registrar_call *call);

/* ---- Imported keys, whose hash is slow ---- */

static void proven(void *user, enum auth_answer answer, const struct caller *who)
{
    struct asked *a = user;
    struct register_request *reg = a->more;
    struct err err = {0};

    (void)who;
    if (answer == AUTH_OK) {
        reg->proven = a->call.result.auth_key->id;
        command_result_fini(&a->call.result);
        asked_submit(a, registered);
        return;
    }
    if (answer == AUTH_BUSY) {
        IGNORE(err_set(&err, ERR_LIMIT, "too many keys are being checked; try again"));
        asked_refuse(a, &err);
    } else if (a->x) {
        respond(a, &(struct wire_register_response){.error = STR("invalid pre auth key")});
    }
    asked_free(a);
}

/* What is behind the prefix is the secret; the domain split the text before. */
static void prove(struct asked *a)
{
    const struct register_request *reg = a->more;
    const struct auth_key *key = a->call.result.auth_key;
    struct str prefix, secret;
    bool is_key = secret_token_split(reg->auth_key, STR("hskey-auth-"), &prefix, &secret);

    ASSERT(is_key);
    (void)auth_prove(((struct control *)a->owner)->auth, a->loop, secret, key->legacy, proven, a);
}

static void registered(struct registrar_call *call)
{
    struct asked *a = asked_of(call);
    const struct command_result *result = &call->result;

    if (call->status == 0 && result->outcome == REGISTER_PROVE) {
        prove(a);
        return;
    }
    if (call->status < 0)
        asked_refuse(a, &call->err);
    else
        log_outcome(a);
    if (call->status == 0 && a->x) {
        struct str url =
            arena_printf(a->arena, "%.*s/register/%s",
                         STR_ARG(((struct control *)a->owner)->server_url), result->auth_id);

        switch (result->outcome) {
        case REGISTER_DONE:
            respond_registered(a);
            break;
        case REGISTER_PENDING:
            respond(a, &(struct wire_register_response){.auth_url = url});
            break;
        case REGISTER_EXPIRED:
        case REGISTER_LOGGED_OUT:
            respond(a, &(struct wire_register_response){.node_key_expired = true});
            break;
        case REGISTER_PROVE: /* went another way */
            break;
        case REGISTER_FAILED:
            respond(a, &(struct wire_register_response){.error = str_from(result->text)});
            break;
        }
    }
    asked_free(a);
}

/* The auth id out of the URL that we gave out and the client repeats; the empty str for any other.
 */
static struct str followup_id(struct str url)
{
    ptrdiff_t slash = str_rfind_char(url, '/');

    return slash < 0 ? STR_NONE : str_from_index(url, (size_t)slash + 1);
}

static struct str peer_text(struct arena *arena, struct ip_addrport peer)
{
    struct buf text = BUF(64);

    ip_addr_put(&text, peer.addr);
    struct str copy = arena_copy(arena, buf_str(&text));
    buf_fini(&text);
    return copy;
}

void on_register(void *user, struct http_exchange *x, const struct http_request *req)
{
    struct control *c = user;
    struct channel *channel = request_channel(req);
    struct asked *a = asked_new(c, c->registrar, x, req);
    struct wire_register_request *r = arena_alloc(a->arena, sizeof(*r));
    struct register_request *reg = arena_alloc(a->arena, sizeof(*reg));
    struct err err = {0};

    if (wire_register_request_decode(a->arena, req->body, r, &err) < 0) {
        asked_refuse(a, &err);
        asked_free(a);
        return;
    }
    if (channel->version < CAPVER_MIN) {
        respond(a, &(struct wire_register_response){.error = STR(TOO_OLD)});
        asked_free(a);
        return;
    }
    /* The body goes with the client, who may leave before the registrar comes to this. */
    struct str auth_key = arena_copy(a->arena, r->auth_key);
    struct str followup = arena_copy(a->arena, followup_id(r->followup));

    a->facts = facts_from_wire(&r->hostinfo);
    *reg = (struct register_request){.machine = channel->machine,
                                     .key = r->key,
                                     .old_key = r->old_key,
                                     .nl = r->nl,
                                     .capver = channel->version,
                                     .has_expiry = r->has_expiry,
                                     .expiry_ms = r->expiry_ms,
                                     .auth_key = auth_key,
                                     .followup = followup,
                                     .ephemeral = r->ephemeral,
                                     .facts = a->facts};
    a->call.command = (struct command){.type = COMMAND_REGISTER,
                                       .origin = ORIGIN_CLIENT,
                                       .author = STR("client"),
                                       .from = peer_text(a->arena, channel->peer),
                                       .reg = reg};
    a->more = reg;
    a->call.hold = reg->followup.len > 0;
    asked_submit(a, registered);
}
