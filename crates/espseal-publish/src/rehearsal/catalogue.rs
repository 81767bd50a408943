//! What goes wrong with real products, tried on the finished device one by one.
//!
//! Each case says what was done, what the device did, and why. A device that is protected has to refuse
//! for the case's own reason: the words of the log are compared, and a refusal for another reason is a
//! surprise. Where the configuration leaves a door open, the case shows it open: a finding.

mod boot_selection;
mod flash_encryption;
mod locks;
mod power;
mod provisioning;
mod signatures;

use std::borrow::Cow;
use std::fmt;

use espseal_twin::boot::{BootReport, RunningApp};

use super::bench::{Bench, BenchError};

/// A case of the catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Case {
    /// An app that somebody else signed.
    WrongSigner,
    /// A flipped byte, checksum and hash made right again.
    FlippedByte,
    /// The first signature block is a stranger's, the second the maker's.
    SecondBlockOnly,
    /// The keys that signed the release are revoked.
    RevokedKey,
    /// A digest of zeros is burnt.
    ZeroDigest,
    /// An app encrypted for another slot's address.
    OtherSlotsAddress,
    /// A plaintext app on an encrypting device.
    PlaintextUnderEncryption,
    /// Encrypted flash on a device that does not decrypt.
    CiphertextWithoutEncryption,
    /// Flash that was encrypted with another key.
    WrongFlashKey,
    /// Power fails while otadata is written.
    TornOtadata,
    /// otadata written as plaintext on an encrypting device.
    PlaintextOtadata,
    /// An app older than the eFuses allow.
    OldSecurityVersion,
    /// A new app that never confirms itself.
    NoRollback,
    /// Secure boot is burnt before the flash key is read-protected.
    ReadProtectionTooLate,
    /// A debugger is attached.
    JtagOpen,
    /// The serial download mode is entered.
    DownloadOpen,
    /// Power fails while the bootloader encrypts.
    PowerCutOnFirstBoot,
}

/// What a case shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// The device refuses, for the case's own reason.
    Refused,
    /// Nothing bad comes of it, as it should be.
    Harmless,
    /// The configuration lets it happen.
    Finding,
    /// The case cannot arise with this configuration.
    NotApplicable,
    /// The device did something that nobody expected.
    Surprise,
}

/// What happened in a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaseReport {
    /// The case.
    pub case: Case,
    /// What it shows.
    pub status: Status,
    /// What was done.
    pub done: Cow<'static, str>,
    /// What the device did, in the words of its log where it has some.
    pub device: Cow<'static, str>,
    /// Why.
    pub reason: Cow<'static, str>,
}

impl Case {
    /// Every case, in the order of the report.
    pub const ALL: [Self; 17] = [
        Self::WrongSigner,
        Self::FlippedByte,
        Self::SecondBlockOnly,
        Self::RevokedKey,
        Self::ZeroDigest,
        Self::OtherSlotsAddress,
        Self::PlaintextUnderEncryption,
        Self::CiphertextWithoutEncryption,
        Self::WrongFlashKey,
        Self::TornOtadata,
        Self::PlaintextOtadata,
        Self::OldSecurityVersion,
        Self::NoRollback,
        Self::ReadProtectionTooLate,
        Self::JtagOpen,
        Self::DownloadOpen,
        Self::PowerCutOnFirstBoot,
    ];

    /// Its name for scripts.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::WrongSigner => "wrong-signer",
            Self::FlippedByte => "flipped-byte",
            Self::SecondBlockOnly => "second-block-only",
            Self::RevokedKey => "revoked-key",
            Self::ZeroDigest => "zero-digest",
            Self::OtherSlotsAddress => "other-slots-address",
            Self::PlaintextUnderEncryption => "plaintext-under-encryption",
            Self::CiphertextWithoutEncryption => "ciphertext-without-encryption",
            Self::WrongFlashKey => "wrong-flash-key",
            Self::TornOtadata => "torn-otadata",
            Self::PlaintextOtadata => "plaintext-otadata",
            Self::OldSecurityVersion => "old-security-version",
            Self::NoRollback => "no-rollback",
            Self::ReadProtectionTooLate => "read-protection-too-late",
            Self::JtagOpen => "jtag-open",
            Self::DownloadOpen => "download-open",
            Self::PowerCutOnFirstBoot => "power-cut-on-first-boot",
        }
    }

    fn run(self, bench: &Bench<'_>, running: RunningApp) -> Result<CaseReport, BenchError> {
        match self {
            Self::WrongSigner => signatures::wrong_signer(bench, running),
            Self::FlippedByte => signatures::flipped_byte(bench, running),
            Self::SecondBlockOnly => signatures::second_block_only(bench, running),
            Self::RevokedKey => signatures::revoked_key(bench),
            Self::ZeroDigest => provisioning::zero_digest(bench),
            Self::OtherSlotsAddress => flash_encryption::other_slots_address(bench, running),
            Self::PlaintextUnderEncryption => flash_encryption::plaintext(bench, running),
            Self::CiphertextWithoutEncryption => flash_encryption::ciphertext(bench),
            Self::WrongFlashKey => flash_encryption::wrong_key(bench),
            Self::TornOtadata => boot_selection::torn_otadata(bench),
            Self::PlaintextOtadata => boot_selection::plaintext_otadata(bench),
            Self::OldSecurityVersion => boot_selection::old_security_version(bench, running),
            Self::NoRollback => boot_selection::no_rollback(bench),
            Self::ReadProtectionTooLate => provisioning::read_protection_too_late(bench),
            Self::JtagOpen => Ok(locks::jtag(bench)),
            Self::DownloadOpen => Ok(locks::download(bench)),
            Self::PowerCutOnFirstBoot => power::first_boot(bench),
        }
    }

    /// The case cannot arise.
    const fn does_not_apply(self, reason: &'static str) -> CaseReport {
        CaseReport {
            case: self,
            status: Status::NotApplicable,
            done: Cow::Borrowed("nothing"),
            device: Cow::Borrowed("nothing"),
            reason: Cow::Borrowed(reason),
        }
    }
}

/// Runs the whole catalogue.
pub(super) fn run(bench: &Bench<'_>, running: RunningApp) -> Result<Vec<CaseReport>, BenchError> {
    let cases = Case::ALL.into_iter();
    cases.map(|case| case.run(bench, running)).collect()
}

/// What should stop a case.
#[derive(Clone, Copy, Debug)]
enum Guard {
    /// This does, and the log says these words.
    Stops {
        because: &'static str,
        words: &'static [&'static str],
    },
    /// Nothing does, for this reason.
    Absent(&'static str),
}

/// Judges a boot that should not succeed.
fn judge(
    case: Case,
    done: impl Into<Cow<'static, str>>,
    report: &BootReport,
    guard: Guard,
) -> CaseReport {
    let (status, device, reason) = match (report.running(), guard) {
        (None, Guard::Stops { because, words }) => {
            let missing = words.iter().find(|words| !report.log.says(words));
            match missing {
                None => (Status::Refused, said(report, words), Cow::from(because)),
                Some(missing) => (
                    Status::Surprise,
                    last_words(report),
                    format!("it refuses, but does not say {missing:?}").into(),
                ),
            }
        }
        (Some(app), Guard::Absent(because)) => (
            Status::Finding,
            format!("boots it from {}", app.slot).into(),
            because.into(),
        ),
        (Some(app), Guard::Stops { because, .. }) => (
            Status::Surprise,
            format!("boots from {}", app.slot).into(),
            format!("it should refuse: {because}").into(),
        ),
        (None, Guard::Absent(because)) => (
            Status::Surprise,
            last_words(report),
            format!("it should boot: {because}").into(),
        ),
    };
    CaseReport {
        case,
        status,
        done: done.into(),
        device,
        reason,
    }
}

/// The lines of the log with these words.
fn said(report: &BootReport, words: &[&str]) -> Cow<'static, str> {
    let mut lines = Vec::new();
    for words in words {
        let mut log = report.log.lines().iter();
        if let Some(line) = log.find(|line| line.text.contains(words)) {
            lines.push(line.to_string());
        }
    }
    lines.join(" / ").into()
}

/// The last line of the log.
fn last_words(report: &BootReport) -> Cow<'static, str> {
    let last = report.log.lines().last();
    last.map_or_else(|| "says nothing".into(), |line| line.to_string().into())
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.id())
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Refused => "refused",
            Self::Harmless => "harmless",
            Self::Finding => "finding",
            Self::NotApplicable => "not-applicable",
            Self::Surprise => "surprise",
        })
    }
}
