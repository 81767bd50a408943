//! A virtual ESP32: NOR flash, eFuses, flash encryption, and the decisions of ROM and bootloader.
//!
//! It exists to rehearse what cannot be undone, and to cut the power where no bench can.

pub mod bus;
pub mod chip;
pub mod efuse;
pub mod nor;
pub mod power;
