//! Images that were signed for but must not boot: checked with chunk 0 still in RAM.

use espseal_agent::agent::UpdateOutcome;
use espseal_agent::config::SignatureRule;
use espseal_agent::error::{AgentError, BodyError, DescriptorField, DeviceError};
use espseal_agent::observer::Event;
use espseal_agent::platform::Slot;
use espseal_format::metadata::manifest::Manifest;
use espseal_format::units::{Digest, FlashOffset, SecurityVersion};

use crate::metadata::denial;
use crate::support::image::App;
use crate::support::rsa::FOREIGN;
use crate::support::{Delivery, OTA_1, World, app};

/// A world that offers `image` under a manifest that says it is `app("2.0")`, but for `bend`.
fn offering(image: Vec<u8>, bend: impl FnOnce(&mut Manifest)) -> World {
    let mut world = World::without_offer(Delivery::Ota0Valid);
    world.manifest = world.maker.release(&image, &app("2.0"), 2, bend);
    world.new = image;
    world.maker.publish();
    world
}

/// The body error an update ends with; the image must not be bootable, and the release must be
/// quarantined after the second time.
fn condemned(mut world: World) -> BodyError {
    let Err(AgentError::Body(error)) = world.update() else {
        panic!("not refused for its body");
    };
    let first = FlashOffset::new(OTA_1);
    let written = world
        .diary
        .count(|event| *event == Event::Written { at: first });
    assert_eq!(written, 0, "chunk 0 was written");
    assert_eq!(world.boot(), Slot::Ota(0));
    // What stands in the slot is not fetched again, only chunk 0 and the page.
    let ranges = world.maker.repository.body_ranges().len();
    assert_eq!(world.update(), Err(AgentError::Body(error)));
    assert_eq!(world.maker.repository.body_ranges().len(), ranges + 2);
    let manifest = world.manifest;
    assert_eq!(
        world.update(),
        Err(DeviceError::Quarantined { manifest }.into())
    );
    assert_eq!(
        world
            .diary
            .count(|event| matches!(event, Event::Failed { .. })),
        2
    );
    error
}

fn with(change: impl FnOnce(&mut App)) -> Vec<u8> {
    let mut app = app("2.0");
    change(&mut app);
    app.build()
}

#[test]
fn image_that_differs_from_the_signed_digest_is_refused() {
    let image = with(|_| {});
    let found = Digest::of(&image);
    let expected = Digest([3; 32]);
    let world = offering(image, |manifest| manifest.component.plaintext = expected);
    assert_eq!(condemned(world), BodyError::ImageDigest { expected, found });
}

#[test]
fn image_that_the_bootloader_would_not_start_is_refused() {
    let mut image = with(|_| {});
    image[300] ^= 1;
    assert_eq!(
        condemned(offering(image, |_| {})),
        BodyError::ImageStructure
    );
}

#[test]
fn image_that_the_cache_could_not_map_is_refused() {
    // Offset 32 of the flash cannot appear at the start of a page of instructions.
    let image = with(|app| app.load_addr = 0x4200_0000);
    assert_eq!(
        condemned(offering(image, |_| {})),
        BodyError::ImageStructure
    );
    let image = with(|app| app.load_addr = 0x4200_0020);
    let mut world = offering(image, |_| {});
    assert!(matches!(
        world.update(),
        Ok(UpdateOutcome::RestartToBoot { .. })
    ));
}

#[test]
fn image_with_a_tail_or_without_its_end_is_refused() {
    let mut image = with(|_| {});
    image.extend_from_slice(&[0; 4096]);
    let refused = condemned(offering(image, |_| {}));
    assert_eq!(
        refused,
        BodyError::ImageLength {
            expected: 7 * 4096,
            found: 5 * 4096
        }
    );
}

#[test]
fn image_for_another_chip_is_refused() {
    let image = with(|app| app.chip_id = 9);
    let refused = BodyError::ImageChip {
        expected: 5,
        found: 9,
    };
    assert_eq!(condemned(offering(image, |_| {})), refused);
}

#[test]
fn image_without_a_signature_is_refused() {
    let image = with(|app| app.signer = None);
    assert_eq!(condemned(offering(image, |_| {})), BodyError::Unsigned);
    let mut image = with(|_| {});
    let sector = image.len() - 4096;
    image[sector..].fill(0xFF);
    assert_eq!(condemned(offering(image, |_| {})), BodyError::Unsigned);
}

#[test]
fn image_signed_by_a_key_that_is_not_burnt_is_refused() {
    let image = with(|app| app.signer = Some(FOREIGN));
    assert_eq!(condemned(offering(image, |_| {})), BodyError::UnknownSigner);
}

#[test]
fn image_with_the_signature_of_another_image_is_refused() {
    let mut image = with(|_| {});
    let other = app("3.0").build();
    let sector = image.len() - 4096;
    image[sector..].copy_from_slice(&other[sector..]);
    assert_eq!(condemned(offering(image, |_| {})), BodyError::UnknownSigner);
}

#[test]
fn revoked_key_signs_nothing() {
    let mut world = World::new();
    world.chip.digests = [None, Some(FOREIGN.digest()), None];
    assert_eq!(world.update(), Err(BodyError::UnknownSigner.into()));
    world.chip.digests = [None, None, Some(crate::support::rsa::OWN.digest())];
    assert!(matches!(
        world.update(),
        Ok(UpdateOutcome::RestartToBoot { .. })
    ));
}

#[test]
fn app_descriptor_that_contradicts_the_manifest_is_refused() {
    let cases: [(Vec<u8>, DescriptorField); 3] = [
        (with(|app| app.project = "clock"), DescriptorField::Project),
        (with(|app| app.version = "2.1"), DescriptorField::Version),
        (
            with(|app| app.secure_version = 2),
            DescriptorField::SecureVersion,
        ),
    ];
    for (image, field) in cases {
        assert_eq!(
            condemned(offering(image, |_| {})),
            BodyError::Descriptor { field }
        );
    }
    // The other way round: the manifest promises a higher secure version than the image has.
    let world = offering(with(|_| {}), |manifest| {
        manifest.secure_version = SecurityVersion::new(9);
    });
    let field = DescriptorField::SecureVersion;
    assert_eq!(condemned(world), BodyError::Descriptor { field });
}

#[test]
fn image_too_short_for_an_app_descriptor_is_refused() {
    for length in [4, 16, 128] {
        let image = app("2.0").around(&vec![0x5A; length]);
        assert!(image.len() < 288);
        let mut world = offering(image, |_| {});
        world.chip.digests = [None; 3];
        world.config.policy.signature = SignatureRule::WhenBurnt;
        let field = DescriptorField::Magic;
        assert_eq!(condemned(world), BodyError::Descriptor { field });
    }
}

#[test]
fn device_without_a_burnt_digest_takes_no_update_unless_policy_says_so() {
    let mut world = World::new();
    world.chip.digests = [None; 3];
    assert_eq!(denial(&mut world), DeviceError::NoBurntDigest.into());
    world.config.policy.signature = SignatureRule::WhenBurnt;
    assert!(matches!(
        world.update(),
        Ok(UpdateOutcome::RestartToBoot { .. })
    ));
    // A development board takes unsigned images as well.
    let mut world = offering(with(|app| app.signer = None), |_| {});
    world.chip.digests = [None; 3];
    world.config.policy.signature = SignatureRule::WhenBurnt;
    assert!(matches!(
        world.update(),
        Ok(UpdateOutcome::RestartToBoot { .. })
    ));
    world.boot();
    world.confirm().unwrap();
}

#[test]
fn complete_image_whose_key_was_revoked_since_loses_its_first_sector() {
    let mut world = World::new();
    world.maker.repository.body_budget = None;
    // Complete the slot without activating it.
    let before = world.maker.repository.files.clone();
    world.maker.hold(2, 0);
    world.maker.publish();
    let after = std::mem::replace(&mut world.maker.repository.files, before);
    world.maker.repository.after_first_now = Some(after);
    assert_eq!(world.update(), Ok(UpdateOutcome::Held));
    assert!(world.slot_holds(Slot::Ota(1), &world.new));
    world.maker.now.holds.clear();
    world.maker.publish();
    world.chip.digests = [Some(FOREIGN.digest()), None, None];
    assert_eq!(world.update(), Err(BodyError::UnknownSigner.into()));
    assert!(!world.slot_holds(Slot::Ota(1), &world.new[..4096]));
}

#[test]
fn image_that_changes_while_chunk_0_is_written_is_found_and_loses_its_first_sector() {
    let mut world = World::new();
    world.flash.disturbed = Some((OTA_1, OTA_1 + 0x3123));
    let refused = world.update();
    assert!(
        matches!(
            refused,
            Err(AgentError::Body(BodyError::ImageDigest { .. }))
        ),
        "{refused:?}"
    );
    assert!(!world.slot_holds(Slot::Ota(1), &world.new[..4096]));
    world.flash.disturbed = None;
    assert!(matches!(
        world.update(),
        Ok(UpdateOutcome::RestartToBoot { .. })
    ));
}
