//! Files for ESP-IDF devices with the ECIES scheme: sealed on all cores, stored one by one, and
//! removed once two newer releases have taken their place.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread;

use espseal_crypto::content::{self, ContentKey, Iv, Tag};
use espseal_format::chip::ChipId;
use espseal_format::metadata::manifest::Manifest;
use espseal_format::repository::{OwnedResource, Resource};
use espseal_format::units::{DeviceId, Digest, PublicKeyBytes};
use zeroize::Zeroizing;

use crate::authority::{Authority, AuthorityError, Visible};
use crate::enrolment::{Device, Recipient};
use crate::idf_recipient::ecies::{SealedFileError, seal_file};
use crate::observer::{Observer, Stage};
use crate::project::Channel;
use crate::repository::{Store, StoreError};

/// A device that gets a file of its own.
type Target = (DeviceId, PublicKeyBytes);

impl Authority {
    /// The devices of a channel and chip that get a file of their own, in ascending order of id.
    pub(crate) fn esp_idf_ecies<'a>(
        &'a self,
        channel: &'a Channel,
        chip: ChipId,
    ) -> impl Iterator<Item = Target> + 'a {
        self.registry
            .recipients(&channel.name)
            .filter(move |device| device.chip == chip)
            .filter_map(target)
    }

    /// Seals a file for each such device of a channel and stores it.
    pub(super) fn seal_for_esp_idf(
        &self,
        channel: &Channel,
        manifest: &Manifest,
        image: &[u8],
        observer: &dyn Observer,
    ) -> Result<usize, AuthorityError> {
        let targets: Vec<_> = self.esp_idf_ecies(channel, manifest.chip).collect();
        if targets.is_empty() {
            return Ok(0);
        }
        observer.begin(Stage::SealingFiles, targets.len() as u64);
        let body = &manifest.component.body;
        seal_all(&self.store, &targets, body, image, observer)?;
        Ok(targets.len())
    }

    /// Seals the image on offer for a device that was enrolled after it was published; for others
    /// nothing is to be done.
    pub(crate) fn store_file_on_offer(
        &self,
        device: &Device,
        manifest: &Manifest,
        key: &ContentKey,
    ) -> Result<(), AuthorityError> {
        let Some(target) = target(device) else {
            return Ok(());
        };
        let component = &manifest.component;
        let body = component.body;
        let damaged = || SealedFileError::StoredBody { body };
        let stored = self.store.get(&Resource::Body(&body).path())?;
        let mut image = Zeroizing::new(stored.ok_or_else(damaged)?);
        content::open(key, &Iv(component.iv), &Tag(component.tag), &mut image)
            .map_err(|_| damaged())?;
        if Digest::of(&image) != component.plaintext {
            return Err(damaged().into());
        }
        store_file(&self.store, &target, &body, &image)
    }

    /// Removes the files of all releases but the one that is being published and the one that it
    /// replaces, which devices may be downloading right now.
    pub(super) fn remove_old_files(
        &self,
        channel: &Channel,
        manifest: &Manifest,
        visible: Option<&Visible>,
    ) -> Result<(), AuthorityError> {
        let mut bodies = vec![manifest.component.body];
        let replaced =
            visible.and_then(|visible| visible.releases.offer(&channel.name, manifest.chip));
        if let Some(offer) = replaced {
            bodies.push(self.manifest(&offer.manifest)?.component.body);
        }
        for (device, _) in self.esp_idf_ecies(channel, manifest.chip) {
            remove_all_but(&self.store, &device, &bodies)?;
        }
        Ok(())
    }
}

fn target(device: &Device) -> Option<Target> {
    match device.recipient {
        Recipient::EspIdfEcies { public_key } => Some((device.id, public_key)),
        Recipient::Agent { .. } | Recipient::EspIdfRsa { .. } => None,
    }
}

/// Seals and stores on every core, each with one file in memory at a time.
fn seal_all(
    store: &(dyn Store + Sync),
    targets: &[Target],
    body: &Digest,
    image: &[u8],
    observer: &dyn Observer,
) -> Result<(), AuthorityError> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let work = |done: Sender<Result<(), AuthorityError>>| {
        while !stop.load(Ordering::Relaxed) {
            let Some(target) = targets.get(next.fetch_add(1, Ordering::Relaxed)) else {
                break;
            };
            let stored = store_file(store, target, body, image);
            stop.fetch_or(stored.is_err(), Ordering::Relaxed);
            // The receiver outlives the threads.
            let _ = done.send(stored);
        }
    };
    thread::scope(|scope| {
        let (done, results) = channel();
        for _ in 0..cores.min(targets.len()) {
            let (work, done) = (&work, done.clone());
            scope.spawn(move || work(done));
        }
        drop(done);
        let mut outcome = Ok(());
        for result in results {
            match result {
                Ok(()) => observer.advance(1),
                Err(error) => outcome = outcome.and(Err(error)),
            }
            if observer.is_interrupted() && !stop.fetch_or(true, Ordering::Relaxed) {
                outcome = outcome.and(Err(AuthorityError::Interrupted));
            }
        }
        outcome
    })
}

/// Seals and stores one file. Its link comes last: it is what makes the server know the file.
fn store_file(
    store: &dyn Store,
    (device, public_key): &Target,
    body: &Digest,
    image: &[u8],
) -> Result<(), AuthorityError> {
    let file = seal_file(public_key, image)?;
    let path = Resource::IdfFile {
        device,
        file: &file.digest,
    };
    store.put(&path.path(), &file.bytes)?;
    let link = Resource::IdfLink { device, body };
    Ok(store.replace(&link.path(), &file.digest.0)?)
}

/// Removes every file of a device that none of the links of these bodies names, and all other links.
///
/// A file goes after its link, so that a link never names nothing.
fn remove_all_but(
    store: &dyn Store,
    device: &DeviceId,
    bodies: &[Digest],
) -> Result<(), StoreError> {
    let folder = format!("idf/{device}");
    let mut wanted = Vec::new();
    for body in bodies {
        let link = store.get(&Resource::IdfLink { device, body }.path())?;
        wanted.extend(link.and_then(|link| Some(Digest(*link.first_chunk()?))));
    }
    let mut files = Vec::new();
    for name in store.list(&folder)? {
        let path = format!("{folder}/{name}");
        match Resource::parse(&path) {
            Some(OwnedResource::IdfLink { body, .. }) if !bodies.contains(&body) => {
                store.remove(&path)?;
            }
            Some(OwnedResource::IdfFile { file, .. }) if !wanted.contains(&file) => {
                files.push(path);
            }
            _ => {}
        }
    }
    files.iter().try_for_each(|path| store.remove(path))
}
