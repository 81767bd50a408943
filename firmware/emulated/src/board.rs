//! The board: registers of the SiFive Unleashed, as `qemu-system-riscv32 -M sifive_u` models them.
//!
//! Source: SiFive FU540-C000 manual, chapters "SPI" and "GPIO"; QEMU 7.2 connects the board's
//! restart line to GPIO 10 and the flash chip to chip select 0 of QSPI0.

use core::ptr;

use emulated::nor::SpiBus;

const GPIO: usize = 0x1006_0000;
const GPIO_OUTPUT_ENABLE: usize = GPIO + 0x08;
const GPIO_OUTPUT: usize = GPIO + 0x0C;
/// Low restarts the board.
const RESTART: u32 = 1 << 10;

const QSPI: usize = 0x1004_0000;
const QSPI_SELECT_MODE: usize = QSPI + 0x18;
const QSPI_FORMAT: usize = QSPI + 0x40;
const QSPI_SEND: usize = QSPI + 0x48;
const QSPI_RECEIVE: usize = QSPI + 0x4C;
/// Frames of 8 bits in which both sides talk.
const BOTH: u32 = 8 << 16;
/// Frames of 8 bits in which nothing is kept of what comes in.
const SEND_ONLY: u32 = BOTH | 1 << 3;
/// Chip select is released after each frame.
const RELEASE: u32 = 0;
/// Chip select is held.
const HOLD: u32 = 2;
/// Nothing has come in.
const EMPTY: u32 = 1 << 31;

fn write(register: usize, value: u32) {
    // SAFETY: every address above is a 32-bit register of a device that this program owns alone.
    unsafe { ptr::write_volatile(register as *mut u32, value) }
}

fn read(register: usize) -> u32 {
    // SAFETY: as in `write`.
    unsafe { ptr::read_volatile(register as *const u32) }
}

/// Takes power away.
///
/// The restart line and not a semihosting exit: with `-no-reboot` QEMU then ends in order, after
/// the flash file holds every write that was made.
pub fn power_off() -> ! {
    write(GPIO_OUTPUT_ENABLE, RESTART);
    write(GPIO_OUTPUT, RESTART);
    write(GPIO_OUTPUT, 0);
    loop {
        core::hint::spin_loop();
    }
}

/// The flash chip's bus. The emulated controller shifts each byte at once, so that its queues are
/// never full.
#[derive(Debug)]
pub struct Qspi;

impl Qspi {
    /// Releases the chip, whatever went before.
    pub fn new() -> Self {
        write(QSPI_SELECT_MODE, RELEASE);
        Self
    }
}

impl SpiBus for Qspi {
    fn select(&mut self) {
        write(QSPI_SELECT_MODE, HOLD);
    }

    fn deselect(&mut self) {
        write(QSPI_SELECT_MODE, RELEASE);
    }

    fn send(&mut self, bytes: &[u8]) {
        write(QSPI_FORMAT, SEND_ONLY);
        for byte in bytes {
            write(QSPI_SEND, u32::from(*byte));
        }
    }

    fn receive(&mut self, buffer: &mut [u8]) {
        write(QSPI_FORMAT, BOTH);
        for byte in buffer {
            write(QSPI_SEND, 0);
            let mut received = read(QSPI_RECEIVE);
            while received & EMPTY != 0 {
                received = read(QSPI_RECEIVE);
            }
            *byte = received.to_le_bytes()[0];
        }
    }
}
