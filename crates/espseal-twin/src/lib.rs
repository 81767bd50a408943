//! A virtual ESP32: NOR flash, eFuses, flash encryption, and the decisions of ROM and bootloader.
//!
//! It exists to rehearse what cannot be undone, and to cut the power where no bench can.
//!
//! * [`device`]: a whole device, and the ports that the agent runs on.
//! * [`lifecycle`]: boot, update, restart, confirm.
//! * [`factory`]: what a factory writes and burns.
//! * [`boot`]: what boots, and why.
//! * [`power`], [`nor`], [`efuse`], [`bus`]: the hardware.
//! * [`any_scheme`]: the agent's check of signatures, for any chip.
//! * [`espefuse`]: espefuse's command lines on virtual chips.
//! * [`folder`], [`https`], [`recording`]: the agent's network.
//! * [`inspect`]: what a dump or an image file holds, for people.
//! * [`idf`]: the same hardware under unmodified ESP-IDF.

pub mod any_scheme;
pub mod boot;
pub mod bus;
pub mod device;
pub mod efuse;
pub mod espefuse;
pub mod factory;
pub mod folder;
pub mod https;
pub mod idf;
pub mod inspect;
pub mod lifecycle;
pub mod nor;
pub mod power;
pub mod recording;
