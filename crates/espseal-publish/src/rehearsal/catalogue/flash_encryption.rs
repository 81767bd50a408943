//! Flash that is encrypted where it should not be, not where it should, or with the wrong key or address.

use espseal_crypto::flash_encryption::{FlashCipher, FlashCryptConfig, FlashKey};
use espseal_format::chip::SchemeId;
use espseal_format::units::{FlashOffset, SECTOR_SIZE};
use espseal_twin::boot::{AntiRollback, RunningApp};
use espseal_twin::factory::{FlashLock, Locking};
use rand_core::Rng as _;
use zeroize::Zeroizing;

use super::{Case, CaseReport, Guard, judge};
use crate::authority::random;
use crate::rehearsal::bench::{Bench, BenchError, write_raw};
use crate::rehearsal::product::FlashEncryptionPlan;

const OFF: &str = "flash encryption is off";
/// What the bootloader says of noise: with anti-rollback it looks for the secure version first.
const fn noise(bench: &Bench<'_>) -> &'static [&'static str] {
    match bench.product.settings.anti_rollback {
        AntiRollback::Enabled => &["Failed to get partition description 261"],
        AntiRollback::Disabled => &["has invalid magic byte (nothing flashed here?)"],
    }
}

/// What the ROM says of noise.
const ROM_NOISE: &[&str] = &["invalid "];

/// Encrypted for the address of another slot.
pub(super) fn other_slots_address(
    bench: &Bench<'_>,
    running: RunningApp,
) -> Result<CaseReport, BenchError> {
    let case = Case::OtherSlotsAddress;
    let FlashEncryptionPlan::On { config, .. } = bench.product.flash_encryption else {
        return Ok(case.does_not_apply(OFF));
    };
    let Some((cipher, image)) = cipher(bench).zip(bench.app()) else {
        return Ok(case.does_not_apply("the release holds no app"));
    };
    let mut others = bench.product.app_partitions().map(|entry| entry.offset);
    let other = others
        .find(|offset| *offset != running.offset)
        .unwrap_or_else(|| next_megabyte(running.offset));
    let cells = encrypted(&cipher, other, image);
    let mut device = bench.device()?;
    bench.erase_apps(&mut device)?;
    write_raw(&mut device, running.offset, &cells)?;
    let esp32 = bench.chip.encrypts_with(SchemeId::Esp32Aes);
    let guard = match esp32 && config.get() == 0 {
        true => Guard::Absent(
            "FLASH_CRYPT_CONFIG is 0: the address does not tweak the key, and equal blocks look equal everywhere",
        ),
        false => Guard::Stops {
            because: "the address is part of the encryption: an encrypted image fits one place in flash",
            words: noise(bench),
        },
    };
    Ok(judge(
        case,
        format!(
            "the app encrypted for {other}, written to {}",
            running.offset
        ),
        &device.power_on(),
        guard,
    ))
}

/// A plaintext app on a device that decrypts.
pub(super) fn plaintext(bench: &Bench<'_>, running: RunningApp) -> Result<CaseReport, BenchError> {
    let case = Case::PlaintextUnderEncryption;
    if !bench.product.has_flash_encryption() {
        return Ok(case.does_not_apply(OFF));
    }
    let Some(image) = bench.app() else {
        return Ok(case.does_not_apply("the release holds no app"));
    };
    let mut device = bench.device()?;
    bench.erase_apps(&mut device)?;
    write_raw(&mut device, running.offset, image)?;
    Ok(judge(
        case,
        "the plain app written around flash encryption, as a programmer or a raw write does",
        &device.power_on(),
        Guard::Stops {
            because: "what is read through the cache is decrypted, whatever it is: plaintext turns into noise",
            words: noise(bench),
        },
    ))
}

/// Encrypted flash on a device that does not decrypt.
pub(super) fn ciphertext(bench: &Bench<'_>) -> Result<CaseReport, BenchError> {
    let case = Case::CiphertextWithoutEncryption;
    let done = "flash encrypted in the factory, the flash encryption counter never burnt";
    let because = "with an even counter nothing is decrypted: the ROM finds noise. Burn key and counter first";
    let guard = Guard::Stops {
        because,
        words: ROM_NOISE,
    };
    let mut device = bench.with_efuses(bench.shipped()?)?;
    if !bench.product.has_flash_encryption() {
        let key = draw(bench)?;
        let cipher = FlashCipher::new(&key, FlashCryptConfig::DEFAULT);
        let at = bench.chip.bootloader_offset;
        let cells = encrypted(&cipher, at, &bench.product.bootloader);
        write_raw(&mut device, at, &cells)?;
    }
    Ok(judge(case, done, &device.power_on(), guard))
}

/// Burnt with another key than the flash was encrypted with.
pub(super) fn wrong_key(bench: &Bench<'_>) -> Result<CaseReport, BenchError> {
    let case = Case::WrongFlashKey;
    let FlashEncryptionPlan::On { mode, config, .. } = bench.product.flash_encryption else {
        return Ok(case.does_not_apply(OFF));
    };
    let other = draw(bench)?;
    let locking = Locking {
        flash_encryption: Some(FlashLock {
            key: &other,
            mode,
            config,
        }),
        ..bench.product.locking()
    };
    let mut efuses = bench.shipped()?;
    locking.carry_out(&locking.steps(bench.chip), &mut efuses)?;
    let mut device = bench.with_efuses(efuses)?;
    Ok(judge(
        case,
        "a flash key burnt that is not the one the flash was encrypted with",
        &device.power_on(),
        Guard::Stops {
            because: "the wrong key decrypts to noise, and a burnt key can never be replaced: the chip is lost",
            words: ROM_NOISE,
        },
    ))
}

/// The cipher of the finished device; a first boot may have drawn the key.
pub(super) fn cipher(bench: &Bench<'_>) -> Option<FlashCipher> {
    let efuses = &bench.finished().1;
    let key = efuses.flash_key()?;
    Some(FlashCipher::new(&key, efuses.flash_crypt_config()))
}

/// Pads to a sector and encrypts for an address.
fn encrypted(cipher: &FlashCipher, at: FlashOffset, plain: &[u8]) -> Vec<u8> {
    let mut cells = plain.to_vec();
    cells.resize(plain.len().next_multiple_of(SECTOR_SIZE), 0xFF);
    // Offsets of partitions are multiples of 16: nothing is misaligned.
    let _ = cipher.encrypt(at, &mut cells);
    cells
}

/// Another key of the product's kind, or of the chip's first where there is none.
fn draw(bench: &Bench<'_>) -> Result<FlashKey, BenchError> {
    let usual = bench.chip.flash_encryption.first();
    let (scheme, length) = match &bench.product.flash_encryption {
        FlashEncryptionPlan::On { key, .. } => (key.scheme(), key.file().len()),
        FlashEncryptionPlan::Off => {
            usual.map_or((SchemeId::XtsAes128, 32), |kind| (kind.scheme, kind.length))
        }
    };
    let mut key = Zeroizing::new(vec![0; length]);
    random().fill_bytes(&mut key);
    Ok(FlashKey::from_file(scheme, &key)?)
}

fn next_megabyte(offset: FlashOffset) -> FlashOffset {
    offset.checked_add(0x10_0000).unwrap_or(FlashOffset::new(0))
}
