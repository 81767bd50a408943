//! Byte layouts of the ESP32 family and of the espseal protocol.
//!
//! Turns bytes into types and back. No I/O, no allocation, no keys: hashing is the only
//! cryptography here, so that the keyless server can depend on this crate alone.
#![no_std]
#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

pub mod app_desc;
pub mod body;
pub mod bootloader_desc;
pub mod cbor;
pub mod chip;
pub mod cohort;
pub mod cose;
mod crc32;
pub mod efuse;
pub mod enc_img;
pub mod image;
pub mod journal;
pub mod metadata;
pub mod nvs;
pub mod otadata;
pub mod partition_table;
pub mod read;
pub mod report;
pub mod repository;
pub mod sdc;
pub mod secure_boot_v1;
pub mod sha256;
pub mod sha384;
pub mod signature_block;
pub mod units;
pub mod wrap;
