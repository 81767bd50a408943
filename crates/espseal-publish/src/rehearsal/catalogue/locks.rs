//! Ways in that stay open.

use espseal_twin::efuse::{DownloadMode, FlashEncryption, Jtag};

use super::{Case, CaseReport, Status};
use crate::rehearsal::bench::Bench;

/// A debugger on the finished device.
pub(super) fn jtag(bench: &Bench<'_>) -> CaseReport {
    let (status, device, reason) = match bench.finished().1.jtag() {
        Jtag::Off => (
            Status::Refused,
            "the port is off",
            "JTAG is disabled in eFuse, for ever. Close it last: what is not debugged by then never is",
        ),
        Jtag::SoftOff => (
            Status::Finding,
            "the port is off until software opens it",
            "JTAG is disabled by SOFT_DIS_JTAG alone: whoever has the HMAC key opens it again",
        ),
        Jtag::Open => (
            Status::Finding,
            "the debugger attaches",
            "JTAG is open: whoever holds the device reads its RAM and runs code, past secure boot and flash encryption",
        ),
    };
    CaseReport {
        case: Case::JtagOpen,
        status,
        done: "a debugger attached to the finished device".into(),
        device: device.into(),
        reason: reason.into(),
    }
}

/// The serial download mode of the finished device.
pub(super) fn download(bench: &Bench<'_>) -> CaseReport {
    let efuses = &bench.finished().1;
    let encrypted = efuses.flash_encryption() != FlashEncryption::Off;
    let (status, device, reason) = match (efuses.download_mode(), encrypted) {
        (DownloadMode::Off, _) => (
            Status::Refused,
            "does not enter the download mode",
            "the download mode is off, for ever",
        ),
        (DownloadMode::Secure, _) => (
            Status::Refused,
            "takes flash writes and answers nothing else",
            "secure download mode: nothing can be read out or run; flash can be overwritten, which secure boot notices",
        ),
        (DownloadMode::Open, true) => (
            Status::Finding,
            "dumps flash, writes flash, runs code from RAM",
            "the download mode is open: the dump is ciphertext, but code that runs from RAM reads eFuses and \
             everything that is not encrypted",
        ),
        (DownloadMode::Open, false) => (
            Status::Finding,
            "dumps flash, writes flash, runs code from RAM",
            "the download mode is open and flash is plain: whoever holds the device copies the firmware",
        ),
    };
    CaseReport {
        case: Case::DownloadOpen,
        status,
        done: "the serial download mode entered on the finished device".into(),
        device: device.into(),
        reason: reason.into(),
    }
}
