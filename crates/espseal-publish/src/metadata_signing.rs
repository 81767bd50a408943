//! Encodes and signs the documents of the three roles: root, releases, now.
//!
//! Before a signature is made, the release log has the version on disk; after it is made, the
//! document is parsed and verified as a device would, so that nothing leaves that devices refuse. Of a
//! root the log hears once it is kept: that one file is its record, and an attempt that fails, for
//! want of keys or in a power cut, leaves its version to the next.

use espseal_crypto::cose::{verify_sign1, verify_threshold};
use espseal_format::cose::{
    MAX_SIGNATURES, Role, Sign, Sign1, Signer, to_be_signed, to_be_signed1,
};
use espseal_format::metadata::direct::DirectManifest;
use espseal_format::metadata::now::Now;
use espseal_format::metadata::releases::Releases;
use espseal_format::metadata::root::{MAX_KEYS, RoleKeys, Root};
use espseal_format::units::{Digest, KeyId, Position, Product, PublicKeyBytes};

use crate::blame::Blame;
use crate::keys::{KeyError, RoleSigner};
use crate::project::{Lifetimes, names};
use crate::release_log::{LogError, LoggedRole, ReleaseLog};

/// A signed document as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedDocument {
    /// COSE bytes.
    pub bytes: Vec<u8>,
    /// Their SHA-256.
    pub digest: Digest,
}

/// Who signs for a role, and how many must.
#[derive(Clone, Debug)]
pub struct RoleSetup {
    /// Public keys of the role.
    pub keys: Vec<PublicKeyBytes>,
    /// How many distinct keys have to sign.
    pub threshold: u8,
    /// Generation of the role's documents.
    pub generation: u32,
}

impl RoleSetup {
    fn to_role_keys(&self, role: Role) -> Result<RoleKeys, SigningError> {
        let mut sorted = self.keys.clone();
        sorted.sort_unstable();
        sorted.dedup();
        let found = sorted.len();
        if found != self.keys.len() || found > MAX_KEYS || found < usize::from(self.threshold) {
            return Err(SigningError::RoleKeys {
                role,
                found,
                threshold: self.threshold,
            });
        }
        Ok(RoleKeys {
            threshold: self.threshold,
            keys: sorted.into_iter().collect(),
            generation: self.generation,
        })
    }
}

/// Builds the first root of a product.
///
/// # Errors
/// [`SigningError::RoleKeys`] when a role repeats a key, has more than five, or fewer than its
/// threshold; [`SigningError::NoExpiry`] when the root would not expire.
pub fn first_root(
    product: Product,
    lifetimes: &Lifetimes,
    time: u64,
    [root, releases, now]: [&RoleSetup; 3],
) -> Result<Root, SigningError> {
    let expires = expiry(Role::Root, time, lifetimes.root)?;
    Ok(Root {
        product,
        version: 1,
        expires,
        max_time: expires,
        root: root.to_role_keys(Role::Root)?,
        releases: releases.to_role_keys(Role::Releases)?,
        now: now.to_role_keys(Role::Now)?,
    })
}

/// Builds the root after `old`: one version later, no generation lower.
///
/// # Errors
/// As [`first_root`], and [`SigningError::GenerationFalls`].
pub fn next_root(
    old: &Root,
    lifetimes: &Lifetimes,
    time: u64,
    setup: [&RoleSetup; 3],
) -> Result<Root, SigningError> {
    let mut next = first_root(old.product, lifetimes, time, setup)?;
    next.version = old
        .version
        .checked_add(1)
        .ok_or(SigningError::Exhausted { role: Role::Root })?;
    next.max_time = next.max_time.max(old.max_time);
    for (role, before, after) in [
        (Role::Releases, &old.releases, &next.releases),
        (Role::Now, &old.now, &next.now),
    ] {
        if after.generation < before.generation {
            return Err(SigningError::GenerationFalls {
                role,
                old: before.generation,
                new: after.generation,
            });
        }
    }
    Ok(next)
}

/// Signs a root with every signer given; the thresholds of `old` and of the root itself must be
/// reached. Whoever has kept it tells the log, with [`log_root`].
///
/// # Errors
/// [`SigningError`].
pub fn sign_root(
    log: &ReleaseLog,
    root: &Root,
    old: Option<&Root>,
    signers: &[&dyn RoleSigner],
) -> Result<SignedDocument, SigningError> {
    let payload = encode(Role::Root, |out| root.encode(out))?;
    log.check(LoggedRole::Root, place(root), Digest::of(&payload))?;
    let mut signatures = Vec::new();
    for signer in signers {
        let kid = KeyId::of(&signer.public_key());
        let mut message = Vec::new();
        to_be_signed(Role::Root, &root.product, kid, &payload, &mut |part| {
            message.extend_from_slice(part);
        });
        signatures.push((kid, signer.sign(&message)?));
    }
    signatures.sort_unstable_by_key(|(kid, _)| *kid);
    signatures.dedup_by_key(|(kid, _)| *kid);
    signatures.truncate(MAX_SIGNATURES);
    let envelope = Sign {
        payload: &payload,
        signatures: signatures
            .iter()
            .map(|(kid, signature)| Signer {
                kid: *kid,
                signature,
            })
            .collect(),
    };
    for (which, keys) in [("new", Some(&root.root)), ("old", old.map(|old| &old.root))] {
        let Some(keys) = keys else { continue };
        verify_threshold(&envelope, &root.product, &keys.keys, keys.threshold).map_err(|_| {
            SigningError::Threshold {
                which,
                threshold: keys.threshold,
                signed: match envelope.signatures.is_empty() {
                    true => "nobody".into(),
                    false => names(envelope.signatures.iter().map(|signer| signer.kid)),
                },
            }
        })?;
    }
    let bytes = encode(Role::Root, |out| envelope.encode(out))?;
    Ok(stored(bytes))
}

/// Writes down that a root was signed and kept; once is enough.
///
/// # Errors
/// [`SigningError::Log`].
pub fn log_root(log: &mut ReleaseLog, root: &Root) -> Result<(), SigningError> {
    let payload = encode(Role::Root, |out| root.encode(out))?;
    Ok(log.sign(LoggedRole::Root, place(root), Digest::of(&payload))?)
}

/// Where a root stands in the release log.
pub(crate) fn place(root: &Root) -> Position {
    Position {
        generation: 0,
        version: root.version.into(),
    }
}

/// Signs a `releases`.
///
/// # Errors
/// [`SigningError`].
pub fn sign_releases(
    log: &mut ReleaseLog,
    root: &Root,
    releases: &Releases,
    signer: &dyn RoleSigner,
) -> Result<SignedDocument, SigningError> {
    let payload = encode(Role::Releases, |out| releases.encode(out))?;
    let authority = Authority {
        role: Role::Releases,
        product: &root.product,
        keys: &root.releases,
    };
    authority.sign(log, releases.position, &payload, signer)
}

/// Signs a `now`.
///
/// # Errors
/// [`SigningError`]; [`SigningError::PastRoot`] when it claims a time that root does not allow.
pub fn sign_now(
    log: &mut ReleaseLog,
    root: &Root,
    now: &Now,
    signer: &dyn RoleSigner,
) -> Result<SignedDocument, SigningError> {
    if now.time > root.max_time {
        return Err(SigningError::PastRoot {
            time: now.time,
            max_time: root.max_time,
        });
    }
    if now.expires <= now.time {
        return Err(SigningError::NoExpiry { role: Role::Now });
    }
    let payload = encode(Role::Now, |out| now.encode(out))?;
    let authority = Authority {
        role: Role::Now,
        product: &root.product,
        keys: &root.now,
    };
    authority.sign(log, now.position, &payload, signer)
}

/// Signs a direct manifest with a key of the releases role.
///
/// The release log does not hear of it: it says nothing that the manifest it names does not say, and
/// there is one for each device and slot.
///
/// # Errors
/// [`SigningError`].
pub fn sign_direct(
    root: &Root,
    direct: &DirectManifest,
    signer: &dyn RoleSigner,
) -> Result<SignedDocument, SigningError> {
    let payload = encode(Role::Direct, |out| direct.encode(out))?;
    let authority = Authority {
        role: Role::Direct,
        product: &root.product,
        keys: &root.releases,
    };
    let kid = authority.key_id(signer)?;
    authority.sign_as(kid, &payload, signer)
}

/// Adds a lifetime to a time.
///
/// # Errors
/// [`SigningError::NoExpiry`] when the lifetime is zero or endless.
pub fn expiry(role: Role, time: u64, lifetime: u64) -> Result<u64, SigningError> {
    match time.checked_add(lifetime) {
        Some(expires) if lifetime > 0 => Ok(expires),
        _ => Err(SigningError::NoExpiry { role }),
    }
}

/// What root says about a role that signs alone.
struct Authority<'a> {
    role: Role,
    product: &'a Product,
    keys: &'a RoleKeys,
}

impl Authority<'_> {
    fn sign(
        &self,
        log: &mut ReleaseLog,
        at: Position,
        payload: &[u8],
        signer: &dyn RoleSigner,
    ) -> Result<SignedDocument, SigningError> {
        let kid = self.key_id(signer)?;
        let logged = match self.role {
            Role::Now => LoggedRole::Now,
            _ => LoggedRole::Releases,
        };
        log.sign(logged, at, Digest::of(payload))?;
        self.sign_as(kid, payload, signer)
    }

    /// The signer's key id, if root lets it sign.
    fn key_id(&self, signer: &dyn RoleSigner) -> Result<KeyId, SigningError> {
        let public = signer.public_key();
        let kid = KeyId::of(&public);
        if self.keys.key(kid) == Some(&public) {
            return Ok(kid);
        }
        Err(SigningError::NotInRoot {
            role: self.role,
            found: kid,
            expected: names(self.keys.keys.iter().map(KeyId::of)),
        })
    }

    fn sign_as(
        &self,
        kid: KeyId,
        payload: &[u8],
        signer: &dyn RoleSigner,
    ) -> Result<SignedDocument, SigningError> {
        let mut message = Vec::new();
        to_be_signed1(self.role, self.product, kid, payload, &mut |part| {
            message.extend_from_slice(part);
        });
        let signature = signer.sign(&message)?;
        let envelope = Sign1 {
            kid,
            payload,
            signature: &signature,
        };
        let bytes = encode(self.role, |out| envelope.encode(out))?;
        Sign1::parse(&bytes)
            .ok()
            .and_then(|own| verify_sign1(&own, self.role, self.product, &self.keys.keys).ok())
            .ok_or(SigningError::OwnSignature { role: self.role })?;
        Ok(stored(bytes))
    }
}

fn stored(bytes: Vec<u8>) -> SignedDocument {
    SignedDocument {
        digest: Digest::of(&bytes),
        bytes,
    }
}

/// Runs an encoder over a buffer of the role's size.
fn encode<E: std::fmt::Display>(
    role: Role,
    write: impl FnOnce(&mut [u8]) -> Result<usize, E>,
) -> Result<Vec<u8>, SigningError> {
    let mut out = vec![0; role.max_len()];
    let length = write(&mut out).map_err(|cause| SigningError::Encoding {
        role,
        cause: cause.to_string(),
    })?;
    out.truncate(length);
    Ok(out)
}

/// Failure of building or signing metadata.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SigningError {
    /// The document would never expire.
    #[error(
        "the {role} document has no expiry; expected a lifetime of at least 1 in espseal.toml: a \
         document that never expires lets a server freeze devices on it"
    )]
    NoExpiry {
        /// The role.
        role: Role,
    },
    /// Keys and threshold of a role do not go together.
    #[error(
        "role {role} has {found} distinct keys and threshold {threshold}; expected 1 to 5 distinct \
         keys and a threshold of 1 up to their number"
    )]
    RoleKeys {
        /// The role.
        role: Role,
        /// Distinct keys.
        found: usize,
        /// Threshold asked for.
        threshold: u8,
    },
    /// A generation would fall.
    #[error("generation of {role} would fall from {old} to {new}; expected at least {old}")]
    GenerationFalls {
        /// The role.
        role: Role,
        /// Generation so far.
        old: u32,
        /// Generation asked for.
        new: u32,
    },
    /// Not enough keys signed a root.
    #[error(
        "the root is signed by {signed}; expected {threshold} keys of the {which} root: bring their \
         holders together, and name each key with `espseal root --key`"
    )]
    Threshold {
        /// Whose keys.
        which: &'static str,
        /// How many are needed.
        threshold: u8,
        /// Keys that signed.
        signed: String,
    },
    /// The key may not sign for the role.
    #[error(
        "key {found} may not sign {role}; root allows {expected}: use the right key file, or have a \
         new root name this key"
    )]
    NotInRoot {
        /// The role.
        role: Role,
        /// The key.
        found: KeyId,
        /// Keys of the role.
        expected: String,
    },
    /// The clock is past what root allows.
    #[error(
        "this machine's clock says {time}, root allows `now` up to {max_time} (seconds since \
         1970); set the clock right, or sign a new root"
    )]
    PastRoot {
        /// Time to be claimed.
        time: u64,
        /// Latest time allowed.
        max_time: u64,
    },
    /// No version number is left.
    #[error("{role} has used its last version; have a new root raise its generation")]
    Exhausted {
        /// The role.
        role: Role,
    },
    /// What was signed does not verify.
    #[error("the {role} just signed does not verify; test the key and this machine's memory")]
    OwnSignature {
        /// The role.
        role: Role,
    },
    /// The document does not fit its format.
    #[error("the {role} document cannot be encoded: {cause}")]
    Encoding {
        /// The role.
        role: Role,
        /// What the encoder says.
        cause: String,
    },
    /// The release log refuses.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The key does not sign.
    #[error(transparent)]
    Key(#[from] KeyError),
}

impl SigningError {
    /// Who has to act.
    #[must_use]
    pub fn blame(&self) -> Blame {
        match self {
            Self::Log(error) => error.blame(),
            Self::Key(error) => error.blame(),
            Self::RoleKeys { .. } => Blame::Usage,
            Self::OwnSignature { .. } => Blame::Io,
            _ => Blame::Refused,
        }
    }
}
