#pragma once

/*
 * What is wrong with the server, part by part, as whoever notices says it; for /health. From any
 * thread. (The database and the policies are the registrar's to say.)
 */

#include "core/buf.h"

enum health_part {
    HEALTH_CERTIFICATE,   /* of TLS: ends soon, or could not be read again */
    HEALTH_CONFIGURATION, /* could not be read again: what was in force stays */
    HEALTH_DNS_RECORDS,   /* likewise the file of records */
    HEALTH_RELAY_MAP,     /* a relay map cannot be had */
    HEALTH_LOGIN,         /* a log-in provider did not answer */
    HEALTH_PARTS
};
#define HEALTH_CERTIFICATE_MS ((int64_t)7 * 24 * 3600 * 1000) /* "soon" */

/* "certificate"; never NULL. */
const char *health_part_name(enum health_part part);
/* `why` is for operators: no secret, no key. Empty: it is well (again). */
void health_note(enum health_part part, struct str why);
/* When the certificate that ends first does so, unix; 0: there is none. */
void health_note_certificate_end(int64_t unix_ms);
/* Whether something is wrong with it, and what (appended). */
bool health_is_ill(enum health_part part, int64_t now_ms, struct buf *why);
