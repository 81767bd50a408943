//! How far a device is locked, as steps that can be listed, reordered, left out and carried out.
//!
//! The order is that of ESP-IDF's workflow: what has to stay unreadable comes before the lock on read
//! protection, what would lock the factory out comes last.
//!
//! Source: ESP-IDF `docs/en/security/security-features-enablement-workflows.rst`,
//! `bootloader_support/src/<chip>/*_secure_features.c`.

use core::fmt;

use espseal_crypto::flash_encryption::{FlashCryptConfig, FlashKey};
use espseal_format::chip::{Burn, Chip, SecureBootScheme};
use espseal_format::efuse::KeyRole;
use espseal_format::signature_block::{Curve, SignatureScheme};
use espseal_format::units::Digest;
use zeroize::Zeroizing;

use crate::boot::EncryptionMode;
use crate::efuse::{EfuseError, Efuses, FlashEncryption, KeyProtection, KeyToBurn, KeyUse};

/// What a device is locked with.
#[derive(Clone, Copy, Debug, Default)]
pub struct Locking<'a> {
    /// Flash encryption; `None` leaves it off.
    pub flash_encryption: Option<FlashLock<'a>>,
    /// Secure boot; `None` leaves it off.
    pub secure_boot: Option<SecureBootLock<'a>>,
}

/// How flash encryption is turned on.
#[derive(Clone, Copy, Debug)]
pub struct FlashLock<'a> {
    /// The key.
    pub key: &'a FlashKey,
    /// For ever, or for trying.
    pub mode: EncryptionMode,
    /// Which address bits tweak the key; ESP32 only.
    pub config: FlashCryptConfig,
}

/// How secure boot is turned on.
#[derive(Clone, Copy)]
pub enum SecureBootLock<'a> {
    /// Version 1: the key of the bootloader's digest, as its key file has it.
    V1(&'a [u8]),
    /// Version 2.
    V2 {
        /// How images are signed.
        scheme: SignatureScheme,
        /// Digests of the keys, slot by slot.
        digests: &'a [Digest],
    },
}

impl fmt::Debug for SecureBootLock<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V1(_) => "V1",
            Self::V2 { .. } => "V2",
        })
    }
}

/// One irreversible step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The flash encryption key goes into its block, read- and write-protected.
    FlashKey,
    /// Both halves of the chip's only key block, which can be burnt only once: flash encryption key
    /// and secure-boot digest.
    SharedKeys,
    /// The key of secure boot v1 goes into its block, read- and write-protected.
    BootloaderKey,
    /// The digest of a secure-boot key goes into its block, write-protected.
    Digest(u8),
    /// Bits of a field.
    Field(Burn),
    /// The flash encryption counter: one bit, or all.
    Counter(EncryptionMode),
    /// Secure boot is on from the next start.
    EnableSecureBoot,
    /// A field can never be burnt again.
    WriteProtect(&'static str),
    /// A digest slot never holds a key.
    Revoke(u8),
}

impl Locking<'_> {
    /// The steps in the order that locks nobody out too early.
    #[must_use]
    pub fn steps(&self, chip: &Chip) -> Vec<Step> {
        let mut steps = Vec::new();
        let locks = &chip.locks;
        let release = !matches!(
            self.flash_encryption,
            Some(FlashLock {
                mode: EncryptionMode::Development,
                ..
            })
        );
        let mut keys = chip.efuse.keys.iter();
        let shared = keys.any(|entry| matches!(entry.role, KeyRole::Shared { .. }));
        let counter = chip.efuse.flash_crypt_cnt.name;
        let fields = |burns: &'static [Burn]| {
            let others = burns.iter().filter(move |(name, _)| *name != counter);
            others.copied().map(Step::Field)
        };
        if let Some(flash) = self.flash_encryption {
            steps.push(match (shared, self.secure_boot) {
                (true, Some(_)) => Step::SharedKeys,
                _ => Step::FlashKey,
            });
            let config = u64::from(flash.config.get());
            let burns = match release {
                true => locks.release.flash_encryption,
                false => locks.first_boot.flash_encryption,
            };
            steps.extend(fields(burns).map(|step| match step {
                Step::Field((CRYPT_CONFIG, _)) => Step::Field((CRYPT_CONFIG, config)),
                other => other,
            }));
            steps.push(Step::Counter(flash.mode));
        }
        if let Some(secure_boot) = self.secure_boot {
            match secure_boot {
                SecureBootLock::V1(_) => steps.push(Step::BootloaderKey),
                SecureBootLock::V2 { .. } if shared && self.flash_encryption.is_some() => {}
                SecureBootLock::V2 { digests, .. } => {
                    steps.extend((0..).zip(digests).map(|(slot, _)| Step::Digest(slot)));
                }
            }
            if let (
                SecureBootLock::V2 {
                    scheme: SignatureScheme::Ecdsa(Curve::P384),
                    ..
                },
                Some(field),
            ) = (secure_boot, chip.efuse.secure_boot_sha384)
            {
                steps.push(Step::Field((field.name, 1)));
            }
            steps.push(Step::EnableSecureBoot);
            let burns = match release {
                true => locks.release.secure_boot,
                false => locks.first_boot.secure_boot,
            };
            steps.extend(fields(burns));
        }
        if self.flash_encryption.is_none() && self.secure_boot.is_none() {
            return steps;
        }
        if release {
            steps.extend(
                locks
                    .release
                    .write_protect
                    .iter()
                    .copied()
                    .map(Step::WriteProtect),
            );
        } else if self.secure_boot.is_some() {
            steps.push(Step::WriteProtect(chip.efuse.rd_dis.name));
        }
        if let Some(SecureBootLock::V2 { digests, .. }) = self.secure_boot {
            let unused = (0..chip.digest_slots).skip(digests.len());
            let revocable = unused.filter(|slot| usize::from(*slot) < chip.efuse.key_revoke.len());
            steps.extend(revocable.map(Step::Revoke));
        }
        if release {
            steps.push(Step::Field(locks.release.last));
        }
        steps
    }

    /// Carries steps out, in this order.
    ///
    /// # Errors
    /// The first step that fails, with the reason; those before it are burnt.
    pub fn carry_out(&self, steps: &[Step], efuses: &mut Efuses) -> Result<(), StepFailed> {
        steps.iter().try_for_each(|step| {
            self.step(*step, efuses)
                .map_err(|cause| StepFailed { step: *step, cause })
        })
    }

    fn step(&self, step: Step, efuses: &mut Efuses) -> Result<(), EfuseError> {
        match step {
            Step::FlashKey => self.burn_keys(efuses, &[KeyUse::FlashEncryption]),
            Step::SharedKeys => {
                let both = [KeyUse::FlashEncryption, KeyUse::SecureBootDigest(0)];
                self.burn_keys(efuses, &both)
            }
            Step::BootloaderKey => self.burn_keys(efuses, &[KeyUse::SecureBootV1]),
            Step::Digest(slot) => self.burn_keys(efuses, &[KeyUse::SecureBootDigest(slot)]),
            Step::Field((name, value)) => efuses.burn(name, value),
            Step::Counter(EncryptionMode::Development) => efuses.raise_flash_crypt_count(),
            Step::Counter(EncryptionMode::Release) => efuses.fill_flash_crypt_count(),
            Step::EnableSecureBoot => match self.secure_boot {
                Some(SecureBootLock::V1(_)) => efuses.enable_secure_boot(SecureBootScheme::V1),
                _ => efuses.enable_secure_boot_v2(),
            },
            Step::WriteProtect(name) => efuses.write_protect(name),
            Step::Revoke(slot) => efuses.revoke(usize::from(slot)),
        }
    }
}

impl Locking<'_> {
    /// Burns these keys together, in the first blocks that are free for them.
    fn burn_keys(&self, efuses: &mut Efuses, usages: &[KeyUse]) -> Result<(), EfuseError> {
        let mut burns = Vec::new();
        for usage in usages {
            let Some(key) = self.key(efuses, *usage) else {
                continue;
            };
            let block = efuses
                .free_block_for(*usage)
                .ok_or(EfuseError::NoSecondBlock)?;
            burns.push((block, *usage, key));
        }
        let keys: Vec<_> = burns
            .iter()
            .map(|(block, usage, key)| KeyToBurn {
                block: *block,
                usage: *usage,
                key,
            })
            .collect();
        efuses.burn_keys(&keys, KeyProtection::Usual)
    }

    /// The key for a use, as its key file has it.
    fn key(&self, efuses: &Efuses, usage: KeyUse) -> Option<Zeroizing<Vec<u8>>> {
        let bytes = match (usage, self.secure_boot) {
            (KeyUse::FlashEncryption, _) => efuses.flash_key_file(self.flash_encryption?.key),
            (KeyUse::SecureBootV1, Some(SecureBootLock::V1(key))) => key,
            (KeyUse::SecureBootDigest(slot), Some(SecureBootLock::V2 { digests, .. })) => {
                &digests.get(usize::from(slot))?.0
            }
            _ => return None,
        };
        Some(Zeroizing::new(bytes.to_vec()))
    }
}

/// The ESP32's field of [`FlashCryptConfig`].
const CRYPT_CONFIG: &str = "FLASH_CRYPT_CONFIG";

/// A step that the eFuses refuse.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("burning {step} fails: {cause}")]
pub struct StepFailed {
    /// The step.
    pub step: Step,
    /// Why.
    pub cause: EfuseError,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FlashKey => f.write_str("the flash encryption key"),
            Self::SharedKeys => f.write_str("the flash encryption key and the secure-boot digest"),
            Self::BootloaderKey => f.write_str("the key of secure boot v1"),
            Self::Digest(slot) => write!(f, "secure-boot digest {slot}"),
            Self::Field((name, value)) => write!(f, "{name} = {value:#x}"),
            Self::Counter(EncryptionMode::Development) => {
                f.write_str("one bit of the flash encryption counter")
            }
            Self::Counter(EncryptionMode::Release) => {
                f.write_str("every bit of the flash encryption counter")
            }
            Self::EnableSecureBoot => f.write_str("secure boot"),
            Self::WriteProtect(name) => write!(f, "the write protection of {name}"),
            Self::Revoke(slot) => write!(f, "KEY_REVOKE{slot}"),
        }
    }
}

impl Step {
    /// What can never be done again once it is burnt.
    #[must_use]
    pub fn consequence(&self, chip: &Chip) -> &'static str {
        let locks = &chip.locks;
        match self {
            Self::FlashKey => {
                "the key can be neither read nor replaced: what it encrypted stays bound to this chip"
            }
            Self::SharedKeys => {
                "the only key block is full: neither key nor digest can ever be replaced"
            }
            Self::BootloaderKey => {
                "the key can be neither read nor replaced: a new bootloader needs this key on your side"
            }
            Self::Digest(_) => {
                "the slot holds this key for ever: losing the private key ends updates, unless another slot has a key"
            }
            Self::Counter(EncryptionMode::Development) => {
                "flash is decrypted from now on; it can be turned off again as often as the counter has bits left"
            }
            Self::Counter(EncryptionMode::Release) => {
                "flash is decrypted for ever: plaintext that is flashed over the cable never boots again"
            }
            Self::EnableSecureBoot => {
                "only a bootloader that is signed with a burnt key starts, for ever"
            }
            Self::WriteProtect(name) if *name == chip.efuse.rd_dis.name => {
                "no key can be read-protected any more: keys that have to stay secret must be burnt before"
            }
            Self::WriteProtect(_) => {
                "the field, and those that share its guard, keep their value for ever"
            }
            Self::Revoke(_) => {
                "no key can ever be added in this slot: key rotation has only the other slots"
            }
            Self::Field((name, _))
                if locks.jtag.contains(name) || locks.jtag_soft == Some(*name) =>
            {
                "no debugger attaches any more: hard faults are debugged by logs alone"
            }
            Self::Field((name, _)) if *name == locks.download_off => {
                "the serial cable flashes nothing any more: only firmware updates itself"
            }
            Self::Field((name, _)) if locks.download_secure == Some(*name) => {
                "the serial cable only writes flash: nothing can be read, dumped or burnt by it any more"
            }
            Self::Field((name, _)) => field_consequence(name),
        }
    }
}

/// What the remaining fields take away.
fn field_consequence(name: &str) -> &'static str {
    match name {
        CRYPT_CONFIG => "which address bits tweak the key is fixed",
        "DISABLE_DL_ENCRYPT" | "DIS_DOWNLOAD_MANUAL_ENCRYPT" => {
            "the download mode no longer encrypts: plaintext cannot be flashed through it"
        }
        "DISABLE_DL_DECRYPT" => "the download mode no longer reads flash decrypted",
        "DISABLE_DL_CACHE"
        | "DIS_DOWNLOAD_ICACHE"
        | "DIS_DOWNLOAD_DCACHE"
        | "SPI_DOWNLOAD_MSPI_DIS" => {
            "the download mode no longer reads flash through the cache, that is, decrypted"
        }
        "CONSOLE_DEBUG_DISABLE" => "the BASIC interpreter in the ROM is gone",
        "DIS_DIRECT_BOOT" | "DIS_LEGACY_SPI_BOOT" | "DIS_BOOT_REMAP" => {
            "the chip no longer starts code that bypasses the bootloader"
        }
        "SECURE_BOOT_AGGRESSIVE_REVOKE" => "one forged signature of the bootloader revokes its key",
        "SECURE_BOOT_SHA384_EN" => "secure boot computes SHA-384: only P-384 keys verify",
        _ => "the bits stay set",
    }
}

/// What was burnt between two states of a chip's eFuses, key blocks first.
///
/// For devices that the bootloader locks by itself: the order of its burns is in the log.
#[must_use]
pub fn burnt_between(before: &Efuses, after: &Efuses) -> Vec<Step> {
    let chip = after.model();
    let map = chip.efuse;
    let mut steps = Vec::new();
    if before.flash_key_is_protected().is_none() && after.flash_key_is_protected().is_some() {
        steps.push(Step::FlashKey);
    }
    let digests = before
        .secure_boot_digests()
        .into_iter()
        .zip(after.secure_boot_digests());
    for (slot, (old, new)) in (0..).zip(digests) {
        if old.is_none() && new.is_some() {
            steps.push(Step::Digest(slot));
        }
    }
    let read = |efuses: &Efuses, name| efuses.read(name).unwrap_or(0);
    for field in map.fields {
        let new = read(after, field.name) & !read(before, field.name);
        let revoked = map
            .key_revoke
            .iter()
            .position(|revoke| revoke.name == field.name);
        let enables = map
            .secure_boot_enable
            .iter()
            .any(|(_, enable)| enable.name == field.name);
        if new == 0 || [map.wr_dis.name, map.rd_dis.name].contains(&field.name) {
            continue;
        }
        if field.name == map.flash_crypt_cnt.name {
            let mode = match after.flash_encryption() {
                FlashEncryption::Release => EncryptionMode::Release,
                _ => EncryptionMode::Development,
            };
            steps.push(Step::Counter(mode));
        } else if enables {
            steps.push(Step::EnableSecureBoot);
        } else if let Some(slot) = revoked.and_then(|slot| u8::try_from(slot).ok()) {
            steps.push(Step::Revoke(slot));
        } else if field.block == map.wr_dis.block && !field.name.contains("KEY_PURPOSE") {
            steps.push(Step::Field((field.name, new)));
        }
    }
    let guard = map.rd_dis.write_protect;
    let locked = |efuses: &Efuses| {
        let bits = read(efuses, map.wr_dis.name);
        guard.is_some_and(|bit| bits >> bit & 1 == 1)
    };
    if locked(after) && !locked(before) {
        steps.push(Step::WriteProtect(map.rd_dis.name));
    }
    steps
}
