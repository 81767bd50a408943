//! Letting devices in, and shutting them out.

use espseal_format::repository::Resource;
use espseal_format::units::DeviceId;

use crate::authority::{Authority, AuthorityError, Draft, Signed, random};
use crate::enrolment::{Device, EnrolmentError, Recipient};
use crate::epochs::Admission;
use crate::idf_recipient::Opening;
use crate::observer::Observer;
use crate::release::{agent, stop_if_asked};
use crate::repository::Store as _;

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
        stop_if_asked(observer)?;
        self.registry.check_new(&device)?;
        let channel = self.project.channel(device.channel.as_str())?.clone();
        let visible = self.visible()?;
        let mut access = Access::NextRelease;
        if let Some(visible) = &visible
            && let Some(epoch) = visible.releases.epoch(channel.group)
        {
            let open = self.epochs.open(epoch)?;
            match agent(&device) {
                Some(recipient) => {
                    let admission =
                        self.epochs
                            .admit(&mut random(), &open, &recipient, &self.store)?;
                    if admission == Admission::Admitted {
                        access = Access::Now;
                    }
                }
                None => {
                    if let Some(offer) = visible.releases.offer(&channel.name, device.chip) {
                        let manifest = self.manifest(&offer.manifest)?;
                        let key = self.open_wrap(&manifest, epoch, &open.key)?;
                        self.store_file_on_offer(&device, &manifest, &key)?;
                        let component = &manifest.component;
                        let opening = Opening {
                            key: &key,
                            iv: component.iv,
                            tag: component.tag,
                            length: component.body_length,
                        };
                        self.store_header(&device, &component.body, &opening)?;
                        access = Access::Now;
                    }
                }
            }
        }
        self.store_record(&device)?;
        self.registry.add(device)?;
        Ok(access)
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
        stop_if_asked(observer)?;
        self.registry.revoke(id)?;
        self.remove_records(&device)?;
        let current = visible
            .as_ref()
            .filter(|visible| visible.releases.epoch(channel.group).is_some());
        let (Some(visible), Recipient::Agent { .. }) = (current, &device.recipient) else {
            return Ok(Revoked {
                id,
                epoch: None,
                signed: None,
            });
        };
        let next = self.next_epoch(&channel, Some(visible), observer)?;
        let mut epochs: Vec<_> = visible.releases.epochs.iter().cloned().collect();
        epochs.retain(|epoch| epoch.group != channel.group);
        epochs.push(next.signed.clone());
        let draft = Draft {
            offers: visible.releases.offers.iter().cloned().collect(),
            epochs,
        };
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
        for path in files {
            let device = Device::load(path, &self.project)?;
            self.registry.check_new(&device)?;
            if devices.iter().any(|other| other.id == device.id) {
                return Err(EnrolmentError::Duplicate {
                    id: device.id,
                    path: path.clone(),
                });
            }
            devices.push(device);
        }
        Ok(devices)
    }

    /// Removes what the repository holds for a device.
    fn remove_records(&mut self, device: &Device) -> Result<(), AuthorityError> {
        match device.recipient {
            Recipient::Agent { .. } => {
                self.store.remove(&Resource::Device(&device.id).path())?;
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
