//! HPKE base mode for one 32-byte message: DHKEM(P-256, HKDF-SHA256), HKDF-SHA256, AES-256-GCM.
//!
//! RFC 9180 with everything fixed that this protocol fixes: base mode, one message for each
//! encapsulation, empty aad, 32-byte secrets. What remains is a Diffie-Hellman, seven HMACs and one
//! GCM on the primitives that sealing and signing link anyway; the `hpke` crate, against which
//! tests compare in both directions, brings instances of its own of all of them.
//!
//! Source: RFC 9180 sections 4 (labels), 4.1 (DHKEM), 5.1 (key schedule), 5.2 (nonce of message 0),
//! 7.1.3 (`DeriveKeyPair`).

use espseal_format::units::{DeviceId, Product, PublicKeyBytes};
use espseal_format::wrap::{ShardEntry, epoch_info};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::{DevicePrivateKey, EpochKey, InvalidPublicKey, OpenFailed};
use crate::content::{BodyKeystream, Tag, ghash_short};
use crate::es256;
use crate::hmac::hmac;
use crate::nist_p256::{Point, SecretScalar};

mod encapsulation;

/// A secret of the key schedule.
type Secret = Zeroizing<[u8; 32]>;

/// Version label of every HMAC.
const VERSION: &[u8] = b"HPKE-v1";
/// Suite id within the KEM: DHKEM(P-256, HKDF-SHA256).
const KEM: &[u8] = b"KEM\x00\x10";
/// Suite id of the whole: KEM, KDF HKDF-SHA256, AEAD AES-256-GCM.
const SUITE: &[u8] = b"HPKE\x00\x10\x00\x01\x00\x02";
/// Mode without pre-shared key and without authentication of the sender.
const MODE_BASE: u8 = 0;
/// A salt that is not given (RFC 5869 section 2.2).
const NO_SALT: &[u8; 32] = &[0; 32];
/// Length of keys and secrets as `LabeledExpand` encodes it.
const SECRET_LEN: u8 = 32;
/// Length of a nonce.
const NONCE_LEN: u8 = 12;

/// Seals an epoch key to a device.
pub(super) fn seal<R: CryptoRng + ?Sized>(
    key: &EpochKey,
    device: &PublicKeyBytes,
    product: &Product,
    group: u32,
    epoch: u32,
    rng: &mut R,
) -> Result<ShardEntry, InvalidPublicKey> {
    let mut ikm = Zeroizing::new([0; 32]);
    rng.fill_bytes(&mut *ikm);
    let ephemeral = derive_key_pair(&ikm);
    let (enc, x) = encapsulation::encapsulate(&ephemeral, device).ok_or(InvalidPublicKey)?;
    let shared = shared_secret(&x, &enc, device);
    let id = DeviceId::of(device);
    let aead = key_schedule(&shared, &epoch_info(product, group, epoch, &id));
    let mut entry = ShardEntry {
        device: id,
        enc: enc.0,
        ciphertext: [0; 48],
    };
    let (message, tag) = entry.ciphertext.split_at_mut(32);
    message.copy_from_slice(&key.0);
    tag.copy_from_slice(&aead.seal(message, ghash_short).0);
    Ok(entry)
}

/// Opens an epoch key that was sealed to the owner of `device`.
#[inline(never)]
pub(super) fn open(
    device: &DevicePrivateKey,
    product: &Product,
    group: u32,
    epoch: u32,
    entry: &ShardEntry,
) -> Result<EpochKey, OpenFailed> {
    let id = device.device_id();
    if entry.device != id {
        return Err(OpenFailed);
    }
    let enc = PublicKeyBytes(entry.enc);
    let sender = es256::point(&enc).ok_or(OpenFailed)?;
    let x = agree(device.secret(), &sender);
    let shared = shared_secret(&x, &enc, device.public_key());
    let aead = key_schedule(&shared, &epoch_info(product, group, epoch, &id));
    let (message, tag) = entry.ciphertext.split_at(32);
    let mut key = EpochKey([0; 32]);
    key.0.copy_from_slice(message);
    let tag = Tag(tag.try_into().map_err(|_| OpenFailed)?);
    aead.open(&tag, &mut key.0, ghash_short)
        .map_err(|_| OpenFailed)?;
    Ok(key)
}

/// `DeriveKeyPair`: candidates are taken until one lies in `[1, n-1]`, which the first does but
/// for one in 2^32.
///
/// The RFC gives up after 256; the counter starts again here, which nobody will see.
pub(super) fn derive_key_pair(ikm: &[u8; 32]) -> SecretScalar {
    let extracted = extract(KEM, NO_SALT, b"dkp_prk", ikm);
    let mut counter = 0_u8;
    loop {
        let candidate = expand(KEM, &extracted, b"candidate", [&[counter], &[]], SECRET_LEN);
        if let Some(secret) = SecretScalar::from_be_bytes(&candidate) {
            return secret;
        }
        counter = counter.wrapping_add(1);
    }
}

/// Diffie-Hellman: the first coordinate of the product.
///
/// The product of a secret scalar and a point on the curve is never the point at infinity: the
/// order of P-256 is prime.
fn agree(secret: &SecretScalar, other: &Point) -> Secret {
    let product = Zeroizing::new(other.multiple(secret.get()).coordinates());
    let mut x = Zeroizing::new([0; 32]);
    let [first, _] = &*product;
    x.copy_from_slice(first);
    x
}

/// Shared secret of `Encap` and `Decap`: `ExtractAndExpand` of what Diffie-Hellman gave.
fn shared_secret(x: &[u8; 32], enc: &PublicKeyBytes, recipient: &PublicKeyBytes) -> Secret {
    let extracted = extract(KEM, NO_SALT, b"eae_prk", x);
    let context = [&enc.0[..], &recipient.0];
    expand(KEM, &extracted, b"shared_secret", context, SECRET_LEN)
}

/// `KeySchedule` in base mode, up to the cipher for message 0.
fn key_schedule(shared: &Secret, info: &[u8]) -> BodyKeystream {
    let psk_id_hash = extract(SUITE, NO_SALT, b"psk_id_hash", &[]);
    let info_hash = extract(SUITE, NO_SALT, b"info_hash", info);
    let mut context = [MODE_BASE; 1 + 2 * 32];
    let hashes = psk_id_hash.iter().chain(&*info_hash);
    let places = context.iter_mut().skip(1);
    places.zip(hashes).for_each(|(to, from)| *to = *from);
    let secret = extract(SUITE, shared, b"secret", &[]);
    let key = expand(SUITE, &secret, b"key", [&context, &[]], SECRET_LEN);
    let nonce = expand(SUITE, &secret, b"base_nonce", [&context, &[]], NONCE_LEN);
    let [a, b, c, d, e, f, g, h, i, j, k, l, ..] = *nonce;
    BodyKeystream::with_nonce(&key, &[a, b, c, d, e, f, g, h, i, j, k, l])
}

/// `LabeledExtract`.
fn extract(suite: &[u8], salt: &[u8; 32], label: &[u8], ikm: &[u8]) -> Secret {
    hmac(salt, &[VERSION, suite, label, ikm])
}

/// `LabeledExpand` of at most 32 bytes: those after `length` are of no meaning.
fn expand(suite: &[u8], key: &Secret, label: &[u8], info: [&[u8]; 2], length: u8) -> Secret {
    let [first, second] = info;
    let message = [&[0, length], VERSION, suite, label, first, second, &[1]];
    hmac(key, &message)
}

#[cfg(test)]
mod tests;
