//! What a restart turns out to be: confirmation, rollback, torn activation, no rollback at all.

use espseal_agent::agent::{BootOutcome, UpdateOutcome};
use espseal_agent::boot::{self, Selection, Situation, Verdict};
use espseal_agent::config::RollbackRule;
use espseal_agent::error::{AgentError, DeviceError, Misuse};
use espseal_agent::platform::Slot;
use espseal_format::cose::Sign1;
use espseal_format::journal::State;
use espseal_format::otadata::{ENTRY_LEN, OtaState, Otadata, OtadataEntry};
use espseal_format::report::{Event, Report};

use crate::support::bootloader::Rollback;
use crate::support::{Delivery, OTA_0, OTA_1, OTADATA, World, app};

const FIRST: Slot = Slot::Ota(0);
const SECOND: Slot = Slot::Ota(1);

fn entry(world: &World, sector: u32) -> Option<OtadataEntry> {
    let at = OTADATA + sector * 0x1000;
    let bytes: [u8; ENTRY_LEN] = world.flash.peek(at..at + 32).try_into().unwrap();
    OtadataEntry::parse(&bytes).ok()
}

fn write_entry(world: &mut World, sector: u32, entry: &OtadataEntry) {
    world
        .flash
        .program_factory(OTADATA + sector * 0x1000, &entry.encode());
}

fn activated(factory: Delivery) -> World {
    let mut world = World::with(factory, &app("2.0"));
    assert!(matches!(
        world.update(),
        Ok(UpdateOutcome::RestartToBoot { .. })
    ));
    world
}

#[test]
fn activation_writes_the_sector_that_is_not_selected() {
    let mut world = activated(Delivery::Ota0Valid);
    assert_eq!(
        entry(&world, 0),
        Some(OtadataEntry::new(1, OtaState::Valid))
    );
    assert_eq!(entry(&world, 1), Some(OtadataEntry::new(2, OtaState::New)));
    world.boot();
    world.confirm().unwrap();
    assert_eq!(
        entry(&world, 0),
        Some(OtadataEntry::new(1, OtaState::Valid))
    );
    assert_eq!(
        entry(&world, 1),
        Some(OtadataEntry::new(2, OtaState::Valid))
    );
}

#[test]
fn image_that_is_never_confirmed_is_rolled_back_and_quarantined_the_second_time() {
    for factory in [
        Delivery::Ota0Valid,
        Delivery::Ota0Blank,
        Delivery::FactoryApp,
    ] {
        let mut world = World::with(factory, &app("2.0"));
        let old = world.chip.running;
        let manifest = world.manifest;
        for failures in 1..=2 {
            assert!(matches!(
                world.update(),
                Ok(UpdateOutcome::RestartToBoot { .. })
            ));
            assert_ne!(world.boot(), old);
            assert_eq!(
                world.on_boot(),
                Ok(BootOutcome::AwaitingConfirmation { manifest })
            );
            // It crashes instead of confirming.
            assert_eq!(world.boot(), old, "{factory:?}");
            let rolled_back = BootOutcome::RolledBack { manifest, failures };
            assert_eq!(world.on_boot(), Ok(rolled_back));
            assert_eq!(world.on_boot(), Ok(BootOutcome::Idle));
        }
        assert_eq!(
            world.update(),
            Err(DeviceError::Quarantined { manifest }.into())
        );
        // A later release is another matter.
        world.offer(&app("3.0"), 3);
        world.update_and_confirm();
    }
}

#[test]
fn release_that_failed_once_and_was_then_confirmed_is_forgiven() {
    let mut world = activated(Delivery::Ota0Valid);
    let manifest = world.manifest;
    world.boot();
    world.boot();
    assert!(matches!(
        world.on_boot(),
        Ok(BootOutcome::RolledBack { failures: 1, .. })
    ));
    world.update_and_confirm();
    // The same release again, under a later seq.
    world.maker.offer(manifest, 3);
    world.maker.publish();
    assert!(matches!(
        world.update(),
        Ok(UpdateOutcome::RestartToBoot { .. })
    ));
    world.boot();
    world.boot();
    assert_eq!(
        world.on_boot(),
        Ok(BootOutcome::RolledBack {
            manifest,
            failures: 1
        })
    );
}

#[test]
fn torn_activations_of_one_release_are_not_held_against_the_next() {
    let mut world = World::new();
    for (version, seq) in [("2.0", 2), ("3.0", 3)] {
        world.offer(&app(version), seq);
        let manifest = world.manifest;
        for attempts in 1..=3 {
            assert!(matches!(
                world.update(),
                Ok(UpdateOutcome::RestartToBoot { .. })
            ));
            world.flash.program_factory(OTADATA + 0x1000, &[0x5A; 32]);
            world.boot();
            assert_eq!(
                world.on_boot(),
                Ok(BootOutcome::Torn { manifest, attempts })
            );
        }
    }
}

#[test]
fn lost_activation_is_retried_three_times_and_then_counts_as_a_failure() {
    let mut world = World::new();
    let manifest = world.manifest;
    for failures in 1..=2 {
        for attempts in 1..=4 {
            assert!(matches!(
                world.update(),
                Ok(UpdateOutcome::RestartToBoot { .. })
            ));
            // The entry is torn each time.
            world.flash.program_factory(OTADATA + 0x1000, &[0x5A; 32]);
            assert_eq!(world.boot(), FIRST);
            let expected = match attempts {
                1..=3 => BootOutcome::Torn { manifest, attempts },
                _ => BootOutcome::RolledBack { manifest, failures },
            };
            assert_eq!(world.on_boot(), Ok(expected));
        }
    }
    assert_eq!(
        world.update(),
        Err(DeviceError::Quarantined { manifest }.into())
    );
}

#[test]
fn image_that_declares_itself_invalid_is_a_failure() {
    let mut world = activated(Delivery::Ota0Valid);
    let manifest = world.manifest;
    world.boot();
    write_entry(&mut world, 1, &OtadataEntry::new(2, OtaState::Invalid));
    assert_eq!(world.boot(), FIRST);
    assert_eq!(
        world.on_boot(),
        Ok(BootOutcome::RolledBack {
            manifest,
            failures: 1
        })
    );
}

#[test]
fn selected_image_that_does_not_start_is_a_failure_and_loses_its_entry() {
    let mut world = activated(Delivery::Ota0Valid);
    let manifest = world.manifest;
    // A bit of flash flips between verification and boot.
    world.flash.program_factory(OTA_1 + 0x1000, &[0; 4096]);
    assert_eq!(world.boot(), FIRST);
    assert_eq!(entry(&world, 1).unwrap().state, OtaState::PendingVerify);
    assert_eq!(
        world.on_boot(),
        Ok(BootOutcome::RolledBack {
            manifest,
            failures: 1
        })
    );
    assert_eq!(entry(&world, 1), None);
    // The old image is the selected one again, without a restart.
    world.update_and_confirm();
}

#[test]
fn power_lost_between_self_test_and_valid_is_not_held_against_the_image() {
    let mut world = activated(Delivery::Ota0Valid);
    let manifest = world.manifest;
    world.boot();
    // Two operations of the journal's record, then otadata.
    world.flash.cut = Some(crate::support::flash::Cut {
        operation: world.flash.operations + 2,
        tear: crate::support::flash::Tear::Before,
    });
    assert!(matches!(world.confirm(), Err(AgentError::Hardware(_))));
    assert_eq!(world.boot(), FIRST);
    assert_eq!(
        world.on_boot(),
        Ok(BootOutcome::Torn {
            manifest,
            attempts: 1
        })
    );
    world.update_and_confirm();
}

#[test]
fn power_lost_after_valid_is_made_up_for_at_the_next_boot() {
    let mut world = activated(Delivery::Ota0Valid);
    let manifest = world.manifest;
    world.boot();
    world.flash.cut = Some(crate::support::flash::Cut {
        operation: world.flash.operations + 3,
        tear: crate::support::flash::Tear::Whole,
    });
    assert!(world.confirm().is_err());
    assert_eq!(world.boot(), SECOND);
    assert_eq!(world.on_boot(), Ok(BootOutcome::Confirmed { manifest }));
    assert_eq!(world.update(), Ok(UpdateOutcome::UpToDate));
}

#[test]
fn valid_that_did_not_take_is_written_again() {
    for state in [OtaState::Unknown(0x402), OtaState::Undefined] {
        let mut world = activated(Delivery::Ota0Valid);
        world.boot();
        // The journal's record, then the entry, one of whose bits is stuck.
        world.flash.disturbed = Some((OTADATA + 0x1000, OTADATA + 0x1018));
        assert!(matches!(world.confirm(), Err(AgentError::Hardware(_))));
        world.flash.disturbed = None;
        write_entry(&mut world, 1, &OtadataEntry::new(2, state));
        assert_eq!(world.boot(), SECOND);
        let manifest = world.manifest;
        let awaiting = BootOutcome::AwaitingConfirmation { manifest };
        assert_eq!(world.on_boot(), Ok(awaiting), "{state}");
        world.confirm().unwrap();
        assert_eq!(entry(&world, 1).unwrap().state, OtaState::Valid);
    }
}

#[test]
fn new_image_whose_trial_nobody_watches_is_given_up_for_a_better_one() {
    let mut world = activated(Delivery::Ota0Valid);
    let manifest = world.manifest;
    // Power went while NEW was written, and only the state did not take.
    write_entry(
        &mut world,
        1,
        &OtadataEntry::new(2, OtaState::Unknown(0x40)),
    );
    assert_eq!(world.boot(), SECOND);
    let torn = BootOutcome::Torn {
        manifest,
        attempts: 1,
    };
    assert_eq!(world.on_boot(), Ok(torn));
    assert_eq!(entry(&world, 1), None);
    assert_eq!(world.boot(), FIRST);
    world.update_and_confirm();
}

#[test]
fn activation_that_did_not_take_leaves_no_entry_behind() {
    let mut world = World::new();
    // Programming the entry bends its state, which the CRC does not cover.
    world.flash.disturbed = Some((OTADATA + 0x1000, OTADATA + 0x1018));
    assert!(matches!(world.update(), Err(AgentError::Hardware(_))));
    world.flash.disturbed = None;
    assert_eq!(entry(&world, 1), None);
    let manifest = world.manifest;
    assert_eq!(world.boot(), FIRST);
    let torn = BootOutcome::Torn {
        manifest,
        attempts: 1,
    };
    assert_eq!(world.on_boot(), Ok(torn));
    world.update_and_confirm();
}

#[test]
fn bootloader_without_rollback_is_refused_unless_policy_says_otherwise() {
    let mut world = activated(Delivery::Ota0Valid);
    let manifest = world.manifest;
    world.rollback = Rollback::Disabled;
    assert_eq!(world.boot(), SECOND);
    assert_eq!(world.on_boot(), Ok(BootOutcome::NoRollback { manifest }));
    assert_eq!(world.confirm(), Err(DeviceError::NoRollback.into()));
    world.config.policy.rollback = RollbackRule::Optional;
    assert_eq!(
        world.on_boot(),
        Ok(BootOutcome::AwaitingConfirmation { manifest })
    );
    world.confirm().unwrap();
    assert_eq!(entry(&world, 1).unwrap().state, OtaState::Valid);
}

#[test]
fn staging_demands_a_running_image_that_is_selected_and_valid() {
    let cases = [
        (OtaState::PendingVerify, DeviceError::NotConfirmed),
        (OtaState::Undefined, DeviceError::NoRollback),
        (OtaState::New, DeviceError::NoRollback),
    ];
    for (state, refused) in cases {
        let mut world = World::new();
        write_entry(&mut world, 0, &OtadataEntry::new(1, state));
        assert_eq!(
            crate::metadata::denial(&mut world),
            refused.into(),
            "{state}"
        );
    }
    // A VALID of which one bit did not take.
    let mut world = World::new();
    write_entry(&mut world, 0, &OtadataEntry::new(1, OtaState::Unknown(6)));
    world.update_and_confirm();
    let mut world = World::new();
    write_entry(&mut world, 0, &OtadataEntry::new(1, OtaState::Undefined));
    world.config.policy.rollback = RollbackRule::Optional;
    assert!(matches!(
        world.update(),
        Ok(UpdateOutcome::RestartToBoot { .. })
    ));
}

#[test]
fn device_that_runs_another_slot_than_the_selected_one_stages_and_confirms_nothing() {
    let mut world = World::new();
    world.update_and_confirm();
    // The confirmed image rots; the bootloader falls back.
    world.flash.program_factory(OTA_1 + 0x1000, &[0; 4096]);
    assert_eq!(world.boot(), FIRST);
    let fallback = BootOutcome::Fallback {
        running: FIRST,
        selected: SECOND,
    };
    assert_eq!(world.on_boot(), Ok(fallback));
    world.offer(&app("3.0"), 3);
    let refused = DeviceError::RunningNotSelected {
        running: FIRST,
        selected: SECOND,
    };
    assert_eq!(world.update(), Err(refused.into()));
    assert_eq!(world.confirm(), Err(refused.into()));
}

#[test]
fn activated_image_that_runs_while_another_is_selected_is_no_trial() {
    for state in [State::Activating, State::Confirming] {
        for entry in [OtaState::Valid, OtaState::PendingVerify, OtaState::New] {
            let mut situation = Situation {
                state,
                target: SECOND,
                attempts: 0,
                running: SECOND,
                selection: Selection::Entry {
                    slot: FIRST,
                    state: entry,
                },
                target_entry: Some(OtaState::Aborted),
                rule: RollbackRule::Required,
            };
            assert_eq!(boot::judge(&situation), Verdict::Fallback, "{situation:?}");
            situation.selection = Selection::Default { slot: FIRST };
            assert_eq!(boot::judge(&situation), Verdict::Fallback, "{situation:?}");
        }
    }
}

#[test]
fn confirm_without_an_activation_is_misuse() {
    let mut world = World::new();
    assert_eq!(world.confirm(), Err(Misuse::NothingToConfirm.into()));
    world.update_and_confirm();
    assert_eq!(world.confirm(), Err(Misuse::NothingToConfirm.into()));
}

#[test]
fn image_that_the_journal_did_not_activate_is_not_confirmed() {
    let mut world = activated(Delivery::Ota0Valid);
    // Somebody wrote another, well signed image into the slot.
    let other = app("9.0").build();
    world.flash.program_factory(OTA_1, &other);
    assert_eq!(world.boot(), SECOND);
    let Err(AgentError::Device(DeviceError::WrongImage { .. })) = world.confirm() else {
        panic!("confirmed an image it did not activate");
    };
    assert_eq!(entry(&world, 1).unwrap().state, OtaState::PendingVerify);
}

#[test]
fn app_that_marked_itself_valid_is_confirmed_after_its_digest_was_checked() {
    let mut world = activated(Delivery::Ota0Valid);
    let manifest = world.manifest;
    world.boot();
    write_entry(&mut world, 1, &OtadataEntry::new(2, OtaState::Valid));
    assert_eq!(
        world.on_boot(),
        Ok(BootOutcome::AwaitingConfirmation { manifest })
    );
    world.confirm().unwrap();
    assert_eq!(world.update(), Ok(UpdateOutcome::UpToDate));
}

#[test]
fn stale_entry_that_names_the_target_is_erased_before_staging() {
    let mut world = World::new();
    write_entry(&mut world, 1, &OtadataEntry::new(2, OtaState::Aborted));
    world.maker.repository.body_budget = Some(5000);
    assert!(world.update().is_err());
    assert_eq!(entry(&world, 1), None);
    assert_eq!(
        entry(&world, 0),
        Some(OtadataEntry::new(1, OtaState::Valid))
    );
}

#[test]
fn device_with_one_slot_and_no_factory_has_nowhere_to_update_to() {
    let mut world = World::new();
    world.config.layout.slots.pop();
    assert_eq!(world.update(), Err(DeviceError::NoTargetSlot.into()));
}

#[test]
fn three_slots_take_turns() {
    let mut world = World::new();
    let third = espseal_agent::config::Region {
        offset: espseal_format::units::FlashOffset::new(OTA_0 + 0x20_000),
        size: 0x10_000,
    };
    world.config.layout.slots.push(third).unwrap();
    for (version, seq, slot) in [("2.0", 2, 1), ("3.0", 3, 2), ("4.0", 4, 0), ("5.0", 5, 1)] {
        world.offer(&app(version), seq);
        world.update_and_confirm();
        assert_eq!(world.chip.running, Slot::Ota(slot));
    }
    let entries = Otadata {
        entries: [entry(&world, 0), entry(&world, 1)],
    };
    assert_eq!(entries.selected().unwrap().1.seq, 5);
}

#[test]
fn reports_are_signed_and_their_counter_survives_a_lost_journal() {
    let mut world = World::new();
    world.update_and_confirm();
    let event = Event::Confirmed;
    world.with_agent(|agent| agent.report(event, 0)).unwrap();
    world
        .flash
        .program_factory(crate::support::JOURNAL, &[0; 0x2000]);
    world.maker.now.time += 60;
    world.maker.publish();
    let _ = world.update();
    world
        .with_agent(|agent| agent.report(Event::Refused, 0x0404))
        .unwrap();
    let reports: Vec<Report> = world
        .maker
        .repository
        .reports
        .iter()
        .map(|bytes| {
            let signed = Sign1::parse(bytes).unwrap();
            let keys = [world.device.report_key()];
            let role = espseal_format::cose::Role::Report;
            let product = crate::support::maker::PRODUCT;
            espseal_crypto::cose::verify_sign1(&signed, role, &product, &keys).unwrap();
            Report::parse(signed.payload).unwrap()
        })
        .collect();
    assert_eq!(reports[0].manifest, Some(world.manifest));
    assert_eq!(reports[0].release.version, 2);
    assert_eq!(
        (reports[1].event, reports[1].code),
        (Event::Refused, 0x0404)
    );
    assert!(reports[1].counter > reports[0].counter);
}

#[test]
fn polls_are_spread_around_the_interval() {
    let mut world = World::new();
    let delay = world.with_agent(|agent| agent.poll_delay());
    assert!((1800..5400).contains(&delay), "{delay}");
    world.config.policy.poll_interval = 0;
    assert_eq!(world.with_agent(|agent| agent.poll_delay()), 0);
}
