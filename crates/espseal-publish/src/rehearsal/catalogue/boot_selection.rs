//! What `otadata` and secure versions select.

use espseal_format::otadata::{OtaState, OtadataEntry};
use espseal_format::units::{FlashOffset, SECTOR_SIZE};
use espseal_twin::boot::{AntiRollback, AppSlot, Rollback, RunningApp};
use espseal_twin::device::VirtualDevice;
use espseal_twin::efuse::CodingScheme;
use espseal_twin::nor::NorError;
use espseal_twin::power::{Moment, PowerCut, Tear};

use super::{Case, CaseReport, Guard, Status, judge};
use crate::rehearsal::bench::{Bench, BenchError, write, write_raw};

/// An otadata partition and a device with the release in both slots, the first one selected.
struct TwoSlots {
    otadata: FlashOffset,
    device: VirtualDevice,
}

/// Installs the release in the first two slots; `None` without two slots and otadata.
fn two_slots(bench: &Bench<'_>) -> Result<Option<TwoSlots>, BenchError> {
    let table = &bench.product.table;
    let slots = table.app_slots();
    let (Some(otadata), [first, second, ..], Some(app)) =
        (table.otadata(), slots.as_slice(), bench.app())
    else {
        return Ok(None);
    };
    if [first, second]
        .iter()
        .any(|slot| (slot.size as usize) < app.len())
    {
        return Ok(None);
    }
    let mut device = bench.device()?;
    for slot in [first, second] {
        write(&mut device, slot.offset, app)?;
    }
    let at = otadata.offset;
    write(&mut device, at, &entry(1, OtaState::Valid))?;
    write(&mut device, next_sector(at), &[0xFF; SECTOR_SIZE])?;
    Ok(Some(TwoSlots {
        otadata: at,
        device,
    }))
}

const NO_SLOTS: &str =
    "the table has no otadata with two app slots that hold this app: there is nothing to select";

/// Power fails while an update selects the second slot.
pub(super) fn torn_otadata(bench: &Bench<'_>) -> Result<CaseReport, BenchError> {
    let case = Case::TornOtadata;
    let Some(start) = two_slots(bench)? else {
        return Ok(case.does_not_apply(NO_SLOTS));
    };
    let flash = start.device.flash().contents().to_vec();
    let tears =
        [0, 1, 4, 24, 28, 31, 32, 2048].map(|count| Moment::Inside(Tear::AfterBytes(count)));
    let moments = [Moment::Before, Moment::After].into_iter().chain(tears);
    let mut booted = [0; 2];
    let mut tried = 0;
    for moment in moments {
        for operation in 0..2 {
            let mut device = bench.with_flash(&flash)?;
            device.power().plan([PowerCut { operation, moment }]);
            match write(
                &mut device,
                next_sector(start.otadata),
                &entry(2, OtaState::New),
            ) {
                Ok(()) | Err(BenchError::Flash(NorError::PowerLost(_))) => {}
                Err(error) => return Err(error),
            }
            tried += 1;
            match device.power_on().running().map(|app| app.slot) {
                Some(AppSlot::Ota(0)) => booted[0] += 1,
                Some(AppSlot::Ota(1)) => booted[1] += 1,
                _ => {}
            }
        }
    }
    let [old, new] = booted;
    let whole = old + new == tried && old > 0;
    Ok(CaseReport {
        case,
        status: if whole {
            Status::Harmless
        } else {
            Status::Surprise
        },
        done: format!("power cut at {tried} places while otadata is rewritten to select ota_1")
            .into(),
        device: format!("boots the old app {old} times, the new one {new} times").into(),
        reason: match whole {
            true => {
                "the entry of the running app is never touched, and a torn entry does not count"
                    .into()
            }
            false => "some cut leaves nothing that boots".into(),
        },
    })
}

/// otadata written around flash encryption.
pub(super) fn plaintext_otadata(bench: &Bench<'_>) -> Result<CaseReport, BenchError> {
    let case = Case::PlaintextOtadata;
    if !bench.product.has_flash_encryption() {
        return Ok(case.does_not_apply("flash encryption is off: otadata is plaintext"));
    }
    let Some(mut start) = two_slots(bench)? else {
        return Ok(case.does_not_apply(NO_SLOTS));
    };
    let at = start.otadata;
    write_raw(&mut start.device, next_sector(at), &entry(2, OtaState::New))?;
    let report = start.device.power_on();
    let done = "an entry that selects ota_1, written as plaintext";
    Ok(match report.running().map(|app| app.slot) {
        Some(AppSlot::Ota(0)) => CaseReport {
            case,
            status: Status::Refused,
            done: done.into(),
            device: "ignores the entry and boots ota_0".into(),
            reason:
                "the bootloader reads otadata decrypted: plaintext turns into noise and the update \
                     is silently not taken. Write otadata through flash encryption"
                    .into(),
        },
        _ => judge(
            case,
            done,
            &report,
            Guard::Stops {
                because: "the entry should be noise, and the old app should boot",
                words: &[],
            },
        ),
    })
}

/// An app that the eFuses consider too old.
pub(super) fn old_security_version(
    bench: &Bench<'_>,
    running: RunningApp,
) -> Result<CaseReport, BenchError> {
    let case = Case::OldSecurityVersion;
    let Some(app) = bench.app() else {
        return Ok(case.does_not_apply("the release holds no app"));
    };
    let bytes = app.get(36..40).and_then(<[u8]>::first_chunk).copied();
    let own = u32::from_le_bytes(bytes.unwrap_or_default());
    let mut device = bench.device()?;
    if bench.product.coding != CodingScheme::None {
        return Ok(case.does_not_apply(
            "ESP-IDF keeps no secure version in coded eFuse blocks: their bits cannot be burnt one by one",
        ));
    }
    let newer = espseal_format::units::SecurityVersion::new(own.saturating_add(1));
    if device.efuses_mut().raise_secure_version(newer).is_err() {
        return Ok(
            case.does_not_apply("the app has the highest secure version that eFuses can hold")
        );
    }
    bench.install_alone(&mut device, running, app)?;
    let report = device.power_on();
    let guard = match bench.product.settings.anti_rollback {
        AntiRollback::Enabled => Guard::Stops {
            because: "the app's secure version is below the one in eFuse",
            words: &[
                "Secure version (from eFuse) =",
                "No bootable app partitions",
            ],
        },
        AntiRollback::Disabled => Guard::Absent(
            "this bootloader has no anti-rollback: every release that was ever signed still boots, \
             with the holes that were mended since",
        ),
    };
    Ok(judge(
        case,
        format!("the app has secure version {own}, the eFuses say {newer}"),
        &report,
        guard,
    ))
}

/// A new app that hangs and never confirms itself.
pub(super) fn no_rollback(bench: &Bench<'_>) -> Result<CaseReport, BenchError> {
    let case = Case::NoRollback;
    let Some(mut start) = two_slots(bench)? else {
        return Ok(case.does_not_apply(NO_SLOTS));
    };
    write(
        &mut start.device,
        next_sector(start.otadata),
        &entry(2, OtaState::New),
    )?;
    let first = start.device.power_on();
    let second = start.device.power_on();
    let slots = [&first, &second].map(|report| report.running().map(|app| app.slot));
    let done = "an update to ota_1 that never confirms itself; the device is restarted";
    let (old, new) = (Some(AppSlot::Ota(0)), Some(AppSlot::Ota(1)));
    let (status, device, reason) = match (bench.product.settings.rollback, slots) {
        (Rollback::Enabled, [a, b]) if a == new && b == old => (
            Status::Refused,
            "boots ota_1 once, then ota_0 again",
            "the bootloader rolls back what was not confirmed",
        ),
        (Rollback::Disabled, [a, b]) if a == new && b == new => (
            Status::Finding,
            "boots ota_1 again and again",
            "this bootloader has no rollback: a broken update stays, and only a cable helps",
        ),
        _ => (
            Status::Surprise,
            "does something else",
            "neither rolled back nor kept the update",
        ),
    };
    Ok(CaseReport {
        case,
        status,
        done: done.into(),
        device: device.into(),
        reason: reason.into(),
    })
}

/// One entry, at the start of its sector.
fn entry(seq: u32, state: OtaState) -> [u8; SECTOR_SIZE] {
    let mut sector = [0xFF; SECTOR_SIZE];
    if let Some(place) = sector.first_chunk_mut() {
        *place = OtadataEntry::new(seq, state).encode();
    }
    sector
}

fn next_sector(at: FlashOffset) -> FlashOffset {
    at.checked_add(0x1000).unwrap_or(at)
}
