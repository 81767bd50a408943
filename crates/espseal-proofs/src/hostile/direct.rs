//! Direct images that are not for this device, this slot, this key or this release, and bent ones.

use std::sync::Arc;

use espseal_agent::error::{AgentError, BodyError, DeviceError, Document};
use espseal_crypto::flash_encryption::FlashKey;
use espseal_format::metadata::direct::{DirectManifest, FlashScheme};
use espseal_format::units::{Digest, FlashOffset};

use super::attacks::{Attack, MayErase, Scene, app, blamed, device_key};
use super::bed::Outcome;
use crate::direct;
use crate::maker::{Files, Maker, OTHER_PRODUCT};

/// The honest maker's repository, with the release as direct images that `bend` had a look at.
pub(super) fn repository(bend: impl Fn(&mut DirectManifest)) -> Arc<Files> {
    with_key(&Scene::geometry().flash_key(), bend)
}

fn with_key(key: &FlashKey, bend: impl Fn(&mut DirectManifest)) -> Arc<Files> {
    published(|maker, manifest| {
        let (device, image) = (device_key(2).device_id(), app("2.0").build());
        let geometry = Scene::geometry();
        direct::publish_as(maker, &geometry, device, manifest, &image, key, bend);
    })
}

fn published(publish: impl FnOnce(&mut Maker, Digest)) -> Arc<Files> {
    let mut maker = Scene::maker();
    maker.root.version = 2;
    maker.publish_root();
    let released = maker.release(&app("2.0"), 3);
    publish(&mut maker, released.manifest);
    // What the device saw of `now` and `releases` before is older.
    maker.now.position.version += 100;
    maker.releases.position.version += 100;
    maker.publish();
    Arc::new(maker.files)
}

/// All attacks.
pub(super) fn attacks(scene: &Scene) -> Vec<Attack> {
    let mut attacks = manifests();
    attacks.extend(keys());
    attacks.extend(bytes(scene));
    for attack in &mut attacks {
        attack.honest = Some(Arc::clone(&scene.honest));
    }
    attacks
}

fn manifests() -> Vec<Attack> {
    type Bend = fn(&mut DirectManifest);
    type Is = fn(&DeviceError) -> bool;
    let cases: [(&str, Bend, Is); 10] = [
        (
            "another device's direct image",
            |direct| direct.device = device_key(3).device_id(),
            |error| matches!(error, DeviceError::DirectDevice),
        ),
        (
            "the running slot's direct image",
            |direct| direct.slot = Scene::geometry().layout().slots[0].offset,
            |error| matches!(error, DeviceError::DirectSlot { .. }),
        ),
        (
            "a direct image for otadata",
            |direct| direct.slot = Scene::geometry().layout().otadata,
            |error| matches!(error, DeviceError::DirectSlot { .. }),
        ),
        (
            "a direct image for the second sector of the slot",
            |direct| {
                let start = Scene::geometry().layout().slots[1].offset.get();
                direct.slot = FlashOffset::new(start + 0x1000);
            },
            |error| matches!(error, DeviceError::DirectSlot { .. }),
        ),
        (
            "a direct image for the end of the slot",
            |direct| direct.slot = FlashOffset::new(0x6_0000),
            |error| matches!(error, DeviceError::DirectSlot { .. }),
        ),
        (
            "a direct image for another partition table",
            |direct| direct.journal = FlashOffset::new(0x1_4000),
            |error| matches!(error, DeviceError::DirectJournal { .. }),
        ),
        (
            "a direct image of XTS-AES-256",
            |direct| direct.scheme = FlashScheme::Xts256,
            |error| matches!(error, DeviceError::DirectScheme { .. }),
        ),
        (
            "a direct image of the ESP32's scheme",
            |direct| direct.scheme = FlashScheme::Esp32 { crypt_config: 0xF },
            |error| matches!(error, DeviceError::DirectScheme { .. }),
        ),
        (
            "an older release's direct manifest",
            |direct| direct.manifest = Digest([7; 32]),
            |error| matches!(error, DeviceError::DirectRelease { .. }),
        ),
        (
            "a direct image longer than the release",
            |direct| direct.image_length += 4096,
            |error| matches!(error, DeviceError::DirectLength { .. }),
        ),
    ];
    let attack = |(name, bend, is): (&str, Bend, Is)| {
        let judge =
            move |outcome: &Outcome| matches!(outcome, Err(AgentError::Device(error)) if is(error));
        Attack::new(name, repository(bend), MayErase::Journal, judge)
    };
    cases.into_iter().map(attack).collect()
}

fn keys() -> Vec<Attack> {
    let other = FlashKey::Xts128([0xA7; 32]);
    let wrong =
        |outcome: &Outcome| matches!(outcome, Err(AgentError::Device(DeviceError::WrongFlashKey)));
    let name = "a direct image for another flash key";
    let foreign = repository(|direct| direct.product = OTHER_PRODUCT);
    let unsigned = published(|maker, manifest| {
        std::mem::swap(&mut maker.keys.releases, &mut maker.keys.stranger);
        let (device, image) = (device_key(2).device_id(), app("2.0").build());
        direct::publish(maker, &Scene::geometry(), device, manifest, &image);
        std::mem::swap(&mut maker.keys.releases, &mut maker.keys.stranger);
    });
    vec![
        Attack::new(name, with_key(&other, |_| {}), MayErase::Journal, wrong),
        about_direct("a direct manifest of another product", foreign),
        about_direct("a stranger's direct manifest", unsigned),
    ]
}

/// Every byte of the direct manifest, and one of each chunk of the ciphertext.
fn bytes(scene: &Scene) -> Vec<Attack> {
    let asked = |ending: &str, folder: &str| {
        let wanted = |path: &&String| path.starts_with(folder) && path.ends_with(ending);
        scene.asked.iter().find(wanted).unwrap().clone()
    };
    let (manifest, body) = (asked(".cose", "direct/"), asked(".bin", "bodies/"));
    let flipped = |path: &str, at: usize| {
        let mut bytes = scene.honest[path].clone();
        bytes[at] ^= 0x20;
        scene.with(path, bytes)
    };
    let metadata = (0..scene.honest[&manifest].len())
        .map(|at| about_direct(&format!("byte {at} of {manifest}"), flipped(&manifest, at)));
    let chunks = scene.honest[&body].len() / 4096;
    // Probe A is not asked for: root 2 stands in its sector.
    let ciphertext = (0..chunks).filter(|chunk| *chunk != chunks - 2);
    let ciphertext = ciphertext.map(|chunk| {
        let files = flipped(&body, chunk * 4096 + 1234);
        let judge = |outcome: &Outcome| {
            matches!(outcome, Err(AgentError::Body(BodyError::ChunkHash { .. })))
        };
        Attack::new(
            format!("chunk {chunk} of {body}"),
            files,
            MayErase::Slot,
            judge,
        )
    });
    metadata.chain(ciphertext).collect()
}

fn about_direct(name: &str, files: Arc<Files>) -> Attack {
    Attack::new(name, files, MayErase::Journal, |outcome| {
        outcome
            .as_ref()
            .is_err_and(|error| blamed(error) == Some(Document::Direct))
    })
}
