//! A whole small world: a maker, a repository, a device with flash, eFuses and a bootloader.

pub(crate) mod bootloader;
pub(crate) mod flash;
pub(crate) mod image;
pub(crate) mod maker;
pub(crate) mod repository;
pub(crate) mod rng;
pub(crate) mod rsa;

use espseal_agent::agent::{Agent, BootOutcome, Parts, UpdateOutcome};
use espseal_agent::config::{Config, Floors, Layout, Policy, Region};
use espseal_agent::error::AgentError;
use espseal_agent::observer::{Event, Observer};
use espseal_agent::platform::{DIGEST_SLOTS, DirectPlatform, Platform, Slot};
use espseal_agent::workspace::Workspace;
use espseal_crypto::device_key::SoftwareDeviceKey;
use espseal_format::metadata::direct::FlashScheme;
use espseal_format::otadata::{OtaState, OtadataEntry};
use espseal_format::units::{Digest, FlashOffset, SecurityVersion};

use bootloader::Rollback;
use flash::RamFlash;
use image::App;
use maker::{CHIP, CLASS, GROUP, Maker, PRODUCT, TODAY, VENDOR, channel};
use rng::TestRng;

pub(crate) const OTADATA: u32 = 0x9000;
pub(crate) const JOURNAL: u32 = 0xB000;
pub(crate) const SLOT_SIZE: u32 = 0x10_000;
pub(crate) const OTA_0: u32 = 0x10_000;
pub(crate) const OTA_1: u32 = OTA_0 + SLOT_SIZE;

/// How the device left the factory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// `ota_0` runs, its otadata entry is VALID.
    Ota0Valid,
    /// `ota_0` runs because otadata is blank and there is no factory app.
    Ota0Blank,
    /// The factory app runs, otadata is blank.
    FactoryApp,
}

/// eFuses, clock and running slot.
#[derive(Clone)]
pub(crate) struct Chip {
    pub(crate) running: Slot,
    pub(crate) digests: [Option<Digest>; DIGEST_SLOTS],
    pub(crate) secure_version: u32,
    pub(crate) clock: Option<u64>,
    pub(crate) scheme: Option<FlashScheme>,
}

impl Platform for Chip {
    fn running_slot(&self) -> Slot {
        self.running
    }

    fn secure_boot_digests(&self) -> [Option<Digest>; DIGEST_SLOTS] {
        self.digests
    }

    fn secure_version(&self) -> SecurityVersion {
        SecurityVersion::new(self.secure_version)
    }

    fn trusted_time(&mut self) -> Option<u64> {
        self.clock
    }

    fn random(&mut self, buffer: &mut [u8]) {
        buffer.fill(0x77);
    }
}

impl DirectPlatform for Chip {
    fn flash_scheme(&self) -> Option<FlashScheme> {
        self.scheme
    }
}

/// Keeps every event.
#[derive(Clone, Default)]
pub(crate) struct Diary(pub(crate) Vec<Event>);

impl Observer for Diary {
    fn event(&mut self, event: &Event) {
        self.0.push(*event);
    }
}

impl Diary {
    pub(crate) fn count(&self, wanted: impl Fn(&Event) -> bool) -> usize {
        self.0.iter().filter(|event| wanted(event)).count()
    }
}

pub(crate) struct World {
    pub(crate) maker: Maker,
    pub(crate) device: SoftwareDeviceKey,
    pub(crate) flash: RamFlash,
    pub(crate) chip: Chip,
    pub(crate) config: Config<'static>,
    pub(crate) rollback: Rollback,
    pub(crate) diary: Diary,
    /// The image the device left the factory with.
    pub(crate) old: Vec<u8>,
    /// The image on offer.
    pub(crate) new: Vec<u8>,
    /// SHA-256 of the manifest on offer.
    pub(crate) manifest: Digest,
}

pub(crate) type TestAgent<'w> = Agent<
    'w,
    &'w mut RamFlash,
    &'w mut repository::Repository,
    &'w mut SoftwareDeviceKey,
    &'w mut Chip,
    &'w mut Diary,
>;

pub(crate) fn app(version: &'static str) -> App {
    App {
        project: "lamp",
        version,
        secure_version: 1,
        chip_id: CHIP.to_u16(),
        load_addr: 0x4080_0000,
        chunks: 5,
        signer: Some(rsa::OWN),
    }
}

impl World {
    /// A device that runs 1.0, and a repository that offers 2.0 to it at seq 2.
    pub(crate) fn new() -> Self {
        Self::with(Delivery::Ota0Valid, &app("2.0"))
    }

    pub(crate) fn with(factory: Delivery, offered: &App) -> Self {
        let mut world = Self::without_offer(factory);
        world.offer(offered, 2);
        world
    }

    pub(crate) fn without_offer(factory: Delivery) -> Self {
        let mut rng = TestRng::new(2);
        let device = SoftwareDeviceKey::generate(&mut rng);
        let mut maker = Maker::new();
        maker.publish_root();
        maker.enrol(&device);
        maker.publish();
        let built_in_root: &'static [u8] = Vec::leak(maker.signed_root());
        let config = Config {
            product: PRODUCT,
            vendor: VENDOR,
            class: CLASS,
            chip: CHIP,
            channel: channel(),
            group: GROUP,
            built_in_root,
            floors: Floors {
                time: TODAY - 30 * maker::DAY,
                ..Floors::default()
            },
            layout: layout(factory),
            policy: Policy::default(),
        };
        let chip = Chip {
            running: Slot::Ota(0),
            digests: [Some(rsa::OWN.digest()), None, None],
            secure_version: 0,
            clock: None,
            scheme: Some(FlashScheme::Xts128),
        };
        let old = app("1.0").build();
        let mut flash = RamFlash::new(0x40_000, true);
        let at = match factory {
            Delivery::FactoryApp => OTA_1 + SLOT_SIZE,
            _ => OTA_0,
        };
        flash.program_factory(at, &old);
        if factory == Delivery::Ota0Valid {
            flash.program_factory(OTADATA, &OtadataEntry::new(1, OtaState::Valid).encode());
        }
        let mut world = Self {
            maker,
            device,
            flash,
            chip,
            config,
            rollback: Rollback::Enabled,
            diary: Diary::default(),
            old,
            new: Vec::new(),
            manifest: Digest([0; 32]),
        };
        world.boot();
        world
    }

    /// Releases an app and offers it at `seq`.
    pub(crate) fn offer(&mut self, offered: &App, seq: u64) {
        self.new = offered.build();
        self.manifest = self.maker.release(&self.new, offered, seq, |_| {});
        self.maker.publish();
    }

    /// Runs `act` with an agent on this device.
    pub(crate) fn with_agent<R>(&mut self, act: impl FnOnce(&mut TestAgent<'_>) -> R) -> R {
        let mut workspace = Box::new(Workspace::new());
        let parts = Parts {
            flash: &mut self.flash,
            transport: &mut self.maker.repository,
            key: &mut self.device,
            platform: &mut self.chip,
            observer: &mut self.diary,
        };
        let mut agent = Agent::new(parts, &self.config, &mut workspace).unwrap();
        act(&mut agent)
    }

    pub(crate) fn update(&mut self) -> Result<UpdateOutcome, AgentError> {
        self.with_agent(|agent| agent.update())
    }

    pub(crate) fn on_boot(&mut self) -> Result<BootOutcome, AgentError> {
        self.with_agent(|agent| agent.on_boot())
    }

    pub(crate) fn confirm(&mut self) -> Result<(), AgentError> {
        self.with_agent(|agent| agent.confirm())
    }

    /// Restarts; whatever boots must be an approved image.
    pub(crate) fn boot(&mut self) -> Slot {
        loop {
            self.flash.power_up();
            let burnt = self.chip.digests[0];
            match bootloader::boot(&mut self.flash, &self.config.layout, self.rollback, burnt) {
                Ok(slot) => {
                    let slot = slot.expect("no image boots");
                    self.chip.running = slot;
                    return slot;
                }
                // Power went away in the bootloader.
                Err(_) => continue,
            }
        }
    }

    /// The image in a slot, as many bytes as `like` has.
    pub(crate) fn slot_holds(&self, slot: Slot, like: &[u8]) -> bool {
        let start = self.config.layout.region(slot).unwrap().offset.get();
        self.flash.peek(start..start + like.len() as u32) == like
    }

    /// Whether anything outside the journal was erased.
    pub(crate) fn touched(&self) -> bool {
        self.flash
            .erased
            .iter()
            .any(|at| !(JOURNAL..JOURNAL + 0x4000).contains(at))
    }

    /// Updates, restarts and confirms.
    pub(crate) fn update_and_confirm(&mut self) {
        let outcome = self.update().unwrap();
        assert!(
            matches!(outcome, UpdateOutcome::RestartToBoot { .. }),
            "{outcome:?}"
        );
        self.boot();
        let outcome = self.on_boot().unwrap();
        assert_eq!(
            outcome,
            BootOutcome::AwaitingConfirmation {
                manifest: self.manifest
            }
        );
        self.confirm().unwrap();
    }
}

fn layout(factory: Delivery) -> Layout {
    let region = |offset| Region {
        offset: FlashOffset::new(offset),
        size: SLOT_SIZE,
    };
    Layout {
        factory: (factory == Delivery::FactoryApp).then(|| region(OTA_1 + SLOT_SIZE)),
        slots: [region(OTA_0), region(OTA_1)].into_iter().collect(),
        otadata: FlashOffset::new(OTADATA),
        journal: FlashOffset::new(JOURNAL),
    }
}
