//! Proofs by exhaustion: what can be enumerated is enumerated. Nothing but the fuzz targets depends on
//! this crate.
//!
//! `cargo xtask power-cut` and its siblings run its program; its unit tests are the share of every
//! proof that `cargo xtask test` has time for.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "a proof that cannot go on fails"
)]

pub mod command;
pub mod fuzz;

mod answer;
mod direct;
mod faults;
mod geometry;
mod hostile;
mod image;
mod maker;
mod model;
mod power_cut;
mod repository;

// Test keys and reproducible randomness are those of the agent's own tests.
#[path = "../../espseal-agent/tests/agent/support/rng.rs"]
mod rng;
#[path = "../../espseal-agent/tests/agent/support/rsa.rs"]
mod rsa;
