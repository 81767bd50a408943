//! `digest-secure-bootloader`: the same file for the same IV.

use crate::bench::{Bench, OUT, data};

const APP: &[u8] = include_bytes!("../../../../vectors/app-image/app.bin");

#[test]
fn every_length_and_key_length_gives_the_same_file() {
    let mut bench = Bench::new();
    bench.write("iv", &data(128, 1));
    for length in [24, 32] {
        bench.write("key", &data(length, 2));
        for more in (0..=130).chain([1000, 4095, 4096, 20_000]) {
            bench.write("image", &[APP, &data(more, 3)].concat());
            let digest = [
                "digest-secure-bootloader",
                "-k",
                "key",
                "--iv",
                "iv",
                "-o",
                OUT,
                "image",
            ];
            let file = bench.same(&digest);
            assert_eq!((file.len() - 4096) % 128, 0);
        }
    }
}

#[test]
fn damaged_images_are_taken_and_refused_alike() {
    let mut bench = Bench::new();
    bench.write("iv", &data(128, 1));
    bench.write("key", &data(32, 2));
    let digest = [
        "digest-secure-bootloader",
        "-k",
        "key",
        "--iv",
        "iv",
        "-o",
        OUT,
        "image",
    ];
    for place in [0, 2, 4, 12, 23, 24, 32, 40, 100, 300, 340, 351, 352, 383] {
        let mut image = APP.to_vec();
        image[place] ^= 1;
        bench.write("image", &image);
        let both = bench.both(&digest);
        assert_eq!(both.theirs.file, both.ours.file, "byte {place}");
    }
    for length in [0, 1, 23, 24, 31, 32, 100, 288, 300, 320, 336, 350] {
        bench.write("image", &APP[..length]);
        bench.refused(&digest);
    }
    bench.write("image", APP);
    for length in [0, 1, 31, 33, 48, 64, 128] {
        bench.write("key", &data(length, 2));
        bench.refused(&digest);
    }
}

#[test]
fn without_an_iv_each_file_has_its_own() {
    let mut bench = Bench::new();
    bench.write("key", &data(32, 2));
    bench.write("image", APP);
    let digest = ["digest-secure-bootloader", "-k", "key", "-o", OUT, "image"];
    let first = bench.accepted(&digest);
    let second = bench.accepted(&digest);
    assert_ne!(first.ours.bytes()[..128], second.ours.bytes()[..128]);
    for both in [first, second] {
        // espsecure makes the same file from our IV.
        bench.write("iv", &both.ours.bytes()[..128]);
        let again = bench.same(&[&digest[..], &["--iv", "iv"]].concat());
        assert_eq!(again, both.ours.bytes());
    }
    bench.refused(&[
        "digest-secure-bootloader",
        "-k",
        "key",
        "-o",
        "image",
        "image",
    ]);
    let both = bench.both_with_input(
        &[
            "digest-secure-bootloader",
            "-k",
            "key",
            "--iv",
            "iv",
            "-o",
            OUT,
            "-",
        ],
        APP,
    );
    assert_eq!(both.theirs.bytes(), both.ours.bytes());
}
