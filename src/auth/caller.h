#pragma once

/*
 * Who asks: one word for everybody who may give orders, whichever way they came in, and the check
 * of what they show in `Authorization:`.
 *
 *   Unix socket -----------------------> caller_socket()             the whole server
 *   Authorization: Bearer, Basic ------> auth_check(…) --done-->     an API key's caller
 *   the same with an access token -----> the same                    an OAuth client's caller
 *   cookie of a log-in ----------------> auth_check_session(…)       a user of a tailnet
 *
 * Rules
 *   1. A stranger learns nothing: every refusal is the same 401, and takes as long, whether the key
 *      is unknown, wrong, expired, or no key at all.
 *   2. A caller is a value: it says what was allowed when it was asked, and outlives the key.
 *   3. What a handler changes carries caller_stamp(), so that the audit log knows who it was.
 *
 * Source: headscale.md 3.1, 3.5, 3.6 (scopes).
 */

#include "core/str.h"
#include "ip/addrport.h"
#include "tailnet/types.h"

struct auth;
struct command;
struct loop;

enum caller_kind {
    CALLER_NONE,    /* nobody: a zeroed caller, may do nothing */
    CALLER_SOCKET,  /* the Unix socket: its file mode is the lock */
    CALLER_API_KEY, /* of the server (tailnet 0) or of one tailnet */
    CALLER_SESSION, /* a web log-in of a user */
    CALLER_OAUTH,   /* an access token of an OAuth client */
};

/*
 * What may be read and written, by area; the areas are those of REST v2's scopes, and more where it
 * has none. Writing implies reading.
 */
enum area {
    AREA_DEVICES, /* devices:core: nodes, their names, tags, expiry; registrations */
    AREA_ROUTES,  /* devices:routes */
    AREA_AUTH_KEYS,
    AREA_OAUTH_KEYS,
    AREA_POLICY,   /* policy_file */
    AREA_SETTINGS, /* feature_settings */
    AREA_USERS,
    AREA_DNS,
    AREA_API_KEYS,
    AREA_LOGS, /* the audit log */
    AREA_WEBHOOKS,
    AREA_POSTURE, /* devices:posture_attributes */
    AREA_ACCOUNT, /* account_settings: whom to write to */
    AREA_SERVER,  /* tailnets, backups, what concerns no single tailnet */
    AREA_COUNT
};
struct permissions {
    uint32_t read;  /* BIT(area) */
    uint32_t write; /* a subset of `read` */
};
#define PERMISSIONS_ALL ((struct permissions){BIT(AREA_COUNT) - 1, BIT(AREA_COUNT) - 1})
#define PERMISSIONS_READ ((struct permissions){BIT(AREA_COUNT) - 1, 0})

/* "devices:core:read", "all", …: adds what the scope gives; false: there is no such scope. */
MUST_USE bool permissions_add_scope(struct permissions *p, struct str scope);
/* Of a list; an empty one gives everything. Unknown ones give nothing. */
struct permissions permissions_of_scopes(const struct str_list *scopes);
/* Whether `inner` gives nothing that `outer` does not. */
bool permissions_within(struct permissions inner, struct permissions outer);
/* The scope's word for an area: "devices:core". Never NULL. */
const char *area_scope(enum area area);

struct caller {
    enum caller_kind kind;
    tailnet_id tailnet; /* the only one it may name; 0: the whole server */
    user_id user;       /* on whose behalf; 0: nobody's */
    enum user_role
        role; /* of `user`, as it counts: administrators by the configuration are owners */
    api_key_id api_key; /* the key, the access token, the session; 0: none */
    struct permissions may;
    struct str_list tags; /* CALLER_OAUTH: the only tags it may give; owned */
    /* For the audit: "socket", "key:<prefix>", "oauth:<client id>", "user:<login>". */
    char author[128];
    char from[64]; /* its address, or "" on the socket */
};
#define CALLER_NOBODY ((struct caller){0})
struct caller caller_socket(void);
/* A web log-in; `login` as user_login_name has it. */
struct caller caller_session(tailnet_id tailnet, user_id user, struct str login,
                             struct permissions may);
/* Copies; caller_fini both. */
struct caller caller_copy(const struct caller *c);
void caller_fini(struct caller *c);
/* Notes where it calls from (the proxy's word for it is the http room's business). */
void caller_set_from(struct caller *c, struct ip_addrport peer);

bool caller_may_read(const struct caller *c, enum area area);
bool caller_may_write(const struct caller *c, enum area area);
/* Whether it may name the tailnet (a real id, not 0). */
bool caller_may_name(const struct caller *c, tailnet_id tailnet);
/* Sets the command's author, origin and `from`, which borrow from *c. */
void caller_stamp(const struct caller *c, struct command *command);

/* ---- Authorization: ---- */

enum auth_answer {
    AUTH_OK,
    AUTH_REFUSED, /* 401, always the same one; `www-authenticate` is the door's business */
    AUTH_BUSY,    /* too many old keys are being checked: 503 with retry-after: 1 */
};
/* `who` is set on AUTH_OK only, and borrowed: copy what is to stay. */
typedef void auth_done_fn(void *user, enum auth_answer answer, const struct caller *who);

/* A check under way. */
struct auth_ticket;
/*
 * Checks the value of an Authorization header: `Bearer <key>` (the word exactly so), or `Basic …`
 * with the key as the user name; an API key or an access token. On `loop`, from its thread. `done`
 * is called once: from inside, and NULL is returned; or later on the loop, when an imported key
 * must be hashed first, and the ticket is good until then. `header` is not needed any longer
 * afterwards. Empty: refused. When the server goes down with a check under way, AUTH_BUSY comes as
 * its loop is freed.
 */
struct auth_ticket *auth_check(struct auth *a, struct loop *loop, struct str header,
                               auth_done_fn *done, void *user);
/*
 * The same for an OAuth client's secret, as a whole; it must be of this client id, unless that is
 * empty. The caller is CALLER_OAUTH with the client in `api_key`, and may only ask for tokens.
 */
struct auth_ticket *auth_check_client(struct auth *a, struct loop *loop, struct str client_id,
                                      struct str secret, auth_done_fn *done, void *user);
/* The same for the token in a session's cookie; always answered from inside. */
struct auth_ticket *auth_check_session(struct auth *a, struct loop *loop, struct str token,
                                       auth_done_fn *done, void *user);
/* The client went: `done` will not be called. NULL is fine. */
void auth_cancel(struct auth_ticket *ticket);

/*
 * The key in the header as text, in `out` (to be wiped) when it had to be decoded; false: there is
 * none. For tests and for OAuth's client credentials.
 */
#define AUTH_HEADER_MAX 1024 /* bytes; a longer one holds no key */
struct auth_credentials {
    char name[AUTH_HEADER_MAX]; /* the key, or the user name of Basic */
    char password[AUTH_HEADER_MAX];
    size_t name_len, password_len;
    bool is_basic;
};
MUST_USE bool auth_credentials_parse(struct str header, struct auth_credentials *out);
void auth_credentials_fini(struct auth_credentials *c); /* wipes */
