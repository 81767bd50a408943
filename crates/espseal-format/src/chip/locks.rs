//! Which eFuses lock a chip, by the names of their fields, and who burns them.
//!
//! Source: ESP-IDF `docs/en/security/security-features-enablement-workflows.rst` for what a factory
//! burns, `bootloader_support/src/<chip>/{flash_encryption,secure_boot}_secure_features.c` for what
//! the bootloader burns on its first boot.

/// A field and the value to burn into it.
pub type Burn = (&'static str, u64);

/// Locks of a chip, by the names of their fields.
#[derive(Debug)]
pub struct Locks {
    /// JTAG is off for ever when all of these are set.
    pub jtag: &'static [&'static str],
    /// JTAG is off, until software opens it with an HMAC key, while an odd number of bits is set.
    pub jtag_soft: Option<&'static str>,
    /// Turns download mode off.
    pub download_off: &'static str,
    /// Leaves only the harmless commands in download mode.
    pub download_secure: Option<&'static str>,
    /// What a factory burns for a release.
    pub release: Release,
    /// What ESP-IDF's bootloader burns when it boots first.
    pub first_boot: FirstBoot,
}

/// What a factory burns for a release, in the order of the fields.
///
/// The keys come first, each before what depends on it: the flash key before `flash_encryption`,
/// digests before `secure_boot`. `RD_DIS` is among `write_protect`: no key can be hidden after it.
#[derive(Debug)]
pub struct Release {
    /// After the flash key: flash encryption for ever, and ways around it closed.
    pub flash_encryption: &'static [Burn],
    /// After the digests: ways around secure boot closed. What turns it on is in the eFuse map.
    pub secure_boot: &'static [Burn],
    /// Fields that are write-protected next.
    pub write_protect: &'static [&'static str],
    /// Burnt after everything else: no tool gets in afterwards.
    pub last: Burn,
}

/// What ESP-IDF's bootloader burns when it boots first, with the default settings of each mode.
#[derive(Debug)]
pub struct FirstBoot {
    /// Flash encryption, both modes. The key and the counter come in addition: one bit in
    /// development mode, all in release mode.
    pub flash_encryption: &'static [Burn],
    /// Flash encryption, release mode only.
    pub flash_encryption_release: &'static [Burn],
    /// Fields that are write-protected in release mode only.
    pub release_write_protect: &'static [&'static str],
    /// Secure boot. The field that turns it on comes in addition.
    pub secure_boot: &'static [Burn],
}
