//! A release authority that publishes one release into a folder.

use std::path::Path;

use espseal_agent::config::{Config, Floors, Layout, Policy, Region};
use espseal_crypto::content;
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
    CHUNK_SIZE, ChannelName, Digest, FlashOffset, Position, Product, SecurityVersion,
};
use espseal_format::wrap::{ShardNibbles, ShardPrefix};
use rand_core::{Infallible, TryCryptoRng, TryRng};

use crate::support::{JOURNAL, OTA_0, OTA_1, OTADATA};

const PRODUCT: Product = Product([0x70; 16]);
const GROUP: u32 = 7;
const TODAY: u64 = 1_800_000_000;
const SOON: u64 = TODAY + 86_400;

/// Randomness of the host.
pub(crate) struct HostRng;

impl TryRng for HostRng {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(getrandom::u32().unwrap())
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(getrandom::u64().unwrap())
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        getrandom::fill(bytes).unwrap();
        Ok(())
    }
}

impl TryCryptoRng for HostRng {}

/// Publishes a signed image for this device; returns the root to build into its firmware.
pub(crate) fn publish(
    folder: &Path,
    chip: ChipId,
    image: &[u8],
    device: &SoftwareDeviceKey,
) -> Vec<u8> {
    let mut rng = HostRng;
    let [root_key, releases_key, now_key] = [0; 3].map(|_| SigningKey::generate(&mut rng));
    let epoch_key = EpochKey::generate(&mut rng);
    let nibbles = ShardNibbles::new(0).unwrap();
    let put = |resource: Resource<'_>, bytes: &[u8]| {
        let path = folder.join(resource.path().as_str());
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    };

    let mut body = image.to_vec();
    let sealed = content::seal(&mut rng, &mut body);
    let named = Digest::of(&body);
    let pages: Vec<u8> = body
        .chunks(CHUNK_SIZE)
        .flat_map(|chunk| Digest::of(chunk).0)
        .collect();
    let length = u32::try_from(body.len()).unwrap();
    let version = char::from(image[32 + 16]).to_string();
    let manifest = Manifest {
        product: PRODUCT,
        vendor: VendorId([0x56; 16]),
        class: ClassId([0x43; 16]),
        chip,
        project: "twin".try_into().unwrap(),
        version: version.as_str().try_into().unwrap(),
        secure_version: SecurityVersion::new(0),
        min_seq: 0,
        expires: SOON,
        component: Component {
            kind: ComponentKind::App,
            plaintext_length: length,
            plaintext: Digest::of(image),
            body_length: length,
            body: named,
            iv: sealed.iv.0,
            tag: sealed.tag.0,
            commitment: content::commitment(&named, &sealed.key),
            pages: pages.chunks(4096).map(Digest::of).collect(),
        },
    };
    put(Resource::Body(&named), &body);
    put(Resource::Pages(&named), &pages);
    let wrap = epoch_key.kek(&PRODUCT, GROUP, 3, &named).wrap(&sealed.key);
    put(
        Resource::BodyWrap {
            body: &named,
            group: GROUP,
            epoch: 3,
        },
        &wrap.0,
    );
    let entry = epoch_key
        .wrap_for(device.public_key(), &PRODUCT, GROUP, 3, &mut rng)
        .unwrap();
    let prefix = ShardPrefix::of(&device.device_id(), nibbles);
    put(
        Resource::EpochShard {
            group: GROUP,
            epoch: 3,
            prefix,
        },
        &entry.encode(),
    );
    let manifest = encoded(|out| manifest.encode(out).unwrap());
    let manifest_digest = Digest::of(&manifest);
    put(Resource::Manifest(&manifest_digest), &manifest);

    let position = Position {
        generation: 1,
        version: 1,
    };
    let offer = Offer {
        channel: channel(),
        chip,
        manifest: manifest_digest,
        seq: 5,
        salt: Salt([9; 16]),
        ppm: Ppm::ALL,
        state: OfferState::Active,
    };
    let epoch = Epoch {
        group: GROUP,
        epoch: 3,
        commitment: epoch_key.commitment(&PRODUCT, GROUP, 3),
        shard_nibbles: nibbles,
    };
    let releases = Releases {
        product: PRODUCT,
        position,
        previous: None,
        expires: SOON,
        offers: heapless::Vec::from_slice(&[offer]).unwrap(),
        epochs: heapless::Vec::from_slice(&[epoch]).unwrap(),
    };
    let releases = encoded(|out| releases.encode(out).unwrap());
    let releases = sign1(&releases_key, Role::Releases, &releases);
    let releases_digest = Digest::of(&releases);
    put(Resource::Releases(&releases_digest), &releases);
    let now = Now {
        product: PRODUCT,
        position,
        time: TODAY,
        expires: SOON,
        releases: releases_digest,
        root_version: 1,
        holds: heapless::Vec::new(),
    };
    let now = encoded(|out| now.encode(out).unwrap());
    put(Resource::Now, &sign1(&now_key, Role::Now, &now));

    let root = Root {
        product: PRODUCT,
        version: 1,
        expires: SOON,
        max_time: SOON,
        root: role(0, &root_key),
        releases: role(1, &releases_key),
        now: role(1, &now_key),
    };
    let payload = encoded(|out| root.encode(out).unwrap());
    let signatures = [cose::sign(&root_key, &PRODUCT, &payload).unwrap()];
    let envelope = SignatureOf::threshold_envelope(&signatures, &payload).unwrap();
    let root = encoded(|out| envelope.encode(out).unwrap());
    put(Resource::Root(1), &root);
    root
}

/// What the firmware of the test devices has built in.
pub(crate) fn config(chip: ChipId, root: &[u8]) -> Config<'_> {
    let slot = |offset| Region {
        offset: FlashOffset::new(offset),
        size: 0x2_0000,
    };
    Config {
        product: PRODUCT,
        vendor: VendorId([0x56; 16]),
        class: ClassId([0x43; 16]),
        chip,
        channel: channel(),
        group: GROUP,
        built_in_root: root,
        floors: Floors::default(),
        layout: Layout {
            factory: None,
            slots: [slot(OTA_0), slot(OTA_1)].into_iter().collect(),
            otadata: FlashOffset::new(OTADATA),
            journal: FlashOffset::new(JOURNAL),
        },
        policy: Policy::default(),
    }
}

fn channel() -> ChannelName {
    ChannelName::new("stable").unwrap()
}

fn role(generation: u32, key: &SigningKey) -> RoleKeys {
    let keys = [key.public_key()].into_iter().collect();
    RoleKeys {
        threshold: 1,
        keys,
        generation,
    }
}

fn sign1(key: &SigningKey, role: Role, payload: &[u8]) -> Vec<u8> {
    let signature = cose::sign1(key, role, &PRODUCT, payload).unwrap();
    encoded(|out| signature.envelope(payload).encode(out).unwrap())
}

fn encoded(encode: impl FnOnce(&mut [u8]) -> usize) -> Vec<u8> {
    let mut out = vec![0; 2048];
    let length = encode(&mut out);
    out.truncate(length);
    out
}
