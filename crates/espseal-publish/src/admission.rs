//! Letting devices in, and shutting them out.

use std::collections::{BTreeMap, HashSet};

use espseal_format::repository::Resource;
use espseal_format::units::DeviceId;

use crate::authority::{Authority, AuthorityError, Draft, Signed, Visible};
use crate::enrolment::{Device, EnrolmentError, Recipient};
use crate::idf_recipient::Opening;
use crate::observer::{Observer, Stage};
use crate::release::{agent, stop_if_asked};
use crate::repository::Store as _;

/// Records that are stored together.
const AT_ONCE: usize = 4096;

/// How an enrolled device gets its first release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// It can open the releases on offer now.
    Now,
    /// It can open what is published from now on.
    NextRelease,
}

/// What revoking a device did.
#[derive(Clone, Copy, Debug)]
pub struct Revoked {
    /// The device.
    pub id: DeviceId,
    /// The epoch that its group has now; `None` when nothing was on offer yet.
    pub epoch: Option<u32>,
    /// What was signed; `None` when nothing was on offer yet.
    pub signed: Option<Signed>,
}

impl Authority {
    /// Enrols a device and lets it open what its channel offers.
    ///
    /// The record is kept last: after an interruption the same file can be enrolled again.
    ///
    /// # Errors
    /// [`AuthorityError`]; [`EnrolmentError::Duplicate`] when the key is known.
    pub fn enrol(
        &mut self,
        device: Device,
        observer: &dyn Observer,
    ) -> Result<Access, AuthorityError> {
        let late = self.enrol_all(vec![device], observer)?;
        Ok(match late.is_empty() {
            true => Access::Now,
            false => Access::NextRelease,
        })
    }

    /// Enrols many devices in one pass: each shard is written once. Returns those that can open nothing
    /// before the next release.
    ///
    /// The records are kept last: after an interruption the same devices can be enrolled again.
    ///
    /// # Errors
    /// [`AuthorityError`]; [`EnrolmentError::Duplicate`] when a key is known, before anything is done.
    pub fn enrol_all(
        &mut self,
        mut devices: Vec<Device>,
        observer: &dyn Observer,
    ) -> Result<Vec<DeviceId>, AuthorityError> {
        stop_if_asked(observer)?;
        devices.sort_by_key(|device| device.id);
        self.registry.check_all_new(&devices)?;
        for device in &devices {
            self.project.channel(device.channel.as_str())?;
        }
        let visible = self.visible()?;
        let mut late = Vec::new();
        for channel in self.project.channels.clone() {
            let follows = |device: &&Device| device.channel == channel.name;
            let devices: Vec<&Device> = devices.iter().filter(follows).collect();
            let epoch = visible.as_ref().and_then(|visible| {
                visible
                    .releases
                    .epoch(channel.group)
                    .map(|epoch| (visible, epoch))
            });
            let Some((visible, epoch)) = epoch else {
                late.extend(devices.iter().map(|device| device.id));
                continue;
            };
            if devices.is_empty() {
                continue;
            }
            let open = self.epochs.open(epoch)?;
            let agents: Vec<_> = devices.iter().filter_map(|device| agent(device)).collect();
            late.extend(self.epochs.admit(&open, &agents, &self.store, observer)?);
            for device in devices.iter().filter(|device| agent(device).is_none()) {
                let Some(offer) = visible.releases.offer(&channel.name, device.chip) else {
                    late.push(device.id);
                    continue;
                };
                let manifest = self.manifest(&offer.manifest)?;
                let key = self.open_wrap(&manifest, epoch, &open.key)?;
                self.store_file_on_offer(device, &manifest, &key)?;
                let component = &manifest.component;
                let opening = Opening {
                    key: &key,
                    iv: component.iv,
                    tag: component.tag,
                    length: component.body_length,
                };
                self.store_header(device, &component.body, &opening)?;
            }
        }
        observer.begin(Stage::Enrolling, devices.len() as u64);
        for part in devices.chunks(AT_ONCE) {
            stop_if_asked(observer)?;
            // A folder for each kind of device.
            let mut kinds: BTreeMap<bool, Vec<_>> = BTreeMap::new();
            for device in part {
                let is_agent = matches!(device.recipient, Recipient::Agent { .. });
                kinds
                    .entry(is_agent)
                    .or_default()
                    .push(Self::record(device)?);
            }
            kinds
                .values()
                .try_for_each(|records| self.store.replace_all(records))?;
            observer.advance(part.len() as u64);
        }
        self.registry.add(devices)?;
        Ok(late)
    }

    /// Revokes a device: its group gets the next epoch without it, and the bodies on offer are
    /// wrapped anew. What it has already opened stays open to it.
    ///
    /// Revoking it again after an interruption finishes the work.
    ///
    /// # Errors
    /// [`AuthorityError`]; [`EnrolmentError::Unknown`] when there is no such device.
    pub fn revoke(
        &mut self,
        digits: &str,
        time: u64,
        observer: &dyn Observer,
    ) -> Result<Revoked, AuthorityError> {
        let device = self.registry.find(digits)?.clone();
        let id = device.id;
        let channel = self.project.channel(device.channel.as_str())?.clone();
        let visible = self.visible()?;
        self.check_time(visible.as_ref(), time)?;
        if visible.is_some() {
            self.check_signers()?;
        }
        // What cannot be wrapped anew is found before anything is changed.
        let offered = match device.recipient {
            Recipient::Agent { .. } => self.offered_keys(&channel, visible.as_ref(), None)?,
            Recipient::EspIdfRsa { .. } | Recipient::EspIdfEcies { .. } => Vec::new(),
        };
        stop_if_asked(observer)?;
        self.registry.revoke(id)?;
        self.remove_records(&device, visible.as_ref())?;
        let current = visible.as_ref().and_then(|visible| {
            let epoch = visible.releases.epoch(channel.group)?;
            Some((visible, epoch))
        });
        let (Some((visible, epoch)), Recipient::Agent { .. }) = (current, &device.recipient) else {
            return Ok(Revoked {
                id,
                epoch: None,
                signed: None,
            });
        };
        let next = self.next_epoch(&channel, Some(epoch), &offered, observer)?;
        let mut draft = Draft::of(visible);
        draft.epochs.retain(|epoch| epoch.group != channel.group);
        draft.epochs.push(next.signed.clone());
        let signed = self.show(Some(visible), draft, time, observer)?;
        Ok(Revoked {
            id,
            epoch: Some(next.signed.epoch),
            signed: Some(signed),
        })
    }

    /// Reads and checks device files; refuses the lot when one is wrong or two share a key.
    ///
    /// # Errors
    /// [`EnrolmentError`] for the first file that is refused.
    pub fn read_devices(
        &self,
        files: &[std::path::PathBuf],
    ) -> Result<Vec<Device>, EnrolmentError> {
        let mut devices: Vec<Device> = Vec::new();
        let mut ids = HashSet::new();
        for path in files {
            let device = Device::load(path, &self.project)?;
            self.registry.check_new(&device)?;
            if !ids.insert(device.id) {
                return Err(EnrolmentError::Duplicate {
                    id: device.id,
                    path: path.clone(),
                });
            }
            devices.push(device);
        }
        Ok(devices)
    }

    /// Reads and checks device files, and leaves out the devices that are known already, enrolled or
    /// revoked: for work that goes on after an interruption.
    ///
    /// # Errors
    /// As [`read_devices`](Self::read_devices).
    pub fn read_unknown_devices(
        &self,
        files: &[std::path::PathBuf],
    ) -> Result<Vec<Device>, EnrolmentError> {
        let mut unknown = Vec::new();
        for path in files {
            let device = Device::load(path, &self.project)?;
            if self.registry.get(device.id).is_none() {
                unknown.push(device);
            }
        }
        Ok(unknown)
    }

    /// Removes what the repository holds for a device.
    fn remove_records(
        &self,
        device: &Device,
        visible: Option<&Visible>,
    ) -> Result<(), AuthorityError> {
        match device.recipient {
            Recipient::Agent { .. } => {
                self.store.remove(&Resource::Device(&device.id).path())?;
                for offer in visible.iter().flat_map(|visible| &visible.releases.offers) {
                    if (&offer.channel, offer.chip) == (&device.channel, device.chip) {
                        self.remove_direct(&offer.manifest, &device.id)?;
                    }
                }
            }
            Recipient::EspIdfRsa { .. } | Recipient::EspIdfEcies { .. } => {
                self.store
                    .remove(&Resource::IdfSubscription(&device.id).path())?;
                self.store.remove_folder(&format!("idf/{}", device.id))?;
            }
        }
        Ok(())
    }
}
