//! Who can open a release: epochs and body wraps for agents, headers for ESP-IDF devices.

use espseal_crypto::content::ContentKey;
use espseal_format::chip::ChipId;
use espseal_format::metadata::manifest::Manifest;
use espseal_format::metadata::releases::{Epoch, Offer};
use espseal_format::report::{DeviceRecord, IdfSubscription};
use espseal_format::repository::Resource;
use espseal_format::units::Digest;
use espseal_format::wrap::find_in_shard;

use super::stop_if_asked;
use crate::authority::{Authority, AuthorityError, Visible, random};
use crate::enrolment::{Device, Recipient, Standing};
use crate::epochs::{self, OpenEpoch, shard_path};
use crate::idf_recipient::{Opening, header};
use crate::observer::{Observer, Stage};
use crate::project::Channel;
use crate::repository::Store as _;
use crate::seal::SealedBody;

/// Up to this many agents, each release gets an epoch of its own.
const FRESH_EPOCH_UP_TO: usize = 10_000;

impl Authority {
    /// Wraps a new body for the agents of a channel, in a fresh epoch where that is cheap.
    pub(super) fn wrap(
        &mut self,
        (channel, chip): (&Channel, ChipId),
        sealed: &SealedBody,
        visible: Option<&Visible>,
        observer: &dyn Observer,
    ) -> Result<Epoch, AuthorityError> {
        let current = visible.and_then(|visible| visible.releases.epoch(channel.group));
        let open = match current {
            Some(current) if self.keeps_epoch(channel, current)? => self.epochs.open(current)?,
            _ => {
                let offered = self.offered_keys(channel, visible, Some(chip))?;
                self.next_epoch(channel, current, &offered, observer)?
            }
        };
        self.store_wrap(&open, &sealed.digest, &sealed.key)?;
        Ok(open.signed)
    }

    /// Whether the next body of a large channel may be wrapped in its current epoch, whose shards
    /// have to hold each of its agents and nobody else.
    fn keeps_epoch(&self, channel: &Channel, current: &Epoch) -> Result<bool, AuthorityError> {
        let agents = self.agents(channel);
        Ok(agents.len() > FRESH_EPOCH_UP_TO
            && !self.reaches_revoked(channel, current)?
            && epochs::reaches_exactly(current, &agents, &self.store)?)
    }

    /// Opens the bodies that a channel offers, but for the one of a chip that gets a new release.
    ///
    /// # Errors
    /// [`AuthorityError::Epoch`], [`AuthorityError::WrongWrap`] when one does not open.
    pub(crate) fn offered_keys(
        &self,
        channel: &Channel,
        visible: Option<&Visible>,
        but: Option<ChipId>,
    ) -> Result<Vec<(Digest, ContentKey)>, AuthorityError> {
        let Some(visible) = visible else {
            return Ok(Vec::new());
        };
        let Some(current) = visible.releases.epoch(channel.group) else {
            return Ok(Vec::new());
        };
        let stays = |offer: &&Offer| offer.channel == channel.name && Some(offer.chip) != but;
        let offers: Vec<_> = visible.releases.offers.iter().filter(stays).collect();
        if offers.is_empty() {
            // Nothing to open: the epoch's key may be lost.
            return Ok(Vec::new());
        }
        let open = self.epochs.open(current)?;
        let mut keys = Vec::new();
        for offer in offers {
            let manifest = self.manifest(&offer.manifest)?;
            let key = self.open_wrap(&manifest, current, &open.key)?;
            keys.push((manifest.component.body, key));
        }
        Ok(keys)
    }

    /// Starts the next epoch of a channel's group: wraps its key for every agent that is not
    /// revoked, and wraps the bodies on offer anew.
    pub(crate) fn next_epoch(
        &mut self,
        channel: &Channel,
        current: Option<&Epoch>,
        offered: &[(Digest, ContentKey)],
        observer: &dyn Observer,
    ) -> Result<OpenEpoch, AuthorityError> {
        let recipients = self.agents(channel);
        let mut rng = random();
        let number = current.map(|current| current.epoch);
        let next = self
            .epochs
            .start(&mut rng, channel.group, number, &recipients)?;
        self.epochs
            .wrap_for_all(&next, &recipients, &self.store, observer)?;
        for (body, key) in offered {
            self.store_wrap(&next, body, key)?;
        }
        Ok(next)
    }

    /// The devices of a channel and chip that get a header of their own, in ascending order of id.
    pub(super) fn esp_idf_rsa<'a>(
        &'a self,
        channel: &'a Channel,
        chip: ChipId,
    ) -> impl Iterator<Item = &'a Device> {
        self.registry
            .recipients(&channel.name)
            .filter(move |device| device.chip == chip)
            .filter(|device| matches!(device.recipient, Recipient::EspIdfRsa { .. }))
    }

    /// Makes the header of each ESP-IDF device of a channel for a body.
    pub(crate) fn wrap_for_esp_idf(
        &self,
        channel: &Channel,
        manifest: &Manifest,
        opening: &Opening<'_>,
        observer: &dyn Observer,
    ) -> Result<usize, AuthorityError> {
        let devices: Vec<_> = self.esp_idf_rsa(channel, manifest.chip).collect();
        observer.begin(Stage::Wrapping, devices.len() as u64);
        for device in &devices {
            stop_if_asked(observer)?;
            self.store_header(device, &manifest.component.body, opening)?;
            observer.advance(1);
        }
        Ok(devices.len())
    }

    /// Stores the header of one ESP-IDF device; for an agent there is none.
    pub(crate) fn store_header(
        &self,
        device: &Device,
        body: &Digest,
        opening: &Opening<'_>,
    ) -> Result<(), AuthorityError> {
        if let Recipient::EspIdfRsa { public_key } = &device.recipient {
            let bytes = header(device.id, public_key, opening)?;
            let path = Resource::IdfHeader {
                device: &device.id,
                body,
            };
            self.store.replace(&path.path(), &bytes)?;
        }
        Ok(())
    }

    /// Stores the public record of every device.
    pub(super) fn store_records(&self) -> Result<(), AuthorityError> {
        for device in self.registry.devices() {
            if device.standing == Standing::Enrolled {
                self.store_record(device)?;
            }
        }
        Ok(())
    }

    /// Stores what the server may know about a device.
    pub(super) fn store_record(&self, device: &Device) -> Result<(), AuthorityError> {
        let (path, record) = Self::record(device)?;
        Ok(self.store.replace(&path, &record)?)
    }

    /// What the server may know about a device, and where it finds it.
    pub(crate) fn record(device: &Device) -> Result<(String, Vec<u8>), AuthorityError> {
        let failed = |cause: String| AuthorityError::Manifest { cause };
        let mut bytes = [0; espseal_format::report::MAX_RECORD_LEN];
        let (path, length) = match &device.recipient {
            Recipient::Agent { report, .. } => {
                let record = DeviceRecord {
                    device: device.id,
                    report_key: *report,
                };
                (Resource::Device(&device.id), record.encode(&mut bytes))
            }
            Recipient::EspIdfRsa { .. } | Recipient::EspIdfEcies { .. } => {
                let record = IdfSubscription {
                    device: device.id,
                    channel: device.channel.clone(),
                    chip: device.chip,
                };
                (
                    Resource::IdfSubscription(&device.id),
                    record.encode(&mut bytes),
                )
            }
        };
        let length = length.map_err(|cause| failed(cause.to_string()))?;
        let record = bytes.get(..length).unwrap_or_default();
        Ok((path.path().to_string(), record.to_vec()))
    }

    /// The agents of a channel that receive firmware, in ascending order of id.
    pub(crate) fn agents(&self, channel: &Channel) -> Vec<epochs::Recipient> {
        self.registry
            .recipients(&channel.name)
            .filter_map(agent)
            .collect()
    }

    /// Whether the current epoch's shards still hold the key for a revoked device.
    fn reaches_revoked(&self, channel: &Channel, current: &Epoch) -> Result<bool, AuthorityError> {
        for device in self.registry.devices() {
            if device.standing == Standing::Revoked && device.channel == channel.name {
                let shard = self.store.get(&shard_path(current, &device.id))?;
                let found = find_in_shard(&shard.unwrap_or_default(), &device.id);
                if !matches!(found, Ok(None)) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    fn store_wrap(
        &self,
        epoch: &OpenEpoch,
        body: &Digest,
        key: &ContentKey,
    ) -> Result<(), AuthorityError> {
        let Epoch {
            group,
            epoch: number,
            ..
        } = epoch.signed;
        let wrap = epoch
            .key
            .kek(&self.project.product, group, number, body)
            .wrap(key);
        let path = Resource::BodyWrap {
            body,
            group,
            epoch: number,
        };
        Ok(self.store.put(&path.path(), &wrap.0)?)
    }
}

/// An agent as a recipient of epoch keys; `None` for other devices.
pub(crate) fn agent(device: &Device) -> Option<epochs::Recipient> {
    match device.recipient {
        Recipient::Agent { encryption, .. } => Some(epochs::Recipient {
            id: device.id,
            key: encryption,
        }),
        Recipient::EspIdfRsa { .. } | Recipient::EspIdfEcies { .. } => None,
    }
}
