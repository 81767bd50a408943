//! The epoch keys of the maker, and the shards that carry them to the devices.
//!
//! `keys/epochs/<group>-<epoch>.key` holds the 32 bytes of an epoch key, mode 0600. A number is
//! used once: the file is made before anything is wrapped under it and never overwritten.

use std::fs;
use std::path::{Path, PathBuf};

use espseal_crypto::epoch::EpochKey;
use espseal_format::metadata::releases::Epoch;
use espseal_format::repository::Resource;
use espseal_format::units::{DeviceId, Product, PublicKeyBytes};
use espseal_format::wrap::{MAX_SHARD_LEN, ShardEntry, ShardNibbles, ShardPrefix};
use rand_core::CryptoRng;

use crate::authority::random;
use crate::blame::Blame;
use crate::files::{self, FileError, Secrecy};
use crate::observer::{Observer, Stage};
use crate::repository::{Store, StoreError};

/// Entries that a new shard gets at most; what is left is for devices enrolled later.
const ENTRIES_AT_START: usize = 400;
/// Fewest wraps that are worth a thread.
const WORTH_A_THREAD: usize = 16;

/// The epoch keys of a project.
#[derive(Debug)]
pub struct EpochKeys {
    folder: PathBuf,
    product: Product,
}

/// One epoch with its key.
#[derive(Debug)]
pub struct OpenEpoch {
    /// What `releases` says about it.
    pub signed: Epoch,
    /// Its key.
    pub key: EpochKey,
}

impl EpochKeys {
    /// Uses the keys in `folder`.
    #[must_use]
    pub fn new(folder: &Path, product: Product) -> Self {
        Self {
            folder: folder.into(),
            product,
        }
    }

    /// Reads the key of an epoch and checks that it is the one `releases` commits to.
    ///
    /// # Errors
    /// [`EpochError::File`] when it is missing or exposed, [`EpochError::WrongKey`] otherwise.
    pub fn open(&self, signed: &Epoch) -> Result<OpenEpoch, EpochError> {
        let path = self.path(signed.group, signed.epoch);
        let wrong = || EpochError::WrongKey { path: path.clone() };
        let bytes = files::read_private(&path, "an epoch key", 32)?;
        let key = EpochKey::from_bytes(bytes.as_slice().try_into().map_err(|_| wrong())?);
        key.verify_commitment(
            &signed.commitment,
            &self.product,
            signed.group,
            signed.epoch,
        )
        .map_err(|_| wrong())?;
        Ok(OpenEpoch {
            signed: signed.clone(),
            key,
        })
    }

    /// Starts the epoch after every one that ever had a key file, and after `current`.
    ///
    /// # Errors
    /// [`EpochError::File`], [`EpochError::Exhausted`].
    pub fn start<R: CryptoRng>(
        &self,
        rng: &mut R,
        group: u32,
        current: Option<u32>,
        recipients: &[Recipient],
    ) -> Result<OpenEpoch, EpochError> {
        let newest = self.newest(group)?.max(current);
        let epoch = match newest {
            None => 1,
            Some(newest) => newest
                .checked_add(1)
                .ok_or(EpochError::Exhausted { group })?,
        };
        let shard_nibbles = nibbles_for(recipients).ok_or(EpochError::TooManyDevices { group })?;
        let key = EpochKey::generate(rng);
        let path = self.path(group, epoch);
        files::create(&path, key.expose_secret(), Secrecy::Private)?;
        Ok(OpenEpoch {
            signed: Epoch {
                group,
                epoch,
                commitment: key.commitment(&self.product, group, epoch),
                shard_nibbles,
            },
            key,
        })
    }

    /// Wraps an epoch key for every recipient and stores the shards, one at a time.
    ///
    /// `recipients` ascend by id.
    ///
    /// # Errors
    /// [`EpochError::Store`], [`EpochError::DeviceKey`], [`EpochError::TooManyDevices`],
    /// [`EpochError::Interrupted`].
    pub fn wrap_for_all(
        &self,
        epoch: &OpenEpoch,
        recipients: &[Recipient],
        store: &dyn Store,
        observer: &dyn Observer,
    ) -> Result<(), EpochError> {
        let signed = &epoch.signed;
        let nibbles = signed.shard_nibbles;
        let total = recipients.len() as u64;
        observer.begin(Stage::Wrapping, total);
        let mut rest = recipients;
        while let Some(first) = rest.first() {
            let prefix = ShardPrefix::of(&first.id, nibbles);
            let end = rest.partition_point(|other| prefix.covers(&other.id));
            let (shard, later) = rest.split_at(end);
            if shard.len().saturating_mul(ShardEntry::LEN) > MAX_SHARD_LEN {
                return Err(EpochError::TooManyDevices {
                    group: signed.group,
                });
            }
            if observer.is_interrupted() {
                return Err(EpochError::Interrupted);
            }
            let bytes = self.entries(epoch, shard)?.concat();
            observer.advance(shard.len() as u64);
            store.replace(&shard_path(signed, &first.id), &bytes)?;
            rest = later;
        }
        Ok(())
    }

    /// Adds devices to the shards of a running epoch, each of which is written once. Returns those that
    /// found no room.
    ///
    /// `recipients` ascend by id.
    ///
    /// # Errors
    /// [`EpochError::Store`], [`EpochError::DeviceKey`], [`EpochError::DamagedShard`],
    /// [`EpochError::Interrupted`].
    pub fn admit(
        &self,
        epoch: &OpenEpoch,
        recipients: &[Recipient],
        store: &dyn Store,
        observer: &dyn Observer,
    ) -> Result<Vec<DeviceId>, EpochError> {
        let mut left_out = Vec::new();
        let nibbles = epoch.signed.shard_nibbles;
        let shards =
            recipients.chunk_by(|one, other| ShardPrefix::of(&one.id, nibbles).covers(&other.id));
        for shard in shards {
            if observer.is_interrupted() {
                return Err(EpochError::Interrupted);
            }
            let Some(first) = shard.first() else { continue };
            let path = shard_path(&epoch.signed, &first.id);
            let old = store.get(&path)?.unwrap_or_default();
            let (entries, rest) = old.as_chunks::<{ ShardEntry::LEN }>();
            if !rest.is_empty() {
                return Err(EpochError::DamagedShard { path });
            }
            let id = |entry: &[u8; ShardEntry::LEN]| entry.first_chunk::<32>().copied();
            let is_new = |entry: &[u8; ShardEntry::LEN]| {
                let found = |id: [u8; 32]| shard.binary_search_by_key(&id, |new| new.id.0).is_ok();
                id(entry).is_some_and(found)
            };
            let others = entries.iter().filter(|entry| !is_new(entry));
            let mut all: Vec<_> = others.copied().collect();
            let room = (MAX_SHARD_LEN / ShardEntry::LEN).saturating_sub(all.len());
            let (admitted, late) = shard.split_at(room.min(shard.len()));
            left_out.extend(late.iter().map(|recipient| recipient.id));
            all.extend(self.entries(epoch, admitted)?);
            all.sort_by_key(id);
            if !admitted.is_empty() {
                store.replace(&path, &all.concat())?;
            }
        }
        Ok(left_out)
    }

    /// Wraps an epoch key for these recipients, on all cores.
    fn entries(
        &self,
        epoch: &OpenEpoch,
        recipients: &[Recipient],
    ) -> Result<Vec<[u8; ShardEntry::LEN]>, EpochError> {
        let wrap = |recipients: &[Recipient]| {
            let mut rng = random();
            let entries = recipients.iter().map(|recipient| {
                let entry = self.entry(&mut rng, epoch, recipient)?;
                Ok(entry.encode())
            });
            entries.collect::<Result<Vec<_>, EpochError>>()
        };
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let share = recipients.len().div_ceil(cores).max(WORTH_A_THREAD);
        if recipients.len() <= share {
            return wrap(recipients);
        }
        std::thread::scope(|scope| {
            let workers: Vec<_> = recipients
                .chunks(share)
                .map(|part| scope.spawn(move || wrap(part)))
                .collect();
            let mut all = Vec::with_capacity(recipients.len());
            for worker in workers {
                let part = worker
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
                all.extend(part);
            }
            Ok(all)
        })
    }

    fn entry<R: CryptoRng>(
        &self,
        rng: &mut R,
        epoch: &OpenEpoch,
        recipient: &Recipient,
    ) -> Result<ShardEntry, EpochError> {
        let Epoch {
            group,
            epoch: number,
            ..
        } = epoch.signed;
        epoch
            .key
            .wrap_for(&recipient.key, &self.product, group, number, rng)
            .map_err(|_| EpochError::DeviceKey {
                device: recipient.id,
            })
    }

    /// The newest epoch of a group that has a key file.
    fn newest(&self, group: u32) -> Result<Option<u32>, EpochError> {
        let failed = |cause| FileError::Read {
            path: self.folder.clone(),
            cause,
        };
        let mut newest = None;
        for entry in fs::read_dir(&self.folder).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            let number = name
                .to_str()
                .and_then(|name| name.strip_suffix(".key"))
                .and_then(|name| name.split_once('-'))
                .filter(|(left, _)| left.parse() == Ok(group))
                .and_then(|(_, right)| right.parse().ok());
            newest = newest.max(number);
        }
        Ok(newest)
    }

    fn path(&self, group: u32, epoch: u32) -> PathBuf {
        self.folder.join(format!("{group}-{epoch}.key"))
    }
}

/// An agent that receives an epoch key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recipient {
    /// Its id.
    pub id: DeviceId,
    /// Its HPKE public key.
    pub key: PublicKeyBytes,
}

/// Path of the shard that holds a device's entry.
#[must_use]
pub fn shard_path(signed: &Epoch, device: &DeviceId) -> String {
    Resource::EpochShard {
        group: signed.group,
        epoch: signed.epoch,
        prefix: ShardPrefix::of(device, signed.shard_nibbles),
    }
    .path()
    .to_string()
}

/// Whether the shards of these devices hold each of them and nobody else.
///
/// `recipients` ascend by id.
///
/// # Errors
/// [`EpochError::Store`].
pub fn reaches_exactly(
    signed: &Epoch,
    recipients: &[Recipient],
    store: &dyn Store,
) -> Result<bool, EpochError> {
    let nibbles = signed.shard_nibbles;
    let shards =
        recipients.chunk_by(|one, other| ShardPrefix::of(&one.id, nibbles).covers(&other.id));
    for shard in shards {
        let Some(first) = shard.first() else { continue };
        let bytes = store.get(&shard_path(signed, &first.id))?;
        let (entries, rest) = bytes
            .as_deref()
            .unwrap_or_default()
            .as_chunks::<{ ShardEntry::LEN }>();
        let stored = entries.iter().map(|entry| entry.first_chunk::<32>());
        if !rest.is_empty() || !stored.eq(shard.iter().map(|new| Some(&new.id.0))) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The fewest digits that leave room in every shard.
fn nibbles_for(recipients: &[Recipient]) -> Option<ShardNibbles> {
    (0..=ShardNibbles::MAX)
        .filter_map(ShardNibbles::new)
        .find(|nibbles| {
            recipients
                .chunk_by(|a, b| ShardPrefix::of(&a.id, *nibbles).covers(&b.id))
                .all(|shard| shard.len() <= ENTRIES_AT_START)
        })
}

/// Failure of making or opening an epoch.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EpochError {
    /// The key file is not the key that was published.
    #[error(
        "{} is not the key that `releases` commits to; expected 32 bytes written by espseal: \
         restore it from a backup, or start over with `espseal publish --new-repository`, which offers \
         the new release alone",
        path.display()
    )]
    WrongKey {
        /// The file.
        path: PathBuf,
    },
    /// A device's public key is no point.
    #[error("the public key of device {device} is no point on P-256; revoke it and enrol anew")]
    DeviceKey {
        /// The device.
        device: DeviceId,
    },
    /// No number of digits spreads the devices far enough.
    #[error("group {group} has more devices than shards can hold; split it into two channels")]
    TooManyDevices {
        /// The group.
        group: u32,
    },
    /// The last number is used.
    #[error("group {group} has used its last epoch; give the channel another group")]
    Exhausted {
        /// The group.
        group: u32,
    },
    /// A shard in the repository has the wrong length.
    #[error("{path} is no sequence of 145-byte entries; restore the repository, or publish anew")]
    DamagedShard {
        /// Path in the repository.
        path: String,
    },
    /// The user interrupted.
    #[error("interrupted; nothing was published")]
    Interrupted,
    /// The repository cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A key file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
}

impl EpochError {
    /// Who has to act.
    #[must_use]
    pub fn blame(&self) -> Blame {
        match self {
            Self::WrongKey { .. } | Self::DeviceKey { .. } | Self::DamagedShard { .. } => {
                Blame::Refused
            }
            Self::TooManyDevices { .. } | Self::Exhausted { .. } => Blame::Usage,
            Self::Interrupted => Blame::Interrupted,
            Self::Store(error) => error.blame(),
            Self::File(FileError::Exposed { .. }) => Blame::Usage,
            Self::File(_) => Blame::Io,
        }
    }
}
