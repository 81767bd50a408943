//! Power goes away before, inside and after every flash operation of a complete update.
//!
//! Invariant: an approved image boots every time, the update ends confirmed, and it ends soon.

use espseal_agent::agent::{BootOutcome, UpdateOutcome};
use espseal_agent::error::{AgentError, HardwareError};
use espseal_agent::flash::FlashFaultKind;
use espseal_agent::platform::Slot;

use crate::support::flash::{Cut, Tear};
use crate::support::{Factory, World, app};

const TEARS: [Tear; 6] = [
    Tear::Before,
    Tear::After(16),
    Tear::After(30),
    Tear::After(32),
    Tear::After(2000),
    Tear::Whole,
];

/// Lets the device live until it has confirmed the new image; cuts come from `cuts`, one a life.
fn live(world: &mut World, mut cuts: Vec<Cut>) -> u32 {
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
            Ok(true) => return restart,
            Ok(false) => {}
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
        other => panic!("{other:?}"),
    }
    match world.update()? {
        UpdateOutcome::UpToDate => Ok(true),
        UpdateOutcome::RestartToBoot { .. } => Ok(false),
        other => panic!("{other:?}"),
    }
}

fn fresh(factory: Factory) -> World {
    let mut small = app("2.0");
    small.chunks = 3;
    World::with(factory, &small)
}

/// Operations of an undisturbed update.
fn operations(factory: Factory) -> (u32, u32) {
    let mut world = fresh(factory);
    let first = world.flash.operations;
    assert_eq!(live(&mut world, Vec::new()), 1);
    (first, world.flash.operations)
}

fn survives(factory: Factory, cuts: &[Cut]) {
    let mut world = fresh(factory);
    let restarts = live(&mut world, cuts.to_vec());
    let limit = 3 * (cuts.len() as u32 + 1);
    assert!(restarts <= limit, "{restarts} restarts after {cuts:?}");
    let target = if factory == Factory::FactoryApp {
        Slot::Ota(0)
    } else {
        Slot::Ota(1)
    };
    assert!(world.slot_holds(target, &world.new), "{cuts:?}");
    assert_eq!(world.boot(), target);
    assert_eq!(world.on_boot(), Ok(BootOutcome::Idle));
}

#[test]
fn every_cut_of_an_update_ends_with_the_new_image_confirmed() {
    for factory in [Factory::Ota0Valid, Factory::Ota0Blank, Factory::FactoryApp] {
        let (first, last) = operations(factory);
        assert!(
            last - first > 20,
            "the update takes {} operations",
            last - first
        );
        for operation in first..last {
            for tear in TEARS {
                survives(factory, &[Cut { operation, tear }]);
            }
        }
    }
}

#[test]
fn two_cuts_in_one_update_end_with_the_new_image_confirmed() {
    let (first, last) = operations(Factory::Ota0Valid);
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
            survives(Factory::Ota0Valid, &cuts);
        }
    }
}
