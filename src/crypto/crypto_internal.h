#pragma once

/* libsodium picks its implementations for this CPU on first use; every door through which the room
 * enters it asks here first. Any thread. */
void crypto_sodium_ready(void);
