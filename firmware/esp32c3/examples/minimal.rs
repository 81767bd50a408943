//! An app with the agent in it: the least there is. One that has to go on without, see `main.rs`.
#![no_std]
#![no_main]
#![expect(
    clippy::panic,
    reason = "an example; the watchdog turns a panic into a rollback"
)]

use emulated::transport::Bridge;
use esp_backtrace as _;
use esp_hal::delay::Delay;
use esp_hal::time::Duration;
use esp_hal::uart::{Config as UartConfig, Uart};
use esp_println::println;
use espseal_agent::workspace::Workspace;
use espseal_esp32c3::board::{Board, Hardware};
use espseal_esp32c3::built_in::BUILT_IN;
use espseal_esp32c3::life::{self, Log};
use espseal_esp32c3::line::Line;
use espseal_esp32c3::watchdog::Watchdog;

esp_bootloader_esp_idf::esp_app_desc!();

#[esp_hal::main]
fn main() -> ! {
    let chip = esp_hal::init(esp_hal::Config::default());
    // A new image that hangs is rolled back after a minute.
    let mut watchdog = Watchdog::start(chip.RTC_TIMER, Duration::from_secs(60));
    let uart = Uart::new(chip.UART1, UartConfig::default()).unwrap_or_else(|e| panic!("{e}"));
    let line = Line::new(uart.with_tx(chip.GPIO4).with_rx(chip.GPIO5));
    let (flash, aes, sha, hmac) = (chip.FLASH, chip.AES, chip.SHA, chip.HMAC);
    let hardware = Hardware {
        flash,
        aes,
        sha,
        hmac,
    };
    let mut board = Board::new(hardware, &BUILT_IN).unwrap_or_else(|e| panic!("{e}"));
    println!("encryption-key = \"{}\"", board.key().public_key());
    println!("report-key = \"{}\"", board.key().report_key());
    let config = board
        .config(&BUILT_IN)
        .unwrap_or_else(|| panic!("no such channel"));
    let mut workspace = Workspace::new();
    let agent = board.agent(Bridge::new(line), Log, &config, &mut workspace);
    let mut agent = agent.unwrap_or_else(|e| panic!("{e}"));
    if let Some(news) = life::settle(&mut agent, &mut watchdog, self_test) {
        life::tell(&mut agent, news);
    }
    loop {
        let seconds = life::poll(&mut agent);
        // The app's own work goes here.
        Delay::new().delay_millis(seconds.saturating_mul(1000));
    }
}

/// Whatever tells a working device from a broken one.
fn self_test() -> Result<(), &'static str> {
    Ok(())
}
