//! Which offers a device follows: newer, active, in its cohort, not quarantined.

use espseal_agent::agent::UpdateOutcome;
use espseal_agent::error::{DeviceError, MetadataError};
use espseal_format::cohort::{self, Membership, Ppm};
use espseal_format::metadata::releases::OfferState;
use espseal_format::units::{Digest, Position};

use crate::metadata::denial;
use crate::support::maker::CHIP;
use crate::support::{World, app};

fn resting(world: &mut World) -> UpdateOutcome {
    let outcome = world.update().unwrap();
    assert!(!world.touched());
    assert!(world.maker.repository.body_ranges().is_empty());
    outcome
}

#[test]
fn older_offer_is_a_downgrade() {
    let mut world = World::new();
    world.update_and_confirm();
    let generation = 1;
    let erased = world.flash.erased.len();
    world.maker.offer(world.manifest, 1);
    world.maker.publish();
    let installed = Position {
        generation,
        version: 2,
    };
    let offered = Position {
        generation,
        version: 1,
    };
    let refused = DeviceError::Downgrade { installed, offered };
    assert_eq!(world.update(), Err(refused.into()));
    // One journal record for the new floors.
    assert_eq!(world.flash.erased.len(), erased + 1);
}

#[test]
fn position_of_the_installed_release_cannot_be_given_to_another() {
    let mut world = World::new();
    world.update_and_confirm();
    world.maker.offer(Digest([1; 32]), 2);
    world.maker.publish();
    let position = Position {
        generation: 1,
        version: 2,
    };
    assert_eq!(
        world.update(),
        Err(MetadataError::PositionReused { position }.into())
    );
}

#[test]
fn built_in_position_counts_as_installed() {
    let mut world = World::new();
    world.config.floors.installed = Position {
        generation: 1,
        version: 2,
    };
    assert_eq!(resting(&mut world), UpdateOutcome::UpToDate);
    world.config.floors.installed = Position {
        generation: 1,
        version: 3,
    };
    assert!(matches!(
        denial(&mut world),
        espseal_agent::error::AgentError::Device(_)
    ));
}

#[test]
fn held_offer_waits_whether_releases_or_now_hold_it() {
    let mut world = World::new();
    world.maker.releases.offers[0].state = OfferState::Held;
    world.maker.publish();
    assert_eq!(resting(&mut world), UpdateOutcome::Held);

    let mut world = World::new();
    world.maker.hold(2, 0);
    world.maker.publish();
    assert_eq!(resting(&mut world), UpdateOutcome::Held);
}

#[test]
fn hold_on_another_seq_does_not_concern_the_offer() {
    let mut world = World::new();
    world.maker.hold(1, 0);
    world.maker.publish();
    assert!(matches!(
        world.update(),
        Ok(UpdateOutcome::RestartToBoot { .. })
    ));
}

#[test]
fn device_outside_the_cohort_waits_and_widening_lets_it_in() {
    let mut world = World::new();
    let offer = world.maker.releases.offers[0].clone();
    let id = world.device.device_id();
    let turn = (1..=1_000_000)
        .map(|ppm| Ppm::new(ppm).unwrap())
        .find(|ppm| cohort::includes(&offer.salt, &id, *ppm) == Membership::Inside)
        .unwrap();
    let before = Ppm::new(turn.get() - 1).unwrap();
    world.maker.releases.offers[0].ppm = before;
    world.maker.publish();
    assert_eq!(resting(&mut world), UpdateOutcome::NotInCohort);
    // `now` narrows, too.
    world.maker.releases.offers[0].ppm = Ppm::ALL;
    world.maker.hold(2, before.get());
    world.maker.publish();
    assert_eq!(resting(&mut world), UpdateOutcome::NotInCohort);
    // It cannot widen.
    world.maker.releases.offers[0].ppm = before;
    world.maker.hold(2, 1_000_000);
    world.maker.publish();
    assert_eq!(resting(&mut world), UpdateOutcome::NotInCohort);
    world.maker.releases.offers[0].ppm = turn;
    world.maker.publish();
    assert!(matches!(
        world.update(),
        Ok(UpdateOutcome::RestartToBoot { .. })
    ));
}

#[test]
fn offers_for_other_channels_and_chips_do_not_exist_for_this_device() {
    let mut world = World::new();
    let offer = &mut world.maker.releases.offers[0];
    offer.channel = espseal_format::units::ChannelName::new("beta").unwrap();
    assert_eq!(offer.chip, CHIP);
    world.maker.publish();
    assert_eq!(resting(&mut world), UpdateOutcome::UpToDate);
}

/// Stages, but swaps what the repository says before the recheck.
fn swapped(change: impl FnOnce(&mut World)) -> (World, UpdateOutcome) {
    let mut world = World::new();
    let before = world.maker.repository.files.clone();
    change(&mut world);
    world.maker.publish();
    let after = std::mem::replace(&mut world.maker.repository.files, before);
    world.maker.repository.after_first_now = Some(after);
    let outcome = world.update().unwrap();
    (world, outcome)
}

#[test]
fn offer_is_asked_for_again_before_activation() {
    let (mut world, outcome) = swapped(|world| world.maker.hold(2, 0));
    assert_eq!(outcome, UpdateOutcome::Held);
    assert_eq!(world.boot(), world.chip.running);
    assert!(world.slot_holds(espseal_agent::platform::Slot::Ota(1), &world.new));
    assert_eq!(world.boot(), espseal_agent::platform::Slot::Ota(0));

    let (mut world, outcome) = swapped(|world| world.maker.releases.offers[0].ppm = Ppm::NONE);
    assert!(matches!(
        outcome,
        UpdateOutcome::Held | UpdateOutcome::NotInCohort
    ));
    assert_eq!(world.boot(), espseal_agent::platform::Slot::Ota(0));

    let (mut world, outcome) = swapped(|world| {
        let image = app("3.0").build();
        world.maker.release(&image, &app("3.0"), 3, |_| {});
    });
    assert_eq!(outcome, UpdateOutcome::OfferChanged);
    assert_eq!(world.boot(), espseal_agent::platform::Slot::Ota(0));
}

#[test]
fn work_staged_under_a_hold_survives_it() {
    let (mut world, _) = swapped(|world| world.maker.hold(2, 0));
    world.maker.now.holds.clear();
    world.maker.publish();
    let fetched = world.maker.repository.body_ranges().len();
    assert!(matches!(
        world.update(),
        Ok(UpdateOutcome::RestartToBoot { .. })
    ));
    assert_eq!(world.maker.repository.body_ranges().len(), fetched);
}

#[test]
fn manifest_that_expired_while_staging_is_not_activated() {
    let mut world = World::new();
    let before = world.maker.repository.files.clone();
    world.maker.now.time += 366 * crate::support::maker::DAY;
    world.maker.now.expires += 366 * crate::support::maker::DAY;
    world.maker.releases.expires += 366 * crate::support::maker::DAY;
    world.maker.publish();
    let after = std::mem::replace(&mut world.maker.repository.files, before);
    world.maker.repository.after_first_now = Some(after);
    assert!(matches!(
        world.update(),
        Err(espseal_agent::error::AgentError::Metadata(
            MetadataError::Expired { .. }
        ))
    ));
    assert_eq!(world.boot(), espseal_agent::platform::Slot::Ota(0));
}
