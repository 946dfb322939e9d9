#include "acme/answer.h"

#include "core/clock.h"
#include "json/value.h"

#define PROBLEM_PREFIX STR("urn:ietf:params:acme:error:")
#define RETRY_MAX_MS ((int64_t)7 * 24 * 3600 * 1000)
#define NODES_MAX 4096

/* What may be handed to the HTTP client: no white space, no control characters, nothing quoted. */
bool acme_is_url(struct str s, bool plain)
{
    struct str scheme = str_starts(s, STR("https://"))           ? STR("https://")
                        : plain && str_starts(s, STR("http://")) ? STR("http://")
                                                                 : STR_NONE;

    if (scheme.len == 0 || s.len <= scheme.len || s.len > ACME_URL_MAX)
        return false;
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] <= ' ' || s.ptr[i] >= 0x7f || s.ptr[i] == '"' || s.ptr[i] == '\\')
            return false;
    return true;
}

bool acme_is_token(struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];

        if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') &&
            c != '-' && c != '_')
            return false;
    }
    return s.len > 0 && s.len <= ACME_TOKEN_MAX;
}

static const struct json_value *read_object(struct arena *a, struct str text)
{
    const struct json_options options = {.max_nodes = NODES_MAX};
    struct json_value *root = NULL;

    return json_parse(a, text, &options, &root, NULL) && json_is(root, JSON_OBJECT) ? root : NULL;
}

/* The member, when it is a URL. */
static bool read_url(const struct json_value *obj, const char *name, bool plain, struct str *out)
{
    struct str url = json_get_str(obj, name);

    if (!acme_is_url(url, plain))
        return false;
    *out = url;
    return true;
}

static struct acme_problem problem_of(const struct json_value *v)
{
    static const struct {
        struct str type;
        enum acme_problem_kind kind;
    } kinds[] = {
        {STR_INIT("badNonce"), ACME_PROBLEM_BAD_NONCE},
        {STR_INIT("rateLimited"), ACME_PROBLEM_RATE_LIMITED},
        {STR_INIT("accountDoesNotExist"), ACME_PROBLEM_NO_ACCOUNT},
    };
    struct acme_problem p = {.type = json_get_str(v, "type"), .detail = json_get_str(v, "detail")};

    if (str_starts(p.type, PROBLEM_PREFIX))
        p.type = str_from_index(p.type, PROBLEM_PREFIX.len);
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        if (str_eq(p.type, kinds[i].type))
            p.kind = kinds[i].kind;
    return p;
}

struct acme_problem acme_read_problem(struct arena *a, struct str text)
{
    return problem_of(read_object(a, text));
}

bool acme_read_directory(struct arena *a, struct str text, bool plain, struct acme_directory *out)
{
    const struct json_value *root = read_object(a, text);
    struct acme_directory d = {0};

    if (!root || !read_url(root, "newNonce", plain, &d.new_nonce) ||
        !read_url(root, "newAccount", plain, &d.new_account) ||
        !read_url(root, "newOrder", plain, &d.new_order))
        return false;
    (void)read_url(root, "renewalInfo", plain, &d.renewal_info);
    *out = d;
    return true;
}

static bool read_status(const struct json_value *obj, enum acme_status *out)
{
    static const struct {
        struct str word;
        enum acme_status status;
    } words[] = {
        {STR_INIT("pending"), ACME_PENDING},     {STR_INIT("processing"), ACME_PROCESSING},
        {STR_INIT("ready"), ACME_READY},         {STR_INIT("valid"), ACME_VALID},
        {STR_INIT("invalid"), ACME_INVALID},     {STR_INIT("expired"), ACME_INVALID},
        {STR_INIT("deactivated"), ACME_INVALID}, {STR_INIT("revoked"), ACME_INVALID},
    };
    struct str word = json_get_str(obj, "status");

    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (!str_eq(word, words[i].word))
            continue;
        *out = words[i].status;
        return true;
    }
    return false;
}

bool acme_read_order(struct arena *a, struct str text, bool plain, struct acme_order *out)
{
    const struct json_value *root = read_object(a, text);
    const struct json_value *authorizations = json_get_array(root, "authorizations");
    struct acme_order o = {0};

    if (!root || !read_status(root, &o.status) || !read_url(root, "finalize", plain, &o.finalize) ||
        json_len(authorizations) > ACME_AUTHORIZATIONS_MAX)
        return false;
    JSON_EACH(v, authorizations) {
        struct str url = json_as_str(v, STR_NONE);

        if (!acme_is_url(url, plain))
            return false;
        o.authorizations[o.n_authorizations++] = url;
    }
    if (o.status == ACME_VALID && !read_url(root, "certificate", plain, &o.certificate))
        return false;
    o.problem = problem_of(json_get_object(root, "error"));
    *out = o;
    return true;
}

/* What is not for us, or not well-formed, is not offered. */
static void read_challenge(const struct json_value *v, bool plain, struct acme_authorization *out)
{
    static const char *const types[ACME_CHALLENGE_COUNT] = {"tls-alpn-01", "http-01"};
    struct str type = json_get_str(v, "type"), token = json_get_str(v, "token"), url;
    const struct json_value *error = json_get_object(v, "error");

    if (error)
        out->problem = problem_of(error);
    if (!acme_is_token(token) || !read_url(v, "url", plain, &url))
        return;
    for (size_t i = 0; i < ARRAY_LEN(types); i++)
        if (str_eq(type, str_from(types[i])))
            out->challenges[i] = (struct acme_challenge){url, token};
}

bool acme_read_authorization(struct arena *a, struct str text, bool plain,
                             struct acme_authorization *out)
{
    const struct json_value *root = read_object(a, text);
    const struct json_value *challenges = json_get_array(root, "challenges");
    struct acme_authorization z = {0};

    if (!root || !read_status(root, &z.status) || json_len(challenges) > ACME_CHALLENGES_MAX)
        return false;
    JSON_EACH(v, challenges) {
        read_challenge(v, plain, &z);
    }
    *out = z;
    return true;
}

bool acme_read_window(struct arena *a, struct str text, struct acme_window *out)
{
    const struct json_value *v = json_get_object(read_object(a, text), "suggestedWindow");
    struct acme_window w;

    if (!clock_parse_rfc3339(json_get_str(v, "start"), &w.start_unix_ms) ||
        !clock_parse_rfc3339(json_get_str(v, "end"), &w.end_unix_ms) ||
        w.start_unix_ms >= w.end_unix_ms)
        return false;
    *out = w;
    return true;
}

bool acme_is_chain(struct str text)
{
    struct str begin = STR("-----BEGIN "), certificate = STR("CERTIFICATE-----");
    size_t n = 0;

    for (ptrdiff_t at; (at = str_find(text, begin)) >= 0; n++) {
        text = str_from_index(text, (size_t)at + begin.len);
        if (!str_starts(text, certificate))
            return false;
    }
    return n > 0;
}

/* "Wed, 21 Oct 2015 07:28:00 GMT", the one form that servers may write. */
static bool read_date(struct str s, int64_t *unix_ms)
{
    static const char *const months = "JanFebMarAprMayJunJulAugSepOctNovDec";
    ptrdiff_t month = str_find(str_from(months), str_sub(s, 8, 3));
    char text[32];

    if (s.len != 29 || !str_ends(s, STR(" GMT")) || month < 0 || month % 3 != 0)
        return false;
    (void)snprintf(text, sizeof(text), "%.4s-%02d-%.2sT%.8sZ", s.ptr + 12, (int)month / 3 + 1,
                   s.ptr + 5, s.ptr + 17);
    return clock_parse_rfc3339(str_from(text), unix_ms);
}

int64_t acme_read_retry_after(struct str value, int64_t now_unix_ms)
{
    uint64_t seconds = 0;
    int64_t at = 0;

    if (str_parse_u64(value, &seconds))
        return (int64_t)MIN(seconds, (uint64_t)RETRY_MAX_MS / 1000) * 1000;
    if (!read_date(value, &at))
        return -1;
    return MAX((int64_t)0, MIN(at - now_unix_ms, RETRY_MAX_MS));
}
