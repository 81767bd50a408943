//! The transport against real servers: `espseal serve`, and one that nobody has authenticated.
//!
//! `ESPSEAL` names the built `espseal`; `cargo xtask firmware` sets it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test fails loudly"
)]

mod impostor;
mod serve;
mod socket;
