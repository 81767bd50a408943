//! The sender's side of the key agreement, on the `p256` crate: makers seal for thousands of devices,
//! and its tables and windows are three times as fast as what a device has room for.

use espseal_format::units::PublicKeyBytes;
use p256::elliptic_curve::point::AffineCoordinates as _;
use p256::elliptic_curve::sec1::ToSec1Point as _;
use p256::{PublicKey, SecretKey};
use zeroize::Zeroizing;

use super::Secret;
use crate::nist_p256::SecretScalar;

/// Returns the ephemeral public key and the first coordinate of the product with the recipient's;
/// `None` when the latter is not an uncompressed point on the curve.
#[expect(
    clippy::arithmetic_side_effects,
    reason = "a group has neither overflow nor division"
)]
pub(super) fn encapsulate(
    ephemeral: &SecretScalar,
    recipient: &PublicKeyBytes,
) -> Option<(PublicKeyBytes, Secret)> {
    let recipient = PublicKey::from_sec1_bytes(&recipient.0).ok()?;
    let scalar = Zeroizing::new(ephemeral.get().to_be_bytes());
    let secret = SecretKey::from_bytes((&*scalar).into()).ok()?;
    let scalar = Zeroizing::new(secret.to_nonzero_scalar());
    let product = (recipient.to_projective() * **scalar).to_affine();
    let enc = secret.public_key().to_sec1_point(false);
    let enc = PublicKeyBytes(enc.as_bytes().try_into().ok()?);
    Some((enc, Zeroizing::new(product.x().into())))
}
