//! What a factory burns in the wrong order, or wrongly.

use espseal_format::units::Digest;
use espseal_twin::factory::{SecureBootLock, Step};

use super::{Case, CaseReport, Guard, Status, judge};
use crate::rehearsal::bench::{Bench, BenchError};
use crate::rehearsal::product::SecureBootPlan;

/// A digest of zeros, as a failed script burns it.
pub(super) fn zero_digest(bench: &Bench<'_>) -> Result<CaseReport, BenchError> {
    let case = Case::ZeroDigest;
    let SecureBootPlan::V2 { scheme, digests } = &bench.product.secure_boot else {
        return Ok(case.does_not_apply("without secure boot v2 no digest is burnt"));
    };
    let zeros = vec![Digest([0; 32]); digests.len()];
    // After a first boot, the flash is encrypted with the key that the bootloader drew.
    let key = bench.finished().1.flash_key();
    let mut locking = bench.product.locking();
    locking.secure_boot = Some(SecureBootLock::V2 {
        scheme: *scheme,
        digests: &zeros,
    });
    if let (Some(flash), Some(key)) = (&mut locking.flash_encryption, &key) {
        flash.key = key;
    }
    let mut efuses = bench.shipped()?;
    locking.carry_out(&locking.steps(bench.chip), &mut efuses)?;
    let mut device = bench.with_efuses(efuses)?;
    Ok(judge(
        case,
        "a digest of 32 zeros burnt instead of the key's, and secure boot turned on",
        &device.power_on(),
        Guard::Stops {
            because: "zeros burn nothing and the block is locked: no key is ever trusted, the chip is lost. \
                      espseal refuses to plan it",
            words: &["secure boot verification failed"],
        },
    ))
}

/// Secure boot first, and with it the lock on read protection; then the flash key.
pub(super) fn read_protection_too_late(bench: &Bench<'_>) -> Result<CaseReport, BenchError> {
    let case = Case::ReadProtectionTooLate;
    if !bench.product.has_flash_encryption() {
        return Ok(case.does_not_apply("flash encryption is off: no key has to stay unreadable"));
    }
    if !bench.product.has_secure_boot() {
        return Ok(case.does_not_apply(
            "secure boot is off: nothing locks read protection before the flash key is in",
        ));
    }
    let locking = bench.product.locking();
    let guard = Step::WriteProtect(bench.chip.efuse.rd_dis.name);
    let mut steps = vec![guard];
    steps.extend(
        locking
            .steps(bench.chip)
            .into_iter()
            .filter(|step| *step != guard),
    );
    let mut efuses = bench.shipped()?;
    let result = locking.carry_out(&steps, &mut efuses);
    let done =
        "read protection locked before the flash key was burnt, as enabling secure boot first does";
    let protected = efuses.flash_key_is_protected();
    Ok(match (result, protected) {
        (Err(failed), Some(false) | None) => CaseReport {
            case,
            status: Status::Refused,
            done: done.into(),
            device: failed.to_string().into(),
            reason:
                "the key would stay readable by any software for ever. espseal burns the flash key \
                     first; a chip where secure boot came first cannot be mended"
                    .into(),
        },
        (result, protected) => CaseReport {
            case,
            status: Status::Surprise,
            done: done.into(),
            device: format!("{result:?}, key protected: {protected:?}").into(),
            reason: "the eFuses should refuse to read-protect the key".into(),
        },
    })
}
