//! eFuse fields and files.

use espseal_format::chip::CHIPS;
use espseal_twin::efuse::{emulator, virt};

use crate::input::{Input, padded};

/// What is burnt is read; nothing else changes, and no bit goes back.
pub(crate) fn efuse_fields(data: &[u8]) {
    let mut input = Input(data);
    let chip = *input.pick(CHIPS);
    let fields = chip.efuse.fields;
    let field = &fields[usize::from(input.word()) % fields.len()];
    let value = u64::from(input.long()) | u64::from(input.long()) << 32;
    let before: [u8; 32] = padded(input.0, 0);
    let mut block = before;
    let old = field.get(&block);
    match field.burn(&mut block, value) {
        Some(()) => {
            if let Some(old) = old {
                assert_eq!(field.get(&block), Some(old | value));
            }
            let changed: u32 = before
                .iter()
                .zip(block)
                .map(|(a, b)| (a ^ b).count_ones())
                .sum();
            assert!(changed <= u32::from(field.width).min(64));
            assert!(before.iter().zip(block).all(|(a, b)| a & b == *a));
        }
        None => assert_eq!(block, before),
    }
    let number = input.byte();
    let purpose = chip.efuse.purpose(number);
    if let Some(back) = chip.efuse.purpose_number(purpose) {
        assert_eq!(chip.efuse.purpose(back), purpose);
    }
}

/// A file that is read is written with the same blocks; the rest of the twin takes any of them.
pub(crate) fn efuse_files(data: &[u8]) {
    let mut input = Input(data);
    let chip = *input.pick(CHIPS);
    let rest = input.0;
    let fitted = |length: usize| {
        let mut file = rest.to_vec();
        file.resize(length, 0);
        file
    };
    let registers = &chip.efuse.registers;
    let read = [
        virt::parse(chip.id, &fitted(registers.space)).ok(),
        emulator::parse(chip.id, &fitted(registers.emulator_size)).ok(),
        virt::parse(chip.id, rest).ok(),
    ];
    for efuses in read.into_iter().flatten() {
        let again = virt::parse(chip.id, &virt::encode(&efuses)).expect("its own file");
        for block in 0..chip.efuse.blocks.len() {
            assert_eq!(
                again.read_block(block),
                efuses.read_block(block),
                "block {block}"
            );
        }
        let file = emulator::encode(&efuses);
        let whole = emulator::parse(chip.id, &file).expect("its own file");
        assert_eq!(emulator::encode(&whole), file);
        let _ = (
            efuses.flash_encryption(),
            efuses.flash_key().is_some(),
            efuses.flash_crypt_config(),
            efuses.secure_boot_schemes().count(),
            efuses.secure_boot_digests(),
            efuses.secure_version(),
            efuses.download_mode(),
            efuses.jtag(),
            efuses.revision(),
            efuses.mac(),
        );
    }
}
