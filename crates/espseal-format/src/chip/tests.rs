use super::*;
use crate::efuse::{KeyRole, Registers};

#[test]
fn every_table_is_found_under_its_own_number() {
    assert_eq!((CHIPS.len(), MAPPINGS.len()), (11, 10));
    for table in CHIPS {
        let of_revision = |revision| chip_of_revision(table.id, revision).unwrap();
        assert!(core::ptr::eq(of_revision(table.usual_revision), *table));
        assert!(core::ptr::eq(of_revision(table.revisions.start), *table));
        let newest = chip(table.id).unwrap();
        assert!(core::ptr::eq(newest, *table) || newest.revisions.start >= table.revisions.end);
        assert!(core::ptr::eq(mapping(table.id).unwrap(), table.mapping));
        assert_eq!(table.name(), table.id.name().unwrap());
    }
    assert!(chip(ChipId::Unknown(1)).is_none());
    assert!(mapping(ChipId::Esp32H4).is_none());
}

#[test]
fn an_image_is_for_the_silicon_that_its_header_lets_in() {
    let of = |lowest, highest| chip_for(ChipId::Esp32P4, lowest, highest).unwrap();
    for (lowest, highest, start) in [
        (0, 199, 0),
        (100, 199, 0),
        (0, 299, 0),
        (0, 300, 300),
        (300, 399, 300),
        (301, 399, 300),
        (0, 0, 300),
        (0, u16::MAX, 300),
        (299, 299, 0),
    ] {
        assert_eq!(
            of(lowest, highest).revisions.start,
            start,
            "{lowest} {highest}"
        );
    }
    assert!(chip_for(ChipId::Unknown(1), 0, 0).is_none());
}

#[test]
fn what_is_mapped_is_not_loaded() {
    for chip in CHIPS {
        for range in chip.ram {
            assert!(range.start < range.end);
            assert!(chip.is_loadable(range.start, range.end - range.start));
            assert!(!chip.is_loadable(range.start, range.end - range.start + 1));
            assert!(!chip.is_loadable(range.end - 1, u32::MAX));
            assert!(!chip.is_mapped(range.start) || chip.id == ChipId::Esp32S2);
        }
        for range in &chip.mapping.ranges {
            assert!(chip.is_mapped(range.start) && chip.is_mapped(range.end - 1));
        }
        assert_eq!(chip.mapping.page_size_of(None), 0x1_0000);
    }
}

#[test]
fn every_lock_is_a_field_that_takes_its_value() {
    for chip in CHIPS {
        let width = |name: &str| {
            let field = chip.efuse.field(name);
            field
                .unwrap_or_else(|| panic!("{} has no {name}", chip.name()))
                .width
        };
        let locks = &chip.locks;
        for (name, value) in [
            locks.release.flash_encryption,
            locks.release.secure_boot,
            &[locks.release.last],
            locks.first_boot.flash_encryption,
            locks.first_boot.flash_encryption_release,
            locks.first_boot.secure_boot,
        ]
        .concat()
        {
            assert!(value < 1 << width(name), "{name}");
        }
        for name in [
            locks.jtag,
            locks.release.write_protect,
            locks.first_boot.release_write_protect,
        ]
        .concat()
        {
            width(name);
        }
        for name in [locks.jtag_soft, locks.download_secure]
            .into_iter()
            .flatten()
        {
            width(name);
        }
        for name in locks.release.write_protect {
            let field = chip.efuse.field(name).unwrap();
            assert!(field.write_protect.is_some(), "{name} can be protected");
        }
        width(locks.download_off);
    }
}

#[test]
fn release_closes_jtag_and_turns_encryption_on_for_ever_before_no_key_can_be_hidden() {
    for chip in CHIPS {
        let release = &chip.locks.release;
        let count = chip.efuse.flash_crypt_cnt;
        let full = (1 << count.width) - 1;
        assert_eq!(release.flash_encryption[0], (count.name, full));
        for name in chip.locks.jtag {
            assert!(release.flash_encryption.contains(&(name, 1)), "{name}");
            assert!(release.secure_boot.contains(&(name, 1)), "{name}");
        }
        assert_eq!(release.write_protect.last(), Some(&"RD_DIS"));
    }
}

#[test]
fn schemes_and_key_purposes_agree() {
    use crate::efuse::KeyPurpose;
    for chip in CHIPS {
        let has = |purpose| chip.efuse.purpose_number(purpose).is_some();
        assert_eq!(
            chip.encrypts_with(SchemeId::XtsAes256),
            has(KeyPurpose::XtsAes256Key1)
        );
        assert_eq!(
            chip.encrypts_with(SchemeId::XtsAes128),
            has(KeyPurpose::XtsAes128Key)
        );
        assert_eq!(
            chip.hmac == HmacPeripheral::Present,
            has(KeyPurpose::HmacUp),
            "{}",
            chip.name()
        );
        let ecdsa = chip.boots_with(SecureBootScheme::V2Ecdsa, u16::MAX);
        assert_eq!(ecdsa, !chip.curves.is_empty());
        let slots = chip.efuse.key_revoke.len();
        assert!(slots == 0 || slots == usize::from(chip.digest_slots));
        assert!(chip.efuse.keys.len() >= usize::from(chip.digest_slots));
    }
}

#[test]
fn revisions_decide_about_secure_boot() {
    let esp32 = chip(ChipId::Esp32).unwrap();
    assert!(!esp32.boots_with(SecureBootScheme::V2Rsa, 299));
    assert!(esp32.boots_with(SecureBootScheme::V2Rsa, 300));
    assert!(esp32.boots_with(SecureBootScheme::V1, 300));
    let c3 = chip(ChipId::Esp32C3).unwrap();
    assert!(!c3.boots_with(SecureBootScheme::V2Rsa, 2));
    assert!(!c3.boots_with(SecureBootScheme::V2Ecdsa, 400));
}

#[test]
fn blocks_lie_apart_in_the_register_space() {
    for chip in CHIPS {
        let map = chip.efuse;
        let Registers {
            blocks,
            space,
            emulator_size,
            ..
        } = map.registers;
        assert_eq!(blocks.len(), map.blocks.len());
        let lengths = map.blocks.iter().map(|block| usize::from(block.words) * 4);
        let mut end = 0;
        for (start, length) in blocks.iter().zip(lengths.clone()) {
            assert!(*start >= end, "{}", chip.name());
            end = start + length;
        }
        assert!(end <= space);
        assert!(lengths.sum::<usize>() <= emulator_size);
    }
}

#[test]
fn purpose_numbers_fit_their_fields_and_are_different() {
    for chip in CHIPS {
        let map = chip.efuse;
        for (index, (number, purpose)) in map.purposes.iter().enumerate() {
            assert_eq!(map.purpose(*number), *purpose);
            assert!(map.purposes[..index].iter().all(|row| row.0 != *number));
            for key in map.keys {
                if let KeyRole::Purpose(field) = key.role {
                    let high = field.high.map_or(0, |high| high.width);
                    assert!(u16::from(*number) < 1 << (field.low.width + high));
                }
            }
        }
    }
}
