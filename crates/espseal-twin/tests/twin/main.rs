//! Whole virtual devices: what they boot, and what survives.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "a test fails by panicking, and its numbers are small"
)]

mod agent;
mod anti_rollback;
mod decisions;
mod factory;
mod first_boot;
mod hardware;
mod hostile_network;
mod idf;
mod idf_ecies;
mod inspect;
mod maker;
mod otadata_model;
mod pins;
mod power_cut;
mod real_images;
mod refusals;
mod secure_boot;
mod support;
mod transport;
