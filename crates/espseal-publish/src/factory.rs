//! Makes devices: for each a flash image that only its chip can read, its keys, its eFuse plan, and what the
//! fleet has to know about it.
//!
//! * [`line`](mod@line): what all devices share is read, checked and laid out once; [`Line::make`](line::Line::make)
//!   makes one device in memory.
//! * [`order`]: which devices are wanted: a number of them, or the rows of a CSV file.
//! * [`identity`]: a device's own keys and their public halves.
//! * [`folder`]: the files of one device, there whole or not at all.
//! * [`batch`]: many devices, on all cores, resumable.
//!
//! Secrets of a device exist in memory, in its encrypted image, in the key files that its eFuse script burns,
//! and, if a recipient is named, encrypted in [`escrow`](crate::escrow); nowhere else.

pub mod batch;
mod cores;
pub mod error;
pub mod folder;
pub mod identity;
pub mod line;
pub mod order;
