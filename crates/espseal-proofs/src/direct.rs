//! Direct images for the devices of the proofs.

use espseal_crypto::flash_encryption::{FlashCipher, FlashCryptConfig, FlashKey};
use espseal_format::cose::Role;
use espseal_format::metadata::direct::{DirectManifest, FlashScheme};
use espseal_format::repository::Resource;
use espseal_format::units::{CHUNK_SIZE, DeviceId, Digest, FlashOffset, SECTOR_SIZE};

use crate::geometry::Geometry;
use crate::maker::{Maker, encoded, sign1};

/// Publishes a released image for every OTA slot of a device.
pub(crate) fn publish(
    maker: &mut Maker,
    geometry: &Geometry,
    device: DeviceId,
    manifest: Digest,
    image: &[u8],
) {
    let key = geometry.flash_key();
    publish_as(maker, geometry, device, manifest, image, &key, |_| {});
}

/// As [`publish`], encrypted with any key, for what `bend` makes of it.
pub(crate) fn publish_as(
    maker: &mut Maker,
    geometry: &Geometry,
    device: DeviceId,
    manifest: Digest,
    image: &[u8],
    key: &FlashKey,
    bend: impl Fn(&mut DirectManifest),
) {
    let layout = geometry.layout();
    for (slot, region) in (0..).zip(&layout.slots) {
        let mut direct = describe(maker, key, device, manifest, image);
        direct.slot = region.offset;
        direct.journal = layout.journal;
        bend(&mut direct);
        let bytes = signed(maker, key, direct, image);
        let resource = Resource::Direct {
            manifest: &manifest,
            device: &device,
            slot,
        };
        maker.put(resource, bytes);
    }
}

/// What is common to all slots.
fn describe(
    maker: &Maker,
    key: &FlashKey,
    device: DeviceId,
    manifest: Digest,
    image: &[u8],
) -> DirectManifest {
    DirectManifest {
        product: maker.product,
        manifest,
        device,
        scheme: match key {
            FlashKey::Esp32(_) => FlashScheme::Esp32 {
                crypt_config: FlashCryptConfig::DEFAULT.get(),
            },
            FlashKey::Xts256(_) => FlashScheme::Xts256,
            _ => FlashScheme::Xts128,
        },
        probe: Digest::of(&image[..CHUNK_SIZE]),
        image_length: image.len() as u32,
        ..DirectManifest::BLANK
    }
}

/// Encrypts and stores an image, and signs its direct manifest; the images of the proofs are whole
/// sectors.
fn signed(maker: &mut Maker, key: &FlashKey, mut direct: DirectManifest, image: &[u8]) -> Vec<u8> {
    let cipher = FlashCipher::new(key, FlashCryptConfig::DEFAULT);
    let encrypted = |at: u32, plain: &[u8]| {
        let mut cells = plain.to_vec();
        cipher.encrypt(FlashOffset::new(at), &mut cells).unwrap();
        cells
    };
    let (journal, head) = (direct.journal.get(), &image[..CHUNK_SIZE]);
    let mut body = encrypted(direct.slot.get(), image);
    body.extend(encrypted(journal + 0x2000, head));
    body.extend(encrypted(journal + 0x3000, head));
    let hashes: Vec<u8> = body
        .chunks(CHUNK_SIZE)
        .flat_map(|chunk| Digest::of(chunk).0)
        .collect();
    direct.body = Digest::of(&body);
    direct.pages = hashes.chunks(SECTOR_SIZE).map(Digest::of).collect();
    maker.put(Resource::Body(&direct.body), body);
    maker.put(Resource::Pages(&direct.body), hashes);
    let payload = encoded(|out| direct.encode(out).unwrap());
    sign1(&maker.keys.releases, Role::Direct, &maker.product, &payload)
}
