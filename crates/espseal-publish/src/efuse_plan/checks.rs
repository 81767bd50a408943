//! What is asked of a wish and of a present state before anything is planned.

use espseal_crypto::flash_encryption::FlashCryptConfig;
use espseal_format::chip::{Chip, ChipId, HmacPeripheral, SecureBootScheme};
use espseal_format::efuse::{Field, KeyPurpose};
use espseal_format::signature_block::{Curve, SignatureScheme};
use espseal_format::units::Digest;
use espseal_twin::boot::EncryptionMode;
use espseal_twin::efuse::{CodingScheme, DownloadMode, Efuses, FlashEncryption, Jtag};

use super::order::{CRYPT_CONFIG, digests};
use super::plan::KeyName;
use super::refusals::{Refusal, jtag_name, scheme_name};
use super::wish::{
    DownloadPolicy, FlashContents, FlashEncryptionWish, JtagPolicy, SecureBootWish, Wish,
};

/// The wish can be had from this silicon, and does not lock out whoever wishes it.
pub(super) fn wish(wish: &Wish, efuses: &Efuses) -> Result<(), Refusal> {
    let chip = efuses.model();
    if wish.chip != chip.id {
        let (wished, found) = (wish.chip, chip.id);
        return Err(Refusal::OtherChip { wished, found });
    }
    if efuses.coding_scheme() == CodingScheme::Repeat {
        return Err(Refusal::RepeatCoding);
    }
    if let Some(secure_boot) = &wish.secure_boot {
        check_secure_boot(secure_boot, efuses)?;
    }
    if let Some(encryption) = &wish.flash_encryption {
        check_encryption(encryption, wish, efuses)?;
    }
    check_keys(wish, chip)?;
    check_locks(wish, efuses)?;
    check_counter(wish, efuses)
}

fn check_secure_boot(wish: &SecureBootWish, efuses: &Efuses) -> Result<(), Refusal> {
    let (chip, revision) = (efuses.model(), efuses.revision());
    let SecureBootWish::V2 {
        scheme,
        digests,
        unused,
        ..
    } = wish
    else {
        return match chip.boots_with(SecureBootScheme::V1, revision) {
            true => Ok(()),
            false => Err(Refusal::NoSecureBootV1 {
                chip: chip.id,
                offered: offered(efuses),
            }),
        };
    };
    if !efuses.rom_knows(*scheme) {
        return Err(Refusal::NoSecureBoot {
            chip: chip.id,
            revision,
            scheme: *scheme,
            offered: offered(efuses),
        });
    }
    if efuses.coding_scheme() == CodingScheme::ThreeQuarters {
        return Err(Refusal::CodedDigest);
    }
    check_digests(chip, digests)?;
    let mut slots = digests.len()..chip.efuse.key_revoke.len();
    let free = slots.by_ref().filter(|slot| !efuses.is_revoked(*slot));
    match (free.count(), unused) {
        (free, None) if free > 0 => Err(Refusal::UnusedDigests { free }),
        _ => Ok(()),
    }
}

fn check_digests(chip: &Chip, digests: &[Digest]) -> Result<(), Refusal> {
    let found = digests.len();
    if found == 0 || found > usize::from(chip.digest_slots) {
        return Err(Refusal::DigestCount {
            chip: chip.id,
            slots: chip.digest_slots,
            found,
        });
    }
    for (slot, digest) in digests.iter().enumerate() {
        // The chip with half a block compares the first half only.
        let half = digest.0.get(..16).unwrap_or_default();
        if [0, 0xFF]
            .iter()
            .any(|blank| half.iter().all(|byte| byte == blank))
        {
            return Err(Refusal::BlankDigest { slot });
        }
        let mut earlier = digests.iter().take(slot);
        if let Some(first) = earlier.position(|other| other == digest) {
            return Err(Refusal::SameDigest {
                first,
                second: slot,
            });
        }
    }
    Ok(())
}

fn check_encryption(
    wish: &FlashEncryptionWish,
    whole: &Wish,
    efuses: &Efuses,
) -> Result<(), Refusal> {
    let chip = efuses.model();
    let mut kinds = chip.flash_encryption.iter();
    if !kinds.any(|kind| kind.length == wish.key_length) {
        let bits: Vec<_> = chip
            .flash_encryption
            .iter()
            .map(|kind| (kind.length * 8).to_string())
            .collect();
        return Err(Refusal::NoFlashKey {
            chip: chip.id,
            bits: wish.key_length.saturating_mul(8),
            offered: bits.join(" or ").into(),
        });
    }
    let expected = efuses.coding_scheme().data_size();
    if chip.id == ChipId::Esp32 && wish.key_length != expected {
        let found = wish.key_length;
        return Err(Refusal::CodedFlashKey { expected, found });
    }
    if chip.efuse.field(CRYPT_CONFIG).is_none() && wish.config != FlashCryptConfig::DEFAULT {
        return Err(Refusal::NoCryptConfig { chip: chip.id });
    }
    let v2 = matches!(whole.secure_boot, Some(SecureBootWish::V2 { .. }));
    if efuses.keys_share_a_block() && v2 && wish.key_length > 16 {
        return Err(Refusal::OneKeyBlock { chip: chip.id });
    }
    let mode = wish.mode;
    if wish.flash == FlashContents::Plaintext {
        return Err(Refusal::PlaintextFlash { mode });
    }
    let lock = match (whole.jtag, whole.download) {
        (JtagPolicy::Shut, _) => "JTAG",
        (_, DownloadPolicy::Secure | DownloadPolicy::Shut) => "the download mode",
        _ => return Ok(()),
    };
    match mode {
        EncryptionMode::Development => Err(Refusal::LockedWhileDeveloping { lock }),
        EncryptionMode::Release => Ok(()),
    }
}

fn check_keys(wish: &Wish, chip: &Chip) -> Result<(), Refusal> {
    let device = wish.device_key.map(|_| KeyName::Device);
    let jtag = wish.jtag_key.map(|_| KeyName::Jtag);
    match device.or(jtag) {
        Some(key) if chip.hmac == HmacPeripheral::Absent => {
            Err(Refusal::NoHmac { chip: chip.id, key })
        }
        _ => Ok(()),
    }
}

fn check_locks(wish: &Wish, efuses: &Efuses) -> Result<(), Refusal> {
    let (chip, locks) = (efuses.chip(), &efuses.model().locks);
    if wish.jtag == JtagPolicy::Soft {
        if locks.jtag_soft.is_none() {
            return Err(Refusal::NoSoftJtag { chip });
        }
        if wish.jtag_key.is_none() && !opens_jtag(efuses) {
            return Err(Refusal::SoftJtagWithoutKey);
        }
    }
    let revision = efuses.revision();
    match wish.download {
        DownloadPolicy::Secure if locks.download_secure.is_none() => {
            Err(Refusal::NoSecureDownload { chip })
        }
        // Before revision 3, this bit was the highest of the flash encryption counter.
        DownloadPolicy::Shut if chip == ChipId::Esp32 && revision < 300 => {
            Err(Refusal::DownloadStays { chip, revision })
        }
        _ => Ok(()),
    }
}

/// Whether a key that opens JTAG is burnt.
fn opens_jtag(efuses: &Efuses) -> bool {
    let mut keys = efuses.map().keys.iter();
    keys.any(|entry| {
        matches!(
            efuses.key_purpose(usize::from(entry.key.block)),
            Some(KeyPurpose::HmacDownJtag | KeyPurpose::HmacDownAll)
        )
    })
}

fn check_counter(wish: &Wish, efuses: &Efuses) -> Result<(), Refusal> {
    let chip = efuses.model();
    let (wished, bits) = (wish.secure_version.get(), chip.secure_version_bits);
    if wished > u32::from(bits) {
        let chip = chip.id;
        return Err(Refusal::SecureVersionTooHigh { chip, bits, wished });
    }
    match wished > 0 && efuses.coding_scheme() != CodingScheme::None {
        true => Err(Refusal::CodedCounter),
        false => Ok(()),
    }
}

/// What is burnt allows the wish.
pub(super) fn present(wish: &Wish, efuses: &Efuses) -> Result<(), Refusal> {
    present_secure_boot(wish, efuses)?;
    present_encryption(wish, efuses)?;
    present_locks(wish, efuses)?;
    let burnt = efuses.secure_version();
    match burnt > wish.secure_version {
        true => Err(Refusal::Irreversible {
            what: "the secure version",
            wished: "lower",
            field: efuses.map().secure_version.name,
            found: burnt.to_string().into(),
        }),
        false => Ok(()),
    }
}

fn present_secure_boot(wish: &Wish, efuses: &Efuses) -> Result<(), Refusal> {
    let chip = efuses.model();
    let wished = match &wish.secure_boot {
        None => None,
        Some(SecureBootWish::V1) => enable_field(chip, None),
        Some(SecureBootWish::V2 { scheme, .. }) => enable_field(chip, Some(*scheme)),
    };
    for (scheme, field) in chip.efuse.secure_boot_enable {
        let on = efuses.read(field.name).is_ok_and(|value| value == 1);
        if on && wished.is_none_or(|wished| wished.name != field.name) {
            return Err(Refusal::Irreversible {
                what: "secure boot",
                wished: match &wish.secure_boot {
                    None => "off",
                    Some(SecureBootWish::V1) => "v1",
                    Some(SecureBootWish::V2 { .. }) => "v2",
                },
                field: field.name,
                found: scheme_name(*scheme).into(),
            });
        }
    }
    // With SHA-384 on, no other signature verifies.
    let p384 = matches!(
        wish.secure_boot,
        Some(SecureBootWish::V2 {
            scheme: SignatureScheme::Ecdsa(Curve::P384),
            ..
        })
    );
    let sha384 = chip.efuse.secure_boot_sha384;
    match sha384.filter(|_| !p384 && efuses.signs_sha384() && !digests(wish).is_empty()) {
        Some(field) => Err(Refusal::OtherValue {
            field: field.name,
            found: 1,
            wished: 0,
        }),
        None => Ok(()),
    }
}

fn present_encryption(wish: &Wish, efuses: &Efuses) -> Result<(), Refusal> {
    let burnt = efuses.flash_encryption();
    let counter = efuses.map().flash_crypt_cnt.name;
    let irreversible = |wished, found: &str| Refusal::Irreversible {
        what: "flash encryption",
        wished,
        field: counter,
        found: found.into(),
    };
    let Some(wished) = &wish.flash_encryption else {
        return match burnt {
            FlashEncryption::Off => Ok(()),
            // An odd count in development mode: off again is one more bit, and noise in flash.
            FlashEncryption::Development => Err(irreversible("off", "on, development mode")),
            FlashEncryption::Release => Err(irreversible("off", "on, release mode")),
        };
    };
    if (burnt, wished.mode) == (FlashEncryption::Release, EncryptionMode::Development) {
        return Err(irreversible("development mode", "release mode"));
    }
    let config = u64::from(wished.config.get());
    match efuses.read(CRYPT_CONFIG) {
        Ok(found) if found & !config != 0 => Err(Refusal::OtherValue {
            field: CRYPT_CONFIG,
            found,
            wished: config,
        }),
        _ => Ok(()),
    }
}

fn present_locks(wish: &Wish, efuses: &Efuses) -> Result<(), Refusal> {
    let locks = &efuses.model().locks;
    let burnt = |name: &str| efuses.read(name).is_ok_and(|value| value != 0);
    let hard = locks.jtag.iter().find(|name| burnt(name));
    let soft = locks.jtag_soft.filter(|_| efuses.jtag() == Jtag::SoftOff);
    let (wished, in_the_way) = match wish.jtag {
        JtagPolicy::Open => ("open", hard.copied().or(soft)),
        JtagPolicy::Soft => ("softly shut", hard.copied()),
        JtagPolicy::Shut => ("shut", None),
    };
    if let Some(field) = in_the_way {
        return Err(Refusal::Irreversible {
            what: "JTAG",
            wished,
            field,
            found: match efuses.jtag() {
                Jtag::Open => "partly shut".into(),
                other => jtag_name(other).into(),
            },
        });
    }
    let secure = locks.download_secure.filter(|name| burnt(name));
    let off = burnt(locks.download_off).then_some(locks.download_off);
    let (wished, in_the_way) = match wish.download {
        DownloadPolicy::Open => ("open", off.or(secure)),
        DownloadPolicy::Secure => ("secure", off),
        DownloadPolicy::Shut => ("shut", None),
    };
    match in_the_way {
        Some(field) => Err(Refusal::Irreversible {
            what: "the download mode",
            wished,
            field,
            found: download_name(efuses.download_mode()).into(),
        }),
        None => Ok(()),
    }
}

/// Steps that are missing can still be burnt over the cable.
pub(super) fn download_is_open(efuses: &Efuses, steps: usize) -> Result<(), Refusal> {
    let mode = efuses.download_mode();
    match mode == DownloadMode::Open || steps == 0 {
        true => Ok(()),
        false => Err(Refusal::DownloadClosed {
            mode: download_name(mode),
            steps,
        }),
    }
}

const fn download_name(mode: DownloadMode) -> &'static str {
    match mode {
        DownloadMode::Open => "open",
        DownloadMode::Secure => "secure",
        DownloadMode::Off => "shut",
    }
}

/// What the flash encryption counter has to be.
pub(super) fn counter_goal(efuses: &Efuses, mode: EncryptionMode) -> Result<u64, Refusal> {
    let counter = efuses.map().flash_crypt_cnt;
    let count = efuses.read(counter.name).map_err(Refusal::Chip)?;
    let full = (1_u64 << counter.width).wrapping_sub(1);
    match (efuses.flash_encryption(), mode) {
        // Released by write protection: it is on for ever with the bits that it has.
        (FlashEncryption::Release, _)
        | (FlashEncryption::Development, EncryptionMode::Development) => Ok(count),
        (_, EncryptionMode::Release) => Ok(full),
        (FlashEncryption::Off, EncryptionMode::Development) => {
            let next = count | count.wrapping_add(1);
            match next & full == full {
                true => Err(Refusal::CounterUsedUp {
                    field: counter.name,
                }),
                false => Ok(next),
            }
        }
    }
}

/// The field that turns a scheme on; secure boot v1 without one.
pub(super) fn enable_field(chip: &Chip, scheme: Option<SignatureScheme>) -> Option<Field> {
    let wished = match scheme {
        None => SecureBootScheme::V1,
        Some(SignatureScheme::Rsa3072) => SecureBootScheme::V2Rsa,
        Some(SignatureScheme::Ecdsa(_)) => SecureBootScheme::V2Ecdsa,
    };
    let mut fields = chip.efuse.secure_boot_enable.iter();
    fields.find(|row| row.0 == wished).map(|row| row.1)
}

/// The secure boot schemes of a chip in words.
fn offered(efuses: &Efuses) -> Box<str> {
    let (chip, revision) = (efuses.model(), efuses.revision());
    let known = chip.secure_boot.iter();
    let known = known.filter(|boot| chip.boots_with(boot.scheme, revision));
    let names: Vec<_> = known.map(|boot| scheme_name(boot.scheme)).collect();
    match names.is_empty() {
        true => "none".into(),
        false => names.join(" and ").into(),
    }
}
