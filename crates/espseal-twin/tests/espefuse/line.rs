//! Draws command lines of espefuse: most of them make sense for the chip, some do not.

use espseal_format::chip::{Chip, ChipId};
use espseal_format::efuse::KeyRole;

use crate::operation::Random;

/// Key files that every folder has, with their lengths or what they hold.
pub(crate) const FILES: [(&str, usize); 6] = [
    ("k16", 16),
    ("k24", 24),
    ("k31", 31),
    ("k32", 32),
    ("k32b", 32),
    ("k64", 64),
];
/// PEM files that every folder has.
pub(crate) const PEMS: [&str; 5] = ["p192.pem", "p256.pem", "p384.pem", "rsa.pem", "rsapub.pem"];

/// Other names of fields that some chips have.
const ALIASES: [&str; 12] = [
    "KEY0",
    "KEY1",
    "KEY0_PURPOSE",
    "MAC_CUSTOM",
    "DIS_CAN",
    "USER_DATA",
    "SYS_DATA_PART2",
    "ENCRYPT_CONFIG",
    "JTAG_DISABLE",
    "WAFER_VERSION_MINOR",
    "RECOVERY_BOOTLOADER_FLASH_SECTOR",
    "NO_SUCH_EFUSE",
];

/// Draws one command, or two in a chain.
pub(crate) fn draw(random: &mut Random, chip: &'static Chip) -> Vec<String> {
    let mut words = command(random, chip);
    // Options of chained commands have rules of their own: see docs/espefuse.md.
    let plain = |words: &[String]| !words.iter().any(|word| word.starts_with("--"));
    if random.below(8) == 0 && plain(&words) {
        let next = command(random, chip);
        if plain(&next) {
            words.extend(next);
        }
    }
    words
}

fn command(random: &mut Random, chip: &'static Chip) -> Vec<String> {
    let mut words = match random.below(24) {
        0..=6 => burn_efuse(random, chip),
        7..=8 => {
            let mut words = vec!["burn-bit".into(), block(random, chip)];
            for _ in 0..random.pick(&[1, 1, 2, 3]).to_owned() {
                words.push(bit(random, chip, &words[1]));
            }
            words
        }
        9..=10 => {
            let file = random.pick(&["k32", "k32b", "k32", "k24", "k16", "nofile"]);
            let mut words = vec![
                "burn-block-data".into(),
                block(random, chip),
                (*file).into(),
            ];
            if random.below(3) == 0 {
                words.insert(1, "--offset".into());
                words.insert(
                    2,
                    random.pick(&["0", "8", "16", "4", "33", "x"]).to_string(),
                );
            }
            // Block 0 settles too much at once.
            if words.contains(&"BLOCK0".to_string()) {
                words[0] = "summary".into();
                words.truncate(1);
            }
            words
        }
        11..=15 => burn_key(random, chip),
        16 => burn_digest(random, chip),
        17 => names(random, chip, "read-protect-efuse"),
        18..=19 => names(random, chip, "write-protect-efuse"),
        20 => vec!["burn-custom-mac".into(), mac(random)],
        21 => {
            let voltage = random.pick(&["1.8V", "3.3V", "OFF", "2.5V"]);
            vec!["set-flash-voltage".into(), (*voltage).into()]
        }
        22 => vec![
            random
                .pick(&[
                    "get-custom-mac",
                    "adc-info",
                    "check-error",
                    "dump",
                    "get_custom_mac",
                ])
                .to_string(),
        ],
        _ => vec![random.pick(&["summary", "dump"]).to_string()],
    };
    let forced = [
        "burn-bit",
        "burn-block-data",
        "burn-key",
        "burn-key-digest",
        "burn-custom-mac",
    ];
    if forced.contains(&words[0].as_str()) && random.below(8) == 0 {
        words.insert(1, "--force-write-always".into());
    }
    if random.below(30) == 0 {
        words[0] = words[0].replace('-', "_");
    }
    words
}

fn burn_efuse(random: &mut Random, chip: &'static Chip) -> Vec<String> {
    let mut words = vec!["burn-efuse".to_string()];
    for _ in 0..random.pick(&[1, 1, 1, 2, 3]).to_owned() {
        let fields = chip.efuse.fields;
        let field = random.pick(fields);
        // What would end the history, or choose another table of espefuse.
        let settled = ["WR_DIS", "RD_DIS", "CODING_SCHEME"].contains(&field.name)
            && random.below(12) != 0
            || field.name.contains("WAFER_VERSION")
            || field.name.starts_with("CHIP_VER_REV");
        if settled {
            continue;
        }
        let name = match random.below(10) {
            0 => (*random.pick(&ALIASES)).to_string(),
            _ => field.name.to_string(),
        };
        let mask = match field.width {
            64.. => u64::MAX,
            width => (1 << width) - 1,
        };
        let value = match random.below(12) {
            0..=3 if field.width <= 32 => format!("{:#x}", random.next() & mask),
            4 if field.width <= 32 => format!("{:#b}", mask),
            5..=6 if field.width <= 32 => "1".into(),
            7 if field.width <= 32 => random
                .pick(&[
                    "0",
                    "007",
                    "1_0",
                    " 3 ",
                    "abc",
                    "",
                    "0o7",
                    "0x",
                    "99999999999",
                    "HMAC_UP",
                    "USER",
                ])
                .to_string(),
            _ if field.name.contains("MAC") => mac(random),
            _ if field.width > 32 => {
                let length = match random.below(6) {
                    0 => 4,
                    _ => usize::from(field.width / 8),
                };
                let hex: String = random
                    .bytes(length)
                    .iter()
                    .map(|byte| format!("{byte:02x}"))
                    .collect();
                format!("0x{hex}")
            }
            _ if field.name.starts_with("KEY_PURPOSE") => {
                let (number, purpose) = *random.pick(chip.efuse.purposes);
                match random.below(2) {
                    0 => number.to_string(),
                    _ => purpose.to_string(),
                }
            }
            _ => (random.next() & mask).to_string(),
        };
        words.extend([name, value]);
    }
    if words.len() == 1 {
        words.push("SECURE_VERSION".into());
    }
    // A lone name.
    if words.len() == 3 && random.below(10) == 0 {
        words.pop();
    }
    words
}

fn burn_key(random: &mut Random, chip: &'static Chip) -> Vec<String> {
    let mut words = vec!["burn-key".to_string()];
    for option in [
        "--no-read-protect",
        "--no-write-protect",
        "--no-protect-key",
    ] {
        let foreign = (option == "--no-protect-key") != (chip.id == ChipId::Esp32);
        let odds = if foreign { 60 } else { 4 };
        if random.below(odds) == 0 {
            words.push(option.into());
        }
    }
    for _ in 0..random.pick(&[1, 1, 1, 2]).to_owned() {
        if chip.id == ChipId::Esp32 {
            let block = random.pick(&[
                "BLOCK1",
                "BLOCK2",
                "BLOCK3",
                "flash_encryption",
                "secure_boot_v1",
                "secure_boot_v2",
                "BLOCK4",
            ]);
            let file = random.pick(&["k32", "k32b", "k24", "k31"]);
            words.extend([(*block).to_string(), (*file).to_string()]);
            continue;
        }
        let entry = random.pick(chip.efuse.keys);
        let block = match (random.below(6), entry.role) {
            (0, KeyRole::Purpose(_)) => format!("BLOCK{}", entry.key.block),
            _ => entry.key.name.to_string(),
        };
        let (_, purpose) = *random.pick(chip.efuse.purposes);
        let name = match random.below(12) {
            0 => random
                .pick(&[
                    "XTS_AES_256_KEY",
                    "ECDSA_KEY_P384",
                    "ECDSA_KEY_P256",
                    "ECDSA_KEY_P192",
                    "CUSTOM_13",
                    "CUSTOM_DIGEST_2",
                    "CUSTOM_MAX",
                    "hmac_up",
                ])
                .to_string(),
            _ => purpose.to_string(),
        };
        let usual = match name.as_str() {
            "XTS_AES_256_KEY" => "k64",
            "ECDSA_KEY" | "ECDSA_KEY_P256" => "p256.pem",
            "ECDSA_KEY_P192" => "p192.pem",
            "ECDSA_KEY_P384" => "p384.pem",
            name if name.starts_with("XTS_AES_128_KEY_DERIVED") => "k16",
            _ => "k32",
        };
        let file = match random.below(8) {
            0 => *random.pick(&["k16", "k31", "k32b", "k64", "p256.pem", "nofile", "rsa.pem"]),
            _ => usual,
        };
        words.extend([block, file.to_string(), name]);
    }
    if random.below(30) == 0 {
        words.pop();
    }
    words
}

fn burn_digest(random: &mut Random, chip: &'static Chip) -> Vec<String> {
    let mut words = vec!["burn-key-digest".to_string()];
    let file = random.pick(&[
        "rsa.pem",
        "rsapub.pem",
        "p256.pem",
        "p192.pem",
        "p384.pem",
        "k32",
    ]);
    if matches!(chip.id, ChipId::Esp32 | ChipId::Esp32C2) {
        words.push((*file).to_string());
        return words;
    }
    let entry = random.pick(chip.efuse.keys);
    let purpose = random.pick(&[
        "SECURE_BOOT_DIGEST0",
        "SECURE_BOOT_DIGEST1",
        "SECURE_BOOT_DIGEST2",
        "USER",
        "CUSTOM_DIGEST_13",
    ]);
    words.extend([
        entry.key.name.to_string(),
        (*file).to_string(),
        (*purpose).to_string(),
    ]);
    words
}

fn names(random: &mut Random, chip: &'static Chip, command: &str) -> Vec<String> {
    let mut words = vec![command.to_string()];
    for _ in 0..random.pick(&[1, 1, 2]).to_owned() {
        let name = match random.below(8) {
            0 => *random.pick(&ALIASES),
            _ => match command {
                "read-protect-efuse" => random.pick(chip.efuse.keys).key.name,
                _ => random.pick(chip.efuse.fields).name,
            },
        };
        // An ESP32 without a cache, or with nothing left to burn.
        if !["DIS_CACHE", "WR_DIS", "RD_DIS"].contains(&name) || random.below(6) == 0 {
            words.push(name.into());
        }
    }
    words
}

fn block(random: &mut Random, chip: &'static Chip) -> String {
    let number = random.below(chip.efuse.blocks.len());
    match random.below(4) {
        0 => chip.efuse.blocks[number].name.into(),
        _ => format!("BLOCK{number}"),
    }
}

fn bit(random: &mut Random, chip: &'static Chip, block: &str) -> String {
    if block == "BLOCK0" {
        let field = random.pick(chip.efuse.fields);
        let settled = field.block != 0
            || ["WR_DIS", "RD_DIS", "CODING_SCHEME"].contains(&field.name)
            || field.name.contains("WAFER_VERSION")
            || field.name.starts_with("CHIP_VER_REV");
        return match settled {
            true => chip.efuse.secure_version.bit.min(190),
            false => field.bit,
        }
        .to_string();
    }
    random.below(258).to_string()
}

fn mac(random: &mut Random) -> String {
    let bytes = random.bytes(6);
    match random.below(8) {
        0 => "aa:bb:cc".into(),
        1 => format!("{:02x}{:02x}", bytes[0], bytes[1]),
        _ => {
            let first = bytes[0] & if bytes[1] < 32 { 0xFF } else { 0xFE };
            let rest: Vec<_> = bytes[1..]
                .iter()
                .map(|byte| format!("{byte:02X}"))
                .collect();
            format!("{first:02x}:{}", rest.join(":"))
        }
    }
}
