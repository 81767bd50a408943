//! Tests of the signature sector and its blocks.

use zerocopy::little_endian::U32;

use super::*;

fn block(fill: u8) -> RsaSignatureBlock {
    RsaSignatureBlock::new(&RsaParts {
        image_digest: Digest([fill; 32]),
        n: [fill; RSA_LEN],
        e: 65537,
        r: [!fill; RSA_LEN],
        m_prime: 0x1234_5678,
        signature: [fill; RSA_LEN],
    })
}

#[test]
fn sector_round_trips_with_an_unknown_block_between_two_rsa_blocks() {
    let (first, third) = (block(1), block(3));
    let mut unknown = block(2).encode();
    unknown[1] = 4;
    let crc = crc_of(&unknown);
    unknown[1196..1200].copy_from_slice(&crc.to_le_bytes());
    let sector = SignatureSector::encode([
        Some(SignatureBlock::Rsa(&first)),
        Some(SignatureBlock::Unknown(&unknown)),
        Some(SignatureBlock::Rsa(&third)),
    ]);
    let read = SignatureSector::parse(&sector);
    assert_eq!(
        read.rsa_blocks().collect::<heapless::Vec<_, 3>>(),
        [(0, &first), (2, &third)]
    );
    assert_eq!(read.places()[1], Ok(SignatureBlock::Unknown(&unknown)));
    let again = SignatureSector::encode([0, 1, 2].map(|index| read.places()[index].ok()));
    assert_eq!(again, sector);
    assert_eq!(
        RsaSignatureBlock::parse(&unknown),
        Err(BlockError::Scheme { found: 4 })
    );
}

#[test]
fn block_behind_a_broken_one_is_found() {
    let (first, second) = (block(1), block(2));
    let mut sector = SignatureSector::encode([
        Some(SignatureBlock::Rsa(&first)),
        Some(SignatureBlock::Rsa(&second)),
        None,
    ]);
    sector[100] ^= 1;
    let read = SignatureSector::parse(&sector);
    assert!(matches!(read.places()[0], Err(BlockError::Crc { .. })));
    assert_eq!(read.rsa_blocks().next(), Some((1, &second)));
    assert_eq!(read.places()[2], Err(BlockError::Absent));
}

#[test]
fn every_flipped_bit_under_the_crc_is_noticed() {
    let good = block(0x5A).encode();
    for bit in 0..1200 * 8 {
        let mut bytes = good;
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(SignatureBlock::parse(&bytes).is_err(), "bit {bit}");
    }
}

#[test]
fn key_digest_covers_key_fields_only() {
    let one = block(1);
    let mut other = one;
    other.signature = [9; RSA_LEN];
    other.image_digest = [9; 32];
    assert_eq!(one.key_digest(), other.key_digest());
    for change in [
        |block: &mut RsaSignatureBlock| block.n[0] ^= 1,
        |block: &mut RsaSignatureBlock| block.e = U32::new(3),
        |block: &mut RsaSignatureBlock| block.r[383] ^= 1,
        |block: &mut RsaSignatureBlock| block.m_prime = U32::new(0),
    ] {
        let mut changed = one;
        change(&mut changed);
        assert_ne!(one.key_digest(), changed.key_digest());
    }
}
