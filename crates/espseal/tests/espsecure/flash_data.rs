//! encrypt-flash-data and decrypt-flash-data.

use crate::bench::{Bench, OUT, data};

const COMMANDS: [&str; 2] = ["encrypt-flash-data", "decrypt-flash-data"];
/// Key files with their length, some of them of no use.
const KEYS: [(&str, usize); 10] = [
    ("key0", 0),
    ("key15", 15),
    ("key16", 16),
    ("key24", 24),
    ("key25", 25),
    ("key31", 31),
    ("key32", 32),
    ("key33", 33),
    ("key64", 64),
    ("key65", 65),
];

/// Numbers that look random and are the same in each run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % sides
    }

    fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[usize::try_from(self.roll(choices.len() as u64)).unwrap()]
    }
}

fn bench() -> Bench {
    let bench = Bench::new();
    for (name, length) in KEYS {
        bench.write(name, &data(length, 7 + length as u64));
    }
    bench
}

/// The part of the output that does not depend on random padding.
fn fixed(bytes: Option<&[u8]>, length: usize) -> Option<&[u8]> {
    let padded = !length.is_multiple_of(16);
    bytes.map(|bytes| match padded {
        true => &bytes[..length - length % 16],
        false => bytes,
    })
}

/// Any key, address, length and configuration; mostly such that both accept.
#[test]
fn thousands_of_random_calls_give_the_same_files_and_refusals() {
    let mut bench = bench();
    let mut dice = Dice(4);
    let (mut written, mut refused, mut bytes) = (0, 0, 0);
    for case in 0..2400 {
        let length = match dice.roll(8) {
            0 => dice.roll(64),
            1 => 16 * dice.roll(4096),
            _ => 16 * (1 + dice.roll(40)),
        };
        let length = usize::try_from(length).unwrap();
        bench.write("data", &data(length, case));
        let address = match dice.roll(12) {
            0 => dice.roll(1 << 24),
            1 => (1 << 24) - 16 * dice.roll(64),
            2 => 16 * dice.roll(1 << 28),
            // Its end is the end of all addresses, or close to it.
            3 => (1 << 32) - 16 * (length as u64).div_ceil(16) - 16 * dice.roll(16),
            4 => 16 * dice.roll(8),
            _ => 16 * dice.roll(1 << 20),
        };
        let address = match dice.roll(3) {
            0 => address.to_string(),
            _ => format!("{address:#x}"),
        };
        let xts = dice.roll(2) == 0;
        let key = match (dice.roll(8), xts) {
            (0, _) => dice.one_of(&KEYS).0,
            (_, false) => dice.one_of(&["key24", "key32"]),
            (_, true) => dice.one_of(&["key16", "key32", "key64"]),
        };
        let command = dice.one_of(&COMMANDS);
        let mut arguments = vec![command, "-k", key, "-o", OUT, "-a", &address];
        let config = match dice.roll(24) {
            0 => "-1".to_string(),
            1 => "0x13".to_string(),
            config => (config % 16).to_string(),
        };
        if dice.roll(2) == 0 {
            arguments.extend(["--flash-crypt-conf", &config]);
        }
        if xts {
            arguments.push("--aes-xts");
        }
        arguments.push("data");
        let both = bench.both(&arguments);
        if both.ours.answer.accepted() {
            let [theirs, ours] = [&both.theirs, &both.ours].map(|side| side.file.as_deref());
            assert_eq!(
                theirs.map(<[u8]>::len),
                ours.map(<[u8]>::len),
                "{arguments:?}"
            );
            assert!(
                fixed(theirs, length) == fixed(ours, length),
                "{arguments:?}, {length} bytes"
            );
            written += 1;
            bytes += length;
        } else {
            refused += 1;
        }
    }
    println!("{written} calls wrote the same {bytes} bytes, {refused} were refused by both");
    assert!(written > 1500 && refused > 150);
}

/// Decryption by one of what the other encrypted and padded.
#[test]
fn padded_data_comes_back() {
    let mut bench = bench();
    for length in [1, 15, 17, 100, 4095] {
        let plain = data(length, 1);
        bench.write("data", &plain);
        let encrypt = [
            "encrypt-flash-data",
            "-k",
            "key32",
            "-o",
            OUT,
            "-a",
            "0x30",
            "data",
        ];
        let both = bench.accepted(&encrypt);
        for side in [&both.theirs, &both.ours] {
            bench.write("encrypted", side.bytes());
            let decrypted = bench.same(&[
                "decrypt-flash-data",
                "-k",
                "key32",
                "-o",
                OUT,
                "-a",
                "0x30",
                "encrypted",
            ]);
            assert_eq!(decrypted.len(), length.next_multiple_of(16));
            assert_eq!(decrypted[..length], plain);
        }
    }
}

#[test]
fn numbers_are_taken_as_espsecure_takes_them() {
    let mut bench = bench();
    bench.write("data", &data(64, 1));
    for command in COMMANDS {
        for address in [
            "0", "00", "16", "0x10", "0X1F0", "0o20", "0b10000", "0x1_0", "1_600", " 16", "+16",
            "-0",
        ] {
            bench.same(&[command, "-k", "key32", "-o", OUT, "-a", address, "data"]);
            bench.same(&[
                command, "-k", "key64", "-x", "-o", OUT, "-a", address, "data",
            ]);
        }
        for address in [
            "1",
            "8",
            "0x18",
            "-1",
            "010",
            "16.0",
            "",
            "abc",
            "1__0",
            "0x",
            "0x10000001",
        ] {
            bench.refused(&[command, "-k", "key32", "-o", OUT, "-a", address, "data"]);
            bench.refused(&[
                command, "-k", "key64", "-x", "-o", OUT, "-a", address, "data",
            ]);
        }
        // Beyond 32 bits, espsecure's XTS-AES dies of an exception.
        for address in ["-16", "0xffffffd0", "0x100000000", "0x10000000000000000"] {
            bench.refused(&[
                command, "-k", "key64", "-x", "-o", OUT, "-a", address, "data",
            ]);
        }
        for config in ["0", "0xF", "15", "16", "-1", "255", "0x10", "0b11"] {
            let words = ["--flash-crypt-conf", config, "data"];
            let esp32 = [command, "-k", "key24", "-o", OUT, "-a", "0x1000"];
            bench.same(&[&esp32[..], &words].concat());
            bench.same(&[&esp32[..2], &["key32", "-x", "-o", OUT, "-a", "0"], &words].concat());
        }
        for config in ["", "abc", "1.5"] {
            bench.refused(&[
                command,
                "-k",
                "key24",
                "-o",
                OUT,
                "-a",
                "0",
                "--flash-crypt-conf",
                config,
                "data",
            ]);
        }
    }
}

#[test]
fn spellings_repetitions_and_standard_streams() {
    let mut bench = bench();
    let plain = data(160, 3);
    bench.write("data", &plain);
    for arguments in [
        &[
            "encrypt_flash_data",
            "--keyfile",
            "key32",
            "--output",
            OUT,
            "--address",
            "0x20",
            "data",
        ][..],
        &[
            "decrypt_flash_data",
            "--keyfile=key32",
            "--output=@out",
            "--address=0x20",
            "data",
        ],
        &[
            "encrypt-flash-data",
            "-kkey32",
            "-o@out",
            "-a16",
            "--flash_crypt_conf",
            "3",
            "data",
        ],
        &[
            "encrypt-flash-data",
            "data",
            "-xkkey64",
            "-o@out",
            "-a",
            "16",
        ],
        &[
            "decrypt-flash-data",
            "--aes_xts",
            "data",
            "-k",
            "key16",
            "-o",
            OUT,
            "-a",
            "16",
        ],
        &[
            "decrypt-flash-data",
            "-x",
            "-x",
            "-a0",
            "-a",
            "16",
            "-k",
            "key0",
            "-k",
            "key32",
            "-o",
            OUT,
            "--",
            "data",
        ],
    ] {
        bench.same(arguments);
    }
    for command in COMMANDS {
        let from = [command, "-k", "key32", "-o", OUT, "-a", "0", "-"];
        let both = bench.both_with_input(&from, &plain);
        assert_eq!(both.theirs.bytes(), both.ours.bytes());
        let key = data(32, 7 + 32);
        let both = bench.both_with_input(&[command, "-k", "-", "-o", OUT, "-a", "0", "data"], &key);
        assert_eq!(both.theirs.bytes(), both.ours.bytes());
        // The key takes all of standard input.
        let both = bench.both_with_input(&[command, "-k", "-", "-o", OUT, "-a", "0", "-"], &key);
        assert!(both.ours.file.is_none() && both.theirs.file.is_none());
        // espsecure prints its messages there, too; the data comes last.
        let both = bench.both(&[command, "-k", "key32", "-x", "-o", "-", "-a", "0", "data"]);
        let ours = both.ours.answer.output;
        assert_eq!(ours.len(), 160);
        assert!(both.theirs.answer.output.ends_with(&ours));
        bench.accepted(&[command, "-h"]);
        bench.accepted(&[command, "--help"]);
    }
}

#[test]
fn calls_that_make_no_sense_are_refused_and_write_nothing() {
    let mut bench = bench();
    bench.write("data", &data(160, 3));
    bench.write("odd", &data(161, 3));
    bench.write("empty", &[]);
    for command in COMMANDS {
        for arguments in [
            &[][..],
            &["-k", "key32", "-o", OUT, "-a", "0"],
            &["-k", "key32", "-o", OUT, "data"],
            &["-k", "key32", "-a", "0", "data"],
            &["-o", OUT, "-a", "0", "data"],
            &["-k", "key32", "-o", OUT, "-a", "0", "data", "data"],
            &["-k", "key32", "-o", OUT, "-a", "0", "missing"],
            &["-k", "key32", "-o", OUT, "-a", "0", "."],
            &["-k", "missing", "-o", OUT, "-a", "0", "data"],
            &["-k", ".", "-o", OUT, "-a", "0", "data"],
            &["-k", "key32", "-o", "no/folder", "-a", "0", "data"],
            &["-k", "key32", "-o", ".", "-a", "0", "data"],
            &["-k", "key32", "-o", OUT, "-a", "0", "--unknown", "data"],
            &["--keyf", "key32", "-o", OUT, "-a", "0", "data"],
            &["-k", "key32", "-x", "-o", OUT, "-a", "0", "odd"],
            &["-k", "key32", "-x", "-o", OUT, "-a", "0", "empty"],
            &["-k", "key32", "-o", "data", "-a", "0", "data"],
        ] {
            bench.refused(&[&[command], arguments].concat());
        }
        // No data, no file, and what was there stays.
        let nothing = [command, "-k", "key32", "-o", OUT, "-a", "0", "empty"];
        let both = bench.accepted(&nothing);
        assert!(both.theirs.file.is_none() && both.ours.file.is_none());
        let both = bench.in_place(&nothing, b"before");
        assert_eq!(both.theirs.bytes(), b"before");
        assert_eq!(both.ours.bytes(), b"before");
        let replaced = [command, "-k", "key32", "-o", OUT, "-a", "0", "data"];
        let both = bench.in_place(&replaced, &data(500, 1));
        assert_eq!(both.theirs.bytes(), both.ours.bytes());
        assert_eq!(both.ours.bytes().len(), 160);
    }
    // espsecure writes the whole blocks before it refuses; espseal writes nothing.
    let odd = [
        "decrypt-flash-data",
        "-k",
        "key32",
        "-o",
        OUT,
        "-a",
        "0",
        "odd",
    ];
    assert!(bench.refused(&odd).ours.file.is_none());
}
