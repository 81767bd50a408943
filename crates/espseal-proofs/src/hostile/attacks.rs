//! What an attack is, and how it is judged.

use std::collections::BTreeSet;
use std::sync::Arc;

use espseal_agent::agent::UpdateOutcome;
use espseal_agent::config::{Config, RollbackRule};
use espseal_agent::error::{AgentError, BodyError, Document, MetadataError, ServerError};
use espseal_crypto::device_key::SoftwareDeviceKey;
use espseal_format::chip::ChipId;
use espseal_format::repository::{OwnedResource, Resource};
use espseal_format::units::Position;
use espseal_twin::boot::{BootloaderSettings, Rollback};
use espseal_twin::efuse::Efuses;

use super::bed::{Bed, Outcome};
use crate::geometry::{Geometry, Locks, TWO_SLOTS};
use crate::image::App;
use crate::maker::{Files, Maker};
use crate::repository::Repository;
use crate::rng::TestRng;

/// A device that has seen the maker's newest metadata but not installed the release, and the honest
/// repository.
pub(crate) struct Scene {
    pub(crate) flash: Vec<u8>,
    pub(crate) efuses: Efuses,
    pub(crate) settings: BootloaderSettings,
    pub(crate) config: Config<'static>,
    pub(crate) key: [u8; 64],
    /// What the maker published at first.
    pub(crate) older: Arc<Files>,
    /// What the maker publishes now.
    pub(crate) honest: Arc<Files>,
    /// Paths that an honest update asks for.
    pub(crate) asked: BTreeSet<String>,
    /// How the device takes releases.
    pub(crate) way: Way,
}

/// How a device takes releases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Sealed for everybody.
    Sealed,
    /// As ciphertext for its own flash.
    Direct,
}

/// Judges what a poll led to.
pub(crate) type Judge = Box<dyn Fn(&Outcome) -> bool + Send + Sync>;

/// One hostile repository.
pub(crate) struct Attack {
    pub(crate) name: String,
    /// Repositories to poll one after the other; only the last one is judged.
    pub(crate) before: Vec<Arc<Files>>,
    pub(crate) files: Arc<Files>,
    /// What the repository holds from the second `now` on.
    pub(crate) later: Option<Arc<Files>>,
    pub(crate) endless: Option<String>,
    pub(crate) clock: Option<u64>,
    pub(crate) judge: Judge,
    pub(crate) may_erase: MayErase,
    /// The repository that has to succeed afterwards.
    pub(crate) honest: Option<Arc<Files>>,
}

/// What may be erased before the attack is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MayErase {
    /// Nothing at all.
    Nothing,
    /// Sectors of the journal.
    Journal,
    /// The target slot too; nothing bootable may be left in it.
    Slot,
    /// The target slot too, and the image in it may be complete: only the offer is at fault.
    Image,
}

impl Scene {
    pub(crate) fn new() -> Self {
        let geometry = Self::geometry();
        let device = device_key(2);
        let mut maker = Self::maker();
        let built_in: &'static [u8] = Vec::leak(maker.signed_root());
        maker.release(&app("1.5"), 2);
        maker.publish();
        let older = Arc::new(maker.files.clone());
        maker.root.version = 2;
        maker.publish_root();
        maker.release(&app("2.0"), 3);
        maker.publish();
        let honest = Arc::new(maker.files.clone());
        let mut config = geometry.config(built_in);
        config.floors.installed = Position {
            generation: 1,
            version: 2,
        };
        let mut made = geometry.device(&app("1.0").build());
        made.power_on();
        let mut scene = Self {
            flash: made.flash().contents().to_vec(),
            efuses: made.efuses().clone(),
            settings: *made.settings(),
            config,
            key: *device.expose_secret(),
            older,
            asked: BTreeSet::new(),
            honest: Arc::clone(&honest),
            way: Way::Sealed,
        };
        let mut bed = Bed::new(&scene);
        let asked = bed.poll_files(&honest).asked;
        scene.asked = asked;
        scene
    }

    /// The kind of device.
    pub(crate) const fn geometry() -> Geometry {
        Geometry {
            chip: ChipId::Esp32C3,
            table: &TWO_SLOTS,
            locks: Locks::Release,
            rollback: Rollback::Enabled,
            rule: RollbackRule::Required,
        }
    }

    /// As [`new`](Self::new), for a device that takes direct images alone.
    pub(crate) fn direct() -> Self {
        let mut scene = Self::new();
        scene.way = Way::Direct;
        scene.honest = super::direct::repository(|_| {});
        let mut bed = Bed::new(&scene);
        let asked = bed.poll_files(&scene.honest).asked;
        scene.asked = asked;
        scene
    }

    /// The maker before the first release, with this device and another one enrolled.
    pub(crate) fn maker() -> Maker {
        let mut maker = Maker::new(ChipId::Esp32C3);
        maker.enrol(&[&device_key(2), &device_key(3)]);
        maker
    }

    /// The maker of the honest repository, to go on from there.
    pub(crate) fn maker_now() -> Maker {
        let mut maker = Self::maker();
        maker.release(&app("1.5"), 2);
        maker.publish();
        maker.root.version = 2;
        maker.publish_root();
        maker.release(&app("2.0"), 3);
        maker.publish();
        maker
    }

    /// The honest repository with one file replaced.
    pub(crate) fn with(&self, path: &str, bytes: Vec<u8>) -> Arc<Files> {
        let mut files = (*self.honest).clone();
        files.insert(path.into(), bytes);
        Arc::new(files)
    }

    /// The honest repository without the body: a poll of it raises the floors and installs nothing.
    pub(crate) fn without_body(&self) -> Arc<Files> {
        let mut files = (*self.honest).clone();
        files.retain(|path, _| !path.ends_with(".bin"));
        Arc::new(files)
    }
}

pub(crate) fn device_key(seed: u64) -> SoftwareDeviceKey {
    SoftwareDeviceKey::generate(&mut TestRng::new(seed))
}

pub(crate) fn app(version: &'static str) -> App {
    App {
        chip: ChipId::Esp32C3,
        version,
        secure_version: 1,
        length: 7000,
        signer: Some(crate::rsa::OWN),
    }
}

impl Attack {
    /// An attack that must lead to an error.
    pub(crate) fn new(
        name: impl Into<String>,
        files: Arc<Files>,
        may_erase: MayErase,
        judge: impl Fn(&Outcome) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self {
            name: name.into(),
            before: Vec::new(),
            files,
            later: None,
            endless: None,
            clock: None,
            judge: Box::new(judge),
            may_erase,
            honest: None,
        }
    }

    /// Polls; gives the bytes read, and what is wrong.
    pub(crate) fn launch(&self, scene: &Scene, bed: &mut Bed<'_>) -> (usize, Result<(), String>) {
        bed.reset();
        bed.clock = None;
        for files in &self.before {
            bed.poll_files(files);
        }
        bed.clock = self.clock;
        let mut repository = Repository::new(&self.files);
        repository.later.clone_from(&self.later);
        repository.endless.clone_from(&self.endless);
        let poll = bed.poll(repository);
        let verdict = self.judge_poll(scene, bed, &poll.outcome, &poll.touched);
        (poll.read, verdict)
    }

    fn judge_poll(
        &self,
        scene: &Scene,
        bed: &mut Bed<'_>,
        outcome: &Outcome,
        touched: &BTreeSet<u32>,
    ) -> Result<(), String> {
        if !(self.judge)(outcome) {
            return Err(format!("led to {outcome:?}"));
        }
        let layout = &scene.config.layout;
        let journal = layout.journal.get()..layout.journal.get() + 0x4000;
        let slot =
            layout.slots[1].offset.get()..layout.slots[1].offset.get() + layout.slots[1].size;
        let activated = matches!(outcome, Ok(UpdateOutcome::RestartToBoot { .. }));
        let allowed = |at: &u32| match self.may_erase {
            MayErase::Nothing => false,
            MayErase::Journal => journal.contains(at),
            MayErase::Slot | MayErase::Image => journal.contains(at) || slot.contains(at),
        };
        if let (false, Some(at)) = (activated, touched.iter().find(|at| !allowed(at))) {
            return Err(format!("{at:#x} was erased before {outcome:?}"));
        }
        if !activated && self.may_erase == MayErase::Slot && bed.target_has_header() {
            return Err(format!("an image is left behind after {outcome:?}"));
        }
        match &self.honest {
            Some(honest) if !activated => bed.recovers(honest),
            _ => Ok(()),
        }
    }
}

/// The document at a path, as errors name it.
pub(crate) fn document(path: &str) -> Document {
    match Resource::parse(path) {
        Some(OwnedResource::Now) => Document::Now,
        Some(OwnedResource::Root(version)) => Document::Root { version },
        Some(OwnedResource::Releases(_)) => Document::Releases,
        Some(OwnedResource::Manifest(_)) => Document::Manifest,
        Some(OwnedResource::EpochShard { .. }) => Document::Shard,
        Some(OwnedResource::BodyWrap { .. }) => Document::Wrap,
        Some(OwnedResource::Direct { .. }) => Document::Direct,
        Some(OwnedResource::Pages(_)) => Document::Page { page: 0 },
        _ => Document::Body,
    }
}

/// The document that an error is about.
pub(crate) fn blamed(error: &AgentError) -> Option<Document> {
    Some(match error {
        AgentError::Server(
            ServerError::NotFound { document }
            | ServerError::Unreachable { document }
            | ServerError::Interrupted { document }
            | ServerError::Refused { document, .. }
            | ServerError::TooLong { document, .. }
            | ServerError::TooShort { document, .. },
        )
        | AgentError::Metadata(
            MetadataError::Malformed { document }
            | MetadataError::Signature { document }
            | MetadataError::WrongProduct { document }
            | MetadataError::WrongDigest { document, .. }
            | MetadataError::Generation { document, .. }
            | MetadataError::Rollback { document, .. }
            | MetadataError::Expired { document, .. },
        ) => *document,
        AgentError::Metadata(MetadataError::RootRollback { .. }) => Document::Now,
        AgentError::Metadata(MetadataError::RootVersion { expected, .. }) => {
            Document::Root { version: *expected }
        }
        AgentError::Body(
            BodyError::NotARecipient { .. }
            | BodyError::ShardEntry
            | BodyError::EpochCommitment
            | BodyError::ShardFormat,
        ) => Document::Shard,
        AgentError::Body(BodyError::Wrap | BodyError::KeyCommitment) => Document::Wrap,
        AgentError::Body(BodyError::PageHash { page }) => Document::Page { page: *page },
        AgentError::Body(BodyError::ChunkHash { .. }) => Document::Body,
        _ => return None,
    })
}

/// What may be erased before a bent file is noticed.
pub(crate) fn erases(document: Document) -> MayErase {
    match document {
        Document::Now | Document::Root { .. } => MayErase::Nothing,
        Document::Body => MayErase::Slot,
        _ => MayErase::Journal,
    }
}
