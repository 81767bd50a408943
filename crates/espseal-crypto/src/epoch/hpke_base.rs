//! HPKE base mode for one 32-byte message, on the `hpke` crate.
//!
//! RFC 9180 section 5.1.1 (base mode) and 6.1 (single-shot): one encapsulation and one message for
//! each recipient, empty aad.

use espseal_format::units::{DeviceId, Product, PublicKeyBytes};
use espseal_format::wrap::{ShardEntry, epoch_info};
use hpke::aead::{AeadTag, AesGcm256};
use hpke::inout::InOutBuf;
use hpke::kdf::HkdfSha256;
use hpke::kem::DhP256HkdfSha256;
use hpke::{Deserializable as _, Kem, OpModeR, OpModeS, Serializable as _};
use rand_core::CryptoRng;

use super::{EpochKey, InvalidPublicKey, OpenFailed};

pub(super) type PrivateKey = <DhP256HkdfSha256 as Kem>::PrivateKey;
type PublicKey = <DhP256HkdfSha256 as Kem>::PublicKey;
type EncappedKey = <DhP256HkdfSha256 as Kem>::EncappedKey;

/// Seals an epoch key to a device.
pub(super) fn seal<R: CryptoRng + ?Sized>(
    key: &EpochKey,
    device: &PublicKeyBytes,
    product: &Product,
    group: u32,
    epoch: u32,
    mut rng: &mut R,
) -> Result<ShardEntry, InvalidPublicKey> {
    let public = PublicKey::from_bytes(&device.0).map_err(|_| InvalidPublicKey)?;
    let device = DeviceId::of(device);
    let info = epoch_info(product, group, epoch, &device);
    let mut entry = ShardEntry {
        device,
        enc: [0; 65],
        ciphertext: [0; 48],
    };
    let (message, tag) = entry.ciphertext.split_at_mut(32);
    message.copy_from_slice(&key.0);
    let (enc, sealed) =
        hpke::single_shot_seal_inout_detached_with_rng::<AesGcm256, HkdfSha256, DhP256HkdfSha256>(
            &OpModeS::Base,
            &public,
            &info,
            InOutBuf::from(message),
            &[],
            &mut rng,
        )
        .map_err(|_| InvalidPublicKey)?;
    sealed.write_exact(tag);
    enc.write_exact(&mut entry.enc);
    Ok(entry)
}

/// Opens an epoch key that was sealed to `device`, the owner of `private`.
pub(super) fn open(
    private: &PrivateKey,
    device: &DeviceId,
    product: &Product,
    group: u32,
    epoch: u32,
    entry: &ShardEntry,
) -> Result<EpochKey, OpenFailed> {
    if entry.device != *device {
        return Err(OpenFailed);
    }
    let info = epoch_info(product, group, epoch, device);
    let enc = EncappedKey::from_bytes(&entry.enc).map_err(|_| OpenFailed)?;
    let (message, tag) = entry.ciphertext.split_at(32);
    let tag = AeadTag::<AesGcm256>::from_bytes(tag).map_err(|_| OpenFailed)?;
    let mut key = EpochKey([0; 32]);
    key.0.copy_from_slice(message);
    hpke::single_shot_open_inout_detached::<AesGcm256, HkdfSha256, DhP256HkdfSha256>(
        &OpModeR::Base,
        private,
        &enc,
        &info,
        InOutBuf::from(&mut key.0[..]),
        &[],
        &tag,
    )
    .map_err(|_| OpenFailed)?;
    Ok(key)
}
