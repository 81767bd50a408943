//! A repository for the virtual device alone: the exact body, pages and manifest of the release,
//! under metadata and wraps made with keys that live only as long as the rehearsal.
//!
//! The real role keys sign nothing before the rehearsal has succeeded; the real epoch key is wrapped
//! for devices whose private keys nobody here has.

use std::path::Path;

use espseal_crypto::device_key::SoftwareDeviceKey;
use espseal_crypto::epoch::EpochKey;
use espseal_crypto::es256::SigningKey;
use espseal_format::cohort::{Ppm, Salt};
use espseal_format::metadata::now::Now;
use espseal_format::metadata::releases::{Epoch, Offer, OfferState, Releases};
use espseal_format::repository::Resource;
use espseal_format::units::{Digest, Position, PublicKeyBytes};
use espseal_format::wrap::{ShardNibbles, ShardPrefix};

use super::Exhibit;
use crate::authority::{AuthorityError, random};
use crate::keys::{KeyError, RoleSigner};
use crate::metadata_signing::{
    RoleSetup, SignedDocument, first_root, sign_direct, sign_now, sign_releases, sign_root,
};
use crate::release_log::ReleaseLog;
use crate::repository::Store as _;
use crate::repository::folder::FolderStore;

/// A role key that is gone after the rehearsal.
struct PassingKey(SigningKey);

impl RoleSigner for PassingKey {
    fn public_key(&self) -> PublicKeyBytes {
        self.0.public_key()
    }

    fn sign(&self, to_be_signed: &[u8]) -> Result<[u8; 64], KeyError> {
        self.0
            .sign_prehash(&Digest::of(to_be_signed))
            .map_err(|_| KeyError::Signing)
    }
}

/// Fills `folder/repository`; returns the root to build into the virtual device.
pub(super) fn fill(
    folder: &Path,
    exhibit: &Exhibit<'_>,
    device: &SoftwareDeviceKey,
) -> Result<Vec<u8>, AuthorityError> {
    let store = FolderStore::open(&folder.join("repository"))?;
    let sealed = exhibit.sealed;
    let manifest = Digest::of(exhibit.manifest_bytes);
    store.put(&Resource::Body(&sealed.digest).path(), &sealed.body)?;
    store.put(&Resource::Pages(&sealed.digest).path(), &sealed.pages)?;
    store.put(
        &Resource::Manifest(&manifest).path(),
        exhibit.manifest_bytes,
    )?;
    let epoch = wrap(&store, exhibit, device)?;

    let mut log = ReleaseLog::create(&folder.join("releases.log"))?;
    let key = PassingKey(SigningKey::generate(&mut random()));
    let role = |generation| RoleSetup {
        keys: vec![key.public_key()],
        threshold: 1,
        generation,
    };
    let root = first_root(
        exhibit.project.product,
        &exhibit.project.lifetimes,
        exhibit.time,
        [&role(0), &role(exhibit.position.generation), &role(1)],
    )?;
    let signed_root = sign_root(&log, &root, None, &[&key])?;
    store.put(&Resource::Root(1).path(), &signed_root.bytes)?;
    let first = |generation| Position {
        generation,
        version: 1,
    };
    let offer = Offer {
        channel: exhibit.channel.name.clone(),
        chip: exhibit.image.chip(),
        manifest,
        seq: exhibit.position.version,
        salt: Salt([0; 16]),
        ppm: Ppm::ALL,
        state: OfferState::Active,
    };
    let releases = Releases {
        product: exhibit.project.product,
        position: first(exhibit.position.generation),
        previous: None,
        expires: root.expires,
        offers: std::iter::once(offer).collect(),
        epochs: std::iter::once(epoch).collect(),
    };
    let document = sign_releases(&mut log, &root, &releases, &key)?;
    let path = Resource::Releases(&document.digest).path();
    store.put(&path, &document.bytes)?;
    let now = Now {
        product: exhibit.project.product,
        position: first(1),
        time: exhibit.time,
        expires: root.expires,
        releases: document.digest,
        root_version: 1,
        holds: heapless::Vec::new(),
    };
    for image in exhibit.direct.iter().flat_map(|direct| &direct.images) {
        let signed = sign_direct(&root, &image.manifest, &key)?;
        let body = &image.manifest.body;
        store.put(&Resource::Body(body).path(), &image.body)?;
        store.put(&Resource::Pages(body).path(), &image.pages)?;
        store.put(&image.resource().path(), &signed.bytes)?;
    }
    let SignedDocument { bytes, .. } = sign_now(&mut log, &root, &now, &key)?;
    store.put(&Resource::Now.path(), &bytes)?;
    Ok(signed_root.bytes)
}

fn wrap(
    store: &FolderStore,
    exhibit: &Exhibit<'_>,
    device: &SoftwareDeviceKey,
) -> Result<Epoch, AuthorityError> {
    let (product, group) = (&exhibit.project.product, exhibit.channel.group);
    let key = EpochKey::generate(&mut random());
    let body = &exhibit.sealed.digest;
    let wrap = key.kek(product, group, 1, body).wrap(&exhibit.sealed.key);
    let path = Resource::BodyWrap {
        body,
        group,
        epoch: 1,
    };
    store.put(&path.path(), &wrap.0)?;
    let id = device.device_id();
    let entry = key
        .wrap_for(device.public_key(), product, group, 1, &mut random())
        .map_err(|_| KeyError::Generation)?;
    let nibbles = ShardNibbles::default();
    let shard = Resource::EpochShard {
        group,
        epoch: 1,
        prefix: ShardPrefix::of(&id, nibbles),
    };
    store.put(&shard.path(), &entry.encode())?;
    Ok(Epoch {
        group,
        epoch: 1,
        commitment: key.commitment(product, group, 1),
        shard_nibbles: nibbles,
    })
}
