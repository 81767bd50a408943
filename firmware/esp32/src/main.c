/* Demo firmware of espseal for the ESP32.
 *
 * One source, two releases. Release 1.0.0 blinks and counts; release 2.0.0 tests itself before it
 * calls itself healthy, and lets the BOOT button change the blinking. Both say over UART0 who
 * they are and which slot of the flash they run from. */
#include "chip.h"
#include "release.h"
#if RELEASE >= 2
#include "self_test.h"
#endif

/* App slots of firmware/images/esp32-partitions.csv. */
#define OTA_0_OFFSET 0x020000
#define OTA_1_OFFSET 0x210000

/* Heartbeats between two lines on the console; in DRAM, loaded by the bootloader. */
static volatile uint32_t beats_per_line = 4;

/* Heartbeats so far; in DRAM, cleared at start-up. */
static volatile uint32_t beats;

static const char *slot_name(uint32_t offset)
{
    switch (offset) {
    case OTA_0_OFFSET:
        return "ota_0";
    case OTA_1_OFFSET:
        return "ota_1";
    default:
        return "an unknown slot";
    }
}

static uint32_t pause_ms(void)
{
#if RELEASE == 1
    return 500;
#else
    return button_held() ? 60 : 250;
#endif
}

static void introduce(void)
{
    print("\nespseal-demo-esp32 " VERSION ": " CHANGES "\nrunning from ");
    print(slot_name(image_offset()));
    print(" at 0x");
    print_hex(image_offset());
    print("\n");
#if RELEASE >= 2
    uint32_t crc;
    if (self_test(&crc)) {
        print("self-test passed, code CRC-32 ");
    } else {
        print("self-test FAILED, code CRC-32 ");
    }
    print_hex(crc);
    print("\n");
#endif
}

void main(void)
{
    watchdogs_off();
    led_init();
    introduce();
    uint32_t until_line = beats_per_line;
    for (;;) {
        led_set(beats & 1);
        delay_ms(pause_ms());
        beats++;
        if (--until_line == 0) {
            until_line = beats_per_line;
            print(VERSION " alive, beat ");
            print_dec(beats);
            print("\n");
        }
    }
}
