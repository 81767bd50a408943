//! What a bootloader has compiled in, as far as its own words tell.
//!
//! A bootloader of ESP-IDF carries the texts that it logs. A text that only one feature logs is
//! evidence for the feature; its absence is evidence against it when the bootloader logs at that level.
//! Rollback alone logs nothing above the debug level: unless anti-rollback, which needs it, is there,
//! nothing can be said about it.
//!
//! Source: the log texts in ESP-IDF `components/bootloader_support/src`.

use std::fmt;

use espseal_format::signature_block::{Curve, SignatureScheme};

/// A feature that a bootloader may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Feature {
    /// `CONFIG_SECURE_BOOT_V1_ENABLED`.
    SecureBootV1,
    /// `CONFIG_SECURE_BOOT_V2_ENABLED`.
    SecureBootV2,
    /// `CONFIG_SECURE_FLASH_ENC_ENABLED`.
    FlashEncryption,
    /// `CONFIG_SECURE_FLASH_ENCRYPTION_MODE_RELEASE`.
    FlashEncryptionRelease,
    /// `CONFIG_SECURE_BOOT_REQUIRE_ALREADY_ENABLED` or its counterpart of flash encryption.
    RequireAlreadyEnabled,
    /// `CONFIG_BOOTLOADER_APP_ROLLBACK_ENABLE`.
    Rollback,
    /// `CONFIG_BOOTLOADER_APP_ANTI_ROLLBACK`.
    AntiRollback,
    /// `CONFIG_BOOTLOADER_FACTORY_RESET`.
    FactoryReset,
    /// `CONFIG_BOOTLOADER_APP_TEST`.
    AppTest,
}

/// What is known about a feature, and from what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// It is compiled in: this text says so.
    Present(&'static str),
    /// It is not compiled in: this text is missing, though texts of its level are there.
    Missing(&'static str),
    /// Nothing tells.
    Silent,
}

/// What a bootloader says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// Every feature, with what is known about it.
    pub findings: Vec<(Feature, Finding)>,
    /// The signing scheme, when it can be told.
    pub scheme: Option<SignatureScheme>,
    /// The version of ESP-IDF, as the bootloader states it.
    pub idf_version: Option<String>,
}

/// Texts of each feature; any of them is enough.
const TEXTS: [(Feature, &[&str]); 9] = [
    (
        Feature::SecureBootV1,
        &[
            "Generating secure boot digest...",
            "bootloader secure boot is already enabled",
        ],
    ),
    (
        Feature::SecureBootV2,
        &[
            "enabling secure boot v2...",
            "secure boot v2 is already enabled",
            "Secure Boot V2 verification failed.",
        ],
    ),
    (
        Feature::FlashEncryption,
        &[
            "Checking flash encryption...",
            "flash encryption is enabled (%",
        ],
    ),
    (
        Feature::FlashEncryptionRelease,
        &["Setting CRYPT_CNT for permanent encryption"],
    ),
    (
        Feature::RequireAlreadyEnabled,
        &["REQUIRE_ALREADY_ENABLED is set"],
    ),
    (Feature::Rollback, &["is marking as ABORTED"]),
    (
        Feature::AntiRollback,
        &["Enabled a check secure version of app for anti rollback"],
    ),
    (
        Feature::FactoryReset,
        &["Detect a condition of the factory reset"],
    ),
    (
        Feature::AppTest,
        &["Detect a boot condition of the test firmware"],
    ),
];

/// A text that every bootloader which logs at the info level has.
const INFO_LEVEL: &str = "Loaded app from partition at offset";
/// A text that every bootloader which logs at the debug level has.
const DEBUG_LEVEL: &str = "Trying partition index";

impl Evidence {
    /// Looks for texts in a bootloader.
    #[must_use]
    pub fn of(bootloader: &[u8]) -> Self {
        let has = |text: &str| {
            let text = text.as_bytes();
            bootloader.windows(text.len()).any(|window| window == text)
        };
        let (info, debug) = (has(INFO_LEVEL), has(DEBUG_LEVEL));
        let mut findings = Vec::new();
        for (feature, texts) in TEXTS {
            let found = texts.iter().copied().find(|text| has(text));
            let first = texts.first().copied().unwrap_or_default();
            let tells = match feature {
                Feature::Rollback => debug,
                _ => info,
            };
            findings.push((
                feature,
                match found {
                    Some(text) => Finding::Present(text),
                    None if tells => Finding::Missing(first),
                    None => Finding::Silent,
                },
            ));
        }
        let mut evidence = Self {
            findings,
            scheme: None,
            idf_version: idf_version(bootloader),
        };
        if let Finding::Present(text) = evidence.finding(Feature::AntiRollback) {
            // Kconfig: anti-rollback depends on rollback.
            evidence.replace(Feature::Rollback, Finding::Present(text));
        }
        if evidence.has(Feature::SecureBootV2) {
            evidence.scheme = match (
                has("Verifying with RSA-PSS..."),
                has("Verifying with ECDSA..."),
            ) {
                (true, false) => Some(SignatureScheme::Rsa3072),
                (false, true) => Some(SignatureScheme::Ecdsa(Curve::P256)),
                _ => None,
            };
        }
        evidence
    }

    /// What is known about a feature.
    #[must_use]
    pub fn finding(&self, feature: Feature) -> Finding {
        let mut findings = self.findings.iter();
        findings
            .find(|(found, _)| *found == feature)
            .map_or(Finding::Silent, |(_, finding)| *finding)
    }

    /// Whether a feature is compiled in, as far as one can tell.
    #[must_use]
    pub fn has(&self, feature: Feature) -> bool {
        matches!(self.finding(feature), Finding::Present(_))
    }

    fn replace(&mut self, feature: Feature, finding: Finding) {
        for (found, old) in &mut self.findings {
            if *found == feature {
                *old = finding;
            }
        }
    }
}

/// The version text near the start of a bootloader, from its descriptor.
///
/// Layout of `esp_bootloader_desc_t`, behind the image and segment headers: magic 0x50, 3 bytes
/// reserved, version u32, `idf_ver[32]` from offset 8.
fn idf_version(bootloader: &[u8]) -> Option<String> {
    let descriptor = bootloader.get(32..)?;
    if descriptor.first() != Some(&0x50) {
        return None;
    }
    let text = descriptor.get(8..40)?.split(|byte| *byte == 0).next()?;
    let text = std::str::from_utf8(text).ok()?;
    text.starts_with('v').then(|| text.to_owned())
}

impl Feature {
    /// Its name for scripts.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::SecureBootV1 => "secure-boot-v1",
            Self::SecureBootV2 => "secure-boot-v2",
            Self::FlashEncryption => "flash-encryption",
            Self::FlashEncryptionRelease => "flash-encryption-release",
            Self::RequireAlreadyEnabled => "require-already-enabled",
            Self::Rollback => "rollback",
            Self::AntiRollback => "anti-rollback",
            Self::FactoryReset => "factory-reset",
            Self::AppTest => "app-test",
        }
    }
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.id())
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Present(text) => write!(f, "compiled in: it says {text:?}"),
            Self::Missing(text) => write!(f, "not compiled in: it nowhere says {text:?}"),
            Self::Silent => f.write_str("cannot be told from its texts"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_evidence_and_silence_is_none_without_the_log_level() {
        let nothing = Evidence::of(b"\xE9 no words at all");
        assert_eq!(nothing.finding(Feature::SecureBootV2), Finding::Silent);
        let plain = Evidence::of(INFO_LEVEL.as_bytes());
        assert!(matches!(
            plain.finding(Feature::SecureBootV2),
            Finding::Missing(_)
        ));
        assert_eq!(plain.finding(Feature::Rollback), Finding::Silent);
        let text = format!("{INFO_LEVEL}\0enabling secure boot v2...\0Verifying with RSA-PSS...");
        let signed = Evidence::of(text.as_bytes());
        assert!(signed.has(Feature::SecureBootV2));
        assert_eq!(signed.scheme, Some(SignatureScheme::Rsa3072));
    }

    #[test]
    fn anti_rollback_implies_rollback() {
        let text = "Enabled a check secure version of app for anti rollback";
        assert!(Evidence::of(text.as_bytes()).has(Feature::Rollback));
    }
}
