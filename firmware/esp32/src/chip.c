/* Register addresses and bits: ESP32 Technical Reference Manual (chapters Watchdog Timers, UART,
 * IO_MUX and GPIO Matrix, Memory Management) and ESP-IDF components/soc/esp32/register/soc/:
 * rtc_cntl_reg.h, timer_group_reg.h, uart_reg.h, gpio_reg.h, reg_base.h. */
#include "chip.h"

#define REG(address) (*(volatile uint32_t *)(address))

/* Watchdogs: the RTC watchdog and one in each timer group. Configuration can be written only
 * while the key stands in the write-protection register. */
#define RTC_CNTL_WDTCONFIG0 0x3FF4808C
#define RTC_CNTL_WDTWPROTECT 0x3FF480A4
#define TIMG_WDTCONFIG0(group) (0x3FF5F048 + 0x1000 * (group))
#define TIMG_WDTWPROTECT(group) (0x3FF5F064 + 0x1000 * (group))
#define WDT_KEY 0x50D83AA1
#define WDT_EN (1u << 31)
#define RTC_WDT_FLASHBOOT_MOD_EN (1u << 10)
#define TIMG_WDT_FLASHBOOT_MOD_EN (1u << 14)

#define UART0_FIFO 0x3FF40000
#define UART0_STATUS 0x3FF4001C
#define UART_TXFIFO_CNT_SHIFT 16
#define UART_TXFIFO_CNT_MASK 0xFF
#define UART_TXFIFO_ROOM 126

#define GPIO_OUT_W1TS 0x3FF44008
#define GPIO_OUT_W1TC 0x3FF4400C
#define GPIO_ENABLE_W1TS 0x3FF44024
#define GPIO_IN 0x3FF4403C
#define LED_PIN (1u << 2)
#define BUTTON_PIN (1u << 0)

/* MMU table of the PRO CPU; entry 0 maps 0x3F400000, where the image's first page is. */
#define PRO_FLASH_MMU_TABLE 0x3FF10000
#define MMU_PAGE_MASK 0xFF
#define MMU_PAGE_SHIFT 16

/* CPU cycles in a millisecond: ESP-IDF's bootloader leaves the CPU at 80 MHz. */
#define CYCLES_PER_MS 80000

/* In IRAM, as is what prints: it does not depend on the flash cache. */
#define IRAM __attribute__((section(".iram.text"), noinline))

IRAM static void watchdog_off(uint32_t config, uint32_t protect, uint32_t flashboot)
{
    REG(protect) = WDT_KEY;
    REG(config) &= ~(WDT_EN | flashboot);
    REG(protect) = 0;
}

IRAM void watchdogs_off(void)
{
    watchdog_off(RTC_CNTL_WDTCONFIG0, RTC_CNTL_WDTWPROTECT, RTC_WDT_FLASHBOOT_MOD_EN);
    watchdog_off(TIMG_WDTCONFIG0(0), TIMG_WDTWPROTECT(0), TIMG_WDT_FLASHBOOT_MOD_EN);
    watchdog_off(TIMG_WDTCONFIG0(1), TIMG_WDTWPROTECT(1), TIMG_WDT_FLASHBOOT_MOD_EN);
}

IRAM static void print_char(char c)
{
    while (((REG(UART0_STATUS) >> UART_TXFIFO_CNT_SHIFT) & UART_TXFIFO_CNT_MASK)
           >= UART_TXFIFO_ROOM) {
    }
    REG(UART0_FIFO) = (uint8_t)c;
}

void print(const char *text)
{
    for (; *text; text++) {
        if (*text == '\n') {
            print_char('\r');
        }
        print_char(*text);
    }
}

void print_hex(uint32_t value)
{
    for (int shift = 28; shift >= 0; shift -= 4) {
        print_char("0123456789abcdef"[(value >> shift) & 0xF]);
    }
}

void print_dec(uint32_t value)
{
    static const uint32_t powers[] = {
        1000000000, 100000000, 10000000, 1000000, 100000, 10000, 1000, 100, 10, 1,
    };
    bool started = false;
    for (unsigned i = 0; i < sizeof powers / sizeof powers[0]; i++) {
        char digit = '0';
        for (; value >= powers[i]; value -= powers[i]) {
            digit++;
        }
        started |= digit != '0' || powers[i] == 1;
        if (started) {
            print_char(digit);
        }
    }
}

uint32_t image_offset(void)
{
    return (REG(PRO_FLASH_MMU_TABLE) & MMU_PAGE_MASK) << MMU_PAGE_SHIFT;
}

void led_init(void)
{
    REG(GPIO_ENABLE_W1TS) = LED_PIN;
}

void led_set(bool on)
{
    REG(on ? GPIO_OUT_W1TS : GPIO_OUT_W1TC) = LED_PIN;
}

bool button_held(void)
{
    return (REG(GPIO_IN) & BUTTON_PIN) == 0;
}

IRAM static uint32_t cycles(void)
{
    uint32_t count;
    __asm__ volatile("rsr.ccount %0" : "=r"(count));
    return count;
}

void delay_ms(uint32_t ms)
{
    for (; ms > 0; ms--) {
        uint32_t start = cycles();
        while (cycles() - start < CYCLES_PER_MS) {
        }
    }
}
