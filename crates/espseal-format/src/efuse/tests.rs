use super::*;
use crate::chip::{CHIPS, ChipId, chip};

fn esp32c3() -> &'static EfuseMap {
    chip(ChipId::Esp32C3).unwrap().efuse
}

#[test]
fn fields_lie_within_their_blocks_in_order_and_do_not_overlap_within_block_0() {
    for chip in CHIPS {
        let map = chip.efuse;
        assert!(
            map.fields.len() + map.calibration.len() >= 49,
            "{}",
            chip.name()
        );
        for field in map.fields.iter().chain(map.calibration) {
            let block = map.blocks[usize::from(field.block)];
            assert!(
                field.bit + field.width <= u16::from(block.words) * 32,
                "{field:?}"
            );
            assert!(
                field
                    .write_protect
                    .is_none_or(|bit| u16::from(bit) < map.wr_dis.width)
            );
            assert!(
                field
                    .read_protect
                    .is_none_or(|bit| u16::from(bit) < map.rd_dis.width)
            );
            assert_eq!(map.field(field.name), Some(field), "names are unique");
        }
        for pair in map.fields.windows(2).chain(map.calibration.windows(2)) {
            let place = |field: &Field| (field.block, field.bit);
            if pair[1].block == 0 {
                assert!(pair[0].bit + pair[0].width <= pair[1].bit, "{pair:?}");
            }
            assert!(place(&pair[0]) <= place(&pair[1]), "{pair:?}");
        }
    }
}

#[test]
fn named_roles_are_fields_of_the_table() {
    for chip in CHIPS {
        let map = chip.efuse;
        let purposes = map.keys.iter().flat_map(|key| match key.role {
            KeyRole::Purpose(PurposeField { low, high }) => [Some(low), high],
            KeyRole::Shared { whole } => [Some(whole), None],
            _ => [None, None],
        });
        let roles = [
            map.wr_dis,
            map.rd_dis,
            map.flash_crypt_cnt,
            map.secure_version,
            map.mac,
        ];
        for field in roles
            .into_iter()
            .chain(purposes.flatten())
            .chain(map.keys.iter().map(|key| key.key))
            .chain(map.secure_boot_enable.iter().map(|(_, field)| *field))
            .chain(map.key_revoke.iter().copied())
            .chain(map.aggressive_revoke)
            .chain(map.secure_boot_sha384)
            .chain(map.wafer_version_major.iter().copied())
            .chain(map.wafer_version_minor.iter().copied())
        {
            assert_eq!(map.field(field.name), Some(&field));
        }
        assert_eq!(
            map.secure_version.width,
            u16::from(chip.secure_version_bits)
        );
        let schemes = chip.secure_boot.iter().map(|boot| boot.scheme);
        assert!(schemes.eq(map.secure_boot_enable.iter().map(|(scheme, _)| *scheme)));
    }
}

#[test]
fn bits_are_read_across_bytes_and_only_ever_set() {
    let field = esp32c3().field("SECURE_VERSION").unwrap();
    let mut block = [0; 24];
    assert_eq!(field.get(&block), Some(0));
    assert_eq!(field.burn(&mut block, 0b101), Some(()));
    assert_eq!((block[17], block[18]), (0x40, 0x01), "bits 142 and 144");
    assert_eq!(field.burn(&mut block, 0x8000), Some(()));
    assert_eq!(field.get(&block), Some(0x8005));
    assert_eq!(field.burn(&mut block, 0x1_0000), None, "does not fit");
    assert_eq!(field.burn(&mut block[..19], 1), None, "block too short");
    assert_eq!(field.get(&block[..19]), None);
    assert_eq!(field.get(&block), Some(0x8005), "refusals change nothing");
    assert_eq!(esp32c3().field("BLOCK_KEY0").unwrap().get(&[0; 32]), None);
}

#[test]
fn a_purpose_in_two_fields_is_split_and_put_together_again() {
    let revision_3 = chip(ChipId::Esp32P4).unwrap().efuse;
    let KeyRole::Purpose(split) = revision_3.keys[5].role else {
        panic!("the ESP32-P4 has purposes");
    };
    for number in 0..32 {
        let parts: heapless::Vec<_, 2> = split.split(number).collect();
        let [(low, four), (high, fifth)] = parts[..] else {
            panic!("two fields");
        };
        assert_eq!((low.name, high.name), ("KEY_PURPOSE_5", "KEY_PURPOSE_5_H"));
        assert!(four < 16 && fifth < 2);
        let read = |field: &Field| if *field == low { four } else { fifth };
        assert_eq!(split.join(read), number);
    }
    let KeyRole::Purpose(whole) = esp32c3().keys[0].role else {
        panic!("the ESP32-C3 has purposes");
    };
    let mut parts = whole.split(9);
    assert_eq!(parts.next().map(|(_, value)| value), Some(9));
    assert!(parts.next().is_none());
    assert_eq!(whole.join(|_| 9), 9);
}

#[test]
fn purposes_keep_their_names_and_chips_their_numbers() {
    for name in ["USER", "XTS_AES_128_KEY", "KM_INIT_KEY", "secure_boot_v2"] {
        let purpose = KeyPurpose::from_name(name).unwrap();
        assert_eq!(purpose.name(), Some(name));
    }
    assert_eq!(esp32c3().purpose(4), KeyPurpose::XtsAes128Key);
    assert_eq!(esp32c3().purpose(1), KeyPurpose::Reserved);
    assert_eq!(esp32c3().purpose(12), KeyPurpose::Unknown(12));
    assert_eq!(esp32c3().purpose_number(KeyPurpose::HmacUp), Some(8));
    assert_eq!(esp32c3().purpose_number(KeyPurpose::EcdsaKey), None);
    let h2 = chip(ChipId::Esp32H2).unwrap().efuse;
    assert_eq!(h2.purpose(1), KeyPurpose::EcdsaKey);
    assert_eq!(h2.purpose(11).digest_slot(), Some(2));
}
