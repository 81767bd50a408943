//! A UART as the way to the server, for boards and emulators without a radio.
//!
//! The frames are those of the emulated core (`crates/emulated/src/frame.rs`). The host at the other
//! end, `crates/emulation/src/bin/bridge.rs`, turns them into HTTPS requests. It stands for the
//! network, which nobody trusts.

use emulated::frame::Wire;
use esp_hal::Blocking;
use esp_hal::time::{Duration, Instant};
use esp_hal::uart::Uart;

/// The longest time without a byte before the host counts as gone.
const PATIENCE: Duration = Duration::from_secs(10);
/// Silence after which no answer is on its way any more.
const SILENCE: Duration = Duration::from_millis(200);

/// The line to the host.
pub struct Line<'d> {
    uart: Uart<'d, Blocking>,
    /// An answer may still be coming that nobody waits for.
    stale: bool,
}

/// The host does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostSilent;

impl<'d> Line<'d> {
    /// Takes the UART.
    #[must_use]
    pub const fn new(uart: Uart<'d, Blocking>) -> Self {
        Self { uart, stale: true }
    }

    /// Takes what has arrived already.
    fn take(&mut self, buffer: &mut [u8]) -> Result<usize, HostSilent> {
        self.uart.read_buffered(buffer).map_err(|_| {
            self.stale = true;
            HostSilent
        })
    }

    /// Throws away the rest of an answer that was given up.
    fn drain(&mut self) {
        let mut since = Instant::now();
        while since.elapsed() < SILENCE {
            if self.take(&mut [0; 64]) != Ok(0) {
                since = Instant::now();
            }
        }
        self.stale = false;
    }
}

impl Wire for Line<'_> {
    type Error = HostSilent;

    fn send(&mut self, bytes: &[u8]) -> Result<(), HostSilent> {
        if self.stale {
            self.drain();
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            let sent = self.uart.write(rest).map_err(|_| HostSilent)?;
            rest = rest.get(sent..).unwrap_or_default();
        }
        Ok(())
    }

    fn receive(&mut self, buffer: &mut [u8]) -> Result<(), HostSilent> {
        let mut rest = buffer;
        let mut since = Instant::now();
        while !rest.is_empty() {
            match self.take(rest)? {
                0 if since.elapsed() > PATIENCE => {
                    self.stale = true;
                    return Err(HostSilent);
                }
                0 => {}
                count => {
                    rest = rest.get_mut(count..).unwrap_or_default();
                    since = Instant::now();
                }
            }
        }
        Ok(())
    }
}
