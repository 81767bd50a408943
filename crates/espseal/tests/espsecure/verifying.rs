//! `verify-signature` and `signature-info-v2`: the same verdict on sound and damaged files.

use crate::bench::{Bench, OUT, SCHEMES, data};

/// Verifies with both programs. Where espsecure dies, espseal may say what it thinks.
fn verify(bench: &mut Bench, key: &str, more: &[&str]) -> Option<bool> {
    let arguments = [&["verify-signature", "-v", "2", "-k", key, "file"], more].concat();
    let both = bench.run(&arguments, &[], None);
    if both.theirs.crashed() {
        return None;
    }
    let (theirs, ours) = (&both.theirs.answer, &both.ours.answer);
    assert_eq!(
        theirs.code,
        ours.code,
        "{arguments:?}: {} {}",
        theirs.text(),
        ours.text()
    );
    Some(ours.accepted())
}

fn sign(bench: &mut Bench, keys: &[&str]) -> Vec<u8> {
    bench.write("data", &data(5000, 1));
    let arguments = [&["sign-data", "-v", "2", "-o", OUT, "data", "-k"], keys].concat();
    bench.accepted(&arguments).theirs.bytes().to_vec()
}

#[test]
fn each_damaged_place_of_a_signed_file_is_refused_alike() {
    let mut bench = Bench::new();
    for scheme in SCHEMES {
        let key = format!("{scheme}.pem");
        let public = format!("{scheme}-public.pem");
        let good = sign(&mut bench, &[&key]);
        let mut accepted = Vec::new();
        let places = [0, 100, 4999, 5000, 8191];
        let block = [
            0, 1, 4, 35, 36, 40, 52, 60, 101, 120, 149, 160, 244, 300, 419, 420, 424, 807,
        ];
        let block = block
            .into_iter()
            .chain([808, 812, 900, 1195, 1196, 1199, 1200, 1215, 1216, 4095]);
        for place in places.into_iter().chain(block.map(|place| 8192 + place)) {
            let mut file = good.clone();
            file[place] ^= 0x10;
            bench.write("file", &file);
            if verify(&mut bench, &public, &[]) == Some(true) {
                accepted.push(place);
            }
            bench.info("file");
        }
        // Behind the CRC nothing is checked.
        assert_eq!(
            accepted,
            [1200, 1215, 1216, 4095].map(|place| 8192 + place),
            "{scheme}"
        );
    }
}

#[test]
fn damage_under_a_repaired_crc_is_refused_alike() {
    let mut bench = Bench::new();
    for scheme in SCHEMES {
        let key = format!("{scheme}.pem");
        let good = sign(&mut bench, &[&key]);
        let (digest, signature) = match scheme {
            "rsa3072" => (4, [812, 900, 1195]),
            "ecdsa384" => (4, [149, 196, 244]),
            _ => (4, [101, 110, 124]),
        };
        for place in [
            digest,
            digest + 31,
            signature[0],
            signature[1],
            signature[2],
        ] {
            let mut file = good.clone();
            file[8192 + place] ^= 1;
            repair(&mut file[8192..][..1216]);
            bench.write("file", &file);
            assert_eq!(
                verify(&mut bench, &key, &[]),
                Some(false),
                "{scheme} {place}"
            );
            bench.info("file");
        }
    }
}

/// CRC-32 of the first 1196 bytes.
fn repair(block: &mut [u8]) {
    let crc = block[..1196].iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg())
        })
    });
    block[1196..1200].copy_from_slice(&(!crc).to_le_bytes());
}

#[test]
fn every_key_against_every_signer_gives_the_same_verdict() {
    let mut bench = Bench::new();
    for scheme in SCHEMES {
        let file = sign(&mut bench, &[&format!("{scheme}.pem")]);
        bench.write("file", &file);
        for other in SCHEMES {
            for form in ["", "-public", "-pkcs8", "-other"] {
                let verdict = verify(&mut bench, &format!("{other}{form}.pem"), &[]);
                if scheme == other {
                    assert_eq!(verdict, Some(form != "-other"), "{scheme}{form}");
                } else {
                    assert_ne!(verdict, Some(true), "{scheme} {other}{form}");
                }
            }
        }
    }
}

#[test]
fn a_block_behind_a_damaged_or_foreign_one_verifies_alike() {
    let mut bench = Bench::new();
    let three = sign(
        &mut bench,
        &["ecdsa192.pem", "ecdsa256.pem", "ecdsa384.pem"],
    );
    for damaged in 0..8_usize {
        let mut file = three.clone();
        for block in (0..3).filter(|block| damaged >> block & 1 == 1) {
            file[8192 + 1216 * block + 40] ^= 1;
        }
        bench.write("file", &file);
        bench.info("file");
        for (block, scheme) in SCHEMES[1..].iter().enumerate() {
            let verdict = verify(&mut bench, &format!("{scheme}.pem"), &[]);
            assert_eq!(verdict, Some(damaged >> block & 1 == 0));
        }
    }
}

#[test]
fn lengths_that_leave_no_sector_are_refused_alike() {
    let mut bench = Bench::new();
    let good = sign(&mut bench, &["ecdsa256.pem"]);
    for length in [
        0,
        1,
        4095,
        4096,
        8192,
        good.len() - 1,
        good.len(),
        good.len() + 1,
        good.len() + 4096,
    ] {
        let mut file = good.clone();
        file.resize(length, 0xFF);
        bench.write("file", &file);
        let verdict = verify(&mut bench, "ecdsa256.pem", &[]);
        assert_eq!(verdict, Some(length == good.len()), "{length}");
        verify(&mut bench, "ecdsa256.pem", &["--skip-padding"]);
        bench.info("file");
    }
}

#[test]
fn version_1_verdicts_are_the_same() {
    let mut bench = Bench::new();
    bench.write("data", &data(5000, 2));
    let signed = bench.same(&[
        "sign-data",
        "-v",
        "1",
        "-k",
        "ecdsa256.pem",
        "-o",
        OUT,
        "data",
    ]);
    bench.write("file", &signed);
    bench.same(&["extract-public-key", "-v", "1", "-k", "ecdsa256.pem", OUT]);
    let raw = bench.read("ours.out");
    bench.write("raw", &raw);
    for key in ["ecdsa256.pem", "ecdsa256-public.pem", "raw"] {
        bench.accepted(&["verify-signature", "-v", "1", "-k", key, "file"]);
    }
    for key in [
        "ecdsa256-other.pem",
        "ecdsa192.pem",
        "ecdsa384-public.pem",
        "rsa3072.pem",
        "data",
        "missing",
    ] {
        bench.refused(&["verify-signature", "-v", "1", "-k", key, "file"]);
    }
    bench.refused(&["verify-signature", "-v", "1", "file"]);
    bench.refused(&["verify-signature", "-v", "2", "file"]);
    bench.refused(&["verify-signature", "-k", "ecdsa256.pem", "file"]);
    for bit in (0..signed.len() * 8)
        .step_by(1999)
        .chain((5000 * 8..signed.len() * 8).step_by(31))
    {
        let mut file = signed.clone();
        file[bit / 8] ^= 1 << (bit % 8);
        bench.write("file", &file);
        bench.refused(&["verify-signature", "-v", "1", "-k", "ecdsa256.pem", "file"]);
    }
    for length in [0, 67, 68, 5000, signed.len() - 1] {
        bench.write("file", &signed[..length]);
        bench.refused(&["verify-signature", "-v", "1", "-k", "ecdsa256.pem", "file"]);
    }
}
