//! Whole virtual devices: what they boot, and what survives.

mod anti_rollback;
mod decisions;
mod factory;
mod hardware;
mod idf;
mod power_cut;
mod real_images;
mod secure_boot;
mod support;
mod transport;
