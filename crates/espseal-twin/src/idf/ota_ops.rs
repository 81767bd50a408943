//! `app_update`: writing a slot, verifying it, selecting it, and marking the running app.
//!
//! Source: ESP-IDF `components/app_update/esp_ota_ops.c`.

use espseal_format::units::{FlashOffset, SECTOR_SIZE, SecurityVersion};

use crate::boot::{
    self, AntiRollback, AppSlot, Checks, ImageKind, Log, NEW, PENDING_VERIFY, Part, RawEntry,
    Rollback, SecureBootSupport, SignatureCheck, Table, Trusted, VALID,
};
use crate::bus::Bus;
use crate::device::VirtualDevice;
use crate::efuse::EfuseError;
use crate::nor::NorError;

/// Encrypted writes go out in pieces of this.
const ROW: usize = 16;

/// A slot that is being written: `esp_ota_handle_t`.
#[derive(Debug)]
pub(super) struct OtaHandle {
    slot: u8,
    part: Part,
    written: u32,
    pending: Vec<u8>,
}

impl OtaHandle {
    /// `esp_ota_get_next_update_partition` and `esp_ota_begin` with sequential erase.
    pub(super) fn begin(device: &mut VirtualDevice) -> Result<Self, OtaError> {
        let table = table(device)?;
        let rollback = device.settings().rollback;
        let (mut bus, _, running) = device.firmware().ok_or(OtaError::NothingRuns)?;
        let slots = (0..16).filter_map(|index| Some((index, table.ota(index.into())?)));
        let after = match running.slot {
            AppSlot::Ota(own) => slots.clone().find(|(index, _)| *index > own),
            AppSlot::Factory | AppSlot::Test => None,
        };
        let (slot, part) = after
            .or_else(|| slots.clone().next())
            .ok_or(OtaError::NoSlot)?;
        if running.slot == AppSlot::Ota(slot) {
            return Err(OtaError::PartitionConflict);
        }
        if rollback == Rollback::Enabled {
            let (_, entries, _) = selected(&mut bus, &table)?;
            if state_of(&entries, running.slot, &table) == Some(PENDING_VERIFY) {
                return Err(OtaError::RollbackState);
            }
            invalidate_inactive(&mut bus, &table, running.slot)?;
        }
        Ok(Self {
            slot,
            part,
            written: 0,
            pending: Vec::new(),
        })
    }

    /// `esp_ota_check_image_validity`: chip and revision of the header.
    pub(super) fn check_header(device: &VirtualDevice, plain: &[u8]) -> Result<(), OtaError> {
        let word = |at: usize| {
            let bytes = plain.get(at..).and_then(<[u8]>::first_chunk).copied();
            bytes.map_or(0, u16::from_le_bytes)
        };
        let efuses = device.efuses();
        let (expected, found) = (efuses.chip().to_u16(), word(12));
        if found != expected {
            return Err(OtaError::InvalidVersion { expected, found });
        }
        let (revision, min, max) = (efuses.revision(), word(15), word(17));
        let limited = max != 0 && max != u16::MAX && !efuses.allows_any_revision();
        let (relation, required) = match () {
            () if revision < min => (">=", min),
            () if limited && revision > max => ("<=", max),
            () => return Ok(()),
        };
        Err(OtaError::ChipRevision {
            relation,
            required,
            found: revision,
        })
    }

    /// `esp_ota_write`.
    pub(super) fn write(
        &mut self,
        device: &mut VirtualDevice,
        data: &[u8],
    ) -> Result<(), OtaError> {
        let (mut bus, ..) = device.firmware().ok_or(OtaError::NothingRuns)?;
        if let (0, 0, Some(magic)) = (self.written, self.pending.len(), data.first())
            && *magic != 0xE9
        {
            // It has erased by then.
            bus.erase_sector(FlashOffset::new(self.part.offset))?;
            return Err(OtaError::InvalidMagic { found: *magic });
        }
        self.pending.extend_from_slice(data);
        let row = if bus.is_encrypted() { ROW } else { 1 };
        let ready = self.pending.len() - self.pending.len() % row;
        let rest = self.pending.split_off(ready);
        let block = core::mem::replace(&mut self.pending, rest);
        self.flush(&mut bus, &block)
    }

    /// `esp_ota_end`: writes the rest and verifies image and signature.
    pub(super) fn end(&mut self, device: &mut VirtualDevice) -> Result<(), OtaError> {
        let (mut bus, ..) = device.firmware().ok_or(OtaError::NothingRuns)?;
        if !self.pending.is_empty() {
            let mut last = core::mem::take(&mut self.pending);
            last.resize(ROW, 0xFF);
            self.flush(&mut bus, &last)?;
        }
        verify(device, self.part)
    }

    /// `esp_ota_set_boot_partition`: verifies again and writes otadata.
    pub(super) fn set_boot_partition(&self, device: &mut VirtualDevice) -> Result<(), OtaError> {
        verify(device, self.part)?;
        let settings = *device.settings();
        let table = table(device)?;
        let (mut bus, efuses, _) = device.firmware().ok_or(OtaError::NothingRuns)?;
        if settings.anti_rollback == AntiRollback::Enabled
            && secure_version(&mut bus, self.part)? < efuses.secure_version()
        {
            // It leaves nothing of such an image.
            for at in (0..self.part.size).step_by(SECTOR_SIZE) {
                bus.erase_sector(FlashOffset::new(self.part.offset.saturating_add(at)))?;
            }
            return Err(OtaError::SmallSecureVersion);
        }
        let (at, mut entries, active) = selected(&mut bus, &table)?;
        let slot = u32::from(self.slot);
        let (index, seq) = match active.and_then(|active| Some((active, entries.get(active)?))) {
            None => (0, slot + 1),
            Some((active, entry)) => {
                let current = entry.seq();
                if current.wrapping_sub(1).checked_rem(table.app_count) == Some(slot) {
                    (active, current)
                } else {
                    (1 - active, next_seq(current, slot, table.app_count))
                }
            }
        };
        let Some(entry) = entries.get_mut(index) else {
            return Ok(());
        };
        entry.set_seq(seq);
        entry.set_state(match settings.rollback {
            Rollback::Enabled => NEW,
            Rollback::Disabled => u32::MAX,
        });
        Ok(boot::write_otadata(&mut bus, at, index, entry)?)
    }

    /// Erases sectors as they are reached, and writes.
    fn flush(&mut self, bus: &mut Bus<'_>, mut data: &[u8]) -> Result<(), OtaError> {
        while !data.is_empty() {
            let at = FlashOffset::new(self.part.offset.saturating_add(self.written));
            let in_sector = usize::try_from(self.written).unwrap_or(0) % SECTOR_SIZE;
            let (piece, rest) = data.split_at(data.len().min(SECTOR_SIZE - in_sector));
            let end = self
                .written
                .saturating_add(u32::try_from(piece.len()).unwrap_or(u32::MAX));
            if end > self.part.size {
                return Err(OtaError::TooLarge {
                    size: self.part.size,
                });
            }
            if in_sector == 0 {
                bus.erase_sector(at)?;
            }
            write_rows(bus, at, piece)?;
            self.written = end;
            data = rest;
        }
        Ok(())
    }
}

/// `esp_ota_mark_app_valid_cancel_rollback`.
///
/// It marks the *selected* entry, whichever slot runs.
///
/// # Errors
/// [`OtaError`].
pub fn mark_app_valid(device: &mut VirtualDevice) -> Result<(), OtaError> {
    let table = table(device)?;
    let anti_rollback = device.settings().anti_rollback;
    let (mut bus, efuses, running) = device.firmware().ok_or(OtaError::NothingRuns)?;
    let (at, mut entries, active) = selected(&mut bus, &table)?;
    let active = active.ok_or(OtaError::RunningFactory)?;
    let entry = entries.get_mut(active).ok_or(OtaError::RunningFactory)?;
    if entry.state() == VALID {
        return Ok(());
    }
    entry.set_state(VALID);
    boot::write_otadata(&mut bus, at, active, entry)?;
    if anti_rollback == AntiRollback::Enabled {
        let part = Part {
            offset: running.offset.get(),
            size: running.size,
        };
        let version = secure_version(&mut bus, part)?;
        efuses.raise_secure_version(version)?;
    }
    Ok(())
}

/// `esp_ota_mark_app_invalid_rollback`, without its look for something to roll back to.
///
/// # Errors
/// [`OtaError`].
pub fn mark_app_invalid(device: &mut VirtualDevice) -> Result<(), OtaError> {
    let table = table(device)?;
    let (mut bus, ..) = device.firmware().ok_or(OtaError::NothingRuns)?;
    let (at, mut entries, active) = selected(&mut bus, &table)?;
    let active = active.ok_or(OtaError::RunningFactory)?;
    let entry = entries.get_mut(active).ok_or(OtaError::RunningFactory)?;
    entry.set_state(boot::INVALID);
    Ok(boot::write_otadata(&mut bus, at, active, entry)?)
}

/// Image and, with secure boot, signature: what `esp_image_verify` says.
fn verify(device: &mut VirtualDevice, part: Part) -> Result<(), OtaError> {
    let settings = *device.settings();
    let (mut bus, efuses, _) = device.firmware().ok_or(OtaError::NothingRuns)?;
    let trusted = Trusted::from_efuses(efuses);
    let signature = match &settings.secure_boot {
        SecureBootSupport::V2(scheme) => SignatureCheck::V2(&trusted, *scheme),
        SecureBootSupport::V1 { verification_key } => SignatureCheck::V1(verification_key),
        SecureBootSupport::Absent => SignatureCheck::None,
    };
    let checks = Checks::of(efuses, ImageKind::App, signature);
    let mut log = Log::default();
    match boot::verify_image(&mut bus, part, &checks, &mut log) {
        Ok(_) => Ok(()),
        Err(_) => Err(OtaError::ValidateFailed { log }),
    }
}

fn table(device: &mut VirtualDevice) -> Result<Table, OtaError> {
    let at = device.settings().partition_table;
    let mut bus = device.bus();
    let size = bus.size();
    boot::load_table(&mut bus, at, size, &mut Log::default())
        .map_err(|_| OtaError::NoPartitionTable)?
        .ok_or(OtaError::NoPartitionTable)
}

/// Reads otadata and says which entry is selected.
fn selected(
    bus: &mut Bus<'_>,
    table: &Table,
) -> Result<(FlashOffset, [RawEntry; 2], Option<usize>), OtaError> {
    let at = FlashOffset::new(table.otadata.ok_or(OtaError::NoOtadata)?.offset);
    let entries = boot::read_otadata(bus, at)?;
    let active = boot::active(&entries, entries.map(|entry| entry.is_valid()));
    Ok((at, entries, active))
}

/// `esp_ota_get_state_partition`: the state of the first entry that names a slot, selected or not.
fn state_of(entries: &[RawEntry; 2], slot: AppSlot, table: &Table) -> Option<u32> {
    let names = |entry: &&RawEntry| {
        let index = entry.seq().wrapping_sub(1).checked_rem(table.app_count);
        let index = index.and_then(|index| u8::try_from(index).ok());
        entry.has_good_crc() && index.map(AppSlot::Ota) == Some(slot)
    };
    entries.iter().find(names).map(RawEntry::state)
}

/// `esp_ota_invalidate_inactive_ota_data_slot`: erases the entry that does not name the running slot.
fn invalidate_inactive(bus: &mut Bus<'_>, table: &Table, running: AppSlot) -> Result<(), OtaError> {
    let (at, entries, active) = selected(bus, table)?;
    let Some(active) = active else { return Ok(()) };
    let inactive = 1 - active;
    let Some(entry) = entries.get(inactive).filter(|entry| !entry.is_initial()) else {
        return Ok(());
    };
    let slot = entry
        .seq()
        .wrapping_sub(1)
        .checked_rem(table.app_count)
        .unwrap_or(0);
    if u8::try_from(slot).map(AppSlot::Ota) == Ok(running) {
        return Ok(());
    }
    let sector = at
        .checked_add(if inactive == 0 { 0 } else { 0x1000 })
        .unwrap_or(at);
    Ok(bus.erase_sector(sector)?)
}

/// The smallest sequence number not below `current` that maps to the slot.
fn next_seq(current: u32, slot: u32, count: u32) -> u32 {
    let base = slot.saturating_add(1).checked_rem(count).unwrap_or(0);
    let behind = current.saturating_sub(base);
    base.saturating_add(behind.div_ceil(count.max(1)).saturating_mul(count))
}

fn secure_version(bus: &mut Bus<'_>, part: Part) -> Result<SecurityVersion, OtaError> {
    let mut version = [0; 4];
    bus.read(
        FlashOffset::new(part.offset.saturating_add(36)),
        &mut version,
    )?;
    Ok(SecurityVersion::new(u32::from_le_bytes(version)))
}

/// Writes whole 16-byte blocks where the scheme takes 32-byte rows: the driver reads what stands in
/// the rest of the first and last row and writes it again, which changes no bit of it.
fn write_rows(bus: &mut Bus<'_>, at: FlashOffset, piece: &[u8]) -> Result<(), NorError> {
    match bus.write(at, piece) {
        Err(NorError::Misaligned { alignment, .. }) => {
            let row = u32::try_from(alignment).unwrap_or(32);
            let start = at.get() - at.get() % row;
            let skip = usize::try_from(at.get() - start).unwrap_or(0);
            let mut rows = vec![0; (skip + piece.len()).next_multiple_of(alignment)];
            bus.read(FlashOffset::new(start), &mut rows)?;
            rows.iter_mut()
                .skip(skip)
                .zip(piece)
                .for_each(|(to, from)| *to = *from);
            bus.write(FlashOffset::new(start), &rows)
        }
        result => result,
    }
}

/// Why `app_update` refuses.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OtaError {
    /// The device is off or did not boot.
    #[error("nothing runs on the device: switch it on first")]
    NothingRuns,
    /// The table does not read.
    #[error("no valid partition table")]
    NoPartitionTable,
    /// There is no otadata partition.
    #[error("no otadata partition (ESP_ERR_NOT_FOUND)")]
    NoOtadata,
    /// There is no OTA slot.
    #[error("Given staging partition or another suitable Passive OTA partition could not be found")]
    NoSlot,
    /// The only OTA slot is the running one.
    #[error("ESP_ERR_OTA_PARTITION_CONFLICT")]
    PartitionConflict,
    /// The running app has not confirmed itself.
    #[error("Running app has not confirmed state (ESP_OTA_IMG_PENDING_VERIFY)")]
    RollbackState,
    /// The image is for another chip.
    #[error("mismatch chip ID, expected {expected}, found {found}")]
    InvalidVersion {
        /// This device's chip.
        expected: u16,
        /// The image's chip.
        found: u16,
    },
    /// The image is for other revisions of the chip.
    #[error(
        "chip revision check failed. Required {relation} v{}.{}, found v{}.{}.",
        required / 100,
        required % 100,
        found / 100,
        found % 100
    )]
    ChipRevision {
        /// `>=` or `<=`.
        relation: &'static str,
        /// Bound of the image: 100 times the major, plus the minor revision.
        required: u16,
        /// Revision of this device's chip.
        found: u16,
    },
    /// The plaintext does not start like an image.
    #[error("OTA image has invalid magic byte (expected 0xE9, saw {found:#04x})")]
    InvalidMagic {
        /// First byte.
        found: u8,
    },
    /// The image is longer than the slot.
    #[error("the image does not fit the slot of {size} bytes (ESP_ERR_INVALID_SIZE)")]
    TooLarge {
        /// Size of the slot.
        size: u32,
    },
    /// The image in the slot does not verify.
    #[error("ESP_ERR_OTA_VALIDATE_FAILED:\n{log}")]
    ValidateFailed {
        /// What the image verification says.
        log: Log,
    },
    /// The image's secure version is below eFuse.
    #[error("ESP_ERR_OTA_SMALL_SEC_VER")]
    SmallSecureVersion,
    /// No otadata entry is selected.
    #[error("Running firmware is factory")]
    RunningFactory,
    /// The flash chip failed.
    #[error(transparent)]
    Flash(#[from] NorError),
    /// The eFuses could not be burnt.
    #[error(transparent)]
    Efuse(#[from] EfuseError),
}
