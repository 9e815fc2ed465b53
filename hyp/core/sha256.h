/* SHA-256 [FIPS 180-4]. No state outside of what the caller gives. */
#ifndef HYP_CORE_SHA256_H
#define HYP_CORE_SHA256_H

#include <stddef.h>
#include <stdint.h>

void sha256(const void *bytes, size_t len, uint8_t digest[32]);

#endif
