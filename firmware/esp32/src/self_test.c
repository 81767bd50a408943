#include "self_test.h"

/* First word of code in flash and first word after it: set by the linker script. */
extern const uint32_t irom_start[], irom_end[];

static volatile uint32_t ram[256];

static uint32_t crc32_word(uint32_t crc, uint32_t word)
{
    crc ^= word; /* little-endian: the same as four bytes, lowest first */
    for (int bit = 0; bit < 32; bit++) {
        crc = (crc >> 1) ^ (0xEDB88320 & -(crc & 1));
    }
    return crc;
}

static uint32_t code_crc(void)
{
    uint32_t crc = 0xFFFFFFFF;
    for (const volatile uint32_t *word = irom_start; word < irom_end; word++) {
        crc = crc32_word(crc, *word);
    }
    return ~crc;
}

static bool ram_keeps_pattern(void)
{
    uint32_t pattern = 0x9E3779B9;
    for (unsigned i = 0; i < sizeof ram / sizeof ram[0]; i++) {
        ram[i] = pattern = crc32_word(pattern, i);
    }
    pattern = 0x9E3779B9;
    for (unsigned i = 0; i < sizeof ram / sizeof ram[0]; i++) {
        pattern = crc32_word(pattern, i);
        if (ram[i] != pattern) {
            return false;
        }
    }
    return true;
}

bool self_test(uint32_t *crc)
{
    *crc = code_crc();
    return code_crc() == *crc && ram_keeps_pattern();
}
