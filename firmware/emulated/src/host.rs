//! The line to the host: standard input and output of QEMU, opened through semihosting.
//!
//! Semihosting moves whole buffers at once. The board's UART has eight bytes of queue, each of which
//! costs QEMU a turn of its main loop.
//!
//! Source: "Semihosting for AArch32 and AArch64" (Arm), "RISC-V Semihosting" for the call.

use core::arch::asm;

use emulated::frame::Wire;

const SYS_OPEN: usize = 0x01;
const SYS_WRITE: usize = 0x05;
const SYS_READ: usize = 0x06;
/// Modes of `SYS_OPEN`, as `fopen` knows them.
const READ_BINARY: usize = 1;
const WRITE_BINARY: usize = 5;

/// The host, as two files.
#[derive(Clone, Copy, Debug)]
pub struct Host {
    input: usize,
    output: usize,
}

/// The host has gone.
#[derive(Clone, Copy, Debug)]
pub struct HostGone;

impl Host {
    /// Opens the line.
    pub fn open() -> Self {
        let open =
            |name: &'static str, mode| call(SYS_OPEN, [name.as_ptr().addr(), mode, name.len() - 1]);
        Self {
            input: open("/dev/stdin\0", READ_BINARY),
            output: open("/dev/stdout\0", WRITE_BINARY),
        }
    }
}

impl Wire for Host {
    type Error = HostGone;

    fn send(&mut self, bytes: &[u8]) -> Result<(), HostGone> {
        match call(SYS_WRITE, [self.output, bytes.as_ptr().addr(), bytes.len()]) {
            0 => Ok(()),
            _ => Err(HostGone),
        }
    }

    fn receive(&mut self, buffer: &mut [u8]) -> Result<(), HostGone> {
        let mut rest = buffer;
        while !rest.is_empty() {
            let missing = call(SYS_READ, [self.input, rest.as_mut_ptr().addr(), rest.len()]);
            let read = rest.len().checked_sub(missing).ok_or(HostGone)?;
            rest = rest.get_mut(read..).filter(|_| read > 0).ok_or(HostGone)?;
        }
        Ok(())
    }
}

/// One semihosting call: its number and the block of its arguments.
fn call(number: usize, arguments: [usize; 3]) -> usize {
    let answer;
    // SAFETY: the three instructions are the call's signature; the host reads the block and reads or
    // writes the buffer that the block names, which the caller holds.
    unsafe {
        asm!(
            ".balign 16",
            ".option push",
            ".option norvc",
            "slli x0, x0, 0x1f",
            "ebreak",
            "srai x0, x0, 7",
            ".option pop",
            inlateout("a0") number => answer,
            in("a1") arguments.as_ptr(),
        );
    }
    answer
}
