//! Images and their headers.

use espseal_format::app_desc::AppDescriptor;
use espseal_format::bootloader_desc::BootloaderDescriptor;
use espseal_format::chip::mapping;
use espseal_format::enc_img::EncImgHeader;
use espseal_format::image::{ImageHeader, ImageLayout, Survey, measure, secure_pad_v2};
use espseal_format::read::SliceReader;
use espseal_format::units::Digest;

use crate::input::padded;

/// As it is, and again with checksum and hash set right, so that they do not hide what is behind.
pub(crate) fn image(data: &[u8]) {
    look(data);
    let Ok(survey) = Survey::parse(data) else {
        assert!(
            ImageLayout::parse(data).is_err(),
            "a walk takes what a survey refuses"
        );
        return;
    };
    let mut mended = data.to_vec();
    mended[survey.layout.checksum_offset as usize] = survey.checksum.computed;
    if let Some(at) = survey.layout.hash_offset {
        let hash = Digest::of(&mended[..at as usize]);
        mended[at as usize..at as usize + 32].copy_from_slice(&hash.0);
    }
    let layout = ImageLayout::parse(&mended).expect("checksum and hash were all that was wrong");
    assert_eq!(layout.header, survey.layout.header);
    look(&mended);
}

fn look(data: &[u8]) {
    let length = measure(&mut SliceReader::new(data));
    let survey = Survey::parse(data);
    let walked = ImageLayout::parse(data);
    if let Ok(survey) = &survey {
        assert_eq!(length.as_ref().ok(), Some(&survey.layout.image_len));
        let holds = survey.holds();
        assert_eq!(walked.is_ok(), holds, "survey and walk disagree");
    }
    let Ok(layout) = walked else {
        return;
    };
    // The size of the reads changes nothing.
    let byte_by_byte = ImageLayout::walk(&mut SliceReader::new(data), &mut []);
    assert_eq!(byte_by_byte.as_ref(), Ok(&layout));
    // What follows an image is not looked at.
    let alone = &data[..layout.image_len as usize];
    assert_eq!(ImageLayout::parse(alone).as_ref(), Ok(&layout));
    assert!(layout.image_len <= layout.signed_len && layout.signed_len.is_multiple_of(4096));
    assert_eq!(
        layout.image_len as usize,
        layout
            .hash_offset
            .map_or(layout.checksum_offset as usize + 1, |at| at as usize + 32)
    );
    let header: [u8; 24] = padded(data, 0);
    assert_eq!(ImageHeader::from_bytes(header).encode(), header);
    let mut end = 24;
    for segment in &layout.segments {
        assert_eq!(segment.data_offset, end + 8, "segments follow each other");
        end = segment.data_offset + segment.data_len;
    }
    assert!(layout.checksum_offset >= end && layout.checksum_offset - end < 16);
    if let Some(mapping) = mapping(layout.header.chip()) {
        let _ = layout.check_mapping(mapping, mapping.page_size);
    }
    let mut room = alone.to_vec();
    room.resize(layout.signed_len as usize + 0x2_0000, 0);
    let padded = secure_pad_v2(&mut room, &layout, 0x1_0000);
    if let Ok(length) = padded {
        assert!(length <= room.len());
        let again = ImageLayout::parse(&room[..length]).expect("padding keeps an image whole");
        assert_eq!(again.header.chip(), layout.header.chip());
    }
}

/// Both descriptors keep what they were given.
pub(crate) fn app_descriptor(data: &[u8]) {
    for mended in [false, true] {
        let mut bytes: [u8; 256] = padded(data, 0);
        if mended {
            bytes[..4].copy_from_slice(&0xABCD_5432_u32.to_le_bytes());
        }
        let Ok(descriptor) = AppDescriptor::parse(&bytes) else {
            continue;
        };
        assert_eq!(descriptor.encode(), bytes);
        let texts = [
            descriptor.project(),
            descriptor.version(),
            descriptor.time(),
            descriptor.date(),
            descriptor.idf_version(),
        ];
        assert!(
            texts
                .iter()
                .all(|text| !text.contains('\0') && text.len() <= 32)
        );
        let _ = (descriptor.mmu_page_size(), format!("{descriptor:?}"));
        let made = AppDescriptor::new(
            descriptor.project(),
            descriptor.version(),
            descriptor.secure_version(),
        );
        if let Some(made) = made {
            let again = AppDescriptor::parse(&made.encode()).expect("its own encoding");
            assert_eq!(again.project(), descriptor.project());
            assert_eq!(again.version(), descriptor.version());
            assert_eq!(again.secure_version(), descriptor.secure_version());
        }
    }
}

pub(crate) fn bootloader_descriptor(data: &[u8]) {
    for mended in [false, true] {
        let mut bytes: [u8; 80] = padded(data, 0);
        if mended {
            bytes[0] = 80;
        }
        let Ok(descriptor) = BootloaderDescriptor::parse(&bytes) else {
            continue;
        };
        assert_eq!(descriptor.encode(), bytes);
        assert!(!descriptor.idf_version().contains('\0') && !descriptor.date_time().contains('\0'));
    }
}

pub(crate) fn enc_img_header(data: &[u8]) {
    for mended in [false, true] {
        let mut bytes: [u8; 512] = padded(data, 0);
        if mended {
            bytes[..4].copy_from_slice(&0x0788_B6CF_u32.to_le_bytes());
        }
        let Ok(header) = EncImgHeader::parse(&bytes) else {
            continue;
        };
        assert_eq!(header.encode(), bytes);
        let made = EncImgHeader::new(header.wrapped_key, header.iv, header.size(), header.tag);
        let again = EncImgHeader::parse(&made.encode()).expect("its own encoding");
        assert_eq!(
            (again.size(), again.iv, again.tag),
            (header.size(), header.iv, header.tag)
        );
    }
}
