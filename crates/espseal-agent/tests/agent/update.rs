//! The walk of one release, undisturbed.

use espseal_agent::agent::{BootOutcome, UpdateOutcome};
use espseal_agent::error::{AgentError, DeviceError};
use espseal_agent::observer::Event;
use espseal_agent::platform::Slot;

use crate::support::{Delivery, World, app};

#[test]
fn an_update_is_staged_activated_booted_and_confirmed() {
    for factory in [
        Delivery::Ota0Valid,
        Delivery::Ota0Blank,
        Delivery::FactoryApp,
    ] {
        let mut world = World::with(factory, &app("2.0"));
        let slot = if factory == Delivery::FactoryApp {
            Slot::Ota(0)
        } else {
            Slot::Ota(1)
        };
        assert_eq!(world.on_boot(), Ok(BootOutcome::Idle));
        assert_eq!(
            world.update(),
            Ok(UpdateOutcome::RestartToBoot { slot }),
            "{factory:?}"
        );
        assert!(world.slot_holds(slot, &world.new));
        assert_eq!(world.boot(), slot);
        let manifest = world.manifest;
        assert_eq!(
            world.on_boot(),
            Ok(BootOutcome::AwaitingConfirmation { manifest })
        );
        assert_eq!(
            world.update(),
            Err(AgentError::Device(DeviceError::NotConfirmed))
        );
        world.confirm().unwrap();
        assert_eq!(world.boot(), slot);
        assert_eq!(world.on_boot(), Ok(BootOutcome::Idle));
        assert_eq!(world.update(), Ok(UpdateOutcome::UpToDate));
    }
}

#[test]
fn updates_alternate_between_the_slots() {
    let mut world = World::new();
    for (version, seq) in [("2.0", 2), ("3.0", 3), ("4.0", 4)] {
        world.offer(&app(version), seq);
        world.update_and_confirm();
        let slot = if seq % 2 == 0 {
            Slot::Ota(1)
        } else {
            Slot::Ota(0)
        };
        assert_eq!(world.boot(), slot);
        assert!(world.slot_holds(slot, &world.new));
    }

    assert_eq!(
        world
            .diary
            .count(|event| matches!(event, Event::Confirmed { .. })),
        3
    );
}
