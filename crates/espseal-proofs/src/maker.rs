//! The release authority of the proofs: signs, seals and wraps into a repository in memory.
//!
//! Keys come from a fixed seed, so that every run makes the same artefacts, once.

use std::collections::BTreeMap;

use espseal_crypto::content::{self, ContentKey};
use espseal_crypto::cose::{self, SignatureOf};
use espseal_crypto::device_key::SoftwareDeviceKey;
use espseal_crypto::epoch::EpochKey;
use espseal_crypto::es256::SigningKey;
use espseal_format::chip::ChipId;
use espseal_format::cohort::{Ppm, Salt};
use espseal_format::cose::Role;
use espseal_format::metadata::manifest::{ClassId, Component, ComponentKind, Manifest, VendorId};
use espseal_format::metadata::now::Now;
use espseal_format::metadata::releases::{Epoch, Offer, OfferState, Releases};
use espseal_format::metadata::root::{RoleKeys, Root};
use espseal_format::repository::Resource;
use espseal_format::units::{
    CHUNK_SIZE, ChannelName, Digest, Position, Product, PublicKeyBytes, SECTOR_SIZE,
    SecurityVersion,
};
use espseal_format::wrap::{ShardNibbles, ShardPrefix};

use crate::image::{App, PROJECT};
use crate::rng::TestRng;

pub(crate) const PRODUCT: Product = Product([0x70; 16]);
pub(crate) const OTHER_PRODUCT: Product = Product([0x71; 16]);
pub(crate) const VENDOR: VendorId = VendorId([0x56; 16]);
pub(crate) const CLASS: ClassId = ClassId([0x43; 16]);
pub(crate) const GROUP: u32 = 7;
pub(crate) const DAY: u64 = 86_400;
/// When everything happens, unless said otherwise.
pub(crate) const TODAY: u64 = 1_800_000_000;

/// The files of a repository, by path.
pub(crate) type Files = BTreeMap<String, Vec<u8>>;

/// Keys of the maker; three root keys, two of which have to sign.
pub(crate) struct Keys {
    pub(crate) root: [SigningKey; 3],
    pub(crate) releases: SigningKey,
    pub(crate) now: SigningKey,
    /// Roles get these when the first ones are stolen.
    pub(crate) spare: [SigningKey; 2],
    pub(crate) stranger: SigningKey,
    pub(crate) rng: TestRng,
}

/// What the maker publishes; every field may be bent before [`Maker::publish`].
pub(crate) struct Maker {
    pub(crate) keys: Keys,
    pub(crate) chip: ChipId,
    pub(crate) product: Product,
    pub(crate) group: u32,
    pub(crate) channel: ChannelName,
    pub(crate) epoch: EpochKey,
    pub(crate) root: Root,
    pub(crate) releases: Releases,
    pub(crate) now: Now,
    pub(crate) files: Files,
}

/// A release in the repository.
#[derive(Clone, Copy)]
pub(crate) struct Released {
    pub(crate) manifest: Digest,
    pub(crate) body: Digest,
}

impl Maker {
    /// A maker of devices with this chip, with a root and no release.
    pub(crate) fn new(chip: ChipId) -> Self {
        Self::of(chip, PRODUCT, GROUP, "stable")
    }

    /// A maker whose role keys are those of [`Maker::new`], for another product, group or channel.
    pub(crate) fn of(chip: ChipId, product: Product, group: u32, channel: &str) -> Self {
        let mut rng = TestRng::new(1);
        let mut key = || SigningKey::generate(&mut rng);
        let root = [key(), key(), key()];
        let (releases, now, spare, stranger) = (key(), key(), [key(), key()], key());
        let rng = TestRng::new(u64::from(product.0[0]) << 32 | u64::from(group));
        let mut keys = Keys {
            root,
            releases,
            now,
            spare,
            stranger,
            rng,
        };
        let first = Position {
            generation: 1,
            version: 1,
        };
        let epoch = EpochKey::generate(&mut keys.rng);
        let terms = Epoch {
            group,
            epoch: 3,
            commitment: epoch.commitment(&product, group, 3),
            shard_nibbles: ShardNibbles::new(1).unwrap(),
        };
        let mut maker = Self {
            chip,
            product,
            group,
            channel: ChannelName::new(channel).unwrap(),
            epoch,
            root: Root {
                product,
                version: 1,
                expires: TODAY + 3650 * DAY,
                max_time: TODAY + 3650 * DAY,
                root: role(2, 0, &keys.root.each_ref()),
                releases: role(1, 1, &[&keys.releases]),
                now: role(1, 1, &[&keys.now]),
            },
            releases: Releases {
                product,
                position: first,
                previous: None,
                expires: TODAY + 365 * DAY,
                offers: heapless::Vec::new(),
                epochs: heapless::Vec::from_slice(&[terms]).unwrap(),
            },
            now: Now {
                product,
                position: first,
                time: TODAY,
                expires: TODAY + 7 * DAY,
                releases: Digest([0; 32]),
                root_version: 1,
                holds: heapless::Vec::new(),
            },
            files: Files::new(),
            keys,
        };
        maker.publish_root();
        maker
    }

    /// The current root, signed by as many root keys as have to.
    pub(crate) fn signed_root(&self) -> Vec<u8> {
        let signers = self.keys.root.iter().take(self.root.root.threshold.into());
        sign_root(&self.root, &signers.collect::<Vec<_>>())
    }

    /// The current root, signed by the first two root keys, whatever it says itself.
    pub(crate) fn signed_root_by_two(&self) -> Vec<u8> {
        sign_root(&self.root, &[&self.keys.root[0], &self.keys.root[1]])
    }

    /// Publishes the current root as `root/<version>.cose`, and has `now` name it.
    pub(crate) fn publish_root(&mut self) {
        self.now.root_version = self.root.version;
        let bytes = self.signed_root();
        self.put(Resource::Root(self.root.version), bytes);
    }

    /// Seals an image, publishes it under a manifest that says what `app` says, and offers it.
    pub(crate) fn release(&mut self, app: &App, seq: u64) -> Released {
        self.release_image(&app.build(), app, seq, |_| {})
    }

    /// Seals any image under a manifest that `bend` has had a look at, and offers it.
    pub(crate) fn release_image(
        &mut self,
        image: &[u8],
        app: &App,
        seq: u64,
        bend: impl FnOnce(&mut Manifest),
    ) -> Released {
        let mut body = image.to_vec();
        let sealed = content::seal(&mut self.keys.rng, &mut body);
        let digest = Digest::of(&body);
        let hashes: Vec<u8> = body
            .chunks(CHUNK_SIZE)
            .flat_map(|chunk| Digest::of(chunk).0)
            .collect();
        let length = u32::try_from(body.len()).unwrap();
        let mut manifest = Manifest {
            product: self.product,
            vendor: VENDOR,
            class: CLASS,
            chip: self.chip,
            project: PROJECT.try_into().unwrap(),
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
        self.put(Resource::Body(&digest), body);
        self.put(Resource::Pages(&digest), hashes);
        self.wrap(&digest, &sealed.key);
        let bytes = encoded(|out| manifest.encode(out).unwrap());
        let named = Digest::of(&bytes);
        self.put(Resource::Manifest(&named), bytes);
        self.offer(named, seq);
        Released {
            manifest: named,
            body: digest,
        }
    }

    fn wrap(&mut self, body: &Digest, key: &ContentKey) {
        let kek = self.epoch.kek(&self.product, self.group, 3, body);
        let resource = Resource::BodyWrap {
            body,
            group: self.group,
            epoch: 3,
        };
        self.put(resource, kek.wrap(key).0.to_vec());
    }

    /// Offers a manifest to everybody on the channel, in place of what was offered.
    pub(crate) fn offer(&mut self, manifest: Digest, seq: u64) {
        let offer = Offer {
            channel: self.channel.clone(),
            chip: self.chip,
            manifest,
            seq,
            salt: Salt([9; 16]),
            ppm: Ppm::ALL,
            state: OfferState::Active,
        };
        self.releases.offers = heapless::Vec::from_slice(&[offer]).unwrap();
    }

    /// Has one root key instead of two out of three, to save devices time.
    pub(crate) fn with_one_root_key(mut self) -> Self {
        self.root.root = role(1, 0, &[&self.keys.root[0]]);
        self.publish_root();
        self
    }

    /// Makes devices recipients of the current epoch; shards are told apart by the first digit.
    pub(crate) fn enrol(&mut self, devices: &[&SoftwareDeviceKey]) {
        let (product, group) = (self.product, self.group);
        let mut shards: BTreeMap<String, Vec<_>> = BTreeMap::new();
        for device in devices {
            let key = device.public_key();
            let entry = self
                .epoch
                .wrap_for(key, &product, group, 3, &mut self.keys.rng);
            let prefix = ShardPrefix::of(&device.device_id(), ShardNibbles::new(1).unwrap());
            let resource = Resource::EpochShard {
                group,
                epoch: 3,
                prefix,
            };
            let path = resource.path().as_str().to_owned();
            shards.entry(path).or_default().push(entry.unwrap());
        }
        for (path, mut entries) in shards {
            entries.sort_by_key(|entry| entry.device);
            let bytes = entries.iter().flat_map(|entry| entry.encode()).collect();
            self.files.insert(path, bytes);
        }
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
        let named = self.now.releases;
        self.put(Resource::Releases(&named), bytes);
        let bytes = self.signed_now(&self.keys.now);
        self.put(Resource::Now, bytes);
    }

    pub(crate) fn signed_releases(&self, key: &SigningKey) -> Vec<u8> {
        let payload = encoded(|out| self.releases.encode(out).unwrap());
        sign1(key, Role::Releases, &self.product, &payload)
    }

    pub(crate) fn signed_now(&self, key: &SigningKey) -> Vec<u8> {
        let payload = encoded(|out| self.now.encode(out).unwrap());
        sign1(key, Role::Now, &self.product, &payload)
    }

    pub(crate) fn put(&mut self, resource: Resource<'_>, bytes: Vec<u8>) {
        self.files.insert(resource.path().as_str().into(), bytes);
    }
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

pub(crate) fn sign1(key: &SigningKey, role: Role, product: &Product, payload: &[u8]) -> Vec<u8> {
    let signature = cose::sign1(key, role, product, payload).unwrap();
    encoded(|out| signature.envelope(payload).encode(out).unwrap())
}

pub(crate) fn encoded(encode: impl FnOnce(&mut [u8]) -> usize) -> Vec<u8> {
    let mut out = vec![0; 2048];
    let length = encode(&mut out);
    out.truncate(length);
    out
}
