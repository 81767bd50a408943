//! Fetches and verifies the chain `now` -> roots -> `releases` -> manifest, and keeps the floors.
//!
//! Order of persistence: each root's body, then the record that names it; then, together, the
//! floors that `now` and `releases` set. What is not verified yet is never persisted.

use core::mem;

use espseal_crypto::cose as verifier;
use espseal_format::cose::{Role, Sign, Sign1};
use espseal_format::metadata::manifest::{Component, Manifest};
use espseal_format::metadata::now::{self, Now};
use espseal_format::metadata::releases::{Epoch, Releases};
use espseal_format::metadata::root::{RoleKeys, Root};
use espseal_format::repository::Resource;
use espseal_format::units::{Digest, Position};

use crate::acceptance::{self, Clock, Demands, Installed, Standing};
use crate::agent::Agent;
use crate::config::{Config, Polling};
use crate::crypto::Crypto;
use crate::device_key::DeviceKey;
use crate::error::{AgentError, DeviceError, Document, MetadataError, Misuse};
use crate::fetch;
use crate::flash::Flash;
use crate::journal::Journal;
use crate::observer::{Event, Observer};
use crate::platform::Platform;
use crate::transport::Transport;

/// A manifest that a verified offer names, that this device may install, now.
///
/// Only the verifier makes one, and only one of these opens chunks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct VerifiedManifest<'m> {
    manifest: &'m Manifest,
    digest: Digest,
    position: Position,
}

impl VerifiedManifest<'_> {
    pub(crate) const fn get(&self) -> &Manifest {
        self.manifest
    }

    pub(crate) const fn component(&self) -> &Component {
        &self.manifest.component
    }

    /// SHA-256 of the manifest.
    pub(crate) const fn digest(&self) -> Digest {
        self.digest
    }

    /// Where the offer stands: generation and `seq`.
    pub(crate) const fn position(&self) -> Position {
        self.position
    }

    /// Refuses a manifest that expired while it was being staged.
    pub(crate) fn still_fresh(&self, clock: Clock) -> Result<(), MetadataError> {
        acceptance::fresh(Document::Manifest, self.manifest.expires, clock)
    }
}

/// A verified offer that this device wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Offered {
    pub(crate) manifest: Digest,
    pub(crate) position: Position,
    pub(crate) epoch: Epoch,
    pub(crate) clock: Clock,
}

/// What the verified metadata says to this device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Advice {
    /// There is nothing to do, and why.
    Rest(Standing),
    /// There is a release to install.
    Install(Offered),
}

impl<F, T, K, P, O, C> Agent<'_, F, T, K, P, O, C>
where
    F: Flash,
    T: Transport,
    K: DeviceKey,
    P: Platform,
    O: Observer,
    C: Crypto,
{
    /// Fetches and verifies `now`, the roots it asks for and `releases`, and persists the floors.
    ///
    /// Each step is a function of its own that is not inlined: what one of them needs on the stack
    /// is gone when the next begins, and signatures are verified before documents are parsed.
    #[inline(never)]
    pub(crate) fn advice(&mut self, journal: &mut Journal) -> Result<Advice, AgentError> {
        let length = self.fetch_now(journal)?;
        let wanted = self.root_wanted(length)?;
        self.climb(journal, wanted)?;
        let clock = self.clock(journal);
        acceptance::root(&self.workspace.root, clock)?;
        let mut now = Now::BLANK;
        self.verify_now(length, journal, clock, &mut now)?;
        let clock = clock.after(now.time);
        let length = self.fetch_releases(&now)?;
        self.judge_releases(journal, &now, length, clock)
    }

    /// Fetches the manifest of an offer and checks that this device may install it.
    #[inline(never)]
    pub(crate) fn fetch_manifest<'m>(
        &mut self,
        journal: &Journal,
        offered: &Offered,
        demands: Demands,
        manifest: &'m mut Manifest,
    ) -> Result<VerifiedManifest<'m>, AgentError> {
        let digest = offered.manifest;
        if journal.is_quarantined(&digest) {
            return Err(DeviceError::Quarantined { manifest: digest }.into());
        }
        let document = Document::Manifest;
        let resource = Resource::Manifest(&digest);
        let buffer = &mut self.workspace.document;
        let bytes = fetch::document(&mut self.transport, resource, document, buffer)?;
        named(document, &digest, bytes)?;
        manifest
            .parse_into(bytes)
            .map_err(|_| MetadataError::Malformed { document })?;
        let position = offered.position;
        acceptance::manifest(manifest, position, self.config, &demands, offered.clock)?;
        Ok(VerifiedManifest {
            manifest,
            digest,
            position,
        })
    }

    /// What is known about the time before this poll, under the root in the workspace.
    fn clock(&mut self, journal: &Journal) -> Clock {
        let built_in = self.config.floors.time;
        match self.platform.trusted_time() {
            Some(time) => Clock::Trusted(time.max(built_in)),
            None => {
                let (record, generation) = (journal.record(), self.workspace.root.now.generation);
                let told = acceptance::time_told(generation, record.now_floor, record.time_floor);
                Clock::Floor(told.max(built_in))
            }
        }
    }

    /// Asks for `now` and leaves its bytes at the start of the page buffer.
    #[inline(never)]
    fn fetch_now(&mut self, journal: &Journal) -> Result<usize, AgentError> {
        let document = Document::Now;
        match self.config.policy.polling {
            Polling::Static => fetch::open(&mut self.transport, Resource::Now, None, document)?,
            Polling::Announced => self.post_poll(journal)?,
        }
        let buffer = self
            .workspace
            .page
            .get_mut(..now::MAX_LEN)
            .unwrap_or_default();
        Ok(fetch::read_document(&mut self.transport, document, buffer)?.len())
    }

    /// The root version a *not yet verified* `now` names: how far to climb, nothing else.
    ///
    /// A root that took the `now` key away has to be trusted before that `now` can be judged. A
    /// lie costs one failed request, since every root is signed by the one before it.
    #[inline(never)]
    fn root_wanted(&self, length: usize) -> Result<u32, MetadataError> {
        let malformed = MetadataError::Malformed {
            document: Document::Now,
        };
        let bytes = self.workspace.page.get(..length).unwrap_or_default();
        let signed = Sign1::parse(bytes).map_err(|_| malformed)?;
        let mut now = Now::BLANK;
        now.parse_into(signed.payload).map_err(|_| malformed)?;
        Ok(now.root_version)
    }

    /// Fetches, verifies and persists one root after the other, up to version `wanted`; leaves the
    /// last one in the workspace.
    #[inline(never)]
    fn climb(&mut self, journal: &mut Journal, wanted: u32) -> Result<(), AgentError> {
        let mut next = Root::BLANK;
        self.load_trusted_root(journal, &mut next)?;
        while self.workspace.root.version < wanted {
            let version = self.workspace.root.version.saturating_add(1);
            let document = Document::Root { version };
            let buffer = &mut self.workspace.document;
            let resource = Resource::Root(version);
            let bytes = fetch::document(&mut self.transport, resource, document, buffer)?;
            verify_root(bytes, &self.workspace.root, &mut next, document)?;
            // Below the recorded version, whose body was damaged, nothing is kept: that record is what
            // refuses an older root.
            if version >= journal.record().root_version {
                let buffer = &mut self.workspace.sector;
                journal.store_root(&mut self.medium, bytes, version, buffer)?;
            }
            mem::swap(&mut self.workspace.root, &mut next);
            self.medium.event(&Event::RootAccepted { version });
        }
        Ok(())
    }

    /// Leaves the latest root trusted so far in the workspace: the persisted one, or the built-in
    /// one when that is later or the persisted one does not check out.
    fn load_trusted_root(
        &mut self,
        journal: &Journal,
        stored: &mut Root,
    ) -> Result<(), AgentError> {
        self.load_built_in_root()?;
        let buffer = &mut self.workspace.sector;
        let Some(bytes) = journal.load_root(&mut self.medium, buffer)? else {
            return Ok(());
        };
        let version = journal.record().root_version;
        let built_in = &self.workspace.root;
        if self_signed_root(bytes, stored, Document::Root { version }).is_ok()
            && stored.version == version
            && stored.version > built_in.version
            && stored.product == built_in.product
        {
            mem::swap(&mut self.workspace.root, stored);
        }
        Ok(())
    }

    /// Leaves the root built into the running image in the workspace.
    pub(crate) fn load_built_in_root(&mut self) -> Result<(), Misuse> {
        let root = &mut self.workspace.root;
        let document = Document::Root { version: 0 };
        match self_signed_root(self.config.built_in_root, root, document) {
            Ok(()) if root.product == self.config.product => Ok(()),
            _ => Err(Misuse::BuiltInRoot),
        }
    }

    #[inline(never)]
    fn verify_now(
        &self,
        length: usize,
        journal: &Journal,
        clock: Clock,
        now: &mut Now,
    ) -> Result<(), MetadataError> {
        let (document, root) = (Document::Now, &self.workspace.root);
        let bytes = self.workspace.page.get(..length).unwrap_or_default();
        let payload = verify_sign1(bytes, Role::Now, &root.now, root, document)?;
        now.parse_into(payload)
            .map_err(|_| MetadataError::Malformed { document })?;
        let floor = journal.record().now_floor.max(self.config.floors.now);
        acceptance::now(now, root, journal.record().root_version, floor, clock)
    }

    /// Fetches `releases` into the document buffer, checks digest and signature, and returns how
    /// many bytes it has.
    #[inline(never)]
    fn fetch_releases(&mut self, now: &Now) -> Result<usize, AgentError> {
        let (document, root) = (Document::Releases, &self.workspace.root);
        let resource = Resource::Releases(&now.releases);
        let buffer = &mut self.workspace.document;
        let bytes = fetch::document(&mut self.transport, resource, document, buffer)?;
        named(document, &now.releases, bytes)?;
        verify_sign1(bytes, Role::Releases, &root.releases, root, document)?;
        Ok(bytes.len())
    }

    /// Parses verified `releases`, raises the floors and judges this device's offer.
    #[inline(never)]
    fn judge_releases(
        &mut self,
        journal: &mut Journal,
        now: &Now,
        length: usize,
        clock: Clock,
    ) -> Result<Advice, AgentError> {
        let malformed = MetadataError::Malformed {
            document: Document::Releases,
        };
        let mut releases = Releases::BLANK;
        let bytes = self.workspace.document.get(..length).unwrap_or_default();
        let signed = Sign1::parse(bytes).map_err(|_| malformed)?;
        releases.parse_into(signed.payload).map_err(|_| malformed)?;
        let floors = (journal.record().releases_floor, self.config.floors.releases);
        let floor = floors.0.max(floors.1);
        acceptance::releases(&releases, &self.workspace.root, floor, clock)?;
        self.raise_floors(journal, now.position, releases.position, clock)?;
        self.judge_offer(journal, now, &releases, clock)
    }

    /// Persists what this poll has shown, if it is news: a poll without news costs no flash wear.
    fn raise_floors(
        &mut self,
        journal: &mut Journal,
        now: Position,
        releases: Position,
        clock: Clock,
    ) -> Result<(), AgentError> {
        let record = journal.record_mut();
        let told = acceptance::time_told(now.generation, record.now_floor, record.time_floor);
        let time = clock.earliest().max(told);
        let news = record.now_floor < now
            || record.releases_floor < releases
            || (matches!(clock, Clock::Floor(_)) && record.time_floor < time);
        if !news {
            return Ok(());
        }
        record.now_floor = record.now_floor.max(now);
        record.releases_floor = record.releases_floor.max(releases);
        record.time_floor = time;
        journal.store(&mut self.medium, &mut self.workspace.sector)?;
        Ok(())
    }

    fn judge_offer(
        &self,
        journal: &Journal,
        now: &Now,
        releases: &Releases,
        clock: Clock,
    ) -> Result<Advice, AgentError> {
        let Config {
            channel,
            chip,
            group,
            ..
        } = self.config;
        let Some(offer) = releases.offer(channel, *chip) else {
            return Ok(Advice::Rest(Standing::UpToDate));
        };
        let generation = releases.position.generation;
        let position = Position {
            generation,
            version: offer.seq,
        };
        let installed = self.installed(journal);
        let device = self.key.device_id();
        let standing = acceptance::offer(offer, position, now, &installed, &device)?;
        if standing != Standing::Wanted {
            return Ok(Advice::Rest(standing));
        }
        let epoch = releases
            .epoch(*group)
            .cloned()
            .ok_or(MetadataError::NoEpoch { group: *group })?;
        Ok(Advice::Install(Offered {
            manifest: offer.manifest,
            position,
            epoch,
            clock,
        }))
    }

    /// What is installed: the last confirmed release, or what the running image knows of itself.
    pub(crate) fn installed(&self, journal: &Journal) -> Installed {
        let confirmed = &journal.record().confirmed;
        let built_in = self.config.floors.installed;
        if confirmed.position >= built_in {
            Installed {
                position: confirmed.position,
                manifest: Some(confirmed.manifest),
            }
        } else {
            Installed {
                position: built_in,
                manifest: None,
            }
        }
    }
}

/// Verifies the root that follows `trusted`: signed by the thresholds of both.
fn verify_root(
    bytes: &[u8],
    trusted: &Root,
    next: &mut Root,
    document: Document,
) -> Result<(), MetadataError> {
    self_signed_root(bytes, next, document)?;
    let signed = Sign::parse(bytes).map_err(|_| MetadataError::Malformed { document })?;
    threshold(&signed, trusted, document)?;
    acceptance::root_step(trusted, next)
}

/// Parses a root and checks that its own threshold signed it; after an error `root` holds
/// anything.
#[inline(never)]
fn self_signed_root(
    bytes: &[u8],
    root: &mut Root,
    document: Document,
) -> Result<(), MetadataError> {
    let malformed = MetadataError::Malformed { document };
    let signed = Sign::parse(bytes).map_err(|_| malformed)?;
    root.parse_into(signed.payload).map_err(|_| malformed)?;
    threshold(&signed, root, document)
}

/// Demands the threshold of distinct root keys of `root` on a signed root.
#[inline(never)]
fn threshold(signed: &Sign<'_>, root: &Root, document: Document) -> Result<(), MetadataError> {
    verifier::verify_threshold(signed, &root.product, &root.root.keys, root.root.threshold)
        .map_err(|_| MetadataError::Signature { document })
}

/// Checks the one signature of a document and returns its payload.
#[inline(never)]
pub(crate) fn verify_sign1<'b>(
    bytes: &'b [u8],
    role: Role,
    keys: &RoleKeys,
    root: &Root,
    document: Document,
) -> Result<&'b [u8], MetadataError> {
    let signed = Sign1::parse(bytes).map_err(|_| MetadataError::Malformed { document })?;
    if keys.threshold != 1 {
        return Err(MetadataError::RoleThreshold {
            document,
            threshold: keys.threshold,
        });
    }
    verifier::verify_sign1(&signed, role, &root.product, &keys.keys)
        .map_err(|_| MetadataError::Signature { document })?;
    Ok(signed.payload)
}

/// Demands that a document hashes to the digest it is named by.
#[inline(never)]
fn named(document: Document, expected: &Digest, bytes: &[u8]) -> Result<(), MetadataError> {
    let found = Digest::of(bytes);
    if found != *expected {
        return Err(MetadataError::WrongDigest {
            document,
            expected: *expected,
            found,
        });
    }
    Ok(())
}
