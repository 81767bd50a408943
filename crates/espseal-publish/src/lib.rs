//! The release authority: everything that a maker does with private keys.
//!
//! Seals signed images, wraps content keys for devices, signs the metadata that says which release
//! is current, and keeps the records of all that. What it publishes are static files that any
//! host may serve; no private key and no plaintext is among them.
//!
//! A release walks through [`image_check`], [`seal`], [`rehearsal`], [`epochs`],
//! [`idf_recipient`], [`metadata_signing`] and [`repository`]; [`release`] leads it.

pub mod admission;
pub mod app_signature;
pub mod authority;
pub mod blame;
pub mod bootloader_digest;
pub mod creation;
pub mod data_signing;
pub mod debug_certificate;
pub mod development_ca;
pub mod direct;
pub mod efuse_keys;
pub mod efuse_plan;
pub mod enrolment;
pub mod epochs;
pub mod escrow;
pub mod factory;
pub mod files;
pub mod flash_encryption;
pub mod idf_recipient;
pub mod image_check;
pub mod image_signing;
pub mod keys;
pub mod metadata_signing;
pub mod nvs;
pub mod observer;
pub mod pkcs11;
pub mod project;
pub mod rehearsal;
pub mod release;
pub mod release_log;
pub mod repository;
pub mod rollout;
pub mod root_renewal;
pub mod seal;
pub mod secure_boot_key;
pub mod toml_error;
