//! `espseal espsecure` against espsecure 5.6.0: the same files, the same refusals.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "whatever fails here fails the test"
)]

mod bench;
mod bootloader;
mod elsewhere;
mod flash_data;
mod help;
mod keys;
mod made;
mod mask;
mod outputs;
mod sdc;
mod signing;
mod spelling;
mod verifying;
