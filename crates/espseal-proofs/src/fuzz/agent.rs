//! A device, its agent and a hostile world, played from a script.

use std::collections::BTreeSet;
use std::sync::Arc;

use espseal_agent::agent::{Agent, BootOutcome, Parts, UpdateOutcome};
use espseal_agent::observer::Silent;
use espseal_agent::workspace::Workspace;
use espseal_crypto::cose::verify_sign1;
use espseal_crypto::device_key::SoftwareDeviceKey;
use espseal_crypto::es256::SigningKey;
use espseal_format::cohort::Ppm;
use espseal_format::cose::{Role, Sign, Sign1};
use espseal_format::metadata::now::Now;
use espseal_format::metadata::releases::{OfferState, Releases};
use espseal_format::metadata::root::Root;
use espseal_format::repository::Resource;
use espseal_format::units::{Digest, FlashOffset, SECTOR_SIZE};
use espseal_twin::device::VirtualDevice;
use espseal_twin::nor::NorFlash;
use espseal_twin::power::{Moment, PowerCut, Tear};

use super::script::Script;
use crate::hostile::attacks::{Scene, app};
use crate::hostile::cases::honest_later;
use crate::maker::{Files, Keys, PRODUCT, encoded, sign_root, sign1};
use crate::repository::Repository;

/// Steps of a script that are played.
const MOST_STEPS: usize = 24;
/// Bytes that one poll may read: the body that the signed manifests allow, twice, and metadata.
const MOST_READ: usize = 96 * 1024;

/// A device that lives through scripts, from the same state each time.
pub struct AgentBench {
    scene: Scene,
    keys: Keys,
    /// Repositories that exist in this world.
    repositories: Vec<Arc<Files>>,
    /// Every path in any of them.
    paths: Vec<String>,
    /// Images that the release authority has ever put on offer.
    approved: Vec<Vec<u8>>,
    device: VirtualDevice,
    workspace: Box<Workspace>,
    touched: BTreeSet<u32>,
    files: Files,
}

impl Default for AgentBench {
    fn default() -> Self {
        Self::new()
    }
}

impl AgentBench {
    /// Makes the device and everything that will ever be published or stolen.
    #[must_use]
    pub fn new() -> Self {
        let scene = Scene::new();
        // Well signed for secure boot, sealed and wrapped for this device, and put on offer by
        // nobody who may: the one image that a hostile world has and must not start.
        let mut stranger = Scene::maker_now();
        std::mem::swap(&mut stranger.keys.releases, &mut stranger.keys.stranger);
        stranger.release(&app("6.6"), 66);
        stranger.publish();
        let mut foreign = Scene::maker_now();
        foreign.keys.now = SigningKey::generate(&mut foreign.keys.rng);
        foreign.release(&app("6.7"), 67);
        foreign.publish();
        let mut rotated = Scene::maker_now();
        rotated.root.version = 3;
        rotated.root.max_time += 1;
        rotated.publish_root();
        rotated.publish();
        let repositories = vec![
            Arc::clone(&scene.honest),
            Arc::clone(&scene.older),
            honest_later(),
            Arc::new(stranger.files),
            Arc::new(foreign.files),
            Arc::new(rotated.files),
        ];
        let paths: BTreeSet<String> = repositories
            .iter()
            .flat_map(|files| files.keys().cloned())
            .collect();
        let approved = ["1.0", "1.5", "2.0", "3.0"].map(|version| app(version).build());
        let flash = NorFlash::from_bytes(scene.flash.clone()).unwrap();
        let mut device = VirtualDevice::new(flash, scene.efuses.clone(), scene.settings);
        device.flash_mut().record_changes();
        Self {
            keys: Scene::maker().keys,
            repositories,
            paths: paths.into_iter().collect(),
            approved: approved.into(),
            device,
            workspace: Box::new(Workspace::new()),
            touched: BTreeSet::new(),
            files: Files::new(),
            scene,
        }
    }

    /// Plays a script.
    ///
    /// # Panics
    /// When nothing boots, or something runs or could run that nobody approved.
    pub fn run(&mut self, script: &[u8]) {
        self.reset();
        let mut script = Script(script);
        self.restart();
        for _ in 0..MOST_STEPS {
            if script.0.is_empty() {
                break;
            }
            self.step(&mut script);
        }
        self.poll();
        self.restart();
        self.firmware(false);
        self.restart();
    }

    fn reset(&mut self) {
        self.note_changes();
        for at in std::mem::take(&mut self.touched) {
            let cells = &self.scene.flash[at as usize..at as usize + SECTOR_SIZE];
            let flash = self.device.flash_mut();
            flash.overwrite(FlashOffset::new(at), cells).unwrap();
        }
        self.device.flash_mut().record_changes();
        self.device.power().plan([]);
        self.device.set_trusted_time(None);
        self.files = (*self.repositories[0]).clone();
    }

    fn note_changes(&mut self) {
        let changes = self.device.flash_mut().record_changes();
        let sector = |at: FlashOffset| at.get() & !(SECTOR_SIZE as u32 - 1);
        self.touched
            .extend(changes.iter().map(|change| sector(change.offset)));
    }

    fn step(&mut self, script: &mut Script<'_>) {
        match script.byte() % 16 {
            0 => {
                let which = script.below(self.repositories.len());
                self.files = (*self.repositories[which]).clone();
            }
            1 | 2 => {
                let which = script.below(self.repositories.len());
                let path = self.path(script);
                if let Some(bytes) = self.repositories[which].get(&path) {
                    self.files.insert(path, bytes.clone());
                }
            }
            3 => {
                let path = self.path(script);
                let (at, mask) = (script.word(), script.byte());
                if let Some(bytes) = self.files.get_mut(&path).filter(|bytes| !bytes.is_empty()) {
                    let at = usize::from(at) % bytes.len();
                    bytes[at] ^= mask;
                }
            }
            4 => {
                let path = self.path(script);
                let length = usize::from(script.word());
                if let Some(bytes) = self.files.get_mut(&path) {
                    bytes.resize(length % (bytes.len() + 300), 0xA5);
                }
            }
            5 => {
                let path = self.path(script);
                let count = script.byte().into();
                self.files.insert(path, script.take(count).to_vec());
            }
            6 => {
                let (from, to) = (self.path(script), self.path(script));
                match self.files.get(&from).cloned() {
                    Some(bytes) => self.files.insert(to, bytes),
                    None => self.files.remove(&to),
                };
            }
            7 => self.bend_and_sign(script),
            8 => self.rewrite_now(script),
            9 => self.rewrite_releases(script),
            10 => {
                let time = script.number();
                self.device.set_trusted_time((time != 0).then_some(time));
            }
            11 => self.write_flash(script),
            12 => self.plan_cut(script),
            13 => {
                self.restart();
                self.firmware(script.byte() & 1 != 0);
            }
            _ => self.poll(),
        }
    }

    fn path(&self, script: &mut Script<'_>) -> String {
        self.paths[script.below(self.paths.len())].clone()
    }

    fn key(&self, which: u8) -> &SigningKey {
        match which % 6 {
            0 => &self.keys.releases,
            1 => &self.keys.now,
            2 => &self.keys.stranger,
            3 => &self.keys.root[0],
            4 => &self.keys.spare[0],
            _ => &self.keys.root[2],
        }
    }

    /// Changes bits of a payload and signs it anew, with the right key or another.
    fn bend_and_sign(&mut self, script: &mut Script<'_>) {
        let what = script.byte();
        let mut bend = |payload: &[u8]| {
            let mut payload = payload.to_vec();
            for _ in 0..=what >> 6 {
                let at = script.below(payload.len().max(1));
                if let Some(byte) = payload.get_mut(at) {
                    *byte ^= script.byte();
                }
            }
            payload
        };
        let signer = what >> 2 & 7;
        match what & 3 {
            0 => {
                let now = self.payload("now.cose", Role::Now, &self.keys.now);
                let Some(payload) = now.map(|bytes| bend(&bytes)) else {
                    return;
                };
                let key = self.key(if signer < 4 { 1 } else { signer });
                let bytes = sign1(key, Role::Now, &PRODUCT, &payload);
                self.files.insert("now.cose".into(), bytes);
            }
            1 => {
                let Some(payload) = self.releases_payload().map(|bytes| bend(&bytes)) else {
                    return;
                };
                let key = self.key(if signer < 4 { 0 } else { signer });
                let bytes = sign1(key, Role::Releases, &PRODUCT, &payload);
                self.publish_releases(bytes);
            }
            _ => {
                let version = u32::from(what >> 5) + 1;
                let path = Resource::Root(version).path().as_str().to_owned();
                let signed = self
                    .files
                    .get(&path)
                    .and_then(|bytes| Sign::parse(bytes).ok());
                let Some(payload) = signed.map(|signed| bend(signed.payload)) else {
                    return;
                };
                let keys = match signer {
                    0..=3 => [&self.keys.root[0], &self.keys.root[1]],
                    4 | 5 => [&self.keys.root[0], &self.keys.stranger],
                    _ => [&self.keys.spare[0], &self.keys.spare[1]],
                };
                if let Ok(root) = Root::parse(&payload) {
                    self.files.insert(path, sign_root(&root, &keys));
                }
            }
        }
    }

    /// The payload of a document of this maker. A stranger's is not signed anew: with the right key
    /// under it, it would be an offer that the maker did make.
    fn payload(&self, path: &str, role: Role, key: &SigningKey) -> Option<Vec<u8>> {
        let signed = Sign1::parse(self.files.get(path)?).ok()?;
        verify_sign1(&signed, role, &PRODUCT, &[key.public_key()]).ok()?;
        Some(signed.payload.to_vec())
    }

    fn now(&self) -> Option<Now> {
        Now::parse(&self.payload("now.cose", Role::Now, &self.keys.now)?).ok()
    }

    /// The payload of the releases that `now` names.
    fn releases_payload(&self) -> Option<Vec<u8>> {
        let releases = Resource::Releases(&self.now()?.releases).path();
        self.payload(releases.as_str(), Role::Releases, &self.keys.releases)
    }

    /// Publishes releases under their digest and has the honest `now` key name them.
    fn publish_releases(&mut self, bytes: Vec<u8>) {
        let digest = Digest::of(&bytes);
        let path = Resource::Releases(&digest).path().as_str().to_owned();
        self.files.insert(path, bytes);
        let Some(mut now) = self.now() else {
            return;
        };
        now.releases = digest;
        now.position.version = now.position.version.saturating_add(1);
        self.sign_now(&now);
    }

    fn sign_now(&mut self, now: &Now) {
        let mut out = vec![0; 2048];
        if let Ok(length) = now.encode(&mut out) {
            let bytes = sign1(&self.keys.now, Role::Now, &PRODUCT, &out[..length]);
            self.files.insert("now.cose".into(), bytes);
        }
    }

    fn rewrite_now(&mut self, script: &mut Script<'_>) {
        let Some(mut now) = self.now() else {
            return;
        };
        let (what, number) = (script.byte(), script.number());
        match what % 6 {
            0 => now.time = number,
            1 => now.time = now.time.saturating_add(number),
            2 => now.expires = number,
            3 => now.position.version = number,
            4 => now.position.generation = number as u32,
            _ => now.root_version = number as u32,
        }
        self.sign_now(&now);
    }

    fn rewrite_releases(&mut self, script: &mut Script<'_>) {
        let Some(payload) = self.releases_payload() else {
            return;
        };
        let Ok(mut releases) = Releases::parse(&payload) else {
            return;
        };
        let (what, number) = (script.byte(), script.number());
        if let Some(offer) = releases.offers.first_mut() {
            match what % 4 {
                0 => offer.seq = number,
                1 => offer.ppm = Ppm::new(number as u32).unwrap_or(Ppm::ALL),
                2 => offer.state = OfferState::Held,
                _ => {}
            }
        }
        match what >> 2 & 3 {
            0 => releases.position.version = number,
            1 => releases.position.generation = number as u32,
            2 => releases.expires = number,
            _ => {}
        }
        let mut out = vec![0; 2048];
        if releases.encode(&mut out).is_ok() {
            let payload = encoded(|out| releases.encode(out).unwrap());
            let bytes = sign1(&self.keys.releases, Role::Releases, &PRODUCT, &payload);
            self.publish_releases(bytes);
        }
    }

    /// Writes into a sector that holds no image that runs: journal, root bodies, otadata, other slot.
    fn write_flash(&mut self, script: &mut Script<'_>) {
        let Some(running) = self.device.running() else {
            return;
        };
        let layout = &self.scene.config.layout;
        let mut sectors: Vec<u32> = (0..4).map(|n| layout.journal.get() + n * 0x1000).collect();
        sectors.extend([layout.otadata.get(), layout.otadata.get() + 0x1000]);
        let other = layout
            .slots
            .iter()
            .find(|slot| slot.offset != running.offset);
        sectors.extend(
            other
                .iter()
                .flat_map(|slot| (0..3).map(|n| slot.offset.get() + n * 0x1000)),
        );
        let to = sectors[script.below(sectors.len())];
        let offset = FlashOffset::new(to);
        let mut cells = [0; SECTOR_SIZE];
        let how = script.byte();
        let journal_or_otadata = sectors[..6].contains(&to);
        match how % 4 {
            0 => cells.fill(0xFF),
            1 => {
                let from = FlashOffset::new(sectors[script.below(sectors.len())]);
                self.device.flash().read(from, &mut cells).unwrap();
            }
            2 => {
                self.device.flash().read(offset, &mut cells).unwrap();
                let (at, mask) = (script.below(SECTOR_SIZE), script.byte());
                cells[at] ^= mask;
            }
            // As the device would read it: only where nothing is that could be an image.
            _ if journal_or_otadata => {
                self.device.bus().read(offset, &mut cells).unwrap();
                let at = script.below(512);
                let bytes = script.take(usize::from(how >> 2));
                cells[at..at + bytes.len()].copy_from_slice(bytes);
                let written = self.device.bus().replace_sector(offset, &cells);
                self.note_changes();
                match self.device.power().is_lost() {
                    true => self.restart(),
                    false => written.unwrap(),
                }
                return;
            }
            _ => return,
        }
        self.touched.insert(to);
        self.device.flash_mut().overwrite(offset, &cells).unwrap();
    }

    fn plan_cut(&mut self, script: &mut Script<'_>) {
        let operation = script.byte().into();
        let moment = match script.byte() % 6 {
            0 => Moment::Before,
            1 => Moment::After,
            2 | 3 => Moment::Inside(Tear::AfterBytes(u32::from(script.word()) % 4096)),
            _ => Moment::Inside(Tear::Scattered(script.word().into())),
        };
        self.device.power().plan([PowerCut { operation, moment }]);
    }

    /// Switches on until the power stays: an approved image has to run, and no other could.
    fn restart(&mut self) {
        for _ in 0..4 {
            let report = self.device.power_on();
            self.note_changes();
            if self.device.power().is_lost() {
                continue;
            }
            let Some(running) = report.running() else {
                panic!("no image boots:\n{}", report.log);
            };
            assert!(
                self.is_approved(running.offset),
                "{} runs, which nobody approved",
                running.slot
            );
            self.refuse_strays(running.offset);
            return;
        }
        panic!("one planned cut strikes once");
    }

    /// What the firmware does after a restart.
    fn firmware(&mut self, crashes: bool) {
        let booted = self.with_agent(|agent| {
            let booted = agent.on_boot();
            if let Ok(BootOutcome::AwaitingConfirmation { .. }) = booted
                && !crashes
            {
                let _ = agent.confirm();
            }
            booted
        });
        if crashes || self.device.power().is_lost() || booted.is_none() {
            self.restart();
        }
    }

    fn poll(&mut self) {
        if self.device.running().is_none() || self.device.power().is_lost() {
            self.restart();
        }
        let outcome = self.with_agent(|agent| agent.update());
        self.note_changes();
        if self.device.power().is_lost() {
            self.restart();
            return;
        }
        let running = self.device.running().expect("it has polled").offset;
        self.refuse_strays(running);
        if let Some(Ok(UpdateOutcome::RestartToBoot { .. })) = outcome {
            self.restart();
        }
    }

    fn with_agent<T>(
        &mut self,
        work: impl FnOnce(
            &mut Agent<
                '_,
                espseal_twin::device::FlashPort<'_>,
                &mut Repository,
                &mut SoftwareDeviceKey,
                espseal_twin::device::PlatformPort<'_>,
                Silent,
            >,
        ) -> T,
    ) -> Option<T> {
        let mut repository = Repository::new(&Arc::new(self.files.clone()));
        let ports = self.device.ports()?;
        let mut key = SoftwareDeviceKey::from_bytes(&self.scene.key).unwrap();
        let parts = Parts {
            flash: ports.flash,
            transport: &mut repository,
            key: &mut key,
            platform: ports.platform,
            observer: Silent,
        };
        let mut agent = Agent::new(parts, &self.scene.config, &mut self.workspace).unwrap();
        let done = work(&mut agent);
        assert!(
            repository.read <= MOST_READ,
            "{} bytes were read",
            repository.read
        );
        Some(done)
    }

    fn is_approved(&mut self, offset: FlashOffset) -> bool {
        let longest = self.approved.iter().map(Vec::len).max().unwrap_or(0);
        let mut found = vec![0; longest];
        self.device.bus().read(offset, &mut found).unwrap();
        self.approved.iter().any(|image| found.starts_with(image))
    }

    /// The slot that does not run holds no image that would boot and that nobody approved.
    fn refuse_strays(&mut self, running: FlashOffset) {
        let offsets: Vec<_> = self
            .scene
            .config
            .layout
            .slots
            .iter()
            .map(|slot| slot.offset)
            .collect();
        for offset in offsets {
            if offset == running || self.is_approved(offset) {
                continue;
            }
            let mut magic = [0];
            self.device.bus().read(offset, &mut magic).unwrap();
            if magic != [0xE9] {
                continue;
            }
            // A copy of the device on which only this slot could start.
            let mut cells = self.device.flash().contents().to_vec();
            let otadata = self.scene.config.layout.otadata.get();
            for at in [running.get(), otadata, otadata + 0x1000] {
                cells[at as usize..at as usize + SECTOR_SIZE].fill(0xFF);
            }
            let flash = NorFlash::from_bytes(cells).unwrap();
            let (efuses, settings) = (self.scene.efuses.clone(), self.scene.settings);
            let runs = VirtualDevice::new(flash, efuses, settings)
                .power_on()
                .running();
            assert!(
                runs.is_none(),
                "an image at {offset} would boot that nobody approved"
            );
        }
    }
}
