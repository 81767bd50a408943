//! The server and the release authority killed at any moment, under load; a full disk; a read-only
//! folder. No acknowledged report is lost, no half-published release is ever visible, and
//! everything starts again by itself.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

#[path = "durability/client.rs"]
mod client;
#[path = "durability/disk.rs"]
mod disk;
#[path = "durability/fleet.rs"]
mod fleet;
#[path = "durability/storm.rs"]
mod storm;

/// Kills that `cargo test` has time for.
const SHARE: u32 = 12;
/// Kills of `cargo xtask durability`.
const STORM: u32 = 200;

#[test]
fn nothing_acknowledged_is_lost_and_nothing_half_published_is_seen_when_power_goes() {
    storm::run(SHARE);
}

#[test]
#[ignore = "takes minutes: cargo xtask durability"]
fn two_hundred_kills_under_load_lose_nothing() {
    storm::run(STORM);
}

#[test]
fn full_disks_and_read_only_folders_refuse_reports_and_take_them_again_afterwards() {
    disk::run();
}
