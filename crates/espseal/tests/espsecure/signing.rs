//! `sign-data`: the same file but for what is random, and signatures that verify both ways.

use crate::bench::{Bench, OUT, SCHEMES, data};
use crate::mask::without_signatures;

const SIZES: [usize; 9] = [1, 31, 1216, 4095, 4096, 4097, 9000, 65_536, 100_001];

/// Signs with both programs, compares, and lets each verify the other's file.
fn sign_and_cross_verify(bench: &mut Bench, keys: &[&str], arguments: &[&str]) {
    let both = bench.accepted(arguments);
    assert_eq!(
        without_signatures(both.theirs.bytes()),
        without_signatures(both.ours.bytes()),
        "{arguments:?}"
    );
    for file in [both.theirs.bytes(), both.ours.bytes()] {
        bench.write("signed", file);
        bench.info("signed");
        // espsecure dies on a block of the other family before the one that it looks for.
        if keys.iter().all(|key| key.starts_with("ecdsa")) || keys.len() == 1 {
            for key in keys {
                let key = format!("{key}-public.pem");
                let skip: &[&str] = if arguments.contains(&"--skip-padding") {
                    &["--skip-padding"]
                } else {
                    &[]
                };
                let verify = ["verify-signature", "-v", "2", "-k", &key, "signed"];
                bench.accepted(&[&verify, skip].concat());
            }
        }
    }
}

#[test]
fn every_scheme_and_size_signs_the_same_bytes_and_verifies_both_ways() {
    let mut bench = Bench::new();
    for (seed, size) in SIZES.into_iter().enumerate() {
        bench.write("data", &data(size, seed as u64));
        for scheme in SCHEMES {
            // espsecure takes 0.2 s to load an RSA key.
            if scheme == "rsa3072" && seed % 4 != 0 {
                continue;
            }
            let key = format!("{scheme}.pem");
            let sign = ["sign-data", "-v", "2", "-k", &key, "-o", OUT, "data"];
            sign_and_cross_verify(&mut bench, &[scheme], &sign);
            let sign = [&sign[..], &["--skip-padding"]].concat();
            sign_and_cross_verify(&mut bench, &[scheme], &sign);
        }
    }
}

#[test]
fn two_and_three_keys_make_two_and_three_blocks_in_their_order() {
    let mut bench = Bench::new();
    bench.write("data", &data(5000, 1));
    for first in SCHEMES {
        for second in SCHEMES {
            let files = [first, second].map(|scheme| format!("{scheme}.pem"));
            let sign = [
                "sign-data",
                "-v",
                "2",
                "-k",
                &files[0],
                &files[1],
                "-o",
                OUT,
                "data",
            ];
            sign_and_cross_verify(&mut bench, &[first, second], &sign);
            let third = ["--keyfile", "ecdsa256-other.pem"];
            let sign = [&sign[..], &third].concat();
            let both = bench.accepted(&sign);
            assert_eq!(
                without_signatures(both.theirs.bytes()),
                without_signatures(both.ours.bytes())
            );
            bench.refused(&[&sign[..], &["-k", "ecdsa384-other.pem"]].concat());
        }
    }
}

#[test]
fn appended_signatures_stand_behind_those_that_are_there() {
    let mut bench = Bench::new();
    bench.write("data", &data(5000, 2));
    for first in SCHEMES {
        let sign = [
            "sign-data",
            "-v",
            "2",
            "-k",
            &format!("{first}.pem"),
            "-o",
            OUT,
            "data",
        ];
        let one = bench.accepted(&sign).theirs.bytes().to_vec();
        bench.write("one", &one);
        for second in SCHEMES {
            let key = format!("{second}-other.pem");
            let append = ["sign-data", "-v", "2", "-a", "-k", &key, "-o", OUT, "one"];
            let both = bench.accepted(&append);
            assert_eq!(both.ours.bytes()[..4096 + 4096 + 1216], one[..8192 + 1216]);
            assert_eq!(
                without_signatures(both.theirs.bytes()),
                without_signatures(both.ours.bytes())
            );
            bench.write("two", both.ours.bytes());
            let append = [
                "sign-data",
                "-v",
                "2",
                "--append-signatures",
                "-k",
                "ecdsa192-other.pem",
                "-o",
                OUT,
                "two",
            ];
            let both = bench.accepted(&append);
            bench.write("three", both.ours.bytes());
            let append = [
                "sign-data",
                "-v",
                "2",
                "-a",
                "-k",
                "ecdsa256-other.pem",
                "-o",
                OUT,
                "three",
            ];
            bench.refused(&append);
            let two_more = [
                "-k",
                "ecdsa256-other.pem",
                "ecdsa384-other.pem",
                "-o",
                OUT,
                "two",
            ];
            bench.refused(&[&["sign-data", "-v", "2", "-a"], &two_more[..]].concat());
        }
    }
}

#[test]
fn appending_to_damaged_unsigned_and_unaligned_files_goes_the_same_way() {
    let mut bench = Bench::new();
    bench.write("data", &data(5000, 3));
    let sign = [
        "sign-data",
        "-v",
        "2",
        "-k",
        "rsa3072.pem",
        "ecdsa256.pem",
        "-o",
        OUT,
        "data",
    ];
    let two = bench.accepted(&sign).theirs.bytes().to_vec();
    let append = [
        "sign-data",
        "-v",
        "2",
        "-a",
        "-k",
        "ecdsa384.pem",
        "-o",
        OUT,
        "file",
    ];
    let mut compare = |file: &[u8]| {
        bench.write("file", file);
        let both = bench.accepted(&append);
        assert_eq!(
            without_signatures(both.theirs.bytes()),
            without_signatures(both.ours.bytes())
        );
    };
    // In the data, and in magic, version, digest, key, signature and CRC of both blocks.
    for place in [0, 4999, 8191] {
        let mut file = two.clone();
        file[place] ^= 1;
        compare(&file);
    }
    for block in [8192, 8192 + 1216] {
        for place in [0, 1, 4, 40, 101, 1000, 1196, 1199] {
            let mut file = two.clone();
            file[block + place] ^= 1;
            compare(&file);
        }
    }
    for length in [1, 4095, 4096, 5000, 8192, two.len() - 1] {
        compare(&two[..length]);
    }
    compare(&[&two[..], &[0]].concat());
    compare(&[&two[..], &[0xFF; 4096]].concat());
}

#[test]
fn version_1_signatures_are_the_same_to_the_byte() {
    let mut bench = Bench::new();
    for (seed, size) in [0, 1, 68, 4096, 5000, 65_536, 100_001]
        .into_iter()
        .enumerate()
    {
        bench.write("data", &data(size, seed as u64));
        for key in [
            "ecdsa256.pem",
            "ecdsa256-pkcs8.pem",
            "ecdsa256-other.pem",
            "two-keys.pem",
        ] {
            let sign = ["sign-data", "-v", "1", "-k", key, "-o", OUT, "data"];
            let signed = bench.same(&sign);
            bench.same(&[&sign[..], &["-a", "--skip-padding"]].concat());
            bench.write("signed", &signed);
            if !key.contains("pkcs8") {
                bench.accepted(&["verify-signature", "-v", "1", "-k", key, "signed"]);
            }
        }
    }
    for key in [
        "ecdsa192.pem",
        "ecdsa384.pem",
        "rsa3072.pem",
        "ed25519.pem",
        "data",
        "ecdsa256-public.pem",
    ] {
        bench.refused(&["sign-data", "-v", "1", "-k", key, "-o", OUT, "data"]);
    }
    let two = [
        "sign-data",
        "-v",
        "1",
        "-k",
        "ecdsa256.pem",
        "ecdsa256.pem",
        "-o",
        OUT,
        "data",
    ];
    bench.refused(&two);
    bench.refused(&["sign-data", "-v", "1", "-o", OUT, "data"]);
}

#[test]
fn without_an_output_the_input_is_signed_in_place() {
    let mut bench = Bench::new();
    for arguments in [
        &["sign-data", "-v", "1", "-k", "ecdsa256.pem", OUT][..],
        &["sign-data", "-v", "2", "-k", "ecdsa256.pem", OUT][..],
    ] {
        let both = bench.in_place(arguments, &data(5000, 4));
        assert_eq!(both.theirs.bytes().len(), both.ours.bytes().len());
        if arguments.contains(&"1") {
            assert_eq!(both.theirs.bytes(), both.ours.bytes());
        }
    }
    bench.write("data", b"data");
    bench.refused(&[
        "sign-data",
        "-v",
        "2",
        "-k",
        "ecdsa256.pem",
        "-o",
        "data",
        "data",
    ]);
    bench.refused(&["sign-data", "-v", "2", "-o", OUT, "data"]);
    bench.refused(&[
        "sign-data",
        "-v",
        "2",
        "-k",
        "ecdsa256.pem",
        "-o",
        OUT,
        "missing",
    ]);
    bench.refused(&[
        "sign-data",
        "-v",
        "2",
        "-k",
        "missing.pem",
        "-o",
        OUT,
        "data",
    ]);
    bench.refused(&[
        "sign-data",
        "-v",
        "2",
        "-k",
        "ecdsa256.pem",
        "-o",
        "no/such/folder",
        "data",
    ]);
    assert_eq!(bench.read("data"), b"data");
}

#[test]
fn a_dash_is_standard_input_for_data_and_keys() {
    let mut bench = Bench::new();
    bench.write("data", &data(5000, 5));
    let pem = bench.read("ecdsa256.pem");
    let sign = ["sign-data", "-v", "1", "-k", "-", "-o", OUT, "data"];
    let both = bench.both_with_input(&sign, &pem);
    assert_eq!(both.theirs.bytes(), both.ours.bytes());
    let sign = ["sign-data", "-v", "2", "-k", "ecdsa256.pem", "-o", OUT, "-"];
    let both = bench.both_with_input(&sign, &data(4097, 6));
    assert_eq!(
        without_signatures(both.theirs.bytes()),
        without_signatures(both.ours.bytes())
    );
}
