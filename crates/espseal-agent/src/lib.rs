//! The device's update state machine: what a device does between two polls.
//!
//! No allocation, no threads, no I/O of its own: flash, network, key hardware and the chip's
//! eFuses are traits, and the memory for one chunk and one page of hashes is lent by the caller.
#![no_std]
#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

pub mod config;
pub mod error;
pub mod flash;
pub mod observer;
pub mod platform;
