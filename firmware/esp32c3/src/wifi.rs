//! Wi-Fi as the way to the server: esp-radio, embassy-net, and sockets that block.
//!
//! The agent is synchronous, the network is not. So whoever waits for the network runs it meanwhile:
//! there is no other task, no lock, and the network rests while flash is written. What arrives then
//! waits in the radio's queue.

use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::Poll;

use embassy_futures::block_on;
use embassy_futures::select::{Either, select};
use embassy_net::dns::DnsQueryType;
use embassy_net::tcp::TcpSocket;
use embassy_net::{Runner, Stack, StackResources};
use embedded_io::{ErrorKind, ErrorType, Read, Write};
use esp_hal::peripherals::WIFI;
use esp_hal::rng::Rng;
use esp_hal::time::{Duration, Instant};
use esp_radio::wifi::sta::StationConfig;
use esp_radio::wifi::{AuthenticationMethodConfig, Config, Interface, WifiController};
use espseal_https::https::{Https, HttpsFault, RECORD_IN, RECORD_OUT};
use espseal_https::url::BaseUrl;

use crate::built_in::BuiltIn;

/// Sockets at the same time: DHCP, DNS, and the connection.
pub const SOCKETS: usize = 3;
/// How long joining the network may take.
const TO_JOIN: Duration = Duration::from_secs(30);
/// How long the server may be silent.
const TO_ANSWER: Duration = Duration::from_secs(15);

/// The network.
pub struct Network {
    controller: WifiController<'static>,
    stack: Stack<'static>,
    runner: Runner<'static, Interface>,
}

/// Memory of one connection, 22 KB; usually a `static`.
pub struct Buffers {
    received: [u8; 4096],
    sent: [u8; 1536],
    record_in: [u8; RECORD_IN],
    record_out: [u8; RECORD_OUT],
}

/// Why there is no connection.
#[derive(Debug)]
#[non_exhaustive]
pub enum NoConnection {
    /// The radio does not start, or takes no such network.
    Radio,
    /// The access point does not let the device in, or gives it no address.
    Network,
    /// The built-in address of the server is none.
    Url,
    /// The server's name has no address, or nobody answers there.
    Server,
    /// TLS failed.
    Tls(HttpsFault),
}

impl Network {
    /// Starts the radio. The scheduler (`esp_rtos::start`) runs, and there is a heap.
    ///
    /// # Errors
    /// [`NoConnection::Radio`].
    pub fn start(
        wifi: WIFI<'static>,
        ssid: &str,
        password: &str,
        resources: &'static mut StackResources<SOCKETS>,
    ) -> Result<Self, NoConnection> {
        let mut controller =
            WifiController::new(wifi, Default::default()).map_err(|_| NoConnection::Radio)?;
        controller
            .set_config(&station(ssid, password)?)
            .map_err(|_| NoConnection::Radio)?;
        let interface = Interface::try_station().ok_or(NoConnection::Radio)?;
        let rng = Rng::new();
        let seed = u64::from(rng.random()) << 32 | u64::from(rng.random());
        let dhcp = embassy_net::Config::dhcpv4(Default::default());
        let (stack, runner) = embassy_net::new(interface, dhcp, resources, seed);
        Ok(Self {
            controller,
            stack,
            runner,
        })
    }

    /// Joins the network, unless the device is in it.
    ///
    /// # Errors
    /// [`NoConnection::Network`].
    pub fn join(&mut self) -> Result<(), NoConnection> {
        if !self.controller.is_connected() {
            let joined = wait(&mut self.runner, TO_JOIN, self.controller.connect_async());
            joined.and_then(Result::ok).ok_or(NoConnection::Network)?;
        }
        wait(&mut self.runner, TO_JOIN, self.stack.wait_config_up()).ok_or(NoConnection::Network)
    }

    /// Opens a connection to the repository.
    ///
    /// # Errors
    /// [`NoConnection`].
    pub fn connect<'c>(
        &'c mut self,
        built_in: &BuiltIn,
        buffers: &'c mut Buffers,
    ) -> Result<Https<'c, Socket<'c>>, NoConnection> {
        let base = BaseUrl::parse(built_in.base_url).ok_or(NoConnection::Url)?;
        let query = self.stack.dns_query(base.host, DnsQueryType::A);
        let addresses = wait(&mut self.runner, TO_ANSWER, query).and_then(Result::ok);
        let address = addresses.and_then(|all| all.first().copied());
        let address = address.ok_or(NoConnection::Server)?;
        let mut tcp = TcpSocket::new(self.stack, &mut buffers.received, &mut buffers.sent);
        wait(
            &mut self.runner,
            TO_ANSWER,
            tcp.connect((address, base.port)),
        )
        .and_then(Result::ok)
        .ok_or(NoConnection::Server)?;
        let socket = Socket {
            tcp,
            runner: &mut self.runner,
        };
        let records = (&mut buffers.record_in, &mut buffers.record_out);
        // With the radio on, the generator draws on its noise.
        Https::connect(
            socket,
            base,
            built_in.authority,
            Randomness(Rng::new()),
            records,
        )
        .map_err(NoConnection::Tls)
    }
}

impl Buffers {
    /// Blank memory.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            received: [0; 4096],
            sent: [0; 1536],
            record_in: [0; RECORD_IN],
            record_out: [0; RECORD_OUT],
        }
    }
}

impl Default for Buffers {
    fn default() -> Self {
        Self::new()
    }
}

/// A TCP connection that blocks, and runs the network meanwhile.
pub struct Socket<'n> {
    tcp: TcpSocket<'n>,
    runner: &'n mut Runner<'static, Interface>,
}

impl ErrorType for Socket<'_> {
    type Error = ErrorKind;
}

impl Read for Socket<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ErrorKind> {
        settle(wait(self.runner, TO_ANSWER, self.tcp.read(buffer)))
    }
}

impl Write for Socket<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        settle(wait(self.runner, TO_ANSWER, self.tcp.write(bytes)))
    }

    fn flush(&mut self) -> Result<(), ErrorKind> {
        settle(wait(self.runner, TO_ANSWER, self.tcp.flush()))
    }
}

fn settle<T, E>(outcome: Option<Result<T, E>>) -> Result<T, ErrorKind> {
    match outcome {
        Some(Ok(value)) => Ok(value),
        Some(Err(_)) => Err(ErrorKind::ConnectionReset),
        None => Err(ErrorKind::TimedOut),
    }
}

/// Runs the network until the future is ready; `None` when it takes too long.
fn wait<F: Future>(
    runner: &mut Runner<'static, Interface>,
    limit: Duration,
    future: F,
) -> Option<F::Output> {
    let since = Instant::now();
    let mut future = pin!(future);
    // The executor polls without end: whoever waits for time need not be woken.
    let bounded = poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending if since.elapsed() > limit => Poll::Ready(None),
        Poll::Pending => Poll::Pending,
    });
    match block_on(select(runner.run(), bounded)) {
        Either::First(never) => never,
        Either::Second(output) => output,
    }
}

fn station(ssid: &str, password: &str) -> Result<Config, NoConnection> {
    let ssid = ssid.try_into().map_err(|_| NoConnection::Radio)?;
    let password = password.try_into().map_err(|_| NoConnection::Radio)?;
    let authentication = AuthenticationMethodConfig::Wpa2Personal(password);
    let station = StationConfig::default()
        .with_ssid(ssid)
        .with_authentication(authentication);
    Ok(Config::Station(station))
}

/// The hardware's generator for TLS.
struct Randomness(Rng);

impl rand_core::RngCore for Randomness {
    fn next_u32(&mut self) -> u32 {
        self.0.random()
    }

    fn next_u64(&mut self) -> u64 {
        rand_core::impls::next_u64_via_u32(self)
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        self.0.read(bytes);
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), rand_core::Error> {
        self.0.read(bytes);
        Ok(())
    }
}

impl rand_core::CryptoRng for Randomness {}
