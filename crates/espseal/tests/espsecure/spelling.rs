//! Flags long and short, old spellings, and calls that make no sense.

use crate::bench::{Bench, OUT, data};

#[test]
fn old_spellings_with_underscores_still_work() {
    let mut bench = Bench::new();
    bench.write("data", &data(4096, 1));
    bench.write("key", &data(32, 2));
    bench.write("iv", &data(128, 2));
    bench.write(
        "image",
        include_bytes!("../../../../vectors/app-image/app.bin"),
    );
    bench.same(&[
        "sign_data",
        "--version",
        "1",
        "--keyfile",
        "ecdsa256.pem",
        "--output",
        OUT,
        "data",
    ]);
    bench.same(&[
        "extract_public_key",
        "--version",
        "2",
        "--keyfile",
        "ecdsa256.pem",
        OUT,
    ]);
    bench.same(&["digest_private_key", "--keyfile", "ecdsa256.pem", OUT]);
    bench.same(&[
        "digest_sbv2_public_key",
        "--keyfile",
        "rsa3072.pem",
        "--output",
        OUT,
    ]);
    bench.same(&[
        "digest_rsa_public_key",
        "--keyfile",
        "rsa3072.pem",
        "--output",
        OUT,
    ]);
    bench.same(&[
        "digest_secure_bootloader",
        "--keyfile",
        "key",
        "--iv",
        "iv",
        "--output",
        OUT,
        "image",
    ]);
    bench.accepted(&["generate_flash_encryption_key", "--keylen", "128", OUT]);
    bench.accepted(&[
        "generate_signing_key",
        "--version",
        "2",
        "--scheme",
        "ecdsa256",
        OUT,
    ]);
    let both = bench.accepted(&[
        "sign_data",
        "-v",
        "2",
        "-k",
        "rsa3072.pem",
        "-o",
        OUT,
        "data",
    ]);
    bench.write("signed", both.theirs.bytes());
    bench.accepted(&["verify_signature", "-v", "2", "-k", "rsa3072.pem", "signed"]);
    bench.accepted(&["signature_info_v2", "signed"]);
    bench.accepted(&[
        "sign_data",
        "-v",
        "2",
        "--append_signatures",
        "-k",
        "ecdsa256.pem",
        "-o",
        OUT,
        "signed",
    ]);
    for never in ["--skip_padding", "--pub_key", "--hsm_config"] {
        bench.refused(&[
            "sign-data",
            "-v",
            "2",
            never,
            "-k",
            "rsa3072.pem",
            "-o",
            OUT,
            "data",
        ]);
    }
}

#[test]
fn flags_may_stand_anywhere_be_joined_and_be_repeated() {
    let mut bench = Bench::new();
    bench.write("data", &data(4096, 1));
    for arguments in [
        &["sign-data", "-v1", "-kecdsa256.pem", "-o@out", "data"][..],
        &[
            "sign-data",
            "data",
            "--version=1",
            "--keyfile=ecdsa256.pem",
            "--output=@out",
        ],
        &[
            "sign-data",
            "-v",
            "1",
            "data",
            "-o",
            OUT,
            "-k",
            "ecdsa256.pem",
        ],
        &[
            "sign-data",
            "-v",
            "2",
            "-v",
            "1",
            "-k",
            "ecdsa256.pem",
            "-o",
            "no",
            "-o",
            OUT,
            "data",
        ],
        &[
            "sign-data",
            "-av",
            "1",
            "-k",
            "ecdsa256.pem",
            "-o",
            OUT,
            "--",
            "data",
        ],
        &[
            "digest-private-key",
            "-l",
            "256",
            "-l",
            "192",
            "-k",
            "rsa3072.pem",
            "-k",
            "ecdsa256.pem",
            OUT,
        ],
    ] {
        bench.same(arguments);
    }
    for arguments in [
        &[][..],
        &["sign"],
        &["sign-dat"],
        &["sign-data"],
        &["no-such-command"],
        &["--version"],
        &["-v"],
        &[
            "sign-data",
            "-v",
            "1",
            "-k",
            "ecdsa256.pem",
            "data",
            "-o",
            OUT,
            "extra",
        ],
        // Every word after --keyfile is a key.
        &[
            "sign-data",
            "-v",
            "1",
            "-o",
            OUT,
            "-k",
            "ecdsa256.pem",
            "data",
        ],
        &[
            "sign-data",
            "-v",
            "3",
            "-k",
            "ecdsa256.pem",
            "-o",
            OUT,
            "data",
        ],
        &[
            "sign-data",
            "-v",
            "01",
            "-k",
            "ecdsa256.pem",
            "-o",
            OUT,
            "data",
        ],
        &["sign-data", "-k", "ecdsa256.pem", "-o", OUT, "data"],
        &[
            "sign-data",
            "-v",
            "1",
            "--keyf",
            "ecdsa256.pem",
            "-o",
            OUT,
            "data",
        ],
        &[
            "sign-data",
            "-v",
            "1",
            "--unknown",
            "-k",
            "ecdsa256.pem",
            "-o",
            OUT,
            "data",
        ],
        &["digest-sbv2-public-key", "-k", "rsa3072.pem"],
        &["digest-sbv2-public-key", "-o", OUT],
        &["signature-info-v2"],
        &["signature-info-v2", "missing"],
        &["extract-public-key", OUT],
        &["digest-secure-bootloader", "-k", "data", "data"],
    ] {
        bench.refused(arguments);
    }
    for command in [
        &["-h"][..],
        &["--help"],
        &["sign-data", "-h"],
        &["sign-data", "--help"],
        &["digest-private-key", "-h"],
        &["signature-info-v2", "--help"],
    ] {
        bench.accepted(command);
    }
}

#[cfg(unix)]
#[test]
fn a_link_named_espsecure_answers_like_espsecure() {
    use std::process::Command;
    let bench = Bench::new();
    let link = bench.path("espsecure");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_espseal"), &link).unwrap();
    let digest = ["digest-private-key", "-k", "ecdsa256.pem", "linked"];
    let status = Command::new(&link)
        .args(digest)
        .current_dir(bench.path("."))
        .status();
    assert!(status.unwrap().success());
    assert_eq!(bench.read("linked").len(), 32);
    let native = Command::new(&link).arg("init").output().unwrap();
    assert_eq!(native.status.code(), Some(2));
}
