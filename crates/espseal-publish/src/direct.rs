//! Direct images: a release once more for each device whose flash key is in escrow, as the
//! ciphertext that its flash will hold.
//!
//! For makers who want no decryption key on their devices. Which slot is free only the device
//! knows, so that there is an image for each OTA slot. Equal blocks of two releases at one address
//! are equal in ciphertext too: whoever reads the repository sees which parts of an image changed,
//! though not what they say.
//!
//! The bytes are described in `docs/protocol.md`, "Direct manifest".

mod error;

use std::path::PathBuf;

use espseal_crypto::cose::verify_sign1;
use espseal_format::chip::{ChipId, SchemeId};
use espseal_format::cose::{Role, Sign1};
use espseal_format::journal::RootLocation;
use espseal_format::metadata::direct::{DirectManifest, FlashScheme};
use espseal_format::metadata::releases::Offer;
use espseal_format::partition_table::{MAX_SLOTS, PartitionType, Subtype};
use espseal_format::repository::Resource;
use espseal_format::units::{CHUNK_SIZE, CHUNKS_PER_PAGE, DeviceId, Digest, FlashOffset, Product};
use zeroize::Zeroizing;

pub use error::DirectError;

use crate::authority::{Authority, AuthorityError};
use crate::enrolment::Recipient;
use crate::escrow::{Escrow, EscrowedKey, Identities};
use crate::image_check::CheckedImage;
use crate::keys::open_role_key;
use crate::metadata_signing::sign_direct;
use crate::observer::{Observer, Stage};
use crate::project::{Channel, Fleet};
use crate::release::stop_if_asked;
use crate::repository::Store as _;

/// Where the flash keys are, and what opens them.
#[derive(Clone, Debug)]
pub struct DirectRequest {
    /// The folder of escrowed keys.
    pub escrow: PathBuf,
    /// The age identity file that opens them.
    pub identity: PathBuf,
}

/// A release as ciphertext for one slot of one device.
#[derive(Clone, Debug)]
pub struct DirectImage {
    /// What is signed about it.
    pub manifest: DirectManifest,
    /// Number of the OTA slot.
    pub slot: u8,
    /// Raw bytes: the padded image, then the two probes.
    pub body: Vec<u8>,
    /// Page file: the SHA-256 of each 4096-byte chunk, one after the other.
    pub pages: Vec<u8>,
}

/// The parts of a release that every direct image of it shares.
#[derive(Clone, Copy, Debug)]
pub struct DirectRelease<'a> {
    /// The product.
    pub product: Product,
    /// SHA-256 of the release's manifest.
    pub manifest: Digest,
    /// The signed image.
    pub image: &'a CheckedImage,
    /// First byte of the journal.
    pub journal: FlashOffset,
}

/// The devices of a channel that a release is made for directly, and where it goes.
#[derive(Debug)]
pub(crate) struct Audience {
    escrow: Escrow,
    identities: Identities,
    devices: Vec<DeviceId>,
    slots: Vec<(u8, FlashOffset)>,
    journal: FlashOffset,
    chip: ChipId,
}

impl DirectImage {
    /// Encrypts an image for a device's flash, and decrypts it again before anybody gets to see it.
    ///
    /// # Errors
    /// [`DirectError::Padding`] for an image that fits no slot, [`DirectError::NotOpened`] when what
    /// came out does not decrypt to what went in.
    pub fn make(
        release: &DirectRelease<'_>,
        device: DeviceId,
        key: &EscrowedKey,
        (slot, address): (u8, FlashOffset),
    ) -> Result<Self, DirectError> {
        let image = release.image.bytes();
        let image_length = u32::try_from(image.len())
            .ok()
            .and_then(DirectManifest::padded)
            .ok_or(DirectError::Padding {
                length: image.len(),
            })?;
        let mut plain = Zeroizing::new(image.to_vec());
        plain.resize(image.len().next_multiple_of(CHUNK_SIZE), 0xFF);
        let head: Vec<u8> = plain.iter().take(CHUNK_SIZE).copied().collect();
        let probe = Digest::of(&head);
        plain.extend(head.iter().chain(&head));

        let mut manifest = DirectManifest {
            product: release.product,
            manifest: release.manifest,
            device,
            scheme: scheme_of(key),
            slot: address,
            journal: release.journal,
            probe,
            image_length,
            body: Digest([0; Digest::LEN]),
            pages: heapless::Vec::new(),
        };
        let mut body = plain.to_vec();
        let cipher = key.cipher();
        for (at, part) in parts(&manifest, &mut body)? {
            cipher.encrypt(at, part)?;
        }
        let mut opened = Zeroizing::new(body.clone());
        for (at, part) in parts(&manifest, &mut opened)? {
            cipher.decrypt(at, part)?;
        }
        if *opened != *plain {
            return Err(DirectError::NotOpened { device });
        }
        let pages: Vec<u8> = body
            .chunks(CHUNK_SIZE)
            .flat_map(|chunk| Digest::of(chunk).0)
            .collect();
        for page in pages.chunks(CHUNKS_PER_PAGE * Digest::LEN) {
            let length = image.len();
            let page = manifest.pages.push(Digest::of(page));
            page.map_err(|_| DirectError::Padding { length })?;
        }
        manifest.body = Digest::of(&body);
        Ok(Self {
            manifest,
            slot,
            body,
            pages,
        })
    }

    /// Where its direct manifest lies.
    #[must_use]
    pub const fn resource(&self) -> Resource<'_> {
        Resource::Direct {
            manifest: &self.manifest.manifest,
            device: &self.manifest.device,
            slot: self.slot,
        }
    }
}

impl Audience {
    /// The first device and its flash key, for the rehearsal.
    pub(crate) fn first(&self) -> Result<(DeviceId, EscrowedKey), AuthorityError> {
        let device = self.devices.first().ok_or(DirectError::NoKeys {
            folder: PathBuf::new(),
        })?;
        Ok((*device, self.key_of(*device)?))
    }

    /// The slots that an image goes to.
    pub(crate) fn slots(&self) -> &[(u8, FlashOffset)] {
        &self.slots
    }

    /// First byte of the journal.
    pub(crate) const fn journal(&self) -> FlashOffset {
        self.journal
    }

    fn key_of(&self, device: DeviceId) -> Result<EscrowedKey, DirectError> {
        let key = self.escrow.find_device(device, &self.identities)?;
        if key.chip != self.chip {
            let (expected, found) = (self.chip, key.chip);
            return Err(DirectError::OtherChip {
                device,
                expected,
                found,
            });
        }
        Ok(key)
    }
}

impl Authority {
    /// Removes the direct images of a device for a release.
    ///
    /// The repository may lie on a host that nobody trusts: only what the releases key signed is
    /// believed about which body is the device's own.
    pub(crate) fn remove_direct(
        &self,
        manifest: &Digest,
        device: &DeviceId,
    ) -> Result<(), AuthorityError> {
        for slot in (0..).take(MAX_SLOTS) {
            let resource = Resource::Direct {
                manifest,
                device,
                slot,
            };
            let Some(bytes) = self.store.get(&resource.path())? else {
                continue;
            };
            let (product, keys) = (&self.project.product, &self.root.releases.keys);
            let own = Sign1::parse(&bytes)
                .ok()
                .filter(|signed| verify_sign1(signed, Role::Direct, product, keys).is_ok())
                .and_then(|signed| DirectManifest::parse(signed.payload).ok())
                .filter(|direct| direct.device == *device);
            if let Some(direct) = own {
                for part in [Resource::Body(&direct.body), Resource::Pages(&direct.body)] {
                    self.store.remove(&part.path())?;
                }
            }
            self.store.remove(&resource.path())?;
        }
        Ok(())
    }

    /// Whether a release has direct images for any device of its channel.
    pub(crate) fn has_direct(&self, offer: &Offer) -> Result<bool, AuthorityError> {
        for device in self.registry.recipients(&offer.channel) {
            let resource = Resource::Direct {
                manifest: &offer.manifest,
                device: &device.id,
                slot: 0,
            };
            if self.store.get(&resource.path())?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Finds the devices that a direct release goes to, and refuses fleets that could not take one.
    pub(crate) fn direct_audience(
        &self,
        request: &DirectRequest,
        channel: &Channel,
        fleet: &Fleet,
    ) -> Result<Audience, AuthorityError> {
        let chip = fleet.chip.id;
        if !fleet.has_secure_boot() {
            return Err(DirectError::NoSecureBoot { chip }.into());
        }
        let wish = fleet.security.as_ref();
        if wish.is_some_and(|wish| wish.flash_encryption.is_none()) {
            return Err(DirectError::NoFlashEncryption { chip }.into());
        }
        // OTA slots alone: direct images go nowhere else.
        let slots = fleet.partitions.app_slots();
        let slots: Vec<_> = (0..).zip(slots.iter().map(|slot| slot.offset)).collect();
        let journal = fleet
            .partitions
            .find(PartitionType::Data, Subtype::DATA_ESPSEAL);
        let (Some(journal), 2..) = (journal, slots.len()) else {
            return Err(DirectError::Table { chip }.into());
        };
        let escrow = Escrow::list(&request.escrow).map_err(DirectError::from)?;
        let identities = Identities::read(&request.identity).map_err(DirectError::from)?;
        let devices: Vec<_> = self
            .registry
            .recipients(&channel.name)
            .filter(|device| device.chip == chip)
            .filter(|device| matches!(device.recipient, Recipient::Agent { .. }))
            .map(|device| device.id)
            .filter(|device| escrow.holds(*device))
            .collect();
        if devices.is_empty() {
            let folder = request.escrow.clone();
            return Err(DirectError::NoKeys { folder }.into());
        }
        Ok(Audience {
            escrow,
            identities,
            devices,
            slots,
            journal: journal.offset,
            chip,
        })
    }

    /// Makes, signs and stores the direct images of a release; returns for how many devices.
    pub(crate) fn store_direct(
        &self,
        release: &DirectRelease<'_>,
        audience: &Audience,
        observer: &dyn Observer,
    ) -> Result<usize, AuthorityError> {
        let signer = open_role_key(&self.project.releases_key)?;
        observer.begin(Stage::Encrypting, audience.devices.len() as u64);
        for device in &audience.devices {
            stop_if_asked(observer)?;
            let key = audience.key_of(*device)?;
            for slot in &audience.slots {
                let image = DirectImage::make(release, *device, &key, *slot)?;
                let signed = sign_direct(&self.root, &image.manifest, signer.as_ref())?;
                let body = &image.manifest.body;
                self.store.put(&Resource::Body(body).path(), &image.body)?;
                self.store
                    .put(&Resource::Pages(body).path(), &image.pages)?;
                self.store.put(&image.resource().path(), &signed.bytes)?;
            }
            observer.advance(1);
        }
        Ok(audience.devices.len())
    }
}

/// The parts of a body, each with the address that it is encrypted for.
fn parts<'b>(
    manifest: &DirectManifest,
    body: &'b mut [u8],
) -> Result<[(FlashOffset, &'b mut [u8]); 3], DirectError> {
    let length = body.len();
    let outside = || DirectError::Padding { length };
    let image = length.checked_sub(2 * CHUNK_SIZE).ok_or_else(outside)?;
    let (image, probes) = body.split_at_mut(image);
    let (a, b) = probes.split_at_mut(CHUNK_SIZE);
    let probe_at = |sector: RootLocation| {
        sector
            .distance()
            .and_then(|distance| manifest.journal.checked_add(distance))
            .ok_or_else(outside)
    };
    Ok([
        (manifest.slot, image),
        (probe_at(RootLocation::A)?, a),
        (probe_at(RootLocation::B)?, b),
    ])
}

/// How a device's flash is encrypted.
fn scheme_of(key: &EscrowedKey) -> FlashScheme {
    match key.scheme() {
        SchemeId::Esp32Aes => FlashScheme::Esp32 {
            crypt_config: key.config.get(),
        },
        SchemeId::XtsAes128 => FlashScheme::Xts128,
        SchemeId::XtsAes256 => FlashScheme::Xts256,
    }
}
