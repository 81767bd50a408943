//! What devices see now, and the one way to change it.
//!
//! The repository may lie on a host that nobody trusts, so nothing read from it is believed: a
//! `now` counts when the release log has signed its payload, everything else by its digest.

use espseal_crypto::content::{ContentKey, verify_commitment};
use espseal_crypto::cose::verify_sign1;
use espseal_crypto::epoch::EpochKey;
use espseal_format::cose::{Role, Sign1};
use espseal_format::metadata::manifest::Manifest;
use espseal_format::metadata::now::{Hold, Now};
use espseal_format::metadata::releases::{Epoch, Offer, Releases};
use espseal_format::repository::Resource;
use espseal_format::units::{Digest, Position};
use espseal_format::wrap::BodyWrap;

use super::{Authority, AuthorityError};
use crate::keys::open_role_key;
use crate::metadata_signing::{SignedDocument, expiry, sign_now, sign_releases};
use crate::observer::{Observer, Stage, Unwatched};
use crate::release_log::LoggedRole;
use crate::repository::Store as _;

/// What devices see now.
#[derive(Clone, Debug)]
pub struct Visible {
    /// The offers and epochs.
    pub releases: Releases,
    /// SHA-256 of the COSE bytes of `releases`.
    pub digest: Digest,
    /// What holds.
    pub now: Now,
}

/// What devices shall see next.
#[derive(Clone, Debug, Default)]
pub struct Draft {
    /// Offers, in any order.
    pub offers: Vec<Offer>,
    /// Epochs, in any order.
    pub epochs: Vec<Epoch>,
}

impl Draft {
    /// What devices see now, to be signed anew.
    pub(crate) fn of(visible: &Visible) -> Self {
        Self {
            offers: visible.releases.offers.iter().cloned().collect(),
            epochs: visible.releases.epochs.iter().cloned().collect(),
        }
    }
}

/// What became visible.
#[derive(Clone, Copy, Debug)]
pub struct Signed {
    /// Position of `releases`.
    pub releases: Position,
    /// Position of `now`.
    pub now: Position,
    /// When `now` expires.
    pub expires: u64,
    /// When `releases` expires.
    pub releases_expire: u64,
}

impl Authority {
    /// Reads what devices see; `None` before the first release.
    ///
    /// # Errors
    /// [`AuthorityError::RepositoryLost`], [`AuthorityError::RepositoryRolledBack`],
    /// [`AuthorityError::RepositoryDamaged`], [`AuthorityError::LogBehind`],
    /// [`AuthorityError::Store`].
    pub fn visible(&mut self) -> Result<Option<Visible>, AuthorityError> {
        let newest = self.log.newest_published();
        let Some(bytes) = self.store.get(&Resource::Now.path())? else {
            return match newest {
                None => Ok(None),
                Some((published, _)) => Err(AuthorityError::RepositoryLost {
                    path: self.project.repository(),
                    published,
                }),
            };
        };
        let damaged = || AuthorityError::RepositoryDamaged {
            path: Resource::Now.path().to_string(),
        };
        self.check_log(&bytes)?;
        let payload = Sign1::parse(&bytes).map_err(|_| damaged())?.payload;
        if !self.log.has_signed(LoggedRole::Now, Digest::of(payload)) {
            return Err(damaged());
        }
        let now = Now::parse(payload).map_err(|_| damaged())?;
        match newest {
            Some((published, _)) if now.position < published => {
                return Err(AuthorityError::RepositoryRolledBack {
                    path: self.project.repository(),
                    found: now.position,
                    published,
                });
            }
            Some((published, _)) if now.position == published => {}
            // A crash came between making it visible and writing that down.
            _ => self.log.published(now.position, now.releases)?,
        }
        let digest = now.releases;
        let bytes = self.get_by_digest(Resource::Releases(&digest), &digest)?;
        let releases = Sign1::parse(&bytes)
            .ok()
            .and_then(|envelope| Releases::parse(envelope.payload).ok())
            .ok_or_else(damaged)?;
        Ok(Some(Visible {
            releases,
            digest,
            now,
        }))
    }

    /// Refuses to sign with a log that has forgotten what devices have seen.
    ///
    /// # Errors
    /// [`AuthorityError::LogBehind`] when the repository's `now`, signed by this project's key, is later
    /// than any that the log knows.
    pub(crate) fn check_log_of_lost(&self) -> Result<(), AuthorityError> {
        match self.store.get(&Resource::Now.path())? {
            Some(bytes) => self.check_log(&bytes),
            None => Ok(()),
        }
    }

    fn check_log(&self, bytes: &[u8]) -> Result<(), AuthorityError> {
        let keys = &self.root.now.keys;
        let found = Sign1::parse(bytes)
            .ok()
            .filter(|own| verify_sign1(own, Role::Now, &self.project.product, keys).is_ok())
            .and_then(|own| Now::parse(own.payload).ok())
            .map(|now| now.position);
        let logged = self.log.newest(LoggedRole::Now).map(|(at, _)| at);
        match found {
            Some(found) if logged.is_none_or(|logged| logged < found) => {
                Err(AuthorityError::LogBehind {
                    found,
                    logged: logged.unwrap_or_default(),
                })
            }
            _ => Ok(()),
        }
    }

    /// Reads the manifest of an offer.
    ///
    /// # Errors
    /// [`AuthorityError::RepositoryDamaged`], [`AuthorityError::Store`].
    pub fn manifest(&self, digest: &Digest) -> Result<Manifest, AuthorityError> {
        let resource = Resource::Manifest(digest);
        let bytes = self.get_by_digest(resource, digest)?;
        Manifest::parse(&bytes).map_err(|_| AuthorityError::RepositoryDamaged {
            path: resource.path().to_string(),
        })
    }

    /// Opens the wrap of a current body with the key of the epoch it is wrapped in.
    pub(crate) fn open_wrap(
        &self,
        manifest: &Manifest,
        epoch: &Epoch,
        key: &EpochKey,
    ) -> Result<ContentKey, AuthorityError> {
        let body = &manifest.component.body;
        let resource = Resource::BodyWrap {
            body,
            group: epoch.group,
            epoch: epoch.epoch,
        };
        let wrong = || AuthorityError::WrongWrap { body: *body };
        let bytes = self.store.get(&resource.path())?.ok_or_else(wrong)?;
        let wrap = BodyWrap(bytes.as_slice().try_into().map_err(|_| wrong())?);
        let content = key
            .kek(&self.project.product, epoch.group, epoch.epoch, body)
            .unwrap_key(&wrap)
            .map_err(|_| wrong())?;
        verify_commitment(&manifest.component.commitment, body, &content).map_err(|_| wrong())?;
        Ok(content)
    }

    /// Reads a file that is named by its digest.
    pub(crate) fn get_by_digest(
        &self,
        resource: Resource<'_>,
        digest: &Digest,
    ) -> Result<Vec<u8>, AuthorityError> {
        self.store
            .get(&resource.path())?
            .filter(|bytes| Digest::of(bytes) == *digest)
            .ok_or_else(|| AuthorityError::RepositoryDamaged {
                path: resource.path().to_string(),
            })
    }

    /// Whether signing makes sense at this time.
    pub(crate) fn check_time(
        &self,
        visible: Option<&Visible>,
        time: u64,
    ) -> Result<(), AuthorityError> {
        if time >= self.root.expires {
            return Err(AuthorityError::RootExpired {
                expired: self.root.expires,
                time,
            });
        }
        match visible {
            Some(visible) if visible.now.time > time => Err(AuthorityError::ClockBehind {
                time,
                last: visible.now.time,
            }),
            _ => Ok(()),
        }
    }

    /// Signs new `releases`, then makes them visible with a new `now`.
    pub(crate) fn show(
        &mut self,
        visible: Option<&Visible>,
        draft: Draft,
        time: u64,
        observer: &dyn Observer,
    ) -> Result<Signed, AuthorityError> {
        let signer = open_role_key(&self.project.releases_key)?;
        let mut offers = draft.offers;
        offers.retain(|offer| {
            self.project
                .channels
                .iter()
                .any(|channel| channel.name == offer.channel && channel.chips.contains(&offer.chip))
        });
        offers.sort_by_key(|offer| offer.seq);
        observer.begin(Stage::Signing, 0);
        if observer.is_interrupted() {
            return Err(AuthorityError::Interrupted);
        }
        let generation = self.root.releases.generation;
        for offer in &offers {
            let place = Position {
                generation,
                version: offer.seq,
            };
            self.log.assign(place, offer.manifest)?;
        }
        offers.sort_by(|a, b| (&a.channel, a.chip.to_u16()).cmp(&(&b.channel, b.chip.to_u16())));
        let mut epochs = draft.epochs;
        epochs.retain(|epoch| {
            self.project
                .channels
                .iter()
                .any(|channel| channel.group == epoch.group)
        });
        epochs.sort_by_key(|epoch| epoch.group);
        let lifetime = self.project.lifetimes.releases;
        let newest = self.log.newest_published();
        let releases = Releases {
            product: self.project.product,
            position: Position {
                generation,
                version: self.log.next_version(LoggedRole::Releases, generation),
            },
            previous: visible
                .map(|visible| visible.digest)
                .or(newest.map(|(_, digest)| digest)),
            expires: expiry(Role::Releases, time, lifetime)?,
            offers: offers.into_iter().collect(),
            epochs: epochs.into_iter().collect(),
        };
        let document = sign_releases(&mut self.log, &self.root, &releases, signer.as_ref())?;
        let path = Resource::Releases(&document.digest).path();
        self.store_roots()?;
        self.store.put(&path, &document.bytes)?;
        let holds = visible.map_or(Vec::new(), |visible| carried(&visible.now, &releases));
        let signed = self.confirm(&document, holds, time)?;
        Ok(Signed {
            releases: releases.position,
            releases_expire: releases.expires,
            ..signed
        })
    }

    /// Signs a `now` for the `releases` that are visible, and these anew where the root has other keys
    /// for them since: a root whose renewal was cut short leaves that to whoever comes next.
    ///
    /// # Errors
    /// [`AuthorityError::ReleasesExpired`] when no `now` could make devices take them.
    pub(crate) fn renew(
        &mut self,
        visible: &Visible,
        holds: Vec<Hold>,
        time: u64,
    ) -> Result<Signed, AuthorityError> {
        if visible.releases.expires <= time {
            return Err(AuthorityError::ReleasesExpired {
                expired: visible.releases.expires,
            });
        }
        let path = Resource::Releases(&visible.digest);
        let document = SignedDocument {
            bytes: self.get_by_digest(path, &visible.digest)?,
            digest: visible.digest,
        };
        if !self.root_believes(&document, &visible.releases) {
            let mut held = visible.clone();
            held.now.holds = holds.into_iter().collect();
            return self.show(Some(&held), Draft::of(visible), time, &Unwatched);
        }
        self.store_roots()?;
        let signed = self.confirm(&document, holds, time)?;
        Ok(Signed {
            releases: visible.releases.position,
            releases_expire: visible.releases.expires,
            ..signed
        })
    }

    /// Whether the current root's keys and generation stand behind signed `releases`.
    fn root_believes(&self, document: &SignedDocument, releases: &Releases) -> bool {
        let role = &self.root.releases;
        releases.position.generation == role.generation
            && Sign1::parse(&document.bytes).is_ok_and(|own| {
                verify_sign1(&own, Role::Releases, &self.project.product, &role.keys).is_ok()
            })
    }

    /// Reads the keys that will sign, so that a bad one is found before anything is written.
    pub(crate) fn check_signers(&self) -> Result<(), AuthorityError> {
        for path in [&self.project.releases_key, &self.project.now_key] {
            open_role_key(path)?;
        }
        Ok(())
    }

    /// Signs a `now` and puts it in place: the one step that devices see.
    fn confirm(
        &mut self,
        releases: &SignedDocument,
        mut holds: Vec<Hold>,
        time: u64,
    ) -> Result<Signed, AuthorityError> {
        let signer = open_role_key(&self.project.now_key)?;
        holds.sort_by(|a, b| (&a.channel, a.chip.to_u16()).cmp(&(&b.channel, b.chip.to_u16())));
        let generation = self.root.now.generation;
        let now = Now {
            product: self.project.product,
            position: Position {
                generation,
                version: self.log.next_version(LoggedRole::Now, generation),
            },
            time,
            expires: expiry(Role::Now, time, self.project.lifetimes.now)?,
            releases: releases.digest,
            root_version: self.root.version,
            holds: holds.into_iter().collect(),
        };
        let document = sign_now(&mut self.log, &self.root, &now, signer.as_ref())?;
        self.store.replace(&Resource::Now.path(), &document.bytes)?;
        self.log.published(now.position, now.releases)?;
        Ok(Signed {
            releases: Position::default(),
            now: now.position,
            expires: now.expires,
            releases_expire: 0,
        })
    }
}

/// The holds that still speak of an offer: a new release is not held by its predecessor's hold.
fn carried(now: &Now, releases: &Releases) -> Vec<Hold> {
    let lives = |hold: &&Hold| {
        releases
            .offer(&hold.channel, hold.chip)
            .is_some_and(|offer| offer.seq == hold.seq)
    };
    now.holds.iter().filter(lives).cloned().collect()
}
