//! What the ROM does: loads the bootloader from its fixed offset and, with secure boot on, verifies its
//! signature against the eFuses.
//!
//! Source: ESP-IDF `docs/en/api-guides/startup.rst`, `docs/en/security/secure-boot-v2.rst`; messages as
//! they appear in users' logs.

use espseal_format::chip::Chip;
use espseal_format::units::{Digest, FlashOffset, SECTOR_SIZE};
use sha2::{Digest as _, Sha256};

use super::image::Refusal;
use super::log::Log;
use super::signature::{self, Trusted};
use crate::bus::Bus;

/// Why the ROM does not start the bootloader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RomRefusal {
    /// There is no image at the bootloader's offset, or it does not decrypt to one.
    InvalidHeader,
    /// The checksum over the segments is wrong.
    Checksum,
    /// Secure boot is on and no signature counts.
    NotSigned,
}

/// Largest bootloader that makes sense: it has to end before any partition table.
const MAX_BOOTLOADER: u32 = 0x10_0000;

/// Loads the bootloader. `Ok(Err(_))` is the ROM's refusal, `Err(_)` loss of power.
pub(crate) fn load_bootloader(
    bus: &mut Bus<'_>,
    model: &Chip,
    trusted: Option<&Trusted>,
    log: &mut Log,
) -> Result<Result<(), RomRefusal>, Refusal> {
    let start = model.bootloader_offset;
    let mut header = [0; 24];
    bus.read(start, &mut header)?;
    let [magic, segments, second, third, ..] = header;
    let [.., hash_appended] = header;
    if magic != 0xE9 || segments == 0 || segments > 16 {
        let word = u32::from_le_bytes([magic, segments, second, third]);
        log.rom(format!("invalid header: 0x{word:08x}"));
        return Ok(Err(RomRefusal::InvalidHeader));
    }
    let mut at: u32 = 24;
    let mut sum = 0xEF_u8;
    for _ in 0..segments {
        let mut segment = [0; 8];
        bus.read(offset(start, at), &mut segment)?;
        let [a, b, c, d, e, f, g, h] = segment;
        let (load, length) = (
            u32::from_le_bytes([a, b, c, d]),
            u32::from_le_bytes([e, f, g, h]),
        );
        at = at.saturating_add(8);
        if length > MAX_BOOTLOADER {
            log.rom(format!("invalid segment length 0x{length:08x}"));
            return Ok(Err(RomRefusal::InvalidHeader));
        }
        let mut data = vec![0; usize::try_from(length).unwrap_or(0)];
        bus.read(offset(start, at), &mut data)?;
        sum = data.iter().fold(sum, |sum, byte| sum ^ byte);
        at = at.saturating_add(length);
        log.rom(format!("load:0x{load:08x},len:{length:#x}"));
    }
    at = (at | 15).saturating_add(1);
    let mut stored = [0];
    bus.read(offset(start, at.saturating_sub(1)), &mut stored)?;
    if stored != [sum] {
        log.rom(format!(
            "csum err:{:#x}!={sum:#x}",
            stored.first().copied().unwrap_or(0)
        ));
        return Ok(Err(RomRefusal::Checksum));
    }
    let Some(trusted) = trusted else {
        return Ok(Ok(()));
    };
    at = at.saturating_add(if hash_appended == 1 { 32 } else { 0 });
    let mut signed = vec![
        0;
        usize::try_from(at)
            .unwrap_or(0)
            .next_multiple_of(SECTOR_SIZE)
    ];
    bus.read(start, &mut signed)?;
    let digest = Digest(Sha256::digest(&signed).into());
    let mut sector = vec![0; SECTOR_SIZE];
    bus.read(
        offset(start, u32::try_from(signed.len()).unwrap_or(u32::MAX)),
        &mut sector,
    )?;
    let verdict = signature::verify_bootloader(&sector, &digest, trusted, log);
    Ok(verdict.map_err(|_| RomRefusal::NotSigned))
}

fn offset(start: FlashOffset, skip: u32) -> FlashOffset {
    start
        .checked_add(skip)
        .unwrap_or(FlashOffset::new(u32::MAX))
}
