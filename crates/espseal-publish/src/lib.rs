//! The release authority: everything that a maker does with private keys.
//!
//! Seals signed images, wraps content keys for devices, signs the metadata that says which release
//! is current, and keeps the records of all that. What it publishes are static files that any
//! host may serve; no private key and no plaintext is among them.

pub mod blame;
pub mod development_ca;
pub mod enrolment;
pub mod files;
pub mod keys;
pub mod project;
pub mod release_log;
pub mod repository;
pub mod rsa_signer;
