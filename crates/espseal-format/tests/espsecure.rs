//! A real app, padded by espseal, signed by espsecure, read back by espseal.

use std::fs;

use espseal_format::image::{ImageLayout, secure_pad_v2};
use espseal_format::signature_block::SignatureSector;
use espseal_format::units::Digest;

#[test]
fn espsecure_signs_what_espseal_pads_and_espseal_reads_what_espsecure_signs() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let espsecure = |arguments: &[&str]| {
        oracles::run(
            oracles::tool("espsecure")
                .current_dir(folder.path())
                .args(arguments),
        )
    };
    let app = oracles::package("ivh", "2026.0.4").join("ivh/firmware/nodemcu-32s/firmware.bin");
    let mut bytes = fs::read(app).unwrap();
    let layout = ImageLayout::parse(&bytes).unwrap();
    bytes.resize(bytes.len() + 0x2_0000, 0);
    let end = secure_pad_v2(&mut bytes, &layout, 0x1_0000).unwrap();
    fs::write(path("app.bin"), &bytes[..end]).unwrap();

    espsecure(&[
        "generate-signing-key",
        "--version",
        "2",
        "--scheme",
        "rsa3072",
        "key.pem",
    ]);
    espsecure(&[
        "digest-sbv2-public-key",
        "--keyfile",
        "key.pem",
        "--output",
        "digest.bin",
    ]);
    espsecure(&[
        "sign-data",
        "--version",
        "2",
        "--keyfile",
        "key.pem",
        "--output",
        "s.bin",
        "app.bin",
    ]);

    let signed = fs::read(path("s.bin")).unwrap();
    let layout = ImageLayout::parse(&signed).unwrap();
    let sector_offset = usize::try_from(layout.signed_len).unwrap();
    assert_eq!(sector_offset, end, "no further padding");
    let sector: &[u8; 4096] = signed[sector_offset..].try_into().unwrap();
    let sector = SignatureSector::parse(sector);
    let (place, block) = sector.rsa_blocks().next().unwrap();
    assert_eq!(place, 0);
    assert_eq!(block.image_digest, Digest::of(&signed[..sector_offset]).0);
    assert_eq!(fs::read(path("digest.bin")).unwrap(), block.key_digest().0);
}
