extern crate std;
use std::vec::Vec;

use espseal_crypto::flash_encryption::{FlashCryptConfig, FlashKey};

use super::*;
use crate::nor::model::Chip;

const SIZE: u32 = 0x4000;

/// A supply that is told when to go, and stays away.
struct Bench {
    plan: Plan,
    lost: bool,
}

impl Supply for Bench {
    fn grant(&mut self, _: OperationKind, _: FlashOffset) -> Grant {
        match self.lost {
            true => Grant::Nothing,
            false => self.plan.count(),
        }
    }

    fn lose(&mut self) -> NorFault {
        self.lost = true;
        NorFault::PowerLost
    }
}

fn cipher() -> FlashCipher {
    FlashCipher::new(&FlashKey::Xts128([0x5A; 32]), FlashCryptConfig::DEFAULT)
}

fn flash(cut: Option<Cut>) -> EncryptedFlash<Chip, Bench> {
    let supply = Bench {
        plan: Plan::new(cut),
        lost: false,
    };
    let nor = SpiNor::new(Chip::erased(SIZE as usize));
    EncryptedFlash::new(nor, cipher(), supply, SIZE)
}

fn at(offset: u32) -> FlashOffset {
    FlashOffset::new(offset)
}

fn counting() -> [u8; SECTOR_SIZE] {
    let mut bytes = [0; SECTOR_SIZE];
    (0..).zip(&mut bytes).for_each(|(index, byte): (u32, _)| {
        *byte = (index % 251) as u8;
    });
    bytes
}

fn cells(flash: &mut EncryptedFlash<Chip, Bench>) -> Vec<u8> {
    flash.nor_mut().bus().cells.clone()
}

#[test]
fn what_is_written_is_encrypted_in_the_cells_and_read_back_at_any_alignment() {
    let mut flash = flash(None);
    flash.replace_sector(at(0x1000), &counting()).unwrap();
    let mut expected = counting();
    cipher().encrypt(at(0x1000), &mut expected).unwrap();
    assert_eq!(cells(&mut flash)[0x1000..0x2000], expected);
    for offset in [0, 1, 15, 16, 17, 127, 128, 1000] {
        for length in [0, 1, 3, 15, 16, 17, 31, 32, 33, 255, 1025] {
            let mut found = std::vec![0; length];
            flash.read(at(0x1000 + offset), &mut found).unwrap();
            let start = offset as usize;
            assert_eq!(
                found,
                counting()[start..start + length],
                "{offset} {length}"
            );
        }
    }
}

#[test]
fn a_sector_is_one_erase_and_sixteen_programs() {
    let mut flash = flash(None);
    flash.replace_sector(at(0), &counting()).unwrap();
    assert_eq!(flash.supply().plan.operations(), 17);
    flash.erase_sector(at(0)).unwrap();
    assert_eq!(flash.supply().plan.operations(), 18);
    assert_eq!(flash.nor_mut().bus().operations, 18);
}

#[test]
fn nothing_outside_the_chip_is_touched() {
    let mut flash = flash(None);
    assert_eq!(flash.read(at(SIZE), &mut [0]), Err(NorFault::OutOfRange));
    assert_eq!(flash.erase_sector(at(SIZE)), Err(NorFault::OutOfRange));
    assert_eq!(flash.erase_sector(at(0x800)), Err(NorFault::OutOfRange));
    assert_eq!(flash.supply().plan.operations(), 0);
    assert_eq!(flash.nor_mut().bus().operations, 0);
}

#[test]
fn a_cut_in_the_middle_of_a_page_program_leaves_its_first_bytes_and_the_pages_before() {
    let cut = Cut {
        operation: 3,
        moment: Moment::Inside(100),
    };
    let mut flash = flash(Some(cut));
    let lost = flash.replace_sector(at(0), &counting()).unwrap_err();
    assert_eq!(lost, NorFault::PowerLost);
    let mut written = counting();
    cipher().encrypt(at(0), &mut written).unwrap();
    let found = cells(&mut flash);
    assert_eq!(found[..2 * 256 + 100], written[..2 * 256 + 100]);
    assert!(found[2 * 256 + 100..].iter().all(|byte| *byte == 0xFF));
    assert_eq!(flash.erase_sector(at(0)), Err(NorFault::PowerLost));
}

#[test]
fn a_cut_goes_before_or_after_the_very_operation_that_was_named() {
    for (operation, moment, expected) in [
        (0, Moment::Before, 0),
        (0, Moment::After, 1),
        (0, Moment::Inside(9), 0),
        (1, Moment::Before, 1),
        (16, Moment::Before, 16),
        (16, Moment::After, 17),
    ] {
        let mut flash = flash(Some(Cut { operation, moment }));
        flash.replace_sector(at(0), &counting()).unwrap_err();
        assert_eq!(
            flash.nor_mut().bus().operations,
            expected,
            "{operation} {moment:?}"
        );
    }
}

#[test]
fn a_torn_sector_is_whole_again_after_it_was_replaced() {
    let cut = Cut {
        operation: 5,
        moment: Moment::Inside(1),
    };
    let mut torn = flash(Some(cut));
    torn.replace_sector(at(0), &counting()).unwrap_err();
    let supply = Bench {
        plan: Plan::default(),
        lost: false,
    };
    let nor = SpiNor::new(Chip::holding(cells(&mut torn)));
    let mut flash = EncryptedFlash::new(nor, cipher(), supply, SIZE);
    flash.replace_sector(at(0), &counting()).unwrap();
    let mut found = [0; SECTOR_SIZE];
    flash.read(at(0), &mut found).unwrap();
    assert_eq!(found, counting());
}
