//! How a bootloader was configured when it was built.
//!
//! Source: ESP-IDF `components/bootloader/Kconfig.projbuild`, `Kconfig.app_rollback`.

use espseal_format::chip::SchemeId;
use espseal_format::signature_block::SignatureScheme;
use espseal_format::units::FlashOffset;

use crate::efuse::DownloadMode;

/// How the bootloader was configured when it was built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BootloaderSettings {
    /// `CONFIG_PARTITION_TABLE_OFFSET`.
    pub partition_table: FlashOffset,
    /// `CONFIG_BOOTLOADER_APP_ROLLBACK_ENABLE`.
    pub rollback: Rollback,
    /// `CONFIG_BOOTLOADER_APP_ANTI_ROLLBACK`.
    pub anti_rollback: AntiRollback,
    /// `CONFIG_SECURE_BOOT_V1_ENABLED`, `CONFIG_SECURE_BOOT_V2_ENABLED`.
    pub secure_boot: SecureBootSupport,
    /// `CONFIG_SECURE_FLASH_ENC_ENABLED`.
    pub flash_encryption: FlashEncryptionSupport,
    /// `CONFIG_SECURE_BOOT_REQUIRE_ALREADY_ENABLED`, `CONFIG_SECURE_FLASH_REQUIRE_ALREADY_ENABLED`.
    pub first_boot: FirstBoot,
    /// `CONFIG_BOOTLOADER_FACTORY_RESET`.
    pub factory_reset: FactoryReset,
    /// `CONFIG_BOOTLOADER_APP_TEST`.
    pub app_test: AppTest,
}

/// Whether the bootloader keeps rollback states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rollback {
    /// PENDING becomes ABORTED, NEW becomes PENDING.
    Enabled,
    /// States are read, never written.
    Disabled,
}

/// Whether the bootloader compares secure versions with eFuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AntiRollback {
    /// Older apps are not booted, and VALID ones raise the counter.
    Enabled,
    /// Secure versions are ignored.
    Disabled,
}

/// Whether the bootloader verifies signatures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecureBootSupport {
    /// Version 2, built for this scheme: apps are verified against the eFuse digests.
    V2(SignatureScheme),
    /// Version 1 (ESP32): apps are verified with this ECDSA P-256 key, X then Y, big-endian, that
    /// is built into the bootloader.
    V1 {
        /// The key.
        verification_key: [u8; 64],
    },
    /// Signatures are ignored.
    Absent,
}

/// Whether the bootloader knows about flash encryption. The hardware decrypts either way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlashEncryptionSupport {
    /// Nothing of it is compiled in.
    Absent,
    /// It reports the state of flash encryption, and can turn it on.
    CompiledIn(EncryptionBuild),
}

/// What the bootloader does when it turns flash encryption on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncryptionBuild {
    /// `CONFIG_SECURE_FLASH_ENCRYPTION_MODE_*`.
    pub mode: EncryptionMode,
    /// The scheme of the key that it draws when none is burnt.
    pub scheme: SchemeId,
    /// `CONFIG_SECURE_FLASH_ENCRYPT_ONLY_IMAGE_LEN_IN_APP_PART`.
    pub extent: AppExtent,
}

/// How far flash encryption is turned on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EncryptionMode {
    /// One bit of the counter: it can be turned off again, and the download mode still encrypts.
    Development,
    /// For ever.
    Release,
}

/// How much of an app partition is encrypted on the first boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppExtent {
    /// The image with its signature.
    Image,
    /// The whole partition.
    Partition,
}

/// What a bootloader with security compiled in does on a chip where it is not burnt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstBoot {
    /// It refuses to boot: the factory burns.
    Refuses,
    /// It burns and encrypts by itself.
    Enables(FirstBootLocks),
}

/// What else the bootloader locks when it turns security on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FirstBootLocks {
    /// `CONFIG_SECURE_BOOT_ALLOW_JTAG`.
    pub jtag: FirstBootJtag,
    /// `CONFIG_SECURE_UART_ROM_DL_MODE`; only secure boot v2 sets it.
    pub download: DownloadMode,
}

/// What the bootloader does with JTAG when it turns security on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstBootJtag {
    /// It is disabled, for ever.
    Disabled,
    /// It stays as it is.
    LeftOpen,
}

/// Whether a held pin erases data partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FactoryReset {
    /// The pin means nothing.
    Absent,
    /// These data partitions are erased, and then the boot partition is selected again.
    Erases {
        /// `CONFIG_BOOTLOADER_DATA_FACTORY_RESET`: labels, separated by commas.
        labels: &'static str,
        /// `CONFIG_BOOTLOADER_OTA_DATA_ERASE`.
        otadata: OtadataReset,
    },
}

/// What a factory reset does to otadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OtadataReset {
    /// It is erased, so that the factory app boots.
    Erased,
    /// It stays.
    Kept,
}

/// Whether a held pin boots the test app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppTest {
    /// It does.
    CompiledIn,
    /// The pin means nothing.
    Absent,
}

impl BootloaderSettings {
    /// A bootloader of ESP-IDF's defaults: no security, no rollback, table at 0x8000.
    pub const PLAIN: Self = Self {
        partition_table: FlashOffset::new(0x8000),
        rollback: Rollback::Disabled,
        anti_rollback: AntiRollback::Disabled,
        secure_boot: SecureBootSupport::Absent,
        flash_encryption: FlashEncryptionSupport::Absent,
        first_boot: FirstBoot::Refuses,
        factory_reset: FactoryReset::Absent,
        app_test: AppTest::Absent,
    };
}

impl Default for BootloaderSettings {
    /// Table at 0x8000, rollback and secure boot v2 with RSA on, which the factory burns; the rest off.
    fn default() -> Self {
        Self {
            rollback: Rollback::Enabled,
            secure_boot: SecureBootSupport::V2(SignatureScheme::Rsa3072),
            ..Self::PLAIN
        }
    }
}

impl Default for FirstBootLocks {
    /// JTAG off, download mode open: what ESP-IDF defaults to on the ESP32.
    fn default() -> Self {
        Self {
            jtag: FirstBootJtag::Disabled,
            download: DownloadMode::Open,
        }
    }
}
