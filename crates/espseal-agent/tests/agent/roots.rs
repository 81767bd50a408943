//! The chain of roots: one by one, persisted in order, never back.

use espseal_agent::acceptance::root_step;
use espseal_agent::agent::UpdateOutcome;
use espseal_agent::error::{Document, MetadataError, ServerError};
use espseal_agent::observer::Event;
use espseal_crypto::es256::SigningKey;
use espseal_format::journal::encode_root_body;
use espseal_format::metadata::root::Root;
use espseal_format::repository::Resource;
use espseal_format::units::{Position, Product};

use crate::metadata::{denial, refusal};
use crate::support::maker::{DAY, Keys, TODAY, role, sign_root};
use crate::support::{Delivery, JOURNAL, World};

/// A world whose maker has published root 2, bent and signed by the keys chosen.
fn next_root(
    bend: impl FnOnce(&mut Root, &Keys),
    signers: impl for<'k> Fn(&'k Keys) -> Vec<&'k SigningKey>,
) -> World {
    let mut world = World::without_offer(Delivery::Ota0Valid);
    let maker = &mut world.maker;
    maker.root.version = 2;
    bend(&mut maker.root, &maker.keys);
    let bytes = sign_root(&maker.root, &signers(&maker.keys));
    maker.repository.put(Resource::Root(2), bytes);
    maker.now.root_version = 2;
    maker.publish();
    world
}

fn usual(keys: &Keys) -> Vec<&SigningKey> {
    vec![&keys.root[0], &keys.root[2]]
}

fn accepted(world: &World) -> usize {
    world
        .diary
        .count(|event| matches!(event, Event::RootAccepted { .. }))
}

#[test]
fn next_root_signed_by_old_and_new_threshold_is_accepted_and_kept() {
    let rotate = |root: &mut Root, keys: &Keys| {
        root.root = role(1, 0, &[&keys.stranger]);
    };
    let mut world = next_root(rotate, |keys| {
        vec![&keys.root[0], &keys.root[1], &keys.stranger]
    });
    assert_eq!(world.update(), Ok(UpdateOutcome::UpToDate));
    assert_eq!(accepted(&world), 1);
    // Kept: it is not fetched again.
    assert_eq!(world.update(), Ok(UpdateOutcome::UpToDate));
    assert_eq!(accepted(&world), 1);
}

#[test]
fn root_signed_only_by_the_old_or_only_by_the_new_keys_is_refused() {
    let rotate = |root: &mut Root, keys: &Keys| {
        root.root = role(1, 0, &[&keys.stranger]);
    };
    let document = Document::Root { version: 2 };
    let mut world = next_root(rotate, |keys| vec![&keys.root[0], &keys.root[1]]);
    assert_eq!(refusal(&mut world), MetadataError::Signature { document });
    let mut world = next_root(rotate, |keys| vec![&keys.stranger]);
    assert_eq!(refusal(&mut world), MetadataError::Signature { document });
    // One of two.
    let mut world = next_root(|_, _| {}, |keys| vec![&keys.root[0]]);
    assert_eq!(refusal(&mut world), MetadataError::Signature { document });
    assert_eq!(accepted(&world), 0);
}

#[test]
fn root_that_skips_a_version_or_lowers_a_generation_is_refused() {
    let mut world = next_root(|root, _| root.version = 3, usual);
    let skipped = MetadataError::RootVersion {
        expected: 2,
        found: 3,
    };
    assert_eq!(refusal(&mut world), skipped);
    let mut world = next_root(|root, _| root.releases.generation = 0, usual);
    let fell = MetadataError::GenerationFell {
        trusted: 1,
        found: 0,
    };
    assert_eq!(refusal(&mut world), fell);
    let mut world = next_root(|root, _| root.now.generation = 0, usual);
    assert_eq!(refusal(&mut world), fell);
}

#[test]
fn role_with_a_threshold_that_one_signature_cannot_meet_is_refused() {
    let two = |keys: &Keys, generation| role(2, generation, &[&keys.now, &keys.releases]);
    let mut world = next_root(|root, keys| root.now = two(keys, 1), usual);
    let refused = |document| MetadataError::RoleThreshold {
        document,
        threshold: 2,
    };
    assert_eq!(refusal(&mut world), refused(Document::Now));
    let mut world = next_root(|root, keys| root.releases = two(keys, 1), usual);
    assert_eq!(refusal(&mut world), refused(Document::Releases));
}

#[test]
fn many_roots_are_climbed_one_by_one() {
    let mut world = World::without_offer(Delivery::Ota0Valid);
    for version in 2..=6 {
        world.maker.root.version = version;
        world.maker.publish_root();
    }
    world.maker.now.root_version = 6;
    world.maker.publish();
    assert_eq!(world.update(), Ok(UpdateOutcome::UpToDate));
    assert_eq!(accepted(&world), 5);
}

#[test]
fn root_climbed_before_a_missing_one_is_not_lost() {
    let mut world = World::without_offer(Delivery::Ota0Valid);
    world.maker.root.version = 2;
    world.maker.publish_root();
    world.maker.now.root_version = 3;
    world.maker.publish();
    let document = Document::Root { version: 3 };
    assert_eq!(
        denial(&mut world),
        ServerError::NotFound { document }.into()
    );
    assert_eq!(accepted(&world), 1);
    world.maker.root.version = 3;
    world.maker.publish_root();
    assert_eq!(world.update(), Ok(UpdateOutcome::UpToDate));
    assert_eq!(accepted(&world), 2);
}

#[test]
fn now_that_names_an_older_root_is_refused() {
    let mut world = next_root(|_, _| {}, usual);
    assert_eq!(world.update(), Ok(UpdateOutcome::UpToDate));
    world.maker.now.root_version = 1;
    world.maker.publish();
    let refused = MetadataError::RootRollback {
        trusted: 2,
        found: 1,
    };
    assert_eq!(refusal(&mut world), refused);
    // Not even when the stored root was damaged and the built-in one has to do.
    world
        .flash
        .program_factory(JOURNAL + 0x2000, &[0x55; 0x2000]);
    assert_eq!(refusal(&mut world), refused);
}

#[test]
fn climbing_anew_after_damage_does_not_forget_how_high_it_was() {
    let mut world = World::without_offer(Delivery::Ota0Valid);
    for version in [2, 3] {
        world.maker.root.version = version;
        world.maker.publish_root();
    }
    world.maker.now.root_version = 3;
    world.maker.publish();
    assert_eq!(world.update(), Ok(UpdateOutcome::UpToDate));
    let bodies = JOURNAL + 0x2000;
    world.flash.program_factory(bodies, &[0x55; 0x2000]);
    // A root that was believed once, named by a `now` that its keys sign.
    world.maker.now.root_version = 2;
    world.maker.publish();
    let refused = MetadataError::RootRollback {
        trusted: 3,
        found: 2,
    };
    for _ in 0..2 {
        assert_eq!(refusal(&mut world), refused);
    }
    world.maker.now.root_version = 3;
    world.maker.publish();
    assert_eq!(world.update(), Ok(UpdateOutcome::UpToDate));
    let climbed = accepted(&world);
    // Root 3 is kept again.
    assert_eq!(world.update(), Ok(UpdateOutcome::UpToDate));
    assert_eq!(accepted(&world), climbed);
}

#[test]
fn time_that_a_stolen_now_key_claimed_goes_with_the_key() {
    for trusted_meanwhile in [false, true] {
        let mut world = World::without_offer(Delivery::Ota0Valid);
        let honest = world.maker.now.clone();
        world.maker.now.time = world.maker.releases.expires - 1;
        world.maker.now.expires = world.maker.releases.expires + DAY;
        world.maker.now.position.version += 1;
        world.maker.publish_as_is();
        assert_eq!(world.update(), Ok(UpdateOutcome::UpToDate));
        // The key is as good as before: its time holds.
        world.maker.now = honest.clone();
        world.maker.now.position.version = 99;
        world.maker.publish_as_is();
        assert!(matches!(refusal(&mut world), MetadataError::Expired { .. }));

        let maker = &mut world.maker;
        maker.root.version = 2;
        maker.root.now = role(1, 2, &[&maker.keys.stranger]);
        maker.publish_root();
        maker.now.root_version = 2;
        let replaced = |world: &mut World, version, time| {
            let maker = &mut world.maker;
            maker.now.position = Position {
                generation: 2,
                version,
            };
            maker.now.time = time;
            maker.now.expires = time + DAY;
            let bytes = maker.signed_now(&maker.keys.stranger);
            maker.repository.put(Resource::Now, bytes);
        };
        let time = honest.time + 100;
        replaced(&mut world, 1, time);
        world.chip.clock = trusted_meanwhile.then_some(time);
        assert_eq!(world.update(), Ok(UpdateOutcome::UpToDate));
        world.chip.clock = None;
        assert_eq!(world.update(), Ok(UpdateOutcome::UpToDate));
        // What the new key says about the time holds as ever.
        replaced(&mut world, 2, time - DAY);
        assert!(matches!(refusal(&mut world), MetadataError::Expired { .. }));
    }
}

#[test]
fn clock_that_runs_behind_what_now_said_does_not_lower_the_floor() {
    let mut world = World::without_offer(Delivery::Ota0Valid);
    assert_eq!(world.update(), Ok(UpdateOutcome::UpToDate));
    let told = world.maker.now.time;
    world.chip.clock = Some(told - 10 * DAY);
    world.maker.publish();
    assert_eq!(world.update(), Ok(UpdateOutcome::UpToDate));
    world.chip.clock = None;
    world.maker.now.time = told - 2 * DAY;
    world.maker.now.expires = told - DAY;
    world.maker.publish();
    assert!(matches!(refusal(&mut world), MetadataError::Expired { .. }));
}

#[test]
fn damaged_stored_root_is_replaced_by_climbing_from_the_built_in_one() {
    let mut world = next_root(|_, _| {}, usual);
    assert_eq!(world.update(), Ok(UpdateOutcome::UpToDate));
    let mut stored = world.flash.peek(JOURNAL + 0x2000..JOURNAL + 0x3000);
    stored[40] ^= 1;
    world.flash.program_factory(JOURNAL + 0x2000, &stored);
    assert_eq!(world.update(), Ok(UpdateOutcome::UpToDate));
    assert_eq!(accepted(&world), 2);
}

#[test]
fn root_expiry_is_tested_against_a_trusted_clock_only() {
    let expires = TODAY + DAY;
    let mut world = next_root(|root, _| root.expires = expires, usual);
    world.maker.now.time = expires + DAY;
    world.maker.now.expires = expires + 9 * DAY;
    world.maker.publish();
    // `now` claims a later time than the root's expiry: whoever stole its key could say so.
    assert_eq!(world.update(), Ok(UpdateOutcome::UpToDate));
    assert_eq!(world.update(), Ok(UpdateOutcome::UpToDate));
    world.chip.clock = Some(expires);
    let refused = MetadataError::RootExpired {
        expires,
        time: expires,
    };
    assert_eq!(refusal(&mut world), refused);
}

#[test]
fn stolen_now_key_that_counted_to_the_end_is_recovered_by_the_next_generation() {
    let mut world = World::without_offer(Delivery::Ota0Valid);
    world.maker.now.position.version = u64::MAX;
    world.maker.publish_as_is();
    assert_eq!(world.update(), Ok(UpdateOutcome::UpToDate));
    let maker = &mut world.maker;
    maker.root.version = 2;
    maker.root.now = role(1, 2, &[&maker.keys.stranger]);
    maker.publish_root();
    maker.now.root_version = 2;
    maker.now.position = Position {
        generation: 2,
        version: 1,
    };
    let bytes = maker.signed_now(&maker.keys.stranger);
    maker.repository.put(Resource::Now, bytes);
    assert_eq!(world.update(), Ok(UpdateOutcome::UpToDate));
    // The stolen key is out.
    let maker = &mut world.maker;
    maker.now.position.version = 2;
    let bytes = maker.signed_now(&maker.keys.now);
    maker.repository.put(Resource::Now, bytes);
    assert_eq!(
        refusal(&mut world),
        MetadataError::Signature {
            document: Document::Now
        }
    );
}

#[test]
fn root_of_another_product_does_not_follow() {
    // Its signatures cannot verify under this product either; the comparison stands by itself.
    let world = World::without_offer(Delivery::Ota0Valid);
    let trusted = world.maker.root;
    let mut next = trusted.clone();
    next.version = 2;
    assert_eq!(root_step(&trusted, &next), Ok(()));
    next.product = Product([1; 16]);
    let document = Document::Root { version: 2 };
    assert_eq!(
        root_step(&trusted, &next),
        Err(MetadataError::WrongProduct { document })
    );
}

#[test]
fn later_built_in_root_outranks_the_stored_one() {
    let mut world = next_root(|_, _| {}, usual);
    assert_eq!(world.update(), Ok(UpdateOutcome::UpToDate));
    // A new image was built with root 3, which the repository need not serve to this device.
    world.maker.root.version = 3;
    world.config.built_in_root = Vec::leak(world.maker.signed_root());
    world.maker.now.root_version = 3;
    world.maker.publish();
    assert_eq!(world.update(), Ok(UpdateOutcome::UpToDate));
    assert_eq!(accepted(&world), 1);
}

#[test]
fn built_in_root_outranks_a_stored_one_of_the_same_version() {
    let mut world = next_root(|_, _| {}, usual);
    assert_eq!(world.update(), Ok(UpdateOutcome::UpToDate));
    // Whoever builds the image decides; both are signed by the same keys.
    world.maker.root.max_time = TODAY - 1;
    world.config.built_in_root = Vec::leak(world.maker.signed_root());
    world.maker.publish();
    let (max_time, found) = (TODAY - 1, TODAY);
    assert_eq!(
        refusal(&mut world),
        MetadataError::TimeBeyondRoot { max_time, found }
    );
}

#[test]
fn stored_root_of_another_version_than_recorded_is_not_trusted() {
    let mut world = next_root(|_, _| {}, usual);
    assert_eq!(world.update(), Ok(UpdateOutcome::UpToDate));
    let mut forged = world.maker.root.clone();
    forged.version = 3;
    forged.root = role(1, 0, &[&world.maker.keys.stranger]);
    let forged = sign_root(&forged, &[&world.maker.keys.stranger]);
    let mut sector = [0xFF; 4096];
    encode_root_body(&forged, &mut sector).unwrap();
    world.flash.program_factory(JOURNAL + 0x2000, &sector);
    assert_eq!(world.update(), Ok(UpdateOutcome::UpToDate));
    assert_eq!(accepted(&world), 2);
}
