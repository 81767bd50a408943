//! What the program on the emulated core is made of, as far as a host can test it.
//!
//! * [`frame`], [`device`], [`journey`]: what crosses between that program and its host.
//! * [`transport`]: the agent's transport over those frames.
//! * [`nor`]: a driver for SPI NOR flash chips.
//! * [`flash`]: flash encryption in software over it, and power cuts at any flash operation.
//!
//! `firmware/emulated` adds start code, registers and semihosting; `crates/emulation` is the host.
#![no_std]
#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

pub mod device;
pub mod flash;
pub mod frame;
pub mod journey;
pub mod nor;
pub mod transport;

mod cursor;
