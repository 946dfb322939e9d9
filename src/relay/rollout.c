#include "relay/rollout.h"

#include <arpa/nameser.h>
#include <netdb.h>
#include <resolv.h>

#include "core/mem.h"
#include "core/str.h"
#include "crypto/hash.h"

#define ANSWER_MAX 4096
#define HEADER 12 /* bytes: id, flags, four counts */

/* ---- Reading an answer ---- */

/* Past the name at `at`, whose end a pointer may be; 0 when it does not end. */
static size_t skip_name(struct str s, size_t at)
{
    while (at < s.len) {
        uint8_t len = (uint8_t)s.ptr[at];

        if (len == 0)
            return at + 1;
        if (len >= 0xc0)
            return at + 2 <= s.len ? at + 2 : 0;
        if (len > 63)
            return 0;
        at += 1u + len;
    }
    return 0;
}

/* The record's strings, one behind the other, are a number from 0 to 100. */
static bool parse_number(struct str rdata, unsigned *percent)
{
    AUTO_FINI(buf_fini) struct buf text = BUF(ANSWER_MAX);
    uint64_t n = 0;

    while (rdata.len > 0) {
        size_t len = (uint8_t)rdata.ptr[0];

        if (rdata.len < 1 + len)
            return false;
        buf_put(&text, str_sub(rdata, 1, len));
        rdata = str_from_index(rdata, 1 + len);
    }
    if (!str_parse_u64(buf_str(&text), &n) || n > 100)
        return false;
    *percent = (unsigned)n;
    return true;
}

static uint16_t be16(struct str s, size_t at)
{
    return (uint16_t)((uint8_t)s.ptr[at] << 8 | (uint8_t)s.ptr[at + 1]);
}

bool rollout_parse(struct str s, unsigned *percent)
{
    size_t at = HEADER;

    *percent = 0;
    if (s.len < HEADER)
        return false;
    size_t questions = be16(s, 4), answers = be16(s, 6);

    for (size_t i = 0; i < questions; i++) {
        at = skip_name(s, at);
        if (at == 0 || at + 4 > s.len)
            return false;
        at += 4;
    }
    for (size_t i = 0; i < answers; i++) {
        at = skip_name(s, at);
        if (at == 0 || at + 10 > s.len)
            return false;
        uint16_t type = be16(s, at), len = be16(s, at + 8);

        at += 10;
        if (at + len > s.len)
            return false;
        if (type == ns_t_txt)
            IGNORE(parse_number(str_sub(s, at, len), percent)); /* the last that is one */
        at += len;
    }
    return true;
}

/* ---- Asking ---- */

int rollout_look_up(struct str name, unsigned *percent, struct err *err)
{
    struct __res_state state = {0};
    uint8_t answer[ANSWER_MAX];
    int status = 0;

    *percent = 0;
    if (res_ninit(&state) < 0)
        return err_set(err, ERR_IO, "setting up the resolver");
    state.retrans = 3;
    state.retry = 2;
    char *text = str_dup(name);
    int n = res_nquery(&state, text, ns_c_in, ns_t_txt, answer, (int)sizeof(answer));
    int why = state.res_h_errno;

    mem_free(text);
    res_nclose(&state);
    if (n < 0 && why == TRY_AGAIN)
        status = err_set(err, ERR_IO, "looking up %.*s: no answer", STR_ARG(name));
    if (n > 0)
        IGNORE(rollout_parse(str_bytes(answer, MIN((size_t)n, sizeof(answer))), percent));
    return status;
}

/* ---- Choosing ---- */

bool rollout_has(unsigned percent, struct ip_addr client)
{
    uint8_t hash[HASH_BYTES];
    struct ip_addr addr = ip_addr_unmap(client);

    sha256(ip_addr_bytes(&addr), hash);
    return str_be32(str_bytes(hash, sizeof(hash)), 0) % 100 < percent;
}
