//! The wish, from the project and from options, and the files of its keys.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use espseal_crypto::flash_encryption::FlashCryptConfig;
use espseal_format::chip::{Chip, ChipId, chip as table};
use espseal_format::signature_block::{Curve, SignatureScheme};
use espseal_format::units::{Digest, SecurityVersion};
use espseal_publish::blame::Blame;
use espseal_publish::efuse_plan::plan::KeyName;
use espseal_publish::efuse_plan::present::Present;
use espseal_publish::efuse_plan::wish::{
    BurntKeys, DownloadPolicy, FlashContents, FlashEncryptionWish, HmacKeyWish, JtagPolicy,
    Revocation, SecureBootWish, UnusedDigests, Wish,
};
use espseal_publish::files;
use espseal_publish::project::{Fleet, Project, ProjectError};
use espseal_publish::rehearsal::keys::Keys;
use espseal_twin::boot::EncryptionMode;
use espseal_twin::efuse::CodingScheme;

use crate::cli::Context;
use crate::command::flash_options::crypt_config;
use crate::command::rehearse::revision;
use crate::command::{chip, number};
use crate::failure::Failure;

/// Largest summary or eFuse file.
const LARGEST_STATE: u64 = 1 << 20;
/// Largest flash dump.
const LARGEST_DUMP: u64 = 128 << 20;

/// What the chip shall be. What is left out is as `[chip.security]` of espseal.toml has it, or open.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "What the chip shall be")]
pub(crate) struct WishOptions {
    /// Chip, such as esp32c3; the project's when it has one only.
    #[arg(long, value_parser = chip)]
    pub(super) chip: Option<ChipId>,
    /// Secure boot; the scheme of the keys when left out.
    #[arg(long, value_enum)]
    secure_boot: Option<SecureBootChoice>,
    /// PEM of a private or public key, or a digest in hexadecimal; one to three.
    #[arg(long, value_name = "PEM|DIGEST")]
    secure_boot_key: Vec<String>,
    /// What becomes of digest slots without a key.
    #[arg(long, value_enum)]
    unused_digests: Option<UnusedChoice>,
    /// The ROM revokes a key as soon as verification with it fails.
    #[arg(long)]
    aggressive_revoke: bool,
    /// Flash encryption.
    #[arg(long, value_enum)]
    flash_encryption: Option<EncryptionChoice>,
    /// Bits in the flash encryption key: 128, 192, 256 or 512.
    #[arg(long, value_name = "BITS")]
    flash_key_bits: Option<usize>,
    /// Key block of the flash encryption key, n of BLOCK_KEYn.
    #[arg(long, value_name = "N")]
    flash_key_block: Option<u8>,
    /// eFuse FLASH_CRYPT_CONFIG; ESP32 only.
    #[arg(long, value_name = "0..15", value_parser = crypt_config)]
    flash_crypt_config: Option<FlashCryptConfig>,
    /// Key block of the device key, n of BLOCK_KEYn.
    #[arg(long, value_name = "N")]
    device_key_block: Option<u8>,
    /// Key block of the JTAG key, n of BLOCK_KEYn.
    #[arg(long, value_name = "N")]
    jtag_key_block: Option<u8>,
    /// The JTAG port.
    #[arg(long, value_enum)]
    jtag: Option<JtagChoice>,
    /// The download mode of the ROM, over UART and USB.
    #[arg(long, value_enum)]
    uart_download: Option<DownloadChoice>,
    /// Lowest secure version that shall boot.
    #[arg(long, value_name = "VERSION", value_parser = number)]
    secure_version: Option<u32>,
    /// Secret keys that are burnt already are the wished ones: an interrupted run left them.
    #[arg(long)]
    accept_burnt_keys: bool,
    /// What flash holds when encryption is turned on: a dump, to see that it is not plaintext.
    #[arg(long, value_name = "FILE")]
    flash: Option<PathBuf>,
}

/// What the chip is now.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "What the chip is now")]
pub(crate) struct ChipOptions {
    /// Revision of a chip out of the box, such as 3.0; one that is sold when left out.
    #[arg(long, value_name = "MAJOR.MINOR", value_parser = revision)]
    chip_revision: Option<u16>,
    /// How Espressif coded the key blocks of a chip out of the box; ESP32 only.
    #[arg(long, value_enum, default_value = "none")]
    coding_scheme: CodingChoice,
}

/// Key files. A plan needs their names only; the script and a virtual chip read them.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Key files")]
pub(crate) struct KeyFiles {
    /// The flash encryption key.
    #[arg(long, value_name = "FILE")]
    flash_key: Option<PathBuf>,
    /// The key that the device derives its own key from, 32 bytes: burnt when it is named.
    #[arg(long, value_name = "FILE")]
    device_key: Option<PathBuf>,
    /// The key that opens JTAG again, 32 bytes: burnt when it is named.
    #[arg(long, value_name = "FILE")]
    jtag_key: Option<PathBuf>,
    /// The key of secure boot v1, ESP32 only.
    #[arg(long, value_name = "FILE")]
    bootloader_key: Option<PathBuf>,
}

macro_rules! choice {
    ($(#[$doc:meta])* $name:ident { $($(#[$row:meta])* $variant:ident $(= $text:literal)?),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
        pub(crate) enum $name {
            $($(#[$row])* $(#[value(name = $text)])? $variant),+
        }
    };
}

choice!(
    /// `--secure-boot`.
    SecureBootChoice {
        /// None.
        Off,
        /// Version 1 (ESP32).
        V1,
        /// Version 2 with RSA-3072.
        Rsa,
        /// Version 2 with ECDSA P-192.
        P192 = "ecdsa-p192",
        /// Version 2 with ECDSA P-256.
        P256 = "ecdsa-p256",
        /// Version 2 with ECDSA P-384.
        P384 = "ecdsa-p384",
    }
);
choice!(
    /// `--unused-digests`.
    UnusedChoice {
        /// They stay free for keys to come.
        Keep,
        /// They are shut for ever.
        Revoke,
    }
);
choice!(
    /// `--flash-encryption`.
    EncryptionChoice {
        /// None.
        Off,
        /// It can still be turned off.
        Development,
        /// For ever.
        Release,
    }
);
choice!(
    /// `--jtag`.
    JtagChoice {
        /// A debugger attaches.
        Open,
        /// A debugger attaches once firmware has shown the JTAG key.
        Soft,
        /// No debugger, ever.
        Shut,
    }
);
choice!(
    /// `--uart-download`.
    DownloadChoice {
        /// It does everything.
        Open,
        /// It writes flash and nothing else.
        Secure,
        /// There is none.
        Shut,
    }
);
choice!(
    /// `--coding-scheme`.
    CodingChoice {
        /// 32 bytes in a block.
        None,
        /// 24 bytes in a block.
        ThreeQuarters = "3/4",
    }
);

impl WishOptions {
    /// The wish: what the project has, changed by what is given.
    pub(super) fn wish(
        &self,
        context: &Context,
        keys: &KeyFiles,
        known: Option<ChipId>,
    ) -> Result<Wish, Failure> {
        let project = match Project::open(&context.global.project) {
            Ok(project) => Some(project),
            Err(ProjectError::NotAProject { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        let id = self.chip_id(project.as_ref(), known)?;
        let chip = table(id)
            .ok_or_else(|| usage(format_args!("espseal has no table of eFuses for {id}")))?;
        let fleet = project.as_ref().and_then(|project| project.fleet(id));
        let mut wish = fleet
            .and_then(|fleet| fleet.security.clone())
            .unwrap_or_else(|| Wish::open(id));
        self.secure_boot(&mut wish, fleet)?;
        self.encryption(&mut wish, chip)?;
        hmac_key(
            &mut wish.device_key,
            keys.device_key.as_ref(),
            self.device_key_block,
        );
        hmac_key(
            &mut wish.jtag_key,
            keys.jtag_key.as_ref(),
            self.jtag_key_block,
        );
        if let Some(jtag) = self.jtag {
            wish.jtag = match jtag {
                JtagChoice::Open => JtagPolicy::Open,
                JtagChoice::Soft => JtagPolicy::Soft,
                JtagChoice::Shut => JtagPolicy::Shut,
            };
        }
        if let Some(download) = self.uart_download {
            wish.download = match download {
                DownloadChoice::Open => DownloadPolicy::Open,
                DownloadChoice::Secure => DownloadPolicy::Secure,
                DownloadChoice::Shut => DownloadPolicy::Shut,
            };
        }
        if let Some(version) = self.secure_version {
            wish.secure_version = SecurityVersion::new(version);
        }
        if self.accept_burnt_keys {
            wish.burnt_keys = BurntKeys::Accept;
        }
        Ok(wish)
    }

    /// The chip that is named, or the only one there is.
    pub(super) fn chip_id(
        &self,
        project: Option<&Project>,
        known: Option<ChipId>,
    ) -> Result<ChipId, Failure> {
        let fleets = project.map_or(&[][..], |project| &project.fleets);
        match (self.chip.or(known), fleets) {
            (Some(id), _) => Ok(id),
            (None, [only]) => Ok(only.chip.id),
            (None, []) => Err(usage(
                "name the chip with --chip, or a project with --project",
            )),
            (None, _) => Err(usage("the project has several chips: name one with --chip")),
        }
    }

    fn secure_boot(&self, wish: &mut Wish, fleet: Option<&Fleet>) -> Result<(), Failure> {
        let keys = Keys::load(&self.secure_boot_key)
            .map_err(|error| Failure::new(error.blame(), &error))?;
        let before = wish.secure_boot.take();
        let known = match &before {
            Some(SecureBootWish::V2 { scheme, .. }) => Some(*scheme),
            _ => None,
        };
        let scheme = match self.secure_boot {
            Some(SecureBootChoice::Off) => return Ok(()),
            Some(SecureBootChoice::V1) => {
                wish.secure_boot = Some(SecureBootWish::V1);
                return Ok(());
            }
            Some(SecureBootChoice::Rsa) => Some(SignatureScheme::Rsa3072),
            Some(SecureBootChoice::P192) => Some(SignatureScheme::Ecdsa(Curve::P192)),
            Some(SecureBootChoice::P256) => Some(SignatureScheme::Ecdsa(Curve::P256)),
            Some(SecureBootChoice::P384) => Some(SignatureScheme::Ecdsa(Curve::P384)),
            None if !keys.is_empty() => keys.scheme().or(known),
            None => {
                wish.secure_boot = before;
                return self.refine(wish);
            }
        };
        let Some(scheme) = scheme else {
            return Err(usage(
                "a digest does not say how images are signed: name it with --secure-boot",
            ));
        };
        if keys.scheme().is_some_and(|found| found != scheme) {
            return Err(usage(
                "the keys of --secure-boot-key are of another scheme than --secure-boot",
            ));
        }
        let digests: Vec<Digest> = match keys.is_empty() {
            false => keys.digests().to_vec(),
            true => fleet.map_or(Vec::new(), |fleet| fleet.secure_boot_digests.clone()),
        };
        let (unused, revocation) = match before {
            Some(SecureBootWish::V2 {
                unused, revocation, ..
            }) => (unused, revocation),
            _ => (None, Revocation::Lenient),
        };
        wish.secure_boot = Some(SecureBootWish::V2 {
            scheme,
            digests,
            unused,
            revocation,
        });
        self.refine(wish)
    }

    /// What becomes of slots.
    fn refine(&self, wish: &mut Wish) -> Result<(), Failure> {
        match &mut wish.secure_boot {
            Some(SecureBootWish::V2 {
                unused, revocation, ..
            }) => {
                if let Some(choice) = self.unused_digests {
                    *unused = Some(match choice {
                        UnusedChoice::Keep => UnusedDigests::Keep,
                        UnusedChoice::Revoke => UnusedDigests::Revoke,
                    });
                }
                if self.aggressive_revoke {
                    *revocation = Revocation::Aggressive;
                }
                Ok(())
            }
            _ if self.unused_digests.is_some() || self.aggressive_revoke => Err(usage(
                "--unused-digests and --aggressive-revoke are for secure boot v2: name its key with --secure-boot-key",
            )),
            _ => Ok(()),
        }
    }

    fn encryption(&self, wish: &mut Wish, chip: &Chip) -> Result<(), Failure> {
        let mode = match self.flash_encryption {
            Some(EncryptionChoice::Off) => {
                wish.flash_encryption = None;
                None
            }
            Some(EncryptionChoice::Development) => Some(EncryptionMode::Development),
            Some(EncryptionChoice::Release) => Some(EncryptionMode::Release),
            None => wish.flash_encryption.map(|encryption| encryption.mode),
        };
        let given = self.flash_key_bits.is_some()
            || self.flash_key_block.is_some()
            || self.flash_crypt_config.is_some()
            || self.flash.is_some();
        let Some(mode) = mode else {
            return match given {
                true => Err(usage(
                    "options of flash encryption are given, but not --flash-encryption",
                )),
                false => Ok(()),
            };
        };
        let usual = chip.flash_encryption.first().map_or(0, |key| key.length);
        let mut encryption = wish.flash_encryption.unwrap_or(FlashEncryptionWish {
            mode,
            key_length: usual,
            block: None,
            config: FlashCryptConfig::DEFAULT,
            flash: FlashContents::Encrypted,
        });
        encryption.mode = mode;
        if let Some(bits) = self.flash_key_bits {
            encryption.key_length = bits / 8;
        }
        if let Some(block) = self.flash_key_block {
            encryption.block = Some(block);
        }
        if let Some(config) = self.flash_crypt_config {
            encryption.config = config;
        }
        if let Some(path) = &self.flash {
            encryption.flash = flash_contents(path, chip)?;
        }
        wish.flash_encryption = Some(encryption);
        Ok(())
    }
}

impl ChipOptions {
    /// The same, of this revision unless one is named.
    pub(super) fn or_revision(&self, revision: Option<u16>) -> Self {
        Self {
            chip_revision: self.chip_revision.or(revision),
            ..self.clone()
        }
    }

    /// The chip out of the box.
    pub(super) fn blank(&self, chip: ChipId) -> Result<Present, Failure> {
        let coding = match self.coding_scheme {
            CodingChoice::None => CodingScheme::None,
            CodingChoice::ThreeQuarters => CodingScheme::ThreeQuarters,
        };
        Present::blank(chip, self.chip_revision, coding).map_err(usage)
    }

    /// The chip as it was read.
    pub(super) fn read(&self, chip: ChipId, path: &Path) -> Result<Present, Failure> {
        let bytes = files::read(path, "the state of a chip", LARGEST_STATE)?;
        Present::parse(chip, &bytes).map_err(|error| {
            let path = path.display();
            Failure::new(error.blame(), format_args!("{path}: {error}"))
        })
    }
}

impl KeyFiles {
    /// The files that are named.
    pub(super) fn named(&self) -> Vec<(KeyName, &Path)> {
        let all = [
            (KeyName::Flash, &self.flash_key),
            (KeyName::Device, &self.device_key),
            (KeyName::Jtag, &self.jtag_key),
            (KeyName::Bootloader, &self.bootloader_key),
        ];
        all.into_iter()
            .filter_map(|(key, path)| Some((key, path.as_deref()?)))
            .collect()
    }
}

fn hmac_key(wish: &mut Option<HmacKeyWish>, file: Option<&PathBuf>, block: Option<u8>) {
    if file.is_some() || block.is_some() {
        let known = wish.and_then(|wish| wish.block);
        *wish = Some(HmacKeyWish {
            block: block.or(known),
        });
    }
}

/// Whether a dump starts with a plaintext bootloader.
fn flash_contents(path: &Path, chip: &Chip) -> Result<FlashContents, Failure> {
    let dump = files::read(path, "a flash dump", LARGEST_DUMP)?;
    let start = usize::try_from(chip.bootloader_offset.get()).unwrap_or(usize::MAX);
    let image = dump.get(start..).unwrap_or_default();
    let number = image.get(12..14).and_then(<[u8]>::first_chunk).copied();
    let is_image = image.first() == Some(&0xE9)
        && number.is_some_and(|number| u16::from_le_bytes(number) == chip.id.to_u16());
    Ok(match is_image {
        true => FlashContents::Plaintext,
        false => FlashContents::Encrypted,
    })
}

pub(super) fn usage(message: impl std::fmt::Display) -> Failure {
    Failure::new(Blame::Usage, message)
}
