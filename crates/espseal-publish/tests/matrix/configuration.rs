//! What can be combined: chip, revision, secure boot, flash encryption, who locks, bootloader.

use std::fmt;

use espseal_crypto::flash_encryption::{FlashCryptConfig, FlashKey};
use espseal_crypto::secure_boot::PublicKey;
use espseal_format::chip::{Chip, ChipId, EcdsaCurve, FlashEncryptionKey, SecureBootScheme};
use espseal_format::partition_table::PartitionTable;
use espseal_format::signature_block::{Curve, SignatureScheme};
use espseal_format::units::{FlashOffset, SecurityVersion};
use espseal_publish::keys::KeyError;
use espseal_publish::rehearsal::images;
use espseal_publish::rehearsal::product::{
    Content, FlashEncryptionPlan, Product, Provisioning, SecureBootPlan,
};
use espseal_publish::rehearsal::signer::{Strangers, append_sector, append_v1, padded};
use espseal_publish::secure_boot_key::{ImageSigner as _, SecureBootKey};
use espseal_twin::boot::{
    AntiRollback, AppExtent, BootloaderSettings, EncryptionBuild, EncryptionMode, FirstBoot,
    FirstBootJtag, FirstBootLocks, FlashEncryptionSupport, Rollback, SecureBootSupport,
};
use espseal_twin::efuse::{CodingScheme, DownloadMode};

const TABLE: FlashOffset = FlashOffset::new(0xA000);
const CSV: &str = "otadata,data,ota,0xc000,0x2000\n\
    nvs,data,nvs,0xe000,0x4000\nkeys,data,nvs_keys,0x12000,0x1000\n\
    ota_0,app,ota_0,0x20000,0x20000\nota_1,app,ota_1,0x40000,0x20000\n";

/// One row of the matrix.
pub(crate) struct Configuration {
    pub chip: &'static Chip,
    pub revision: u16,
    pub secure_boot: Scheme,
    pub encryption: Option<Encryption>,
    pub bootloader: Bootloader,
}

/// A secure boot scheme, as an image is signed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    Off,
    V1,
    V2(SignatureScheme),
}

/// Flash encryption.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Encryption {
    pub key: FlashEncryptionKey,
    pub mode: EncryptionMode,
    pub provisioning: Provisioning,
    pub config: u8,
}

/// What the bootloader has compiled in beyond security.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bootloader {
    /// Neither rollback nor anti-rollback.
    Plain,
    /// Both.
    Full,
}

/// The maker's keys: one a scheme.
#[derive(Default)]
pub(crate) struct Makers(Strangers);

/// Every configuration of a chip, with some that it does not have, to see them refused.
pub(crate) fn configurations(chip: &'static Chip) -> Vec<Configuration> {
    let mut all = Vec::new();
    let revisions: &[u16] = match chip.id {
        ChipId::Esp32 => &[101, 300],
        _ => &[chip.usual_revision],
    };
    let schemes = [
        Scheme::Off,
        Scheme::V1,
        Scheme::V2(SignatureScheme::Rsa3072),
        Scheme::V2(SignatureScheme::Ecdsa(Curve::P192)),
        Scheme::V2(SignatureScheme::Ecdsa(Curve::P256)),
        Scheme::V2(SignatureScheme::Ecdsa(Curve::P384)),
    ];
    for revision in revisions {
        for secure_boot in schemes {
            for encryption in encryptions(chip) {
                for bootloader in [Bootloader::Full, Bootloader::Plain] {
                    // The bootloader's features do not depend on encryption: vary them without.
                    if bootloader == Bootloader::Plain && encryption.is_some() {
                        continue;
                    }
                    all.push(Configuration {
                        chip,
                        revision: *revision,
                        secure_boot,
                        encryption,
                        bootloader,
                    });
                }
            }
        }
    }
    // What the silicon does not have needs no more than one row each.
    let mut seen = Vec::new();
    all.retain(|row| {
        if row.silicon_has() {
            return true;
        }
        let first = !seen.contains(&(row.revision, row.secure_boot));
        seen.push((row.revision, row.secure_boot));
        first
    });
    all
}

fn encryptions(chip: &Chip) -> Vec<Option<Encryption>> {
    let mut all = vec![None];
    for key in chip.flash_encryption {
        for mode in [EncryptionMode::Development, EncryptionMode::Release] {
            for provisioning in [Provisioning::PreEncrypted, Provisioning::FirstBoot] {
                all.push(Some(Encryption {
                    key: *key,
                    mode,
                    provisioning,
                    config: 0xF,
                }));
            }
        }
    }
    if chip.id == ChipId::Esp32 {
        // Any FLASH_CRYPT_CONFIG that a factory may burn.
        for config in 0..0xF {
            all.push(Some(Encryption {
                key: chip.flash_encryption[0],
                mode: EncryptionMode::Release,
                provisioning: Provisioning::PreEncrypted,
                config,
            }));
        }
    }
    all
}

impl Configuration {
    /// Why this cannot be, if it cannot.
    pub(crate) fn impossible(&self) -> Option<&'static str> {
        let whole = |key: FlashEncryptionKey| key.length > 16;
        let v2 = matches!(self.secure_boot, Scheme::V2(_));
        let encryption = self.encryption;
        match () {
            () if !self.silicon_has() => {
                Some("the ROM of this revision does not verify this scheme")
            }
            () if v2
                && self.chip.id == ChipId::Esp32
                && encryption.is_some_and(|encryption| encryption.key.length == 24) =>
            {
                Some("secure boot v2 needs an uncoded key block, a 192-bit key a coded one")
            }
            () if v2
                && self.chip.id == ChipId::Esp32C2
                && encryption.is_some_and(|encryption| whole(encryption.key)) =>
            {
                Some("a 256-bit flash key fills the only key block, the digest needs half of it")
            }
            () => None,
        }
    }

    fn silicon_has(&self) -> bool {
        let curve = match self.secure_boot {
            Scheme::Off => return true,
            Scheme::V1 => return self.chip.boots_with(SecureBootScheme::V1, self.revision),
            Scheme::V2(SignatureScheme::Rsa3072) => {
                return self.chip.boots_with(SecureBootScheme::V2Rsa, self.revision);
            }
            Scheme::V2(SignatureScheme::Ecdsa(Curve::P192)) => EcdsaCurve::P192,
            Scheme::V2(SignatureScheme::Ecdsa(Curve::P256)) => EcdsaCurve::P256,
            Scheme::V2(SignatureScheme::Ecdsa(Curve::P384)) => EcdsaCurve::P384,
        };
        let mut curves = self.chip.curves.iter();
        curves.any(|known| known.curve == curve && known.from_revision <= self.revision)
    }

    /// The product of this row, signed.
    pub(crate) fn product(&self, makers: &Makers) -> Result<Product, KeyError> {
        let bootloader = images::bootloader(self.chip);
        let app = images::app(self.chip, "1.0", SecurityVersion::new(1));
        let (bootloader, app) = match self.secure_boot {
            Scheme::Off => (bootloader, app),
            Scheme::V1 => (bootloader, append_v1(&app, makers.v1()?)?),
            Scheme::V2(scheme) => {
                let key = makers.0.key(scheme)?;
                let sign = |image: &[u8]| append_sector(&padded(image), &[key]);
                (sign(&bootloader)?, sign(&app)?)
            }
        };
        let content = |label: &str, bytes: Vec<u8>| Content {
            label: label.into(),
            bytes,
        };
        Ok(Product {
            chip: self.chip.id,
            revision: Some(self.revision),
            coding: match self.encryption {
                Some(encryption) if encryption.key.length == 24 => CodingScheme::ThreeQuarters,
                _ => CodingScheme::None,
            },
            bootloader,
            settings: self.settings(makers)?,
            table: PartitionTable::parse_csv(CSV, TABLE).expect("a table that parses"),
            table_offset: TABLE,
            contents: vec![content("ota_0", app), content("nvs", vec![0x11; 0x1000])],
            secure_boot: match self.secure_boot {
                Scheme::Off => SecureBootPlan::Off,
                Scheme::V1 => SecureBootPlan::V1 {
                    key: vec![0x5B; if self.is_coded() { 24 } else { 32 }].into(),
                },
                Scheme::V2(scheme) => SecureBootPlan::V2 {
                    scheme,
                    digests: vec![makers.0.key(scheme)?.digest()],
                },
            },
            flash_encryption: match self.encryption {
                None => FlashEncryptionPlan::Off,
                Some(encryption) => FlashEncryptionPlan::On {
                    key: key(encryption.key),
                    mode: encryption.mode,
                    config: FlashCryptConfig::new(encryption.config).expect("four bits"),
                },
            },
            provisioning: match self.encryption {
                Some(encryption) => encryption.provisioning,
                None => Provisioning::PreEncrypted,
            },
        })
    }

    /// Whether the ESP32's key blocks are coded 3/4.
    pub(crate) fn is_coded(&self) -> bool {
        self.encryption
            .is_some_and(|encryption| encryption.key.length == 24)
    }

    fn settings(&self, makers: &Makers) -> Result<BootloaderSettings, KeyError> {
        let full = self.bootloader == Bootloader::Full;
        let first = self
            .encryption
            .is_some_and(|encryption| encryption.provisioning == Provisioning::FirstBoot);
        Ok(BootloaderSettings {
            partition_table: TABLE,
            rollback: if full {
                Rollback::Enabled
            } else {
                Rollback::Disabled
            },
            anti_rollback: if full {
                AntiRollback::Enabled
            } else {
                AntiRollback::Disabled
            },
            secure_boot: match self.secure_boot {
                Scheme::Off => SecureBootSupport::Absent,
                Scheme::V1 => SecureBootSupport::V1 {
                    verification_key: makers.verification_key()?,
                },
                Scheme::V2(scheme) => SecureBootSupport::V2(scheme),
            },
            flash_encryption: match self.encryption {
                None => FlashEncryptionSupport::Absent,
                Some(encryption) => FlashEncryptionSupport::CompiledIn(EncryptionBuild {
                    mode: encryption.mode,
                    scheme: encryption.key.scheme,
                    extent: AppExtent::Image,
                }),
            },
            first_boot: match first {
                false => FirstBoot::Refuses,
                true => FirstBoot::Enables(FirstBootLocks {
                    jtag: FirstBootJtag::Disabled,
                    download: DownloadMode::Secure,
                }),
            },
            ..BootloaderSettings::PLAIN
        })
    }
}

impl Makers {
    fn v1(&self) -> Result<&SecureBootKey, KeyError> {
        self.0.key(SignatureScheme::Ecdsa(Curve::P256))
    }

    fn verification_key(&self) -> Result<[u8; 64], KeyError> {
        let PublicKey::P256(key) = self.v1()?.public_key() else {
            return Err(KeyError::NotP256);
        };
        let mut point = [0; 64];
        point.copy_from_slice(key.coordinates().as_flattened());
        Ok(point)
    }
}

/// A key of this kind, other than that of any other row's bytes.
fn key(kind: FlashEncryptionKey) -> FlashKey {
    let bytes: Vec<u8> = (1..).take(kind.length).collect();
    FlashKey::from_file(kind.scheme, &bytes).expect("a key of the right length")
}

impl fmt::Display for Configuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (major, minor) = (self.revision / 100, self.revision % 100);
        let name = format!("{} v{major}.{minor}", self.chip.name());
        let scheme = match self.secure_boot {
            Scheme::Off => "-".into(),
            Scheme::V1 => "v1".into(),
            Scheme::V2(scheme) => format!("v2 {scheme}"),
        };
        let encryption = match self.encryption {
            None => "-".into(),
            Some(encryption) => format!(
                "{:?}/{} {}{}{}",
                encryption.key.scheme,
                encryption.key.length * 8,
                match encryption.mode {
                    EncryptionMode::Development => "dev",
                    EncryptionMode::Release => "rel",
                },
                match encryption.provisioning {
                    Provisioning::PreEncrypted => "",
                    Provisioning::FirstBoot => " 1st",
                },
                match encryption.config {
                    0xF => String::new(),
                    config => format!(" cfg{config:x}"),
                }
            ),
        };
        let bootloader = match self.bootloader {
            Bootloader::Full => "",
            Bootloader::Plain => " no rollback",
        };
        write!(f, "{name:15} {scheme:14} {encryption:24}{bootloader:12}")
    }
}
