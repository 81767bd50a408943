//! Direct images: a release that comes as ciphertext for this device's own flash key.
//!
//! For makers who want no decryption key on the device. Everything up to the manifest is as ever;
//! then a signed direct manifest says which raw bytes go into the slot. A device cannot read its
//! flash key, so it proves it: the probe, chunk 0 encrypted for a sector of the journal that is not
//! in use, is written raw and has to read as what the direct manifest names. Only then is the slot
//! erased. The probe stays until the image has been checked whole: chunk 0, which goes into the
//! slot last, is read from there meanwhile.
//!
//! Nothing here is linked unless the firmware calls [`Agent::update_direct`].

use espseal_format::body::BodyLayout;
use espseal_format::cose::Role;
use espseal_format::metadata::direct::{DirectManifest, FlashScheme};
use espseal_format::repository::Resource;
use espseal_format::units::{ChunkIndex, Digest, FlashOffset, SECTOR_SIZE};

use crate::acceptance::{self, DirectDemands};
use crate::agent::{Agent, Task, UpdateOutcome, slot_number};
use crate::config::SignatureRule;
use crate::crypto::Crypto;
use crate::device_key::DeviceKey;
use crate::error::{AgentError, DeviceError, Document, HardwareError, MetadataError};
use crate::fetch;
use crate::flash::RawFlash;
use crate::journal::Journal;
use crate::medium::Medium;
use crate::metadata::verify_sign1;
use crate::observer::{Event, Observer};
use crate::platform::DirectPlatform;
use crate::stage::{Body, Delivery, Staging};
use crate::transport::Transport;
use crate::verify::{CompleteSlot, Trust};

/// A direct manifest that was verified for this device, slot and release, and where its probe
/// stands.
///
/// Only [`Agent::stage_direct`] makes one.
struct Direct<'s> {
    manifest: &'s DirectManifest,
    probe: FlashOffset,
}

impl Body for Direct<'_> {
    fn layout(&self) -> BodyLayout {
        self.manifest.layout()
    }

    fn image_chunks(&self) -> u32 {
        self.manifest.image_chunks()
    }

    fn body(&self) -> &Digest {
        &self.manifest.body
    }

    fn pages(&self) -> &[Digest] {
        &self.manifest.pages
    }
}

impl<F: RawFlash, O: Observer, C: Crypto> Delivery<F, O, C> for Direct<'_> {
    fn read(
        &self,
        medium: &mut Medium<F, O>,
        _: &mut C,
        at: FlashOffset,
        _: ChunkIndex,
        bytes: &mut [u8],
    ) -> Result<(), HardwareError> {
        medium.read_raw(at, bytes)
    }

    fn open(&self, _: &mut C, _: ChunkIndex, _: &mut [u8]) {}

    fn write(
        &self,
        medium: &mut Medium<F, O>,
        at: FlashOffset,
        sector: &[u8; SECTOR_SIZE],
    ) -> Result<(), HardwareError> {
        medium.replace_raw(at, sector)
    }

    fn lend_head(
        &self,
        medium: &mut Medium<F, O>,
        sector: &mut [u8; SECTOR_SIZE],
    ) -> Result<bool, HardwareError> {
        medium.read(self.probe, sector)?;
        Ok(true)
    }
}

impl<F, T, K, P, O, C> Agent<'_, F, T, K, P, O, C>
where
    F: RawFlash,
    T: Transport,
    K: DeviceKey,
    P: DirectPlatform,
    O: Observer,
    C: Crypto,
{
    /// As [`update`](Self::update), with the image as ciphertext for this device's flash key.
    ///
    /// The device opens nothing: of `K`, only the device's id and the key for reports are used.
    ///
    /// Whatever the policy says about signatures, a burnt secure-boot key is demanded: nothing else
    /// authenticates what the bootloader starts.
    ///
    /// # Errors
    /// [`AgentError`]; the device keeps running what it runs, whatever the error.
    #[inline(never)]
    pub fn update_direct(&mut self) -> Result<UpdateOutcome, AgentError> {
        self.update_by(Self::stage_direct)
    }

    /// Fetches the direct manifest, has the flash key prove itself, then stages.
    #[inline(never)]
    fn stage_direct(
        &mut self,
        journal: &mut Journal,
        task: &Task<'_>,
    ) -> Result<CompleteSlot, AgentError> {
        let trust = Trust {
            rule: SignatureRule::Required,
            ..task.trust
        };
        trust.ready()?;
        let scheme = self
            .platform
            .flash_scheme()
            .ok_or(DeviceError::FlashNotEncrypted)?;
        let mut blank = DirectManifest::BLANK;
        let manifest = self.fetch_direct(task, scheme, &mut blank)?;
        let (_, probe) = journal.spare_root();
        let delivery = Direct { manifest, probe };
        let staging = Staging {
            manifest: task.manifest,
            delivery: &delivery,
            slot: task.slot,
            region: task.region,
            trust,
        };
        self.prove_key(journal, &staging)?;
        self.begin_staging(journal, task.manifest, task.slot)?;
        let staged = self.stage(&staging);
        self.judged(journal, task.manifest, staged)
    }

    /// Fetches the direct manifest of a release for the slot and checks all that it says.
    #[inline(never)]
    fn fetch_direct<'m>(
        &mut self,
        task: &Task<'_>,
        scheme: FlashScheme,
        direct: &'m mut DirectManifest,
    ) -> Result<&'m DirectManifest, AgentError> {
        let document = Document::Direct;
        let (manifest, device) = (task.manifest.digest(), self.key.device_id());
        let resource = Resource::Direct {
            manifest: &manifest,
            device: &device,
            slot: slot_number(task.slot),
        };
        let buffer = &mut self.workspace.document;
        let bytes = fetch::document(&mut self.transport, resource, document, buffer)?;
        let root = &self.workspace.root;
        let payload = verify_sign1(bytes, Role::Direct, &root.releases, root, document)?;
        direct
            .parse_into(payload)
            .map_err(|_| MetadataError::Malformed { document })?;
        let demands = DirectDemands {
            product: self.config.product,
            manifest,
            device,
            scheme,
            slot: task.region.offset,
            journal: self.config.layout.journal,
            plaintext_length: task.manifest.component().plaintext_length,
        };
        acceptance::direct(direct, &demands)?;
        Ok(direct)
    }

    /// Demands that the flash key is the one the image is encrypted with, before the slot is
    /// touched.
    #[inline(never)]
    fn prove_key(
        &mut self,
        journal: &Journal,
        staging: &Staging<'_, Direct<'_>>,
    ) -> Result<(), AgentError> {
        let direct = staging.delivery.manifest;
        let (sector, at) = journal.spare_root();
        if self.reads_as(at, &direct.probe)? {
            return Ok(());
        }
        let chunk = direct.probe_chunk(sector).unwrap_or_default();
        let page = direct.layout().page_of(chunk).unwrap_or_default();
        self.load_page(staging, page.get())?;
        // A probe that stands there already and reads as something else is not worth an erase.
        if !self.holds_chunk(staging, chunk.get(), at)? {
            self.fetch_chunk(staging, chunk.get())?;
            self.medium.replace_raw(at, &self.workspace.sector)?;
        }
        if self.reads_as(at, &direct.probe)? {
            self.medium.event(&Event::KeyCommitted);
            Ok(())
        } else {
            Err(DeviceError::WrongFlashKey.into())
        }
    }

    /// Whether the sector at `at`, decrypted, has this digest.
    fn reads_as(&mut self, at: FlashOffset, expected: &Digest) -> Result<bool, HardwareError> {
        self.medium.read(at, &mut self.workspace.sector)?;
        Ok(self.crypto.digest(&self.workspace.sector) == *expected)
    }
}
