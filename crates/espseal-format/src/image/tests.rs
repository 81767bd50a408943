extern crate std;
use std::string::ToString as _;
use std::vec;
use std::vec::Vec;

use super::*;
use crate::chip::{chip, mapping};
use crate::read::{PastEnd, ReadAt, SliceReader};

const VECTORS: [(&[u8], Option<u32>); 3] = [
    (
        include_bytes!("../../../../vectors/app-image/app.bin"),
        Some(0x160),
    ),
    (
        include_bytes!("../../../../vectors/app-image/app-8mb.bin"),
        Some(0x160),
    ),
    (
        include_bytes!("../../../../vectors/app-image/app-nohash.bin"),
        None,
    ),
];
const APP: &[u8] = VECTORS[0].0;

#[test]
fn images_made_by_esptool_parse_to_what_image_info_prints() {
    for (bytes, hash_offset) in VECTORS {
        let layout = ImageLayout::parse(bytes).unwrap();
        assert_eq!(layout.header.chip(), ChipId::Esp32C3);
        assert_eq!(layout.header.entry_addr.get(), 0x4038_0004);
        assert_eq!(layout.header.max_chip_rev_full.get(), 0xFFFF);
        assert_eq!(layout.header.encode(), bytes[..24]);
        let segments: Vec<_> = layout
            .segments
            .iter()
            .map(|s| (s.load_addr, s.data_offset, s.data_len))
            .collect();
        assert_eq!(
            segments,
            [
                (0x3C00_0020, 0x20, 0x100),
                (0x3FC8_0000, 0x128, 0x20),
                (0x4038_0000, 0x150, 8),
            ]
        );
        assert_eq!(layout.checksum_offset, 0x15F);
        assert_eq!(layout.hash_offset, hash_offset);
        assert_eq!(usize::try_from(layout.image_len), Ok(bytes.len()));
        assert_eq!(layout.signed_len, 4096);
        assert_eq!(layout.content_digest, Digest::of(&bytes[..0x160]));
        layout
            .check_mapping(mapping(ChipId::Esp32C3).unwrap(), 0x1_0000)
            .unwrap();
    }
}

#[test]
fn every_truncation_names_the_field_that_is_cut() {
    for length in 0..APP.len() {
        match ImageLayout::parse(&APP[..length]) {
            Err(ImageError::Truncated {
                offset,
                wanted,
                available,
                ..
            }) => {
                assert!(available < wanted, "cut to {length}");
                assert_eq!(usize::try_from(offset + available), Ok(length));
            }
            other => panic!("cut to {length}: {other:?}"),
        }
    }
}

#[test]
fn every_flipped_bit_is_noticed_but_the_one_that_says_there_is_no_hash() {
    for bit in 0..APP.len() * 8 {
        let mut bytes = APP.to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let result = ImageLayout::parse(&bytes);
        if bit == 23 * 8 {
            assert_eq!(result.unwrap().hash_offset, None);
        } else {
            let message = result.unwrap_err().to_string();
            assert!(!message.is_empty(), "bit {bit}");
        }
    }
}

#[test]
fn broken_fields_are_named_with_offset_and_both_values() {
    let flipped = |offset: usize, value: u8| {
        let mut bytes = APP.to_vec();
        bytes[offset] = value;
        ImageLayout::parse(&bytes).unwrap_err()
    };
    assert_eq!(flipped(0, 0xFF), ImageError::Magic { found: 0xFF });
    assert_eq!(flipped(1, 17), ImageError::SegmentCount { found: 17 });
    assert_eq!(
        flipped(0x124, 0x21),
        ImageError::SegmentLength {
            index: 1,
            offset: 0x124,
            found: 0x21
        }
    );
    assert_eq!(
        flipped(0x127, 1),
        ImageError::SegmentLength {
            index: 1,
            offset: 0x124,
            found: 0x0100_0020
        }
    );
    assert_eq!(
        flipped(0x15F, 0x85),
        ImageError::Checksum {
            offset: 0x15F,
            computed: 0x84,
            stored: 0x85
        }
    );
    // The checksum does not cover the padding before it; the hash does.
    assert!(matches!(
        flipped(0x15E, 1),
        ImageError::Hash { offset: 0x160, .. }
    ));
}

#[test]
fn a_scratch_of_any_size_and_bytes_behind_the_image_change_nothing() {
    let whole = ImageLayout::parse(APP).unwrap();
    let mut slot = APP.to_vec();
    slot.resize(0x2000, 0xFF);
    for size in [0, 1, 3, 16, 64, 4096] {
        let mut scratch = vec![0; size];
        let mut reader = SliceReader::new(&slot);
        assert_eq!(
            ImageLayout::walk(&mut reader, &mut scratch),
            Ok(whole.clone())
        );
        let digest = crate::read::sha256(&mut reader, whole.signed_len, &mut scratch);
        assert_eq!(digest, Ok(Digest::of(&slot[..4096])));
    }
}

#[test]
fn a_failing_medium_is_not_taken_for_a_bad_image() {
    struct Failing(u32);
    impl ReadAt for Failing {
        type Error = PastEnd;
        fn read_at(&mut self, offset: u32, buf: &mut [u8]) -> Result<(), PastEnd> {
            let error = PastEnd {
                offset,
                wanted: buf.len(),
                length: 0,
            };
            self.0 = self.0.checked_sub(1).ok_or(error)?;
            SliceReader::new(APP).read_at(offset, buf)
        }
        fn len(&self) -> u32 {
            SliceReader::new(APP).len()
        }
    }
    let mut reads = 0;
    while let Err(error) = ImageLayout::walk(&mut Failing(reads), &mut [0; 64]) {
        assert!(matches!(error, ImageError::Read(_)), "{reads}: {error}");
        reads += 1;
    }
    assert_eq!(reads, 1 + 3 + 4 + 1 + 1 + 2);
}

#[test]
fn flash_size_is_written_as_esptool_writes_it() {
    let mut bytes = APP.to_vec();
    let mut layout = ImageLayout::parse(&bytes).unwrap();
    assert_eq!(layout.header.flash_size(), FlashSize::Mb1);
    set_flash_size(&mut bytes, &mut layout, FlashSize::Mb8).unwrap();
    assert_eq!(bytes, VECTORS[1].0);
    assert_eq!(ImageLayout::parse(&bytes), Ok(layout.clone()));
    assert_eq!(
        set_flash_size(&mut bytes[..0x161], &mut layout, FlashSize::Mb2),
        Err(PaddingError::LayoutMismatch)
    );
    for nibble in 0..16 {
        assert_eq!(FlashSize::from_nibble(nibble).to_nibble(), nibble);
    }
    assert_eq!(FlashSize::Mb128.bytes(), Some(128 << 20));
}

/// `N`, SHA-256 of the ELF file, of the plain and of the padded image, both by esptool 5.6.0; see
/// `vectors/app-image/README.md`. The sizes lie on both sides of where the padding still fits.
const PADDED: [(usize, &str, &str, &str); 5] = [
    (
        65160,
        "1542e1f25711d5a56facfb1e38b8c70dc2abab6bc83fa1bbc850307b6742d185",
        "ce1ea54df3ff5bdd38141403cab5846848ec4b930dbf34400bc2bec475603aaa",
        "15219d655413393d8ece8ec2f9ba95a872b7f656803f3ca2eeed7eecd4420e54",
    ),
    (
        65164,
        "4b28865f5e8020d8a82672f5f07fcd83b0803a7a0401abc286248f86eb03d94e",
        "c2f503843afd2cb0a130b11e281d3c5371230abc3421adf273c93623da88c240",
        "a524648f80d2486ab775e98f6dbb9fca7c3fd4440f2298f68b95a27df86dacf0",
    ),
    (
        65168,
        "deecdd34ee0b63c3aac788c3fb7123ed24f25a93a855e08214c6ba342293c2ec",
        "c8e7f4fa355105bcde59d3b493046a278dc4c4e4025df696e4ad44b3e75f5cd9",
        "ca1c9715bfe06b6b38963b787525d744f8b7a6a900f0b4b618e6ff8fff1c5145",
    ),
    (
        65172,
        "9633b7226db6dbd1f6aa7d1b3cc9f43766b87cf46189051ec7595ca7fab61be7",
        "3687ee5dff1448218e97146f1be5341588ec09927d61285ac73e4888a5176ab6",
        "8e621c3ac885570dc4b3bbe757e98b1f5c651dfe3c19ae28ff640d59eed3915f",
    ),
    (
        32,
        "ee0ad9ffc42c250d657acee5e1c5ac9c4bd99e0e5d422aa847ed6cd39f64bf67",
        "3ed2afb8b9b8b23936faba13ebc444273d68565d25336f58e47fb2feccee6017",
        "ab6e62f2dfbaab974cb9c0aecfec6615ec17021dba19b0a87d8476f4aed47838",
    ),
];

/// The image of `vectors/app-image` with `length` bytes of data.
fn app_with_data(length: usize, elf_sha256: &str) -> Vec<u8> {
    let mut bytes = APP[..0x128].to_vec();
    bytes[0xB0..0xD0].copy_from_slice(&Digest::from_hex(elf_sha256).unwrap().0);
    bytes[0x124..0x128].copy_from_slice(&u32::try_from(length).unwrap().to_le_bytes());
    let filler = vec![0x11; length];
    bytes.extend_from_slice(&filler);
    bytes.extend_from_slice(&APP[0x148..0x158]);
    let data = [&bytes[0x20..0x120], &filler, &APP[0x150..0x158]].concat();
    let checksum = data.iter().fold(CHECKSUM_SEED, |sum, byte| sum ^ byte);
    bytes.push(0);
    bytes.resize(bytes.len().next_multiple_of(16), 0);
    *bytes.last_mut().unwrap() = checksum;
    let digest = Digest::of(&bytes);
    bytes.extend_from_slice(&digest.0);
    bytes
}

#[test]
fn an_app_is_padded_to_a_page_as_elf2image_pads_it() {
    for (length, elf, plain, padded) in PADDED {
        let mut bytes = app_with_data(length, elf);
        assert_eq!(Digest::of(&bytes).to_string(), plain, "{length}");
        let layout = ImageLayout::parse(&bytes).unwrap();
        assert!(matches!(
            app_padding(&layout, 0x1_0000),
            Err(PaddingError::NotOnPage { .. })
        ));
        bytes.resize(0x3_0000, 0xA5);
        let end = secure_pad_v2(&mut bytes, &layout, 0x1_0000).unwrap();
        assert_eq!(Digest::of(&bytes[..end]).to_string(), padded, "{length}");
        let layout = ImageLayout::parse(&bytes[..end]).unwrap();
        assert_eq!(app_padding(&layout, 0x1_0000), Ok(()));
        assert_eq!(layout.signed_len, layout.image_len);
        assert_eq!(secure_pad_v2(&mut bytes, &layout, 0x1_0000), Ok(end));
    }
}

#[test]
fn an_app_that_cannot_be_padded_is_refused_with_the_reason() {
    let mut bytes = APP.to_vec();
    let layout = ImageLayout::parse(&bytes).unwrap();
    assert_eq!(
        secure_pad_v2(&mut bytes, &layout, 0x1_0000),
        Err(PaddingError::BufferTooSmall {
            needed: 0x1_0000,
            available: APP.len()
        })
    );
    assert_eq!(bytes, APP, "nothing is changed");
    let unhashed = ImageLayout::parse(VECTORS[2].0).unwrap();
    assert_eq!(app_padding(&unhashed, 0x1_0000), Err(PaddingError::NoHash));
    let mut full = layout.clone();
    while full.segments.push(full.segments[0]).is_ok() {}
    bytes.resize(0x1_0000, 0);
    assert_eq!(
        secure_pad_v2(&mut bytes, &full, 0x1_0000),
        Err(PaddingError::TooManySegments)
    );
}

#[test]
fn a_bootloader_is_padded_to_a_sector_with_ones() {
    let mut bytes = APP.to_vec();
    assert!(pad_to_sector(&mut bytes, APP.len()).is_err());
    bytes.resize(5000, 0);
    assert_eq!(pad_to_sector(&mut bytes, APP.len()), Ok(4096));
    assert!(bytes[APP.len()..4096].iter().all(|byte| *byte == 0xFF));
    assert_eq!(bytes[4096], 0);
    assert_eq!(pad_to_sector(&mut bytes, 4096), Ok(4096));
}

#[test]
fn a_segment_that_cannot_be_mapped_is_found() {
    let mut layout = ImageLayout::parse(APP).unwrap();
    let c3 = chip(ChipId::Esp32C3).unwrap();
    layout.segments[0].data_offset += 4;
    assert_eq!(
        layout.check_mapping(c3.mapping, 0x1_0000),
        Err(MappingError {
            load_addr: 0x3C00_0020,
            data_offset: 0x24,
            page_size: 0x1_0000
        })
    );
    layout.segments[0].load_addr = 0;
    assert_eq!(
        layout.check_mapping(c3.mapping, 0x1_0000),
        Ok(()),
        "padding is not mapped"
    );
}
