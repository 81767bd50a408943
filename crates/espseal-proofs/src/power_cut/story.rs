//! The stories: what the maker publishes, how the new images behave, and where it has to end.

use std::sync::Arc;

use espseal_agent::config::{Config, RollbackRule};
use espseal_crypto::device_key::SoftwareDeviceKey;
use espseal_format::units::{Digest, SecurityVersion};
use espseal_twin::boot::{BootloaderSettings, Rollback};
use espseal_twin::efuse::Efuses;

use crate::direct;
use crate::geometry::{Geometry, Locks};
use crate::image::App;
use crate::maker::{Files, Maker};
use crate::rng::TestRng;

/// What happens in a story.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Plot {
    /// Stage, verify, activate, boot, confirm.
    Update,
    /// The new image crashes in its first trial, is rolled back, and is confirmed the second time.
    Rollback,
    /// Three roots have to be climbed first.
    RootRotation,
    /// An image that boots but contradicts its manifest is refused into quarantine; then a good one.
    Refused,
    /// An image that always crashes is rolled back into quarantine; then a good one.
    Crasher,
    /// A good release; a second one, where the first image was, that always crashes; a good third.
    Relapse,
    /// As an update, by a direct image.
    Direct,
    /// The firmware demands a rollback that the bootloader does not have.
    Unguarded,
}

impl Plot {
    pub(crate) const ALL: [Self; 8] = [
        Self::Update,
        Self::Rollback,
        Self::RootRotation,
        Self::Refused,
        Self::Crasher,
        Self::Relapse,
        Self::Direct,
        Self::Unguarded,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Update => "update",
            Self::Rollback => "rollback",
            Self::RootRotation => "root rotation",
            Self::Refused => "refused, then good",
            Self::Crasher => "crasher, then good",
            Self::Relapse => "good, crasher, good",
            Self::Direct => "direct update",
            Self::Unguarded => "no rollback, refused",
        }
    }

    /// Whether the story can be told on a device of this kind.
    pub(crate) fn suits(self, geometry: &Geometry) -> bool {
        let guarded = geometry.rollback == Rollback::Enabled;
        match self {
            // Without rollback an image that crashes stays.
            Self::Rollback | Self::Crasher | Self::Relapse => guarded,
            Self::Direct => guarded && geometry.locks == Locks::Release,
            Self::Unguarded => !guarded && geometry.rule == RollbackRule::Required,
            _ => guarded || geometry.rule == RollbackRule::Optional,
        }
    }

    /// How many trials of the crashing release crash.
    const fn crashes(self) -> u8 {
        match self {
            Self::Rollback => 1,
            Self::Crasher | Self::Relapse => u8::MAX,
            _ => 0,
        }
    }
}

/// Everything a device and its maker need to live through a plot, made once.
pub(crate) struct Story {
    pub(crate) plot: Plot,
    pub(crate) geometry: Geometry,
    /// The flash as the factory wrote it.
    pub(crate) base: Vec<u8>,
    pub(crate) efuses: Efuses,
    pub(crate) settings: BootloaderSettings,
    pub(crate) config: Config<'static>,
    pub(crate) key: [u8; 64],
    /// What the repository holds in each phase.
    pub(crate) phases: Vec<Arc<Files>>,
    /// Images that may run: the first one, and those of good releases.
    pub(crate) approved: Vec<Vec<u8>>,
    /// The image that has to run in the end.
    pub(crate) last: usize,
    /// The release whose trials crash, and how many of them do.
    pub(crate) crashing: (Digest, u8),
}

impl Story {
    /// Makes the artefacts; `length` is that of the new image before padding and signature.
    pub(crate) fn new(geometry: Geometry, plot: Plot, length: usize) -> Self {
        let app = |version, length| App {
            chip: geometry.chip,
            version,
            secure_version: 1,
            length,
            signer: geometry.signer(),
        };
        let old = app("1.0", 3000).build();
        let device = SoftwareDeviceKey::generate(&mut TestRng::new(2));
        let mut maker = Maker::new(geometry.chip).with_one_root_key();
        maker.enrol(&[&device]);
        let root: &'static [u8] = Vec::leak(maker.signed_root());
        let (new, newer) = (app("2.0", length), app("3.0", length + 100));
        if plot == Plot::RootRotation {
            climb(&mut maker);
        }
        let first = if plot == Plot::Refused {
            // Properly signed and bootable, but not what the manifest says.
            let lie = |manifest: &mut espseal_format::metadata::manifest::Manifest| {
                manifest.secure_version = SecurityVersion::new(2);
            };
            maker.release_image(&new.build(), &new, 2, lie)
        } else {
            maker.release(&new, 2)
        };
        if plot == Plot::Direct {
            let id = device.device_id();
            direct::publish(&mut maker, &geometry, id, first.manifest, &new.build());
        }
        maker.publish();
        let mut phases = vec![Arc::new(maker.files.clone())];
        let mut approved = vec![old.clone()];
        if plot != Plot::Refused {
            approved.push(new.build());
        }
        let mut crashing = first.manifest;
        let mut go_on = |app: &App, seq| {
            let released = maker.release(app, seq);
            maker.publish();
            phases.push(Arc::new(maker.files.clone()));
            approved.push(app.build());
            released.manifest
        };
        if matches!(plot, Plot::Refused | Plot::Crasher | Plot::Relapse) {
            let second = go_on(&newer, 3);
            if plot == Plot::Relapse {
                crashing = second;
                go_on(&app("4.0", length), 4);
            }
        }
        let made = geometry.device(&old);
        Self {
            plot,
            geometry,
            base: made.flash().contents().to_vec(),
            efuses: made.efuses().clone(),
            settings: *made.settings(),
            config: geometry.config(root),
            key: *device.expose_secret(),
            phases,
            last: approved.len() - 1,
            approved,
            crashing: (crashing, plot.crashes()),
        }
    }

    pub(crate) fn name(&self) -> String {
        format!("{}: {}", self.geometry.name(), self.plot.name())
    }

    /// Whether quarantine in this phase needs no trial that was cut or crashed.
    pub(crate) fn condemned(&self, phase: u8) -> bool {
        self.plot == Plot::Refused && phase == 0
    }
}

/// Publishes roots 2 and 3; the last one takes both role keys away.
fn climb(maker: &mut Maker) {
    maker.root.version = 2;
    maker.publish_root();
    maker.root.version = 3;
    for (role, key) in [
        (&mut maker.root.releases, &maker.keys.spare[0]),
        (&mut maker.root.now, &maker.keys.spare[1]),
    ] {
        *role = crate::maker::role(1, 2, &[key]);
    }
    maker.publish_root();
    maker.releases.position.generation = 2;
    maker.now.position.generation = 2;
    let [releases, now] = &mut maker.keys.spare;
    std::mem::swap(&mut maker.keys.releases, releases);
    std::mem::swap(&mut maker.keys.now, now);
}
