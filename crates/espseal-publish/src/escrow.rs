//! Flash encryption keys in escrow: one small age file a device, for whoever has to write or read
//! that device's flash later.
//!
//! ```text
//! <folder>/<MAC>_<device id>.age    "unknown" stands for what is not known
//! ```
//!
//! The name finds the file; what the file says inside is believed. age authenticates no sender:
//! whoever may write into the folder can put another key there, and a wrong key shows as soon as flash is
//! read back.
//!
//! A MAC address that was not known when the key was made is learnt later: the file is renamed.
//!
//! Source: the age format, `https://age-encryption.org/v1` (C2SP `age.md`).

mod error;
mod recipients;
mod record;

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use espseal_crypto::flash_encryption::{FlashCipher, FlashCryptConfig, FlashKey};
use espseal_format::chip::{ChipId, SchemeId};
use espseal_format::units::DeviceId;
use espseal_twin::efuse::Mac;
use zeroize::Zeroizing;

pub use error::EscrowError;
pub use recipients::{Identities, Recipients};

use crate::files::{self, FileError, Secrecy};

/// How a file's name ends.
const EXTENSION: &str = ".age";
/// What stands in a name for what is not known.
const UNKNOWN: &str = "unknown";
/// Largest age file that is read: a header for some dozens of recipients.
const LARGEST: u64 = 64 << 10;

/// The flash encryption key of one device. Prints without it.
#[derive(Debug)]
pub struct EscrowedKey {
    /// The chip's MAC address, if it was known.
    pub mac: Option<Mac>,
    /// The device's pseudonym, if it has a key of its own.
    pub device: Option<DeviceId>,
    /// The chip.
    pub chip: ChipId,
    /// eFuse `FLASH_CRYPT_CONFIG`; matters on the ESP32 only.
    pub config: FlashCryptConfig,
    /// The key, with its scheme.
    pub key: FlashKey,
}

impl EscrowedKey {
    /// The scheme that the key belongs to.
    #[must_use]
    pub const fn scheme(&self) -> SchemeId {
        self.key.scheme()
    }

    /// The chip's flash encryption with this key.
    #[must_use]
    pub fn cipher(&self) -> FlashCipher {
        FlashCipher::new(&self.key, self.config)
    }

    /// The key as it is before it is kept.
    #[must_use]
    pub const fn as_plain(&self) -> PlainKey<'_> {
        PlainKey {
            mac: self.mac,
            device: self.device,
            chip: self.chip,
            config: self.config,
            key: &self.key,
        }
    }

    /// Decrypts a key. `path` is named in errors.
    ///
    /// # Errors
    /// [`EscrowError::WrongIdentity`], [`EscrowError::Damaged`], [`EscrowError::Content`].
    pub fn open(path: &Path, file: &[u8], identities: &Identities) -> Result<Self, EscrowError> {
        let damaged = || EscrowError::Damaged { path: path.into() };
        let decryptor = age::Decryptor::new_buffered(file).map_err(|_| damaged())?;
        let reader = decryptor
            .decrypt(identities.iter())
            .map_err(|cause| match cause {
                age::DecryptError::NoMatchingKeys => {
                    EscrowError::WrongIdentity { path: path.into() }
                }
                _ => damaged(),
            })?;
        // Room for all of it at once: a vector that grows leaves pieces of a secret behind.
        let mut text = Zeroizing::new(Vec::with_capacity(record::LARGEST + 1));
        reader
            .take(record::LARGEST as u64 + 1)
            .read_to_end(&mut text)
            .map_err(|_| damaged())?;
        record::decode(&text).map_err(|field| EscrowError::Content {
            path: path.into(),
            field,
        })
    }
}

/// A key that somebody else holds, on its way into escrow. Prints without it.
#[derive(Clone, Copy, Debug)]
pub struct PlainKey<'a> {
    /// The chip's MAC address, if it is known.
    pub mac: Option<Mac>,
    /// The device's pseudonym, if it has a key of its own.
    pub device: Option<DeviceId>,
    /// The chip.
    pub chip: ChipId,
    /// eFuse `FLASH_CRYPT_CONFIG`; matters on the ESP32 only.
    pub config: FlashCryptConfig,
    /// The key, with its scheme.
    pub key: &'a FlashKey,
}

impl PlainKey<'_> {
    /// Encrypts the key for its recipients.
    ///
    /// # Errors
    /// [`EscrowError::Nobody`] when nothing says whose key it is, [`EscrowError::Sealing`].
    pub fn seal(&self, recipients: &Recipients) -> Result<Vec<u8>, EscrowError> {
        let text = record::encode(self).ok_or(EscrowError::Nobody)?;
        let encryptor = age::Encryptor::with_recipients(recipients.iter())
            .map_err(|cause| EscrowError::Sealing(cause.to_string().into()))?;
        let failed = |cause: std::io::Error| EscrowError::Sealing(cause.to_string().into());
        let mut file = Vec::new();
        let mut writer = encryptor.wrap_output(&mut file).map_err(failed)?;
        writer.write_all(text.as_bytes()).map_err(failed)?;
        writer.finish().map_err(failed)?;
        Ok(file)
    }

    /// The name of its file.
    #[must_use]
    pub fn file_name(&self) -> String {
        file_name(self.mac, self.device)
    }
}

/// A folder of escrowed keys. Its files are listed once, and opened when they are asked for.
#[derive(Debug)]
pub struct Escrow {
    folder: PathBuf,
    entries: Vec<Entry>,
    by_mac: BTreeMap<[u8; 6], Vec<usize>>,
    by_device: BTreeMap<DeviceId, Vec<usize>>,
}

/// What the name of a file says.
#[derive(Clone, Copy, Debug)]
struct Entry {
    mac: Option<Mac>,
    device: Option<DeviceId>,
}

impl Escrow {
    /// Lists a folder. Files with other names are none of ours.
    ///
    /// # Errors
    /// [`EscrowError::File`] when it cannot be listed.
    pub fn list(folder: &Path) -> Result<Self, EscrowError> {
        let failed = |cause| FileError::Read {
            path: folder.into(),
            cause,
        };
        let mut escrow = Self {
            folder: folder.into(),
            entries: Vec::new(),
            by_mac: BTreeMap::new(),
            by_device: BTreeMap::new(),
        };
        for entry in fs::read_dir(folder).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            if let Some(entry) = name.to_str().and_then(Entry::of_name) {
                escrow.insert(entry);
            }
        }
        Ok(escrow)
    }

    /// Lists a folder that is made, for its owner alone, when it is not there.
    ///
    /// # Errors
    /// [`EscrowError::File`].
    pub fn create(folder: &Path) -> Result<Self, EscrowError> {
        files::make_folder(folder, Secrecy::Private)?;
        Self::list(folder)
    }

    /// How many keys it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Its files.
    pub fn files(&self) -> impl Iterator<Item = PathBuf> + '_ {
        let entries = self.entries.iter();
        entries.map(|entry| self.folder.join(entry.file_name()))
    }

    /// Whether all of its keys are in another folder, perhaps with an address that was learnt since.
    #[must_use]
    pub fn is_in(&self, other: &Self) -> bool {
        self.entries.iter().all(|entry| {
            entry.device.is_some_and(|device| other.holds(device))
                || entry
                    .mac
                    .is_some_and(|mac| other.by_mac.contains_key(&mac.0))
        })
    }

    /// Whether it holds a key of this device.
    #[must_use]
    pub fn holds(&self, device: DeviceId) -> bool {
        self.by_device.contains_key(&device)
    }

    /// Keeps a key and returns its file. Keeping the same device's key a second time is refused: a
    /// device has one.
    ///
    /// # Errors
    /// [`EscrowError`].
    pub fn keep(
        &mut self,
        key: &EscrowedKey,
        recipients: &Recipients,
    ) -> Result<PathBuf, EscrowError> {
        let entry = Entry {
            mac: key.mac,
            device: key.device,
        };
        self.check_free(entry)?;
        let key = key.as_plain();
        let path = self.folder.join(key.file_name());
        files::create(&path, &key.seal(recipients)?, Secrecy::Private)?;
        self.insert(entry);
        Ok(path)
    }

    /// Opens the key of the chip with this MAC address.
    ///
    /// # Errors
    /// [`EscrowError::NotHere`], [`EscrowError::Several`], and what [`EscrowedKey::open`] says.
    pub fn find_mac(&self, mac: Mac, identities: &Identities) -> Result<EscrowedKey, EscrowError> {
        let found = self.by_mac.get(&mac.0).map_or(&[][..], Vec::as_slice);
        self.find(found, "MAC address", &mac, identities)
    }

    /// Opens the key of this device.
    ///
    /// # Errors
    /// As [`find_mac`](Self::find_mac).
    pub fn find_device(
        &self,
        device: DeviceId,
        identities: &Identities,
    ) -> Result<EscrowedKey, EscrowError> {
        let found = self.by_device.get(&device).map_or(&[][..], Vec::as_slice);
        self.find(found, "device id", &device, identities)
    }

    /// Notes the MAC address of a device whose key was made before it was known.
    ///
    /// # Errors
    /// [`EscrowError::NotHere`], [`EscrowError::OtherDevice`] when another address is known,
    /// [`EscrowError::Known`] when the address is another device's, [`EscrowError::File`].
    pub fn learn_mac(&mut self, device: DeviceId, mac: Mac) -> Result<PathBuf, EscrowError> {
        let found = self.by_device.get(&device).map_or(&[][..], Vec::as_slice);
        let index = self.only(found, "device id", &device)?;
        let entry = self.entries.get_mut(index).ok_or(EscrowError::Nobody)?;
        let (from, to) = (entry.file_name(), file_name(Some(mac), entry.device));
        let path = self.folder.join(to);
        match entry.mac {
            Some(known) if known == mac => return Ok(path),
            Some(known) => {
                return Err(EscrowError::OtherDevice {
                    path: self.folder.join(from),
                    field: "mac",
                    expected: mac.to_string().into(),
                    found: known.to_string().into(),
                });
            }
            None => {}
        }
        if self.by_mac.contains_key(&mac.0) {
            return Err(EscrowError::Known {
                folder: self.folder.clone(),
                what: "MAC address",
                value: mac.to_string().into(),
            });
        }
        fs::rename(self.folder.join(from), &path).map_err(|cause| FileError::Write {
            path: path.clone(),
            cause,
        })?;
        entry.mac = Some(mac);
        self.by_mac.entry(mac.0).or_default().push(index);
        Ok(path)
    }

    fn insert(&mut self, entry: Entry) {
        let index = self.entries.len();
        self.entries.push(entry);
        if let Some(mac) = entry.mac {
            self.by_mac.entry(mac.0).or_default().push(index);
        }
        if let Some(device) = entry.device {
            self.by_device.entry(device).or_default().push(index);
        }
    }

    fn check_free(&self, entry: Entry) -> Result<(), EscrowError> {
        let known = |what, value: String| EscrowError::Known {
            folder: self.folder.clone(),
            what,
            value: value.into(),
        };
        if let Some(mac) = entry.mac.filter(|mac| self.by_mac.contains_key(&mac.0)) {
            return Err(known("MAC address", mac.to_string()));
        }
        if let Some(device) = entry.device.filter(|device| self.holds(*device)) {
            return Err(known("device id", device.to_string()));
        }
        Ok(())
    }

    fn only(
        &self,
        found: &[usize],
        what: &'static str,
        value: &dyn ToString,
    ) -> Result<usize, EscrowError> {
        let (folder, value) = (self.folder.clone(), value.to_string().into());
        match found {
            [index] => Ok(*index),
            [] => Err(EscrowError::NotHere {
                folder,
                what,
                value,
                keys: self.len(),
            }),
            several => Err(EscrowError::Several {
                folder,
                what,
                value,
                keys: several.len(),
            }),
        }
    }

    /// Opens the only file of a list; what it says inside has to be what its name says.
    fn find(
        &self,
        found: &[usize],
        what: &'static str,
        value: &dyn ToString,
        identities: &Identities,
    ) -> Result<EscrowedKey, EscrowError> {
        let index = self.only(found, what, value)?;
        let entry = self.entries.get(index).ok_or(EscrowError::Nobody)?;
        let path = self.folder.join(entry.file_name());
        let file = files::read(&path, "an escrowed flash key", LARGEST)?;
        let mut key = EscrowedKey::open(&path, &file, identities)?;
        let other = |field, expected: Option<String>, found: Option<String>| {
            let text = |value: Option<String>| value.unwrap_or_else(|| UNKNOWN.into()).into();
            EscrowError::OtherDevice {
                path: path.clone(),
                field,
                expected: text(expected),
                found: text(found),
            }
        };
        if key.device != entry.device {
            let text = |device: Option<DeviceId>| device.map(|device| device.to_string());
            return Err(other("device", text(entry.device), text(key.device)));
        }
        // An address that was learnt later stands in the name only.
        if key.mac.is_some() && key.mac != entry.mac {
            let text = |mac: Option<Mac>| mac.map(|mac| mac.to_string());
            return Err(other("mac", text(entry.mac), text(key.mac)));
        }
        key.mac = entry.mac;
        Ok(key)
    }
}

impl Entry {
    fn of_name(name: &str) -> Option<Self> {
        let (mac, device) = name.strip_suffix(EXTENSION)?.split_once('_')?;
        let entry = Self {
            mac: match mac {
                UNKNOWN => None,
                digits => Some(mac_of_digits(digits)?),
            },
            device: match device {
                UNKNOWN => None,
                digits => Some(DeviceId::from_hex(digits)?),
            },
        };
        (entry.mac.is_some() || entry.device.is_some()).then_some(entry)
    }

    fn file_name(self) -> String {
        file_name(self.mac, self.device)
    }
}

fn file_name(mac: Option<Mac>, device: Option<DeviceId>) -> String {
    let mac = mac.map_or(UNKNOWN.into(), |mac| mac.to_string().replace(':', ""));
    let device = device.map_or(UNKNOWN.into(), |device| device.to_string());
    format!("{mac}_{device}{EXTENSION}")
}

/// Reads twelve lower-case hexadecimal digits.
fn mac_of_digits(digits: &str) -> Option<Mac> {
    let mut mac = [0; 6];
    let (pairs, []) = digits.as_bytes().as_chunks::<2>() else {
        return None;
    };
    if pairs.len() != mac.len() {
        return None;
    }
    for (byte, [high, low]) in mac.iter_mut().zip(pairs) {
        *byte = record::nibble(*high)? << 4 | record::nibble(*low)?;
    }
    Some(Mac(mac))
}

#[cfg(test)]
mod tests;
