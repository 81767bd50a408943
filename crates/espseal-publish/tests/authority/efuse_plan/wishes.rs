//! Every wish that can be put together from the options, and the keys to fulfil it.

use espseal_crypto::flash_encryption::FlashCryptConfig;
use espseal_format::chip::{CHIPS, Chip, ChipId};
use espseal_format::signature_block::{Curve, SignatureScheme};
use espseal_format::units::{Digest, SecurityVersion};
use espseal_publish::efuse_plan::apply::Material;
use espseal_publish::efuse_plan::plan::{KeyName, Plan, plan};
use espseal_publish::efuse_plan::present::Present;
use espseal_publish::efuse_plan::wish::{
    DownloadPolicy, FlashContents, FlashEncryptionWish, HmacKeyWish, JtagPolicy, Revocation,
    SecureBootWish, UnusedDigests, Wish,
};
use espseal_twin::boot::EncryptionMode;
use espseal_twin::efuse::CodingScheme;
use zeroize::Zeroizing;

/// A chip as it is sold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Silicon {
    pub chip: &'static Chip,
    pub revision: u16,
    pub coding: CodingScheme,
}

/// A wish and its plan.
pub(super) struct Planned {
    pub silicon: Silicon,
    pub wish: Wish,
    pub present: Present,
    pub plan: Plan,
}

/// Every chip, the ESP32 in three kinds.
pub(super) fn silicons() -> Vec<Silicon> {
    let mut all = Vec::new();
    for chip in CHIPS {
        let kinds: &[(u16, CodingScheme)] = match chip.id {
            ChipId::Esp32 => &[
                (101, CodingScheme::None),
                (300, CodingScheme::None),
                (300, CodingScheme::ThreeQuarters),
            ],
            _ => &[(chip.usual_revision, CodingScheme::None)],
        };
        all.extend(kinds.iter().map(|(revision, coding)| Silicon {
            chip,
            revision: *revision,
            coding: *coding,
        }));
    }
    all
}

/// Digest of the made-up key in a slot.
pub(super) fn digest(slot: u8) -> Digest {
    Digest(core::array::from_fn(|index| {
        (0x11 * (slot + 1)) ^ u8::try_from(index).unwrap()
    }))
}

/// The keys that a plan needs, none like another.
pub(super) fn material(plan: &Plan) -> Material {
    let keys = plan.secrets().into_iter();
    keys.fold(
        Material::default().with_digests(&plan.digests),
        |all, (key, length)| all.with(key, Zeroizing::new(key_bytes(key, length))),
    )
}

/// The bytes of a key file.
pub(super) fn key_bytes(key: KeyName, length: usize) -> Vec<u8> {
    let seed = match key {
        KeyName::Flash => 0x40,
        KeyName::Device => 0x80,
        KeyName::Jtag => 0xA0,
        KeyName::Bootloader => 0xC0,
        KeyName::Digest(_) => 0xE0,
    };
    (0..)
        .map(|index: u8| seed ^ index.wrapping_mul(7))
        .take(length)
        .collect()
}

impl Silicon {
    /// Every wish for it, most of which can be had.
    pub(super) fn wishes(&self) -> Vec<Wish> {
        let chip = self.chip;
        let mut all = Vec::new();
        for secure_boot in secure_boots() {
            for flash_encryption in encryptions(chip) {
                for device_key in [
                    None,
                    Some(HmacKeyWish { block: None }),
                    Some(HmacKeyWish { block: Some(0) }),
                ] {
                    for (jtag, download, secure_version) in locks(chip) {
                        let soft = jtag == JtagPolicy::Soft;
                        all.push(Wish {
                            secure_boot: secure_boot.clone(),
                            flash_encryption,
                            device_key,
                            jtag_key: soft.then_some(HmacKeyWish { block: None }),
                            jtag,
                            download,
                            secure_version: SecurityVersion::new(secure_version),
                            ..Wish::open(chip.id)
                        });
                    }
                }
            }
        }
        all
    }

    /// The chip out of the box.
    pub(super) fn present(&self) -> Present {
        Present::blank(self.chip.id, Some(self.revision), self.coding).unwrap()
    }

    /// The plans for every wish that can be had, and how many cannot.
    pub(super) fn plans(&self) -> (Vec<Planned>, usize) {
        let present = self.present();
        let wishes = self.wishes();
        let count = wishes.len();
        let planned: Vec<_> = wishes
            .into_iter()
            .filter_map(|wish| {
                let plan = plan(&wish, &present).ok()?;
                Some(Planned {
                    silicon: *self,
                    wish,
                    present: present.clone(),
                    plan,
                })
            })
            .collect();
        let refused = count - planned.len();
        (planned, refused)
    }
}

fn secure_boots() -> Vec<Option<SecureBootWish>> {
    let mut all = vec![None, Some(SecureBootWish::V1)];
    let schemes = [
        SignatureScheme::Rsa3072,
        SignatureScheme::Ecdsa(Curve::P192),
        SignatureScheme::Ecdsa(Curve::P256),
        SignatureScheme::Ecdsa(Curve::P384),
    ];
    for scheme in schemes {
        for (count, unused, revocation) in [
            (1, UnusedDigests::Keep, Revocation::Lenient),
            (1, UnusedDigests::Revoke, Revocation::Lenient),
            (2, UnusedDigests::Revoke, Revocation::Aggressive),
            (3, UnusedDigests::Keep, Revocation::Lenient),
        ] {
            all.push(Some(SecureBootWish::V2 {
                scheme,
                digests: (0..count).map(digest).collect(),
                unused: Some(unused),
                revocation,
            }));
        }
    }
    all
}

fn encryptions(chip: &Chip) -> Vec<Option<FlashEncryptionWish>> {
    let mut all = vec![None];
    for key in chip.flash_encryption {
        for mode in [EncryptionMode::Development, EncryptionMode::Release] {
            for config in [0xF, 0x5] {
                if config != 0xF && chip.id != ChipId::Esp32 {
                    continue;
                }
                all.push(Some(FlashEncryptionWish {
                    mode,
                    key_length: key.length,
                    block: None,
                    config: FlashCryptConfig::new(config).unwrap(),
                    flash: FlashContents::Encrypted,
                }));
            }
        }
    }
    all
}

/// JTAG, download mode and secure version.
fn locks(chip: &Chip) -> Vec<(JtagPolicy, DownloadPolicy, u32)> {
    let mut all = Vec::new();
    for jtag in [JtagPolicy::Open, JtagPolicy::Soft, JtagPolicy::Shut] {
        for download in [
            DownloadPolicy::Open,
            DownloadPolicy::Secure,
            DownloadPolicy::Shut,
        ] {
            for version in [0, u32::from(chip.secure_version_bits)] {
                all.push((jtag, download, version));
            }
        }
    }
    all
}
