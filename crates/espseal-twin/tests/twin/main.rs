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
mod hardware;
mod hostile_network;
mod idf;
mod inspect;
mod maker;
mod power_cut;
mod real_images;
mod refusals;
mod secure_boot;
mod support;
mod transport;
