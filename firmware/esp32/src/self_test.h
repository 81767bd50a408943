/* What release 2 checks before it calls itself healthy. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* True when code read twice through the flash cache (and so through flash encryption) gives one
 * CRC-32, which is stored in *crc, and RAM keeps a pattern. */
bool self_test(uint32_t *crc);
