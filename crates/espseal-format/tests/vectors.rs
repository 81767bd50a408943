//! Files made by espsecure and esp_enc_img_gen; `vectors/<set>/README.md` has the commands.

use espseal_format::enc_img::EncImgHeader;
use espseal_format::image::pad_to_sector;
use espseal_format::signature_block::{BlockError, SignatureBlock, SignatureSector};
use espseal_format::units::Digest;

const APP: &[u8] = include_bytes!("../../../vectors/app-image/app.bin");
const TWO_BLOCKS: &[u8; 4096] =
    include_bytes!("../../../vectors/signature-sector/two-rsa-blocks.bin");
const ECDSA: &[u8; 1216] = include_bytes!("../../../vectors/signature-sector/ecdsa-block.bin");
const ENC_IMG: &[u8; 512] = include_bytes!("../../../vectors/enc-img/header-rsa.bin");

#[test]
fn blocks_of_espsecure_hold_the_digest_of_the_padded_image_and_its_key_digests() {
    let mut signed = APP.to_vec();
    signed.resize(8192, 0);
    let end = pad_to_sector(&mut signed, APP.len()).unwrap();
    let image_digest = Digest::of(&signed[..end]);

    let sector = SignatureSector::parse(TWO_BLOCKS);
    let blocks: Vec<_> = sector.rsa_blocks().collect();
    let key_digests = blocks
        .iter()
        .map(|(_, block)| block.key_digest().to_string());
    assert_eq!(
        key_digests.collect::<Vec<_>>(),
        [
            "b343901126cb99f173ecc75f05c8cd6b3dacc4061d0c9af005e1c845080772cf",
            "f30c999270c731ab30f663bf50e24b284cdef39c3528bc85dfec3b6b21c11a00",
        ]
    );
    for (place, (index, block)) in blocks.iter().enumerate() {
        assert_eq!(place, *index);
        assert_eq!(block.image_digest, image_digest.0);
        assert_eq!(block.e.get(), 65537);
    }
    assert_eq!(sector.places()[2], Err(BlockError::Absent));
    let again = SignatureSector::encode([0, 1, 2].map(|place| sector.places()[place].ok()));
    assert_eq!(&again, TWO_BLOCKS);
}

#[test]
fn an_ecdsa_block_of_espsecure_is_read_and_kept_whole() {
    let block = SignatureBlock::parse(ECDSA).unwrap();
    assert!(matches!(block, SignatureBlock::EcdsaP256(_)), "{block:?}");
    assert_eq!(block.as_bytes(), ECDSA);
}

#[test]
fn header_of_esp_enc_img_gen_round_trips() {
    let header = EncImgHeader::parse(ENC_IMG).unwrap();
    assert_eq!(usize::try_from(header.size()), Ok(APP.len()));
    assert_eq!(header.reserved, [0; 88]);
    assert_eq!(&header.encode(), ENC_IMG);
    let made = EncImgHeader::new(header.wrapped_key, header.iv, header.size(), header.tag);
    assert_eq!(made, header);
}
