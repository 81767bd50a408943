use super::model::Chip;
use super::*;

const SIZE: usize = 4 * SECTOR_SIZE;

fn at(offset: u32) -> FlashOffset {
    FlashOffset::new(offset)
}

fn nor() -> SpiNor<Chip> {
    SpiNor::new(Chip::erased(SIZE))
}

#[test]
fn programming_only_clears_bits_and_erasing_sets_those_of_one_sector() {
    let mut nor = nor();
    nor.program_page(at(0x1000), &[0xF0, 0xAA]).unwrap();
    nor.program_page(at(0x1000), &[0x3F, 0xFF]).unwrap();
    nor.program_page(at(0x2000), &[0]).unwrap();
    let mut found = [0; 3];
    nor.read(at(0x1000), &mut found).unwrap();
    assert_eq!(found, [0x30, 0xAA, 0xFF]);
    nor.erase_sector(at(0x1000)).unwrap();
    nor.read(at(0x1000), &mut found).unwrap();
    assert_eq!(found, [0xFF; 3]);
    assert_eq!(nor.bus().cells[0x2000], 0);
    assert_eq!(nor.bus().operations, 4);
}

#[test]
fn a_program_may_not_cross_the_end_of_its_page() {
    let mut nor = nor();
    nor.program_page(at(0xFF), &[0]).unwrap();
    assert_eq!(
        nor.program_page(at(0xFF), &[0, 0]),
        Err(NorFault::OutOfRange)
    );
    assert_eq!(
        nor.program_page(at(0), &[0; 257]),
        Err(NorFault::OutOfRange)
    );
    assert_eq!(nor.bus().cells[0], 0xFF);
}

#[test]
fn misaligned_erases_and_addresses_past_16_mb_are_refused() {
    let mut nor = nor();
    assert_eq!(nor.erase_sector(at(0x800)), Err(NorFault::OutOfRange));
    assert_eq!(nor.erase_sector(at(REACH)), Err(NorFault::OutOfRange));
    assert_eq!(
        nor.read(at(REACH - 1), &mut [0; 2]),
        Err(NorFault::OutOfRange)
    );
    assert_eq!(nor.read(at(u32::MAX), &mut [0]), Err(NorFault::OutOfRange));
    assert_eq!(nor.program_page(at(REACH), &[0]), Err(NorFault::OutOfRange));
}

#[test]
fn a_protected_chip_is_reported_and_keeps_its_contents() {
    let mut nor = nor();
    nor.bus_mut().protected = true;
    assert_eq!(nor.program_page(at(0), &[0]), Err(NorFault::WriteProtected));
    assert_eq!(nor.erase_sector(at(0)), Err(NorFault::WriteProtected));
    assert_eq!(nor.bus().cells[0], 0xFF);
}

#[test]
fn a_chip_that_stays_busy_is_reported_and_not_waited_for_for_ever() {
    let mut nor = nor();
    nor.bus_mut().busy_reads = u32::MAX;
    assert_eq!(nor.erase_sector(at(0)), Err(NorFault::Busy));
}
