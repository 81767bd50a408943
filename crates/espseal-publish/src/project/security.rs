//! The section `[chip.security]` of `espseal.toml`: how far a chip is to be locked.
//!
//! ```toml
//! [chip.security]
//! secure-boot = "rsa"            # off, v1, rsa, ecdsa-p192, ecdsa-p256, ecdsa-p384
//! unused-digests = "revoke"      # keep, revoke
//! aggressive-revoke = false
//! flash-encryption = "release"   # off, development, release
//! flash-key-bits = 256           # 128, 192, 256, 512
//! flash-key-block = 0            # n of BLOCK_KEYn; the first that is free when left out
//! flash-crypt-config = 15        # ESP32 only
//! device-key = true              # key of the HMAC peripheral
//! device-key-block = 5
//! jtag-key = false               # key that opens JTAG again, for jtag = "soft"
//! jtag-key-block = 4
//! jtag = "shut"                  # open, soft, shut
//! uart-download = "secure"       # open, secure, shut
//! secure-version = 0
//! ```
//!
//! The digests of the keys are `secure-boot-digests` of the chip.

use espseal_crypto::flash_encryption::FlashCryptConfig;
use espseal_format::chip::Chip;
use espseal_format::signature_block::{Curve, SignatureScheme};
use espseal_format::units::{Digest, SecurityVersion};
use espseal_twin::boot::EncryptionMode;
use serde::Deserialize;

use crate::efuse_plan::wish::{
    BurntKeys, DownloadPolicy, FlashContents, FlashEncryptionWish, HmacKeyWish, JtagPolicy,
    Revocation, SecureBootWish, UnusedDigests, Wish,
};

/// The section as written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct FileSecurity {
    secure_boot: FileSecureBoot,
    unused_digests: Option<FileUnused>,
    aggressive_revoke: bool,
    flash_encryption: FileEncryption,
    flash_key_bits: Option<u16>,
    flash_key_block: Option<u8>,
    flash_crypt_config: Option<u8>,
    device_key: bool,
    device_key_block: Option<u8>,
    jtag_key: bool,
    jtag_key_block: Option<u8>,
    jtag: FileJtag,
    uart_download: FileDownload,
    secure_version: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum FileSecureBoot {
    #[default]
    Off,
    V1,
    Rsa,
    #[serde(rename = "ecdsa-p192")]
    P192,
    #[serde(rename = "ecdsa-p256")]
    P256,
    #[serde(rename = "ecdsa-p384")]
    P384,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum FileUnused {
    Keep,
    Revoke,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum FileEncryption {
    #[default]
    Off,
    Development,
    Release,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum FileJtag {
    #[default]
    Open,
    Soft,
    Shut,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum FileDownload {
    #[default]
    Open,
    Secure,
    Shut,
}

/// A value of the section that cannot be: its name, what it is, and what belongs there.
pub(super) struct Unfit {
    pub field: &'static str,
    pub found: String,
    pub expected: &'static str,
}

impl FileSecurity {
    /// The wish for a chip whose keys have these digests.
    ///
    /// Whether the chip can do it is for the planner to say; here, only numbers are checked.
    pub(super) fn wish(&self, chip: &Chip, digests: &[Digest]) -> Result<Wish, Unfit> {
        Ok(Wish {
            chip: chip.id,
            secure_boot: self.secure_boot(digests)?,
            flash_encryption: self.flash_encryption(chip)?,
            device_key: key(self.device_key, self.device_key_block),
            jtag_key: key(self.jtag_key, self.jtag_key_block),
            jtag: match self.jtag {
                FileJtag::Open => JtagPolicy::Open,
                FileJtag::Soft => JtagPolicy::Soft,
                FileJtag::Shut => JtagPolicy::Shut,
            },
            download: match self.uart_download {
                FileDownload::Open => DownloadPolicy::Open,
                FileDownload::Secure => DownloadPolicy::Secure,
                FileDownload::Shut => DownloadPolicy::Shut,
            },
            secure_version: SecurityVersion::new(self.secure_version),
            burnt_keys: BurntKeys::Refuse,
        })
    }

    fn secure_boot(&self, digests: &[Digest]) -> Result<Option<SecureBootWish>, Unfit> {
        let scheme = match self.secure_boot {
            FileSecureBoot::Off => return Ok(None),
            FileSecureBoot::V1 => return Ok(Some(SecureBootWish::V1)),
            FileSecureBoot::Rsa => SignatureScheme::Rsa3072,
            FileSecureBoot::P192 => SignatureScheme::Ecdsa(Curve::P192),
            FileSecureBoot::P256 => SignatureScheme::Ecdsa(Curve::P256),
            FileSecureBoot::P384 => SignatureScheme::Ecdsa(Curve::P384),
        };
        if digests.is_empty() {
            return Err(Unfit {
                field: "chip.security.secure-boot",
                found: "secure boot without a key".into(),
                expected: "the digest of a key in secure-boot-digests, or \"off\"",
            });
        }
        Ok(Some(SecureBootWish::V2 {
            scheme,
            digests: digests.to_vec(),
            unused: self.unused_digests.map(|unused| match unused {
                FileUnused::Keep => UnusedDigests::Keep,
                FileUnused::Revoke => UnusedDigests::Revoke,
            }),
            revocation: match self.aggressive_revoke {
                true => Revocation::Aggressive,
                false => Revocation::Lenient,
            },
        }))
    }

    fn flash_encryption(&self, chip: &Chip) -> Result<Option<FlashEncryptionWish>, Unfit> {
        let mode = match self.flash_encryption {
            FileEncryption::Off => return Ok(None),
            FileEncryption::Development => EncryptionMode::Development,
            FileEncryption::Release => EncryptionMode::Release,
        };
        let usual = chip.flash_encryption.first().map_or(0, |key| key.length);
        let config = self
            .flash_crypt_config
            .map_or(Some(FlashCryptConfig::DEFAULT), FlashCryptConfig::new);
        Ok(Some(FlashEncryptionWish {
            mode,
            key_length: self
                .flash_key_bits
                .map_or(usual, |bits| usize::from(bits) / 8),
            block: self.flash_key_block,
            config: config.ok_or_else(|| Unfit {
                field: "chip.security.flash-crypt-config",
                found: self
                    .flash_crypt_config
                    .map(|value| value.to_string())
                    .unwrap_or_default(),
                expected: "0 to 15",
            })?,
            flash: FlashContents::Encrypted,
        }))
    }
}

fn key(wanted: bool, block: Option<u8>) -> Option<HmacKeyWish> {
    wanted.then_some(HmacKeyWish { block })
}
