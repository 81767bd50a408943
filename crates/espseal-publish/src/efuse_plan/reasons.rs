//! Why each step is taken where it is, what it ends, and what stays open.

use std::fmt;

use espseal_format::chip::Chip;
use espseal_twin::boot::EncryptionMode;
use espseal_twin::factory::Step;

use super::plan::{Burn, KeyName, Plan, PlannedStep};

/// Why a step is taken, and why there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// A secret key has to be hidden while that is possible.
    SecretKey,
    /// Both halves of the only key block at once.
    SharedBlock,
    /// A key that is there is readable.
    HideKey,
    /// A key that is there can be overwritten.
    KeepKey,
    /// How addresses tweak the key.
    CryptConfig,
    /// Flash encryption goes on.
    Encryption(EncryptionMode),
    /// Ways around flash encryption close.
    EncryptionBypass,
    /// The ROM needs the digest before it verifies.
    DigestFirst,
    /// The ROM verifies from now on.
    SecureBoot,
    /// Ways around secure boot close.
    SecureBootBypass,
    /// Digests stay readable for ever.
    DigestsReadable,
    /// Slots without a key shut.
    RevokeUnused,
    /// The ROM revokes keys by itself.
    AggressiveRevoke,
    /// Older firmware is out.
    AntiRollback,
    /// A debugger stays out.
    JtagShut,
    /// A debugger needs the key.
    JtagSoft,
    /// Settings keep their values.
    Guard,
    /// The cable is shut, last of all.
    DownloadLast,
}

impl Reason {
    /// A name for scripts.
    #[must_use]
    pub fn id(self) -> &'static str {
        self.row().map_or("", |row| row.0)
    }

    /// The reason of this name.
    #[must_use]
    pub fn from_id(id: &str) -> Option<Self> {
        let mut all = NAMES.iter();
        all.find(|row| row.0 == id).map(|row| row.2)
    }

    fn row(self) -> Option<&'static (&'static str, &'static str, Self)> {
        NAMES.iter().find(|row| row.2 == self)
    }
}

/// Name, sentence and reason.
const NAMES: [(&str, &str, Reason); 19] = [
    (
        "secret-key",
        "a secret key has to be hidden, and turning secure boot on ends hiding: so it comes first",
        Reason::SecretKey,
    ),
    (
        "shared-block",
        "the only key block can be burnt once: flash key and digest go in together",
        Reason::SharedBlock,
    ),
    (
        "hide-key",
        "the key that is burnt already can still be read by software",
        Reason::HideKey,
    ),
    (
        "keep-key",
        "the key block that is burnt already can still be written to",
        Reason::KeepKey,
    ),
    (
        "crypt-config",
        "without it, every 32 bytes of flash have the same key; it has to stand before encryption goes on",
        Reason::CryptConfig,
    ),
    (
        "encryption-release",
        "flash encryption goes on for ever: every bit of the counter is set",
        Reason::Encryption(EncryptionMode::Release),
    ),
    (
        "encryption-development",
        "flash encryption goes on, one bit of the counter, so that it can go off again",
        Reason::Encryption(EncryptionMode::Development),
    ),
    (
        "encryption-bypass",
        "ways around flash encryption close: the ROM must neither decrypt nor run what bypasses the bootloader",
        Reason::EncryptionBypass,
    ),
    (
        "digest-first",
        "the ROM needs the digest before it verifies; with none, nothing would boot",
        Reason::DigestFirst,
    ),
    (
        "secure-boot",
        "secure boot goes on, after its digests and after every key that has to be hidden",
        Reason::SecureBoot,
    ),
    (
        "secure-boot-bypass",
        "ways around secure boot close",
        Reason::SecureBootBypass,
    ),
    (
        "digests-readable",
        "a digest that somebody hides is a brick: nothing can be hidden any more",
        Reason::DigestsReadable,
    ),
    (
        "revoke-unused",
        "asked for: nobody adds a key in a slot without one",
        Reason::RevokeUnused,
    ),
    (
        "aggressive-revoke",
        "asked for: a wrong signature costs the key its place",
        Reason::AggressiveRevoke,
    ),
    (
        "anti-rollback",
        "firmware of a lower secure version is out",
        Reason::AntiRollback,
    ),
    (
        "jtag-shut",
        "a debugger reads flash and memory in the clear; it is shut late, for everything before can still be debugged",
        Reason::JtagShut,
    ),
    (
        "jtag-soft",
        "a debugger attaches only once firmware has shown the JTAG key to the HMAC peripheral",
        Reason::JtagSoft,
    ),
    (
        "guard",
        "settings that share this guard keep their values; after the last of them is burnt",
        Reason::Guard,
    ),
    (
        "download-last",
        "the cable is what all of this is burnt through: it is shut last of all",
        Reason::DownloadLast,
    ),
];

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.row().map_or("", |row| row.1))
    }
}

impl PlannedStep {
    /// What becomes impossible: what it is about, and a sentence; each sentence once.
    #[must_use]
    pub fn consequences(&self, chip: &Chip) -> Vec<(String, &'static str)> {
        let mut all: Vec<(String, &'static str)> = Vec::new();
        for (about, ends) in self.each_consequence(chip) {
            match all.iter_mut().find(|(_, known)| *known == ends) {
                Some((names, _)) if *names != about => {
                    names.push_str(", ");
                    names.push_str(&about);
                }
                Some(_) => {}
                None => all.push((about, ends)),
            }
        }
        all
    }

    fn each_consequence(&self, chip: &Chip) -> Vec<(String, &'static str)> {
        let counter = chip.efuse.flash_crypt_cnt.name;
        let field = |name: &'static str, value: u64| {
            let enables = chip.efuse.secure_boot_enable.iter();
            let revoked = chip
                .efuse
                .key_revoke
                .iter()
                .position(|row| row.name == name);
            match self.reason {
                Reason::Encryption(mode) if name == counter => Step::Counter(mode),
                _ if enables.clone().any(|(_, row)| row.name == name) => Step::EnableSecureBoot,
                _ => match revoked.and_then(|slot| u8::try_from(slot).ok()) {
                    Some(slot) => Step::Revoke(slot),
                    None => Step::Field((name, value)),
                },
            }
            .consequence(chip)
        };
        match &self.burn {
            Burn::Keys(keys) if self.reason == Reason::SharedBlock => {
                let blocks = keys.first().map_or("", |key| key.block);
                vec![(blocks.into(), Step::SharedKeys.consequence(chip))]
            }
            Burn::Keys(keys) => keys
                .iter()
                .map(|key| (key.key.to_string(), key_consequence(key.key, chip)))
                .collect(),
            Burn::Fields(fields) => fields
                .iter()
                .map(|(name, value)| {
                    (
                        (*name).to_owned(),
                        self.special(name).unwrap_or_else(|| field(name, *value)),
                    )
                })
                .collect(),
            Burn::ReadProtect(name) => vec![(
                (*name).to_owned(),
                "software never reads the key again: whoever has no copy of it has none for ever",
            )],
            Burn::WriteProtect(name) => {
                vec![(
                    (*name).to_owned(),
                    Step::WriteProtect(name).consequence(chip),
                )]
            }
        }
    }

    /// Fields that the factory's steps do not know.
    fn special(&self, name: &str) -> Option<&'static str> {
        match self.reason {
            Reason::AntiRollback => Some(
                "firmware of a lower secure version never boots again, a fallback in the other slot included",
            ),
            Reason::JtagSoft => Some(
                "a debugger needs firmware that runs and knows the JTAG key: a chip that does not boot cannot be debugged",
            ),
            Reason::DownloadLast if name == "UART_DOWNLOAD_DIS" || name == "DIS_DOWNLOAD_MODE" => {
                Some(
                    "the cable flashes, reads and burns nothing any more: only firmware updates itself, and no return can be revived",
                )
            }
            _ => None,
        }
    }
}

fn key_consequence(key: KeyName, chip: &Chip) -> &'static str {
    match key {
        KeyName::Flash => Step::FlashKey.consequence(chip),
        KeyName::Bootloader => Step::BootloaderKey.consequence(chip),
        KeyName::Digest(slot) => Step::Digest(slot).consequence(chip),
        KeyName::Device => {
            "the key can be neither read nor replaced: this chip is this device for ever"
        }
        KeyName::Jtag => {
            "the key can be neither read nor replaced: whoever loses his copy never debugs this chip again"
        }
    }
}

/// What stays open in the end, and may be meant to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LeftOpen {
    /// Nothing verifies the bootloader.
    NoSecureBoot,
    /// Flash can be read with a clip.
    NoFlashEncryption,
    /// Encryption can be turned off.
    Development,
    /// A debugger reads everything.
    Jtag,
    /// The cable reads and burns.
    Download,
    /// The cable writes flash.
    SecureDownload,
    /// Keys can be added.
    FreeDigests,
    /// Settings can still be burnt, since JTAG may yet be shut.
    Unguarded,
}

impl LeftOpen {
    /// All of them, with their names in a plan's file.
    const NAMES: [(&'static str, Self); 8] = [
        ("no-secure-boot", Self::NoSecureBoot),
        ("no-flash-encryption", Self::NoFlashEncryption),
        ("development", Self::Development),
        ("jtag", Self::Jtag),
        ("download", Self::Download),
        ("secure-download", Self::SecureDownload),
        ("free-digests", Self::FreeDigests),
        ("unguarded", Self::Unguarded),
    ];

    /// A name for scripts.
    #[must_use]
    pub fn id(self) -> &'static str {
        let mut names = Self::NAMES.iter();
        names.find(|row| row.1 == self).map_or("", |row| row.0)
    }

    /// The opening of this name.
    #[must_use]
    pub fn from_id(id: &str) -> Option<Self> {
        let mut names = Self::NAMES.iter();
        names.find(|row| row.0 == id).map(|row| row.1)
    }
}

impl fmt::Display for LeftOpen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoSecureBoot => "no secure boot: the chip runs whatever stands in flash",
            Self::NoFlashEncryption => "no flash encryption: whoever holds the board reads flash",
            Self::Development => {
                "flash encryption in development mode: it can be turned off, and the ROM encrypts what is flashed"
            }
            Self::Jtag => "JTAG: whoever holds the board reads flash and memory in the clear",
            Self::Download => "the download mode: whoever holds the board reads and rewrites flash, and burns eFuses",
            Self::SecureDownload => "secure download: whoever holds the board can rewrite flash, but read nothing",
            Self::FreeDigests => {
                "digest slots without a key: firmware that can burn eFuses can add a key that the ROM trusts"
            }
            Self::Unguarded => {
                "settings that share a guard with JTAG's: they are write-protected only once JTAG is shut"
            }
        })
    }
}

impl Plan {
    /// What can no longer be debugged, each with the number of the step that ends it, from 1.
    #[must_use]
    pub fn debugging(&self) -> Vec<(usize, &'static str)> {
        let ends = |reason| match reason {
            Reason::Encryption(EncryptionMode::Release) => Some(
                "flash dumps and plaintext flashing: what is read over the cable is ciphertext, what is flashed must be encrypted and needs the key",
            ),
            Reason::SecureBoot => {
                Some("unsigned test builds: each build that runs has to be signed first")
            }
            Reason::JtagShut => Some(
                "JTAG: no breakpoints, no memory inspection, no OpenOCD; logs, the panic handler and core dumps stay",
            ),
            Reason::JtagSoft => Some("JTAG on a chip that does not boot: firmware has to open it"),
            Reason::DownloadLast => Some(
                "the cable: no read-flash, no espefuse, no esptool stub; where secure download is left, flash can be written",
            ),
            _ => None,
        };
        let steps = (1..).zip(&self.steps);
        steps
            .filter_map(|(number, step)| Some((number, ends(step.reason)?)))
            .collect()
    }
}
