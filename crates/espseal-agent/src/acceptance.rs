//! Which documents are accepted against which floors: pure functions over parsed documents.
//!
//! Signatures, digests and I/O are the caller's business ([`crate::metadata`]); everything that is
//! a comparison is here, small enough to be explored exhaustively.

use espseal_format::cohort::{self, Membership, Ppm};
use espseal_format::metadata::direct::{DirectManifest, FlashScheme};
use espseal_format::metadata::manifest::Manifest;
use espseal_format::metadata::now::Now;
use espseal_format::metadata::releases::{Offer, OfferState, Releases};
use espseal_format::metadata::root::{RoleKeys, Root};
use espseal_format::units::{DeviceId, Digest, FlashOffset, Position, Product, SecurityVersion};

use crate::config::Config;
use crate::error::{AgentError, DeviceError, Document, MetadataError};

/// What is known about the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// A clock the network cannot set.
    Trusted(u64),
    /// It is at least this late: the later of the persisted and the built-in floor.
    Floor(u64),
}

impl Clock {
    /// The earliest time it can be.
    #[must_use]
    pub const fn earliest(self) -> u64 {
        match self {
            Self::Trusted(time) | Self::Floor(time) => time,
        }
    }

    /// The clock once a verified `now` was seen: only a floor moves.
    #[must_use]
    pub fn after(self, time: u64) -> Self {
        match self {
            Self::Trusted(_) => self,
            Self::Floor(floor) => Self::Floor(floor.max(time)),
        }
    }
}

/// What `now` documents of this generation have said about the time, when the last of any
/// generation stands at `now_floor`.
///
/// A root that gives `now` a new generation takes away what the old key has said, its time as much
/// as its versions: whoever stole that key could otherwise have every later document expired.
#[must_use]
pub const fn time_told(generation: u32, now_floor: Position, time_floor: u64) -> u64 {
    match generation > now_floor.generation {
        true => 0,
        false => time_floor,
    }
}

/// Accepts the root that follows `trusted`; signatures were counted before.
///
/// # Errors
/// [`MetadataError::WrongProduct`], [`MetadataError::RootVersion`] or
/// [`MetadataError::GenerationFell`]. A threshold that one signature cannot meet is no reason: a chain
/// that refused a root would not reach the one that mends it.
pub fn root_step(trusted: &Root, next: &Root) -> Result<(), MetadataError> {
    let document = Document::Root {
        version: next.version,
    };
    if next.product != trusted.product {
        return Err(MetadataError::WrongProduct { document });
    }
    match trusted.version.checked_add(1) {
        Some(expected) if expected == next.version => {}
        expected => {
            let expected = expected.unwrap_or(u32::MAX);
            return Err(MetadataError::RootVersion {
                expected,
                found: next.version,
            });
        }
    }
    for (old, new) in [
        (&trusted.releases, &next.releases),
        (&trusted.now, &next.now),
    ] {
        if new.generation < old.generation {
            let (trusted, found) = (old.generation, new.generation);
            return Err(MetadataError::GenerationFell { trusted, found });
        }
    }
    Ok(())
}

/// Accepts the last root of a chain: its expiry is tested against a trusted clock only.
///
/// The floor that `now` sets is not asked: whoever steals the `now` key could otherwise expire
/// the root that takes the key away.
///
/// # Errors
/// [`MetadataError::RootExpired`].
pub const fn root(root: &Root, clock: Clock) -> Result<(), MetadataError> {
    match clock {
        Clock::Trusted(time) if time >= root.expires => Err(MetadataError::RootExpired {
            expires: root.expires,
            time,
        }),
        _ => Ok(()),
    }
}

/// Accepts `now` under `root`, the root it names; its signature was checked before.
///
/// `seen_root` is the highest root version ever trusted, which a damaged journal may have lost the
/// body of.
///
/// # Errors
/// A [`MetadataError`] that names `now`.
pub fn now(
    now: &Now,
    root: &Root,
    seen_root: u32,
    floor: Position,
    clock: Clock,
) -> Result<(), MetadataError> {
    let document = Document::Now;
    if now.product != root.product {
        return Err(MetadataError::WrongProduct { document });
    }
    if now.root_version != root.version || now.root_version < seen_root {
        let (trusted, found) = (root.version.max(seen_root), now.root_version);
        return Err(MetadataError::RootRollback { trusted, found });
    }
    position(document, now.position, &root.now, floor)?;
    if now.time > root.max_time {
        return Err(MetadataError::TimeBeyondRoot {
            max_time: root.max_time,
            found: now.time,
        });
    }
    fresh(document, now.expires, clock.after(now.time))
}

/// Accepts `releases` under `root`; its signature was checked before, and its digest is the one
/// that `now` names.
///
/// # Errors
/// A [`MetadataError`] that names `releases`.
pub fn releases(
    releases: &Releases,
    root: &Root,
    floor: Position,
    clock: Clock,
) -> Result<(), MetadataError> {
    let document = Document::Releases;
    if releases.product != root.product {
        return Err(MetadataError::WrongProduct { document });
    }
    position(document, releases.position, &root.releases, floor)?;
    fresh(document, releases.expires, clock)
}

/// What is installed, as far as offers are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Installed {
    /// The highest position ever confirmed.
    pub position: Position,
    /// Its manifest; `None` where only the running image's built-in floor is known.
    pub manifest: Option<Digest>,
}

/// What an offer means for this device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is newer than what is installed, and meant for this device.
    Wanted,
    /// It is what is installed.
    UpToDate,
    /// It is held back for everybody.
    Held,
    /// It is not this device's turn yet.
    NotInCohort,
}

/// Judges an offer.
///
/// # Errors
/// [`DeviceError::Downgrade`] or [`MetadataError::PositionReused`].
pub fn offer(
    offer: &Offer,
    offered: Position,
    now: &Now,
    installed: &Installed,
    device: &DeviceId,
) -> Result<Standing, AgentError> {
    if offered < installed.position {
        return Err(DeviceError::Downgrade {
            installed: installed.position,
            offered,
        }
        .into());
    }
    if offered == installed.position {
        return match installed.manifest {
            Some(manifest) if manifest != offer.manifest => {
                Err(MetadataError::PositionReused { position: offered }.into())
            }
            _ => Ok(Standing::UpToDate),
        };
    }
    // The lower of the offer's own share and its hold's: `now` may only narrow.
    let ppm = now.effective_ppm(offer);
    if offer.state != OfferState::Active || ppm == Ppm::NONE {
        return Ok(Standing::Held);
    }
    Ok(match cohort::includes(&offer.salt, device, ppm) {
        Membership::Inside => Standing::Wanted,
        Membership::Outside => Standing::NotInCohort,
    })
}

/// What this device demands of a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Demands {
    /// Position installed, the built-in one included.
    pub installed: Position,
    /// Lowest secure version: the higher of eFuse and the confirmed running image.
    pub secure_version: SecurityVersion,
    /// Size of the target slot in bytes.
    pub slot_size: u32,
}

/// Accepts a manifest named by an accepted offer at position `offered`.
///
/// # Errors
/// A [`MetadataError`] that names the manifest, or the [`DeviceError`] that keeps this device from
/// taking it.
pub fn manifest(
    manifest: &Manifest,
    offered: Position,
    config: &Config<'_>,
    demands: &Demands,
    clock: Clock,
) -> Result<(), AgentError> {
    let document = Document::Manifest;
    if manifest.product != config.product {
        return Err(MetadataError::WrongProduct { document }.into());
    }
    fresh(document, manifest.expires, clock)?;
    for_this_device(manifest, config)?;
    let minimum = Position {
        generation: offered.generation,
        version: manifest.min_seq,
    };
    let installed = demands.installed;
    if manifest.min_seq > 0 && installed < minimum {
        return Err(DeviceError::TooOld { installed, minimum }.into());
    }
    if manifest.secure_version < demands.secure_version {
        let (floor, found) = (demands.secure_version, manifest.secure_version);
        return Err(DeviceError::SecureVersion { floor, found }.into());
    }
    // That lengths and pages agree with each other is part of parsing.
    let (slot_size, length) = (demands.slot_size, manifest.component.body_length);
    if length > slot_size {
        return Err(DeviceError::TooLarge { slot_size, length }.into());
    }
    Ok(())
}

fn for_this_device(manifest: &Manifest, config: &Config<'_>) -> Result<(), DeviceError> {
    if manifest.vendor != config.vendor {
        return Err(DeviceError::WrongVendor);
    }
    if manifest.class != config.class {
        return Err(DeviceError::WrongClass);
    }
    if manifest.chip != config.chip {
        let (expected, found) = (config.chip.to_u16(), manifest.chip.to_u16());
        return Err(DeviceError::WrongChip { expected, found });
    }
    Ok(())
}

/// What a direct manifest has to say, all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirectDemands {
    /// The product.
    pub product: Product,
    /// SHA-256 of the manifest on offer.
    pub manifest: Digest,
    /// This device.
    pub device: DeviceId,
    /// How eFuses have this device's flash encrypted.
    pub scheme: FlashScheme,
    /// First byte of the slot to update, which is never the running one.
    pub slot: FlashOffset,
    /// First byte of the journal.
    pub journal: FlashOffset,
    /// Length of the image that the manifest describes.
    pub plaintext_length: u32,
}

/// Accepts a direct manifest; its signature was checked before.
///
/// # Errors
/// [`MetadataError::WrongProduct`] or one of the `Direct` variants of [`DeviceError`].
pub fn direct(direct: &DirectManifest, demands: &DirectDemands) -> Result<(), AgentError> {
    if direct.product != demands.product {
        let document = Document::Direct;
        return Err(MetadataError::WrongProduct { document }.into());
    }
    if direct.manifest != demands.manifest {
        let found = direct.manifest;
        return Err(DeviceError::DirectRelease { found }.into());
    }
    if direct.device != demands.device {
        return Err(DeviceError::DirectDevice.into());
    }
    if direct.scheme != demands.scheme {
        let (expected, found) = (demands.scheme, direct.scheme);
        return Err(DeviceError::DirectScheme { expected, found }.into());
    }
    if direct.slot != demands.slot {
        let (expected, found) = (demands.slot, direct.slot);
        return Err(DeviceError::DirectSlot { expected, found }.into());
    }
    if direct.journal != demands.journal {
        let (expected, found) = (demands.journal, direct.journal);
        return Err(DeviceError::DirectJournal { expected, found }.into());
    }
    let padded = DirectManifest::padded(demands.plaintext_length);
    if padded != Some(direct.image_length) {
        return Err(DeviceError::DirectLength {
            expected: padded.unwrap_or(u32::MAX),
            found: direct.image_length,
        }
        .into());
    }
    Ok(())
}

/// The generation is the one the root assigns, and nothing earlier than the floor comes back.
fn position(
    document: Document,
    found: Position,
    role: &RoleKeys,
    floor: Position,
) -> Result<(), MetadataError> {
    if found.generation != role.generation {
        let (expected, found) = (role.generation, found.generation);
        return Err(MetadataError::Generation {
            document,
            expected,
            found,
        });
    }
    if found < floor {
        return Err(MetadataError::Rollback {
            document,
            floor,
            found,
        });
    }
    Ok(())
}

/// The document has not expired.
pub(crate) const fn fresh(
    document: Document,
    expires: u64,
    clock: Clock,
) -> Result<(), MetadataError> {
    let time = clock.earliest();
    if time >= expires {
        return Err(MetadataError::Expired {
            document,
            expires,
            time,
        });
    }
    Ok(())
}
