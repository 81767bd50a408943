//! The files of one device.
//!
//! ```text
//! flash.bin              the flash chip from address 0, encrypted: written raw
//! efuse-plan.json        what is burnt, for programs and `espseal efuse apply`
//! provision.sh           the same as espefuse commands
//! install.sh             writes the flash, burns the eFuses, removes the key files
//! keys/<name>.bin        what the script burns; mode 0600, of no use afterwards, but for jtag-key.bin
//! device.toml            what the fleet has to know: `espseal device enroll`
//! <MAC>_<device id>.age  the flash key, with --escrow
//! made.toml              name, address, id and digest: written last
//! mac.txt                the address of the chip that install.sh was run on
//! ```

use std::fmt::Write as _;
use std::path::Path;

use espseal_format::chip::ChipId;
use espseal_format::units::{ChannelName, DeviceId, Digest};
use espseal_twin::efuse::Mac;
use serde::{Deserialize, Serialize};

use super::error::MakeError;
use super::line::Made;
use super::order;
use crate::efuse_plan::document::Document;
use crate::efuse_plan::plan::{KeyName, Plan};
use crate::enrolment::{Device, Recipient, Standing};
use crate::files::{self, FileError, Secrecy};
use crate::toml_error::TomlError;

/// The record that is written last.
pub const RECORD: &str = "made.toml";
/// Where install.sh notes the chip.
pub const MAC_NOTE: &str = "mac.txt";
/// The record that is enrolled.
pub const ENROLMENT: &str = "device.toml";
/// The image.
pub const IMAGE: &str = "flash.bin";
/// The script that does it all.
const INSTALL: &str = include_str!("folder/install.sh");
/// Largest record.
const LARGEST: u64 = 16 << 10;

/// What is noted of a device that was made.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Record {
    /// Its name.
    pub name: String,
    chip: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    mac: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<String>,
    flash_bytes: usize,
    flash_sha256: String,
    flash_encrypted: bool,
    escrowed: bool,
}

/// Everything that a device's files are made from.
#[derive(Debug)]
pub struct Contents<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its chip.
    pub chip: ChipId,
    /// The chip's address, if it is known.
    pub mac: Option<Mac>,
    /// The channel that it follows.
    pub channel: Option<&'a ChannelName>,
    /// Its secrets.
    pub made: &'a Made,
    /// Its image.
    pub image: &'a [u8],
    /// Its plan.
    pub plan: &'a Plan,
    /// Name and contents of its escrow file.
    pub escrow: Option<(String, Vec<u8>)>,
}

impl Contents<'_> {
    /// Writes every file into a folder.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn write(&self, folder: &Path) -> Result<(), FileError> {
        let public =
            |name: &str, bytes: &[u8]| files::create(&folder.join(name), bytes, Secrecy::Public);
        let keys = folder.join("keys");
        files::make_folder(&keys, Secrecy::Private)?;
        let mut named = Vec::new();
        for (name, key) in self.made.key_files() {
            let file = format!("{}.bin", name.id());
            files::create(&keys.join(&file), key, Secrecy::Private)?;
            named.push((name, Path::new("keys").join(file)));
        }
        let named: Vec<_> = named
            .iter()
            .map(|(name, path)| (*name, path.as_path()))
            .collect();
        files::create(&folder.join(IMAGE), self.image, Secrecy::Private)?;
        let plan = serde_json::to_vec_pretty(&Document::of(self.plan)).unwrap_or_default();
        public("efuse-plan.json", &plan)?;
        public("provision.sh", self.plan.script(&named).as_bytes())?;
        public("install.sh", self.install().as_bytes())?;
        if let Some(device) = self.enrolment() {
            public(ENROLMENT, device.to_toml().as_bytes())?;
        }
        if let Some((name, file)) = &self.escrow {
            files::create(&folder.join(name), file, Secrecy::Private)?;
        }
        let record = toml::to_string(&self.record()).unwrap_or_default();
        public(RECORD, record.as_bytes())
    }

    /// What is enrolled; `None` for a device without keys of its own.
    #[must_use]
    pub fn enrolment(&self) -> Option<Device> {
        let (identity, channel) = (self.made.identity.as_ref()?, self.channel?);
        Some(Device {
            id: identity.id,
            chip: self.chip,
            channel: channel.clone(),
            recipient: Recipient::Agent {
                encryption: identity.encryption,
                report: identity.report,
            },
            standing: Standing::Enrolled,
        })
    }

    fn record(&self) -> Record {
        Record {
            name: self.name.into(),
            chip: self.chip.target().unwrap_or_default().into(),
            mac: self.mac.map(|mac| mac.to_string()),
            device: self.made.identity.as_ref().map(|own| own.id.to_string()),
            flash_bytes: self.image.len(),
            flash_sha256: Digest::of(self.image).to_string(),
            flash_encrypted: self.made.flash_key.is_some(),
            escrowed: self.escrow.is_some(),
        }
    }

    fn install(&self) -> String {
        let mut removed = String::new();
        for (name, _) in self.made.key_files() {
            if name != KeyName::Jtag {
                // Writing to a string does not fail.
                let _ = write!(removed, " keys/{}.bin", name.id());
            }
        }
        INSTALL
            .replace("@NAME@", self.name)
            .replace("@CHIP@", self.chip.target().unwrap_or_default())
            .replace(
                "@MAC@",
                &self.mac.map(|mac| mac.to_string()).unwrap_or_default(),
            )
            .replace("@KEYS@", removed.trim_start())
    }
}

impl Record {
    /// Reads the record of a finished device; `None` when there is none.
    ///
    /// # Errors
    /// [`MakeError::Damaged`], [`MakeError::File`].
    pub fn read(folder: &Path) -> Result<Option<Self>, MakeError> {
        let path = folder.join(RECORD);
        let bytes = match files::read(&path, "the record of a made device", LARGEST) {
            Err(FileError::Read { cause, .. }) if cause.kind() == std::io::ErrorKind::NotFound => {
                return Ok(None);
            }
            done => done?,
        };
        let damaged = |cause: String| MakeError::Damaged {
            path: path.clone(),
            cause,
        };
        let text = str::from_utf8(&bytes).map_err(|error| damaged(error.to_string()))?;
        toml::from_str(text)
            .map(Some)
            .map_err(|error| damaged(TomlError::new(text, &error).to_string()))
    }

    /// Writes the record anew.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn replace(&self, folder: &Path) -> Result<(), FileError> {
        let text = toml::to_string(self).unwrap_or_default();
        files::replace(&folder.join(RECORD), text.as_bytes(), Secrecy::Public)
    }

    /// The chip's address, if it is known.
    #[must_use]
    pub fn mac(&self) -> Option<Mac> {
        order::mac(self.mac.as_deref()?)
    }

    /// Notes the chip's address.
    pub fn learn(&mut self, mac: Mac) {
        self.mac = Some(mac.to_string());
    }

    /// The device's pseudonym, if it has keys of its own.
    #[must_use]
    pub fn device(&self) -> Option<DeviceId> {
        DeviceId::from_hex(self.device.as_deref()?)
    }

    /// Whether its flash key is in escrow.
    #[must_use]
    pub const fn is_escrowed(&self) -> bool {
        self.escrowed
    }
}
