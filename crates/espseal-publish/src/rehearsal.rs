//! Rehearsals on virtual devices.
//!
//! Every release goes through one before anything of it is published: [`Rehearsal`]. A maker holds one
//! with the files of a whole product before anything is burnt: [`report::rehearse`].
//!
//! * [`product`], [`keys`], [`evidence`]: what goes in.
//! * [`report`], [`catalogue`]: what comes out.
//! * [`images`], [`signer`]: images and keys for where there are no real ones.

use espseal_format::chip::ChipId;
use espseal_format::metadata::manifest::Manifest;

mod bench;
pub mod catalogue;
pub mod evidence;
pub mod images;
pub mod keys;
pub mod product;
pub mod report;
mod repository;
pub mod signer;
mod tamper;
mod twin;

pub use bench::BenchError;

pub use twin::TwinRehearsal;

use espseal_format::units::{DeviceId, Position};

use crate::authority::AuthorityError;
use crate::direct::{Audience, DirectImage, DirectRelease};
use crate::escrow::EscrowedKey;
use crate::image_check::CheckedImage;
use crate::project::{Channel, Fleet, Project};
use crate::seal::SealedBody;

/// The exact artefacts of a release, before anybody else sees them.
#[derive(Debug)]
pub struct Exhibit<'a> {
    /// The project.
    pub project: &'a Project,
    /// The fleet it is for.
    pub fleet: &'a Fleet,
    /// The channel it goes to.
    pub channel: &'a Channel,
    /// The image that goes in.
    pub image: &'a CheckedImage,
    /// The sealed body.
    pub sealed: &'a SealedBody,
    /// The manifest.
    pub manifest: &'a Manifest,
    /// Its bytes.
    pub manifest_bytes: &'a [u8],
    /// Its place in the order of installations.
    pub position: Position,
    /// Agents that shall receive it.
    pub agents: usize,
    /// Devices with unmodified ESP-IDF that shall receive it.
    pub esp_idf: EspIdfRecipients,
    /// A direct image of it, if there are to be any.
    pub direct: Option<&'a DirectExhibit>,
    /// The time, in seconds since 1970.
    pub time: u64,
}

/// How many devices with unmodified ESP-IDF there are of each scheme.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EspIdfRecipients {
    /// RSA: a header each, and the body of all.
    pub rsa: usize,
    /// ECIES: a file each.
    pub ecies: usize,
}

/// The exact direct images of one device that is to receive them.
#[derive(Debug)]
pub struct DirectExhibit {
    /// The device.
    pub device: DeviceId,
    /// Its flash key, from escrow.
    pub key: EscrowedKey,
    /// An image for each OTA slot.
    pub images: Vec<DirectImage>,
}

impl DirectExhibit {
    /// Makes those of the first device.
    pub(crate) fn of(
        release: &DirectRelease<'_>,
        audience: &Audience,
    ) -> Result<Self, AuthorityError> {
        let (device, key) = audience.first()?;
        let mut images = Vec::new();
        for slot in audience.slots() {
            images.push(DirectImage::make(release, device, &key, *slot)?);
        }
        Ok(Self {
            device,
            key,
            images,
        })
    }
}

/// Runs an update with the exact artefacts, as a device of the fleet would.
pub trait Rehearsal {
    /// Rehearses a release.
    ///
    /// # Errors
    /// [`RehearsalFailed`] when a device would not end up running it.
    fn rehearse(&self, exhibit: &Exhibit<'_>) -> Result<Rehearsed, RehearsalFailed>;
}

/// What a rehearsal showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rehearsed {
    /// What happened, one line a step, in the words of the boot log.
    pub log: Vec<String>,
}

/// The virtual device did not end up running the release.
#[derive(Debug, thiserror::Error)]
#[error(
    "the rehearsal failed while {step}: {found}; expected a virtual {chip} to update to this image \
     and confirm it, so nothing was published"
)]
pub struct RehearsalFailed {
    /// Chip of the virtual device.
    pub chip: ChipId,
    /// What it was doing.
    pub step: &'static str,
    /// What it said.
    pub found: String,
}
