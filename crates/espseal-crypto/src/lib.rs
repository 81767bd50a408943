//! Keys as types, and everything that is done with them.
//!
//! Portable software cryptography for devices and hosts alike: no allocation, no I/O, no clock.
//! Secrets are wiped when dropped, cannot be cloned and print redacted. A failed authentication
//! says nothing but that it failed.
#![no_std]
#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

#[macro_use]
mod secret;

pub mod content;
pub mod cose;
pub mod device_key;
pub mod ecies;
pub mod epoch;
pub mod es256;
pub mod flash_encryption;
pub mod flash_key;
mod hmac;
mod nist_p256;
pub mod nvs_encryption;
pub mod secure_boot;
mod words;

#[cfg(test)]
mod test_rng;
