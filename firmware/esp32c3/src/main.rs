//! The demo's product on an ESP32-C3: blinks, and keeps itself up to date over a serial line.
//!
//! One source, two releases. Release 1.0.0 blinks once a second; release 2.0.0 (feature `release-2`)
//! lets the BOOT button change the blinking. UART0 (115200 8N1) tells who runs and which slot it
//! stands in; UART1 (GPIO4 out, GPIO5 in) is the way to the server.
#![no_std]
#![no_main]

mod release;
mod self_test;

use emulated::transport::Bridge;
use esp_backtrace as _;
use esp_hal::gpio::{Input, InputConfig, Level, Output, OutputConfig, Pull};
use esp_hal::peripherals::Peripherals;
use esp_hal::time::{Duration, Instant};
use esp_hal::uart::{Config as UartConfig, Uart};
use esp_println::println;
use espseal_agent::workspace::Workspace;
use espseal_crypto::device_key::SoftwareDeviceKey;
use espseal_esp32c3::board::{Board, Hardware};
use espseal_esp32c3::built_in::BUILT_IN;
use espseal_esp32c3::life::{self, Log};
use espseal_esp32c3::line::Line;
use espseal_esp32c3::watchdog::Watchdog;
use static_cell::ConstStaticCell;

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

/// Memory that the agent borrows.
static WORKSPACE: ConstStaticCell<Workspace> = ConstStaticCell::new(Workspace::new());
/// A new image that has not confirmed itself after this long is rolled back.
const TRIAL: Duration = Duration::from_secs(60);

/// Starts the chip, settles what the restart was, then blinks and polls for ever.
#[esp_hal::main]
fn main() -> ! {
    // Also stops the watchdogs that the bootloader leaves running.
    let peripherals = esp_hal::init(esp_hal::Config::default());
    println!();
    println!("espseal-demo-c3 {}: {}", release::VERSION, release::CHANGES);
    let (blinker, hardware, watchdog, uart) = divide(peripherals);
    keep_up_to_date(blinker, hardware, watchdog, uart)
}

/// The app: a light and a button.
struct Blinker<'d> {
    led: Output<'d>,
    button: Input<'d>,
}

impl Blinker<'_> {
    /// Blinks for some seconds.
    fn blink(&mut self, seconds: u32) {
        let start = Instant::now();
        let whole = Duration::from_secs(seconds.into());
        while start.elapsed() < whole {
            self.led.toggle();
            let since = Instant::now();
            let pause = release::pause_ms(self.button.is_low());
            while since.elapsed() < Duration::from_millis(pause) {}
        }
        let up = Instant::now().duration_since_epoch().as_secs();
        println!("{} alive for {up} s", release::VERSION);
    }
}

/// Gives each part of the firmware its peripherals.
fn divide(
    peripherals: Peripherals,
) -> (
    Blinker<'static>,
    Hardware<'static>,
    Watchdog<'static>,
    Option<Line<'static>>,
) {
    let pull = InputConfig::default().with_pull(Pull::Up);
    let blinker = Blinker {
        led: Output::new(peripherals.GPIO8, Level::Low, OutputConfig::default()),
        button: Input::new(peripherals.GPIO9, pull),
    };
    let hardware = Hardware {
        flash: peripherals.FLASH,
        aes: peripherals.AES,
        sha: peripherals.SHA,
        hmac: peripherals.HMAC,
    };
    let watchdog = Watchdog::start(peripherals.RTC_TIMER, TRIAL);
    let uart = Uart::new(peripherals.UART1, UartConfig::default())
        .map(|uart| uart.with_tx(peripherals.GPIO4).with_rx(peripherals.GPIO5));
    (blinker, hardware, watchdog, uart.ok().map(Line::new))
}

/// Blinks, and polls in between; without what an update needs it blinks all the same.
fn keep_up_to_date(
    mut blinker: Blinker<'static>,
    hardware: Hardware<'static>,
    mut watchdog: Watchdog<'static>,
    line: Option<Line<'static>>,
) -> ! {
    let prepared = Board::new(hardware, &BUILT_IN).map(|board| {
        introduce(board.key());
        println!("AES and SHA: {:?}", board.engines().used());
        (board.config(&BUILT_IN), board)
    });
    let (config, mut board, line) = match (prepared, line) {
        (Ok((Some(config), board)), Some(line)) => (config, board, line),
        (Err(error), _) => blink_only(&mut blinker, watchdog, &error),
        _ => blink_only(
            &mut blinker,
            watchdog,
            &"the image was built with wrong settings",
        ),
    };
    let workspace = WORKSPACE.take();
    let agent = board.agent(Bridge::new(line), Log, &config, workspace);
    let mut agent = match agent {
        Ok(agent) => agent,
        Err(error) => blink_only(&mut blinker, watchdog, &error),
    };
    if let Some(news) = life::settle(&mut agent, &mut watchdog, self_test::run) {
        life::tell(&mut agent, news);
    }
    loop {
        let pause = life::poll(&mut agent);
        blinker.blink(pause);
    }
}

/// Prints the record that `espseal device enroll` wants.
fn introduce(key: &SoftwareDeviceKey) {
    println!("device {}:", key.device_id());
    println!("kind = \"agent\"");
    println!("chip = \"esp32c3\"");
    println!("channel = \"{}\"", BUILT_IN.channel);
    println!("encryption-key = \"{}\"", key.public_key());
    println!("report-key = \"{}\"", key.report_key());
}

/// Says why there are no updates, and is an app all the same.
fn blink_only(
    blinker: &mut Blinker<'_>,
    mut watchdog: Watchdog<'_>,
    why: &dyn core::fmt::Display,
) -> ! {
    println!("no updates: {why}");
    watchdog.stop();
    loop {
        blinker.blink(60);
    }
}
