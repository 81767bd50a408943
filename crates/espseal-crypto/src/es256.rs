//! ES256: ECDSA over P-256 with SHA-256 (RFC 9053 section 2.1, FIPS 186-5 section 6).
//!
//! Strict where the standards are: `r` and `s` outside `[1, n-1]` and keys that are not an
//! uncompressed point on the curve are refused (FIPS 186-5 section 6.4.2, SP 800-186 appendix D).
//! A high `s` is accepted, as RFC 9053 asks for no canonical form; nothing here compares
//! signatures as identities.
//!
//! Signing is deterministic (RFC 6979): a weak random number generator cannot leak the key.

use espseal_format::units::{Digest, KeyId, PublicKeyBytes};
use p256::NonZeroScalar;
use p256::ecdsa::signature::hazmat::{PrehashSigner as _, PrehashVerifier as _};
use p256::ecdsa::{Signature, VerifyingKey};
use p256::elliptic_curve::Generate as _;
use rand_core::CryptoRng;
use zeroize::Zeroizing;

/// Bytes of a signature, `r || s`.
pub const SIGNATURE_LEN: usize = 64;

/// Checks a signature over a SHA-256 digest.
///
/// # Errors
/// [`BadSignature`] when the key is not a point on the curve, `r` or `s` is out of range, or the
/// signature does not verify.
pub fn verify_prehash(
    key: &PublicKeyBytes,
    digest: &Digest,
    signature: &[u8; SIGNATURE_LEN],
) -> Result<(), BadSignature> {
    let key = VerifyingKey::from_sec1_bytes(&key.0).map_err(|_| BadSignature)?;
    let signature = Signature::from_slice(signature).map_err(|_| BadSignature)?;
    key.verify_prehash(&digest.0, &signature)
        .map_err(|_| BadSignature)
}

/// A private signing key of a role or of a device's reports.
///
/// Wiped when dropped.
pub struct SigningKey(p256::ecdsa::SigningKey);

redacted_debug!(SigningKey);

impl SigningKey {
    /// Takes a private scalar, 32 bytes big-endian.
    ///
    /// # Errors
    /// [`InvalidPrivateKey`] when the scalar is not in `[1, n-1]`.
    pub fn from_bytes(scalar: &[u8; 32]) -> Result<Self, InvalidPrivateKey> {
        p256::ecdsa::SigningKey::from_slice(scalar)
            .map(Self)
            .map_err(|_| InvalidPrivateKey)
    }

    /// Draws a key.
    pub fn generate<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
        Self(NonZeroScalar::generate_from_rng(rng).into())
    }

    /// Returns the private scalar, for a key file.
    #[must_use]
    pub fn expose_secret(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes().into())
    }

    /// Returns the public half.
    #[must_use]
    pub fn public_key(&self) -> PublicKeyBytes {
        let mut bytes = [0; PublicKeyBytes::LEN];
        let point = self.0.verifying_key().to_sec1_point(false);
        bytes
            .iter_mut()
            .zip(point.as_bytes())
            .for_each(|(to, from)| *to = *from);
        PublicKeyBytes(bytes)
    }

    /// Returns the name of the key in a COSE header.
    #[must_use]
    pub fn key_id(&self) -> KeyId {
        KeyId::of(&self.public_key())
    }

    /// Signs a SHA-256 digest.
    ///
    /// # Errors
    /// [`SigningFailed`] never in practice: the nonce of RFC 6979 would have to be degenerate.
    pub fn sign_prehash(&self, digest: &Digest) -> Result<[u8; SIGNATURE_LEN], SigningFailed> {
        let signature: Signature = self.0.sign_prehash(&digest.0).map_err(|_| SigningFailed)?;
        Ok(signature.to_bytes().into())
    }
}

failure!(
    /// A signature does not verify.
    BadSignature,
    "the signature does not verify"
);

failure!(
    /// A private scalar is zero or not below the order of the curve.
    InvalidPrivateKey,
    "the private key is not in the range 1 to n-1 of P-256"
);

failure!(
    /// The signing operation failed.
    SigningFailed,
    "signing failed"
);
