//! `now`, `releases` and manifest: what is refused, and what a refusal leaves alone.

use espseal_agent::agent::UpdateOutcome;
use espseal_agent::config::Polling;
use espseal_agent::error::{AgentError, DeviceError, Document, MetadataError};
use espseal_format::chip::ChipId;
use espseal_format::metadata::manifest::{ClassId, Manifest, VendorId};
use espseal_format::report::Poll;
use espseal_format::repository::Resource;
use espseal_format::units::{Digest, Position, Product, SecurityVersion};

use crate::support::maker::{DAY, GROUP, TODAY};
use crate::support::{Delivery, SLOT_SIZE, World, app};

/// The metadata error an update ends with; nothing outside the journal may have been erased.
pub(crate) fn refusal(world: &mut World) -> MetadataError {
    match denial(world) {
        AgentError::Metadata(error) => error,
        other => panic!("refused for another reason: {other}"),
    }
}

/// The error an update ends with; nothing outside the journal may have been erased.
pub(crate) fn denial(world: &mut World) -> AgentError {
    let error = world.update().expect_err("accepted");
    assert!(!world.touched(), "flash was erased before {error}");
    error
}

/// Demands that an update refuses a document for being one version behind `floor`.
fn assert_one_behind(world: &mut World, document: Document, floor: Position) {
    let found = position(1, floor.version - 1);
    assert_eq!(
        refusal(world),
        MetadataError::Rollback {
            document,
            floor,
            found
        }
    );
}

fn position(generation: u32, version: u64) -> Position {
    Position {
        generation,
        version,
    }
}

#[test]
fn older_now_is_refused_whatever_the_clock_and_whatever_else_is_older() {
    for (clock, same_releases) in [(None, false), (None, true), (Some(TODAY), true)] {
        let mut world = World::without_offer(Delivery::Ota0Valid);
        world.chip.clock = clock;
        assert_eq!(world.update(), Ok(UpdateOutcome::UpToDate));
        let old = world.maker.repository.file("now.cose").clone();
        world.maker.now.position.version += 1;
        if !same_releases {
            world.maker.releases.position.version += 1;
        }
        world.maker.publish_as_is();
        assert_eq!(world.update(), Ok(UpdateOutcome::UpToDate));
        world.maker.repository.put(Resource::Now, old);
        let floor = world.maker.now.position;
        assert_one_behind(&mut world, Document::Now, floor);
    }
}

/// A stolen `now` key signs two documents of one position; what was seen under one holds for both.
#[test]
fn releases_and_time_seen_under_a_now_of_the_same_position_are_kept() {
    let mut world = World::without_offer(Delivery::Ota0Valid);
    world.chip.clock = Some(TODAY);
    assert_eq!(world.update(), Ok(UpdateOutcome::UpToDate));
    let old = world.maker.repository.file("now.cose").clone();
    world.maker.releases.position.version += 1;
    world.maker.publish_as_is();
    assert_eq!(world.update(), Ok(UpdateOutcome::UpToDate));
    world.maker.repository.put(Resource::Now, old);
    let floor = world.maker.releases.position;
    assert_one_behind(&mut world, Document::Releases, floor);

    let mut world = World::without_offer(Delivery::Ota0Valid);
    assert_eq!(world.update(), Ok(UpdateOutcome::UpToDate));
    let old = world.maker.repository.file("now.cose").clone();
    world.maker.now.time = TODAY + 8 * DAY;
    world.maker.now.expires = TODAY + 9 * DAY;
    world.maker.publish_as_is();
    assert_eq!(world.update(), Ok(UpdateOutcome::UpToDate));
    world.maker.repository.put(Resource::Now, old);
    assert!(matches!(refusal(&mut world), MetadataError::Expired { .. }));
}

#[test]
fn older_releases_are_refused_even_under_a_newer_now() {
    let mut world = World::without_offer(Delivery::Ota0Valid);
    world.maker.publish();
    assert_eq!(world.update(), Ok(UpdateOutcome::UpToDate));
    let floor = world.maker.releases.position;
    world.maker.releases.position.version -= 1;
    world.maker.now.position.version += 1;
    world.maker.publish_as_is();
    assert_one_behind(&mut world, Document::Releases, floor);
}

#[test]
fn documents_of_another_product_are_refused() {
    let other = Product([1; 16]);
    let mut world = World::new();
    world.maker.now.product = other;
    world.maker.publish();
    assert_eq!(
        refusal(&mut world),
        MetadataError::WrongProduct {
            document: Document::Now
        }
    );

    let mut world = World::new();
    world.maker.releases.product = other;
    world.maker.publish();
    let document = Document::Releases;
    assert_eq!(
        refusal(&mut world),
        MetadataError::WrongProduct { document }
    );

    let mut world = bent(|manifest| manifest.product = other);
    let document = Document::Manifest;
    assert_eq!(
        refusal(&mut world),
        MetadataError::WrongProduct { document }
    );
}

#[test]
fn signatures_by_a_key_without_the_role_are_refused() {
    for document in [Document::Now, Document::Releases] {
        for releases_key in [false, true] {
            let mut world = World::new();
            let keys = &world.maker.keys;
            match document {
                Document::Now => {
                    let key = if releases_key {
                        &keys.releases
                    } else {
                        &keys.stranger
                    };
                    let bytes = world.maker.signed_now(key);
                    world.maker.repository.put(Resource::Now, bytes);
                }
                _ => {
                    let key = if releases_key {
                        &keys.now
                    } else {
                        &keys.stranger
                    };
                    let bytes = world.maker.signed_releases(key);
                    world.maker.now.releases = Digest::of(&bytes);
                    world
                        .maker
                        .repository
                        .put(Resource::Releases(&Digest::of(&bytes)), bytes);
                    let bytes = world.maker.signed_now(&world.maker.keys.now);
                    world.maker.repository.put(Resource::Now, bytes);
                }
            }
            assert_eq!(refusal(&mut world), MetadataError::Signature { document });
        }
    }
}

#[test]
fn every_flipped_byte_of_now_is_refused() {
    let mut world = World::new();
    let good = world.maker.repository.file("now.cose").clone();
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1;
        world.maker.repository.put(Resource::Now, bad);
        denial(&mut world);
    }
    world.maker.repository.put(Resource::Now, good);
    assert!(world.update().is_ok());
}

#[test]
fn releases_and_manifest_have_to_hash_to_their_names() {
    let mut world = World::new();
    let named = world.maker.now.releases;
    let other = world.maker.signed_releases(&world.maker.keys.releases);
    let mut other = other;
    other.push(0);
    world
        .maker
        .repository
        .put(Resource::Releases(&named), other.clone());
    let (expected, found) = (named, Digest::of(&other));
    let document = Document::Releases;
    assert_eq!(
        refusal(&mut world),
        MetadataError::WrongDigest {
            document,
            expected,
            found
        }
    );

    let mut world = World::new();
    world.maker.repository.tamper("manifests/");
    assert!(matches!(
        refusal(&mut world),
        MetadataError::WrongDigest {
            document: Document::Manifest,
            ..
        }
    ));
}

#[test]
fn documents_of_another_generation_are_refused() {
    for generation in [0, 2] {
        let mut world = World::new();
        world.maker.now.position.generation = generation;
        world.maker.publish();
        let (document, expected, found) = (Document::Now, 1, generation);
        assert_eq!(
            refusal(&mut world),
            MetadataError::Generation {
                document,
                expected,
                found
            }
        );

        let mut world = World::new();
        world.maker.releases.position.generation = generation;
        world.maker.publish();
        let document = Document::Releases;
        assert_eq!(
            refusal(&mut world),
            MetadataError::Generation {
                document,
                expected,
                found
            }
        );
    }
}

#[test]
fn expired_documents_are_refused_by_clock_or_by_the_time_that_now_claims() {
    for clock in [None, Some(TODAY)] {
        let mut world = World::new();
        world.chip.clock = clock;
        world.maker.releases.expires = TODAY;
        world.maker.publish();
        let expired = MetadataError::Expired {
            document: Document::Releases,
            expires: TODAY,
            time: TODAY,
        };
        assert_eq!(refusal(&mut world), expired);

        let mut world = bent(|manifest| manifest.expires = TODAY);
        world.chip.clock = clock;
        let document = Document::Manifest;
        let expired = MetadataError::Expired {
            document,
            expires: TODAY,
            time: TODAY,
        };
        assert_eq!(refusal(&mut world), expired);
    }
    let mut world = World::new();
    let expires = world.maker.now.expires;
    world.chip.clock = Some(expires);
    let document = Document::Now;
    assert_eq!(
        refusal(&mut world),
        MetadataError::Expired {
            document,
            expires,
            time: expires
        }
    );
}

#[test]
fn without_a_clock_time_never_runs_back_behind_what_was_seen_or_built_in() {
    let mut world = World::without_offer(Delivery::Ota0Valid);
    assert_eq!(world.update(), Ok(UpdateOutcome::UpToDate));
    world.maker.now.time = TODAY - 20 * DAY;
    world.maker.now.expires = TODAY - 10 * DAY;
    world.maker.publish();
    let expired = |time| MetadataError::Expired {
        document: Document::Now,
        expires: TODAY - 10 * DAY,
        time,
    };
    assert_eq!(refusal(&mut world), expired(TODAY));

    let mut world = World::without_offer(Delivery::Ota0Valid);
    world.config.floors.time = TODAY - 5 * DAY;
    world.maker.now.time = TODAY - 20 * DAY;
    world.maker.now.expires = TODAY - 10 * DAY;
    world.maker.publish();
    assert_eq!(refusal(&mut world), expired(TODAY - 5 * DAY));
}

#[test]
fn trusted_clock_outranks_the_time_floor_but_not_the_build_date() {
    let mut world = World::without_offer(Delivery::Ota0Valid);
    world.maker.now.time = TODAY + 300 * DAY;
    world.maker.now.expires = TODAY + 301 * DAY;
    world.maker.publish();
    assert_eq!(world.update(), Ok(UpdateOutcome::UpToDate));
    // A stolen key claimed the far future; a device with a clock does not care.
    world.chip.clock = Some(TODAY);
    world.maker.now.time = TODAY;
    world.maker.now.expires = TODAY + DAY;
    world.maker.publish();
    assert_eq!(world.update(), Ok(UpdateOutcome::UpToDate));
    // A clock that forgot the date is corrected by the build date.
    world.chip.clock = Some(0);
    world.config.floors.time = TODAY + 2 * DAY;
    assert!(matches!(refusal(&mut world), MetadataError::Expired { .. }));
}

#[test]
fn now_may_not_claim_a_time_beyond_what_root_allows() {
    let mut world = World::new();
    let max_time = world.maker.root.max_time;
    world.maker.now.time = max_time + 1;
    world.maker.now.expires = max_time + DAY;
    world.maker.publish();
    let found = max_time + 1;
    assert_eq!(
        refusal(&mut world),
        MetadataError::TimeBeyondRoot { max_time, found }
    );
}

#[test]
fn now_may_claim_the_very_time_that_root_allows_at_most() {
    let mut world = World::without_offer(Delivery::Ota0Valid);
    let max_time = TODAY + DAY;
    world.maker.root.max_time = max_time;
    world.maker.root.version = 2;
    world.maker.publish_root();
    world.maker.now.root_version = 2;
    world.maker.now.time = max_time;
    world.maker.publish();
    assert_eq!(world.update(), Ok(UpdateOutcome::UpToDate));
    world.maker.now.time = max_time + 1;
    world.maker.publish();
    let found = max_time + 1;
    assert_eq!(
        refusal(&mut world),
        MetadataError::TimeBeyondRoot { max_time, found }
    );
}

#[test]
fn releases_without_an_epoch_for_the_group_are_refused() {
    let mut world = World::new();
    world.maker.releases.epochs.clear();
    world.maker.publish();
    assert_eq!(refusal(&mut world), MetadataError::NoEpoch { group: GROUP });
}

#[test]
fn manifest_for_another_vendor_class_or_chip_is_refused() {
    let mut world = bent(|manifest| manifest.vendor = VendorId([1; 16]));
    assert_eq!(denial(&mut world), DeviceError::WrongVendor.into());
    let mut world = bent(|manifest| manifest.class = ClassId([1; 16]));
    assert_eq!(denial(&mut world), DeviceError::WrongClass.into());
    let mut world = bent(|manifest| manifest.chip = ChipId::Esp32);
    let expected = DeviceError::WrongChip {
        expected: 5,
        found: 0,
    };
    assert_eq!(denial(&mut world), expected.into());
}

#[test]
fn release_that_skips_a_stepping_stone_is_refused() {
    let mut world = bent(|manifest| manifest.min_seq = 2);
    let (installed, minimum) = (position(0, 0), position(1, 2));
    assert_eq!(
        denial(&mut world),
        DeviceError::TooOld { installed, minimum }.into()
    );
    world.config.floors.installed = position(1, 1);
    let installed = position(1, 1);
    assert_eq!(
        denial(&mut world),
        DeviceError::TooOld { installed, minimum }.into()
    );
    let mut world = bent(|manifest| manifest.min_seq = 1);
    world.config.floors.installed = position(1, 1);
    world.update().expect("the stepping stone itself is enough");
}

#[test]
fn secure_version_below_efuse_or_running_image_is_refused() {
    let mut lowered = app("2.0");
    lowered.secure_version = 0;
    let mut world = World::with(Delivery::Ota0Valid, &lowered);
    let refused = |floor| DeviceError::SecureVersion {
        floor: SecurityVersion::new(floor),
        found: SecurityVersion::new(0),
    };
    // The running image says 1, eFuse says 0.
    assert_eq!(denial(&mut world), refused(1).into());
    world.chip.secure_version = 3;
    assert_eq!(denial(&mut world), refused(3).into());
}

#[test]
fn image_larger_than_the_slot_is_refused() {
    let mut large = app("2.0");
    large.chunks = 16;
    let mut world = World::with(Delivery::Ota0Valid, &large);
    let length = SLOT_SIZE + 4096;
    assert_eq!(
        denial(&mut world),
        DeviceError::TooLarge {
            slot_size: SLOT_SIZE,
            length
        }
        .into()
    );
    large.chunks = 15;
    let mut world = World::with(Delivery::Ota0Valid, &large);
    world.update().expect("an image that fills the slot fits");
}

#[test]
fn poll_without_news_writes_nothing() {
    let mut world = World::without_offer(Delivery::Ota0Valid);
    assert_eq!(world.update(), Ok(UpdateOutcome::UpToDate));
    let operations = world.flash.operations;
    for _ in 0..3 {
        assert_eq!(world.update(), Ok(UpdateOutcome::UpToDate));
    }
    assert_eq!(world.flash.operations, operations);
}

#[test]
fn lost_journal_restarts_from_the_floors_built_into_the_image() {
    let mut world = World::without_offer(Delivery::Ota0Valid);
    let old = world.maker.repository.file("now.cose").clone();
    world.maker.publish();
    assert_eq!(world.update(), Ok(UpdateOutcome::UpToDate));
    world
        .flash
        .program_factory(crate::support::JOURNAL, &[0; 0x4000]);
    world.maker.repository.put(Resource::Now, old);
    assert_eq!(world.update(), Ok(UpdateOutcome::UpToDate));

    world
        .flash
        .program_factory(crate::support::JOURNAL, &[0; 0x4000]);
    world.config.floors.now = position(1, 100);
    assert!(matches!(
        refusal(&mut world),
        MetadataError::Rollback {
            document: Document::Now,
            ..
        }
    ));
    world.config.floors.now = position(0, 0);
    world.config.floors.releases = position(1, 100);
    assert!(matches!(
        refusal(&mut world),
        MetadataError::Rollback {
            document: Document::Releases,
            ..
        }
    ));
}

#[test]
fn announced_poll_says_what_the_device_runs() {
    let mut world = World::new();
    world.config.policy.polling = Polling::Announced;
    world.config.floors.installed = position(1, 1);
    world.update().unwrap();
    let poll = Poll::parse(&world.maker.repository.polls[0]).unwrap();
    assert_eq!(poll.device, world.device.device_id());
    assert_eq!(poll.installed, position(1, 1));
}

/// A world whose manifest was bent before it was published.
fn bent(bend: impl FnOnce(&mut Manifest)) -> World {
    let mut world = World::new();
    let (new, offered) = (world.new.clone(), app("2.0"));
    world
        .maker
        .repository
        .files
        .retain(|path, _| !path.starts_with("manifests/"));
    world.manifest = world.maker.release(&new, &offered, 2, bend);
    world.maker.publish();
    world
}
