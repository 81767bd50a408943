//! The publish pipeline: check, seal, rehearse, wrap, store, sign, show.

mod whole_files;
mod wrapping;

pub(crate) use wrapping::agent;

use std::path::PathBuf;

use espseal_format::chip::ChipId;
use espseal_format::cohort::{Ppm, Salt};
use espseal_format::metadata::manifest::{
    ClassId, Component, ComponentKind, MAX_LEN, Manifest, VendorId,
};
use espseal_format::metadata::releases::{Offer, OfferState};
use espseal_format::repository::Resource;
use espseal_format::units::{Digest, Position, SecurityVersion};
use rand_core::Rng as _;

use crate::authority::{Authority, AuthorityError, Draft, Signed, Visible, random};
use crate::direct::{DirectRelease, DirectRequest};
use crate::idf_recipient::Opening;
use crate::image_check::{CheckedImage, check_image, read_image};
use crate::metadata_signing::expiry;
use crate::observer::{Observer, Stage};
use crate::project::{Channel, Fleet, Project, names};
use crate::rehearsal::{DirectExhibit, EspIdfRecipients, Exhibit, Rehearsal, Rehearsed};
use crate::repository::Store as _;
use crate::seal::{SealedBody, seal};

/// What to publish.
#[derive(Clone, Debug)]
pub struct PublishRequest {
    /// The signed app image.
    pub app: PathBuf,
    /// Channel to offer it on.
    pub channel: String,
    /// Share of the devices that are offered it.
    pub ppm: Ppm,
    /// Whether devices may take it.
    pub state: OfferState,
    /// Its place in the order of installations; `None` for the next free one.
    pub seq: Option<u64>,
    /// Lowest installed `seq` that may update to it; 0 for any.
    pub min_seq: u64,
    /// What to do when the repository was lost.
    pub repository: RepositoryState,
    /// Where flash keys are, to make direct images besides; `None` for none.
    pub direct: Option<DirectRequest>,
}

/// Which repository a release goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RepositoryState {
    /// The one that holds what was published so far.
    Existing,
    /// A new one: what was published so far is gone.
    New,
}

/// What was published.
#[derive(Debug)]
pub struct Published {
    /// Channel that offers it.
    pub channel: Channel,
    /// Chip it is for.
    pub chip: ChipId,
    /// Project name of the app descriptor.
    pub project: String,
    /// Version of the app descriptor.
    pub version: String,
    /// Secure version of the app descriptor.
    pub secure_version: SecurityVersion,
    /// Generation and `seq`.
    pub position: Position,
    /// Digest of the manifest.
    pub manifest: Digest,
    /// Digest of the body.
    pub body: Digest,
    /// Length of the body.
    pub body_length: u32,
    /// Epoch whose key opens it.
    pub epoch: u32,
    /// Agents that can open it.
    pub agents: usize,
    /// ESP-IDF devices that can open it.
    pub esp_idf_devices: usize,
    /// Those of them that got a file of their own.
    pub esp_idf_files: usize,
    /// Devices that it was made for directly; `None` when nobody asked.
    pub direct_devices: Option<usize>,
    /// What the rehearsal showed.
    pub rehearsed: Rehearsed,
    /// What was signed.
    pub signed: Signed,
}

impl Authority {
    /// Publishes a release.
    ///
    /// Nothing is written before every check has passed and the rehearsal has succeeded; nothing
    /// is visible before the last file is in place.
    ///
    /// # Errors
    /// [`AuthorityError`] for the first step that says no.
    pub fn publish(
        &mut self,
        request: &PublishRequest,
        time: u64,
        rehearsal: &dyn Rehearsal,
        observer: &dyn Observer,
    ) -> Result<Published, AuthorityError> {
        let channel = self.project.channel(&request.channel)?.clone();
        let visible = match request.repository {
            RepositoryState::Existing => self.visible()?,
            RepositoryState::New => {
                self.check_log_of_lost()?;
                None
            }
        };
        self.check_time(visible.as_ref(), time)?;
        observer.begin(Stage::Checking, 0);
        let image = self.check_request(request, &channel, visible.as_ref())?;
        let position = self.place(request, visible.as_ref())?;
        self.check_signers()?;

        observer.begin(Stage::Sealing, 0);
        let sealed = seal(&mut random(), &image)?;
        let (manifest, manifest_bytes) = describe(&self.project, request, &image, &sealed, time)?;
        let manifest_digest = Digest::of(&manifest_bytes);
        stop_if_asked(observer)?;

        let fleet = fleet_of(&self.project, request, &channel, image.chip())?;
        let audience = match &request.direct {
            Some(direct) => Some(self.direct_audience(direct, &channel, fleet)?),
            None => None,
        };
        let release = audience.as_ref().map(|audience| DirectRelease {
            product: self.project.product,
            manifest: manifest_digest,
            image: &image,
            journal: audience.journal(),
        });
        let direct = match (&release, &audience) {
            (Some(release), Some(audience)) => Some(DirectExhibit::of(release, audience)?),
            _ => None,
        };
        observer.begin(Stage::Rehearsing, 0);
        let rehearsed = rehearsal.rehearse(&Exhibit {
            project: &self.project,
            fleet,
            channel: &channel,
            image: &image,
            sealed: &sealed,
            manifest: &manifest,
            manifest_bytes: &manifest_bytes,
            position,
            agents: self.agents(&channel).len(),
            esp_idf: EspIdfRecipients {
                rsa: self.esp_idf_rsa(&channel, image.chip()).count(),
                ecies: self.esp_idf_ecies(&channel, image.chip()).count(),
            },
            direct: direct.as_ref(),
            time,
        })?;
        stop_if_asked(observer)?;

        let audience_of_chip = (&channel, image.chip());
        let epoch = self.wrap(audience_of_chip, &sealed, visible.as_ref(), observer)?;
        let opening = Opening::of(&sealed, manifest.component.body_length);
        let esp_idf_headers = self.wrap_for_esp_idf(&channel, &manifest, &opening, observer)?;
        let esp_idf_files = self.seal_for_esp_idf(&channel, &manifest, image.bytes(), observer)?;
        self.remove_old_files(&channel, &manifest, visible.as_ref())?;
        observer.begin(Stage::Storing, 0);
        if request.repository == RepositoryState::New {
            self.store_records()?;
        }
        self.store_release(&sealed, &manifest_digest, &manifest_bytes)?;
        let direct_devices = match (&release, &audience) {
            (Some(release), Some(audience)) => {
                Some(self.store_direct(release, audience, observer)?)
            }
            _ => None,
        };

        let mut draft = visible.as_ref().map(Draft::of).unwrap_or_default();
        let mut salt = Salt([0; 16]);
        random().fill_bytes(&mut salt.0);
        draft
            .offers
            .retain(|offer| (&offer.channel, offer.chip) != (&channel.name, image.chip()));
        draft.offers.push(Offer {
            channel: channel.name.clone(),
            chip: image.chip(),
            manifest: manifest_digest,
            seq: position.version,
            salt,
            ppm: request.ppm,
            state: request.state,
        });
        draft.epochs.retain(|other| other.group != epoch.group);
        draft.epochs.push(epoch.clone());
        let signed = self.show(visible.as_ref(), draft, time, observer)?;
        Ok(Published {
            chip: image.chip(),
            project: manifest.project.as_str().into(),
            version: manifest.version.as_str().into(),
            secure_version: manifest.secure_version,
            position,
            manifest: manifest_digest,
            body: sealed.digest,
            body_length: manifest.component.body_length,
            epoch: epoch.epoch,
            agents: self.agents(&channel).len(),
            esp_idf_devices: esp_idf_headers.saturating_add(esp_idf_files),
            esp_idf_files,
            direct_devices,
            rehearsed,
            signed,
            channel,
        })
    }

    /// Checks an image as [`Authority::publish`] would, and publishes nothing.
    ///
    /// # Errors
    /// [`AuthorityError`] for the first check that says no.
    pub fn verify_image(
        &mut self,
        request: &PublishRequest,
    ) -> Result<CheckedImage, AuthorityError> {
        let channel = self.project.channel(&request.channel)?.clone();
        let visible = self.visible()?;
        self.check_request(request, &channel, visible.as_ref())
    }

    fn check_request(
        &self,
        request: &PublishRequest,
        channel: &Channel,
        visible: Option<&Visible>,
    ) -> Result<CheckedImage, AuthorityError> {
        let (bytes, chip) = read_image(&request.app)?;
        let fleet = fleet_of(&self.project, request, channel, chip)?;
        let current = visible
            .and_then(|visible| visible.releases.offer(&channel.name, chip))
            .map(|offer| self.manifest(&offer.manifest))
            .transpose()?
            .map(|manifest| manifest.secure_version);
        Ok(check_image(&request.app, bytes, fleet, current)?)
    }

    /// Finds the place of a new release in the order of installations.
    fn place(
        &self,
        request: &PublishRequest,
        visible: Option<&Visible>,
    ) -> Result<Position, AuthorityError> {
        let generation = self.root.releases.generation;
        let after_offers = visible
            .into_iter()
            .flat_map(|visible| &visible.releases.offers)
            .map(|offer| offer.seq.saturating_add(1))
            .max()
            .unwrap_or(1);
        let next = self.log.next_seq(generation).max(after_offers);
        let position = Position {
            generation,
            version: request.seq.unwrap_or(next),
        };
        self.log.check_seq(position, None)?;
        if request.min_seq >= position.version {
            return Err(AuthorityError::MinSeq {
                min_seq: request.min_seq,
                seq: position.version,
            });
        }
        if request.min_seq > 0 && next == 1 && self.log.has_seq_before(generation) {
            return Err(AuthorityError::NewGeneration {
                min_seq: request.min_seq,
                generation,
            });
        }
        Ok(position)
    }

    fn store_release(
        &self,
        sealed: &SealedBody,
        manifest: &Digest,
        manifest_bytes: &[u8],
    ) -> Result<(), AuthorityError> {
        for (resource, bytes) in [
            (Resource::Body(&sealed.digest), sealed.body.as_slice()),
            (Resource::Pages(&sealed.digest), &sealed.pages),
            (Resource::Manifest(manifest), manifest_bytes),
        ] {
            self.store.put(&resource.path(), bytes)?;
        }
        Ok(())
    }
}

/// The fleet of a chip, if the channel serves it.
fn fleet_of<'a>(
    project: &'a Project,
    request: &PublishRequest,
    channel: &Channel,
    chip: ChipId,
) -> Result<&'a Fleet, AuthorityError> {
    project
        .fleet(chip)
        .filter(|_| channel.chips.contains(&chip))
        .ok_or_else(|| AuthorityError::WrongChip {
            path: request.app.clone(),
            found: chip,
            channel: channel.name.clone(),
            expected: names(channel.chips.iter()),
        })
}

fn describe(
    project: &Project,
    request: &PublishRequest,
    image: &CheckedImage,
    sealed: &SealedBody,
    time: u64,
) -> Result<(Manifest, Vec<u8>), AuthorityError> {
    let failed = |cause: String| AuthorityError::Manifest { cause };
    let text = |text: &str| {
        heapless::String::try_from(text).map_err(|_| failed(format!("`{text}` is too long")))
    };
    let length = u32::try_from(sealed.body.len()).map_err(|error| failed(error.to_string()))?;
    let mut pages = heapless::Vec::new();
    for page in &sealed.page_digests {
        pages
            .push(*page)
            .map_err(|_| failed("the body has more than 32 pages".into()))?;
    }
    let descriptor = image.descriptor();
    let manifest = Manifest {
        product: project.product,
        vendor: VendorId(project.vendor),
        class: ClassId(project.class),
        chip: image.chip(),
        project: text(descriptor.project())?,
        version: text(descriptor.version())?,
        secure_version: descriptor.secure_version(),
        min_seq: request.min_seq,
        expires: expiry(
            espseal_format::cose::Role::Releases,
            time,
            project.lifetimes.manifest,
        )?,
        component: Component {
            kind: ComponentKind::App,
            plaintext_length: length,
            plaintext: sealed.plaintext,
            body_length: length,
            body: sealed.digest,
            iv: sealed.iv.0,
            tag: sealed.tag.0,
            commitment: sealed.commitment,
            pages,
        },
    };
    let mut bytes = vec![0; MAX_LEN];
    let length = manifest
        .encode(&mut bytes)
        .map_err(|cause| failed(cause.to_string()))?;
    bytes.truncate(length);
    Ok((manifest, bytes))
}

pub(crate) fn stop_if_asked(observer: &dyn Observer) -> Result<(), AuthorityError> {
    match observer.is_interrupted() {
        true => Err(AuthorityError::Interrupted),
        false => Ok(()),
    }
}
