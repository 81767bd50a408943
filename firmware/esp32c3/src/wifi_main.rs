//! The demo's product over Wi-Fi: blinks, and keeps itself up to date over TLS.
//!
//! Network and password are built in (`ESPSEAL_WIFI_SSID`, `ESPSEAL_WIFI_PASSWORD`): enough for a
//! demo. A product takes them from whoever sets it up, and keeps them in encrypted NVS.
#![no_std]
#![no_main]

extern crate alloc;

mod release;
mod self_test;

use embassy_net::StackResources;
use esp_backtrace as _;
use esp_hal::clock::CpuClock;
use esp_hal::gpio::{Level, Output, OutputConfig};
use esp_hal::time::{Duration, Instant};
use esp_hal::timer::timg::TimerGroup;
use esp_println::println;
use espseal_agent::config::Config;
use espseal_agent::workspace::Workspace;
use espseal_esp32c3::board::{Board, Hardware};
use espseal_esp32c3::built_in::BUILT_IN;
use espseal_esp32c3::life::{self, Log, News, Offline};
use espseal_esp32c3::watchdog::Watchdog;
use espseal_esp32c3::wifi::{Buffers, Network, SOCKETS};
use static_cell::ConstStaticCell;

esp_bootloader_esp_idf::esp_app_desc!(
    release::VERSION,
    "espseal-demo-c3-wifi",
    release::BUILD_TIME,
    release::BUILD_DATE,
    "esp-hal 1.2.2",
    64 * 1024, // MMU page size: the ESP32-C3 has no other
    0,         // oldest eFuse block revision
    199,       // newest eFuse block revision: v1.99, as ESP-IDF has it
    0          // secure version
);

static WORKSPACE: ConstStaticCell<Workspace> = ConstStaticCell::new(Workspace::new());
static BUFFERS: ConstStaticCell<Buffers> = ConstStaticCell::new(Buffers::new());
static SOCKETS_OF_STACK: ConstStaticCell<StackResources<SOCKETS>> =
    ConstStaticCell::new(StackResources::new());

/// A new image that has not confirmed itself after this long is rolled back.
const TRIAL: Duration = Duration::from_secs(60);
/// Seconds until the next try when there is no connection.
const AGAIN: u32 = 60;
/// The network.
const SSID: Option<&str> = option_env!("ESPSEAL_WIFI_SSID");
const PASSWORD: Option<&str> = option_env!("ESPSEAL_WIFI_PASSWORD");

/// Starts the chip, settles what the restart was, then blinks and polls for ever.
#[esp_hal::main]
fn main() -> ! {
    let fast = esp_hal::Config::default().with_cpu_clock(CpuClock::max());
    let chip = esp_hal::init(fast);
    let mut watchdog = Watchdog::start(chip.RTC_TIMER, TRIAL);
    let mut led = Output::new(chip.GPIO8, Level::Low, OutputConfig::default());
    println!();
    println!(
        "espseal-demo-c3-wifi {}: {}",
        release::VERSION,
        release::CHANGES
    );

    esp_alloc::heap_allocator!(size: 72 * 1024);
    esp_rtos::start(TimerGroup::new(chip.TIMG0).timer0, chip.FROM_CPU_INTR0);
    let (ssid, password) = (SSID.unwrap_or_default(), PASSWORD.unwrap_or_default());
    let mut network = Network::start(chip.WIFI, ssid, password, SOCKETS_OF_STACK.take());

    let hardware = Hardware {
        flash: chip.FLASH,
        aes: chip.AES,
        sha: chip.SHA,
        hmac: chip.HMAC,
    };
    let mut board = match Board::new(hardware, &BUILT_IN) {
        Ok(board) => board,
        Err(error) => blink_only(&mut led, &mut watchdog, &error),
    };
    println!("encryption-key = \"{}\"", board.key().public_key());
    println!("report-key = \"{}\"", board.key().report_key());
    let Some(config) = board.config(&BUILT_IN) else {
        blink_only(
            &mut led,
            &mut watchdog,
            &"the image was built with wrong settings",
        );
    };
    let (workspace, buffers) = (WORKSPACE.take(), BUFFERS.take());
    let mut news = settle(
        &mut board,
        &config,
        workspace,
        &mut watchdog,
        network.is_ok(),
    );
    loop {
        let pause = match &mut network {
            Ok(network) => poll(network, buffers, &mut board, &config, workspace, &mut news),
            Err(error) => {
                println!("no network: {error:?}");
                AGAIN
            }
        };
        blink(&mut led, pause);
    }
}

/// Settles what the restart was; a new image also has to start the radio.
fn settle(
    board: &mut Board<'_>,
    config: &Config<'_>,
    workspace: &mut Workspace,
    watchdog: &mut Watchdog<'_>,
    radio_starts: bool,
) -> Option<News> {
    let mut agent = match board.agent(Offline, Log, config, workspace) {
        Ok(agent) => agent,
        Err(error) => {
            println!("no updates: {error}");
            watchdog.stop();
            return None;
        }
    };
    life::settle(&mut agent, watchdog, || match radio_starts {
        true => self_test::run().map_err(Unfit::Test),
        false => Err(Unfit::Radio),
    })
}

/// One connection: tells what there is to tell, asks for a release. Returns the seconds to wait.
fn poll(
    network: &mut Network,
    buffers: &mut Buffers,
    board: &mut Board<'_>,
    config: &Config<'_>,
    workspace: &mut Workspace,
    news: &mut Option<News>,
) -> u32 {
    let connected = network
        .join()
        .and_then(|()| network.connect(&BUILT_IN, buffers));
    let https = match connected {
        Ok(https) => https,
        Err(error) => {
            println!("no connection: {error:?}");
            return AGAIN;
        }
    };
    match board.agent(https, Log, config, workspace) {
        Ok(mut agent) => {
            if let Some(news) = news.take() {
                life::tell(&mut agent, news);
            }
            life::poll(&mut agent)
        }
        Err(error) => {
            println!("no updates: {error}");
            AGAIN
        }
    }
}

/// Why a new image is not fit.
enum Unfit {
    Radio,
    Test(self_test::Failure),
}

impl core::fmt::Display for Unfit {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Radio => f.write_str("the radio does not start"),
            Self::Test(failure) => failure.fmt(f),
        }
    }
}

/// Blinks for some seconds.
fn blink(led: &mut Output<'_>, seconds: u32) {
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(seconds.into()) {
        led.toggle();
        let since = Instant::now();
        while since.elapsed() < Duration::from_millis(release::pause_ms(false)) {}
    }
}

/// Says why there are no updates, and is an app all the same.
fn blink_only(
    led: &mut Output<'_>,
    watchdog: &mut Watchdog<'_>,
    why: &dyn core::fmt::Display,
) -> ! {
    println!("no updates: {why}");
    watchdog.stop();
    loop {
        blink(led, 60);
    }
}
