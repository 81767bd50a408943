//! Power cuts while the bootloader locks the device.

use espseal_twin::boot::{BootFailure, BootOutcome, RomRefusal};
use espseal_twin::power::{Moment, PowerCut};

use super::{Case, CaseReport, Status};
use crate::rehearsal::bench::{Bench, BenchError, failure};
use crate::rehearsal::product::Provisioning;

/// Cuts that are tried, spread over the first boot.
const CUTS: u64 = 24;

/// Cuts power all over the first boot.
pub(super) fn first_boot(bench: &Bench<'_>) -> Result<CaseReport, BenchError> {
    let case = Case::PowerCutOnFirstBoot;
    if !bench.product.has_flash_encryption() {
        return Ok(case.does_not_apply("flash encryption is off: nothing is encrypted in place"));
    }
    if bench.product.provisioning == Provisioning::PreEncrypted {
        return Ok(case.does_not_apply(
            "the factory flashes what is encrypted already: the device never encrypts in place",
        ));
    }
    let mut device = bench.fresh()?;
    device.power_on();
    let total = device.power().operations();
    let (mut recovers, mut noise, mut stuck, mut unsigned) = (0, 0, 0, 0);
    let mut other = Vec::new();
    let tried = total.min(CUTS);
    for cut in 0..tried {
        let mut device = bench.fresh()?;
        let operation = cut.saturating_mul(total) / tried.max(1);
        device.power().plan([PowerCut {
            operation,
            moment: Moment::After,
        }]);
        device.power_on();
        let report = device.power_on();
        match (report.outcome, failure(&report)) {
            (BootOutcome::Running(_), _) => recovers += 1,
            (_, Some(BootFailure::Rom(RomRefusal::InvalidHeader))) => noise += 1,
            (_, Some(BootFailure::FlashEncryptionSetup)) => stuck += 1,
            (_, Some(BootFailure::SecureBootSetup)) => unsigned += 1,
            (outcome, _) => other.push(format!("{outcome:?}")),
        }
    }
    let mended = "reflash everything as plaintext and start again, while the download mode is open";
    let status = match () {
        () if !other.is_empty() => Status::Surprise,
        () if noise + stuck + unsigned > 0 => Status::Finding,
        () => Status::Harmless,
    };
    Ok(CaseReport {
        case,
        status,
        done: format!("power cut after {tried} of the {total} flash and eFuse operations of the first boot").into(),
        device: format!(
            "recovers {recovers} times; {noise} times the ROM finds noise (invalid header) and never starts; \
             {stuck} times the flash key lacks its protection; {unsigned} times secure boot can no longer be turned on; \
             else: {}",
            match other.is_empty() {
                true => "nothing".into(),
                false => other.join(", "),
            }
        )
        .into(),
        reason: format!("the bootloader encrypts in place without a journal, itself first: {mended}").into(),
    })
}
