#pragma once

/*
 * The relay's command line: the official relay's flags, with the same defaults, and a few of our
 * own. Words are -flag value, -flag=value, and the same with two dashes; what is not known is
 * refused, and so is what cannot be done, with the reason.
 *
 * Source: tailscale cmd/derper/derper.go (1.102); Go's flag package for the spelling.
 */

#include "core/buf.h"
#include "core/err.h"
#include "ip/addrport.h"

struct relay_options {
    /* As given. Texts borrow from argv and the environment, or live in `owned`. */
    bool help, version, dev;
    bool stun, derp;
    bool verify_clients, verify_fail_open;
    bool ace, acme_ip_certs;
    struct str addr;
    struct str config;
    struct str cert_mode, cert_dir, hostname;
    struct str acme_eab_kid, acme_eab_key, acme_email, acme_directory, acme_ca_file;
    struct str home;
    struct str mesh_psk_file, mesh_with, mesh_pins;
    struct str secrets_url, secrets_prefix, secrets_cache_dir;
    struct str bootstrap_names, unpublished_names;
    struct str verify_url, socket;
    struct str rate_config;
    struct str user;
    struct str log_level, log_format;
    int64_t http_port, stun_port, accept_burst;
    int64_t max_streams, max_per_address, max_guests;
    double accept_limit; /* connections per second; may be infinite */
    int64_t keep_alive_ms, user_timeout_ms, write_timeout_ms, drain_ms;
    /* Worked out of them. */
    struct ip_addrport listen;
    bool is_tls;
    bool is_acme; /* certificates by ACME; with is_tls */
    struct str_list owned;
};

/* Fills in the defaults, then reads the words. Negative: the first thing that is wrong. */
MUST_USE int relay_options_parse(struct relay_options *o, int argc, char *const *argv,
                                 struct err *err);
/* Works out the rest and refuses what does not go together; not for -help and -version. */
MUST_USE int relay_options_check(struct relay_options *o, struct err *err);
void relay_options_fini(struct relay_options *o);
void relay_options_put_help(struct buf *out);
