//! The release authority from the outside: a project in a temporary folder, and what becomes
//! visible in its repository.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod admission;
mod direct;
mod ecies;
mod efuse_plan;
mod factory;
mod interruption;
mod nvs;
mod oracle;
mod refusals;
mod rehearsal;
mod releases;
mod root;
mod schemes;
mod signing;
mod support;
