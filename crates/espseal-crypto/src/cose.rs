//! Signed documents: verifying and making COSE_Sign1 and COSE_Sign with ES256.
//!
//! What is signed is the `Sig_structure` of RFC 9052 section 4.4 with the role and the product in
//! `external_aad`, hashed while it streams. Key ids only say which key to try: a forged or
//! colliding id gains nothing, and a threshold counts public keys, not ids or signatures.
//!
//! Source: RFC 9052 sections 4.2 and 4.4; RFC 9053 section 2.1; `docs/protocol.md`, "Signatures".

use core::fmt;

use espseal_format::cose::{
    MAX_SIGNATURES, Role, Sign, Sign1, Signer, to_be_signed, to_be_signed1,
};
use espseal_format::sha256::Sha256;
use espseal_format::units::{Digest, KeyId, Product, PublicKeyBytes};

use crate::es256::{self, SIGNATURE_LEN, SigningFailed, SigningKey};

/// Checks the one signature of a `releases`, `now` or `report` document.
///
/// # Errors
/// [`VerifyError::UnknownKey`] when no key of the role has the named id;
/// [`VerifyError::Signature`] when the signature is not by such a key over this payload, role and
/// product.
pub fn verify_sign1(
    document: &Sign1<'_>,
    role: Role,
    product: &Product,
    keys: &[PublicKeyBytes],
) -> Result<(), VerifyError> {
    let digest = digest1(role, product, document.kid, document.payload);
    let mut named = candidates(keys, document.kid).peekable();
    if named.peek().is_none() {
        return Err(VerifyError::UnknownKey {
            found: document.kid,
        });
    }
    if named.any(|key| es256::verify_prehash(key, &digest, document.signature).is_ok()) {
        Ok(())
    } else {
        Err(VerifyError::Signature)
    }
}

/// Checks that at least `threshold` distinct keys of the root role signed a root.
///
/// Signatures by strangers are ignored, as a root carries those of the old and of the new role.
///
/// # Errors
/// [`VerifyError::Threshold`] when fewer distinct public keys signed, or the threshold is 0.
pub fn verify_threshold(
    document: &Sign<'_>,
    product: &Product,
    keys: &[PublicKeyBytes],
    threshold: u8,
) -> Result<(), VerifyError> {
    let has_signed = |key: &PublicKeyBytes| {
        let kid = KeyId::of(key);
        let digest = digest(Role::Root, product, kid, document.payload);
        document
            .signatures
            .iter()
            .filter(|signature| signature.kid == kid)
            .any(|signature| es256::verify_prehash(key, &digest, signature.signature).is_ok())
    };
    let is_first = |index: usize, key: &PublicKeyBytes| !keys.iter().take(index).any(|k| k == key);
    let found = keys
        .iter()
        .enumerate()
        .filter(|(index, key)| is_first(*index, key) && has_signed(key))
        .count();
    if threshold == 0 || found < usize::from(threshold) {
        return Err(VerifyError::Threshold { threshold, found });
    }
    Ok(())
}

/// Signs a `releases`, `now` or `report` document; returns the signature for [`Sign1`].
///
/// # Errors
/// [`SigningFailed`] never in practice.
pub fn sign1(
    key: &SigningKey,
    role: Role,
    product: &Product,
    payload: &[u8],
) -> Result<SignatureOf, SigningFailed> {
    let kid = key.key_id();
    let signature = key.sign_prehash(&digest1(role, product, kid, payload))?;
    Ok(SignatureOf { kid, signature })
}

/// Signs a root with one key; the signatures of all keys, sorted, make a [`Sign`].
///
/// # Errors
/// [`SigningFailed`] never in practice.
pub fn sign(
    key: &SigningKey,
    product: &Product,
    payload: &[u8],
) -> Result<SignatureOf, SigningFailed> {
    let kid = key.key_id();
    let signature = key.sign_prehash(&digest(Role::Root, product, kid, payload))?;
    Ok(SignatureOf { kid, signature })
}

/// Digest of what a COSE_Sign1 signature covers, for a signer that holds its key elsewhere.
#[must_use]
pub fn digest1(role: Role, product: &Product, kid: KeyId, payload: &[u8]) -> Digest {
    let mut hash = Sha256::new();
    to_be_signed1(role, product, kid, payload, &mut |bytes| hash.update(bytes));
    hash.finish()
}

/// Digest of what one signature of a COSE_Sign covers, for a signer that holds its key elsewhere.
#[must_use]
pub fn digest(role: Role, product: &Product, kid: KeyId, payload: &[u8]) -> Digest {
    let mut hash = Sha256::new();
    to_be_signed(role, product, kid, payload, &mut |bytes| hash.update(bytes));
    hash.finish()
}

/// A signature with the name of the key that made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignatureOf {
    /// Names the key.
    pub kid: KeyId,
    /// `r || s`.
    pub signature: [u8; SIGNATURE_LEN],
}

impl SignatureOf {
    /// Puts the signature in front of its payload.
    #[must_use]
    pub const fn envelope<'a>(&'a self, payload: &'a [u8]) -> Sign1<'a> {
        Sign1 {
            kid: self.kid,
            payload,
            signature: &self.signature,
        }
    }

    /// Lines signatures up in front of their payload, sorted by key id as the format asks; `None`
    /// when there are more than [`MAX_SIGNATURES`].
    #[must_use]
    pub fn threshold_envelope<'a>(signatures: &'a [Self], payload: &'a [u8]) -> Option<Sign<'a>> {
        let mut sorted = heapless::Vec::<_, MAX_SIGNATURES>::new();
        for Self { kid, signature } in signatures {
            let kid = *kid;
            sorted.push(Signer { kid, signature }).ok()?;
        }
        sorted.sort_unstable_by_key(|signer| signer.kid);
        Some(Sign {
            payload,
            signatures: sorted,
        })
    }
}

/// Keys that have the named id.
fn candidates(keys: &[PublicKeyBytes], kid: KeyId) -> impl Iterator<Item = &PublicKeyBytes> {
    keys.iter().filter(move |key| KeyId::of(key) == kid)
}

/// Why a document is not signed as it has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum VerifyError {
    /// The document is signed by a key that the role does not have.
    UnknownKey {
        /// Name of the key.
        found: KeyId,
    },
    /// The signature is not by the key it names over this payload, role and product.
    Signature,
    /// Too few distinct keys of the role signed.
    Threshold {
        /// Keys that have to sign.
        threshold: u8,
        /// Keys that did.
        found: usize,
    },
}

impl fmt::Display for VerifyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownKey { found } => write!(
                f,
                "signed by key {found}, which does not hold this role: sign with a key of the role"
            ),
            Self::Signature => f.write_str("the signature does not verify"),
            Self::Threshold { threshold, found } => write!(
                f,
                "{found} keys of the root role signed, {threshold} have to: collect the missing \
                 signatures"
            ),
        }
    }
}

impl core::error::Error for VerifyError {}

#[cfg(test)]
mod tests;
