//! Signature blocks and what is signed.

use espseal_crypto::secure_boot::{v1, verify_block};
use espseal_format::sdc::{ChipInfo, SdcCertificate, Unlock, key_digest};
use espseal_format::secure_boot_v1::{AppSignature, BootloaderDigest};
use espseal_format::signature_block::{ImageDigests, SignatureBlock, SignatureSector};
use espseal_format::units::Digest;

use crate::input::{Input, padded};
use crate::seeds;

/// Bytes of a block; its CRC stands 20 bytes before the end.
const BLOCK: usize = 1216;
const CRC: usize = 1196;

/// Every valid block is found where it stands, and a sector of them is written as it was read.
pub(crate) fn signature_sector(data: &[u8]) {
    let mut sector: [u8; 4096] = padded(data, 0xFF);
    for mend in [false, true] {
        if mend {
            sector[..3 * BLOCK].chunks_mut(BLOCK).for_each(mend_block);
        }
        let parsed = SignatureSector::parse(&sector);
        let mut blocks = [None; 3];
        for (place, block) in parsed.blocks() {
            let bytes: &[u8; BLOCK] = sector[place * BLOCK..][..BLOCK].try_into().unwrap();
            assert_eq!(block.as_bytes(), bytes);
            assert_eq!(SignatureBlock::parse(bytes), Ok(block));
            assert_eq!(block.scheme().is_some(), block.key_digest().is_some());
            blocks[place] = Some(block);
        }
        assert!(parsed.rsa_blocks().count() <= parsed.blocks().count());
        let encoded = SignatureSector::encode(blocks);
        let again = SignatureSector::parse(&encoded);
        assert!(again.blocks().eq(parsed.blocks()));
    }
}

/// Magic and CRC as they should be, unless there is nothing at all.
fn mend_block(block: &mut [u8]) {
    if block.iter().all(|byte| *byte == 0xFF) {
        return;
    }
    block[0] = 0xE7;
    let crc = crc32(&block[..CRC]);
    block[CRC..CRC + 4].copy_from_slice(&crc.to_le_bytes());
}

/// Curve and point of a P-192 key. The zeros behind them change the key's digest, which eFuses know,
/// and not the key.
const P192_KEY: std::ops::Range<usize> = 36..85;

fn is_p192(block: &SignatureBlock<'_>) -> bool {
    matches!(block, SignatureBlock::EcdsaP192(_))
}

/// No block but the genuine ones verifies. The input is bytes to change in one of them.
pub(crate) fn secure_boot_block(data: &[u8]) {
    let genuine = seeds::blocks();
    let mut input = Input(data);
    let (original, image) = input.pick(genuine);
    let mut block = *original;
    while !input.0.is_empty() {
        let at = usize::from(input.word()) % CRC;
        block[at] ^= input.byte();
    }
    mend_block(&mut block);
    let digests = ImageDigests::of(image);
    let Ok(parsed) = SignatureBlock::parse(&block) else {
        panic!("magic and CRC are right");
    };
    let verdict = verify_block(&parsed, &digests);
    if let Ok(digest) = verdict {
        // Only what the signature does not cover may differ and still verify: padding that is
        // neither key nor signature nor digest.
        assert_eq!(Some(digest), parsed.key_digest());
        let before = SignatureBlock::parse(original).expect("it is genuine");
        if Some(digest) == before.key_digest() {
            let r = verify_block(&before, &digests);
            assert_eq!(r, Ok(digest));
        } else if !(is_p192(&before) && block[P192_KEY] == original[P192_KEY]) {
            panic!("a signature by a key that nobody has: {block:02x?}");
        }
    }
    let other = ImageDigests::of(b"another image");
    assert!(verify_block(&parsed, &other).is_err(), "it signs anything");
}

pub(crate) fn app_signature(data: &[u8]) {
    if let Ok((image, signature)) = AppSignature::split(data) {
        assert_eq!([image, &signature.encode()].concat(), data);
        assert_eq!(
            AppSignature::new(signature.signature).encode(),
            signature.encode()
        );
        let key: [u8; 64] = padded(data, 1);
        assert!(v1::verify_app(&key, &Digest::of(image), signature).is_err());
    }
    let bytes: [u8; 192] = padded(data, 0);
    assert_eq!(BootloaderDigest::parse(&bytes).encode(), bytes);
}

/// Certificates are made, never read; what is made says what was asked for.
pub(crate) fn debug_certificate(data: &[u8]) {
    let mut input = Input(data);
    let mac: [u8; 6] = padded(input.take(6), 0);
    let (counter, unlocks) = (input.byte(), input.byte());
    let nonce: [u8; 32] = padded(input.take(32), 0);
    let chip = ChipInfo::new(mac, counter, nonce);
    assert_eq!(chip.is_some(), [0, 1, 3, 7].contains(&counter));
    let file: [u8; 64] = padded(input.0, 0);
    let chip = chip.unwrap_or_else(|| ChipInfo::parse(&file));
    let unlock = [Unlock::JTAG, Unlock::DOWNLOAD_REUSE, Unlock::FORCE_SPI_BOOT]
        .into_iter()
        .enumerate()
        .filter(|(bit, _)| unlocks >> bit & 1 != 0)
        .fold(Unlock::default(), |sum, (_, one)| sum.and(one));
    let certificate = SdcCertificate::new(unlock, &chip, file, file).encode();
    assert_eq!(certificate[276..340], file);
    let text = String::from_utf8_lossy(data);
    if let Ok(mac) = espseal_publish::debug_certificate::parse_mac(&text) {
        let again: Vec<String> = mac.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            espseal_publish::debug_certificate::parse_mac(&again.join(":")).ok(),
            Some(mac)
        );
    }
    let mut digest = key_digest(&file).0;
    digest.reverse();
    assert_eq!(digest, Digest::of(&file).0);
}

/// CRC-32 of IEEE 802.3, computed without the format crate.
pub(crate) fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xEDB8_8320 & 0_u32.wrapping_sub(crc & 1))
        })
    })
}
