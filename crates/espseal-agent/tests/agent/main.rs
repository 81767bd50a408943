//! The agent against a maker, a hostile repository, worn flash and power cuts.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_possible_truncation
)]

mod bodies;
mod boots;
mod codes;
mod direct;
mod engines;
mod images;
mod layout;
mod limits;
mod metadata;
mod offers;
mod power_cut;
mod roots;
mod staging;
mod support;
mod update;
