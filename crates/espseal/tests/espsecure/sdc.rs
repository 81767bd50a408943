//! `digest-sdc-public-key` and `generate-sdc-certificate`.

use espseal_crypto::secure_boot::PublicKey;
use espseal_format::sdc::{CERTIFICATE_LEN, ChipInfo, SdcCertificate, Unlock};
use espseal_format::signature_block::Curve;

use crate::bench::{Bench, OUT, data};

/// Takes a certificate apart: its signature must verify, and its bytes be those that we build from
/// its nonce and signature.
fn check(file: &[u8], unlock: Unlock, chip: impl Fn([u8; 32]) -> ChipInfo, key: &[u8]) {
    assert_eq!(file.len(), CERTIFICATE_LEN);
    let chip = chip(file[436..].try_into().unwrap());
    let signature: [u8; 64] = file[340..404].try_into().unwrap();
    let PublicKey::P256(public) = PublicKey::from_point(Curve::P256, key).unwrap() else {
        panic!("another curve");
    };
    let digest = SdcCertificate::to_be_signed(unlock, &chip);
    let (numbers, _) = signature.as_chunks::<32>();
    let pair = [numbers[0], numbers[1]];
    assert_eq!(public.verify(&digest.0, &pair), Ok(()));
    let again = SdcCertificate::new(unlock, &chip, key.try_into().unwrap(), signature);
    assert_eq!(again.encode()[..], *file);
}

#[test]
fn digests_of_debug_keys_are_the_same() {
    let mut bench = Bench::new();
    for key in [
        "ecdsa256",
        "ecdsa256-pkcs8",
        "ecdsa256-other",
        "ecdsa256-crlf",
        "two-keys",
    ] {
        let key = format!("{key}.pem");
        bench.same(&["digest-sdc-public-key", "-k", &key, "-o", OUT]);
        bench.same(&[
            "digest_sdc_public_key",
            "--keyfile",
            &key,
            "--verbose",
            "--output",
            OUT,
        ]);
    }
    bench.same(&[
        "digest-sdc-public-key",
        "--pub-key",
        "ecdsa256-public.pem",
        "-o",
        OUT,
    ]);
    for key in [
        "ecdsa192",
        "ecdsa384",
        "rsa3072",
        "ed25519",
        "ecdsa256-encrypted",
        "ecdsa256-public",
        "missing",
    ] {
        let key = format!("{key}.pem");
        bench.refused(&["digest-sdc-public-key", "-k", &key, "-o", OUT]);
    }
    for key in [
        "ecdsa192-public",
        "ecdsa384-public",
        "rsa3072-public",
        "ed25519-public",
        "missing",
    ] {
        let key = format!("{key}.pem");
        bench.refused(&["digest-sdc-public-key", "--pub-key", &key, "-o", OUT]);
    }
    bench.refused(&["digest-sdc-public-key", "-o", OUT]);
    bench.refused(&[
        "digest-sdc-public-key",
        "-k",
        "ecdsa256.pem",
        "--pub-key",
        "ecdsa256-public.pem",
        "-o",
        OUT,
    ]);
}

#[test]
fn certificates_differ_in_nothing_but_nonce_and_signature() {
    let mut bench = Bench::new();
    let key = bench.same(&["extract-public-key", "-v", "1", "-k", "ecdsa256.pem", OUT]);
    let info: [u8; 64] = data(64, 7).try_into().unwrap();
    bench.write("info", &info);
    bench.write("mac.bin", &[0, 0x11, 0x22, 0x33, 0x44, 0x55]);
    bench.write("mac.hex", b"00:11:22:33:44:55\n");
    let flags = [
        ("--enable-jtag", Unlock::JTAG),
        ("--enable-download-reuse", Unlock::DOWNLOAD_REUSE),
        ("--enable-force-spi-boot", Unlock::FORCE_SPI_BOOT),
    ];
    let mac = [0, 0x11, 0x22, 0x33, 0x44, 0x55];
    for chosen in 0..8_usize {
        let chosen = flags
            .iter()
            .enumerate()
            .filter(|(bit, _)| chosen >> bit & 1 == 1);
        let (words, unlocks): (Vec<_>, Vec<_>) = chosen.map(|(_, flag)| *flag).unzip();
        let unlock = unlocks.into_iter().fold(Unlock::default(), Unlock::and);
        let base = ["generate-sdc-certificate", "-k", "ecdsa256.pem", "-o", OUT];
        let both = bench.accepted(&[&base[..], &["--chip-info", "info"], &words].concat());
        for file in [both.theirs.bytes(), both.ours.bytes()] {
            check(file, unlock, |_| ChipInfo::parse(&info), &key);
        }
        for counter in [0, 1, 3, 7] {
            for text in [
                "00:11:22:33:44:55",
                "00-11-22-33-44-55",
                "001122334455",
                "mac.bin",
                "mac.hex",
            ] {
                let number = counter.to_string();
                let device = ["--mac", text, "--sdc-session-counter", &number];
                let both = bench.accepted(&[&base[..], &device, &words].concat());
                for file in [both.theirs.bytes(), both.ours.bytes()] {
                    let chip = |nonce| ChipInfo::new(mac, counter, nonce).unwrap();
                    check(file, unlock, chip, &key);
                }
            }
        }
    }
}

/// Bits of `Unlock` in a certificate.
fn unlocked(file: &[u8]) -> u8 {
    file[23]
}

#[test]
fn what_is_unlocked_can_be_said_in_json() {
    let mut bench = Bench::new();
    let base = [
        "generate-sdc-certificate",
        "-k",
        "ecdsa256.pem",
        "--mac",
        "001122334455",
        "-o",
        OUT,
        "--usc",
        "usc.json",
    ];
    let document = |entries: &str| {
        format!(r#"{{"version":1,"groups":[{{"group":"config_flags","entries":[{entries}]}}]}}"#)
    };
    let entry = |key: &str, value: &str| format!(r#"{{"key":"{key}","value":{value}}}"#);
    let [jtag, reuse, spi] = [
        "enable_jtag",
        "enable_download_reuse",
        "enable_force_spi_boot",
    ];
    let (on, off) = (entry(jtag, "true"), entry(jtag, "false"));
    let group = r#"{"group":"config_flags","entries":"#;
    let taken = [
        (r#"{"version":1}"#.into(), 0, 7),
        (
            r#" {"version":1.0,"groups":[],"other":[null]} "#.into(),
            0,
            7,
        ),
        (r#"{"version":true}"#.into(), 0, 7),
        (r#"{"version":2,"version":1}"#.into(), 0, 7),
        (
            r#"{"version":1,"groups":[{},{"group":5},{"group":"x","entries":5}]}"#.into(),
            0,
            7,
        ),
        (
            r#"{"version":1,"groups":[{"group":"config_flags"}]}"#.into(),
            0,
            7,
        ),
        (document(&on), 1, 7),
        (document(&off), 0, 6),
        (document(&entry(reuse, "true")), 2, 7),
        (document(&entry(reuse, "false")), 0, 5),
        (document(&entry(spi, "true")), 4, 7),
        (document(&entry(spi, "false")), 0, 3),
        (document(&format!("{on},{off}")), 0, 6),
        (document(&format!("{off},{on}")), 1, 7),
        (
            format!(r#"{{"version":1,"groups":[{group}[{on}]}},{group}[{off}]}}]}}"#),
            0,
            6,
        ),
        (
            format!(
                r#"{{"version":1,"groups":[{group}[{on}]}},{group}[{}]}}]}}"#,
                entry(spi, "true")
            ),
            5,
            7,
        ),
    ];
    let flags = [
        "--enable-jtag",
        "--enable-download-reuse",
        "--enable-force-spi-boot",
    ];
    for (text, alone, over_flags) in &taken {
        bench.write("usc.json", text.as_bytes());
        for (flags, expected) in [(&[][..], alone), (&flags, over_flags)] {
            let both = bench.accepted(&[&base[..], flags].concat());
            for side in [&both.theirs, &both.ours] {
                assert_eq!(unlocked(side.bytes()), *expected, "{text}");
            }
        }
    }
    let mut refused: Vec<String> = [
        "",
        "5",
        "[]",
        "{",
        "{}",
        "{'version':1}",
        r#"{"version":1,}"#,
        r#"{"version":1} x"#,
        r#"{"version":"1"}"#,
        r#"{"version":null}"#,
        r#"{"version":[1]}"#,
        r#"{"version":1.5}"#,
        r#"{"version":0}"#,
        r#"{"version":2}"#,
        r#"{"version":01}"#,
        r#"{"version":1,"groups":null}"#,
        r#"{"version":1,"groups":{}}"#,
        r#"{"version":1,"groups":"x"}"#,
        r#"{"version":1,"groups":[null]}"#,
        r#"{"version":1,"groups":[5]}"#,
        r#"{"version":1,"groups":[{"group":"config_flags","entries":null}]}"#,
        r#"{"version":1,"groups":[{"group":"config_flags","entries":{}}]}"#,
        "\u{feff}{\"version\":1}",
    ]
    .map(Into::into)
    .to_vec();
    refused.extend(
        ["1", "0", "null", "\"true\"", "[]", "{}", "1.0"].map(|v| document(&entry(jtag, v))),
    );
    refused.extend(["", "enable-jtag", "jtag", "Enable_jtag"].map(|k| document(&entry(k, "true"))));
    refused.extend(["5", "{}", r#"{"key":"enable_jtag"}"#, r#"{"value":true}"#].map(document));
    for text in &refused {
        bench.write("usc.json", text.as_bytes());
        bench.refused(&base);
    }
    bench.refused(&[&base[..8], &["missing.json"]].concat());
    bench.refused(&[&base[..8], &["-"]].concat());
    println!(
        "{} JSON files taken, {} refused",
        taken.len(),
        refused.len()
    );
}

#[test]
fn certificates_for_no_device_session_or_key_are_refused() {
    let mut bench = Bench::new();
    bench.write("mac.bin", &[0; 8]);
    bench.write("mac.txt", b"001122334455");
    bench.write("short", &[0; 63]);
    bench.write("long", &[0; 65]);
    let base = ["generate-sdc-certificate", "-k", "ecdsa256.pem", "-o", OUT];
    for mac in [
        "",
        "00:11:22:33:44:5",
        "00:11:22:33:44:55:66:77",
        "zz:11:22:33:44:55",
        "0x001122334455",
        "mac.bin",
        "mac.txt",
        "none.bin",
    ] {
        bench.refused(&[&base[..], &["--mac", mac]].concat());
    }
    for counter in ["2", "4", "5", "6", "8", "-1", "x", "256"] {
        let device = ["--mac", "001122334455", "--sdc-session-counter", counter];
        bench.refused(&[&base[..], &device].concat());
    }
    for info in ["short", "long", "missing"] {
        bench.refused(&[&base[..], &["--chip-info", info]].concat());
    }
    bench.refused(&base);
    bench.refused(&[
        "generate-sdc-certificate",
        "--mac",
        "001122334455",
        "-o",
        OUT,
    ]);
    for key in [
        "ecdsa192.pem",
        "ecdsa384.pem",
        "rsa3072.pem",
        "ecdsa256-public.pem",
        "ed25519.pem",
        "missing",
    ] {
        bench.refused(&[
            "generate-sdc-certificate",
            "-k",
            key,
            "--mac",
            "001122334455",
            "-o",
            OUT,
        ]);
    }
}
