//! What a maker is about to flash and burn.

use std::fmt;

use espseal_crypto::flash_encryption::{FlashCryptConfig, FlashKey};
use espseal_format::chip::{Chip, ChipId, chip, chip_of_revision};
use espseal_format::partition_table::{Entry, PartitionTable, PartitionType};
use espseal_format::signature_block::SignatureScheme;
use espseal_format::units::{Digest, FlashOffset};
use espseal_twin::boot::{BootloaderSettings, EncryptionMode};
use espseal_twin::efuse::CodingScheme;
use espseal_twin::factory::{FlashLock, Locking, SecureBootLock};
use zeroize::Zeroizing;

/// A product, ready to be flashed: images are signed where they have to be, everything is plain.
#[derive(Debug)]
pub struct Product {
    /// The chip.
    pub chip: ChipId,
    /// Revision of the silicon, `major * 100 + minor`; `None` for one that is sold.
    pub revision: Option<u16>,
    /// How Espressif coded the key blocks; ESP32 only.
    pub coding: CodingScheme,
    /// The second-stage bootloader.
    pub bootloader: Vec<u8>,
    /// How it was built.
    pub settings: BootloaderSettings,
    /// The partition table.
    pub table: PartitionTable,
    /// Where the bootloader expects it.
    pub table_offset: FlashOffset,
    /// What goes into partitions.
    pub contents: Vec<Content>,
    /// Secure boot.
    pub secure_boot: SecureBootPlan,
    /// Flash encryption.
    pub flash_encryption: FlashEncryptionPlan,
    /// Who locks the device.
    pub provisioning: Provisioning,
}

/// What goes into one partition.
#[derive(Clone, Debug)]
pub struct Content {
    /// Label of the partition.
    pub label: String,
    /// The bytes, as they shall read once the device runs.
    pub bytes: Vec<u8>,
}

/// Secure boot, as planned. Prints without its key.
pub enum SecureBootPlan {
    /// None.
    Off,
    /// Version 1; ESP32 only.
    V1 {
        /// Key of the bootloader's digest, as its key file has it.
        key: Zeroizing<Vec<u8>>,
    },
    /// Version 2.
    V2 {
        /// How images are signed.
        scheme: SignatureScheme,
        /// Digests of one to three keys.
        digests: Vec<Digest>,
    },
}

impl fmt::Debug for SecureBootPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("Off"),
            Self::V1 { .. } => f.write_str("V1"),
            Self::V2 { scheme, .. } => write!(f, "V2({scheme})"),
        }
    }
}

/// Flash encryption, as planned.
#[derive(Debug)]
pub enum FlashEncryptionPlan {
    /// None.
    Off,
    /// On.
    On {
        /// The key that is burnt, or that the bootloader finds burnt.
        key: FlashKey,
        /// For ever, or for trying.
        mode: EncryptionMode,
        /// Which address bits tweak the key; ESP32 only.
        config: FlashCryptConfig,
    },
}

/// Who turns security on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provisioning {
    /// The factory burns, and flashes what is encrypted already.
    PreEncrypted,
    /// The factory flashes plaintext; the bootloader burns and encrypts on the first boot.
    FirstBoot,
}

impl Product {
    /// The table of the chip, in the revision that is rehearsed.
    ///
    /// # Errors
    /// [`NoSuchChip`] when espseal has none.
    pub fn chip(&self) -> Result<&'static Chip, NoSuchChip> {
        let table = match self.revision {
            Some(revision) => chip_of_revision(self.chip, revision),
            None => None,
        };
        table
            .or_else(|| chip(self.chip))
            .ok_or(NoSuchChip(self.chip))
    }

    /// What is burnt when all is done.
    #[must_use]
    pub fn locking(&self) -> Locking<'_> {
        Locking {
            flash_encryption: match &self.flash_encryption {
                FlashEncryptionPlan::Off => None,
                FlashEncryptionPlan::On { key, mode, config } => Some(FlashLock {
                    key,
                    mode: *mode,
                    config: *config,
                }),
            },
            secure_boot: match &self.secure_boot {
                SecureBootPlan::Off => None,
                SecureBootPlan::V1 { key } => Some(SecureBootLock::V1(key)),
                SecureBootPlan::V2 { scheme, digests } => Some(SecureBootLock::V2 {
                    scheme: *scheme,
                    digests,
                }),
            },
        }
    }

    /// The smallest usual flash chip that holds every partition and its contents.
    #[must_use]
    pub fn flash_size(&self) -> usize {
        let ends = self.table.entries.iter().filter_map(Entry::end);
        let end = ends.map(|end| end.get() as usize).max().unwrap_or(0);
        let mut sizes = FLASH_SIZES.into_iter();
        sizes.find(|size| *size >= end).unwrap_or(end)
    }

    /// The app partitions.
    pub fn app_partitions(&self) -> impl Iterator<Item = &Entry> {
        let entries = self.table.entries.iter();
        entries.filter(|entry| entry.kind == PartitionType::App)
    }

    /// Whether secure boot of either version is planned.
    #[must_use]
    pub const fn has_secure_boot(&self) -> bool {
        !matches!(self.secure_boot, SecureBootPlan::Off)
    }

    /// Whether flash encryption is planned.
    #[must_use]
    pub const fn has_flash_encryption(&self) -> bool {
        matches!(self.flash_encryption, FlashEncryptionPlan::On { .. })
    }
}

/// Sizes of flash chips.
const FLASH_SIZES: [usize; 5] = [1 << 20, 2 << 20, 4 << 20, 8 << 20, 16 << 20];

/// espseal has no table for the chip.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("espseal has no table for {0}: a rehearsal needs its eFuses and its boot rules")]
pub struct NoSuchChip(pub ChipId);
