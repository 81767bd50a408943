//! Keyless HTTPS front of an espseal repository.
//!
//! Serves signed metadata and ciphertext, answers polls, keeps signed reports, and puts
//! `header || body` together for unmodified ESP-IDF devices. It holds no key that a device trusts,
//! and links no code that could sign, unwrap or decrypt: of the workspace it depends on
//! `espseal-format` alone.

pub mod clock;
pub mod config;
pub mod handler;
pub mod log;
pub mod serve;

mod answer;
mod files;
mod health;
mod idf;
mod poll;
mod report;
mod repository;
mod site;
mod store;
