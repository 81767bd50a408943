/* The application descriptor, first in the first segment of the image.
 * Source: ESP-IDF components/esp_app_format/include/esp_app_desc.h, esp_app_desc_t. */
#include <stdint.h>

#include "release.h"

struct app_desc {
    uint32_t magic;
    uint32_t secure_version;
    uint32_t reserved1[2];
    char version[32];
    char project_name[32];
    char time[16];
    char date[16];
    char idf_version[32];
    uint8_t elf_sha256[32]; /* filled in by esptool elf2image --elf-sha256-offset 0xb0 */
    uint16_t min_efuse_block_revision;
    uint16_t max_efuse_block_revision;
    uint8_t mmu_page_size_log2;
    uint8_t reserved2[3];
    uint32_t reserved3[18];
};
_Static_assert(sizeof(struct app_desc) == 256, "the descriptor has 256 bytes");
_Static_assert(__builtin_offsetof(struct app_desc, elf_sha256) == 0xb0 - 0x20,
               "esptool counts from the start of the image");

__attribute__((section(".app_desc"), used))
const struct app_desc app_desc = {
    .magic = 0xABCD5432,
    .secure_version = 0,
    .version = VERSION,
    .project_name = "espseal-demo-esp32",
    .time = "12:00:00",
    .date = BUILD_DATE,
    .idf_version = "none (bare metal)",
    .min_efuse_block_revision = 0,
    .max_efuse_block_revision = 99, /* v0.99, as ESP-IDF has it */
    .mmu_page_size_log2 = 16,       /* 64 KB: the ESP32 has no other */
};
