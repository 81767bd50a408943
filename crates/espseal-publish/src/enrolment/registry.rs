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

    /// The device with this id, revoked or not.
    #[must_use]
    pub fn get(&self, id: DeviceId) -> Option<&Device> {
        let place = self.devices.binary_search_by_key(&id, |known| known.id);
        place.ok().and_then(|place| self.devices.get(place))
    }

    /// Whether a device may be added.
    ///
    /// # Errors
    /// [`EnrolmentError::Duplicate`] or [`EnrolmentError::WasRevoked`].
    pub fn check_new(&self, device: &Device) -> Result<(), EnrolmentError> {
        match self.get(device.id) {
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

    /// Refuses devices unless all of them are new and each is there once; they are sorted by id.
    ///
    /// # Errors
    /// As [`Registry::check_new`].
    pub fn check_all_new(&self, devices: &[Device]) -> Result<(), EnrolmentError> {
        let mut pairs = devices.windows(2);
        let twice = pairs.find_map(|pair| match pair {
            [one, other] if one.id == other.id => Some(one.id),
            _ => None,
        });
        if let Some(id) = twice {
            let path = self.path(id);
            return Err(EnrolmentError::Duplicate { id, path });
        }
        devices.iter().try_for_each(|device| self.check_new(device))
    }

    /// Keeps new devices, all of them once none is refused.
    ///
    /// # Errors
    /// As [`Registry::check_new`], and [`EnrolmentError::File`]: what is kept by then stays.
    pub fn add(&mut self, mut devices: Vec<Device>) -> Result<(), EnrolmentError> {
        devices.sort_by_key(|device| device.id);
        self.check_all_new(&devices)?;
        let record = |device: &Device| (self.path(device.id), device.to_toml().into_bytes());
        files::create_all(&self.folder, devices.iter().map(record), Secrecy::Public)?;
        // Both are sorted: merging them takes one pass.
        self.devices.extend(devices);
        self.devices.sort_by_key(|device| device.id);
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
