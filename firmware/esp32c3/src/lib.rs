//! The update agent on an ESP32-C3: what a maker's firmware adds to esp-hal.
//!
//! The agent itself is `espseal-agent`, unchanged. Here is what it asks of the chip: flash through
//! the hardware's encryption ([`flash`]), eFuses and the running slot ([`chip`]), the AES and SHA
//! engines ([`engines`]), keys from the HMAC engine ([`device_key`]), a way to the server
//! ([`line`], or Wi-Fi with the feature of that name), and what an app does between two restarts ([`life`]). [`board`] puts it together.
#![no_std]
#![forbid(unsafe_code)]

pub mod board;
pub mod built_in;
pub mod chip;
pub mod device_key;
pub mod engines;
pub mod flash;
pub mod life;
pub mod line;
pub mod watchdog;
#[cfg(feature = "wifi")]
pub mod wifi;
