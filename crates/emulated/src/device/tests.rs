extern crate std;
use std::format;
use std::vec::Vec;

use super::*;

fn device(root: &[u8]) -> Device<'_> {
    let region = |offset| Region {
        offset: FlashOffset::new(offset),
        size: 0x2_0000,
    };
    Device {
        chip: Chip {
            running: Slot::Ota(1),
            digests: [None, Some(Digest([0xD1; 32])), None],
            secure_version: SecurityVersion::new(3),
        },
        flash_key: Zeroizing::new([0xF1; 32]),
        device_key: Zeroizing::new([0xDE; 64]),
        firmware: Firmware {
            product: Product([1; 16]),
            vendor: VendorId([2; 16]),
            class: ClassId([3; 16]),
            chip: ChipId::Esp32C3,
            channel: ChannelName::new("production").unwrap(),
            group: 7,
            installed: Position {
                generation: 1,
                version: 9,
            },
            flash_size: 0x10_0000,
            otadata: FlashOffset::new(0xD000),
            journal: FlashOffset::new(0x1_2000),
            slots: [region(0x2_0000), region(0x4_0000)],
            root,
        },
        test: Test {
            self_test: SelfTest::Passes,
            watch: Watch::Nothing,
            cut: None,
        },
    }
}

fn encoded(device: &Device<'_>) -> Vec<u8> {
    let mut out = [0; MAX_LEN];
    let length = device.encode(&mut out).unwrap();
    out[..length].to_vec()
}

#[test]
fn a_device_is_read_as_it_was_written() {
    let root = [0x84; 700];
    for self_test in [SelfTest::Passes, SelfTest::Fails] {
        for watch in [Watch::Nothing, Watch::Operations, Watch::Instructions] {
            for moment in [
                None,
                Some(Moment::Before),
                Some(Moment::Inside(200)),
                Some(Moment::After),
            ] {
                let cut = moment.map(|moment| Cut {
                    operation: 321,
                    moment,
                });
                let test = Test {
                    self_test,
                    watch,
                    cut,
                };
                let written = Device {
                    test,
                    ..device(&root)
                };
                let bytes = encoded(&written);
                let read = Device::parse(&bytes).unwrap();
                assert_eq!(read.chip, written.chip);
                assert_eq!(read.firmware, written.firmware);
                assert_eq!(read.test, test);
                assert_eq!(*read.flash_key, [0xF1; 32]);
                assert_eq!(*read.device_key, [0xDE; 64]);
            }
        }
    }
}

#[test]
fn no_truncated_and_no_lengthened_block_is_read() {
    let bytes = encoded(&device(&[0x84; 20]));
    for length in 0..bytes.len() {
        assert!(Device::parse(&bytes[..length]).is_none(), "{length}");
    }
    assert!(Device::parse(&[&bytes[..], &[0]].concat()).is_none());
    let root = [0x84; MAX_LEN];
    assert_eq!(device(&root).encode(&mut [0; MAX_LEN]), None);
}

#[test]
fn debug_output_holds_no_key_bytes() {
    let text = format!("{:?}", device(&[]));
    assert!(!text.contains("241") && !text.contains("222"), "{text}");
}

#[test]
fn the_configuration_has_a_layout_that_the_agent_accepts() {
    assert!(device(&[]).firmware.config().layout.is_sound());
}
