//! Signs the next root: a later expiry, new role keys, or higher generations.
//!
//! A key that may have been stolen is replaced *and* its generation raised: whatever the thief has
//! signed, up to version 2^64-1, lies behind the first document of the new generation.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use espseal_format::cose::Role;
use espseal_format::metadata::releases::Offer;
use espseal_format::metadata::root::Root;

use crate::authority::{Authority, AuthorityError, Draft, Signed};
use crate::files::{self, FileError, Secrecy};
use crate::keys::{KeyError, RoleKey, is_in_hsm, open_role_key};
use crate::metadata_signing::{RoleSetup, next_root, sign_root};
use crate::observer::{Observer, Unwatched};
use crate::project::Project;

/// What the next root changes.
#[derive(Clone, Debug, Default)]
pub struct RootRequest {
    /// Private root keys that sign; enough for the threshold of the current root.
    pub root_keys: Vec<PathBuf>,
    /// Replaces the key of `releases`.
    pub releases: RoleChange,
    /// Replaces the key of `now`.
    pub now: RoleChange,
}

/// What happens to a role.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RoleChange {
    /// It stays as it is.
    #[default]
    Keep,
    /// A new key takes the place of the old one, and the generation rises.
    Replace,
}

/// The root that was signed.
#[derive(Debug)]
pub struct RootRenewed {
    /// Its version.
    pub version: u32,
    /// When it expires.
    pub expires: u64,
    /// What was signed under it; `None` when nothing was on offer yet.
    pub signed: Option<Signed>,
    /// Offers with a `min_seq`, when `releases` has a new generation: whatever runs a release of an
    /// earlier one is too old for them now.
    pub out_of_reach: Vec<Offer>,
    /// Offers with direct images, when `releases` has a new key: no device believes the old one's.
    pub without_direct: Vec<Offer>,
}

impl Authority {
    /// Signs the next root, and what is on offer anew under it.
    ///
    /// # Errors
    /// [`AuthorityError`]; [`crate::metadata_signing::SigningError::Threshold`] when too few root
    /// keys are there.
    pub fn renew_root(
        &mut self,
        request: &RootRequest,
        time: u64,
        observer: &dyn Observer,
    ) -> Result<RootRenewed, AuthorityError> {
        let visible = self.visible()?;
        if let Some(last) = visible.as_ref().map(|visible| visible.now.time)
            && last > time
        {
            return Err(AuthorityError::ClockBehind { time, last });
        }
        let keys = request
            .root_keys
            .iter()
            .map(|path| open_role_key(path))
            .collect::<Result<Vec<_>, _>>()?;
        let signers: Vec<_> = keys.iter().map(AsRef::as_ref).collect();
        let root = RoleSetup {
            keys: self.root.root.keys.iter().copied().collect(),
            threshold: self.root.root.threshold,
            generation: 0,
        };
        let paths = [&self.project.releases_key, &self.project.now_key].map(PathBuf::clone);
        let [releases_key, now_key] = &paths;
        let old = &self.root;
        let releases = change(
            releases_key,
            Role::Releases,
            &old.releases,
            request.releases,
        )?;
        let now = change(now_key, Role::Now, &old.now, request.now)?;
        let lifetimes = &self.project.lifetimes;
        let next = next_root(&self.root, lifetimes, time, [&root, &releases, &now])?;
        let (mut out_of_reach, mut without_direct) = (Vec::new(), Vec::new());
        if request.releases == RoleChange::Replace {
            for offer in visible.iter().flat_map(|visible| &visible.releases.offers) {
                if self.manifest(&offer.manifest)?.min_seq > 0 {
                    out_of_reach.push(offer.clone());
                }
                if self.has_direct(offer)? {
                    without_direct.push(offer.clone());
                }
            }
        }
        if observer.is_interrupted() {
            return Err(AuthorityError::Interrupted);
        }
        let document = sign_root(&self.log, &next, Some(&self.root), &signers)?;
        let name = format!("roots/{}.cose", next.version);
        files::create(&self.project.file(&name), &document.bytes, Secrecy::Public)?;
        let (version, expires) = (next.version, next.expires);
        self.adopt_root(next, document.bytes)?;
        finish_replacing(&self.project, &self.root)?;
        let signed = match visible {
            None => None,
            Some(visible) => {
                let draft = Draft::of(&visible);
                // Whoever interrupts now would leave devices with a root whose keys signed nothing.
                Some(self.show(Some(&visible), draft, time, &Unwatched)?)
            }
        };
        Ok(RootRenewed {
            version,
            expires,
            signed,
            out_of_reach,
            without_direct,
        })
    }
}

/// What the next root says about a role; makes the new key, still under another name. In an HSM the
/// maker made it, and named it in the project.
fn change(
    current: &Path,
    role: Role,
    old: &espseal_format::metadata::root::RoleKeys,
    what: RoleChange,
) -> Result<RoleSetup, AuthorityError> {
    let kept = RoleSetup {
        keys: old.keys.iter().copied().collect(),
        threshold: old.threshold,
        generation: old.generation,
    };
    match what {
        RoleChange::Keep => Ok(kept),
        RoleChange::Replace => {
            let path = next(current, role);
            let key = match fs::exists(&path) {
                _ if is_in_hsm(current) => open_role_key(current)?,
                // Left by a run that was interrupted, and known to nobody.
                Ok(true) => open_role_key(&path)?,
                _ => Box::new(RoleKey::create(&path)?),
            };
            if is_in_hsm(current) && old.keys.contains(&key.public_key()) {
                return Err(KeyError::NotReplaced {
                    path: current.into(),
                }
                .into());
            }
            Ok(RoleSetup {
                keys: vec![key.public_key()],
                threshold: 1,
                generation: old.generation.saturating_add(1),
            })
        }
    }
}

/// Puts new role keys that the root names in the place of the old ones, now or after an interruption.
pub(crate) fn finish_replacing(project: &Project, root: &Root) -> Result<(), AuthorityError> {
    for (path, role, keys) in [
        (&project.releases_key, Role::Releases, &root.releases.keys),
        (&project.now_key, Role::Now, &root.now.keys),
    ] {
        let made = next(path, role);
        if is_in_hsm(path) || !fs::exists(&made).unwrap_or(false) {
            continue;
        }
        if keys.contains(&open_role_key(&made)?.public_key()) {
            take_over(path, role, root.version.saturating_sub(1))?;
        }
    }
    Ok(())
}

/// Puts the new key in the place of the old one, which is kept under another name.
fn take_over(current: &Path, role: Role, old_root: u32) -> Result<(), AuthorityError> {
    let kept = current.with_file_name(format!("{role}-until-root-{old_root}.pem"));
    let kept = match fs::rename(current, kept) {
        // The power went after the old key had gone.
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        kept => kept,
    };
    kept.and_then(|()| fs::rename(next(current, role), current))
        .map_err(|cause| {
            FileError::Write {
                path: current.into(),
                cause,
            }
            .into()
        })
}

/// Where the key that replaces a file is made.
fn next(current: &Path, role: Role) -> PathBuf {
    current.with_file_name(format!("{role}-next.pem"))
}
