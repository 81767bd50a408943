//! The device's update state machine: what a device does between two polls.
//!
//! No allocation, no threads, no I/O of its own: flash, network, key hardware and the chip's
//! eFuses are traits, and the memory for one chunk and one page of hashes is lent by the caller.
//!
//! Order of checks: metadata; size, chip, slot; unwrap; commitments; page hash; chunk hash;
//! decrypt; write and read back; whole-image digest read from flash; secure-boot signature; app
//! descriptor. Nothing outside the journal is erased before the commitments have held.
#![no_std]
#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

pub mod acceptance;
pub mod agent;
pub mod boot;
pub mod config;
pub mod crypto;
pub mod device_key;
pub mod error;
pub mod flash;
pub mod observer;
pub mod platform;
pub mod transport;
pub mod workspace;

mod activate;
mod confirm;
mod direct;
mod fetch;
mod journal;
mod key;
mod medium;
mod metadata;
mod report;
mod stage;
mod verify;
