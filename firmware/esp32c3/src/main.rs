//! Demo firmware of espseal for the ESP32-C3.
//!
//! One source, two releases. Release 1.0.0 blinks and counts; release 2.0.0 (feature `release-2`)
//! tests itself before it calls itself healthy, and lets the BOOT button change the blinking. Both
//! say over UART0 (115200 8N1) who they are and which slot of the flash they run from.
#![no_std]
#![no_main]

mod release;
mod running;
#[cfg(feature = "release-2")]
mod self_test;

use esp_backtrace as _;
use esp_hal::delay::Delay;
use esp_hal::gpio::{Input, InputConfig, Level, Output, OutputConfig, Pull};
use esp_hal::time::Instant;
use esp_println::println;

esp_bootloader_esp_idf::esp_app_desc!(
    release::VERSION,
    "espseal-demo-c3",
    release::BUILD_TIME,
    release::BUILD_DATE,
    "esp-hal 1.2.2",
    64 * 1024, // MMU page size: the ESP32-C3 has no other
    0,         // oldest eFuse block revision
    199,       // newest eFuse block revision: v1.99, as ESP-IDF has it
    0          // secure version
);

/// Starts the chip, reports release and slot, then blinks for ever.
#[esp_hal::main]
fn main() -> ! {
    // Also stops the watchdogs that the bootloader leaves running.
    let peripherals = esp_hal::init(esp_hal::Config::default());
    let delay = Delay::new();
    let mut led = Output::new(peripherals.GPIO8, Level::Low, OutputConfig::default());
    let button = Input::new(
        peripherals.GPIO9,
        InputConfig::default().with_pull(Pull::Up),
    );

    println!();
    println!("espseal-demo-c3 {}: {}", release::VERSION, release::CHANGES);
    let offset = running::image_offset();
    println!("running from {} at {offset:#x}", running::slot_name(offset));

    #[cfg(feature = "release-2")]
    match self_test::run() {
        Ok(crc) => println!("self-test passed, code CRC-32 {crc:08x}"),
        Err(failure) => println!("self-test FAILED: {failure}"),
    }

    let mut beat: u32 = 0;
    loop {
        let pause = release::pause_ms(button.is_low());
        led.toggle();
        delay.delay_millis(pause);
        beat = beat.wrapping_add(1);
        if beat.is_multiple_of(4) {
            let up = Instant::now().duration_since_epoch().as_secs();
            println!("{} alive for {up} s, beat {beat}", release::VERSION);
        }
    }
}
