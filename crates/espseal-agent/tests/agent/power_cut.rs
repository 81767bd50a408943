//! Power goes away before, inside and after every flash operation of a complete update.
//!
//! Invariant: an approved image boots every time, the update ends confirmed, and it ends soon.

use espseal_agent::agent::{BootOutcome, UpdateOutcome};
use espseal_agent::error::{AgentError, DeviceError, HardwareError};
use espseal_agent::flash::FlashFaultKind;
use espseal_agent::platform::Slot;

use crate::support::flash::{Cut, Tear};
use crate::support::{Delivery, World, app};

const TEARS: [Tear; 6] = [
    Tear::Before,
    Tear::After(16),
    Tear::After(30),
    Tear::After(32),
    Tear::After(2000),
    Tear::Whole,
];

/// How the story ends, and after how many restarts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Confirmed(u32),
    Quarantined(u32),
}

/// Lets the device live until it has confirmed the new image; cuts come from `cuts`, one a life.
fn live(world: &mut World, mut cuts: Vec<Cut>) -> End {
    cuts.reverse();
    let old = world.old.clone();
    for restart in 0..40 {
        if world
            .flash
            .cut
            .is_none_or(|cut| cut.operation < world.flash.operations)
        {
            world.flash.cut = cuts.pop();
        }
        let slot = world.boot();
        let approved = world.slot_holds(slot, &old) || world.slot_holds(slot, &world.new);
        assert!(approved, "an image nobody approved runs in {slot}");
        match day(world) {
            Ok(true) => return End::Confirmed(restart),
            Ok(false) => {}
            Err(AgentError::Device(DeviceError::Quarantined { .. })) => {
                return End::Quarantined(restart);
            }
            Err(AgentError::Hardware(HardwareError::Flash {
                kind: FlashFaultKind::PowerLost,
                ..
            })) => {}
            Err(other) => panic!("{other}"),
        }
    }
    panic!("the update never ends");
}

/// One life between two restarts; true when the new image is confirmed and nothing is left to do.
fn day(world: &mut World) -> Result<bool, AgentError> {
    match world.on_boot()? {
        BootOutcome::AwaitingConfirmation { .. } => world.confirm()?,
        BootOutcome::Idle | BootOutcome::Torn { .. } | BootOutcome::Confirmed { .. } => {}
        // Power that goes away during the trial looks like a crash.
        BootOutcome::RolledBack { .. } => {}
        other => panic!("{other:?}"),
    }
    match world.update()? {
        UpdateOutcome::UpToDate => Ok(true),
        UpdateOutcome::RestartToBoot { .. } => Ok(false),
        other => panic!("{other:?}"),
    }
}

fn fresh(factory: Delivery) -> World {
    let mut small = app("2.0");
    small.chunks = 3;
    World::with(factory, &small)
}

/// Operations of an undisturbed update.
fn operations(factory: Delivery) -> (u32, u32) {
    let mut world = fresh(factory);
    let first = world.flash.operations;
    assert_eq!(live(&mut world, Vec::new()), End::Confirmed(1));
    (first, world.flash.operations)
}

fn survives(factory: Delivery, cuts: &[Cut]) -> End {
    let mut world = fresh(factory);
    let old = world.chip.running;
    let end = live(&mut world, cuts.to_vec());
    let (restarts, expected) = match end {
        End::Confirmed(restarts) if factory == Delivery::FactoryApp => (restarts, Slot::Ota(0)),
        End::Confirmed(restarts) => (restarts, Slot::Ota(1)),
        End::Quarantined(restarts) => (restarts, old),
    };
    let limit = 3 * (cuts.len() as u32 + 1);
    assert!(restarts <= limit, "{restarts} restarts after {cuts:?}");
    assert_eq!(world.boot(), expected, "{cuts:?}");
    assert_eq!(world.on_boot(), Ok(BootOutcome::Idle));
    end
}

#[test]
fn every_cut_of_an_update_ends_with_the_new_image_confirmed() {
    for factory in [
        Delivery::Ota0Valid,
        Delivery::Ota0Blank,
        Delivery::FactoryApp,
    ] {
        let (first, last) = operations(factory);
        assert!(
            last - first > 20,
            "the update takes {} operations",
            last - first
        );
        for operation in first..last {
            for tear in TEARS {
                let end = survives(factory, &[Cut { operation, tear }]);
                assert!(
                    matches!(end, End::Confirmed(_)),
                    "{end:?} at {operation} {tear:?}"
                );
            }
        }
    }
}

#[test]
fn two_cuts_in_one_update_quarantine_it_only_if_both_fall_into_the_trial() {
    let (first, last) = operations(Delivery::Ota0Valid);
    let mut quarantined = 0;
    let mut runs = 0;
    for operation in (first..last).step_by(2) {
        for later in (operation + 1..last + 10).step_by(3) {
            let cuts = [
                Cut {
                    operation,
                    tear: Tear::After(32),
                },
                Cut {
                    operation: later,
                    tear: Tear::After(1000),
                },
            ];
            runs += 1;
            quarantined += u32::from(matches!(
                survives(Delivery::Ota0Valid, &cuts),
                End::Quarantined(_)
            ));
        }
    }
    assert!(
        quarantined * 20 < runs,
        "{quarantined} of {runs} runs ended in quarantine"
    );
}
