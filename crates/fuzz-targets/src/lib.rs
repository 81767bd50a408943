//! The bodies of the fuzz targets.
//!
//! A target takes any bytes and panics when something is not as it should be: not only when code
//! panics, but when parsing and encoding disagree, or two readers that should agree do not.
//! libFuzzer runs them (`fuzz/`), a mutator in process does (`cargo xtask fuzz-smoke`), and
//! `tests/corpus.rs` replays the committed corpus, findings included.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "a target that is not satisfied panics"
)]

mod agent;
mod boot;
mod documents;
mod efuses;
mod flash;
mod images;
mod input;
mod publish;
mod server;
mod signatures;
mod tables;

pub mod corpus;
pub mod mutator;
pub mod seeds;
pub mod smoke;

/// A target: what it is called, and what it does with an input.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Name of its binary in `fuzz/fuzz_targets`, and of its folder in `fuzz/corpus`.
    pub name: &'static str,
    /// Longest input worth trying, in bytes.
    pub longest: usize,
    /// Panics when something is not as it should be.
    pub run: fn(&[u8]),
}

macro_rules! targets {
    ($($name:ident: $longest:literal, $module:ident;)+) => {
        /// All targets.
        pub const TARGETS: &[Target] = &[$(
            Target { name: stringify!($name), longest: $longest, run: $name },
        )+];

        $(
            #[doc = concat!("The target `", stringify!($name), "`.")]
            pub fn $name(data: &[u8]) {
                $module::$name(data);
            }
        )+
    };
}

targets! {
    image: 4096, images;
    app_descriptor: 300, images;
    bootloader_descriptor: 128, images;
    partition_table: 3200, tables;
    partition_csv: 2048, tables;
    otadata: 128, tables;
    nvs: 64, tables;
    journal: 4200, flash;
    root_body: 4200, flash;
    enc_img_header: 600, images;
    signature_sector: 4200, signatures;
    secure_boot_block: 1300, signatures;
    app_signature: 256, signatures;
    debug_certificate: 300, signatures;
    cose: 2300, documents;
    root: 1200, documents;
    releases: 2048, documents;
    now: 1024, documents;
    manifest: 1024, documents;
    report: 512, documents;
    shard: 2048, documents;
    repository_path: 256, documents;
    efuse_fields: 128, efuses;
    efuse_files: 1100, efuses;
    boot: 512, boot;
    inspect: 4096, boot;
    project: 4096, publish;
    device_record: 4096, publish;
    hsm_config: 1024, publish;
    release_log: 2048, publish;
    pem_key: 4096, publish;
    signed_data: 8300, publish;
    server: 1024, server;
    agent: 512, agent;
}
