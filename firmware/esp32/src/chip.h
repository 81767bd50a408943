/* The few registers of the ESP32 that the demo needs. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Stops every watchdog that the ROM or the bootloader may have left running. */
void watchdogs_off(void);

/* Writes to UART0, which the bootloader has set to 115200 8N1. */
void print(const char *text);
void print_hex(uint32_t value);
void print_dec(uint32_t value);

/* Flash offset of the running image, as the flash MMU has it: right under flash encryption too. */
uint32_t image_offset(void);

/* LED at GPIO2, BOOT button at GPIO0, as on the common development boards. */
void led_init(void);
void led_set(bool on);
bool button_held(void);

void delay_ms(uint32_t ms);
