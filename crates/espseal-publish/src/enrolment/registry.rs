//! The enrolled devices of a project, one file each in `devices/`.

use std::fs;
use std::path::PathBuf;

use espseal_format::units::{ChannelName, DeviceId};

use super::{Device, EnrolmentError, Standing};
use crate::files::{self, FileError, Secrecy};
use crate::project::Project;

/// The enrolled devices of a project, in ascending order of id.
#[derive(Debug)]
pub struct Registry {
    folder: PathBuf,
    devices: Vec<Device>,
}

impl Registry {
    /// Reads every record of the project.
    ///
    /// # Errors
    /// [`EnrolmentError`] when a record is damaged or misnamed.
    pub fn open(project: &Project) -> Result<Self, EnrolmentError> {
        let folder = project.file("devices");
        let failed = |cause| FileError::Read {
            path: folder.clone(),
            cause,
        };
        let mut devices = Vec::new();
        for entry in fs::read_dir(&folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.extension().is_none_or(|extension| extension != "toml") {
                continue;
            }
            let device = Device::load(&path, project)?;
            let named = path.file_stem().and_then(|stem| stem.to_str());
            if named != Some(&device.id.to_string()) {
                return Err(EnrolmentError::Misnamed {
                    path,
                    found: device.id,
                });
            }
            devices.push(device);
        }
        devices.sort_by_key(|device| device.id);
        Ok(Self { folder, devices })
    }

    /// Every device, revoked ones included, in ascending order of id.
    #[must_use]
    pub fn devices(&self) -> &[Device] {
        &self.devices
    }

    /// The devices of a channel that receive firmware, in ascending order of id.
    pub fn recipients<'a>(
        &'a self,
        channel: &'a ChannelName,
    ) -> impl Iterator<Item = &'a Device> + 'a {
        self.devices.iter().filter(move |device| {
            device.standing == Standing::Enrolled && device.channel == *channel
        })
    }

    /// Whether a device may be added.
    ///
    /// # Errors
    /// [`EnrolmentError::Duplicate`] or [`EnrolmentError::WasRevoked`].
    pub fn check_new(&self, device: &Device) -> Result<(), EnrolmentError> {
        match self.devices.iter().find(|known| known.id == device.id) {
            Some(known) if known.standing == Standing::Revoked => {
                Err(EnrolmentError::WasRevoked { id: device.id })
            }
            Some(_) => Err(EnrolmentError::Duplicate {
                id: device.id,
                path: self.path(device.id),
            }),
            None => Ok(()),
        }
    }

    /// Finds a device by its id or the first digits of it.
    ///
    /// # Errors
    /// [`EnrolmentError::Unknown`] or [`EnrolmentError::Ambiguous`].
    pub fn find(&self, digits: &str) -> Result<&Device, EnrolmentError> {
        let mut found = self
            .devices
            .iter()
            .filter(|device| !digits.is_empty() && device.id.to_string().starts_with(digits));
        let first = found.next().ok_or_else(|| EnrolmentError::Unknown {
            found: digits.into(),
        })?;
        match found.count() {
            0 => Ok(first),
            more => Err(EnrolmentError::Ambiguous {
                found: digits.into(),
                count: more + 1,
            }),
        }
    }

    /// Keeps a new device.
    ///
    /// # Errors
    /// As [`Registry::check_new`], and [`EnrolmentError::File`].
    pub fn add(&mut self, device: Device) -> Result<(), EnrolmentError> {
        self.check_new(&device)?;
        let text = device.to_toml();
        files::create(&self.path(device.id), text.as_bytes(), Secrecy::Public)?;
        let place = self.devices.partition_point(|known| known.id < device.id);
        self.devices.insert(place, device);
        Ok(())
    }

    /// Marks a device as revoked.
    ///
    /// # Errors
    /// [`EnrolmentError::Unknown`], [`EnrolmentError::File`].
    pub fn revoke(&mut self, id: DeviceId) -> Result<(), EnrolmentError> {
        let path = self.path(id);
        let device = self
            .devices
            .iter_mut()
            .find(|device| device.id == id)
            .ok_or_else(|| EnrolmentError::Unknown {
                found: id.to_string(),
            })?;
        device.standing = Standing::Revoked;
        files::replace(&path, device.to_toml().as_bytes(), Secrecy::Public)?;
        Ok(())
    }

    fn path(&self, id: DeviceId) -> PathBuf {
        self.folder.join(format!("{id}.toml"))
    }
}
