//! What the fuzz targets take from the proofs: a device with its judge, and the maker's artefacts.
//!
//! [`AgentBench`] lives through a script of hostile answers, broken flash and power cuts; [`BootBench`]
//! boots flash that somebody wrote into. Both panic when something happens that must not.

mod agent;
mod boot;
mod script;

use espseal_format::chip::ChipId;
use espseal_format::units::Digest;

use crate::hostile::attacks::{Scene, app};

pub use agent::AgentBench;
pub use boot::BootBench;

/// An honest repository, by path.
#[must_use]
pub fn repository() -> Vec<(String, Vec<u8>)> {
    Scene::maker_now().files.into_iter().collect()
}

/// A signed image and a bootloader.
#[must_use]
pub fn images() -> [Vec<u8>; 2] {
    let bootloader = crate::image::bootloader(ChipId::Esp32C3, 0, Some(crate::rsa::OWN));
    [app("2.0").build(), bootloader]
}

/// A genuine RSA block over `image`.
#[must_use]
pub fn rsa_block(image: &[u8]) -> [u8; 1216] {
    crate::rsa::OWN.sign(&Digest::of(image)).encode()
}
