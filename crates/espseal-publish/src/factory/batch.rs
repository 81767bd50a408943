//! Many devices, on all cores, resumable.
//!
//! ```text
//! <batch>/batch.toml        digests of what the batch is made from; mode 0600, as the folder is 0700
//! <batch>/lock              held while an espseal works on it
//! <batch>/devices/<name>/   the files of a device, see `folder`
//! ```
//!
//! A device's folder is written under a temporary name and renamed when all of it is on the disk. So a run that
//! was interrupted is started again: finished devices are neither made nor enrolled a second time.

use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use espseal_format::units::Digest;
use espseal_twin::efuse::Mac;
use serde::{Deserialize, Serialize};

use super::error::MakeError;
use super::folder::{Contents, ENROLMENT, MAC_NOTE, Record};
use super::line::{Line, Made};
use super::order::{self, Order};
use crate::escrow::{Escrow, PlainKey, Recipients};
use crate::files::{self, FileError, Secrecy, TEMPORARY_PREFIX};
use crate::observer::Observer;

/// The batch's own record.
const BATCH: &str = "batch.toml";
/// Version of that record.
const FORMAT: u32 = 1;
/// Largest such record.
const LARGEST: u64 = 64 << 10;
/// Largest note of an address.
const LARGEST_NOTE: u64 = 64;

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct BatchFile {
    format: u32,
    devices: usize,
    inputs: BTreeMap<String, String>,
}

/// A batch that nobody else works on while this value lives.
#[derive(Debug)]
pub struct Batch {
    folder: PathBuf,
    _lock: File,
}

/// How flash keys are kept.
#[derive(Debug)]
pub struct EscrowTo<'a> {
    /// For whom they are encrypted.
    pub recipients: &'a Recipients,
    /// Folder of all of them.
    pub folder: &'a Path,
}

/// What a run did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Devices made now.
    pub made: usize,
    /// Devices that were there.
    pub found: usize,
}

impl Batch {
    /// Begins a batch, or goes on with one that was begun with the same inputs.
    ///
    /// # Errors
    /// [`MakeError::OtherInputs`], [`MakeError::NotABatch`], [`MakeError::Busy`], [`MakeError::File`].
    pub fn open(folder: &Path, line: &Line, orders: &[Order]) -> Result<Self, MakeError> {
        let inputs = inputs(line, orders);
        let path = folder.join(BATCH);
        if !fs::exists(&path).unwrap_or(false) {
            let mut entries = fs::read_dir(folder).into_iter().flatten().flatten();
            if entries.any(|entry| entry.file_name() != "lock") {
                return Err(MakeError::NotABatch {
                    path: folder.into(),
                });
            }
        }
        files::make_folder(&folder.join("devices"), Secrecy::Private)?;
        let batch = Self::locked(folder)?;
        files::remove_temporaries(&folder.join("devices"))?;
        match read_batch(&path)? {
            None => {
                let text = toml::to_string(&inputs).unwrap_or_default();
                files::create(&path, text.as_bytes(), Secrecy::Private)?;
            }
            Some(found) => compare(folder, &found, &inputs)?,
        }
        Ok(batch)
    }

    /// Opens a batch that was begun, to look after its devices.
    ///
    /// # Errors
    /// [`MakeError::NotABatch`], [`MakeError::Busy`], [`MakeError::File`].
    pub fn reopen(folder: &Path) -> Result<Self, MakeError> {
        match read_batch(&folder.join(BATCH))? {
            Some(_) => Self::locked(folder),
            None => Err(MakeError::NotABatch {
                path: folder.into(),
            }),
        }
    }

    fn locked(folder: &Path) -> Result<Self, MakeError> {
        let path = folder.join("lock");
        let failed = |cause| FileError::Write {
            path: path.clone(),
            cause,
        };
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self {
                folder: folder.into(),
                _lock: lock,
            }),
            Err(TryLockError::WouldBlock) => Err(MakeError::Busy {
                path: folder.into(),
            }),
            Err(TryLockError::Error(cause)) => Err(failed(cause).into()),
        }
    }

    /// Makes every device that is not there yet.
    ///
    /// # Errors
    /// [`MakeError`] of the first device that fails; those that are finished stay.
    pub fn run(
        &self,
        line: &Line,
        orders: &[Order],
        escrow: Option<&EscrowTo<'_>>,
        observer: &dyn Observer,
    ) -> Result<Report, MakeError> {
        let missing: Vec<&Order> = orders
            .iter()
            .filter(|order| !self.device(&order.name).exists())
            .collect();
        line.make_all(&missing, observer, |order, made, image| {
            self.keep_device(line, order, escrow, made, image)
        })?;
        if let Some(escrow) = escrow {
            self.keep(orders, escrow.folder)?;
        }
        Ok(Report {
            made: missing.len(),
            found: orders.len().saturating_sub(missing.len()),
        })
    }

    /// Records of the finished devices that are enrolled, in order of their names.
    ///
    /// # Errors
    /// [`MakeError::File`] when the folder cannot be listed.
    pub fn enrolments(&self) -> Result<Vec<PathBuf>, MakeError> {
        let names = self.names()?;
        let records = names.iter().map(|name| self.device(name).join(ENROLMENT));
        Ok(records.filter(|path| path.exists()).collect())
    }

    /// Notes the addresses of chips that devices were installed on since, and files escrowed keys under
    /// them. Returns the devices whose address was learnt.
    ///
    /// # Errors
    /// [`MakeError::Damaged`], [`MakeError::MacTaken`], [`MakeError::OtherMac`], [`MakeError::Escrow`].
    pub fn learn(
        &self,
        told: Option<(&str, Mac)>,
        escrow: Option<&Path>,
    ) -> Result<Vec<(String, Mac)>, MakeError> {
        let mut records = Vec::new();
        for name in self.names()? {
            if let Some(record) = Record::read(&self.device(&name))? {
                records.push(record);
            }
        }
        if let Some((name, _)) = told
            && !records.iter().any(|record| record.name == name)
        {
            return Err(MakeError::NoSuchDevice { name: name.into() });
        }
        let mut taken: BTreeMap<[u8; 6], String> = records
            .iter()
            .filter_map(|record| Some((record.mac()?.0, record.name.clone())))
            .collect();
        let mut escrow = escrow.map(Escrow::list).transpose()?;
        let mut learnt = Vec::new();
        for mut record in records {
            let folder = self.device(&record.name);
            let noted = match told {
                Some((name, mac)) if name == record.name => Some(mac),
                _ => noted(&folder.join(MAC_NOTE))?,
            };
            let Some(mac) = noted.or(record.mac()) else {
                continue;
            };
            match (record.mac(), taken.get(&mac.0)) {
                (Some(known), _) if known == mac => {}
                (Some(known), _) => {
                    return Err(MakeError::OtherMac {
                        name: record.name,
                        known,
                        found: mac,
                    });
                }
                (None, Some(name)) => {
                    let name = name.clone();
                    return Err(MakeError::MacTaken { mac, name });
                }
                (None, None) => {
                    taken.insert(mac.0, record.name.clone());
                    record.learn(mac);
                    record.replace(&folder)?;
                    learnt.push((record.name.clone(), mac));
                }
            }
            // Also where an earlier run came no further than the record.
            if let (Some(escrow), Some(device), true) =
                (&mut escrow, record.device(), record.is_escrowed())
                && escrow.holds(device)
            {
                escrow.learn_mac(device, mac)?;
            }
        }
        Ok(learnt)
    }

    /// The folder of a device.
    #[must_use]
    pub fn device(&self, name: &str) -> PathBuf {
        self.folder.join("devices").join(name)
    }

    /// Names of the finished devices, ascending.
    fn names(&self) -> Result<Vec<String>, MakeError> {
        let folder = self.folder.join("devices");
        let failed = |cause| FileError::Read {
            path: folder.clone(),
            cause,
        };
        let mut names = Vec::new();
        for entry in fs::read_dir(&folder).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            names.extend(
                name.to_str()
                    .filter(|name| !name.starts_with('.'))
                    .map(str::to_owned),
            );
        }
        names.sort();
        Ok(names)
    }

    /// Writes all files of one device.
    fn keep_device(
        &self,
        line: &Line,
        order: &Order,
        escrow: Option<&EscrowTo<'_>>,
        made: &Made,
        image: &[u8],
    ) -> Result<(), MakeError> {
        let plan = line.plan(order.mac)?;
        let target = self.device(&order.name);
        let failed = |cause| FileError::Write {
            path: target.clone(),
            cause,
        };
        let (mac, chip) = (order.mac, line.chip().id);
        let mut sealed = None;
        if let (Some(escrow), Some(wish)) = (escrow, line.flash_encryption()) {
            let kept = PlainKey {
                mac,
                device: made.identity.as_ref().map(|own| own.id),
                chip,
                config: wish.config,
                key: made.flash_key.as_ref().ok_or(MakeError::Keys)?,
            };
            sealed = Some((kept.file_name(), kept.seal(escrow.recipients)?));
        }
        let temporary = tempfile::Builder::new()
            .prefix(TEMPORARY_PREFIX)
            .tempdir_in(self.folder.join("devices"))
            .map_err(failed)?;
        let contents = Contents {
            name: &order.name,
            chip,
            mac,
            channel: line.channel(),
            made,
            image,
            plan: &plan,
            escrow: sealed,
        };
        contents.write(temporary.path())?;
        fs::rename(temporary.path(), &target).map_err(failed)?;
        // The name is the device's own now: nothing is left to remove.
        let _ = temporary.keep();
        let devices = File::open(self.folder.join("devices")).map_err(failed)?;
        Ok(devices.sync_all().map_err(failed)?)
    }

    /// Puts the escrowed keys of finished devices into the folder of all of them.
    fn keep(&self, orders: &[Order], folder: &Path) -> Result<(), MakeError> {
        let all = Escrow::create(folder)?;
        let there: HashSet<PathBuf> = all.files().collect();
        for order in orders {
            let device = self.device(&order.name);
            let own = Escrow::list(&device)?;
            for path in own.files() {
                let to = path.file_name().map(|name| folder.join(name));
                let Some(to) = to.filter(|to| !there.contains(to)) else {
                    continue;
                };
                if own.is_in(&all) {
                    continue;
                }
                let bytes = files::read(&path, "an escrowed flash key", LARGEST)?;
                files::create(&to, &bytes, Secrecy::Private)?;
            }
        }
        Ok(())
    }
}

fn read_batch(path: &Path) -> Result<Option<BatchFile>, MakeError> {
    let bytes = match files::read(path, "a batch", LARGEST) {
        Err(FileError::Read { cause, .. }) if cause.kind() == std::io::ErrorKind::NotFound => {
            return Ok(None);
        }
        done => done?,
    };
    let damaged = |cause: String| MakeError::Damaged {
        path: path.into(),
        cause,
    };
    let text = str::from_utf8(&bytes).map_err(|error| damaged(error.to_string()))?;
    let file: BatchFile = toml::from_str(text).map_err(|error| damaged(error.to_string()))?;
    Ok(Some(file))
}

/// What a batch is made from.
fn inputs(line: &Line, orders: &[Order]) -> BatchFile {
    let mut list = Vec::new();
    for order in orders {
        list.extend_from_slice(order.name.as_bytes());
        list.push(0);
        list.extend(order.mac.map_or([0; 6], |mac| mac.0));
        for row in &order.values {
            for text in [
                row.key(),
                row.kind(),
                row.encoding(),
                row.value().unwrap_or_default(),
            ] {
                list.extend_from_slice(text.as_bytes());
                list.push(0);
            }
        }
        list.push(1);
    }
    let shared = line.inputs().into_iter();
    let all = shared.chain([("list of devices", Digest::of(&list))]);
    BatchFile {
        format: FORMAT,
        devices: orders.len(),
        inputs: all
            .map(|(name, digest)| (name.into(), digest.to_string()))
            .collect(),
    }
}

fn compare(folder: &Path, found: &BatchFile, wanted: &BatchFile) -> Result<(), MakeError> {
    let other = |what: &str| MakeError::OtherInputs {
        path: folder.into(),
        what: what.into(),
    };
    if found.format != wanted.format {
        return Err(other("version of espseal"));
    }
    if found.devices != wanted.devices {
        return Err(other("number of devices"));
    }
    let mut differing = wanted
        .inputs
        .iter()
        .filter(|(name, digest)| found.inputs.get(*name) != Some(digest));
    match differing.next() {
        Some((name, _)) => Err(other(name)),
        None => Ok(()),
    }
}

/// The address that a script noted.
fn noted(path: &Path) -> Result<Option<Mac>, MakeError> {
    if !path.exists() {
        return Ok(None);
    }
    let bytes = files::read(path, "a MAC address", LARGEST_NOTE)?;
    let text = str::from_utf8(&bytes).unwrap_or_default().trim();
    let damaged = || MakeError::Damaged {
        path: path.into(),
        cause: "expected a MAC address".into(),
    };
    order::mac(text).map(Some).ok_or_else(damaged)
}
