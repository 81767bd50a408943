//! The agent, unchanged, on virtual devices: updates, rollbacks, and power cuts everywhere.

use espseal_agent::agent::{BootOutcome, UpdateOutcome};
use espseal_agent::error::AgentError;
use espseal_agent::observer::Silent;
use espseal_crypto::device_key::SoftwareDeviceKey;
use espseal_format::chip::ChipId;
use espseal_twin::boot::AppSlot;
use espseal_twin::device::VirtualDevice;
use espseal_twin::folder::FolderTransport;
use espseal_twin::lifecycle::{End, Firmware, Journey, Lifecycle};
use espseal_twin::nor::{NorFlash, WriteProtection};
use espseal_twin::power::{Moment, PowerCut, Tear};
use espseal_twin::recording::Recording;

use crate::maker::{HostRng, config, publish};
use crate::support::*;

const VALID: u32 = 2;

/// A locked device that runs its first image, and a release for it in a folder.
struct Scene {
    chip: ChipId,
    key: SoftwareDeviceKey,
    folder: tempfile::TempDir,
    root: Vec<u8>,
    device: VirtualDevice,
}

impl Scene {
    fn new(chip: ChipId) -> Self {
        let apps: &[(&str, &[u8])] = &[("ota_0", &app(chip, 1, 0))];
        let device = device(chip, TWO_SLOTS, apps, Locked::Release, settings());
        let key = SoftwareDeviceKey::generate(&mut HostRng);
        let folder = tempfile::tempdir().unwrap();
        let root = publish(folder.path(), chip, &signer().sign(&app(chip, 2, 0)), &key);
        Self {
            chip,
            key,
            folder,
            root,
            device,
        }
    }

    /// A device in the state of the first one, to break it anew.
    fn copy(&self) -> VirtualDevice {
        let flash = NorFlash::from_bytes(self.device.flash().contents().to_vec()).unwrap();
        VirtualDevice::new(flash, self.device.efuses().clone(), *self.device.settings())
    }

    fn live(&self, device: &mut VirtualDevice, firmware: Firmware, boots: usize) -> Journey {
        let key = SoftwareDeviceKey::from_bytes(&self.key.expose_secret()).unwrap();
        let transport = FolderTransport::new(self.folder.path());
        let config = config(self.chip, &self.root);
        let config = &config;
        Lifecycle {
            device,
            config,
            transport,
            key,
            observer: Silent,
            firmware,
        }
        .run(boots)
        .unwrap()
    }
}

#[test]
fn an_update_is_staged_booted_confirmed_and_settles() {
    for chip in CHIPS {
        let scene = Scene::new(chip);
        let mut device = scene.copy();
        let journey = scene.live(&mut device, Firmware::Confirms, 9);
        assert_eq!(
            journey.end,
            End::Settled(UpdateOutcome::UpToDate),
            "{:?}",
            journey.outcomes
        );
        assert_eq!(journey.boots.len(), 2);
        assert_eq!(slot(&journey.boots[0]), AppSlot::Ota(0));
        assert_eq!(slot(&journey.boots[1]), AppSlot::Ota(1));
        assert!(matches!(
            journey.outcomes[1],
            BootOutcome::AwaitingConfirmation { .. }
        ));
        assert_eq!(state(otadata_entry(&mut device, 1)), VALID);
        assert_eq!(slot(&device.power_on()), AppSlot::Ota(1));
    }
}

#[test]
fn firmware_that_never_confirms_is_rolled_back_and_in_the_end_left_alone() {
    let scene = Scene::new(ChipId::Esp32C3);
    let mut device = scene.copy();
    let journey = scene.live(&mut device, Firmware::NeverConfirms, 12);
    assert_ne!(journey.end, End::TooManyBoots, "{:?}", journey.outcomes);
    let failures: Vec<u8> = journey
        .outcomes
        .iter()
        .filter_map(|outcome| match outcome {
            BootOutcome::RolledBack { failures, .. } => Some(*failures),
            _ => None,
        })
        .collect();
    assert_eq!(failures, [1, 2]);
    assert_eq!(slot(&device.power_on()), AppSlot::Ota(0));
}

#[test]
fn a_chip_that_stays_write_protected_is_reported_and_keeps_running() {
    let scene = Scene::new(ChipId::Esp32);
    let mut device = scene.copy();
    device.power_on();
    device
        .flash_mut()
        .set_write_protection(WriteProtection::Stuck);
    let journey = scene.live(&mut device, Firmware::Confirms, 3);
    let End::Refused(AgentError::Hardware(error)) = journey.end else {
        panic!("{:?}", journey.end);
    };
    assert!(error.to_string().contains("0x6001"), "{error}");
    assert_eq!(slot(&device.power_on()), AppSlot::Ota(0));
}

#[test]
fn no_plaintext_crosses_the_network() {
    let scene = Scene::new(ChipId::Esp32C3);
    let mut device = scene.copy();
    let key = SoftwareDeviceKey::from_bytes(&scene.key.expose_secret()).unwrap();
    let config = config(scene.chip, &scene.root);
    let mut lifecycle = Lifecycle {
        device: &mut device,
        config: &config,
        transport: Recording::new(FolderTransport::new(scene.folder.path())),
        key,
        observer: Silent,
        firmware: Firmware::Confirms,
    };
    lifecycle.run(3).unwrap();
    let crossed = lifecycle.transport.bytes();
    assert!(crossed.len() > 12_000);
    assert!(
        lifecycle
            .transport
            .exchanges()
            .iter()
            .any(|one| one.path.starts_with("bodies/"))
    );
    for secret in [&[2; 16][..], &scene.key.expose_secret()[..32]] {
        assert!(!crossed.windows(secret.len()).any(|window| window == secret));
    }
}

/// Wherever power goes, an approved image runs at once, and the update is complete in the end.
#[test]
fn power_may_go_before_inside_or_after_any_operation() {
    for chip in CHIPS {
        let mut scene = Scene::new(chip);
        // Past the first boot's own otadata entry, which another test cuts.
        scene.device.power_on();
        let mut device = scene.copy();
        scene.live(&mut device, Firmware::Confirms, 9);
        let operations = device.power().operations();
        assert!(operations > 20, "{operations}");
        let tears = [
            Tear::AfterBytes(0),
            Tear::AfterBytes(17),
            Tear::AfterBytes(200),
            Tear::Scattered(3),
        ];
        let moments = tears
            .map(Moment::Inside)
            .into_iter()
            .chain([Moment::Before, Moment::After]);
        for moment in moments {
            for operation in 0..operations {
                let mut device = scene.copy();
                device.power().plan([PowerCut { operation, moment }]);
                let journey = scene.live(&mut device, Firmware::Confirms, 9);
                assert!(!device.power().has_cuts_left());
                let place = format!("{chip} {operation} of {operations} {moment:?}");
                assert_ne!(journey.end, End::Dead, "{place}");
                assert_eq!(
                    journey.end,
                    End::Settled(UpdateOutcome::UpToDate),
                    "{place}"
                );
                assert_eq!(slot(&device.power_on()), AppSlot::Ota(1), "{place}");
            }
        }
    }
}

#[test]
fn power_may_go_twice_in_one_update() {
    let mut scene = Scene::new(ChipId::Esp32C3);
    scene.device.power_on();
    let mut device = scene.copy();
    scene.live(&mut device, Firmware::Confirms, 9);
    let operations = device.power().operations();
    let moment = Moment::Inside(Tear::AfterBytes(100));
    for first in (0..operations).step_by(3) {
        for second in (0..operations).step_by(5) {
            let mut device = scene.copy();
            let cut = |operation| PowerCut { operation, moment };
            device.power().plan([cut(first), cut(second)]);
            let journey = scene.live(&mut device, Firmware::Confirms, 12);
            assert_eq!(
                journey.end,
                End::Settled(UpdateOutcome::UpToDate),
                "{first} {second}"
            );
            assert_eq!(
                slot(&device.power_on()),
                AppSlot::Ota(1),
                "{first} {second}"
            );
        }
    }
}
