//! Projects, images and devices to test with.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use espseal_crypto::content::{self, Iv, Tag};
use espseal_crypto::device_key::SoftwareDeviceKey;
use espseal_format::app_desc::AppDescriptor;
use espseal_format::chip::ChipId;
use espseal_format::cohort::Ppm;
use espseal_format::cose::Sign1;
use espseal_format::metadata::manifest::Manifest;
use espseal_format::metadata::now::Now;
use espseal_format::metadata::releases::{Offer, OfferState, Releases};
use espseal_format::repository::Resource;
use espseal_format::signature_block::SignatureScheme;
use espseal_format::units::{ChannelName, Digest, SecurityVersion};
use espseal_format::wrap::{BodyWrap, ShardPrefix, find_in_shard};
use espseal_publish::authority::{Authority, AuthorityError};
use espseal_publish::creation::{self, NewProject, SecureBootSource};
use espseal_publish::files::{self, Secrecy};
use espseal_publish::image_signing::{ImageKind, sign_image};
use espseal_publish::observer::Unwatched;
use espseal_publish::rehearsal::{Exhibit, Rehearsal, RehearsalFailed, Rehearsed};
use espseal_publish::release::{PublishRequest, Published, RepositoryState};
use espseal_publish::secure_boot_key::SecureBootKey;
use getrandom::SysRng;
use rand_core::UnwrapErr;
use rcgen::{PKCS_RSA_SHA256, RsaKeySize};

/// 2026-01-01.
pub(crate) const TIME: u64 = 1_767_225_600;
pub(crate) const CHIPS: [ChipId; 2] = [ChipId::Esp32, ChipId::Esp32C3];

/// A project in a temporary folder.
pub(crate) struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    /// Both chips on `production` and `beta`, with the test key burnt.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let new = NewProject {
            name: "Lamp".into(),
            chips: CHIPS.to_vec(),
            channels: vec!["production".into(), "beta".into()],
            base_url: "https://localhost:8443/".into(),
            secure_boot: SecureBootSource::ExistingKey(secure_boot_key().into()),
            root_keys: 3,
            root_threshold: 2,
        };
        let project = folder.path().join("lamp");
        creation::create(&project, &new, TIME, &Unwatched).unwrap();
        let key = fs::read(secure_boot_key()).unwrap();
        let path = project.join("keys/secure-boot.pem");
        files::create(&path, &key, Secrecy::Private).unwrap();
        Self { folder }
    }

    /// The product that is described, in a temporary folder.
    pub(crate) fn of(new: &NewProject) -> Self {
        let folder = tempfile::tempdir().unwrap();
        creation::create(&folder.path().join("lamp"), new, TIME, &Unwatched).unwrap();
        Self { folder }
    }

    pub(crate) fn project(&self) -> PathBuf {
        self.folder.path().join("lamp")
    }

    /// A path outside the project.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    pub(crate) fn authority(&self) -> Authority {
        Authority::open(&self.project(), &Unwatched).unwrap()
    }

    /// Changes `espseal.toml`.
    pub(crate) fn configure(&self, from: &str, to: &str) {
        let path = self.project().join("espseal.toml");
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{from}");
        fs::write(&path, text.replace(from, to)).unwrap();
    }

    pub(crate) fn publish(&self, request: &PublishRequest) -> Result<Published, AuthorityError> {
        self.authority()
            .publish(request, TIME, &Trusting, &Unwatched)
    }

    /// Publishes an image on `production` and expects success.
    pub(crate) fn release(&self, image: &[u8]) -> Published {
        let app = self.write("app.bin", image);
        self.publish(&request(&app)).unwrap()
    }

    pub(crate) fn release_at(&self, image: &[u8], time: u64) -> Published {
        let app = self.write("app.bin", image);
        self.authority()
            .publish(&request(&app), time, &Trusting, &Unwatched)
            .unwrap()
    }

    pub(crate) fn stored(&self, resource: Resource<'_>) -> Option<Vec<u8>> {
        let path = resource.path();
        fs::read(self.project().join("repository").join(path.as_str())).ok()
    }

    pub(crate) fn now(&self) -> Now {
        let bytes = self.stored(Resource::Now).unwrap();
        Now::parse(Sign1::parse(&bytes).unwrap().payload).unwrap()
    }

    pub(crate) fn releases(&self) -> Releases {
        let digest = self.now().releases;
        let bytes = self.stored(Resource::Releases(&digest)).unwrap();
        assert_eq!(Digest::of(&bytes), digest);
        Releases::parse(Sign1::parse(&bytes).unwrap().payload).unwrap()
    }

    pub(crate) fn offer(&self, chip: ChipId) -> Offer {
        let channel = ChannelName::new("production").unwrap();
        self.releases().offer(&channel, chip).unwrap().clone()
    }

    pub(crate) fn manifest(&self, offer: &Offer) -> Manifest {
        let bytes = self.stored(Resource::Manifest(&offer.manifest)).unwrap();
        assert_eq!(Digest::of(&bytes), offer.manifest);
        Manifest::parse(&bytes).unwrap()
    }

    /// Digest of every file of the project, to see that nothing changed.
    pub(crate) fn snapshot(&self) -> BTreeMap<PathBuf, Digest> {
        let mut all = BTreeMap::new();
        collect(&self.project(), &mut all);
        all
    }

    /// Enrols a new agent on a channel.
    pub(crate) fn enrol_agent(&self, chip: ChipId, channel: &str) -> SoftwareDeviceKey {
        let key = SoftwareDeviceKey::generate(&mut random());
        let record = self.write("device.toml", agent_record(&key, chip, channel).as_bytes());
        self.enrol(&record).unwrap();
        key
    }

    pub(crate) fn enrol(&self, record: &Path) -> Result<(), AuthorityError> {
        let mut authority = self.authority();
        let devices = authority.read_devices(&[record.into()])?;
        for device in devices {
            authority.enrol(device, &Unwatched)?;
        }
        Ok(())
    }

    /// Does what an agent does: shard, epoch key, body wrap, content key, body.
    pub(crate) fn open_as(&self, key: &SoftwareDeviceKey, chip: ChipId) -> Option<Vec<u8>> {
        let releases = self.releases();
        let offer = self.offer(chip);
        let manifest = self.manifest(&offer);
        let signed = releases.epoch(1).unwrap();
        let id = key.device_id();
        let shard = self.stored(Resource::EpochShard {
            group: 1,
            epoch: signed.epoch,
            prefix: ShardPrefix::of(&id, signed.shard_nibbles),
        })?;
        let entry = find_in_shard(&shard, &id).unwrap()?;
        let product = &releases.product;
        let epoch = key
            .open_epoch_key(product, 1, signed.epoch, &entry)
            .unwrap();
        epoch
            .verify_commitment(&signed.commitment, product, 1, signed.epoch)
            .unwrap();
        let body = &manifest.component.body;
        let wrap = self.stored(Resource::BodyWrap {
            body,
            group: 1,
            epoch: signed.epoch,
        })?;
        let wrap = BodyWrap(wrap.try_into().unwrap());
        let content_key = epoch
            .kek(product, 1, signed.epoch, body)
            .unwrap_key(&wrap)
            .unwrap();
        content::verify_commitment(&manifest.component.commitment, body, &content_key).unwrap();
        let mut bytes = self.stored(Resource::Body(body)).unwrap();
        let (iv, tag) = (Iv(manifest.component.iv), Tag(manifest.component.tag));
        content::open(&content_key, &iv, &tag, &mut bytes).unwrap();
        Some(bytes)
    }
}

/// Accepts everything: for tests about something else.
pub(crate) struct Trusting;

impl Rehearsal for Trusting {
    fn rehearse(&self, _: &Exhibit<'_>) -> Result<Rehearsed, RehearsalFailed> {
        Ok(Rehearsed { log: Vec::new() })
    }
}

pub(crate) fn request(app: &Path) -> PublishRequest {
    PublishRequest {
        app: app.into(),
        channel: "production".into(),
        ppm: Ppm::ALL,
        state: OfferState::Active,
        seq: None,
        min_seq: 0,
        repository: RepositoryState::Existing,
        direct: None,
    }
}

pub(crate) fn random() -> UnwrapErr<SysRng> {
    UnwrapErr(SysRng)
}

pub(crate) fn agent_record(key: &SoftwareDeviceKey, chip: ChipId, channel: &str) -> String {
    format!(
        "kind = \"agent\"\nchip = \"{}\"\nchannel = \"{channel}\"\n\
         encryption-key = \"{}\"\nreport-key = \"{}\"\n",
        chip.target().unwrap(),
        key.public_key(),
        key.report_key()
    )
}

pub(crate) fn rsa_pem(size: RsaKeySize) -> String {
    rcgen::KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, size)
        .unwrap()
        .public_key_pem()
}

pub(crate) fn rsa_record(public_pem: &str, chip: ChipId) -> String {
    format!(
        "kind = \"esp-idf-rsa\"\nchip = \"{}\"\nchannel = \"production\"\n\
         rsa-public-key = \"\"\"\n{public_pem}\"\"\"\n",
        chip.target().unwrap()
    )
}

/// The key whose digest the fleets carry, made once for all tests.
pub(crate) fn secure_boot_key() -> &'static Path {
    static KEY: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    &KEY.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secure-boot.pem");
        SecureBootKey::create(&path, SignatureScheme::Rsa3072).unwrap();
        (folder, path)
    })
    .1
}

/// What an image is like.
pub(crate) struct App {
    pub(crate) chip: ChipId,
    pub(crate) version: &'static str,
    pub(crate) secure_version: u32,
    /// Bytes of read-only data.
    pub(crate) length: usize,
}

impl App {
    pub(crate) fn new(chip: ChipId) -> Self {
        Self {
            chip,
            version: "1.0.0",
            secure_version: 0,
            length: 6000,
        }
    }

    /// Builds an unsigned image as `esptool elf2image` lays it out.
    pub(crate) fn build(&self) -> Vec<u8> {
        let (rom, ram, entry): (u32, u32, u32) = match self.chip {
            ChipId::Esp32 => (0x3F40_0020, 0x3FFB_0000, 0x4008_0000),
            ChipId::Esp32C5 => (0x4200_0020, 0x4080_0000, 0x4080_0000),
            _ => (0x3C00_0020, 0x3FC9_0000, 0x4038_0000),
        };
        let secure_version = SecurityVersion::new(self.secure_version);
        let descriptor = AppDescriptor::new("lamp", self.version, secure_version).unwrap();
        let mut rodata = descriptor.encode().to_vec();
        let filler = self.version.bytes().cycle();
        rodata.extend(filler.take(self.length.next_multiple_of(4)));
        let mut image = vec![0xE9, 2, 2, 0x20];
        image.extend(entry.to_le_bytes());
        image.extend([0xEE, 0, 0, 0]);
        image.extend(self.chip.to_u16().to_le_bytes());
        image.extend([0, 0, 0, 0xFF, 0xFF, 0, 0, 0, 0, 1]);
        let mut sum = 0xEF;
        for (load, data) in [(rom, rodata), (ram, vec![0x5A; 400])] {
            image.extend(load.to_le_bytes());
            image.extend(u32::try_from(data.len()).unwrap().to_le_bytes());
            image.extend(&data);
            sum = data.iter().fold(sum, |sum, byte| sum ^ byte);
        }
        image.resize((image.len() | 15) + 1, 0);
        *image.last_mut().unwrap() = sum;
        let digest = Digest::of(&image);
        image.extend(digest.0);
        image
    }

    /// Builds a signed image.
    pub(crate) fn signed(&self) -> Vec<u8> {
        self.signed_by(secure_boot_key())
    }

    pub(crate) fn signed_by(&self, key: &Path) -> Vec<u8> {
        let key = SecureBootKey::load(key).unwrap();
        sign_image(Path::new("app.bin"), &self.build(), ImageKind::App, &[&key])
            .unwrap()
            .bytes
    }
}

/// A signed image with nothing special about it.
pub(crate) fn app(chip: ChipId) -> Vec<u8> {
    App::new(chip).signed()
}

fn collect(folder: &Path, all: &mut BTreeMap<PathBuf, Digest>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => collect(&path, all),
            false => {
                all.insert(path.clone(), Digest::of(&fs::read(&path).unwrap()));
            }
        }
    }
}
