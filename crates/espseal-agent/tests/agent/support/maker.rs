//! The release authority: signs roots, releases and `now`, seals and wraps images.

use espseal_crypto::content::{self, ContentKey};
use espseal_crypto::cose::{self, SignatureOf};
use espseal_crypto::device_key::SoftwareDeviceKey;
use espseal_crypto::epoch::EpochKey;
use espseal_crypto::es256::SigningKey;
use espseal_format::chip::ChipId;
use espseal_format::cohort::{Ppm, Salt};
use espseal_format::cose::Role;
use espseal_format::metadata::direct::{DirectManifest, FlashScheme};
use espseal_format::metadata::manifest::{ClassId, Component, ComponentKind, Manifest, VendorId};
use espseal_format::metadata::now::{Hold, Now};
use espseal_format::metadata::releases::{Epoch, Offer, OfferState, Releases};
use espseal_format::metadata::root::{RoleKeys, Root};
use espseal_format::repository::Resource;
use espseal_format::units::{
    CHUNK_SIZE, ChannelName, DeviceId, Digest, FlashOffset, Position, Product, PublicKeyBytes,
    SECTOR_SIZE, SecurityVersion,
};
use espseal_format::wrap::{ShardNibbles, ShardPrefix};

use super::flash::RamFlash;
use super::image::App;
use super::repository::Repository;
use super::rng::TestRng;

pub(crate) const PRODUCT: Product = Product([0x70; 16]);
pub(crate) const VENDOR: VendorId = VendorId([0x56; 16]);
pub(crate) const CLASS: ClassId = ClassId([0x43; 16]);
pub(crate) const CHIP: ChipId = ChipId::Esp32C3;
pub(crate) const GROUP: u32 = 7;
/// When everything in the tests happens, unless said otherwise.
pub(crate) const TODAY: u64 = 1_800_000_000;
pub(crate) const DAY: u64 = 86_400;

/// Keys that make a device trust; three root keys, two of which have to sign.
pub(crate) struct Keys {
    pub(crate) root: [SigningKey; 3],
    pub(crate) releases: SigningKey,
    pub(crate) now: SigningKey,
    pub(crate) stranger: SigningKey,
    pub(crate) epoch: EpochKey,
    pub(crate) rng: TestRng,
}

impl Keys {
    pub(crate) fn new() -> Self {
        let mut rng = TestRng::new(1);
        let mut key = || SigningKey::generate(&mut rng);
        let (root, releases, now, stranger) = ([key(), key(), key()], key(), key(), key());
        let epoch = EpochKey::generate(&mut rng);
        Self {
            root,
            releases,
            now,
            stranger,
            epoch,
            rng,
        }
    }
}

/// The device and the slot that a direct image is for.
pub(crate) struct DirectTarget<'t> {
    pub(crate) flash: &'t RamFlash,
    pub(crate) device: DeviceId,
    pub(crate) number: u8,
    pub(crate) slot: u32,
    pub(crate) journal: u32,
}

impl DirectTarget<'_> {
    pub(crate) fn resource<'r>(&'r self, manifest: &'r Digest) -> Resource<'r> {
        Resource::Direct {
            manifest,
            device: &self.device,
            slot: self.number,
        }
    }
}

/// What the maker publishes; every field may be bent before [`Maker::publish`].
pub(crate) struct Maker {
    pub(crate) keys: Keys,
    pub(crate) root: Root,
    pub(crate) releases: Releases,
    pub(crate) now: Now,
    pub(crate) repository: Repository,
}

impl Maker {
    pub(crate) fn new() -> Self {
        let keys = Keys::new();
        let root = Root {
            product: PRODUCT,
            version: 1,
            expires: TODAY + 3650 * DAY,
            max_time: TODAY + 3650 * DAY,
            root: role(2, 0, &[&keys.root[0], &keys.root[1], &keys.root[2]]),
            releases: role(1, 1, &[&keys.releases]),
            now: role(1, 1, &[&keys.now]),
        };
        let first = Position {
            generation: 1,
            version: 1,
        };
        let epoch = Epoch {
            group: GROUP,
            epoch: 3,
            commitment: keys.epoch.commitment(&PRODUCT, GROUP, 3),
            shard_nibbles: ShardNibbles::new(1).unwrap(),
        };
        let releases = Releases {
            product: PRODUCT,
            position: first,
            previous: None,
            expires: TODAY + 365 * DAY,
            offers: heapless::Vec::new(),
            epochs: heapless::Vec::from_slice(&[epoch]).unwrap(),
        };
        let now = Now {
            product: PRODUCT,
            position: first,
            time: TODAY,
            expires: TODAY + 7 * DAY,
            releases: Digest([0; 32]),
            root_version: 1,
            holds: heapless::Vec::new(),
        };
        Self {
            keys,
            root,
            releases,
            now,
            repository: Repository::default(),
        }
    }

    /// The current root, signed by two root keys.
    pub(crate) fn signed_root(&self) -> Vec<u8> {
        sign_root(&self.root, &[&self.keys.root[0], &self.keys.root[1]])
    }

    /// Publishes the current root as `root/<version>.cose`.
    pub(crate) fn publish_root(&mut self) {
        let bytes = self.signed_root();
        self.repository
            .put(Resource::Root(self.root.version), bytes);
    }

    /// Encrypts an image for a device's flash, and publishes the direct manifest that `bend` has had a
    /// look at.
    pub(crate) fn release_direct(
        &mut self,
        manifest: Digest,
        image: &[u8],
        target: &DirectTarget<'_>,
        bend: impl FnOnce(&mut DirectManifest),
    ) {
        let body = direct_body(image, target);
        self.put_direct(manifest, image, target, &body, bend);
    }

    /// As [`release_direct`](Self::release_direct), with other ciphertext.
    pub(crate) fn release_direct_as(
        &mut self,
        manifest: Digest,
        image: &[u8],
        target: &DirectTarget<'_>,
        bend: impl FnOnce(&mut Vec<u8>),
    ) {
        let mut body = direct_body(image, target);
        bend(&mut body);
        self.put_direct(manifest, image, target, &body, |_| {});
    }

    fn put_direct(
        &mut self,
        manifest: Digest,
        image: &[u8],
        target: &DirectTarget<'_>,
        body: &[u8],
        bend: impl FnOnce(&mut DirectManifest),
    ) {
        let hashes: Vec<u8> = body
            .chunks(CHUNK_SIZE)
            .flat_map(|c| Digest::of(c).0)
            .collect();
        let digest = Digest::of(body);
        let mut direct = DirectManifest {
            product: PRODUCT,
            manifest,
            device: target.device,
            scheme: FlashScheme::Xts128,
            slot: FlashOffset::new(target.slot),
            journal: FlashOffset::new(target.journal),
            probe: Digest::of(&image[..CHUNK_SIZE]),
            image_length: body.len() as u32 - 2 * 4096,
            body: digest,
            pages: hashes.chunks(SECTOR_SIZE).map(Digest::of).collect(),
        };
        bend(&mut direct);
        self.repository.put(Resource::Body(&digest), body.to_vec());
        self.repository.put(Resource::Pages(&digest), hashes);
        let payload = encoded(|out| direct.encode(out).unwrap());
        let bytes = sign1(&self.keys.releases, Role::Direct, &payload);
        self.repository.put(target.resource(&manifest), bytes);
    }

    /// Seals an image, wraps its key, publishes the manifest that `bend` has had a look at, and
    /// offers it; returns the digest of the manifest.
    pub(crate) fn release(
        &mut self,
        image: &[u8],
        app: &App,
        seq: u64,
        bend: impl FnOnce(&mut Manifest),
    ) -> Digest {
        let mut body = image.to_vec();
        let sealed = content::seal(&mut self.keys.rng, &mut body);
        let digest = Digest::of(&body);
        let hashes: Vec<u8> = body
            .chunks(CHUNK_SIZE)
            .flat_map(|c| Digest::of(c).0)
            .collect();
        let length = u32::try_from(body.len()).unwrap();
        let mut manifest = Manifest {
            product: PRODUCT,
            vendor: VENDOR,
            class: CLASS,
            chip: CHIP,
            project: app.project.try_into().unwrap(),
            version: app.version.try_into().unwrap(),
            secure_version: SecurityVersion::new(app.secure_version),
            min_seq: 0,
            expires: TODAY + 365 * DAY,
            component: Component {
                kind: ComponentKind::App,
                plaintext_length: length,
                plaintext: Digest::of(image),
                body_length: length,
                body: digest,
                iv: sealed.iv.0,
                tag: sealed.tag.0,
                commitment: content::commitment(&digest, &sealed.key),
                pages: hashes.chunks(SECTOR_SIZE).map(Digest::of).collect(),
            },
        };
        bend(&mut manifest);
        self.repository.put(Resource::Body(&digest), body);
        self.repository.put(Resource::Pages(&digest), hashes);
        self.wrap(&digest, &sealed.key);
        let bytes = encoded(|out| manifest.encode(out).unwrap());
        let named = Digest::of(&bytes);
        self.repository.put(Resource::Manifest(&named), bytes);
        self.offer(named, seq);
        named
    }

    fn wrap(&mut self, body: &Digest, key: &ContentKey) {
        let wrap = self.keys.epoch.kek(&PRODUCT, GROUP, 3, body).wrap(key);
        let resource = Resource::BodyWrap {
            body,
            group: GROUP,
            epoch: 3,
        };
        self.repository.put(resource, wrap.0.to_vec());
    }

    /// Offers a manifest to everybody on the channel, in place of what was offered.
    pub(crate) fn offer(&mut self, manifest: Digest, seq: u64) {
        let offer = Offer {
            channel: channel(),
            chip: CHIP,
            manifest,
            seq,
            salt: Salt([9; 16]),
            ppm: Ppm::ALL,
            state: OfferState::Active,
        };
        self.releases.offers = heapless::Vec::from_slice(&[offer]).unwrap();
    }

    pub(crate) fn hold(&mut self, seq: u64, ppm: u32) {
        let hold = Hold {
            channel: channel(),
            chip: CHIP,
            seq,
            ppm: Ppm::new(ppm).unwrap(),
        };
        self.now.holds = heapless::Vec::from_slice(&[hold]).unwrap();
    }

    /// Makes the device a recipient of the current epoch, among others.
    pub(crate) fn enrol(&mut self, device: &SoftwareDeviceKey) {
        let mut shard = Vec::new();
        let mut everybody = vec![*device.public_key()];
        for _ in 0..4 {
            everybody.push(*SoftwareDeviceKey::generate(&mut self.keys.rng).public_key());
        }
        for key in &everybody {
            let entry = self
                .keys
                .epoch
                .wrap_for(key, &PRODUCT, GROUP, 3, &mut self.keys.rng);
            shard.push(entry.unwrap());
        }
        shard.sort_by_key(|entry| entry.device);
        let bytes = shard.iter().flat_map(|entry| entry.encode()).collect();
        let prefix = ShardPrefix::of(&device.device_id(), ShardNibbles::new(1).unwrap());
        self.repository.put(
            Resource::EpochShard {
                group: GROUP,
                epoch: 3,
                prefix,
            },
            bytes,
        );
    }

    /// Signs `releases` and `now` as they stand, each one version further, and publishes them.
    pub(crate) fn publish(&mut self) {
        self.releases.position.version += 1;
        self.now.position.version += 1;
        self.publish_as_is();
    }

    /// Signs and publishes `releases` and `now` without counting on.
    pub(crate) fn publish_as_is(&mut self) {
        let bytes = self.signed_releases(&self.keys.releases);
        self.now.releases = Digest::of(&bytes);
        self.repository
            .put(Resource::Releases(&self.now.releases), bytes);
        let bytes = self.signed_now(&self.keys.now);
        self.repository.put(Resource::Now, bytes);
    }

    pub(crate) fn signed_releases(&self, key: &SigningKey) -> Vec<u8> {
        let payload = encoded(|out| self.releases.encode(out).unwrap());
        sign1(key, Role::Releases, &payload)
    }

    pub(crate) fn signed_now(&self, key: &SigningKey) -> Vec<u8> {
        let payload = encoded(|out| self.now.encode(out).unwrap());
        sign1(key, Role::Now, &payload)
    }
}

/// Ciphertext for the slot, and the two probes behind it.
fn direct_body(image: &[u8], target: &DirectTarget<'_>) -> Vec<u8> {
    let encrypt = |at: u32, data: &[u8]| target.flash.encrypted(at, data);
    let mut padded = image.to_vec();
    padded.resize(image.len().next_multiple_of(SECTOR_SIZE), 0xFF);
    let head = &padded[..SECTOR_SIZE];
    let mut body = encrypt(target.slot, &padded);
    body.extend(encrypt(target.journal + 0x2000, head));
    body.extend(encrypt(target.journal + 0x3000, head));
    body
}

pub(crate) fn channel() -> ChannelName {
    ChannelName::new("stable").unwrap()
}

pub(crate) fn role(threshold: u8, generation: u32, keys: &[&SigningKey]) -> RoleKeys {
    let mut keys: heapless::Vec<PublicKeyBytes, 5> =
        keys.iter().map(|key| key.public_key()).collect();
    keys.sort();
    RoleKeys {
        threshold,
        keys,
        generation,
    }
}

pub(crate) fn sign_root(root: &Root, keys: &[&SigningKey]) -> Vec<u8> {
    let payload = encoded(|out| root.encode(out).unwrap());
    let signatures: Vec<SignatureOf> = keys
        .iter()
        .map(|key| cose::sign(key, &root.product, &payload).unwrap())
        .collect();
    let envelope = SignatureOf::threshold_envelope(&signatures, &payload).unwrap();
    encoded(|out| envelope.encode(out).unwrap())
}

pub(crate) fn sign1(key: &SigningKey, role: Role, payload: &[u8]) -> Vec<u8> {
    let signature = cose::sign1(key, role, &PRODUCT, payload).unwrap();
    encoded(|out| signature.envelope(payload).encode(out).unwrap())
}

fn encoded(encode: impl FnOnce(&mut [u8]) -> usize) -> Vec<u8> {
    let mut out = vec![0; 2048];
    let length = encode(&mut out);
    out.truncate(length);
    out
}
