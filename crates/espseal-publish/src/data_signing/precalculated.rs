//! Signatures that were made elsewhere, as their files hold them.

use espseal_crypto::secure_boot::PublicKey;
use espseal_format::signature_block::SignatureScheme;
use pkcs8::der::asn1::{AnyRef, UintRef};
use pkcs8::der::{Decode as _, Reader as _};

/// Turns the content of a signature file into what a block is built from.
///
/// An RSA signature stays as it is; an ECDSA signature is read from DER (RFC 3279 section 2.2.3) as
/// `r || s`. `None` when it is not DER, or a number is too long for the curve.
#[must_use]
pub fn signature_from_file(key: &PublicKey, file: &[u8]) -> Option<Vec<u8>> {
    let SignatureScheme::Ecdsa(curve) = key.scheme() else {
        return Some(file.to_vec());
    };
    let sequence = AnyRef::from_der(file).ok()?;
    let numbers = sequence.sequence(|reader| {
        Ok::<_, pkcs8::der::Error>([reader.decode::<UintRef<'_>>()?, reader.decode()?])
    });
    let mut signature = vec![0; curve.number_len().saturating_mul(2)];
    for (place, number) in signature.chunks_mut(curve.number_len()).zip(numbers.ok()?) {
        let number = number.as_bytes();
        let start = place.len().checked_sub(number.len())?;
        place.get_mut(start..)?.copy_from_slice(number);
    }
    Some(signature)
}
