//! Releases that the release authority signed, whose keys or images are not what they should be.

use std::sync::Arc;

use espseal_agent::error::{AgentError, BodyError};
use espseal_crypto::content::{self, ContentKey};
use espseal_format::chip::ChipId;
use espseal_format::metadata::manifest::Manifest;
use espseal_format::repository::Resource;
use espseal_format::units::Digest;

use super::attacks::{Attack, MayErase, Scene, app};
use super::bed::Outcome;
use super::cases::{bent, honest_later};
use crate::image::App;
use crate::maker::{Files, Maker};
use crate::power_cut::plan::Scope;
use crate::rng::TestRng;
use crate::rsa;

type Is = fn(&BodyError) -> bool;

/// All of them.
pub(crate) fn attacks(_scene: &Scene, _scope: Scope) -> Vec<Attack> {
    let mut attacks = images();
    attacks.extend(keys());
    let honest = honest_later();
    for attack in &mut attacks {
        attack.honest = Some(Arc::clone(&honest));
    }
    attacks
}

fn images() -> Vec<Attack> {
    let good = app("2.0");
    let with = |bend: fn(&mut App)| {
        let mut app = good;
        bend(&mut app);
        app.build()
    };
    let foreign = with(|app| app.signer = Some(rsa::FOREIGN));
    let unsigned = with(|app| {
        app.signer = None;
        app.length = 8192;
    });
    let mut broken = good.build();
    let block = broken.len() - 4096;
    broken[block + 900] ^= 1;
    let end = block + 1196;
    let crc = crc32(&broken[block..end]);
    broken[end..end + 4].copy_from_slice(&crc.to_le_bytes());
    let mut other_image = good.build();
    other_image[2000] ^= 1;
    let longer = [good.build(), vec![0xFF; 4096]].concat();
    let images: [(&str, Vec<u8>, Is); 9] = [
        ("signed by a key that is not burnt", foreign, |error| {
            matches!(error, BodyError::UnknownSigner)
        }),
        ("not signed", unsigned, |error| {
            matches!(error, BodyError::Unsigned | BodyError::ImageLength { .. })
        }),
        ("with a broken signature", broken, |error| {
            matches!(error, BodyError::UnknownSigner)
        }),
        (
            "for another chip",
            with(|app| app.chip = ChipId::Esp32),
            |error| matches!(error, BodyError::ImageChip { .. }),
        ),
        (
            "of another version than the manifest says",
            with(|app| app.version = "1.9"),
            |error| matches!(error, BodyError::Descriptor { .. }),
        ),
        (
            "of a lower secure version than the manifest says",
            with(|app| app.secure_version = 0),
            |error| matches!(error, BodyError::Descriptor { .. }),
        ),
        ("that is no image", vec![0x55; 8192], |error| {
            matches!(error, BodyError::ImageStructure)
        }),
        ("whose own hash is wrong", other_image, |error| {
            matches!(error, BodyError::ImageStructure | BodyError::UnknownSigner)
        }),
        ("with something behind it", longer, |error| {
            matches!(error, BodyError::ImageLength { .. })
        }),
    ];
    let mut attacks: Vec<Attack> = images
        .into_iter()
        .map(|(name, image, is)| {
            let files = bent(|maker| {
                maker.release_image(&image, &good, 4, |_| {});
            });
            attack(format!("an image {name}"), files, MayErase::Slot, is)
        })
        .collect();
    let files = bent(|maker| {
        let lie = |manifest: &mut Manifest| manifest.component.plaintext = Digest([7; 32]);
        maker.release_image(&good.build(), &good, 4, lie);
    });
    attacks.push(attack(
        "an image of another digest".into(),
        files,
        MayErase::Slot,
        |error| matches!(error, BodyError::ImageDigest { .. }),
    ));
    attacks
}

fn keys() -> Vec<Attack> {
    let good = app("2.0");
    let commitment = bent(|maker| {
        let lie = |manifest: &mut Manifest| manifest.component.commitment = Digest([7; 32]);
        maker.release_image(&good.build(), &good, 4, lie);
    });
    // Properly wrapped under the group's epoch key, but another key than was committed to.
    let other_key = bent(|maker| {
        let released = maker.release(&good, 4);
        let other = other_content_key();
        let (group, body) = (maker.group, &released.body);
        let kek = maker.epoch.kek(&maker.product, group, 3, body);
        let wrap = kek.wrap(&other).0.to_vec();
        let epoch = 3;
        maker.put(Resource::BodyWrap { body, group, epoch }, wrap);
    });
    let epoch = bent(|maker| maker.releases.epochs[0].commitment = Digest([7; 32]));
    // Everything but the commitment was made for another epoch key.
    let other_epoch = bent(|maker| {
        let honest = maker.releases.epochs[0].clone();
        let mut other = other_epoch_maker();
        other.release(&good, 4);
        maker.files.extend(other.files);
        maker.releases.offers = other.releases.offers;
        maker.releases.epochs = heapless::Vec::from_slice(&[honest]).unwrap();
    });
    let key: Is = |error| matches!(error, BodyError::KeyCommitment);
    let epoch_key: Is = |error| matches!(error, BodyError::EpochCommitment);
    [
        ("a commitment to another content key", commitment, key),
        ("another content key, well wrapped", other_key, key),
        ("a commitment to another epoch key", epoch, epoch_key),
        ("another epoch key, well wrapped", other_epoch, epoch_key),
    ]
    .map(|(name, files, is)| attack(name.into(), files, MayErase::Journal, is))
    .into()
}

fn other_content_key() -> ContentKey {
    content::seal(&mut TestRng::new(77), &mut [0; 16]).key
}

/// A maker that drew another epoch key for the same group and epoch.
fn other_epoch_maker() -> Maker {
    let mut maker = Scene::maker();
    maker.epoch = espseal_crypto::epoch::EpochKey::generate(&mut TestRng::new(78));
    maker.enrol(&[&super::attacks::device_key(2)]);
    maker
}

fn attack(name: String, files: Arc<Files>, may_erase: MayErase, is: Is) -> Attack {
    let judge =
        move |outcome: &Outcome| matches!(outcome, Err(AgentError::Body(error)) if is(error));
    Attack::new(name, files, may_erase, judge)
}

/// The CRC-32 that closes a signature block.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xEDB8_8320 & 0_u32.wrapping_sub(crc & 1))
        })
    })
}
